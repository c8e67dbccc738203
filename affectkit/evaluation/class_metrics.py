"""Metrics of predicted classes: functions `(truth, prediction, *, classes=None) -> float`.

`truth` and `prediction` are [N] labels; rows where either is missing ("", None, NaN) are left out. `classes` fixes the
class list and its order, otherwise it is what occurs, sorted. Each is written as its formula, `<metric>.of`, which
takes confusion matrices [..., K, K] (rows are the truth; fractional weights are fine) and gives [...]: what intervals
resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from affectkit.evaluation.rows import confusions, encode, mean_of_defined, metric_of, ratio, union


def confusion_matrix(truth: Any, prediction: Any, classes: Sequence[Any] | None = None) -> np.ndarray:
    """Counts [K, K] int64: rows are the true class, columns the predicted one.

    >>> confusion_matrix(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    classes = union(truth, prediction) if classes is None else list(classes)
    return confusions(encode(truth, classes), encode(prediction, classes), len(classes))[0]


@metric_of(confusion_matrix)
def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of rows predicted right; WA, "weighted accuracy", in the speech emotion literature.

    correct / n, in [0, 1].

    >>> accuracy(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.75
    """
    return ratio(_correct(confusion).sum(-1), confusion.sum((-2, -1)))


@metric_of(confusion_matrix)
def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall: UA, balanced accuracy, macro recall. Classes absent from the truth are left out.

    mean over k of correct_k / n_k, in [0, 1] (Schuller et al. 2009, the INTERSPEECH emotion challenge).

    >>> uar(["a", "a", "a", "b"], ["a", "a", "b", "b"], classes=["a", "b", "c"])
    0.8333333333333333
    """
    return mean_of_defined(recalls(confusion))


@metric_of(confusion_matrix)
def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean over classes of F1_k = 2 TP_k / (2 TP_k + FP_k + FN_k), in [0, 1].

    A class that is neither true nor predicted anywhere is left out; one that is only predicted counts as 0, as in
    scikit-learn. The mean of F1s, not the F1 of means (Opitz and Burst 2019).

    >>> macro_f1(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.7333333333333334
    """
    return mean_of_defined(f1s(confusion))


@metric_of(confusion_matrix)
def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean of the classes' F1 weighted by how often each is true, in [0, 1].

    >>> weighted_f1(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    0.7666666666666667
    """
    support = confusion.sum(-1)
    return ratio((np.nan_to_num(f1s(confusion)) * support).sum(-1), support.sum(-1))


@metric_of(confusion_matrix)
def kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa (Cohen 1960): (p_o - p_e) / (1 - p_e), in [-1, 1]; NaN where chance agreement is certain.

    >>> kappa(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.5
    """
    return _kappa(confusion, np.sign)


@metric_of(confusion_matrix)
def kappa_linear(confusion: np.ndarray) -> np.ndarray:
    """Kappa with disagreement |i - j| between classes i and j (Cohen 1968): for classes in a meaningful order.

    >>> kappa_linear([0, 1, 2, 2], [0, 1, 1, 2])
    0.7142857142857143
    """
    return _kappa(confusion, np.abs)


@metric_of(confusion_matrix)
def kappa_quadratic(confusion: np.ndarray) -> np.ndarray:
    """Kappa with disagreement (i - j)^2 between classes i and j (Cohen 1968): for classes in a meaningful order.

    >>> kappa_quadratic([0, 1, 2, 2], [0, 1, 1, 2])
    0.8
    """
    return _kappa(confusion, np.square)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """[..., K]: the share of each true class that was found; NaN for a class absent from the truth.

    >>> recalls(confusion_matrix(["a", "a", "b"], ["a", "b", "b"])).tolist()
    [0.5, 1.0]
    """
    return ratio(_correct(confusion), confusion.sum(-1))


def precisions(confusion: np.ndarray) -> np.ndarray:
    """[..., K]: the share of each predicted class that was right; NaN for a class that was never predicted.

    >>> precisions(confusion_matrix(["a", "a", "b"], ["a", "b", "b"])).tolist()
    [1.0, 0.5]
    """
    return ratio(_correct(confusion), confusion.sum(-2))


def f1s(confusion: np.ndarray) -> np.ndarray:
    """[..., K]: harmonic mean of precision and recall of each class; NaN for a class neither true nor predicted.

    >>> f1s(confusion_matrix(["a", "a", "b", "b"], ["a", "b", "b", "b"])).round(3).tolist()
    [0.667, 0.8]
    """
    return ratio(2 * _correct(confusion), confusion.sum(-1) + confusion.sum(-2))


def _correct(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _kappa(confusion: np.ndarray, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """1 - sum w o / sum w e: o the counts observed, e those expected from the margins, w what a disagreement weighs, of
    the classes' distance."""
    position = np.arange(confusion.shape[-1], dtype=float)
    weight = weigh(np.abs(position[:, None] - position))
    observed = (confusion * weight).sum((-2, -1))
    expected = ((confusion.sum(-1) @ weight) * confusion.sum(-2)).sum(-1)
    return 1 - ratio(observed * confusion.sum((-2, -1)), expected)
