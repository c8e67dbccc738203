"""Reliability before and after, risk against coverage, maps, interval coverage: said, drawn, and never breaking."""

import numpy as np
import pytest

from affectkit.evaluation.calibration_error import null_band, reliability_bins
from affectkit.reporting.figures.calibrations import calibration_map, interval_coverage, reliability_pair, risk_coverage

NAN = float("nan")
RNG = np.random.default_rng(0)
EVIL = "<script>alert(1)</script>"


def bins(size, sure=False):
    confidence = np.ones(size) if sure else RNG.uniform(0.4, 1, size)
    right = (RNG.random(size) < confidence).astype(float)
    return reliability_bins(confidence, right, null_band(confidence, draws=20))


NULL = {"ece_mean": 0.02, "ece_p95": 0.031}
LEVELS = np.arange(1, 10) / 10
CASES = {
    "reliability": lambda: reliability_pair(bins(500), bins(500), ece=(0.1, 0.02), null=(NULL, NULL)),
    "reliability, one row": lambda: reliability_pair(bins(1), bins(1), ece=(0.5, 0.4), null=(NULL, None)),
    "reliability, certain": lambda: reliability_pair(bins(9, sure=True), bins(9, sure=True), ece=(0.0, 0.0)),
    "reliability, no rows": lambda: reliability_pair(bins(0), [], ece=(NAN, NAN)),
    "risk, one row": lambda: risk_coverage({"before": ([1.0], [0.0])}, error="error"),
    "risk, no rows": lambda: risk_coverage({"before": ([], []), "after": ([NAN], [NAN])}, error="error", wanted=NAN),
    "risk, no curve": lambda: risk_coverage({}, error="error", chosen={"coverage": None, "risk": NAN}),
    "risk, huge": lambda: risk_coverage({EVIL: ([0.5, 1], [1e9, 1e12])}, error=EVIL * 3, wanted=1e11),
    "map, no curve": lambda: calibration_map({}, xlabel="before", ylabel="after"),
    "map, unknown": lambda: calibration_map({"a": ([NAN], [1.0])}, xlabel="before", ylabel="after"),
    "map, one point": lambda: calibration_map({EVIL: ([0.5], [0.5])}, xlabel=EVIL, ylabel="after"),
    "map, beyond the scale": lambda: calibration_map({"v": ([-9, 9], [1, 7])}, xlabel="x", ylabel="y", scale=(1, 7)),
    "map, 30 classes": lambda: calibration_map(
        {f"class {i}": (LEVELS, LEVELS**2) for i in range(30)}, xlabel="before", ylabel="after", steps=True
    ),
    "intervals": lambda: interval_coverage(
        LEVELS, {"before": LEVELS / 2, "after": LEVELS}, {"before": RNG.normal(0, 3, 500)}, name="valence"
    ),
    "intervals, undefined": lambda: interval_coverage([0.9], {"before": [NAN]}, {"before": [NAN]}, name=EVIL),
    "intervals, far off": lambda: interval_coverage([0.9], {"after": [0.0]}, {"after": [1e12, -1e12]}, name="v"),
    "intervals, no residuals": lambda: interval_coverage([], {}, name="valence"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_figure_is_sound(case, sound):
    plot = CASES[case]()
    sound(plot)
    assert "<script" not in plot.svg


def test_reliability_says_both_sides_with_their_null_bands(sound):
    before = [{"low": 0.5, "high": 1.0, "n": 40, "confidence": 0.9, "accuracy": 0.6, "null_low": 0.8, "null_high": 1.0}]
    after = [{"low": 0.5, "high": 1.0, "n": 40, "confidence": 0.62, "accuracy": 0.6}]
    plot = reliability_pair(before, after, ece=(0.3, 0.02), null=(NULL, NULL))
    assert plot.alt == (
        "Reliability diagrams before and after. Before: ECE 0.300 (calibrated: 95 % below 0.031), confidence and "
        "accuracy by bin 0.90: 0.60 (n=40). After: ECE 0.020 (calibrated: 95 % below 0.031), confidence and accuracy "
        "by bin 0.62: 0.60 (n=40)."
    )
    assert {"before: ECE 0.300", "after: ECE 0.020", "95 % of calibrated models"} <= set(sound(plot))


def test_risk_coverage_marks_the_chosen_threshold(sound):
    coverage = np.arange(1, 5001) / 5000
    plot = risk_coverage(
        {"before": (coverage, coverage / 5), "after": (coverage, coverage / 10)},
        error="share of wrong rows",
        wanted=0.05,
        chosen={"coverage": 0.5, "risk": 0.05, "threshold": 0.81},
    )
    assert {"before", "after", "wanted 0.050", "keep 50.0%, error 0.050"} <= set(sound(plot))
    assert "after: 0.100 at 100%, 0.075 at 75%, 0.050 at 50%, 0.025 at 25%." in plot.alt
    assert plot.alt.endswith("Wanted: 0.050. Chosen: keep 50.0%, error 0.050, confidence from 0.810.")


def test_no_threshold_reaches_the_wanted_error(sound):
    chosen = {"coverage": None, "risk": None, "threshold": None}
    plot = risk_coverage({"after": ([0.5, 1.0], [0.2, 0.3])}, error="error", wanted=0.01, chosen=chosen)
    assert "Chosen" not in plot.alt
    assert "wanted 0.010" in sound(plot)


def test_a_map_says_where_it_begins_and_ends(sound):
    plot = calibration_map(
        {"anger": ([0.0, 0.5, 1.0], [0.1, 0.4, 0.9])}, xlabel="probability before", ylabel="probability after"
    )
    assert plot.alt == (
        "probability after against probability before, over the identity. "
        "anger: 0.000 becomes 0.100, 0.500 becomes 0.400, 1.000 becomes 0.900."
    )
    assert {"anger", "unchanged"} <= set(sound(plot))


def test_many_maps_are_a_crowd_without_a_legend(sound):
    texts = sound(CASES["map, 30 classes"]())
    assert "30 curves" in texts
    assert "class 3" not in texts


def test_interval_coverage_counts_what_it_cannot_draw(sound):
    residuals = {"before": [-9.0, 0.0, 1.0, 9.0], "after": [-1.0, 0.0, 0.0, 1.0]}
    plot = interval_coverage([0.5, 0.9], {"before": [0.3, 0.6], "after": [0.5, 0.91]}, residuals, name="valence")
    assert plot.alt == (
        "Intervals of valence. Before: 50% hold 0.300, 90% hold 0.600. After: 50% hold 0.500, 90% hold 0.910. "
        f"Residuals before: standard deviation {np.std(residuals['before']):.3f}, beyond 4 50.0%. "
        "Residuals after: standard deviation 0.707, beyond 4 0.0%."
    )
    assert "(beyond 4: 50.0% → 0.0%)" in sound(plot)


@pytest.mark.parametrize("case", ["reliability, certain", "map, 30 classes", "intervals, far off"])
def test_same_bytes_on_a_rerun(case):
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    first = CASES[case]().svg
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    assert CASES[case]().svg == first
