"""Histories of other tools: recognised by their content, and with our names for their columns."""

import json
import math

import pytest

from affectkit.artifacts import histories
from affectkit.artifacts.histories import BOARD, KERAS, LIGHTNING, OURS, TRAINER, read_log
from affectkit.errors import AffectkitError


def write(path, text):
    path.write_text(text)
    return path


KERAS_CSV = """epoch,accuracy,loss,val_accuracy,val_loss,val_mean_absolute_error,learning_rate
0,0.5,1.5,0.4,1.6,0.2,0.001
1,0.6,1.2,NA,NA,NA,0.0005
"""
STATE = {
    "global_step": 4,
    "log_history": [
        {"loss": 2.0, "grad_norm": 1.5, "learning_rate": 5e-5, "epoch": 0.5, "step": 1},
        {"loss": 1.0, "grad_norm": math.nan, "learning_rate": 4e-5, "epoch": 1.0, "step": 2},
        {"eval_loss": 1.1, "eval_accuracy": 0.6, "eval_runtime": 0.1, "epoch": 1.0, "step": 2},
        {"loss": 0.8, "grad_norm": 1.0, "learning_rate": 3e-5, "epoch": 1.5, "step": 3},
        {"eval_loss": 0.9, "eval_accuracy": 0.7, "epoch": 1.5, "step": 3},
        {"train_runtime": 9.0, "train_loss": 1.3, "epoch": 1.5, "step": 3},
    ],
}


def test_keras_csv_logger_counts_epochs_from_zero(tmp_path):
    log = read_log(write(tmp_path / "training.log", KERAS_CSV))
    assert log.tool == KERAS
    assert log.epochs == [
        {"epoch": 1, "train_accuracy": 0.5, "train_loss": 1.5, "val_accuracy": 0.4, "val_loss": 1.6, "val_mae": 0.2,
         "learning_rate": 0.001},
        {"epoch": 2, "train_accuracy": 0.6, "train_loss": 1.2, "learning_rate": 0.0005},
    ]  # fmt: skip


def test_keras_history_with_metrics_of_traits(tmp_path):
    data = {"loss": [0.3, 0.2], "val_loss": [0.4, 0.3], "val_r_squared_O": [-2.0, 0.1], "val_openness_mse": [1.0, 0.5]}
    log = read_log(write(tmp_path / "history.json", json.dumps(data)))
    assert log.tool == KERAS
    assert [row["val_openness.r2"] for row in log.epochs] == [-2.0, 0.1]
    assert [row["val_openness.mse"] for row in log.epochs] == [1.0, 0.5]
    assert [row["epoch"] for row in log.epochs] == [1, 2]


def test_metrics_history_of_the_published_system(tmp_path):
    per_epoch = {"loss": [0.3], "val_loss": [0.4], "metrics": {"mae": [0.1]}, "val_metrics": {"r_squared": [-0.5]},
                 "learning_rate": [0.001], "epoch_numbers": [0]}  # fmt: skip
    log = read_log(write(tmp_path / "metrics_history.json", json.dumps({"batch": {}, "epoch": per_epoch})))
    [row] = log.epochs
    assert row == {"epoch": 1, "train_loss": 0.3, "val_loss": 0.4, "train_mae": 0.1, "val_r2": -0.5,
                   "learning_rate": 0.001}  # fmt: skip


def as_csv(entries):
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    lines = [",".join(["", *names])]
    for number, entry in enumerate(entries):
        lines.append(",".join([str(number), *("" if name not in entry else repr(entry[name]) for name in names)]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("form", ["state", "list", "csv"])
def test_the_trainers_log_is_a_row_per_evaluation(tmp_path, form):
    content = {"state": json.dumps(STATE), "list": json.dumps(STATE["log_history"])}
    content["csv"] = as_csv(STATE["log_history"])
    log = read_log(write(tmp_path / "log", content[form]))
    assert log.tool == TRAINER
    assert [row["epoch"] for row in log.epochs] == [1, 1.5]
    assert [row["train_loss"] for row in log.epochs] == [1.5, 0.8], "the mean of the logs since the last evaluation"
    assert [row["val_accuracy"] for row in log.epochs] == [0.6, 0.7]
    assert [(row["step"], row["learning_rate"]) for row in log.steps] == [(1, 5e-5), (2, 4e-5), (3, 3e-5)]
    assert math.isnan(log.steps[1]["gradient_norm"])
    assert "eval_runtime" in log.carried


def test_a_trainer_without_evaluations_is_a_row_per_epoch(tmp_path):
    entries = [{"loss": float(n), "epoch": n / 2, "step": n} for n in range(1, 6)]
    log = read_log(write(tmp_path / "trainer_state.json", json.dumps({"log_history": entries})))
    assert [(row["epoch"], row["train_loss"]) for row in log.epochs] == [(1, 1.5), (2, 3.5), (3, 5.0)]
    assert read_log(tmp_path).epochs == log.epochs, "the checkpoint's folder"


def test_lightnings_sparse_rows_are_joined_by_epoch(tmp_path):
    text = (
        "epoch,lr-Adam,step,train_loss_step,val_loss,val_openness_r2\n"
        "0,0.001,0,2.0,,\n0,0.001,1,1.0,,\n0,,1,,1.4,-0.5\n1,0.0005,2,0.8,,\n1,,3,,1.2,0.25\n"
    )
    log = read_log(write(tmp_path / "metrics.csv", text))
    assert log.tool == LIGHTNING
    assert [(row["epoch"], row["train_loss"], row["val_loss"], row["val_openness.r2"]) for row in log.epochs] == [
        (1, 1.5, 1.4, -0.5),
        (2, 0.8, 1.2, 0.25),
    ]
    assert [row["learning_rate"] for row in log.steps] == [0.001, 0.001, 0.0005]


def test_ours_by_its_columns_alone(tmp_path):
    text = "stage,epoch,learning_rate,train_loss,val_loss,best\nfull,1,0.001,2,,True\n"
    log = read_log(write(tmp_path / "any.csv", text))
    assert log.tool == OURS
    assert log.epochs[0]["best"] is True
    assert math.isnan(log.epochs[0]["val_loss"])


def test_steps_with_a_torn_last_line(tmp_path):
    write(
        tmp_path / "steps.csv", "fit,stage,epoch,step,train_loss,gradient_norm\nfinal,full,1,1,2.5,\nfinal,full,1,2,2"
    )
    assert histories.read_steps(tmp_path) == [
        {"fit": "final", "stage": "full", "epoch": 1, "step": 1, "train_loss": 2.5}
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 5000, "nested deeper"),
        ('{"a": 1}', "no history"),
        ('{"log_history": [1]}', "no history"),
        ("id,x\na,1\n", "is no history"),
        ("epoch,loss\n", "no epoch"),
        ("", "is empty"),
        ("\x00\x01", "NUL"),
        ('{"loss": [[1]], "val_loss": "x"}', "no history"),
    ],
)
def test_anything_else_is_one_error(tmp_path, text, said):
    with pytest.raises(AffectkitError) as caught:
        read_log(write(tmp_path / "file", text))
    assert said in str(caught.value)


def test_a_file_that_no_history_can_be_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "LARGEST", 10)
    with pytest.raises(AffectkitError, match="is larger than"):
        read_log(write(tmp_path / "big.csv", KERAS_CSV))


# TensorBoard


@pytest.fixture
def board():
    """`board(folder, rows)`: event files of curves by step."""
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer", reason="tensorboard is not installed")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def write(folder, rows):
        events = writer.EventFileWriter(str(folder))
        for step, row in rows.items():
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
            events.add_event(Event(wall_time=0.0, step=step, summary=Summary(value=values)))
        events.close()
        return folder

    return write


def test_tensorboards_curves_are_a_row_per_evaluation(board, tmp_path):
    rows = {n: {"Loss/train": 4.0 - n, "lr": 0.5} | ({"val/r2": n - 2.0} if n % 2 else {}) for n in range(4)}
    log = read_log(board(tmp_path / "runs", rows))
    assert (log.tool, log.carried) == (BOARD, [])
    assert [(row["epoch"], row["train_loss"], row["val_r2"]) for row in log.epochs] == [(1, 3.5, -1.0), (2, 1.5, 1.0)]
    assert [row["step"] for row in log.steps] == [0, 1, 2, 3]
    assert read_log(tmp_path).epochs == log.epochs, "the folder that it is alone in"
    board(tmp_path / "others", rows)
    with pytest.raises(AffectkitError, match="holds several trainings: others"):
        read_log(tmp_path)


@pytest.mark.parametrize("own", ["final/", ""])
def test_of_our_own_runs_the_final_fit_is_read(board, tmp_path, own):
    curve = {"epoch": 1.0, "step": 2.0, "train_loss": 0.5, "val_openness.r2": -0.25}
    fold = {f"fold-01/{name}": 9.0 for name in curve}
    log = read_log(board(tmp_path, {2: fold | {own + name: value for name, value in curve.items()}}))
    assert log.epochs == [curve]


def test_keras_writes_a_folder_for_each_part(board, tmp_path):
    for part, loss in (("train", 1.0), ("validation", 2.0)):
        board(tmp_path / part, {n: {"epoch_loss": loss - n / 2} for n in range(2)})
    assert [(row["epoch"], row["train_loss"], row["val_loss"]) for row in read_log(tmp_path).epochs] == [
        (1, 1.0, 2.0),
        (2, 0.5, 1.5),
    ]
