"""Test-time augmentation and Monte Carlo dropout of image networks: means and variances by numpy and by hand."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import entropy

from affectkit.encoders._encoder import Item
from affectkit.errors import AffectkitError
from affectkit.finetuning.media._images import InPasses, seed_of
from affectkit.finetuning.media.images import Images
from affectkit.finetuning.media.speech import Speech
from affectkit.finetuning.model import FinetunedModel
from affectkit.finetuning.passes import ONCE, Passes, over_passes
from affectkit.labels import Target
from affectkit.media.augment_images import PASSES, view
from affectkit.models import image_network
from affectkit.training.accelerating import open_accelerator

VALENCE, FREE = Target("valence", "number", (), (-1.0, 1.0)), Target("age", "number")
LABEL = Target("label", "class", ("angry", "happy", "sad"))
TARGETS = (VALENCE, LABEL, FREE)


@pytest.fixture(scope="module")
def network():
    return image_network.build("tiny-random:open_clip", TARGETS, dropout=0.3).eval()


@pytest.fixture(scope="module")
def model(network):
    spec = {"targets": [target.to_json() for target in TARGETS]}
    return FinetunedModel(spec, Images("tiny-random:open_clip"), network)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Seven pictures of different sizes."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for number in range(7):
        path = folder / f"{number}.png"
        ramp = np.linspace(0, 255, 40 + 9 * number)[None, :, None] * rng.random((50, 1, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(path)
        found.append(Item(f"row-{number}", path))
    return found


def answered(model, items, passes=ONCE, **options):
    """The outputs by target, and the reasons for which rows were skipped."""
    outputs, skipped = model.predict(
        items, open_accelerator("cpu"), where=lambda place: {"row": place + 1}, passes=passes, **options
    )
    return {output.target.name: output for output in outputs}, skipped


def with_batches_of(rows):
    class Smaller(Images):
        answered_at_once = (rows, None)

    return Smaller("tiny-random:open_clip")


# Mean and variance over passes


def test_mean_and_variance_are_numpys_with_one_degree_of_freedom():
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 0.3, (5, 4))
    shares = rng.dirichlet(np.ones(3), (5, 4))
    valence, label = over_passes((VALENCE, LABEL), {"valence": numbers, "label": shares})
    np.testing.assert_allclose(valence.mean, numbers.mean(axis=1))
    np.testing.assert_allclose(valence.var, [np.cov(row) for row in numbers])
    np.testing.assert_allclose(label.values, shares.mean(axis=1))
    assert label.var is None
    told = [entropy(row.mean(axis=0)) - entropy(row, axis=1).mean() for row in shares]
    np.testing.assert_allclose(label.mutual_information, told, atol=1e-12)


def test_the_mean_is_held_to_the_scale_after_it_was_taken():
    """Passes of .8 and 1.6 have the mean 1.2, which is 1 at most, and the variance of what they were: .32."""
    passes = np.array([[0.8, 1.6], [-2.0, 2.0], [0.9, 1.0]])
    valence, age = over_passes((VALENCE, FREE), {"valence": passes, "age": passes})
    np.testing.assert_allclose(valence.mean, [1.0, 0.0, 0.95])
    np.testing.assert_allclose(valence.var, [0.32, 8.0, 0.005])
    np.testing.assert_allclose(age.mean, [1.2, 0.0, 0.95])


def test_of_one_pass_no_variance_is_known():
    [valence] = over_passes((VALENCE,), {"valence": np.array([[0.1], [3.0]])})
    [label] = over_passes((LABEL,), {"label": np.array([[[0.2, 0.3, 0.5]]])})
    assert valence.var is None and label.mutual_information is None
    np.testing.assert_allclose(valence.mean, [0.1, 1.0])


def test_a_row_that_was_not_read_stays_unknown():
    [valence] = over_passes((VALENCE,), {"valence": np.array([[0.1, 0.2], [np.nan, np.nan]])})
    assert np.isnan([valence.mean[1], valence.var[1]]).all() and not np.isnan(valence.mean[0])


# What a network answers in several passes


@torch.no_grad()
def test_the_passes_are_the_views_one_by_one(model, network, items):
    found, _ = answered(model, items, Passes(tta=5))
    for place, item in enumerate(items):
        image = np.asarray(Image.open(item.path))
        each = [network.prepare(view(image, *one)) for one in PASSES[:5]]
        alone = [network(torch.from_numpy(pixels)[None]) for pixels in each]
        valence = np.array([float(output["valence"][0]) for output in alone])
        assert found["valence"].mean[place] == pytest.approx(valence.mean(), abs=1e-6)
        assert found["valence"].var[place] == pytest.approx(np.cov(valence), abs=1e-6)
        shares = np.mean([output["label"].softmax(1)[0].numpy() for output in alone], axis=0)
        np.testing.assert_allclose(found["label"].values[place], shares, atol=1e-6)
    assert (found["valence"].var > 0).all()


def test_a_single_pass_is_the_plain_network_bit_for_bit(model, network, items):
    """Through `predict`, and through the layer that several passes go through."""
    plain, _ = answered(model, items)
    pixels = torch.stack([torch.from_numpy(network.prepare(np.asarray(Image.open(item.path)))) for item in items])
    with torch.no_grad():
        directly = network(pixels)
        through = InPasses(network, Passes(tta=1))(pixels[:, None], torch.tensor([seed_of(item.id) for item in items]))
    np.testing.assert_array_equal(plain["age"].mean, directly["age"].double().numpy())
    np.testing.assert_array_equal(plain["valence"].mean, directly["valence"].double().clamp(-1, 1).numpy())
    assert plain["valence"].var is None
    for name, values in through.items():
        torch.testing.assert_close(values[:, 0], directly[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("passes", [Passes(5), Passes(1, 20), Passes(3, 7)], ids=str)
def test_answers_depend_neither_on_the_batch_nor_on_the_order(model, network, items, passes):
    whole, _ = answered(model, items, passes)
    alone = FinetunedModel(model.spec, with_batches_of(1), network)
    one_by_one, _ = answered(alone, items, passes)
    backwards, _ = answered(model, items[::-1], passes)
    some, _ = answered(model, items[2:3], passes)
    for name, output in whole.items():
        for other in (one_by_one[name].values, backwards[name].values[::-1]):
            np.testing.assert_allclose(other, output.values, atol=1e-6)
        np.testing.assert_allclose(some[name].values[0], output.values[2], atol=1e-6)
        if output.var is not None:
            for other in (one_by_one[name].var, backwards[name].var[::-1]):
                np.testing.assert_allclose(other, output.var, atol=1e-6)


def test_the_same_draws_come_again_whatever_else_was_drawn(model, items):
    first, _ = answered(model, items, Passes(2, 5))
    torch.manual_seed(123)
    torch.rand(100)
    again, _ = answered(model, items, Passes(2, 5))
    for name, output in first.items():
        np.testing.assert_array_equal(again[name].values, output.values)
    state = torch.get_rng_state()
    answered(model, items, Passes(2, 5))
    assert torch.equal(state, torch.get_rng_state()), "the generators of others are left alone"


def test_rows_draw_for_themselves():
    seeds = {seed_of(f"row-{number}") for number in range(1000)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**63 for seed in seeds)


@torch.no_grad()
def test_dropout_has_the_mean_and_variance_of_its_limit(model, network, items):
    """Of a linear head behind inverted dropout p: the mean is the plain answer, the variance p / (1 - p) sum (w x)^2.

    With 1000 draws the variance is known to 4.5 %, its mean over seven rows to 1.7 %; three of these are allowed.
    """
    found, _ = answered(model, items, Passes(1, 1000))
    pixels = torch.stack([torch.from_numpy(network.prepare(np.asarray(Image.open(item.path)))) for item in items])
    features = network.encode(pixels)
    head = network.heads["2-age"]
    expected = (0.3 / 0.7 * ((features * head.weight[0]) ** 2).sum(dim=1)).numpy()
    plain = network(pixels)["age"].numpy()
    np.testing.assert_allclose(found["age"].var / expected, 1, atol=0.14)
    assert np.mean(found["age"].var / expected) == pytest.approx(1, abs=0.05)
    assert (np.abs(found["age"].mean - plain) < 4 * np.sqrt(expected / 1000)).all()


def test_draws_without_a_dropout_are_refused(items):
    """All would be the same: a variance of 0 is the most certain answer there is."""
    network = image_network.build("tiny-random:open_clip", TARGETS, dropout=0.0)
    model = FinetunedModel({"targets": [target.to_json() for target in TARGETS]}, Images("x"), network)
    with pytest.raises(AffectkitError, match="this network has none; fine-tune with --dropout") as caught:
        answered(model, items, Passes(1, 20))
    assert caught.value.code == "usage"
    found, _ = answered(model, items, Passes(3))
    assert (found["valence"].var > 0).all()


@pytest.mark.parametrize("passes", [ONCE, Passes(3), Passes(2, 4)], ids=str)
def test_an_image_that_cannot_be_read_is_skipped_and_changes_no_other(model, items, tmp_path, passes):
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows = [*items[:2], Item("broken", tmp_path / "broken.png"), *items[2:]]
    found, skipped = answered(model, rows, passes, on_error="skip")
    alone, _ = answered(model, items, passes)
    assert list(skipped) == [2] and "broken.png" in skipped[2]
    for name, output in found.items():
        assert np.isnan(output.values[2]).all()
        np.testing.assert_allclose(np.delete(output.values, 2, axis=0), alone[name].values, atol=1e-6)
    with pytest.raises(AffectkitError, match=r"row 3: .*broken.png"):
        answered(model, rows, passes)


# What cannot be meant


@pytest.mark.parametrize(("tta", "draws"), [(0, 0), (11, 0), (1, -1), (1, 1001)])
def test_there_are_no_such_passes(tta, draws):
    with pytest.raises(AffectkitError) as caught:
        Passes(tta, draws)
    assert caught.value.code == "usage"


def test_the_number_of_passes_is_that_of_views_times_draws():
    assert [Passes(*each).count for each in ((1, 0), (5, 0), (1, 20), (5, 20), (1, 1))] == [1, 5, 20, 100, 1]


def test_a_model_predicts_as_it_was_made_unless_told_otherwise():
    assert Passes.of({}) == ONCE and Passes.of(Passes(5, 20).plain()) == Passes(5, 20)
    assert Passes.of({"tta": 5, "mc_dropout": 20}, 1, 0) == ONCE
    assert ONCE.plain() == {}


def test_speech_networks_have_no_such_passes():
    with pytest.raises(AffectkitError, match="--tta and --mc-dropout are of image networks") as caught:
        Speech("tiny-random:wav2vec2").wrapped(None, Passes(5))
    assert caught.value.code == "usage"


# --- Answers that are no numbers


@pytest.mark.parametrize("target", [VALENCE, LABEL, FREE], ids=lambda target: target.name)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(("passes", "first"), [(ONCE, 6), (Passes(tta=2), 0)])
def test_an_answer_that_is_no_number_is_never_a_row_without_one(model, items, passes, first, target, value):
    """An infinity would be clipped to the end of the scale, NaN be taken for a row that was declined."""
    network = image_network.build("tiny-random:open_clip", TARGETS, dropout=0.3).eval()
    head = network.heads[network._keys[target.name]]

    def broken(module, inputs, outputs):
        outputs[-1 if passes == ONCE else 0 :] = value  # of the last row, or of all
        return outputs

    head.register_forward_hook(broken)
    apart = FinetunedModel(model.spec, model.medium, network)
    with pytest.raises(
        AffectkitError, match=f"row {first + 1}: the answer for id 'row-{first}' is not a num"
    ) as caught:
        answered(apart, items, passes)
    assert caught.value.code == "input" and "--learning-rate" in caught.value.remedy
    outputs, skipped = answered(apart, items, passes, on_error="skip")
    assert skipped == {row: f"the answer for id 'row-{row}' is not a number" for row in range(first, 7)}
    values = outputs[target.name].values
    assert np.isnan(values[first:]).all() and np.isfinite(values[:first]).all()
