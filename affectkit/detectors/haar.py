"""OpenCV's Haar cascade: needs no download, finds upright frontal faces

Viola and Jones 2001. The cascade comes with opencv-python-headless 4.x. Faces in profile or turned by more than some
15 degrees are missed, and a few things that are no faces are found: prefer landmarks where a corpus has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.detectors._detector import OPENCV_REMEDY, SEARCH_SIDE, Detector, Face, ordered, require_opencv, searched
from affectkit.errors import AffectkitError
from affectkit.registry import Option

CASCADE = "haarcascade_frontalface_default.xml"


def build(
    *,
    scale_factor: Annotated[float, Option("Factor from one size of face to the next in the search.")] = 1.1,
    min_neighbors: Annotated[int, Option("Number of overlapping detections that make a face; more are stricter.")] = 5,
    min_size: Annotated[int, Option("Side of the smallest face to find.", unit="pixels of the image")] = 40,
) -> Detector:
    """The detector; OpenCV is imported by `load`. Raises "usage" for options that make no sense."""
    if not 1.01 <= scale_factor <= 2:
        raise AffectkitError("usage", f"--scale-factor {scale_factor:g}", remedy="use 1.01 to 2, such as 1.1")
    for name, value, least in (("min-neighbors", min_neighbors, 0), ("min-size", min_size, 1)):
        if value < least:
            raise AffectkitError("usage", f"--{name} {value}", remedy=f"use {least} or more")
    return Haar({"scale_factor": float(scale_factor), "min_neighbors": int(min_neighbors), "min_size": int(min_size)})


class Haar(Detector):
    """A face's score is the margin by which it passed the cascade's last stage. The cascade is OpenCV's: not kept."""

    name = "haar"

    def load(self, folder: Path | None = None) -> None:
        self._cv2 = require_opencv(self.name)
        data = getattr(getattr(self._cv2, "data", None), "haarcascades", None)
        path = Path(data) / CASCADE if data else None
        if path is None or not path.is_file():
            message = f"OpenCV {self._cv2.__version__} carries no {CASCADE}; those of 4.x do"
            raise AffectkitError("environment", message, remedy=OPENCV_REMEDY)
        self._cascade = self._cv2.CascadeClassifier(str(path))

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        copy, across, down = searched(self._cv2, image)
        # As it is: the cascade evens out the light of each window by itself. Equalising the whole image's histogram
        # first lost faces before wide plain backgrounds, and found none more in 60 drawn portraits.
        grey = self._cv2.cvtColor(copy, self._cv2.COLOR_RGB2GRAY)
        least = max(1, round(self.options["min_size"] / max(across, down)))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=self.options["scale_factor"],
            minNeighbors=self.options["min_neighbors"],
            minSize=(least, least),
            outputRejectLevels=True,
        )
        # OpenCV's arrays are an empty tuple where nothing was found.
        boxes, weights = np.asarray(boxes).tolist(), np.asarray(weights).tolist()
        return ordered(
            Face((x * across, y * down, width * across, height * down), weight)
            for (x, y, width, height), weight in zip(boxes, weights, strict=True)
        )

    def describe(self) -> dict[str, Any]:
        return {"cascade": CASCADE, "search_side": SEARCH_SIDE, "opencv": self._cv2.__version__}
