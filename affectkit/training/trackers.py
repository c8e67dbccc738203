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
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated, without_nan

logger = logging.getLogger(__name__)

TRACKING = "tracking"
_RUN_ID, _MLFLOW_ID = "run_id.txt", "mlflow_run_id.txt"
_EXTRA = ("tensorboard", "wandb")  # come with affectkit[track]


def _open_tracker(name: str, place: Path, project: str, config: dict[str, Any]) -> Any:
    """Accelerate's tracker of this name, started, with the settings stored; raises whatever its own client does."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    options = _options(name, place)
    title = name if name == "tensorboard" else project  # there it is the name of a folder
    tracker = kind(title, *([place] if kind.requires_logging_directory else []), **options)
    tracker.start()
    if name == "mlflow":
        write_text(place / _MLFLOW_ID, tracker.tracker.info.run_id + "\n")
    if config and name == "tensorboard":  # Accelerate's own way makes a second run, named by the time, with no curves
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(config, {}):
            tracker.tracker.file_writer.add_summary(summary)
    elif config:
        tracker.store_init_configuration(config)
    return tracker


def _options(name: str, place: Path) -> dict[str, Any]:
    """What keeps a tracker on this machine and in the run folder, and one curve of a resumed run."""
    title = place.parent.name
    if name == "tensorboard":
        return {}
    if name == "wandb":
        import wandb

        settings = wandb.Settings(silent=True, console="off", symlink=False, disable_git=True, save_code=False)
        mode = os.environ.get("WANDB_MODE") or "offline"  # read here: wandb reads it once a process
        run_id = _text(place / _RUN_ID)
        return {"dir": place, "id": run_id, "resume": "allow", "name": title, "mode": mode, "settings": settings}
    if name == "mlflow":
        import mlflow

        options = {"run_name": title, "run_id": _text(place / _MLFLOW_ID)}
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return options
        mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
        return {**options, "logging_dir": (place / "mlflow").as_uri()}
    if name == "dvclive":
        folder = place / "dvclive"
        return {"dir": str(folder), "resume": folder.exists(), "save_dvc_exp": False, "dvcyaml": None, "report": None}
    logger.warning("tracker %s follows its own settings: it may use the network and write elsewhere", name)
    return {}


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


Points = dict[tuple[str, int], float]  # values by curve and step


def _points(place: Path) -> Points:
    """What TensorBoard shows of a run that was interrupted."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not (place / "tensorboard").is_dir():
        return {}
    events = EventAccumulator(str(place / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {(tag, point.step): point.value for tag in events.Tags()["scalars"] for point in events.Scalars(tag)}


def _drop_from(tracker: Any, step: int, shown: Points, of: str) -> None:
    """TensorBoard shows no point of the curves of a fit from `step` on that was logged before, by a run killed after
    its last checkpoint. It then forgets those of all others too, which are written again. shown: changed alike."""
    later = {point for point in shown if point[1] >= step}
    stale = {point for point in later if point[0].rpartition("/")[0] == of}
    if not stale:
        return
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    writer = tracker.tracker.file_writer
    writer.add_event(Event(step=step, file_version="brain.Event:2"), step)
    writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)), step)
    for tag, at in sorted(later - stale):
        tracker.tracker.add_scalar(tag, shown[tag, at], at)
    for point in stale:
        del shown[point]


@dataclass
class Trackers(AbstractContextManager["Trackers"]):
    """Open trackers; none on other ranks than the first. resumed: they have curves already, which go on. last: the step
    that W&B had last. shown: what TensorBoard shows. met: the fits that told something."""

    opened: list[Any] = field(default_factory=list)
    resumed: bool = False
    last: int = -1
    shown: Points = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def log(self, values: Mapping[str, Any], step: int, *, of: str = "", new: bool = True) -> None:
        """Finite numbers of `values`, after `step` optimiser steps; other values have no curve and are left out.

        of: the training whose curves these are, whose name stands before theirs (`inner-1/val_uar`). new: whether no
        tracker has them yet; TensorBoard alone takes what it has.
        A tracker that fails is closed with a warning: hours of training do not end for a server that went away.
        """
        before = f"{of}/" if of else ""
        numbers = {
            before + name: float(value)
            for name, value in values.items()
            if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        }
        if not numbers:
            return
        first, at = of not in self.met, self.last + 1 if step <= self.last else step
        self.met.add(of)
        for tracker in [*self.opened]:
            try:
                if tracker.name == "tensorboard":
                    if first and self.resumed:
                        _drop_from(tracker, step, self.shown, of)
                    tracker.log(numbers, step=step)
                    self.shown |= {(name, step): value for name, value in numbers.items()} if self.resumed else {}
                elif new:
                    if first and tracker.name == "wandb" and of:
                        tracker.tracker.define_metric(f"{before}*", step_metric=f"{before}step")
                    tracker.log(numbers, step=at if tracker.name == "wandb" else step)
            except Exception as error:  # whatever a tracker's own client raises
                logger.warning("tracker %s fails and is closed: %s", tracker.name, _first_line(error))
                self._close(tracker)
        if new:
            self.go_on_after(step)

    def go_on_after(self, step: int) -> None:
        """Take up the steps of W&B, which drops what goes back: those of a training that follows another go on one by
        one, and stand beside the values."""
        self.last = max(self.last + 1, step)

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
    trackers = Trackers(resumed=(place / _RUN_ID).exists())
    if not trackers.resumed:
        write_text(place / _RUN_ID, uuid.uuid4().hex + "\n")
    settings = {} if trackers.resumed else _plain(config)
    for name in chosen:
        try:
            trackers.shown |= _points(place) if name == "tensorboard" and trackers.resumed else {}
            trackers.opened.append(_open_tracker(name, place, project, settings))
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
    known = {name: value for name, value in without_nan(dict(config)).items() if value is not None}
    return {name: value if isinstance(value, (int, float, str)) else json.dumps(value) for name, value in known.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
