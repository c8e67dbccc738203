"""`.npy` files as features: joined by a manifest's array_index, never by position."""

import pickle

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.array_features import open_array_features
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.table_features import open_features
from affectkit.encoders import arrays
from affectkit.encoders._encoder import items, record
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError

N = 7
RNG = np.random.default_rng(0)


def manifest_of(folder, index=None, **paths):
    """Rows r0, r1, ... whose places in the arrays run backwards."""
    index = list(range(N))[::-1] if index is None else index
    columns = {f"path_{name}": [path] * len(index) for name, path in paths.items()}
    rows = {"id": [f"r{row}" for row in range(len(index))], "path": "", **columns, "array_index": index}
    pd.DataFrame(rows).to_csv(folder / "m.csv", index=False)
    return read_manifest(folder / "m.csv")


ARRAYS = {
    "vectors": RNG.normal(size=(N, 3)).astype(np.float32),
    "float64": RNG.normal(size=(N, 3)),
    "integers": RNG.integers(0, 9, (N, 3)),
    "fortran": np.asfortranarray(RNG.normal(size=(N, 5, 3))),
    "sequences": RNG.normal(size=(N, 5, 3)).astype(np.float32),
    "layers": RNG.normal(size=(N, 5, 2, 3)).astype(np.float16),
    "big-endian": RNG.normal(size=(N, 5, 3)).astype(">f8"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_it_is_what_the_encoder_arrays_gives_to_the_bit(tmp_path, kind):
    array = ARRAYS[kind]
    np.save(tmp_path / "x_features.npy", array)
    manifest = manifest_of(tmp_path, x="x_features.npy")
    features = open_features(tmp_path / "x_features.npy", manifest)
    encoder = arrays.build(array="x", pool="mean" if array.ndim == 2 else "none")
    expected = encode_items(encoder, items(manifest, encoder)).values
    ids = [f"r{row}" for row in (3, 0, 6)]
    for found, row in zip(features.frames(ids), (3, 0, 6), strict=True):
        np.testing.assert_array_equal(found, expected[row])
        np.testing.assert_array_equal(found, array[N - 1 - row].astype(np.float32))
        assert found.dtype == np.float32
    assert features.described() == {name: value for name, value in record(encoder).items() if name != "dim"}
    assert features.pooled == (array.ndim == 2) and features.row_shape() == expected[0].shape[not features.pooled :]
    assert list(features.lengths(ids)) == [1 if features.pooled else 5] * 3
    if features.pooled:
        np.testing.assert_array_equal(features.matrix(ids), np.stack([expected[row] for row in (3, 0, 6)]))
        np.testing.assert_array_equal(features.stacked(ids), features.matrix(ids))
    assert isinstance(features._array, np.memmap)  # nothing was copied


def test_rows_of_other_arrays_are_missing_not_guessed(tmp_path):
    """A merged manifest: each corpus has its own file."""
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", ARRAYS["vectors"])
    manifest = manifest_of(tmp_path, x="a.npy")
    manifest.rows.loc[2, "path_x"], manifest.rows.loc[4, "path_x"] = "b.npy", ""
    manifest.rows.loc[5, "array_index"] = np.nan
    features = open_array_features(tmp_path / "a.npy", manifest)
    assert features.missing(manifest.rows["id"]) == ["r2", "r4", "r5"]
    with pytest.raises(AffectkitError, match=r"has no features of id 'r2' \(3 of 7 ids are missing\)"):
        features.matrix(list(manifest.rows["id"]))


def test_what_is_too_large_is_infinite_and_gaps_stay(tmp_path):
    array = ARRAYS["float64"].copy()
    array[0, 1], array[2, 2] = 1e300, np.nan
    np.save(tmp_path / "x.npy", array)
    values = open_array_features(tmp_path / "x.npy", manifest_of(tmp_path, x="x.npy")).matrix(["r6", "r4"])
    assert np.isinf(values[0, 1]) and np.isnan(values[1, 2]) and np.isfinite(values).sum() == 4


class Shell:
    def __reduce__(self):
        return print, ("code of the file ran",)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(N), r"is of shape \[7\] and type float64; expected numbers"),
        (np.zeros((N, 0)), r"is of shape \[7, 0\]"),
        (np.zeros((N, 1, 1, 1, 1)), r"is of shape \[7, 1, 1, 1, 1\]"),
        (np.zeros((N, 2), complex), "type complex128; expected numbers"),
        (np.full((N, 2), "a"), "type <U1; expected numbers"),
        (np.array([[Shell()]] * N, object), "is no plain array: .*Python objects"),
        (pickle.dumps(Shell()), "is no plain array: it holds Python objects"),
        (b"", "is empty"),
        (b"\x93NUMPY\x01\x00", "is no plain array"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"{" * 16, "is no plain array"),
        (b"\x93NUMPY\x01\x00\x3b\x00{'descr': '<f4', 'fortran_order': False, 'shape': (-6, 3)}\n", "is no plain array"),
        (b"\x93NUMPY\x01\x00\xe8\x03" + b"-" * 1000, "is no plain array"),
        (np.zeros((N - 1, 2)), f"array_index is 6, and .* has {N - 1} rows"),
        (np.zeros((N + 1, 2)), f"has {N + 1} rows, .*labels.npy has {N}"),
    ],
)
def test_an_array_that_cannot_be_used_is_named(tmp_path, capsys, array, message):
    np.save(tmp_path / "labels.npy", np.zeros((N, 1)))
    if isinstance(array, bytes):
        (tmp_path / "x.npy").write_bytes(array)
    else:
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
    manifest = manifest_of(tmp_path, x="x.npy", labels="labels.npy")
    with pytest.raises(AffectkitError, match=message) as caught:
        open_features(tmp_path / "x.npy", manifest)
    assert "\n" not in str(caught.value) and "x.npy" in str(caught.value)
    assert "ran" not in capsys.readouterr().out


def test_a_file_that_ends_too_early(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["sequences"])
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-9])
    with pytest.raises(AffectkitError, match="is no plain array"):
        open_array_features(tmp_path / "x.npy", manifest_of(tmp_path, x="x.npy"))


def test_only_where_the_manifest_says_so(tmp_path):
    for name in ("x_features", "other"):
        np.save(tmp_path / f"{name}.npy", ARRAYS["vectors"])
    known = manifest_of(tmp_path, x="x_features.npy")
    with pytest.raises(AffectkitError, match=r"is none of the arrays .*; use one of x \(.*x_features\.npy\)"):
        open_array_features(tmp_path / "other.npy", known)
    with pytest.raises(AffectkitError, match=r"knows no arrays.*prepare-manifest arrays"):
        open_array_features(tmp_path / "other.npy", manifest_of(tmp_path))
    with pytest.raises(AffectkitError, match="no such file"):
        open_array_features(tmp_path / "gone.npy", known)
    with pytest.raises(AffectkitError, match="is an array, whose rows have no ids here"):
        read_features(tmp_path / "other.npy")


@pytest.mark.parametrize("wrong", [-1, 1.5])
def test_a_place_is_a_whole_number(tmp_path, wrong):
    np.save(tmp_path / "x.npy", ARRAYS["vectors"])
    with pytest.raises(AffectkitError, match=rf"row 2: array_index {wrong:g} is no place in an array"):
        open_array_features(tmp_path / "x.npy", manifest_of(tmp_path, [0, wrong, 2], x="x.npy"))


def test_trained_and_predicted_as_extracted_features_are(affectkit, tmp_path):
    affectkit("synthesize", "arrays", tmp_path / "c", "--size", 40, "--speakers", 8)
    affectkit("prepare-manifest", "arrays", tmp_path / "c", "-o", tmp_path / "m")
    array, common = tmp_path / "c" / "static_features.npy", ["--manifest", tmp_path / "m"]
    affectkit("extract-features", *common, "--encoder", "arrays", "--array", "static", "-o", tmp_path / "f")
    for name, features in (("mine", array), ("theirs", tmp_path / "f")):
        more = ["--features", features, "--target", "openness"]
        affectkit("train", *common, *more, "--model", "linear", "-o", tmp_path / name)
    predict = ["predict", "--model-dir", tmp_path / "mine", *common, "--split", "test", "-o"]
    affectkit(*predict, tmp_path / "raw.csv")
    affectkit(*predict, tmp_path / "read.csv", "--features", array)
    for one, other in (("mine/predictions.csv", "theirs/predictions.csv"), ("raw.csv", "read.csv")):
        assert (tmp_path / one).read_bytes() == (tmp_path / other).read_bytes()
    other = tmp_path / "c" / "dynamic_features.npy"
    result = affectkit(*predict, tmp_path / "no.csv", "--features", other, code=1)
    assert "differs in 'array'" in result.stderr
    result = affectkit("tabulate", f"static={array}", *common, "-o", tmp_path / "t", code=1)
    assert "is an array of features, not a table by id" in result.stderr
