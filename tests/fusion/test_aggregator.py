"""Windows to clips, against pandas, scipy-like hand calculations, and every refusal."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.temporal.aggregate import aggregate, pool, pool_probabilities

VALENCE = Target("valence", "number")
CLASSES = ("calm", "glad", "tense")
LABEL = Target("label", "class", CLASSES)


def windows(rows=60, clips=7, seed=0):
    """Windows of clips by three speakers: a label and probabilities, a number with its variance, a duration."""
    rng = np.random.default_rng(seed)
    clip = rng.permutation(np.arange(rows) % clips)
    probabilities = rng.dirichlet([1, 1, 1], rows)
    frame = pd.DataFrame({"id": [f"w{i:03}" for i in range(rows)], "split": "test", "seen": "heldout"})
    frame["label"] = np.array(CLASSES)[clip % 3]
    frame["pred"] = np.array(CLASSES)[probabilities.argmax(axis=1)]
    frame[[f"prob_{name}" for name in CLASSES]] = probabilities
    frame["valence"], frame["valence_pred"] = clip / 10, rng.normal(size=rows)
    frame["valence_var"] = 0.1
    frame["clip"] = [f"c{i}" for i in clip]
    frame["speaker"] = [f"s{i % 3}" for i in clip]
    frame["track"] = [str(i) for i in rng.integers(0, 2, rows)]
    frame["duration_sec"] = rng.choice(["1.0", "2.5"], rows)
    return Predictions(frame, {"label": LABEL, "valence": VALENCE})


def only(table, *names):
    return [table.targets[name] for name in names]


@pytest.mark.parametrize("rule", ["mean", "median", "max"])
def test_numbers_are_those_of_pandas(rule):
    table = windows()
    found = aggregate(table, "clip", rule, targets=[VALENCE]).predictions.frame.set_index("id")
    expected = table.frame.groupby("clip")["valence_pred"].agg(rule)
    assert np.allclose(found["valence_pred"], expected.loc[found.index], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["mean", "median", "max"])
def test_probabilities_are_those_of_pandas_brought_to_a_sum_of_one(rule):
    table = windows()
    columns = [f"prob_{name}" for name in CLASSES]
    found = aggregate(table, "clip", rule, targets=[LABEL]).predictions.frame.set_index("id")
    expected = table.frame.groupby("clip")[columns].agg(rule).loc[found.index]
    expected = expected.div(expected.sum(axis=1), axis=0)
    assert np.allclose(found[columns], expected, rtol=0, atol=1e-12)
    assert found["pred"].tolist() == [CLASSES[i] for i in expected.to_numpy().argmax(axis=1)]


def test_votes_are_the_shares_of_windows_that_predict_a_class():
    table = windows()
    found = aggregate(table, "clip", "vote", targets=[LABEL]).predictions.frame.set_index("id")
    shares = pd.crosstab(table.frame["clip"], table.frame["pred"], normalize="index").loc[found.index]
    assert np.allclose(found[[f"prob_{name}" for name in CLASSES]], shares[list(CLASSES)], rtol=0, atol=1e-12)


def test_votes_need_no_probabilities_and_the_first_of_equal_classes_wins():
    frame = pd.DataFrame({"id": ["1", "2", "3", "4"], "seen": "heldout", "pred": ["tense", "glad", "calm", "calm"]})
    table = Predictions(frame.assign(clip=["a", "a", "b", "b"]), {"label": LABEL})
    found = aggregate(table, "clip", "vote").predictions.frame
    assert found["pred"].tolist() == ["glad", "calm"]
    with pytest.raises(AffectkitError, match="has no probabilities of label, which --rule mean needs; use --rule vote"):
        aggregate(table, "clip", "mean")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 5)), min_size=1, max_size=12))
def test_whole_weights_are_repetitions(pairs):
    values, weights = (np.array(part, float) for part in zip(*pairs, strict=True))
    repeated = np.repeat(values, weights.astype(int))
    codes = np.zeros(len(values), int)
    for rule, expected in (("mean", np.mean), ("median", np.median), ("max", np.max)):
        assert pool(rule, values[:, None], codes, weights, 1)[0, 0] == pytest.approx(expected(repeated), abs=1e-12)


def test_weights_come_from_a_column():
    table = windows()
    found = aggregate(table, "clip", "mean", targets=[VALENCE], weight="duration_sec").predictions.frame.set_index("id")
    for clip, rows in table.frame.groupby("clip"):
        expected = np.average(rows["valence_pred"], weights=rows["duration_sec"].astype(float))
        assert found.loc[clip, "valence_pred"] == pytest.approx(expected, abs=1e-12)


def test_medians_that_are_all_zero_give_way_to_means():
    sure = np.eye(3)
    assert pool_probabilities("median", sure, np.zeros(3, int), np.ones(3), 1).tolist() == [[pytest.approx(1 / 3)] * 3]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["mean", "median", "max", "vote"]))
def test_the_order_of_the_rows_changes_no_answer(seed, rule):
    table = windows(30, 4, seed)
    order = np.random.default_rng(seed).permutation(30)
    mixed = Predictions(table.frame.iloc[order].reset_index(drop=True), table.targets)
    first, second = (
        aggregate(t, "clip", rule, targets=[LABEL]).predictions.frame.set_index("id") for t in (table, mixed)
    )
    columns = [f"prob_{name}" for name in CLASSES]
    assert np.allclose(first[columns], second.loc[first.index, columns], rtol=0, atol=1e-12)
    assert first["label"].tolist() == second.loc[first.index, "label"].tolist()


def test_declined_windows_are_left_out_and_counted():
    table = windows()
    gone = table.frame["clip"].isin(["c0", "c1"]) & (np.arange(60) % 2 == 0) | (table.frame["clip"] == "c2")
    table.frame.loc[gone, ["valence_pred", *(f"prob_{name}" for name in CLASSES)]] = np.nan
    table.frame.loc[gone, "pred"] = ""
    found = aggregate(table, "clip").predictions.frame.set_index("id")
    kept = table.frame[~gone].groupby("clip")["valence_pred"]
    assert np.allclose(found.loc[kept.mean().index, "valence_pred"], kept.mean(), rtol=0, atol=1e-12)
    assert np.isnan(found.loc["c2", "valence_pred"])
    assert found.loc["c2", "pred"] == ""
    sizes, counts = table.frame.groupby("clip").size(), kept.size().reindex(found.index, fill_value=0)
    assert found["windows"].tolist() == counts.tolist()
    assert (found["windows"] + found["declined"]).tolist() == sizes.loc[found.index].tolist()
    assert found.loc["c2", "label"] == "tense"  # declining an answer unsays no truth


def test_of_several_targets_each_says_how_many_windows_it_used():
    table = windows()
    table.frame.loc[table.frame["clip"] == "c0", "valence_pred"] = np.nan
    found = aggregate(table, "clip").predictions.frame.set_index("id").loc["c0"]
    assert (found["valence_windows"], found["label_windows"], found["declined"]) == (0, found["windows"], 0)
    assert "valence_windows" not in aggregate(table, "clip", targets=[VALENCE]).predictions.frame


def test_what_an_aggregate_has_in_common_is_carried_and_the_rest_is_not():
    found = aggregate(windows(), "clip")
    frame = found.predictions.frame
    assert frame["speaker"].tolist() == [f"s{int(clip[1:]) % 3}" for clip in frame["clip"]]
    assert found.dropped == ["track"]
    assert not {"track", "duration_sec", "valence_var"} & set(frame.columns)  # one window's, even where all are equal


def test_rows_come_in_the_order_in_which_aggregates_first_appear_under_safe_ids():
    table = windows(8, 4)
    table.frame["clip"] = table.frame["clip"].replace({"c0": "a/b", "c1": "a_b"})
    frame = aggregate(table, "clip").predictions.frame
    assert frame["clip"].tolist() == list(dict.fromkeys(table.frame["clip"]))
    assert len(set(frame["id"])) == 4
    assert not any(set(name) & set("/\\ ") for name in frame["id"])


def test_a_truth_that_differs_is_made_by_the_rule_for_numbers():
    table = windows()
    table.frame["valence"] = np.arange(60) / 60
    found = aggregate(table, "clip", "max", targets=[VALENCE])
    frame = found.predictions.frame.set_index("id")
    assert np.allclose(frame["valence"], table.frame.groupby("clip")["valence"].max().loc[frame.index])
    assert found.mixed == {"valence": 7}


def test_a_truth_that_does_not_differ_is_kept_to_the_last_digit():
    table = windows()
    found = aggregate(table, "clip", "mean").predictions.frame.set_index("clip")
    assert all(found.loc[clip, "valence"] == float(clip[1:]) / 10 for clip in found.index)


def labelled(*labels):
    frame = pd.DataFrame({"id": [str(i) for i in range(len(labels))], "seen": "heldout", "label": list(labels)})
    return Predictions(frame.assign(pred="calm", clip="a"), {"label": LABEL})


def test_labels_that_differ_are_an_error_unless_the_majority_is_asked_for():
    table = labelled("calm", "glad", "glad", "")
    with pytest.raises(AffectkitError, match="clip 'a' has rows of label 'calm' and 'glad'; --truth majority"):
        aggregate(table, "clip", "vote")
    found = aggregate(table, "clip", "vote", truth="majority")
    assert found.predictions.frame["label"].tolist() == ["glad"]
    assert (found.mixed, found.untold) == ({"label": 1}, {"label": 0})


def test_a_tie_of_labels_is_no_truth():
    found = aggregate(labelled("calm", "glad"), "clip", "vote", truth="majority")
    assert found.predictions.frame["label"].tolist() == [""]
    assert found.untold == {"label": 1}
    assert aggregate(labelled("", ""), "clip", "vote").predictions.frame["label"].tolist() == [""]


@pytest.mark.parametrize(
    ("column", "values"), [("split", ("val", "test")), ("fold", ("0", "1")), ("seen", ("oof", "heldout"))]
)
def test_an_aggregate_across_splits_folds_or_fits_is_refused(column, values):
    table = windows(6, 2)
    table.frame[column] = [values[0], values[1]] * 3
    with pytest.raises(AffectkitError, match=rf"has rows of {column} '.*' and '") as caught:
        aggregate(table, "clip")
    assert caught.value.code == "leak"


def test_one_in_sample_window_makes_the_aggregate_in_sample():
    table = windows(6, 2)
    table.frame["seen"] = np.where(table.frame["clip"] == "c0", "heldout", "oof")
    table.frame.loc[table.frame["clip"].eq("c0").idxmax(), "seen"] = "fit"
    found = aggregate(table, "clip").predictions.frame.set_index("id")
    assert found["seen"].to_dict() == {"c0": "fit", "c1": "oof"}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"rule": "vote"}, "usage", "--rule vote is for classes, and valence is a number; name the classes"),
        ({"rule": "max", "weight": "duration_sec"}, "usage", "--rule max has no use for --weight"),
        ({"to": "clips"}, "input", "has no column 'clips' to aggregate to; .* did you mean clip"),
        ({"weight": "durations"}, "input", "has no column 'durations' to weigh by"),
        ({"weight": "zero"}, "input", r"row 4: zero '0' is no weight; weights are above 0"),
        ({"weight": "speaker"}, "input", "row 1: speaker 's.' is not a number"),
        ({"group": "track"}, "input", "clip 'c.' has rows of track '0' and '1'; name a --group of whole aggregates"),
        ({"group": "tracks"}, "input", "has no column 'tracks' to group by"),
        ({"to": "blank"}, "input", "row 2: has no blank; leave such rows out"),
    ],
)
def test_what_cannot_be_is_refused(options, code, message):
    table = windows()
    table.frame["zero"] = ["1", "1", "1", "0"] * 15
    table.frame["blank"] = ["x", ""] * 30
    table = Predictions(table.frame, table.targets, path="windows.csv")
    with pytest.raises(AffectkitError, match=message) as caught:
        aggregate(table, **{"to": "clip", "rule": "mean", **options})
    assert caught.value.code == code
