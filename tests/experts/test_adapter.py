"""Detection, crop, passes and scales, by hand: the stub's answers are means of pixels."""

import math
import types

import numpy as np
import pytest

from affectkit.detectors._detector import crop
from affectkit.errors import AffectkitError
from affectkit.experts._expert import PASSES, Plan, rescaled
from affectkit.labels import Target

BOX = (20.0, 10.0, 40.0, 40.0)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def one(expert, image, faces=(BOX,), **options):
    (answer,) = expert.predict([(image, {"faces": list(faces)})], **options)
    return answer


def view(image, factor, mirrored, box=BOX):
    """What the stub sees: its red, 0 to 1."""
    cut = crop(image, (box[0] + box[2] / 2, box[1] + box[3] / 2), max(box[2:]) * factor, 8)[..., 0] / 255
    return cut[:, ::-1] if mirrored else cut


def test_a_single_pass_is_the_mean_of_the_face_and_its_mirror_image(stub, image):
    answer = one(stub(), image)
    assert answer.values["valence"] == pytest.approx(view(image, 1, False).mean())
    assert answer.values["arousal"] == pytest.approx(0.0, abs=1e-12)  # turns with the mirror
    assert math.isnan(answer.var["valence"]) and math.isnan(answer.var["arousal"])
    plain = one(stub(flip_average=False), image)
    red = view(image, 1, False)
    assert plain.values["arousal"] == pytest.approx(2 * (red[:, 0].mean() - red[:, -1].mean()))
    assert abs(plain.values["arousal"]) > 0.001 and math.isnan(plain.var["arousal"])


@pytest.mark.parametrize("tta", [2, 3, 5, 10])
@pytest.mark.parametrize("flip_average", [True, False])
def test_passes_are_averaged_and_their_variance_has_ddof_1(tta, flip_average, stub, image):
    seen = [view(image, factor, mirrored) for factor, mirrored in PASSES[:tta]]
    answer = one(stub(flip_average=flip_average), image, tta=tta)
    for name, passes in (
        ("valence", [red.mean() for red in seen]),
        ("arousal", [2 * (red[:, 0].mean() - red[:, -1].mean()) for red in seen]),
    ):
        mean = sum(passes) / tta
        assert answer.values[name] == pytest.approx(mean)
        assert answer.var[name] == pytest.approx(sum((value - mean) ** 2 for value in passes) / (tta - 1))
        assert answer.var[name] >= 0


def test_the_passes():
    assert PASSES[:5] == ((1.0, False), (1.0, True), (0.96, False), (1.04, False), (0.98, True))
    assert len(set(PASSES)) == len(PASSES) and all(0.96 <= factor <= 1.04 for factor, _ in PASSES)
    assert [len(Plan(1, False).views), len(Plan(1, True).views), len(Plan(5, True).views)] == [1, 2, 5]
    for tta in (0, 11):
        with pytest.raises(AffectkitError, match=f"--tta {tta}; use 1 to 10 passes"):
            Plan(tta)


def test_probabilities_are_those_of_the_upright_face(stub, image):
    mean = view(image, 1, False).mean()
    for tta in (1, 5):
        np.testing.assert_allclose(one(stub(), image, tta=tta).probabilities, [mean, 1 - mean])


def test_numbers_come_on_the_targets_scale(stub, image):
    """From -2..2 to 1..9: 1 + 2 (v + 2), and 2 squared times the variance."""
    plain = one(stub(), image, tta=5)
    mapped = one(stub([Target("arousal", "number", scale=(1.0, 9.0))]), image, tta=5)
    assert set(mapped.values) == {"arousal"} == set(mapped.var)
    assert mapped.values["arousal"] == pytest.approx(1 + 2 * (plain.values["arousal"] + 2))
    assert mapped.var["arousal"] == pytest.approx(4 * plain.var["arousal"])
    unknown = one(stub([Target("arousal", "number")]), image, tta=5)
    assert unknown.values["arousal"] == plain.values["arousal"]


def test_the_mean_is_clipped_and_not_each_pass(stub, image):
    """1.6 and .8 on a scale to 1: their mean is clipped to 1; clipped passes would give .9, and a smaller variance."""
    expert = stub()
    expert.expert.scale = (-1.0, 1.0)
    expert.targets = (Target("valence", "number", scale=(-1.0, 1.0)),)
    numbers = iter([[1.6, 0.8]])
    expert.expert.predict = lambda crops: types.SimpleNamespace(
        values={"valence": np.array(next(numbers)), "arousal": np.zeros(2)}, probabilities=None
    )
    answer = one(expert, image, tta=2)
    assert answer.values == {"valence": 1.0} and answer.var["valence"] == pytest.approx(0.32)
    assert answer.probabilities is None
    assert rescaled(-3.0, 0.5, (-1, 1), (0, 4)) == (0.0, 2.0)
    assert rescaled(0.25, 0.5, (-1, 1), None) == (0.25, 0.5)


def test_which_face_was_read_is_said(stub, image):
    faces = [((0.0, 0.0, 50.0, 50.0), 0.2), ((35.0, 25.0, 12.0, 12.0), 0.5), ((60.0, 40.0, 20.0, 20.0), 0.9)]
    for policy, place in (("largest", 0), ("most-central", 1), ("highest-score", 2)):
        answer = one(stub(policy=policy), image, faces)
        assert (answer.faces, answer.box, answer.crop) == (3, faces[place][0], "box")
        assert answer.values["valence"] == pytest.approx(view(image, 1, False, faces[place][0]).mean())
    with pytest.raises(AffectkitError, match="there is no policy 'first'"):
        stub(policy="first")


def test_landmarks_make_the_crop(stub, image):
    points = np.stack([np.linspace(30, 50, 68), np.linspace(20, 40, 68)], axis=1).astype(np.float32)
    answer = one(stub(), image, [(BOX, 1.0, points)])
    assert answer.crop == "landmarks" and answer.box == BOX
    expected = crop(image, (40, 30), 0.909 * 40, 8)[..., 0].mean() / 255
    assert answer.values["valence"] == pytest.approx(expected, abs=0.01)


def test_a_box_is_cut_wider_on_request(stub, image):
    answer = one(stub(box_scale=1.5), image)
    assert answer.values["valence"] == pytest.approx(view(image, 1.5, False).mean())
    with pytest.raises(AffectkitError, match=r"--box-scale 9; use 0\.5 to 3"):
        stub(box_scale=9.0)


def test_no_face_is_declined_with_the_reason(stub, image):
    answer = one(stub(), image, [], tta=5)
    assert answer.declined == "no face found" and answer.faces == 0
    assert answer.values == {} == answer.var and answer.box is None and answer.probabilities is None


def test_a_face_at_the_border_is_cut_with_black_around_it(stub):
    white = np.full((60, 80, 3), 255, dtype=np.uint8)
    answer = one(stub(), white, [(-20.0, 20.0, 40.0, 40.0)])  # its left half is outside
    assert answer.values["valence"] == pytest.approx(0.5, abs=0.01)
    corner = one(stub(), white, [(60.0, 40.0, 40.0, 40.0)])
    assert corner.values["valence"] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 32])
@pytest.mark.parametrize("tta", [1, 5])
def test_answers_keep_their_order_whatever_the_batch(batch_size, tta, stub):
    rng = np.random.default_rng(1)
    images = [
        (rng.integers(0, 256, (50, 50, 3), dtype=np.uint8), {"faces": [] if n % 3 == 1 else [(5.0, 5.0, 30.0, 30.0)]})
        for n in range(11)
    ]
    expert = stub()
    together = list(expert.predict(iter(images), tta=tta, batch_size=batch_size))
    alone = [next(iter(stub().predict([pair], tta=tta))) for pair in images]
    assert [answer.declined for answer in together] == [answer.declined for answer in alone]
    assert [answer.values for answer in together] == [answer.values for answer in alone]
    assert sum(bool(answer.declined) for answer in together) == 4
    assert max(expert.expert.batches) <= batch_size


def test_few_images_are_held_at_a_time(stub):
    """ExpertAnswers come while images are still read, of images without a face too."""
    for faces, most in ([(5.0, 5.0, 30.0, 30.0)], 4), ([], 32):
        read = 0

        def images(faces=faces):
            nonlocal read
            for _ in range(200):
                read += 1
                yield np.zeros((40, 40, 3), np.uint8), {"faces": faces}

        next(stub().predict(images(), batch_size=4))
        assert read <= most


def test_nothing_in_nothing_out(stub):
    assert list(stub().predict([])) == []


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32), None,
    ],
)  # fmt: skip
def test_what_is_no_image_stops_or_is_declined(bad, stub, image):
    pairs = [(bad, {"faces": [BOX]}), (image, {"faces": [BOX]})]
    with pytest.raises(AffectkitError, match=r"is no image|without pixels"):
        list(stub().predict(pairs))
    first, second = stub().predict(pairs, on_error="skip")
    assert "image" in first.declined and not second.declined and second.values


def test_a_number_that_is_none_is_declined(stub, image):
    expert = stub([Target("valence", "number", scale=(0, 1))])
    expert.expert.predict = lambda crops: types.SimpleNamespace(
        values={"valence": np.array([0.5, np.nan]), "arousal": np.zeros(2)}, probabilities=None
    )
    answer = one(expert, image)
    assert answer.declined == "stub gave a number that is not finite" and answer.values == {} and answer.box == BOX


def test_a_target_that_it_does_not_answer_for_is_refused(stub):
    for target in (Target("dominance", "number", scale=(0, 1)), Target("valence", "class", ("low", "high"))):
        with pytest.raises(AffectkitError, match=r"stub does not answer for the .*; it answers for valence, arousal"):
            stub([target])


def test_of_a_row_about_one_person_that_persons_face_is_read(stub, image):
    """Though another one's is larger, as in EMOTIC's pictures of several people."""
    faces = [((0.0, 0.0, 50.0, 50.0), 1.0), ((60.0, 40.0, 20.0, 20.0), 1.0)]
    row = {"faces": faces, "person_x": 55, "person_y": 30, "person_width": 30, "person_height": 40}
    (answer,) = stub().predict([(image, row)])
    assert (answer.faces, answer.box) == (1, faces[1][0])
    (answer,) = stub().predict([(image, row | {"person_y": 0, "person_height": 10})])
    assert answer.declined == "no face found"


def test_a_face_as_long_as_a_narrow_image_is_declined(stub):
    narrow, box = np.zeros((60000, 4, 3), np.uint8), (0.0, 0.0, 4.0, 60000.0)
    with pytest.raises(AffectkitError, match="the square about its face has 60000 x 60000 pixels"):
        one(stub(), narrow, [box])
    assert "60000 x 60000" in one(stub(), narrow, [box], on_error="skip").declined
