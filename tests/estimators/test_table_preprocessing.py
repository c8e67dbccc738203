"""Tables are encoded as a scikit-learn pipeline does it, and so judged by the same figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from affectkit import registry
from affectkit.artifacts.columns import infer
from affectkit.artifacts.manifest import Manifest
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Labels, Raw, Takes
from affectkit.estimators._fit import FitSettings
from affectkit.estimators._network_inputs import Frames
from affectkit.estimators._preprocessing import Preprocessing
from affectkit.estimators._train import Dataset, train_model
from affectkit.labels import Target

ROWS = 120
LABEL, SCORE = Target("label", "class", ("a", "b", "c")), Target("score", "number")


def cells(seed=0, numbers=6):
    """40 % gaps, a constant column, one that the first fold's rows lack, categories that come late."""
    rng = np.random.default_rng(seed)
    columns = {f"n{place}": rng.normal(size=ROWS).round(3).astype(str) for place in range(numbers)}
    columns |= {
        "sex": rng.choice(["f", "m"], ROWS).astype(object),
        "site": rng.choice(list("ABCD"), ROWS).astype(object),
    }
    for column in columns.values():
        column[rng.random(ROWS) < 0.4] = "NA"
    columns["n0"][40:] = ""
    columns["const"] = np.full(ROWS, "x", dtype=object)
    columns["site"][110:] = "E"
    days = np.datetime64("2000-01-01") + rng.permutation(9000)[:ROWS]  # no two the same: neighbours are not a draw
    columns["seen"] = days.astype(str).astype(object)
    columns["note"] = np.array([f"patient {row} has {row % 7} wounds" for row in range(ROWS)], dtype=object)
    return pd.DataFrame(columns)


def table(**how):
    return infer(cells(**how), lambda position: {"row": position + 1})


def truth(seed=0):
    return np.random.default_rng(seed).integers(0, 3, ROWS)


def reference(block, impute="median"):
    """As people write it, on the parsed cells."""
    kinds = {kind: [c.name for c in block.columns if c.kind in kind] for kind in ("number date", "category", "text")}
    numbers = [SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()]
    if impute == "knn":
        numbers = [StandardScaler(), KNNImputer(n_neighbors=5, keep_empty_features=True)]
    categories = [SimpleImputer(strategy="most_frequent", missing_values=""), OneHotEncoder(handle_unknown="ignore")]
    names = kinds["number date"], kinds["category"], *kinds["text"]
    words = [("words", HashingVectorizer(n_features=64), name) for name in names[2:]]
    steps = [
        ("numbers", make_pipeline(*numbers), names[0]),
        ("categories", make_pipeline(*categories), names[1]),
        *words,
    ]
    return ColumnTransformer(steps, sparse_threshold=0)


def frame_of(block):
    return pd.DataFrame(dict(zip(block.names, block.cells, strict=True)))


@pytest.mark.parametrize("impute", ["median", "knn"])
@pytest.mark.parametrize("numbers", [3, 300])
def test_the_matrix_is_that_of_a_scikit_learn_pipeline(impute, numbers):
    block, fit = table(numbers=numbers), np.arange(ROWS) < 100
    fitted = Preprocessing.fit([block[fit]], scale=True, impute=impute)
    peer = reference(block, impute).fit(frame_of(block)[fit])
    for rows in (fit, ~fit):
        np.testing.assert_allclose(fitted.apply([block[rows]]), peer.transform(frame_of(block)[rows]), atol=1e-9)
    assert len(fitted.names()) == fitted.apply([block]).shape[1]


@pytest.mark.parametrize("normalize", ["train", "none"])
def test_a_column_that_a_fit_lacks_altogether_says_nothing(normalize):
    block = table()
    fitted = Preprocessing.fit([block[np.arange(60, ROWS)]], scale=normalize == "train")
    place = fitted.names().index("n0")
    assert not fitted.apply([block[np.arange(60, ROWS)]])[:, place].any()
    assert np.isfinite(fitted.apply([block])).all()


def test_chosen_columns_are_those_of_scikit_learn():
    block, y = table(), truth()
    labels = Labels(y, 3, np.ones(ROWS))
    fitted = Preprocessing.fit([block], scale=True)
    chosen = fitted.choosing(5, [block], labels, 7)
    x = fitted.apply([block])

    def score(x, y):
        discrete = np.array(["=" in name for name in fitted.names()])
        return mutual_info_classif(x, y, discrete_features=discrete, random_state=7)

    peer = SelectKBest(score, k=5).fit(x, y)
    assert chosen.kept.tolist() == peer.get_support(indices=True).tolist()
    np.testing.assert_array_equal(chosen.apply([block]), x[:, chosen.kept])
    assert chosen.names() == [fitted.names()[place] for place in chosen.kept]
    assert fitted.choosing(10**6, [block], labels, 7).apply([block]).shape == x.shape


def dataset(targets, block):
    rows = pd.DataFrame({"id": [f"r{row}" for row in range(ROWS)], "fold": (np.arange(ROWS) // 4 % 3).astype(str)})
    rows["subject"] = [f"s{row // 4}" for row in range(ROWS)]
    for name, values in targets.items():
        rows[name] = values
    known = {target.name: target for target in (LABEL, SCORE) if target.name in targets}
    manifest = Manifest(Path("m.csv"), rows.astype({"fold": object}), [(Path("m.csv"), 1)] * ROWS, known)
    columns = [vars(column) for column in block.columns]
    return Dataset(manifest, [block], [{"encoder": None, "columns": columns}])


def oof(block, target, values, estimator, **settings):
    """Fold by fold, as `train --cv` predicts them."""
    data = dataset({target.name: values}, block)
    how = {"cv": True, "progress": lambda *_: None}
    return train_model(data, estimator, [target], FitSettings(class_weight="none", **settings), **how)


@pytest.mark.parametrize("impute", ["median", "knn"])
def test_numbers_are_cross_predicted_as_by_a_scikit_learn_pipeline(impute):
    block, score = table(), np.random.default_rng(3).normal(size=ROWS)
    estimator = registry.load("estimators", "linear").build(c_grid="0.05")
    trained = oof(block, SCORE, score, estimator, impute=impute)
    fold, expected = np.arange(ROWS) // 4 % 3, np.empty(ROWS)
    for number in range(3):
        peer = make_pipeline(reference(block, impute), Ridge(alpha=10))
        peer.fit(frame_of(block)[fold != number], score[fold != number])
        expected[fold == number] = peer.predict(frame_of(block)[fold == number])
    np.testing.assert_allclose(trained.predictions.frame["score_pred"], expected, atol=1e-9)


def test_classes_are_cross_predicted_as_by_a_forest_in_a_scikit_learn_pipeline():
    block, y = table(numbers=40), truth()
    built = registry.load("estimators", "forest").build(trees=7)
    estimator = replace(built, candidates=[{"min_samples_leaf": 2}])
    trained = oof(block, LABEL, np.array(LABEL.classes)[y], estimator)
    fold, expected = np.arange(ROWS) // 4 % 3, np.empty((ROWS, 3))
    for number in range(3):
        forest = RandomForestClassifier(7, random_state=0, max_features="sqrt", min_samples_leaf=2)
        peer = make_pipeline(reference(block), forest).fit(frame_of(block)[fold != number], y[fold != number])
        expected[fold == number] = peer.predict_proba(frame_of(block)[fold == number])
    probabilities = trained.predictions.frame[[f"prob_{name}" for name in LABEL.classes]]
    np.testing.assert_allclose(probabilities, expected, atol=1e-9)


def test_a_table_stands_beside_frames_as_a_vector_of_each_row():
    block, rng = table(), np.random.default_rng(0)
    frames = Frames.of_values([str(row) for row in range(ROWS)], [rng.normal(size=(2, 3))] * ROWS)
    fitted = Preprocessing.fit([block, frames], scale=True)
    vector, of_time = fitted.apply([block, frames]).row(7)
    expected = Preprocessing.fit([block], scale=True).apply([block])[7]
    np.testing.assert_array_equal(vector, expected.astype(np.float32))
    assert of_time.shape == (2, 3)


def test_words_without_spaces_between_them_are_pairs_of_characters():
    notes = ["伤口很干", "伤口很红", "今天下雨", "wound 伤口很干"]
    block = infer(pd.DataFrame({"x": [*notes * 5, *(f"{n} {n}" for n in range(30))]}, dtype=object), dict)
    x = Preprocessing.fit([block], scale=False).apply([block])
    assert x[0] @ x[1] > 0.5 > x[0] @ x[2]
    assert x[0] @ x[3] > 0.5


# --- What takes gaps


def test_raw_cells_have_their_gaps_and_the_numbers_of_their_categories():
    block, fit = table(), np.arange(ROWS) < 100
    x = Preprocessing.fit([block[fit]], scale=True, raw=True).apply([block])
    assert isinstance(x, Raw)
    np.testing.assert_array_equal(x.values[:, :7], block.numbers)
    place = x.names.index("site")
    assert x.categorical.tolist() == [name in ("sex", "site", "const") for name in x.names]
    site = block.cells[block.names.index("site")]
    expected = [{"A": 0, "B": 1, "C": 2, "D": 3}.get(cell, np.nan) for cell in site]
    np.testing.assert_array_equal(x.values[:, place], expected)
    assert x[np.array([3, 1])].shape == (2, x.shape[1])


def test_raw_columns_are_chosen_too():
    labels = Labels(truth(), 3, np.ones(ROWS))
    for block in (table(), np.random.default_rng(0).normal(size=(ROWS, 9))):
        fitted = Preprocessing.fit([block], scale=True, raw=True).choosing(4, [block], labels, 0)
        assert fitted.apply([block]).shape == (ROWS, 4)
        assert len(fitted.names()) == 4


def test_gaps_that_are_read_as_they_are_are_not_imputed():
    estimator = registry.load("estimators", "forest").build(trees=1)

    class Gaps(type(estimator)):
        takes = Takes(gaps=True)

    gaps = Gaps("gaps", {}, estimator.candidates)
    with pytest.raises(AffectkitError, match="reads gaps as they are"):
        oof(table(), LABEL, np.array(LABEL.classes)[truth()], gaps, impute="knn")


# --- Back from disk


@pytest.mark.parametrize("impute", ["median", "knn"])
def test_an_encoding_comes_back_from_disk(tmp_path, impute):
    block, path = table(), tmp_path / "label.preprocessing.safetensors"
    labels = Labels(truth(), 3, np.ones(ROWS))
    fitted = Preprocessing.fit([block], scale=True, impute=impute).choosing(9, [block], labels, 0)
    fitted.save(path)
    for widths in (None, [block.columns]):
        back = Preprocessing.load(path, widths)
        np.testing.assert_array_equal(back.apply([block]), fitted.apply([block]))
        assert back.names() == fitted.names()


@pytest.mark.parametrize("damage", ["columns", "categories", "lost", "kept", "neighbours"])
def test_an_encoding_that_makes_no_sense_is_refused(tmp_path, damage):
    block, path = table(), tmp_path / "p.safetensors"
    Preprocessing.fit([block], scale=True, impute="knn").save(path)
    beside, columns = path.with_suffix(".json"), block.columns
    if damage == "columns":
        columns = columns[::-1]
    elif damage == "categories":
        beside.write_text(beside.read_text().replace('"A"', '"Z"'))
    elif damage == "lost":
        beside.unlink()
    else:
        wrong = {"kept": np.array([10**6]), "neighbours": np.zeros((3, 1))}[damage]
        save_file({**load_file(path), damage if damage == "kept" else "0.neighbours": wrong}, path, {"blocks": "1"})
    with pytest.raises(ValueError, match=r"."):
        Preprocessing.load(path, [columns])


@pytest.mark.parametrize("how", [{"impute": "knn"}, {"select_features": 2}])
def test_layers_and_sparse_features_are_neither_imputed_by_neighbours_nor_chosen(how):
    layers = np.random.default_rng(0).normal(size=(ROWS, 2, 3))
    estimator = registry.load("estimators", "mlp").build(epochs=1)
    with pytest.raises(AffectkitError, match="one vector per row"):
        FitSettings(**how).preprocessing(estimator, [layers], Labels(truth(), 3, np.ones(ROWS)))
