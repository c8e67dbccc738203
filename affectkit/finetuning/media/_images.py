"""Rows of images for an image network, and the network that answers for each of them in several passes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from affectkit.encoders._encoder import Item
from affectkit.encoders._images import square
from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import MediumExamples, headers_of
from affectkit.finetuning.passes import ONCE, Passes
from affectkit.media.augment_images import view
from affectkit.media.files import mapped, or_error
from affectkit.media.images import ImageHeader, read_image_header
from affectkit.models.image_network import ImageNetwork
from affectkit.training.problem import Draw

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest


class ImageExamples(MediumExamples):
    """Rows for an image network. passes: of `InPasses`."""

    @property
    def costs(self) -> np.ndarray:
        return np.ones(len(self.items))

    def load(self, position: int, draw: Draw | None) -> tuple[np.ndarray, int]:
        """[views, 3, height, width] float32, as the checkpoint was trained, and the seed of the row's passes."""
        draw = draw if self.train and self.medium.augmentation else None
        shape = (self.passes.tta, *self.pictures, 3, *self.network.preprocessing.size)
        return self.read(position, partial(self.views, draw=draw), *shape), seed_of(self.items[position].id)

    @property
    def pictures(self) -> tuple[int, ...]:
        """How many a row has, where it may have several."""
        return ()

    def views(self, item: Any, draw: Draw | None) -> np.ndarray:
        """draw: where it is augmented."""
        image = self.medium.decode(item)
        if draw is not None:
            image = self.medium.augmentation.augment(image, draw())
        return np.stack([self.network.prepare(view(image, *each)) for each in self.passes.views])

    def collate(self, items: list[tuple[np.ndarray, int]]) -> dict[str, torch.Tensor]:
        if self.passes == ONCE:
            return self.network.collate([views[0] for views, _ in items])
        views = self.network.collate([views for views, _ in items])
        return {**views, "seeds": torch.tensor([seed for _, seed in items])}


class PictureRow(NamedTuple):
    """A row of several pictures, each with its box where boxes are cut out."""

    id: str
    pictures: tuple[Item, ...]


class PictureExamples(ImageExamples):
    """Rows for a network with branches: [views, P, 3, height, width] of each."""

    @property
    def pictures(self) -> tuple[int, ...]:
        return (len(self.medium.names),)

    def views(self, item: Any, draw: Draw | None) -> np.ndarray:
        images = self.medium.decode(item)
        if draw is not None:
            images = self.medium.augmentation.augment_alike(images, draw())
        return np.stack([[self.network.prepare(view(image, *each)) for image in images] for each in self.passes.views])


def misfits(
    manifest: Manifest, items: Sequence[Item], column: str, crop: str, workers: int
) -> dict[int, AffectkitError]:
    """What is wrong with rows, by position, as far as the headers of the images in a column tell."""
    read = partial(mapped, partial(or_error, read_image_header), workers=workers)
    rows = enumerate(zip(items, headers_of(manifest, read, column), strict=True))
    errors = {place: misfit(item, header, crop) for place, (item, header) in rows}
    return {place: error for place, error in errors.items() if error}


def misfit(item: Item, header: ImageHeader | AffectkitError, crop: str) -> AffectkitError | None:
    """What is wrong with a row: its file, or a box that is unknown or outside the image."""
    if isinstance(header, AffectkitError) or crop == "none":
        return header if isinstance(header, AffectkitError) else None
    try:
        square(np.broadcast_to(np.uint8(0), (header.height, header.width, 3)), item, crop)  # of no memory
    except AffectkitError as error:
        return error
    return None


class InPasses(nn.Module):
    """A network that answers each row once for every pass: {target: [B, passes, ...]}.

    Dropout is drawn from the row's own seed, so that an answer does not depend on what else is in the batch. Only what
    comes before the heads is dropped: the backbone is run once for each view, however many draws there are. Raises
    "usage" for draws of a dropout that the network does not have: all would be the same.
    """

    def __init__(self, network: ImageNetwork, passes: Passes) -> None:
        super().__init__()
        self.network, self.passes = network, passes
        if passes.mc_dropout and not network.dropout.p:
            message = f"--mc-dropout {passes.mc_dropout} draws from a dropout, and this network has none"
            raise AffectkitError("usage", message, remedy="fine-tune with --dropout .1, or use --tta 5")

    def forward(self, pixels: torch.Tensor, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """pixels: [B, views, 3, height, width]. seeds: [B] int64."""
        encoded = self.network.encode(pixels.flatten(0, 1)).reshape(*pixels.shape[:2], -1)
        # By the row: 1000 draws of ten views and 2048 features are 82 MB, and of 32 rows 2.6 GB.
        each = [self._of_row(views, seed) for views, seed in zip(encoded, seeds.tolist(), strict=True)]
        return {name: torch.stack([row[name] for row in each]) for name in each[0]}

    def _of_row(self, encoded: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
        """encoded: [views, D]."""
        draws = self.passes.mc_dropout
        return self.network(features=_dropped(encoded, seed, draws, self.network.dropout.p) if draws else encoded)


def _dropped(encoded: torch.Tensor, seed: int, draws: int, rate: float) -> torch.Tensor:
    """[V, D] -> [V * draws, D]: inverted dropout, as torch has it."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(encoded), draws, encoded.shape[1])
    kept = torch.rand(shape, generator=generator).ge_(rate).to(encoded)
    return (encoded[:, None] * kept / (1 - rate)).flatten(0, 1)


def seed_of(row_id: str) -> int:
    """From a row's id, 63 bits."""
    return int.from_bytes(hashlib.sha256(row_id.encode()).digest()[:8], "little") >> 1
