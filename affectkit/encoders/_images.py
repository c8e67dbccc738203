"""What the encoders of images share: decode, cut out a face or a person, preprocess, run the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.encoders._encoder import CheckpointOpt, DtypeOpt, Encoder, Item, Reads, RevisionOpt, check_choice
from affectkit.errors import AffectkitError
from affectkit.media import read_image
from affectkit.media.images import check_square
from affectkit.registry import Option

if TYPE_CHECKING:
    from affectkit.models.images import ImageBackbone

CropOpt = Annotated[
    str,
    Option(
        "Part of the image to crop to: none, face or person, by the manifest's columns face_x, face_y, face_width, ..."
    ),
]


def encoder_of(name: str, prefix: str, examples: str) -> Callable[..., Encoder]:
    """The `build` of a plug-in.

    prefix: which library's checkpoints these are, as `load_image_backbone` has them. examples: of checkpoints.
    """

    def build(
        *,
        checkpoint: CheckpointOpt = "",
        revision: RevisionOpt = "",
        dtype: DtypeOpt = "float32",
        crop: CropOpt = "none",
    ) -> Encoder:
        """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
        if not checkpoint:
            raise AffectkitError("usage", f"{name} needs a --checkpoint", remedy=f"pass --checkpoint {examples}")
        if not prefix and checkpoint.startswith(("open_clip:", "timm:", "tiny-random:open_clip", "tiny-random:timm")):
            remedy = f"use --encoder {'timm' if 'timm' in checkpoint.partition('/')[0] else 'open-clip'}"
            raise AffectkitError("usage", f"'{checkpoint}' is none of transformers' checkpoints", remedy=remedy)
        check_choice("dtype", dtype, ("float32", "bfloat16"))
        check_choice("crop", crop, ("none", "face", "person"))
        options = {"checkpoint": checkpoint, "revision": revision, "dtype": dtype, "crop": crop}
        return ImageEncoder(name, prefix, options)

    return build


class ImageEncoder(Encoder):
    """`prepare` gives pixels [3, height, width] float32 as the network was trained; `encode` a vector [D] for each."""

    reads: Reads = "images"
    on_device = True
    backbone: ImageBackbone

    def __init__(self, name: str, prefix: str, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.name, self.prefix = name, prefix

    def load(self, device: str) -> None:
        from affectkit.models.images import is_saved, load_image_backbone
        from affectkit.models.tiny import is_tiny

        checkpoint = self.options["checkpoint"]
        if not (is_tiny(checkpoint) or checkpoint.startswith(self.prefix) or is_saved(checkpoint)):
            checkpoint = self.prefix + checkpoint
        self.backbone = load_image_backbone(checkpoint, revision=self.options["revision"])
        self.network, self.device = self.backbone.network.to(device), device

    def describe(self) -> dict[str, Any]:
        backbone = self.backbone
        return {"dim": backbone.dim, "preprocessing": backbone.preprocessing.plain(), **backbone.facts()}

    def prepare(self, item: Item) -> np.ndarray:
        if item.path is None:
            raise AffectkitError("input", "has no path")
        image = read_image(item.path)
        if self.options["crop"] != "none":
            image = square(image, item, self.options["crop"])
        try:
            return self.backbone.preprocessing(image)
        except AffectkitError as error:
            raise AffectkitError(error.code, error.message, file=item.path, remedy=error.remedy) from None

    def encode(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        import torch

        from affectkit.models.forward import embed

        pixels = torch.from_numpy(np.stack(prepared)).to(self.device)
        return list(embed(self.network, pixels, self.options["dtype"]).cpu().numpy())


def square(image: np.ndarray, item: Item, what: str) -> np.ndarray:
    """The square about an item's box, as wide as its longer side; black where it leaves the image.

    A square, because networks crop what is not: of a standing person, whose box is three times as high as wide, the
    middle third would be left. Raises "input" without a box, or for one that is outside the image.
    """
    if item.box is None:
        remedy = f"detect one, drop the row, or use --crop {'face' if what == 'person' else 'none'}"
        raise AffectkitError("input", f"has no {what} box", remedy=remedy)
    height, width = image.shape[:2]
    x, y, box_width, box_height = item.box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + box_width, float(width)), min(y + box_height, float(height))
    side = max(right - left, bottom - top)
    if not (right > left and bottom > top and side >= 1):  # NaN too
        sizes = " ".join(f"{value:g}" for value in item.box)
        message = f"its {what} box ({sizes}) is not within {width} x {height} pixels"
        raise AffectkitError("input", message, file=item.path)
    side = round(side)
    check_square(side, f"the square about its {what}", item.path)
    column, row = round((left + right - side) / 2), round((top + bottom - side) / 2)
    part = image[max(row, 0) : row + side, max(column, 0) : column + side]
    padded = np.zeros((side, side, 3), np.uint8)
    padded[max(-row, 0) :, max(-column, 0) :][: part.shape[0], : part.shape[1]] = part
    return padded
