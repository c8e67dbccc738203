"""Rows as sequences over time, whatever order they have in the file."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.timeline import timeline
from affectkit.errors import AffectkitError


def table(*rows):
    return pd.DataFrame(rows, columns=["sequence", "time_sec"], dtype=object)


def test_rows_follow_time_inside_each_sequence():
    line = timeline(table(("b", "2"), ("a", "10"), ("b", "1"), ("a", "9.5")), ["sequence"], "time_sec")
    assert line.names == ["a", "b"]
    assert line.order.tolist() == [3, 1, 2, 0]  # 9.5 before 10: times are numbers, not text
    assert line.starts.tolist() == [0, 2]
    assert line.times.tolist() == [9.5, 10, 1, 2]
    assert line.labels.tolist() == ["b", "a", "b", "a"]
    assert line.to_table(np.array([30, 31, 20, 21])).tolist() == [21, 31, 20, 30]


def test_the_step_is_the_median_and_no_step_leads_from_one_sequence_to_the_next():
    rows = [("a", t) for t in ("0", "0.1", "0.2", "5")] + [("b", "100")]
    assert timeline(table(*rows), ["sequence"], "time_sec").step == pytest.approx(0.1)
    assert np.isnan(timeline(table(("a", "1"), ("b", "1")), ["sequence"], "time_sec").step)


def test_several_columns_tell_sequences_apart():
    frame = table(("a", "1"), ("a", "1"), ("a", "2")).assign(track=["0", "1", "0"])
    line = timeline(frame, ["sequence", "track"], "time_sec")
    assert line.names == ["a / 0", "a / 1"]
    assert line.lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("rows", "row", "message"),
    [
        ([("a", "1"), ("b", "1"), ("a", "1.0")], 3, "time_sec 1 of sequence 'a' stands already in row 1; name every"),
        ([("a", "1"), ("a", "")], 2, "has no time_sec"),
        ([("a", "1"), ("a", "nan")], 2, "has no time_sec"),
        ([("a", "1"), ("", "2")], 2, "has no sequence"),
        ([("a", "1"), ("a", "two")], 2, "time_sec 'two' is not a number"),
    ],
)
def test_a_row_without_its_place_in_time_is_named(rows, row, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        timeline(table(*rows), ["sequence"], "time_sec", file="faces.csv")
    assert (caught.value.code, caught.value.row, caught.value.file) == ("input", row, "faces.csv")


def test_a_missing_column_is_answered_with_where_it_may_be():
    with pytest.raises(AffectkitError, match="has no column 'time'; pass the --manifest that has it, or name another"):
        timeline(table(("a", "1")), ["sequence"], "time")


def test_something_must_tell_sequences_apart():
    with pytest.raises(AffectkitError, match="no column tells sequences apart"):
        timeline(table(("a", "1")), [], "time_sec")
