"""What every detector owes: a new file in affectkit/detectors is covered by being there."""

import numpy as np
import pytest

from affectkit import registry
from affectkit.detectors._detector import Face, choose, ordered
from affectkit.errors import AffectkitError

NAMES = registry.names("detectors")
ROW = {"face_x": 10, "face_y": 12, "face_width": 20, "face_height": 24}


@pytest.fixture
def small(tmp_path):
    """A loaded detector; skips where it needs a file or a package that is not here."""

    def load(name):
        detector = registry.load("detectors", name).build(**({"detector_weights": "x"} if name == "yunet" else {}))
        if name == "yunet":
            pytest.skip("YuNet's weights are not here")
        if name == "haar":
            pytest.importorskip("cv2", reason="OpenCV is not installed: pip install affectkit[face]")
        detector.load()
        return detector

    return load


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3), (2000, 5, 3), (60, 80, 3)])
def test_any_image_has_faces_or_none_the_same_each_time(name, shape, small):
    detector = small(name)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    faces = detector.detect(image, ROW)
    again = detector.detect(image.copy(), ROW)
    assert [face.box for face in faces] == [face.box for face in again] == [face.box for face in ordered(faces)]
    assert all(len(face.box) == 4 and face.area > 0 for face in faces)


@pytest.mark.parametrize("name", NAMES)
def test_its_options_build_it_again(name, small):
    detector = small(name)
    again = registry.load("detectors", name).build(**detector.options)
    assert again.options == detector.options and again.name == name


FACES = [
    Face((0, 0, 10, 10), score=0.5),  # area 100, centre (5, 5)
    Face((40, 40, 20, 20), score=0.4),  # area 400, centre (50, 50)
    Face((0, 60, 30, 30), score=0.3),  # area 900, centre (15, 75)
]


@pytest.mark.parametrize(("policy", "taken"), [("largest", 2), ("most-central", 1), ("highest-score", 0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_which_of_several_faces_is_taken(policy, taken, order):
    assert choose([FACES[place] for place in order], policy, 100, 100) is FACES[taken]


def test_equal_faces_are_taken_from_the_top_left():
    twins = [Face((50, 10, 8, 8)), Face((10, 10, 8, 8)), Face((0, 20, 8, 8))]
    for policy in ("largest", "highest-score"):
        assert choose(twins, policy, 100, 100) is twins[1]


def test_no_face_and_no_policy():
    assert choose([], "largest", 10, 10) is None
    with pytest.raises(AffectkitError, match="there is no policy 'biggest'") as caught:
        choose(FACES, "biggest", 10, 10)
    assert caught.value.code == "usage"
