"""What the encoders of images share: decode, cut out a face or a person, preprocess, run the network.

Of a video its frames are encoded, at `--fps`, and pooled over time, or kept as a sequence; an image among videos is a
video of one frame.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit import registry
from affectkit.detectors._detector import Detector, choose
from affectkit.encoders._encoder import (
    CheckpointOpt,
    DtypeOpt,
    Encoder,
    Item,
    PoolOpt,
    Reads,
    RevisionOpt,
    check_choice,
    pool,
)
from affectkit.encoders._loop import BATCH_IMAGES
from affectkit.encoders._videos import FpsOpt, check_fps, is_video, stretches_of
from affectkit.errors import AffectkitError
from affectkit.media import read_image
from affectkit.media.images import check_square
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

    from affectkit.models.images import ImageBackbone

CropOpt = Annotated[
    str,
    Option(
        "Part of the image to crop to: none, face or person, by the manifest's columns face_x, face_y, face_width, ..."
    ),
]
FPS = 2.0
BY_COLUMNS = ("columns", "whole")  # detectors that do not look at the picture
FINDERS = tuple(name for name in registry.names("detectors") if name not in BY_COLUMNS)
DetectorOpt = Annotated[
    str,
    Option(
        f"What finds the largest face of every frame or image, for --crop face: {', '.join(FINDERS)}.",
        default="the manifest's columns",
    ),
]
DetectorWeightsOpt = Annotated[str, Option("YuNet's ONNX file, for --detector yunet.")]


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
        detector: DetectorOpt = "",
        detector_weights: DetectorWeightsOpt = "",
        fps: FpsOpt = None,
        pool: PoolOpt = "",
    ) -> Encoder:
        """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
        if not checkpoint:
            raise AffectkitError("usage", f"{name} needs a --checkpoint", remedy=f"pass --checkpoint {examples}")
        if not prefix and checkpoint.startswith(("open_clip:", "timm:", "tiny-random:open_clip", "tiny-random:timm")):
            remedy = f"use --encoder {'timm' if 'timm' in checkpoint.partition('/')[0] else 'open-clip'}"
            raise AffectkitError("usage", f"'{checkpoint}' is none of transformers' checkpoints", remedy=remedy)
        check_choice("dtype", dtype, ("float32", "bfloat16"))
        check_choice("crop", crop, ("none", "face", "person"))
        options: dict[str, Any] = {"checkpoint": checkpoint, "revision": revision, "dtype": dtype, "crop": crop}
        if detector or detector_weights:
            options |= _finding(crop, detector, detector_weights)
        if fps is not None or pool:
            options |= _frame_options(fps, pool)
        return ImageEncoder(name, prefix, options)

    return build


def _finding(crop: str, detector: str, weights: str) -> dict[str, Any]:
    """The options of what finds faces. Raises "usage" for what makes no sense."""
    check_choice("detector", detector, FINDERS)
    if crop != "face":
        raise AffectkitError("usage", "--detector finds faces, and --crop is not face", remedy="add --crop face")
    options = {"detector": detector, **({"detector_weights": weights} if weights else {})}
    _build_detector(options)
    return options


def _build_detector(options: Mapping[str, Any]) -> Detector:
    own = {name: options[name] for name in ("detector_weights",) if name in options}
    detector: Detector = registry.build("detectors", options["detector"], own)
    return detector


def _frame_options(fps: float | None, pool: str) -> dict[str, Any]:
    """The options of what has frames. Raises "usage" for what makes no sense."""
    check_fps(fps)
    check_choice("pool", pool or "mean", ("mean", "mean-std", "none"))
    return {"fps": FPS if fps is None else float(fps), "pool": pool or "mean"}


@dataclass
class _Clip:
    """Pixels of the frames of a video, the first batch decoded, the others when they are asked for."""

    frames: Iterator[np.ndarray]
    counts: Counter[str] = field(default_factory=Counter)


class ImageEncoder(Encoder):
    """`prepare` gives pixels [3, height, width] float32 as the network was trained; `encode` a vector [D] for each.

    Where a row is a video, the record says `fps` and `pool`, and all rows are pooled over their frames, [D] or [2 D],
    or are [T, D]. In memory are some batches of frames.
    """

    reads: Reads = "images"
    on_device = True
    backbone: ImageBackbone

    def __init__(self, name: str, prefix: str, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.name, self.prefix = name, prefix
        self.pooled = options.get("pool") != "none"
        self._detectors = threading.local()  # one serves one thread at a time

    def load(self, device: str) -> None:
        from affectkit.models.images import is_saved, load_image_backbone
        from affectkit.models.tiny import is_tiny

        checkpoint = self.options["checkpoint"]
        if not (is_tiny(checkpoint) or checkpoint.startswith(self.prefix) or is_saved(checkpoint)):
            checkpoint = self.prefix + checkpoint
        self.backbone = load_image_backbone(checkpoint, revision=self.options["revision"])
        self.network, self.device = self.backbone.network.to(device), device
        if "detector" in self.options:
            self._detector()

    def settle(self, items: Sequence[Item]) -> None:
        """With a video among the rows, there are frames."""
        if "fps" not in self.options and any(is_video(item.path) for item in items):
            self.options |= _frame_options(None, "")

    def describe(self) -> dict[str, Any]:
        backbone = self.backbone
        preprocessing = backbone.preprocessing.plain()
        if "detector" in self.options:
            finder = {"detector": self.options["detector"], **self._detector().describe()}
            preprocessing = {**preprocessing, "faces": {k: v for k, v in finder.items() if k != "opencv"}}
        dim = backbone.dim * (2 if self.options.get("pool") == "mean-std" else 1)
        return {"dim": dim, "preprocessing": preprocessing, **backbone.facts()}

    def prepare(self, item: Item) -> np.ndarray | _Clip:
        if item.path is None:
            raise AffectkitError("input", "has no path")
        if is_video(item.path):
            return self._clip(item)
        pixels = self._pixels(read_image(item.path), item)
        if pixels is None:
            raise self._no_face(item)
        return pixels

    def _pixels(self, image: np.ndarray, item: Item) -> np.ndarray | None:
        """None where a detector looks for a face and finds none."""
        if "detector" in self.options:
            face = choose(self._detector().detect(image, {}), "largest", image.shape[1], image.shape[0])
            if face is None:
                return None
            item = replace(item, box=face.box)
        if self.options["crop"] != "none":
            image = square(image, item, self.options["crop"])
        try:
            return self.backbone.preprocessing(image)
        except AffectkitError as error:
            raise AffectkitError(error.code, error.message, file=item.path, remedy=error.remedy) from None

    def _detector(self) -> Detector:
        """This thread's."""
        if not hasattr(self._detectors, "mine"):
            detector = _build_detector(self.options)
            detector.load()
            self._detectors.mine = detector
        mine: Detector = self._detectors.mine
        return mine

    def _clip(self, item: Item) -> _Clip:
        """Raises "input" for a video that cannot be read, and for one without a face that was asked for."""
        if self.options["crop"] != "none" and "detector" not in self.options:
            what = self.options["crop"]
            message = f"is a video, and where its {what} is in each frame is not known"
            remedy = "pass --detector haar, or --crop none" if what == "face" else "pass --crop none"
            raise AffectkitError("usage", message, file=item.path, remedy=remedy)
        counts: Counter[str] = Counter()
        frames = self._frames(item, counts)
        first = list(islice(frames, BATCH_IMAGES))
        if not first:
            raise self._no_face(item, f" in its {counts['frames_without_a_face']} frames")
        return _Clip(chain(first, frames), counts)

    def _frames(self, item: Item, counts: Counter[str]) -> Iterator[np.ndarray]:
        for frames in stretches_of(item, self.options["fps"]):
            for _, image in frames:
                pixels = self._pixels(image, item)
                if pixels is None:
                    counts["frames_without_a_face"] += 1
                else:
                    yield pixels

    def _no_face(self, item: Item, where: str = "") -> AffectkitError:
        message = f"has no face that {self.options['detector']} finds{where}"
        return AffectkitError("input", message, file=item.path, remedy="drop the row, or use another --detector")

    def encode(self, prepared: list[Any]) -> list[np.ndarray]:
        if "fps" not in self.options:
            return list(self._embedded(prepared).numpy())
        return [self._over_time(each) for each in prepared]

    def _over_time(self, clip: np.ndarray | _Clip) -> np.ndarray:
        import torch

        frames = clip.frames if isinstance(clip, _Clip) else iter([clip])
        parts = []
        while batch := list(islice(frames, BATCH_IMAGES)):
            parts.append(self._embedded(batch))
        if isinstance(clip, _Clip):
            self.counts.update(clip.counts)
        return pool(torch.cat(parts), self.options["pool"])

    def _embedded(self, prepared: list[np.ndarray]) -> torch.Tensor:
        """[N, D] of pixels."""
        import torch

        from affectkit.models.forward import embed

        pixels = torch.from_numpy(np.stack(prepared)).to(self.device)
        return embed(self.network, pixels, self.options["dtype"]).cpu()


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
