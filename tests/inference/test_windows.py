"""Where windows begin and end, and the rows that they become. Expectations are counted by hand."""

import logging
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit.artifacts.manifest import read_manifest
from affectkit.errors import AffectkitError
from affectkit.inference import Windows, windowed


@pytest.mark.parametrize(
    ("seconds", "stride", "start", "end", "expected"),
    [
        (5, 5, 0, 15, [(0, 5), (5, 10), (10, 15)]),
        (5, 5, 0, 12.5, [(0, 5), (5, 10), (10, 12.5)]),  # half a window is one
        (5, 5, 0, 12.4, [(0, 5), (5, 12.4)]),  # less belongs to the one before
        (5, 5, 0, 5, [(0, 5)]),
        (5, 5, 0, 0.3, [(0, 0.3)]),
        (5, 2, 0, 9, [(0, 5), (2, 7), (4, 9)]),
        (5, 2, 0, 10, [(0, 5), (2, 7), (4, 9), (6, 10)]),
        (5, 4.5, 0, 10.5, [(0, 5), (4.5, 10.5)]),  # the next would be 1.5 s
        (5, 5, 100.25, 112, [(100.25, 105.25), (105.25, 112)]),
        (2, 5, 0, 12, [(0, 2), (5, 7), (10, 12)]),
        (2, 5, 0, 11, [(0, 2), (5, 7), (10, 11)]),
        (2, 5, 0, 10.9, [(0, 2), (5, 7)]),  # never over a gap
        (2, 5, 0, 9, [(0, 2), (5, 7)]),
        (0.1, 0.1, 0, 0.3, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),  # 3 * 0.1 is above 0.3 for a computer
    ],
)
def test_where_windows_lie(seconds, stride, start, end, expected):
    assert Windows(seconds, stride).cut(start, end) == [pytest.approx(bounds, abs=1e-9) for bounds in expected]


@settings(max_examples=30)
@given(st.floats(0.02, 60), st.floats(0.05, 1), st.floats(0, 1000), st.floats(0.001, 300))
def test_everything_is_heard_by_windows_of_half_to_one_and_a_half_the_length(seconds, share, start, length):
    windows = Windows(seconds, max(seconds * share, 0.01))
    found = windows.cut(start, start + length)
    assert found[0][0] == pytest.approx(start, abs=1e-6)
    assert found[-1][1] == start + length
    for (first, last), (following, _) in pairwise(found):
        assert first < following <= last + 2e-6
    if length > seconds:
        lengths = np.diff(found)[:, 0]
        assert (0.5 * seconds - 1e-5 <= lengths).all() and (lengths <= 1.5 * seconds + 1e-5).all()
        np.testing.assert_allclose(lengths[:-1], seconds, rtol=0, atol=2e-6)
    assert windows.unheard(start, start + length) == 0


@given(st.floats(0.02, 10), st.floats(1.01, 5), st.floats(0.001, 300))
def test_a_stride_above_the_window_leaves_what_it_says_unheard(seconds, times, length):
    windows = Windows(seconds, seconds * times)
    found = windows.cut(0.0, length)
    gaps = sum(following - last for (_, last), (following, _) in pairwise(found))
    assert windows.unheard(0.0, length) == pytest.approx(gaps + length - found[-1][1], abs=1e-6)


@pytest.mark.parametrize("value", [0, -1, 0.001, float("nan"), float("inf")])
def test_a_senseless_length_is_a_usage_error(value):
    for lengths in ((value, None), (1.0, value)):
        with pytest.raises(AffectkitError, match="is no length of time") as refused:
            Windows.of(*lengths)
        assert refused.value.code == "usage"


@pytest.fixture
def manifest(tmp_path, tone):
    """`manifest(rows)`: a manifest of these rows, whose `path` may be a.wav (7 s) or b.wav (2 s)."""
    tone(tmp_path / "a.wav", 7.0)
    tone(tmp_path / "b.wav", 2.0)

    def make(rows):
        pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
        return read_manifest(tmp_path / "rows.csv")

    return make


def test_windows_are_rows_with_the_clips_columns(manifest):
    rows = [
        {"id": "one", "path": "a.wav", "label": "joy", "valence": 3.5, "speaker": "s1", "text": "well", "votes_joy": 3},
        {"id": "two", "path": "b.wav", "label": "rage", "valence": 1.0, "speaker": "s2", "text": "so", "votes_joy": 0},
    ]
    cut = windowed(manifest(rows), Windows(3, 3))
    assert list(cut.rows["id"]) == ["one@000000.000", "one@000003.000", "two@000000.000"]
    assert list(cut.rows["clip"]) == list(cut.rows["sequence"]) == ["one", "one", "two"]
    times = cut.rows[["start_sec", "end_sec", "time_sec", "duration_sec"]].to_numpy().tolist()
    assert times == [[0, 3, 1.5, 3], [3, 7, 5, 4], [0, 2, 1, 2]]
    assert list(cut.rows["valence"]) == [3.5, 3.5, 1.0]
    assert list(cut.rows["speaker"]) == ["s1", "s1", "s2"]
    assert not {"text", "votes_joy"} & set(cut.rows)  # of the whole clip, of no window
    assert [row for _, row in cut.origin] == [1, 1, 2]


def test_a_segment_is_cut_within_itself_in_the_time_of_its_file(manifest):
    rows = [{"id": "u", "path": "a.wav", "start_sec": 1.5, "end_sec": 6.75}]
    cut = windowed(manifest(rows), Windows(2, 2)).rows
    assert list(cut["id"]) == ["u@000001.500", "u@000003.500", "u@000005.500"]
    assert list(cut["end_sec"]) == [3.5, 5.5, 6.75]
    rounded = [{"id": "u", "path": "a.wav", "start_sec": "", "end_sec": 7.05}]  # annotated a little late
    assert list(windowed(manifest(rounded), Windows(4, 4)).rows["end_sec"]) == [4, 7]


def test_ids_sort_as_time_does(manifest):
    ids = list(windowed(manifest([{"id": "u", "path": "a.wav"}]), Windows(0.5, 0.125)).rows["id"])
    assert ids == sorted(ids) and len(set(ids)) == len(ids) == 53  # (7 - 0.5) / 0.125 + 1


def test_a_sequence_of_the_manifest_is_kept_and_said(manifest, caplog):
    rows = [{"id": key, "path": "a.wav", "sequence": name} for key, name in (("x", "film"), ("y", "film"), ("z", ""))]
    with caplog.at_level(logging.INFO, "affectkit"):
        cut = windowed(manifest(rows), Windows(7, 7)).rows
    assert list(cut["sequence"]) == ["film", "film", "z"]
    assert "stabilize windows with --sequence clip" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "c.wav"}, "no such file"),
        ({"path": ""}, "has no path"),
        ({"path": "a.wav", "start_sec": 8}, "has no segment 8 to 7 s: it is 7.000 s long"),
        ({"path": "a.wav", "end_sec": 9}, "has no segment 0 to 9 s"),
        ({"path": "a.wav", "start_sec": 3, "end_sec": 3}, "has no segment 3 to 3 s"),
        ({"path": "a.wav", "start_sec": -1}, "has no segment -1 to 7 s"),
        ({"path": "rows.csv"}, "is not audio"),
    ],
)
def test_what_cannot_be_cut_is_named_with_its_row_or_skipped(manifest, caplog, row, message):
    rows = manifest([{"id": "good", "path": "b.wav"}, {"id": "bad", **row}])
    with pytest.raises(AffectkitError, match=r"rows.csv row 2: .*pass --on-error skip") as refused:
        windowed(rows, Windows(1, 1))
    assert message in str(refused.value)
    assert list(windowed(rows, Windows(1, 1), on_error="skip").rows["clip"]) == ["good", "good"]
    assert "bad is skipped" in caplog.text and message in caplog.text
    with pytest.raises(AffectkitError, match="no row could be cut"):
        windowed(manifest([{"id": "bad", **row}]), Windows(1, 1), on_error="skip")


def test_what_lies_between_windows_is_said(manifest, caplog):
    windowed(manifest([{"id": "u", "path": "a.wav"}]), Windows(1, 3))
    assert "4.0 of 7.0 s lie between windows" in caplog.text
