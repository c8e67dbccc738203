"""Trackers, read back from what they leave on disk."""

import importlib.util
import logging
import os
import time

import accelerate.tracking
import numpy as np
import offline_wandb
import pytest
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from affectkit.errors import AffectkitError
from affectkit.training.trackers import Trackers, check_trackers, open_trackers

CONFIG = {"learning_rate": 1e-5, "base_model": "tiny-random:wav2vec2", "stages": [{"train": "all"}], "target": None}


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


@pytest.fixture(autouse=True)
def no_settings(accelerator, monkeypatch):
    """As it is once there is an Accelerator, with no settings of the user's own."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    if importlib.util.find_spec("tensorboard"):  # it reads files of one second by name: .10 before .9
        from tensorboard.summary.writer import event_file_writer as writer

        monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(0))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "ser"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def registered(monkeypatch):
    """`registered(name, **methods)`: a tracker of one's own, among those that Accelerate knows; what it was told."""

    def register(tracker_name, **methods):
        told = []

        class Own(GeneralTracker):
            name = tracker_name
            requires_logging_directory = False
            tracker = None

            def __init__(self, project):
                super().__init__()
                told.append(("project", project))

            def store_init_configuration(self, values):
                told.append(("config", values))

            def log(self, values, step=None):
                told.append((step, values))

            def finish(self):
                told.append("finished")

        for method, function in methods.items():
            setattr(Own, method, function)
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, tracker_name, Own)
        return told

    return register


def fail(*arguments, **options):
    raise ConnectionError("the server\nis away")


def curve(run, name):
    """Steps and values of a curve, as TensorBoard shows it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tracking" / "tensorboard"))
    events.Reload()
    assert name in events.Tags()["scalars"]
    return [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events.Scalars(name)]


# TensorBoard


@needs("tensorboard")
def test_tensorboard_has_every_number_at_its_step(run):
    with open_trackers("tensorboard", run, CONFIG) as trackers:
        trackers.log({"stage": "full", "train_loss": 1.2, "val_valence.ccc": np.float32(0.25), "epoch": 1}, 10)
        trackers.log({"stage": "full", "train_loss": 0.8, "val_valence.ccc": 0.5, "epoch": 2}, 20)
    assert curve(run, "train_loss") == [(10, 1.2), (20, 0.8)]
    assert curve(run, "val_valence.ccc") == [(10, 0.25), (20, 0.5)]
    assert curve(run, "epoch") == [(10, 1), (20, 2)]


@needs("tensorboard")
def test_tensorboard_has_the_settings_beside_the_curves(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    open_trackers("tensorboard", run, CONFIG).close()
    events = EventAccumulator(str(run / "tracking" / "tensorboard"))
    events.Reload()
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    kept = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert kept["learning_rate"].number_value == 1e-5
    assert kept["base_model"].string_value == "tiny-random:wav2vec2"
    assert kept["stages"].string_value == '[{"train": "all"}]'
    assert "target" not in kept
    assert len(list((run / "tracking" / "tensorboard").iterdir())) == 1, "one run, in one file"


@needs("tensorboard")
def test_a_resumed_run_goes_on_with_its_curves(run):
    """Killed after step 40, and resumed from a checkpoint of step 20."""
    with open_trackers("tensorboard", run, CONFIG) as trackers:
        for step in (10, 20, 30, 40):
            trackers.log({"train_loss": 1 / step}, step)
    with open_trackers("tensorboard", run, CONFIG) as trackers:
        for step in (30, 40, 50):
            trackers.log({"train_loss": 2 / step}, step)
            trackers.log({"val_uar": 0.5}, step)  # drops nothing of the same step
    assert curve(run, "train_loss") == [(10, 0.1), (20, 0.05), (30, 2 / 30), (40, 2 / 40), (50, 2 / 50)]
    assert [step for step, _ in curve(run, "val_uar")] == [30, 40, 50]


@needs("tensorboard")
def test_a_run_resumed_twice_goes_on_twice(run):
    for steps in ((1, 2, 3), (3, 4), (2, 3)):
        with open_trackers("tensorboard", run, CONFIG) as trackers:
            trackers.log({"stage": "full"}, 0)  # no number: nothing begins yet
            for step in steps:
                trackers.log({"train_loss": 10 * steps[0] + step}, step)
    assert curve(run, "train_loss") == [(1, 11), (2, 22), (3, 23)]


# Any tracker


def test_several_are_opened_at_once(run, registered):
    first, second = registered("first"), registered("second")
    with open_trackers("first, second,first", run, CONFIG, project="emotions") as trackers:
        trackers.log({"train_loss": 1.0}, 7)
    stored = {"learning_rate": 1e-5, "base_model": "tiny-random:wav2vec2", "stages": '[{"train": "all"}]'}
    expected = [("project", "emotions"), ("config", stored), (7, {"train_loss": 1.0}), "finished"]
    assert first == expected
    assert second == expected


def test_a_resumed_run_stores_no_settings_again(run, registered):
    told = registered("own")
    for _ in range(2):
        open_trackers(["own"], run, CONFIG).close()
    assert [what[0] for what in told if what != "finished"] == ["project", "config", "project"]


def test_only_finite_numbers_are_logged(run, registered):
    told = registered("own")
    with open_trackers("own", run, {}) as trackers:
        odd = {"a": float("nan"), "b": None, "c": "text", "d": True, "e": np.inf, "f": [1], "g": np.int64(3)}
        trackers.log(odd, 1)
        trackers.log({"a": float("nan")}, 2)
        trackers.log({}, 3)
    assert [what for what in told if isinstance(what[0], int)] == [(1, {"g": 3.0})]


def test_nothing_is_opened_where_none_is_named(run):
    for names in (None, "", []):
        with open_trackers(names, run, CONFIG) as trackers:
            trackers.log({"train_loss": 1.0}, 1)
    assert not list(run.iterdir())


def test_other_ranks_than_the_first_open_nothing(run, registered, monkeypatch):
    told = registered("own")
    monkeypatch.setitem(PartialState._shared_state, "process_index", 1)
    with open_trackers("own", run, CONFIG) as trackers:
        trackers.log({"train_loss": 1.0}, 1)
    assert told == []
    assert not list(run.iterdir())


def test_a_tracker_without_a_local_mode_says_so(run, registered, caplog):
    registered("own")
    with caplog.at_level(logging.WARNING, "affectkit"):
        open_trackers("own", run, CONFIG).close()
    assert "tracker own follows its own settings: it may use the network" in caplog.text


def test_a_tracker_that_fails_does_not_end_the_training(run, registered, caplog):
    broken, sound = registered("broken", log=fail), registered("sound")
    with caplog.at_level(logging.WARNING, "affectkit"), open_trackers("broken,sound", run, {}) as trackers:
        for step in (1, 2, 3):
            trackers.log({"train_loss": 1.0}, step)
    assert [record.getMessage() for record in caplog.records if "fails" in record.getMessage()] == [
        "tracker broken fails and is closed: the server"
    ]
    assert broken.count("finished") == 1
    assert [what[0] for what in sound if isinstance(what[0], int)] == [1, 2, 3]


def test_a_tracker_that_does_not_close_keeps_no_other_open(run, registered, caplog):
    registered("stuck", finish=fail)
    sound = registered("sound")
    trackers = open_trackers("stuck,sound", run, {})
    trackers.close()
    trackers.close()
    assert sound.count("finished") == 1
    assert "tracker stuck does not close: the server" in caplog.text


def test_a_tracker_that_does_not_start_is_named_and_the_others_closed(run, registered):
    sound = registered("sound")
    registered("broken", start=fail)
    with pytest.raises(AffectkitError) as caught:
        open_trackers("sound,broken", run, CONFIG)
    assert caught.value.code == "environment"
    assert str(caught.value).startswith("tracker broken does not start: the server; ")
    assert sound[-1] == "finished"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("tensorbord", "did you mean tensorboard?"),
        ("wandbb", "did you mean wandb or "),
        ("x", "known are aim, clearml, "),
    ],
)
def test_unknown_names(run, name, remedy):
    with pytest.raises(AffectkitError) as caught:
        open_trackers(name, run, CONFIG)
    assert caught.value.code == "usage"
    assert caught.value.message == f"there is no tracker '{name}'"
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(("name", "package"), [("wandb", "'affectkit[track]'"), ("mlflow", "mlflow")])
def test_a_tracker_that_is_not_installed(run, name, package, monkeypatch):
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [])
    with pytest.raises(AffectkitError) as caught:
        open_trackers(name, run, CONFIG)
    assert caught.value.code == "environment"
    assert str(caught.value) == f"tracker {name} is not installed; run pip install {package}"
    assert not list(run.iterdir())


def test_names_are_known_before_any_work():
    check_trackers([])
    with pytest.raises(AffectkitError):
        check_trackers(["none"])


def test_closing_nothing_is_fine():
    Trackers().close()


# Weights & Biases, mlflow and dvclive, where they are installed


@needs("wandb")
@pytest.mark.slow
def test_wandb_is_offline_and_a_resumed_run_goes_on_at_its_step(run):
    for steps in ((10, 20), (30, 40)):
        with open_trackers("wandb", run, CONFIG) as trackers:
            for step in steps:
                trackers.log({"train_loss": 1 / step}, step)
    files = sorted(
        (run / "tracking" / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime
    )
    assert len(files) == 2
    assert len({file.name for file in files}) == 1, "both belong to one run"
    end = time.monotonic() + 30
    while not all(kept := [dict(offline_wandb.history(file)) for file in files]) and time.monotonic() < end:
        time.sleep(0.2)  # wandb's own process writes on for a moment after a run is closed
    assert [list(history) for history in kept] == [[10, 20], [30, 40]]
    assert kept[1][30]["train_loss"] == pytest.approx(1 / 30)
    assert [file.name for file in run.iterdir()] == ["tracking"]


@needs("wandb")
def test_wandb_mode_is_the_users(run, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with open_trackers("wandb", run, CONFIG) as trackers:
        trackers.log({"train_loss": 1.0}, 1)
    assert not list(run.rglob("*.wandb"))


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_keeps_one_run_in_the_folder(run):
    import mlflow

    for steps in ((10, 20), (30,)):
        with open_trackers("mlflow", run, CONFIG, project="emotions") as trackers:
            for step in steps:
                trackers.log({"train_loss": 1 / step}, step)
    (found,) = mlflow.search_runs(experiment_names=["emotions"], output_format="list")
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.1), (20, 0.05), (30, 1 / 30)]
    assert found.data.params["base_model"] == "tiny-random:wav2vec2"
    assert [file.name for file in run.iterdir()] == ["tracking"]


@needs("dvclive")
@pytest.mark.slow
def test_dvclive_keeps_to_the_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for steps in ((10, 20), (30,)):
        with open_trackers("dvclive", run, CONFIG) as trackers:
            for step in steps:
                trackers.log({"train_loss": 1 / step}, step)
    lines = (run / "tracking" / "dvclive" / "plots" / "metrics" / "train_loss.tsv").read_text().split()
    assert lines[2::2] == ["10", "20", "30"]
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]
