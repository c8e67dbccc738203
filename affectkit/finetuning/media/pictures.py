"""Pictures: several of a row, or one by its name, each seen by a branch

They are the columns path_<name> of a manifest; what the branches see enters the heads side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.finetuning.media.images import Images
from affectkit.plain import comma_separated, is_file_name
from affectkit.registry import Option

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from affectkit.artifacts.manifest import Manifest
    from affectkit.finetuning.media._images import PictureExamples, PictureRow
    from affectkit.labels import Target
    from affectkit.models.image_network import ImageNetwork


@dataclass(frozen=True)
class Pictures(Images):
    """The medium of image networks with branches. All branches start from the same checkpoint."""

    crop: Annotated[
        Literal["none", "box"],
        Option("Cut out a box: of each picture its own, given by columns such as thermal_map_x, thermal_map_width."),
    ] = "none"  # type: ignore[assignment]  # fewer ways than of single images
    augment: Annotated[
        str,
        Option(
            "Augmentation in training: as for images, each effect drawn once for all pictures of a row, which are "
            "mirrored, turned and cropped alike."
        ),
    ] = "none"
    media: Annotated[
        str,
        Option(
            "Pictures of a row to look at, comma-separated: thermal_map,depth_rgb are the columns path_thermal_map and "
            "path_depth_rgb.",
            default="the image in the column path",
        ),
    ] = ""
    branches: Annotated[
        Literal["own", "shared"],
        Option("Whether the branches of several pictures have weights of their own, or share them."),
    ] = "own"

    reads = "pictures"
    checkpoints = "images"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features:
            message = "--features are of one picture of a row, and --media names those of a network with branches"
            raise AffectkitError("usage", message, remedy="leave --features out")
        if not self.names or len(set(self.names)) < len(self.names) or not all(map(is_file_name, self.names)):
            remedy = "name each picture once: --media thermal_map,depth_rgb"
            raise AffectkitError("usage", f"--media '{self.media}' names no pictures", remedy=remedy)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(comma_separated(self.media))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], **more: Any) -> Self:
        """As a record has it. Raises KeyError for one that is not whole."""
        return super().from_spec(spec, branches=spec["branches"], media=",".join(spec["media"]), **more)

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[PictureRow]:  # type: ignore[override]  # rows of several
        from affectkit.encoders._encoder import images
        from affectkit.finetuning.media._images import PictureRow

        self._check_columns(manifest)
        crops = {name: name if self.crop == "box" else "none" for name in self.names}
        each = [images(manifest, f"path_{name}", crop=crop) for name, crop in crops.items()]
        return [PictureRow(row[0].id, row) for row in zip(*each, strict=True)]

    def _check_columns(self, manifest: Manifest) -> None:
        lacking = [name for name in self.names if f"path_{name}" not in manifest.rows]
        if lacking and manifest.bare:
            columns = ", ".join(f"path_{name}" for name in self.names)
            message = f"a file is one picture, and the model looks at {', '.join(self.names)} of each row"
            raise AffectkitError("input", message, remedy=f"pass a --manifest with the columns {columns}")
        if lacking:
            known = [str(name).removeprefix("path_") for name in manifest.rows if str(name).startswith("path_")]
            remedy = did_you_mean(lacking[0], known) if known else "it names no pictures: leave --media out"
            raise AffectkitError("input", f"has no column 'path_{lacking[0]}'", file=manifest.path, remedy=remedy)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        from affectkit.finetuning.media._images import misfits

        errors: dict[int, AffectkitError] = {}
        rows = self.items(manifest)
        for place, name in enumerate(self.names):
            pictures, crop = [row.pictures[place] for row in rows], name if self.crop == "box" else "none"
            of_name = misfits(manifest, pictures, f"path_{name}", crop, num_workers)
            absent = {row: _absent(name) for row, picture in enumerate(pictures) if picture.path is None}
            errors = {**of_name, **absent, **errors}
        return errors

    def decode(self, item: PictureRow) -> list[np.ndarray]:  # type: ignore[override]  # a row of several
        """[H, W, 3] uint8 RGB of each picture, of what is to be seen."""
        from affectkit.encoders._images import square
        from affectkit.media.images import read_image

        images = []
        for name, picture in zip(self.names, item.pictures, strict=True):
            if picture.path is None:
                raise _absent(name)
            image = read_image(picture.path)
            images.append(square(image, picture, name) if self.crop == "box" else image)
        return images

    def build(self, targets: Sequence[Target], seed: int, **more: Any) -> ImageNetwork:
        return super().build(targets, seed, pictures=self.names, shared=self.branches == "shared", **more)

    def load(self, folder: Path, targets: Sequence[Target]) -> ImageNetwork:
        from affectkit.models import image_network

        return image_network.load(folder, targets, self.names)

    def examples(self, *rows: Any, **how: Any) -> PictureExamples:
        from affectkit.finetuning.media._images import PictureExamples

        return PictureExamples(self, *rows, **how)

    def amount(self, items: Sequence[Any]) -> tuple[float, str]:
        return len(items) * len(self.names), "pictures"

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "media": list(self.names), "branches": self.branches}


def _absent(name: str) -> AffectkitError:
    return AffectkitError("input", f"has no picture '{name}'", remedy=f"fill in its path_{name}, or take the row out")


build = Pictures  # what a plug-in is made by
