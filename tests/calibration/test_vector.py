import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.calibration.methods import _scaling, beta, vector
from affectkit.errors import AffectkitError
from affectkit.evaluation import temperature
from affectkit.evaluation.metrics import nll


def by_bfgs(p, truth, pull):
    """The same loss, by scipy from numerical gradients."""
    k = p.shape[1]
    logits = np.log(np.clip(p, 1e-12, 1))

    def loss(at):
        picked = log_softmax(at[:k] * logits + at[k:], axis=1)[np.arange(len(truth)), truth]
        return -picked.sum() + pull / 2 * (((at[:k] - 1) ** 2).sum() + (at[k:] ** 2).sum())

    return np.split(minimize(loss, np.r_[np.ones(k), np.zeros(k)], options={"gtol": 1e-7}).x, 2)


@pytest.mark.parametrize("pull", [0.1, 3.0])
def test_scales_and_biases_are_those_of_a_general_optimiser(overconfident, pull):
    output, rows = overconfident(300, 3, 2.0)
    found = vector.build(pull=pull).fit(output, rows)
    scale, bias = by_bfgs(output.values, rows.truth.astype(int), pull)
    np.testing.assert_allclose(found["scale"], scale, atol=1e-4)
    np.testing.assert_allclose(found["bias"], bias, atol=1e-4)


def test_it_mends_a_class_that_is_always_favoured(overconfident, calibrated):
    """A bias of 1.5 on the first logit, which no temperature can take away."""
    output, rows = overconfident(4000, 4, 1.0)
    leaning = output.values * np.exp([1.5, 0, 0, 0])
    leaning = TargetPrediction.of(output.target, leaning / leaning.sum(axis=1, keepdims=True))
    fitted = vector.build().fit(leaning, rows)
    np.testing.assert_allclose(fitted["bias"] - np.mean(fitted["bias"][1:]), [-1.5, 0, 0, 0], atol=0.25)
    honest = nll(rows.truth, output.values)
    assert nll(rows.truth, calibrated("vector", leaning, rows).values) == pytest.approx(honest, abs=0.005)
    assert nll(rows.truth, calibrated("temperature", leaning, rows).values) > honest + 0.03


def test_few_rows_change_little_and_a_strong_pull_nothing(overconfident):
    output, rows = overconfident(5, 4, 2.0)
    weak, strong = (vector.build(pull=pull).fit(output, rows) for pull in (1.0, 1e9))
    assert np.abs(np.array(weak["scale"]) - 1).max() < 2
    np.testing.assert_allclose(strong["scale"], 1, atol=1e-6)
    np.testing.assert_allclose(strong["bias"], 0, atol=1e-6)


def test_an_absent_class_keeps_its_probability(overconfident, calibrated):
    output, rows = overconfident(400, 3, 1.0)
    kept = rows.truth != 2
    answer = calibrated("vector", output.take(kept), rows.take(kept), output).values
    np.testing.assert_allclose(answer[:, 2], output.values[:, 2], atol=1e-12)


@pytest.mark.parametrize("pull", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pull_has_to_be_above_zero(pull):
    with pytest.raises(AffectkitError, match="--pull") as caught:
        vector.build(pull=pull)
    assert caught.value.code == "usage"


def test_the_hessian_of_many_classes_is_multiplied_with_to_the_same_end(overconfident, monkeypatch):
    output, rows = overconfident(3000, 12, 2.0)
    summed = vector.build().fit(output, rows)
    monkeypatch.setattr(_scaling, "DENSE", 11)
    multiplied = vector.build().fit(output, rows)
    for name in ("scale", "bias"):
        np.testing.assert_allclose(multiplied[name], summed[name], atol=1e-6)


def test_pieces_of_rows_add_up(overconfident, monkeypatch):
    output, rows = overconfident(3000, 4, 2.0)
    at_once = vector.build().fit(output, rows)
    monkeypatch.setattr(temperature, "CELLS", 4 * 700)
    in_pieces = vector.build().fit(output, rows)
    for name in ("scale", "bias"):
        np.testing.assert_allclose(in_pieces[name], at_once[name], atol=1e-9)


@pytest.mark.parametrize("method", [vector, beta])
def test_a_start_from_some_of_many_rows_ends_where_all_of_them_do(overconfident, monkeypatch, method):
    output, rows = overconfident(4000, 3, 2.0)
    slowly = method.build().fit(output, rows)
    monkeypatch.setattr(_scaling, "MANY", 500)
    started = method.build().fit(output, rows)
    fits = [slowly, started] if method is vector else [each["classes"] for each in (slowly, started)]
    for name in fits[0]:
        numbers = [list(fit[name].values()) if method is beta else fit[name] for fit in fits]
        np.testing.assert_allclose(*numbers, atol=1e-5)
