"""The loop: what trains, what is kept, how it ends, and what it says."""

import csv
import errno
import gc
import json
import math
import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_toy import LABEL, VALENCE, assert_same, make_problem, weights_of

from affectkit.errors import AffectkitError
from affectkit.training import keeping, optimizing
from affectkit.training.fit import Settings, fit
from affectkit.training.judging import Judge, outputs_of, scores
from affectkit.training.keeping import Keeper, read_tensors, write_tensors
from affectkit.training.loading import Feed
from affectkit.training.stages import Stage
from affectkit.training.stepping import Stepper
from affectkit.training.weights import Weights

WHOLE = Stage("whole", "all", 3, "1e-2")


def history(folder, name="history.csv"):
    with open(folder / name) as file:
        return list(csv.DictReader(file))


def test_it_learns(train, tmp_path, accelerator):
    problem = make_problem((LABEL, VALENCE), rows=90, val=45)
    found = train(problem, [Stage("whole", "all", 8, "2e-2", "one-cycle")])
    rows = history(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 9)]
    assert float(rows[-1]["train_loss"]) < 0.5 * float(rows[0]["train_loss"])
    assert found.best["val_uar"] > 0.9 and found.best["val_ccc"] > 0.6
    assert found.monitor == "val_loss" and found.best == min(found.history, key=lambda row: row["val_loss"])
    assert found.stages[0]["rates"] == [0.02, 0.02]
    # The network has the best weights: it gives the metrics of the best row again.
    outputs = outputs_of(problem.module, problem.val, accelerator, size=8)
    again = scores(problem.objective.targets, problem.objective.answers(outputs), problem.val.truth)
    assert again["uar"] == found.best["val_uar"] and again["ccc"] == pytest.approx(found.best["val_ccc"], rel=1e-6)


def test_every_row_once_an_epoch(train):
    problem = make_problem((VALENCE,), rows=37)  # with a loss over the batch, too
    train(problem, [WHOLE], batch_size=8)
    assert sorted(problem.train.loaded) == sorted(problem.train.ids * 3)


def test_numbers_of_the_history(train, tmp_path):
    train(make_problem(rows=24), [WHOLE], batch_size=4, accumulation=2)
    rows = history(tmp_path / "run")
    assert [row["step"] for row in rows] == ["3", "6", "9"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([1e-2, 1e-2 * 6 / 9, 1e-2 * 3 / 9])


# What trains


@pytest.mark.parametrize(("train_", "changed"), [("head", {"heads"}), ("last-1", {"second", "norm", "heads"})])
def test_what_is_frozen_does_not_change_by_a_bit(train, train_, changed):
    """Batch-norm statistics neither, where the norm is frozen."""
    problem = make_problem()
    before = weights_of(problem.module)
    train(problem, [Stage("a", train_, 2, "1e-2")], weight_decay=0.1, average=0.9)
    after = weights_of(problem.module)
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == changed


def test_dropout_rests_in_frozen_parts(train):
    problem = make_problem(dropout=0.5)
    seen = {}
    for name in ("first", "second"):
        getattr(problem.module, name)[2].register_forward_hook(
            lambda module, inputs, output, name=name: seen.setdefault((name, problem.module.training), set()).add(
                torch.equal(inputs[0], output)
            )
        )
    train(problem, [Stage("a", "last-1", 1, "1e-2")])
    assert seen == {
        ("first", True): {True},
        ("second", True): {False},
        ("first", False): {True},
        ("second", False): {True},
    }


def test_a_part_that_never_trains(train):
    problem = make_problem(frozen=frozenset({"first"}))
    before = weights_of(problem.module.first)
    train(problem, [Stage("head", "head", 1, "1e-2"), Stage("all", "all", 2, "1e-2")])
    assert_same(before, weights_of(problem.module.first))


NOTHING = frozenset({"head"})


def test_a_stage_in_which_nothing_trains_is_judged_once(train, caplog):
    problem = make_problem(frozen=NOTHING)
    caplog.set_level("INFO")
    before, ended = weights_of(problem.module), []
    found = train(problem, [Stage("as it is", "head", 30, "1e-2", patience=10)], after_stage=ended.append)
    assert [(row["stage"], row["epoch"], row["best"]) for row in found.history] == [("as it is", 0, True)]
    assert found.best["val_uar"] >= 0 and np.isnan(found.best["learning_rate"])
    assert_same(before, weights_of(problem.module))  # batch norm's statistics among them
    assert [stage.name for stage in ended] == ["as it is"]
    assert "nothing trains in stage 'as it is': evaluated once" in caplog.text


def test_what_trains_later_has_to_be_better_than_what_did_not(train, tmp_path):
    bad, good = make_problem(frozen=NOTHING), make_problem(frozen=NOTHING)
    before = weights_of(bad.module)
    stages = [Stage("as it is", "head"), Stage("rest", "all", 2, "10")]
    found = train(bad, stages)
    if found.best["stage"] == "as it is":
        assert_same(before, weights_of(bad.module))
    better = train(good, [Stage("as it is", "head"), Stage("rest", "all", 4, "1e-2")], tmp_path / "better")
    assert len(found.history) == 3 and better.best["val_uar"] >= better.history[0]["val_uar"]


def test_each_stage_ends_with_the_best_weights_so_far(train, tmp_path):
    problem, seen = make_problem(), []
    stages = [Stage("good", "all", 3, "1e-2"), Stage("bad", "all", 2, "3")]
    train(problem, stages, after_stage=lambda stage: seen.append(weights_of(problem.module)))
    assert_same(seen[0], seen[1])
    assert_same(seen[1], weights_of(problem.module))


def test_a_share_of_a_rate_that_nothing_looked_for(train):
    stages = [Stage("as it is", "head", 1, "find"), Stage("rest", "all", 1, "find/100")]
    with pytest.raises(AffectkitError, match="stage 'rest': no rate was found before it"):
        train(make_problem(frozen=NOTHING), stages)


def test_weights_that_never_train_are_not_stored(train, tmp_path):
    from safetensors import safe_open

    train(make_problem(frozen=frozenset({"first"})), [WHOLE])
    for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        with safe_open(path, "pt") as stored:
            assert stored.keys() and not any(".first." in f".{name}" for name in stored.keys())  # noqa: SIM118


# What is kept


def test_a_stage_that_hurts_is_undone(train, tmp_path):
    good, both = make_problem(), make_problem()
    train(good, [Stage("good", "all", 3, "1e-2")], tmp_path / "good")
    found = train(both, [Stage("good", "all", 3, "1e-2"), Stage("bad", "all", 2, "3")], tmp_path / "both")
    assert found.best["stage"] == "good" and len(found.history) == 5
    assert_same(weights_of(both.module), weights_of(good.module))


@pytest.fixture
def judged(monkeypatch):
    """Let the monitored metric be what the test says: `judged([.5, .7])`, epoch after epoch."""

    def script(values):
        values = iter(values)
        monkeypatch.setattr(Judge, "measure", lambda *_: {"val_loss": 1.0, "val_uar": next(values)})

    return script


@pytest.fixture
def begun(monkeypatch):
    """The network's weights as each stage begins."""
    found = []
    freeze = optimizing.freeze
    monkeypatch.setattr(
        optimizing, "freeze", lambda network, of: (found.append(weights_of(network)), freeze(network, of))
    )
    return found


def test_each_stage_begins_with_the_best_weights_so_far(train, judged, begun, tmp_path):
    """The second epoch of three is best, then none of stage two, and the last of stage three."""
    judged([0.5, 0.7, 0.6, 0.1, 0.2, 0.3, 0.8])
    stages = [Stage("a", "all", 3, "1e-2"), Stage("b", "head", 2, "1e-2"), Stage("c", "all", 2, "1e-2")]
    problem = make_problem()
    found = train(problem, stages, tmp_path / "three")
    assert [row["best"] for row in found.history] == [True, True, False, False, False, False, True]
    # A training like the first stage, but of which no third epoch is judged, has kept the second.
    judged([0.5, 0.7])
    with pytest.raises(StopIteration):
        train(make_problem(), stages[:1], tmp_path / "short")
    second = read_tensors(sorted((tmp_path / "short" / "checkpoints").glob("best-*"))[-1])
    assert_same(begun[1], second)
    assert_same(begun[2], second)
    assert not torch.equal(problem.module.first[0].weight, second["first.0.weight"])


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "epochs"),
    [
        ([0.5, 0.4, 0.3, 0.2], 2, 0.0, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.5], 2, 0.0, 5),
        ([0.5, 0.55, 0.56, 0.9], 2, 0.1, 3),  # better, but not by .1
        ([0.5, 0.55, 0.61, 0.62, 0.63], 2, 0.1, 5),
        ([0.5, 0.5, 0.5], 1, 0.0, 2),
        ([math.nan, math.nan, 0.5], 2, 0.0, 2),
        ([0.5, math.nan, 0.6, 0.1, 0.1], 2, 0.0, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 0, 0.0, 6),
    ],
)
def test_patience(train, judged, values, patience, min_delta, epochs):
    judged(values)
    stage = Stage("a", "all", 6, "1e-3", patience=patience, min_delta=min_delta)
    assert len(train(make_problem(), [stage]).history) == epochs


def test_each_stage_has_patience_of_its_own(train, judged):
    judged([0.9, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1])
    stages = [Stage("a", "all", 9, "1e-3", patience=2), Stage("b", "all", 9, "1e-3", patience=2)]
    found = train(make_problem(), stages)
    assert [row["stage"] for row in found.history] == ["a"] * 3 + ["b"] * 4
    assert found.best["epoch"] == 1 and found.best["stage"] == "a"


def test_a_plateau_lowers_the_rate_tenfold(train, judged):
    judged([0.5, 0.4, 0.4, 0.4, 0.4, 0.4])
    found = train(make_problem(), [Stage("a", "all", 6, "1e-2", "plateau")])
    assert [row["learning_rate"] for row in found.history] == pytest.approx([1e-2] * 3 + [1e-3] * 2 + [1e-4])


def test_without_validation_rows_the_last_weights_are_kept(train, tmp_path):
    """And nothing ends early."""
    problem = make_problem(val=0)
    found = train(problem, [Stage("a", "all", 4, "1e-2", patience=1)])
    assert len(found.history) == 4 and found.best["epoch"] == 4 and found.monitor is None
    assert list(found.history[0]) == ["stage", "epoch", "step", "learning_rate", "train_loss", "best"]


def test_the_average_is_what_is_judged_and_kept(train, tmp_path):
    plain, averaged = make_problem(), make_problem()
    train(plain, [WHOLE], tmp_path / "plain")
    train(averaged, [WHOLE], tmp_path / "averaged", average=0.99)
    mine, theirs = history(tmp_path / "averaged"), history(tmp_path / "plain")
    # The weights that train are the same; what is judged is not.
    assert [row["train_loss"] for row in mine] == [row["train_loss"] for row in theirs]
    assert [row["val_loss"] for row in mine] != [row["val_loss"] for row in theirs]


# Rates that are found


def test_a_sweep_leaves_nothing_behind(train, tmp_path):
    """The same bits as with the rate that it found; a share of it in the next stage."""
    found = make_problem()
    stages = [Stage("a", "head", 2, "find", "one-cycle"), Stage("b", "all", 1, "find/100..find/10")]
    swept = train(found, stages, tmp_path / "found")
    record = json.loads((tmp_path / "found" / "lr_find.json").read_text())["sweeps"]
    rate = record[0]["rate"]
    assert record == swept.sweeps and [stage["rates"] for stage in swept.stages] == [
        [rate] * 2,
        [rate / 100, rate / 10],
    ]
    told = make_problem()
    stages = [Stage("a", "head", 2, repr(rate), "one-cycle"), Stage("b", "all", 1, f"{rate / 100!r}..{rate / 10!r}")]
    train(told, stages, tmp_path / "told")
    assert_same(weights_of(found.module), weights_of(told.module))
    assert (tmp_path / "found" / "history.csv").read_bytes() == (tmp_path / "told" / "history.csv").read_bytes()


def test_no_valley(train, tmp_path):
    """Nothing to learn from: the error says why, and the curve is kept."""
    problem = make_problem()
    for value in problem.train.values:
        value[:] = 0
    problem.train.load = lambda position, rng: problem.train.values[position]
    problem.module.heads["label"].bias.data.zero_()
    with pytest.raises(
        AffectkitError, match=r"lr_find\.json: stage 'a': no learning rate found: .*; give --learning-rate"
    ):
        train(problem, [Stage("a", "head", 1, "find")])
    (sweep,) = json.loads((tmp_path / "run" / "lr_find.json").read_text())["sweeps"]
    assert sweep["rate"] is None and len(sweep["losses"]) > 1


# What goes wrong


def test_a_loss_that_is_not_finite_stops_and_can_be_gone_on_from(train, tmp_path):
    """The data are mended, and the run goes on as if they had always been."""
    whole = make_problem()
    train(whole, [WHOLE], tmp_path / "whole", checkpoint_steps=1)
    broken = make_problem()
    inner = broken.train.load
    broken.train.load = lambda position, rng: inner(position, rng) * (np.nan if len(broken.train.loaded) > 40 else 1)
    with pytest.raises(AffectkitError, match="the loss is not finite in the batch of row-"):
        train(broken, [WHOLE], tmp_path / "broken", checkpoint_steps=1)
    mended = make_problem()
    train(mended, [WHOLE], tmp_path / "broken", checkpoint_steps=1)
    assert len(mended.train.loaded) < len(whole.train.loaded)
    assert_same(weights_of(mended.module), weights_of(whole.module))


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("val", [0, 12])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_weights_that_the_last_step_makes_infinite_stop_it_by_name(train, tmp_path, monkeypatch, val, value, average):
    """No loss follows that would show it."""
    step = Stepper.step

    def last(stepper, pace, number, rows):
        rate = step(stepper, pace, number, rows)
        if number == 5:  # of the second epoch
            stepper.bare.second[0].weight.data[3, 2] = value
            stepper.average and stepper.average.update(stepper.bare)
        return rate

    monkeypatch.setattr(Stepper, "step", last)
    with pytest.raises(AffectkitError, match=r"are not finite after epoch 2 of stage 'whole': second\.0\.weight"):
        train(make_problem(rows=24, val=val), [Stage("whole", "all", 2, "1e-2")], average=average)
    assert list((tmp_path / "run" / "checkpoints").glob("checkpoint-*.json"))  # the first epoch's, to go on from


def test_a_rate_that_blows_up_in_its_only_step_stops(train):
    with pytest.raises(AffectkitError, match="not finite") as caught:
        train(make_problem(rows=8, val=0), [Stage("whole", "all", 1, "1e39")])
    assert "lower --learning-rate" in caught.value.remedy


def test_answers_that_are_not_finite_name_their_rows(accelerator):
    problem = make_problem()
    problem.module.heads["label"].register_forward_hook(lambda *of_call: of_call[-1] / 0)
    how = {"size": 4}
    with pytest.raises(AffectkitError, match="the network's answer is not finite in the batch of row-000, row-001"):
        outputs_of(problem.module, problem.val, accelerator, **how)
    assert not outputs_of(problem.module, problem.val, accelerator, finite=False, **how)["label"].isfinite().any()


def test_a_gradient_that_is_not_finite_likewise(train, tmp_path):
    whole = make_problem()
    train(whole, [WHOLE], tmp_path / "whole", checkpoint_steps=1)
    broken, calls = make_problem(), []
    broken.module.second[0].weight.register_hook(lambda g: g * (math.nan if calls.append(1) or len(calls) > 5 else 1))
    with pytest.raises(AffectkitError, match="the gradient is not finite in the batch of row-"):
        train(broken, [WHOLE], tmp_path / "broken", checkpoint_steps=1)
    mended = make_problem()
    train(mended, [WHOLE], tmp_path / "broken", checkpoint_steps=1)
    assert_same(weights_of(mended.module), weights_of(whole.module))


@pytest.mark.parametrize("what", ["write_tensors", "write_checkpoint", "write_table"])
def test_a_full_disk(train, tmp_path, monkeypatch, what):
    """The error is the system's, and once there is room again the run goes on."""
    whole = make_problem()
    train(whole, [WHOLE], tmp_path / "whole", checkpoint_steps=1)
    inner, calls = getattr(keeping, what), []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
        return inner(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(keeping, what, full)
        with pytest.raises(OSError, match="No space left on device"):
            train(make_problem(), [WHOLE], tmp_path / "full", checkpoint_steps=1)
    again = make_problem()
    train(again, [WHOLE], tmp_path / "full", checkpoint_steps=1)
    assert_same(weights_of(again.module), weights_of(whole.module))
    assert len(again.train.loaded) < len(whole.train.loaded)


def test_a_damaged_newest_checkpoint_costs_only_the_work_since_the_one_before(train, tmp_path, caplog):
    whole = make_problem()
    train(whole, [WHOLE], tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").glob("checkpoint-*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / "run" / "history.csv").unlink()
    again = make_problem()
    train(again, [WHOLE], tmp_path / "run")
    assert "is damaged and is passed over" in caplog.text
    assert 0 < len(again.train.loaded) <= len(again.train.ids)
    assert_same(weights_of(again.module), weights_of(whole.module))
    assert len(history(tmp_path / "run")) == 3


OTHER = {"clip": 0.5, "seed": 4}
OTHERS = {
    "stages": lambda: (make_problem(), [Stage("whole", "all", 4, "1e-2")], {}),
    "settings: batch_size was 8 and is 4": lambda: (make_problem(), [WHOLE], {"batch_size": 4}),
    "settings: clip was 1.0 and is 0.5, seed was 3 and is 4": lambda: (make_problem(), [WHOLE], OTHER),
    "settings: frozen was [] and is ['first']": lambda: (make_problem(frozen=frozenset({"first"})), [WHOLE], {}),
    "train rows": lambda: (make_problem(rows=23), [WHOLE], {}),
    "validation rows": lambda: (make_problem(val=11), [WHOLE], {}),
    "objective": lambda: (make_problem(label_smoothing=0.1), [WHOLE], {}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_training_is_refused(train, what):
    train(make_problem(), [WHOLE])
    problem, stages, settings = OTHERS[what]()
    before = weights_of(problem.module)
    with pytest.raises(AffectkitError) as caught:
        train(problem, stages, **settings)
    assert f"checkpoints: holds checkpoints of a training with other {what}; use --overwrite" in str(caught.value)
    assert_same(weights_of(problem.module), before)


def test_a_checkpoint_of_another_network_is_refused(train):
    train(make_problem(frozen=frozenset({"first"})), [WHOLE])
    other = make_problem(frozen=frozenset({"first"}))
    other.module.second[0] = torch.nn.Linear(16, 16, bias=False)
    with pytest.raises(AffectkitError, match=r"holds checkpoints of another network: an unknown 'second\.0\.bias'"):
        train(other, [WHOLE])
    other = make_problem(frozen=frozenset({"first"}))
    other.module.norm.extra = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(AffectkitError, match=r"another network: no 'norm\.extra'"):
        train(other, [WHOLE])
    other = make_problem(frozen=frozenset({"first"}))
    other.module.second[0] = torch.nn.Linear(16, 8)
    with pytest.raises(AffectkitError, match=r"another network: 'second.0.weight' \[16, 16\] for \[8, 16\]"):
        train(other, [WHOLE])
    other = make_problem(frozen=frozenset({"first"}))
    other.module.first[0].bias.data[0] += 1e-6
    with pytest.raises(AffectkitError, match="with other frozen weights"):
        train(other, [WHOLE])


def test_what_changes_no_bit_may_change(train):
    train(make_problem(), [WHOLE])
    assert train(make_problem(), [WHOLE], num_workers=2, checkpoint_steps=1, checkpoint_seconds=1.0)


@pytest.mark.parametrize(
    ("problem", "stages", "message"),
    [
        ({}, [], "there is no stage to train"),
        ({}, [Stage("a"), Stage("a", "head")], "two stages have one name"),
        ({}, [Stage("a"), Stage("b", learning_rate="find/10")], "stage 'b': no rate was found before it"),
        ({"val": 0}, [Stage("a", schedule="plateau")], "the plateau schedule needs validation rows"),
        ({}, [Stage("a", "last-9")], "stage 'a' trains last-9"),
        ({}, [Stage("a", monitor="val_ccc")], "there is no val_ccc to watch"),
    ],
)
def test_what_shows_before_any_work(accelerator, tmp_path, problem, stages, message):
    made = make_problem(**problem)
    with pytest.raises(AffectkitError, match=message):
        fit(made, stages, Settings(), tmp_path / "run", accelerator)
    assert not made.train.loaded and not (tmp_path / "run").exists()


def test_no_rows(train):
    problem = make_problem()
    problem.train.ids = []
    with pytest.raises(AffectkitError, match="there is no row to train on"):
        train(problem)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"batch_size": 0}, "--batch-size"),
        ({"accumulation": 0}, "--gradient-accumulation-steps"),
        ({"clip": -1.0}, "--max-grad-norm"),
        ({"seed": -1}, "seed"),
        ({"batch_seconds": 0.0}, "--batch-seconds"),
        ({"weight_decay": -0.1}, "--weight-decay"),
    ],
)
def test_settings_that_make_no_sense(wrong, named):
    with pytest.raises(AffectkitError, match=named):
        Settings(**wrong)


def test_one_row(train):
    """Nothing is known of how good it is, but it is no crash."""
    problem = make_problem((LABEL, VALENCE), rows=24, val=1)
    problem.train.ids = problem.train.ids[:1]
    problem.train.costs = problem.train.costs[:1]
    assert len(train(problem, [WHOLE], batch_size=4).history) == 3


# Around it


def test_the_callers_generators_are_left_alone(train):
    torch.manual_seed(5), np.random.seed(5)
    expected = torch.rand(1), np.random.random()
    problem = make_problem()
    torch.manual_seed(5), np.random.seed(5)
    train(problem)
    assert (torch.rand(1), np.random.random()) == expected


def test_the_seed_decides(train, tmp_path):
    def losses(folder, seed):
        problem = make_problem()
        torch.manual_seed(99), np.random.seed(99)  # which must not matter
        return [row["train_loss"] for row in train(problem, [WHOLE], tmp_path / folder, seed=seed).history]

    assert losses("a", 1) == losses("b", 1) != losses("c", 2)


def test_threads_end(train, tmp_path):
    before = threading.active_count()
    train(make_problem(), [WHOLE], num_workers=3)
    assert threading.active_count() == before

    broken = make_problem()
    broken.train.values[20][:] = np.nan
    with pytest.raises(AffectkitError, match="the loss is not finite"):
        train(broken, [WHOLE], tmp_path / "broken", num_workers=3)
    assert threading.active_count() == before


def test_progress(train):
    said = []
    problem = make_problem()
    train(
        problem,
        [Stage("head", "head", 1, "1e-2"), Stage("whole", "all", 2, "1e-2")],
        progress=lambda done, total, note="": said.append((done, total, note)),
    )
    assert [(done, total) for done, total, _ in said] == [(done, 9) for done in range(1, 10)]
    assert said[0][2].startswith("head epoch 1/1, loss ") and said[0][2].endswith(" rows/s")
    assert "whole epoch 2/2, loss " in said[-1][2] and ", val_uar " in said[-1][2]


def test_bfloat16(accelerator, tmp_path):
    """The run trains in it, and its weights stay float32."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    problem = make_problem(rows=90, val=45)
    seen = set()
    problem.module.second[0].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    stages = [Stage("whole", "all", 6, "2e-2", "one-cycle")]
    found = fit(problem, stages, Settings(batch_size=8), tmp_path, Accelerator(cpu=True, mixed_precision="bf16"))
    assert seen == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in problem.module.parameters())
    assert found.best["val_uar"] > 0.9


@pytest.mark.slow
def test_memory_does_not_grow_with_epochs(train, monkeypatch):
    """Bytes of all tensors that are alive after the third epoch and after the twelfth; any copy would be 17 kB."""
    sizes = []

    def judged(*_):
        if len(sizes) in (2, 11):
            gc.collect()
            alive = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
            sizes.append(sum(tensor.nbytes for tensor in alive))
        else:
            sizes.append(0)

    problem = make_problem(rows=8, val=4)
    problem.module.second = torch.nn.Sequential(torch.nn.Linear(16, 128), torch.nn.Linear(128, 16))
    monkeypatch.setattr(Keeper, "write_tables", judged)
    train(problem, [Stage("a", "all", 12, "1e-3")], average=0.9, checkpoint_steps=1)
    assert 0 < sizes[11] <= sizes[2]


def test_checkpoints_after_epochs_take_a_twentieth_of_the_time_at_most(accelerator, tmp_path):
    problem = make_problem()
    keeper = Keeper(tmp_path, Weights(problem.module, list(problem.module.parameters())), Settings(), {}, accelerator)
    assert keeper.worthwhile()
    keeper.cost = 5.0
    for ago, worthwhile in ((90, False), (110, True)):
        keeper.saved = time.monotonic() - ago
        assert keeper.worthwhile() is worthwhile
    keeper.cost, keeper.saved = 0.3, time.monotonic()
    assert keeper.worthwhile()
    assert not keeper.due(7)
    keeper.saved -= 301
    assert keeper.due(7)


def test_an_order_that_batches_take(train):
    """Of each epoch: what the feed of the stage and epoch says."""
    problem = make_problem()
    train(problem, [WHOLE], batch_size=5)
    feed = Feed(problem.train, Settings(batch_size=5, seed=3), SimpleNamespace())
    expected = [problem.train.ids[row] for epoch in range(3) for batch in feed.batches(0, epoch) for row in batch]
    assert problem.train.loaded == expected


def test_best_weights_of_a_whole_file_are_needed(train, tmp_path):
    """Checkpoints that name best weights of other bytes are damaged."""
    train(make_problem(), [WHOLE])
    for path in (tmp_path / "run" / "checkpoints").glob("best-*"):
        write_tensors(path, {"w": torch.zeros(1)})
    with pytest.raises(AffectkitError, match="every checkpoint is damaged"):
        train(make_problem(), [WHOLE])
