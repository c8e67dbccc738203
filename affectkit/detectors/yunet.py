"""YuNet through OpenCV: turned and small faces too; you bring its ONNX file

Wu et al. 2023. The weights are a file of github.com/opencv/opencv_zoo (models/face_detection_yunet).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.files import atomic, sha256
from affectkit.detectors import _detector
from affectkit.detectors._detector import Detector, Face, in_image, ordered, require_opencv, searched
from affectkit.errors import AffectkitError
from affectkit.media import check_file
from affectkit.registry import Option

HOW_TO_GET = "download face_detection_yunet_2023mar.onnx from github.com/opencv/opencv_zoo (MIT)"
FILE = "detector.onnx"  # in a model folder


def build(
    *,
    detector_weights: Annotated[str, Option("YuNet's ONNX file.")] = "",
    min_score: Annotated[float, Option("Lowest score of a face, 0 to 1.")] = 0.7,
) -> Detector:
    """The detector; its file is read by `load`. Raises "usage" for options that make no sense."""
    if not detector_weights:
        raise AffectkitError("usage", "yunet needs --detector-weights FILE.onnx", remedy=HOW_TO_GET)
    if not 0 <= min_score <= 1:
        raise AffectkitError("usage", f"--min-score {min_score:g}", remedy="use 0 to 1, such as 0.7")
    return YuNet({"detector_weights": str(detector_weights), "min_score": float(min_score)})


class YuNet(Detector):
    """Its five landmarks are not the 68 that an aligned crop needs, so its faces have boxes only."""

    name = "yunet"

    def load(self, folder: Path | None = None) -> None:
        self._cv2 = require_opencv(self.name)
        if not hasattr(self._cv2, "FaceDetectorYN"):
            message = f"OpenCV {self._cv2.__version__} has no YuNet; it came with 4.5.4"
            raise AffectkitError("environment", message, remedy=_detector.OPENCV_REMEDY)
        self._file = folder / FILE if folder else Path(self.options["detector_weights"]).expanduser()
        if not self._file.exists():
            raise AffectkitError("missing", "there are no weights for yunet", file=self._file, remedy=HOW_TO_GET)
        check_file(self._file)
        self._digest = sha256(self._file)
        try:
            self._network = self._cv2.FaceDetectorYN.create(
                str(self._file), "", (320, 320), score_threshold=self.options["min_score"]
            )
        except self._cv2.error as error:
            why = str(error).strip().partition("\n")[0]
            raise AffectkitError("input", f"is not YuNet's: {why}", file=self._file, remedy=HOW_TO_GET) from None

    def detect(self, image: np.ndarray, row: Mapping[str, Any]) -> list[Face]:
        copy, across, down = searched(self._cv2, image)
        self._network.setInputSize((copy.shape[1], copy.shape[0]))
        rows = self._network.detect(self._cv2.cvtColor(copy, self._cv2.COLOR_RGB2BGR))[1]
        faces = (
            Face((float(x) * across, float(y) * down, float(width) * across, float(height) * down), float(score))
            for x, y, width, height, *_, score in ([] if rows is None else rows)
        )
        return ordered(face for face in faces if in_image(face, image.shape[1], image.shape[0]))

    def save(self, folder: Path) -> None:
        with atomic(folder / FILE) as temporary:
            shutil.copyfile(self._file, temporary)

    def describe(self) -> dict[str, Any]:
        return {"search_side": _detector.SEARCH_SIDE, "opencv": self._cv2.__version__, "detector_digest": self._digest}
