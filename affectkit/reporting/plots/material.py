"""What a run, a history or a table of predictions has that can be drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from affectkit.artifacts.event_files import EVENTS
from affectkit.artifacts.files import read_json
from affectkit.artifacts.histories import (
    SWEEPS,
    TrainingLog,
    is_history,
    is_log_folder,
    looks_like_json,
    read_log,
)
from affectkit.artifacts.models import TRAIN_REPORT
from affectkit.artifacts.predictions import Predictions, has_predictions
from affectkit.artifacts.records import RECORD, STARTED, read_record, require_finished, trusted
from affectkit.artifacts.reports import METRICS, class_targets, read_judged, read_report
from affectkit.artifacts.sources import PREDICTIONS, read_joined_sources
from affectkit.artifacts.tables import iter_rows
from affectkit.errors import AffectkitError, listed
from affectkit.evaluation import parts
from affectkit.evaluation.calibration_error import ece
from affectkit.evaluation.intervals import DEFAULT, Interval
from affectkit.evaluation.measure import number_intervals
from affectkit.evaluation.rows import answers_any, judged, judged_targets, missing, pair
from affectkit.labels import Target
from affectkit.reporting.attended import ATTENTION
from affectkit.reporting.pages import FROM_FILES, PAGES, page_of
from affectkit.splits import group_column

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest
    from affectkit.reporting.page import Page

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """log: of its training. sweeps: of its learning rate. part, rows, targets: its judged rows. floors: of constant
    answers, as reports have them. foreign: nothing says what the model had seen. report: `metrics.json`, of a folder of
    `evaluate`. page: makes that of its command, where this has figures that no kind here draws."""

    name: str
    log: TrainingLog | None = None
    sweeps: Sequence[Mapping[str, Any]] = ()
    part: str = ""
    rows: Predictions | None = None
    targets: Sequence[Target] = ()
    floors: Mapping[str, Any] = field(default_factory=dict)
    foreign: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)
    attended: Path | None = None
    page: Callable[[], Page] | None = None

    @property
    def numbers(self) -> list[Target]:
        return [target for target in self.targets if target.kind == "number"]

    @property
    def classes(self) -> list[Target]:
        return [target for target in self.targets if target.kind != "number"]

    def pair(self, target: Target) -> tuple[np.ndarray, np.ndarray]:
        assert self.rows is not None
        return pair(self.rows, target)

    def ends(self, target: Target) -> tuple[np.ndarray, np.ndarray] | None:
        """Of each row's interval: `t_low`, `t_high`, else 1.96 standard deviations of `t_var` to each side."""
        assert self.rows is not None
        frame, name = self.rows.frame, target.name
        if {f"{name}_low", f"{name}_high"} <= set(frame):
            return frame[f"{name}_low"].to_numpy(float), frame[f"{name}_high"].to_numpy(float)
        if f"{name}_var" not in frame:
            return None
        spread = 1.96 * np.sqrt(frame[f"{name}_var"].to_numpy(float))
        return self.pair(target)[1] - spread, self.pair(target)[1] + spread

    @cached_property
    def groups(self) -> np.ndarray | None:
        assert self.rows is not None
        return self.rows.groups(group_column(self.rows.frame, None, file=self.rows.path))

    @cached_property
    def figures(self) -> dict[str, Interval]:
        """Metrics of its numbers with intervals over groups, each target over the rows that it knows."""
        if self.rows is None or not self.numbers:
            return {}
        if self.report:
            nan = float("nan")
            known = {
                name: {k: nan if v is None else v for k, v in m.items()} for name, m in self.report["metrics"].items()
            }
            return {name: Interval(m["value"], m.get("low", nan), m.get("high", nan)) for name, m in known.items()}
        return number_intervals(self.rows, self.numbers, self.groups, DEFAULT)

    def details(self, target: Target) -> Mapping[str, Any]:
        """Of a class target: `confusion`, and where there are probabilities `calibration` with its `ece`."""
        if self.report:
            _, prefix, details = next(row for row in class_targets(self.report) if row[0] == target.name)
            error = (self.report["metrics"].get(f"{prefix}ece") or {}).get("value")
            return {**details, "ece": error}
        assert self.rows is not None
        truth, _ = self.pair(target)
        probabilities = self.rows.probabilities(target.name)
        known = None if probabilities is None else ~(missing(truth) | np.isnan(probabilities).any(axis=1))
        found: dict[str, Any] = {"confusion": parts.confusion(self.rows, target)}
        if probabilities is not None and known is not None and known.any():
            found["calibration"] = parts.calibration(self.rows, target)
            found["ece"] = ece(truth[known], probabilities[known])
        return found


def differing_rows(materials: Sequence[Material]) -> list[str]:
    """What must be known of runs that are drawn together, where their predictions are of other parts or rows."""
    runs = [run for run in materials if run.rows is not None]
    rows = {(run.part, frozenset(run.rows.frame["id"])) for run in runs if run.rows is not None}
    if len(rows) < 2:
        return []
    counts = ", ".join(f"{run.name} on {len(run.rows.frame)} {run.part} rows" for run in runs if run.rows is not None)
    return [f"predictions are drawn on different rows: {counts}; affectkit report compares runs on the same rows"]


# --- Reading it


Wanted = Collection[str]  # of these
TRAINING, ANSWERS, ATTENDED, PAGE_FIGURES = "training", "answers", "attention", "page"


def read_material(
    name: str,
    path: Path,
    wanted: Wanted,
    *,
    split: str | None = None,
    treat_as: str | None = None,
    manifest: Manifest | None = None,
) -> Material:
    """What is wanted of a run folder, or of a file: a history of any tool, or a table of predictions.

    Raises "missing", "unfinished", or "input" for what has nothing to draw.
    """
    if not path.exists():
        raise AffectkitError("missing", "no such run folder or file", file=path, remedy="name what a command wrote")
    how: dict[str, Any] = {"split": split, "treat_as": treat_as, "manifest": manifest}
    if path.is_dir():
        return _of_folder(name, path, wanted, how)
    if is_predictions(path):
        return Material(name, **(_of_predictions(name, path, **how) if ANSWERS in wanted else {}))
    return Material(name, read_log(path))


def is_predictions(path: Path) -> bool:
    """Whether a file is a table of predictions, rather than a history."""
    if not path.is_file() or looks_like_json(path) or path.match(EVENTS):
        return False
    header = next(iter_rows(path))
    if has_predictions(header) or is_history(header):
        return has_predictions(header)
    what = f"is neither predictions nor a history: its columns are {listed(header, 8)}"
    remedy = "predictions have id and pred, prob_<class> or <target>_pred; a history has epoch and losses"
    raise AffectkitError("input", what, file=path, remedy=remedy)


def is_unfinished(path: Path) -> bool:
    """Whether a folder's command has not ended yet."""
    return path.is_dir() and (path / STARTED).exists() and not (path / RECORD).exists()


def _of_folder(name: str, folder: Path, wanted: Wanted, how: Mapping[str, Any]) -> Material:
    known: dict[str, Any] = {}
    if not is_unfinished(folder):
        trusted(folder)
    trained = is_log_folder(folder)
    if trained and TRAINING in wanted:
        known |= {"log": read_log(folder), "sweeps": _sweeps_of(folder)}
    if is_unfinished(folder):
        return Material(name, **known) if known else _nothing(folder)
    if (folder / METRICS).exists() and ANSWERS in wanted:
        known |= _of_report(folder)
    elif (folder / PREDICTIONS).exists() and ANSWERS in wanted:
        try:
            known |= _of_predictions(name, folder, **how)
        except AffectkitError as problem:
            if not trained:
                raise
            log.warning("%s: its predictions are not drawn: %s", name, problem)
    if (folder / ATTENTION).exists() and ATTENDED in wanted:
        known["attended"] = folder
    command = read_record(folder / RECORD).get("command", "") if (folder / RECORD).exists() else ""
    paged = command in PAGES and command not in FROM_FILES
    if not trained and not paged and not any((folder / file).exists() for file in (METRICS, PREDICTIONS)):
        _nothing(folder, command)
    return Material(name, **known, page=partial(page_of, folder, command) if paged and PAGE_FIGURES in wanted else None)


def _nothing(folder: Path, command: str = "") -> NoReturn:
    if is_unfinished(folder):
        require_finished(folder)
    if command:
        what = f"affectkit {command} leaves nothing to draw"
    else:
        what = "is no run folder, and holds no history and no predictions"
    raise AffectkitError("input", what, file=folder, remedy="name a run that trained, predicted or judged")


def _of_predictions(
    name: str, path: Path, *, split: str | None, treat_as: str | None, manifest: Manifest | None
) -> dict[str, Any]:
    """The judged rows of a table of predictions: one part, never a row that was fitted on."""
    [source] = read_joined_sources({name: path}, manifest=manifest, treat_as=treat_as)
    table = source.table()
    part, rows = judged(table, split)
    targets = judged_targets(rows)
    known = _train_report_of(path).get("floors", {}).get(part) if path.is_dir() else None
    train = parts.train_rows(table, targets)
    if train is None and manifest is not None and "split" in manifest.rows:
        theirs = manifest.rows[manifest.rows["split"] == "train"]
        train = theirs if len(theirs) and all(target.name in theirs for target in targets) else None
    floors = known or parts.floors(rows, targets, train)
    return {"part": part, "rows": rows, "targets": targets, "floors": floors, "foreign": table.foreign}


def _of_report(folder: Path) -> dict[str, Any]:
    """What the folder of `evaluate` has of its judged rows."""
    report = read_report(folder / METRICS)
    targets = [Target.from_json(target) for target in report.get("targets", [])]
    frame = read_judged(folder)
    known: dict[str, Any] = {"part": report.get("split") or "all", "report": report}
    known["floors"] = report.get("floors") or {}
    classes = [target for target in targets if target.kind != "number"]
    if frame is None:
        return {**known, "targets": classes}
    rows = Predictions(frame.assign(seen="heldout"), {t.name: t for t in targets if t.name in frame}, folder)
    numbers = [target for target in rows.targets.values() if answers_any(rows, target)]
    return {**known, "rows": rows, "targets": [*numbers, *classes]}


def _sweeps_of(folder: Path) -> list[Mapping[str, Any]]:
    return list(read_json(folder / SWEEPS)["sweeps"]) if (folder / SWEEPS).exists() else []


def _train_report_of(folder: Path) -> dict[str, Any]:
    return read_json(folder / TRAIN_REPORT) if (folder / TRAIN_REPORT).exists() else {}
