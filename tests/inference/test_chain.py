"""A calibration or a fusion behind its parents."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import parent_of, write_fit_rows, write_spec
from affectkit.errors import AffectkitError
from affectkit.fusion.rule import FusionModel
from affectkit.inference import Work, load_model
from affectkit.inference.load import StackedModel


class Parent:
    """It says how it was asked to work, and the second one asked ends the test."""

    feature_sets, columns, parents, spec = 0, (), {}, {}

    def __init__(self, asked):
        self.asked = asked

    def predict(self, manifest, work, features):
        self.asked.append(work)
        if len(self.asked) == 2:
            raise InterruptedError


def test_all_parents_share_one_work():
    asked = []
    stage = FusionModel(["a", "b"], {})
    chain = StackedModel(Path(), {}, pd.DataFrame(), stage, parents={"a": Parent(asked), "b": Parent(asked)})
    with pytest.raises(InterruptedError):
        chain.predict(None, Work())
    assert isinstance(asked[0], Work) and asked[0] is asked[1]


def test_a_row_that_several_models_skip_is_named_once(caplog):
    """Each reason once: one model may fail on a row's sound, another on its image."""
    work, later = Work(on_error="skip"), Work(on_error="skip")
    with caplog.at_level(logging.WARNING):
        for reason in ("a.png: is truncated", "a.png: is truncated", "a.wav: is empty"):
            work.tell_skipped("a", reason)
        work.tell_skipped("b", "a.png: is truncated")
        later.tell_skipped("a", "a.png: is truncated")
    assert [record.getMessage() for record in caplog.records] == [
        "a is skipped: a.png: is truncated",
        "a is skipped: a.wav: is empty",
        "b is skipped: a.png: is truncated",
        "a is skipped: a.png: is truncated",
    ]


LABEL = {"name": "label", "kind": "class", "classes": ["joy", "rage"]}
VALENCE = {"name": "valence", "kind": "number", "scale": [-1, 1]}
TEMPERATURE = {"method": "temperature", "options": {}, "parameters": {"temperature": 1.5}}


def saved(folder, kind, targets, **more):
    folder.mkdir(parents=True)
    rows = write_fit_rows([folder], pd.DataFrame({"id": [], "group": [], "role": []}))
    write_json(folder / "affectkit.json", {"kind": kind, "targets": targets, "fit_rows": rows, **more})
    return folder


def calibrated(folder, stage, targets=(LABEL,), parent=(LABEL,)):
    """A calibration of a model that has no weights to load."""
    model, place = saved(folder / "face", "face-expert", list(parent)), folder / "calibrated"
    place.mkdir()
    parents = [parent_of("model", model, place)]
    place.rmdir()
    saved(place, "calibration", list(targets), parents=parents)
    write_json(place / "calibration.json", {"targets": stage})
    return place


def test_a_sound_chain_is_tried_out_and_loaded(tmp_path):
    chain = load_model(calibrated(tmp_path, {"label": TEMPERATURE}, parent=[{**LABEL, "classes": ["rage", "joy"]}]))
    assert chain.parents["model"].folder == tmp_path / "face"


@pytest.mark.parametrize(
    ("stage", "targets", "parent"),
    [
        ({}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "parameters": {}}}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "parameters": {"temperature": "1.5"}}}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "parameters": {"temperature": 0}}}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "options": {"shell": 1}}}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "method": "os.system"}}, [LABEL], [LABEL]),
        ({"label": {**TEMPERATURE, "method": "isotonic"}}, [LABEL], [LABEL]),
        ({"label": TEMPERATURE}, [{**LABEL, "classes": ["x", "y"]}], [LABEL]),
        ({"label": TEMPERATURE}, [LABEL], [VALENCE]),
        ({"label": TEMPERATURE, "valence": TEMPERATURE}, [LABEL, VALENCE], [LABEL]),
    ],
)
def test_a_chain_that_does_not_fit_together_is_refused_when_it_is_loaded(tmp_path, stage, targets, parent):
    folder = calibrated(tmp_path, stage, targets, parent)
    with pytest.raises(AffectkitError) as refused:
        load_model(folder)
    assert refused.value.file == str(folder) and refused.value.code == "input" and "\n" not in str(refused.value)


def network_beside(folder, classes=("rage", "joy"), sources=("a",), path="a"):
    """A fine-tuned image network that is mixed with a model of its own targets."""
    from affectkit.finetuning.media.images import Images
    from affectkit.finetuning.mixture import MixOptions, Mixture
    from affectkit.finetuning.model import FinetunedModel
    from affectkit.labels import Target

    target, medium = Target("label", "class", tuple(classes)), Images("tiny-random:resnet")
    network, options = medium.build([target], 0), MixOptions(tuple(sources), "learn")
    FinetunedModel({}, medium, network, Mixture([target], options)).save(folder)
    rows = write_fit_rows([folder], pd.DataFrame({"id": [], "group": [], "role": []}))
    base = {"checkpoint": "tiny-random:resnet", **network.describe()}
    spec = {"kind": "finetuned", "reads": "images", "base": base, **medium.spec(), "targets": [target.to_json()]}
    spec |= {"beside": options.plain(), "parents": [{"name": "a", "path": path, "sha256": None}], "fit_rows": rows}
    write_spec(folder, spec, "")
    return folder


def test_a_network_beside_models_that_do_not_fit_it(tmp_path):
    with pytest.raises(AffectkitError, match=r"is not a whole model.*not with its parents"):
        load_model(network_beside(tmp_path / "other", sources=("b",)))
    with pytest.raises(AffectkitError, match="its source 'a' is only a table"):
        load_model(network_beside(tmp_path / "table", path=None))
    with pytest.raises(AffectkitError, match="its parent 'a' is not at a"):
        load_model(network_beside(tmp_path / "gone"))
    (network_beside(tmp_path / "cut", path=None) / "mixture.safetensors").unlink()
    with pytest.raises(AffectkitError, match=r"mixture\.safetensors"):
        load_model(tmp_path / "cut")
