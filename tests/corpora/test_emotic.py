import math

import numpy as np
import pytest
from scipy.io import savemat

from affectkit.corpora import emotic
from affectkit.errors import AffectkitError


def structs(*entries):
    """A MATLAB struct array of dictionaries."""
    found = np.zeros((1, len(entries)), dtype=[(name, object) for name in entries[0]])
    for place, entry in enumerate(entries):
        for name, value in entry.items():
            found[0, place][name] = value
    return found


def words(*names):
    return np.array(names, dtype=object)


def rated(valence, arousal, dominance):
    return {"valence": valence, "arousal": arousal, "dominance": dominance}


def train_person(box, scores, categories=("Peace",), gender="Female"):
    return {
        "body_bbox": np.array(box, float), "annotations_categories": {"categories": words(*categories)},
        "annotations_continuous": rated(*scores), "gender": gender, "age": "Adult",
    }  # fmt: skip


def judged_person(box, combined):
    return {
        "body_bbox": np.array(box, float),
        "annotations_categories": structs({"categories": words("Fear")}, {"categories": words("Anger", "Pain")}),
        "combined_categories": words("Anger", "Fear", "Pain"),
        "annotations_continuous": structs(rated(1.0, 1.0, 1.0), rated(2.0, 2.0, 2.0)),
        "combined_continuous": rated(*combined), "gender": "Male", "age": "Kid",
    }  # fmt: skip


def picture(name, folder, *people, size=(640, 480)):
    return {
        "filename": name, "folder": folder, "image_size": {"n_row": size[1], "n_col": size[0]},
        "original_database": {"name": "mscoco", "info": "x"}, "person": structs(*people),
    }  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Two people in one picture, one out of the picture's bounds, one without ratings; a picture that is gone."""
    parts = {
        "train": structs(
            picture(
                "a.jpg", "mscoco/images",
                train_person([-5, 10, 700, 470], (6.0, 4.0, 7.0), ("Peace", "Happiness")),
                train_person([400, 20, 300, 490], (3.0, math.nan, 5.0)),
            ),
            picture("b.jpg", "framesdb/images", train_person([1, 2, 3, 4], (math.nan, math.nan, math.nan))),
            picture("gone.jpg", "ade20k/images", train_person([1, 2, 30, 40], (5.0, 5.0, 5.0))),
        ),
        "val": structs(picture("a.jpg", "framesdb/images", judged_person([10, 20, 110, 220], (2.5, 7.5, 3.5)))),
        "test": structs(picture("c.jpg", "emodb_small/images", judged_person([0, 0, 9, 9], (11.0, 1.0, 10.0)))),
    }  # fmt: skip
    (tmp_path / "Annotations").mkdir()
    savemat(tmp_path / "Annotations" / "Annotations.mat", parts)
    for place in ("mscoco/images/a", "framesdb/images/a", "framesdb/images/b", "emodb_small/images/c"):
        path = tmp_path / "emotic" / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(500))
    return tmp_path


def test_a_row_for_each_person_of_a_picture(root, gathered):
    rows, reasons = gathered(emotic.read(root))
    assert rows["mscoco__a-1"] == {
        "id": "mscoco__a-1", "path": "emotic/mscoco/images/a.jpg", "source_label": "", "valence": 6.0, "arousal": 4.0,
        "dominance": 7.0, "categories": "Peace|Happiness", "person_x": 0.0, "person_y": 10.0, "person_width": 640.0,
        "person_height": 460.0, "width": 640, "height": 480, "sequence": "mscoco/images/a.jpg", "sex": "female",
        "age_group": "adult", "split": "train",
    }  # fmt: skip
    second = rows["mscoco__a-2"]
    assert second["sequence"] == rows["mscoco__a-1"]["sequence"] and math.isnan(second["arousal"])
    assert math.isnan(second["person_width"])  # its corners are the wrong way round: no box
    assert reasons == {
        "emotic/framesdb/images/b.jpg person 1": "nobody rated the person's valence, arousal or dominance",
        "emotic/ade20k/images/gone.jpg": "no such file",
    }


def test_of_val_and_test_the_combined_ratings_are_taken(root, gathered):
    rows, _ = gathered(emotic.read(root))
    row = rows["framesdb__a-1"]  # the same file name as in mscoco
    assert (row["valence"], row["arousal"], row["dominance"], row["split"]) == (2.5, 7.5, 3.5, "val")
    assert (row["categories"], row["sex"], row["age_group"]) == ("Anger|Fear|Pain", "male", "kid")
    assert (row["person_x"], row["person_y"], row["person_width"], row["person_height"]) == (10.0, 20.0, 100.0, 200.0)
    test = rows["emodb_small__c-1"]
    assert math.isnan(test["valence"]) and (test["arousal"], test["dominance"]) == (1.0, 10.0)  # 11 is off the scale


@pytest.mark.parametrize("content", [b"", b"not a MATLAB file at all " * 40, b"MATLAB 5.0 MAT-file".ljust(300, b"\1")])
def test_an_unreadable_file_is_one_error(root, content):
    table = root / "Annotations" / "Annotations.mat"
    table.write_bytes(content)
    with pytest.raises(AffectkitError, match=r"Annotations\.mat: is no MATLAB file") as caught:
        list(emotic.read(root))
    assert caught.value.code == "input" and "\n" not in str(caught.value)


def test_a_file_cut_short_is_one_error(root):
    table = root / "Annotations" / "Annotations.mat"
    table.write_bytes(table.read_bytes()[:900])
    with pytest.raises(AffectkitError, match="is no MATLAB file"):
        list(emotic.read(root))


def test_another_structure_is_one_error(root):
    table = root / "Annotations" / "Annotations.mat"
    savemat(table, {"Train": np.zeros(3)})
    with pytest.raises(AffectkitError, match="has no part 'train', but Train"):
        list(emotic.read(root))
    savemat(table, {"train": np.zeros(3), "val": np.zeros(3), "test": np.zeros(3)})
    with pytest.raises(AffectkitError, match="picture 1 of train is not as in EMOTIC"):
        list(emotic.read(root))


def test_the_twin_is_read_back_with_its_people_together(tmp_path, gathered):
    emotic.synthesize(tmp_path, size=40, speakers=6, seed=3)
    rows, reasons = gathered(emotic.read(tmp_path))
    assert len(rows) == 40 and not reasons
    sides = {}
    for row in rows.values():
        sides.setdefault(row["sequence"], set()).add(row["split"])
        assert row["person_x"] >= 0 and row["person_x"] + row["person_width"] <= row["width"] == 256
    assert all(len(found) == 1 for found in sides.values()) and 25 <= len(sides) < 40
