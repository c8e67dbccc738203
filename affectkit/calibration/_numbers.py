"""What calibrations of numbers share: which variances are known, and answers held to the scale of their target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from affectkit.artifacts.outputs import Output

SMALLEST_VARIANCE = 1e-6  # in squared units of the target


def variances(output: Output) -> np.ndarray:
    """[N]: the variance of each answer, NaN where it is missing, negative or infinite."""
    if output.var is None:
        return np.full(len(output), np.nan)
    return np.where(np.isfinite(output.var) & (output.var >= 0), output.var, np.nan)


def clamped(output: Output) -> tuple[Output, np.ndarray]:
    """`output` with mean, low and high held to the target's scale, and [N] bool: the rows whose mean was outside it. A
    target without a scale stays as it is."""
    if output.target.scale is None:
        return output, np.zeros(len(output), bool)
    lowest, highest = output.target.scale
    parts = {"mean": output.values, "low": output.low, "high": output.high}
    held = {name: np.clip(part, lowest, highest) for name, part in parts.items() if part is not None}
    return replace(output, **held), (output.values < lowest) | (output.values > highest)
