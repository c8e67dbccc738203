"""The general readers: csv, folder, arrays, huggingface."""

import math
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.corpora import arrays, csv, folder, huggingface
from affectkit.corpora._tables import safe_id
from affectkit.errors import AffectkitError
from affectkit.labels import Target


def test_csv_with_its_own_column_names(wav, tmp_path, gathered):
    wav(tmp_path / "sound" / "ä 1.wav")
    wav(tmp_path / "sound" / "b.wav")
    table = tmp_path / "my table.csv"
    table.write_bytes(
        "﻿file,emo,who,gender,stress,set,note\r\n"
        'sound/ä 1.wav,happy,anna,F,4.5,dev,"a, b"\r\n'
        "sound\\b.wav,,ben,male,,TRAIN,\r\n"
        "sound/gone.wav,sad,ben,male,2,test,\r\n".encode()
    )
    options = {
        "path_column": "file", "label_column": "emo", "speaker_column": "who", "sex_column": "gender",
        "split_column": "set", "target_columns": "stress=1:5",
    }  # fmt: skip
    rows, reasons = gathered(csv.read(table, **options))
    first, second = rows.values()
    assert (first["path"], first["source_label"], first["speaker"]) == ("sound/ä 1.wav", "happy", "anna")
    assert (first["sex"], first["stress"], first["split"], first["note"]) == ("female", 4.5, "val", "a, b")
    assert (second["path"], second["source_label"], second["split"]) == ("sound/b.wav", "", "train")
    assert math.isnan(second["stress"]) and second["id"] == "sound__b"
    assert first["id"] == safe_id("sound/ä 1") and " " not in first["id"]
    assert reasons == {"sound/gone.wav": "no such file"}
    assert csv.targets(**options) == (Target("stress", "number", scale=(1.0, 5.0)),)


def test_csv_of_texts_reads_known_numbers_and_keeps_clashing_columns_aside(tmp_path, gathered):
    (tmp_path / "t.csv").write_text("id,text,label,valence,fold,votes_sad\n7,None,sad,0.5,3,2\n8, NA ,nan,,1,\n")
    rows, _ = gathered(csv.read(tmp_path))
    assert (rows["7"]["text"], rows["7"]["valence"], rows["7"]["votes_sad"]) == ("None", 0.5, 2.0)
    assert rows["8"]["text"] == " NA " and rows["8"]["source_label"] == "nan" and math.isnan(rows["8"]["valence"])
    assert rows["7"]["source_fold"] == "3" and "fold" not in rows["7"] and rows["7"]["path"] == ""


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("id,text,label\n1,a,x\n1,b,y\n", {}, "row 2: id '1' stands already in row 1"),
        ("id,text,label\n,a,x\n", {}, "row 1: the id is empty"),
        ("text,valence\na,1\nb,high\n", {}, "row 2: valence 'high' is not a number"),
        ("text,valence\na,inf\n", {}, "row 1: valence 'inf' is not a finite number"),
        (
            'text,ease\na,"3,5"\n',
            {"target_columns": "ease=1:5"},
            "row 1: ease '3,5' is not .*; write decimals with a point",
        ),
        ("text,ease\na,2\nb,1e39\n", {"target_columns": "ease=1:5"}, "row 2: ease 1e.39 is too large a number"),
        (
            "text,mood\na,calm\nb,glad\n",
            {"target_columns": "mood=calm|tense"},
            "row 2: mood 'glad' is not in calm, tense",
        ),
        ("text,mood\na,calm\n", {"target_columns": "mood=calm|calm"}, "'mood=calm.calm' is not a target"),
        ("text,label\na,calm\n", {"target_columns": "label=calm|tense"}, "'label=calm.tense' is not a target"),
        ("text,labels\na,x\n", {"label_column": "lables"}, "has no column 'lables'; did you mean labels"),
        ("words,label\na,x\n", {}, "has neither a path nor a text column.*without media --path-column ''"),
        ("age,label\n3,x\n", {"text_column": ""}, "has neither a path nor a text column"),
        ("age\n3\n", {"path_column": ""}, "has neither labels nor targets"),
        ("text,emotion\na,x\n", {}, "has neither labels nor targets.*--label-column"),
        ("text,label\na,x\n", {"target_columns": "stres"}, "has no column 'stres'"),
        ("text,label\na,x\n", {"target_columns": "stress=5:1"}, "'stress=5:1' is not a target"),
        ("text,label\na,x\n", {"target_columns": "stress=low"}, "'stress=low' is not a target"),
    ],
)
def test_csv_mistakes_are_named(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(AffectkitError, match=message):
        list(csv.read(tmp_path, **options))


@pytest.mark.parametrize("column", ["valence", "votes_sad", "time_sec"])
@pytest.mark.parametrize("cells", ["low high high", "low high 1"])
def test_csv_columns_of_words_that_nobody_asked_for_are_carried(tmp_path, gathered, caplog, column, cells):
    lines = [f"{n},t{n},x,{cell}" for n, cell in enumerate(cells.split())]
    (tmp_path / "t.csv").write_text(f"id,text,label,{column}\n" + "\n".join(lines))
    rows, _ = gathered(csv.read(tmp_path))
    assert [row[f"source_{column}"] for row in rows.values()] == cells.split() and column not in rows["0"]
    assert f"t.csv row 1: {column} 'low' is not a number: the column is carried as source_{column}" in caplog.text
    assert ("--target-columns" in caplog.text) == (column == "valence")
    if column == "valence":
        with pytest.raises(AffectkitError, match="row 1: valence 'low' is not a number"):
            list(csv.read(tmp_path, target_columns="valence=1:5"))


def test_csv_of_people_without_media(affectkit, tmp_path):
    """Answers to questionnaires, with gaps, are trained on by their own columns; a column `path` names no media."""
    lines = [f"p{n},p{n}.wav,{n % 7},{'' if n % 3 else n % 5},{n % 7 + n % 2}" for n in range(60)]
    (tmp_path / "people.csv").write_text("id,path,calm,tense,stress\n" + "\n".join(lines) + "\n")
    asked = ("--path-column", "", "--target-columns", "stress=0:8", "--folds", 3)
    affectkit("prepare-manifest", "csv", tmp_path / "people.csv", *asked, "-o", tmp_path / "m")
    how = ("--features", "manifest:*", "--model", "linear", "--cv", "--no-importance")
    assert set(read_manifest(tmp_path / "m").rows["path"]) == {""}
    affectkit("train", "--manifest", tmp_path / "m", *how, "-o", tmp_path / "run")
    answers = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert len(answers) == 60 and np.corrcoef(answers["stress_pred"], answers["id"].str[1:].astype(int) % 7)[0, 1] > 0.9


def test_csv_numbers_with_a_mistake_are_no_words(tmp_path):
    (tmp_path / "t.csv").write_text("text,label,valence\na,x,1\nb,y,2\nc,x,n/a\n")
    with pytest.raises(AffectkitError, match="row 3: valence 'n/a' is not a number; leave the cell empty"):
        list(csv.read(tmp_path))


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("1.5", 1.5), ("0 days 00:00:01.5", 1.5), ("0 days 01:02:03", 3723), ("1 day 00:00:00.25", 86400.25),
     ("00:01:02,5", 62.5), (" 2 ", 2), ("", None), ("NaT", None)],
)  # fmt: skip
def test_csv_times_of_segments(tmp_path, gathered, cell, seconds):
    (tmp_path / "t.csv").write_text(f'text,label,start,end\na,x,"{cell}",9\n')
    rows, _ = gathered(csv.read(tmp_path, start_column="start", end_column="end"))
    (row,) = rows.values()
    assert row["end_sec"] == 9 and (math.isnan(row["start_sec"]) if seconds is None else row["start_sec"] == seconds)


@pytest.mark.parametrize("cell", ["-1 days +23:59:59", "1500 ms", "1:2"])
def test_csv_times_that_are_none_say_what_to_write(tmp_path, cell):
    (tmp_path / "t.csv").write_text(f"text,label,start_sec\na,x,{cell}\n")
    with pytest.raises(AffectkitError, match=r"row 1: start_sec '.*' is not a number; write seconds"):
        list(csv.read(tmp_path))


def test_csv_asks_which_table(tmp_path, gathered):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text,label\n{name},x\n")
    with pytest.raises(AffectkitError, match=r"choose with --table: a\.csv, b\.csv"):
        csv.read(tmp_path)
    rows, _ = gathered(csv.read(tmp_path, table="b.csv"))
    assert [row["text"] for row in rows.values()] == ["b.csv"]
    with pytest.raises(AffectkitError, match=r"has no table 'c\.csv'"):
        csv.read(tmp_path, table="c.csv")


def test_folder_flat_and_split(wav, tmp_path, gathered):
    wav(tmp_path / "flat" / "happy" / "x.wav")
    wav(tmp_path / "flat" / "sad" / "deep" / "x.WAV")
    (tmp_path / "flat" / "sad" / "notes.txt").write_text("not a sample")
    rows, _ = gathered(folder.read(tmp_path / "flat"))
    assert {key: (row["source_label"], row["split"]) for key, row in rows.items()} == {
        "happy__x": ("happy", ""), "sad__deep__x": ("sad", ""),
    }  # fmt: skip
    for part, split in (("Training", "train"), ("validation", "val"), ("test", "test")):
        wav(tmp_path / "parts" / part / "happy" / "x.wav")
        rows, _ = gathered(folder.read(tmp_path / "parts"))
        assert rows[f"{part}__happy__x"]["split"] == split


def test_folder_parts_by_other_names_and_files_beside_them(wav, tmp_path, gathered):
    for place in ("train/happy/a", "eval/happy/b", "test_clean/happy/c", "extra/happy/d", "train/e", "f"):
        wav(tmp_path / f"{place}.wav")
    rows, reasons = gathered(folder.read(tmp_path))
    assert {row["path"]: row["split"] for row in rows.values()} == {
        "train/happy/a.wav": "train", "eval/happy/b.wav": "val", "test_clean/happy/c.wav": "test",
    }  # fmt: skip
    assert reasons == dict.fromkeys(("extra/happy/d.wav", "train/e.wav", "f.wav"), "is in no label's folder")


def test_folder_parts_without_labels_are_no_labels(wav, tmp_path):
    for part in ("training", "test"):
        wav(tmp_path / part / "a.wav")
    with pytest.raises(AffectkitError, match="hold no folders of labels; sort"):
        list(folder.read(tmp_path))


def test_folder_labels_that_sound_like_parts(wav, tmp_path, gathered):
    for label in ("test_anxiety", "calm"):
        wav(tmp_path / label / "deep" / "a.wav")
    rows, _ = gathered(folder.read(tmp_path))
    assert {row["source_label"] for row in rows.values()} == {"test_anxiety", "calm"}


def test_folder_below_the_folders_that_archives_add(wav, tmp_path, gathered, caplog):
    for name in ("calm/a", "calm/deep/b", "sad/a", "__MACOSX/calm/x"):
        wav(tmp_path / "archive" / "My corpus" / f"{name}.wav")
    wav(tmp_path / "__MACOSX/archive/._a.wav")
    (tmp_path / "archive" / "My corpus" / "README.md").write_text("about")
    rows, reasons = gathered(folder.read(tmp_path))
    assert sorted(row["source_label"] for row in rows.values()) == ["calm", "calm", "sad"] and not reasons
    assert "the labels are taken from the folders in archive/My corpus" in caplog.text
    rows, _ = gathered(folder.read(tmp_path / "archive" / "My corpus" / "calm"))
    assert [row["source_label"] for row in rows.values()] == ["deep"]


@pytest.mark.parametrize("name", ["one/s1/a.wav", "one/a.wav", "train/calm/a.wav"])
def test_folder_of_one_label_is_no_archive(wav, tmp_path, gathered, name):
    wav(tmp_path / name)
    rows, _ = gathered(folder.read(tmp_path))
    assert [row["source_label"] for row in rows.values()] == [name.split("/")[-3 if "s1" in name else -2]]


def test_folder_tells_of_files_that_it_does_not_read(wav, tmp_path, gathered):
    wav(tmp_path / "calm" / "a.wav")
    for name in ("sad/b.ac3", "sad/c.WMA", "sad/notes.txt", "sad/Thumbs.db", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
    rows, reasons = gathered(folder.read(tmp_path))
    assert {row["path"] for row in rows.values()} == {"calm/a.wav", "sad/c.WMA"}
    assert reasons == {"sad/b.ac3": "its name does not end as that of audio does"}


def test_ids_of_many_rows_of_one_recording(wav, tmp_path, gathered):
    wav(tmp_path / "a.wav")
    times = [f"a.wav,calm,{n / 1000},{(n + 1) / 1000}" for n in range(5)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,start_sec,end_sec", *times]))
    rows, reasons = gathered(csv.read(tmp_path))
    assert len(rows) == 5 and not reasons and list(rows)[:2] == ["a", safe_id("a", ["a"])]
    assert list(rows) == list(gathered(csv.read(tmp_path))[0])


def test_csv_of_times_in_words_is_about_something_else(wav, tmp_path, gathered, caplog):
    wav(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("path,label,start_sec,end_sec\na.wav,calm,monday,\na.wav,sad,,\n")
    rows, _ = gathered(csv.read(tmp_path))
    assert [row["source_start_sec"] for row in rows.values()] == ["monday", ""]
    assert all("start_sec" not in row and math.isnan(row["end_sec"]) for row in rows.values())
    assert "column 'start_sec' says 'monday' and so on" in caplog.text
    (tmp_path / "t.csv").write_text("path,label,day\na.wav,calm,monday\n")
    with pytest.raises(AffectkitError, match="row 1: day 'monday' is not a number; write seconds"):
        list(csv.read(tmp_path, start_column="day"))


def test_csv_of_times_that_were_not_asked_for(wav, tmp_path, gathered, caplog):
    wav(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text("path,label,start,end\na.wav,calm,0,0.001\n")
    rows, _ = gathered(csv.read(tmp_path))
    assert rows["a"]["start"] == "0" and "--start-column start --end-column end" in caplog.text
    caplog.clear()
    rows, _ = gathered(csv.read(tmp_path, start_column="start", end_column="end"))
    assert (rows["a"]["start_sec"], rows["a"]["end_sec"]) == (0.0, 0.001) and not caplog.text


def test_folder_pattern_gives_columns(wav, tmp_path, gathered):
    for name in ("happy/s01_a.wav", "happy/b.wav"):
        wav(tmp_path / name)
    rows, reasons = gathered(folder.read(tmp_path, pattern=r"/(?P<speaker>s\d+)_"))
    assert rows["happy__s01_a"]["speaker"] == "s01" and reasons == {"happy/b.wav": "does not match --pattern"}
    with pytest.raises(AffectkitError, match="no regular expression"):
        folder.read(tmp_path, pattern="(")


@pytest.mark.parametrize("folder_name, split", [("", ""), ("jaffe", ""), ("train", "train")])
def test_folder_takes_the_label_from_names_that_tell_it(tmp_path, gathered, folder_name, split):
    names = {"KA.AN1.39.tiff": ("KA", "AN"), "KM.HA2.5.tiff": ("KM", "HA"), "readme.tiff": None}
    for name in names:
        (tmp_path / folder_name).mkdir(exist_ok=True)
        (tmp_path / folder_name / name).write_bytes(bytes(500))
    if split:
        (tmp_path / "test").mkdir()
    pattern = r"(?P<subject>[A-Z]{2})\.(?P<label>[A-Z]{2})\d"
    rows, reasons = gathered(folder.read(tmp_path, pattern=pattern))
    assert [(row["subject"], row["source_label"]) for row in rows.values()] == [cell for cell in names.values() if cell]
    assert {row["split"] for row in rows.values()} == {split} and list(reasons.values()) == ["does not match --pattern"]


def test_folder_of_images_or_texts(wav, tmp_path, gathered):
    for name in ("happy/1.jpg", "happy/1.png", "sad/2.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(500))
    (tmp_path / "sad" / "3.txt").write_bytes("caf\xe9".encode("latin-1"))
    rows, _ = gathered(folder.read(tmp_path))
    assert len(rows) == 3 and "happy__1" in rows and safe_id("happy/1", {"happy__1"}) in rows
    rows, _ = gathered(folder.read(tmp_path, media="text"))
    assert rows["sad__3"]["text"] == "café"
    wav(tmp_path / "sad" / "4.wav")
    with pytest.raises(AffectkitError, match="holds audio and images; choose with --media"):
        folder.read(tmp_path)


def test_ids_are_safe_and_stay_apart():
    assert safe_id("a/b.c-d_é") == "a__b.c-d_é"
    odd = [safe_id(text) for text in ("a b", "a:b", "a__b", "../x", "x" * 300, "")]
    assert len(set(odd)) == 6 and all(len(key) < 140 and "/" not in key and key[0] not in ".-" for key in odd)
    assert safe_id("a__b", {"a__b"}) != "a__b"


def save(root, **arrays_by_name):
    for name, array in arrays_by_name.items():
        np.save(root / f"{name}.npy", array)


def test_arrays_whose_names_or_groups_are_unusable(tmp_path, gathered):
    save(tmp_path, a_features=np.zeros((3, 4)), labels=np.linspace(0, 1, 15).reshape(3, 5))
    (tmp_path / "groups.csv").write_text("Group,SPLIT\np1,train\np1,train\np2,test\n")
    rows, _ = gathered(arrays.read(tmp_path))
    assert (rows["row000002"]["subject"], rows["row000002"]["split"]) == ("p2", "test")
    (tmp_path / "groups.csv").write_text("group,split\n")
    with pytest.raises(AffectkitError, match=r"groups\.csv: has no rows"):
        list(arrays.read(tmp_path))
    (tmp_path / "groups.csv").unlink()
    (tmp_path / "a_features.npy").rename(tmp_path / "m\udcfcller.npy")
    with pytest.raises(AffectkitError, match="its name is not UTF-8; rename it"):
        list(arrays.read(tmp_path))


def test_arrays_of_traits_with_groups(tmp_path, gathered):
    traits = np.linspace(0, 1, 15).reshape(3, 5)
    save(tmp_path, static_features=np.zeros((3, 4)), dynamic_features=np.zeros((3, 2, 6)), labels=traits)
    (tmp_path / "groups.csv").write_text("group,site,split\np1,x,train\np1,x,train\np2,y,test\n")
    rows, _ = gathered(arrays.read(tmp_path))
    last = rows["row000002"]
    assert (last["path_dynamic"], last["path_static"], last["array_index"]) == (
        "dynamic_features.npy",
        "static_features.npy",
        2,
    )
    assert [
        last[name] for name in ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    ] == list(traits[2])
    assert (last["subject"], last["site"], last["split"]) == ("p2", "y", "test")


def test_arrays_of_classes_and_of_named_numbers(tmp_path, gathered):
    save(tmp_path, features=np.zeros((2, 3)), labels=np.array(["sad", "happy"]), groups=np.array([7, 8]))
    rows, _ = gathered(arrays.read(tmp_path))
    assert [(row["source_label"], row["subject"]) for row in rows.values()] == [("sad", "7"), ("happy", "8")]
    save(tmp_path, labels=np.array([[1.0, 2.5], [3.0, np.nan]]))
    with pytest.raises(AffectkitError, match="has 2 columns, not 5; name them with --array-targets"):
        list(arrays.read(tmp_path))
    rows, _ = gathered(arrays.read(tmp_path, array_targets="stress=1:5,focus"))
    assert rows["row000000"]["focus"] == 2.5 and math.isnan(rows["row000001"]["focus"])
    assert arrays.targets(array_targets="stress=1:5,focus")[0].scale == (1.0, 5.0)


def test_arrays_mistakes_are_named(tmp_path):
    save(tmp_path, features=np.zeros((2, 3)), labels=np.zeros((3, 5)))
    with pytest.raises(AffectkitError, match=r"features\.npy: has 2 rows, labels\.npy has 3"):
        arrays.read(tmp_path)
    save(tmp_path, features=np.zeros((3, 3)), labels=np.full((3, 5), 7.0))
    with pytest.raises(AffectkitError, match="row 1: openness 7 is outside 0:1"):
        arrays.read(tmp_path)
    np.save(tmp_path / "features.npy", np.array([{}, {}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(AffectkitError, match="is no plain array"):
        arrays.read(tmp_path)
    (tmp_path / "features.npy").unlink()
    with pytest.raises(AffectkitError, match="holds labels but no features"):
        arrays.read(tmp_path)


class Runs:
    def __reduce__(self):
        return __import__("os").mkdir, ("HACKED",)


SOUND = {"static_features": np.zeros((3, 4)), "labels": np.linspace(0, 1, 15).reshape(3, 5)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"static_features": np.zeros((4, 4))}, r"static_features\.npy: has 4 rows, labels\.npy has 3"),
        ({"groups": np.array(["a", "b"])}, r"groups\.npy: has 2 rows, labels\.npy has 3"),
        ({"groups": np.zeros((3, 2))}, r"groups\.npy: is of shape \[3, 2\]; expected one group for each row"),
        ({"labels": np.zeros((3, 4))}, r"labels\.npy: has 4 columns, not 5; name them with --array-targets"),
        ({"labels": np.full((3, 5), -0.1)}, r"labels\.npy row 1: openness -0\.1 is outside 0:1"),
        ({"labels": np.array([0.1, np.inf, 0.3])}, r"labels\.npy row 2: value inf is outside -inf:inf"),
        ({"labels": np.zeros((3, 5, 2))}, r"labels\.npy: labels of shape \[3, 5, 2\] and type float64"),
        (
            {"labels": np.array([{}, {}, {}], dtype=object)},
            r"labels\.npy: is no plain array: it holds Python objects, which are never loaded",
        ),
        (
            {"static_features": np.array([Runs(), 1, 2], dtype=object)},
            r"static_features\.npy: is no plain array: it holds Python objects",
        ),
        ({"groups": np.array([Runs(), "a", "b"], dtype=object)}, r"groups\.npy: is no plain array"),
        (
            {"labels": b"\x80\x04\x8c\x05posix."},
            r"labels\.npy: is no plain array: it holds Python objects, which are never loaded",
        ),
        ({"labels": b""}, r"labels\.npy: is empty"),
        ({"labels": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'"}, r"labels\.npy: is no plain array"),
    ],
)
def test_bad_arrays_are_one_line_that_names_the_file(changed, told, affectkit, tmp_path, monkeypatch):
    root = tmp_path / "c"
    root.mkdir()
    for name, array in {**SOUND, **changed}.items():
        path = root / f"{name}.npy"
        if isinstance(array, bytes):
            path.write_bytes(array)
        else:
            np.save(path, array, allow_pickle=True)
    monkeypatch.chdir(tmp_path)
    error = affectkit("prepare-manifest", "arrays", root, "-o", tmp_path / "m", code=1).stderr
    assert re.search(told, error) and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "HACKED").exists() and not (tmp_path / "m").exists()


def test_arrays_of_any_order_and_width_say_the_same_and_labels_may_lack(affectkit, tmp_path):
    labels = np.linspace(0, 1, 60).reshape(12, 5)
    labels[3, 1:3] = labels[7, 2] = np.nan
    made = {"groups": np.array([[n // 3] for n in range(12)], float)}
    for name, kind in (("plain", np.float32), ("fortran", np.float64)):
        (tmp_path / name).mkdir()
        arrays_here = {"static_features": np.ones((12, 4), kind), "labels": labels.astype(kind), **made}
        save(tmp_path / name, **{n: np.asfortranarray(array) if name == "fortran" else array
                                 for n, array in arrays_here.items()})  # fmt: skip
        result = affectkit("prepare-manifest", "arrays", tmp_path / name, "-o", tmp_path / f"m_{name}")
        what = "labels.npy: labels that are NaN count as missing, of 12 rows: 1 of conscientiousness, 2 of extraversion"
        assert what in " ".join(result.stderr.split())
    one, other = (read_manifest(tmp_path / f"m_{name}").rows for name in ("plain", "fortran"))
    assert list(one["subject"]) == list(other["subject"]) and set(one["subject"]) == {"0.0", "1.0", "2.0", "3.0"}
    assert one["extraversion"].isna().sum() == 2
    np.testing.assert_allclose(one["openness"].to_numpy(float), other["openness"].to_numpy(float), atol=1e-6)


@pytest.fixture
def dataset(wav, tmp_path):
    import datasets
    import pyarrow

    data = wav(tmp_path / "x.wav").read_bytes()
    features = datasets.Features(
        audio=datasets.Audio(decode=False), emotion=datasets.ClassLabel(names=["sad", "happy"]),
        client=datasets.Value("string"), valence=datasets.Value("float32"), frames=[datasets.Value("float32")],
    )  # fmt: skip
    rows = [
        {"audio": {"bytes": data, "path": "a.wav"}, "emotion": 1, "client": "c 1", "valence": 0.5, "frames": [0.1]},
        {"audio": {"bytes": data, "path": None}, "emotion": -1, "client": None, "valence": None, "frames": [0.2]},
    ]
    # straight from Arrow: datasets itself encodes audio only with torchcodec
    table = pyarrow.Table.from_pylist(rows, schema=features.arrow_schema)
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features))


def test_huggingface_saved_splits(dataset, tmp_path, gathered):
    import datasets

    root = tmp_path / "saved"
    datasets.DatasetDict(train=dataset, validation=dataset).save_to_disk(str(root))
    rows, _ = gathered(huggingface.read(root, label_column="emotion", speaker_column="client"))
    first, second = rows["train_000001"], rows["validation_000002"]
    assert (first["source_label"], first["speaker"], first["valence"], first["split"]) == ("happy", "c 1", 0.5, "train")
    assert (second["source_label"], second["speaker"], second["split"]) == ("", "", "val")
    assert math.isnan(second["valence"]) and "frames" not in first
    assert re.fullmatch(r"media/train_000001-[0-9a-f]{16}\.wav", first["path"])
    assert (root / second["path"]).read_bytes() == (tmp_path / "x.wav").read_bytes()


def test_huggingface_one_split_is_no_official_split(dataset, tmp_path, gathered):
    dataset.save_to_disk(str(tmp_path / "saved"))
    media = tmp_path / "elsewhere"
    rows, _ = gathered(huggingface.read(tmp_path / "saved", label_column="emotion", media_dir=str(media)))
    assert [row["split"] for row in rows.values()] == ["", ""]
    names = [Path(row["path"]).name.partition("-")[0] for row in rows.values()]
    assert names == ["000001", "000002"] and all(Path(row["path"]).parent == media for row in rows.values())


@pytest.mark.parametrize("revised", [False, True], ids=["another dataset", "a revision at the same place"])
def test_huggingface_recordings_of_equal_length_stay_apart(tone, tmp_path, gathered, revised):
    import datasets

    for turn, pitches in enumerate(((200, 300, 400), (300, 250, 200))):
        data = [tone(tmp_path / f"{turn}{pitch}.wav", 0.1, pitch=pitch).read_bytes() for pitch in pitches]
        audio = [{"bytes": sound, "path": f"{n}.wav"} for n, sound in enumerate(data)]
        features = datasets.Features(audio=datasets.Audio(decode=False), label=datasets.Value("string"))
        saved = tmp_path / ("set" if revised else f"set{turn}")
        shutil.rmtree(saved / "data", ignore_errors=True)
        table = pyarrow.Table.from_pylist([{"audio": a, "label": "x"} for a in audio], schema=features.arrow_schema)
        datasets.Dataset(table, info=datasets.DatasetInfo(features=features)).save_to_disk(str(saved / "data"))
        rows, _ = gathered(huggingface.read(saved / "data", media_dir=str(tmp_path / "media")))
        assert [Path(row["path"]).read_bytes() for row in rows.values()] == data


def test_huggingface_parts_without_rows(dataset, tmp_path, gathered):
    import datasets

    empty = dataset.select([])
    datasets.DatasetDict(train=dataset, test=empty).save_to_disk(str(tmp_path / "half"))
    rows, _ = gathered(huggingface.read(tmp_path / "half", label_column="emotion"))
    assert len(rows) == 2
    empty.save_to_disk(str(tmp_path / "none"))
    with pytest.raises(AffectkitError, match="is no readable dataset: it holds no rows"):
        huggingface.read(tmp_path / "none", label_column="emotion")


def test_huggingface_columns_of_lists_and_media_that_cannot_be_written(dataset, tmp_path, gathered, caplog):
    root = tmp_path / "saved"
    dataset.save_to_disk(str(root))
    rows, _ = gathered(huggingface.read(root, label_column="emotion", text_column="frames"))
    assert len(rows) == 2 and "column 'frames' holds lists" in caplog.text
    (root / rows["000001"]["path"]).unlink()
    (root / rows["000001"]["path"]).mkdir()
    with pytest.raises(AffectkitError, match="cannot be written"):
        list(huggingface.read(root, label_column="emotion"))


def test_huggingface_folder_of_parquet_files(dataset, tmp_path, gathered):
    (tmp_path / "hub").mkdir()
    dataset.to_parquet(str(tmp_path / "hub" / "train-00000-of-00001.parquet"))
    rows, _ = gathered(huggingface.read(tmp_path / "hub", label_column="emotion"))
    assert [row["source_label"] for row in rows.values()] == ["happy", ""]


def test_huggingface_mistakes_are_named(dataset, tmp_path):
    dataset.save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(AffectkitError, match="has no column 'emotoin'; did you mean emotion"):
        list(huggingface.read(tmp_path / "saved", label_column="emotoin"))
    # no network: the tests' conftest sets HF_HUB_OFFLINE
    with pytest.raises(AffectkitError, match=r"'nobody/no-such-dataset'.*save_to_disk"):
        list(huggingface.read(Path("nobody/no-such-dataset")))


# Images, through prepare-manifest: files are looked at by their headers


@pytest.fixture
def image(tmp_path):
    """Write a small picture that is unlike every other one: `image("happy/1.png")`."""
    from PIL import Image

    made = iter(range(100))

    def write(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(next(made)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(path)
        return path

    return write


def manifest_rows(folder):
    from affectkit.artifacts.manifest import read_manifest

    return {row["id"]: row for row in read_manifest(folder).rows.to_dict("records")}


def test_label_folders_of_images_as_a_manifest(affectkit, image, tmp_path):
    names = [f"{part}/{label}/{n}.{ending}" for n, (part, label, ending) in enumerate(
        (part, label, ending) for part in ("train", "val", "test") for label in ("happy", "sad")
        for ending in ("jpg", "PNG", "webp")
    )]  # fmt: skip
    for name in names:
        image(f"corpus/{name}")
    affectkit("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "m")
    rows = manifest_rows(tmp_path / "m")
    assert {row["path"] for row in rows.values()} == set(names)
    assert {row["label"] for row in rows.values()} == {"happy", "sad"}
    assert rows["train__happy__0"]["split"] == "train" and "duration_sec" not in rows["train__happy__0"]


def test_a_table_of_images_carries_faces_and_landmarks(affectkit, image, tmp_path):
    for n in range(4):
        image(f"pictures/{n}.png")
    landmarks = ";".join(f"{v / 7:.3f}" for v in range(136))
    header = "path,split,valence,arousal,face_x,face_y,face_width,face_height,landmarks,person_x,width\n"
    lines = [f"pictures/{n}.png,train,{n}.5,-1,{n},2.25,30,-1,{landmarks},," for n in range(3)]
    lines.append("pictures/3.png,test,,,,,,,,7,64")
    (tmp_path / "table.csv").write_text(header + "\n".join(lines) + "\n")
    affectkit("prepare-manifest", "csv", tmp_path / "table.csv", "-o", tmp_path / "m")
    rows = manifest_rows(tmp_path / "m")
    first, last = rows["pictures__0"], rows["pictures__3"]
    assert (first["face_x"], first["face_y"], first["face_height"], first["landmarks"]) == (
        "0",
        "2.25",
        "-1",
        landmarks,
    )
    assert (first["valence"], first["arousal"]) == (0.5, -1.0)
    assert (last["face_x"], last["landmarks"], last["person_x"], last["width"]) == ("", "", "7", "64")
    assert math.isnan(last["valence"])


def test_bad_images_stop_or_are_dropped_with_the_reason(affectkit, image, tmp_path):
    import json

    for n in range(8):
        image(f"corpus/{'train' if n < 5 else 'test'}/happy/{n}.png")
    good = (tmp_path / "corpus/train/happy/0.png").read_bytes()
    (tmp_path / "corpus/train/happy/0.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "corpus/train/happy/1.png").write_bytes(b"no picture")
    (tmp_path / "corpus/test/happy/7.png").write_bytes(b"")
    stopped = affectkit("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "m", code=1)
    assert "7.png: is empty (0 bytes)" in stopped.output
    affectkit("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "k", "--on-error", "skip")
    summary = json.loads((tmp_path / "k" / "summary.json").read_text())
    reasons = {item["path"]: item["reason"] for item in summary["dropped"]}
    assert "is truncated" in reasons["train/happy/0.png"]
    assert reasons["train/happy/1.png"] == "is not an image"
    assert reasons["test/happy/7.png"] == "is empty (0 bytes)"
    assert len(manifest_rows(tmp_path / "k")) == summary["rows"] == 5 and summary["hours"] is None


def test_images_have_no_duration(affectkit, image, tone, tmp_path):
    for part in ("train", "test"):
        image(f"corpus/{part}/happy/{part}.png")
    refused = ("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "m", "--min-duration", "1")
    assert "nothing here has a duration" in affectkit(*refused, code=2).output
    for n, seconds in enumerate((0.3, 2)):  # beside sound they are kept, whatever sound must last
        tone(tmp_path / "mixed" / f"{n}.wav", seconds=seconds, pitch=200 + 50 * n)
    image("mixed/a.png")
    image("mixed/b.png")
    table = "path,split,label\n0.wav,train,x\n1.wav,train,x\na.png,test,y\nb.png,val,y\n"
    (tmp_path / "mixed" / "t.csv").write_text(table)
    affectkit("prepare-manifest", "csv", tmp_path / "mixed", "-o", tmp_path / "k", "--min-duration", "1")
    rows = manifest_rows(tmp_path / "k")
    assert set(rows) == {"1", "a", "b"} and rows["1"]["duration_sec"] == 2.0 and math.isnan(rows["a"]["duration_sec"])


def test_a_copy_of_an_image_in_another_split_is_a_leak(affectkit, image, tmp_path):
    from PIL import Image

    for n in range(6):
        image(f"corpus/{'train' if n < 4 else 'test'}/happy/{n}.png")
    with Image.open(tmp_path / "corpus/train/happy/0.png") as original:
        original.save(tmp_path / "corpus/test/happy/copy.bmp")
        original.resize((32, 24)).save(tmp_path / "corpus/test/happy/small.jpg", quality=80)
    found = affectkit("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "m", code=1)
    assert "identical media: 1 of 8" in found.output and "near-identical" not in found.output
    (tmp_path / "corpus/test/happy/copy.bmp").unlink()
    affectkit("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "k")
    near = ("prepare-manifest", "folder", tmp_path / "corpus", "-o", tmp_path / "n", "--audit", "near")
    assert "near-identical media: 1 of 7" in affectkit(*near, code=1).output
    affectkit(*near, "--allow-leaks", "media", "--overwrite")


@pytest.mark.parametrize(
    ("name", "file", "before", "after"),
    [
        ("emobank", "emobank.csv", ",dev,", ",Validation,"),
        ("msp_podcast", "Labels/labels_consensus.csv", "Development", "dev"),
        ("esd", "", "evaluation", "dev"),
        ("esd", "", "evaluation", "eval"),
    ],
)
def test_parts_that_a_copy_of_a_corpus_calls_otherwise(tmp_path, name, file, before, after):
    module = import_module(f"affectkit.corpora.{name}")
    module.synthesize(tmp_path, size=40, speakers=6, seed=0)
    expected = {item["id"]: item["split"] for item in module.read(tmp_path) if isinstance(item, dict)}
    assert "val" in expected.values()
    if file:
        text = (tmp_path / file).read_text(encoding="utf-8")
        (tmp_path / file).write_text(text.replace(before, after), encoding="utf-8")
    for place in [] if file else list(tmp_path.rglob(before)):
        place.rename(place.with_name(after))
    assert {item["id"]: item["split"] for item in module.read(tmp_path) if isinstance(item, dict)} == expected
