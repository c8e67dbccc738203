"""Headers against `soundfile.info`, samples against scipy, and one named error for every unusable file."""

import os
import shutil
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectkit.errors import AffectkitError
from affectkit.media import Header, check_file, read_audio, read_header, read_headers, resample
from affectkit.media import headers as headers_module

WAV_FORMATS = [("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")]
WAV_FORMATS += [(f, s) for f in ("WAVEX", "RF64") for s in ("PCM_16", "PCM_24", "FLOAT")]
in_a_folder = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tone(frames: int, rate: int = 16000, channels: int = 1) -> np.ndarray:
    t = np.arange(frames) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * 300 * (c + 1) * t) for c in range(channels)], axis=1).astype(np.float32)


def write_wav(path: Path, frames: int = 800, rate: int = 16000, channels: int = 1, **options) -> Path:
    soundfile.write(path, tone(frames, rate, channels), rate, **options)
    return path


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def with_chunks(data: bytes, before: list[bytes], after: list[bytes]) -> bytes:
    """A canonical RIFF WAV with further chunks around its data chunk."""
    at = data.index(b"data")
    body = data[12:at] + b"".join(chunk(b"LIST", c) for c in before) + data[at:] + b"\0" * (len(data) % 2)
    body += b"".join(chunk(b"note", c) for c in after)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def error_of(function, *arguments, **options) -> AffectkitError:
    with pytest.raises(AffectkitError) as caught:
        function(*arguments, **options)
    return caught.value


# Headers


@in_a_folder
@given(
    which=st.sampled_from(WAV_FORMATS),
    frames=st.integers(1, 700),
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    channels=st.integers(1, 3),
    before=st.lists(st.binary(max_size=700), max_size=3),
    after=st.lists(st.binary(max_size=30), max_size=2),
)
def test_own_parser_agrees_with_soundfile(tmp_path, which, frames, rate, channels, before, after):
    path = write_wav(tmp_path / "a.wav", frames, rate, channels, format=which[0], subtype=which[1])
    if which[0] == "WAV":
        path.write_bytes(with_chunks(path.read_bytes(), before, after))
    info = soundfile.info(path)
    assert read_header(path) == Header(info.frames, info.samplerate, info.channels, "WAV")
    assert info.frames == frames


def test_ordinary_wavs_are_not_opened_by_libsndfile(tmp_path, monkeypatch):
    paths = [write_wav(tmp_path / f"{f}{s}.wav", format=f, subtype=s) for f, s in WAV_FORMATS]
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert {read_header(path).frames for path in paths} == {800}


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff"])
def test_other_audio_as_soundfile_says(tmp_path, ending):
    path = write_wav(tmp_path / f"a.{ending}", 8000)
    info = soundfile.info(path)
    header = read_header(path)
    assert (header.frames, header.rate, header.channels, header.format) == (info.frames, 16000, 1, info.format)
    assert header.duration == pytest.approx(0.5, abs=0.1)


def test_adpcm_is_left_to_libsndfile(tmp_path):
    path = write_wav(tmp_path / "a.wav", 1000, subtype="MS_ADPCM")
    assert read_header(path).frames == soundfile.info(path).frames


def test_standard_library_wav(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((2, 2, 22050, 0, "NONE", ""))
        out.writeframes(bytes(4 * 1234))
    assert read_header(tmp_path / "a.wav") == Header(1234, 22050, 2, "WAV")


@pytest.mark.parametrize("sizes", [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFF000), (8, 0)])
def test_wav_whose_writer_could_not_go_back(tmp_path, sizes):
    path = write_wav(tmp_path / "a.wav", 800)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, sizes[0])
    struct.pack_into("<I", data, data.index(b"data") + 4, sizes[1])
    path.write_bytes(data)
    assert read_header(path).frames == 800
    samples, _ = read_audio(path)
    assert len(samples) == 800


def atom(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + name + body


def movie(*, sound: bool = True, long: bool = False, duration: int = 3000, edited: int = 2500) -> bytes:
    """An MP4 of headers only: the movie's scale is 1000, the sound track's 44100."""

    def times(scale: int, length: int) -> bytes:
        return struct.pack(">B3xQQIQ" if long else ">B3xIIII", long, 0, 0, scale, length) + bytes(80)

    def track(kind: bytes) -> bytes:
        shown = struct.pack(">B3xQQIIQ" if long else ">B3xIIIII", long, 0, 0, 1, 0, edited) + bytes(60)
        entry = atom(b"mp4a", bytes(6), struct.pack(">H8xHH", 1, 2, 16), bytes(8))
        table = atom(b"stbl", atom(b"stsd", struct.pack(">II", 0, 1), entry))
        media = [atom(b"mdhd", times(44100, 3 * 44100)), atom(b"hdlr", bytes(8), kind, bytes(12)), atom(b"minf", table)]
        return atom(b"trak", atom(b"tkhd", shown), atom(b"mdia", *media))

    tracks = track(b"vide") + (track(b"soun") if sound else b"")
    return atom(b"ftyp", b"isom", bytes(4)) + atom(b"moov", atom(b"mvhd", times(1000, duration)), tracks)


@pytest.mark.parametrize("long", [False, True])
def test_mp4_length_from_its_atoms(tmp_path, long):
    (tmp_path / "a.mp4").write_bytes(movie(long=long) + atom(b"mdat", bytes(100)))
    assert read_header(tmp_path / "a.mp4") == Header(round(2.5 * 44100), 44100, 2, "MP4")
    (tmp_path / "b.mov").write_bytes(atom(b"mdat", bytes(100)) + movie(sound=False, long=long))
    assert read_header(tmp_path / "b.mov") == Header(3000, 1000, 0, "MP4")


def test_mp4_without_an_edited_length_uses_the_sound_tracks(tmp_path):
    (tmp_path / "a.mp4").write_bytes(movie(edited=0))
    assert read_header(tmp_path / "a.mp4").duration == 3.0


def test_broken_mp4(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes((movie() + atom(b"mdat", bytes(100)))[:-30])
    assert "truncated: 30 bytes are missing at the end" in error_of(read_header, path).message
    assert "truncated" in error_of(read_audio, path).message
    path.write_bytes(movie(sound=False, duration=0))
    assert "fragmented" in error_of(read_header, path).message
    path.write_bytes(atom(b"ftyp", b"isom"))
    assert "no movie header" in error_of(read_header, path).message


# Files that nobody can use


def test_missing_and_broken_link(tmp_path):
    error = error_of(read_header, tmp_path / "a.wav")
    assert (error.code, error.file) == ("missing", str(tmp_path / "a.wav"))
    (tmp_path / "a.wav").symlink_to(tmp_path / "annex")
    assert "link to a file that is missing" in error_of(check_file, tmp_path / "a.wav").message


def test_folder_pipe_and_odd_names(tmp_path):
    assert "is a folder" in error_of(read_header, tmp_path).message
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in error_of(read_header, tmp_path / "pipe.wav").message
    assert "null" in error_of(read_header, "a\0b.wav").message
    assert error_of(read_header, tmp_path / ("a" * 300)).code == "input"


@pytest.mark.parametrize("function", [read_header, read_audio])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git-LFS pointer"),
        (b"this is a text, not a recording" * 40, "is not audio"),
        (b"The wide world, in a text", "is not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "is not audio"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "it ends before its samples begin"),
        (b"\x1aE\xdf\xa3" + bytes(600), "Matroska"),
    ],
)
def test_unusable_content_is_named(tmp_path, monkeypatch, function, content, said):
    monkeypatch.setenv("PATH", "")
    path = tmp_path / "ä b.wav"
    path.write_bytes(content)
    error = error_of(function, path)
    assert said in error.message
    assert error.file == str(path)


def test_lfs_remedy(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in error_of(check_file, tmp_path / "a.wav").remedy


@pytest.mark.parametrize("function", [read_header, read_audio])
def test_no_samples(tmp_path, function):
    for name in ("a.wav", "a.aiff"):
        soundfile.write(tmp_path / name, np.zeros(0, np.float32), 16000)
        assert "holds no samples" in error_of(function, tmp_path / name).message


@pytest.mark.parametrize("function", [read_header, read_audio])
def test_truncated_wav_says_how_much_is_missing(tmp_path, function):
    path = write_wav(tmp_path / "a.wav", 1000)
    path.write_bytes(path.read_bytes()[:-300])
    assert "300 of 2,000 bytes of samples are missing" in error_of(function, path).message


def test_truncated_rf64(tmp_path):
    path = write_wav(tmp_path / "a.wav", 1000, format="RF64", subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-300])
    assert "truncated" in error_of(read_header, path).message


def test_truncated_flac_is_found_when_read(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 40000), 16000)
    path.write_bytes(path.read_bytes()[:30000])
    error = error_of(read_audio, path)
    assert "truncated" in error.message or "cannot be decoded" in error.message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read as somebody else")
def test_unreadable_as_another_user(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    path.chmod(0)
    os.seteuid(65534)
    try:
        error = error_of(read_header, path)
    finally:
        os.seteuid(0)
    assert "cannot be read: permission denied" in error.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    path.chmod(0)
    assert "cannot be read: permission denied" in error_of(read_header, path).message


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_raise_nothing_but_affectkit_errors(tmp_path, data):
    write_wav(tmp_path / "whole.wav", 40, subtype="PCM_24", channels=2, format="RF64")
    whole = data.draw(st.sampled_from([(tmp_path / "whole.wav").read_bytes(), movie(), movie(sound=False, long=True)]))
    damaged = bytearray(whole[: data.draw(st.integers(13, len(whole)))])
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[position] = data.draw(st.integers(0, 255))
    (tmp_path / "a.wav").write_bytes(damaged)
    try:
        header = read_header(tmp_path / "a.wav")
    except AffectkitError as error:
        assert error.file == str(tmp_path / "a.wav")
    else:
        assert header.frames > 0 and header.rate > 0


# Many headers


@pytest.mark.parametrize("slow_sec", [0.0, 9.0])
def test_read_headers_in_order_with_errors_in_place(tmp_path, monkeypatch, slow_sec):
    monkeypatch.setattr(headers_module, "_SLOW_SEC", slow_sec)  # with and without threads
    monkeypatch.setattr(headers_module, "_CHUNK", 7)
    paths = [write_wav(tmp_path / f"{i}.wav", 10 + i) for i in range(100)]
    paths[50].write_bytes(b"")
    paths[51] = tmp_path / "gone.wav"
    seen = []
    found = read_headers(paths, num_workers=3, progress=lambda done, total: seen.append((done, total)))
    assert [h.frames for h in found if isinstance(h, Header)] == [10 + i for i in range(100) if i not in (50, 51)]
    assert [found[50].message, found[51].code] == ["is empty (0 bytes)", "missing"]
    assert seen[-1] == (100, 100) and seen == sorted(seen)


def test_read_headers_of_nothing():
    assert read_headers([]) == []


# Samples


def test_pcm_samples_exactly(tmp_path):
    values = np.array([-32768, -1, 0, 1, 16384, 32767], np.int16)
    soundfile.write(tmp_path / "a.wav", values, 8000)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert rate == 8000 and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, values / np.float32(32768))


def test_channels_are_averaged(tmp_path):
    stereo = tone(500, channels=2)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    samples, _ = read_audio(tmp_path / "a.wav")
    assert samples.shape == (500,)
    np.testing.assert_allclose(samples, (stereo[:, 0] + stereo[:, 1]) / 2, atol=1e-7)


def test_segments(tmp_path):
    path = write_wav(tmp_path / "a.wav", 16000, subtype="FLOAT")
    whole, _ = read_audio(path)
    part, _ = read_audio(path, start_sec=0.25, end_sec=0.75)
    np.testing.assert_array_equal(part, whole[4000:12000])
    rest, _ = read_audio(path, start_sec=0.9, end_sec=1.05)  # a rounded annotation may end a little late
    np.testing.assert_array_equal(rest, whole[14400:])
    same, _ = read_audio(path, start_sec=float("nan"), end_sec=float("nan"))
    np.testing.assert_array_equal(same, whole)


@pytest.mark.parametrize("segment", [(0.5, 0.5), (0.6, 0.5), (1.0, 2.0), (0.0, 1.2), (-0.1, 0.5)])
def test_impossible_segments(tmp_path, segment):
    path = write_wav(tmp_path / "a.wav", 16000)
    assert "it is 1.000 s long" in error_of(read_audio, path, start_sec=segment[0], end_sec=segment[1]).message


@pytest.mark.parametrize(("rate", "new_rate"), [(22050, 16000), (48000, 16000), (8000, 16000), (44100, 16000)])
def test_resampling_is_scipys(rate, new_rate):
    samples = np.random.default_rng(0).normal(0, 0.1, 5001).astype(np.float32)
    up, down = new_rate // np.gcd(rate, new_rate), rate // np.gcd(rate, new_rate)
    expected = scipy.signal.resample_poly(samples, up, down)
    ours = resample(samples, rate, new_rate)
    assert ours.dtype == np.float32 and len(ours) == -(-5001 * new_rate // rate)
    np.testing.assert_array_equal(ours, expected)


def test_read_audio_resamples(tmp_path):
    path = write_wav(tmp_path / "a.wav", 22050, 22050, subtype="FLOAT")
    samples, rate = read_audio(path, rate=16000)
    assert rate == 16000 and samples.shape == (16000,) and samples.dtype == np.float32
    middle = slice(1000, 15000)  # away from the filter's edges a 300 Hz sine stays a 300 Hz sine
    np.testing.assert_allclose(samples[middle], tone(16000, 16000)[middle, 0], atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path, bad):
    samples = tone(100)
    samples[17] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert "sample 17 is" in error_of(read_audio, tmp_path / "a.wav").message


def test_video_needs_ffmpeg(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(movie())
    monkeypatch.setenv("PATH", "")
    error = error_of(read_audio, tmp_path / "a.mp4")
    assert error.code == "environment" and "install ffmpeg" in error.remedy


def stand_in(folder: Path, script: str) -> None:
    """A program called ffmpeg."""
    (folder / "ffmpeg").write_text("#!/bin/sh\n" + script)
    (folder / "ffmpeg").chmod(0o755)


def test_video_through_ffmpegs_pipe(tmp_path, monkeypatch):
    """What a WAV on ffmpeg's standard output becomes; the real ffmpeg is tested below where there is one."""
    path = write_wav(tmp_path / "sound.wav", 16000, subtype="FLOAT")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, 0xFFFFFFFF)
    struct.pack_into("<I", data, data.index(b"data") + 4, 0xFFFFFFFF)
    path.write_bytes(data)
    (tmp_path / "a.mp4").write_bytes(movie())
    stand_in(tmp_path, f"cat '{path}'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    samples, rate = read_audio(tmp_path / "a.mp4", start_sec=0.5)
    assert rate == 16000
    np.testing.assert_array_equal(samples, tone(16000)[8000:, 0])
    stand_in(tmp_path, "echo 'moov atom not found' >&2\nexit 1\n")
    assert "moov atom not found" in error_of(read_audio, tmp_path / "a.mp4").message


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_video_with_the_real_ffmpeg(tmp_path):
    import subprocess

    path = write_wav(tmp_path / "a.wav", 32000)
    subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-c:a", "alac", tmp_path / "a.m4a"], check=True)
    assert read_header(tmp_path / "a.m4a") == Header(32000, 16000, 1, "MP4")
    np.testing.assert_allclose(read_audio(tmp_path / "a.m4a")[0], read_audio(path)[0], atol=1e-6)
