"""What smoothing did: jitter, lag and error before and after it, over all judged rows and in each sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.timeline import Timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.before_after import SIDES, BeforeAfter, Columns, before_after, errors, errors_by_sequence
from affectkit.evaluation.intervals import DEFAULT, Resampling, as_units
from affectkit.evaluation.parts import caveats
from affectkit.evaluation.rows import judged, ratio
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd


# --- How steady predictions over time are, and how far they trail behind the truth
#
# Values are those of sequences laid end to end: [N] numbers or [N, K] class probabilities (of a truth: one-hot), in the
# order of time, NaN where there is none. starts: [S] where each sequence begins; by default there is one.


MAX_LAG = 30  # frames: a second of video
FEWEST = 10  # pairs of frames; a correlation of fewer says little
TIED = 1e-9  # correlations this close are equal: of a periodic truth every period fits


def jitter(values: Any, starts: Any = (0,)) -> float:
    """Mean |x_t - x_(t-1)| over neighbouring frames of a sequence, in the values' units; NaN where there are none.

    Of class probabilities the distance is half the sum over classes (total variation), so that it lies in [0, 1].

    >>> jitter([1, 2, 4])
    1.5
    """
    total, count = (part.sum() for part in steps(values, starts))
    return float(total / count) if count else float("nan")


def steps(values: Any, starts: Any = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """Of each sequence, the sum of |x_t - x_(t-1)| and how many there are, both [S]; pairs with a NaN are left out."""
    table, starts = _columns(values), np.asarray(starts)
    codes = _codes(starts, len(table))
    change = np.abs(np.diff(table, axis=0)).sum(axis=1) / (2 if table.shape[1] > 1 else 1)
    known = (codes[1:] == codes[:-1]) & ~np.isnan(change)
    inside = codes[1:][known]
    return np.bincount(inside, change[known], len(starts)), np.bincount(inside, minlength=len(starts))


class Lag(NamedTuple):
    """Frames by which predictions trail the truth, negative where they lead; NaN where undefined.

    pooled: over all sequences. each: [S].
    """

    pooled: float
    each: np.ndarray


def lag(truth: Any, prediction: Any, starts: Any = (0,), *, most: int = MAX_LAG) -> Lag:
    """The shift L in [-most, most] at which prediction_t goes best with truth_(t-L): the largest cross-correlation.

        r(L) = sum_s cov_s(L) / sqrt(sum_s var_s(L) sum_s var'_s(L))

    Covariances and variances are those within a sequence s, over the pairs of frames that this shift makes, summed
    over classes: neither an offset nor a scale of the predictions matters. Shifts that leave fewer than half of the
    pairs, or fewer than ten, are not tried; of equal correlations the smallest shift counts. NaN where truth or
    prediction does not vary within a sequence, such as one label throughout.

    >>> lag([0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0]).pooled
    2.0
    """
    a, b, starts = _columns(prediction), _columns(truth), np.asarray(starts)
    lengths = np.diff(starts, append=len(a))
    codes = _codes(starts, len(a))
    a, b = _centred(a, codes, len(starts)), _centred(b, codes, len(starts))
    differ = (np.nan_to_num(side).any(axis=1) for side in (a, b))  # anything of a sequence from its mean
    varied = np.all([np.bincount(codes, frames, len(starts)) > 0 for frames in differ], axis=0)
    if not varied.any():
        return Lag(float("nan"), np.full(len(starts), np.nan))
    reach = int(min(most, lengths[varied].max() // 2))
    shifts = np.array(sorted(range(-reach, reach + 1), key=lambda shift: (abs(shift), -shift)))
    inside = varied[codes]
    table = _pair_sums(a[inside], b[inside], lengths[varied], shifts, reach)
    each = np.full(len(starts), np.nan)
    each[varied] = _best(table, shifts)
    return Lag(float(_best(table.sum(axis=1, keepdims=True), shifts)[0]), each)


def _pair_sums(a: np.ndarray, b: np.ndarray, lengths: np.ndarray, shifts: np.ndarray, reach: int) -> np.ndarray:
    """[shifts, S, 4]: pairs, covariance, variance of `a` and of `b` (sums of squares, not means) at each shift.

    Sequences are laid out with `reach` empty places between them, so that a shift is a slice and none meets another:
    values x and y and their squares, and 1 where there is a value (kx, ky), each 0 elsewhere.
    """
    places = np.arange(len(a)) + reach * (1 + np.repeat(np.arange(len(lengths)), lengths))
    starts = np.cumsum(lengths) - lengths + reach * np.arange(len(lengths))
    size = len(a) + reach * (len(lengths) + 1)
    table = np.zeros((len(shifts), len(lengths), 4))
    for values, others in zip(a.T, b.T, strict=True):
        laid = np.full((2, size), np.nan)
        laid[:, places] = values, others
        kx, ky = (~np.isnan(laid)).astype(float)
        x, y = np.where(np.isnan(laid), 0.0, laid)
        xx, yy = x * x, y * y
        middle = slice(reach, size - reach)
        for place, shift in enumerate(shifts):
            moved = slice(reach - shift, size - reach - shift)
            products = ((kx, ky), (x, ky), (kx, y), (xx, ky), (kx, yy), (x, y))
            n, sx, sy, sxx, syy, sxy = (np.add.reduceat(p[middle] * q[moved], starts) for p, q in products)
            some = np.maximum(n, 1)
            table[place] += np.stack([n, sxy - sx * sy / some, sxx - sx * sx / some, syy - sy * sy / some], axis=-1)
    table[:, :, 0] /= a.shape[1]
    return table


def _best(table: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """[S] the shift of the largest correlation; `shifts` come in the order in which ties are settled."""
    count, together, first, second = np.moveaxis(table, -1, 0)
    enough = (count >= FEWEST) & (count >= count.max(axis=0) / 2) & (np.minimum(first, second) > 0)
    correlation = np.full(count.shape, -np.inf)
    scale = np.sqrt(np.maximum(first, 0)) * np.sqrt(np.maximum(second, 0))
    np.divide(together, scale, out=correlation, where=enough)
    top = correlation.max(axis=0)
    best = shifts[(correlation >= top - TIED).argmax(axis=0)].astype(float)
    return np.where(np.isfinite(top), best, np.nan)


def _centred(table: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Less the mean of its sequence: sums of squares far from 0 would lose their digits."""
    known = ~np.isnan(table)
    filled = np.where(known, table, 0.0)
    centred = np.empty_like(table)
    for place in range(table.shape[1]):
        sizes = np.maximum(np.bincount(codes, known[:, place], count), 1)
        centred[:, place] = table[:, place] - (np.bincount(codes, filled[:, place], count) / sizes)[codes]
    scale = np.abs(filled).max(initial=0.0)
    centred[np.abs(centred) <= 1e-12 * scale] = 0.0  # a constant is exactly constant
    return centred


def _columns(values: Any) -> np.ndarray:
    table = np.asarray(values, float)
    return table.reshape(len(table), -1)


def _codes(starts: np.ndarray, rows: int) -> np.ndarray:
    return np.repeat(np.arange(len(starts)), np.diff(starts, append=rows))


# --- What smoothing did to the judged rows of each target

MOSTLY = 0.5  # a gate that shuts out more frames than this has a threshold in other units than the target's


def stability(
    before: Predictions,
    after: Predictions,
    targets: Sequence[Target],
    gated: Mapping[str, str],
    *,
    sequence: Sequence[str],
    time: str,
    split: str | None = None,
    group: str | None = None,
    most: int = MAX_LAG,
    resampling: Resampling = DEFAULT,
) -> tuple[dict[str, Any], pd.DataFrame | None, BeforeAfter | None]:
    """What `stability.json` says of the judged rows, a table with a row for each target and sequence, and the rows.

    Rows may be smoothed that nobody may judge: unless a `split` is asked for, the reason is then a warning.
    Raises as `before_after` does.
    """
    try:
        judged(before, split)
    except AffectkitError as problem:
        if split is not None:
            raise
        nothing: dict[str, Any] = {"split": None, "seen": [], "n": 0, "groups": None, "targets": {}, "pooled": {}}
        return nothing | {"warnings": [f"no row is judged: {problem}"]}, None, None
    rows = before_after(before, after, gated, sequence=sequence, time=time, split=split, group=group)
    return *_describe(rows, targets, most, resampling), rows


def _describe(
    rows: BeforeAfter, targets: Sequence[Target], most: int, resampling: Resampling
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The figures of judged rows and the table of their sequences."""
    import pandas as pd

    units = as_units(rows.groups, len(rows.groups), seed=resampling.seed)
    by_target, tables = {}, []
    for target in targets:
        by_target[target.name], table = _of_target(rows, target, most)
        by_target[target.name]["metrics"] = errors([rows.columns[target.name]], units, resampling)
        tables.append(table)
    numbers = [rows.columns[target.name] for target in targets if target.kind == "number"]
    pooled = _pooled(rows, by_target, numbers)
    if len(numbers) > 1:
        pooled["metrics"] = errors(numbers, units, resampling)
    report = {
        "split": rows.part,
        "seen": sorted(set(rows.before.frame["seen"])),
        "n": len(rows.groups),
        "groups": {"column": rows.group, "count": units.groups},
        "interval": {"method": resampling.method_for(units.count), "level": resampling.level},
        "targets": by_target,
        "pooled": pooled,
        "warnings": _warnings(rows, by_target, targets, most),
    }
    return report, pd.concat(tables, ignore_index=True)


def _of_target(rows: BeforeAfter, target: Target, most: int) -> tuple[dict[str, Any], pd.DataFrame]:
    import pandas as pd

    line, columns = rows.line, rows.columns[target.name]
    answers = (table.output(target.name).values for table in (rows.before, rows.after))
    old, new = (
        _columns(values)[line.order] for values in answers
    )  # [N, K] numbers or probabilities, NaN where declined
    declined = np.isnan(old).any(axis=1)
    filled = declined & ~np.isnan(new).any(axis=1)
    new[declined] = np.nan  # both sides are compared on the frames that the model answered
    held = columns.held[line.order]
    gated = np.add.reduceat(held.astype(int), line.starts)
    by: dict[str, Any] = {"target": target.name, "sequence": line.names, "rows": line.lengths, "gated": gated}
    facts: dict[str, Any] = {"kind": target.kind, "rows": len(held), "sequences": len(line.starts)}
    facts |= {"gated": float(held.mean()), "declined": int(declined.sum()), "filled": int(filled.sum())}
    facts["jitter"] = _jitter("jitter", (old, new), line, by)
    truth = columns.truth[line.order, None]
    if target.kind != "number":
        chosen = [_one_hot(codes[line.order], target) for codes in (columns.before, columns.after)]
        facts["switches"] = _jitter("switches", chosen, line, by)
        truth = _one_hot(truth[:, 0], target)
    facts["lag"] = _lag(truth, (old, new), line, most, by)
    return facts, pd.DataFrame(by | errors_by_sequence(columns, line))


def _one_hot(codes: np.ndarray, target: Target) -> np.ndarray:
    """[N, K]; NaN where the class is missing (-1)."""
    return np.vstack([np.eye(len(target.classes)), np.full(len(target.classes), np.nan)])[codes]


def _jitter(name: str, both: Sequence[np.ndarray], line: Timeline, by: dict[str, Any]) -> dict[str, float]:
    jitters = {}
    for side, values in zip(SIDES, both, strict=True):
        total, count = steps(values, line.starts)
        by[f"{name}_{side}"] = ratio(total, count)
        jitters[side] = float(total.sum() / count.sum()) if count.any() else np.nan
    return jitters


def _lag(
    truth: np.ndarray, both: Sequence[np.ndarray], line: Timeline, most: int, by: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """In frames, and in the unit of time by the median step."""
    frames = {}
    for side, values in zip(SIDES, both, strict=True):
        lags = lag(truth, values, line.starts, most=most)
        by[f"lag_{side}"] = lags.each
        frames[side] = lags.pooled
    return {"frames": frames, "time": {side: value * line.step for side, value in frames.items()}}


def _pooled(
    rows: BeforeAfter, by_target: Mapping[str, Mapping[str, Any]], numbers: Sequence[Columns]
) -> dict[str, Any]:
    """Over all targets: the share of rows held for any of them; of several numbers, means over them."""
    held = np.any([columns.held for columns in rows.columns.values()], axis=0)
    pooled: dict[str, Any] = {"rows": len(held), "sequences": len(rows.line.starts), "gated": float(held.mean())}
    if len(numbers) > 1:
        several = [by_target[columns.target.name] for columns in numbers]
        lags = [facts["lag"] for facts in several]
        pooled["jitter"] = {side: float(np.mean([facts["jitter"][side] for facts in several])) for side in SIDES}
        pooled["lag"] = {unit: {s: float(np.mean([f[unit][s] for f in lags])) for s in SIDES} for unit in lags[0]}
    return pooled


def _warnings(
    rows: BeforeAfter, by_target: Mapping[str, Mapping[str, Any]], targets: Sequence[Target], most: int
) -> list[str]:
    with_truth = [target for target in targets if by_target[target.name]["metrics"]]
    warnings = caveats(rows.before, with_truth, rows.group, rows.groups, {})
    for name, facts in by_target.items():
        if not facts["metrics"]:
            warnings.append(f"{name}: no row has a truth, so that neither error nor lag is known")
        if facts["gated"] > MOSTLY:
            warnings.append(f"{name}: {facts['gated']:.0%} of the frames are held; is the threshold in its units?")
        ends = [side for side in SIDES if abs(facts["lag"]["frames"][side]) == most]
        if ends:
            warnings.append(f"{name}: the lag {' and '.join(ends)} smoothing is as large as any that was tried")
    return warnings
