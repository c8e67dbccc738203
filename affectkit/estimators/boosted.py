"""Boosted trees (histogram gradient boosting), which read gaps and categories as they are."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.estimators._estimator import Depth, Estimator, Matrix, MinLeaf, Raw, Takes
from affectkit.estimators._trees import joined, stored_classes, stored_ends
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels

logger = logging.getLogger(__name__)

ROUNDS = (30, 100, 300)
MOST_CATEGORIES = 255  # bins of a column
# What prediction needs of scikit-learn's record of a node, as it is stored.
NODE = {
    "value": "float64", "feature_idx": "int64", "num_threshold": "float64", "missing_go_to_left": "uint8",
    "left": "int64", "right": "int64", "is_leaf": "uint8", "is_categorical": "uint8", "bitset_idx": "int64",
}  # fmt: skip


def build(
    *,
    rounds: Annotated[
        int, Option("Rounds of boosting; 0: chosen among 30, 100 and 300 by inner grouped folds.", least=0)
    ] = 0,
    shrinkage: Annotated[float, Option("Factor on what each round adds.", least=0.001, most=1)] = 0.1,
    depth: Depth = 0,
    min_leaf: MinLeaf = 0,
) -> "Boosted":
    """The estimator of `--model boosted`."""
    options = {"rounds": rounds, "shrinkage": shrinkage, "depth": depth, "min_leaf": min_leaf}
    return Boosted("boosted", options, [{"rounds": number} for number in ([rounds] if rounds else ROUNDS)])


@dataclass(frozen=True)
class Tree:
    """nodes: [N] of each field of `NODE`. bitsets: [S, 8] uint32, which categories go left at each split by them."""

    nodes: dict[str, "np.ndarray"]
    bitsets: "np.ndarray"


@dataclass(frozen=True)
class BoostedFit:
    """classes: of the target, 0 for numbers. present: [P] those that were fitted on. baseline: [M] scores before any
    tree: one for numbers and two classes, else P. trees: M of each round. categories: of each column [n] float64, the
    codes that are told apart; none of a column of numbers.
    """

    classes: int
    present: "np.ndarray"
    baseline: "np.ndarray"
    categories: "tuple[np.ndarray, ...]"
    trees: tuple[Tree, ...] = ()

    def predict(self, x: Matrix) -> "np.ndarray":
        import numpy as np
        from scipy.special import expit, softmax

        scores = self._scores(_encoded(x, self.categories))
        if not self.classes:
            return scores[:, 0]
        probabilities = np.zeros((len(scores), self.classes))
        if len(self.present) == 2:
            second = expit(scores[:, 0])
            probabilities[:, self.present] = np.column_stack([1 - second, second])
        else:
            probabilities[:, self.present] = softmax(scores, axis=1)
        return probabilities

    def _scores(self, values: "np.ndarray") -> "np.ndarray":
        """[N, M]: what all trees add up to, in their order."""
        import numpy as np
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

        counts = np.array([len(codes) for codes in self.categories])
        known = _bitsets(counts[counts > 0])
        place = np.maximum(np.cumsum(counts > 0) - 1, 0).astype(np.uint32)
        threads = _openmp_effective_n_threads()
        scores = np.tile(self.baseline, (len(values), 1))
        for number, predictor in enumerate(self._predictors):
            scores[:, number % len(self.baseline)] += predictor.predict(values, known, place, threads)
        return scores

    @cached_property
    def _predictors(self) -> list[Any]:
        """scikit-learn's, of all trees; for a few rows, to make them takes longer than their answers."""
        import numpy as np
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        predictors = []
        for tree in self.trees:
            nodes = np.zeros(len(tree.nodes["value"]), dtype=PREDICTOR_RECORD_DTYPE)
            for name, cells in tree.nodes.items():
                nodes[name] = cells
            predictors.append(TreePredictor(nodes, tree.bitsets, tree.bitsets))
        return predictors


@dataclass(frozen=True)
class Boosted(Estimator):
    takes = Takes(sparse=False, gaps=True)

    def fit_path(
        self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int
    ) -> list[BoostedFit]:
        """One fit of the most rounds: those of fewer are its first trees."""
        rounds = [candidate["rounds"] for candidate in candidates]
        fitted = self._fit(x, labels, max(rounds), seed)
        return [replace(fitted, trees=fitted.trees[: number * len(fitted.baseline)]) for number in rounds]

    def _fit(self, x: Matrix, labels: "Labels", rounds: int, seed: int) -> BoostedFit:
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        categories = _categories(x)
        present = np.unique(labels.y) if labels.classes else np.empty(0, dtype=np.int64)
        if len(present) == 1:
            return BoostedFit(labels.classes, present, np.zeros(1), categories)
        kind: Any = HistGradientBoostingClassifier if labels.classes else HistGradientBoostingRegressor
        model = kind(
            max_iter=rounds,
            learning_rate=self.options["shrinkage"],
            max_depth=self.options["depth"] or None,
            min_samples_leaf=self.options["min_leaf"] or 20,
            categorical_features=[len(codes) > 0 for codes in categories],
            early_stopping=False,  # it would stop by rows of the same speakers as those that are fitted on
            random_state=seed,
        )
        values = _encoded(x, categories)
        values[:, np.isnan(values).all(axis=0)] = 0  # which nothing splits; scikit-learn finds no bins of gaps alone
        model.fit(values, labels.y, sample_weight=labels.sample_weight)
        return BoostedFit(labels.classes, present, model._baseline_prediction[0], categories, _trees(model, categories))

    def save(self, fitted: BoostedFit, stem: Path) -> None:
        import numpy as np
        from safetensors.numpy import save

        from affectkit.artifacts.files import write_bytes

        tensors = {"classes": np.array([fitted.classes]), "present": fitted.present, "baseline": fitted.baseline}
        tensors["categories"], tensors["categories.ends"] = joined(fitted.categories, np.empty(0))
        bitsets = [tree.bitsets for tree in fitted.trees]
        tensors["bitsets"], tensors["bitsets.ends"] = joined(bitsets, np.empty((0, 8), dtype=np.uint32))
        for name, dtype in NODE.items():
            cells = [tree.nodes[name] for tree in fitted.trees]
            tensors[f"nodes.{name}"], tensors["nodes.ends"] = joined(cells, np.empty(0, dtype=dtype))
        write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))

    def load(self, stem: Path) -> BoostedFit:
        from safetensors.numpy import load_file

        return _stored_fit(load_file(stem.with_name(stem.name + ".safetensors")))


# --- Columns


def _categories(x: Matrix) -> "tuple[np.ndarray, ...]":
    """Of each column the codes of categories that are told apart, rising: the most frequent where there are too many.
    None where there is but one: then whether it is there says all, and scikit-learn's split by that reads a bitset that
    it never filled."""
    import numpy as np

    categories = [np.empty(0)] * x.shape[1]
    for place in np.flatnonzero(x.categorical) if isinstance(x, Raw) else ():
        cells = x.values[:, place]
        codes, counts = np.unique(cells[~np.isnan(cells)], return_counts=True)
        if len(codes) > MOST_CATEGORIES:
            message = "%s: its %d most frequent categories of %d are told apart, the others are gaps"
            logger.warning(message, x.names[place], MOST_CATEGORIES, len(codes))
            codes = np.sort(codes[np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]])
        categories[place] = codes if len(codes) > 1 else np.empty(0)
    return tuple(categories)


def _encoded(x: Matrix, categories: "Sequence[np.ndarray]") -> "np.ndarray":
    """[N, C] float64, of a category its place among those that are told apart, NaN for others."""
    import numpy as np

    values = np.array(x.values if isinstance(x, Raw) else x, dtype=float)
    for place, codes in enumerate(categories):
        if len(codes):
            near = np.searchsorted(codes, values[:, place]).clip(max=len(codes) - 1)
            values[:, place] = np.where(codes[near] == values[:, place], near, np.nan)
    return values


def _bitsets(counts: "np.ndarray") -> "np.ndarray":
    """[len(counts), 8] uint32: the first `counts` bits of each row."""
    import numpy as np

    bits = np.arange(256) < counts[:, None]
    return np.packbits(bits, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def _trees(model: Any, categories: "Sequence[np.ndarray]") -> tuple[Tree, ...]:
    """Those of scikit-learn's model, by the columns that it was given: it puts those of categories first."""
    import numpy as np

    categorical = np.array([len(codes) > 0 for codes in categories])
    order = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    trees = []
    for predictor in (predictor for of_round in model._predictors for predictor in of_round):
        nodes = {name: predictor.nodes[name].astype(dtype) for name, dtype in NODE.items()}
        nodes["feature_idx"] = order[nodes["feature_idx"]]
        trees.append(Tree(nodes, np.array(predictor.raw_left_cat_bitsets, dtype=np.uint32)))
    return tuple(trees)


# --- On disk


def _stored_fit(stored: "dict[str, np.ndarray]") -> BoostedFit:
    """Raises ValueError for arrays that do not fit together."""
    import numpy as np

    from affectkit.artifacts.arrays import checked

    classes, present = stored_classes(stored)
    baseline = checked("baseline", stored["baseline"], [len(present) if len(present) > 2 else 1])
    codes = checked("categories", stored["categories"], [None])
    categories = tuple(np.split(codes, stored_ends(stored, "categories", len(codes)))[:-1])
    for codes in categories:
        if len(codes) == 1 or len(codes) > MOST_CATEGORIES or (np.diff(codes) <= 0).any():
            raise ValueError("its categories do not rise")
    bitsets = checked("bitsets", stored["bitsets"], [None, 8], dtype="uint32", low=0)
    count = len(stored["nodes.value"])
    nodes = {name: _stored_nodes(stored, name, count, len(categories)) for name in NODE}
    ends = stored_ends(stored, "nodes", count)
    each = {name: np.split(cells, ends)[:-1] for name, cells in nodes.items()}
    sets = np.split(bitsets, stored_ends(stored, "bitsets", len(bitsets)))[:-1]
    if len(sets) != len(ends) or len(ends) % len(baseline):
        raise ValueError("it lacks trees")
    trees = tuple(Tree({name: each[name][place] for name in NODE}, own) for place, own in enumerate(sets))
    for tree in trees:
        _check_tree(tree, categories)
    return BoostedFit(classes, present, baseline, categories, trees)


def _stored_nodes(stored: "dict[str, np.ndarray]", name: str, count: int, columns: int) -> "np.ndarray":
    import numpy as np

    from affectkit.artifacts.arrays import checked

    bounds: dict[str, Any] = {"low": 0}
    if name == "value":
        bounds = {}
    elif name == "num_threshold":  # infinite where gaps part from all that is no gap
        bounds = {"low": -np.inf, "high": np.inf}
    elif name == "feature_idx":
        bounds["high"] = columns - 1
    return checked(f"nodes.{name}", stored[f"nodes.{name}"], [count], dtype=NODE[name], **bounds)


def _check_tree(tree: Tree, categories: "Sequence[np.ndarray]") -> None:
    import numpy as np

    nodes, place = tree.nodes, np.arange(len(tree.nodes["value"]))
    inner = nodes["is_leaf"] == 0
    for child in (nodes["left"][inner], nodes["right"][inner]):
        if not len(place) or not ((child > place[inner]) & (child < len(place))).all():
            raise ValueError("it holds a damaged tree")
    by_category = inner & (nodes["is_categorical"] > 0)
    counts = np.array([len(codes) for codes in categories])
    if not counts[nodes["feature_idx"][by_category]].all():
        raise ValueError("it splits numbers by category")
    if (nodes["bitset_idx"][by_category] >= len(tree.bitsets)).any():
        raise ValueError("it lacks the categories of a split")
