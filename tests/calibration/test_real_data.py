"""Reference figures on real probabilities: the protocols of the data's README, computed there by other code."""

import numpy as np
import pytest
from scipy.special import softmax

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.evaluation.metrics import accuracy, brier, ece, nll
from affectkit.labels import Target

FACES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
RATED = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SHARED = [RATED.index(name) for name in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")]


def rows_of(truth):
    return GroundTruth(np.asarray(truth, float), np.full(len(truth), ""))


def fit_and_test(output, truth, fit, name, **options):
    """The parameters, and before and after on the other rows: ECE, NLL, Brier and accuracy."""
    method = registry.load("methods", name).build(**options)
    parameters = method.fit(output.take(fit), rows_of(truth[fit]))
    before = output.take(~fit)
    after = method.apply(parameters, before, rows_of(np.full(len(before), np.nan)))
    return parameters, figures(truth[~fit], before.values), figures(truth[~fit], after.values)


def figures(truth, p):
    predicted = accuracy(truth, p.argmax(axis=1), classes=range(p.shape[1]))
    return {"ece": ece(truth, p), "nll": nll(truth, p), "brier": brier(truth, p), "accuracy": predicted}


@pytest.fixture(scope="module")
def cifar10(real_data):
    stored = np.load(real_data / "calibration" / "cifar10_vgg16_probs.npz")
    target = Target("label", "class", tuple(f"class{k}" for k in range(10)))
    return TargetPrediction.of(target, stored["probs"]), stored["labels"], np.arange(10_000) < 5000


@pytest.fixture(scope="module")
def ferplus(real_data):
    """Faces whose most frequent vote is one of the seven classes that network and raters share, and only one."""
    stored = np.load(real_data / "calibration" / "ferplus_minixception_logits.npz")
    votes = stored["votes"].astype(int)
    shared = votes[:, SHARED]
    most = shared.max(axis=1)
    kept = ((shared == most[:, None]).sum(axis=1) == 1) & (votes[:, RATED.index("contempt")] < most)
    p = softmax(stored["logits"].astype(float), axis=1)
    return (
        TargetPrediction.of(Target("label", "class", FACES), p[kept]),
        shared.argmax(axis=1)[kept],
        stored["public"][kept],
    )


def test_temperature_on_cifar10(cifar10):
    parameters, before, after = fit_and_test(*cifar10, "temperature")
    assert parameters["temperature"] == pytest.approx(1.7359, abs=1e-4)
    assert {name: f"{value:.5f}" for name, value in before.items()} == {
        "ece": "0.03742", "nll": "0.22697", "brier": "0.09718", "accuracy": "0.94040",
    }  # fmt: skip
    assert {name: f"{value:.5f}" for name, value in after.items()} == {
        "ece": "0.01672", "nll": "0.18306", "brier": "0.08861", "accuracy": "0.94040",
    }  # fmt: skip


def test_temperature_on_faces(ferplus):
    _, before, after = fit_and_test(*ferplus, "temperature")
    assert before["ece"] == pytest.approx(0.070, abs=0.0005)
    assert after["ece"] == pytest.approx(0.020, abs=0.001)
    assert after["nll"] < before["nll"] and after["accuracy"] == before["accuracy"]


@pytest.mark.parametrize("name", ["vector", "beta"])
def test_the_other_smooth_methods_are_no_worse_than_temperature(name, cifar10, ferplus):
    """Faces: the network favours other classes than these raters do, which biases mend: accuracy .65, then .75."""
    for data, gain in ((cifar10, -0.002), (ferplus, 0.15)):
        _, before, after = fit_and_test(*data, name)
        temperature = fit_and_test(*data, "temperature")[2]
        assert after["nll"] < temperature["nll"] - gain
        assert after["ece"] < 0.6 * before["ece"]


@pytest.mark.parametrize("name", ["isotonic", "histogram"])
def test_methods_that_make_steps_lower_the_ece_and_can_raise_the_loss(name, cifar10):
    """Their zeros cost the NLL; that is why `none` is among the answers of a comparison."""
    _, before, after = fit_and_test(*cifar10, name)
    assert after["ece"] < 0.6 * before["ece"]
    assert after["nll"] > fit_and_test(*cifar10, "temperature")[2]["nll"]


@pytest.mark.parametrize("coverage", [0.9, 0.95])
def test_sets_of_real_classes_are_covered(coverage, cifar10, ferplus):
    """Over 40 halvings each: one alone scatters by a point."""
    method = registry.load("methods", "conformal").build(coverage=coverage)
    for output, truth, _ in (cifar10, ferplus):
        rng, found = np.random.default_rng(0), []
        for _ in range(40):
            fit = rng.random(len(truth)) < 0.5
            parameters = method.fit(output.take(fit), rows_of(truth[fit]))
            sets = method.apply(parameters, output.take(~fit), rows_of(np.full((~fit).sum(), np.nan))).sets
            found.append(sets[np.arange(len(sets)), truth[~fit]].mean())
        assert np.mean(found) == pytest.approx(coverage, abs=0.01)
