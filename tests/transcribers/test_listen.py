"""Hearing on the loop of encoders: silence, the cache, the journal, batches."""

import numpy as np
import pytest
import soundfile

from affectkit.artifacts.transcripts import Cache, Journal, Transcript
from affectkit.encoders._encoder import Item
from affectkit.errors import AffectkitError
from affectkit.transcribers._listen import Listening, listen, loudest
from affectkit.transcribers._transcriber import Transcriber, called, check_language

RATE = 16000


class Parrot(Transcriber):
    """Says how many samples it heard; nothing of a recording of exactly half a second, unless silence may speak."""

    name = "parrot"
    languages = ("en", "zh")

    def __init__(self):
        super().__init__({}, "cpu")
        self.heard, self.batches = [], []

    def load(self, model, *, batch_seconds):
        pass

    def describe(self):
        return {"weights": "w"}

    def hear(self, waves, languages, *, silence=True):
        self.batches.append(len(waves))
        self.heard += [len(wave) for wave in waves]
        mute = [silence and len(wave) == RATE // 2 for wave in waves]
        return [
            Transcript("" if quiet else f"{len(wave)}", language or "en", 0.5)
            for quiet, wave, language in zip(mute, waves, languages, strict=True)
        ]


@pytest.fixture
def items(tmp_path):
    """Of 1.0, .5, .25 and 2 s, the third digital silence."""
    made = []
    for number, (seconds, level) in enumerate([(1.0, 0.1), (0.5, 0.1), (0.25, 0.0), (2.0, 0.1)]):
        samples = np.full(round(RATE * seconds), level, dtype=np.float32)
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE)
        made.append(Item(f"r{number}", tmp_path / f"{number}.wav", duration_sec=seconds))
    return made


def heard(tmp_path, items, parrot, *, cache=None, level=-60.0, retry=False, name="j", **how):
    journal = Journal(tmp_path / name, {})
    languages = dict.fromkeys((item.id for item in items), "")
    listen(parrot, items, Listening(languages, level, retry), journal, cache or Cache(), **how)
    journal.close()
    return journal.rows


def test_each_row_is_heard_once_and_silence_is_not_heard_at_all(tmp_path, items):
    parrot = Parrot()
    rows = heard(tmp_path, items, parrot)
    assert {key: row.text for key, row in rows.items()} == {"r0": "16000", "r1": "", "r2": "", "r3": "32000"}
    assert rows["r2"].why == "silent" and parrot.heard == [8000, 16000, 32000]
    assert rows["r0"].source == "heard" and rows["r0"].seconds >= 0


def test_what_was_empty_is_heard_once_more_where_that_is_asked_for(tmp_path, items):
    parrot = Parrot()
    rows = heard(tmp_path, items, parrot, retry=True)
    assert {key: row.text for key, row in rows.items()} == {
        "r0": "16000", "r1": "8000", "r2": "4000", "r3": "32000",
    }  # fmt: skip
    assert sorted(parrot.heard) == [4000, 8000, 8000, 16000, 32000]


def test_the_cache_answers_first_and_keeps_no_empty_answer(tmp_path, items):
    path = tmp_path / "cache.json"
    heard(tmp_path, items, Parrot(), cache=Cache.read(path))
    again = Parrot()
    rows = heard(tmp_path, items, again, cache=Cache.read(path), name="k")
    assert again.heard == [8000]  # its answer was empty; silence is not heard
    assert {key: row.source for key, row in rows.items() if row.text} == {"r0": "cache", "r3": "cache"}
    assert len(Cache.read(path).entries) == 2


@pytest.mark.parametrize("seconds", [0.0, 1.6, 100.0])
def test_batches_are_of_seconds_the_short_first_and_change_no_text(tmp_path, items, seconds):
    parrot = Parrot()
    rows = heard(tmp_path, items, parrot, batch_seconds=seconds, level=-float("inf"))
    assert parrot.heard == [4000, 8000, 16000, 32000]
    assert parrot.batches == {0.0: [1, 1, 1, 1], 1.6: [2, 1, 1], 100.0: [4]}[seconds]
    assert [row.text for row in rows.values()] == ["4000", "", "16000", "32000"]


def test_ended_half_way_it_goes_on_behind_and_the_cache_has_what_was_heard(tmp_path, items):
    class Ended(Parrot):
        def hear(self, waves, languages, *, silence=True):
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().hear(waves, languages, silence=silence)

    path, first = tmp_path / "cache.json", Ended()
    with pytest.raises(KeyboardInterrupt):
        heard(tmp_path, items, first, cache=Cache.read(path), batch_seconds=0)
    assert first.heard == [8000, 16000] and len(Cache.read(path).entries) == 1
    then = Parrot()
    rows = heard(tmp_path, items, then, batch_seconds=0)
    assert then.heard == [32000] and {row.source for row in rows.values()} == {"heard"}


def test_a_row_that_cannot_be_read_stops_or_is_listed(tmp_path, items):
    items.append(Item("r9", tmp_path / "gone.wav", duration_sec=0.1))
    with pytest.raises(AffectkitError, match=r"gone\.wav"):
        heard(tmp_path, items, Parrot())
    rows = heard(tmp_path, items, Parrot(), on_error="skip", name="k")
    assert rows["r9"].text == "" and "gone.wav" in rows["r9"].why and rows["r0"].text == "16000"


def test_levels():
    """A square wave at full scale is at 0 dB, a sine 3 dB lower; the loudest 30 ms count."""
    time = np.arange(RATE) / RATE
    assert loudest(np.ones(RATE, np.float32), RATE) == pytest.approx(0)
    assert loudest(np.sin(2 * np.pi * 100 * time).astype(np.float32), RATE) == pytest.approx(-3.01, abs=0.01)
    click = np.zeros(RATE, np.float32)
    click[4800:5280] = 0.1
    assert loudest(click, RATE) == pytest.approx(-20)
    assert loudest(np.full(10, 0.1, np.float32), RATE) == pytest.approx(-20)
    assert loudest(np.zeros(RATE, np.float32), RATE) == -np.inf


def test_a_language_that_the_model_does_not_write_is_refused():
    check_language(Parrot(), "zh")
    with pytest.raises(AffectkitError, match="does not write --language zz") as caught:
        check_language(Parrot(), "zz")
    assert caught.value.code == "usage"


def test_names_of_models(tmp_path):
    (tmp_path / "mine").mkdir()
    assert [called(name) for name in ("openai/whisper-base", f"{tmp_path}/mine/", "tiny-random:whisper")] == [
        "whisper-base", "mine", "tiny-random:whisper",
    ]  # fmt: skip
