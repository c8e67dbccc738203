"""What keeps Accelerate's trackers on this machine and in the run's folder, and a resumed run one curve."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text

_MLFLOW_ID = "mlflow_run_id.txt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRun:
    """place: of the trackers' files. id: kept when the run is resumed."""

    project: str
    place: Path
    id: str

    @property
    def name(self) -> str:
        return self.place.parent.name


def open_tracker(name: str, run: TrackedRun, config: dict[str, Any]) -> Any:
    """Accelerate's tracker of this name, started, with the settings stored; raises whatever its own client does."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    made = LOGGER_TYPE_TO_CLASS[name]
    if name in _LOCAL:
        options = _LOCAL[name](run)
    else:
        logger.warning("tracker %s follows its own settings: it may use the network and write elsewhere", name)
        options = {}
    title = name if name == "tensorboard" else run.project  # there it is the name of a folder
    tracker = made(title, *([run.place] if made.requires_logging_directory else []), **options)
    tracker.start()
    if name == "mlflow":
        write_text(run.place / _MLFLOW_ID, tracker.tracker.info.run_id + "\n")
    if config:
        _store(tracker, config)
    return tracker


def _store(tracker: Any, config: dict[str, Any]) -> None:
    """The settings. Accelerate's own way with TensorBoard makes a second run, named by the time, with no curves."""
    if tracker.name != "tensorboard":
        tracker.store_init_configuration(config)
        return
    from torch.utils.tensorboard.summary import hparams

    for summary in hparams(config, {}):
        tracker.tracker.file_writer.add_summary(summary)


def drop_from(tracker: Any, step: int) -> None:
    """TensorBoard shows no point from `step` on that was logged before, by a run killed after its last checkpoint."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    writer = tracker.tracker.file_writer
    writer.add_event(Event(step=step, file_version="brain.Event:2"), step)
    writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)), step)


def _wandb(run: TrackedRun) -> dict[str, Any]:
    import wandb

    settings = wandb.Settings(silent=True, console="off", symlink=False, disable_git=True, save_code=False)
    mode = os.environ.get("WANDB_MODE") or "offline"  # read here: wandb reads it once a process
    return {"dir": run.place, "id": run.id, "resume": "allow", "name": run.name, "mode": mode, "settings": settings}


def _mlflow(run: TrackedRun) -> dict[str, Any]:
    import mlflow

    kept = run.place / _MLFLOW_ID
    options = {"run_id": kept.read_text(encoding="utf-8").strip() if kept.exists() else None}
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return {**options, "run_name": run.name}
    mlflow.set_tracking_uri(f"sqlite:///{run.place / 'mlflow.db'}")
    return {**options, "run_name": run.name, "logging_dir": (run.place / "mlflow").as_uri()}


def _dvclive(run: TrackedRun) -> dict[str, Any]:
    place = run.place / "dvclive"
    return {"dir": str(place), "resume": place.exists(), "save_dvc_exp": False, "dvcyaml": None, "report": None}


# What keeps a tracker on this machine and in the run folder, and one curve of a resumed run.
_LOCAL: dict[str, Callable[[TrackedRun], dict[str, Any]]] = {
    "tensorboard": lambda run: {},
    "wandb": _wandb,
    "mlflow": _mlflow,
    "dvclive": _dvclive,
}
