"""Smoothing predictions over time: an exponential moving average that holds still where the model is unsure.

    x_t = alpha new_t + (1 - alpha) x_{t-1}

It is causal (no frame looks ahead) and fits nothing. A frame is gated where the model is unsure of it: its predicted
standard deviation, sqrt(t_var) in the target's units, exceeds the threshold, or no class reaches the least confidence.
A gated frame holds the last value and does not move the average; so does a frame that the model declined. Before the
first frame that counts there is nothing to hold: a gated frame keeps its own value, a declined one stays without any.

What was said of a single frame's answer (t_var, t_low, t_high, pred_set, mutual_information, abstain) is left out of
the result. The variance of an average depends on how the errors of neighbouring frames hang together: independent ones
would shrink it to alpha / (2 - alpha) of one frame's, equal ones not at all, and the lag adds an error that no variance
shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import write_json
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, target_columns, with_outputs
from affectkit.artifacts.reports import STABILITY, STABILITY_TABLE, TRACES
from affectkit.artifacts.tables import write_table
from affectkit.artifacts.timeline import Timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.before_after import traces
from affectkit.evaluation.stability import stability
from affectkit.labels import Target

ALPHA, THRESHOLD = 0.7, 0.4
GATED = "gated"
STALE = ("abstain",)  # decided on a single frame's answer


@dataclass(frozen=True)
class Smoothing:
    """How to smooth.

    alpha: weight of a new frame, (0, 1]. half_life: in place of alpha, in the unit of time: the weight of what came
    before halves in this time, alpha = 1 - 2^(-step / half_life), which fits irregular frames.
    uncertainty_threshold: the largest standard deviation of a number that counts. min_confidence: the least probability
    of the most probable class that counts. None gates nothing.
    """

    alpha: float = ALPHA
    half_life: float | None = None
    uncertainty_threshold: float | None = THRESHOLD
    min_confidence: float | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self) | ({} if self.half_life is None else {"alpha": None})


def smoothing_of(
    predictions: Predictions,
    targets: Sequence[Target],
    *,
    alpha: float | None = None,
    half_life: float | None = None,
    uncertainty_threshold: float | None = None,
    min_confidence: float | None = None,
) -> tuple[Smoothing, list[str]]:
    """What was asked for (None: not asked), made fit for a table, and what its user should know.

    Numbers are gated at .4 unless told otherwise, where the table has their variance.
    Raises "usage" for options that exclude each other, and for a gate that has nothing to look at.
    """
    if alpha is not None and half_life is not None:
        raise AffectkitError("usage", "--alpha and --half-life exclude each other", remedy="leave one of them out")
    numbers = [target.name for target in targets if target.kind == "number"]
    without = [name for name in numbers if predictions.output(name).var is None]
    if uncertainty_threshold is not None and without == numbers:
        lacking = ", ".join(f"{name}_var" for name in numbers)
        what = f"has no column {lacking}" if numbers else "predicts no numbers"
        remedy = "leave it out, or give the variance" if numbers else "classes have --min-confidence"
        raise AffectkitError("usage", f"--uncertainty-threshold: {what}", file=predictions.path, remedy=remedy)
    if min_confidence is not None and len(numbers) == len(targets):
        raise AffectkitError("usage", "--min-confidence is for classes, and there are none", file=predictions.path)
    notes = [f"no variance of {name} ({name}_var): none of its frames is gated as unsure" for name in without]
    stale = stale_columns(predictions, targets)
    if stale:
        why = "the variance of an average depends on how the errors of neighbouring frames hang together"
        notes.append(f"left out: {', '.join(stale)}, as they speak of single frames, and {why}")
    threshold = None if without == numbers else THRESHOLD if uncertainty_threshold is None else uncertainty_threshold
    return Smoothing(ALPHA if alpha is None else alpha, half_life, threshold, min_confidence), notes


def stabilize(predictions: Predictions, line: Timeline, targets: Sequence[Target], smoothing: Smoothing) -> Predictions:
    """The same rows, `targets` smoothed, with columns of text `true` or `false`: `gated` for any of them, and of
    several targets `<target>_gated` for each.

    line: of the same rows. Raises "input" for a class target without probabilities, "leak" for a sequence of which only
    some rows are in-sample: their answers, drawn towards the truth, would reach the others.
    """
    fitted = (predictions.frame["seen"] == "fit").to_numpy()[line.order]
    share = np.add.reduceat(fitted.astype(int), line.starts)
    mixed = (share > 0) & (share < line.lengths)
    if mixed.any():
        name, remedy = line.names[int(mixed.argmax())], "leave the in-sample rows out, or split by whole sequences"
        message = f"of sequence '{name}' some rows are in-sample (seen=fit) and some are not"
        raise AffectkitError("leak", message, file=predictions.path, remedy=remedy)
    outputs, gated = [], {}
    for target in targets:
        output = predictions.output(target.name)
        values, gated[target.name] = smooth(output.values, unsure(output, smoothing), line, smoothing)
        outputs.append(TargetPrediction.of(target, values))
    smoothed = with_outputs(predictions, outputs, predictions.frame["seen"])
    frame = smoothed.frame.drop(columns=[c for c in STALE if c in smoothed.frame])
    marks = {GATED: np.any(list(gated.values()), axis=0)}
    marks |= {gated_column(name, len(gated)): held for name, held in gated.items()}
    frame = frame.assign(**{name: np.where(held, "true", "false").astype(object) for name, held in marks.items()})
    return replace(smoothed, frame=frame, foreign=predictions.foreign)


def gated_column(target: str, targets: int) -> str:
    """The column that says which rows of a target were held, where `targets` targets were smoothed."""
    return GATED if targets == 1 else f"{target}_{GATED}"


def unsure(output: TargetPrediction, smoothing: Smoothing) -> np.ndarray:
    """[N] bool: rows that the gate shuts out. A row whose variance is unknown passes."""
    if output.target.kind != "number":
        least = smoothing.min_confidence
        return np.zeros(len(output), bool) if least is None else np.nan_to_num(output.values).max(axis=1) < least
    if output.var is None or smoothing.uncertainty_threshold is None:
        return np.zeros(len(output), bool)
    return np.sqrt(np.maximum(output.var, 0)) > smoothing.uncertainty_threshold


def smooth(
    values: np.ndarray, unsure: np.ndarray, line: Timeline, smoothing: Smoothing
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed values, and [N] bool which rows were held: unsure or declined ones. Both in the order of the table.

    values: [N] or [N, K], NaN where declined. unsure: [N] bool.
    """
    table = values.reshape(len(values), -1)[line.order]
    held = unsure[line.order] | np.isnan(table).any(axis=1)
    counting = np.flatnonzero(~held)
    weight = _weights(line, counting, smoothing)
    last = np.cumsum(~held) - 1  # of the frames that count, the one at or before each row
    reached = last >= 0
    reached[reached] = line.codes[counting[last[reached]]] == line.codes[reached]
    smoothed = table.copy()
    for column in smoothed.T:
        column[reached] = _average(column[counting], weight)[last[reached]]
    return line.to_table(smoothed).reshape(values.shape), line.to_table(held)


def _weights(line: Timeline, counting: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """The weight of each frame that counts: 1 for the first of its sequence. With a half-life, time runs on while
    frames are held: what is remembered has grown older by then."""
    first = np.diff(line.codes[counting], prepend=-1) != 0
    if smoothing.half_life is None:
        return np.where(first, 1.0, smoothing.alpha)
    steps = np.diff(line.times[counting], prepend=0.0)
    return np.where(first, 1.0, -np.expm1(-np.log(2) * np.where(first, 0.0, steps) / smoothing.half_life))


def _average(new: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The recurrence. On plain floats a million frames take 0.1 s, however long or short the sequences are."""
    averages, value = [], 0.0
    for added, kept in zip((weight * new).tolist(), (1 - weight).tolist(), strict=True):
        value = added + kept * value
        averages.append(value)
    return np.array(averages)


def stale_columns(predictions: Predictions, targets: Sequence[Target]) -> list[str]:
    """What the table says of single answers and the result does not."""
    single = ("_var", "_low", "_high", "pred_set", "mutual_information")
    columns = [c for t in targets for c in target_columns(t)[1:] if c.endswith(single)]
    return [column for column in [*columns, *STALE] if column in predictions.frame]


# --- What is left in the folder besides the predictions


def write_stability(
    folder: Path,
    sides: tuple[Predictions, Predictions],
    line: Timeline,
    targets: Sequence[Target],
    settings: Mapping[str, Any],
    how: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    lineage: Mapping[str, Any],
) -> None:
    """Judge what smoothing did: `stability.json`, `stability.csv`, and `traces.csv`, the longest sequence.

    sides: the table before and after, of `line`. settings: of the smoothing. how: the options of `stability`.
    lineage: of the `inputs` read.
    """
    before, after = sides
    gated = {target.name: gated_column(target.name, len(targets)) for target in targets}
    judged, table, rows = stability(before, after, targets, gated, **how)
    frames = {"sequence": how["sequence"], "time": how["time"], "max_lag": how["most"]}
    facts = {"rows": len(line.order), "sequences": len(line.starts), "foreign": before.foreign}
    report = {**facts, "settings": {**settings, **frames}, **judged, "notes": list(notes), **lineage}
    report["warnings"] = [*report["warnings"], *warnings]
    write_json(folder / STABILITY, report)
    if table is not None and rows is not None:
        write_table(folder / STABILITY_TABLE, table)
        write_table(folder / TRACES, traces(rows))
