"""Metrics of predicted classes: functions `(truth, prediction, *, classes=None) -> float`.

`truth` and `prediction` are [N] labels; rows where either is missing ("", None, NaN) are left out. `classes` fixes the
class list and its order, otherwise it is what occurs, sorted. Each is written as its formula, `<metric>.of`, which
takes `rows.tallies` [..., 5, K] (fractional weights are fine) and gives [...]: what intervals resample. The tallies of
1,000 speakers and 1,000 classes are 40 MB where their confusion matrices are 8 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectkit.evaluation.rows import (
    DISTANCE,
    PREDICTED,
    RIGHT,
    SQUARED_DISTANCE,
    TRUE,
    confusions,
    encode,
    mean_of_defined,
    metric_of,
    ratio,
    tallies,
    union,
)


def confusion_matrix(truth: Any, prediction: Any, classes: Sequence[Any] | None = None) -> np.ndarray:
    """Counts [K, K] int64: rows are the true class, columns the predicted one.

    >>> confusion_matrix(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    classes = union(truth, prediction) if classes is None else list(classes)
    return confusions(encode(truth, classes), encode(prediction, classes), len(classes))[0]


def tally(truth: Any, prediction: Any, classes: Sequence[Any] | None = None) -> np.ndarray:
    """[5, K] int64: the tallies of labels (`rows.tallies`).

    >>> tally(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [2, 1], [1, 0], [1, 0], [1, 2]]
    """
    classes = union(truth, prediction) if classes is None else list(classes)
    return tallies(encode(truth, classes), encode(prediction, classes), len(classes))[0]


@metric_of(tally)
def accuracy(sums: np.ndarray) -> np.ndarray:
    """Share of rows predicted right; WA, "weighted accuracy", in the speech emotion literature.

    correct / n, in [0, 1].

    >>> accuracy(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.75
    """
    return ratio(sums[..., RIGHT, :].sum(-1), sums[..., TRUE, :].sum(-1))


@metric_of(tally)
def uar(sums: np.ndarray) -> np.ndarray:
    """Unweighted average recall: UA, balanced accuracy, macro recall. Classes absent from the truth are left out.

    mean over k of correct_k / n_k, in [0, 1] (Schuller et al. 2009, the INTERSPEECH emotion challenge).

    >>> uar(["a", "a", "a", "b"], ["a", "a", "b", "b"], classes=["a", "b", "c"])
    0.8333333333333333
    """
    return mean_of_defined(recalls(sums))


@metric_of(tally)
def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Mean over classes of F1_k = 2 TP_k / (2 TP_k + FP_k + FN_k), in [0, 1].

    A class that is neither true nor predicted anywhere is left out; one that is only predicted counts as 0, as in
    scikit-learn. The mean of F1s, not the F1 of means (Opitz and Burst 2019).

    >>> macro_f1(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.7333333333333334
    """
    return mean_of_defined(f1s(sums))


@metric_of(tally)
def weighted_f1(sums: np.ndarray) -> np.ndarray:
    """Mean of the classes' F1 weighted by how often each is true, in [0, 1].

    >>> weighted_f1(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    0.7666666666666667
    """
    support = sums[..., TRUE, :]
    return ratio((np.nan_to_num(f1s(sums)) * support).sum(-1), support.sum(-1))


@metric_of(tally)
def kappa(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa (Cohen 1960): (p_o - p_e) / (1 - p_e), in [-1, 1]; NaN where chance agreement is certain.

    >>> kappa(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.5
    """
    true, predicted = sums[..., TRUE, :], sums[..., PREDICTED, :]
    expected = true.sum(-1) * predicted.sum(-1) - (true * predicted).sum(-1)
    return _kappa(true - sums[..., RIGHT, :], expected, true)


@metric_of(tally)
def kappa_linear(sums: np.ndarray) -> np.ndarray:
    """Kappa with disagreement |i - j| between classes i and j (Cohen 1968): for classes in a meaningful order.

    >>> kappa_linear([0, 1, 2, 2], [0, 1, 1, 2])
    0.7142857142857143
    """
    true, predicted = sums[..., TRUE, :], sums[..., PREDICTED, :]
    # |i - j| is how many boundaries between classes lie between i and j.
    below, under = true.cumsum(-1), predicted.cumsum(-1)
    apart = below * (under[..., -1:] - under) + under * (below[..., -1:] - below)
    return _kappa(sums[..., DISTANCE, :], apart.sum(-1), true)


@metric_of(tally)
def kappa_quadratic(sums: np.ndarray) -> np.ndarray:
    """Kappa with disagreement (i - j)^2 between classes i and j (Cohen 1968): for classes in a meaningful order.

    >>> kappa_quadratic([0, 1, 2, 2], [0, 1, 1, 2])
    0.8
    """
    true, predicted = sums[..., TRUE, :], sums[..., PREDICTED, :]
    place = np.arange(true.shape[-1]) - (true.shape[-1] - 1) / 2  # from the middle, so that little cancels
    first = (true * place).sum(-1) * (predicted * place).sum(-1)
    squares = [(counts * place**2).sum(-1) for counts in (true, predicted)]
    expected = squares[0] * predicted.sum(-1) + squares[1] * true.sum(-1) - 2 * first
    return _kappa(sums[..., SQUARED_DISTANCE, :], expected, true)


@metric_of(tally)
def mae_levels(sums: np.ndarray) -> np.ndarray:
    """Mean absolute error in levels, mean |i - j|: how many levels a prediction lies beside the truth, of classes in a
    meaningful order.

    >>> mae_levels([0, 1, 2, 2], [0, 1, 1, 0])
    0.75
    """
    return ratio(sums[..., DISTANCE, :].sum(-1), sums[..., TRUE, :].sum(-1))


def recalls(sums: np.ndarray) -> np.ndarray:
    """[..., K]: the share of each true class that was found; NaN for a class absent from the truth.

    >>> recalls(tally(["a", "a", "b"], ["a", "b", "b"])).tolist()
    [0.5, 1.0]
    """
    return ratio(sums[..., RIGHT, :], sums[..., TRUE, :])


def precisions(sums: np.ndarray) -> np.ndarray:
    """[..., K]: the share of each predicted class that was right; NaN for a class that was never predicted.

    >>> precisions(tally(["a", "a", "b"], ["a", "b", "b"])).tolist()
    [1.0, 0.5]
    """
    return ratio(sums[..., RIGHT, :], sums[..., PREDICTED, :])


def f1s(sums: np.ndarray) -> np.ndarray:
    """[..., K]: harmonic mean of precision and recall of each class; NaN for a class neither true nor predicted.

    >>> f1s(tally(["a", "a", "b", "b"], ["a", "b", "b", "b"])).round(3).tolist()
    [0.667, 0.8]
    """
    return ratio(2 * sums[..., RIGHT, :], sums[..., TRUE, :] + sums[..., PREDICTED, :])


def _kappa(disagreement: np.ndarray, expected: np.ndarray, true: np.ndarray) -> np.ndarray:
    """1 - observed / expected. disagreement: [..., K], what disagreements weigh, summed by true class. expected: [...],
    n times the same of an answer that has the margins alone."""
    return 1 - ratio(disagreement.sum(-1) * true.sum(-1), expected)
