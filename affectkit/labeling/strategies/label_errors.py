"""Labels that look wrong, to be given again: confident learning on probabilities of fits that never saw the row

A class's threshold is the mean probability that it has in rows labelled so; a label is suspected where another class
reaches its threshold and is the most probable of those that do (Northcutt et al. 2021, section 3.1). The score is how
much more probable that class is than the label. Of in-sample answers nothing is said.
"""

from collections.abc import Iterator

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Board, Pick, in_order, mean_of_known
from affectkit.plain import shown


def build() -> "LabelErrors":
    """The strategy; it has no options."""
    return LabelErrors()


class LabelErrors:
    name = "label-errors"
    relabels = True

    def picks(self, pool: Pool, board: Board, rng: np.random.Generator) -> Iterator[Pick]:
        told = [(output, truth) for output, truth in zip(pool.outputs, pool.truths, strict=True)
                if output.target.kind != "number" and not np.isnan(truth).all()]  # fmt: skip
        if not told:
            what = "--strategy label-errors: no row has a label and probabilities"
            remedy = "use a table with labels and probabilities, of cross-fitted rows (train --cv)"
            raise AffectkitError("usage", what, remedy=remedy)
        found = [(*each, *suspicion(*each)) for each in told]
        scores = mean_of_known([suspected for _, _, suspected, _ in found])
        for row in in_order(scores, board.free, rng):
            reasons = [
                in_words(output, row, int(truth[row]), int(other[row]))
                for output, truth, suspected, other in found
                if not np.isnan(suspected[row])
            ]
            yield Pick(row, float(scores[row]), "; ".join(reasons))


def in_words(output: TargetPrediction, row: int, label: int, other: int) -> str:
    classes, values = output.target.classes, output.values[row]
    return f"labelled {classes[label]} ({shown(values[label])}), {classes[other]} is {shown(values[other])}"


def suspicion(output: TargetPrediction, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] by how much another class is more probable than the label, NaN where the label is not suspected; [N] which.

    truth: [N] class indices, NaN where unlabelled.
    """
    told = ~np.isnan(truth) & output.known
    label = np.where(told, np.nan_to_num(truth), 0).astype(int)
    p = np.nan_to_num(output.values)
    own = p[np.arange(len(p)), label]
    counts = np.bincount(label[told], minlength=p.shape[1])
    sums = np.bincount(label[told], own[told], minlength=p.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # a class that no row has is no rival
    confident = np.where(p >= thresholds, p, -1.0)
    other = confident.argmax(axis=1)
    suspected = told & (confident.max(axis=1) >= 0) & (other != label)
    return np.where(suspected, p[np.arange(len(p)), other] - own, np.nan), other
