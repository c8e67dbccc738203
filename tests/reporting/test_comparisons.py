"""Forest plots, differences, coverage and weights: what is said and drawn, and that nothing breaks them."""

import pytest

from affectkit.reporting.figures import intervals
from affectkit.reporting.figures.intervals import cut
from affectkit.reporting.figures.palette import BLUE, VERMILLION

NAN, INF = float("nan"), float("inf")
LONG = "a_source_with_a_very_long_name_indeed"


def row(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


SUBSETS = {"audio": row(0.62, 0.56, 0.67), "text": row(0.75, 0.69, 0.8), "audio+text": row(0.76, 0.7, 0.81)}
AGAINST = {"audio": row(-0.13, -0.16, -0.1), "noise": row(0.0, -0.03, 0.03), "audio+text": row(0.04, 0.01, 0.07)}
MANY = {f"candidate {i}": row(0.8 - 0.001 * i, 0.7, 0.85) for i in range(60)}
DEGENERATE = {
    "none": {},
    "one": {"only": row(1.0, 1.0, 1.0)},
    "undefined": {"a": row(NAN), "b": row(None, None, None), "c": row(INF, -INF, INF)},
    "no interval": {"a": row(0.5), "b": row(0.6, None, 0.7)},
    "one interval beyond all": {**SUBSETS, "two speakers": row(0.7, -30.0, 44.0)},
    "huge and small": {"a": row(1e12, -1e12, 1e13), "b": row(1e-12, 0.0, 1e-9)},
    "names": {"<script>": row(0.1, 0.0, 0.2), "$x$": row(0.2, 0.1, 0.3), LONG: row(0.3, 0.1, 0.4), "愤怒": row(0.5)},
    "40 rows": dict(list(MANY.items())[:40]),
    "60 rows": MANY,
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.filterwarnings("error")
def test_every_figure_of_intervals_bears_anything(case, sound):
    rows = DEGENERATE[case]
    first = next(iter(rows), None)
    for plot in (
        intervals.forest(rows, metric="UAR", reference=("best", 0.7), marked=list(rows)[:2], chosen=first),
        intervals.differences(rows, metric="UAR", against="best"),
        intervals.coverage(rows, nominal=0.9),
    ):
        sound(plot)
        assert "<script" not in plot.svg


def test_a_forest_says_its_figures_in_the_order_given(sound):
    plot = intervals.forest(
        SUBSETS, metric="UAR", reference=("best single source", 0.75), marked=["text", "audio+text"], chosen="text"
    )
    assert plot.alt == (
        "UAR of audio 0.620 [0.560, 0.670]; text 0.750 [0.690, 0.800]; audio+text 0.760 [0.700, 0.810]. "
        "Line: best single source 0.750. Chosen: text. Tie set: text, audio+text."
    )
    texts = sound(plot)
    assert [text for text in texts if text in SUBSETS] == list(SUBSETS)
    assert {"0.620", "0.750", "0.760", "chosen", "tie set", "best single source 0.750"} <= set(texts)


def test_a_forest_without_marks_has_no_legend_of_them(sound):
    assert not {"chosen", "tie set"} & set(sound(intervals.forest(SUBSETS, metric="UAR", chosen="gone")))


@pytest.mark.parametrize("reference", [NAN, None])
def test_an_undefined_reference_is_not_drawn(reference, sound):
    texts = sound(intervals.forest(SUBSETS, metric="UAR", reference=("floor", reference)))
    assert not [text for text in texts if "floor" in text]


def test_above_40_rows_a_forest_goes_by_number(sound):
    few, many = dict(list(MANY.items())[:40]), MANY
    assert "candidate 39" in sound(intervals.forest(few, metric="UAR"))
    plot = intervals.forest(many, metric="UAR")
    assert "row of the table" in sound(plot)
    assert "candidate 11 " in plot.alt
    assert "and 48 more" in plot.alt


def test_an_interval_beyond_all_is_cut_with_an_arrow_so_that_the_others_stay_apart(sound):
    texts = sound(intervals.forest(DEGENERATE["one interval beyond all"], metric="UAR"))
    ticks = [float(text) for text in texts if text.replace(".", "", 1).isdigit()]
    assert max(ticks) < 2


@pytest.mark.parametrize(("higher_is_better", "better"), [(True, "above"), (False, "below")])
def test_differences_that_exclude_0_are_in_colour(higher_is_better, better, sound):
    plot = intervals.differences(AGAINST, metric="UAR", against="text", higher_is_better=higher_is_better)
    worse = {"above": "below", "below": "above"}[better]
    assert {f"better ({better} 0)", f"worse ({worse} 0)", "UAR minus that of text"} <= set(sound(plot))
    assert plot.alt == (
        "UAR minus that of text: audio -0.130 [-0.160, -0.100]; noise 0.000 [-0.030, +0.030]; "
        "audio+text +0.040 [+0.010, +0.070]. 2 of 3 intervals exclude 0."
    )
    assert BLUE.lower() in plot.svg
    assert VERMILLION.lower() in plot.svg


def test_differences_that_include_0_are_not():
    plot = intervals.differences({"noise": row(0.01, -0.03, 0.03)}, metric="UAR", against="text")
    assert "0 of 1 intervals exclude 0" in plot.alt
    assert BLUE.lower() not in plot.svg
    assert VERMILLION.lower() not in plot.svg


def test_coverage_says_what_is_too_low(sound):
    rows = {"all": row(0.9, 0.88, 0.92), "female": row(0.86, 0.84, 0.88), "male": row(0.95, 0.93, 0.97)}
    plot = intervals.coverage(rows, nominal=0.9)
    assert {"too low", "higher than needed", "nominal 0.9"} <= set(sound(plot))
    assert plot.alt.startswith("Coverage, nominally 90.0%: all 0.900 [0.880, 0.920]; female 0.860")
    assert not {"too low", "higher than needed"} & set(sound(intervals.coverage({"all": rows["all"]}, nominal=0.9)))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["audio", "text"], {"label": [0.7, 0.3]}),
        (["audio", "text"], {"valence": [0.7, NAN], "arousal": [-0.2, 1.2]}),
        (["audio"], {"<script>": [1.0], LONG: [1e9]}),
        ([], {}),
        ([], {"label": []}),
    ],
)
@pytest.mark.filterwarnings("error")
def test_weights_bear_anything(names, found, sound):
    assert "<script" not in intervals.weights(names, found).svg
    sound(intervals.weights(names, found))


def test_weights_are_said_target_by_target(sound):
    plot = intervals.weights(["audio", "face"], {"valence": [0.7, 0.3], "arousal": [0.5, None]})
    assert plot.alt == ("Weights by target: valence: audio 0.700, face 0.300; arousal: audio 0.500, face undefined.")
    assert [text for text in sound(plot) if text in ("valence", "arousal", "audio", "face")].count("audio") == 2


def test_of_many_weights_whole_targets_are_drawn(sound):
    names = [f"s{i}" for i in range(15)]
    texts = sound(intervals.weights(names, {f"t{i}": [1 / 15] * 15 for i in range(5)}))
    assert "The first 2 of 5 targets" in texts
    assert texts.count("s14") == 2


def test_long_names_lose_their_middle():
    assert cut("audio+text") == "audio+text"
    assert cut(LONG) == "a_source_with…_name_indeed"
    assert len(cut(LONG)) == 26


def test_same_bytes_on_a_rerun():
    def again():
        return intervals.forest(SUBSETS, metric="UAR", marked={"text", "audio+text"}, chosen="text").svg

    assert again() == again()
