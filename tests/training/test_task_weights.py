"""`--task-weights`: how much each target counts in the loss, typed or learned with the network."""

import numpy as np
import pytest
import torch
from training_toy import LABEL, VALENCE, assert_same, make_problem, weights_of

from affectkit.errors import AffectkitError
from affectkit.training.keeping import read_checkpoint
from affectkit.training.objective import TASK_SCALES
from affectkit.training.problem import WithTaskWeights
from affectkit.training.settings import parse_task_weights
from affectkit.training.stages import Stage

BOTH = (LABEL, VALENCE)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("equal", {}),
        ("uncertainty", {}),
        ("label=3,valence=1", {"label": 1.5, "valence": 0.5}),
        ("valence=3", {"label": 0.5, "valence": 1.5}),
        (" label = 1e-3 , valence=1e-3", {"label": 1.0, "valence": 1.0}),
    ],
)
def test_weights_are_one_on_average(text, weights):
    assert parse_task_weights(text, ["label", "valence"]) == pytest.approx(weights)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("lable=2", "no target is 'lable'", "label"),
        ("uncertainy", "'uncertainy' is not target=number", "did you mean uncertainty?"),
        ("label", "'label' is not target=number", "equal"),
        ("label=-1", "label weighs '-1'", "above 0"),
        ("label=0", "label weighs '0'", "--target"),
        ("label=nan", "label weighs 'nan'", "above 0"),
        ("label=inf", "label weighs 'inf'", "above 0"),
        ("label=two", "label weighs 'two'", "above 0"),
        ("label=1,label=2", "names label twice", "once"),
        ("", "weighs nothing", "label=2"),
    ],
)
def test_wrong_weights_are_refused_with_a_remedy(text, message, remedy):
    with pytest.raises(AffectkitError, match=message) as error:
        parse_task_weights(text, ["label", "valence"])
    assert error.value.code == "usage" and remedy in error.value.remedy


def test_one_target_has_nothing_to_be_weighed_against():
    for text in ("uncertainty", "label=2"):
        with pytest.raises(AffectkitError, match="there is one target, label"):
            parse_task_weights(text, ["label"])
    assert parse_task_weights("equal", ["label"]) == {}


def batch(problem, rows=8):
    """Outputs of chance and the truth of some rows."""
    generator = torch.Generator().manual_seed(0)
    truth = {name: torch.from_numpy(values[:rows]) for name, values in problem.train.truth.items()}
    return {
        "label": torch.randn(rows, 3, generator=generator),
        "valence": torch.randn(rows, generator=generator),
    }, truth


def losses(problem, outputs, truth):
    """The plain loss of each target alone."""
    return [float(problem.objective._loss(name, outputs[name], truth[name], None)) for name in ("label", "valence")]


def test_typed_weights_multiply_the_losses():
    problem = make_problem(BOTH, task_weights="label=3,valence=1")
    outputs, truth = batch(problem)
    label, valence = losses(problem, outputs, truth)
    assert float(problem.objective(outputs, truth)) == pytest.approx((1.5 * label + 0.5 * valence) / 2, rel=1e-6)
    # A batch without one of them: the other's weight holds, and is not made up for.
    truth["valence"] = torch.full_like(truth["valence"], torch.nan)
    assert float(problem.objective(outputs, truth)) == pytest.approx(1.5 * label, rel=1e-6)


def test_log_variances_price_the_losses_as_kendall_has_it():
    problem = make_problem(BOTH, task_weights="uncertainty")
    outputs, truth = batch(problem)
    label, valence = losses(problem, outputs, truth)
    scales = torch.tensor([0.4, -0.6], requires_grad=True)
    priced = problem.objective(outputs | {TASK_SCALES: scales.expand(8, -1)}, truth)
    expected = (np.exp(-0.4) * label + 0.2 + np.exp(0.6) * valence / 2 - 0.3) / 2
    assert float(priced.detach()) == pytest.approx(expected, rel=1e-5)
    priced.backward()
    slopes = [(0.5 - np.exp(-0.4) * label) / 2, (0.5 - np.exp(0.6) * valence / 2) / 2]
    np.testing.assert_allclose(scales.grad, slopes, rtol=1e-5)


def test_the_scale_of_a_target_that_a_batch_lacks_stays_where_it_is():
    problem = make_problem(BOTH, task_weights="uncertainty")
    outputs, truth = batch(problem)
    truth["valence"] = torch.full_like(truth["valence"], torch.nan)
    scales = torch.zeros(2, requires_grad=True)
    problem.objective(outputs | {TASK_SCALES: scales.expand(8, -1)}, truth).backward()
    assert scales.grad[0] != 0 and scales.grad[1] == 0


def test_scales_train_with_the_network_and_change_no_answer(train, tmp_path):
    problem = make_problem(BOTH, task_weights="uncertainty")
    before = weights_of(problem.network)
    done = train(problem, [Stage("whole", "all", 3, "1e-2")])
    assert all(not torch.equal(before[name], value) for name, value in weights_of(problem.network).items())
    assert set(done.task_weights) == {"label", "valence"} and sum(done.task_weights.values()) == pytest.approx(2)
    # The number's log-variance starts at half the price: what is told is learned, not only where it began.
    assert done.task_weights["label"] != pytest.approx(4 / 3, rel=1e-4)
    stored = read_checkpoint(tmp_path / "run" / "checkpoints")
    scales = stored.tensors["network.task_scales"]
    assert scales.shape == (2,) and bool((scales != 0).all())
    # It answers as it is, and epochs are compared by losses without a price: the ones that equal weights have.
    inputs = problem.val.collate([problem.val.load(place, None) for place in range(len(problem.val.ids))])
    problem.network.eval()
    wrapped = WithTaskWeights(problem.network, 2).eval()
    assert wrapped(**inputs).keys() == {"label", "valence"}
    outputs = problem.network(**inputs)
    truth = {name: torch.from_numpy(values) for name, values in problem.val.truth.items()}
    plain = make_problem(BOTH).objective(outputs, truth)
    assert float(plain.detach()) == pytest.approx(done.best["val_loss"], rel=1e-5)


def test_frozen_parts_never_move_and_scales_do(train):
    problem = make_problem(BOTH, task_weights="uncertainty", frozen=frozenset({"first"}))
    before = weights_of(problem.network)
    done = train(problem, [Stage("head", "head", 2, "1e-2"), Stage("whole", "all", 2, "1e-2")])
    moved = {name for name, value in weights_of(problem.network).items() if not torch.equal(before[name], value)}
    assert moved == {name for name in before if not name.startswith("first")}
    assert done.task_weights["label"] != pytest.approx(4 / 3, rel=1e-4)


def test_interrupted_and_resumed_it_has_the_same_bits(train, tmp_path):
    def run(folder, stop=None):
        problem = make_problem(BOTH, rows=20, val=6, task_weights="uncertainty")
        calls = iter(range(1000))

        def progress(*_):
            if next(calls) == stop:
                raise KeyboardInterrupt

        stages = [Stage("head", "head", 1, "1e-2"), Stage("whole", "all", 2, "1e-2")]
        done = train(problem, stages, tmp_path / folder, progress=progress, checkpoint_steps=1)
        return weights_of(problem.network), done.task_weights

    whole, weights = run("whole")
    for stop in range(1, 9, 2):
        with pytest.raises(KeyboardInterrupt):
            run(f"cut-{stop}", stop)
        again, same = run(f"cut-{stop}")
        assert_same(whole, again)
        assert same == weights


def test_checkpoints_of_other_task_weights_are_refused(train, tmp_path):
    train(make_problem(BOTH), folder=tmp_path / "run")
    with pytest.raises(AffectkitError, match="objective"):
        train(make_problem(BOTH, task_weights="uncertainty"), folder=tmp_path / "run")
