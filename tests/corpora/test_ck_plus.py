import pytest

from affectkit.corpora import ck_plus
from affectkit.errors import AffectkitError


@pytest.fixture
def picture():
    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(500))

    return write


@pytest.fixture
def root(tmp_path, picture):
    """Two labelled sequences of one subject, one of another, and one that nobody labelled."""
    home = tmp_path / "CK+"
    lengths = {"S005/001": 11, "S005/002": 4, "S010/001": 2, "S010/002": 3}
    for place, length in lengths.items():
        stem = place.replace("/", "_")
        for frame in range(1, length + 1):
            picture(home / "cohn-kanade-images" / place / f"{stem}_{frame:08d}.png")
        (home / "Emotion" / place).mkdir(parents=True)
    for place, code in (("S005/001", "   3.0000000e+00\n"), ("S005/002", "7"), ("S010/001", " 2.0000000e+00 ")):
        name = f"{place.replace('/', '_')}_{lengths[place]:08d}_emotion.txt"
        (home / "Emotion" / place / name).write_text(code)
    (home / "cohn-kanade-images" / "S005" / "001" / ".DS_Store").write_bytes(b"x")
    return tmp_path


def brief(rows):
    return {(row["sequence"], row["frame"]): row["source_label"] for row in rows.values()}


@pytest.mark.parametrize(
    "frames, expected",
    [
        ("peak", {("S005_001", 11): "disgust", ("S005_002", 4): "surprise", ("S010_001", 2): "contempt"}),
        ("peak-neutral", {
            ("S005_001", 1): "neutral", ("S005_001", 11): "disgust", ("S005_002", 1): "neutral",
            ("S005_002", 4): "surprise", ("S010_001", 1): "neutral", ("S010_001", 2): "contempt",
        }),
        ("last-3", {
            **{("S005_001", frame): "disgust" for frame in (9, 10, 11)},
            **{("S005_002", frame): "surprise" for frame in (2, 3, 4)},
            **{("S010_001", frame): "contempt" for frame in (1, 2)},
        }),
    ],
)  # fmt: skip
def test_frames_of_the_labelled_sequences(root, gathered, frames, expected):
    rows, reasons = gathered(ck_plus.read(root, frames=frames))
    assert brief(rows) == expected
    assert reasons == {"CK+/cohn-kanade-images/S010/002": "nobody labelled its expression"}
    assert {row["subject"] for row in rows.values()} == {"S005", "S010"}
    assert rows["S005_001_00000011"]["path"] == "CK+/cohn-kanade-images/S005/001/S005_001_00000011.png"


def test_folders_of_the_last_three_frames(tmp_path, picture, gathered):
    for name in (
        "Happy/S010_006_00000013",
        "Happy/S010_006_00000014",
        "Happy/S010_006_00000015",
        "sadness/S011_002_00000022",
    ):
        picture(tmp_path / "CK+48" / f"{name}.png")
    picture(tmp_path / "CK+48" / "sadness" / "copy.png")
    rows, reasons = gathered(ck_plus.read(tmp_path))
    assert brief(rows) == {("S010_006", 15): "happy", ("S011_002", 22): "sad"}
    assert reasons == {"CK+48/sadness/copy.png": "the name is not subject, take, frame, as in S005_001_00000011.png"}
    rows, _ = gathered(ck_plus.read(tmp_path, frames="last-3"))
    assert len(rows) == 4
    with pytest.raises(AffectkitError, match="CK\\+48 has no neutral frames"):
        ck_plus.read(tmp_path, frames="peak-neutral")


@pytest.mark.parametrize("code", ["", "happy", "8", "3.5", "-1", "inf"])
def test_a_label_that_is_none_stops_by_name(root, affectkit, code):
    label = root / "CK+" / "Emotion" / "S005" / "002" / "S005_002_00000004_emotion.txt"
    label.write_text(code)
    stopped = affectkit("prepare-manifest", "ck-plus", root, "-o", root / "m", code=1)
    assert "S005_002_00000004_emotion.txt" in stopped.stderr and f"says '{code}'" in stopped.stderr


def test_sequences_without_the_labels_beside_them(root):
    for path in sorted((root / "CK+" / "Emotion").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (root / "CK+" / "Emotion").rmdir()
    with pytest.raises(AffectkitError, match="has no Emotion beside cohn-kanade-images"):
        list(ck_plus.read(root))


def test_subjects_stay_on_one_side(affectkit, tmp_path):
    affectkit("synthesize", "ck-plus", tmp_path / "ck", "--size", 16, "--speakers", 8)
    affectkit("prepare-manifest", "ck-plus", tmp_path / "ck", "--frames", "peak-neutral", "-o", tmp_path / "m")
    import pandas as pd

    tables = [set(pd.read_csv(tmp_path / "m" / f"{split}.csv")["subject"]) for split in ("train", "val", "test")]
    assert all(tables) and sum(map(len, tables)) == len(set.union(*tables)) == 8
