"""Small sources for the rules: `sources(rows, names)` of classes, or of numbers with variances."""

import numpy as np
import pytest

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.labels import Target

LABEL = Target("label", "class", ("angry", "happy", "sad"))
VALENCE = Target("valence", "number", (), (1, 7))


@pytest.fixture(scope="session")
def class_sources():
    """`(sources, rows)`: each source is right a bit more often than not; `missing` is the share of rows it lacks."""

    def make(rows=60, names=("voice", "face", "text"), *, missing=0.0, groups=6, seed=0):
        rng = np.random.default_rng(seed)
        truth = rng.integers(3, size=rows)

        def one(strength):
            score = rng.normal(size=(rows, 3))
            score[np.arange(rows), truth] += strength
            values = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
            values[rng.random(rows) < missing] = np.nan
            return TargetPrediction.of(LABEL, values)

        found = {name: one(1.0 + 0.3 * number) for number, name in enumerate(names)}
        return found, GroundTruth(truth.astype(float), speakers(rows, groups))

    return make


@pytest.fixture(scope="session")
def number_sources():
    """`(sources, rows)`: numbers with variances that say something of their errors."""

    def make(rows=60, names=("voice", "face", "text"), *, missing=0.0, groups=6, seed=0):
        rng = np.random.default_rng(seed)
        truth = np.clip(4 + rng.normal(size=rows), 1, 7)

        def one(error):
            spread = error * np.exp(0.5 * rng.normal(size=rows))
            gone = rng.random(rows) < missing
            mean = np.where(gone, np.nan, truth + spread * rng.normal(size=rows))
            var = np.where(gone, np.nan, spread**2 * rng.chisquare(4, size=rows) / 4)
            return TargetPrediction(VALENCE, mean=mean, var=var)

        found = {name: one(0.8 + 0.2 * number) for number, name in enumerate(names)}
        return found, GroundTruth(truth, speakers(rows, groups))

    return make


def speakers(rows, groups):
    return np.array([f"speaker{row % groups}" for row in range(rows)])
