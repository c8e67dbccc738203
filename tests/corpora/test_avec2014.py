"""AVEC 2014: files by hand, levels at the edges of the BDI-II, and what may be missing."""

import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.corpora import avec2014
from affectkit.corpora._corpus import Dropped
from affectkit.errors import AffectkitError
from affectkit.instruments import BDI2_LEVELS
from affectkit.labels import Target


@pytest.fixture
def corpus(wav, tmp_path):
    """203_1 of Training with both tasks as sound and film, 204_1 of Development, 205_2 of Testing: sound alone."""
    root = tmp_path / "avec"
    for part, session in (("Training", "203_1"), ("Development", "204_1"), ("Testing", "205_2")):
        for task in ("Freeform", "Northwind"):
            wav(root / "Audio" / part / task / f"{session}_{task}_audio.wav")
    for task in ("Freeform", "Northwind"):
        film = root / "Video" / "Training" / task / f"203_1_{task}_video.mp4"
        film.parent.mkdir(parents=True)
        film.write_bytes(b"film")
    for folder, session, score in (
        ("Training_DepressionLabels", "203_1", "13"),
        ("Development_DepressionLabels", "204_1", "20\r\n"),
        ("Testing/DepressionLabels", "205_2", "63"),
    ):
        label = root / folder / f"{session}_Depression.csv"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(score)
    return root


def test_both_tasks_have_the_sessions_score(corpus, gathered):
    rows, reasons = gathered(avec2014.read(corpus))
    assert reasons == {} and len(rows) == 6
    free, read_aloud = rows["203_1_Freeform"], rows["203_1_Northwind"]
    assert free["path"] == "Video/Training/Freeform/203_1_Freeform_video.mp4"
    assert free["path_audio"] == "Audio/Training/Freeform/203_1_Freeform_audio.wav" and free["path_video"] == ""
    assert (free["subject"], free["session"], free["task"], free["split"]) == ("203", "203_1", "freeform", "train")
    assert free["bdi2"] == read_aloud["bdi2"] == 13 and free["severity"] == "minimal"
    assert [rows[f"{s}_Freeform"]["severity"] for s in ("204_1", "205_2")] == ["moderate", "severe"]
    assert [rows[f"{s}_Freeform"]["split"] for s in ("204_1", "205_2")] == ["val", "test"]
    heard, _ = gathered(avec2014.read(corpus, recording="audio"))
    assert heard["203_1_Freeform"]["path"].endswith("_audio.wav")
    assert heard["203_1_Freeform"]["path_video"].endswith("_video.mp4")


@pytest.mark.parametrize(
    ("score", "level"),
    [(0, "minimal"), (13, "minimal"), (14, "mild"), (19, "mild"), (20, "moderate"), (28, "moderate"), (29, "severe")],
)
def test_levels_begin_where_the_manual_says(score, level):
    assert BDI2_LEVELS.of(score) == level


def test_a_label_file_that_is_missing_is_named(corpus, gathered):
    (corpus / "Testing/DepressionLabels/205_2_Depression.csv").unlink()
    items = list(avec2014.read(corpus))
    assert [item.sentence for item in items if isinstance(item, Dropped)] == [
        "has no label file: 205_2_Depression.csv"
    ] * 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("64", "the score 64 is no BDI-II score (and 1 more such); a score is from 0 to 63"),
        ("-1", "the score -1 is no BDI-II score"),
        ("", "the score is empty"),
        ("mild", "the score 'mild' is not a number"),
        ("12\n13", "is not a number"),
    ],
)
def test_a_label_file_holds_one_number(affectkit, corpus, tmp_path, text, told):
    (corpus / "Training_DepressionLabels/203_1_Depression.csv").write_text(text)
    error = affectkit("prepare-manifest", "avec2014", corpus, "-o", tmp_path / "m", "--audit", "names", code=1).stderr
    assert told in error and "Training_DepressionLabels/203_1_Depression.csv" in error


def test_two_scores_of_one_session(corpus):
    other = corpus / "Training" / "203_1_Depression.csv"
    other.parent.mkdir()
    other.write_text("40")
    told = next(item for item in avec2014.read(corpus) if isinstance(item, Dropped)).sentence
    assert told.startswith("two scores of one session: ") and "13 (Training_D" in told and "40 (Training/" in told


def test_another_folder(tmp_path):
    with pytest.raises(AffectkitError, match="is not AVEC 2014"):
        list(avec2014.read(tmp_path))


def test_the_twin_is_split_officially_by_subject(affectkit, tmp_path):
    affectkit("synthesize", "avec2014", tmp_path / "c", "--size", 20, "--speakers", 5)
    affectkit("prepare-manifest", "avec2014", tmp_path / "c", "--only", "freeform", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert len(manifest.rows) == 10 and manifest.summary["group"] == "subject"
    assert manifest.targets["severity"] == Target("severity", "ordinal", ("minimal", "mild", "moderate", "severe"))
    assert manifest.targets["bdi2"].scale == (0, 63) and manifest.summary["split_by"] == "official"
