"""Frames of videos made here: each shows its own number, so that what is read says which frame it was."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.media import read_frames

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[face])")
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
ANY = pytest.mark.parametrize("ending", list(CODECS))


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """[48, 64, 3] uint8 RGB: the number in 8 bars of black or white, least significant first; a red floor."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        image[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 255 * (number >> bit & 1)
    image[height // 2 :] = (230, 20, 20)
    return image


def number_of(image: np.ndarray) -> int:
    middle = image[image.shape[0] // 4, image.shape[1] // 16 :: image.shape[1] // 8]
    return sum(1 << bit for bit, value in enumerate(middle.mean(axis=1)) if value > 128)


def write(path: Path, frames: int, fps: float = 10.0, **size) -> Path:
    shape = numbered(0, **size).shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), fps, (shape[1], shape[0]))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(numbered(number % 256, **size)[:, :, ::-1])
    writer.release()
    return path


def read(path: Path, **options) -> list[tuple[float, int]]:
    return [(frame.time_sec, number_of(frame.image)) for frame in read_frames(path, **options)]


def error_of(path, **options) -> AffectkitError:
    with pytest.raises(AffectkitError) as caught:
        list(read_frames(path, **options))
    assert "\n" not in str(caught.value) and caught.value.file == str(path)
    return caught.value


@ANY
def test_every_frame_upright_in_rgb(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", 30)
    frames = list(read_frames(path))
    assert [number_of(frame.image) for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.time_sec for frame in frames], np.arange(30) / 10, atol=1e-3)
    image = frames[3].image
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image[40:].mean(axis=(0, 1)), (230, 20, 20), atol=12)  # RGB, not BGR


@ANY
@pytest.mark.parametrize("fps", [1, 2.5, 3, 4, 10, 25])
def test_at_a_rate_the_first_frame_at_or_after_each_time(tmp_path, ending, fps):
    """By hand: frame n stands at n / 10 s; for k the first n with n / 10 >= k / fps, each once."""
    path = write(tmp_path / f"a{ending}", 40)
    due = np.arange(int(4 * fps) + 1) / fps
    expected = sorted({int(np.ceil(time * 10 - 1e-9)) for time in due if time * 10 <= 39})
    assert [number for _, number in read(path, fps=fps)] == expected


@ANY
@pytest.mark.parametrize(("start", "end"), [(0, 1), (0.5, 1.2), (1.05, 1.95), (6, 8), (11.95, 99), (12.0, None)])
def test_a_segment(tmp_path, ending, start, end):
    """From the start, up to before the end; a jump into the middle finds the same frames as reading up to there."""
    path = write(tmp_path / f"a{ending}", 130)
    found = read(path, start_sec=start, end_sec=end)
    whole = [frame for frame in read(path) if start - 1e-3 <= frame[0] < (end or 99) - 1e-3]
    assert [number for _, number in found] == [number for _, number in whole] != []
    np.testing.assert_allclose([t for t, _ in found], [t for t, _ in whole], atol=1e-6)


def test_segments_that_meet_share_no_frame(tmp_path):
    path = write(tmp_path / "a.mp4", 30, fps=30)
    parts = [read(path, start_sec=k / 5, end_sec=(k + 1) / 5) for k in range(5)]
    assert [number for part in parts for _, number in part] == list(range(30))


def test_a_rate_within_a_segment_begins_at_its_start(tmp_path):
    path = write(tmp_path / "a.mp4", 30)
    assert [number for _, number in read(path, fps=2, start_sec=0.3)] == [3, 8, 13, 18, 23, 28]
    assert [number for _, number in read(path, fps=2, start_sec=float("nan"), end_sec=float("nan"))][:2] == [0, 5]


def atom_at(data: bytes, name: bytes) -> int:
    """The first byte of an atom's body."""
    return data.index(name) + 4


def with_times(path: Path, runs: list[tuple[int, int]]) -> Path:
    """The MP4 with a time table of its own: (frames, units of the track's time scale) for each run; stts is replaced
    within the space of a `free` atom, as (runs) needs more bytes than the constant rate did."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    body = struct.pack(">II", 0, len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
    grown = 8 + len(body) - size
    new = struct.pack(">I", 8 + len(body)) + b"stts" + body
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = data.rindex(parent, 0, at) - 4
        data[place : place + 4] = struct.pack(">I", int.from_bytes(data[place : place + 4], "big") + grown)
    assert data.index(b"mdat") < data.index(b"moov")  # so that the sample offsets stay right
    data[at : at + size] = new
    path.write_bytes(data)
    return path


def test_a_rate_that_varies(tmp_path):
    """Ten frames at 20 per second, then ten at 6.7: times come from the stamps, not from counting."""
    path = write(tmp_path / "a.mp4", 20)
    data = path.read_bytes()
    unit = int.from_bytes(data[atom_at(data, b"mdhd") + 12 :][:4], "big") // 20  # 50 ms
    with_times(path, [(10, unit), (10, 3 * unit)])  # two seconds as before
    times = np.array([n * 0.05 for n in range(10)] + [0.5 + n * 0.15 for n in range(10)])
    found = read(path)
    np.testing.assert_allclose([time for time, _ in found], times, atol=1e-3)
    assert [number for _, number in found] == list(range(20))
    for fps in (1, 2.3, 5, 8, 20, 50):
        due = np.arange(0, times[-1], 1 / fps)
        assert [number for _, number in read(path, fps=fps)] == np.unique(np.searchsorted(times, due - 1e-9)).tolist()
    assert [number for _, number in read(path, start_sec=0.6, fps=2)] == [11, 14, 18]


@pytest.mark.parametrize("start", [4.2, 9.5, 9.9, 12, 18])
def test_a_jump_into_a_rate_that_varies(tmp_path, start):
    """The average rate that OpenCV jumps by is right nowhere in this video."""
    path = write(tmp_path / "a.mp4", 40, fps=2)
    data = path.read_bytes()
    unit = int.from_bytes(data[atom_at(data, b"mdhd") + 12 :][:4], "big") // 40  # about 25 ms
    with_times(path, [(10, 2 * unit), (10, 56 * unit), (10, 2 * unit), (10, 20 * unit)])
    whole = read(path)
    np.testing.assert_allclose([t for t, _ in whole][::10], [0, 0.5, 14.5, 15], rtol=0.002)
    assert read(path, start_sec=start) == [frame for frame in whole if frame[0] >= start - 1e-3]


@pytest.mark.parametrize(("degrees", "matrix"), [(90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))])
def test_rotation_by_the_files_metadata(tmp_path, degrees, matrix):
    """The matrix of the track header (ISO/IEC 14496-12, 8.3.2): a, b, u, c, d, v, x, y, w."""
    path = write(tmp_path / "a.mp4", 3)
    stored = next(read_frames(path)).image
    data = bytearray(path.read_bytes())
    at = atom_at(data, b"tkhd") + 40
    a, b, c, d = (value * 65536 for value in matrix)
    assert struct.unpack_from(">9i", data, at) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    found = next(read_frames(path)).image
    expected = np.rot90(stored, -degrees // 90)  # clockwise
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=3)


# What cannot be read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty (0 bytes)"),
        ("lfs.mp4", b"version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
        ("text.mp4", b"no video", "is not a video"),
        ("page.avi", b"<!DOCTYPE html>" * 40, "is not a video"),
        ("still_01.png", b"\x89PNG\r\n\x1a\n" + bytes(60), "is an image, not a video"),
        ("headless.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x08mdat", "is not a video"),
    ],
)
def test_unusable_files_are_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in error_of(tmp_path / name).message


def test_opencv_and_ffmpeg_say_nothing_beside(tmp_path):
    """In a process of its own, as FFmpeg is told at its first use how much to say."""
    level = cv2.utils.logging.getLogLevel()
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x08mdat")
    code = f"""if 1:
        from affectkit.media import read_frames
        try: read_frames({str(tmp_path / "a.mp4")!r})
        except Exception as error: print(error.message)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("is not a video, or is damaged\n", "")
    assert "is not a video" in error_of(tmp_path / "a.mp4").message and cv2.utils.logging.getLogLevel() == level


def test_missing_files_and_sound_without_pictures(tmp_path, tone):
    assert error_of(tmp_path / "gone.mp4").code == "missing"
    assert "is a folder" in error_of(tmp_path).message
    assert "is not a video" in error_of(tone(tmp_path / "a.wav")).message


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_truncated_files_are_named(tmp_path, ending, share):
    path = write(tmp_path / f"a{ending}", 30)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "is truncated" in error_of(path).message


def test_a_video_without_frames(tmp_path):
    path = tmp_path / "a.avi"
    cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48)).release()
    assert error_of(path).code == "input"


def test_segments_and_rates_that_make_no_sense(tmp_path):
    path = write(tmp_path / "a.mp4", 10)
    assert error_of(path, start_sec=5).message == "has no frame from 5 to inf s"
    assert "has no segment 3 to 2 s" in error_of(path, start_sec=3, end_sec=2).message
    assert "has no segment -1 to" in error_of(path, start_sec=-1).message
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(AffectkitError) as caught:
            read_frames(path, fps=fps)
        assert caught.value.code == "usage"


def test_without_opencv_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "cv2", None)
    error = error_of(path)
    assert error.code == "environment" and error.remedy == 'pip install "affectkit[face]"'


def test_names_that_programs_read_as_something_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.mp4", 3)
    for name in ("file:x.mp4", "frame_%03d.mp4", "ä 1.mp4", "-i.mp4"):
        Path(name).write_bytes(Path("a.mp4").read_bytes())
        assert [number for _, number in read(Path(name))] == [0, 1, 2]


def test_an_iterator_that_is_left_closes_its_file(tmp_path):
    path = write(tmp_path / "a.mp4", 30)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    for _ in range(10):
        next(read_frames(path))
    if before:
        assert len(list(descriptors.iterdir())) <= before + 2


@pytest.mark.slow
def test_memory_is_flat_in_the_length(tmp_path):
    """320 x 240, 10 and 100 s: the longer one would take 200 MB more if its frames were kept."""
    code = "import resource, sys; from affectkit.media import read_frames; n = sum(1 for _ in read_frames(sys.argv[1]))"
    code += "; print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    found = {}
    for frames in (100, 1000):
        path = write(tmp_path / f"{frames}.mp4", frames, width=320, height=240)
        said = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
        found[frames] = int(said.split()[1]) / 1024
        assert int(said.split()[0]) == frames
    assert found[1000] - found[100] < 20, found
