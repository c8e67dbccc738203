"""`affectkit predict` on folders and on recordings cut into windows, and what the next commands make of the rows."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectkit.artifacts.predictions import read_predictions


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A folder with a synthetic corpus of 3 speakers, its manifest `m` and a linear `model` on GeMAPS."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("speech")
    for line in (
        f"synthesize emodb {root}/twin --size 14 --speakers 3",
        f"prepare-manifest emodb {root}/twin --split-by speaker -o {root}/m",
        f"extract-features -m {root}/m --encoder opensmile --feature-set GeMAPSv01b -o {root}/f",
        f"train -m {root}/m --features {root}/f -o {root}/model",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    return root


@pytest.fixture(scope="module")
def recording(speech):
    """All of the corpus in one file: (path, samples, rate)."""
    files = sorted((speech / "twin" / "wav").glob("*.wav"))
    rate = soundfile.info(files[0]).samplerate
    samples = np.concatenate([soundfile.read(file, dtype="int16")[0] for file in files])[: int(20.5 * rate)]
    soundfile.write(speech / "meeting.wav", samples, rate)
    return speech / "meeting.wav", samples, rate


@pytest.fixture
def predict(affectkit, speech, tmp_path):
    """`predict(*arguments)`: the table that the model's predictions are written to."""

    def run(*arguments, code=0):
        line = ("predict", "--model-dir", speech / "model", "-o", tmp_path / "p.csv", "--overwrite", *arguments)
        result = affectkit(*line, code=code)
        return result.stderr if code else pd.read_csv(tmp_path / "p.csv", keep_default_na=False)

    return run


def probabilities(frame):
    return frame[[name for name in frame if name.startswith("prob_")]].to_numpy(float)


def test_a_window_is_predicted_as_the_same_samples_in_a_file_of_their_own(predict, recording, tmp_path):
    path, samples, rate = recording
    cut = predict(path, "--window", 3)
    assert list(cut["id"]) == [f"meeting@{start:010.3f}" for start in (0, 3, 6, 9, 12, 15, 18)]
    assert list(cut["end_sec"]) == [3, 6, 9, 12, 15, 18, 20.5]
    assert list(cut["time_sec"]) == [1.5, 4.5, 7.5, 10.5, 13.5, 16.5, 19.25]
    assert set(cut["clip"]) == {"meeting"}
    folder = tmp_path / "pieces"
    folder.mkdir()
    for number, (start, end) in enumerate(zip(cut["start_sec"], cut["end_sec"], strict=True)):
        soundfile.write(folder / f"{number}.wav", samples[int(start * rate) : int(end * rate)], rate)
    np.testing.assert_allclose(probabilities(predict(folder)), probabilities(cut), rtol=1e-6)


def test_no_more_than_a_window_is_ever_read(predict, recording, monkeypatch):
    path, _, rate = recording
    lengths, read = [], soundfile.SoundFile.read

    def watched(self, frames=-1, *arguments, **options):
        values = read(self, frames, *arguments, **options)
        lengths.append(len(values))
        return values

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    assert len(predict(path, "--window", 2, "--num-workers", 0)) == len(lengths) == 10
    assert max(lengths) == 2.5 * rate  # the rest of half a second belongs to the last


def test_aggregate_and_stabilize_take_windows_as_they_are(affectkit, predict, speech, tmp_path):
    cut = predict("-m", speech / "m", "--window", 1.5, "--stride", 0.75)
    affectkit("aggregate", tmp_path / "p.csv", "--to", "clip", "-o", tmp_path / "clips")
    clips = read_predictions(tmp_path / "clips" / "predictions.csv").frame.set_index("id")
    rows = pd.concat([pd.read_csv(speech / "m" / f"{split}.csv") for split in ("val", "test")]).set_index("id")
    assert list(clips.index) == list(rows.index)
    assert list(clips["label"]) == list(rows["label"])  # the truth of a clip is that of its windows
    for name, part in cut.groupby("clip"):
        assert clips["windows"][name] == str(len(part))
        np.testing.assert_allclose(float(clips["prob_anger"][name]), part["prob_anger"].mean(), rtol=1e-6)

    affectkit("stabilize", tmp_path / "p.csv", "--alpha", 0.5, "-o", tmp_path / "smooth")
    smooth = pd.read_csv(tmp_path / "smooth" / "predictions.csv").set_index("id")
    first = cut[cut["clip"] == cut["clip"][0]]
    expected = first["prob_anger"].iloc[0]
    for _, row in first.iterrows():  # by hand: half of the new, half of the old, from window to window of one clip
        expected = 0.5 * row["prob_anger"] + 0.5 * expected
        assert smooth["prob_anger"][row["id"]] == pytest.approx(expected, rel=1e-6)
    line = ("--to", "clip", "--weight", "duration_sec")
    affectkit("aggregate", tmp_path / "smooth", *line, "-o", tmp_path / "smooth_clips")
    affectkit("evaluate", tmp_path / "clips", "-m", speech / "m", "-o", tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["n"] == (rows["split"] == "test").sum()


def test_bare_recordings_go_through_aggregate_and_stabilize_too(affectkit, predict, recording, speech, tmp_path):
    shutil.copy(recording[0], tmp_path / "other.wav")
    predict(recording[0], tmp_path / "other.wav", "--window", 4)
    affectkit("stabilize", tmp_path / "p.csv", "-o", tmp_path / "smooth")
    affectkit("aggregate", tmp_path / "smooth", "--to", "clip", "--rule", "median", "-o", tmp_path / "clips")
    clips = pd.read_csv(tmp_path / "clips" / "predictions.csv")
    assert list(clips["id"]) == ["meeting", "other"]
    assert list(clips["windows"]) == [5, 5]
    assert clips["prob_anger"][0] == clips["prob_anger"][1]  # the same samples


def test_a_clip_shorter_than_a_window_is_predicted_as_without_windows(predict, speech):
    whole = predict("-m", speech / "m", "--split", "test")
    cut = predict("-m", speech / "m", "--split", "test", "--window", 60)
    assert list(cut["clip"]) == list(whole["id"])
    np.testing.assert_allclose(probabilities(cut), probabilities(whole), rtol=1e-6)


def test_windows_of_rows_that_the_model_was_fitted_on_are_in_sample(predict, speech):
    left_out = predict("-m", speech / "m", "--window", 1)
    assert set(left_out["seen"]) == {"heldout"} and "train" not in set(left_out["split"])
    cut = predict("-m", speech / "m", "--window", 1, "--include-fit")
    assert cut.groupby("split")["seen"].unique().map(list).to_dict() == {
        "train": ["fit"], "val": ["heldout"], "test": ["heldout"]
    }  # fmt: skip
    bare = predict(speech / "twin" / "wav", "--window", 1)
    assert bare.groupby("clip")["seen"].first().to_dict() == cut.groupby("clip")["seen"].first().to_dict()


def test_a_segment_of_a_manifest_is_cut_within_itself(predict, recording, tmp_path):
    pd.DataFrame(
        {"id": ["a", "b"], "path": str(recording[0]), "start_sec": [1.0, 10.0], "end_sec": [3.5, 11.0]}
    ).to_csv(tmp_path / "m.csv", index=False)
    cut = predict("-m", tmp_path / "m.csv", "--window", 1)
    assert list(cut["id"]) == ["a@000001.000", "a@000002.000", "a@000003.000", "b@000010.000"]
    assert list(cut["end_sec"]) == [2, 3, 3.5, 11]


def test_a_folder_and_a_window_that_cannot_be_read(predict, recording, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(recording[0], folder / "sub" / "good.wav")
    (folder / "bad.wav").write_bytes(b"RIFF")
    assert "bad.wav: is not audio" in predict(folder, "--window", 5, code=1)
    assert list(predict(folder, "--window", 5, "--on-error", "skip")["clip"]) == ["sub__good"] * 4
    assert list(predict(folder, "--on-error", "skip")["id"]) == ["sub__good"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--window", 0), "--window 0 is no length of time"),
        (("--window", "nan"), "--window nan; give a finite number"),
        (("--window", 5, "--stride", -1), "--stride -1 is no length of time"),
        (("--stride", 1), "--stride needs --window"),
        (("--window", 1, "--features", "f"), "--features are of whole recordings"),
        (("--window", "five"), "--window"),
        (("--windows", 5), "No such option: --windows"),
    ],
)
def test_a_mistyped_option_is_a_usage_error_and_writes_nothing(predict, recording, tmp_path, options, said):
    assert said in predict(recording[0], *options, code=2)
    assert not (tmp_path / "p.csv").exists()


def test_an_empty_folder_names_the_endings_looked_for(predict, tmp_path):
    (tmp_path / "empty").mkdir()
    said = predict(tmp_path / "empty", code=1)
    assert "empty: holds no audio" in said and ".flac" in said and ".wav" in said


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with a linear `model` of texts."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    root = tmp_path_factory.mktemp("texts")
    said = [("joy", "sunny"), ("rage", "shout")]
    lines = [f"u{n},{','.join(said[n % 2])} {n},{'train' if n < 20 else 'test'}" for n in range(30)]
    (root / "t.csv").write_text("id,label,text,split\n" + "\n".join(lines) + "\n")
    for line in (
        f"prepare-manifest csv {root}/t.csv --path-column= --split-by official -o {root}/m",
        f"extract-features -m {root}/m --encoder text-ngrams -o {root}/f",
        f"train -m {root}/m --features {root}/f -o {root}/model",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    return root


def test_windows_of_a_text_are_a_usage_error(affectkit, texts):
    said = affectkit("predict", "--model-dir", texts / "model", "-m", texts / "m", "--window", 5, code=2).stderr
    assert "--window cuts audio, and the model reads text" in said


def test_a_folder_of_texts_is_predicted_as_a_manifest_of_them(affectkit, texts, tmp_path):
    rows = pd.read_csv(texts / "m" / "test.csv")
    (tmp_path / "in").mkdir()
    for name, text in zip(rows["id"], rows["text"], strict=True):
        (tmp_path / "in" / f"{name}.txt").write_text(text)
    for output, given in {"folder.csv": (tmp_path / "in",), "manifest.csv": ("-m", texts / "m" / "test.csv")}.items():
        affectkit("predict", "--model-dir", texts / "model", *given, "-o", tmp_path / output)
    folder, manifest = (pd.read_csv(tmp_path / name) for name in ("folder.csv", "manifest.csv"))
    assert list(folder["id"]) == sorted(rows["id"])
    np.testing.assert_allclose(probabilities(folder.set_index("id").loc[manifest["id"]]), probabilities(manifest))
