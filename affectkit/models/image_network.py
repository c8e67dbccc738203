"""A pretrained image network with a linear head per target, to be fine-tuned: pixels in, an output per target out.

What comes before the heads can be kept (`encode`) and given back (`features`): as long as the backbone is frozen, heads
train on what it gave once, with the same losses to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.files import read_json, write_json
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.models import image_branches, images
from affectkit.models.forward import without_tf32
from affectkit.models.image_backbone import ImageBackbone
from affectkit.models.image_branches import ImageBranches
from affectkit.models.image_libraries import at_size
from affectkit.models.outputs import is_linked, link_all, said, unlinked
from affectkit.models.weights import fill, read_tensors, write_tensors

_RECORD, _HEADS = "network.json", "heads.safetensors"


class ImageNetwork(nn.Module):
    """Backbone, dropout, and a linear head for each target. A backbone of branches sees several pictures: there, pixels
    are [..., P, 3, height, width].

    dim: of the features between them. preprocessing: what `prepare` does. rate of the dropout: 0 to 1.
    """

    def __init__(self, source: ImageBackbone | ImageBranches, targets: Sequence[Target], dropout: float = 0.1) -> None:
        super().__init__()
        self.source, self.targets = source, tuple(targets)
        self.preprocessing, self.dim = source.preprocessing, source.dim
        self.backbone, self.dropout = source.network, nn.Dropout(dropout)
        outputs = [1 if target.kind == "number" else len(target.classes) for target in targets]
        names = [target.name for target in targets]
        # a module's name may hold no dot, and be no attribute's
        self._keys = {name: f"{place}-{name.replace('.', '-')}" for place, name in enumerate(names)}
        heads = zip(self._keys.values(), outputs, strict=True)
        self.heads = nn.ModuleDict({key: nn.Linear(self.dim, count) for key, count in heads})
        self.fixed_statistics = False
        link_all(self)

    def train(self, mode: bool = True) -> Self:
        """With `fixed_statistics` batch norm goes by what it has known of all images, in training too."""
        super().train(mode)
        for module in self.modules() if self.fixed_statistics else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 RGB -> [3, height, width] float32, as the checkpoint was trained. Raises "input"."""
        return self.preprocessing(image)

    def collate(self, prepared: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """What `prepare` gave, as a batch."""
        return {"pixels": torch.from_numpy(np.stack(prepared))}

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 3, height, width] -> [B, dim] float32. On a GPU without TF32 outside training."""
        plain = self.training or pixels.device.type != "cuda"
        with nullcontext() if plain else without_tf32():
            return self.backbone(pixels).float()

    def forward(
        self, pixels: torch.Tensor | None = None, features: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Of each target: classes [B, K] logits, ordered levels [B, K] log-probabilities, a number [B], in float32.

        pixels: [B, 3, height, width]. features: [B, dim], what `encode` gave for them, in their place.
        """
        if (pixels is None) == (features is None):
            raise ValueError("give pixels or features")
        kept = self.dropout(self.encode(pixels) if pixels is not None else features)
        return {
            target.name: said(self.heads[self._keys[target.name]](kept), target, self.dim) for target in self.targets
        }

    def output_of(self, target: Target) -> tuple[Any, slice]:
        """The linear layer that answers for a target, and which of its outputs do."""
        head: Any = self.heads[self._keys[target.name]]
        return head, slice(0, head.out_features)

    @contextmanager
    def mc(self, enabled: bool = True) -> Iterator[None]:
        """Within, `nn.Dropout` draws (where enabled), and all else is in eval mode: Monte Carlo dropout.

        No stochastic depth, no batch-norm statistics. Gal and Ghahramani 2016.
        """
        before = [(module, module.training) for module in self.modules()]
        self.eval()
        for module in self.modules():
            if enabled and isinstance(module, nn.Dropout):
                module.train()
        try:
            yield
        finally:
            for module, training in before:
                module.training = training

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """From the input to the head: stem, block-0, ..., neck, head."""
        return [*self.source.parts(), ("head", list(self.heads.parameters()))]

    @torch.no_grad()
    def fold(self, scaling: Mapping[str, tuple[float, float]]) -> None:
        """Let numbers come out in their own units: mean + deviation * output, of every number's (mean, deviation)."""
        for target in self.targets:
            if target.kind == "number":
                mean, deviation = scaling[target.name]
                head: Any = self.heads[self._keys[target.name]]
                head.weight *= deviation
                head.bias.mul_(deviation).add_(mean)

    def describe(self) -> dict[str, Any]:
        """What a record says of it; the weights are those that it started from."""
        facts = {"dim": self.dim, "dropout": self.dropout.p, "preprocessing": self.preprocessing.plain()}
        return {**self.source.facts(), **facts}

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads: the backbone's, and beside it the heads."""
        folder = Path(folder)
        self.source.save(folder)
        write_tensors(folder / _HEADS, self.heads.state_dict())
        targets = [target.to_json() for target in self.targets]
        links = [target.name for target in self.targets if is_linked(target)]
        write_json(folder / _RECORD, {"targets": targets, "dropout": self.dropout.p, "links": links})


def build(
    checkpoint: str,
    targets: Sequence[Target],
    *,
    dropout: float = 0.1,
    revision: str = "",
    size: int | None = None,
    seed: int = 0,
    pictures: Sequence[str] = (),
    shared: bool = False,
) -> ImageNetwork:
    """A checkpoint's network with new heads for `targets`, drawn from `seed`, in eval mode.

    checkpoint, revision: as `images.load_image_backbone` has them. size: as `image_libraries.at_size`, where it is not
    that of the checkpoint. dropout: rate before the heads. pictures: names of those that a row has, each seen by a
    branch; shared: the branches have the same weights.
    Raises as it does, and "usage" without targets or for a rate that is none.
    """
    if not targets:
        raise AffectkitError("usage", "there is no target to predict", remedy="name one: --target valence")
    if not 0 <= dropout < 1:
        raise AffectkitError("usage", f"dropout {dropout:g} is no rate", remedy="give 0 to 1, without the 1")
    with torch.random.fork_rng(devices=[]):
        source: Any = images.load_image_backbone(checkpoint, revision=revision)
        if size:
            source = at_size(source, size)
        if pictures:
            source = image_branches.branched(source, pictures, shared=shared)
        torch.manual_seed(seed)
        return ImageNetwork(source, targets, dropout).eval()


def load(folder: Path, targets: Sequence[Target], pictures: Sequence[str] = ()) -> ImageNetwork:
    """What `save` wrote, in eval mode. pictures: as `build` has them.

    Raises "missing" or "input" for a folder that does not hold exactly that.
    """
    folder = Path(folder)
    with torch.random.fork_rng(devices=[]):
        source: Any = image_branches.load(folder, pictures) if pictures else images.load(folder)
        saved, dropout, links = _recorded(folder)
        each = zip(targets, unlinked(targets), strict=True)
        if _outputs(saved) != _outputs(targets):
            names = [", ".join(target.name for target in each) for each in (saved, targets)]
            what = f"{names[0]}, not {names[1]}" if names[0] != names[1] else f"other classes of {names[0]}"
            raise AffectkitError("input", f"predicts {what}", file=folder / _RECORD)
        network = ImageNetwork(source, [known if known.name in links else free for known, free in each], dropout)
    fill(network.heads, read_tensors(folder / _HEADS), "the heads", folder / _HEADS)
    return network.eval()


def targets_of(folder: Path) -> list[Target]:
    """What a folder that `save` wrote answers for. Raises as `load` does."""
    return _recorded(Path(folder))[0]


def _recorded(folder: Path) -> tuple[list[Target], float, set[str]]:
    """Targets, the rate of the dropout, and which of the targets are answered by links."""
    record = read_json(folder / _RECORD, what="record of heads")
    try:
        targets = [Target.from_json(data) for data in record["targets"]]
        return targets, float(record["dropout"]), {str(name) for name in record.get("links", ())}
    except (KeyError, TypeError, ValueError, AttributeError):
        message, remedy = "does not say targets and dropout", "copy the folder again"
        raise AffectkitError("input", message, file=folder / _RECORD, remedy=remedy) from None


def _outputs(targets: Sequence[Target]) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(target.name, target.kind == "number", tuple(target.classes)) for target in targets]
