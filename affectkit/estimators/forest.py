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
        _check_forest(fitted)
        return fitted


def _check_forest(fitted: ForestFit) -> None:
    """Raises ValueError for a forest whose nodes point outside their tree or back up it, or whose trees answer
    otherwise than the forest: scikit-learn would follow them blindly."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    from affectkit.estimators._skops import count_classes

    model, classes = fitted.model, fitted.classes
    kind = RandomForestClassifier if classes else RandomForestRegressor
    if type(model) is not kind or model.n_outputs_ != 1 or not model.estimators_:
        raise ValueError("it is no forest of such a target")
    answers = 1
    if classes:
        answers = count_classes(model, classes)
        if model.n_classes_ != answers:
            raise ValueError("its classes do not rise")
    for member in model.estimators_:
        if type(member) is not (DecisionTreeClassifier if classes else DecisionTreeRegressor):
            raise ValueError("it holds what is no tree")
        if member.n_outputs_ != 1 or member.n_features_in_ != model.n_features_in_:
            raise ValueError("it holds a tree of other features or targets")
        _check_tree(member.tree_, model.n_features_in_, answers)


def _check_tree(tree: Any, features: int, answers: int) -> None:
    import numpy as np

    from affectkit.artifacts.arrays import checked

    if (tree.n_outputs, tree.n_features, tree.max_n_classes) != (1, features, answers) or not tree.node_count:
        raise ValueError("it holds a tree of other features or targets")
    nodes = np.arange(tree.node_count)
    leaf = tree.children_left == -1
    for children in (tree.children_left, tree.children_right):
        if not np.where(leaf, children == -1, (children > nodes) & (children < tree.node_count)).all():
            raise ValueError("it holds a damaged tree")
    checked("features of a tree", tree.feature[~leaf], [None], dtype="int64", low=0, high=features - 1)
    checked("thresholds of a tree", tree.threshold[~leaf], [None])
    checked("answers of a tree", tree.value, [tree.node_count, 1, answers])
