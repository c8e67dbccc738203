"""Random forest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.estimators._estimator import Estimator, Matrix
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels


def build(*, trees: Annotated[int, Option("Number of trees.")] = 300) -> "Forest":
    """The estimator of `--model forest`."""
    from affectkit.errors import AffectkitError

    if trees < 1:
        raise AffectkitError("usage", f"--trees {trees} is less than 1")
    return Forest("forest", {"trees": trees}, [{"min_samples_leaf": leaf} for leaf in (5, 2, 1)])


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
class Forest(Estimator):
    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[ForestFit]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind: Any = RandomForestClassifier if labels.classes else RandomForestRegressor
        fits = []
        for candidate in candidates:
            model = kind(self.options["trees"], random_state=seed, max_features="sqrt", n_jobs=-1, **candidate)
            model.fit(x, labels.y, sample_weight=labels.weights)
            # Threads add the trees' votes up in any order; one thread gives the same last digits each time.
            fits.append(ForestFit(model.set_params(n_jobs=1), labels.classes))
        return fits

    def save(self, fitted: ForestFit, stem: Path) -> None:
        from affectkit.estimators._skops import save_fit

        save_fit(fitted, stem)

    def load(self, stem: Path) -> ForestFit:
        from affectkit.estimators._skops import load_fit

        fitted = load_fit(ForestFit, stem, trusted=["sklearn.tree._tree.Tree"])
        _check_trees(fitted.model, stem.with_name(stem.name + ".skops"))
        return fitted


def _check_trees(model: Any, path: Path) -> None:
    """Refuse a forest whose nodes point outside their tree or back up it: scikit-learn would follow them blindly."""
    import numpy as np

    from affectkit.errors import AffectkitError

    for tree in (member.tree_ for member in model.estimators_):
        nodes = np.arange(tree.node_count)
        leaf = tree.children_left == -1
        for children in (tree.children_left, tree.children_right):
            sound = np.where(leaf, children == -1, (children > nodes) & (children < tree.node_count))
            if not sound.all():
                raise AffectkitError("input", "holds a damaged tree", file=path, remedy="train the model again")
        feature = tree.feature[~leaf]
        if ((feature < 0) | (feature >= model.n_features_in_)).any():
            raise AffectkitError("input", "holds a tree on features that there are not", file=path)
