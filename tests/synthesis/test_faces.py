"""Faces and scenes: judged with OpenCV's own cascade, and by hand on points and pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from affectkit.synthesis import twins
from affectkit.synthesis.faces import draw_face, draw_person, points
from affectkit.synthesis.scenes import body_of, draw_scene


def affect(rng):
    valence, arousal = rng.normal(0, 0.5, 2).clip(-1, 1).tolist()
    return valence, arousal


def overlap(one, other):
    """Intersection over union of two boxes (x, y, width, height)."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0.0, wide) * max(0.0, high)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


@pytest.fixture(scope="module")
def detect():
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    return lambda image: list(cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 1.1, 5))


@pytest.mark.parametrize("size", [64, 96, 160])
def test_the_cascade_finds_portraits(detect, size):
    rng = np.random.default_rng(size)
    hits = 0
    for _ in range(40):
        image, _, box = draw_face(draw_person(rng), affect(rng), rng, size)
        hits += any(overlap(box, found) > 0.4 for found in detect(image))
    assert hits >= 36  # .99 of 600 were found when this was written; .80 is what the twins need


def test_the_cascade_finds_people_in_scenes_and_nobody_elsewhere(detect):
    rng = np.random.default_rng(0)
    hits = faces = alarms = 0
    for index in range(45):
        image, boxes, _ = draw_scene(affect(rng), rng, (256, 192), index % 3)
        found = detect(image)
        hits += sum(any(overlap(box, other) > 0.4 for other in found) for box in boxes)
        faces += len(boxes)
        alarms += bool(found) and not boxes
    assert faces == 45 and hits >= 40 and alarms <= 1  # of 15 scenes without a face


def test_the_same_generator_gives_the_same_picture_and_another_person_another():
    def drawn(seed, person):
        return draw_face(draw_person(np.random.default_rng(person)), (0.3, 0.2), np.random.default_rng(seed), 96)

    first, again, other = drawn(1, 1), drawn(1, 1), drawn(1, 2)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert np.abs(first[0].astype(int) - other[0]).mean() > 3 and not np.array_equal(first[1], other[1])
    assert first[0].shape == (96, 96, 3) and first[0].dtype == np.uint8
    assert first[1].shape == (68, 2) and first[1].dtype == np.float32


def test_valence_bends_the_mouth_and_the_brows_and_arousal_opens_mouth_and_eyes():
    """On the 68 points, by the numbers of 300-W: 48 and 54 are the mouth's corners, 62 and 66 its inner lips."""
    for seed in range(10):
        person = draw_person(np.random.default_rng(seed))
        glad, sad, calm, wild = (points(person, at) for at in ((0.9, 0), (-0.9, 0), (0, -0.9), (0, 0.9)))

        def droop(face):
            return face[[48, 54], 1].mean() - face[62, 1]

        def opening(face):
            return face[66, 1] - face[62, 1]

        def eyes(face):
            return face[[40, 41, 46, 47], 1].mean() - face[[37, 38, 43, 44], 1].mean()

        assert droop(glad) < 0 < droop(sad)  # y points down
        assert glad[[21, 22], 1].mean() < sad[[21, 22], 1].mean()  # the brows' inner ends
        assert opening(wild) > opening(calm) + 0.05 and eyes(wild) > 1.5 * eyes(calm)


def test_points_are_those_of_a_face_from_left_to_right():
    face = points(draw_person(np.random.default_rng(0)), (0.0, 0.0))
    assert np.allclose(face[:17] * [-1, 1], face[16::-1], atol=1e-9)  # the jaw, which is symmetric
    for order in (range(17), range(17, 27), range(31, 36), (36, 39, 42, 45), range(48, 55), range(60, 65)):
        assert (np.diff(face[list(order), 0]) > 0).all()
    parts = (range(17, 27), range(36, 48), [33], range(48, 68), [8])  # brows, eyes, nose, mouth, chin
    assert (np.diff([face[list(part), 1].mean() for part in parts]) > 0).all()


def test_landmarks_lie_on_what_they_name():
    """Eyes and mouth are darker than the cheeks between them: grey levels at the points of 100 portraits."""
    rng = np.random.default_rng(0)
    darker = []
    for _ in range(50):
        image, face, (x, y, wide, high) = draw_face(draw_person(rng), (0.0, 0.4), rng, 128)
        grey = np.asarray(Image.fromarray(image).convert("L"), float)

        def level(place, grey=grey):
            column, row = np.round(place).astype(int)
            return grey[row - 1 : row + 2, column - 1 : column + 2].mean()

        eyes = (level(face[36:42].mean(axis=0)) + level(face[42:48].mean(axis=0))) / 2
        cheeks = (level((face[2] + face[31]) / 2) + level((face[14] + face[35]) / 2)) / 2
        darker += [eyes < cheeks, level(face[60:68].mean(axis=0)) < cheeks]
        assert ((face[17:] > [x, y]) & (face[17:] < [x + wide, y + high])).all()  # the box holds all but the jaw
    assert np.mean(darker) > 0.95


def test_scenes_tell_where_everybody_is():
    rng = np.random.default_rng(0)
    for faces in (0, 1, 2):
        image, boxes, landmarks = draw_scene((0.2, 0.1), rng, (250, 200), faces)
        assert image.shape == (200, 250, 3) and len(boxes) == len(landmarks) == faces
        for box in boxes:
            left, top, wide, high = body_of(box, (250, 200))
            assert 0 <= left <= max(0, box[0]) and left + wide <= 250 and top + high <= 200 and high > box[3]


def test_scenes_brighten_with_valence_and_gain_contrast_with_arousal():
    def measured(at):
        pictures = [draw_scene(at, np.random.default_rng(seed), (128, 96), 0)[0] for seed in range(30)]
        return np.mean(pictures), np.mean([np.std(picture, axis=(0, 1)).mean() for picture in pictures])

    assert measured((0.8, 0.0))[0] > measured((-0.8, 0.0))[0] + 40
    assert measured((0.0, 0.8))[1] > 1.3 * measured((0.0, -0.8))[1]


def test_odd_sizes_and_faces_at_the_border_are_drawn():
    rng = np.random.default_rng(0)
    for size in ((40, 200), (200, 40), (33, 33)):
        image, boxes, _ = draw_scene((1.0, -1.0), rng, size, 2)
        assert image.shape == (size[1], size[0], 3) and len(boxes) == 2
    assert draw_face(draw_person(rng), (-1.0, 1.0), rng, 24)[0].shape == (24, 24, 3)


def test_a_picture_is_a_small_jpeg_that_says_it_is_synthetic(tmp_path):
    rng = np.random.default_rng(0)
    image, _, _ = draw_scene((0.2, 0.9), rng, (256, 192), 1)
    twins.save_image(tmp_path / "a" / "b.jpg", image)
    data = (tmp_path / "a" / "b.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as read:
        assert read.format == "JPEG" and read.size == (256, 192) and b"SYNTHETIC" in read.info["comment"]
        assert np.abs(np.asarray(read, float) - image).mean() < 6
    assert len(data) < 20_000
