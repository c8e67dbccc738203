"""Experiment trackers: Accelerate's, opened side by side, local unless their own settings say otherwise.

What they write lies in `tracking/` of the run folder: `tensorboard --logdir FOLDER`, `wandb sync
FOLDER/tracking/wandb/offline-run-*`, `mlflow ui --backend-store-uri sqlite:///FOLDER/tracking/mlflow.db`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated, without_nan

logger = logging.getLogger(__name__)


# --- What keeps Accelerate's trackers on this machine and in the run's folder, and a resumed run one curve


_MLFLOW_ID = "mlflow_run_id.txt"


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


TRACKING = "tracking"
_RUN_ID = "run_id.txt"
_EXTRA = ("tensorboard", "wandb")  # come with affectkit[track]


@dataclass
class Trackers:
    """Open trackers; none on other ranks than the first. resumed: they have curves already, which go on."""

    opened: list[Any] = field(default_factory=list)
    resumed: bool = False

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Finite numbers of `values`, after `step` optimiser steps; other values have no curve and are left out.

        A tracker that fails is closed with a warning: hours of training do not end for a server that went away.
        """
        numbers = {name: float(value) for name, value in values.items() if _is_number(value)}
        if not numbers:
            return
        first, self.resumed = self.resumed, False
        for tracker in [*self.opened]:
            try:
                if first and tracker.name == "tensorboard":
                    drop_from(tracker, step)
                tracker.log(numbers, step=step)
            except Exception as error:  # whatever a tracker's own client raises
                logger.warning("tracker %s fails and is closed: %s", tracker.name, _first_line(error))
                self._close(tracker)

    def close(self) -> None:
        """Write what is not written; more often than once is once."""
        for tracker in [*self.opened]:
            self._close(tracker)

    def _close(self, tracker: Any) -> None:
        self.opened.remove(tracker)
        try:
            tracker.finish()
        except Exception as error:
            logger.warning("tracker %s does not close: %s", tracker.name, _first_line(error))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_trackers(
    names: str | Sequence[str] | None, folder: Path, config: Mapping[str, Any], *, project: str = "affectkit"
) -> Trackers:
    """Open trackers by the names that Accelerate has for them ("tensorboard,wandb"), once its state is set up.

    folder: of the run; where trackers have been open in it before, their curves go on. config: the settings, stored
    when they are opened first.
    Raises "usage" for an unknown name; "environment" for a tracker that is not installed or does not start.
    """
    chosen = list(dict.fromkeys(comma_separated(names) if isinstance(names, str) else names or []))
    if not chosen:
        return Trackers()
    from accelerate import PartialState

    check_trackers(chosen)
    if not PartialState().is_main_process:
        return Trackers()
    place = Path(folder).resolve() / TRACKING
    again = (place / _RUN_ID).exists()
    if not again:
        write_text(place / _RUN_ID, uuid.uuid4().hex + "\n")
    run = TrackedRun(project, place, (place / _RUN_ID).read_text(encoding="utf-8").strip())
    trackers = Trackers(resumed=again)
    for name in chosen:
        try:
            trackers.opened.append(open_tracker(name, run, {} if again else _plain(config)))
        except Exception as error:  # whatever a tracker's own client raises, such as a missing login
            trackers.close()
            message = f"tracker {name} does not start: {_first_line(error)}"
            raise AffectkitError("environment", message, remedy="mend its settings, or leave it out") from error
    return trackers


def check_trackers(names: Sequence[str]) -> None:
    """Raises "usage" for a name that Accelerate does not know, "environment" for a tracker that is not installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, filter_trackers

    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            remedy = did_you_mean(name, sorted(LOGGER_TYPE_TO_CLASS))
            raise AffectkitError("usage", f"there is no tracker '{name}'", remedy=remedy)
        if not filter_trackers([name], "."):
            package = "'affectkit[track]'" if name in _EXTRA else name
            raise AffectkitError("environment", f"tracker {name} is not installed", remedy=f"run pip install {package}")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, texts and truth values, as every tracker takes them; lists and objects as JSON, None left out."""
    plain = without_nan(dict(config))
    known = {name: value for name, value in plain.items() if value is not None}
    return {name: value if isinstance(value, (int, float, str)) else json.dumps(value) for name, value in known.items()}


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, str)) or value is None:
        return False
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
