"""Images: cut out and augmented, and the network that sees them

They are decoded upright, and preprocessed as the checkpoint was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from affectkit.finetuning.passes import ONCE, McDropout, Passes, Tta
from affectkit.registry import Option, check_values
from affectkit.training.settings import BatchSize

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.manifest import Manifest
    from affectkit.encoders._encoder import Item
    from affectkit.errors import AffectkitError
    from affectkit.finetuning.media._images import ImageExamples, InPasses
    from affectkit.labels import Target
    from affectkit.media.augment_images import ImageAugmentation
    from affectkit.models.image_network import ImageNetwork


@dataclass(frozen=True)
class Images:
    """The medium of image networks. Nothing is drawn without augmentation: what a frozen network makes of an image is
    then the same in every epoch."""

    checkpoint: str
    revision: str = ""
    dropout: Annotated[float, Option("Dropout: before the head.", least=0, most=0.9)] = 0.1
    image_size: Annotated[
        int | None,
        Option(
            "Pixels of a side that the network sees, where it can read other images than it was trained on; small ones "
            "are faster.",
            least=32,
            most=2048,
            default="as it was trained",
        ),
    ] = None
    batch_norm: Annotated[
        Literal["batch", "fixed"],
        Option(
            "What batch norm goes by in training: each batch, of several processes each its share of it; or fixed, the "
            "checkpoint's statistics, which suits few epochs, small batches, and images unlike those that it was "
            "trained on."
        ),
    ] = "batch"
    crop: Annotated[
        Literal["none", "face", "person"],
        Option("Cut out a box: of this name, given by columns such as face_x, face_y, face_width, face_height."),
    ] = "none"
    features: Annotated[
        Path | None,
        Option(
            "Features that extract-features made with the same network, for stages that train the head alone.",
            default="computed once, where they serve",
        ),
    ] = None
    tta: Tta = 1
    mc_dropout: McDropout = 0
    batch_size: BatchSize = 32
    augment: Annotated[
        str,
        Option(
            "Augmentation in training: none, light, strong, or effects joined by commas: "
            "flip=.5, crop=.8..1, colour=.2, rotate=10, grey=.1, blur=.2..1, erase=.1."
        ),
    ] = "none"

    reads = "images"
    answered_at_once = (32, None)
    frozen = frozenset[str]()
    batch_seconds = None

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))
        self.augmentation  # noqa: B018  raises for one that cannot be

    @cached_property
    def augmentation(self) -> ImageAugmentation:
        from affectkit.media.augment_images import parse

        return parse(self.augment)

    @property
    def encodes_once(self) -> bool:
        return not self.augmentation

    @property
    def passes(self) -> Passes:
        return Passes(self.tta, self.mc_dropout)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], **more: Any) -> Self:
        """As a record has it. Raises KeyError for one that is not whole."""
        how = {"crop": spec["crop"], "image_size": spec.get("image_size"), **more}
        return cls(spec["base"]["checkpoint"], dropout=float(spec["base"]["dropout"]), **how)

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        from affectkit.encoders._encoder import images

        return images(manifest, crop=self.crop)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        from affectkit.finetuning.media._images import misfits

        return misfits(manifest, self.items(manifest), "path", self.crop, num_workers)

    def decode(self, item: Item) -> np.ndarray:
        """[H, W, 3] uint8 RGB, of what is to be seen."""
        from affectkit.encoders._images import square
        from affectkit.media.images import read_image

        image = read_image(item.path or "")
        return image if self.crop == "none" else square(image, item, self.crop)

    def build(self, targets: Sequence[Target], seed: int, **more: Any) -> ImageNetwork:
        from affectkit.models import image_network

        how: dict[str, Any] = {"dropout": self.dropout or 0.0, "size": self.image_size, **more}
        network = image_network.build(self.checkpoint, targets, revision=self.revision, seed=seed, **how)
        network.fixed_statistics = self.batch_norm == "fixed"
        return network

    def load(self, folder: Path, targets: Sequence[Target]) -> ImageNetwork:
        from affectkit.models import image_network

        return image_network.load(folder, targets)

    def wrapped(self, network: ImageNetwork, passes: Passes = ONCE) -> ImageNetwork | InPasses:
        from affectkit.finetuning.media._images import InPasses

        return network if passes == ONCE else InPasses(network, passes)

    def examples(self, *rows: Any, **how: Any) -> ImageExamples:
        from affectkit.finetuning.media._images import ImageExamples

        return ImageExamples(self, *rows, **how)

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        return len(items), "images"

    def spec(self) -> dict[str, Any]:
        size = {"image_size": self.image_size} if self.image_size else {}
        return {"head": "linear", "crop": self.crop, **size}


build = Images  # what a plug-in is made by
