"""One reader of time series: formats by what is in them, times, missing values, and mistakes named in one line."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
import scipy.io

from affectkit.errors import AffectkitError
from affectkit.media.series import Reading, open_series
from affectkit.media.series_formats import COVAREP

POINTS = range(68)


def table(path, header, rows, comma=","):
    path.write_text("\n".join([comma.join(header)] * bool(header) + [comma.join(map(str, row)) for row in rows]) + "\n")
    return path


def whole(path, columns=None, counts=None, **how):
    """Times, values and the series."""
    series = open_series(path, Reading(**how))
    chunks = list(series.chunks(columns, counts))
    return np.concatenate([c.times for c in chunks]), np.concatenate([c.values for c in chunks]), series


def test_openface_has_timestamps_and_frames_without_a_face_are_missing(tmp_path):
    header = [
        "frame",
        "face_id",
        "timestamp",
        "confidence",
        "success",
        "gaze_0_x",
        *(f"x_{n}" for n in POINTS),
        "AU01_r",
    ]
    rows = [[n + 1, 0, n / 30, 0.98, 1, 0.5, *POINTS, 2] for n in range(4)]
    rows[1][4], rows[2][3] = 0, 0.3  # lost, and not sure
    path = table(tmp_path / "a.csv", header, rows, comma=", ")
    counts = Counter()
    times, values, series = whole(path, counts=counts)
    assert series.format == "openface" and series.names == tuple(header[5:])
    np.testing.assert_allclose(times, np.arange(4) / 30)
    assert np.isnan(values).all(axis=1).tolist() == [False, True, True, False]
    assert values[3].tolist() == [0.5, *POINTS, 2] and counts["untracked"] == 2
    assert not np.isnan(whole(path, min_confidence=0.2)[1][2]).any()


def test_of_several_faces_the_first_is_read(tmp_path):
    header = ["frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    rows = [[n, face, n / 10, 1, 1, 10 * face + n] for n in range(3) for face in (0, 1)]
    counts = Counter()
    times, values, _ = whole(table(tmp_path / "a.csv", header, rows), counts=counts)
    assert values[:, 0].tolist() == [0, 1, 2] and counts["others"] == 3 and len(times) == 3


def test_clnf_of_daic_woz(tmp_path):
    header = ["frame", "timestamp", "confidence", "success", *(f"{axis}{n}" for axis in "xy" for n in POINTS)]
    rows = [[n + 1, f"{n / 30:.3f}", 0.9, n % 2, *POINTS, *POINTS] for n in range(3)]
    _, values, series = whole(table(tmp_path / "300_CLNF_features.txt", header, rows, comma=", "))
    assert series.format == "clnf" and values.shape == (3, 136)
    assert np.isnan(values[::2]).all() and values[1, 67] == 67


def test_covarep_is_known_by_its_columns_and_infinities_are_missing_and_counted(tmp_path):
    rows = np.arange(74 * 3).reshape(3, 74).astype(str).tolist()
    rows[1][5], rows[2][9], rows[2][10], rows[0][11] = "-inf", "1.#INF", "NaN", "inf"
    counts = Counter()
    times, values, series = whole(table(tmp_path / "300_COVAREP.csv", (), rows), counts=counts)
    assert series.names == COVAREP and times.tolist() == [0, 0.01, 0.02]
    assert np.isnan(values[[1, 2, 2, 0], [5, 9, 10, 11]]).all() and np.isnan(values).sum() == 4
    assert counts["infinite"] == 2  # those that a number can spell
    formants = table(tmp_path / "300_FORMANT.csv", (), [[1, 2, 3, 4, 5]])
    assert open_series(formants).names[0] == "formant_1"


def test_columns_without_names_need_a_rate(tmp_path):
    path = table(tmp_path / "a.csv", (), [[1, 2], [3, 4]])
    with pytest.raises(AffectkitError, match=r"a.csv: has neither times nor a rate; pass --rate ROWS_PER_SECOND"):
        open_series(path)
    times, values, series = whole(path, rate=29.97)
    assert times[1] == 1 / 29.97 and series.names == ("column_0", "column_1") and values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("header", "first", "scale"),
    [("timestamp", 0.5, 1), ("Time_ms", 500, 1e-3), ("time_us", 5e5, 1e-6), ("time_sec", 0.5, 1)],
)
def test_times_are_seconds(header, first, scale, tmp_path):
    path = table(tmp_path / "a.csv", ["x", header], [[1, first], [2, 2 * first]])
    np.testing.assert_allclose(whole(path)[0], [0.5, 1.0])
    if scale == 1:
        np.testing.assert_allclose(whole(path, unit="ms")[0], [0.0005, 0.001])


def test_a_rate_overrules_times_and_counts_frames_where_they_are_numbered(tmp_path):
    path = table(tmp_path / "a.csv", ["frame", "timestamp", "x"], [[1, 0, 5], [2, 0, 6], [5, 0, 7]])
    assert whole(path, rate=10)[0].tolist() == [0, 0.1, 0.4]


def test_words_and_other_separators(tmp_path):
    path = table(tmp_path / "a.csv", ["time", "who", "x"], [[0, "left", 1], [1, "right", ""]], comma="\t")
    _, values, series = whole(path)
    assert series.names == ("x",) and np.isnan(values[1, 0])
    with pytest.raises(AffectkitError, match="column 'who' holds words"):
        list(series.chunks(["who"]))
    with pytest.raises(AffectkitError, match=r"has no column 'xx'; did you mean x\?"):
        list(series.chunks(["xx"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "time,x\n0,1\n1,2\n.5,3\n",
            "row 3: its clock runs backwards, from 1 to 0.5 s; sort it by time; or",
        ),
        ("time,x\n0,1\nnan,2\n", "row 2: its time is no number"),
        ("time,x\n0,1\n" + "1,2\n" * 30 + "2,abc\n", "row 32: x 'abc' is not a number"),
        ("time,x\n0,1\n1\n", "row 2: 1 cells in a row of 2"),
        ("time,x\n0,1\n1,2,3\n", "row 2: 3 cells in a row of 2"),
        ("time,x\n", "has no rows"),
        ("", "is empty"),
        ("\n\n", "is empty: it has no rows"),
        ("x,x\n0,1\n", "has neither times nor a rate"),
        ("time,x,x\n0,1,2\n", "column 'x' stands twice"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
        ("caf\xe9,time\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
        (b"\0\1\2\3", "is neither text nor an array"),
    ],
)
def test_mistakes_are_named_in_one_line(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AffectkitError) as caught:
        whole(path)
    assert message in str(caught.value) and "a.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rate": 0.0}, "--rate 0: rows have no time at that rate"),
        ({"rate": -1.0}, "--rate -1"),
        ({"format": "opnface"}, "did you mean openface"),
    ],
)
def test_senseless_options_are_usage_errors(how, message, tmp_path):
    path = table(tmp_path / "a.csv", ["time", "x"], [[0, 1]])
    with pytest.raises(AffectkitError, match=message) as caught:
        open_series(path, Reading(**how))
    assert caught.value.code == "usage"


def test_a_doubled_time_is_left_out_and_counted(tmp_path):
    path = table(tmp_path / "a.csv", ["time", "x"], [[0, 1], [0, 2], [1, 3], [1, 4], [2, 5]])
    counts = Counter()
    times, values, _ = whole(path, counts=counts)
    assert times.tolist() == [0, 1, 2] and values[:, 0].tolist() == [1, 3, 5] and counts["doubled"] == 2


def test_a_long_table_comes_in_blocks_that_know_of_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("affectkit.media.series_tables.BLOCK", 2000)
    rows = [[n / 30, n, -n] for n in range(3000)]
    path = table(tmp_path / "a.csv", ["time", "x", "y"], rows)
    chunks = list(open_series(path).chunks(["y"]))
    assert len(chunks) > 10 and np.concatenate([c.values for c in chunks])[:, 0].tolist() == [-n for n in range(3000)]
    rows[2000][0] = 0
    with pytest.raises(AffectkitError, match="row 2001: its clock runs backwards"):
        whole(table(path, ["time", "x", "y"], rows))


@pytest.mark.parametrize(
    ("shape", "names"),
    [((5, 4), ["column_0", "column_3"]), ((5, 33, 4), ["x_0", "visibility_32"]), ((5, 25, 3), ["x_0", "c_24"]),
     ((5, 68, 2), ["x_0", "y_67"])],
)  # fmt: skip
def test_arrays(shape, names, tmp_path):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    times, values, series = whole(tmp_path / "a.npy", rate=25)
    assert [series.names[0], series.names[-1]] == names and times[-1] == 4 / 25
    np.testing.assert_array_equal(values, array.reshape(5, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "is of shape"),
        (np.array([["a"]]), "expected numbers"),
        (np.zeros((2, 3, 7)), "has 7 numbers for each"),
        (np.array([[{}]], dtype=object), "is no plain array"),
    ],
)
def test_arrays_that_are_no_series(array, message, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(AffectkitError, match=message):
        open_series(tmp_path / "a.npy", Reading(rate=25))


def test_emopain_has_no_label_among_its_columns(tmp_path):
    data = np.arange(5 * 78, dtype=float).reshape(5, 78)
    scipy.io.savemat(tmp_path / "P1D.mat", {"data": data})
    times, values, series = whole(tmp_path / "P1D.mat")
    assert series.names[:1] + series.names[22:23] + series.names[65:67] == ("x_0", "y_0", "z_21", "emg_0")
    assert values.shape == (5, 70) and times[1] == 1 / 60 and values[0, 65] == 65
    scipy.io.savemat(tmp_path / "b.mat", {"a": data, "b": data})
    with pytest.raises(AffectkitError, match="has no variable 'data', but a, b"):
        open_series(tmp_path / "b.mat")
    (tmp_path / "c.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 200)
    with pytest.raises(AffectkitError, match="is no MATLAB file"):
        open_series(tmp_path / "c.mat")


def test_openposes_own_files(tmp_path):
    folder = tmp_path / "json"
    folder.mkdir()
    for frame in range(4):
        seen, other = ([float(n + frame) for n in range(75)], [0.1] * 75)
        people = [{"pose_keypoints_2d": other}, {"pose_keypoints_2d": seen}] if frame != 2 else []
        (folder / f"v_{frame:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    times, values, series = whole(folder, rate=30)
    assert series.format == "openpose" and series.names[2] == "pose_x_1"[:0] + "pose_c_0"
    np.testing.assert_allclose(times, np.arange(4) / 30)
    assert values[3, 0] == 3 and np.isnan(values[2]).all()
    (folder / "v_000000000001_keypoints.json").write_text("[]")
    with pytest.raises(AffectkitError, match="is no frame of OpenPose"):
        whole(folder, rate=30)


def test_quoted_names_with_commas(tmp_path):
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["time", "gaze, left"], [0, 1], [1, 2]])
    assert whole(tmp_path / "a.csv")[2].names == ("gaze, left",)
