"""Test-time augmentation: what the passes over a face are, and what becomes of their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affectkit.media.views import PASSES, check_passes


@dataclass(frozen=True)
class Plan:
    """tta: passes, 1 to 10. flip_average: let the one pass be the mean of the face and its mirror image.

    More than one pass have the mirror image among them, and nothing is averaged twice: a pass and its mirror's would
    be equal, and the variance too small.
    """

    tta: int = 1
    flip_average: bool = True

    def __post_init__(self) -> None:
        check_passes(self.tta)

    @property
    def views(self) -> tuple[tuple[float, bool], ...]:
        """(factor on the side, mirrored) of each crop that the expert is shown, the plain one first."""
        return PASSES[: 2 if self.tta == 1 and self.flip_average else self.tta]

    def mean_and_var(self, values: np.ndarray) -> tuple[float, float]:
        """Of a number for each view: the mean, and the variance of passes (ddof 1), NaN for a single pass."""
        return float(values.mean()), float("nan") if self.tta == 1 else float(values.var(ddof=1))


def rescaled(
    mean: float, var: float, scale: tuple[float, float], target: tuple[float, float] | None
) -> tuple[float, float]:
    """A mean and a variance of passes, from the expert's scale to the target's; the mean is clipped to it.

    Clipped is the mean, not each pass: clipped passes would agree where the expert is most unsure.
    """
    low, high = scale
    start, end = target or scale
    slope = (end - start) / (high - low)
    return float(np.clip(start + slope * (mean - low), start, end)), float(slope**2 * var)
