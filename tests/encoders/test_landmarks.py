"""landmarks: files of several trackers, windows on real time, what is missing, videos, memory."""

import csv
import json
import subprocess
import sys
import types

import numpy as np
import pytest
from landmark_people import face, skeletons, write_landmarks

from affectkit.artifacts.features import read_features
from affectkit.encoders import _face_geometry as geometry
from affectkit.encoders import _posture as posture
from affectkit.encoders import landmarks
from affectkit.encoders._encoder import Item
from affectkit.encoders._layouts import BODIES, find_layouts
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError

NAMES = list(posture.FEATURES)


def encode(path, item=None, **options):
    """The features of one recording, and what was counted."""
    encoder = landmarks.build(**options)
    encoded = encode_items(encoder, [item or Item("a", path)])
    return encoded.values[0], encoder.feature_names, encoded.counts


def column(values, names, name):
    return values[..., names.index(name)]


def manifest(folder, rows):
    with open(folder / "all.csv", "w", newline="") as file:
        split = [["split"], *[["test" if place >= len(rows) * 2 // 3 else "train"] for place in range(len(rows))]]
        table = [["id", "path_landmarks", "label", "speaker"], *rows]
        csv.writer(file).writerows([[*row, *part] for row, part in zip(table, split, strict=True)])
    return folder / "all.csv"


def rates():
    """Times of the same thirty seconds, by cameras of different rates."""
    uneven = np.sort(np.concatenate([np.arange(0, 30, 1 / 20), np.arange(0.013, 15, 1 / 14)]))
    return {"25": np.arange(750) / 25, "29.97": np.arange(900) / 29.97, "30": np.arange(900) / 30, "uneven": uneven}


def test_frame_rates_give_the_same_windows_and_nearly_the_same_features(tmp_path):
    values = {}
    for name, times in rates().items():
        write_landmarks(tmp_path / f"{name}.csv", times, skeletons(times))
        values[name], names, _ = encode(tmp_path / f"{name}.csv", window=10.0, stride=5.0)
    assert {found.shape for found in values.values()} == {(6, 60)}
    finest = np.arange(3000) / 100
    write_landmarks(tmp_path / "fine.csv", finest, skeletons(finest))
    truth = encode(tmp_path / "fine.csv", window=10.0, stride=5.0)[0]
    missing = np.array([column.endswith("_missing") for column in names])
    for name, found in values.items():  # the sixth window ends with the recording
        tight = 3e-3 if name == "uneven" else 1.5e-3
        np.testing.assert_allclose(found[:5, ~missing], truth[:5, ~missing], atol=tight)
        np.testing.assert_allclose(found[:5, missing], truth[:5, missing], atol=5e-3)  # a tenth of a second, to a frame


def test_statistics_of_a_window_are_those_of_the_frames(tmp_path):
    times = np.arange(300) / 30
    points = skeletons(times)
    points[60:90] = np.nan  # one second of ten
    write_landmarks(tmp_path / "a.csv", times, points)
    frames, names, _ = encode(tmp_path / "a.csv", pool="none")
    np.testing.assert_allclose(frames[:, :6], posture.frame_features(points, BODIES[33]), atol=1e-6)
    values, pooled, _ = encode(tmp_path / "a.csv")
    angle = column(frames, names, "shoulder_angle").astype(float)
    known = ~np.isnan(angle)
    assert column(values, pooled, "shoulder_angle_mean") == pytest.approx(angle[known].mean(), abs=2e-4)
    assert column(values, pooled, "shoulder_angle_sd") == pytest.approx(angle[known].std(), rel=1e-2)
    slope = np.polyfit(times[known], angle[known], 1)[0]
    assert column(values, pooled, "shoulder_angle_slope") == pytest.approx(slope, abs=1e-4)
    assert column(values, pooled, "shoulder_angle_missing") == pytest.approx(0.1, abs=1e-6)
    windows, named, _ = encode(tmp_path / "a.csv", window=1.0)
    missing = column(windows, named, "shoulder_angle_missing")
    np.testing.assert_allclose(missing, [0, 0, 1, *[0] * 7], atol=0.02)
    assert np.isnan(column(windows, named, "shoulder_angle_mean")).tolist() == [False, False, True, *[False] * 7]


def test_the_pictures_shape_matters_where_landmarks_are_shares_of_it(tmp_path):
    times = np.arange(60) / 30
    pixels = skeletons(times)
    write_landmarks(tmp_path / "pixels.csv", times, pixels)
    write_landmarks(tmp_path / "shares.csv", times, pixels / [640, 360, 640, 1])
    expected = encode(tmp_path / "pixels.csv")[0]
    np.testing.assert_allclose(encode(tmp_path / "shares.csv", image_size="1280x720")[0], expected, atol=1e-5)
    known = Item("a", tmp_path / "shares.csv", size=(320.0, 180.0))
    np.testing.assert_allclose(encode(None, known)[0], expected, atol=1e-5)
    values, _, counts = encode(tmp_path / "shares.csv")
    assert np.abs(values - expected).max() > 0.01
    assert counts == {"with_landmarks_of_a_picture_of_unknown_shape": 1}


def test_points_that_are_hardly_seen_are_missing(tmp_path):
    times = np.arange(60) / 30
    points = skeletons(times)
    points[:, 23:25, 3] = 0.2  # hips under a desk
    write_landmarks(tmp_path / "a.csv", times, points)
    values, names, _ = encode(tmp_path / "a.csv")
    assert column(values, names, "spine_angle_missing") == 1 and np.isnan(column(values, names, "spine_angle_mean"))
    assert column(values, names, "shoulder_angle_missing") == 0
    assert not np.isnan(encode(tmp_path / "a.csv", min_confidence=0.1)[0]).any()
    points[..., 3] = 0
    write_landmarks(tmp_path / "a.csv", times, points)
    with pytest.raises(AffectkitError, match=r"has no landmarks of a body in the row's seconds"):
        encode(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("form", "kind", "points"),
    [
        ("{axis}_{n}", "body", 33), ("{axis}{n}", "body", 33), ("pose_{axis}_{n}", "body", 33),
        ("landmark_{n}_{axis}", "body", 33), ("{n}_{axis}", "body", 33), ("{axis}_{n}", "body", 25),
        ("{axis}{n}", "face", 68), ("face_{axis}_{n}", "face", 468), ("{axis}_{n}", "face", 478),
        ("left_hand_{axis}_{n}", "hand", 21), ("hand_landmark_{n}_{axis}", "hand", 21),
    ],
)  # fmt: skip
def test_numbered_columns_are_known(form, kind, points):
    names = ["AU01_r", *(form.format(axis=axis, n=n) for axis in ("x", "y", "visibility") for n in range(points))]
    (layout,) = find_layouts(names)
    assert (layout.kind, len(layout.where), layout.has_depth) == (kind, points, False)
    values = np.arange(3 * points, dtype=float)[None] + 1
    places = [layout.where[n, 0] for n in range(points)]
    np.testing.assert_array_equal(layout.points(values, 0.0)[0, :, 0], values[0, places])
    assert layout.names[layout.where[5, 1]] == form.format(axis="y", n=5)


@pytest.mark.parametrize("form", ["LEFT_SHOULDER_x RIGHT_SHOULDER_x NOSE_x", "LShoulder_x RShoulder_x Nose_x",
                                  "left_shoulder.x right_shoulder.x nose.x"])  # fmt: skip
def test_named_columns_are_known(form):
    names = [column for name in form.split() for column in (name, name[:-1] + "y", name[:-1] + "c")]
    (layout,) = find_layouts(names)
    assert {name: layout.names[layout.where[place, 0]] for name, place in layout.parts.items()} == dict(
        zip(("left_shoulder", "right_shoulder", "nose"), form.split(), strict=True)
    )


def test_openpose_and_mediapipe_agree_on_the_same_person(tmp_path):
    times = np.arange(90) / 30
    points = skeletons(times)
    parts = {name: points[:, place] for name, place in BODIES[33].items()}
    body = np.zeros((90, 25, 3))
    for name, place in BODIES[25].items():
        body[:, place] = parts[name][:, [0, 1, 3]]
    np.save(tmp_path / "openpose.npy", body)
    write_landmarks(tmp_path / "mediapipe.csv", times, points)
    ours, names, _ = encode(tmp_path / "openpose.npy", rate=30.0)
    theirs = encode(tmp_path / "mediapipe.csv")[0]
    for name in names:
        if not name.startswith(("movement", "stillness", "fidgeting")):  # of the parts that both have
            assert column(ours, names, name) == pytest.approx(column(theirs, names, name), abs=1e-5), name


def test_faces_of_openface_have_its_own_angles(tmp_path):
    points = face()[0]
    header = ["frame", "timestamp", "confidence", "success", "gaze_0_x", "pose_Rx", "pose_Ry", "pose_Rz"]
    header += [f"{axis}_{n}" for axis in "xy" for n in range(68)]
    cells = [0.1, 0.2, -0.3, 0.0, *points[:, 0] + 10, *points[:, 1] + 50]
    lines = [", ".join(header)] + [", ".join(map(str, [n, n / 30, 1, int(n != 3), *cells])) for n in range(10)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    values, names, counts = encode(tmp_path / "a.csv", pool="none")
    assert column(values, names, "eye_open_right")[0] == pytest.approx(0.4, abs=1e-6)
    assert column(values, names, "head_pitch")[0] == pytest.approx(np.degrees(0.2), abs=1e-5)
    assert column(values, names, "head_yaw")[0] == pytest.approx(np.degrees(-0.3), abs=1e-5)
    assert np.isnan(values[3]).all() and counts == {"with_untracked_frames": 1}


def test_joints_of_emopain(tmp_path):
    import scipy.io

    data = np.random.default_rng(0).normal(size=(120, 78))
    scipy.io.savemat(tmp_path / "P1D.mat", {"data": data})
    values, names, _ = encode(tmp_path / "P1D.mat", pool="none")
    points = np.stack([data[:, :22], data[:, 22:44], data[:, 44:66], np.ones((120, 22))], axis=2)
    np.testing.assert_allclose(values, geometry.joint_features(points), rtol=1e-5)
    assert names[4] == "angle_4"


def test_what_has_no_landmarks_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("time,pulse\n0,1\n1,2\n")
    with pytest.raises(AffectkitError, match=r"no landmarks of a body, face or hand among its 1 columns \(pulse\)"):
        encode(tmp_path / "a.csv")
    write_landmarks(tmp_path / "b.csv", np.arange(9) / 9, skeletons(np.arange(9) / 9))
    with pytest.raises(AffectkitError, match=r"no landmarks of a face among its 132 columns"):
        encode(tmp_path / "b.csv", features="face")


def test_rows_are_stretches_of_a_file_that_is_read_once(tmp_path, monkeypatch):
    times = np.arange(900) / 30
    points = skeletons(times)
    points[:, :, 0] += 100 * (times > 20)[:, None]
    write_landmarks(tmp_path / "a.csv", times, points)
    opened = []
    read = landmarks.SeriesEncoder._read
    monkeypatch.setattr(landmarks.SeriesEncoder, "_read", lambda self, item: opened.append(item) or read(self, item))
    path = tmp_path / "a.csv"
    todo = [Item(f"w{n}", path, start_sec=5.0 * n, end_sec=5.0 * n + 10) for n in range(5)]
    todo += [Item("turns", path, stretches=((1.0, 4.0), (26.0, 27.0)))]
    encoder = landmarks.build(features="posture")
    encoded = encode_items(encoder, todo, num_workers=3)
    assert len(opened) == 1
    windows = encode(path, window=10.0, stride=5.0)[0]
    of_frames = [n for n, name in enumerate(encoder.feature_names) if name.startswith(tuple(NAMES[:6]))]
    np.testing.assert_allclose(np.stack(encoded.values[:5])[:, of_frames], windows[:5, of_frames], atol=1e-6)
    frames = encode(None, todo[-1], pool="none")[0]
    inside = ((times >= 1) & (times < 4)) | ((times >= 26) & (times < 27))
    np.testing.assert_allclose(frames[:, :6], posture.frame_features(points[inside], BODIES[33]), atol=1e-5)
    movement = frames[:, NAMES.index("movement")]
    assert movement[~np.isnan(movement)].max() < 1 and np.isnan(movement[[0, 90]]).all()
    split = encode(None, todo[-1], window=2.0)[0]
    assert len(split) == 2  # four seconds of turns are two windows, whatever lies between them


def test_a_row_depends_on_nothing_outside_of_it(tmp_path):
    """Frames before a row are others, and its features are the same to the bit."""
    times = np.arange(600) / 30
    points = skeletons(times)
    other = points.copy()
    other[: 10 * 30 - 1] += 1000 * np.random.default_rng(0).normal(size=other[: 10 * 30 - 1].shape) * [1, 1, 0, 0]
    values = []
    for name, cells in (("a", points), ("b", other)):
        write_landmarks(tmp_path / f"{name}.csv", times, cells)
        values.append(encode(None, Item("w", tmp_path / f"{name}.csv", start_sec=10.0, end_sec=15.0))[0])
    np.testing.assert_array_equal(*values)


def test_raw_coordinates_and_two_hands(tmp_path):
    times = np.arange(10) / 10
    hands = np.random.default_rng(0).uniform(1, 2, (10, 42, 2))
    names = [f"{side}_hand_{axis}_{n}" for side in ("left", "right") for n in range(21) for axis in "xy"]
    np.savetxt(tmp_path / "a.csv", np.column_stack([times, hands.reshape(10, -1)]), delimiter=",",
               header=",".join(["time", *names]), comments="")  # fmt: skip
    with pytest.raises(AffectkitError, match=r"2 of a hand: left_hand, right_hand; choose: --channels 'left_hand_\*'"):
        encode(tmp_path / "a.csv", features="hand")
    left = encode(tmp_path / "a.csv", features="hand", channels="left_hand_*", image_size="100x100")[0]
    right = encode(tmp_path / "a.csv", features="hand", channels="right_hand_*")[0]
    assert left.shape == right.shape == (20,) and not np.allclose(left, right)
    raw, named, _ = encode(tmp_path / "a.csv", features="raw", channels="*_x_0", pool="none")
    assert named == ["left_hand_x_0", "right_hand_x_0"]
    np.testing.assert_allclose(raw, hands[:, [0, 21], 0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0.0}, "--window 0 is no length of time; give seconds"),
        ({"stride": 1.0}, "--stride needs --window"),
        ({"window": 1.0, "pool": "stats"}, "leave out one of them"),
        ({"pool": "max"}, "no --pool max"),
        ({"features": "gait"}, "no --features gait"),
        ({"image_size": "1280:720"}, "write it as 1280x720"),
        ({"rate": 0.0}, "--rate 0: rows have no time at that rate; give rows per second"),
        ({"fps": 0.0}, "--fps 0; give frames per second"),
        ({"time_unit": "h"}, "no --time-unit h"),
    ],
)
def test_senseless_options_are_usage_errors(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        landmarks.build(**options)
    assert caught.value.code == "usage"


def test_a_recording_of_a_second_and_a_row_beside_it(tmp_path):
    times = np.arange(30) / 30
    write_landmarks(tmp_path / "a.csv", times, skeletons(times))
    with pytest.raises(AffectkitError, match=r"has 1 s, less than half a window of 10 s; give a shorter --window"):
        encode(tmp_path / "a.csv", window=10.0)
    with pytest.raises(AffectkitError, match=r"has nothing from 5 to 9 s: it covers 0 to 1 s"):
        encode(None, Item("a", tmp_path / "a.csv", start_sec=5.0, end_sec=9.0))
    values, names, _ = encode(None, Item("a", tmp_path / "a.csv", start_sec=0.5, end_sec=5.5))
    assert column(values, names, "shoulder_angle_missing") == pytest.approx(
        0.9 - 0.05, abs=0.01
    )  # held for a quarter second


def test_gaps_in_time_are_counted_and_missing(tmp_path):
    times = np.concatenate([np.arange(60) / 30, 8 + np.arange(60) / 30])
    write_landmarks(tmp_path / "a.csv", times, skeletons(times))
    values, names, counts = encode(tmp_path / "a.csv")
    assert counts == {"with_gaps_in_time": 1}
    assert column(values, names, "shoulder_angle_missing") == pytest.approx(0.6 - 0.05, abs=0.01)


# --- videos


@pytest.fixture
def landmarker(monkeypatch):
    """A network that finds the same person in every video; what it was asked for."""
    asked = []

    def video_landmarks(path, model, *, start_sec=None, end_sec=None, fps=None):
        asked.append((str(path), model.model, fps))
        times = np.arange(120) / (fps or 30)
        yield from zip(times, skeletons(times).astype(np.float32), strict=True)

    module = types.ModuleType("affectkit.models.pose")
    module.video_landmarks = video_landmarks
    module.open_landmarker = lambda model: types.SimpleNamespace(
        model=model, describe=lambda: {"landmarks_digest": "1234", "litert": "2"}
    )
    monkeypatch.setitem(sys.modules, "affectkit.models.pose", module)
    return asked


def test_landmarks_of_a_video_are_made_by_a_network(affectkit, landmarker, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"a video")
    (tmp_path / "train.csv").write_text("id,path,label\nv,v.mp4,x\n")
    line = ("extract-features", "--manifest", tmp_path / "train.csv", "--encoder", "landmarks", "-o", tmp_path / "f")
    refused = affectkit(*line, code=1)
    assert (
        "has no column 'path_landmarks'" in refused.stderr
        and "--landmark-model FILE_OR_FOLDER for videos" in refused.stderr
    )
    affectkit(*line, "--landmark-model", "pose.task", "--fps", 10)
    assert landmarker == [(str(tmp_path / "v.mp4"), "pose.task", 10.0)]
    features = read_features(tmp_path / "f")
    assert features.encoder["weights"] == "1234"
    times = np.arange(120) / 10
    write_landmarks(tmp_path / "v.csv", times, skeletons(times))
    expected = encode(tmp_path / "v.csv")[0]
    np.testing.assert_allclose(features.matrix(["v"])[0], expected, atol=1e-4)
    (tmp_path / "train.csv").write_text("id,path_landmarks,label\nv,v.mp4,x\n")
    refused = affectkit(*line, "--overwrite", code=2)
    assert "v.mp4: is a video, and landmarks are read; write them with OpenFace" in refused.stderr


# --- the commands


def test_from_landmarks_to_predictions_of_new_sessions(affectkit, tmp_path):
    rows = []
    for number in range(24):
        times = np.arange(90) / 30
        points = skeletons(times)
        points[:, 11, 1] += 20 * (number % 2) + number % 5  # one class lowers the left shoulder
        write_landmarks(tmp_path / f"{number}.csv", times, points)
        rows.append([f"s{number}", f"{number}.csv", "ab"[number % 2], f"p{number // 2}"])
    path = manifest(tmp_path, rows[:20])
    (tmp_path / "new").mkdir()
    new = [[key, f"../{file}", *rest] for key, file, *rest in rows[20:]]
    manifest(tmp_path / "new", new)
    affectkit("extract-features", "--manifest", path, "--encoder", "landmarks", "-o", tmp_path / "f")
    record = json.loads((tmp_path / "f/encoder.json").read_text())
    assert record["reads"] == "series" and record["options"]["features"] == "posture" and record["dim"] == 60
    affectkit("train", "--manifest", path, "--features", tmp_path / "f", "-o", tmp_path / "m")
    line = ("predict", "--model-dir", tmp_path / "m")
    predicted = affectkit(*line, "--manifest", tmp_path / "new/all.csv").stdout.splitlines()
    assert len(predicted) == 5
    of_files = affectkit(*line, *(tmp_path / f"{n}.csv" for n in range(20, 24))).stdout.splitlines()
    answers = [[next(csv.reader([row]))[next(csv.reader([table[0]])).index("prob_a")] for row in table[1:]]
               for table in (predicted, of_files)]  # fmt: skip
    assert answers[0] == answers[1] and [float(p) > 0.5 for p in answers[0]] == [True, False, True, False]


def test_windows_become_sequences_for_networks(affectkit, tmp_path):
    rows = []
    for number in range(12):
        times = np.arange(120) / 10
        points = skeletons(times)
        points[:, 11, 1] += 20 * (number % 2)
        points[:, 23:25] = np.nan  # no hips: features that are missing everywhere
        write_landmarks(tmp_path / f"{number}.csv", times, points)
        rows.append([f"s{number}", f"{number}.csv", "ab"[number % 2], f"p{number}"])
    path = manifest(tmp_path, rows)
    affectkit("extract-features", "--manifest", path, "--encoder", "landmarks", "--window", 4, "--stride", 2,
              "-o", tmp_path / "f")  # fmt: skip
    affectkit("train", "--manifest", path, "--features", tmp_path / "f", "--model", "attention", "--epochs", 2,
              "-o", tmp_path / "a")  # fmt: skip
    refused = affectkit("train", "--manifest", path, "--features", tmp_path / "f", "-o", tmp_path / "l", code=1)
    assert "holds frames, not one vector per row" in refused.stderr
    answers = affectkit("predict", "--model-dir", tmp_path / "a", "--manifest", path).stdout
    of_features = affectkit("predict", "--model-dir", tmp_path / "a", "--manifest", path, "--features", tmp_path / "f")
    assert answers == of_features.stdout and len(answers.splitlines()) == 5


# --- memory

MEASURE = """
import resource, sys
from affectkit.encoders import landmarks
from affectkit.encoders._encoder import Item
from affectkit.encoders._loop import encode_items
from pathlib import Path
for path in sys.argv[1:]:
    encoder = landmarks.build(features="posture", window=10.0, stride=5.0)
    values = encode_items(encoder, [Item("a", Path(path))]).values[0]
    print(len(values), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path):
    times = np.arange(36000) / 30
    points = skeletons(times[:3000])
    body = [",".join(f"{cell:.4f}" for cell in row) for row in points.reshape(3000, -1)]
    header = ",".join(["timestamp", *(f"{a}_{n}" for n in range(33) for a in ("x", "y", "z", "visibility"))])
    for name, rows in (("short", 6000), ("long", 30000)):
        lines = (f"{n / 30:.6f},{body[n % 3000]}\n" for n in range(rows))
        with open(tmp_path / f"{name}.csv", "w") as file:
            file.write(header + "\n")
            file.writelines(lines)
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path / "short.csv", tmp_path / "long.csv"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    (short, before), (long, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (40, 200)
    assert after - before < 40 << 10, f"{(after - before) / 1024:.0f} MB more for five times as long"
