"""Agreement with what people said of themselves: between subjects, within them, and by Bland and Altman.

A model may know who is stressed and not when, or when and not who; one figure over all rows mixes the two. So each
target is judged three times, by Pearson's and Spearman's correlation and by CCC:

- `all`: over all rows, as every report has it;
- `between`: of the subjects' means, each subject counting once;
- `within`: of the deviations from the subject's own means. Pearson's r of these is the repeated-measures correlation
  (Bland and Altman 1995; Bakdash and Marusich 2017), their CCC 2 s_tp / (s_tt + s_pp): what a person's offset costs is
  left to the other two. Spearman's is the mean over subjects of their own rank correlation.

Subjects are what intervals resample; everything but Spearman's is a formula of sums over subjects. Nominal 95 % held
the truth in simulations (tests/evaluation/test_agreement.py) with 4, 10 and 40 subjects, who differ in level, offset,
noise and slope: .95, .94 and .95 of the CCC within subjects and of the repeated-measures correlation, .97, .95 and .95
of the limits of agreement, .95, .93 and .94 of their standard deviation, .95, .94 and .94 of the difference to the
subject's own mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation import rows
from affectkit.evaluation.intervals import (
    ANY,
    CORRELATION,
    Estimate,
    Interval,
    Resampling,
    Units,
    as_units,
    from_left_out,
    intervals,
    resample,
)
from affectkit.evaluation.limits import limits_of_agreement
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.number_metrics import left_out_spearman
from affectkit.evaluation.rows import COUNT, moments, pair, ratio
from affectkit.labels import Target
from affectkit.splits import distinct

if TYPE_CHECKING:
    import pandas as pd

SUBJECTS = ("subject", "speaker")  # columns that name a person
SESSIONS = ("session", "sequence")  # columns that name a recording session
LEVELS = ("all", "between", "within")
FIGURES = ("pearson", "spearman", "ccc")
LEAST = 3  # subjects of which a figure between them says anything, rows of which a subject's own rank correlation does
FEW = 5
ERRORS = ("mae", "rmse", "ccc")  # by which a model is held against the subject's own mean
ROUNDING = 1e-12  # of the largest value: what is left of a difference of equals


def subject_column(column: str | None, asked: str | None) -> str:
    """The column of subjects: what was asked for, else that of the groups if it names persons. Raises "usage"."""
    if column is not None and (asked or column in SUBJECTS):
        return column
    what = "--agreement needs to know which rows are of one person"
    remedy = f"name the column with --group, or pass a --manifest with a column {' or '.join(SUBJECTS)}"
    raise AffectkitError("usage", what, remedy=remedy)


def agreeing(targets: Sequence[Target]) -> list[Target]:
    """The targets whose agreement can be judged: numbers, and ordered classes. Raises "usage" where there is none."""
    chosen = [target for target in targets if target.kind != "class"]
    if not chosen:
        names = ", ".join(target.name for target in targets)
        what = f"--agreement is of numbers and ordered classes, and {names} is neither"
        raise AffectkitError("usage", what, remedy="leave it out")
    return chosen


def agreement(
    predictions: Predictions,
    targets: Sequence[Target],
    column: str,
    resampling: Resampling,
    train: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """What `metrics.json` says of agreement, and what its reader must know, in sentences.

    column: of the subjects; rows without one are left out. train: rows whose mean is a floor.
    """
    subjects = predictions.groups(column)
    assert subjects is not None
    judged, sentences, everyone = {}, [], len(set(subjects) - {""})
    if nobody := int((subjects == "").sum()):
        sentences.append(f"agreement: {nobody} rows have no {column} and are left out")
    for target in agreeing(targets):
        pairs = _pairs(predictions, target, subjects, resampling)
        mean = _mean_of(train, target)
        judged[target.name] = _of_target(target, pairs, mean)
        caveats = [*_caveats(pairs, column, everyone), *(_repeats(predictions, target) if pairs.varies else ())]
        sentences += [f"agreement of {target.name}: {text}" for text in caveats]
    return {"column": column, "targets": judged}, sentences


def flat(agreement: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """`stress.within.pearson` -> its figure: what `--require` may name."""
    return {
        f"{target}.{level}.{name}": row[level][name]
        for target, row in agreement["targets"].items()
        for level in LEVELS
        for name in FIGURES
    }


def _of_target(target: Target, pairs: _Pairs, train_mean: float | None) -> dict[str, Any]:
    levels = {"all": pairs.all(), "between": pairs.between(), "within": pairs.within()}
    return {
        "levels": list(target.classes) or None,
        "n": len(pairs.truth),
        "subjects": pairs.subjects,
        "repeated": {"subjects": int(pairs.repeated.sum()), "rows": int(pairs.again.sum())},
        **{level: {name: figure.plain() for name, figure in row.items()} for level, row in levels.items()},
        # Of ordered classes the distance of two levels is no number of anything that limits could be stated in.
        "bland_altman": pairs.bland_altman() if target.kind == "number" else None,
        "floors": pairs.floors(train_mean),
    }


def _mean_of(train: pd.DataFrame | None, target: Target) -> float | None:
    """Of the known truths of train rows, of ordered classes their places."""
    if train is None or target.name not in train:
        return None
    known = rows.column(Predictions(train, {}), target, target.name).astype(float)
    known = known[~np.isnan(known)] if target.kind == "number" else known[known >= 0]
    return float(known.mean()) if len(known) else None


# --- The rows that have a truth, an answer and a subject


@dataclass(frozen=True)
class _Pairs:
    """truth, prediction: [N] float64, of ordered classes the places 0, 1, ... codes: [N] the subject of each row.

    units: of subjects [S], what each is resampled with.
    """

    truth: np.ndarray
    prediction: np.ndarray
    codes: np.ndarray
    units: Units
    resampling: Resampling

    @property
    def subjects(self) -> int:
        return len(self.units.codes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """[S] rows of each subject."""
        return np.bincount(self.codes, minlength=self.subjects)

    @property
    def repeated(self) -> np.ndarray:
        """[S] bool: who has two rows or more."""
        return self.sizes > 1

    @cached_property
    def again(self) -> np.ndarray:
        """[N] bool: the rows of those."""
        return self.repeated[self.codes]

    @cached_property
    def varies(self) -> bool:
        """Whether the truth differs between any two rows of a subject."""
        return bool((self.deviations(self.truth) != 0).any())

    def means(self, values: np.ndarray) -> np.ndarray:
        """[S] of the subjects."""
        means = np.bincount(self.codes, weights=values, minlength=self.subjects) / self.sizes
        middle = np.median(means) if len(means) else 0.0
        return middle + _settled(means - middle, values)

    def deviations(self, values: np.ndarray) -> np.ndarray:
        """[N] from the subject's own mean; of a constant exactly 0."""
        return _settled(values - self.means(values)[self.codes], values)

    def sums(self, truth: np.ndarray, prediction: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """[U, 10] moments of the rows at `chosen`, [N] bool, of the units that have any."""
        units = self.units.codes[self.codes[chosen]]
        table = moments(truth[chosen], prediction[chosen], units, self.units.count)
        return table[table[:, COUNT] > 0]

    # -- Three levels

    def all(self) -> dict[str, Interval]:
        everyone = np.full(len(self.truth), True)
        row = self._additive(self.sums(self.truth, self.prediction, everyone))
        ranked = self._ranked(self.truth, self.prediction, self.units.codes[self.codes])
        return {name: {**row, "spearman": ranked}[name] for name in FIGURES}

    def between(self) -> dict[str, Interval]:
        """Of the subjects' means; undefined of fewer than three subjects."""
        if self.subjects < LEAST:
            return dict.fromkeys(FIGURES, Interval(np.nan))
        truth, prediction = self.means(self.truth), self.means(self.prediction)
        row = self._additive(moments(truth, prediction, self.units.codes, self.units.count))
        return {name: {**row, "spearman": self._ranked(truth, prediction, self.units.codes)}[name] for name in FIGURES}

    def within(self) -> dict[str, Interval]:
        """Of the deviations from the subject's own means; undefined where no subject's truth varies."""
        if not self.varies:
            return dict.fromkeys(FIGURES, Interval(np.nan))
        row = self._additive(self.sums(self.deviations(self.truth), self.deviations(self.prediction), self.again))
        return {name: {**row, "spearman": self._own_ranks()}[name] for name in FIGURES}

    def _additive(self, sums: np.ndarray) -> dict[str, Interval]:
        estimates = {name: METRICS[name].estimate for name in ("pearson", "ccc")}
        return intervals(estimates, sums, self.resampling)

    def _ranked(self, truth: np.ndarray, prediction: np.ndarray, units: np.ndarray) -> Interval:
        """Always the jackknife: leaving a unit out moves the ranks of all others, which sums do not tell."""
        value, left_out = left_out_spearman(truth, prediction, units, self.units.count)
        return from_left_out(value, left_out, CORRELATION, self.resampling).interval()

    def _own_ranks(self) -> Interval:
        """The mean over subjects of their own Spearman correlation, of those with three rows or more of which neither
        truth nor prediction is constant."""
        ranks = [_ranks_within(values, self.codes) for values in (self.truth, self.prediction)]
        a, b = (self.deviations(values) for values in ranks)
        squares = [np.bincount(self.codes, weights=x * y, minlength=self.subjects) for x, y in ((a, a), (b, b), (a, b))]
        own = ratio(squares[2], np.sqrt(squares[0] * squares[1]))
        defined = (self.sizes >= LEAST) & ~np.isnan(own)
        units = self.units.codes[defined]
        columns = (np.ones(int(defined.sum())), own[defined])
        sums = np.stack([np.bincount(units, weights=c, minlength=self.units.count) for c in columns], axis=1)
        mean = Estimate(lambda s: ratio(s[..., 1], s[..., 0]), CORRELATION)
        return intervals({"": mean}, sums[sums[:, 0] > 0], self.resampling)[""]

    # -- Bland and Altman, and floors

    def bland_altman(self) -> dict[str, Any]:
        """Bias, limits and their intervals; the slope of the difference on the mean of both."""
        limits = limits_of_agreement(self.prediction - self.truth, self.codes, self.units, self.resampling)
        everyone = np.full(len(self.truth), True)
        slope = Estimate(_slope, ANY)
        sums = self.sums(self.truth, self.prediction, everyone)
        return {**limits, "slope": intervals({"": slope}, sums, self.resampling)[""].plain()}

    def floors(self, train_mean: float | None) -> dict[str, Any] | None:
        """The model against the mean of the same subject's other self-reports, a row never among them, on the rows of
        subjects who have others; None where there are none, or where their self-reports do not vary.

        It looks at self-reports, so it is no model but a bar: what knowing the person gives without looking at
        anything. A negative `difference` in MAE or RMSE says that the model is better.
        """
        if not self.varies:
            return None
        others = self.sizes[self.codes] - 1
        total = np.bincount(self.codes, weights=self.truth, minlength=self.subjects)[self.codes]
        own = np.divide(total - self.truth, others, out=np.full(len(others), np.nan), where=others > 0)
        answers = {"model": self.prediction, "own_mean": own}
        if train_mean is not None:
            answers["train_mean"] = np.full(len(own), train_mean)
        estimates = {name: METRICS[name].estimate for name in ERRORS}
        figures = {
            name: resample(estimates, self.sums(self.truth, answer, self.again), self.resampling)
            for name, answer in answers.items()
        }
        differences = {name: figures["model"][name].minus(figures["own_mean"][name]) for name in ERRORS}
        return {
            "n": int(self.again.sum()),
            "subjects": int(self.repeated.sum()),
            **{name: {key: figure.interval().plain() for key, figure in row.items()} for name, row in figures.items()},
            "difference": {name: {**gap.plain(), "p": gap.p} for name, gap in differences.items()},
        }


def _pairs(predictions: Predictions, target: Target, subjects: np.ndarray, resampling: Resampling) -> _Pairs:
    truth, prediction = pair(predictions, target)
    known = ~(rows.missing(truth) | rows.missing(prediction)) & (subjects != "")
    names, codes = distinct(subjects[known])
    units = as_units(np.asarray(names, dtype=object), len(names), seed=resampling.seed)
    return _Pairs(truth[known].astype(float), prediction[known].astype(float), codes, units, resampling)


def _settled(differences: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Differences with 0 in place of what rounding leaves of it."""
    least = ROUNDING * np.abs(values).max(initial=0.0)
    return np.where(np.abs(differences) <= least, 0.0, differences)


def _ranks_within(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """[N] the rank of each value among those of its subject, ties sharing their mean; of a subject only differences
    mean anything."""
    order = np.lexsort((values, codes))
    x, who = values[order], codes[order]
    starts = np.flatnonzero(np.append(True, (x[1:] != x[:-1]) | (who[1:] != who[:-1]))) if len(x) else np.empty(0, int)
    sizes = np.diff(np.append(starts, len(x)))
    ranks = np.empty(len(x))
    ranks[order] = np.repeat(starts + (sizes - 1) / 2, sizes)
    return ranks - ranks.min(initial=0) if len(ranks) else ranks


def _slope(sums: np.ndarray) -> np.ndarray:
    """Of prediction - truth on the mean of both, by least squares over rows (Bland and Altman 1999): the covariance is
    (var_p - var_t) / 2, the variance (var_p + var_t + 2 cov) / 4."""
    mean_a, mean_b = (ratio(sums[..., side], sums[..., COUNT]) for side in (rows.A, rows.B))
    truth = ratio(sums[..., rows.AA], sums[..., COUNT]) - mean_a**2
    prediction = ratio(sums[..., rows.BB], sums[..., COUNT]) - mean_b**2
    both = ratio(sums[..., rows.AB], sums[..., COUNT]) - mean_a * mean_b
    return ratio(2 * (prediction - truth), prediction + truth + 2 * both)


def _caveats(pairs: _Pairs, column: str, everyone: int) -> Iterator[str]:
    """What has no value, and what rests on few subjects though there are more. everyone: how many the table has."""
    repeated, alone = int(pairs.repeated.sum()), int((~pairs.repeated).sum())
    if pairs.subjects < LEAST:
        yield f"{people(pairs.subjects, column)}: between subjects nothing can be said of fewer than {LEAST}"
    elif pairs.subjects < FEW and pairs.subjects < everyone:
        yield f"between subjects it rests on {people(pairs.subjects, column)} only"
    if not repeated:
        yield f"no {column} has two rows: nothing can be said within subjects"
        return
    if not pairs.varies:
        yield f"each {column} has one score in all of its rows: nothing can be said within subjects"
        return
    if repeated < FEW and repeated < everyone:
        yield f"within subjects it rests on {people(repeated, column)} only"
    if alone:
        have = "has" if alone == 1 else "have"
        yield f"{alone} of {people(pairs.subjects, column)} {have} one row, which says nothing within subjects"


def _repeats(predictions: Predictions, target: Target) -> Iterator[str]:
    """Where all rows of a session repeat its one answer, as windows do of a score of the session."""
    truth = pair(predictions, target)[0]
    known = ~rows.missing(truth)
    for column in SESSIONS:
        names = predictions.groups(column)
        if names is None:
            continue
        sessions, codes = distinct(names[known])
        sizes, first = np.bincount(codes), np.zeros(len(sessions))
        first[codes] = truth[known]
        if len(sessions) < sizes.sum() and np.allclose(truth[known], first[codes], rtol=1e-9, atol=0):
            yield (
                f"all rows of a {column} repeat one answer, which the subject's own mean therefore nearly knows: judge "
                f"whole {column}s, as aggregate --to {column} makes them"
            )
            return


def people(count: int, column: str) -> str:
    """So many subjects, with the column that names them where it is called otherwise.

    >>> people(1, "subject"), people(4, "subject"), people(4, "speaker")
    ('1 subject', '4 subjects', '4 subjects (speaker)')
    """
    return f"{count} subject{'s' * (count != 1)}" + (f" ({column})" if column != "subject" else "")
