"""Random forest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.estimators._estimator import Matrix
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels


def build(*, trees: Annotated[int, Option("Number of trees.")] = 300) -> "Forest":
    """The estimator of `--model forest`."""
    from affectkit.errors import AffectkitError

    if trees < 1:
        raise AffectkitError("usage", f"--trees {trees} is less than 1")
    return Forest("forest", {"trees": trees}, trees)


@dataclass(frozen=True)
class ForestFit:
    model: Any
    classes: int

    def predict(self, x: Matrix) -> "np.ndarray":
        import numpy as np

        if not self.classes:
            return self.model.predict(x)
        probabilities = np.zeros((x.shape[0], self.classes))
        probabilities[:, self.model.classes_] = self.model.predict_proba(x)
        return probabilities


@dataclass(frozen=True)
class Forest:
    name: str
    options: dict[str, Any]
    trees: int
    selects_on: str = "nll"

    def candidates(self, *, classes: int) -> list[dict[str, Any]]:
        return [{"min_samples_leaf": leaf} for leaf in (5, 2, 1)]

    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[ForestFit]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind: Any = RandomForestClassifier if labels.classes else RandomForestRegressor
        fits = []
        for candidate in candidates:
            model = kind(self.trees, random_state=seed, max_features="sqrt", n_jobs=-1, **candidate)
            model.fit(x, labels.y, sample_weight=labels.weights)
            # Threads add the trees' votes up in any order; one thread gives the same last digits each time.
            fits.append(ForestFit(model.set_params(n_jobs=1), labels.classes))
        return fits

    def calibrated(self, fitted: ForestFit, oof: "np.ndarray", labels: "Labels") -> ForestFit:
        return fitted

    def save(self, fitted: ForestFit, stem: Path) -> None:
        from affectkit.artifacts.files import write_json
        from affectkit.estimators import _skops

        _skops.save(fitted.model, stem.with_name(stem.name + ".skops"))
        write_json(stem.with_name(stem.name + ".json"), {"classes": fitted.classes})

    def load(self, stem: Path) -> ForestFit:
        from affectkit.artifacts.files import read_json
        from affectkit.estimators import _skops

        path = stem.with_name(stem.name + ".skops")
        model = _skops.load(path, trusted=["sklearn.tree._tree.Tree"])
        _check_trees(model, path)
        return ForestFit(model, read_json(stem.with_name(stem.name + ".json"), what="fit")["classes"])


def _check_trees(model: Any, path: Path) -> None:
    """Refuse a forest whose nodes point outside their tree or back up it: scikit-learn would follow them blindly."""
    import numpy as np

    from affectkit.errors import AffectkitError

    for tree in (member.tree_ for member in model.estimators_):
        own = np.arange(tree.node_count)
        leaf = tree.children_left == -1
        for children in (tree.children_left, tree.children_right):
            sound = np.where(leaf, children == -1, (children > own) & (children < tree.node_count))
            if not sound.all():
                raise AffectkitError("input", "holds a damaged tree", file=path, remedy="train the model again")
        feature = tree.feature[~leaf]
        if ((feature < 0) | (feature >= model.n_features_in_)).any():
            raise AffectkitError("input", "holds a tree on features that there are not", file=path)
