"""The journal of a run that hears, and the cache that runs share."""

import json
import math
import threading

import numpy as np
import pytest

from affectkit.artifacts.locks import locked
from affectkit.artifacts.transcripts import Cache, Journal, Transcript, key_of
from affectkit.errors import AffectkitError

RECORD = {"engine": "hf", "weights": "abc"}
HEARD = Transcript("so it is", "en", 0.5, 1.25, (("so", 0.0, 0.25),), key="k1")
MUTE = Transcript("", why="silent", key="k2")
ENTRY = {"text": "so", "language": "en", "confidence": 0.5, "seconds": 1, "words": []}
WRONG: list[dict[str, object]] = [{"confidence": value} for value in (-1, 7, 1e308, "x", True)]
WRONG += [{"seconds": value} for value in (-5, None, 1e308)] + [
    {"words": [word]} for word in ("a", ["a"], ["a", 0, "b"])
]


def test_a_journal_gives_back_what_was_heard(tmp_path):
    journal = Journal(tmp_path / "j", RECORD)
    journal.write({"a": HEARD})
    journal.write({"b": MUTE})
    journal.close()
    rows = Journal(tmp_path / "j", RECORD).rows
    assert list(rows) == ["a", "b"]
    assert (rows["a"].text, rows["a"].words) == ("so it is", [["so", 0.0, 0.25]])
    assert rows["b"].why == "silent" and math.isnan(rows["b"].confidence)


@pytest.mark.parametrize("left", range(1, 40, 7))
def test_a_line_that_a_killed_process_left_unfinished_goes(tmp_path, left):
    journal = Journal(tmp_path / "j", RECORD)
    journal.write({"a": HEARD})
    whole = (tmp_path / "j").read_bytes()
    journal.write({"b": HEARD})
    (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes()[: len(whole) + left])
    journal = Journal(tmp_path / "j", RECORD)
    assert list(journal.rows) == ["a"] and (tmp_path / "j").read_bytes() == whole
    journal.write({"b": HEARD})
    assert list(Journal(tmp_path / "j", RECORD).rows) == ["a", "b"]


def test_a_journal_of_another_model_is_not_gone_on_with(tmp_path):
    Journal(tmp_path / "j", RECORD)
    with pytest.raises(AffectkitError, match="another model, or other weights"):
        Journal(tmp_path / "j", {**RECORD, "weights": "abd"})


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"id": "a"}', '{"id": "a", "text": 3}'])
def test_a_damaged_journal_is_one_line_that_names_the_place(tmp_path, line):
    Journal(tmp_path / "j", RECORD)
    with open(tmp_path / "j", "a") as file:
        file.write(line + "\n")
    with pytest.raises(AffectkitError, match="line 2 is no transcript"):
        Journal(tmp_path / "j", RECORD)


# --- The cache


def test_a_key_is_of_the_samples_the_recogniser_and_the_language():
    samples = np.arange(5, dtype=np.float32)
    key = key_of(samples, 16000, RECORD, "")
    assert key == key_of(samples.copy(), 16000, dict(reversed(RECORD.items())), "")
    others = [(samples + 1, 16000, RECORD, ""), (samples, 8000, RECORD, ""), (samples, 16000, RECORD, "en")]
    others.append((samples, 16000, {**RECORD, "weights": "x"}, ""))
    assert len({key, *(key_of(*other) for other in others)}) == 5


def test_answers_are_kept_and_empty_ones_are_not(tmp_path):
    cache = Cache.read(tmp_path / "cache.json")
    cache.add([HEARD, MUTE])
    cache.save()
    again = Cache.read(tmp_path / "cache.json")
    assert list(again.entries) == ["k1"] and again.get("k1").text == "so it is"
    assert again.get("k2") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache.json"]


def test_an_empty_text_that_another_tool_put_in_is_no_answer(tmp_path):
    test_answers_are_kept_and_empty_ones_are_not(tmp_path)
    path = tmp_path / "cache.json"
    path.write_text(path.read_text().replace("so it is", " "))
    assert Cache.read(path).entries == {}


def test_a_text_holds_nothing_that_no_table_can_hold():
    assert Transcript("so\0 it is").text == "so it is"


@pytest.mark.parametrize("there", [True, False])
def test_a_cache_may_be_a_link(tmp_path, there):
    if there:
        test_answers_are_kept_and_empty_ones_are_not(tmp_path)
    (tmp_path / "link.json").symlink_to("cache.json")
    cache = Cache.read(tmp_path / "link.json")
    cache.add([Transcript("yes", key="k3")])
    cache.save()
    assert (tmp_path / "link.json").is_symlink()
    assert set(Cache.read(tmp_path / "cache.json").entries) == ({"k1", "k3"} if there else {"k3"})


def test_a_link_to_itself_is_an_empty_cache(tmp_path):
    (tmp_path / "link.json").symlink_to("link.json")
    assert Cache.read(tmp_path / "link.json").entries == {}


def test_two_writers_lose_nothing(tmp_path):
    one, other = (Cache.read(tmp_path / "cache.json") for _ in range(2))
    for cache, key in ((one, "a"), (other, "b")):
        cache.add([Transcript("yes", key=key)])
    one.save()
    other.save()
    assert set(Cache.read(tmp_path / "cache.json").entries) == {"a", "b"} == set(other.entries)


def test_a_writer_waits_for_the_other(tmp_path):
    cache = Cache.read(tmp_path / "cache.json")
    cache.add([HEARD])
    with locked(tmp_path, tmp_path / ".cache.json.lock"):
        thread = threading.Thread(target=cache.save)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive() and not (tmp_path / "cache.json").exists()
    thread.join()
    assert (tmp_path / "cache.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"kind": "other", "entries": {}}', '{"entries": {}}', '{"kind": "affectkit asr cache"}',
     json.dumps({"kind": "affectkit asr cache", "entries": {"k": {"text": 1}}}),
     *(json.dumps({"kind": "affectkit asr cache", "entries": {"k": ENTRY | change}}) for change in WRONG)],
)  # fmt: skip
def test_a_damaged_cache_is_one_line_and_left_as_it_is(tmp_path, text):
    (tmp_path / "cache.json").write_text(text)
    with pytest.raises(AffectkitError, match=r"cache\.json: .*; restore it, or name another file") as caught:
        Cache.read(tmp_path / "cache.json")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "cache.json").read_text() == text


def test_no_cache_is_written_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = Cache.read(None)
    cache.add([HEARD])
    cache.save()
    assert cache.get("k1") is None and not list(tmp_path.iterdir())
