"""What an image passes through before a network sees it, equal to what the network's own library does.

open_clip and timm resize and crop with torchvision on Pillow images, transformers with Pillow in its `backend="pil"`;
its newer torchvision backend rounds resized pixels differently (by 1 of 255 here and there), so that the Pillow one,
with which all of these networks were trained, is what is reproduced here. Pillow's filters are antialiased.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from affectkit.artifacts.files import read_json, write_json
from affectkit.errors import AffectkitError

FILE = "preprocessing.json"
LARGEST = 2**13  # pixels of a side: no network sees more, and a batch of one is tried out
_MOST_RESIZED = 2**26  # pixels: a strip of 1 x 10,000 would become 224 x 2,240,000
_INTERPOLATIONS = [method.name.lower() for method in Image.Resampling]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ImagePreprocessing:
    """Resize, crop about the centre, scale, normalise.

    size: (height, width) that comes out. resize: "shortest" (the image just covers `resize_to`), "longest" (it just
    fits in), "squash" (its aspect changes) or "none". resize_to: (height, width). half: where the cut falls if it
    cannot be centred: "even" as torchvision rounds, "down" as transformers does. fill: the colour of borders, 0 to 255.
    scale: what pixels of 0 to 255 are multiplied with; then mean and standard deviation of each channel.
    """

    size: tuple[int, int]
    resize: Literal["shortest", "longest", "squash", "none"]
    resize_to: tuple[int, int]
    interpolation: str
    mean: Triple
    std: Triple
    half: Literal["even", "down"] = "even"
    fill: tuple[int, int, int] = (0, 0, 0)
    scale: float = 1 / 255

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 RGB -> [3, height, width] float32. Raises "input" for what is no such image."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise AffectkitError("input", f"is no RGB image of bytes (shape {list(image.shape)}, {image.dtype})")
        cut = self._cropped(self._resized(image))
        return np.stack([np.take(table, cut[..., channel]) for channel, table in enumerate(self._tables)])

    @cached_property
    def _tables(self) -> np.ndarray:
        """[3, 256] float32: what each byte of a channel becomes."""
        scaled = (np.arange(256) * self.scale).astype(np.float32)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (scaled - mean[:, None]) / std[:, None]

    def _resized(self, image: np.ndarray) -> np.ndarray:
        height, width = self._resized_size(*image.shape[:2])
        if height * width > _MOST_RESIZED:
            raise AffectkitError("input", f"is too narrow: {image.shape[1]} x {image.shape[0]} pixels")
        if (height, width) == image.shape[:2]:
            return image
        method = Image.Resampling[self.interpolation.upper()]
        return np.asarray(Image.fromarray(image).resize((width, height), method))

    def _resized_size(self, height: int, width: int) -> tuple[int, int]:
        wanted_height, wanted_width = self.resize_to
        if self.resize == "none":
            return height, width
        if self.resize == "squash":
            return wanted_height, wanted_width
        if self.resize == "shortest" and wanted_height == wanted_width:  # the long side is cut off, not rounded
            long = int(wanted_height * max(height, width) / min(height, width))
            return (wanted_height, long) if height <= width else (long, wanted_height)
        ratios = height / wanted_height, width / wanted_width
        ratio = max(ratios) if self.resize == "longest" else min(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def _cropped(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == self.size:
            return image
        (top, above), (left, before) = (self._offset(*pair) for pair in zip(image.shape[:2], self.size, strict=True))
        part = image[top : top + self.size[0], left : left + self.size[1]]
        if part.shape[:2] == self.size:
            return part
        canvas = np.full((*self.size, 3), self.fill, np.uint8)
        canvas[above : above + part.shape[0], before : before + part.shape[1]] = part
        return canvas

    def _offset(self, there: int, wanted: int) -> tuple[int, int]:
        """Along one side: where the cut begins in the image, and where the image begins in the cut."""
        if there >= wanted:
            return (round((there - wanted) / 2) if self.half == "even" else (there - wanted) // 2), 0
        return 0, (wanted - there + (self.half == "down")) // 2

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], file: Path | None = None) -> ImagePreprocessing:
        """What `plain` gave. Raises "input", naming what is missing, unknown or of no use."""
        names = {field.name for field in fields(cls)}
        wrong = sorted(names ^ set(plain))
        if wrong:
            what = "lacks" if wrong[0] in names else "has an unknown"
            raise AffectkitError("input", f"{what} '{wrong[0]}'", file=file, remedy="copy the model folder again")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        preprocessing = cls(**values)
        problem = preprocessing._problem()
        if problem:
            message = f"cannot have {problem} {values[problem]!r}"
            raise AffectkitError("input", message, file=file, remedy="copy the model folder again")
        return preprocessing

    def _problem(self) -> str | None:
        """The first field whose value cannot be."""

        def are(
            values: Any, count: int, kinds: tuple[type, ...], least: float, most: float = sys.float_info.max
        ) -> bool:
            right = isinstance(values, tuple) and len(values) == count
            return right and all(type(value) in kinds and least <= value <= most for value in values)

        checks = {
            "size": are(self.size, 2, (int,), 1, LARGEST),
            "resize": self.resize in ("shortest", "longest", "squash", "none"),
            "resize_to": are(self.resize_to, 2, (int,), 1, LARGEST),
            "interpolation": self.interpolation in _INTERPOLATIONS,
            "mean": are(self.mean, 3, (int, float), -1e6),
            "std": are(self.std, 3, (int, float), 1e-6),
            "half": self.half in ("even", "down"),
            "fill": are(self.fill, 3, (int,), 0) and max(self.fill) <= 255,
            "scale": type(self.scale) in (int, float) and 0 < self.scale < math.inf,
        }
        return next((name for name, right in checks.items() if not right), None)

    def difference(self, other: ImagePreprocessing) -> str | None:
        """The first field in which two differ."""
        mine, theirs = self.plain(), other.plain()
        return next((name for name in mine if mine[name] != theirs[name]), None)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, self.plain())

    @classmethod
    def load(cls, folder: Path) -> ImagePreprocessing:
        """Raises "missing" or "input" naming the file."""
        plain = read_json(folder / FILE, what="preprocessing")
        plain.pop("schema", None)
        return cls.from_plain(plain, folder / FILE)


def pair(size: Any) -> tuple[int, int]:
    """(height, width) of a number or of two."""
    return (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))


def triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in (values if isinstance(values, (list, tuple)) else [values] * 3))
    return red, green, blue


# --- The preprocessing that a library's own configuration asks for


def of_open_clip(config: Mapping[str, Any]) -> ImagePreprocessing:
    """As `open_clip.image_transform_v2(PreprocessCfg(**config), is_train=False)`."""
    size, mode = pair(config["size"]), config["resize_mode"]
    covered = mode == "shortest" and size[0] != size[1]  # always with bicubic; and "random" is of training only
    bilinear = config["interpolation"] == "bilinear" and not covered
    return ImagePreprocessing(
        size=size,
        resize=mode,
        resize_to=size,
        interpolation="bilinear" if bilinear else "bicubic",
        mean=triple(config["mean"]),
        std=triple(config["std"]),
        fill=(int(config["fill_color"]),) * 3 if mode == "longest" else (0, 0, 0),
    )


def of_timm(config: Mapping[str, Any]) -> ImagePreprocessing:
    """As `timm.data.create_transform(**config, is_training=False)`; config: `timm.data.resolve_model_data_config`'s."""
    size, share = pair(config["input_size"][-2:]), config["crop_pct"]
    modes = {"squash": "squash", "border": "longest"}
    mean = triple(config["mean"])
    border = tuple(round(255 * value) for value in mean)
    return ImagePreprocessing(
        size=size,
        resize=modes.get(config["crop_mode"], "shortest"),  # type: ignore[arg-type]
        resize_to=(math.floor(size[0] / share), math.floor(size[1] / share)),
        interpolation="bilinear" if config["interpolation"] == "random" else config["interpolation"],
        mean=mean,
        std=triple(config["std"]),
        fill=border if config["crop_mode"] == "border" else (0, 0, 0),  # type: ignore[arg-type]
    )


def of_transformers(processor: Any) -> ImagePreprocessing:
    """As an image processor of transformers with `backend="pil"`.

    There are processors that do something else: it is run on two images, and "input" is raised if the values differ.
    """
    name = type(processor).__name__.removesuffix("Pil")
    refused = AffectkitError("input", f"its image processor {name} does what is not known here")
    try:
        ours = _of_config(processor, processor.to_dict())
        if ours._problem():
            raise refused
        for height, width in ((61, 43), (37, 90)):
            image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
            theirs = np.asarray(processor(Image.fromarray(image), return_tensors="np")["pixel_values"][0])
            if theirs.shape != (3, *ours.size) or np.abs(theirs - ours(image)).max() > 1e-5:
                raise refused
    except (KeyError, TypeError, ValueError, AttributeError):  # sizes that it lacks, values of another kind
        raise refused from None
    return ours


def processor_at(processor: Any, side: int) -> Any:
    """An image processor of transformers for images of `side` pixels: as large a share of them is cut off as before."""
    shorter, resized = min(of_transformers(processor).size), copy.deepcopy(processor)
    for name, lengths in processor.to_dict().items():
        if name in ("size", "crop_size") and lengths:
            changed = {key: value * side // shorter for key, value in lengths.items() if value}
            setattr(resized, name, type(getattr(processor, name))(**changed))
    return resized


def _of_config(processor: Any, config: Mapping[str, Any]) -> ImagePreprocessing:
    resize, to, size = _geometry(processor, config)
    normalised = config["do_normalize"]
    return ImagePreprocessing(
        size=size,
        resize=resize,  # type: ignore[arg-type]
        resize_to=to,
        interpolation=Image.Resampling(int(config["resample"])).name.lower(),
        mean=triple(config["image_mean"] if normalised else 0.0),
        std=triple(config["image_std"] if normalised else 1.0),
        half="down",
        scale=float(config["rescale_factor"]) if config["do_rescale"] else 1.0,
    )


def _geometry(processor: Any, config: Mapping[str, Any]) -> tuple[str, tuple[int, int], tuple[int, int]]:
    """How it is resized, to what, and the size that comes out."""
    size = {key: value for key, value in (config.get("size") or {}).items() if value}
    crop = config.get("crop_size")
    cut = (int(crop["height"]), int(crop["width"])) if config.get("do_center_crop") and crop else None
    if not config["do_resize"]:
        if cut is None:
            raise ValueError("of no fixed size")
        return "none", cut, cut
    if set(size) == {"shortest_edge"}:
        edge = int(size["shortest_edge"])
        if type(processor).__name__.startswith("ConvNext"):  # from 384 on it squashes
            larger = int(edge / config["crop_pct"]) if edge < 384 else edge
            return "shortest" if edge < 384 else "squash", (larger, larger), (edge, edge)
        if cut is None:
            raise ValueError("of no fixed size")
        return "shortest", (edge, edge), cut
    to = (int(size["height"]), int(size["width"]))
    return "squash", to, cut or to
