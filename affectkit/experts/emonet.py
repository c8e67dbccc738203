"""EmoNet: valence, arousal and 5 or 8 expressions of a face; you bring its weights

Toisoul et al. 2021. The weights are its authors', CC BY-NC-ND 4.0: for research only. Crops made from 68 landmarks are
what it was evaluated on; a crop made from a detector's box is another one, which the record says. On 400 drawn faces
that square is 1.37 times as wide as haar's box (5th to 95th percentile 1.27 to 1.44): --box-scale 1.35 comes near it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.experts._expert import WEIGHTS, Expert, Faces, NetworkExpert
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

PRETRAINED = "models/emonet/pretrained"


medium = Faces  # what it reads, with the options of all that read it


def build(
    *,
    weights: Annotated[
        str, Option("The authors' emonet_8.pth or emonet_5.pth, or a folder that holds one.")
    ] = PRETRAINED,
    expressions: Annotated[
        int, Option("Number of expressions, 5 or 8; 0 takes what the weights have, 8 where a folder has both.")
    ] = 0,
    fifth: Annotated[
        str, Option("Meaning of the fifth of five expressions: anger (the authors' loader) or fear (their README).")
    ] = "anger",
) -> Expert:
    """The expert; weights are read by `load`. Raises "usage" for options that make no sense."""
    from affectkit.models.emonet import Fifth

    if expressions not in (0, 5, 8):
        raise AffectkitError("usage", f"--expressions {expressions}", remedy="use 5, 8, or 0 for what the weights have")
    if fifth not in get_args(Fifth):
        raise AffectkitError("usage", f"--fifth {fifth}", remedy="use anger or fear")
    return EmoNetExpert({"weights": str(weights), "expressions": int(expressions), "fifth": fifth})


class EmoNetExpert(NetworkExpert):
    """Its numbers are unbounded, though trained to [-1, 1]: what uses them clips their mean."""

    name = "emonet"
    size = 256
    outputs: tuple[str, ...] = ("valence", "arousal")
    scale = (-1.0, 1.0)

    def load(self, device: str, folder: Path | None = None) -> None:
        from affectkit.models.emonet import LICENCE, expressions_of, load_weights

        path = folder / WEIGHTS if folder else self.options["weights"]
        network = load_weights(path, self.options["expressions"] or None)
        self.hold(network, device)
        self.licence, self.classes = LICENCE, expressions_of(network.expressions, self.options["fifth"])

    def outputs_of(self, crops: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        answer = self._network(self.pixels(crops))
        return {"valence": answer.valence, "arousal": answer.arousal}, answer.expression

    def describe(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"weights": self._digest, "expressions": self._network.expressions}
        if self._network.expressions == 5:
            other = {"anger": "README says fear", "fear": "loader says anger"}[self.options["fifth"]]
            facts["fifth"] = f"the fifth expression is taken for {self.options['fifth']}; its authors' {other}"
        return facts
