"""What several people answered to a row as one label, with what it does not tell of their disagreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from affectkit.evaluation.dawid_skene import dawid_skene
from affectkit.evaluation.raters import Ratings
from affectkit.labels import Target

MergeClasses = Literal["majority", "soft", "dawid-skene"]
MergeNumbers = Literal["mean", "median"]
Ties = Literal["skip", "first"]
ROUNDING = 1e-12  # of a mean: what is left of a difference of equals
EQUAL = 1e-9  # votes, shares or chances that differ by less are a tie


@dataclass(frozen=True)
class Rules:
    """classes, numbers: how answers become one. ties: what a tie of classes becomes. least: raters that it takes."""

    classes: MergeClasses = "majority"
    numbers: MergeNumbers = "mean"
    ties: Ties = "skip"
    least: int = 1


@dataclass(frozen=True)
class Merged:
    """Of one target, for each of N rows.

    values: [N] float64, the class's place or the number; NaN where the answers give none. raters: [N] how many there
    were. tied: [N] bool. apart: [N, K] what each class got (votes, shares or chances), or [N, 1] the standard deviation
    of numbers; NaN of rows with too few raters. facts: what else `summary.json` says.
    """

    values: np.ndarray
    raters: np.ndarray
    tied: np.ndarray
    apart: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


def merged(ratings: Ratings, target: Target, rows: int, raters: Sequence[str], rules: Rules) -> Merged:
    """raters: by number, their names."""
    if target.kind == "number":
        return _number(ratings, rows, rules)
    return _class(ratings, len(target.classes), rows, raters, rules)


# --- Classes


def _class(ratings: Ratings, classes: int, rows: int, raters: Sequence[str], rules: Rules) -> Merged:
    codes = ratings.values.astype(np.int64)
    counts = np.bincount(ratings.items * classes + codes, minlength=rows * classes).reshape(rows, classes)
    given = counts.sum(axis=1)
    votes, facts = counts.astype(float), dict[str, Any]()
    if rules.classes == "soft":
        votes = votes / np.maximum(given, 1)[:, None]
    elif rules.classes == "dawid-skene":
        votes, facts = _weighed(ratings, classes, rows, raters)
    enough = (given > 0) & (given >= rules.least)
    votes[~enough] = np.nan
    best = np.where(enough[:, None], votes, -1.0)
    best = best >= best.max(axis=1, keepdims=True) - EQUAL
    tied = enough & (best.sum(axis=1) > 1)
    values = np.where(enough & ~tied, best.argmax(axis=1), np.nan)
    if rules.ties == "first":
        among = tied[ratings.items] & best[ratings.items, codes]
        items, first = np.unique(ratings.items[among], return_index=True)
        values[items] = codes[among][first]
    return Merged(values, given, tied, votes, facts)


def _weighed(ratings: Ratings, classes: int, rows: int, raters: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """The chance of each class [N, K], 0 of rows without answers, and what the model makes of the raters."""
    found = dawid_skene(ratings, classes, rows=rows, raters=len(raters))
    posterior = np.nan_to_num(found.posterior)
    right = posterior[ratings.items, ratings.values.astype(np.int64)]
    answers = np.bincount(ratings.raters, minlength=len(raters))
    accuracy = np.bincount(ratings.raters, right, minlength=len(raters)) / np.maximum(answers, 1)
    return posterior, {
        "prior": found.prior.tolist(),
        "iterations": found.iterations,
        "converged": found.converged,
        "accuracy": {name: float(accuracy[who]) for who, name in enumerate(raters) if answers[who]},
    }


# --- Numbers


def _number(ratings: Ratings, rows: int, rules: Rules) -> Merged:
    order = np.lexsort((ratings.values, ratings.items))
    values, given = ratings.values[order], np.bincount(ratings.items, minlength=rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(ratings.items, ratings.values, minlength=rows) / given
        squares = np.bincount(ratings.items, (ratings.values - means[ratings.items]) ** 2, minlength=rows)
        spread = np.sqrt(squares / (given - 1))
    spread = np.where(spread <= ROUNDING * np.abs(means), 0.0, spread)
    rated, start = given > 0, np.cumsum(given) - given
    one = means
    if rules.numbers == "median":
        lower, upper = (start + (given - 1) // 2)[rated], (start + given // 2)[rated]
        one = np.full(rows, np.nan)
        one[rated] = (values[lower] + values[upper]) / 2
    few = given < max(rules.least, 1)
    one, spread = np.where(few, np.nan, one), np.where(few | (given < 2), np.nan, spread)
    return Merged(one, given, np.zeros(rows, bool), spread[:, None])
