"""The preprocessing that a library's own configuration asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from affectkit.errors import AffectkitError
from affectkit.models.image_preprocessing import Preprocessing, pair, triple


def of_open_clip(config: Mapping[str, Any]) -> Preprocessing:
    """As `open_clip.image_transform_v2(PreprocessCfg(**config), is_train=False)`."""
    size, mode = pair(config["size"]), config["resize_mode"]
    covered = mode == "shortest" and size[0] != size[1]  # always with bicubic; and "random" is of training only
    bilinear = config["interpolation"] == "bilinear" and not covered
    return Preprocessing(
        size=size,
        resize=mode,
        resize_to=size,
        interpolation="bilinear" if bilinear else "bicubic",
        mean=triple(config["mean"]),
        std=triple(config["std"]),
        fill=(int(config["fill_color"]),) * 3 if mode == "longest" else (0, 0, 0),
    )


def of_timm(config: Mapping[str, Any]) -> Preprocessing:
    """As `timm.data.create_transform(**config, is_training=False)`; config: `timm.data.resolve_model_data_config`'s."""
    size, share = pair(config["input_size"][-2:]), config["crop_pct"]
    modes = {"squash": "squash", "border": "longest"}
    mean = triple(config["mean"])
    border = tuple(round(255 * value) for value in mean)
    return Preprocessing(
        size=size,
        resize=modes.get(config["crop_mode"], "shortest"),  # type: ignore[arg-type]
        resize_to=(math.floor(size[0] / share), math.floor(size[1] / share)),
        interpolation="bilinear" if config["interpolation"] == "random" else config["interpolation"],
        mean=mean,
        std=triple(config["std"]),
        fill=border if config["crop_mode"] == "border" else (0, 0, 0),  # type: ignore[arg-type]
    )


def of_transformers(processor: Any) -> Preprocessing:
    """As an image processor of transformers with `backend="pil"`.

    There are processors that do something else: it is run on two images, and "input" is raised if the values differ.
    """
    name = type(processor).__name__.removesuffix("Pil")
    refused = AffectkitError("input", f"its image processor {name} does what is not known here")
    try:
        found = _read(processor, processor.to_dict())
        for height, width in ((61, 43), (37, 90)):
            image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
            theirs = np.asarray(processor(Image.fromarray(image), return_tensors="np")["pixel_values"][0])
            if theirs.shape != (3, *found.size) or np.abs(theirs - found(image)).max() > 1e-5:
                raise refused
    except (KeyError, TypeError, ValueError, AttributeError):  # sizes that it lacks, values of another kind
        raise refused from None
    return found


def _read(processor: Any, config: Mapping[str, Any]) -> Preprocessing:
    resize, to, size = _geometry(processor, config)
    normalised = config["do_normalize"]
    return Preprocessing(
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
        _require(cut is not None)
        return "none", cut or (1, 1), cut or (1, 1)
    if set(size) == {"shortest_edge"}:
        edge = int(size["shortest_edge"])
        if type(processor).__name__.startswith("ConvNext"):  # from 384 on it squashes
            larger = int(edge / config["crop_pct"]) if edge < 384 else edge
            return "shortest" if edge < 384 else "squash", (larger, larger), (edge, edge)
        _require(cut is not None)
        return "shortest", (edge, edge), cut or (edge, edge)
    to = (int(size["height"]), int(size["width"]))
    return "squash", to, cut or to


def _require(right: bool) -> None:
    if not right:
        raise ValueError("of no fixed size")
