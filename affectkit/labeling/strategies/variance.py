"""Rows whose numbers are least certain: the largest predicted variance, of several sources with that between them

Variances of several targets count in units of their mean over the pool.
"""

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool
from affectkit.labeling.strategies._strategy import Scored, mean_of_known
from affectkit.plain import shown


def build() -> Scored:
    """The strategy; it has no options."""
    return Variance()


class Variance(Scored):
    name = "variance"

    def scores(self, pool: Pool) -> np.ndarray:
        return mean_of_known([in_units(output.var) for output in told(pool) if output.var is not None])

    def reason(self, pool: Pool, row: int) -> str:
        each = [f"{output.target.name} {shown(output.mean[row])} +- {shown(np.sqrt(output.var[row]))}"
                for output in told(pool) if output.mean is not None and output.var is not None]  # fmt: skip
        return f"unsure: {', '.join(each)}"


def told(pool: Pool) -> list[TargetPrediction]:
    """The numbers whose variance is known. Raises "usage" where there is none."""
    outputs = [output for output in pool.outputs if output.target.kind == "number" and output.var is not None]
    if not outputs:
        remedy = "name several sources, or a table with <target>_var, such as that of calibrate or predict --mc-dropout"
        raise AffectkitError("usage", "--strategy variance: no number has a variance", remedy=remedy)
    return outputs


def in_units(variance: np.ndarray) -> np.ndarray:
    """[N] in units of the mean, as it is where that is 0."""
    mean = np.nanmean(variance) if np.isfinite(variance).any() else 0.0
    return variance / mean if mean > 0 else variance
