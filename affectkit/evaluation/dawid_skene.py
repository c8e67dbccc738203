"""What several raters say of a row, each weighed by how often they seem to be right (Dawid and Skene 1979).

Each row has one true class; a rater answers with class l where k is true with a chance of their own, and raters err
independently. The chances and the truth are estimated together by expectation maximisation, from the raters' shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affectkit.evaluation.raters import Ratings

ITERATIONS = 300
SETTLED = 1e-4  # change of any posterior, below which the iteration ends
SMOOTHING = 0.01  # answers: a class that a rater never mistook so far is not one that they never will


@dataclass(frozen=True)
class DawidSkene:
    """posterior: [N, K] the chance of each class being a row's true one; NaN of rows without ratings.

    confusion: [R, K, K] the chance that a rater answers with the class of a column where that of a row is true.
    prior: [K] share of each class among the rated rows. converged: whether it settled within `iterations`.
    """

    posterior: np.ndarray
    confusion: np.ndarray
    prior: np.ndarray
    iterations: int
    converged: bool


def dawid_skene(
    ratings: Ratings,
    classes: int,
    *,
    rows: int | None = None,
    raters: int | None = None,
    iterations: int = ITERATIONS,
    smoothing: float = SMOOTHING,
) -> DawidSkene:
    """The consensus of ratings with the values 0, ..., `classes` - 1; a rater may have rated a row several times.

    rows, raters: how many there are, where not all have ratings. smoothing: answers that are added to each cell of a
    rater's confusion matrix, and rows to each class, before these become shares; 0 is maximum likelihood. Of fewer than
    three raters nothing tells who is right, and the consensus is little more than the shares that it starts from.
    """
    # In the order of rows, so that their sums are those of neighbours.
    order = np.argsort(ratings.items, kind="stable")
    items, who, codes = ratings.items[order], ratings.raters[order], ratings.values[order].astype(np.int64)
    rows = int(items.max(initial=-1)) + 1 if rows is None else rows
    raters = int(who.max(initial=-1)) + 1 if raters is None else raters
    rated, starts = np.unique(items, return_index=True)
    posterior = np.full((rows, classes), np.nan)
    if not len(rated):
        return DawidSkene(posterior, np.full((raters, classes, classes), np.nan), np.full(classes, np.nan), 0, True)
    place = np.repeat(np.arange(len(rated)), np.diff(np.append(starts, len(items))))
    cell = who * classes + codes
    truth = _shares(np.bincount(place * classes + codes, minlength=len(rated) * classes).reshape(-1, classes))
    done, change = 0, np.inf
    while True:
        prior, confusion = _estimated(truth, place, cell, raters, smoothing)
        if done == iterations or change <= SETTLED:
            break
        before, truth = truth, _expected(prior, confusion, cell, starts)
        done, change = done + 1, float(np.abs(truth - before).max())
    posterior[rated] = truth
    return DawidSkene(posterior, confusion, prior, done, change <= SETTLED)


def _shares(weights: np.ndarray) -> np.ndarray:
    """Along the last axis; all alike where there are none."""
    total = weights.sum(axis=-1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1 / weights.shape[-1])


def _estimated(
    truth: np.ndarray, place: np.ndarray, cell: np.ndarray, raters: int, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """The prior [K] and the raters' confusion matrices [R, K, K] where the truth is known as `truth` [M, K] says
    (their equations 2.3 and 2.4)."""
    classes = truth.shape[1]
    counts = [np.bincount(cell, truth[place, k], minlength=raters * classes) for k in range(classes)]
    confusion = np.stack([each.reshape(raters, classes) for each in counts], axis=1)
    return _shares(truth.sum(axis=0) + smoothing), _shares(confusion + smoothing)


def _expected(prior: np.ndarray, confusion: np.ndarray, cell: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The truth [M, K] where prior and matrices are known (their equation 2.5)."""
    with np.errstate(divide="ignore"):
        chances = np.log(confusion.transpose(0, 2, 1).reshape(-1, len(prior)))  # [R * K, K], by who answered what
        logs = np.log(prior) + np.add.reduceat(chances[cell], starts, axis=0)
    logs -= logs.max(axis=1, keepdims=True)
    return _shares(np.exp(logs))
