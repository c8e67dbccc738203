"""The single source that is best on the fit rows."""

import numpy as np

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.fusion.rules.best import build
from affectkit.labels import Target

LABEL = Target("label", "class", ("sad", "happy"))
AROUSAL = Target("arousal", "number")


def says(*happy):
    """A source by its probability of "happy"; NaN where it is missing."""
    return TargetPrediction.of(LABEL, np.c_[1 - np.array(happy), happy])


def test_it_gives_the_best_source_and_where_that_is_missing_the_next_best():
    rows = GroundTruth(np.array([0, 0, 1, 1.0]), np.array(["a", "a", "b", "b"]))
    sources = {"poor": says(0.9, 0.8, 0.7, 0.6), "good": says(0.1, 0.2, 0.7, np.nan), "fair": says(0.1, 0.6, 0.7, 0.8)}
    rule = build()
    parameters = rule.fit(sources, rows)
    assert parameters["source"] == "good" and parameters["order"] == ["good", "fair", "poor"]
    assert parameters["metric"] == "uar" and parameters["scores"] == {"good": 1.0, "fair": 0.75, "poor": 0.5}
    np.testing.assert_array_equal(rule.apply(parameters, sources).values[:, 1], [0.1, 0.2, 0.7, 0.8])


def test_of_equal_sources_the_first_named_is_best():
    rows = GroundTruth(np.array([0, 1.0]), np.array(["a", "b"]))
    for names in (["voice", "face"], ["face", "voice"]):
        sources = {name: says(0.3, 0.6) for name in names}
        assert build().fit(sources, rows)["source"] == names[0]


def test_a_source_that_answers_only_easy_rows_gains_nothing_by_it():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    easy = np.arange(400) < 100
    good = np.where(rng.random(400) < np.where(easy, 0.98, 0.75), truth, 1 - truth)
    fair = np.where(rng.random(400) < 0.9, truth, 1 - truth)
    sources = {"fair": says(*np.where(easy, fair, np.nan)), "good": says(*good.astype(float))}
    scores = build(metric="accuracy").fit(sources, GroundTruth(truth.astype(float), np.full(400, "")))
    assert scores["scores"]["good"] == np.mean(good[easy] == truth[easy])  # on the rows that both have
    assert scores["source"] == "good" and np.mean(good == truth) < np.mean(fair[easy] == truth[easy])


def test_numbers_keep_the_variance_of_the_source_that_speaks():
    rows = GroundTruth(np.array([1.0, 2, 3]), np.array(["a", "a", "b"]))
    sources = {
        "near": TargetPrediction(AROUSAL, mean=np.array([1.1, np.nan, 3.1]), var=np.array([0.1, np.nan, 0.3])),
        "far": TargetPrediction(AROUSAL, mean=np.array([5.0, 4.0, 9.0])),
    }
    rule = build(metric="mae")
    parameters = rule.fit(sources, rows)
    found = rule.apply(parameters, sources)
    assert parameters["order"] == ["near", "far"]
    assert parameters["scores"] == {"near": 0.1, "far": 4.0}  # errors as they are, the least first
    np.testing.assert_array_equal(found.mean, [1.1, 4.0, 3.1])
    np.testing.assert_array_equal(found.var, [0.1, np.nan, 0.3])
