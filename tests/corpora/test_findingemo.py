import math

import pytest

from affectkit.corpora import findingemo
from affectkit.errors import AffectkitError

HEADER = ",user,image_path,reject,tag,age,valence,arousal,emotion,dec_factors,ambiguity,fmri_candidate,datetime"
LINES = """
0,u1,/Run_1/happy family/a.jpg,Keep,Undefined,Adults,2,4,Joy,Faces,1,False,2023-01-01
1,u2,/Run_1/happy family/gone.jpg,Keep,Undefined,Adults,1,3,Trust,Faces,1,False,2023-01-01
2,u2,/Run_2/funeral/b.jpg,Keep,Undefined,"Adults, Seniors",-3,0,Grief,"Faces, Bodies",2,False,2023-01-01
3,u3,/Run_2/funeral/b.jpg,Keep,Undefined,Adults,-2,3,Sadness,Faces,2,False,2023-01-01
4,u4,/Run_2/funeral/b.jpg,Keep,Undefined,Adults,-1,,Sadness,Faces,2,False,2023-01-01
5,u1,/Run_2/funeral/c.jpg,Reject,Undefined,Adults,0,0,Boredom,Faces,2,False,2023-01-01
6,u1,/Run_2/funeral/d.jpg,Keep,Undefined,Adults,4,0,Boredom,Faces,2,False,2023-01-01
7,u1,/Run_2/funeral/e.jpg,Keep,Undefined,Adults,0,0,Hunger,Faces,2,False,2023-01-01
8,u1,/Run_2/funeral/f.jpg,Keep,Undefined,Adults,,,,Faces,2,False,2023-01-01
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "annotations_single.ann").write_text(HEADER + LINES)
    for name in ("Run_1/happy family/a", *(f"Run_2/funeral/{stem}" for stem in "bcdef")):
        path = tmp_path / "Images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(500))
    return tmp_path


def test_rows_and_every_reason_for_none(root, gathered):
    rows, reasons = gathered(findingemo.read(root))
    first, second = rows.values()
    assert first["path"] == "Images/Run_1/happy family/a.jpg" and " " not in first["id"]
    assert (first["valence"], first["arousal"], first["source_label"], first["split"]) == (2.0, 4.0, "joy", "")
    assert (first["rater"], first["raters"], first["age_group"]) == ("u1", 1.0, "Adults")
    # three raters of one picture: means of what was given, and the emotion that two of them name
    assert (second["valence"], second["arousal"], second["source_label"]) == (-2.0, 1.5, "sadness")
    assert (second["rater"], second["raters"], second["factors"]) == ("", 3.0, "Faces, Bodies")
    assert {path.removeprefix("Images/"): why for path, why in reasons.items()} == {
        "Run_1/happy family/gone.jpg": "no such file",
        "Run_2/funeral/c.jpg": "rejected by its rater",
        "Run_2/funeral/d.jpg": "valence 4 is not in -3 to 3",
        "Run_2/funeral/e.jpg": "unknown emotion 'Hunger'",
        "Run_2/funeral/f.jpg": "has no emotion, valence or arousal",
    }


def test_a_tie_between_raters_is_no_label(root, gathered):
    lines = LINES.replace("4,u4,/Run_2/funeral/b.jpg", "4,u4,/Run_2/funeral/other.jpg")
    (root / "data" / "annotations_single.ann").write_text(HEADER + lines)
    rows, _ = gathered(findingemo.read(root))
    tied = next(row for row in rows.values() if row["path"].endswith("b.jpg"))
    assert tied["source_label"] == "" and tied["valence"] == -2.5


def test_the_wheel_has_three_strengths_of_eight_emotions():
    preset = findingemo.CORPUS.presets["8class"]
    assert len(preset) == 24 and sorted(set(preset.values())) == sorted(findingemo.WHEEL)
    assert preset["rage"] == "anger" and preset["pensiveness"] == "sadness"


def test_missing_pictures_are_counted_and_none_at_all_is_an_error(root, gathered):
    for path in (root / "Images").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(AffectkitError, match="no usable sample of FindingEmo: 7 dropped"):
        list(findingemo.read(root))
    (root / "Images").rename(root / "elsewhere")
    for folder in (root / "elsewhere").iterdir():
        folder.rename(folder.with_name(f"part {folder.name}"))
    with pytest.raises(AffectkitError, match=r"has no folder Run_1.*findingemo-light"):
        list(findingemo.read(root))


@pytest.mark.parametrize(
    "change, message",
    [
        (("valence,arousal", "valens,arousal"), "has no column 'valence'; did you mean valens"),
        (("Adults,2,4", "Adults,two,4"), r"annotations_single\.ann row 1: valence 'two' is not a number"),
        (("image_path", "path"), "has no column 'image_path'"),
    ],
)
def test_mistakes_are_one_error(root, change, message):
    (root / "data" / "annotations_single.ann").write_text((HEADER + LINES).replace(*change))
    with pytest.raises(AffectkitError, match=message):
        list(findingemo.read(root))


def test_a_path_that_leaves_the_folder_is_not_followed(root, gathered):
    (root / "data" / "annotations_single.ann").write_text((HEADER + LINES).replace("/Run_1/happy family/a", "/../a"))
    rows, reasons = gathered(findingemo.read(root))
    assert reasons["annotations_single.ann row 1"] == "names no picture" and len(rows) == 1


def test_the_twin_lacks_some_of_its_pictures(tmp_path, gathered):
    findingemo.synthesize(tmp_path, size=40, speakers=6, seed=3)
    rows, reasons = gathered(findingemo.read(tmp_path))
    assert len(rows) == 38 and list(reasons.values()) == ["no such file"] * 2
    assert all(math.isfinite(row["valence"]) for row in rows.values())
