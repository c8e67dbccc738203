"""Each estimator against plain scikit-learn, and back from disk."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, SVR

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Labels, parse_grid

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
