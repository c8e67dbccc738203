"""Experiment trackers: Accelerate's, opened side by side, local unless their own settings say otherwise.

What they write lies in `tracking/` of the run folder: `tensorboard --logdir FOLDER`, `wandb sync
FOLDER/tracking/wandb/offline-run-*`, `mlflow ui --backend-store-uri sqlite:///FOLDER/tracking/mlflow.db`.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated, without_nan
from affectkit.training.local_trackers import TrackedRun, drop_from, open_tracker

TRACKING = "tracking"
_RUN_ID = "run_id.txt"
_EXTRA = ("tensorboard", "wandb")  # come with affectkit[track]

logger = logging.getLogger(__name__)


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
