"""Several passes of an image network over a row: views of the image, and dropout in front of its heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.errors import AffectkitError
from affectkit.registry import Option, check_values

if TYPE_CHECKING:
    import numpy as np
    import torch

    from affectkit.artifacts.outputs import TargetPrediction
    from affectkit.labels import Target
    from affectkit.training.objective import Objective

Tta = Annotated[
    int,
    Option(
        "Number of views of each image; the answer is their mean, and its variance that of the views.", least=1, most=10
    ),
]
McDropout = Annotated[
    int,
    Option(
        "Number of draws of the dropout before the head, for each view of an image; the answer is their mean, and its "
        "variance that of the draws. 0: no dropout.",
        least=0,
        most=1000,
    ),
]
DRAWS = (
    "Number of draws of the dropout, of image networks before the head, of mlp, attention and cross-attention "
    "throughout; the answer is their mean. Speech and text networks have none: fine-tune several. 0: no dropout."
)


@dataclass(frozen=True)
class Passes:
    """tta: views of an image, the first of which is the image itself. mc_dropout: for each view so many draws of the
    dropout before the heads (Gal and Ghahramani 2016); 0: none, the network as it is.

    With more than one pass in all, an answer is their mean, and says how far they differ: `over_passes`.
    """

    tta: Tta = 1
    mc_dropout: McDropout = 0

    def __post_init__(self) -> None:
        check_values(Passes, vars(self))

    @classmethod
    def of(cls, spec: Mapping[str, Any], tta: int | None = None, mc_dropout: int | None = None) -> Passes:
        """As a record has them, unless told otherwise."""
        return cls(
            int(spec.get("tta", 1)) if tta is None else tta,
            int(spec.get("mc_dropout", 0)) if mc_dropout is None else mc_dropout,
        )

    def plain(self) -> dict[str, int]:
        """For a record; nothing for a single pass."""
        return {} if self == ONCE else asdict(self)

    @property
    def count(self) -> int:
        return self.tta * max(1, self.mc_dropout)

    @property
    def views(self) -> tuple[tuple[float, bool], ...]:
        """(factor on the side, mirrored) of each view."""
        from affectkit.media.augment_images import PASSES

        return PASSES[: self.tta]

    def answers(self, objective: Objective, outputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
        """[N, count, K] probabilities and [N, count] numbers in their units, not held to their scales.

        objective: with the scaling of the network. outputs: its own, [N, ...], or of `InPasses` [N, count, ...].
        """
        free = replace(objective, targets=tuple(replace(target, scale=None) for target in objective.targets))
        rows = dict(outputs) if self == ONCE else {name: values.flatten(0, 1) for name, values in outputs.items()}
        return {name: values.reshape(-1, self.count, *values.shape[1:]) for name, values in free.answers(rows).items()}


ONCE = Passes()


def check_once(passes: Passes, reads: str) -> None:
    """Raises "usage" for several passes of a network that has only one."""
    if passes != ONCE:
        message = f"--tta and --mc-dropout are of image networks, and this one reads {reads}"
        raise AffectkitError("usage", message, remedy="leave them out")


def over_passes(targets: Sequence[Target], answers: Mapping[str, np.ndarray]) -> list[TargetPrediction]:
    """answers: [N, passes] numbers in their units, [N, passes, K] probabilities."""
    from affectkit.artifacts.outputs import TargetPrediction

    return [TargetPrediction.over_passes(target, answers[target.name]) for target in targets]
