"""The detectors that OpenCV carries: on drawn faces (haar), and on what OpenCV would answer (yunet)."""

import builtins
import types

import numpy as np
import pytest

from affectkit.detectors import haar, yunet
from affectkit.detectors._detector import SEARCH_SIDE, searched
from affectkit.errors import AffectkitError
from affectkit.synthesis.faces import Pose, draw_person, paint


@pytest.fixture
def finder():
    def load(**options):
        pytest.importorskip("cv2", reason="OpenCV is not installed: pip install affectkit[face]")
        detector = haar.build(**options)
        detector.load()
        return detector

    return load


def drawn(width, height, *faces):
    """A grey scene with a drawn face of half width `half` about (x, y) for each of `faces`, and their boxes."""
    rng = np.random.default_rng(3)
    canvas = np.full((height, width, 3), 120.0)
    people = [draw_person(rng) for _ in faces]
    boxes = [
        paint(canvas, person, (0.0, 0.0), Pose(x, y, half))[1]
        for person, (x, y, half) in zip(people, faces, strict=True)
    ]
    return canvas.round().clip(0, 255).astype(np.uint8), boxes


def overlap(box, other):
    """Intersection over union."""
    wide = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    high = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (box[2] * box[3] + other[2] * other[3] - shared)


def test_haar_finds_a_drawn_face(finder):
    image, (box,) = drawn(400, 300, (150, 140, 60))
    faces = finder().detect(image, {})
    assert len(faces) == 1 and overlap(faces[0].box, box) > 0.5 and faces[0].landmarks is None


def test_haar_finds_two_faces_largest_first(finder):
    image, (small, large) = drawn(600, 400, (120, 140, 45), (400, 180, 80))
    faces = finder().detect(image, {})
    assert len(faces) == 2 and overlap(faces[0].box, large) > 0.5 and overlap(faces[1].box, small) > 0.5


def test_haar_finds_nothing_in_a_scene(finder):
    assert finder().detect(drawn(400, 300)[0], {}) == []


def test_haar_searches_a_smaller_copy_of_a_large_image_and_answers_in_its_pixels(finder):
    image, (box,) = drawn(2 * SEARCH_SIDE, SEARCH_SIDE, (1500, 600, 300))
    faces = finder().detect(image, {})
    assert len(faces) == 1 and overlap(faces[0].box, box) > 0.5


def test_the_smallest_face_is_in_the_images_pixels(finder):
    image, _ = drawn(400, 300, (150, 140, 60))
    assert finder(min_size=60).detect(image, {}) and not finder(min_size=200).detect(image, {})
    large, _ = drawn(2 * SEARCH_SIDE, 600, (1000, 280, 120))  # searched at half its size
    assert finder(min_size=150).detect(large, {}) and not finder(min_size=500).detect(large, {})


def test_the_copy_that_is_searched():
    def resize(image, size, interpolation):
        return np.zeros((size[1], size[0], 3), np.uint8)

    cv2 = types.SimpleNamespace(resize=resize, INTER_AREA=3)
    for width, height in ((640, 480), (SEARCH_SIDE, 10)):
        image = np.zeros((height, width, 3), np.uint8)
        assert searched(cv2, image) == (image, 1, 1)
    copy, _, down = searched(cv2, np.zeros((4 * SEARCH_SIDE, 10, 3), np.uint8))
    assert copy.shape[0] == SEARCH_SIDE and 1 / down == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_factor": 1.0}, "--scale-factor 1; use 1.01 to 2"),
        ({"scale_factor": float("nan")}, "--scale-factor nan"),
        ({"min_neighbors": -1}, "--min-neighbors -1; use 0 or more"),
        ({"min_size": 0}, "--min-size 0; use 1 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        haar.build(**options)
    assert caught.value.code == "usage"


@pytest.mark.parametrize("module", [haar, yunet])
def test_without_opencv_it_says_what_to_install(module, monkeypatch, tmp_path):
    real = builtins.__import__

    def without_cv2(name, *rest, **more):
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'")
        return real(name, *rest, **more)

    detector = module.build(**({"detector_weights": "x.onnx"} if module is yunet else {}))
    monkeypatch.setattr(builtins, "__import__", without_cv2)
    with pytest.raises(AffectkitError, match=r"needs OpenCV.*pip install \"affectkit\[face\]\"") as caught:
        detector.load()
    assert caught.value.code == "environment" and "\n" not in str(caught.value)


def test_an_opencv_without_cascades_is_named(monkeypatch):
    bare = types.SimpleNamespace(__version__="5.0.0", data=types.SimpleNamespace(haarcascades="/nowhere/"))
    monkeypatch.setattr(haar, "require_opencv", lambda name: bare)
    with pytest.raises(AffectkitError, match=r"OpenCV 5\.0\.0 carries no haarcascade_frontalface_default\.xml"):
        haar.build().load()


class FakeYuNet:
    """What OpenCV's own would answer: rows of box, ten coordinates of landmarks, score."""

    def __init__(self, found):
        self.found = found

    def setInputSize(self, size):
        self.size = size

    def detect(self, image):
        self.seen = image
        return 1, self.found


@pytest.fixture
def yunet_finding(monkeypatch, tmp_path):
    """A loaded yunet whose network finds the boxes (x, y, width, height, score) that are given."""

    def load(*found, **options):
        rows = np.array([[*box[:4], *[0.0] * 10, box[4]] for box in found], dtype=np.float32) if found else None
        fake = FakeYuNet(rows)
        cv2 = types.SimpleNamespace(
            __version__="4.10.0", error=RuntimeError, INTER_AREA=3, COLOR_RGB2BGR=4,
            FaceDetectorYN=types.SimpleNamespace(create=lambda *given, **more: fake),
            cvtColor=lambda image, code: image[..., ::-1],
            resize=lambda image, size, interpolation: np.zeros((size[1], size[0], 3), np.uint8),
        )  # fmt: skip
        monkeypatch.setattr(yunet, "require_opencv", lambda name: cv2)
        (tmp_path / "yunet.onnx").write_bytes(b"weights")
        detector = yunet.build(detector_weights=str(tmp_path / "yunet.onnx"), **options)
        detector.load()
        return detector, fake

    return load


def test_yunet_reads_blue_first_and_gives_largest_first(yunet_finding):
    detector, fake = yunet_finding((1, 2, 10, 10, 0.9), (50, 20, 30, 40, 0.8), (5, 5, 0, 5, 0.99))
    image = np.zeros((100, 120, 3), np.uint8)
    image[..., 0] = 200
    faces = detector.detect(image, {})
    assert [face.box for face in faces] == [(50, 20, 30, 40), (1, 2, 10, 10)]
    assert faces[0].score == pytest.approx(0.8) and faces[0].landmarks is None
    assert fake.size == (120, 100) and fake.seen[0, 0].tolist() == [0, 0, 200]


def test_yunet_answers_in_the_pixels_of_a_large_image(yunet_finding):
    detector, fake = yunet_finding((10, 20, 30, 40, 0.9))
    (face,) = detector.detect(np.zeros((SEARCH_SIDE, 2 * SEARCH_SIDE, 3), np.uint8), {})
    assert fake.size == (SEARCH_SIDE, SEARCH_SIDE // 2) and face.box == (20, 40, 60, 80)


def test_yunet_that_finds_nothing(yunet_finding):
    assert yunet_finding()[0].detect(np.zeros((10, 10, 3), np.uint8), {}) == []


def test_yunet_takes_its_weights_along(yunet_finding, tmp_path):
    detector, _ = yunet_finding()
    (tmp_path / "model").mkdir()
    detector.save(tmp_path / "model")
    (tmp_path / "yunet.onnx").unlink()
    digest = detector.describe()["detector_digest"]
    again = yunet.build(**detector.options)
    again.load(tmp_path / "model")
    assert again.describe()["detector_digest"] == digest
    with pytest.raises(AffectkitError, match=r"there are no weights for yunet; download .*opencv_zoo") as caught:
        again.load()
    assert caught.value.code == "missing"


def test_yunet_needs_its_weights():
    with pytest.raises(AffectkitError, match=r"yunet needs --detector-weights FILE\.onnx; download"):
        yunet.build()
    with pytest.raises(AffectkitError, match=r"--min-score 2; use 0 to 1"):
        yunet.build(detector_weights="x.onnx", min_score=2)


def test_a_file_that_is_not_yunets_is_one_line(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install affectkit[face]")
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(AffectkitError, match="is not YuNet's") as caught:
        yunet.build(detector_weights=str(tmp_path / "x.onnx")).load()
    assert "\n" not in str(caught.value)
