"""Support vector machine, its probabilities set on inner out-of-fold scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.estimators._estimator import CGrid, Matrix, parse_grid
from affectkit.registry import Option

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels


def build(
    *,
    c_grid: CGrid = "0.1,1,10",
    kernel: Annotated[
        Literal["rbf", "linear"], Option("Kernel: linear or rbf, with gamma = 1 / (D * variance).")
    ] = "rbf",
) -> "Svm":
    """The estimator of `--model svm`."""
    return Svm("svm", {"c_grid": c_grid, "kernel": kernel}, parse_grid(c_grid, "--c-grid"), kernel)


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
        present = self.model.classes_
        scores = np.full((x.shape[0], self.classes), -np.inf)
        if len(present) == 2:
            margin = self.model.decision_function(x)
            scores[:, present] = np.column_stack([-margin / 2, margin / 2])
        else:
            scores[:, present] = self.model.decision_function(x)
        return softmax(scores / self.temperature, axis=1)


@dataclass(frozen=True)
class Svm:
    name: str
    options: dict[str, Any]
    grid: list[float]
    kernel: str
    selects_on: str = "uar"  # margins are no probabilities before they are calibrated

    def candidates(self, *, classes: int) -> list[dict[str, Any]]:
        return [{"C": c} for c in self.grid]

    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[SvmFit]:
        import numpy as np
        from sklearn.svm import SVC, SVR

        if not labels.classes:
            mean, deviation = float(labels.y.mean()), float(labels.y.std()) or 1.0
            scaled = (labels.y - mean) / deviation
            fits = [SVR(kernel=self.kernel, C=c["C"]).fit(x, scaled, sample_weight=labels.weights) for c in candidates]
            return [SvmFit(fit, 0, mean=mean, deviation=deviation) for fit in fits]
        if len(np.unique(labels.y)) < 2:
            from affectkit.errors import AffectkitError

            raise AffectkitError(
                "input", "svm needs fit rows of two classes in every fold", remedy="use --model linear"
            )
        models = [SVC(kernel=self.kernel, C=c["C"]) for c in candidates]
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
        from affectkit.artifacts.files import write_json
        from affectkit.estimators import _skops

        _skops.save(fitted.model, stem.with_name(stem.name + ".skops"))
        facts = {k: getattr(fitted, k) for k in ("classes", "temperature", "mean", "deviation")}
        write_json(stem.with_name(stem.name + ".json"), facts)

    def load(self, stem: Path) -> SvmFit:
        from affectkit.artifacts.files import read_json
        from affectkit.estimators import _skops

        facts = read_json(stem.with_name(stem.name + ".json"), what="fit")
        facts.pop("schema", None)
        return SvmFit(_skops.load(stem.with_name(stem.name + ".skops")), **facts)
