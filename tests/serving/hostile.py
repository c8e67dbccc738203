"""Uploads that no service should fall for: (name, bytes, file name, content type)."""

import io
import os
import struct
import subprocess
import zipfile

import numpy as np
import soundfile

WAV = "audio/wav"


def wav(samples, rate=16000, subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format="WAV")
    return file.getvalue()


def header(*, rate=16000, channels=1, bits=16, size=32000, riff=None, kind=1):
    """A RIFF header that may say anything, and two samples."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", kind, channels & 0xFFFF, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + b"\0" * 4
    return b"RIFF" + struct.pack("<I", len(chunks) + 4 if riff is None else riff) + b"WAVE" + chunks


def silence(seconds, rate, form, subtype, channels=1):
    """Hours in some kilobytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=form) as sound:
        for _ in range(int(seconds // 60)):
            sound.write(np.zeros((60 * rate, channels), np.int16))
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.wav", b"\0" * 10_000_000)
    return file.getvalue()


def lengthened(opus, seconds):
    """An Opus file whose last page says that it ends so late (RFC 7845: samples of 48 kHz)."""
    at = opus.rindex(b"OggS")
    page = bytearray(opus[at:])
    page[6:14] = struct.pack("<q", 48000 * seconds)
    page[22:26] = b"\0" * 4
    page[22:26] = struct.pack("<I", crc(page))
    return opus[:at] + bytes(page)


def crc(page):
    """Of an Ogg page (RFC 3533)."""
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1 ^ 0x04C11DB7 if total & 0x80000000 else total << 1) & 0xFFFFFFFF
    return total


def streamed(folder, seconds):
    """Silence in Matroska, whose header says no length, as browsers record it."""
    path = folder / "streamed.webm"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", str(seconds)]
    subprocess.run([*command, "-c:a", "libopus", "-live", "1", "-y", path], check=True)
    return path.read_bytes()


def cases():
    tone = (0.3 * np.sin(np.arange(16000) / 5)).astype(np.float32)
    good = wav(tone)
    holes = tone.copy()
    holes[100] = np.nan
    flac = io.BytesIO()
    soundfile.write(flac, tone, 16000, format="FLAC")
    return [
        ("truncated wav", good[:2000], "a.wav", WAV),
        ("header alone", good[:44], "a.wav", WAV),
        ("half a header", good[:20], "a.wav", WAV),
        ("data of 4 GB", header(size=0xFFFFFFF0), "a.wav", WAV),
        ("riff of 4 GB", header(riff=0xFFFFFFF0, size=4_000_000), "a.wav", WAV),
        ("truncated flac", flac.getvalue()[:400], "a.flac", "audio/flac"),
        ("8 hours of opus", lengthened(silence(60, 8000, "OGG", "OPUS"), 28800), "a.opus", "audio/ogg"),
        ("8 hours of flac", silence(28800, 1000, "FLAC", "PCM_16"), "a.flac", "audio/flac"),
        ("zip called wav", zipped(), "a.wav", WAV),
        ("no bytes", b"", "a.wav", WAV),
        ("no samples", wav(np.zeros(0, np.float32)), "a.wav", WAV),
        ("1 sample", wav(tone[:1]), "a.wav", WAV),
        ("10 samples", wav(tone[:10]), "a.wav", WAV),
        ("NaN", wav(holes, subtype="FLOAT"), "a.wav", WAV),
        ("infinite", wav(np.where(np.isnan(holes), np.inf, holes), subtype="FLOAT"), "a.wav", WAV),
        ("16-bit values as floats", wav(20000 * tone, subtype="FLOAT"), "a.wav", WAV),
        ("1000 channels", wav(np.zeros((160, 1000), np.float32)), "a.wav", WAV),
        ("65535 channels", header(channels=65535), "a.wav", WAV),
        ("8 Hz", wav(tone[:80], rate=8), "a.wav", WAV),
        ("0 Hz", header(rate=0), "a.wav", WAV),
        ("4 GHz", header(rate=0xFFFFFFFF), "a.wav", WAV),
        ("0 bits", header(bits=0), "a.wav", WAV),
        ("unknown codec", header(kind=0xABCD), "a.wav", WAV),
        ("random bytes", np.random.default_rng(0).bytes(50_000), "a.wav", WAV),
        ("text", b"hello " * 1000, "a.wav", "text/plain"),
        ("a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "a.png", "image/png"),
        ("a script", b"#!/bin/sh\nrm -rf /\n", "../../../etc/passwd", WAV),
        ("a path as a name", b"x", "/etc/passwd", WAV),
        ("escapes as a name", b"x", "\x1b[2J\x1b[31mred\u202egpj.wav", WAV),
        ("a long name", b"x", "a" * 5000 + ".wav", WAV),
        ("an LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a.wav", WAV),
        ("nested ogg", b"OggS" * 5000, "a.ogg", "audio/ogg"),
        ("an mp4 of zeros", b"\0\0\0\x18ftypmp42" + b"\0" * 5000, "a.mp4", "video/mp4"),
        ("an mp3 of noise", b"\xff\xfb\x90\x00" + os.urandom(2000), "a.mp3", "audio/mpeg"),
    ]
