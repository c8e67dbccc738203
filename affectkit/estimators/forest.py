"""Random forest."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.estimators._estimator import Depth, Estimator, Matrix, MinLeaf
from affectkit.estimators._trees import joined, stored_classes, stored_ends
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels


def build(
    *,
    trees: Annotated[int, Option("Number of trees.", least=1)] = 300,
    depth: Depth = 0,
    min_leaf: MinLeaf = 0,
) -> "Forest":
    """The estimator of `--model forest`."""
    options = {"trees": trees, **({"depth": depth} if depth else {}), **({"min_leaf": min_leaf} if min_leaf else {})}
    return Forest("forest", options, [{"min_samples_leaf": leaf} for leaf in ([min_leaf] if min_leaf else (5, 2, 1))])


MANY_ROWS, MOST_WORKERS = 1000, 8
# What prediction needs of scikit-learn's record of a node, as it is stored.
NODE = {
    "left_child": "int64", "right_child": "int64", "feature": "int64", "threshold": "float64",
    "missing_go_to_left": "uint8",
}  # fmt: skip


@dataclass(frozen=True)
class ForestFit:
    """classes: of the target, 0 for numbers. present: [P] those that were fitted on. columns: of the matrix. trees:
    scikit-learn's, each of which answers [N, P] shares, or [N, 1] numbers."""

    classes: int
    present: "np.ndarray"
    columns: int
    trees: tuple[Any, ...]

    def predict(self, x: Matrix) -> "np.ndarray":
        import numpy as np

        if x.shape[1] != self.columns:
            raise ValueError(f"it is of {self.columns} columns, not {x.shape[1]}")
        answers = np.zeros((x.shape[0], len(self.present) or 1))
        for answer in self._answers(x.astype(np.float32)):
            answers += answer
        answers /= len(self.trees)
        if not self.classes:
            return answers[:, 0]
        probabilities = np.zeros((x.shape[0], self.classes))
        probabilities[:, self.present] = answers
        return probabilities

    def _answers(self, x: Matrix) -> "Iterator[np.ndarray]":
        """Of each tree, in their order, so that the sum has the same last digits each time; of many rows several at
        once, since scikit-learn's trees answer without Python's lock."""
        workers = min(os.cpu_count() or 1, MOST_WORKERS) if x.shape[0] >= MANY_ROWS else 1
        if workers == 1:
            yield from (tree.predict(x) for tree in self.trees)
            return
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(self.trees), workers):  # no more answers wait than there are workers
                yield from pool.map(lambda tree: tree.predict(x), self.trees[start : start + workers])


@dataclass(frozen=True)
class Forest(Estimator):
    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[ForestFit]:
        import numpy as np
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind: Any = RandomForestClassifier if labels.classes else RandomForestRegressor
        shape = {"n_estimators": self.options["trees"], "max_depth": self.options.get("depth"), "max_features": "sqrt"}
        fits = []
        for candidate in candidates:
            model = kind(random_state=seed, n_jobs=-1, **shape, **candidate)
            model.fit(x, labels.y, sample_weight=labels.sample_weight)
            present = model.classes_ if labels.classes else np.empty(0, dtype=np.int64)
            fits.append(ForestFit(labels.classes, present, x.shape[1], tuple(e.tree_ for e in model.estimators_)))
        return fits

    def save(self, fitted: ForestFit, stem: Path) -> None:
        import numpy as np
        from safetensors.numpy import save

        from affectkit.artifacts.files import write_bytes

        tensors = {"classes": np.array([fitted.classes]), "present": fitted.present}
        tensors["columns"] = np.array([fitted.columns])
        nodes = [tree.__getstate__()["nodes"] for tree in fitted.trees]
        for name, dtype in NODE.items():
            tensors[f"nodes.{name}"], tensors["nodes.ends"] = joined([cells[name].astype(dtype) for cells in nodes])
        tensors["nodes.value"], _ = joined([tree.value[:, 0] for tree in fitted.trees])
        write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))

    def load(self, stem: Path) -> ForestFit:
        from safetensors.numpy import load_file

        return _stored_fit(load_file(stem.with_name(stem.name + ".safetensors")))


def _stored_fit(stored: "dict[str, np.ndarray]") -> ForestFit:
    """Raises ValueError for a forest whose nodes point outside their tree or back up it, or whose trees answer
    otherwise than the forest: scikit-learn would follow them blindly."""
    import numpy as np

    from affectkit.artifacts.arrays import checked

    classes, present = stored_classes(stored)
    columns = int(checked("columns", stored["columns"], [1], dtype="int64", low=1)[0])
    value = checked("answers of a tree", stored["nodes.value"], [None, len(present) or 1])
    nodes = {name: checked(name, stored[f"nodes.{name}"], [len(value)], dtype=NODE[name]) for name in NODE}
    ends = stored_ends(stored, "nodes", len(value))
    if not len(ends):
        raise ValueError("it lacks trees")
    each = {name: np.split(cells, ends)[:-1] for name, cells in (nodes | {"value": value}).items()}
    trees = [_stored_tree({name: each[name][place] for name in each}, columns) for place in range(len(ends))]
    return ForestFit(classes, present, columns, tuple(trees))


def _stored_tree(stored: "dict[str, np.ndarray]", columns: int) -> Any:
    import numpy as np
    from sklearn.tree._tree import NODE_DTYPE, Tree

    from affectkit.artifacts.arrays import checked

    count, answers = stored["value"].shape
    places, leaf = np.arange(count), stored["left_child"] == -1
    for children in (stored["left_child"], stored["right_child"]):
        if not count or not np.where(leaf, children == -1, (children > places) & (children < count)).all():
            raise ValueError("it holds a damaged tree")
    checked("features of a tree", stored["feature"][~leaf], [None], dtype="int64", low=0, high=columns - 1)
    nodes = np.zeros(count, dtype=NODE_DTYPE)
    for name in NODE:
        nodes[name] = stored[name]
    tree = Tree(columns, np.array([answers]), 1)
    tree.__setstate__({"max_depth": 0, "node_count": count, "nodes": nodes, "values": stored["value"][:, None].copy()})
    return tree
