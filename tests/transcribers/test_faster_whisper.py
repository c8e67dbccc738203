"""The plug-in around faster-whisper: what it asks of the engine, and what it makes of the answer."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.transcribers import faster_whisper

WAVE = np.zeros(1600, np.float32)


def segment(text, tokens, logprob, words=None):
    return SimpleNamespace(text=text, tokens=[0] * tokens, avg_logprob=logprob, words=words)


class Engine:
    supported_languages = ("en", "de")

    def __init__(self, folder, **how):
        self.asked, self.segments = [how], []

    def transcribe(self, wave, **how):
        self.asked.append(how)
        return iter(self.segments), SimpleNamespace(language=how["language"] or "de")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("model.bin", "tokenizer.json"):
        (tmp_path / name).write_text("weights")
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Engine))
    monkeypatch.setitem(sys.modules, "ctranslate2", SimpleNamespace(set_log_level=lambda level: None))
    return tmp_path


def loaded(folder, **options):
    built = faster_whisper.build(**options)
    built.load(str(folder), batch_seconds=60)
    return built


def test_segments_become_one_text_with_words_and_confidence(folder):
    transcriber = loaded(folder, word_times=True, device="cuda:1")
    word = SimpleNamespace(word=" So", start=np.float64(0.1), end=np.float64(0.3456))
    transcriber.model.segments = [segment(" So it", 3, -0.5, [word]), segment("  is. ", 1, -1.0)]
    [answer] = transcriber.hear([WAVE], ["en"])
    assert (answer.text, answer.language, answer.words) == ("So it is.", "en", [("So", 0.1, 0.346)])
    assert answer.confidence == pytest.approx(math.exp(-(4 * 0.5 + 2 * 1.0) / 6))
    loading, asked = transcriber.model.asked
    assert (loading["device"], loading["device_index"], loading["local_files_only"]) == ("cuda", 1, True)
    assert (asked["language"], asked["temperature"], asked["vad_filter"]) == ("en", 0.0, False)
    assert transcriber.describe()["weights"] and transcriber.languages == ["en", "de"]


def test_voices_are_looked_for_unless_silence_may_speak(folder):
    transcriber = loaded(folder, vad=True, beam_size=1)
    assert transcriber.hear([WAVE], [""])[0].why == "silent"
    transcriber.hear([WAVE], [""], silence=False)
    _, looking, not_looking = transcriber.model.asked
    assert looking["vad_filter"] and "no_speech_threshold" not in looking and looking["language"] is None
    assert not not_looking["vad_filter"] and not_looking["no_speech_threshold"] is None


def test_the_digest_is_of_the_weights(folder):
    before = loaded(folder).describe()
    (folder / "model.bin").write_text("others")
    assert loaded(folder).describe() != before


@pytest.mark.parametrize("gone", ["model.bin", "tokenizer.json"])
def test_a_folder_that_is_no_model_of_ctranslate2_is_refused(folder, gone):
    (folder / gone).unlink()
    with pytest.raises(AffectkitError, match=f"no {gone}"):
        loaded(folder)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "tiny-random:whisper"])
def test_a_folder_that_is_not_there_is_missing(folder, name):
    with pytest.raises(AffectkitError, match="no such model folder"):
        loaded(name)


def test_a_model_that_cannot_be_loaded_is_one_line(folder, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Unsupported model binary version\nat 0x33")

    monkeypatch.setattr(sys.modules["faster_whisper"], "WhisperModel", broken)
    with pytest.raises(AffectkitError, match="cannot be loaded: Unsupported model binary version; name") as caught:
        loaded(folder)
    assert "\n" not in str(caught.value)


def test_without_the_engine_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(AffectkitError, match=r"faster-whisper is not installed; pip install 'affectkit\[asr\]'"):
        loaded(folder)
