"""Stages: presets, files, and what is wrong with them."""

import json
from dataclasses import asdict, fields

import pytest

from affectkit.errors import AffectkitError
from affectkit.training import stages
from affectkit.training.stages import Stage, StageOptions, preset, read_stages


@pytest.mark.parametrize(
    ("rate", "found", "ends"),
    [
        ("1e-5", None, (1e-5, 1e-5)),
        ("1e-6..1e-4", None, (1e-6, 1e-4)),
        ("find", 0.02, (0.02, 0.02)),
        ("find/10", 0.02, (0.002, 0.002)),
        ("find/100..find/10", 0.02, (0.0002, 0.002)),
        ("1e-6..find/4", 0.02, (1e-6, 0.005)),
    ],
)
def test_rates(rate, found, ends):
    stage = Stage("a", learning_rate=rate)
    assert stage.rates(found) == pytest.approx(ends, rel=1e-12)
    assert stage.finds == (rate == "find")


@pytest.mark.parametrize(
    "rate",
    ["0", "-1e-3", "nan", "inf", "fast", "", "1e-3..", "..1e-3", "1..2..3", "find..1e-3", "find/", "find/0", "find/x"],
)
def test_a_rate_that_is_none(rate):
    with pytest.raises(AffectkitError, match="stage 'a': learning rate"):
        Stage("a", learning_rate=rate)


def test_a_share_of_a_rate_that_nobody_found():
    with pytest.raises(AffectkitError, match="no rate was found before it"):
        Stage("a", learning_rate="find/10").rates(None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": "tail"}, "train 'tail' is no part of a network; use all, head or last-4"),
        ({"train": "last-0"}, "train 'last-0'"),
        ({"train": "last-"}, "train 'last-'"),
        ({"epochs": 0}, "epochs 0; give 1 or more"),
        ({"schedule": "zigzag"}, "schedule zigzag; use one-cycle, linear, cosine, plateau or constant"),
        ({"warmup": 1.0}, "warmup 1.0; give 0 to below 1"),
        ({"warmup": float("nan")}, "warmup nan"),
        ({"patience": -1}, "patience -1; give 0 or more"),
        ({"min_delta": -0.1}, "min_delta -0.1; give 0 or more"),
    ],
)
def test_what_is_wrong_with_a_stage(wrong, message):
    with pytest.raises(AffectkitError, match="stage 'a': ") as caught:
        Stage("a", **wrong)
    assert message in str(caught.value) and caught.value.code == "usage"


def test_presets():
    common = {"epochs": 12, "learning_rate": "1e-4", "schedule": "linear", "patience": 3}
    assert preset("full", **common) == [Stage("full", "all", 12, "1e-4", "linear", patience=3)]
    assert preset("frozen", **common) == [Stage("frozen", "head", 12, "1e-4", "linear", patience=3)]
    head, rest = preset("freeze-unfreeze", **common)
    assert head == Stage("frozen", "head", 4, "find", "one-cycle", patience=3)
    assert rest == Stage("unfrozen", "all", 8, "1e-05..0.0001", "linear", patience=3)


@pytest.mark.parametrize(("rate", "spread"), [("find", "find/100..find/10"), ("1e-6..1e-3", "1e-6..1e-3")])
def test_the_rate_after_unfreezing(rate, spread):
    assert preset("freeze-unfreeze", epochs=1, learning_rate=rate)[1].learning_rate == spread


def test_two_stages():
    assert StageOptions("two-stage").read() == [
        Stage("mixture", "head", 30, "1e-3", "linear", 0.1, 10, 0.0005),
        Stage("unfrozen", "all", 100, "1e-05", "linear", 0.1, 10, 0.0005),
    ]
    told = StageOptions("two-stage", epochs=12, learning_rate="1e-5", patience=0, min_delta=0.0).read()
    assert [(stage.epochs, stage.patience, stage.min_delta) for stage in told] == [(12, 0, 0.0)] * 2
    assert [stage.learning_rate for stage in told] == ["1e-5", "1e-07"]


@pytest.mark.parametrize(("rate", "later"), [("find", "find/100"), ("1e-4..1e-2", "1e-06..0.0001")])
def test_a_hundredth_of_a_rate(rate, later):
    assert StageOptions("two-stage", learning_rate=rate).read()[1].learning_rate == later


def test_defaults_are_those_of_every_other_preset():
    assert StageOptions().read() == [Stage("full", "all", 12, "1e-5", "linear", 0.1)]
    assert StageOptions().resolved.epochs == 12 and StageOptions("two-stage").resolved.epochs is None


def test_an_unknown_preset():
    with pytest.raises(AffectkitError, match=r"there are no --stages frosen; did you mean frozen"):
        preset("frosen", epochs=1, learning_rate="1e-3")


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "stages.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def test_a_file_says_what_options_do_not(file):
    path = file({"stages": [{"train": "head", "learning_rate": 0.001}, {"name": "rest", "epochs": 7}]})
    found = read_stages(path, epochs=3, learning_rate="find", patience=2)
    assert found == [Stage("stage-1", "head", 3, "0.001", patience=2), Stage("rest", "all", 7, "find", patience=2)]
    assert StageOptions(str(path), epochs=3, learning_rate="find", warmup=0.0, patience=2).read() == found
    assert [stage.name for stage in StageOptions("frozen", epochs=3, learning_rate="1e-3").read()] == ["frozen"]


def test_a_file_may_say_all_that_a_stage_has(file):
    stage = Stage("a", "last-2", 4, "1e-6..find/2", "plateau", 0.2, 3, 0.01, "val_loss")
    assert read_stages(file([asdict(stage)])) == [stage]
    assert set(stages._KINDS) == {field.name for field in fields(Stage)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "not JSON"),
        ([], "is not a list of stages"),
        ({"stage": []}, "is not a list of stages"),
        (["head"], "is not a list of stages"),
        ([{"epoch": 3}], "stage 1 has an unknown 'epoch'; did you mean epochs?"),
        ([{}, {"epochs": "three"}], "stage 2: epochs 'three' is not a whole number"),
        ([{"epochs": 2.5}], "stage 1: epochs 2.5 is not a whole number"),
        ([{"epochs": True}], "stage 1: epochs True is not a whole number"),
        ([{"warmup": None}], "stage 1: warmup None is not a number"),
        ([{"train": ["head"]}], "stage 1: train ['head'] is not a word"),
        ([{"learning_rate": [1e-3]}], "stage 1: learning_rate [0.001] is not a learning rate"),
        ([{"name": "x", "epochs": 0}], "stage 'x': epochs 0; give 1 or more"),
    ],
)
def test_what_is_wrong_with_a_file(file, data, message):
    path = file(data)
    with pytest.raises(AffectkitError) as caught:
        read_stages(path)
    assert str(caught.value).startswith(f"{path}: {message}") and caught.value.code == "input"


def test_no_file(tmp_path):
    with pytest.raises(AffectkitError, match="no such file of stages"):
        read_stages(tmp_path / "none.json")


def test_two_stages_of_one_name_are_refused(tmp_path):
    """Their answers would be kept under one name."""
    file = tmp_path / "stages.json"
    file.write_text('[{"name": "a"}, {"name": "b"}, {"name": "a"}]')
    with pytest.raises(AffectkitError, match=r"stages\.json: has two stages 'a'; give each a name of its own"):
        read_stages(file)
