import csv
import shutil

import pytest

from affectkit.corpora import meld
from affectkit.errors import AffectkitError
from affectkit.synthesis import texts

HEADER = [
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
]  # fmt: skip


def line(text, speaker, emotion, dialogue, utterance):
    return [1, text, speaker, emotion, "neutral", dialogue, utterance, 8, 21, "00:16:16,059", "00:16:21,731"]


@pytest.fixture
def root(tmp_path):
    """Each part has dialogue 0, utterance 0; train and dev have the clip that does not play."""
    home = tmp_path / "MELD.Raw"
    tables = {
        "train": [line("I\x92m fine, you know", "Ross", "joy", 0, 0), line("So\x85", "Mike", "anger", 125, 3)],
        "dev": [line("Oh!", "Monica Geller", "surprise", 0, 0), line("Hm.", "Joey", "neutral", 110, 7)],
        "test": [line("Yes.", "Ross", "sadness", 0, 0), line("No.", "Ross", "boredom", 0, 1)],
    }
    for part, lines in tables.items():
        clips = home / meld.PARTS[part][1]
        clips.mkdir(parents=True)
        for cells in lines:
            (clips / f"dia{cells[5]}_utt{cells[6]}.mp4").write_bytes(bytes(500))
        with open(home / f"{part}_sent_emo.csv", "w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([HEADER, *lines])
    (home / "output_repeated_splits_test" / "final_videos_testdia0_utt0.mp4").write_bytes(bytes(500))
    (home / "output_repeated_splits_test" / "._dia0_utt0.mp4").write_bytes(bytes(500))
    return tmp_path


def test_ids_carry_the_part_because_numbers_restart(root, gathered):
    rows, reasons = gathered(meld.read(root))
    assert {key: row["split"] for key, row in rows.items()} == {
        "train_dia0_utt0": "train", "dev_dia0_utt0": "val", "test_dia0_utt0": "test",
    }  # fmt: skip
    row = rows["train_dia0_utt0"]
    assert row["path"] == "MELD.Raw/train_splits/dia0_utt0.mp4"
    assert (row["dialogue"], row["session"], row["time_sec"]) == ("train_dia0", "s08e21", 16 * 60 + 16.059)
    assert (row["text"], row["speaker"], row["sex"]) == ("I\u2019m fine, you know", "Ross", "male")
    assert rows["dev_dia0_utt0"]["sex"] == "female"
    assert reasons == {
        "MELD.Raw/train_splits/dia125_utt3.mp4": "the clip of the release does not play",
        "MELD.Raw/dev_splits_complete/dia110_utt7.mp4": "the clip of the release does not play",
        "MELD.Raw/output_repeated_splits_test/dia0_utt1.mp4": "unknown emotion 'boredom'",
    }


def test_text_only_needs_no_clips_and_keeps_their_lines(root, gathered):
    for part in meld.PARTS.values():
        shutil.rmtree(root / "MELD.Raw" / part[1])
    with pytest.raises(AffectkitError, match=r"has no train_splits.*--text-only"):
        list(meld.read(root))
    rows, reasons = gathered(meld.read(root, text_only=True))
    assert len(rows) == 5 and rows["train_dia125_utt3"]["path"] == "" and rows["train_dia125_utt3"]["text"] == "So…"
    assert list(reasons) == ["test_dia0_utt1"]


def test_a_wav_stands_in_for_a_clip_that_is_not_there(root, wav, gathered):
    clips = root / "MELD.Raw" / "test" / "output_repeated_splits_test"
    (root / "MELD.Raw" / "output_repeated_splits_test").rename(root / "unused")
    wav(clips / "dia0_utt0.wav")
    rows, _ = gathered(meld.read(root))
    assert rows["test_dia0_utt0"]["path"] == "MELD.Raw/test/output_repeated_splits_test/dia0_utt0.wav"


def test_a_lacking_table_is_named(root):
    (root / "MELD.Raw" / "dev_sent_emo.csv").unlink()
    with pytest.raises(AffectkitError, match=r"has no dev_sent_emo\.csv"):
        list(meld.read(root))


def test_the_twin_wraps_clips_where_ffmpeg_is(tmp_path, monkeypatch, gathered):
    """A stand-in for ffmpeg that copies: the command line is `-i IN -i IN ... OUT ... OUT`, in the same order."""
    fake = tmp_path / "bin" / "ffmpeg"
    fake.parent.mkdir()
    script = """#!/bin/sh
ins=
for word in "$@"; do
  case "$word" in
    *.wav) ins="$ins $word" ;;
    *.mp4) set -- $ins; cp "$1" "$word"; shift; ins="$*" ;;
  esac
done
"""
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    meld.synthesize(tmp_path / "twin", size=12, speakers=3, seed=0)
    rows, _ = gathered(meld.read(tmp_path / "twin"))
    assert len(rows) == 12 and {row["path"][-4:] for row in rows.values()} == {".mp4"}
    assert not list((tmp_path / "twin").rglob("*.wav"))


def test_a_twin_of_tables_alone_says_what_one_with_clips_does(tmp_path, gathered, monkeypatch):
    monkeypatch.setenv("PATH", "")  # without ffmpeg clips stay .wav, which is faster
    few = {"size": 12, "speakers": 3, "seed": 0}
    said = {}
    for name, options in {
        "clips": {},
        "tables": {"text_only": True},
        "clear": {"sentences": "clear"},
        "parallel": {"sentences": "parallel"},
    }.items():
        root = tmp_path / name
        meld.synthesize(root, **few, **options)
        rows, _ = gathered(meld.read(root, text_only=name == "tables"))
        said[name] = {key: (row["text"], row["source_label"], row["speaker"]) for key, row in rows.items()}
        assert len(rows) == 12 and len(list(root.rglob("*.wav"))) == (0 if name == "tables" else 12)
    assert said["clips"] == said["tables"]
    assert all(said["clear"][key][1:] == said["clips"][key][1:] for key in said["clips"])
    assert sum(said["clear"][key][0] == said["clips"][key][0] for key in said["clips"]) <= 1
    plain = [text for text, _, _ in said["parallel"].values()]
    assert not {word for words in (texts.OPENERS, texts.VERBS, texts.ADJECTIVES) for word, _ in words} & {
        *" ".join(plain).split()
    }
    typed = {name: (tmp_path / name / "README.md").read_text().splitlines()[-1] for name in said}
    assert typed["tables"].endswith("--seed 0 --sentences telling --text-only`")
    assert typed["clear"].endswith("--seed 0 --sentences clear --no-text-only`")
