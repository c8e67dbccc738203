"""L2-regularised linear model: multinomial logistic regression for classes, ridge for numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.estimators._estimator import CGrid, Estimator, Matrix, parse_grid

if TYPE_CHECKING:
    import numpy as np

    from affectkit.estimators._estimator import Labels

SPAN_ROWS = 2000
ABSENT = -1e3  # the intercept of a class that has no fit row: probability 0 in float64


def build(*, c_grid: CGrid = "0.0001,0.001,0.01,0.1,1,10") -> "Linear":
    """The estimator of `--model linear`."""
    return Linear("linear", {"c_grid": c_grid}, [{"C": c} for c in parse_grid(c_grid, "--c-grid")])


@dataclass(frozen=True)
class LinearFit:
    """coef: [K, D] (numbers: [1, D]), intercept: [K], float64."""

    coef: "np.ndarray"
    intercept: "np.ndarray"

    def predict(self, x: Matrix) -> "np.ndarray":
        from scipy.special import softmax

        scores = x @ self.coef.T + self.intercept
        return softmax(scores, axis=1) if len(self.intercept) > 1 else scores[:, 0]


@dataclass(frozen=True)
class Linear(Estimator):
    def fit_path(self, x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]], seed: int) -> list[LinearFit]:
        """With more features than rows, the fit runs in the at most N dimensions that the rows span.

        An L2 penalty does not see a rotation, so the result is the same and the cost is that of N features: a tenth
        on 360 rows of ComParE's 6373. Sparse rows are many times cheaper as they are once there are thousands.
        """
        import scipy.sparse as sp

        rows, columns = x.shape
        if columns <= rows or (sp.issparse(x) and rows > SPAN_ROWS):
            return _fit_all(x, labels, candidates)
        z, to_rows = _span(x)
        if not z.shape[1]:  # all rows are the same: there is no span, and nothing but an intercept to fit
            return _fit_all(x, labels, candidates)
        fits = _fit_all(z, labels, candidates)
        return [LinearFit((fit.coef @ to_rows) @ x, fit.intercept) for fit in fits]

    def save(self, fitted: LinearFit, stem: Path) -> None:
        import numpy as np
        from safetensors.numpy import save

        from affectkit.artifacts.files import write_bytes

        # safetensors writes a buffer as it lies: a product with CSR lies by columns, and would come back scrambled.
        tensors = {name: np.ascontiguousarray(values) for name, values in vars(fitted).items()}
        write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))

    def load(self, stem: Path) -> LinearFit:
        from safetensors.numpy import load_file

        from affectkit.artifacts.arrays import checked

        stored = load_file(stem.with_name(stem.name + ".safetensors"))
        intercept = checked("intercept", stored["intercept"], [None])
        return LinearFit(checked("coef", stored["coef"], [len(intercept), None]), intercept)


def _span(x: Matrix) -> tuple["np.ndarray", "np.ndarray"]:
    """z [N, R] and m [R, N] with orthonormal rows m @ x, and x = z @ (m @ x): the rows in a basis of their span."""
    import numpy as np
    import scipy.sparse as sp

    gram = x @ x.T
    squares, vectors = np.linalg.eigh(gram.toarray().astype(float) if sp.issparse(gram) else gram)
    kept = squares > squares[-1] * 1e-12
    singular = np.sqrt(squares[kept])
    left = vectors[:, kept]
    return left * singular, (left / singular).T


def _fit_all(x: Matrix, labels: "Labels", candidates: Sequence[dict[str, Any]]) -> list[LinearFit]:
    """Fits from the most to the least regularised, each starting where the last one ended."""
    fit = _fit_classes if labels.classes else _fit_numbers
    return fit(x, labels, [candidate["C"] for candidate in candidates])


def _fit_classes(x: Matrix, labels: "Labels", grid: Sequence[float]) -> list[LinearFit]:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    present = np.unique(labels.y)
    if len(present) < 2:
        only = np.full(labels.classes, ABSENT)
        only[present] = 0.0
        return [LinearFit(np.zeros((labels.classes, x.shape[1])), only) for _ in grid]
    model = LogisticRegression(max_iter=3000, warm_start=True)
    fits = []
    for c in grid:
        model.set_params(C=c).fit(x, labels.y, sample_weight=labels.weights)
        coef = np.zeros((labels.classes, x.shape[1]))
        intercept = np.full(labels.classes, ABSENT)
        binary = len(present) == 2  # scikit-learn keeps one row for two classes: the second's score against 0
        coef[present] = np.vstack([np.zeros_like(model.coef_), model.coef_]) if binary else model.coef_
        intercept[present] = np.concatenate([[0.0], model.intercept_]) if binary else model.intercept_
        fits.append(LinearFit(coef, intercept))
    return fits


def _fit_numbers(x: Matrix, labels: "Labels", grid: Sequence[float]) -> list[LinearFit]:
    import numpy as np
    from sklearn.linear_model import Ridge

    solver = "cholesky" if isinstance(x, np.ndarray) else "sparse_cg"
    fits = []
    for c in grid:
        model = Ridge(alpha=1 / (2 * c), solver=solver).fit(x, labels.y, sample_weight=labels.weights)
        fits.append(LinearFit(model.coef_.reshape(1, -1), np.atleast_1d(model.intercept_)))
    return fits
