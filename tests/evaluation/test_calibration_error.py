"""Calibration errors against hand calculations, plain loops, published figures and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.evaluation import metrics as m
from affectkit.evaluation.calibration_error import (
    equal_mass,
    equal_width,
    null_band,
    reliability_bins,
    smooth_error,
    top_label,
)


def table(seed, n=300, classes=4, sharpen=1.0):
    """Truth drawn from random probabilities, and these raised to a power: calibrated where `sharpen` is 1."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.5), n)
    truth = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    p = np.maximum(p, 1e-9) ** sharpen
    return truth, p / p.sum(axis=1, keepdims=True)


def looped_ece(confidence, right, bins=15):
    """Guo et al., eq. 5, bin by bin."""
    total = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins) | ((i == 0) & (confidence == 0))
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_ece_equals_a_plain_loop(seed, bins):
    truth, p = table(seed, 100)
    assert m.ece(truth, p, bins=bins) == pytest.approx(looped_ece(p.max(1), p.argmax(1) == truth, bins), abs=1e-12)
    per_class = [looped_ece(p[:, k], truth == k, bins) for k in range(4)]
    assert m.classwise_ece(truth, p, bins=bins) == pytest.approx(np.mean(per_class), abs=1e-12)


def test_every_edge_belongs_to_the_bin_below_it_and_the_ends_are_kept():
    edges = np.arange(16) / 15
    assert equal_width(edges).tolist() == [0, *range(15)]
    assert equal_width(np.array([0.0, 1.0, np.nextafter(0.2, 1)])).tolist() == [0, 14, 3]
    assert m.ece([0, 1], [[1.0, 0.0], [1.0, 0.0]]) == 0.5


@given(st.integers(0, 10**6), st.integers(1, 25), st.booleans())
def test_errors_to_the_same_side_sum_to_the_mean_gap_under_any_binning(seed, bins, over):
    """If every bin errs to the same side, ECE = |mean confidence - accuracy|: here all rows are wrong, or all right."""
    _, p = table(seed, 60)
    truth = (p.argmax(axis=1) + over) % 4
    gap = abs(p.max(axis=1).mean() - (truth == p.argmax(axis=1)).mean())
    for value in (m.ece(truth, p, bins=bins), m.ece_adaptive(truth, p, bins=bins), m.smece(truth, p)):
        assert value == pytest.approx(gap, abs=1e-6)


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_of_no_account(seed, random):
    truth, p = table(seed, 50)
    p = np.round(p, 1)  # ties
    order = list(range(50))
    random.shuffle(order)
    for name in ("ece", "ece_adaptive", "classwise_ece", "ece_debiased", "smece"):
        metric = m.METRICS[name].function
        assert metric(truth, p) == pytest.approx(metric(truth[order], p[order]), abs=1e-12), name


def test_equal_mass_bins_hold_equally_many_rows_and_keep_ties_together():
    confidence = np.random.default_rng(0).random(150)
    assert (np.bincount(equal_mass(confidence)) == 10).all()
    assert len(set(equal_mass(np.array([0.3, 0.9, 0.9, 0.9, 0.9]), 2)[1:])) == 1


@pytest.mark.parametrize("seed", range(3))
def test_debiased_error_equals_the_definition(seed):
    """Kumar et al. 2019, definition 5.2, bin by bin, with ten rows to a bin."""
    truth, p = table(seed, 150, sharpen=3.0)
    confidence, right = top_label(truth, p)
    order = np.argsort(confidence)
    squared = 0.0
    for rows in np.split(order, 15):
        hit = right[rows].mean()
        squared += ((hit - confidence[rows].mean()) ** 2 - hit * (1 - hit) / (len(rows) - 1)) / 15
    assert m.ece_debiased(truth, p) == pytest.approx(np.sqrt(max(squared, 0)), abs=1e-9)


def test_debiased_square_is_unbiased_where_the_plain_one_is_not():
    """A calibrated model: the mean over many tables of the debiased square is 0, that of the plain one is not."""
    debiased, plain = [], []
    for seed in range(400):
        confidence = np.full(60, 0.7)
        right = np.random.default_rng(seed).random(60) < 0.7
        gap = right.mean() - confidence.mean()
        plain.append(gap**2)
        value = m.ece_debiased((~right).astype(int), np.column_stack([confidence, 1 - confidence]), bins=1)
        square = gap**2 - right.mean() * (1 - right.mean()) / 59
        assert value == pytest.approx(np.sqrt(max(square, 0)), abs=1e-9)
        debiased.append(square)
    assert abs(np.mean(debiased)) < 0.0005 < 0.003 < np.mean(plain)


def direct_smece(position, residual, points=1000):
    """Błasiok and Nakkiran 2023 without any transform: images of every row, an integral by trapezoids, bisection."""
    grid = np.linspace(0, 1, points + 1)[:, None]
    images = np.concatenate([s * position + 2 * k for k in range(-3, 4) for s in (1, -1)])

    def gap(width):
        kernel = np.exp(-0.5 * ((grid - images) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        smooth = kernel @ np.tile(residual, 14) / len(position)
        return np.trapezoid(np.abs(smooth), dx=1 / points)

    low, high = 0.005, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) > middle else (low, middle)
    return low


@pytest.mark.parametrize("sharpen", [1.0, 2.5])
def test_smece_equals_its_definition(sharpen):
    truth, p = table(3, 80, sharpen=sharpen)
    confidence, right = top_label(truth, p)
    assert m.smece(truth, p) == pytest.approx(direct_smece(confidence, right - confidence), abs=1e-5)


def test_smece_moves_little_where_a_confidence_crosses_an_edge_and_ece_jumps():
    right = np.tile([1.0, 0.0], 50)
    near = 0.6 + np.where(right == 1, 1e-9, -1e-9)
    truth = (1 - right).astype(int)
    below, at = np.column_stack([near, 1 - near]), np.full((100, 2), [0.6, 0.4])
    assert m.ece(truth, below) - m.ece(truth, at) > 0.3
    assert m.smece(truth, below) == pytest.approx(m.smece(truth, at), abs=1e-6)


def test_smece_ends():
    assert m.smece([0, 0], [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(0, abs=1e-9)
    assert m.smece([1, 1], [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(1)
    assert smooth_error(np.array([0.5, 0.5]), np.array([0.5, -0.5])) == pytest.approx(0, abs=1e-9)


def test_published_figures_of_a_network_on_cifar10(real_data):
    """VGG16 probabilities, rows 5000-9999, before calibration: ECE .03742, NLL .22697, Brier (summed) .09718."""
    with np.load(real_data / "calibration" / "cifar10_vgg16_probs.npz") as file:
        p, truth = file["probs"][5000:], file["labels"][5000:]
    assert m.ece(truth, p) == pytest.approx(0.03742, abs=5e-6)
    assert m.nll(truth, p) == pytest.approx(0.22697, abs=5e-6)
    assert m.brier(truth, p) == pytest.approx(0.09718, abs=5e-6)
    assert m.accuracy(truth, p.argmax(axis=1)) == pytest.approx(0.9404)
    assert m.ece(truth, p) > null_band(p.max(axis=1).astype(float)).ece_p95


@pytest.mark.parametrize(
    ("n", "mean", "p95"), [(100, 0.114, 0.156), (300, 0.067, 0.094), (1000, 0.037, 0.050), (10_000, 0.012, 0.016)]
)
def test_null_band_of_a_six_class_model(n, mean, p95):
    """Known figures of a calibrated 6-class model; its confidences are those of a softmax of normal logits, sd 2."""
    rng = np.random.default_rng(0)
    bands = []
    for seed in range(10):
        p = np.exp(2 * rng.standard_normal((n, 6)))
        bands.append(null_band((p / p.sum(axis=1, keepdims=True)).max(axis=1), draws=400, seed=seed))
    assert np.mean([b.ece_mean for b in bands]) == pytest.approx(mean, rel=0.04)
    assert np.mean([b.ece_p95 for b in bands]) == pytest.approx(p95, rel=0.06)


def test_null_band_equals_drawing_every_row():
    """Against Bernoulli draws row by row through `ece` itself."""
    _, p = table(5, 400, classes=3)
    confidence = p.max(axis=1)
    rng = np.random.default_rng(1)
    drawn = [looped_ece(confidence, rng.random(400) < confidence) for _ in range(1500)]
    band = null_band(confidence, draws=4000)
    assert band.ece_mean == pytest.approx(np.mean(drawn), rel=0.03)
    assert band.ece_p95 == pytest.approx(np.quantile(drawn, 0.95), rel=0.04)


def test_a_calibrated_model_lies_in_the_band_and_an_overconfident_one_does_not():
    inside = []
    for seed in range(200):
        truth, p = table(seed, 200)
        inside.append(m.ece(truth, p) <= null_band(p.max(axis=1), draws=200, seed=seed).ece_p95)
    assert 0.90 <= np.mean(inside) <= 0.99
    truth, p = table(0, 400, sharpen=4.0)
    assert m.ece(truth, p) > 2 * null_band(p.max(axis=1)).ece_p95


def test_the_band_is_a_function_of_its_seed():
    _, p = table(0)
    first, again, other = (null_band(p.max(axis=1), seed=s) for s in (0, 0, 1))
    assert first.ece_p95 == again.ece_p95 != other.ece_p95
    np.testing.assert_array_equal(first.low, again.low)


def test_reliability_bins_add_up_to_ece():
    truth, p = table(2, sharpen=2.0)
    confidence, right = top_label(truth, p)
    bins = reliability_bins(confidence, right, null_band(confidence))
    filled = [b for b in bins if b["n"]]
    ece = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in filled) / len(truth)
    assert ece == pytest.approx(m.ece(truth, p), abs=1e-12)
    assert sum(b["n"] for b in bins) == len(truth)
    assert all(b["low"] < b["confidence"] <= b["high"] for b in filled)
    assert all(b["null_low"] <= b["confidence"] <= b["null_high"] for b in filled if b["n"] > 20)
    assert all(np.isnan(b["accuracy"]) and np.isnan(b["null_low"]) for b in bins if not b["n"])
