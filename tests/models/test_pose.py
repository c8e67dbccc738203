"""Following a person with networks that see coloured dots, and the errors of files that are not MediaPipe's."""

import json
import subprocess
import sys
import threading
import weakref
import zipfile

import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.media import Frame
from affectkit.models import pose, pose_files, pose_geometry, tflite
from affectkit.models.pose import Landmarker, open_landmarker, video_landmarks

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[pose])")
HIPS, TOP = (255, 0, 0), (0, 255, 0)


def picture(hips, top, height=240, width=320):
    """A black frame on which a person is two discs: red hips, a green top."""
    frame = np.zeros((height, width, 3), np.uint8)
    for centre, colour in ((hips, HIPS), (top, TOP)):
        cv2.circle(frame, tuple(round(float(value)) for value in centre), 6, colour, -1)
    return frame


EMPTY = np.zeros((240, 320, 3), np.uint8)


def seen(image):
    """The centres of the red and the green disc on an image of values 0 to 1; None where one is missing."""
    centres = []
    for colour, other in ((0, 1), (1, 0)):
        rows, columns = np.nonzero((image[:, :, colour] > 0.5) & (image[:, :, other] < 0.5))
        if not len(rows):
            return None
        centres.append((columns.mean(), rows.mean()))
    return np.array(centres)


class Dots:
    """Both networks, for pictures; `asked` counts how often the detector was."""

    def __init__(self):
        self.asked, self.centres = 0, 224 * pose_geometry.anchors()

    def detector(self, image):
        assert image.shape == (224, 224, 3) and image.dtype == np.float32 and image.min() >= -1
        self.asked += 1
        boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -20, np.float32)
        person = seen((image + 1) / 2)
        if person is not None:
            boxes[0, 700, 2:4] = 20
            boxes[0, 700, 4:8] = (person - self.centres[700]).ravel()
            scores[0, 700] = 3
        return [boxes, scores]

    def network(self, image):
        assert image.shape == (256, 256, 3) and image.dtype == np.float32 and 0 <= image.min() <= image.max() <= 1
        points, person = np.zeros((39, 5), np.float32), seen(image)
        if person is not None:
            points[:, :2], points[33:35, :2] = person.mean(axis=0), person
            points[0, :2], points[23:25, :2] = person[1], person[0]
            points[:, 2] = 10
            points[:, 3] = np.log(9)
        heat = np.full((1, 64, 64, 39), -100, np.float32)
        present = np.float32(person is not None)
        return [points.reshape(1, 195), np.full((1, 1), present), np.zeros((1, 256, 256, 1)), heat, np.zeros((1, 117))]

    def landmarker(self):
        return Landmarker(self.detector, self.network)


@pytest.mark.parametrize("turn", [0, 50, 90, 180, 300])
@pytest.mark.parametrize("shape", [(240, 320), (480, 200), (90, 100)])
def test_landmarks_lie_where_they_are_on_the_frame(turn, shape):
    """Whichever way up the person is, and whatever shape the frame has."""
    height, width = shape
    hips = np.array([width, height]) / 2 + [5, -3]
    top = hips + min(shape) / 3 * np.array([np.sin(np.radians(turn)), -np.cos(np.radians(turn))])
    values = Dots().landmarker().landmarks(picture(hips, top, *shape))
    assert values.shape == (33, 4) and values.dtype == np.float32
    np.testing.assert_allclose(values[[0, 23], :2], [top, hips], atol=1.5)
    np.testing.assert_allclose(values[:, 2], 10 * 2.5 * min(shape) / 3 / 256, rtol=0.05)  # as wide as the region is
    np.testing.assert_allclose(values[:, 3], 0.9, atol=1e-6)


def test_a_person_is_followed_without_the_detector():
    dots = Dots()
    landmarker = dots.landmarker()
    for step in range(40):
        hips = np.array([100 + 2 * step, 150 + 20 * np.sin(step / 5)])
        values = landmarker.landmarks(picture(hips, hips - [10, 60]))
        np.testing.assert_allclose(values[[0, 23], :2], [hips - [10, 60], hips], atol=1.5)
    assert dots.asked == 1
    landmarker.reset()
    landmarker.landmarks(picture(hips, hips - [10, 60]))
    assert dots.asked == 2


def test_the_detector_is_asked_on_the_frame_on_which_the_person_is_lost():
    """For half a second only about who is there; then anybody will do."""
    dots = Dots()
    landmarker = dots.landmarker()
    landmarker.landmarks(picture((60, 150), (60, 110)), 0.0)
    there, elsewhere = picture((60, 150), (60, 110)), picture((280, 150), (280, 110))
    assert np.isnan(landmarker.landmarks(EMPTY, 0.1)).all() and dots.asked == 2
    assert np.isfinite(landmarker.landmarks(there, 0.2)).all() and dots.asked == 2
    assert np.isnan(landmarker.landmarks(elsewhere, 0.4)).all() and dots.asked == 3
    assert np.isfinite(landmarker.landmarks(elsewhere, 0.8)).all() and dots.asked == 4
    assert np.isfinite(landmarker.landmarks(elsewhere, 1.8)).all() and dots.asked == 5  # long after: seen anew


def test_what_is_no_frame():
    landmarker = Dots().landmarker()
    for frame in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"a frame is \[H, W, 3\] uint8"):
            landmarker.landmarks(frame)


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e30])
def test_a_network_that_answers_nonsense_places_nobody(garbage):
    dots = Dots()
    answers = [np.full(shape, garbage, np.float32) for shape in ((1, 2254, 12), (1, 2254, 1))]
    values = Landmarker(lambda _: answers, dots.network).landmarks(picture((100, 150), (100, 80)))
    assert np.isnan(values).all()


# --- Videos


def write(path, frames, fps):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (320, 240))
    for frame in frames:
        writer.write(frame[:, :, ::-1])
    writer.release()
    return path


def walk(fps, seconds=2):
    """Someone who walks to the right by 40 px per s, and is not there in the third quarter."""
    for number in range(round(fps * seconds)):
        x = 80 + 40 * number / fps
        yield EMPTY if seconds / 2 <= number / fps < 3 * seconds / 4 else picture((x, 150), (x, 80))


@pytest.mark.parametrize("fps", [10, 25, 30])
def test_a_video_in_time(tmp_path, fps):
    path = write(tmp_path / "walk.avi", walk(fps), fps)
    times, values = map(np.array, zip(*video_landmarks(path, Dots().landmarker()), strict=True))
    np.testing.assert_allclose(times, np.arange(2 * fps) / fps, atol=1e-3)
    away = (times >= 1 - 1e-3) & (times < 1.5 - 1e-3)
    np.testing.assert_array_equal(np.isnan(values[:, 0, 0]), away)
    np.testing.assert_allclose(values[~away, 23, 0], 80 + 40 * times[~away], atol=2)


def test_a_stretch_of_a_video_at_a_rate(tmp_path):
    path = write(tmp_path / "walk.avi", walk(20), 20)
    rows = list(video_landmarks(path, Dots().landmarker(), start_sec=0.5, end_sec=1.0, fps=10))
    assert [round(time, 2) for time, _ in rows] == [0.5, 0.6, 0.7, 0.8, 0.9]
    np.testing.assert_allclose([values[23, 0] for _, values in rows], [100, 104, 108, 112, 116], atol=2)


def test_videos_do_not_meet_in_a_landmarker(tmp_path):
    """Two that are read in turns give what each gives alone."""
    paths = [write(tmp_path / f"{fps}.avi", walk(fps), fps) for fps in (10, 20)]
    alone = [list(video_landmarks(path, Dots().landmarker())) for path in paths]
    landmarker = Dots().landmarker()
    turns = [list(pair) for pair in zip(*(video_landmarks(path, landmarker) for path in paths), strict=False)]
    for number, (first, second) in enumerate(turns):
        np.testing.assert_array_equal(first[1], alone[0][number][1])
        np.testing.assert_array_equal(second[1], alone[1][number][1])


def test_one_frame_is_in_memory_at_a_time(tmp_path, monkeypatch):
    """An hour would fit no memory: a frame is read when it is asked for, and the one before is gone by then."""
    alive, read = [], []

    def read_frames(path, **_):
        for number in range(20):
            alive.append(sum(frame() is not None for frame in read))
            image = picture((100, 150), (100, 80))
            read.append(weakref.ref(image))
            frame = Frame(number / 25, image)
            del image
            yield frame
            del frame

    monkeypatch.setattr("affectkit.media.read_frames", read_frames)
    rows = video_landmarks(tmp_path / "walk.avi", Dots().landmarker())
    assert not read
    next(rows)
    assert len(read) == 1
    assert len(list(rows)) == 19 and max(alive) <= 1


# --- Files


def refusal(model):
    with pytest.raises(AffectkitError) as caught:
        open_landmarker(model)
    assert "\n" not in str(caught.value) and caught.value.remedy
    return caught.value


def tflite_like(size=64):
    return b"\x1c\0\0\0TFL3" + bytes(size)


@pytest.fixture
def folder(tmp_path):
    """Both networks by their names, not by what is in them."""
    place = tmp_path / "models"
    place.mkdir()
    for name in ("pose_detection.tflite", "pose_landmark_full.tflite"):
        (place / name).write_bytes(tflite_like())
    return place


def bundle(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


PAIR = [("pose_detector.tflite", tflite_like(1)), ("pose_landmarks_detector.tflite", tflite_like(2))]


def test_where_the_networks_are_found(tmp_path, folder):
    expected = ["pose_detection.tflite", "pose_landmark_full.tflite"]
    package = tmp_path / "modules"
    for kind, name in zip(("pose_detection", "pose_landmark"), expected, strict=True):
        (package / kind).mkdir(parents=True)
        (package / kind / name).write_bytes(tflite_like())
    for model in (folder, folder / expected[1], package, package / "pose_landmark" / expected[1]):
        assert [file.name for file in pose_files.find(model)] == expected
    (folder / "mine.tflite").write_bytes(tflite_like())
    assert pose_files.find(folder / "mine.tflite")[1].name == "mine.tflite"


def test_a_bundle_and_a_wheel_are_read_without_unpacking(tmp_path):
    detector, network = pose_files.find(bundle(tmp_path / "pose_landmarker_lite.task", PAIR))
    assert (detector.data, network.data) == (PAIR[0][1], PAIR[1][1])
    wheel = [(f"mediapipe/modules/{name[:14].rstrip('_')}/{name}", data) for name, data in PAIR]
    detector, network = pose_files.find(bundle(tmp_path / "mediapipe.whl", wheel, zipfile.ZIP_DEFLATED))
    assert (detector.name, network.data) == ("pose_detector.tflite", PAIR[1][1])


def test_names_in_a_bundle_lead_nowhere(tmp_path):
    members = [("../../pose_detector.tflite", b"a"), ("/etc/pose_landmarks_detector.tflite", b"b"), ("../evil", b"c")]
    place = tmp_path / "deep" / "below"
    place.mkdir(parents=True)
    files = pose_files.find(bundle(place / "a.task", members))
    assert [file.data for file in files] == [b"a", b"b"]
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path.is_file()] == ["a.task"]


def test_a_bundle_of_more_than_any_model(tmp_path, monkeypatch):
    monkeypatch.setattr(pose_files, "_MOST_BYTES", 1 << 20)
    bomb = bundle(tmp_path / "a.task", [(PAIR[0][0], bytes(5 << 20)), PAIR[1]], zipfile.ZIP_DEFLATED)
    assert "no published model has more than 1" in refusal(bomb).message
    data = bytearray(bomb.read_bytes())
    for place in (data.find(b"PK\x03\x04") + 22, data.find(b"PK\x01\x02") + 24):  # its size, made small
        data[place : place + 4] = (1000).to_bytes(4, "little")
    bomb.write_bytes(data)
    assert refusal(bomb).code == "input"
    (tmp_path / "large.tflite").write_bytes(tflite_like(2 << 20))
    assert "no published model has more" in refusal(tmp_path / "large.tflite").message


def encrypted(data):
    at = data.find(b"PK\x01\x02")
    return data[: at + 8] + b"\x01\0" + data[at + 10 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "no archive that can be read"),
        (lambda data: data.replace(b"TFL3", b"TFL4", 1), "no archive that can be read: Bad CRC-32"),
        (encrypted, "is encrypted, password required"),
        (lambda data: data.replace(b"pose_detector", b"hand_detector"), "holds no pose_detection.tflite"),
        (lambda data: data.replace(b"pose_landmarks_d", b"hand_landmarks_d"), "holds no pose_landmark_lite.tflite"),
        (lambda data: b"", "is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
    ],
)
def test_bundles_that_cannot_be_used(tmp_path, change, message):
    path = bundle(tmp_path / "a.task", PAIR)
    path.write_bytes(change(path.read_bytes()))
    assert message in refusal(path).message and refusal(path).file == str(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_networks_one_is_to_be_named(tmp_path, folder):
    (folder / "pose_landmark_lite.tflite").write_bytes(tflite_like())
    error = refusal(folder)
    assert "holds several: pose_landmark_full.tflite, pose_landmark_lite.tflite" in error.message
    assert "name the one" in error.remedy
    assert "holds several" in refusal(bundle(tmp_path / "a.task", [*PAIR, PAIR[0]])).message


def test_files_that_are_not_there(tmp_path, folder):
    assert refusal(tmp_path / "none").code == "missing"
    (folder / "pose_detection.tflite").unlink()
    for model in (folder, folder / "pose_landmark_full.tflite"):
        assert refusal(model).code == "missing" and "pip download" in refusal(model).remedy
    (tmp_path / "empty").mkdir()
    assert "there is no pose_detection.tflite" in refusal(tmp_path / "empty").message


def test_the_detector_alone(folder):
    assert "is the detector of people alone" in refusal(folder / "pose_detection.tflite").message


def test_what_is_no_network(folder):
    (folder / "pose_detection.tflite").write_text("<!doctype html>" * 20)
    assert refusal(folder).message == "is not a TensorFlow Lite file"


def test_without_the_extra(folder, monkeypatch):
    for module in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    error = refusal(folder)
    assert error.code == "environment" and error.remedy == 'pip install "affectkit[pose]"'
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert refusal(folder).remedy == 'pip install "affectkit[pose]"'


# --- LiteRT


def small_network(shape):
    """The file of a network that gives max(x, 0)."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="affectkit[pose] is not installed")
    tensors = []
    for name in ("in", "out"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), schema.TensorType.FLOAT32, 0
        tensors.append(tensor)
    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version, operator.opcodeIndex, operator.inputs, operator.outputs = 1, 0, [0], [1]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


SHAPE = (1, 4, 4, 3)


def test_a_network_runs_and_is_shared_by_threads(capfd):
    network = tflite.Network(small_network(SHAPE), "a.tflite", [SHAPE], [SHAPE])
    assert "INFO" not in capfd.readouterr().err
    wrong = []

    def ask(number):
        for _ in range(200):
            image = np.full(SHAPE[1:], number, np.float32)
            if not np.array_equal(network(image)[0], np.maximum(image, 0)[None]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (-1, 1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_network_of_other_shapes_is_refused(folder):
    (folder / "pose_detection.tflite").write_bytes(small_network(SHAPE))
    assert refusal(folder).message == "is another network: its inputs are 1x4x4x3; 1x224x224x3 are needed"
    with pytest.raises(AffectkitError, match="its outputs are 1x4x4x3; 1x2, 1x3 are needed"):
        tflite.Network(small_network(SHAPE), "a.tflite", [SHAPE], [(1, 2), (1, 3)])


def test_a_broken_network_is_refused(folder):
    small_network(SHAPE)  # skips without LiteRT
    assert "cannot be run as a TensorFlow Lite network: " in refusal(folder).message
    (folder / "pose_detection.tflite").write_bytes(small_network(SHAPE)[:200])
    assert "cannot be run as a TensorFlow Lite network: " in refusal(folder).message


def test_a_network_that_ends_its_process_ends_no_other(tmp_path, monkeypatch):
    data = small_network(SHAPE)
    trial = tmp_path / "trial.py"
    trial.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(tflite, "_TRIAL", trial)
    with pytest.raises(AffectkitError, match=r"a\.tflite: cannot be run .*: running it ends the process; do this"):
        tflite.Network(data, "a.tflite", [SHAPE], [SHAPE], remedy="do this")


def test_the_trial_is_a_program_of_its_own():
    data = small_network(SHAPE)
    ran = subprocess.run([sys.executable, "-P", tflite._TRIAL], input=data, capture_output=True)
    assert json.loads(ran.stdout) == {"inputs": [list(SHAPE)], "outputs": [list(SHAPE)]}
    ran = subprocess.run([sys.executable, "-P", tflite._TRIAL], input=data[:100], capture_output=True)
    assert "error" in json.loads(ran.stdout)


def test_importing_it_imports_nothing_heavy():
    code = "import sys, affectkit.models.pose; print({'torch', 'cv2', 'ai_edge_litert'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_names_are_the_33_landmarks():
    assert len(pose.NAMES) == len(set(pose.NAMES)) == 33
    assert [pose.NAMES[number] for number in (0, 11, 12, 23, 32)] == [
        "nose", "left_shoulder", "right_shoulder", "left_hip", "right_foot_index",
    ]  # fmt: skip
