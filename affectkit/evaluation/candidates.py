"""Several runs on the same rows: what each said of the rows that all of them predicted and none was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions, probability_columns
from affectkit.artifacts.sources import PREDICTIONS, Source, named_paths
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.comparison import MetricInputs, TargetMetric, metric_inputs
from affectkit.evaluation.rows import column, missing
from affectkit.labels import Target
from affectkit.leakage.crossfit import kinds_of
from affectkit.splits import default_group

if TYPE_CHECKING:
    import pandas as pd


# --- What several tables of predictions agree on: the targets, their classes, and the truth of every row


DIGITS = 1e-6  # relative: tables keep nine significant digits of a number
NAMED = 3  # runs in a sentence


def common_targets(tables: Mapping[str, Predictions]) -> dict[str, Target]:
    """The targets that every table predicts, as the table has them that knows most: every class, or the scale.

    Raises "input" where there is none, or where classes differ.
    """
    first, *others = tables.values()
    common = {
        name: _agreed_target(name, tables)
        for name, target in first.targets.items()
        if all(
            name in table.targets and (table.targets[name].kind == "number") == (target.kind == "number")
            for table in others
        )
    }
    if not common:
        listed = "; ".join(f"{name}: {', '.join(table.targets)}" for name, table in list(tables.items())[:NAMED])
        raise AffectkitError("input", f"the runs predict no common target ({listed})", remedy="name runs of one task")
    return common


def _agreed_target(name: str, tables: Mapping[str, Predictions]) -> Target:
    known = {run: table.targets[name] for run, table in tables.items()}
    first = next(iter(known.values()))
    if first.kind == "number":
        return next((target for target in known.values() if target.scale), first)
    sure = {run: target for run, target in known.items() if probability_columns(target)[0] in tables[run].frame}
    if not sure:  # tables of nothing but answers: a class may be in one alone
        return Target(name, "class", tuple(sorted({c for target in known.values() for c in target.classes})))
    reference, target = next(iter(sure.items()))
    for run, other in known.items():
        odd = set(other.classes) ^ set(target.classes) if run in sure else set(other.classes) - set(target.classes)
        if odd:
            message = f"has other classes of {name} than {reference}: {', '.join(sorted(odd))} on one side only"
            raise AffectkitError("input", message, file=tables[run].path, remedy="prepare them with one label map")
    return target


def with_one_truth(tables: Mapping[str, Predictions], targets: Mapping[str, Target]) -> dict[str, Predictions]:
    """The tables, of the same rows in the same order, each with every truth that any of them knows.

    Raises "input" naming the id on which two of them differ.
    """
    completed = dict(tables)
    for target in targets.values():
        truths = {name: column(table, target, target.name) for name, table in tables.items()}
        truth = _truth(tables, truths, target)
        for name, known in truths.items():
            if (missing(known) & ~missing(truth)).any():
                cells = [_cell(value, target) for value in truth]
                completed[name] = replace(completed[name], frame=completed[name].frame.assign(**{target.name: cells}))
    return completed


def _truth(tables: Mapping[str, Predictions], truths: Mapping[str, np.ndarray], target: Target) -> np.ndarray:
    """[N] class indices or numbers, as `rows.column` has them."""
    first, *others = truths
    truth, source = truths[first].copy(), np.full(len(truths[first]), first, dtype=object)
    for name in others:
        stated = truths[name]
        near = DIGITS * np.maximum(1.0, np.abs(truth)) if target.kind == "number" else 0
        differ = ~missing(truth) & ~missing(stated) & (np.abs(truth - stated) > near)
        if differ.any():
            row = int(differ.argmax())
            key, ours, theirs = tables[name].frame["id"][row], _cell(truth[row], target), _cell(stated[row], target)
            what = f"says {target.name} {theirs} of id '{key}', and {source[row]} says {ours}"
            raise AffectkitError("input", what, file=tables[name].path, remedy="name runs of one manifest")
        new = missing(truth) & ~missing(stated)
        truth[new], source[new] = stated[new], name
    return truth


def _cell(value: Any, target: Target) -> Any:
    if target.kind == "number":
        return float(value)
    return target.classes[value] if value >= 0 else ""


# --- Runs by name, and the rows that all of them may be judged on


def run_names(paths: Sequence[Path]) -> dict[str, Path]:
    """What to call each run: its folder, or its file, with as many folders before it as tell all apart.

    Raises "usage" for a run that is named twice.
    """
    places = []
    for path in paths:
        place = path.resolve()
        places.append(place.parent if place.name == PREDICTIONS else place)
        if places[-1] in places[:-1]:
            raise AffectkitError("usage", "is named twice", file=path, remedy="name each run once")
    parts = 1
    while len({place.parts[-parts:] for place in places}) < len(places):
        parts += 1
    return {"/".join(place.parts[-parts:]): path for place, path in zip(places, paths, strict=True)}


def named_runs(words: Sequence[str]) -> dict[str, Path]:
    """`["runs/a", "tuned=runs/b"]` by name: that before `=`, else what tells the path from the others.

    Raises "usage" for a name that stands twice.
    """
    names: dict[Path, str] = {}
    paths = []
    for text in words:
        path = Path(text)
        if "=" in text and not path.exists():
            [(name, path)] = named_paths([text]).items()
            names[path] = name
        paths.append(path)
    runs: dict[str, Path] = {}
    for plain, path in run_names(paths).items():
        name = names.get(path, plain)
        if name in runs:
            remedy = "write NAME=RUN, each with a name of its own"
            raise AffectkitError("usage", f"the name '{name}' stands twice", remedy=remedy)
        runs[name] = path
    return runs


@dataclass(frozen=True)
class Judged:
    """What a metric reads of every run, on the same rows, all of them with a truth and an answer of every run.

    origins: by run, whether they are its `val`, `oof` or `test` rows. groups: [N] text of the column `group`; None
    where no run knows any. warnings: what was left out, and what is not known.
    """

    inputs: dict[str, MetricInputs]
    origins: dict[str, str]
    group: str | None
    groups: np.ndarray | None
    warnings: list[str]

    @property
    def count(self) -> int:
        """Of the rows."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Candidates:
    """tables: by run, the same rows in the same order, with one label map and one truth. The rest as in `Judged`."""

    tables: dict[str, Predictions]
    origins: dict[str, str]
    group: str | None
    groups: np.ndarray | None
    warnings: list[str]

    def judged(self, metric: TargetMetric) -> Judged:
        """Raises "input" where no row is left."""
        inputs = {name: metric_inputs(table, metric) for name, table in self.tables.items()}
        known = {name: each.known for name, each in inputs.items()}
        keep = np.all(list(known.values()), axis=0)
        if not keep.any():
            counts = _named({name: int(rows.sum()) for name, rows in known.items()})
            what = f"no row has a truth and an answer of every run for {metric.name}: {counts} of {len(keep)}"
            remedy = "pass the --manifest that has the truth, or leave a run out"
            raise AffectkitError("input", what, remedy=remedy)
        what = f"{(~keep).sum()} of {len(keep)} rows are left out of {metric.name}: no truth, or no answer of some run"
        warnings = [*self.warnings, *([] if keep.all() else [what])]
        groups = None if self.groups is None else self.groups[keep]
        kept = {name: each.take(keep) for name, each in inputs.items()}
        return Judged(kept, self.origins, self.group, groups, warnings)


def same_rows(
    runs: Mapping[str, Source], split: str, targets: Mapping[str, Target], group: str | None = None
) -> Candidates:
    """The rows of a split that every run predicted without having been fitted on them.

    split: "val", for a run without val rows its cross-fitted ones; "oof", cross-fitted rows; "test". Rows of split test
    are never among the first two. Raises "leak" or "input" naming the run that has none, or none in common with the
    others, or disagrees about a truth.
    """
    import pandas as pd

    chosen = {name: _rows_of_split(run, split) for name, run in runs.items()}
    frames = {name: _rows(run.table().frame, chosen[name][1]) for name, run in runs.items()}
    ids = _common(frames, runs)
    tables = {}
    for name, frame in frames.items():
        if list(frame["id"]) != ids:
            frame = _rows(frame, pd.Index(frame["id"]).get_indexer(ids))
        tables[name] = replace(runs[name].table(), frame=frame, targets=dict(targets))
    origins = {name: origin for name, (origin, _) in chosen.items()}
    return Candidates(
        with_one_truth(tables, targets), origins, *_groups(tables, group), _left_out(runs, split, ids, frames)
    )


def _rows(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """The rows at positions [M] or [N] bool; the frame itself where that is all of them."""
    if rows.dtype == bool and rows.all():
        return frame
    return frame[rows].reset_index(drop=True) if rows.dtype == bool else frame.iloc[rows].reset_index(drop=True)


def _rows_of_split(run: Source, split: str) -> tuple[str, np.ndarray]:
    """What a run's rows of a split are, and [N] bool which ones."""
    frame = run.table().frame
    seen = frame["seen"].to_numpy()
    splits = frame["split"].to_numpy() if "split" in frame else np.full(len(frame), "")
    oof = {"oof": (seen == "oof") & (splits != "test")}
    of_split = {split: (splits == split) & (seen != "fit")}
    masks = {"val": of_split | oof, "oof": oof, "test": of_split}[split]
    origin = next((origin for origin, rows in masks.items() if rows.any()), None)
    if origin is None:
        raise _nothing(run, split, splits, seen)
    claimed = masks[origin] & (seen == "heldout")
    if claimed.any():
        claimed &= frame["id"].isin(set(run.fitted["id"][run.fitted["role"] == "fit"])).to_numpy()
    if claimed.any():
        row = int(claimed.argmax())
        what = f"id '{frame['id'].iloc[row]}' is called held out, but fit_rows.csv has it among the rows fitted on"
        raise AffectkitError("leak", what, file=run.path, row=row + 1, remedy="make the run again")
    return origin, masks[origin]


def _nothing(run: Source, split: str, splits: np.ndarray, seen: np.ndarray) -> AffectkitError:
    if run.table().foreign and not (splits != "").any():
        what = "nothing says of which split these rows are, nor how they were predicted"
        remedy = "if the model never saw them, and they are no test rows, pass --treat-as val"
        return AffectkitError("input", what, file=run.path, remedy=remedy)
    wanted = {"val": "val or cross-fitted", "oof": "cross-fitted", "test": "test"}[split]
    remedy = "leave this run out" if split == "test" else "train with --cv, or leave this run out"
    what = f"has no {wanted} rows to be judged on: it has {kinds_of(splits, seen)}"
    return AffectkitError("leak" if (seen == "fit").any() else "input", what, file=run.path, remedy=remedy)


def _common(frames: Mapping[str, pd.DataFrame], runs: Mapping[str, Source]) -> list[str]:
    """The ids that all runs have, in the order of the first."""
    first, *others = frames
    common = set(frames[first]["id"])
    for name in others:
        ids = set(frames[name]["id"])
        if not common & ids:
            apart = next((n for n in frames if not ids.intersection(frames[n]["id"])), "all the runs before it")
            what = f"shares no row with {apart}"
            raise AffectkitError("input", what, file=runs[name].path, remedy="name runs of one manifest")
        common &= ids
    return [key for key in frames[first]["id"] if key in common]


def _left_out(
    runs: Mapping[str, Source], split: str, ids: Sequence[str], frames: Mapping[str, pd.DataFrame]
) -> list[str]:
    """Which rows are not among the common `ids`, and of which runs nothing is known."""
    fitted, warnings = {}, []
    for name, run in runs.items():
        frame = run.table().frame
        rows = frame["seen"] == "fit"
        if "split" in frame and split == "test":
            rows &= frame["split"] == split
        if rows.any():
            fitted[name] = int(rows.sum())
    if fitted:
        warnings.append(f"in-sample rows (seen=fit) are never judged and are left out: {_named(fitted)}")
    more = {name: len(frame) for name, frame in frames.items() if len(frame) > len(ids)}
    if more:
        warnings.append(f"only the {len(ids)} rows that all runs predicted are compared: {_named(more)}")
    foreign = [name for name, run in runs.items() if run.table().foreign]
    if foreign:
        others = "" if len(foreign) <= NAMED else f" and {len(foreign) - NAMED} more"
        what = "nothing says how these predictions were made (no column 'seen'), they are taken as held out"
        warnings.append(f"{what}: {', '.join(foreign[:NAMED])}{others}")
    return warnings


def _named(counts: Mapping[str, int]) -> str:
    """`a has 12, b has 30`: the first few of what is said of runs."""
    listed = ", ".join(f"{name} has {count}" for name, count in list(counts.items())[:NAMED])
    return listed + (f", and {len(counts) - NAMED} more runs" if len(counts) > NAMED else "")


def _groups(tables: Mapping[str, Predictions], group: str | None) -> tuple[str | None, np.ndarray | None]:
    """The column of groups, of the first run that has it, and its cells."""
    for table in tables.values():
        name = default_group(table.frame) if group is None else group
        if name in table.frame:
            return name, table.groups(name)
    if group is None:
        return None, None
    first = next(iter(tables.values()))
    remedy = f"pass the --manifest that has it; {did_you_mean(group, list(first.frame.columns))}"
    raise AffectkitError("input", f"has no column '{group}' to group by", file=first.path, remedy=remedy)
