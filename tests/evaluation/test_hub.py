"""The same metrics as `evaluate.Metric`s: equal to the functions, without a network."""

import socket

import evaluate
import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.evaluation import hub
from affectkit.evaluation.metrics import METRICS


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def example(metric):
    rng = np.random.default_rng(2)
    if metric.takes == "numbers":
        return rng.random(60), rng.random(60)
    truth = rng.integers(3, size=60)
    return truth, rng.integers(3, size=60) if metric.takes == "classes" else rng.dirichlet(np.ones(3), 60)


@pytest.mark.parametrize("name", METRICS)
def test_it_equals_the_function(name, tmp_path):
    truth, predicted = example(METRICS[name])
    metric = hub.load(name, cache_dir=tmp_path)
    assert isinstance(metric, evaluate.Metric)
    found = metric.compute(predictions=predicted, references=truth)
    assert found == {name: pytest.approx(METRICS[name].function(truth, predicted), abs=1e-12)}


@pytest.mark.parametrize("name", METRICS)
def test_batches_add_up_to_the_whole(name, tmp_path):
    truth, predicted = example(METRICS[name])
    metric = hub.load(name, cache_dir=tmp_path)
    for part in (slice(0, 16), slice(16, 60)):
        metric.add_batch(predictions=predicted[part], references=truth[part])
    assert metric.compute()[name] == pytest.approx(METRICS[name].function(truth, predicted), abs=1e-12)


def test_class_names_and_arguments(tmp_path):
    metric = hub.load("uar", cache_dir=tmp_path)
    names = {"predictions": ["sad", "happy"], "references": ["sad", "sad"]}
    assert metric.compute(**names, classes=["happy", "neutral", "sad"]) == {"uar": 0.5}
    nll = hub.load("nll", cache_dir=tmp_path)
    found = nll.compute(predictions=[[0.9, 0.1], [0.8, 0.2]], references=["sad", "happy"], classes=["sad", "happy"])
    assert found["nll"] == pytest.approx(-(np.log(0.9) + np.log(0.2)) / 2)
    scaled = hub.load("one_minus_mae", cache_dir=tmp_path)
    assert scaled.compute(predictions=[2.0], references=[3.0], scale=(1, 5)) == {"one_minus_mae": 0.75}


def test_several_can_be_combined(tmp_path):
    both = evaluate.combine([hub.load(name, cache_dir=tmp_path) for name in ("uar", "macro_f1")])
    found = both.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert found == {"uar": pytest.approx(0.75), "macro_f1": pytest.approx(2 / 3)}


def test_a_misspelt_name_has_a_remedy():
    with pytest.raises(AffectkitError, match="did you mean macro_f1"):
        hub.load("macrof1")
