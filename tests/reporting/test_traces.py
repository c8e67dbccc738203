"""A sequence before and after smoothing."""

import re

import numpy as np
import pytest

from affectkit.reporting.figures.traces import COLUMNS, trace

NAN = float("nan")
RNG = np.random.default_rng(0)
TIME = np.arange(100) / 10
CASES = {
    "ordinary": lambda: trace(TIME, TIME, TIME / 2, TIME / 3, TIME > 5, name="valence", sequence="clip", note="lag 0"),
    "no truth, no gates": lambda: trace(TIME, TIME, TIME, name="valence"),
    "no frames": lambda: trace([], [], [], [], [], name="valence"),
    "one frame": lambda: trace([3.0], [1.0], [NAN], None, [True], name="valence"),
    "one moment": lambda: trace([1, 1, 1], [1, 2, 3], [1, 2, 3], None, [True, False, True], name="valence"),
    "unknown": lambda: trace([NAN, 1.0, None], [NAN] * 3, [NAN] * 3, [NAN] * 3, [False] * 3, name="valence"),
    "huge": lambda: trace(TIME * 1e9, TIME * 1e12, TIME * 1e-12, name="<script>", sequence="<script>" * 9, note="$x$"),
    "2,000 frames": lambda: trace(
        np.arange(2000), RNG.normal(size=2000), RNG.normal(size=2000), None, RNG.random(2000) < 0.1, name="valence"
    ),
    "100,000 frames": lambda: trace(
        np.arange(100_000), RNG.normal(size=100_000), RNG.normal(size=100_000), None, RNG.random(100_000), name="v"
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_figure_is_sound(case, sound):
    plot = CASES[case]()
    sound(plot, largest=110_000)
    assert plot.wide
    assert "<script" not in plot.svg


def test_a_trace_says_its_ranges_and_how_much_was_gated(sound):
    plot = CASES["ordinary"]()
    assert plot.alt == (
        "valence over time in clip: 100 frames from 0.000 to 9.900 s, 49 gated; raw 0.000 to 9.900; "
        "smoothed 0.000 to 4.950; truth 0.000 to 3.300. lag 0"
    )
    assert {"raw", "smoothed", "truth", "gated", "49.0%", "clip: lag 0", "time (s)"} <= set(sound(plot))


def path_of(plot, colour):
    """The points of the longest path in a colour."""
    found = re.findall(rf'<path d="([^"]+)"[^>]*stroke: {colour}', plot.svg)
    return max(found, key=len).split()


def test_frames_may_come_in_any_order():
    shuffled = np.random.default_rng(1).permutation(100)
    values = np.sin(TIME)
    one = trace(TIME, values, values / 2, gated=TIME > 5, name="valence")
    other = trace(TIME[shuffled], values[shuffled], values[shuffled] / 2, gated=(TIME > 5)[shuffled], name="valence")
    assert one.svg == other.svg


def test_lines_break_where_frames_are_missing():
    values = np.sin(TIME)
    there = (TIME < 3) | (TIME > 6)
    assert path_of(trace(TIME, values, values, name="v"), "#e69f00").count("M") == 1
    assert path_of(trace(TIME[there], values[there], values[there], name="v"), "#e69f00").count("M") == 2
    unknown = np.where(there, values, NAN)
    assert path_of(trace(TIME, unknown, unknown, name="v"), "#e69f00").count("M") == 2


def test_a_long_sequence_says_that_columns_are_drawn_and_loses_no_peak(sound):
    values = np.zeros(100_000)
    flat = trace(np.arange(100_000), values, values, name="v")
    values = values.copy()
    values[54_321] = 7.0
    peak = trace(np.arange(100_000), values, np.zeros(100_000), name="v")
    assert f"time (s); lowest to highest of 100000 frames in {COLUMNS} columns" in sound(peak, largest=110_000)
    assert "7" in {text.partition(".")[0] for text in sound(peak, largest=110_000)}
    assert "7" not in {text.partition(".")[0] for text in sound(flat, largest=110_000)}


def test_same_bytes_on_a_rerun():
    assert CASES["ordinary"]().svg == CASES["ordinary"]().svg
