"""Images to fine-tune on: decoded, cut out, augmented, preprocessed, and the network that sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.artifacts.manifest import Manifest
from affectkit.encoders._encoder import Item, images
from affectkit.encoders._images import square
from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import Where, headers_of, reason
from affectkit.finetuning.passes import ONCE, InPasses, Passes, seed_of
from affectkit.labels import Target
from affectkit.media import mapped
from affectkit.media.augment_images import ImageAugmentation, view
from affectkit.media.images import ImageHeader, read_image, read_image_header
from affectkit.models import image_network
from affectkit.models.image_network import ImageNetwork
from affectkit.training.problem import Draw

DROPOUT = 0.1


@dataclass(frozen=True)
class Images:
    """The medium of image networks. dropout: before the heads. crop: "face" or "person" cuts out the box of that name.

    Nothing is drawn without augmentation: what a frozen network makes of an image is then the same in every epoch.
    """

    checkpoint: str
    revision: str = ""
    dropout: float | None = None
    crop: str = "none"
    augmentation: ImageAugmentation = field(default_factory=ImageAugmentation)

    reads = "images"
    answered_at_once = (32, None)
    frozen = frozenset[str]()

    @property
    def encodes_once(self) -> bool:
        return not self.augmentation

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Images:
        """As a record has it. Raises KeyError for one that is not whole."""
        return cls(spec["base"]["checkpoint"], dropout=float(spec["base"]["dropout"]), crop=spec["crop"])

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        return images(manifest, crop=self.crop)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        headers = headers_of(manifest, lambda paths: list(mapped(_header, paths, num_workers)))
        found = [_misfit(item, header, self.crop) for item, header in zip(self.items(manifest), headers, strict=True)]
        return {place: error for place, error in enumerate(found) if error}

    def decode(self, item: Item) -> np.ndarray:
        """[H, W, 3] uint8 RGB, of what is to be seen."""
        image = read_image(item.path or "")
        return image if self.crop == "none" else square(image, item, self.crop)

    def build(self, targets: Sequence[Target], seed: int) -> ImageNetwork:
        dropout = DROPOUT if self.dropout is None else self.dropout
        return image_network.build(self.checkpoint, targets, dropout=dropout, revision=self.revision, seed=seed)

    def load(self, folder: Path, targets: Sequence[Target]) -> ImageNetwork:
        return image_network.load(folder, targets)

    def whole(self, network: ImageNetwork, passes: Passes = ONCE) -> ImageNetwork | InPasses:
        return network if passes == ONCE else InPasses(network, passes)

    def examples(
        self,
        items: Sequence[Item],
        truth: Mapping[str, np.ndarray],
        network: ImageNetwork,
        where: Where,
        *,
        train: bool = False,
        passes: Passes = ONCE,
        failed: dict[int, str] | None = None,
    ) -> ImageExamples:
        return ImageExamples(self, items, truth, network, where, train, passes, failed)

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        return len(items), "images"

    def spec(self) -> dict[str, Any]:
        return {"head": "linear", "crop": self.crop}


@dataclass(frozen=True)
class ImageExamples:
    """Rows for an image network. train: whether they are augmented. passes: of `InPasses`. failed: as `Medium.examples`
    has it; black pixels stand in."""

    medium: Images
    items: Sequence[Item]
    truth: Mapping[str, np.ndarray]
    network: ImageNetwork
    where: Where
    train: bool = False
    passes: Passes = ONCE
    failed: dict[int, str] | None = None

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.items]

    @property
    def costs(self) -> np.ndarray:
        return np.ones(len(self.items))

    def load(self, position: int, draw: Draw | None) -> tuple[np.ndarray, int]:
        """[views, 3, height, width] float32, as the checkpoint was trained, and the seed of the row's passes."""
        seed = seed_of(self.items[position].id)
        try:
            image = self.medium.decode(self.items[position])
            if self.train and draw is not None and self.medium.augmentation:
                image = self.medium.augmentation.augment(image, draw())
            return np.stack([self.network.prepare(view(image, *each)) for each in self.passes.views]), seed
        except AffectkitError as error:
            if self.failed is None:
                raise AffectkitError(error.code, reason(error), **self.where(position), remedy=error.remedy) from None
            self.failed[position] = reason(error)
            return np.zeros((self.passes.tta, 3, *self.network.preprocessing.size), np.float32), seed

    def collate(self, items: list[tuple[np.ndarray, int]]) -> dict[str, torch.Tensor]:
        if self.passes == ONCE:
            return self.network.collate([views[0] for views, _ in items])
        views = self.network.collate([views for views, _ in items])
        return {**views, "seeds": torch.tensor([seed for _, seed in items])}


def _header(path: Path) -> ImageHeader | AffectkitError:
    try:
        return read_image_header(path)
    except AffectkitError as error:
        error.__traceback__ = None
        return error


def _misfit(item: Item, header: ImageHeader | AffectkitError, crop: str) -> AffectkitError | None:
    """What is wrong with a row: its file, or a box that is unknown or outside the image."""
    if isinstance(header, AffectkitError) or crop == "none":
        return header if isinstance(header, AffectkitError) else None
    try:
        square(np.broadcast_to(np.uint8(0), (header.height, header.width, 3)), item, crop)  # of no memory
    except AffectkitError as error:
        return error
    return None
