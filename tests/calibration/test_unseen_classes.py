"""A class that no fit row has keeps its probability: rows without it say nothing of how often it is right."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import TargetPrediction

METHODS = [name for name in registry.names("methods") if "class" in registry.load("methods", name).build().kinds]
MOVING = [name for name in METHODS if name not in ("temperature", "conformal")]


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", METHODS)
def test_no_method_takes_it_to_zero(name, classes, overconfident, calibrated):
    output, rows = overconfident(400, classes, 1.0)
    seen = np.flatnonzero(rows.truth != 1)
    answer = calibrated(name, output.take(seen), rows.take(seen), output).values
    assert (answer[:, 1] > 0).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("name", MOVING)
def test_it_keeps_its_probability_and_the_others_share_the_rest(name, overconfident, calibrated):
    output, rows = overconfident(400, 4, 1.0)
    seen = np.flatnonzero(rows.truth != 2)
    answer = calibrated(name, output.take(seen), rows.take(seen), output).values
    np.testing.assert_allclose(answer[:, 2], output.values[:, 2], atol=1e-12)
    others = [0, 1, 3]
    assert np.abs(answer[:, others] - output.values[:, others]).max() > 0.01  # which are calibrated
    assert ((answer[:, others] >= 0) & (answer[:, others] <= 1)).all()


@pytest.mark.parametrize("name", MOVING)
def test_rows_of_one_class_change_nothing(name, overconfident, calibrated):
    output, rows = overconfident(100, 3, 1.0)
    only = np.flatnonzero(rows.truth == 0)
    answer = calibrated(name, output.take(only), rows.take(only), output).values
    np.testing.assert_allclose(answer, output.values, atol=1e-12)


@pytest.mark.parametrize("name", MOVING)
def test_a_certain_model_stays_defined(name, class_target, rows_of, calibrated):
    """Probabilities of exactly 0 and 1, of classes that are seen and of one that is not."""
    certain = TargetPrediction.of(class_target(3), np.eye(3)[[0, 1, 0, 1, 2, 2]])
    with np.errstate(all="raise", under="ignore"):
        answer = calibrated(name, certain.take(range(4)), rows_of([0, 1, 1, 0]), certain).values
    assert np.isfinite(answer).all()
    np.testing.assert_allclose(answer[4:], np.eye(3)[[2, 2]], atol=1e-9)
