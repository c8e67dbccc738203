"""What a face expert says of an image, and the rule by which it took the face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from affectkit.detectors._detector import Policy, check_policy
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import numpy as np

NO_FACE = "no face found"


@dataclass(frozen=True)
class FaceAnswer:
    """What is said of an image, or why nothing is.

    values, var: by target, on its scale; var is NaN for a single pass. probabilities: [K] of the expert's classes, of
    the upright face. faces: how many were found. box: of the one that was read; crop: what its square was made from.
    """

    values: dict[str, float] = field(default_factory=dict)
    var: dict[str, float] = field(default_factory=dict)
    probabilities: np.ndarray | None = None
    faces: int = 0
    box: tuple[float, float, float, float] | None = None
    crop: str = ""
    declined: str = ""


@dataclass(frozen=True)
class Rule:
    """How a face becomes a crop: which of several, and the square around a box without landmarks."""

    policy: Policy = "largest"
    box_scale: float = 1.0
    flip_average: bool = True

    def __post_init__(self) -> None:
        check_policy(self.policy)
        if not 0.5 <= self.box_scale <= 3:
            raise AffectkitError("usage", f"--box-scale {self.box_scale:g}", remedy="use 0.5 to 3, such as 1.2")
