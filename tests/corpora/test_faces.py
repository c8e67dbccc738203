"""`prepare-manifest --faces`: boxes and landmarks of another tool's table on the rows of a corpus."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectkit.corpora._faces import with_faces
from affectkit.errors import AffectkitError

HEADER = "path,face_x,face_y,face_width,face_height"


@pytest.fixture
def rows(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    for place, name in enumerate(names):
        pixels = np.random.default_rng(place).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return pd.DataFrame({"id": ["1", "2", "3"], "path": names, "face_x": [9.0, 9.0, 9.0]})


def found(rows, tmp_path, *lines):
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    return with_faces(rows, [tmp_path / name for name in rows["path"]], tmp_path / "faces.csv")


def test_of_several_faces_the_largest_and_none_where_there_is_none(rows, tmp_path):
    """An image that the table leaves out has no face, whatever the corpus said; nor has a box without an area."""
    lines = [HEADER, "a.png,1,2,10,10", "a.png,30,30,20,21.5", "b.png,1,1,-4,5"]
    said = found(rows, tmp_path, *lines)
    assert list(said.loc[0, ["face_x", "face_y", "face_width", "face_height"]]) == [30, 30, 20, 21.5]
    assert said["face_x"].isna().tolist() == [False, True, True]
    assert "landmarks" not in said and list(said["id"]) == ["1", "2", "3"]


def test_images_go_by_id_by_path_or_by_the_whole_path(rows, tmp_path):
    whole = tmp_path / "b.png"
    assert found(rows, tmp_path, HEADER, f"{whole},1,2,3,4")["face_x"].notna().tolist() == [False, True, False]
    by_id = found(rows, tmp_path, HEADER.replace("path", "id"), "3,1,2,3,4")
    assert by_id["face_x"].notna().tolist() == [False, False, True]


def test_of_a_row_about_one_person_that_persons_face(rows, tmp_path):
    rows = rows.assign(person_x=[50, 0, 0], person_y=0, person_width=50, person_height=80)
    said = found(rows, tmp_path, HEADER, "a.png,1,2,40,40", "a.png,60,30,10,10")
    assert said["face_width"][0] == 10


def test_landmarks_stay_and_make_a_box_where_there_is_none(rows, tmp_path):
    points = np.stack([np.linspace(10, 50, 68), np.linspace(20, 40, 68)], axis=1)
    text = ";".join(f"{value:.2f}" for value in points.reshape(-1))
    said = found(rows, tmp_path, "path,landmarks", f"a.png,{text}", "b.png,")
    assert said["landmarks"].tolist() == [text, "", ""]
    assert said["face_x"][0] == pytest.approx(10) and said["face_width"][0] == pytest.approx(40)


def test_landmarks_stand_in_for_a_box_without_an_area(rows, tmp_path):
    """As the detector `columns` takes such rows."""
    points = np.stack([np.linspace(10, 50, 68), np.linspace(20, 40, 68)], axis=1)
    text = ";".join(f"{value:.2f}" for value in points.reshape(-1))
    table = found(rows, tmp_path, f"{HEADER},landmarks", f"a.png,1,2,-4,5,{text}", "b.png,1,2,-4,5,")
    assert table.loc[0, ["face_x", "face_y", "face_width", "face_height"]].tolist() == pytest.approx([10, 20, 40, 20])
    assert table["landmarks"].tolist() == [text, "", ""] and np.isnan(table["face_x"][1])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,x,y", "a.png,1,2"], "is no table of faces: it has path, x, y; give it id or path, and face_x"),
        (["face_x,face_y,face_width,face_height", "1,2,3,4"], "is no table of faces"),
        ([HEADER, "z.png,1,2,3,4"], "names none of the corpus's images: z.png; .*as a.png"),
        ([HEADER], "names none of the corpus's images: it is empty"),
        ([HEADER, "a.png,1,2,3,4", "b.png,1,2,wide,4"], "row 2: 'face_width' holds 'wide'"),
        (["path,landmarks", "a.png,1;2;3"], "row 1: 'landmarks' holds 3 finite numbers, not 136"),
    ],
)
def test_a_table_of_something_else_is_refused(rows, tmp_path, lines, message):
    with pytest.raises(AffectkitError, match=message):
        found(rows, tmp_path, *lines)


def test_a_manifest_has_the_boxes_that_a_face_experts_predictions_name(affectkit, rows, tmp_path):
    """As `predict` writes them: the column `face`, and empty cells where none was found."""
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{name},calm\n" for name in rows["path"]))
    made = ["prepare-manifest", "csv", tmp_path / "labels.csv", "--split-by", "random", "--val-fraction", 0]
    affectkit(*made, "--test-fraction", 0, "-o", tmp_path / "plain")
    ids = pd.read_csv(tmp_path / "plain" / "train.csv", dtype=str)["id"]
    cells = "id,seen,valence_pred,face,faces,face_x,face_y,face_width,face_height"
    lines = [cells, f"{ids[0]},heldout,.5,found,1,10,20,30,30", f"{ids[1]},heldout,,none,0,,,,"]
    (tmp_path / "said.csv").write_text("\n".join(lines) + "\n")
    more = ["--faces", tmp_path / "said.csv", "-o", tmp_path / "manifest"]
    result = affectkit(*made, "--test-fraction", 0, *more)
    assert "1 of 3 rows have a face" in result.stderr
    table = pd.read_csv(tmp_path / "manifest" / "train.csv", dtype=str).set_index("id")
    assert table.loc[ids[0], "face_width"] == "30" and table["face_x"].isna().sum() == 2
