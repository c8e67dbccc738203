import math

import numpy as np
import pytest

from affectkit.corpora import affectnet
from affectkit.corpora.affectnet import COLUMNS
from affectkit.errors import AffectkitError

POINTS = ";".join(str(n / 2) for n in range(136))


def line(name, expression, valence, arousal, box=(10, 12, 80, 90), points=POINTS):
    return ",".join(map(str, (name, *box, points, expression, valence, arousal)))


TRAINING = [
    ",".join(COLUMNS),
    line("1/a.jpg", 1, 0.8, 0.3),
    line("1/b.jpg", 8, -0.1, 0.2),
    line("1/c.jpg", 9, -2, -2),
    line("1/d.jpg", 10, -2, -2),
    line("2/e.JPG", 0, 0.0, -2, box=(10, 12, -80, 90)),
    line("2/f.jpg", 4, -0.5, 0.5, points="1;2;3"),
    line("2/gone.jpg", 2, -0.5, -0.5),
    line("2/g.jpg", 11, 0, 0),
    line("2/h.jpg", 3, 1.5, 0),
]
VALIDATION = [line("3/i.jpg", 7, -0.6, 0.1), line("3/j.jpg", 6, -0.5, 0.7)]  # without a header, as some copies are


@pytest.fixture
def picture():
    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(500))

    return write


@pytest.fixture
def root(tmp_path, picture):
    lists = tmp_path / "AffectNet" / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    (lists / "training.csv").write_text("\n".join(TRAINING) + "\n")
    (lists / "validation.csv").write_text("\n".join(VALIDATION) + "\n")
    for name in ("1/a.jpg", "1/b.jpg", "1/c.jpg", "2/e.JPG", "2/f.jpg", "3/i.jpg", "3/j.jpg"):
        picture(tmp_path / "AffectNet" / "Manually_Annotated_Images" / name)
    return tmp_path


def test_the_lists_with_a_header_and_without(root, gathered):
    rows, reasons = gathered(affectnet.read(root))
    assert {key: (row["source_label"], row["split"]) for key, row in rows.items()} == {
        "1__a": ("happy", "train"), "2__e": ("neutral", "train"), "2__f": ("fear", "train"),
        "3__i": ("contempt", "test"), "3__j": ("anger", "test"),
    }  # fmt: skip
    assert rows["1__a"] == {
        "id": "1__a", "path": "AffectNet/Manually_Annotated_Images/1/a.jpg", "source_label": "happy", "face_x": 10.0,
        "face_y": 12.0, "face_width": 80.0, "face_height": 90.0, "valence": 0.8, "arousal": 0.3, "landmarks": POINTS,
        "split": "train",
    }  # fmt: skip
    assert {path.removeprefix("AffectNet/Manually_Annotated_Images/"): why for path, why in reasons.items()} == {
        "1/b.jpg": "its expression is none",
        "1/c.jpg": "its expression is uncertain",
        "1/d.jpg": "its expression is no-face",
        "2/gone.jpg": "no such file",
        "2/g.jpg": "unknown expression code '11'",
        "2/h.jpg": "valence 1.5 is not in -1 to 1",
    }


def test_what_is_missing_is_empty(root, gathered):
    rows, _ = gathered(affectnet.read(root))
    assert rows["2__e"]["valence"] == 0.0 and math.isnan(rows["2__e"]["arousal"])  # -2
    assert all(math.isnan(rows["2__e"][name]) for name in affectnet.BOX)  # a width of -80
    assert rows["2__e"]["landmarks"] == POINTS and rows["2__f"]["landmarks"] == ""  # three numbers are no 68 points


def test_unclear_expressions_on_request(root, gathered):
    rows, reasons = gathered(affectnet.read(root, keep_expressions="none, uncertain"))
    assert rows["1__b"]["source_label"] == "none" and rows["1__b"]["valence"] == -0.1
    assert rows["1__c"]["source_label"] == "uncertain" and math.isnan(rows["1__c"]["valence"])
    assert [why for why in reasons.values() if "expression is" in why] == ["its expression is no-face"]
    with pytest.raises(AffectkitError, match="'uncertian'; did you mean uncertain"):
        affectnet.read(root, keep_expressions="uncertian")


def test_presets_keep_eight_or_seven_classes():
    assert len(affectnet.CORPUS.presets["8class"]) == 8
    assert set(affectnet.CORPUS.presets["8class"]) - set(affectnet.CORPUS.presets["7class"]) == {"contempt"}


@pytest.fixture
def arrays(tmp_path, picture):
    """Numbers as 0-d arrays, as words, as bytes; one face without landmarks, and three with something wrong."""
    home = tmp_path / "npy"
    kinds = {
        "train_set/0": (np.array(1), np.array(0.5), np.array(-0.25), np.arange(136) / 2),
        "train_set/1": (np.array("6"), np.array("-0.5"), np.array("0.75"), None),
        "train_set/2": (np.array(b"3"), np.array([0.25]), np.array("-2"), np.zeros((68, 2))),
        "train_set/3": (np.array({"a": 1}, dtype=object), np.array(0.0), np.array(0.0), None),
        "train_set/4": (np.array(2), np.array("high"), np.array(0.0), None),
        "val_set/0": (np.array(7), np.array(-0.5), np.array(0.25), None),
    }
    for place, values in kinds.items():
        part, number = place.split("/")
        picture(home / part / "images" / f"{number}.jpg")
        (home / part / "annotations").mkdir(exist_ok=True)
        for kind, value in zip(("exp", "val", "aro", "lnd"), values, strict=True):
            if value is not None:
                np.save(home / part / "annotations" / f"{number}_{kind}.npy", value, allow_pickle=True)
    picture(home / "val_set" / "images" / "1.jpg")
    (home / "val_set" / "annotations" / "1_exp.npy").write_bytes(b"")
    picture(home / "val_set" / "images" / "2.jpg")
    return home


def test_the_arrays_of_numbers_and_of_words(arrays, gathered):
    rows, reasons = gathered(affectnet.read(arrays))
    told = {key: (row["source_label"], row["valence"], row["arousal"], row["split"]) for key, row in rows.items()}
    assert told["train_0"] == ("happy", 0.5, -0.25, "train") and told["train_1"] == ("anger", -0.5, 0.75, "train")
    assert told["val_0"] == ("contempt", -0.5, 0.25, "test") and set(told) == {"train_0", "train_1", "train_2", "val_0"}
    assert told["train_2"][:2] == ("surprise", 0.25) and math.isnan(told["train_2"][2])
    assert [float(cell) for cell in rows["train_0"]["landmarks"].split(";")] == list(np.arange(136) / 2)
    assert rows["train_1"]["landmarks"] == "" and len(rows["train_2"]["landmarks"].split(";")) == 136
    assert reasons == {
        "train_set/images/3.jpg": "3_exp.npy is not a readable array",  # a pickle: never opened
        "train_set/images/4.jpg": "4_val.npy holds no number",
        "val_set/images/1.jpg": "1_exp.npy is not a readable array",
        "val_set/images/2.jpg": "has no 2_exp.npy",
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("\n".join([*VALIDATION, "3/k.jpg,1,2"]), r"validation\.csv row 3: 3 cells in a list without a header"),
        (line("3/i.jpg", "seven", 0, 0), r"validation\.csv row 1: expression 'seven' is not a number"),
        ("\n".join([TRAINING[0].replace("valence", "val"), VALIDATION[0]]), "has no column 'valence'"),
        ("", "is empty"),
    ],
)
def test_a_damaged_list_is_one_error(root, text, message):
    (root / "AffectNet" / "Manually_Annotated_file_lists" / "validation.csv").write_text(text)
    with pytest.raises(AffectkitError, match=message) as caught:
        list(affectnet.read(root))
    assert "\n" not in str(caught.value)


def test_a_pointer_and_a_lacking_list(root, pointer, caplog, gathered):
    table = root / "AffectNet" / "Manually_Annotated_file_lists" / "validation.csv"
    pointer(table)
    with pytest.raises(AffectkitError, match="Git-LFS"):
        list(affectnet.read(root))
    table.unlink()
    rows, _ = gathered(affectnet.read(root))
    assert {row["split"] for row in rows.values()} == {"train"} and "has no validation.csv" in caplog.text
