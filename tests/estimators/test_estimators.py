"""Each estimator against plain scikit-learn, and back from disk."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, SVR

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators import _fit
from affectkit.estimators._estimator import Labels, Raw, parse_grid, refuse_infinite
from affectkit.estimators._preprocessing import Preprocessing

SMALL = {"forest": {"trees": 20}, "mlp": {"epochs": 4}, "attention": {"epochs": 4}}


def data(rows=60, columns=10, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows) if classes else rng.normal(size=rows)
    x = rng.normal(size=(rows, columns)) + (np.eye(max(classes, 1), columns)[y] if classes else y[:, None])
    weights = np.ones(rows)
    if classes:
        weights = (rows / (classes * np.bincount(y, minlength=classes)))[y]
    return x, Labels(y, classes, weights)


def build(name, **options):
    return registry.load("estimators", name).build(**{**SMALL.get(name, {}), **options})


@pytest.mark.parametrize("columns", [8, 200])  # fewer and more features than rows
@pytest.mark.parametrize("classes", [2, 4])
def test_linear_classes_equal_scikit_learn(columns, classes):
    x, labels = data(columns=columns, classes=classes)
    grid = [{"C": 0.01}, {"C": 0.1}]
    for candidate, fit in zip(grid, build("linear").fit_path(x, labels, grid, 0), strict=True):
        peer = LogisticRegression(C=candidate["C"], class_weight="balanced", max_iter=5000, tol=1e-8).fit(x, labels.y)
        np.testing.assert_allclose(fit.predict(x), peer.predict_proba(x), atol=2e-3)
        assert fit.coef.shape == (classes, columns)


@pytest.mark.parametrize("columns", [8, 200])
def test_linear_numbers_equal_scikit_learn(columns):
    x, labels = data(columns=columns, classes=0)
    [fit] = build("linear").fit_path(x, labels, [{"C": 0.05}], 0)
    np.testing.assert_allclose(fit.predict(x), Ridge(alpha=10).fit(x, labels.y).predict(x), atol=1e-9)


def test_linear_takes_sparse_features():
    for classes in (3, 0):
        x, labels = data(columns=40, classes=classes)
        x[np.abs(x) < 0.8] = 0
        [dense] = build("linear").fit_path(x, labels, [{"C": 0.1}], 0)
        [sparse] = build("linear").fit_path(sp.csr_matrix(x), labels, [{"C": 0.1}], 0)
        np.testing.assert_allclose(sparse.predict(sp.csr_matrix(x)), dense.predict(x), atol=2e-3)


def test_a_class_without_fit_rows_has_probability_zero():
    x, labels = data(classes=3)
    keep = labels.y != 1
    for name in registry.names("estimators"):
        estimator = build(name)
        [fit] = estimator.fit_path(x[keep], labels.take(keep), estimator.candidates[:1], 0)
        probabilities = fit.predict(x)
        assert probabilities.shape == (60, 3)
        assert probabilities[:, 1].max() == 0
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_support_vector_machine_is_scikit_learns_and_calibration_keeps_its_order():
    x, labels = data(classes=3)
    estimator = build("svm")
    [fit] = estimator.fit_path(x, labels, [{"C": 1.0}], 0)
    peer = SVC(C=1.0, class_weight="balanced").fit(x, labels.y)
    np.testing.assert_array_equal(fit.predict(x).argmax(axis=1), peer.decision_function(x).argmax(axis=1))
    overconfident = estimator.calibrated(fit, np.eye(3)[np.roll(labels.y, 1)] * 0.98 + 0.005, labels)
    assert overconfident.temperature > fit.temperature
    np.testing.assert_array_equal(overconfident.predict(x).argmax(axis=1), fit.predict(x).argmax(axis=1))
    x, numbers = data(classes=0)
    [fit] = estimator.fit_path(x, numbers, [{"C": 1.0}], 0)
    scaled = (numbers.y - numbers.y.mean()) / numbers.y.std()
    expected = SVR(C=1.0).fit(x, scaled).predict(x) * numbers.y.std() + numbers.y.mean()
    np.testing.assert_allclose(fit.predict(x), expected, atol=1e-12)


@pytest.mark.parametrize("name", registry.names("estimators"))
@pytest.mark.parametrize("classes", [3, 0])
def test_a_fit_comes_back_from_disk_and_equal_fits_are_equal_files(name, classes, tmp_path):
    x, labels = data(classes=classes)
    estimator = build(name)
    for folder in (tmp_path / "a", tmp_path / "b"):
        [fit] = estimator.fit_path(x, labels, estimator.candidates[-1:], 0)
        folder.mkdir()
        estimator.save(fit, folder / "label")
    back = estimator.load(tmp_path / "a" / "label")
    np.testing.assert_array_equal(back.predict(x), fit.predict(x))
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in "ab")
    assert first == second
    assert not any(
        content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" for content in first.values()
    )  # no pickle


@pytest.mark.parametrize("text", ["", "0.1,x", "0,1", "-1"])
def test_a_grid_is_positive_numbers(text):
    with pytest.raises(AffectkitError, match="is not a list of positive numbers"):
        parse_grid(text, "--c-grid")
    assert parse_grid("1,0.1,1", "--c-grid") == [0.1, 1.0]


def test_a_linear_model_on_sparse_features_comes_back_from_disk_as_it_was(tmp_path):
    """More columns than rows: the weights are a product with CSR, which lies in memory by columns."""
    dense, labels = data(rows=40, columns=200, classes=3)
    x = sp.csr_matrix(dense * (np.abs(dense) > 1))
    linear = build("linear")
    [fit] = linear.fit_path(x, labels, [{"C": 1.0}], 0)
    linear.save(fit, tmp_path / "label")
    again = linear.load(tmp_path / "label")
    np.testing.assert_array_equal(again.predict(x), fit.predict(x))


@pytest.mark.parametrize("columns", [3, 200])
def test_rows_that_are_all_the_same_leave_nothing_but_an_intercept(columns):
    x, labels = data(columns=columns)
    [fit] = build("linear").fit_path(np.zeros_like(x), labels, [{"C": 1.0}], 0)
    assert not fit.coef.any() and fit.coef.shape[1] == columns and np.isfinite(fit.intercept).all()


# --- Models that were damaged, or made to harm: refused while they are loaded, by one check


def saved(name, folder, classes=3, sparse=False, **options):
    x, labels = data(classes=classes)
    estimator = build(name, **options)
    x = sp.csr_matrix(x) if sparse else x
    return estimator, estimator.fit_path(x, labels, estimator.candidates[-1:], 0)[0], folder / "label"


def cut(model, name, rows):
    setattr(model, name, np.ascontiguousarray(getattr(model, name)[..., rows]))


MACHINES = {
    "fewer support vectors": lambda m: setattr(m, "support_vectors_", m.support_vectors_[:-5].copy()),
    "narrower support vectors": lambda m: cut(m, "support_vectors_", slice(3)),
    "fewer coefficients": lambda m: cut(m, "_dual_coef_", slice(4)),
    "fewer intercepts": lambda m: cut(m, "_intercept_", slice(0)),
    "more of a class than there are": lambda m: m._n_support.__setitem__(0, 10**6),
    "fewer than none": lambda m: m._n_support.__setitem__(0, -1),
    "infinite coefficients": lambda m: m._dual_coef_.__setitem__((0, 0), np.inf),
    "another type": lambda m: setattr(m, "_dual_coef_", m._dual_coef_.astype(np.float32)),
    "probabilities of its own": lambda m: setattr(m, "_probA", np.zeros(7)),
    "another kernel": lambda m: setattr(m, "kernel", "precomputed"),
    "rows that were not fitted on": lambda m: m.support_.__setitem__(0, 10**6),
    "gamma": lambda m: setattr(m, "_gamma", np.float64("nan")),
}


@pytest.mark.parametrize("change", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("classes", [3, 2, 0])
def test_a_machine_whose_arrays_do_not_fit_together_is_refused(change, classes, tmp_path):
    estimator, fit, stem = saved("svm", tmp_path, classes)
    change(fit.model)
    estimator.save(fit, stem)
    with pytest.raises(ValueError):
        estimator.load(stem)


@pytest.mark.parametrize("name", ["support_vectors_", "_dual_coef_"])
def test_a_sparse_machine_is_checked_too(name, tmp_path):
    estimator, fit, stem = saved("svm", tmp_path, sparse=True)
    estimator.save(fit, stem)
    x = sp.csr_matrix(data()[0])
    np.testing.assert_array_equal(estimator.load(stem).predict(x), fit.predict(x))
    table = getattr(fit.model, name)
    table.indices[0] = 10**6  # scikit-learn's own check counts dense rows only
    estimator.save(fit, stem)
    with pytest.raises(ValueError):
        estimator.load(stem)


def test_another_kind_of_estimator_in_its_place_is_refused(tmp_path):
    estimator, fit, stem = saved("svm", tmp_path)
    fit = type(fit)(LogisticRegression().fit(data()[0], data()[1].y), fit.classes)
    estimator.save(fit, stem)
    with pytest.raises(AffectkitError, match="untrusted types found"):
        estimator.load(stem)


def at(place, value):
    """What writes a value over one of an array."""

    def change(array):
        array[place] = value
        return array

    return change


FORESTS = {
    "a root that is its own child": ("nodes.left_child", at(0, 0)),  # predicting would never end
    "a child of another tree": ("nodes.right_child", at(0, 5000)),
    "a leaf with one child": ("nodes.left_child", at(0, -1)),
    "a feature that is not there": ("nodes.feature", at(0, 99)),
    "a threshold that is no number": ("nodes.threshold", at(0, np.nan)),
    "an infinite answer": ("nodes.value", at((0, 0), np.inf)),
    "answers of fewer classes": ("nodes.value", lambda a: a[:, :2]),
    "nodes of no tree": ("nodes.ends", lambda a: a[:-1]),
    "no tree": ("nodes.ends", lambda a: a[:0]),
    "a tree without nodes": ("nodes.ends", lambda a: np.concatenate([a[:1], a])),
    "features as numbers of another kind": ("nodes.feature", lambda a: a.astype(np.float64)),
    "fewer columns": ("columns", lambda a: a - 4),
    "fewer classes": ("present", lambda a: a[:2]),
    "more classes than there are": ("classes", lambda a: a - 1),
    "classes that fall": ("present", lambda a: a[::-1]),
}


@pytest.mark.parametrize(("name", "change"), FORESTS.values(), ids=FORESTS)
def test_a_forest_that_does_not_fit_together_is_refused(name, change, tmp_path):
    estimator, fit, stem = saved("forest", tmp_path)
    estimator.save(fit, stem)
    stored = load_file(tmp_path / "label.safetensors")
    save_file(stored | {name: np.ascontiguousarray(change(stored[name]))}, tmp_path / "label.safetensors")
    with pytest.raises(ValueError):
        estimator.load(stem)


def test_a_forest_refuses_rows_of_another_width(tmp_path):
    _, fit, _ = saved("forest", tmp_path)
    with pytest.raises(ValueError, match="columns"):
        fit.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty array", "promise", "no array", "not a zip", "nested"])
def test_a_damaged_archive_is_one_error_that_names_it(damage, tmp_path):
    estimator, fit, stem = saved("svm", tmp_path)
    estimator.save(fit, stem)
    path = tmp_path / "label.skops"
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    array = max((name for name in members if name.endswith(".npy")), key=lambda name: len(members[name]))
    changed = {
        "empty array": {array: b""},
        "promise": {array: members[array].replace(b"'shape': (", b"'shape': (99999999999, ")},
        "no array": {array: b"\x93NUMPY\x01\x00\x08\x00{{{{{{{\n"},
        "nested": {"schema.json": b"[" * 9000 + b"]" * 9000},
    }
    if damage in changed:
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in (members | changed[damage]).items():
                archive.writestr(name, member)
    else:
        middle = len(content) // 2
        before, wrong, after = content[:middle], content[middle : middle + 40], content[middle + 40 :]
        flipped = before + bytes(255 - byte for byte in wrong) + after
        path.write_bytes({"cut": before, "flipped": flipped, "not a zip": b"PK"}[damage])
    with pytest.raises(AffectkitError, match="not a skops file") as raised:
        estimator.load(stem)
    assert raised.value.file == str(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", ["coef", "intercept"])
@pytest.mark.parametrize("change", [lambda a: a.astype(np.float32), lambda a: a * np.inf, lambda a: a[:-1]])
def test_weights_of_a_linear_model_are_checked(part, change, tmp_path):
    estimator, fit, stem = saved("linear", tmp_path)
    estimator.save(fit, stem)
    stored = load_file(tmp_path / "label.safetensors")
    with np.errstate(invalid="ignore"):
        save_file(stored | {part: np.ascontiguousarray(change(stored[part]))}, tmp_path / "label.safetensors")
    with pytest.raises(ValueError):
        estimator.load(stem)


@pytest.mark.parametrize("part", ["fill", "mean", "deviation"])
@pytest.mark.parametrize("change", [lambda a: a * 0 - 1e300, lambda a: a * np.nan, lambda a: a[:1], lambda a: a[None]])
def test_a_scaling_that_makes_no_sense_is_refused(part, change, tmp_path):
    path = tmp_path / "p.safetensors"
    Preprocessing.fit([data()[0]], scale=True).save(path)
    with safe_open(path, "np") as stored:
        tensors, facts = {key: stored.get_tensor(key) for key in stored.keys()}, stored.metadata()  # noqa: SIM118
    tensors[f"0.{part}"] = np.ascontiguousarray(change(tensors[f"0.{part}"]))
    save_file(tensors, path, metadata=facts)
    with pytest.raises(ValueError):
        Preprocessing.load(path, [10])


@pytest.mark.parametrize("widths", [[9], [10, 10], [[2, 5]], [None]])
def test_a_scaling_of_other_features_is_refused(widths, tmp_path):
    Preprocessing.fit([data()[0]], scale=True).save(tmp_path / "p.safetensors")
    with pytest.raises(ValueError):
        Preprocessing.load(tmp_path / "p.safetensors", widths)


def test_sparse_features_whose_squares_run_over_are_refused_by_row():
    block = sp.csr_matrix(np.array([[1.0, 0.0], [0.0, 2e19]], dtype=np.float32))
    refuse_infinite(block[:1], ["a"], Path("features"))
    with pytest.raises(AffectkitError, match="the features of id 'b' are not finite, or too large"):
        refuse_infinite(block, ["a", "b"], Path("features"))


# --- Trees


def gappy(classes, rows=300, seed=0):
    """Numbers and categories with 40 % gaps, a constant column, one that is a gap everywhere, one of one category."""
    rng = np.random.default_rng(seed)
    x, categorical = rng.normal(size=(rows, 8)), np.arange(8) % 2 == 1
    x[:, 1], x[:, 3], x[:, 5] = rng.integers(0, 5, rows), rng.integers(0, 200, rows), 7 * rng.integers(1, 4, rows)
    x[:, 7], x[:, 6] = 3, 1.5
    y = x[:, 0] + x[:, 1] % 3 + rng.normal(size=rows)
    x[rng.random(x.shape) < 0.4] = np.nan
    x[:, 4] = np.nan
    if classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    weights = rng.uniform(0.5, 2, rows)
    return Raw(x, categorical, tuple("abcdefgh")), Labels(y, classes, weights / weights.mean())


@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("options", [{}, {"depth": 2, "min_leaf": 5, "shrinkage": 0.3}], ids=["plain", "options"])
def test_boosted_trees_are_scikit_learns_after_each_number_of_rounds(classes, options):
    x, labels = gappy(classes)
    fitted, held = np.arange(200), x[np.arange(200, 300)]
    held.values[:9, 3] = 999  # a category that no fit row has
    estimator = build("boosted", **options)
    candidates = [{"rounds": rounds} for rounds in (3, 20)]
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    peers = {"learning_rate": options.get("shrinkage", 0.1), "max_depth": options.get("depth")}
    # The peer is given no column of gaps alone, nor one category as categories: scikit-learn takes neither as it is.
    many, constant = np.array([1, 3, 5]), np.where(np.arange(8) == 4, 0.0, x.values)
    fits = estimator.fit_path(x[fitted], labels.take(fitted), candidates, 0)
    for candidate, fit in zip(candidates, fits, strict=True):
        peers |= {"min_samples_leaf": options.get("min_leaf", 20), "max_iter": candidate["rounds"]}
        peer = kind(categorical_features=many, early_stopping=False, random_state=0, **peers)
        peer.fit(constant[fitted], labels.y[fitted], sample_weight=labels.weights[fitted])
        expected = peer.predict_proba(held.values) if classes else peer.predict(held.values)
        np.testing.assert_allclose(fit.predict(held), expected, rtol=0, atol=1e-12)


def test_of_too_many_categories_the_most_frequent_are_told_apart(caplog):
    codes = np.concatenate([np.arange(400), np.repeat(np.arange(100, 355), 60)]).astype(float)
    y = (codes.astype(int) % 2).astype(np.int64)
    x = Raw(codes[:, None], np.array([True]), ("town",))
    [fit] = build("boosted", min_leaf=1).fit_path(x, Labels(y, 2, np.ones(len(y))), [{"rounds": 20}], 0)
    assert "town: its 255 most frequent categories of 400" in caplog.text
    answers = fit.predict(Raw(np.arange(400.0)[:, None], x.categorical, x.names))
    assert (answers[100:355].argmax(axis=1) == np.arange(100, 355) % 2).all()
    assert len(np.unique(np.delete(answers, np.arange(100, 355), axis=0)[:, 0])) == 1  # as a gap is


def boosted_tensors(folder, classes=3):
    estimator, (x, labels) = build("boosted"), gappy(classes)
    [fit] = estimator.fit_path(x, labels, [{"rounds": 4}], 0)
    estimator.save(fit, folder / "label")
    np.testing.assert_array_equal(estimator.load(folder / "label").predict(x), fit.predict(x))
    return estimator, load_file(folder / "label.safetensors")


BOOSTED = {
    "a root that is its own child": ("nodes.left", lambda a: a * 0),
    "a child behind the tree": ("nodes.right", lambda a: a + 10**6),
    "a child before it": ("nodes.right", lambda a: a - 10**6),
    "a column that is not there": ("nodes.feature_idx", lambda a: a + 8),
    "a column before the first": ("nodes.feature_idx", lambda a: a - 9),
    "numbers split by category": ("nodes.is_categorical", lambda a: a * 0 + 1),
    "categories that are not there": ("nodes.bitset_idx", lambda a: a + 10**6),
    "an answer that is no number": ("nodes.value", lambda a: a * np.nan),
    "a threshold that is no number": ("nodes.num_threshold", lambda a: a * np.nan),
    "another type": ("nodes.value", lambda a: a.astype(np.float32)),
    "fewer nodes": ("nodes.is_leaf", lambda a: a[:-1]),
    "fewer trees": ("nodes.ends", lambda a: a[:-1]),
    "a tree of nothing": ("nodes.ends", lambda a: np.sort(np.append(a[:-1], a[0]))),
    "ends that fall": ("nodes.ends", lambda a: a[::-1]),
    "narrow bitsets": ("bitsets", lambda a: a[:, :4]),
    "fewer bitsets": ("bitsets.ends", lambda a: a * 0),
    "fewer classes": ("present", lambda a: a[:2]),
    "classes that fall": ("present", lambda a: a[::-1]),
    "more classes than there are": ("classes", lambda a: a - 1),
    "an infinite baseline": ("baseline", lambda a: a + np.inf),
    "categories that fall": ("categories", lambda a: a[::-1]),
    "a category that is no number": ("categories", lambda a: a * np.nan),
    "fewer columns": ("categories.ends", lambda a: a[4:]),
}


@pytest.mark.parametrize(("name", "change"), BOOSTED.values(), ids=BOOSTED)
def test_boosted_trees_that_do_not_fit_together_are_refused(name, change, tmp_path):
    estimator, stored = boosted_tensors(tmp_path)
    save_file(stored | {name: np.ascontiguousarray(change(stored[name]))}, tmp_path / "label.safetensors")
    with pytest.raises(ValueError):
        estimator.load(tmp_path / "label")


@pytest.mark.parametrize("classes", [3, 0])
def test_a_forest_of_a_depth_and_a_leaf_is_scikit_learns(classes):
    x, labels = data(classes=classes)
    estimator = build("forest", depth=3, min_leaf=4)
    assert estimator.candidates == [{"min_samples_leaf": 4}]
    [fit] = estimator.fit_path(x, labels, estimator.candidates, 5)
    kind = RandomForestClassifier if classes else RandomForestRegressor
    peer = kind(20, max_depth=3, min_samples_leaf=4, max_features="sqrt", random_state=5)
    peer.fit(x, labels.y, sample_weight=labels.sample_weight)
    np.testing.assert_allclose(fit.predict(x), peer.predict_proba(x) if classes else peer.predict(x), atol=1e-12)


def test_many_rows_are_answered_as_few_to_the_bit():
    x, labels = data()
    [fit] = build("forest").fit_path(x, labels, [{"min_samples_leaf": 2}], 0)
    many = np.tile(x, (1 + 1000 // len(x), 1))
    np.testing.assert_array_equal(fit.predict(many)[: len(x)], fit.predict(x))


@pytest.mark.parametrize("name", ["forest", "boosted"])
@pytest.mark.parametrize("wrong", [{"depth": -1}, {"min_leaf": -1}])
def test_a_tree_has_no_negative_depth_or_leaf(name, wrong):
    with pytest.raises(AffectkitError, match="give 0 or more"):
        registry.build("estimators", name, wrong)


SINGLE = {
    "linear": {"c_grid": "1"},
    "forest": {"trees": 3, "min_leaf": 2},
    "boosted": {"rounds": 2},
    "svm": {"c_grid": "1"},
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_candidate_is_fitted_once_unless_it_is_to_be_calibrated(name, monkeypatch):
    estimator, (x, labels) = build(name, **SINGLE[name]), data()
    fits = []
    path = type(estimator).fit_path
    monkeypatch.setattr(type(estimator), "fit_path", lambda self, *rest: fits.append(1) or path(self, *rest))
    target = _fit.Target("label", "class", ("a", "b", "c"))
    groups = np.array([f"s{row % 12}" for row in range(60)])
    model = _fit.fit_targets(estimator, [target], [x], [labels.y.astype(float)], groups, _fit.FitSettings())
    assert (len(fits) > 1) == (name == "svm")
    assert model.search[0]["chosen"]
