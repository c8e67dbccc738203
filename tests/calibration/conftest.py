"""Answers and rows to fit calibrations on."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.labels import Target


@pytest.fixture(scope="session")
def class_target():
    return lambda k: Target("label", "class", tuple(f"class{i}" for i in range(k)))


@pytest.fixture(scope="session")
def number_target():
    return Target("valence", "number", scale=(1.0, 5.0))


@pytest.fixture(scope="session")
def rows_of():
    """`rows_of(truth, groups, sex=...)`; rows of no group without them."""

    def make(truth, groups=None, **columns):
        truth = np.asarray(truth, float)
        groups = np.full(len(truth), "") if groups is None else np.asarray(groups, str)
        return GroundTruth(truth, groups, {name: np.asarray(cells, str) for name, cells in columns.items()})

    return make


@pytest.fixture(scope="session")
def unlabelled(rows_of):
    """Rows as `apply` gets them: without truth."""
    return lambda count, **columns: rows_of(np.full(count, np.nan), **columns)


@pytest.fixture(scope="session")
def overconfident(class_target, rows_of):
    """N rows of K classes drawn from softmax(z), answered with softmax(sharpness z)."""

    def draw(n, k=4, sharpness=2.0, seed=0, spread=1.5):
        rng = np.random.default_rng(seed)
        z = spread * rng.standard_normal((n, k))
        truth = (rng.random((n, 1)) > softmax(z).cumsum(axis=1)[:, :-1]).sum(axis=1)
        return TargetPrediction.of(class_target(k), softmax(sharpness * z)), rows_of(truth)

    return draw


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def calibrated(unlabelled):
    """Fit a method on some rows and apply it to others: `calibrated("beta", output, rows, other, pull=1.0)`."""

    def run(name, output, rows, other=None, **options):
        method = registry.load("methods", name).build(**options)
        other = output if other is None else other
        return method.apply(method.fit(output, rows), other, unlabelled(len(other)))

    return run
