"""What `calibration.json` and `fusion.json` hold is checked while it is read."""

import json
import shutil

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.arrays import check_numbers
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.inference.load import load_model
from affectkit.labels import Target

NUMBER, CLASSES = Target("valence", "number", scale=(1.0, 5.0)), Target("label", "class", ("a", "b", "c"))
CURVE = {"at": [0.1, 0.5], "value": [0.2, 0.6]}
EDGES = {"edges": [0.5], "value": [0.2, 0.8]}
LINE = {"a": 1.0, "b": 1.0, "c": 0.0}


def each(fit):
    return {"classes": {"a": fit, "b": None, "c": fit}}


WRONG = [
    ("temperature", CLASSES, {"temperature": 0.0}),
    ("temperature", CLASSES, {"temperature": [1.0]}),
    ("temperature", CLASSES, {"temperature": "1"}),
    ("vector", CLASSES, {"scale": [1.0, 1.0], "bias": [0.0, 0.0]}),
    ("vector", CLASSES, {"scale": [1.0] * 3, "bias": [0.0] * 3, "unseen": [3]}),
    ("linear", NUMBER, {"a": 0.0, "b": -1.0}),
    ("linear", NUMBER, {"a": 0.0}),
    ("variance-scaling", NUMBER, {"a": -1.0, "b": 0.0, "constant": 1.0}),
    ("isotonic", NUMBER, {"at": [1.0, 2.0], "value": [1.0]}),
    ("isotonic", NUMBER, {"at": [2.0, 1.0], "value": [1.0, 2.0]}),
    ("isotonic", CLASSES, each(CURVE | {"value": [0.2, 1.6]})),
    ("isotonic", CLASSES, {"classes": {"a": CURVE}}),
    ("histogram", CLASSES, each(EDGES | {"value": [0.2]})),
    ("histogram", CLASSES, each(EDGES | {"edges": [1.5]})),
    ("beta", CLASSES, each(LINE | {"a": -1.0})),
    ("conformal", CLASSES, {"quantiles": {"": -0.5}}),
    ("conformal", NUMBER, {"quantiles": {"": 0.5}, "scaled": {"": "1"}}),
]
RIGHT = [
    ("temperature", CLASSES, {"temperature": 1.5}),
    ("isotonic", CLASSES, each(CURVE)),
    ("histogram", CLASSES, each(EDGES)),
    ("beta", CLASSES, each(LINE)),
    ("conformal", NUMBER, {"quantiles": {"": None}, "scaled": None}),
]


@pytest.mark.parametrize("name, target, parameters", WRONG)
def test_parameters_that_no_fit_gives_are_refused(name, target, parameters):
    with pytest.raises((ValueError, KeyError)):
        registry.load("methods", name).build().check(parameters, target)


@pytest.mark.parametrize("name, target, parameters", RIGHT)
def test_others_pass(name, target, parameters):
    registry.load("methods", name).build().check(parameters, target)


@pytest.mark.parametrize("name", registry.names("methods"))
def test_what_a_fit_gives_passes(name, overconfident, rows_of):
    method = registry.load("methods", name).build()
    if "class" in method.kinds:
        output, rows = overconfident(60, 3, 1.0)
        method.check(json.loads(json.dumps(method.fit(output, rows))), output.target)
    if "number" in method.kinds:
        truth = np.linspace(1, 5, 40)
        output = TargetPrediction(NUMBER, mean=truth[::-1] * 0.5 + truth, var=np.full(40, 0.1))
        parameters = json.loads(json.dumps(method.fit(output, rows_of(truth))))
        check_numbers("parameters", parameters)
        method.check(parameters, NUMBER)


def test_a_fusion_that_cannot_answer_is_refused_when_it_is_loaded(affectkit, speech, tmp_path):
    affectkit("fuse", f"x={speech / 'linear'}", f"y={speech / 'small'}", "--rule", "mean", "-o", tmp_path / "fused")
    for name in ("run.json", "started.json"):  # which hold its digest
        (tmp_path / "fused" / name).unlink()
    path = tmp_path / "fused" / "best_model" / "fusion.json"
    stored = json.loads(path.read_text())
    load_model(tmp_path / "fused")
    for weights in ({"x": -1.0, "y": 2.0}, {"x": 1.0}, {"x": "a", "y": 1.0}):
        stored["targets"]["label"]["parameters"] = {"weights": weights}
        path.write_text(json.dumps(stored))
        with pytest.raises(AffectkitError, match=r"is not a whole model|the fusion is of x") as caught:
            load_model(tmp_path / "fused")
        assert caught.value.file == str(path.parent)


def test_a_changed_calibration_is_one_line_that_names_its_folder(affectkit, speech, tmp_path):
    shutil.copytree(speech / "linear", tmp_path / "linear")
    affectkit("calibrate", tmp_path / "linear", "--method", "temperature", "-o", tmp_path / "t")
    for name in ("run.json", "started.json"):  # which hold its digest
        (tmp_path / "t" / name).unlink()
    path = tmp_path / "t" / "best_model" / "calibration.json"
    stored = json.loads(path.read_text())
    stored["targets"]["label"]["parameters"]["temperature"] = -1.0
    path.write_text(json.dumps(stored))
    result = affectkit("predict", "--model-dir", tmp_path / "t" / "best_model", "x.wav", code=1)
    assert "is not a whole model" in result.stderr and result.stderr.count("\n") == 1
