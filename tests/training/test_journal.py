"""What a run tells while a network trains: read back from its files, however it was interrupted."""

import csv
import importlib.util
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import offline_wandb
import pytest
import torch
from training_toy import LABEL, VALENCE, make_problem, weights_of

from affectkit.training import journal as journals
from affectkit.training import steps as tables
from affectkit.training.journal import open_journal, within
from affectkit.training.stages import Stage
from affectkit.training.steps import StepTable

CPU = torch.device("cpu")
STAGES = [Stage("head", "head", 1, "1e-2"), Stage("whole", "all", 2, "1e-2", "plateau")]
TOLD = {"options": {}, "curves": "final", "targets": ["label"], "monitor": "val_loss"}


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steps(folder):
    with open(folder / "steps.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def told(train, tmp_path):
    """`told(name, progress=..., resumed=...)`: a final fit and one of a fold, in an open journal; its folder."""

    def run(name="run", *, resumed=False, track=None, progress=None, **settings):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        made = {}
        with open_journal(folder, "finetune", resumed=resumed, track=track, **TOLD):
            for number, fit in enumerate(("final", "fold-01"), start=1):
                with within(fit, number, 2):
                    problem = make_problem((LABEL, VALENCE), rows=20, val=6)
                    done = train(problem, STAGES, folder / fit, progress=progress, **settings)
                    made[fit] = done.history, weights_of(problem.module)
        return folder, made

    return run


def test_the_log_tells_what_happened(told):
    folder, made = told()
    rows = events(folder)
    kinds = [row["event"] for row in rows]
    of_fit = [
        "fit",
        "stage",
        "epoch",
        "stop",
        "checkpoint",
        "stage",
        "epoch",
        "checkpoint",
        "epoch",
        "stop",
        "checkpoint",
    ]
    assert kinds == ["start", *of_fit, *of_fit, "end"]
    assert (
        rows[0].items() >= {"command": "finetune", "resumed": False, "targets": ["label"], "pid": os.getpid()}.items()
    )
    fits = [row for row in rows if row["event"] == "fit"]
    assert [(row["fit"], row["number"], row["total"]) for row in fits] == [("final", 1, 2), ("fold-01", 2, 2)]
    assert fits[0]["rows"] == 20 and fits[0]["val_rows"] == 6 and fits[0]["monitor"] == "val_loss"
    epochs = [row for row in rows if row["event"] == "epoch" and row["fit"] == "fold-01"]
    for row, known in zip(epochs, made["fold-01"][0], strict=True):
        assert {name: row[name] for name in known} == {n: None if v != v else v for n, v in known.items()}
    assert all(row["time"].endswith("Z") and len(row["time"]) == 24 for row in rows)
    assert not (folder / "progress.json").exists()


def test_each_step_has_a_row(told, monkeypatch):
    norms = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: norms.append(float(clip(*a))) or norms[-1])
    folder, made = told()
    rows = steps(folder)
    assert tuple(rows[0]) == tables.COLUMNS
    assert [int(row["step"]) for row in rows] == [*range(1, 10)] * 2
    assert [float(row["gradient_norm"]) for row in rows] == pytest.approx(norms, rel=1e-5)
    of_epoch = [float(row["train_loss"]) for row in rows if (row["fit"], row["stage"]) == ("final", "head")]
    weights = [7, 7, 6]  # rows of the batches, in any order
    mean = sum(of_epoch) / 3
    assert made["final"][0][0]["train_loss"] == pytest.approx(mean, rel=0.1) and len(of_epoch) == len(weights)
    assert all(float(row["rows_per_second"]) > 0 and 0 <= float(row["loader_wait"]) < 1 for row in rows)
    assert all(50 < float(row["memory_mb"]) < 50_000 for row in rows)


def test_progress_says_where_it_stands(told, monkeypatch):
    monkeypatch.setattr(journals, "SECONDS", 0.0)
    seen = []

    def look(*_):
        seen.append(json.loads(next(Path(told.folder).glob("progress.json")).read_text()))

    told.folder = None
    tmp = []
    original = journals.Journal.show
    monkeypatch.setattr(
        journals.Journal, "show", lambda self, facts: (original(self, facts), tmp.append(self.folder))[0]
    )

    def progress(*_):
        told.folder = tmp[-1]
        look()

    told(progress=progress)
    assert [row["done"] for row in seen] == list(range(1, 19)) and {row["total"] for row in seen} == {18}
    assert [row["fit"] for row in seen] == ["final"] * 9 + ["fold-01"] * 9
    assert seen[-1].items() >= {"stage": "whole", "epoch": 2, "epochs": 2, "batch": 3, "batches": 3, "fits": 2}.items()


def test_a_network_that_trains_where_no_journal_is_open_tells_nobody(train, tmp_path):
    train(make_problem(), STAGES)
    assert not list(tmp_path.rglob("log.jsonl")) and not list(tmp_path.rglob("steps.csv"))


# Interrupted


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 4, 8, 12, 17])
def test_an_interrupted_run_goes_on_in_its_files(told, at):
    whole, made = told("whole")
    calls = iter(range(1, 1000))

    def progress(*_):
        if next(calls) == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        told("run", progress=progress, checkpoint_steps=2)
    folder = whole.with_name("run")
    with open(folder / "log.jsonl", "a") as log, open(folder / "steps.csv", "a") as table:
        log.write('{"time": "2026-11-30T09:4')  # what a killed process had not finished
        table.write("final,whole,2,9,0.0")
    _, again = told("run", resumed=True, checkpoint_steps=2)
    for fit, (history, weights) in made.items():
        assert str(again[fit][0]) == str(history)
        assert all(torch.equal(weights[name], again[fit][1][name]) for name in weights)
    here, there = ([[row[n] for n in ("fit", "stage", "epoch", "step", "steps", "train_loss", "learning_rate",
                    "gradient_norm")] for row in steps(each)] for each in (folder, whole))  # fmt: skip
    assert here == there
    keys = [(row["fit"], row["stage"], row["epoch"]) for row in events(folder) if row["event"] == "epoch"]
    assert sorted(set(keys)) == sorted(keys) and len(keys) == 6
    assert [row["resumed"] for row in events(folder) if row["event"] == "start"] == [False, True]


KILLED = """
import sys
from pathlib import Path
from accelerate import Accelerator
sys.path.insert(0, {here!r})
from training_toy import LABEL, make_problem
from affectkit.training.fit import Settings, fit
from affectkit.training.journal import open_journal
from affectkit.training.stages import Stage
folder = Path(sys.argv[1])
with open_journal(folder, "finetune", resumed=False, options={{}}):
    fit(make_problem(), [Stage("whole", "all", 100000, "1e-3", "constant")], Settings(batch_size=8), folder,
        Accelerator(cpu=True))
"""


@pytest.mark.slow
def test_kill_9_leaves_files_that_can_be_read(tmp_path):
    script = KILLED.format(here=str(Path(__file__).parent))
    running = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    end = time.monotonic() + 120
    while not (tmp_path / "steps.csv").exists() and time.monotonic() < end and running.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    table = StepTable(tmp_path / "steps.csv", resumed=True)
    assert [row.step for row in table.rows] == sorted({row.step for row in table.rows}) and table.rows
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["event"] == "start"


# The table stays small


def add(table, step, fit="final", stage="whole", **figures):
    known = {"seconds": 0.5, "loss": step / 3, "rate": 0.1, "norm": float(step), "rows": 8, "waited": 0.1}
    table.add(fit, stage, 1 + step // 100, step, **{**known, **figures}, device=CPU)


@pytest.mark.parametrize("count", [1, 1999, 2000, 2001, 12345])
def test_a_row_stands_for_more_steps_the_more_there_are(tmp_path, count):
    table = StepTable(tmp_path / "steps.csv")
    for step in range(1, count + 1):
        add(table, step)
    table.close()
    rows = steps(tmp_path)
    assert len(rows) <= tables.MOST and len(rows) >= min(count, tables.MOST // 2)
    assert sum(int(row["steps"]) for row in rows) == count and int(rows[-1]["step"]) == count
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(count / 2)
    mean = sum(int(row["steps"]) * float(row["train_loss"]) for row in rows) / count
    assert mean == pytest.approx((count + 1) / 6, rel=1e-4)
    assert max(float(row["gradient_norm_max"]) for row in rows) == pytest.approx(count, rel=1e-5)
    assert float(rows[0]["rows_per_second"]) == 16 and float(rows[0]["loader_wait"]) == pytest.approx(0.2)


def test_rows_of_two_fits_are_never_joined_and_the_first_go_where_they_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST", 20)
    table = StepTable(tmp_path / "steps.csv")
    for fit in range(50):
        for step in (1, 2, 3):
            add(table, step, f"fold-{fit:02d}")
    table.close()
    rows = steps(tmp_path)
    assert len(rows) <= 20 and rows[-1]["fit"] == "fold-49"
    assert all(int(row["steps"]) <= 3 for row in rows)


def test_a_norm_that_is_not_finite_counts_for_nothing(tmp_path):
    table = StepTable(tmp_path / "steps.csv")
    add(table, 1, norm=math.inf)
    table.close()
    [row] = steps(tmp_path)
    assert row["gradient_norm"] == row["gradient_norm_max"] == ""


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, monkeypatch):
    table = StepTable(tmp_path / "steps.csv")
    add(table, 1)
    table.write_pending()
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    table.file = io.FileIO(full, "a")
    add(table, 2)
    with pytest.raises(OSError) as caught:
        table.write_pending()
    assert caught.value.filename == str(tmp_path / "steps.csv")


# Trackers


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
@pytest.mark.parametrize("at", [None, 5, 14])
def test_tensorboard_holds_the_numbers_of_the_history(told, tmp_path, at):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    calls = iter(range(1, 1000))

    def progress(*_):
        if next(calls) == at:
            raise Interrupted

    if at:
        with pytest.raises(Interrupted):
            told(track="tensorboard", progress=progress)
    folder, made = told(track="tensorboard", resumed=bool(at))
    shown = EventAccumulator(str(folder / "tracking" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    points = {(tag, point.step): point.value for tag in shown.Tags()["scalars"] for point in shown.Scalars(tag)}
    count = sum(len(shown.Scalars(tag)) for tag in shown.Tags()["scalars"])
    expected = {
        (prefix + name, row["step"]): value
        for prefix, fit in (("", "final"), ("fold-01/", "fold-01"))
        for row in made[fit][0]
        for name, value in row.items()
        if type(value) in (int, float) and math.isfinite(value)
    }
    assert points.keys() == expected.keys() and count == len(expected)
    assert all(points[key] == pytest.approx(value, rel=1e-6) for key, value in expected.items())


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
@pytest.mark.slow
def test_wandb_holds_the_numbers_of_the_history(told, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    folder, made = told(track="wandb")
    rows = [(prefix, row) for prefix, fit in (("", "final"), ("fold-01/", "fold-01")) for row in made[fit][0]]
    expected = [
        {prefix + n: v for n, v in row.items() if type(v) in (int, float) and math.isfinite(v)} for prefix, row in rows
    ]
    end = time.monotonic() + 30
    [file] = (folder / "tracking" / "wandb").glob("offline-run-*/run-*.wandb")
    while len(logged := list(offline_wandb.history(file))) < len(expected) and time.monotonic() < end:
        time.sleep(0.2)  # wandb's own process writes on for a moment after a run is closed
    assert [{n: v for n, v in items.items() if not n.startswith("_")} for _, items in logged] == expected
    at = [step for step, _ in logged]
    assert at == sorted(set(at)) and at[:3] == [row["step"] for _, row in rows[:3]]
