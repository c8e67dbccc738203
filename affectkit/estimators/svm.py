"""Support vector machine, its probabilities set on inner out-of-fold scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.estimators._estimator import CGrid, Estimator, Matrix, parse_grid
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels


KERNELS = ("rbf", "linear")


def build(
    *,
    c_grid: CGrid = "0.1,1,10",
    kernel: Annotated[
        Literal["rbf", "linear"], Option("Kernel: linear or rbf, with gamma = 1 / (D * variance).")
    ] = "rbf",
) -> "Svm":
    """The estimator of `--model svm`."""
    candidates = [{"C": c} for c in parse_grid(c_grid, "--c-grid")]
    return Svm("svm", {"c_grid": c_grid, "kernel": kernel}, candidates)


@dataclass(frozen=True)
class SvmFit:
    """A fitted SVC or SVR. Class scores [N, K] become softmax(scores / temperature); numbers are scaled back."""

    model: Any
    classes: int
    temperature: float = 1.0
    mean: float = 0.0
    deviation: float = 1.0

    def predict(self, x: Matrix) -> "np.ndarray":
        import numpy as np
        from scipy.special import softmax

        if not self.classes:
            return self.model.predict(x) * self.deviation + self.mean
        present, margins = self.model.classes_, self.model.decision_function(x)
        scores = np.full((x.shape[0], self.classes), -np.inf)
        scores[:, present] = np.column_stack([-margins / 2, margins / 2]) if len(present) == 2 else margins
        return softmax(scores / self.temperature, axis=1)


@dataclass(frozen=True)
class Svm(Estimator):
    selects_on = "uar"  # margins are no probabilities before they are calibrated
    calibrates = True

    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[SvmFit]:
        import numpy as np
        from sklearn.svm import SVC, SVR

        kernel = self.options["kernel"]
        if not labels.classes:
            mean, deviation = float(labels.y.mean()), float(labels.y.std()) or 1.0
            scaled = (labels.y - mean) / deviation
            fits = [SVR(kernel=kernel, C=c["C"]).fit(x, scaled, sample_weight=labels.weights) for c in candidates]
            return [SvmFit(fit, 0, mean=mean, deviation=deviation) for fit in fits]
        if len(np.unique(labels.y)) < 2:
            from affectkit.errors import AffectkitError

            what = "svm needs fit rows of two classes in every fold"
            raise AffectkitError("input", what, remedy="use --model linear")
        models = [SVC(kernel=kernel, C=c["C"]) for c in candidates]
        return [SvmFit(m.fit(x, labels.y, sample_weight=labels.weights), labels.classes) for m in models]

    def calibrated(self, fitted: SvmFit, oof: "np.ndarray", labels: "Labels") -> SvmFit:
        """Margins are no log-odds: find the temperature that makes the inner out-of-fold probabilities likeliest.

        It leaves the order of the classes alone, so the predictions are the machine's own.
        """
        from affectkit.evaluation.temperature import fit_sharpness

        if not labels.classes:
            return fitted
        return replace(fitted, temperature=1 / fit_sharpness(oof, labels.y, labels.weights))

    def save(self, fitted: SvmFit, stem: Path) -> None:
        from affectkit.estimators._skops import save_fit

        save_fit(fitted, stem)

    def load(self, stem: Path) -> SvmFit:
        from affectkit.estimators._skops import load_fit

        # Support vectors of sparse features are CSR, which the check looks into.
        trusted = ["sklearn.svm._classes.SVC", "sklearn.svm._classes.SVR", "scipy.sparse._csr.csr_matrix"]
        fitted = load_fit(SvmFit, stem, trusted=trusted)
        _check_machine(fitted)
        return fitted


def _check_machine(fitted: SvmFit) -> None:
    """Raises ValueError for a machine whose arrays do not fit together: libsvm would read past their ends."""
    import scipy.sparse as sp
    from sklearn.svm import SVC, SVR

    from affectkit.artifacts.arrays import checked

    model, classes = fitted.model, fitted.classes
    if type(model) is not (SVC if classes else SVR) or model.kernel not in KERNELS:
        raise ValueError("it is no support vector machine of such a target")
    if min(fitted.temperature, fitted.deviation) <= 0:
        raise ValueError("its temperature or its deviation is not above 0")
    if model._sparse != sp.issparse(model.support_vectors_) or (model.degree, model.coef0) != (3, 0):
        raise ValueError("its kernel is another than was fitted")
    many = _machine_classes(model, classes) if classes else 2  # a machine of numbers counts as one of two classes
    each = checked("n_support", model._n_support, [many], dtype="int32", low=0)
    count, columns = int(each.sum() if classes else each[0]), int(model.n_features_in_)
    rows = checked("shape_fit", list(model.shape_fit_), [2], low=0)
    checked("support", model.support_, [count], dtype="int32", low=0, high=rows[0] - 1)
    checked("gamma", model._gamma, [], low=0)
    for name in ("dual_coef_", "_dual_coef_"):
        _check_table(name, getattr(model, name), (many - 1, count), filled=True)
    for name in ("intercept_", "_intercept_"):
        checked(name, getattr(model, name), [many * (many - 1) // 2])
    for name in ("_probA", "_probB"):
        checked(name, getattr(model, name), [0])
    _check_table("support_vectors_", model.support_vectors_, (count, columns))


def _machine_classes(model: Any, classes: int) -> int:
    """How many it tells apart."""
    from affectkit.estimators._skops import count_classes

    count = count_classes(model, classes)
    if count < 2 or model.decision_function_shape != "ovr":
        raise ValueError("its classes do not rise")
    return count


def _check_table(name: str, table: Any, shape: tuple[int, int], *, filled: bool = False) -> None:
    """The same of an array, or of what CSR has of one. filled: libsvm takes CSR for an array of `shape`."""
    import scipy.sparse as sp

    from affectkit.artifacts.arrays import checked

    if not sp.issparse(table):
        checked(name, table, shape)
        return
    if table.format != "csr" or table.shape != shape:
        raise ValueError(f"{name} is {list(table.shape)} {table.format}, not {list(shape)} csr")
    checked(name, table.data, [shape[0] * shape[1] if filled else None])
    table.check_format(full_check=True)
