import numpy as np
import pytest

from affectkit.detectors._detector import Face
from affectkit.experts._adapter import FaceExpert
from affectkit.experts._expert import CropRule, ExpertAnswers


class StubExpert:
    """Valence is the crop's mean red over 255, arousal 2 at its left edge minus right edge (so it turns with a mirror
    image), on -2 to 2; the classes' probabilities are mean red and the rest."""

    name = "stub"
    size = 8
    outputs = ("valence", "arousal")
    scale = (-2.0, 2.0)
    classes = ("bright", "dark")
    by_landmarks = True
    licence = "none"

    def __init__(self):
        self.options = {}
        self.batches = []

    def load(self, device, folder=None):
        pass

    def predict(self, crops):
        assert crops.shape[1:] == (8, 8, 3) and crops.dtype == np.uint8
        self.batches.append(len(crops))
        red = crops[..., 0].astype(float) / 255
        valence = red.mean(axis=(1, 2))
        arousal = 2 * (red[:, :, 0].mean(axis=1) - red[:, :, -1].mean(axis=1))
        return ExpertAnswers({"valence": valence, "arousal": arousal}, np.stack([valence, 1 - valence], axis=1))

    def save(self, folder):
        pass

    def describe(self):
        return {"weights": "0"}


class StubDetector:
    """Finds what the row lists."""

    name = "stub"
    options: dict = {}  # noqa: RUF012

    def load(self, folder=None):
        pass

    def detect(self, image, row):
        return [Face(*face) if isinstance(face[0], tuple) else Face(face) for face in row["faces"]]

    def save(self, folder):
        pass

    def describe(self):
        return {}


@pytest.fixture
def stub():
    """`stub(targets=(), policy=...)`: a face expert whose answers can be worked out by hand."""

    def build(targets=(), **rule):
        return FaceExpert(StubExpert(), StubDetector(), targets, CropRule(**rule))

    return build
