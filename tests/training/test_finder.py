"""The finder against fastai: curves that `Learner.lr_find()` recorded, and the rates that it suggested for them."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.training.finder import STEPS, Sweep, sweep, valley

FASTAI = json.loads(Path(__file__).with_name("fastai_valleys.json").read_text(encoding="utf-8"))
RATES = FASTAI["rates"]
CURVES = {curve["name"]: curve for curve in FASTAI["curves"]}
# fastai names a rate for these as well, in the noise of a loss that nothing lowers.
UNLEARNT = ("labels of chance", "diabetes, from its optimum", "nothing to train", "diabetes in its units, sgd, to nan")
LEARNT = [name for name in CURVES if name not in UNLEARNT]


def floats(cells):
    return [float(cell) for cell in cells]  # "nan" and "inf" too


def replay(losses, **options):
    remaining = iter(losses)
    return sweep(lambda rate: next(remaining), **{"bounded": False, **options})


def noise(level, deviation, seed=0, steps=STEPS):
    return level + deviation * np.random.default_rng(seed).standard_normal(steps)


@pytest.mark.parametrize("name", [name for name in CURVES if name != "nothing to train"])
def test_the_valley_is_fastais(name):
    curve = CURVES[name]
    smoothed = floats(curve["smoothed"])
    assert valley(RATES[: len(smoothed)], smoothed) == pytest.approx(curve["valley"], rel=1e-6)


@pytest.mark.parametrize("name", [name for name in LEARNT if CURVES[name]["stop_at_divergence"]])
def test_a_sweep_smooths_stops_and_suggests_as_fastai_does(name):
    curve = CURVES[name]
    found = replay(floats(curve["losses"]))
    smoothed = floats(curve["smoothed"])
    finite = sum(map(math.isfinite, smoothed))
    assert len(found.rates) == min(finite + 1, len(smoothed))  # fastai sweeps on through NaNs
    np.testing.assert_allclose(found.rates, RATES[: len(found.rates)], rtol=1e-12)
    np.testing.assert_allclose(found.smoothed[:finite], smoothed[:finite], rtol=5e-6)
    assert found.rate == pytest.approx(curve["valley"], rel=1e-6) and found.reason == ""


def test_a_bounded_loss_is_stopped_where_fastai_sweeps_on_and_has_the_same_valley():
    curve = CURVES["diabetes, mlp, 1-ccc"]
    found = replay(floats(curve["losses"]), bounded=True)
    best = int(np.argmin(floats(curve["smoothed"])))
    assert best + 5 < len(found.rates) < len(curve["smoothed"]) == STEPS
    assert found.rate == pytest.approx(curve["valley"], rel=1e-6)


@pytest.mark.parametrize("name", UNLEARNT)
def test_what_does_not_learn_has_no_valley(name):
    found = replay(floats(CURVES[name]["losses"]))
    assert found.rate is None and "does not fall" in found.reason


def test_a_sweep_is_exponential_up_to_just_below_its_end():
    asked = []
    sweep(lambda rate: asked.append(rate) or 1.0, bounded=False, low=1e-5, high=1.0, steps=50)
    assert len(asked) == 50 and asked[0] == 1e-5
    np.testing.assert_allclose(np.diff(np.log10(asked)), 5 / 50, rtol=1e-9)
    assert asked[-1] == pytest.approx(10**-0.1)


def test_the_smoothed_loss_is_the_weighted_mean_of_those_before():
    losses = noise(2, 0.1, steps=30)
    smoothed = replay(losses, steps=30).smoothed
    for last in (0, 1, 29):
        by_hand = np.average(losses[: last + 1], weights=0.98 ** np.arange(last, -1, -1))
        assert smoothed[last] == pytest.approx(by_hand, rel=1e-12)


def test_a_loss_of_four_times_the_best_ends_a_sweep():
    losses = np.concatenate([np.linspace(2, 1, 60), np.full(40, 30.0)])
    found = replay(losses)
    assert found.smoothed[-1] > 4 * min(found.smoothed) >= found.smoothed[-2]
    assert 60 < len(found.rates) < 90 and found.rate == pytest.approx(RATES[41], rel=1)


def test_one_lucky_first_batch_is_no_best_for_good():
    losses = noise(1.0, 0.1)
    losses[0] = 0.01
    assert len(replay(losses).rates) == STEPS


def concordance_sweep(best, seed=0):
    """1 - CCC: about 1, down to `best` at step 70, back at 1 from step 80 on, with the noise of 32 rows."""
    level = np.interp(np.arange(STEPS), [0, 40, 70, 80, 99], [1, 1, best, 1, 1])
    return level + noise(0, 0.1, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_bounded_loss_diverges_by_rising(seed):
    losses = concordance_sweep(0.2, seed)
    found = replay(losses, bounded=True)
    assert 75 < len(found.rates) < STEPS and 3e-4 < found.rate < 1
    assert len(replay(losses, bounded=False).rates) == STEPS  # four times the best is never reached


@pytest.mark.parametrize("deviation", [0.05, 0.12, 0.35])
def test_the_noise_of_a_bounded_loss_is_no_divergence(deviation):
    whole = [len(replay(noise(1, deviation, seed), bounded=True).rates) == STEPS for seed in range(50)]
    assert sum(whole) >= 48  # 1 % by design


def test_pure_noise_seldom_has_a_valley():
    found = [replay(noise(1.4, 0.2, seed)).rate for seed in range(200)]
    assert sum(rate is not None for rate in found) <= 20  # 5 % by design


def test_a_weak_fall_over_the_noise_has_one():
    level = np.interp(np.arange(STEPS), [0, 50, 99], [1.4, 1.4, 1.0])
    found = [replay(level + noise(0, 0.2, seed)).rate for seed in range(50)]
    assert sum(rate is not None for rate in found) >= 45


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_a_sweep(bad):
    asked = []

    def step(rate):
        asked.append(rate)
        return bad if len(asked) == 60 else 2 - 0.01 * len(asked)

    found = sweep(step, bounded=False)
    assert len(asked) == 60 == len(found.losses) and found.rate in found.rates[10:55]


def test_a_nan_costs_no_points_that_fastai_would_have_kept():
    """fastai sweeps on and drops the last 5 of its 100 points, which by then are NaN."""
    falling = np.linspace(2, 1, 60)
    after_nan = replay([*falling, math.nan])
    full = [*after_nan.smoothed, *[math.nan] * 39]
    assert after_nan.rate == valley(RATES, full) == pytest.approx(RATES[33])  # 10 + 49 - 50 + 50 // 3 + 50 // 6


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([2.0, 2.1, math.nan], ["met a loss of NaN after 3 steps", "1.4e-07"]),
        ([math.nan], ["after 1 steps"]),
        ([2.0, math.inf], ["diverged after 2 steps"]),
        ([1.0] * 14 + [400.0], ["diverged after 15 steps", "too few"]),
        ([1.5] * STEPS, ["does not fall"]),
        ([0.0] * STEPS, ["does not fall"]),
        (np.linspace(1, 2, STEPS), ["only rises", "to 1.6"]),
        (np.float32(1.1) + np.float32(1e-7) * np.random.default_rng(0).standard_normal(STEPS), ["does not fall"]),
    ],
)
def test_why_there_is_no_rate_is_said(losses, words):
    found = replay(losses)
    assert found.rate is None and all(word in found.reason for word in words), found.reason


@pytest.mark.parametrize("steps", [1, 3, 6, 12, 14])
def test_a_sweep_of_few_steps_finds_nothing(steps):
    found = replay(np.linspace(2, 1, steps), steps=steps)
    assert found.rate is None and f"ended after {steps} steps" in found.reason


curves = st.lists(st.floats(0, 5) | st.just(math.nan), min_size=STEPS, max_size=STEPS)


@given(curves, st.booleans(), st.floats(0, 0.05))
def test_never_an_end_of_the_curve(losses, bounded, slope):
    found = replay([loss - slope * step for step, loss in enumerate(losses)], bounded=bounded)
    if found.rate is None:
        assert found.reason
    else:
        assert found.rate in found.rates[STEPS // 10 + 1 : -1] and not found.reason


@given(st.lists(st.integers(0, 20).map(float), min_size=20, max_size=60))
def test_a_valley_lies_before_the_end_of_a_longest_fall(losses):
    """Against a longest common subsequence of the curve and itself sorted: another way to the same length."""
    rates = np.arange(len(losses), dtype=float)
    kept = losses[10 : max(10, len(losses) - 5)]
    found = valley(rates, losses)
    length = longest_fall(kept)
    assert (found is None) == (length < 6)
    if found is not None:
        ends = [last for last in range(len(kept)) if longest_fall(kept[: last + 1]) == length]
        assert found == 10 + ends[0] - length + length // 3 + length // 6


def longest_fall(losses):
    ordered = sorted(set(losses), reverse=True)
    table = np.zeros((len(losses) + 1, len(ordered) + 1), dtype=int)
    for row, loss in enumerate(losses):
        for column, level in enumerate(ordered):
            same = table[row, column] + 1 if loss == level else 0
            table[row + 1, column + 1] = max(same, table[row, column + 1], table[row + 1, column])
    return int(table[-1, -1])


def test_a_sweep_is_plain_for_json():
    found = replay(concordance_sweep(0.2), bounded=True)
    assert Sweep(**json.loads(json.dumps(asdict(found)))) == found
    assert set(asdict(found)) == {"rates", "losses", "smoothed", "rate", "reason"}
