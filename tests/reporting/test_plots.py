"""Every figure on ordinary and on degenerate input: well-formed SVG, the same bytes twice, the numbers in its words."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from affectkit.reporting.figures import evaluation
from affectkit.reporting.figures.svg import inline

NAN = float("nan")
BINS = [
    {"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None},
    {"low": 0.5, "high": 1.0, "n": 40, "confidence": 0.8, "accuracy": 0.6, "null_low": 0.7, "null_high": 0.9},
]
POOLED = {"value": 0.75, "low": 0.7, "high": 0.8}
RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=3000)


def by_speaker(names, values, pooled=POOLED):
    return evaluation.groups(names, values, [5] * len(names), metric="UAR", column="speaker", pooled=pooled)


def recall(value, low, high):
    return {"n": 5, "recall": value, "recall_low": low, "recall_high": high}


CASES = {
    "confusion": lambda: evaluation.confusion([[8, 2], [1, 9]], ["a", "b"]),
    "confusion, one class": lambda: evaluation.confusion([[3]], ["a"]),
    "confusion, no class": lambda: evaluation.confusion(np.zeros((0, 0)), []),
    "confusion, a class without rows": lambda: evaluation.confusion([[8, 2], [0, 0]], ["a", "b"]),
    "confusion, no rows": lambda: evaluation.confusion([[0, 0], [0, 0]], ["a", "b"]),
    "confusion, 30 classes": lambda: evaluation.confusion(
        RNG.integers(0, 9, (30, 30)), [f"class {i}" for i in range(30)]
    ),
    "reliability": lambda: evaluation.reliability(BINS, ece=0.2, null={"ece_mean": 0.05, "ece_p95": 0.1}),
    "reliability, one row": lambda: evaluation.reliability([{**BINS[1], "n": 1}], ece=0.2),
    "reliability, sure": lambda: evaluation.reliability([{**BINS[1], "confidence": 1.0, "accuracy": 1.0}], ece=0.0),
    "reliability, no rows": lambda: evaluation.reliability([], ece=NAN),
    "scatter": lambda: evaluation.scatter([0, 1, 2], [0, 1, 1], name="valence", scale=(0, 4), note="CCC 0.700"),
    "scatter, many": lambda: evaluation.scatter(CLOUD, CLOUD + 0.1, name="valence"),
    "scatter, constant": lambda: evaluation.scatter(CLOUD, np.full(3000, 0.5), name="valence"),
    "scatter, one constant value": lambda: evaluation.scatter(np.ones(500), np.ones(500), name="valence"),
    "scatter, one row": lambda: evaluation.scatter([1.0], [1.0], name="valence"),
    "scatter, NaN": lambda: evaluation.scatter([NAN, 1.0], [2.0, NAN], name="valence"),
    "bland-altman": lambda: evaluation.bland_altman([0, 1, 2], [0, 1, 1], name="valence"),
    "bland-altman, many": lambda: evaluation.bland_altman(CLOUD, CLOUD[::-1], name="valence"),
    "bland-altman, perfect": lambda: evaluation.bland_altman(CLOUD, CLOUD, name="valence"),
    "bland-altman, one row": lambda: evaluation.bland_altman([1.0], [1.0], name="valence"),
    "bland-altman, NaN": lambda: evaluation.bland_altman([NAN], [1.0], name="valence"),
    "groups": lambda: by_speaker(["a", "b"], [0.7, 0.8]),
    "groups, one": lambda: by_speaker(["a"], [0.7], {"value": 0.7, "low": None}),
    "groups, NaN": lambda: by_speaker(["a", "b"], [NAN, NAN], {}),
    "groups, 91": lambda: by_speaker(list(map(str, range(91))), RNG.random(91)),
    "groups, 2000": lambda: by_speaker(list(map(str, range(2000))), RNG.random(2000)),
    "recalls": lambda: evaluation.recalls(["a"], [recall(0.4, 0.2, 0.6)], chance=1.0),
    "recalls, undefined": lambda: evaluation.recalls(["a"], [recall(None, NAN, None)]),
    "recalls, no class": lambda: evaluation.recalls([], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_figure_is_sound(case, sound):
    sound(CASES[case]())


@pytest.mark.parametrize(
    "case", ["confusion, 30 classes", "reliability", "scatter, many", "bland-altman, many", "groups, 91", "recalls"]
)
def test_figure_has_the_same_bytes_twice(case):
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    first = CASES[case]().svg
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state
    assert CASES[case]().svg == first


def test_the_users_matplotlib_settings_do_not_matter():
    before = CASES["groups"]().svg
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert CASES["groups"]().svg == before
        assert matplotlib.rcParams["font.size"] == 30


def texts(plot):
    return [element.text for element in ElementTree.fromstring(plot.svg).iter() if element.tag.endswith("text")]


def test_confusion_writes_counts_and_row_shares():
    shown = " ".join(filter(None, texts(evaluation.confusion([[30, 10], [5, 15]], ["anger", "joy"]))))
    for expected in ("30", "75%", "10", "25%", "5", "15", "anger (40)", "joy (20)"):
        assert expected in shown


def test_bland_altman_writes_the_mean_error_and_its_limits():
    truth, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 3.5, 5.0])
    error = predicted - truth  # 0.5, 0, 0.5, 1: mean 0.5, sd (ddof 1) 0.408
    assert np.std(error, ddof=1) == pytest.approx(0.40825, abs=1e-5)
    assert {"+0.500", "+1.300", "-0.300"} <= set(texts(evaluation.bland_altman(truth, predicted, name="valence")))


def test_groups_are_worst_first_without_undefined_ones():
    plot = evaluation.groups(["a", "b", "c"], [0.9, 0.5, NAN], [1, 2, 3], metric="UAR", column="speaker", pooled=POOLED)
    named = [text for text in texts(plot) if text and "(n=" in text]
    assert sorted(named) == ["a (n=1)", "b (n=2)"]
    assert "from 0.500 (b) to 0.900 (a)" in plot.alt


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$x^2$", 'a"b', "a&b", "愤怒", ' id="x"', "font-family: x; "]
)
def test_labels_are_text_and_nothing_else(name):
    plot = evaluation.confusion([[3, 1], [1, 3]], [name, "other"])
    assert any(text and text.startswith(name[:20].strip()) for text in map(str.strip, filter(None, texts(plot))))
    assert "<script" not in plot.svg


def test_inline_drops_what_a_page_supplies():
    svg = CASES["scatter, many"]().svg
    assert "http" not in inline(svg)
    assert "viewBox" in inline(svg)
    assert len(set(re.findall(r' id="([^"]+)"', svg))) == len(re.findall(r' id="([^"]+)"', svg))


def test_two_figures_share_no_id():
    first, second = CASES["groups"]().svg, CASES["scatter"]().svg
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))


@pytest.mark.parametrize("mark", ["\x00", "\x1b", "\x0b", "\ufffe"])
def test_a_class_whose_name_xml_does_not_allow_is_drawn_with_a_replacement(mark):
    plot = evaluation.confusion([[8, 2], [1, 9]], [f"a{mark}b", "c"])
    written = "".join(ElementTree.fromstring(plot.svg).itertext())
    assert "a\ufffdb" in written and mark not in plot.svg + plot.alt
