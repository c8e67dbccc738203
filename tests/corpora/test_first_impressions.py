"""First Impressions V2: pickles by hand, wherever they lie, and everything that is no table of scores."""

import math
import os
import pickle
import pickletools

import numpy as np
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.corpora import _pickled, first_impressions
from affectkit.corpora._corpus import Dropped, Note
from affectkit.errors import AffectkitError
from affectkit.synthesis.films import write_film

NAMES = ("extraversion", "neuroticism", "agreeableness", "conscientiousness", "interview", "openness")


def annotate(folder, part, scores):
    """Write a part's annotations: clip -> one score for all traits, or a dictionary of some."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        name: {clip: score if not isinstance(score, dict) else score[name] for clip, score in scores.items()
               if not isinstance(score, dict) or name in score}
        for name in NAMES
    }  # fmt: skip
    (folder / f"annotation_{part}.pkl").write_bytes(pickle.dumps(table, protocol=0))
    return table


@pytest.fixture
def corpus(tmp_path):
    """Two videos as the archives unpack them: one with clips in train and test, one in val in capitals."""
    root = tmp_path / "fi"
    for place in ("train/training80_01/-a.b_c.000.mp4", "train/training80_02/-a.b_c.003.mp4", "x/val/V.001.MP4",
                  "test/test80_01/-a.b_c.004.mp4"):  # fmt: skip
        write_film(root / place, [np.zeros((16, 16, 3), np.uint8)], [0.0], 0.1)
    unlabelled = dict.fromkeys(set(NAMES) - {"openness"}, 0.25)
    annotate(root / "train", "training", {"-a.b_c.000.mp4": 0.5, "-a.b_c.003.mp4": unlabelled, "gone.000.mp4": 0.1})
    annotate(root / "Annotations", "VALIDATION", {"V.001.mp4": 1})
    annotate(root, "test", {"-a.b_c.004.mp4": 0.0})
    said = {"-a.b_c.000.mp4": "Hello \x92 \u00e9 there", "V.001.mp4": "no"}
    (root / "transcription_training.pkl").write_bytes(pickle.dumps(said, protocol=2))
    lines = ["VideoName;YouTubeID;Ethnicity;Gender", "-a.b_c.000.mp4;-a.b_c;2;2", "V.001.mp4;V;1;1"]
    (root / "eth_gender_annotations_dev.csv").write_text("\n".join(lines))
    return root


def test_clips_are_found_and_grouped_by_their_source_video(corpus, gathered):
    items = list(first_impressions.read(corpus))
    rows, reasons = gathered(items)
    assert reasons == {"gone.000.mp4": "its video is not there"} and len(rows) == 4
    by_path = {row["path"]: row for row in rows.values()}
    first = by_path["train/training80_01/-a.b_c.000.mp4"]
    assert (first["sequence"], first["sex"], first["split"]) == ("-a.b_c", "female", "train")
    assert first["text"] == "Hello \x92 é there" and not first["id"].startswith("-")
    assert all(first[name] == 0.5 for name in NAMES)
    assert math.isnan(by_path["train/training80_02/-a.b_c.003.mp4"]["openness"])
    assert by_path["train/training80_02/-a.b_c.003.mp4"]["neuroticism"] == 0.25  # not turned round
    val = by_path["x/val/V.001.MP4"]
    assert (val["sequence"], val["sex"], val["split"], val["interview"]) == ("V", "male", "val", 1.0)
    notes = [item.text for item in items if isinstance(item, Note)]
    assert "it is not turned round" in notes[0]
    assert notes[1].startswith("1 of 2 source videos have clips in several parts of the official split, 3 clips in all")


def test_the_interview_is_learnt_where_it_is_asked_for(affectkit, corpus, tmp_path):
    affectkit("prepare-manifest", "first-impressions", corpus, "--audit", "names", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert [target.name for target in manifest.chosen_targets(None)] == [
        "openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism",
    ]  # fmt: skip
    assert manifest.chosen_targets("interview")[0].scale == (0, 1)
    assert any("clips of one video stand in several parts" in sentence for sentence in manifest.declared())
    assert any("names no people" in sentence for sentence in manifest.declared())


@pytest.mark.parametrize("score", [1.01, -0.1, "0.5", math.inf])
def test_a_score_outside_of_0_to_1_is_refused(corpus, score):
    annotate(corpus, "test", {"-a.b_c.004.mp4": {**dict.fromkeys(NAMES, 0.5), "agreeableness": score}})
    with pytest.raises(
        AffectkitError, match=r"annotation_test\.pkl: agreeableness of -a.b_c.004.mp4 is .* from 0 to 1"
    ):
        list(first_impressions.read(corpus))


def test_tables_that_lack_a_trait_or_are_there_twice_are_refused(corpus):
    (corpus / "annotation_test.pkl").write_bytes(pickle.dumps({"openness": {}}))
    with pytest.raises(AffectkitError, match=r"has no scores of conscientiousness; it has openness"):
        list(first_impressions.read(corpus))
    annotate(corpus / "again", "Training", {"a.000.mp4": 0.5})
    with pytest.raises(AffectkitError, match="a second annotation of the part train, beside"):
        list(first_impressions.read(corpus))


# --- Pickles


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


TABLE = {"openness": {"a.mp4": 0.25, "b.mp4": 1}, "interview": {"a.mp4": 0.5}}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_tables_of_every_protocol_are_read(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    for table in (TABLE, {"a.mp4": 'it\'s "so" \n \u2019', "é.mp4": ""}):
        path.write_bytes(pickle.dumps(table, protocol))
        assert _pickled.read_pickled(path) == table
    path.write_bytes(pickle.dumps({"x": {"a": np.float64(0.3), "b": np.float64(0.4), "c": np.float32(0.5)}}, protocol))
    assert _pickled.read_pickled(path) == {"x": {"a": 0.3, "b": 0.4, "c": 0.5}}


def test_what_python_2_wrote_is_read(tmp_path):
    """By hand: text as Latin-1 in quotes and by length, numbers as text, and a NumPy scalar."""
    path = tmp_path / "a.pkl"
    path.write_bytes(b"(dp0\nS'caf\\xe9.mp4'\np1\nF0.5\nsS\"it's\"\np2\nI1\ns.")
    assert _pickled.read_pickled(path) == {"café.mp4": 0.5, "it's": 1}
    kind = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    scalar = b"cnumpy.core.multiarray\nscalar\n(" + kind
    path.write_bytes(b"\x80\x02}U\x04\xe9mp4" + scalar + b"U\x08" + np.float64(0.7).tobytes() + b"tRs.")
    assert _pickled.read_pickled(path) == {"émp4": 0.7}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Runs(os.system, "touch HACKED"), "posix.system"),
        ({"openness": {"a.mp4": Runs(os.mkdir, "HACKED")}}, "posix.mkdir"),
        ({"openness": [0.5]}, "a list"),
        ({"openness": {"a.mp4": np.zeros(3)}}, "numpy._core."),
        ({"openness": Runs(eval, "1")}, "eval"),
    ],
)
def test_a_pickle_with_anything_else_is_refused_by_name(tmp_path, monkeypatch, value, named, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "annotation_training.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(AffectkitError, match="not a table: refused") as caught:
        list(first_impressions.read(tmp_path))
    assert f"annotation_training.pkl: holds {named}" in str(caught.value).replace("__builtin__", "builtins").replace(
        "builtins.eval", "eval"
    )
    assert not (tmp_path / "HACKED").exists()


DEEP = b"}" + b"U\x01a}" * 50_000 + b"s" * 50_000 + b"."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(TABLE)[:-20], "is no pickle, or cut off"),
        (b"", "is no pickle, or cut off"),
        (b"<html>not found</html>", "is no pickle, or cut off"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", ""),  # a place in a list that would take 32 GB
        (b"X\xff\xff\xff\x7fab.", "is no pickle, or cut off"),
        (b"\x80\x02}q\x00U\x01ah\x00s.", "is no table of text and numbers"),  # holds itself
        (b"})" + b"\x85" * 500_000 + b"}s.", "holds tuples within each other"),  # as a key, it overflows the stack
        (b"})" + b"q\x00h\x00\x86" * 60 + b"}s.", "holds tuples within each other"),  # 2 ** 60 of them
        (b"S'" + b"a" * 200_000 + b"'\n.", "is no pickle, or cut off"),
        (DEEP, "is no table of text and numbers"),
        (b"L" + b"9" * 100_000 + b"L\n.", "is no pickle, or cut off"),
        (b"(" * 9_000 + b"d" * 9_001, "holds more than 9,000 steps"),
        (b"\x80\x04\x8c\x05posix\x8c\x06systemR.", "holds an object"),
        (b"}(ttttR.", "is no pickle, or cut off"),
        (b"NP1\n.", "holds a reference to something outside of it"),
        (b"Nb.", "is no pickle, or cut off"),
    ],
)
def test_a_damaged_or_hostile_pickle_is_one_line(tmp_path, monkeypatch, data, message):
    monkeypatch.setattr(_pickled, "MOST", 9_000 if b"(((" in data else _pickled.MOST)
    path = tmp_path / "annotation_training.pkl"
    path.write_bytes(data)
    with pytest.raises(AffectkitError) as caught:
        list(first_impressions.read(tmp_path))
    assert (
        message in str(caught.value)
        and "\n" not in str(caught.value)
        and "annotation_training.pkl" in str(caught.value)
    )


def test_files_that_are_too_large_or_were_not_fetched_are_refused(tmp_path, monkeypatch, pointer):
    monkeypatch.setattr(_pickled, "LARGEST", 10)
    path = tmp_path / "annotation_training.pkl"
    path.write_bytes(pickle.dumps(TABLE))
    with pytest.raises(AffectkitError, match="is larger than"):
        list(first_impressions.read(tmp_path))
    pointer(path)
    with pytest.raises(AffectkitError, match="is a Git-LFS pointer, not the table itself"):
        list(first_impressions.read(tmp_path))
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.pkl")
    with pytest.raises(AffectkitError, match="is no table, or a link to one that is not there"):
        list(first_impressions.read(tmp_path))


def test_mutations_of_a_pickle_raise_nothing_else(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "a.pkl"
    for number in range(200):
        data = bytearray(pickle.dumps({**TABLE, "x": {"c": np.float64(0.1)}}, number % 6))
        for place in rng.integers(0, len(data), 2):
            data[place : place + int(rng.integers(0, 3))] = bytes(
                rng.integers(0, 256, int(rng.integers(0, 3))).tolist()
            )
        path.write_bytes(bytes(data))
        try:
            table = _pickled.read_pickled(path)
        except AffectkitError:
            continue
        assert isinstance(table, dict)


def test_the_twin_is_pickled_as_python_2_did_and_rated_as_people_are(tmp_path):
    first_impressions.synthesize(tmp_path, size=12, speakers=4, seed=1)
    data = (tmp_path / "annotation_training.pkl").read_bytes()
    assert max(step.proto for step, _, _ in pickletools.genops(data)) == 0
    table = pickle.loads(data)
    assert set(table) == set(NAMES) and len(table["openness"]) in (7, 8)
    rows = [item for item in first_impressions.read(tmp_path) if not isinstance(item, (Dropped, Note))]
    assert len(rows) == 12 and len({row["sequence"] for row in rows}) == 4 and all(row["text"] for row in rows)
