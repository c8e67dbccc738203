"""Self-recorded sessions: both layouts by hand, labels against sums on paper, and what is wrong with them in a line."""

import json
import math
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectkit.artifacts.manifest import read_manifest
from affectkit.corpora import _recordings, _windows, daic_woz, sessions
from affectkit.corpora._corpus import Dropped, Note
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.synthesis import films, postures
from affectkit.synthesis.sessions import _acts


def sound(path, seconds, rate=1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(zlib.crc32(path.as_posix().encode())).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, samples, rate)
    return path


def folder(root, name, seconds=4, **data):
    """A session's own folder, with a sound of some seconds."""
    sound(root / name / "audio.wav", seconds)
    (root / name / "labels.json").write_text(json.dumps(data))
    return root / name


def table(root, text, name="labels.csv"):
    (root / name).write_text(text)
    return root


@pytest.fixture
def read(gathered):
    return lambda root, **options: gathered(sessions.read(root, **options))


def details(root, **options):
    return [item.sentence for item in sessions.read(root, **options) if isinstance(item, Dropped)]


def notes(root, **options):
    return [item for item in sessions.read(root, **options) if isinstance(item, Note)]


# --- Rows


def test_a_table_beside_recordings(read, tmp_path):
    sound(tmp_path / "videos" / "a.wav", 4)
    sound(tmp_path / "videos" / "b.wav", 2)
    (tmp_path / "videos" / "a_landmarks.csv").write_text("timestamp,x_0\n0,1\n")
    (tmp_path / "videos" / "a_gaze.npy").write_bytes(b"x")
    root = table(
        tmp_path,
        "video,start_sec,end_sec,stress,focus,subject,session,notes,room\n"
        "videos/a.wav,0,2,3,1,p1,first,tired,12\n"
        "a,2,00:00:04,4.5,,p1,first,,13\n"  # by its stem, and a clock
        "B.WAV,,,2,5,p2,first,,12\n",
    )
    rows, reasons = read(root)
    assert reasons == {} and len(rows) == 3
    first, second, whole = rows.values()
    assert (first["stress"], first["focus"], first["start_sec"], first["end_sec"], first["time_sec"]) == (3, 1, 0, 2, 0)
    assert (second["stress"], second["start_sec"], second["end_sec"]) == (4.5, 2, 4) and math.isnan(second["focus"])
    assert first["path"] == "videos/a.wav" and first["path_landmarks"] == "videos/a_landmarks.csv"
    assert first["path_gaze"] == "videos/a_gaze.npy" and whole["path_gaze"] == "" == whole["path_landmarks"]
    assert (first["subject"], first["sequence"], first["notes"], second["room"]) == (
        "p1",
        "videos__a",
        "tired",
        "13",
    )
    assert first["session"] == "p1_first" and whole["session"] == "p2_first"  # two subjects have a first session
    assert math.isnan(whole["start_sec"]) and whole["time_sec"] == 0 and whole["stress"] == 2


def test_a_folder_per_session(read, tmp_path):
    folder(tmp_path, "s1", stress_labels=[1, 2, None, 4], subject_id="p1", notes="calm", depression=7)
    folder(tmp_path, "s2", 120, stress_labels=[3, 5], seconds_per_label=60, subject_id="p2", depression=None)
    rows, reasons = read(tmp_path, target_columns="stress=1:5,depression=0:27")
    assert reasons == {}
    first = [row for row in rows.values() if row["session"] == "s1"]
    assert [row["start_sec"] for row in first] == [0, 1, 2, 3] and first[0]["path"] == "s1/audio.wav"
    np.testing.assert_array_equal([row["stress"] for row in first], [1, 2, np.nan, 4])
    assert {row["depression"] for row in first} == {7.0} and first[0]["notes"] == "calm" and first[0]["subject"] == "p1"
    second = [row for row in rows.values() if row["session"] == "s2"]
    assert [(row["start_sec"], row["end_sec"], row["stress"]) for row in second] == [(0, 60, 3), (60, 120, 5)]
    one, _ = read(tmp_path, target_columns="depression")
    assert [(row["id"], row["depression"]) for row in one.values()] == [("s1", 7)] and math.isnan(
        one["s1"]["start_sec"]
    )


def test_any_list_of_labels_is_a_target(tmp_path, affectkit):
    for name in "abcd":
        folder(tmp_path / "c", name, calm_labels=[1, 2, 3, 4], focus_labels=[5, 5, 5, 5], subject_id=name, age=30)
    affectkit("prepare-manifest", "sessions", tmp_path / "c", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert manifest.targets == {name: Target(name, "number") for name in ("calm", "focus")}
    assert set(manifest.rows["age"]) == {"30"} and manifest.summary["group"] == "subject"


def test_classes_and_levels_of_a_table(read, tmp_path):
    sound(tmp_path / "a.wav", 4)
    root = table(tmp_path, "video,start_sec,end_sec,severity,mood\na.wav,0,2,mild,calm\na.wav,2,4,severe,\n")
    rows, _ = read(root, target_columns="severity=none<mild<severe,mood=calm|tense")
    assert [(row["severity"], row["mood"]) for row in rows.values()] == [("mild", "calm"), ("severe", "")]


def test_frames_are_the_nearest_to_the_middle_of_their_row(read, tmp_path):
    from PIL import Image

    frames = tmp_path / "s1" / "frames"
    frames.mkdir(parents=True)
    for number in (1, 2, 3, 4, 5, 6, 9, 10):  # two are lost: a number is a time
        Image.new("RGB", (8, 8)).save(frames / f"frame_{number:04d}.jpg")
    (tmp_path / "s1" / "labels.json").write_text(json.dumps({"stress_labels": [1, 2, 3, 4, 5], "frame_rate": 2}))
    rows, _ = read(tmp_path)
    # by hand: frame n at (n - 1) / 2 s; middles .5, 1.5, 2.5, 3.5 (7 and 8 are lost: 9 at 4.0 is nearest), 4.5
    assert [row["path"][-8:-4] for row in rows.values()] == ["0002", "0004", "0006", "0009", "0010"]
    ten, _ = read(tmp_path, frame_rate=10)
    assert [row["end_sec"] for row in ten.values()] == [1.0]


# --- Windows and sessions


def test_windows_carry_means_by_seconds(read, tmp_path):
    sound(tmp_path / "a.wav", 10)
    root = table(
        tmp_path,
        "video,start_sec,end_sec,stress,level\na.wav,0,3,1,low\na.wav,3,6,5,high\na.wav,6,7,,low\na.wav,8,10,2,high\n",
    )
    rows, reasons = read(root, window=4, stride=2, target_columns="stress,level=low<high")
    by_start = {row["start_sec"]: row for row in rows.values()}
    assert sorted(by_start) == [0, 2, 4, 6] and reasons == {}
    # 0-4: 3 s of 1, 1 s of 5; 2-6: 1 s and 3 s; 4-8: 2 s of 5, a second without; 6-10: 2 s of 2
    assert [by_start[start]["stress"] for start in (0, 2, 4, 6)] == [2.0, 4.0, 5.0, 2.0]
    assert [by_start[start]["level"] for start in (0, 2, 4, 6)] == ["low", "high", "high", "high"]
    assert [by_start[start]["labelled_share"] for start in (0, 2, 4, 6)] == [1, 1, 0.75, 0.75]
    assert by_start[2]["time_sec"] == 2 and by_start[2]["end_sec"] == 6


def test_ties_of_classes_are_unlabelled_and_windows_without_labels_dropped(read, tmp_path):
    sound(tmp_path / "a.wav", 8)
    root = table(tmp_path, "video,start_sec,end_sec,level\na.wav,0,2,low\na.wav,2,4,high\na.wav,4,5,high\n")
    rows, reasons = read(root, window=2, target_columns="level=low<high")
    assert [row["level"] for row in rows.values()] == ["low", "high", "high"]
    assert list(reasons.values()) == ["no label lies in it"]
    four, reasons = read(root, window=4, target_columns="level=low<high")
    assert [row["level"] for row in four.values()] == ["high"] and len(reasons) == 1  # 0-4 s is a tie, 4-8 s is not


@pytest.mark.parametrize("rate", [25, 30000 / 1001, 30])
def test_windows_are_the_same_at_any_frame_rate(read, tmp_path, rate):
    """A video of ten seconds: whole frames end a little behind, and the windows are decided by time."""
    times = np.arange(math.ceil(10 * rate)) / rate
    images = [np.full((8, 8, 3), n % 250, np.uint8) for n in range(len(times))]
    films.write_film(tmp_path / "a.mp4", images, times, 10.0)
    root = table(tmp_path, "video,stress\na.mp4,3\n")
    rows, _ = read(root, window=2.5, stride=1.25)
    assert [(row["start_sec"], row["end_sec"]) for row in rows.values()] == [
        (0, 2.5), (1.25, 3.75), (2.5, 5), (3.75, 6.25), (5, 7.5), (6.25, 8.75), (7.5, 10)
    ]  # fmt: skip


def test_a_session_of_one_second_is_one_window(read, tmp_path):
    folder(tmp_path, "s1", 1, stress_labels=[4], subject_id="p")
    rows, _ = read(tmp_path, window=30, stride=15)
    assert [(r["start_sec"], r["end_sec"], r["stress"]) for r in rows.values()] == [(0, 1, 4)]


def test_a_row_per_session(read, tmp_path):
    folder(tmp_path, "s1", stress_labels=[1, 2, None, 5], depression=7)
    rows, _ = read(tmp_path, per="session")
    assert (rows["s1"]["stress"], rows["s1"]["depression"]) == (8 / 3, 7) and math.isnan(rows["s1"]["end_sec"])
    with pytest.raises(AffectkitError, match="--window and --per session exclude each other"):
        list(sessions.read(tmp_path, per="session", window=3))
    with pytest.raises(AffectkitError, match="--stride needs --window"):
        list(sessions.read(tmp_path, stride=3))


def test_a_row_of_another_corpus_is_refused(tmp_path):
    for module, per, known in ((sessions, "turn", "label or session"), (daic_woz, "label", "turn or session")):
        with pytest.raises(AffectkitError, match=f"--per {per}; use {known}"):
            list(module.read(tmp_path, per=per))


def test_a_day_of_labels_is_pooled_in_a_moment():
    """86,400 labels in windows of 5 s: each looks only at those within."""
    values = np.random.default_rng(0).integers(1, 6, 86_400)
    labels = [_windows.Labelled(n, n + 1, float(value)) for n, value in enumerate(values)]
    track = _windows.Track(Target("stress", "number"), labels)
    means = [track.pooled((start, start + 5.0)) for start in range(0, 86_400, 5)]
    np.testing.assert_allclose(means, values.reshape(-1, 5).mean(axis=1), rtol=1e-12)


# --- What contradicts itself, and what is wrong, each in a line


BAD = {
    "a label outside its scale": (
        "a.wav,0,2,6,",
        "row 1: an impossible label: stress 6 is outside its scale 1:5",
    ),
    "text in numbers": ("a.wav,0,2,high,", "row 1: an impossible label: stress 'high' is not a number"),
    "a decimal comma": ('a.wav,0,2,"2,5",', "write decimals with a point: 2.5"),
    "NaN": ("a.wav,0,2,nan,", "row 1: an impossible label: stress 'nan'; leave the cell empty"),
    "an unknown class": ("a.wav,0,2,2,huge", "row 1: an impossible label: 'huge' is not in low, high"),
    "a label without a video": (
        "b.wav,0,2,2,",
        "row 1: labels without a recording: there is no 'b.wav'; known are a, c, ",
    ),
    "a path out of the folder": ("../../etc/passwd,0,2,2,", "row 1: labels without a recording: there is no"),
    "a clock that runs backwards": (
        "a.wav,3,1,2,",
        "row 1: impossible times: it starts at 3 s and ends at 1 s",
    ),
    "no time at all": ("a.wav,2,2,2,", "row 1: impossible times: it starts at 2 s and ends at 2 s"),
    "a word for a time": ("a.wav,soon,2,2,", "row 1: impossible times: start_sec 'soon' is not a number"),
    "behind the end": ("a.wav,5,7,2,", "row 1: labels outside of their recording: a has no segment 5 to 7 s"),
    "milliseconds": ("a.wav,0,4000,2,", "times are in seconds: are these milliseconds?"),
    "a start without an end": ("a.wav,1,,2,", "it starts at 1 s and has no end; give its end, or --label-seconds"),
}


@pytest.mark.parametrize(("line", "told"), BAD.values(), ids=BAD)
def test_a_bad_row_stops_in_one_line_or_is_left_out(affectkit, tmp_path, line, told):
    sound(tmp_path / "c" / "a.wav", 4)
    rest = "".join(
        f"{name}.wav,0,4,{n},low,{name}\n"
        for n, name in enumerate("cdefg", start=1)
        if sound(tmp_path / "c" / f"{name}.wav", 4)
    )
    table(tmp_path / "c", f"video,start_sec,end_sec,stress,level,subject\n{line},x\n{rest}")
    command = ["prepare-manifest", "sessions", tmp_path / "c", "--target-columns", "stress=1:5,level=low<high"]
    error = affectkit(*command, "-o", tmp_path / "m", code=1).stderr.strip().splitlines()[-1]
    assert told in error and error.startswith(f"error: {tmp_path / 'c' / 'labels.csv'} row 1: ")
    assert error.lower().endswith("or leave such rows out with --on-error skip") and not (tmp_path / "m").exists()
    affectkit(*command, "-o", tmp_path / "m", "--on-error", "skip")
    assert len(read_manifest(tmp_path / "m").rows) == 5
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert any(item["path"].startswith(("labels.csv", "a.wav")) for item in summary["dropped"])


LISTS = {
    "outside": (
        {"stress_labels": [1, 9]},
        "s1/labels.json: an impossible label: stress_labels position 2: stress 9 is outside",
    ),
    "text": ({"stress_labels": [1, "two"]}, "stress_labels position 2: 'two' is not a number"),
    "true": ({"stress_labels": [True]}, "stress_labels position 1: 'True' is not a number"),
    "scalar": (
        {"stress_labels": [1], "depression": 99},
        "an impossible label: depression: depression 99 is outside",
    ),
}


@pytest.mark.parametrize(("data", "told"), LISTS.values(), ids=LISTS)
def test_a_bad_label_of_a_list(tmp_path, affectkit, data, told):
    folder(
        tmp_path / "c", "s1", len(data["stress_labels"]), depression=data.pop("depression", 3), subject_id="p1", **data
    )
    line = ["prepare-manifest", "sessions", tmp_path / "c", "--target-columns", "stress=1:5,depression=0:27"]
    assert told in affectkit(*line, "-o", tmp_path / "m", code=1).stderr


FILES = {
    "no JSON": ("{", "is not JSON"),
    "NaN": ('{"stress_labels": [1, NaN]}', "NaN is not a finite number; write"),
    "a list": ("[1, 2]", "is no object of labels"),
    "twice": ('{"stress_labels": [1], "stress": 2}', "says twice what stress is"),
    "seconds": ('{"stress_labels": [1], "seconds_per_label": 0}', "seconds_per_label 0 is no number above 0"),
    "a name that is a path": ('{"../x_labels": [1]}', "cannot be a column's name"),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
def test_a_file_that_holds_no_labels(tmp_path, text, told):
    sound(tmp_path / "s1" / "audio.wav", 2)
    (tmp_path / "s1" / "labels.json").write_text(text)
    with pytest.raises(AffectkitError, match=told) as caught:
        list(sessions.read(tmp_path))
    assert caught.value.file == str(tmp_path / "s1" / "labels.json")


def test_more_labels_than_the_recording_is_long_are_counted(tmp_path, read):
    folder(tmp_path, "s1", 3.6, stress_labels=[1, 2, 3, 4, 5, 5])
    rows, _ = read(tmp_path)
    assert [row["end_sec"] for row in rows.values()] == [1, 2, 3, 3.6]  # more than half of the fourth is there
    assert details(tmp_path) == [
        f"a label beyond the end of its recording: s1 lasts 3.6 s, labels.json position {n} begins at {n - 1} s"
        for n in (5, 6)
    ]


def test_gaps_are_told_with_how_much_is_unlabelled(tmp_path):
    folder(tmp_path, "s1", 20, stress_labels=[1, 2, None, None, 3])
    folder(tmp_path, "s2", 5, stress_labels=[1, 2, 3, 4, 4])
    subjects, gaps = notes(tmp_path)
    assert subjects.in_reports and not gaps.in_reports
    assert subjects.text.startswith("No session says whose it is: one person may be on both sides of a split; give a")
    assert gaps.text == "1 of 2 sessions has stretches without a label: 17.0 s in all, most in s1 (17.0 of 20.0 s)"


def test_what_is_odd_about_labels_is_kept_in_the_manifest(tmp_path, affectkit):
    folder(tmp_path / "in", "s1", 2, stress_labels=[1, 2], focus_labels=[1, 2, 3], subject_id="p1")
    folder(tmp_path / "in", "s2", 2, stress_labels=[1, 2], focus_labels=[1])
    said = affectkit(
        "prepare-manifest", "sessions", tmp_path / "in", "--folds", "2", "-o", tmp_path / "m", code=1
    ).stderr
    assert (
        f"error: {tmp_path / 'in'}: 2 of 4 rows without a subject, as s2/audio.wav: no fold can hold them out" in said
    )
    affectkit("prepare-manifest", "sessions", tmp_path / "in", "--folds", 2, "--group", "session", "-o", tmp_path / "m")
    kept = read_manifest(tmp_path / "m").summary["corpora"]["sessions"]
    assert [text.partition(":")[0] for text in kept["notes"]] == ["1 of 2 sessions (s2) does not say whose it is"]
    assert kept["warnings"] == [
        "2 of 2 sessions (s1, ...) have lists of different lengths in labels.json (2 of stress, 3 of focus): the end "
        "of the longer ones stands alone"
    ]
    sound(tmp_path / "t" / "a.wav", 3)
    table(tmp_path / "t", "video,start_sec,end_sec,subject,stress\na.wav,2,3,p1,1\na.wav,0,1,p1,2\n")
    assert [note.text for note in notes(tmp_path / "t")] == [
        "1 of 1 session (a) has labels that are not in the order of time; each counts for the time that it names"
    ]


def test_labels_that_contradict_each_other(tmp_path, read):
    sound(tmp_path / "a.wav", 10)
    lines = ["video,start_sec,end_sec,stress,focus", "a.wav,0,4,1,", "a.wav,1,4,3,", "a.wav,4,8,2,", "a.wav,7.9,10,5,"]
    rows, reasons = read(table(tmp_path, "\n".join([*lines, "a.wav,0,4,,1\n"])))
    assert reasons == {"labels.csv": "labels that contradict each other"}
    assert details(tmp_path) == ["labels that contradict each other: a has stress 1 (row 1) and 3 (row 2) at one time"]
    assert [row["start_sec"] for row in rows.values()] == [4, 7.9, 0]  # ends that are rounded are no contradiction
    assert [row["focus"] for row in rows.values()][2] == 1


def test_one_score_for_all_of_it_and_another_for_a_part(tmp_path, read):
    sound(tmp_path / "a.wav", 4)
    read(table(tmp_path, "video,start_sec,end_sec,stress\na.wav,,,1\na.wav,0,4,1\n"))
    assert details(tmp_path) == []
    table(tmp_path, "video,start_sec,end_sec,stress\na.wav,,,1\na.wav,0,2,3\na.wav,2,4,1\n")
    assert details(tmp_path)[0].endswith("a has stress 1 (row 1) and 3 (row 2) at one time")


def test_a_session_in_both_layouts(tmp_path, affectkit):
    folder(tmp_path / "c", "s1", stress_labels=[1, 2, 3, 4], subject_id="p")
    folder(tmp_path / "c", "s2", stress_labels=[1, 2, 3, 4], subject_id="q")
    table(tmp_path / "c", "video,start_sec,end_sec,stress\ns1/audio.wav,0,4,3\n")
    error = affectkit("prepare-manifest", "sessions", tmp_path / "c", "-o", tmp_path / "m", code=1).stderr
    assert "labels of one session in two places: s1 has others in another file (and 1 more such); remove one" in error
    assert len(list(sessions.read(tmp_path / "c"))) == 6


def test_recordings_without_labels_are_counted(tmp_path, read):
    folder(tmp_path, "s1", stress_labels=[1, 2, 3, 4])
    sound(tmp_path / "s2" / "audio.wav", 3)
    assert read(tmp_path)[1] == {"s2/audio.wav": "a recording without labels"}


def test_labels_without_a_recording(tmp_path, affectkit):
    folder(tmp_path / "c", "s1", stress_labels=[1])
    (tmp_path / "c" / "s1" / "audio.wav").unlink()
    error = affectkit("prepare-manifest", "sessions", tmp_path / "c", "-o", tmp_path / "m", code=1).stderr
    assert "s1/labels.json: labels without a recording: s1 holds no video, sound, frames or landmarks" in error


def test_a_recording_of_two_people(tmp_path):
    sound(tmp_path / "a.wav", 4)
    table(tmp_path, "video,start_sec,end_sec,stress,subject\na.wav,0,2,1,p1\na.wav,2,4,1,p2\n")
    with pytest.raises(AffectkitError, match="no usable sample"):
        assert details(tmp_path)


def test_a_target_that_nobody_labelled(tmp_path):
    folder(tmp_path, "s1", stress_labels=[1, 2, 3, 4])
    with pytest.raises(AffectkitError, match="no session has a label of 'stres'; did you mean stress"):
        list(sessions.read(tmp_path, target_columns="stres=1:5"))
    table(tmp_path, "video,stress\ns1/audio.wav,1\n")
    with pytest.raises(AffectkitError, match=r"labels.csv: has no column 'anger'"):
        list(sessions.read(tmp_path, target_columns="anger"))


# --- Videos and series


def broken_mp4(path, **changes):
    """A film of a second whose track has no pictures, or no units of time."""
    films.write_film(path, [np.zeros((8, 8, 3), np.uint8)] * 4, [0, 0.25, 0.5, 0.75], 1.0)
    data = bytearray(path.read_bytes())
    for name, (offset, value) in changes.items():
        place = data.index(name.encode()) + 4 + offset
        data[place : place + 4] = struct.pack(">I", value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "changes",
    [{"stsz": (8, 0)}, {"mdhd": (12, 0)}, {"mdhd": (16, 0)}, {"mvhd": (12, 0)}],
    ids=["empty", "scale", "length", "movie"],
)
def test_a_video_at_0_fps_is_one_line(tmp_path, affectkit, changes):
    (tmp_path / "c").mkdir()
    broken_mp4(tmp_path / "c" / "a.mp4", **changes)
    table(tmp_path / "c", "video,stress,subject\na.mp4,3,p\n")
    error = affectkit("prepare-manifest", "sessions", tmp_path / "c", "-o", tmp_path / "m", code=1).stderr
    assert "a.mp4: a recording that cannot be read: has pictures at 0 per second" in error and error.count("\n") == 1


def test_landmarks_alone(read, tmp_path):
    """Their clock says how long the session is: 0 to 4 s at 25 per second, from any start."""
    rng = np.random.default_rng(0)
    times = postures.frame_times(4.0, 25.0, rng)
    body = postures.sit(postures.draw_sitter(rng), times, np.zeros(len(times)), rng)
    (tmp_path / "s1").mkdir()
    lines = [",".join(postures.header()), *postures.as_lines(times + 100, body)]
    (tmp_path / "s1" / "landmarks.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "s1" / "labels.json").write_text('{"stress_labels": [1, 2, 3, 4, 5]}')
    rows, reasons = read(tmp_path)
    assert [row["end_sec"] for row in rows.values()] == [1, 2, 3, 4] and len(reasons) == 1
    assert rows["s1@000000.000"]["path"] == "" and rows["s1@000000.000"]["path_landmarks"] == "s1/landmarks.csv"
    (tmp_path / "s1" / "landmarks.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    with pytest.raises(AffectkitError, match=r"its clock runs backwards: it begins at 103\.96 s and ends at 100 s"):
        list(sessions.read(tmp_path))


def test_a_session_of_which_nothing_says_the_length_cannot_be_cut(tmp_path, affectkit):
    (tmp_path / "c" / "s1").mkdir(parents=True)
    np.save(tmp_path / "c" / "s1" / "landmarks.npy", np.zeros((50, 33, 3)))
    (tmp_path / "c" / "s1" / "labels.json").write_text('{"stress": 3}')
    line = ["prepare-manifest", "sessions", tmp_path / "c", "-o", tmp_path / "m"]
    assert "a recording of unknown length: s1 says no length" in affectkit(*line, "--window", 2, code=1).stderr


def test_a_table_that_calls_its_recordings_otherwise(tmp_path, read):
    sound(tmp_path / "a.wav", 2)
    table(tmp_path, "Datei,start_sec,end_sec,stress\na.wav,0,1,3\n")
    with pytest.raises(AffectkitError, match=r"labels.csv: has no column 'video' among Datei, .* --path-column"):
        read(tmp_path)
    assert [row["stress"] for row in read(tmp_path, path_column="Datei")[0].values()] == [3]


@pytest.mark.parametrize(
    "cell", ["J\u00f6rg.wav", "Jo\u0308rg", "C:\\Daten\\J\u00d6RG.WAV", "/Volumes/x/j\u00f6rg.wav"]
)
@pytest.mark.parametrize("name", ["J\u00f6rg", "Jo\u0308rg"])
def test_names_as_other_machines_write_them(tmp_path, read, cell, name):
    """A Mac keeps an umlaut in two characters, a table of Windows has the drive before it."""
    sound(tmp_path / f"{name}.wav", 2)
    table(tmp_path, f"video,start_sec,end_sec,stress\n{cell},0,1,3\n")
    assert [row["stress"] for row in read(tmp_path)[0].values()] == [3]


def test_a_recording_that_is_not_there_is_answered_with_a_few_that_are(tmp_path):
    for n in range(40):
        sound(tmp_path / f"{n:02d}.wav", 1)
    table(tmp_path, "video,stress\nMeier.wav,3\n00.wav,3\n")
    [told] = [item for item in sessions.read(tmp_path) if isinstance(item, Dropped) and item.remedy]
    assert told.path == "labels.csv row 1" and told.sentence == "labels without a recording: there is no 'Meier.wav'"
    assert told.remedy.startswith("known are 00, 01, ") and told.remedy.endswith(", 19, ... (40 in all)")


def test_nothing_of_it(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(AffectkitError, match="is not recorded sessions: expected a table of video,start_sec"):
        list(sessions.read(tmp_path))
    for name in ("b", "c"):
        (tmp_path / f"{name}.csv").write_text("video,stress\na.mp4,2\n")
    with pytest.raises(AffectkitError, match=r"holds 2 tables that name recordings; choose with --table: b.csv, c.csv"):
        list(sessions.read(tmp_path))


# --- The twin


def test_the_twin_tells_stress_within_and_between_subjects(tmp_path):
    """Of its own rows: hands move the more, the higher the stress, within a subject too; a third of the scores lack."""
    sessions.synthesize(tmp_path, size=240, speakers=4, seed=0)
    rows = pd.DataFrame([row for row in sessions.read(tmp_path) if not isinstance(row, Dropped)])
    assert rows["subject"].nunique() == 4 and rows["session"].nunique() > 4 and rows["stress"].between(1, 5).sum() > 200
    moved = []
    for path, part in rows.groupby("path_landmarks"):
        table = pd.read_csv(tmp_path / path)
        hand = table[["x_16", "y_16"]].diff().abs().sum(axis=1)
        moved += [
            hand[table["timestamp"].between(start + 0.02, end)].mean() * 30
            for start, end in part[["start_sec", "end_sec"]].to_numpy()
        ]
        assert table["timestamp"].is_monotonic_increasing
    rows = rows.assign(moved=moved)
    within = rows[["stress", "moved"]] - rows.groupby("subject")[["stress", "moved"]].transform("mean")
    assert within.corr(method="spearman").iloc[0, 1] > 0.2
    lacking = rows.groupby("session")["depression"].first().isna().mean()
    assert 0.15 < lacking < 0.55


def test_sessions_of_the_twin_are_as_unlike_in_length_as_people(tmp_path):
    for size, speakers in ((600, 15), (150, 15), (20, 20)):
        lengths = np.array([len(act.stress) for act, *_ in _acts(size, speakers, 0)])
        assert lengths.sum() == size and lengths.min() >= 1
        assert size < 150 or (lengths == lengths.max()).mean() < 0.3
        assert size < 600 or (lengths.min() < 30 < lengths.max() < 80)


def test_the_twin_in_folders_has_videos_frames_and_sounds(tmp_path, affectkit):
    affectkit("synthesize", "sessions", tmp_path / "c", "--size", 60, "--speakers", 5, "--session-layout", "folders")
    rows = [row for row in sessions.read(tmp_path / "c") if not isinstance(row, Dropped)]
    assert {row["path"].rpartition(".")[2] for row in rows} == {"wav", "mp4", "jpg"}
    line = ["prepare-manifest", "sessions", tmp_path / "c", "--target-columns", "stress=1:5,depression=0:27"]
    affectkit(*line, "--window", 4, "--stride", 2, "--folds", 3, "--test-fraction", 0.2, "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert manifest.targets["stress"].scale == (1, 5) and set(manifest.rows["split"]) == {"train", "test"}
    test = manifest.rows["split"] == "test"
    assert not set(manifest.rows["subject"][test]) & set(manifest.rows["subject"][~test])


def test_a_video_beside_its_sound(tmp_path):
    films.write_film(tmp_path / "s" / "video.mp4", [np.zeros((8, 8, 3), np.uint8)] * 2, [0, 1], 2.0)
    folder(tmp_path, "s", 2, stress_labels=[1, 2])
    row = next(iter(sessions.read(tmp_path)))
    assert (row["path"], row["path_audio"]) == ("s/video.mp4", "s/audio.wav")
    assert _recordings.length_of(_recordings.recording_of_folder(tmp_path / "s", tmp_path, 1.0)) == 2.0


def test_six_hours_are_cut_in_a_second_of_work(tmp_path):
    """21,600 labels; a table of landmarks of which the last line alone says how long it is."""
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "landmarks.csv").write_text("timestamp,x_0\n0,1\n0.04,1\n21599.96,1\n")
    labels = np.random.default_rng(0).integers(1, 6, 21_600).tolist()
    (tmp_path / "s1" / "labels.json").write_text(json.dumps({"stress_labels": labels, "subject_id": "p"}))
    rows = list(sessions.read(tmp_path, window=60.0, stride=60.0))
    assert len(rows) == 360 and rows[-1]["end_sec"] == 21_600 and {row["labelled_share"] for row in rows} == {1.0}
    np.testing.assert_allclose([row["stress"] for row in rows], np.reshape(labels, (-1, 60)).mean(axis=1), rtol=1e-12)
