"""Recordings whose headers are silent or wrong: the true length from the samples, or one line that says why not."""

import io
import logging
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectkit.errors import AffectkitError
from affectkit.leakage.content import _of_samples
from affectkit.media import audio, chunks, mpeg, read_audio, read_header, read_length, resample
from affectkit.media.files import opened

RATE = 16000
rng = np.random.default_rng(0)
NOISE = (0.2 * rng.standard_normal(2 * RATE)).astype(np.float32)
NOISE[: RATE // 2] *= 0.001  # a quiet beginning, whose bit rate says little of the rest


def encoded(form, subtype, samples=NOISE, rate=RATE, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype, **options)
    return buffer.getvalue()


def saved(folder, data, name="a.bin"):
    path = folder / name
    path.write_bytes(bytes(data))
    return path


def decoded(data) -> np.ndarray:
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def refusal(path) -> str:
    """The one line of a file that neither its header nor its samples can be had of."""
    with pytest.raises(AffectkitError) as of_header:
        read_header(path)
    with pytest.raises(AffectkitError) as of_samples:
        read_audio(path)
    assert str(of_header.value) == str(of_samples.value) and "\n" not in str(of_header.value)
    assert str(path) in str(of_header.value)
    return str(of_header.value)


def check_reads(path, samples) -> None:
    """The header, the samples, a segment and the digest of them agree with what was encoded."""
    assert read_header(path).frames == len(samples)
    read, rate = read_audio(path)
    np.testing.assert_array_equal(read, samples)
    part, _ = read_audio(path, start_sec=1000 / rate, end_sec=5000 / rate)
    np.testing.assert_allclose(part, samples[1000:5000], atol=1e-6)
    assert _of_samples(path)


# --- FLAC


def with_total(flac: bytes, total: int, before: int = 0) -> bytes:
    """The number of samples that STREAMINFO says: 36 bits from the lower half of its byte 13 on."""
    data, place = bytearray(flac), before + 21
    data[place] = data[place] & 0xF0 | total >> 32
    data[place + 1 : place + 5] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("total", [0, 5000], ids=["unknown", "not brought up to date"])
@pytest.mark.parametrize("shape", ["mono", "stereo", "silence", "a few samples"])
def test_flac_that_was_written_to_a_pipe(tmp_path, total, shape):
    samples = {"stereo": np.stack([NOISE, NOISE], axis=1), "silence": 0 * NOISE, "a few samples": NOISE[:5003]}
    data = encoded("FLAC", "PCM_16", samples.get(shape, NOISE))
    path = saved(tmp_path, with_total(data, total))
    expected = decoded(data)
    assert read_header(path).frames == len(expected)
    np.testing.assert_array_equal(read_audio(path)[0], expected.mean(axis=1) if expected.ndim == 2 else expected)


def test_flac_behind_a_tag_and_before_one(tmp_path):
    data = encoded("FLAC", "PCM_16")
    tag = b"ID3\x04\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
    check_reads(saved(tmp_path, tag + with_total(data, 0) + b"TAG" + bytes(125)), decoded(data))


@pytest.mark.parametrize("rest", [b"", b"\xff\xf8" * 50], ids=["cut", "and something behind"])
def test_flac_whose_writer_was_killed_is_read_to_its_last_whole_frame(tmp_path, rest):
    data = encoded("FLAC", "PCM_16")
    path = saved(tmp_path, with_total(data, 0)[: len(data) // 2] + rest)
    frames = read_header(path).frames
    assert 0.3 * len(NOISE) < frames < 0.8 * len(NOISE) and frames % 4096 == 0
    np.testing.assert_array_equal(read_audio(path)[0], decoded(data)[:frames])


def test_flac_that_is_cut_or_promises_more(tmp_path):
    data = encoded("FLAC", "PCM_16")
    assert "truncated" in refusal(saved(tmp_path, data[: len(data) // 2]))
    assert "truncated" in refusal(saved(tmp_path, with_total(data, (1 << 36) - 1)))
    assert "without a whole frame" in refusal(saved(tmp_path, with_total(data, 0)[:100]))


def test_names_of_any_bytes_are_opened(tmp_path):
    path = saved(tmp_path, encoded("AU", "PCM_16"), "Tr\udce4nen.au")
    assert read_header(path).frames == len(read_audio(path)[0]) == len(NOISE)


# --- WAV


def wav(data: bytes, riff: int, size: int, rate: int = RATE, channels: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, (2 * rate * channels) % 2**32, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack(
        "<I", size
    ) + data  # fmt: skip


PCM = (NOISE * 32767).astype("<i2").tobytes()
PLACEHOLDERS = [0xFFFFFFFF, 0xFFFFFFDB, 0x80000000, 0x80000024, 0x7FFFFFFF, 0x7FFFFFDB, 0x7FFFF000, 2_000_000_000]


@pytest.mark.parametrize("size", [*PLACEHOLDERS, 0, len(PCM) + 44, len(PCM) + 36], ids=hex)
@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF], ids=hex)
def test_wav_sizes_that_nobody_measured(tmp_path, size, riff):
    check_reads(saved(tmp_path, wav(PCM, riff, size)), decoded(wav(PCM, 36 + len(PCM), len(PCM))))


@pytest.mark.parametrize("size", [(1 << 64) - 1, (1 << 63) - 1, 0])
def test_rf64_whose_size_was_not_known(tmp_path, size):
    data = bytearray(encoded("RF64", "PCM_16"))
    place = data.index(b"ds64") + 8
    struct.pack_into("<QQ", data, place, size, size)
    check_reads(saved(tmp_path, data), decoded(encoded("WAV", "PCM_16")))


def test_wav_whose_odd_chunk_lacks_its_padding(tmp_path):
    data = wav(PCM, 36 + len(PCM), len(PCM))
    note = b"LIST" + struct.pack("<I", 13) + b"INFO, nothing"
    check_reads(saved(tmp_path, data[:36] + note + data[36:]), decoded(data))
    check_reads(saved(tmp_path, data[:36] + note + b"\0" + data[36:]), decoded(data))


@pytest.mark.parametrize("second", [wav(PCM, 36 + len(PCM), len(PCM)), b"data\x04\0\0\0abcd"], ids=["file", "chunk"])
def test_wavs_that_were_joined(tmp_path, second):
    path = saved(tmp_path, wav(PCM, 36 + len(PCM), len(PCM)) + second)
    assert f"joins recordings: {len(second):,} bytes follow" in refusal(path)


def test_wav_whose_header_errs_in_the_bytes_per_second_only(tmp_path):
    data = bytearray(encoded("WAV", "IMA_ADPCM"))
    struct.pack_into("<I", data, 28, 99_999)  # more than there are, as ffmpeg writes
    assert read_header(saved(tmp_path, data)).frames == len(read_audio(tmp_path / "a.bin")[0]) >= len(NOISE)


# --- AU and CAF


@pytest.mark.parametrize("size", [b"\0" * 4, b"\xff" * 4], ids=["never written", "unknown"])
def test_au_whose_size_was_not_known(tmp_path, size):
    data = bytearray(encoded("AU", "PCM_16"))
    data[8:12] = size
    check_reads(saved(tmp_path, data), decoded(encoded("AU", "PCM_16")))


@pytest.mark.parametrize("size", [0, -1])
def test_caf_whose_size_was_not_known(tmp_path, size):
    data = bytearray(encoded("CAF", "PCM_16"))
    struct.pack_into(">q", data, data.index(b"data") + 4, size)
    check_reads(saved(tmp_path, data), decoded(encoded("CAF", "PCM_16")))


def test_au_that_holds_more_than_it_promises(tmp_path):
    data = bytearray(encoded("AU", "PCM_16"))
    struct.pack_into(">I", data, 8, len(PCM) // 2)
    assert f"{len(PCM) // 2:,} bytes more than" in refusal(saved(tmp_path, data))


def test_wav_with_half_a_frame_at_its_end(tmp_path):
    path = saved(tmp_path, wav(PCM + b"\1", 0xFFFFFFFF, 0xFFFFFFFF))
    assert read_header(path).frames == len(read_audio(path)[0]) == len(NOISE)


def test_wav_that_really_is_cut_says_so(tmp_path):
    assert "1,234 of 65,234 bytes of samples are missing" in refusal(saved(tmp_path, wav(PCM, 65270, 65234)))


@pytest.mark.parametrize("promised", [1000, len(PCM) // 2])
def test_wav_with_more_samples_than_promised_is_refused_with_the_remedy(tmp_path, promised):
    line = refusal(saved(tmp_path, wav(PCM, 36 + promised, promised)))
    assert f"{len(PCM) - promised:,} bytes more" in line and "ffmpeg -ignore_length 1" in line


@pytest.mark.parametrize(
    "behind", [b"LIST\4\0\0\0abcd", bytes(20000), b"TAG" + bytes(125), b"\0"], ids=["chunk", "zeros", "tag", "a byte"]
)
def test_what_may_follow_the_samples_of_a_wav(tmp_path, behind):
    check_reads(saved(tmp_path, wav(PCM + behind, 36 + len(PCM), len(PCM))), decoded(wav(PCM, 36, len(PCM))))


# --- What libsndfile opens, and seeks in or not


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "MS_ADPCM", "IMA_ADPCM"])
def test_telephone_wavs_are_decoded_from_their_start(tmp_path, subtype):
    data = encoded("WAV", subtype, NOISE, 8000)
    check_reads(saved(tmp_path, data), decoded(data))


@pytest.mark.parametrize(
    ("form", "subtype"), [("AIFF", "PCM_16"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("SVX", "PCM_16"), ("CAF", "PCM_16")]
)
def test_other_containers_whole_and_cut(tmp_path, form, subtype):
    data = encoded(form, subtype)
    check_reads(saved(tmp_path, data), decoded(data))
    assert "truncated" in (line := refusal(saved(tmp_path, data[: len(data) // 2]))) or "ffmpeg -i" in line


def test_a_size_that_counts_its_own_header(tmp_path):
    data = bytearray(encoded("AIFF", "PCM_16"))
    struct.pack_into(">I", data, 4, len(data))
    check_reads(saved(tmp_path, data), decoded(data))


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "MS_ADPCM"])
def test_cut_telephone_wavs(tmp_path, subtype):
    data = encoded("WAV", subtype, NOISE, 8000)
    assert "truncated" in refusal(saved(tmp_path, data[: len(data) // 2]))


# --- MP3, raw AAC and Ogg


MP3 = encoded("MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.2)
COUNTED = mpeg.parse(MP3[:7]).size  # bytes of the frame in front, which counts the others
DELAY = 529  # samples that a decoder leaves out at the start, where frames are counted


def frames_of(tmp_path, data) -> int:
    with opened(saved(tmp_path, data, "frames.mp3")) as file:
        return mpeg.read_frames(file).count


def test_an_mp3_that_counts_its_frames_is_left_as_it_is(tmp_path):
    check_reads(saved(tmp_path, MP3), decoded(MP3))


@pytest.mark.parametrize("front", [b"", b"ID3\x04\0\0\0\0\1\0" + bytes(128)], ids=["bare", "tagged"])
def test_an_mp3_of_varying_bit_rate_that_counts_nothing(tmp_path, front):
    bare = MP3[COUNTED:]
    path = saved(tmp_path, front + bare)
    frames = 576 * frames_of(tmp_path, bare)
    assert len(decoded(bare)) < 0.9 * frames  # why it takes more than libsndfile
    samples, _ = read_audio(path)
    assert read_header(path).frames == len(samples) and frames - DELAY <= len(samples) <= frames
    whole = decoded(MP3)  # without the encoder's delay, which its front frame tells, and the decoder's
    lag = 576
    assert np.abs(samples[4000 + lag : 24000 + lag] - whole[4000:24000]).max() < 1e-5


def test_joined_mp3s_are_read_through(tmp_path):
    path = saved(tmp_path, MP3 + MP3)
    assert read_header(path).frames == 2 * 576 * frames_of(tmp_path, MP3) - DELAY
    assert len(read_audio(path)[0]) == read_header(path).frames


def test_mp3s_of_two_rates_that_were_joined(tmp_path):
    other = encoded("MP3", "MPEG_LAYER_III", NOISE, 44100)
    assert "joins sound of 16000 Hz and of 44100 Hz" in refusal(saved(tmp_path, MP3 + other))


def test_a_cut_mp3(tmp_path):
    assert "frames are missing" in refusal(saved(tmp_path, MP3[: len(MP3) // 2]))
    path = saved(tmp_path, MP3[len(MP3) // 2 :], "a.MP3")  # the other half, which begins within a frame
    whole = 576 * frames_of(tmp_path, MP3)
    assert 0 < read_header(path).frames < whole and len(read_audio(path)[0]) == read_header(path).frames


def test_an_mp3_with_large_tags_says_nothing_on_stderr(tmp_path, capfd):
    plain = read_audio(saved(tmp_path, MP3, "plain.mp3"))[0]
    path = saved(tmp_path, MP3 + b"APETAGEX" + bytes(len(MP3)) + b"TAG" + bytes(125), "tagged.mp3")
    np.testing.assert_array_equal(read_audio(path)[0], plain)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data", [b"\xff\xfb\x90\0" * 500, b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + MP3[:2000], b"no sound " * 900]
)
def test_what_is_called_an_mp3_and_holds_no_frame(tmp_path, data, capfd):
    assert "holds no MP3 frames; copy it again, convert it" in refusal(saved(tmp_path, data, "a.mp3"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "head"), [("a.mp3", MP3[:3000]), ("a.flac", encoded("FLAC", "PCM_16")[:500])])
def test_a_file_of_which_the_most_is_a_hole_is_given_up(tmp_path, name, head):
    path = saved(tmp_path, head, name)
    with open(path, "r+b") as handle:
        handle.truncate(1 << 34)  # 16 GB, of which 3 kB are written
    assert "copy it again" in refusal(path)


# --- What only ffmpeg reads


def matroska(size: int, data: bytes = bytes(1000)) -> bytes:
    """A header, and a segment of `size` bytes, in a field of 8; -1 for one whose length is open."""
    width = (size if size >= 0 else (1 << 56) - 1) | 1 << 56
    return b"\x1aE\xdf\xa3\x84abcd\x18S\x80g" + width.to_bytes(8, "big") + data


def test_a_matroska_that_is_cut(tmp_path):
    with pytest.raises(AffectkitError, match="is truncated: 500 bytes are missing"):
        read_audio(saved(tmp_path, matroska(1500), "a.webm"))
    for whole in (matroska(1000), matroska(-1)):
        with opened(saved(tmp_path, whole, "a.webm")) as file:
            chunks.check_whole(file)


@pytest.mark.parametrize("ending", [".webm", ".mka", ".m4a", ".wma"])
def test_the_length_of_what_only_ffmpeg_reads(tmp_path, monkeypatch, ending):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    source, path = saved(tmp_path, encoded("WAV", "PCM_16"), "a.wav"), tmp_path / f"b{ending}"
    options = ["-movflags", "frag_keyframe+empty_moov"] if ending == ".m4a" else []
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, path], check=True, stdin=subprocess.DEVNULL)
    header = read_length(path)
    samples, rate = read_audio(path)
    assert abs(header.duration - len(samples) / rate) < 0.1 and abs(header.duration - 2) < 0.2
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AffectkitError, match="ffmpeg -"):
        read_length(path)


def test_a_video_without_sound_whose_length_is_not_said(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    source = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:s=32x32:rate=5:duration=1"]
    subprocess.run([*source, "-c:v", "mpeg4", tmp_path / "a.mkv"], check=True, stdin=subprocess.DEVNULL)
    with pytest.raises(AffectkitError, match="whose header is not read here; convert it"):
        read_length(tmp_path / "a.mkv")
    with pytest.raises(AffectkitError, match="ffmpeg cannot decode it: no sound track; copy it again"):
        read_audio(tmp_path / "a.mkv")


def adts(payload: int = 100, rate_index: int = 4, channels: int = 2) -> bytes:
    size = payload + 7
    head = [0xFF, 0xF1, 1 << 6 | rate_index << 2 | channels >> 2, (channels & 3) << 6 | size >> 11]
    return bytes([*head, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC]) + bytes(payload)


def test_raw_aac(tmp_path, monkeypatch):
    path = saved(tmp_path, adts() * 20)
    header = read_header(path)
    assert (header.frames, header.rate, header.channels, header.format) == (20 * 1024, 44100, 2, "AAC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AffectkitError, match="raw AAC needs ffmpeg"):
        read_audio(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_of_several_recordings(tmp_path, subtype):
    parts = [encoded("OGG", subtype, NOISE[:length]) for length in (20000, 8000, 12000)]
    samples = np.concatenate([decoded(part) for part in parts])
    path = saved(tmp_path, b"".join(parts))
    assert read_header(path).frames == len(samples) == 40000
    np.testing.assert_array_equal(read_audio(path)[0], samples)
    across, _ = read_audio(path, start_sec=19000 / RATE, end_sec=29000 / RATE)
    np.testing.assert_allclose(across, samples[19000:29000], atol=1e-5)


def test_an_ogg_of_recordings_of_several_rates(tmp_path):
    parts = [encoded("OGG", "VORBIS", NOISE, rate) for rate in (16000, 8000)]
    assert "several sampling rates" in refusal(saved(tmp_path, b"".join(parts)))


# --- Numbers that no recording has


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 50_000_017, 800_000_000])
@pytest.mark.parametrize("form", ["WAV", "AU", "AIFF"])
def test_rates_that_no_recording_has(tmp_path, rate, form):
    data = bytearray(wav(PCM, 36 + len(PCM), len(PCM), rate) if form == "WAV" else encoded(form, "PCM_16"))
    if form == "AU":
        struct.pack_into(">I", data, 16, rate)
    if form == "AIFF":  # an extended float of 80 bits
        exponent = rate.bit_length() - 1
        struct.pack_into(">HQ", data, data.index(b"COMM") + 16, 16383 + exponent, rate << 63 - exponent)
    assert f"its rate is {rate:,} Hz" in refusal(saved(tmp_path, data))


def test_a_rate_of_zero(tmp_path):
    assert "its rate is 0 Hz" in refusal(saved(tmp_path, wav(PCM, 36 + len(PCM), len(PCM), 0)))


@pytest.mark.parametrize("rate", [1000, 1_000_000])
def test_rates_at_the_limits(tmp_path, rate):
    assert read_header(saved(tmp_path, wav(PCM, 36, len(PCM), rate))).rate == rate


def test_more_channels_than_any_array_has(tmp_path):
    assert "1,000 channels" in refusal(saved(tmp_path, wav(PCM, 36 + len(PCM), len(PCM), channels=1000)))


def test_a_segment_is_held_in_bounded_memory(tmp_path, monkeypatch):
    path = saved(tmp_path, wav(PCM, 36 + len(PCM), len(PCM)))
    monkeypatch.setattr(audio, "MOST_SAMPLES", 20000)
    with pytest.raises(AffectkitError, match="32,000 samples to be held at once: the limit is 20,000"):
        read_audio(path)
    assert len(read_audio(path, end_sec=1.0)[0]) == RATE
    with pytest.raises(AffectkitError, match="48,000 samples"):
        read_audio(path, rate=48000, end_sec=1.0)


@pytest.mark.parametrize("block", [1, 999, 5000])
def test_blocks_join_to_the_same_samples(tmp_path, monkeypatch, block):
    path = saved(tmp_path, encoded("FLAC", "PCM_16", np.stack([NOISE, 0.5 * NOISE], axis=1)[:6000]))
    expected = read_audio(path, start_sec=0.1)[0]
    monkeypatch.setattr(audio, "_BLOCK", block)
    np.testing.assert_array_equal(read_audio(path, start_sec=0.1)[0], expected)


@pytest.mark.parametrize("rate", [999_983, 500_009])
def test_a_prime_rate_needs_no_filter_of_gigabytes(rate):
    time = np.arange(rate // 4) / rate
    resampled = resample(np.sin(2 * np.pi * 300 * time).astype(np.float32), rate, RATE)
    assert len(resampled) == 4000
    np.testing.assert_allclose(
        resampled[500:3500], np.sin(2 * np.pi * 300 * np.arange(4000) / RATE)[500:3500], atol=2e-3
    )


MANY = [
    encoded(form, subtype, NOISE[:2000])
    for form, subtype in [
        ("WAV", "PCM_16"), ("WAV", "GSM610"), ("WAV", "MS_ADPCM"), ("RF64", "FLOAT"), ("AIFF", "PCM_16"),
        ("W64", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ]
]  # fmt: skip
MANY += [MP3[:3000], MP3[COUNTED : COUNTED + 3000], adts() * 5, MANY[-2] * 2]
EXTREMES = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whole=st.sampled_from(MANY),
    length=st.floats(0, 1),
    changes=st.lists(st.tuples(st.integers(0, 150), EXTREMES), max_size=8),
    rest=st.binary(max_size=50),
)
def test_damaged_recordings_end_in_samples_or_in_one_line(tmp_path, monkeypatch, whole, length, changes, rest):
    monkeypatch.setenv("PATH", "")  # no ffmpeg
    data = bytearray(whole[: 1 + int(length * len(whole))])
    for place, value in changes:
        data[place % len(data)] = value
    path = saved(tmp_path, data + rest)
    try:
        header = read_header(path)
        samples, rate = read_audio(path)
    except AffectkitError as error:
        assert str(path) in str(error)
    else:
        assert 1000 <= rate <= 1_000_000 and 0 < len(samples) <= header.frames and np.isfinite(samples).all()


# --- Samples


def test_channels_that_cancel_are_not_silence(tmp_path, caplog):
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.stack([0.5 * NOISE, -NOISE], axis=1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "quiet.wav", np.stack([NOISE, -NOISE], axis=1) * 1e-6, RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        assert np.abs(read_audio(path)[0] + 0.25 * NOISE).max() < 1e-6  # half of it is left: a mix
        assert np.abs(read_audio(tmp_path / "quiet.wav")[0]).max() < 1e-9
        assert not caplog.records
        soundfile.write(path, np.stack([0.99 * NOISE, -NOISE], axis=1), RATE, subtype="FLOAT")
        for _ in range(3):
            np.testing.assert_array_equal(read_audio(path)[0], -NOISE)
        np.testing.assert_array_equal(read_audio(path, start_sec=1.0)[0], -NOISE[RATE:])
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its channels cancel each other: channel 2 is taken, as their mean is silent"
    ]


def test_of_many_warnings_the_first_files_are_named(caplog):
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            audio.warn_once("%s is odd in a way of this test", f"{number}.wav")
    assert len(caplog.records) == 6 and "further such files" in caplog.text


def test_16_bit_values_in_a_file_of_floats(tmp_path):
    soundfile.write(tmp_path / "a.wav", 8000 * NOISE, RATE, subtype="FLOAT")
    with pytest.raises(AffectkitError, match=r"where 1 is full scale.*divide them by 32768"):
        read_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", NOISE / NOISE.std(), RATE, subtype="FLOAT")  # of unit variance, which some keep
    assert len(read_audio(tmp_path / "a.wav")[0]) == len(NOISE)
