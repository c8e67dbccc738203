"""An image network that `affectkit finetune` made, on faces that are found for it

It was trained with --crop face on the manifest's boxes, and those of a detector may be wider: compare values of
--box-scale on val rows. Drawn faces, trained on tight boxes, found by haar, whose boxes are 1.18 times as wide: valence
r .74 at .85, .61 at 1, -.13 at 1.2.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import SPEC, best_model
from affectkit.errors import AffectkitError
from affectkit.experts._expert import Expert, Faces, NetworkExpert
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


medium = Faces  # what it reads, with the options of all that read it


def build(*, model_dir: Annotated[str, Option("Run folder of an image network that finetune made.")] = "") -> Expert:
    """The expert; the network is read by `load`. Raises "usage" without a folder."""
    if not model_dir:
        raise AffectkitError("usage", "finetuned needs a --model-dir", remedy="name a run folder of affectkit finetune")
    return FinetunedExpert({"model_dir": str(model_dir)})


class FinetunedExpert(NetworkExpert):
    """Answers are those of the network for the crops."""

    name = "finetuned"
    size = 0
    outputs: tuple[str, ...] = ()
    scale = (-1.0, 1.0)
    by_landmarks = False
    licence = "made by affectkit finetune: see the model card of the network that it was made from"

    def load(self, device: str, folder: Path | None = None) -> None:
        from affectkit.models import image_network

        place = folder or best_model(Path(self.options["model_dir"]))
        if folder is None:
            spec = read_json(place / SPEC, what="description of a model")
            if (spec.get("kind"), spec.get("reads")) != ("finetuned", "images"):
                remedy = "name a run folder of affectkit finetune on images"
                raise AffectkitError("input", "is no fine-tuned image network", file=place, remedy=remedy)
            crop = spec.get("crop", "none")
            if crop == "face":
                log.info("it was trained on the manifest's boxes: those of another detector may ask for a --box-scale")
            else:
                seen = "whole images" if crop == "none" else f"boxes of a {crop}"
                log.warning("it was trained on %s, and sees faces alone here", seen)
        network = image_network.load(place, image_network.targets_of(place))
        numbers = [target for target in network.targets if target.kind == "number"]
        scales = {target.scale for target in numbers if target.scale}
        if len(scales) != 1 or not all(target.scale for target in numbers):
            what = "answers for no number" if not numbers else "answers on several scales, or on none"
            raise AffectkitError("input", what, file=place, remedy="fine-tune it for valence and arousal on one scale")
        self.outputs, self.scale = tuple(target.name for target in numbers), scales.pop()
        labels = [target for target in network.targets if target.kind != "number"]
        self.classes = tuple(labels[0].classes) if labels else ()
        self._label = labels[0].name if labels else None
        self.size = max(network.preprocessing.resize_to)
        self.hold(network, device)

    def outputs_of(self, crops: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        batch = self._network.collate([self._network.prepare(crop) for crop in crops])
        outputs = self._network(batch["pixels"].to(self._device))
        return outputs, outputs.get(self._label)

    def save(self, folder: Path) -> None:
        self._network.save(folder)

    def describe(self) -> dict[str, Any]:
        return {**self._network.describe(), "weights": self._digest, "size": self.size}
