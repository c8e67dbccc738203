"""The moving average and its gate, against hand calculations, pandas and what must hold of any average."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.timeline import timeline
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.temporal.stabilize import Smoothing, smooth, smoothing_of, stabilize

VALENCE = Target("valence", "number")
LABEL = Target("label", "class", ("calm", "tense"))


def numbers(values, var=None, sequence="a", **columns):
    """A table of one sequence of valence, a frame a second."""
    frame = pd.DataFrame({"id": [f"f{i}" for i in range(len(values))], "seen": "heldout", "sequence": sequence})
    frame["time_sec"] = [str(i) for i in range(len(values))]
    frame["valence_pred"] = np.array(values, float)
    if var is not None:
        frame["valence_var"] = np.array(var, float)
    return Predictions(frame.assign(**columns), {"valence": VALENCE})


def classes(calm):
    frame = pd.DataFrame({"id": [f"f{i}" for i in range(len(calm))], "seen": "heldout", "sequence": "a"})
    frame["time_sec"] = [str(i) for i in range(len(calm))]
    frame["pred"], frame["prob_calm"], frame["prob_tense"] = "", np.array(calm, float), 1 - np.array(calm, float)
    return Predictions(frame, {"label": LABEL})


def stabilized(table, **settings):
    line = timeline(table.frame, ["sequence"], "time_sec")
    return stabilize(table, line, list(table.targets.values()), Smoothing(**settings)).frame


def gated(frame):
    return [cell == "true" for cell in frame["gated"]]


def test_the_average_by_hand():
    frame = stabilized(numbers([1.0, 2.0, 4.0]), alpha=0.7)
    assert frame["valence_pred"].tolist() == pytest.approx([1.0, 0.7 * 2 + 0.3 * 1, 0.7 * 4 + 0.3 * 1.7])
    assert gated(frame) == [False] * 3


def test_it_is_the_exponential_average_of_pandas_in_every_sequence():
    rng = np.random.default_rng(0)
    sequence = rng.choice(["a", "b", "c"], 200)
    table = numbers(rng.normal(size=200), sequence=sequence)
    expected = table.frame.groupby("sequence")["valence_pred"].transform(
        lambda x: x.ewm(alpha=0.4, adjust=False).mean()
    )
    assert np.allclose(stabilized(table, alpha=0.4)["valence_pred"], expected, rtol=0, atol=1e-12)


def test_a_gated_frame_holds_the_last_value_and_does_not_move_the_average():
    """Standard deviations .1, .5, .1 against .4: the second frame is as if it had never been."""
    frame = stabilized(numbers([1.0, 9.0, 2.0], [0.01, 0.25, 0.01]), alpha=0.7, uncertainty_threshold=0.4)
    assert frame["valence_pred"].tolist() == pytest.approx([1.0, 1.0, 0.7 * 2 + 0.3 * 1])
    assert gated(frame) == [False, True, False]


def test_the_threshold_is_a_standard_deviation_and_must_be_exceeded():
    frame = stabilized(numbers([1, 2, 3], [0.0, 0.16, 0.1601]), uncertainty_threshold=0.4)
    assert gated(frame) == [False, False, True]


def test_an_unknown_variance_gates_nothing():
    assert gated(stabilized(numbers([1, 2, 3], [np.nan, np.nan, 9.0]))) == [False, False, True]
    assert gated(stabilized(numbers([1, 2, 3]))) == [False] * 3


def test_before_the_first_frame_that_counts_a_gated_one_keeps_its_own_value():
    frame = stabilized(numbers([5.0, 6.0, 1.0, 2.0], [1, 1, 0, 0]), alpha=0.5)
    assert frame["valence_pred"].tolist() == pytest.approx([5, 6, 1, 1.5])  # the average begins at 1
    assert gated(frame) == [True, True, False, False]


def test_a_declined_frame_holds_too_and_stays_without_a_value_before_there_is_one():
    frame = stabilized(numbers([np.nan, 1.0, np.nan, 3.0]), alpha=0.5)
    assert np.isnan(frame["valence_pred"][0])
    assert frame["valence_pred"][1:].tolist() == pytest.approx([1, 1, 2])
    assert gated(frame) == [True, False, True, False]


def test_nothing_is_held_over_from_one_sequence_to_the_next():
    frame = stabilized(numbers([1.0, 2.0, 7.0, 8.0], [0, 0, 9, 0], sequence=["a", "a", "b", "b"]))
    assert frame["valence_pred"].tolist() == pytest.approx([1, 1.7, 7, 8])


def test_probabilities_are_averaged_and_the_prediction_follows():
    frame = stabilized(classes([0.9, 0.3, np.nan, 0.2]), alpha=0.5)
    assert frame["prob_calm"].tolist() == pytest.approx([0.9, 0.6, 0.6, 0.4])
    assert (frame["prob_calm"] + frame["prob_tense"]).tolist() == pytest.approx([1, 1, 1, 1])
    assert frame["pred"].tolist() == ["calm", "calm", "calm", "tense"]
    assert gated(frame) == [False, False, True, False]


def test_frames_without_a_confident_class_are_held():
    frame = stabilized(classes([0.9, 0.45, 0.1]), alpha=0.5, min_confidence=0.6)
    assert frame["prob_calm"].tolist() == pytest.approx([0.9, 0.9, 0.5])
    assert gated(frame) == [False, True, False]


def test_a_half_life_forgets_half_in_its_time_whatever_the_steps():
    table = numbers([0.0, 8.0, 8.0, 8.0])
    table.frame["time_sec"] = ["0", "2", "3", "7"]
    frame = stabilized(table, half_life=2.0)
    kept = 2 ** -(np.array([0, 2, 3, 7]) / 2)
    assert frame["valence_pred"].tolist() == pytest.approx(list(8 * (1 - kept)))


def test_time_runs_on_while_a_frame_is_held():
    frame = stabilized(numbers([0.0, 99.0, 8.0], [0, 9, 0]), half_life=2.0)
    assert frame["valence_pred"].tolist() == pytest.approx([0, 0, 4])


def test_each_target_has_its_own_gate():
    table = numbers([1.0, 2.0], [0, 9], arousal_pred=[3.0, 4.0], arousal_var=[0.0, 0.0])
    table.targets["arousal"] = Target("arousal", "number")
    frame = stabilized(table, alpha=0.5)
    assert frame["valence_pred"].tolist() == [1, 1]
    assert frame["arousal_pred"].tolist() == [3, 3.5]
    marks = frame[["gated", "valence_gated", "arousal_gated"]].to_numpy().tolist()
    assert marks == [["false"] * 3, ["true", "true", "false"]]


def test_what_was_said_of_single_frames_is_left_out_and_all_else_is_carried():
    table = numbers([1, 2], [0.1, 0.1], valence=[0.0, 1.0], valence_low=0.0, abstain="true", note=["x", ""])
    frame = stabilized(table)
    assert list(frame.columns) == ["id", "seen", "sequence", "time_sec", "valence", "note", "valence_pred", "gated"]
    assert frame["note"].tolist() == ["x", ""]


def test_a_sequence_of_in_sample_and_other_rows_is_refused():
    table = numbers([1, 2, 3, 4], sequence=["a", "a", "b", "b"], seen=["fit", "fit", "heldout", "fit"])
    with pytest.raises(AffectkitError, match="of sequence 'b' some rows are in-sample") as caught:
        stabilized(table)
    assert caught.value.code == "leak"


values = st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(np.nan)), min_size=1, max_size=30)


@settings(max_examples=30)
@given(values)
def test_a_weight_of_one_without_a_gate_changes_nothing(value):
    found = stabilized(numbers(value), alpha=1.0)["valence_pred"].to_numpy()
    known = ~np.isnan(value)
    assert (found[known] == np.array(value)[known]).all()


@settings(max_examples=30)
@given(st.floats(-1e3, 1e3), st.integers(1, 40), st.floats(0.01, 1))
def test_constants_stay_constant(value, frames, alpha):
    assert np.allclose(stabilized(numbers([value] * frames), alpha=alpha)["valence_pred"], value, rtol=1e-12)


@settings(max_examples=30)
@given(values, st.floats(0.01, 1), st.data())
def test_values_stay_within_the_range_of_what_came_before(value, alpha, data):
    var = data.draw(st.lists(st.sampled_from([0.0, 9.0]), min_size=len(value), max_size=len(value)))
    found = stabilized(numbers(value, var), alpha=alpha)["valence_pred"].to_numpy()
    for place in np.flatnonzero(~np.isnan(found)):
        past = np.array(value)[: place + 1]
        assert np.nanmin(past) - 1e-9 <= found[place] <= np.nanmax(past) + 1e-9


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_the_order_of_the_rows_in_the_file_is_of_no_account(seed):
    rng = np.random.default_rng(seed)
    table = numbers(rng.normal(size=40), rng.choice([0.0, 0.3], 40), sequence=rng.choice(["a", "b"], 40))
    order = rng.permutation(40)
    mixed = Predictions(table.frame.iloc[order].reset_index(drop=True), table.targets)
    expected = stabilized(table).set_index("id").loc[mixed.frame["id"]].reset_index()
    pd.testing.assert_frame_equal(stabilized(mixed), expected)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_dropping_the_held_frames_changes_no_other(seed):
    rng = np.random.default_rng(seed)
    table = numbers(rng.normal(size=30), rng.choice([0.0, 0.3], 30))
    held = table.frame["valence_var"].to_numpy() > 0.16
    without = stabilized(table.take(~held))
    found = stabilized(table)[~held].reset_index(drop=True)
    assert np.array_equal(found["valence_pred"], without["valence_pred"])


def test_smoothing_looks_at_no_later_frame():
    rng = np.random.default_rng(3)
    value = rng.normal(size=50)
    table = numbers(value)
    line = timeline(table.frame, ["sequence"], "time_sec")
    none = np.zeros(50, bool)
    whole = smooth(value, none, line, Smoothing())[0]
    value[30:] = 99
    assert np.array_equal(smooth(value, none, line, Smoothing())[0][:30], whole[:30])


def test_a_gate_is_on_by_itself_only_where_there_is_a_variance():
    with_var, without = numbers([1], [1]), numbers([1])
    assert smoothing_of(with_var, [VALENCE])[0] == Smoothing(0.7, None, 0.4, None)
    settings, notes = smoothing_of(without, [VALENCE])
    assert settings.uncertainty_threshold is None
    assert notes == ["no variance of valence (valence_var): none of its frames is gated as unsure"]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (numbers([1]), {"uncertainty_threshold": 0.4}, "has no column valence_var"),
        (classes([0.5]), {"uncertainty_threshold": 0.4}, "predicts no numbers; classes have --min-confidence"),
        (numbers([1]), {"min_confidence": 0.5}, "--min-confidence is for classes"),
        (numbers([1]), {"alpha": 0.5, "half_life": 2.0}, "--alpha and --half-life exclude each other"),
    ],
)
def test_a_gate_with_nothing_to_look_at_is_a_usage_error(table, options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        smoothing_of(table, list(table.targets.values()), **options)
    assert caught.value.code == "usage"
