"""Each estimator against plain scikit-learn, and back from disk."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, SVR

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Labels, parse_grid, refuse_infinite
from affectkit.estimators._network_inputs import Preprocessing

SMALL = {"forest": {"trees": 20}}


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


def test_a_tampered_tree_is_refused(tmp_path):
    x, labels = data()
    estimator = build("forest")
    [fit] = estimator.fit_path(x, labels, [{"min_samples_leaf": 1}], 0)
    fit.model.estimators_[3].tree_.children_left[0] = 0  # a root that is its own child: predicting would never end
    estimator.save(fit, tmp_path / "label")
    with pytest.raises(ValueError, match="holds a damaged tree"):
        estimator.load(tmp_path / "label")


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
    with pytest.raises(ValueError, match="no support vector machine"):
        estimator.load(stem)


def leave_rows(model):
    model.classes_ = model.classes_[:2].copy()


FORESTS = {
    "a feature that is not there": lambda m: m.estimators_[1].tree_.feature.__setitem__(0, 99),
    "a threshold that is no number": lambda m: m.estimators_[1].tree_.threshold.__setitem__(0, np.nan),
    "an infinite answer": lambda m: m.estimators_[1].tree_.value.__setitem__((0, 0, 0), np.inf),
    "fewer classes than its trees": leave_rows,
    "no tree": lambda m: m.estimators_.clear(),
    "fewer features than its trees": lambda m: setattr(m, "n_features_in_", 4),
}


@pytest.mark.parametrize("change", FORESTS.values(), ids=FORESTS)
def test_a_forest_that_does_not_fit_together_is_refused(change, tmp_path):
    estimator, fit, stem = saved("forest", tmp_path)
    change(fit.model)
    estimator.save(fit, stem)
    with pytest.raises(ValueError):
        estimator.load(stem)


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
