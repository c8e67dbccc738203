"""What figures must reach: how it is read, and when it is met, missed or undecidable."""

import json
import math

import pytest

from affectkit.errors import AffectkitError
from affectkit.evaluation.requirements import gap_of, parse, verdict
from affectkit.labels import Target

LABEL = Target("label", "class", ("a", "b", "c"))
TARGETS = {"label": LABEL, "mood": Target("mood", "class", ("x", "y")), "stress": Target("stress", "number")}


def judged(text, value, low=None, high=None):
    return parse(text).of(TARGETS).judged({"value": value, "low": low, "high": high})


@pytest.mark.parametrize(
    ("text", "figure", "state"),
    [
        ("uar>=.5", (0.6, 0.55, 0.65), "met"),
        ("uar>=.5", (0.6, 0.45, 0.75), "undecidable"),
        ("uar>=.5", (0.4, 0.25, 0.55), "undecidable"),
        ("uar>=.5", (0.4, 0.35, 0.45), "missed"),
        ("uar>=.5", (0.6, 0.5, 0.7), "met"),
        ("uar>.5", (0.6, 0.5, 0.7), "undecidable"),
        ("uar>=.5", (0.5, None, None), "met"),
        ("uar>=.5", (0.49, math.nan, math.nan), "missed"),
        ("uar>=.5", (None, None, None), "missed"),
        ("uar.low>=.5", (0.6, 0.45, 0.75), "missed"),
        ("uar.low>=.5", (0.6, 0.5, 0.7), "met"),
        ("uar.low>=.5", (0.6, None, None), "missed"),
        ("ece<=.03", (0.03, None, None), "met"),
        ("ece<.03", (0.03, None, None), "missed"),
        ("stress.mae<=1", (0.9, 0.7, 1.2), "undecidable"),
        ("stress.mae.high<=1", (0.9, 0.7, 1.2), "missed"),
        ("mood.kappa_quadratic>=-.2", (0.1, -0.1, 0.3), "met"),
        (" kappa >= .20 ", (0.3, 0.25, 0.35), "met"),
        ("gap<=.2", (0.1, None, None), "met"),
        ("gap<=.2", (0.21, None, None), "missed"),
    ],
)
def test_the_state_of_a_figure(text, figure, state):
    assert judged(text, *figure)["state"] == state


def test_a_metric_of_the_first_class_target_has_the_key_of_reports():
    alone = {"mood": TARGETS["mood"]}
    assert parse("uar>=.5").of(alone).metric.key == "mood.uar" and parse("uar>=.5").of(TARGETS).metric.key == "uar"
    with pytest.raises(AffectkitError, match=r"mood\.ece is not known of these predictions; require one of mood\.uar"):
        parse("ece<=.1").of(alone).figure_in({"mood.uar": {"value": 0.5}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uar", "is no requirement; write a figure, >= or <=, and a number"),
        ("uar=.5", "is no requirement"),
        ("uar>=", "is no requirement"),
        ("uar>=inf", "is no requirement"),
        ("uar>=1_0", "is no requirement"),
        ("uar>=0,5", "is no requirement; write a figure, >= or <=, and a number with a point"),
        ("uar>=.5 ece<=.1", "is no requirement"),
        ("uar<=.5", "uar is better where it is higher; write 'uar>=.5'"),
        ("uar.high>=.5", "uar is better where it is higher; write 'uar.low>=.5'"),
        ("mae.low<=.5", "mae is better where it is lower; write 'mae.high<=.5'"),
        ("gap>=.1", "gap is better where it is lower"),
        ("gap.low<=.1", "gap is better where it is lower"),
        ("kapa>=.5", "did you mean kappa"),
        ("test_uar>=.5", "did you mean"),
        ("calm.uar>=.5", "there is no metric 'calm.uar'"),
    ],
)
def test_what_is_no_requirement_is_refused(text, message):
    with pytest.raises(AffectkitError) as caught:
        parse(text).of(TARGETS)
    assert caught.value.code == "usage" and message in str(caught.value)


def test_what_stands_before_a_figure():
    stated = parse("audio+text: test_uar.low>=.5", splits=("test", "oof"), subsets=("audio+text", "audio_only"))
    assert (stated.subset, stated.split, stated.name, stated.end) == ("audio+text", "test", "uar", "low")
    with pytest.raises(AffectkitError, match="there is no subset 'audio'; did you mean audio_only"):
        parse("audio:uar>=.5", subsets=("audio_only", "text_only"))


def test_the_verdict_names_each_with_its_figure():
    met, missed = judged("uar>=.5", 0.6, 0.55, 0.65), judged("ece<=.03", 0.0412)
    open_ = judged("kappa>=.2", 0.22, 0.15, 0.29)
    assert verdict([met]) is None and verdict([]) is None
    undecidable = verdict([met, open_])
    assert undecidable.code == "undecidable" and "undecidable: kappa>=.2 (0.220 [0.150, 0.290])" in str(undecidable)
    both = verdict([open_, met, missed])
    assert both.code == "unmet" and str(both).count("uar") == 0
    assert "missed: ece<=.03 (0.041, no interval); undecidable: kappa>=.2" in str(both)


def test_a_gap_is_that_of_the_run(tmp_path):
    gap = {"metric": "uar", "train": 0.9, "judged": 0.6, "part": "val", "value": 0.3}
    (tmp_path / "run" / "best_model").mkdir(parents=True)
    (tmp_path / "run" / "train_report.json").write_text(json.dumps({"gap": gap}))
    for place in ("run", "run/predictions.csv", "run/best_model"):
        assert gap_of(tmp_path / place) == gap
    (tmp_path / "other").mkdir()
    for place in ("other", "run/other.csv"):
        with pytest.raises(AffectkitError, match="there is no gap to require; name a run folder of train or finetune"):
            gap_of(tmp_path / place)
