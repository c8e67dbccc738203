"""The media of a queue as the page gets them: types, ranges, segments, waveforms; files that are not what they say."""

import io
import os
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

pytest.importorskip("fastapi")

from label_kit import TONE, opened

from affectkit.labeling import clips
from affectkit.media.audio import read_audio

FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture
def shown(tmp_path):
    """`shown("a.wav", start_sec=.1)`: (what the page is told of it, its client)."""
    stack = []

    def show(name, **cells):
        rows = [["id", "path", *cells], ["r1", name, *map(str, cells.values())]]
        (tmp_path / "queue.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        stack.append(opened(tmp_path / "queue.csv", tmp_path / f"{len(stack)}.jsonl"))
        client, _ = stack[-1].__enter__()
        [item] = client.get("/api/next?annotator=a&tab=t").json()["items"]
        return item["media"][0], client

    yield show
    for each in reversed(stack):
        each.__exit__(None, None, None)


def write(path, samples=TONE, rate=16000, **how):
    soundfile.write(path, samples, rate, **how)
    return path


def make(path, *words):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words, str(path)], check=True)
    return path


SOUND = ("-f", "lavfi", "-i", "sine=frequency=300:duration=1:sample_rate=16000")
PICTURES = ("-f", "lavfi", "-i", "testsrc=duration=1:size=64x48:rate=10")


# --- Sound


@pytest.mark.parametrize(
    ("name", "how", "type"),
    [
        ("a.wav", {}, "audio/wav"),
        ("a.wav", {"subtype": "PCM_U8"}, "audio/wav"),
        ("a.flac", {}, "audio/flac"),
        ("a.ogg", {}, "audio/ogg"),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, "audio/ogg"),
        ("a.mp3", {}, "audio/mpeg"),
        ("a.txt", {"format": "FLAC"}, "audio/flac"),  # by what is in it
    ],
)
def test_what_browsers_play_is_sent_as_it_is(shown, tmp_path, name, how, type):
    path = write(tmp_path / name, **how)
    medium, client = shown(name)
    assert (medium["kind"], medium["problem"], medium["start"]) == ("audio", "", None)
    sent = client.get(medium["url"])
    assert sent.content == path.read_bytes() and sent.headers["content-type"] == type
    assert sent.headers["content-length"] == str(path.stat().st_size)


@pytest.mark.parametrize(
    ("name", "how", "exact"),
    [
        ("a.wav", {"subtype": "PCM_24"}, False),
        ("a.wav", {"subtype": "FLOAT"}, False),
        ("a.wav", {"subtype": "ULAW"}, True),
        ("a.wav", {"subtype": "IMA_ADPCM"}, True),
        ("a.wav", {"format": "RF64"}, True),
        ("a.wav", {"format": "WAVEX"}, True),
        ("a.aiff", {}, True),
        ("a.au", {}, True),
        ("a.caf", {}, True),
        ("a.w64", {"subtype": "PCM_32"}, False),
        ("a.wav", {"format": "AIFF"}, True),  # a name that lies
    ],
)
def test_other_sound_is_decoded_to_16_bits(shown, tmp_path, name, how, exact):
    samples = np.stack([TONE, -TONE], axis=1)
    path = write(tmp_path / name, samples, **how)
    medium, client = shown(name)
    assert medium["problem"] == ""
    sent = client.get(medium["url"])
    assert sent.headers["content-type"] == "audio/wav"
    decoded, rate = soundfile.read(io.BytesIO(sent.content), dtype="int16")
    wanted, _ = soundfile.read(path, dtype="float32")
    assert rate == 16000 and soundfile.info(io.BytesIO(sent.content)).subtype == "PCM_16"
    assert np.abs(decoded / 32768 - wanted).max() <= (0 if exact else 0.5 / 32768 + 1e-9)


def test_samples_beyond_full_scale_and_none_at_all_are_clipped(shown, tmp_path):
    write(tmp_path / "a.wav", np.array([2, -2, np.nan, np.inf, -np.inf, 0.5], np.float32), subtype="FLOAT")
    medium, client = shown("a.wav")
    decoded, _ = soundfile.read(io.BytesIO(client.get(medium["url"]).content), dtype="int16")
    assert decoded.tolist() == [32767, -32768, 0, 32767, -32768, 16384]
    assert client.get(medium["peaks"]).json()["peaks"][0] == [1, 1]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(0.1, 0.3, 1600, 4800), ("", 0.25, 0, 4000), (0.4, "", 6400, 8000), (0.1, 0.55, 1600, 8000)],
)
def test_a_segment_is_cut_here(shown, tmp_path, name, start, end, first, last):
    path = write(tmp_path / name)
    medium, client = shown(name, start_sec=start, end_sec=end)
    assert (medium["start"], medium["end"], medium["problem"]) == (None, None, "")
    decoded, _ = soundfile.read(io.BytesIO(client.get(medium["url"]).content), dtype="int16")
    whole, _ = soundfile.read(path, dtype="int16")
    assert decoded.tolist() == whole[first:last].tolist()
    assert client.get(medium["peaks"]).json()["seconds"] == (last - first) / 16000


@pytest.mark.parametrize(("start", "end"), [(0.3, 0.1), (5, 6), (-1, 0.2), (0, 300), (0.5, 0.6)])
def test_a_segment_that_is_none_is_said(shown, tmp_path, start, end):
    write(tmp_path / "a.wav")
    medium, client = shown("a.wav", start_sec=start, end_sec=end)
    assert "has no segment" in medium["problem"]
    assert client.get(medium["url"]).status_code == client.get("/peaks/1/0").status_code == 422


# --- Ranges


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "b.wav"])
def test_any_range_is_the_same_bytes_as_in_the_whole(shown, tmp_path, name):
    write(tmp_path / "a.wav"), write(tmp_path / "a.aiff", np.stack([TONE, -TONE], axis=1))
    write(tmp_path / "b.wav", np.tile(TONE, 30), subtype="PCM_24")  # of several blocks
    medium, client = shown(name)
    whole = client.get(medium["url"]).content
    rng, size = np.random.default_rng(0), len(whole)
    pairs = [(0, 0), (0, 43), (0, 44), (43, 44), (44, 45), (45, 45), (size - 1, size - 1), (1, size + 100)]
    pairs += [sorted(rng.integers(0, size, 2).tolist()) for _ in range(20)]
    for first, last in pairs:
        part = client.get(medium["url"], headers={"range": f"bytes={first}-{last}"})
        assert part.status_code == 206 and part.content == whole[first : last + 1], (first, last)
        assert part.headers["content-range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        assert part.headers["content-length"] == str(len(part.content))
    assert client.get(medium["url"], headers={"range": "bytes=100-"}).content == whole[100:]
    assert client.get(medium["url"], headers={"range": "bytes=-100"}).content == whole[-100:]
    assert client.get(medium["url"], headers={"range": f"bytes=-{size * 2}"}).content == whole


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0", "bytes=16044-"])
def test_a_range_behind_the_end_is_refused(shown, tmp_path, asked):
    write(tmp_path / "a.wav")
    medium, client = shown("a.wav")
    response = client.get(medium["url"], headers={"range": asked})
    assert response.status_code == 416 and response.headers["content-range"] == "bytes */16044" and not response.content


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-1", "bytes=a-b", f"bytes={'9' * 5000}-", "bytes=-", "items=0-1", "bytes=0-1,3-4", "", "bytes=--1"],
)
def test_a_range_that_is_none_is_as_if_nothing_were_asked(shown, tmp_path, asked):
    write(tmp_path / "a.wav")
    medium, client = shown("a.wav")
    response = client.get(medium["url"], headers={"range": asked})
    assert response.status_code == 200 and len(response.content) == 16044


def test_head_tells_what_get_would(shown, tmp_path):
    write(tmp_path / "a.aiff")
    medium, client = shown("a.aiff")
    head, got = client.head(medium["url"]), client.get(medium["url"])
    assert not head.content and head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == "audio/wav" and head.headers["accept-ranges"] == "bytes"


# --- Waveforms


@pytest.mark.parametrize("frames", [1, 7, 799, 800, 801, 8000, 1_000_003])
def test_a_waveform_has_the_lowest_and_highest_sample_of_each_part(tmp_path, monkeypatch, frames):
    samples = np.random.default_rng(frames).uniform(-0.9, 0.9, (frames, 2)).astype(np.float32)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    monkeypatch.setattr(clips, "_FRAMES", 5000)
    found = clips.peaks(path)
    count = min(800, frames)
    edges = np.linspace(0, frames, count + 1).astype(int)
    wanted = [[samples[a:b].min(), samples[a:b].max()] for a, b in pairwise(edges)]
    assert found["seconds"] == frames / 16000
    np.testing.assert_allclose(found["peaks"], wanted, atol=6e-5)


def test_a_waveform_of_an_hour_takes_little_memory(tmp_path):
    import tracemalloc

    with soundfile.SoundFile(tmp_path / "a.flac", "w", 8000, 1, format="FLAC") as sound:
        for _ in range(60):
            sound.write(np.zeros(60 * 8000, np.int16))
    tracemalloc.start()
    assert clips.peaks(tmp_path / "a.flac")["seconds"] == 3600
    assert tracemalloc.get_traced_memory()[1] < 30e6  # 115 MB of float32
    tracemalloc.stop()


# --- Pictures


@pytest.mark.parametrize(
    ("name", "form", "type"),
    [("a.png", "PNG", "image/png"), ("a.jpg", "JPEG", "image/jpeg"), ("a.gif", "GIF", "image/gif"),
     ("a.webp", "WEBP", "image/webp"), ("a.jpg", "PNG", "image/png"), ("a.wav", "JPEG", "image/jpeg")],
)  # fmt: skip
def test_pictures_that_browsers_show_are_sent_as_they_are(shown, tmp_path, name, form, type):
    Image.new("RGB", (40, 30), (200, 30, 90)).save(tmp_path / name, form)
    medium, client = shown(name)
    assert (medium["kind"], medium["peaks"], medium["problem"]) == ("image", None, "")
    sent = client.get(medium["url"])
    assert sent.content == (tmp_path / name).read_bytes() and sent.headers["content-type"] == type


@pytest.mark.parametrize("name", ["a.bmp", "a.tiff", "a.ppm", "a.jp2"])
def test_other_pictures_are_sent_as_png(shown, tmp_path, name):
    Image.new("RGB", (40, 30), (200, 30, 90)).save(tmp_path / name)
    medium, client = shown(name)
    assert (medium["kind"], medium["problem"]) == ("image", "")
    sent = client.get(medium["url"])
    assert sent.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(sent.content)).getpixel((3, 3)) == (200, 30, 90)


def test_a_picture_that_would_fill_the_memory_is_not_sent(shown, tmp_path):
    big = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + big + b"\0" * 4)
    medium, client = shown("a.png")
    assert medium["problem"] and client.get(medium["url"]).status_code == 422


# --- Videos


@FFMPEG
def test_videos_are_sent_as_they_are_and_the_page_keeps_to_the_segment(shown, tmp_path):
    path = make(tmp_path / "a.mp4", *PICTURES, *SOUND, "-pix_fmt", "yuv420p")
    medium, client = shown("a.mp4", start_sec=0.2, end_sec=0.7)
    assert medium == {
        "kind": "video", "url": "/media/1/0", "peaks": None, "name": "", "start": 0.2, "end": 0.7, "problem": ""
    }  # fmt: skip
    part = client.get(medium["url"], headers={"range": "bytes=10-99"})
    assert part.content == path.read_bytes()[10:100] and part.headers["content-type"] == "video/mp4"
    path.write_bytes(path.read_bytes()[:-500])
    medium, client = shown("a.mp4")
    assert "truncated" in medium["problem"] and client.get(medium["url"]).status_code == 422


@FFMPEG
def test_sound_in_a_container_of_videos(shown, tmp_path):
    make(tmp_path / "a.m4a", *SOUND)
    medium, client = shown("a.m4a", start_sec=0.2, end_sec=0.7)
    assert (medium["kind"], medium["start"], medium["end"]) == ("audio", 0.2, 0.7)
    assert client.get(medium["url"]).headers["content-type"] == "audio/mp4"
    assert client.get(medium["peaks"]).json()["seconds"] == pytest.approx(0.5)
    make(tmp_path / "a.webm", *SOUND, "-c:a", "libopus")
    assert shown("a.webm")[0]["kind"] == "audio"
    make(tmp_path / "b.webm", *PICTURES)
    medium, client = shown("b.webm")
    assert medium["kind"] == "video" and client.get(medium["url"]).headers["content-type"] == "video/webm"
    make(tmp_path / "c.wav", *SOUND, "-c:a", "wavpack", "-f", "wv")
    medium, client = shown("c.wav", start_sec=0.25, end_sec=0.75)
    decoded, rate = soundfile.read(io.BytesIO(client.get(medium["url"]).content), dtype="float32")
    assert medium["start"] is None and len(decoded) == rate / 2
    assert np.abs(decoded - read_audio(tmp_path / "c.wav", start_sec=0.25, end_sec=0.75)[0]).max() < 1e-4


@FFMPEG
@pytest.mark.parametrize(("name", "kind"), [("a.avi", "AVI"), ("a.flv", "FLV")])
def test_a_video_that_browsers_do_not_play_is_said(shown, tmp_path, name, kind):
    make(tmp_path / name, *PICTURES)
    medium, client = shown(name)
    assert (medium["kind"], medium["problem"]) == ("video", f"is {kind}, which browsers do not play")
    assert client.get(medium["url"]).status_code == 422


# --- What is broken


def test_what_is_broken_is_said_and_not_sent(shown, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, 16000).astype(np.float32)
    write(tmp_path / "cut.wav", noise).write_bytes((tmp_path / "cut.wav").read_bytes()[:5000])
    write(tmp_path / "cut.flac", noise).write_bytes((tmp_path / "cut.flac").read_bytes()[:5000])
    write(tmp_path / "cut.ogg", noise).write_bytes((tmp_path / "cut.ogg").read_bytes()[:60])
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "cut.jpg")
    os.truncate(tmp_path / "cut.jpg", 700)
    (tmp_path / "text.wav").write_text("hello " * 1000)
    (tmp_path / "lfs.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "noise.mp3").write_bytes(b"\xff\xfb\x90\x00" + rng.bytes(2000))
    (tmp_path / "noise.bin").write_bytes(rng.bytes(50_000))
    for name in ("cut.wav", "cut.flac", "cut.ogg", "cut.jpg", "text.wav", "lfs.wav", "noise.mp3", "noise.bin"):
        medium, client = shown(name)
        assert medium["problem"], name
        assert client.get("/media/1/0").status_code == client.get("/peaks/1/0").status_code == 422, name


def test_what_is_too_long_for_a_wav_is_said(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "LONGEST", 15_999)
    write(tmp_path / "a.aiff")
    medium, client = shown("a.aiff")
    assert "too long to be decoded" in medium["problem"] and client.get("/media/1/0").status_code == 422
    assert not shown("a.aiff", end_sec=0.4)[0]["problem"]


def test_a_recording_that_breaks_off_while_it_is_sent_is_a_line_in_the_log(shown, tmp_path, caplog):
    path = write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 160_000).astype(np.float32))
    medium, client = shown("a.flac", start_sec=0.0)
    data = bytearray(path.read_bytes())
    data[60_000:160_000] = b"\0" * 100_000
    path.write_bytes(data)
    response = client.get(medium["url"])
    assert response.status_code == 200 and len(response.content) < 320_044, response.text
    assert client.get(medium["peaks"]).status_code == 422
    assert "Traceback" not in caplog.text
    assert any(line.startswith("/media/1/0: ") for line in caplog.messages)


def test_a_file_that_is_cut_while_it_is_sent_is_a_line_in_the_log(shown, tmp_path, caplog, monkeypatch):
    path = write(tmp_path / "a.wav", np.tile(TONE, 30))
    medium, client = shown("a.wav")
    pread = os.pread

    def cut(file, length, place):
        if place == 1 << 16:  # the second block
            os.truncate(path, 100_000)
        return pread(file, length, place)

    monkeypatch.setattr(os, "pread", cut)
    assert len(client.get(medium["url"]).content) == 100_000
    assert "/media/1/0: has become shorter while it was sent" in caplog.messages


def test_no_file_is_looked_at_before_its_row_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "queue.csv").write_text("id,path\n" + "".join(f"r{n},ä{n}.wav\n" for n in range(100)))
    looked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: (looked.append(str(path)), stat(path, *a, **k))[1])
    with opened(tmp_path / "queue.csv") as (client, _):
        assert not [path for path in looked if path.endswith(".wav")]
        client.get("/api/next?annotator=a&tab=t&count=2")
        assert {Path(path).name for path in looked if path.endswith(".wav")} == {"ä0.wav", "ä1.wav"}


def test_media_of_several_columns_and_of_a_root(tmp_path):
    (tmp_path / "root").mkdir()
    write(tmp_path / "root/ä.wav")
    Image.new("RGB", (4, 4)).save(tmp_path / "root/p.png")
    (tmp_path / "queue.csv").write_text("id,path,path_face,path_more\nr1,ä.wav,p.png,\nr2,,p.png,ä.wav\n")
    from affectkit.labeling.queue import read_queue

    queue = read_queue(tmp_path / "queue.csv", media_root=tmp_path / "root")
    assert [queue.medium(0, place) and queue.medium(0, place).name for place in range(4)] == [
        "ä.wav",
        "p.png",
        None,
        None,
    ]
    with opened(tmp_path / "queue.csv") as (client, _):
        one, two = client.get("/api/next?annotator=a&tab=t&count=2").json()["items"]
        assert [medium["url"] for medium in one["media"]] == ["/media/1/0", "/media/1/1"]
        assert [medium["url"] for medium in two["media"]] == ["/media/2/1", "/media/2/2"]
        assert client.get("/media/1/2").status_code == 404
