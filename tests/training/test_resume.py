"""Interrupted anywhere, any number of times, and resumed: the same bits as never interrupted."""

import io
import json
import os

import pandas as pd
import pytest
from training_toy import LABEL, VALENCE, assert_same, make_problem, weights_of

from affectkit.artifacts import files
from affectkit.training import finder
from affectkit.training.finder import Sweep
from affectkit.training.keeping import Keeper
from affectkit.training.stages import Stage


class Interrupted(BaseException):
    """Stands for a signal: nothing in the loop may catch it."""


HEAD, WHOLE = Stage("head", "head", 1, "1e-2", "linear"), Stage("whole", "all", 2, "1e-3..1e-2", "cosine", 0.1)
# (stages, settings). Each is interrupted everywhere, so each stands for several things at once.
CASES = {
    "several stages": ([HEAD, WHOLE], {}),
    "accumulation, workers": ([WHOLE], {"accumulation": 2, "num_workers": 2, "batch_size": 4}),
    "average, patience": (
        [Stage("a", "all", 4, "5e-2", "constant", patience=1, min_delta=0.3), HEAD],
        {"average": 0.9},
    ),
    "plateau, seconds": (
        [Stage("a", "last-1", 4, "9e-2", "plateau", min_delta=2.0)],
        {"batch_seconds": 120.0, "weight_decay": 0.1},
    ),
    "one-cycle": ([Stage("a", "all", 3, "1e-2", "one-cycle")], {"clip": 0.0, "average": 0.5}),
}
# That what a case stands for takes place in it at all.
HAPPENED = {
    "several stages": lambda history: list(history.stage) == ["head", "whole", "whole"],
    "accumulation, workers": lambda history: list(history.step) == [3, 6],  # of five batches, two at a time
    "average, patience": lambda history: list(history.stage) == ["a", "a", "a", "head"],
    "plateau, seconds": lambda history: history.learning_rate.nunique() == 2,
    "one-cycle": lambda history: history.learning_rate.nunique() == 3,
}
FOUND = ([Stage("a", "head", 2, "find", "one-cycle"), Stage("b", "all", 2, "find/100..find/10", "one-cycle")],
         {"accumulation": 3, "batch_size": 3})  # fmt: skip


class Watched:
    """Counts the calls of a hook, and interrupts at the one numbered `at`, from 1."""

    def __init__(self, at=None):
        self.at, self.calls = at, 0

    def __call__(self, *_):
        self.calls += 1
        if self.calls == self.at:
            raise Interrupted


@pytest.fixture
def run(train, tmp_path):
    """`run(case, folder, progress=..., load=...)`: weights and the bytes of the history."""

    def once(case, folder, *, progress=None, load=None, **more):
        stages, settings = case
        made = make_problem((LABEL, VALENCE), rows=20, val=6)
        if load:
            inner = made.train.load
            made.train.load = lambda position, rng: (load(), inner(position, rng))[1]
        train(made, stages, tmp_path / folder, progress=progress, **{"checkpoint_steps": 1, **settings, **more})
        return weights_of(made.network), (tmp_path / folder / "history.csv").read_bytes()

    return once


def assert_equal(first, second):
    assert_same(first[0], second[0])
    assert first[1] == second[1]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "several stages")) for name in CASES]
)
def test_after_any_batch(run, name):
    """At every batch of every epoch; then once more, two batches later."""
    counted = Watched()
    whole = run(CASES[name], "whole", progress=counted)
    assert HAPPENED[name](pd.read_csv(io.BytesIO(whole[1])))
    for at in range(1, counted.calls + 1):
        with pytest.raises(Interrupted):
            run(CASES[name], f"at-{at}", progress=Watched(at))
        if at % 2 and at + 2 <= counted.calls:  # twice, often in one epoch
            with pytest.raises(Interrupted):
                run(CASES[name], f"at-{at}", progress=Watched(2))
        assert_equal(run(CASES[name], f"at-{at}"), whole)


@pytest.mark.parametrize("name", CASES)
def test_after_every_step(run, name):
    """As often as there are steps: each run gets just beyond the checkpoint that it goes on from."""
    whole = run(CASES[name], "whole")
    interruptions = 0
    while True:
        try:
            resumed = run(CASES[name], "often", progress=Watched(CASES[name][1].get("accumulation", 1) + 1))
            break
        except Interrupted:
            interruptions += 1
    assert interruptions >= 5
    assert_equal(resumed, whole)


@pytest.mark.parametrize(
    ("steps", "places"),
    [(2, (3, 8)), *(pytest.param(steps, range(1, 10), marks=pytest.mark.slow) for steps in (0, 2, 5))],
)
def test_with_checkpoints_now_and_then(run, steps, places):
    """What was done since the last one is done again; 0: only at the ends of epochs."""
    whole = run(CASES["several stages"], "whole", checkpoint_steps=steps)
    for at in places:
        with pytest.raises(Interrupted):
            run(CASES["several stages"], f"at-{at}", progress=Watched(at), checkpoint_steps=steps)
        assert_equal(run(CASES["several stages"], f"at-{at}", checkpoint_steps=7), whole)


def test_where_a_checkpoint_after_each_epoch_would_cost_too_much(run, monkeypatch):
    """The best weights are then ahead of the checkpoint."""
    monkeypatch.setattr(Keeper, "worthwhile", lambda _: False)
    whole = run(CASES["several stages"], "whole", checkpoint_steps=4)
    for at in range(1, 10, 2):
        with pytest.raises(Interrupted):
            run(CASES["several stages"], f"at-{at}", progress=Watched(at), checkpoint_steps=4)
        assert_equal(run(CASES["several stages"], f"at-{at}", checkpoint_steps=4), whole)


@pytest.mark.parametrize("workers", [0, 3])
def test_while_rows_are_loaded(run, workers):
    """On the thread that loads, ahead of the step that is under way."""
    case = (CASES["several stages"][0], {"num_workers": workers})
    counted = Watched()
    whole = run(CASES["several stages"], "whole", load=counted)
    for at in range(1, counted.calls + 1, 25):
        with pytest.raises(Interrupted):
            run(case, f"at-{at}", load=Watched(at))
        assert_equal(run(case, f"at-{at}"), whole)


@pytest.mark.parametrize("done", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"])
def test_around_any_write(run, monkeypatch, done):
    """Before or after any file gets its name: best weights, a checkpoint's tensors, its record, a table.

    The first checkpoint is of the stage's last step, and the next one, after the stage, of the same step.
    """
    replace = os.replace

    def watched(counter):
        def instead(source, target):
            if done:
                replace(source, target)
            counter()
            if not done:
                replace(source, target)

        monkeypatch.setattr(files.os, "replace", instead)

    case, settings = [HEAD, Stage("whole", "all", 1, "1e-2")], {"average": 0.9, "checkpoint_steps": 3}
    counted = Watched()
    watched(counted)
    whole = run((case, settings), "whole")
    for at in range(1, counted.calls + 1):
        watched(Watched(at))
        with pytest.raises(Interrupted):
            run((case, settings), f"at-{at}")
        monkeypatch.setattr(files.os, "replace", replace)
        assert_equal(run((case, settings), f"at-{at}"), whole)


def test_during_a_sweep_and_after_it(run, monkeypatch):
    """A sweep is made again if nothing was stored since, and not if something was."""

    def short(step, *, bounded):
        losses = [step(10.0 ** (position / 6 - 3)) for position in range(12)]
        return Sweep([0.01] * 12, losses, losses, rate=0.01 * sum(losses))

    monkeypatch.setattr(finder, "sweep", short)
    counted = Watched()
    whole = run(FOUND, "whole", progress=counted)
    for at in (6, 15, 16, counted.calls):
        with pytest.raises(Interrupted):
            run(FOUND, f"at-{at}", progress=Watched(at))
        again = Watched()
        assert_equal(run(FOUND, f"at-{at}", progress=again), whole)
        assert (again.calls == counted.calls) == (at <= 15)  # the first step, and checkpoint, takes three batches


def test_sweeps_are_the_same_and_recorded_once(run, tmp_path):
    run(FOUND, "whole")
    with pytest.raises(Interrupted):
        run(FOUND, "resumed", progress=Watched(115))
    run(FOUND, "resumed")
    assert (tmp_path / "whole" / "lr_find.json").read_bytes() == (tmp_path / "resumed" / "lr_find.json").read_bytes()
    assert len(json.loads((tmp_path / "whole" / "lr_find.json").read_text())["sweeps"]) == 1


def test_a_finished_training_is_not_trained_again(run):
    whole = run(CASES["several stages"], "whole")
    loaded = Watched()
    assert_equal(run(CASES["several stages"], "whole", load=loaded), whole)
    assert loaded.calls == 0


def test_workers_and_the_checkpoints_place_change_nothing(run):
    one = run(CASES["several stages"], "one")
    assert_equal(run(CASES["several stages"], "two", num_workers=4, checkpoint_steps=0), one)


def test_an_undefined_metric_survives(train, tmp_path):
    """JSON has no NaN: an epoch whose CCC is undefined must read the same after a resumption."""

    def once(folder, progress=None):
        made = make_problem((VALENCE,), val=9, loss="mse")
        mean, deviation = made.objective.scaling["valence"]
        made.network.heads["valence"].weight.data.zero_()
        made.network.heads["valence"].bias.data.fill_((3.001 - mean) / deviation)  # clipped to 3
        made.val.truth["valence"][:] = 3.0
        stages = [Stage("still", "head", 1, "1e-30"), Stage("whole", "all", 2, "1e-2")]
        train(made, stages, tmp_path / folder, progress=progress, checkpoint_steps=1)
        return weights_of(made.network), (tmp_path / folder / "history.csv").read_bytes()

    whole = once("whole")
    rows = [line.split(",") for line in whole[1].decode().splitlines()]
    assert [row[rows[0].index("val_ccc")] for row in rows] == ["val_ccc", "", "0", "0"]
    assert [row[-1] for row in rows] == ["best", "True", "True", "False"]
    for at in (4, 5, 7):
        with pytest.raises(Interrupted):
            once(f"at-{at}", Watched(at))
        assert_equal(once(f"at-{at}"), whole)
