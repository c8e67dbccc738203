"""The clinical corpus: pictures of four folders and a row of the table become one row, whatever the running numbers."""

import csv
import json
import logging
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectkit.corpora import dfu
from affectkit.corpora._corpus import Dropped
from affectkit.errors import AffectkitError

PICTURES = ("depth_rgb", "depth_map", "thermal_rgb", "thermal_map")
FOLDERS = {**dfu.DEPTH, **dfu.THERMAL}


def study(root, table="1,1,1,I,37.5,dry", names=None):
    """A study of one visit: its names of pictures may be replaced, None leaves a picture out."""
    files = {
        name: f"{7 + place}_P001011B{'D' if name in dfu.DEPTH else 'T'}RZ.png" for place, name in enumerate(FOLDERS)
    }
    for name, file in {**files, **(names or {})}.items():
        (root / FOLDERS[name]).mkdir(parents=True, exist_ok=True)
        if file:
            (root / FOLDERS[name] / file).write_bytes(b"no picture is opened here" * 20)
    header = "Patient#,Appt#,DFU#,Healing Phase Abs,Warmth,Exudate"
    (root / "DataMaster_Ours.csv").write_text(f"{header}\n{table}\n", encoding="utf-8")
    for camera, file in dfu.BOXES.items():
        line = f"99_P001011B{camera[0].upper()}RZ.png,10,20,40,60"
        (root / file).write_text(f"Filename,Xmin,Ymin,Xmax,Ymax\n{line}\n", encoding="utf-8")
    return root


def read(root, **options):
    items = list(dfu.read(root, **options))
    return [i for i in items if not isinstance(i, Dropped)], [i for i in items if isinstance(i, Dropped)]


@pytest.mark.parametrize("place", [".", "raw", "data/raw"])
def test_a_row_is_a_depth_picture_with_its_partners_boxes_and_row_of_the_table(tmp_path, place):
    study(tmp_path / place)
    [row], dropped = read(tmp_path)
    assert not dropped and row["id"] == "001-01-1-BRZ" and row["path"] == row["path_depth_rgb"]
    assert [row[f"path_{name}"].rpartition("/")[2][:1] for name in PICTURES] == ["7", "8", "9", "1"]
    assert row["source_label"] == "inflammation" and (row["subject"], row["sequence"]) == ("001", "001-01-1")
    assert (row["Warmth"], row["Exudate"]) == ("37.5", "dry") and not {*dfu.KEYS, dfu.LABEL} & row.keys()
    for name in PICTURES:
        assert [row[f"{name}_{side}"] for side in ("x", "y", "width", "height")] == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ({"thermal_rgb": "3_P001011BTLZ.png", "thermal_map": "4_p001011btlz.PNG"}, "BTLZ"),
        ({"thermal_rgb": "3_P001011ATRW.png", "thermal_map": "4_P001011ATRW.png"}, "ATRW"),
    ],
)
def test_a_thermal_picture_of_another_view_stands_in_and_is_counted(tmp_path, names, taken, caplog):
    with caplog.at_level(logging.WARNING):
        [row], _ = read(study(tmp_path, names=names))
    assert row["path_thermal_map"].upper().endswith(f"{taken}.PNG") and np.isnan(row["thermal_map_x"])
    assert "1 of 1 rows have the thermal pictures of another view" in caplog.text


def test_of_several_views_the_most_alike_is_taken():
    views = dict.fromkeys(["ARZ", "BLW", "BRW"])
    assert dfu._most_alike("BRZ", views, views) == "BRW" and dfu._most_alike("BRZ", views, {}) == ""


@pytest.mark.parametrize(
    ("names", "table", "reason"),
    [
        ({"depth_map": "8_P001011BDRW.png"}, "1,1,1,I,1,x", "no depth map of the same view"),
        ({"thermal_map": "8_P001021BTRZ.png"}, "1,1,1,I,1,x", "no pair of thermal pictures"),
        ({"thermal_map": "8_P001011BTLZ.png"}, "1,1,1,I,1,x", "no pair of thermal pictures"),
        ({"depth_rgb": "holiday.png"}, "1,1,1,I,1,x", "not called as"),
        ({}, "1,1,1,,1,x", "has no phase"),
        ({}, "1,1,1,Q,1,x", "'Q' is none of I, P, R"),
        ({}, "1,1,2,I,1,x", "table has no row"),
        ({}, "1,1,1,Q,1,x\n1,1,1,I,1,x\n1,1,1,P,2,x", "a second row of the same ulcer"),
    ],
)
def test_what_lacks_a_partner_or_a_phase_is_left_out_with_the_reason(tmp_path, names, table, reason):
    study(tmp_path, table, names)
    try:
        _, dropped = read(tmp_path)
        assert any(reason in item.reason for item in dropped)
    except AffectkitError as error:  # all of it is left out
        assert reason in error.message or "table has no row" in error.message


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (
            lambda root: (root / "DataMaster_2.csv").write_text("Patient#\n1\n"),
            "several tables: DataMaster_2.csv, DataM",
        ),
        (lambda root: (root / "Thermal_Map_IMG").rename(root / "Maps"), "has no Thermal_Map_IMG"),
        (lambda root: (root / "bounding_box_depth.csv").unlink(), "has no bounding_box_depth.csv"),
        (lambda root: study(root, "1.5,1,1,I,1,x"), "row 1: Patient# '1.5' is no whole number"),
        (lambda root: study(root, ",1,1,I,1,x"), "row 1: Patient# '' is no whole number"),
        (lambda root: study(root, "1,first,1,I,1,x"), "row 1"),
    ],
)
def test_what_cannot_be_read_is_one_error(tmp_path, damage, wrong):
    damage(study(tmp_path))
    with pytest.raises(AffectkitError, match=re.escape(wrong)):
        read(tmp_path)


def test_several_boxes_of_a_picture_become_one_and_empty_ones_are_none(tmp_path):
    lines = ["1_P001011BDRZ.png,10,20,30,40", "2_P001011BDRZ.png,5,25,20,80", "3_P001012BDRZ.png,9,9,9,20"]
    (tmp_path / "b.csv").write_text("\n".join(["Filename,Xmin,Ymin,Xmax,Ymax", *lines]), encoding="utf-8")
    assert dfu._boxes(tmp_path / "b.csv") == {(dfu.Visit(1, 1, 1), "BRZ"): [5, 20, 25, 60]}


def test_a_column_called_as_one_of_the_manifest_is_carried_under_another_name(tmp_path):
    study(tmp_path)
    table = tmp_path / "DataMaster_Ours.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Warmth,Exudate", "label,path_x"), encoding="utf-8")
    [row], _ = read(tmp_path)
    assert (row["source_label"], row["table_path_x"], row["table_label"]) == ("inflammation", "dry", "37.5")


# --- The twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    root = tmp_path_factory.mktemp("dfu") / "twin"
    dfu.synthesize(root, size=120, speakers=30, seed=3)
    return root


def test_the_twin_has_the_published_table_and_exactly_as_many_rows_as_were_asked_for(twin):
    with open(twin / "DataMaster_Synthetic.csv", encoding="utf-8", newline="") as handle:
        table = list(csv.reader(handle))
    header, cells = table[0], [row[5:] for row in table[1:]]
    assert len(header) == 72 and 0.37 < np.mean([cell == "" for row in cells for cell in row]) < 0.43
    rows, dropped = read(twin)
    assert len(rows) == 120 and not dropped
    running = [{re.match(r"\d+", row[f"path_{name}"].rpartition("/")[2])[0] for row in rows} for name in PICTURES]
    assert running[0] != running[1]


def test_the_copies_of_the_twin_are_named_and_dropped_by_what_they_hold(twin, caplog):
    kept, _ = read(twin)
    assert "rows repeat another patient's, cell by cell" in caplog.text and "--repeats drop" in caplog.text
    left, dropped = read(twin, repeats="drop")
    copies = [item for item in dropped if item.reason == "repeats the row of another patient"]
    assert len(copies) == 3 and len(left) < len(kept)
    bytes_of = [b"".join((twin / row[f"path_{name}"]).read_bytes() for name in PICTURES) for row in kept]
    assert len(set(bytes_of)) == len(left)


@pytest.mark.slow
def test_out_of_fold_accuracy_is_that_of_fresh_patients_and_confidence_tells_the_label(affectkit, tmp_path):
    """6,000 rows a side: the standard error of the difference is .009."""
    for name, seed in {"study": 11, "fresh": 12}.items():
        sized = ("--size", 6000, "--speakers", 900, "--no-pictures", "--seed", seed)
        affectkit("synthesize", "dfu", tmp_path / name, *sized)
        dropping = ("--no-pictures", "--repeats", "drop", "--folds", 5, "--group", "subject", "--audit", "names")
        affectkit("prepare-manifest", "dfu", tmp_path / name, *dropping, "-o", tmp_path / f"{name}-manifest")
    fresh = pd.read_csv(tmp_path / "fresh-manifest" / "folds.csv", dtype=str, keep_default_na=False)
    fresh = fresh.assign(id="fresh-" + fresh["id"], subject="fresh-" + fresh["subject"], split="test")
    fresh.drop(columns="fold").to_csv(tmp_path / "fresh.csv", index=False)
    forest = ("--model", "forest", "--trees", 30, "--depth", 8, "--min-leaf", 5, "--no-importance", "--cv")
    train = ("train", "--manifest", tmp_path / "study-manifest", "--features", "manifest:*", *forest)
    said = affectkit(*train, "--exclude", "Phase Confidence (%)", "-o", tmp_path / "forest").output
    assert "alone tells" not in said
    affectkit(
        "evaluate", "--model-dir", tmp_path / "forest", "--manifest", tmp_path / "fresh.csv", "-o", tmp_path / "report"
    )
    known = json.loads((tmp_path / "forest" / "train_report.json").read_text())["metrics"]
    judged = json.loads((tmp_path / "report" / "metrics.json").read_text())
    out_of_fold, outside = known["oof_accuracy"]["value"], judged["metrics"]["accuracy"]["value"]
    assert judged["n"] == len(fresh) and abs(out_of_fold - outside) < 0.02 and 0.5 < outside < 0.8
    quick = ("--features", "manifest:Age,Phase Confidence (%)", *forest, "-o", tmp_path / "leaking")
    assert "column 'Phase Confidence (%)' alone tells label" in affectkit(*train[:3], *quick).output


@pytest.mark.slow
def test_each_picture_holds_a_part_of_the_answer(tmp_path):
    """By the colour in the middle of its wound alone: both together are right more often than either."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import GroupKFold, cross_val_score

    dfu.synthesize(tmp_path / "twin", size=400, speakers=100, seed=1)
    rows, _ = read(tmp_path / "twin", repeats="drop")
    rows = [row for row in rows if row["thermal_map_x"] == row["thermal_map_x"]]

    def middle_of(row, name):
        x, y, width, height = (int(row[f"{name}_{side}"]) for side in ("x", "y", "width", "height"))
        image = np.asarray(Image.open(tmp_path / "twin" / row[f"path_{name}"]), float)
        return image[y + height // 3 : y + 2 * height // 3, x + width // 3 : x + 2 * width // 3].mean(axis=(0, 1))

    heat, colour = (np.array([middle_of(row, name) for row in rows]) for name in ("thermal_map", "depth_rgb"))
    label, patients = [row["source_label"] for row in rows], [row["subject"] for row in rows]
    right = {}
    for name, values in {"heat": heat[:, :1], "colour": colour, "both": np.hstack([heat[:, :1], colour])}.items():
        scores = cross_val_score(LinearDiscriminantAnalysis(), values, label, groups=patients, cv=GroupKFold(5))
        right[name] = float(scores.mean())
    assert min(right.values()) > 0.5 and right["both"] > max(right["heat"], right["colour"]) + 0.03, right


@pytest.mark.parametrize(
    ("size", "speakers", "wrong"), [(10, 1000, "three digits"), (400, 2, "two digits"), (0, 5, "at least one")]
)
def test_what_names_of_pictures_cannot_hold_is_refused(tmp_path, size, speakers, wrong):
    with pytest.raises(AffectkitError, match=wrong):
        dfu.synthesize(tmp_path / "twin", size=size, speakers=speakers, seed=0)


def test_a_picture_of_any_column_that_cannot_be_read_is_named_or_left_out(twin, affectkit, tmp_path):
    shutil.copytree(twin, tmp_path / "root")
    [first, *_] = sorted((tmp_path / "root" / "Thermal_Map_IMG").iterdir())
    first.write_bytes(b"no picture" * 99)
    command = ("prepare-manifest", "dfu", tmp_path / "root", "--repeats", "drop", "-o", tmp_path / "m")
    assert first.name in affectkit(*command, code=1).output
    affectkit(*command, "--on-error", "skip", "--overwrite")
    dropped = json.loads((tmp_path / "m" / "summary.json").read_text())["dropped"]
    [row] = [item for item in read(tmp_path / "root")[0] if item["path_thermal_map"].endswith(first.name)]
    assert row["path"] in {item["path"] for item in dropped}
