"""Planted copies of recordings: what is found, what is not mistaken for a copy, and which files are read."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectkit import splits
from affectkit.leakage import content
from affectkit.leakage.audit import audit
from affectkit.leakage.near import _by_first, _confirm, candidates, is_copy, landmarks, landmarks_of
from affectkit.leakage.sides import FileSet, sides_as_numbers
from affectkit.media import read_audio, read_headers, resample

RATE = 16000


def voice(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Something with the peaks of speech: a gliding harmonic tone in bursts, and a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    knots = np.linspace(0, seconds, 9)
    pitch = np.interp(t, knots, rng.uniform(100, 260, 9))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    loud = np.interp(t, knots, rng.uniform(0.02, 1, 9))
    formants = np.interp(t, knots, rng.uniform(400, 2500, 9))
    tones = sum(np.sin(k * phase) * np.exp(-(((k * pitch - formants) / 500) ** 2)) for k in range(1, 25))
    return (0.2 * loud * tones + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def noisy(samples: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(99).standard_normal(len(samples)).astype(np.float32)
    return samples + noise * np.sqrt(np.square(samples).mean() / 10 ** (snr_db / 10))


def run(level: str, train: list[Path], test: list[Path], **options):
    """Audit `train` against `test`."""
    paths = train + test
    rows = pd.DataFrame({"id": [p.name for p in paths], "split": ["train"] * len(train) + ["test"] * len(test)})
    headers = [h if not isinstance(h, Exception) else None for h in read_headers(paths)]
    return audit(rows, level=level, media=paths, headers=headers, **options)


@pytest.fixture
def corpus(tmp_path) -> list[Path]:
    paths = [tmp_path / f"v{i}.wav" for i in range(8)]
    for i, path in enumerate(paths):
        soundfile.write(path, voice(i), RATE)
    return paths


def copy_of(path: Path, name: str, **options) -> Path:
    samples, rate = soundfile.read(path, dtype="float32")
    soundfile.write(path.with_name(name), samples, rate, **options)
    return path.with_name(name)


def test_different_recordings_of_one_length_are_no_leak(corpus):
    for level in ("content", "near"):
        report = run(level, corpus[:4], corpus[4:])
        assert report.leaks == () and report.notes == ()


@pytest.mark.parametrize(("name", "options"), [
    ("renamed.wav", {}), ("other.flac", {}), ("wide.wav", {"subtype": "PCM_24"}), ("float.wav", {"subtype": "FLOAT"}),
    ("x.wav", {"format": "WAVEX"}),
])  # fmt: skip
def test_equal_samples_under_another_name_or_container(corpus, name, options):
    twin = copy_of(corpus[0], name, **options)
    assert run("names", corpus[:4], [*corpus[4:], twin]).leaks == ()
    (leak,) = run("content", corpus[:4], [*corpus[4:], twin]).leaks
    assert (leak.kind, leak.what, leak.count, leak.sides) == ("media", "identical media", 1, ("train", "test"))
    assert leak.examples[0]["ids"] == {"train": "v0.wav", "test": name}
    assert leak.examples[0]["files"] == [str(corpus[0]), str(twin)]


def test_copies_on_the_same_side_are_no_leak(corpus):
    twin = copy_of(corpus[0], "twin.wav")
    assert run("near", [*corpus[:4], twin], corpus[4:]).leaks == ()


def test_a_copy_is_told_once_though_it_is_near_identical_too(corpus):
    twin = copy_of(corpus[0], "twin.wav")
    assert [leak.what for leak in run("near", corpus[:4], [*corpus[4:], twin]).leaks] == ["identical media"]


def test_only_files_that_agree_in_length_are_read(corpus, monkeypatch):
    read = []
    digest = content._digest
    monkeypatch.setattr(content, "_digest", lambda file: (read.append(file.path.name), digest(file))[1])
    soundfile.write(corpus[4].with_name("long.wav"), voice(0, 2.5), RATE)
    soundfile.write(corpus[4].with_name("stereo.wav"), np.stack([voice(0)] * 2, axis=1), RATE)
    run("content", corpus[:2], [corpus[4].with_name("long.wav"), corpus[4].with_name("stereo.wav")])
    assert read == []
    run("content", corpus[:2], [corpus[4], corpus[4].with_name("long.wav")])
    assert sorted(read) == ["v0.wav", "v1.wav", "v4.wav"]


def test_other_media_are_compared_by_their_bytes(tmp_path):
    for name, data in (("a.png", b"\x89PNG 1"), ("b.png", b"\x89PNG 2"), ("c.png", b"\x89PNG 1")):
        (tmp_path / name).write_bytes(data)
    (leak,) = run("content", [tmp_path / "a.png", tmp_path / "b.png"], [tmp_path / "c.png"]).leaks
    assert leak.examples[0]["value"] == "a.png = c.png"


def test_silence_is_not_compared(tmp_path):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), RATE)
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for level in ("content", "near"):
        report = run(level, paths[:2], paths[2:])
        assert report.leaks == ()
        assert report.notes == ("3 files hold one value throughout (silence, a plain colour) and were not compared",)


def test_files_that_cannot_be_read_are_noted(corpus):
    headers = read_headers(corpus[:2])
    rows = pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"]})
    corpus[1].unlink()
    report = audit(rows, level="near", media=corpus[:2], headers=headers)
    assert report.leaks == ()
    assert "1 files were not compared, the first: " in report.notes[0] and "no such file" in report.notes[0]


def altered(samples: np.ndarray, how: str, folder: Path) -> Path:
    path = folder / f"copy_{how}.wav"
    if how in ("ogg", "mp3"):
        path = path.with_suffix(f".{how}")
    rate = {"8k": 8000, "22k": 22050, "48k": 48000}.get(how, RATE)
    edited = {
        "louder": samples * 3.0, "quieter": samples * 0.25, "flipped": -samples, "trimmed": samples[1234:-800],
        "noise20": noisy(samples, 20), "noise10": noisy(samples, 10), "stereo": np.stack([samples] * 2, axis=1),
    }.get(how, samples)  # fmt: skip
    soundfile.write(path, resample(edited, RATE, rate) if rate != RATE else edited, rate)
    return path


ALTERATIONS = [
    "8k",
    "22k",
    "48k",
    "louder",
    "quieter",
    "flipped",
    "trimmed",
    "noise20",
    "noise10",
    "stereo",
    "ogg",
    "mp3",
]


@pytest.mark.parametrize("how", ALTERATIONS)
def test_altered_copies_are_found(corpus, tmp_path, how):
    copy = altered(voice(2), how, tmp_path)
    assert run("content", corpus[:4], [*corpus[4:], copy]).leaks == ()
    (leak,) = run("near", corpus[:4], [*corpus[4:], copy]).leaks
    assert (leak.kind, leak.what, leak.count) == ("media", "near-identical media", 1)
    assert leak.examples[0]["ids"] == {"train": "v2.wav", "test": copy.name}


def test_the_number_of_workers_changes_nothing(corpus, tmp_path):
    copies = [
        altered(voice(i), how, tmp_path / str(i)) for i, how in enumerate(["8k", "ogg"]) if _made(tmp_path / str(i))
    ]
    alone = run("near", corpus[:4], corpus[4:] + copies)
    together = run("near", corpus[:4], corpus[4:] + copies, num_workers=3)
    assert alone == together and alone.leaks[0].count == 2


def _made(folder: Path) -> bool:
    folder.mkdir()
    return True


def test_candidates_share_landmarks_at_one_shift():
    one = np.arange(50, dtype=np.int32)
    at = np.arange(50, dtype=np.int32)
    marks = [(one, at), (one[:10], at[:10] + 7), (one[:7], at[:7]), (one[::-1].copy(), at)]
    assert candidates(marks, np.array([0, 1, 1, 1])) == [(0, 1)]  # 2 shares too few, 3 shares none at one shift
    assert candidates(marks, np.array([0, 0, 1, 1])) == []
    assert candidates([], np.zeros(0)) == []


def test_candidates_in_parts_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    marks = [(rng.integers(0, 40, 60).astype(np.int32), np.arange(60, dtype=np.int32)) for _ in range(12)]
    sides = np.arange(12) % 3
    whole = candidates(marks, sides)
    monkeypatch.setattr("affectkit.leakage.near._AT_ONCE", 50)
    assert candidates(marks, sides) == whole != []


def test_waveforms():
    one, other = voice(0), voice(1)
    assert is_copy(one, -0.1 * one) and is_copy(one[500:], one) and is_copy(one, np.concatenate([other[:3000], one]))
    assert not is_copy(one, other)
    assert not is_copy(np.concatenate([other, one[:8000]]), np.concatenate([one[:8000], voice(3)]))  # a shared jingle
    assert not is_copy(one, np.zeros_like(one))


def test_landmarks_do_not_depend_on_gain_and_silence_has_none():
    hashes, frames = landmarks_of(resample(voice(0), RATE, 8000))
    again, _ = landmarks_of(resample(voice(0), RATE, 8000) * np.float32(0.125))
    assert len(hashes) > 50 and hashes.dtype == frames.dtype == np.int32
    np.testing.assert_array_equal(hashes, again)
    assert len(landmarks_of(np.zeros(8000, np.float32))[0]) == 0
    assert len(landmarks_of(np.zeros(3, np.float32))[0]) == 0


# Real speech


@pytest.fixture(scope="module")
def emodb() -> tuple[pd.DataFrame, list[Path], list]:
    root = os.environ.get("AFFECTKIT_DATA")
    if not root:
        pytest.skip("AFFECTKIT_DATA is not set")
    paths = sorted(Path(root, "emodb", "wav").glob("*.wav"))
    names = [path.stem for path in paths]
    rows = pd.DataFrame(
        {
            "id": names,
            "speaker": [n[:2] for n in names],
            "text_id": [n[2:5] for n in names],
            "label": [n[5] for n in names],
        },
        dtype=object,
    )
    return rows, paths, read_headers(paths)


def test_emodb_by_speaker_shares_its_sentences_and_nothing_else(emodb):
    rows, paths, headers = emodb
    split = splits.by_group(rows["speaker"], rows["label"], val_fraction=0.2, test_fraction=0.2, seed=0)
    declared = [("text", "EmoDB's ten sentences are said by all its speakers.")]
    report = audit(rows.assign(split=split), media=paths, headers=headers, defects=declared)
    assert [(leak.kind, leak.what, leak.count) for leak in report.leaks] == [("text", "text_id", 10)]
    report.require()
    assert report.declared_sentences() == [declared[0][1]]


@pytest.mark.slow
def test_no_two_emodb_recordings_are_taken_for_copies(emodb):
    """All 142,845 pairs, 1,295 of them readings of one sentence by one speaker."""
    rows, paths, headers = emodb
    report = audit(rows[["id"]].assign(fold=range(len(rows))), level="near", media=paths, headers=headers)
    assert report.leaks == ()


@pytest.mark.slow
def test_altered_emodb_recordings_are_found(emodb, tmp_path):
    """Each alteration of 15 recordings, all found, none taken for another recording's."""
    _, paths, headers = emodb
    chosen = paths[::36]
    origin = {}
    for path in chosen:
        (tmp_path / path.stem).mkdir()
        samples, _ = read_audio(path, rate=RATE)
        origin.update({altered(samples, how, tmp_path / path.stem): path for how in ALTERATIONS})
    sides, rows = ["train"] * 535 + ["test"] * 180, pd.DataFrame({"id": range(715)})
    files = FileSet.of([*paths, *origin], headers + read_headers(list(origin)), sides, rows)
    marks = [landmarks(file.path) for file in files.files]
    found = [
        pair
        for task in _by_first(candidates(marks, sides_as_numbers(files.files)))
        for pair in _confirm(files.files, task)
    ]
    pairs = [(files.files[i].path, files.files[j].path) for i, j in found]
    assert all(origin[copy] == path for path, copy in pairs)
    recall = Counter(copy.stem.removeprefix("copy_") if copy.suffix == ".wav" else copy.suffix[1:] for _, copy in pairs)
    assert recall == dict.fromkeys(ALTERATIONS, 15)


@pytest.mark.parametrize("side", ["train", "test"])
def test_equal_recordings_under_two_labels_are_told_of_on_whichever_sides(corpus, side):
    paths = [*corpus[:3], copy_of(corpus[0], "twin.flac")]
    rows = pd.DataFrame({"id": list("abcd"), "split": ["train"] * 3 + [side], "label": ["joy", "joy", "fear", "fear"]})
    report = audit(rows, media=paths, headers=read_headers(paths))
    assert report.conflicts == (
        "1 recordings stand under more than one label, as v0.wav: joy (a), fear (d); leave all but one of each out",
    )
    assert [leak.kind for leak in report.leaks] == (["media"] if side == "test" else [])
    if side == "test":
        files = [str(corpus[0]), str(paths[3])]
        value = {"kind": "media", "value": "v0.wav = twin.flac", "ids": "a|d", "sides": "train|test"}
        assert report.listing().to_dict("records") == [value | {"files": "|".join(files)}]
        assert report.copies("train") == {"a": "media of train also in test"}
