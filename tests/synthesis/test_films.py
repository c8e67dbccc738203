"""Films and postures of the twins: what ffmpeg and our own readers find in them."""

import shutil
import subprocess

import numpy as np
import pytest

from affectkit.media import mp4, read_header
from affectkit.synthesis import films, postures


def film(path, times, end):
    films.write_film(path, [np.full((16, 24, 3), 10 * n, np.uint8) for n in range(len(times))], times, end)
    return path


@pytest.mark.parametrize("rate", [25.0, 30000 / 1001, 30.0])
def test_the_header_says_length_and_rate(tmp_path, rate):
    path = film(tmp_path / "a.mp4", np.arange(20) / rate, 20 / rate)
    assert mp4.frame_rate(path) == pytest.approx(rate, rel=1e-6)
    assert read_header(path).duration == pytest.approx(20 / rate, abs=1e-3)


def test_ffmpeg_sees_each_picture_at_its_own_time(tmp_path):
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("needs ffmpeg")
    path = film(tmp_path / "a.mp4", [0.0, 0.1, 0.13, 0.3], 0.5)
    probe = ["ffprobe", "-v", "error", "-show_entries", "frame=pts_time", "-of", "csv=p=0", str(path)]
    times = [float(line.strip(",")) for line in subprocess.check_output(probe, text=True).split()]
    assert times == [0.0, 0.1, 0.13, 0.3]
    decode = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", "scale=1:1", "-fps_mode", "passthrough"]
    grey = subprocess.check_output([*decode, "-f", "rawvideo", "-pix_fmt", "gray", "-"], stdin=subprocess.DEVNULL)
    np.testing.assert_allclose(np.frombuffer(grey, np.uint8), [0, 10, 20, 30], atol=2)
    assert mp4.frame_rate(path) == 8.0


def test_no_film_has_no_rate(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"RIFF" + bytes(200))
    assert mp4.frame_rate(tmp_path / "a.mp4") is None


def test_hands_move_with_tension_as_much_at_any_frame_rate():
    """Distance that a hand goes, sampled ten times a second so that rates compare."""
    moved = {}
    for rate in (25.0, 30.0, None):
        for tension in (0.0, 1.0):
            rng = np.random.default_rng(1)
            times = postures.frame_times(60.0, rate, rng)
            body = postures.sit(postures.draw_sitter(rng), times, np.full(len(times), tension), rng)
            assert body.shape == (len(times), 33, 4) and times[-1] < 60 and (np.diff(times) > 0).all()
            grid = np.arange(0, 59, 0.1)
            hand = np.column_stack([np.interp(grid, times, body[:, 16, axis]) for axis in (0, 1)])
            moved[rate, tension] = np.linalg.norm(np.diff(hand, axis=0), axis=1).mean()
    for rate in (25.0, 30.0, None):
        assert moved[rate, 1.0] > 3 * moved[rate, 0.0]
    assert moved[25.0, 1.0] == pytest.approx(moved[30.0, 1.0], rel=0.15)


def test_a_table_of_landmarks_reads_back():
    rng = np.random.default_rng(0)
    times = postures.frame_times(1.0, 25.0, rng)
    body = postures.sit(postures.draw_sitter(rng), times, np.zeros(25), rng)
    lines = [line.split(",") for line in postures.as_lines(times, body)]
    assert len(postures.header()) == 133 == len(lines[0]) and postures.header()[1:5] == [
        "x_0",
        "y_0",
        "z_0",
        "visibility_0",
    ]
    np.testing.assert_allclose(np.array(lines, float)[:, 1:].reshape(25, 33, 4)[..., :2], body[..., :2], atol=1e-4)
