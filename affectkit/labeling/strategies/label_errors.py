"""Labels that look wrong, to be given again, by answers of fits that never saw the row: confident learning, residuals

Of classes, a class's threshold is the mean probability that it has in rows labelled so; a label is suspected where
another class reaches its threshold and is the most probable of those that do (Northcutt et al. 2021, section 3.1). The
score is how much more probable that class is than the label.

Of numbers, a label is suspected where its residual (label less answer), in units of the row's predicted standard
deviation where there is one, lies 3 robust spreads or more from the median of all: 1.4826 times the median absolute
deviation, the standard deviation of a normal distribution (Leys et al. 2013). The score is 1 - 3 / that distance. A
model that knows little suspects few. Of in-sample answers nothing is said.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Board, Pick, in_order, mean_of_known
from affectkit.plain import shown

LEAST = 3.0  # robust spreads
NORMAL = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


def build() -> "LabelErrors":
    """The strategy; it has no options."""
    return LabelErrors()


class LabelErrors:
    name = "label-errors"
    relabels = True

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        told = [pair for pair in zip(pool.outputs, pool.truths, strict=True) if not np.isnan(pair[1]).all()]
        if not told:
            what = "--strategy label-errors: no row has a label and an answer"
            remedy = "use a table with labels and answers, of cross-fitted rows (train --cv)"
            raise AffectkitError("usage", what, remedy=remedy)
        found = [Residuals(*each) if each[0].target.kind == "number" else Rivals(*each) for each in told]
        scores = mean_of_known([each.scores for each in found])
        for row in in_order(scores, board.free, rng):
            reasons = [each.reason(row) for each in found if not np.isnan(each.scores[row])]
            yield Pick(row, float(scores[row]), "; ".join(reasons))


class Rivals:
    """Classes that are more probable than a label. scores: [N], NaN where the label is not suspected. others: [N] the
    rival."""

    def __init__(self, output: TargetPrediction, truth: np.ndarray) -> None:
        """truth: [N] class indices, NaN where unlabelled."""
        told = ~np.isnan(truth) & output.known
        self.output, self.label = output, np.where(told, np.nan_to_num(truth), 0).astype(int)
        p = np.nan_to_num(output.values)
        own = p[np.arange(len(p)), self.label]
        counts = np.bincount(self.label[told], minlength=p.shape[1])
        sums = np.bincount(self.label[told], own[told], minlength=p.shape[1])
        thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # a class that no row has is no rival
        confident = np.where(p >= thresholds, p, -1.0)
        self.others = confident.argmax(axis=1)
        suspected = told & (confident.max(axis=1) >= 0) & (self.others != self.label)
        self.scores = np.where(suspected, p[np.arange(len(p)), self.others] - own, np.nan)

    def reason(self, row: int) -> str:
        classes, values = self.output.target.classes, self.output.values[row]
        label, other = self.label[row], self.others[row]
        return f"labelled {classes[label]} ({shown(values[label])}), {classes[other]} is {shown(values[other])}"


class Residuals:
    """Numbers that are far from their answers. scores: [N], NaN where the label is not suspected. spreads: [N]."""

    def __init__(self, output: TargetPrediction, truth: np.ndarray) -> None:
        """truth: [N], NaN where unlabelled."""
        self.output, self.truth = output, truth
        residuals = truth - output.values
        if output.var is not None:
            residuals = residuals / np.sqrt(np.where(output.var > 0, output.var, np.nan))
        self.spreads = np.full(len(truth), np.nan)
        if (~np.isnan(residuals)).any():
            away = np.abs(residuals - np.nanmedian(residuals))
            spread = NORMAL * np.nanmedian(away)
            self.spreads = away / spread if spread > 0 else self.spreads
        self.scores = np.where(self.spreads >= LEAST, 1 - LEAST / np.maximum(self.spreads, LEAST), np.nan)

    def reason(self, row: int) -> str:
        label, answer = shown(float(self.truth[row])), shown(float(self.output.values[row]))
        return f"{self.output.target.name} labelled {label}, answered {answer}: {self.spreads[row]:.1f} spreads off"
