import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix, vstack

from affectkit.artifacts.feature_writer import FeatureWriter
from affectkit.artifacts.features import read_features
from affectkit.artifacts.table_features import FeatureSet, called, feature_sets
from affectkit.errors import AffectkitError

RNG = np.random.default_rng(0)
PLAN = [["a", "b", "c"], ["d"], ["e", "f"]]
IDS = [key for shard in PLAN for key in shard]


def encoder(**facts):
    return {"encoder": "fake", "options": {}, "pooled": True, "dim": 4, "feature_names": None, **facts}


def write(folder, values, skipped=(), **facts):
    """Features of PLAN; values: by id. skipped: (id, reason)."""
    folder.mkdir(exist_ok=True)
    writer = FeatureWriter(folder, encoder(**facts), PLAN)
    reasons = dict(skipped)
    for number, ids in enumerate(PLAN):
        kept = [key for key in ids if key not in reasons]
        part = [values[key] for key in kept]
        part = vstack(part, format="csr") if facts.get("sparse") and part else part
        writer.write(number, part, kept, [(key, reasons[key]) for key in ids if key in reasons], {"odd": 1})
    return writer.finish()


def test_pooled_rows_come_back_in_the_order_asked_for(tmp_path):
    values = {key: RNG.standard_normal(4).astype("float32") for key in IDS}
    written = write(tmp_path / "f", values, feature_names=["w", "x", "y", "z"])
    assert (written.rows, written.shards, written.counts) == (6, 3, {"odd": 3})
    features = read_features(tmp_path / "f")
    assert features.ids == IDS and features.names == ["w", "x", "y", "z"]
    asked = ["f", "a", "d", "a"]
    np.testing.assert_array_equal(features.matrix(asked), np.stack([values[key] for key in asked]))
    np.testing.assert_array_equal(np.stack(list(features.frames(asked))), features.matrix(asked))
    assert features.matrix(asked).dtype == np.float32
    assert features.matrix([]).shape == (0, 4)


def test_index_says_where_each_row_lies(tmp_path):
    values = {key: np.full((length, 2), length, "float32") for length, key in enumerate(IDS, start=1)}
    write(tmp_path / "f", values, pooled=False, dim=2)
    lines = (tmp_path / "f" / "index.csv").read_text().splitlines()
    assert lines[0] == "id,shard,start,frames"
    assert lines[3] == "c,features-00001.safetensors,3,3"
    assert lines[6] == "f,features-00003.safetensors,5,6"


def test_frames_come_one_row_at_a_time_and_are_no_matrix(tmp_path):
    values = {key: RNG.standard_normal((length, 3, 2)).astype("float32") for length, key in enumerate(IDS, start=1)}
    write(tmp_path / "f", values, pooled=False, dim=2, layers=3)
    features = read_features(tmp_path / "f")
    for key, frames in zip(["e", "b", "c"], features.frames(["e", "b", "c"]), strict=True):
        np.testing.assert_array_equal(frames, values[key])
    with pytest.raises(AffectkitError, match=r"holds frames.*--pool mean"):
        features.matrix(["a"])


def test_layers_are_refused_unless_one_is_named_or_they_are_averaged(tmp_path):
    values = {key: RNG.standard_normal((3, 2)).astype("float32") for key in IDS}
    write(tmp_path / "f", values, dim=2, layers=3)
    features = read_features(tmp_path / "f")
    with pytest.raises(AffectkitError, match="holds 3 layers per row; extract with --layer last"):
        features.matrix(["a"])
    np.testing.assert_array_equal(features.matrix(["b"], layer=1)[0], values["b"][1])
    np.testing.assert_allclose(features.matrix(["b"], layer="mean")[0], values["b"].mean(axis=0), rtol=1e-6)
    with pytest.raises(AffectkitError, match="has no layer 3; its layers are 0 to 2"):
        features.matrix(["b"], layer=3)
    np.testing.assert_array_equal(next(features.frames(["b"])), values["b"])


def test_sparse_rows_come_back_as_csr(tmp_path):
    dense = {key: np.where(RNG.random(50) < 0.1, RNG.standard_normal(50), 0).astype("float32") for key in IDS}
    write(tmp_path / "f", {key: csr_matrix(row) for key, row in dense.items()}, sparse=True, dim=50)
    matrix = read_features(tmp_path / "f").matrix(["f", "a", "e"])
    assert isinstance(matrix, csr_matrix) and matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), np.stack([dense[key] for key in ["f", "a", "e"]]))


def test_missing_ids_are_named_with_the_reason(tmp_path):
    values = {key: np.ones(4, "float32") for key in IDS}
    write(tmp_path / "f", values, skipped=[("d", "d.wav: is empty")])
    features = read_features(tmp_path / "f")
    assert features.ids == ["a", "b", "c", "e", "f"]
    assert features.missing(["a", "d", "zz"]) == ["d", "zz"]
    with pytest.raises(
        AffectkitError, match=r"id 'd', skipped: d.wav: is empty \(2 of 3 ids are missing\).*--missing drop"
    ):
        features.matrix(["a", "d", "zz"])
    with pytest.raises(AffectkitError, match=r"id 'zz' \(1 of 1"):
        list(features.frames(["zz"]))


def test_a_run_in_which_every_row_was_skipped_says_why(tmp_path):
    with pytest.raises(AffectkitError, match="no row could be encoded; the first, a: broken"):
        write(tmp_path / "f", {}, skipped=[(key, "broken") for key in IDS])


def test_equal_content_is_equal_bytes_and_a_shard_stands_for_itself(tmp_path):
    values = {key: RNG.standard_normal(4).astype("float32") for key in IDS}
    for name in ("f", "g"):
        write(tmp_path / name, values, skipped=[("b", "x")])
    for file in sorted((tmp_path / "f").iterdir()):
        assert file.read_bytes() == (tmp_path / "g" / file.name).read_bytes()
    again = FeatureWriter(tmp_path / "f", encoder(), PLAN)
    assert all(again.has(number) for number in range(3))


@pytest.mark.parametrize(
    ("facts", "plan", "message"),
    [
        ({"weights": "other"}, PLAN, "written by another encoder, or other weights"),
        ({}, [["a", "b"], ["c", "d"], ["e", "f"]], "holds other rows than the manifest"),
    ],
)
def test_resuming_refuses_shards_of_another_plan(tmp_path, facts, plan, message):
    write(tmp_path / "f", {key: np.ones(4, "float32") for key in IDS})
    with pytest.raises(AffectkitError, match=message):
        FeatureWriter(tmp_path / "f", encoder(**facts), plan).has(0)


def test_a_damaged_shard_is_named(tmp_path):
    write(tmp_path / "f", {key: np.ones(4, "float32") for key in IDS})
    shard = tmp_path / "f" / "features-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(AffectkitError, match=r"features-00002.safetensors: is not a whole shard"):
        read_features(tmp_path / "f").matrix(["d"])
    shard.unlink()
    with pytest.raises(AffectkitError, match=r"features-00002.safetensors: no such shard"):
        read_features(tmp_path / "f").matrix(["d"])


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "complex64"])
@pytest.mark.parametrize(("sparse", "name"), [(True, "data"), (False, "values")])
def test_a_shard_of_another_type_is_refused(tmp_path, sparse, name, dtype):
    row = csr_matrix([[0.0, 1.0]]) if sparse else np.ones((2, 2), "float32")
    write(tmp_path / "f", dict.fromkeys(IDS, row), sparse=sparse, pooled=sparse, dim=2)
    shard = tmp_path / "f" / "features-00001.safetensors"
    with safe_open(shard, "numpy") as handle:
        metadata, stored = handle.metadata(), {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    save_file(stored | {name: stored[name].astype(dtype)}, shard, metadata)
    with pytest.raises(AffectkitError, match=f"its {name} are .*, not F32"):
        features = read_features(tmp_path / "f")
        features.matrix(["a"]) if sparse else list(features.frames(["a"]))


def test_a_csv_of_named_columns_is_features(tmp_path):
    (tmp_path / "f.csv").write_text("id,pitch,age\nNone,1.5,\nnan,2,30\n")
    features = read_features(tmp_path / "f.csv")
    assert features.pooled and not features.sparse and features.names == ["pitch", "age"]
    np.testing.assert_array_equal(features.matrix(["nan", "None"]), [[2, 30], [1.5, np.nan]])
    np.testing.assert_array_equal(next(features.frames(["nan"])), [2, 30])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\na,1\na,2\n", "row 2: id 'a' stands twice"),
        ("id,x\na,1\nb,high\n", "row 2: x 'high' is not a number"),
        ("id\na\n", "holds no features"),
        ("name,x\na,1\n", "has no column 'id'"),
    ],
)
def test_a_csv_that_is_no_features_is_refused_by_row(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(AffectkitError, match=message):
        read_features(tmp_path / "f.csv")


def test_missing_and_unfinished_folders_are_refused(tmp_path):
    with pytest.raises(AffectkitError, match="no such features"):
        read_features(tmp_path / "none")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "started.json").write_text("{}")
    with pytest.raises(AffectkitError, match="is unfinished"):
        read_features(tmp_path / "f")


def test_features_are_read_without_torch(tmp_path):
    write(tmp_path / "f", {key: np.ones(4, "float32") for key in IDS})
    code = (
        "import sys; from affectkit.artifacts.features import read_features;"
        f"print(read_features({str(tmp_path / 'f')!r}).matrix(['a']).sum());"
        "assert not {'torch', 'transformers', 'accelerate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "4.0\n", done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("a,features-00001.safetensors,0,1", "a,../secret.safetensors,0,1"), r"row 1: '\.\./secret"),
        (("b,features-00001.safetensors,1,1", "b,features-00001.safetensors,-1,1"), "row 2: start '-1' is not a whole"),
        (
            ("b,features-00001.safetensors,1,1", "b,features-00001.safetensors,.5,1"),
            r"row 2: start '\.5' is not a whole",
        ),
        (("c,features-00001.safetensors,2,1", "c,features-00001.safetensors,3,1"), "row 3: points at 4 in .* holds 3"),
        (("b,features", "a,features"), "row 2: id 'a' stands twice"),
        (("a,features-00001.safetensors,0,1", "a,features-00001.safetensors,1e308,1"), "row 1: start '1e308'"),
        (("a,features-00001.safetensors,0,1", "a,features-00001.safetensors,0,2"), "row 1: frames is 2, and each row"),
        (("a,features-00001.safetensors,0,1", "a,features-00001.safetensors,0,0"), "row 1: frames is 0, and each row"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(tmp_path, change, message):
    write(tmp_path / "f", {key: RNG.standard_normal(4).astype("float32") for key in IDS})
    index = tmp_path / "f" / "index.csv"
    assert change[0] in index.read_text()
    index.write_text(index.read_text().replace(*change, 1))
    with pytest.raises(AffectkitError, match=message):
        read_features(tmp_path / "f")


def test_an_index_without_rows_is_refused(tmp_path):
    write(tmp_path / "f", {key: RNG.standard_normal(4).astype("float32") for key in IDS})
    index = tmp_path / "f" / "index.csv"
    index.write_text(index.read_text().splitlines()[0] + "\n")
    with pytest.raises(AffectkitError, match="holds no features"):
        read_features(tmp_path / "f")


def test_a_record_that_is_none_and_columns_that_there_are_not_are_refused(tmp_path):
    values = {key: csr_matrix(np.eye(4, dtype="float32")[[n % 4]]) for n, key in enumerate(IDS)}
    write(tmp_path / "f", values, sparse=True)
    record = (tmp_path / "f" / "encoder.json").read_text()
    (tmp_path / "f" / "encoder.json").write_text(record.replace('"dim": 4', '"dim": 2'))
    with pytest.raises(AffectkitError, match="is damaged"):
        read_features(tmp_path / "f").matrix(IDS)
    (tmp_path / "f" / "encoder.json").write_text("{}")
    with pytest.raises(AffectkitError, match="is no encoder record: it has no 'encoder'"):
        read_features(tmp_path / "f")


def test_sets_have_the_names_that_they_are_given_unless_the_text_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    texts = [
        "static=runs/static",
        "a=b",
        "runs/dynamic",
        "x/dynamic",
        "age=manifest:age",
        "manifest:age,sex",
        "r/x=y/z",
    ]
    sets = feature_sets(texts)
    assert sets[0] == FeatureSet(Path("runs/static"), "static") and sets[4] == FeatureSet(Path("manifest:age"), "age")
    assert [each.name for each in sets] == ["static", "", "", "", "age", "", ""]
    assert sets[6].path == Path("r/x=y/z")
    assert called(sets) == ["static", "a=b", "dynamic", "dynamic-2", "age", "manifest", "z"]
    assert called(feature_sets(["x/s", "y/s", "s-2=z", "s-3=w"])) == ["s", "s-4", "s-2", "s-3"]
    assert called(feature_sets(["r/x-2", "r/x", "s/x"])) == ["x-2", "x", "x-3"]
    with pytest.raises(AffectkitError, match="the name 'a' stands twice"):
        feature_sets(["a=b/c", "a=d"])
    assert feature_sets([" a =b"])[0].name == "a"


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "", "a\nb", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(AffectkitError, match="cannot be a set's name"):
        feature_sets([f"{name}={tmp_path}"])
