import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.manifest import read_manifest, row_weights, write_manifest
from affectkit.errors import AffectkitError

SUMMARY = {
    "corpora": {"emodb": {"root": "/data/emodb"}},
    "targets": [
        {"name": "label", "kind": "class", "classes": ["anger", "neutral"]},
        {"name": "valence", "kind": "number", "scale": [1, 5]},
    ],
    "declared": ["sentences are shared"],
}


def rows(**columns):
    base = {
        "id": ["a", "b", "c"],
        "corpus": "emodb",
        "path": ["wav/a.wav", "wav/b.wav", "/elsewhere/c.wav"],
        "label": ["anger", "neutral", ""],
        "valence": [1.5, np.nan, 3.0],
        "text": ["None", "", 'é, "x"'],
        "split": ["train", "val", "test"],
    }
    return pd.DataFrame({**base, **columns})


def test_what_is_written_is_read_back(tmp_path):
    write_manifest(tmp_path, rows(), SUMMARY, {"classes": ["anger", "neutral"], "map": {}})
    manifest = read_manifest(tmp_path)
    assert list(manifest.rows["id"]) == ["a", "b", "c"]
    assert list(manifest.rows["text"]) == ["None", "", 'é, "x"']
    np.testing.assert_array_equal(manifest.rows["valence"], [1.5, np.nan, 3.0])
    assert manifest.targets["label"].classes == ("anger", "neutral")
    assert manifest.targets["valence"].scale == (1, 5)
    assert manifest.declared() == ["sentences are shared"]
    assert sorted(p.name for p in tmp_path.glob("*.csv")) == ["test.csv", "train.csv", "val.csv"]


def test_paths_start_from_the_root_that_is_given_else_the_corpus_else_the_folder(tmp_path):
    write_manifest(tmp_path, rows(), SUMMARY, {})
    assert [str(p) for p in read_manifest(tmp_path).media()] == [
        "/data/emodb/wav/a.wav", "/data/emodb/wav/b.wav", "/elsewhere/c.wav"
    ]  # fmt: skip
    assert str(read_manifest(tmp_path, media_root=tmp_path / "m").media()[0]) == str(tmp_path / "m/wav/a.wav")
    (tmp_path / "summary.json").unlink()
    assert read_manifest(tmp_path).media()[0] == tmp_path / "wav/a.wav"


def test_a_split_is_a_filter(tmp_path):
    write_manifest(tmp_path, rows(), SUMMARY, {})
    assert list(read_manifest(tmp_path, split="val").rows["id"]) == ["b"]
    assert list(read_manifest(tmp_path / "val.csv").rows["split"]) == ["val"]
    with pytest.raises(AffectkitError, match="no rows of split 'spare'; there are test, train, val"):
        read_manifest(tmp_path, split="spare")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["anger", "exc", ""]}, r"val\.csv row 1: label 'exc' is not in anger, neutral; map it with"),
        ({"valence": ["1.5", "low", ""]}, r"val\.csv row 1: valence 'low' is not a number"),
        ({"id": ["a", "b", "a"]}, r"test\.csv row 1: id 'a' stands already in train\.csv row 1"),
        ({"id": ["a", "", "c"]}, r"val\.csv row 1: the id is empty"),
    ],
)
def test_a_bad_cell_is_named_with_its_file_and_row(tmp_path, change, message):
    write_manifest(tmp_path, rows(**change), SUMMARY, {})
    with pytest.raises(AffectkitError, match=message):
        read_manifest(tmp_path)


def test_an_unfinished_manifest_is_refused(tmp_path):
    write_manifest(tmp_path, rows(), SUMMARY, {})
    write_json(tmp_path / "started.json", {})
    for path in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(AffectkitError, match="is unfinished"):
            read_manifest(path)


def test_folders_without_rows_or_tables_are_refused(tmp_path):
    with pytest.raises(AffectkitError, match="no such manifest"):
        read_manifest(tmp_path / "none")
    with pytest.raises(AffectkitError, match=r"holds no train\.csv"):
        read_manifest(tmp_path)
    (tmp_path / "train.csv").write_text("id,path\n")
    with pytest.raises(AffectkitError, match="has no rows"):
        read_manifest(tmp_path)


def test_a_bare_csv_is_a_manifest_and_its_targets_are_recognised(tmp_path):
    (tmp_path / "mine.csv").write_text("id,label,arousal\n1,sad,0.5\n2,happy,\n")
    targets = read_manifest(tmp_path / "mine.csv").targets
    assert targets["label"].classes == ("happy", "sad")
    assert targets["arousal"].kind == "number"


def test_chosen_targets(tmp_path):
    write_manifest(tmp_path, rows(), SUMMARY, {})
    manifest = read_manifest(tmp_path)
    assert [t.name for t in manifest.chosen_targets(None)] == ["label"]
    assert [t.name for t in manifest.chosen_targets("valence, label")] == ["valence", "label"]
    with pytest.raises(AffectkitError, match="no target 'arousal'; its targets are label, valence"):
        manifest.chosen_targets("arousal")


def test_parts_are_read_by_their_usual_names(tmp_path):
    for name, key in (("Train", "a"), ("dev", "b"), ("test", "c"), ("notes", "d"), ("test_predictions", "e")):
        (tmp_path / f"{name}.csv").write_text(f"id,label\n{key},joy\n")
    assert read_manifest(tmp_path).rows.set_index("id")["split"].to_dict() == {"a": "train", "b": "val", "c": "test"}
    (tmp_path / "m.csv").write_text("id,split\na,TRAIN\nb,validation\nc,test_clean\n")
    assert list(read_manifest(tmp_path / "m.csv").rows["split"]) == ["train", "val", "test"]
    assert list(read_manifest(tmp_path / "m.csv", split="dev").rows["id"]) == ["b"]


def test_an_unknown_split_is_refused_with_its_row(tmp_path):
    (tmp_path / "m.csv").write_text("id,split\na,train\nb,trian\nc,test\n")
    with pytest.raises(AffectkitError, match=r"m\.csv row 2: split 'trian' is not in train, val, test; correct it"):
        read_manifest(tmp_path / "m.csv")


def test_rows_without_a_split_are_counted_and_a_column_of_another_meaning_is_set_aside(tmp_path, caplog):
    (tmp_path / "m.csv").write_text("id,split\na,train\nb,\nc,test\n")
    assert list(read_manifest(tmp_path / "m.csv").rows["split"]) == ["train", "", "test"]
    assert "1 of 3 rows have no split" in caplog.text
    (tmp_path / "m.csv").write_text("id,split\na,left\nb,right\n")
    rows = read_manifest(tmp_path / "m.csv").rows
    assert "split" not in rows and list(rows["source_split"]) == ["left", "right"]
    assert "'left' and so on, not train, val, test: it is carried as source_split" in caplog.text


def test_labels_of_a_bare_table_that_differ_by_case_are_named(tmp_path, caplog):
    (tmp_path / "m.csv").write_text("id,label\na,joy\nb,Joy\n")
    assert read_manifest(tmp_path / "m.csv").targets["label"].classes == ("Joy", "joy")
    assert "['Joy', 'joy'] differ by case" in caplog.text


def test_numbers_outside_their_scale_are_counted(tmp_path, caplog):
    write_manifest(tmp_path, rows(valence=[0.9, 3.0, 77.0]), SUMMARY, {})
    read_manifest(tmp_path)
    assert "2 rows have a valence outside its scale 1 to 5, as 0.9 of 'a'" in caplog.text


def test_ends_of_a_scale_are_on_it(tmp_path, caplog):
    write_manifest(tmp_path, rows(valence=[1.0, np.nan, 5.0]), SUMMARY, {})
    read_manifest(tmp_path)
    assert "outside its scale" not in caplog.text


@pytest.mark.parametrize(
    ("label", "message"), [("1.0", "labels ['1', '1.0']"), ("NaN", "label 'NaN' counts as a class")]
)
def test_labels_that_a_tool_may_have_made_are_pointed_at(tmp_path, caplog, label, message):
    (tmp_path / "all.csv").write_text(f"id,label,split\na,1,train\nb,2,train\nc,{label},test\n")
    read_manifest(tmp_path / "all.csv")
    assert message in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpora": {"emodb": {"language": [1]}}}, "'language' is not text"),
        ({"corpora": {"emodb": {"synthetic": "no"}}}, "'synthetic' is not true or false"),
        ({"defects": [["text"]]}, r"'defects'\[0\] is not a kind of leak and a sentence"),
    ],
)
def test_a_damaged_summary_is_refused_by_field(tmp_path, change, message):
    write_manifest(tmp_path, rows(), SUMMARY | change, {})
    with pytest.raises(AffectkitError, match=message):
        read_manifest(tmp_path)


# --- How much rows count


def of_corpora(tmp_path, cells):
    path = tmp_path / "m.csv"
    lines = [f"r{n},{cell}" for n, cell in enumerate(cells)]
    path.write_text("\n".join(["id,corpus", *lines]) + "\n")
    return read_manifest(path)


def test_row_weights_by_value_and_by_a_column(tmp_path):
    rows = of_corpora(tmp_path, ["casia", "esd", "casia", "other"])
    weights = row_weights(rows, "corpus:casia=1,esd=1.5", np.array([0, 1, 2]))
    np.testing.assert_array_equal(weights, [1, 1.5, 1, np.nan])
    np.testing.assert_array_equal(row_weights(of_corpora(tmp_path, ["2", "0"]), "corpus", np.array([0, 1])), [2, 0])


@pytest.mark.parametrize(
    ("cells", "text", "message", "row"),
    [
        (["casia", "esd"], "corpus:casia=1", "corpus 'esd' has no weight; add esd=1", 2),
        (["casia", "esd"], "corpus:casia=1,esd=1,iemocap=2", "no row has the corpus 'iemocap'", None),
        (["casia", "esd"], "corpus:casia=1,esd=-1", "'esd=-1' is not value=weight", None),
        (["casia", "esd"], "corpus:casia=1,esd", "'esd' is not value=weight", None),
        (["casia", "esd"], "corpus:casia=1,esd=inf", "is not value=weight", None),
        (["casia", "esd"], "corpora:casia=1", "there is no column 'corpora'", None),
        (["casia", "esd"], "corpus:casia=0,esd=0", "all train rows weigh 0", None),
        (["1", "x"], "corpus", "corpus 'x' is not a number", 2),
        (["1", ""], "corpus", "corpus '' is no weight", 2),
        (["1", "-2"], "corpus", "corpus '-2' is no weight", 2),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path, cells, text, message, row):
    with pytest.raises(AffectkitError) as caught:
        row_weights(of_corpora(tmp_path, cells), text, np.array([0, 1]))
    assert message in str(caught.value) and caught.value.row == row
