"""The figures of `prediction_analysis/metrics.json` against scikit-learn's and scipy's."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics as sk

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation import parts
from affectkit.evaluation.intervals import DEFAULT
from affectkit.evaluation.measure import number_intervals
from affectkit.evaluation.prediction_analysis import analyse
from affectkit.labels import Target

NAMES = ("openness", "neuroticism")


def analysed(frame, train=None):
    targets = [Target(name, "number", scale=(0.0, 1.0)) for name in NAMES]
    rows = Predictions(frame.assign(seen="heldout"), {target.name: target for target in targets})
    return analyse(rows, targets, number_intervals(rows, targets, None, DEFAULT), parts.floors(rows, targets, train))


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 1, (60, 2))
    predicted = np.stack([0.5 + 0.3 * (truth[:, 0] - 0.5), rng.uniform(0, 1, 60)], axis=1)  # the second knows nothing
    predicted += rng.normal(0, 0.05, (60, 2))
    columns = {name: truth[:, k] for k, name in enumerate(NAMES)}
    columns |= {f"{name}_pred": predicted[:, k] for k, name in enumerate(NAMES)}
    return pd.DataFrame({"id": [f"r{k}" for k in range(60)], **columns})


def test_figures_are_those_of_scikit_learn_and_scipy(frame):
    said = analysed(frame)
    for name in NAMES:
        truth, predicted = frame[name], frame[f"{name}_pred"]
        row = said["trait_metrics"][name]
        r, p = scipy.stats.pearsonr(truth, predicted)
        expected = {
            "mse": sk.mean_squared_error(truth, predicted), "mae": sk.mean_absolute_error(truth, predicted),
            "rmse": sk.root_mean_squared_error(truth, predicted), "r2": sk.r2_score(truth, predicted),
            "pearson_r": r, "pearson_p": p, "one_minus_mae": 1 - sk.mean_absolute_error(truth, predicted),
            "mean_true": truth.mean(), "std_true": truth.std(ddof=0), "min_true": truth.min(), "max_true": truth.max(),
            "mean_pred": predicted.mean(), "std_pred": predicted.std(ddof=0), "min_pred": predicted.min(),
            "max_pred": predicted.max(),
        }  # fmt: skip
        for key, value in expected.items():
            assert row[key] == pytest.approx(value, abs=1e-9, rel=1e-9), (name, key)
    truth, predicted = frame[list(NAMES)], frame[[f"{name}_pred" for name in NAMES]]
    assert said["overall_r2"] == pytest.approx(sk.r2_score(truth, predicted), abs=1e-9)
    weighted = sk.r2_score(truth, predicted, multioutput="variance_weighted")
    assert said["overall_r2_variance_weighted"] == pytest.approx(weighted, abs=1e-9)
    assert said["overall_mse"] == pytest.approx(sk.mean_squared_error(truth, predicted), abs=1e-9)
    assert said["trait_metrics"]["neuroticism"]["r2"] < 0


def test_the_train_mean_stands_beside_r2_and_mae(frame):
    train = pd.DataFrame({name: [0.2, 0.4] for name in NAMES})
    said = analysed(frame, train)
    assert said["floor"] == "train_mean"
    for name in NAMES:
        constant = np.full(60, 0.3)
        floors = said["trait_metrics"][name]["floors"]
        assert floors["r2"] == pytest.approx(sk.r2_score(frame[name], constant), abs=1e-9)
        assert floors["one_minus_mae"] == pytest.approx(1 - sk.mean_absolute_error(frame[name], constant), abs=1e-9)
    assert analysed(frame)["floor"] == "judged_mean"


def test_one_row_and_constants_are_undefined_rather_than_wrong(frame):
    alone = analysed(frame[:1])["trait_metrics"]["openness"]
    assert (alone["n"], alone["r2"], alone["pearson_r"], alone["pearson_p"]) == (1, None, None, None)
    constant = analysed(frame.assign(openness_pred=0.5))["trait_metrics"]["openness"]
    assert constant["ccc"] == 0.0
    assert constant["pearson_r"] is None
