"""arrays: rows of .npy files as features."""

import numpy as np
import pytest

from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import Manifest
from affectkit.encoders import arrays
from affectkit.encoders._encoder import Item, items
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.estimators._model import load_estimator_model

RNG = np.random.default_rng(0)


def encode(path, places, **options):
    found = [Item(str(place), path, index=place) for place in places]
    return encode_items(arrays.build(array="x", **options), found).values


def test_vectors_come_as_they_are_and_sequences_are_pooled(tmp_path):
    vectors, frames = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 7, 3)).astype(np.float32)
    layers = RNG.normal(size=(5, 7, 2, 3))
    for name, array in (("vectors", vectors), ("frames", frames), ("layers", layers)):
        np.save(tmp_path / f"{name}.npy", array)
    np.testing.assert_array_equal(encode(tmp_path / "vectors.npy", [4, 0]), vectors[[4, 0]].astype(np.float32))
    np.testing.assert_allclose(encode(tmp_path / "frames.npy", [1, 2]), frames[1:3].mean(axis=1), rtol=1e-6)
    both = np.concatenate([frames[3].mean(axis=0), frames[3].std(axis=0)])
    np.testing.assert_allclose(encode(tmp_path / "frames.npy", [3], pool="mean-std")[0], both, rtol=1e-6)
    np.testing.assert_array_equal(encode(tmp_path / "frames.npy", [2], pool="none")[0], frames[2])
    np.testing.assert_allclose(encode(tmp_path / "layers.npy", [2])[0], layers[2].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("array", "index", "options", "message"),
    [
        (np.zeros((2, 3)), 2, {}, "has 2 rows, none of index 2"),
        (np.zeros((2, 3)), None, {}, "has no array_index"),
        (np.zeros((2, 3)), 0, {"pool": "none"}, "has vectors, no frames; use --pool mean"),
        (np.zeros(2), 0, {}, r"is of shape \[2\]"),
        (np.zeros((2, 0)), 0, {}, r"is of shape \[2, 0\]"),
        (np.array([["a"], ["b"]]), 0, {}, "expected numbers"),
        (np.full((2, 3), np.nan), 0, {}, "not finite"),
    ],
)
def test_what_cannot_be_used_is_named(array, index, options, message, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(AffectkitError, match=message):
        encode_items(arrays.build(array="x", **options), [Item("a", tmp_path / "x.npy", index=index)])


def test_the_array_is_named_and_has_a_column(tmp_path):
    import pandas as pd

    with pytest.raises(AffectkitError, match="needs --array"):
        arrays.build()
    with pytest.raises(AffectkitError, match="no --pool max"):
        arrays.build(array="x", pool="max")
    rows = pd.DataFrame({"id": ["a"], "path": [""], "path_static": ["x.npy"], "array_index": [0.0]})
    with pytest.raises(AffectkitError, match="has no column 'path_dynamic'; its arrays are static"):
        items(Manifest(tmp_path, rows, [(tmp_path, 1)], {}), arrays.build(array="dynamic"))


def test_the_chain_runs_on_arrays(affectkit, tmp_path):
    """Twin, manifest, static and pooled dynamic features, a ridge on both, and the model's own encoders on new rows."""
    manifest = ("--manifest", tmp_path / "m")
    affectkit("synthesize", "arrays", tmp_path / "c", "--size", 200, "--speakers", 20)
    affectkit("prepare-manifest", "arrays", tmp_path / "c", "-o", tmp_path / "m")
    for name in ("static", "dynamic"):
        affectkit("extract-features", *manifest, "--encoder", "arrays", "--array", name, "-o", tmp_path / name)
    assert read_features(tmp_path / "dynamic").matrix(["row000003"]).shape == (1, 16)
    both = ("--features", tmp_path / "static", "--features", tmp_path / "dynamic")
    affectkit("train", *manifest, *both, "-o", tmp_path / "model")
    predict = ("predict", "--model-dir", tmp_path / "model", *manifest, "--split", "test")
    ours = affectkit(*predict).stdout
    assert "openness_pred" in ours and ours == affectkit(*predict, *both).stdout
    wrong = affectkit(*predict, *both[2:], *both[:2], code=1)
    assert "differs in 'array' from the features of the model (arrays)" in wrong.stderr
    swapped = [read_features(tmp_path / name).matrix(["row000003"]) for name in ("dynamic", "static")]
    with pytest.raises(AffectkitError, match="features 1 have 16 columns, the model was trained on 24"):
        load_estimator_model(tmp_path / "model/best_model").predict(swapped, None)
