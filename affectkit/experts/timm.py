"""A timm network with your weights: valence and arousal, classes if it has any

Wightman 2019. Pixels are normalised, and crops sized, as timm's own data configuration of the architecture says.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.experts._expert import WEIGHTS, Expert, Faces, NetworkExpert
from affectkit.plain import comma_separated
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

NUMBERS = ("valence", "arousal", "dominance")
UNUSED = "_"
_REMEDY = "write timm:ARCHITECTURE/path/to/weights.safetensors (two slashes before an absolute path)"


medium = Faces  # what it reads, with the options of all that read it


def build(
    *,
    checkpoint: Annotated[str, Option("Weights: timm:ARCHITECTURE/path/to/weights.safetensors, or a .pth file.")] = "",
    outputs: Annotated[
        str,
        Option(
            "Meaning of its outputs, in order: numbers (valence, arousal, dominance), classes, or _ for unused ones."
        ),
    ] = "valence,arousal",
    expert_scale: Annotated[str, Option("Scale of its numbers: lowest,highest.")] = "-1,1",
) -> Expert:
    """The expert; weights are read by `load`. Raises "usage" for options that make no sense."""
    architecture, path = _parse(checkpoint)
    listed = comma_separated(outputs)
    if not set(listed) & set(NUMBERS):
        message = f"--outputs {outputs} has none of {', '.join(NUMBERS)}"
        raise AffectkitError("usage", message, remedy="write --outputs valence,arousal")
    used = [name for name in listed if name != UNUSED]
    if len(used) > len(set(used)):
        raise AffectkitError("usage", f"--outputs {outputs} names one twice")
    low, high = _scale(expert_scale)
    options = {"outputs": ",".join(listed), "expert_scale": f"{low:g},{high:g}"}
    return TimmExpert({"checkpoint": f"timm:{architecture}/{path}", **options})


class TimmExpert(NetworkExpert):
    """Its classes' probabilities are the softmax over the outputs that are classes."""

    name = "timm"
    size = 0
    licence = "the licence of the weights is their author's: see where they came from"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._listed = comma_separated(options["outputs"])
        self.outputs = tuple(name for name in self._listed if name in NUMBERS)
        self.classes = tuple(name for name in self._listed if name not in (*NUMBERS, UNUSED))
        self.scale = _scale(options["expert_scale"])

    def load(self, device: str, folder: Path | None = None) -> None:
        from timm.data import resolve_model_data_config

        architecture, path = _parse(self.options["checkpoint"])
        network = _opened(architecture, len(self._listed), folder / WEIGHTS if folder else Path(path).expanduser())
        config = resolve_model_data_config(network)
        self.size, self._mean, self._std = max(config["input_size"][1:]), tuple(config["mean"]), tuple(config["std"])
        self.hold(network, device)

    def outputs_of(self, crops: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        outputs = self._network(self.pixels(crops, self._mean, self._std)).float()
        logits = [place for place, name in enumerate(self._listed) if name in self.classes]
        return dict(zip(self._listed, outputs.unbind(dim=1), strict=True)), outputs[:, logits] if logits else None

    def describe(self) -> dict[str, Any]:
        return {"weights": self._digest, "size": self.size, "mean": self._mean, "std": self._std}


def _parse(checkpoint: str) -> tuple[str, str]:
    """The architecture and the path of its weights."""
    architecture, slash, path = checkpoint.removeprefix("timm:").partition("/")
    if not (architecture and slash and path):
        what = f"--checkpoint {checkpoint} names no weights" if checkpoint else "timm needs a --checkpoint"
        raise AffectkitError("usage", what, remedy=_REMEDY)
    return architecture, path


def _scale(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not low < high:
        raise AffectkitError("usage", f"--expert-scale {text}", remedy="write --expert-scale=-1,1")
    return low, high


def _opened(architecture: str, outputs: int, path: Path) -> Any:
    """On the CPU, in eval mode. Raises "usage", "missing", or "input" for weights that are not its own, all of them."""
    import timm
    import torch

    from affectkit.models.weights import built, read_tensors

    if not timm.is_model(architecture):
        remedy = did_you_mean(architecture, timm.list_models(), "timm.list_models() has them all")
        raise AffectkitError("usage", f"timm has no architecture '{architecture}'", remedy=remedy)
    if not path.is_file():
        raise AffectkitError("missing", f"there are no weights for {architecture}", file=path, remedy="name their file")
    build = partial(timm.create_model, architecture, pretrained=False, num_classes=outputs)
    with torch.random.fork_rng(devices=[]):
        network = built(build, read_tensors(path), f"timm's {architecture} with {outputs} outputs", path)
    return network.requires_grad_(False).eval()
