"""Videos of drawn pictures, without a codec: JPEGs in an MP4 (ISO/IEC 14496-12), each with a time of its own."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectkit.synthesis.twins import PICTURE_COMMENT

SCALE = 90_000  # units a second: 29.97 frames a second are 3003 each


def write_film(path: Path, images: Sequence[np.ndarray], times: Sequence[float], end: float) -> None:
    """Write pictures [H, W, 3] uint8 of one size as a video without sound.

    times: seconds of each, from 0 and rising; at any rate, which may vary. end: when the last one is over.
    """
    pictures = [_jpeg(image) for image in images]
    starts = np.rint(np.array([*times, end]) * SCALE).astype(int)
    height, width = images[0].shape[:2]
    head = _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    data = _box(b"mdat", b"".join(pictures))
    offsets = len(head) + 8 + np.cumsum([0, *map(len, pictures[:-1])])
    movie = _movie([len(p) for p in pictures], offsets.tolist(), np.diff(starts).tolist(), width, height)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + data + movie)


def _jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(image).save(written, "JPEG", quality=80, comment=PICTURE_COMMENT.encode())
    return written.getvalue()


def _box(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + name + body


def _full(name: bytes, *bodies: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), *bodies)


MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # as it is: neither turned nor scaled


def _movie(sizes: list[int], offsets: list[int], lasting: list[int], width: int, height: int) -> bytes:
    """The movie box: how large each picture is, where it stands, and how long it lasts, in units of `SCALE`."""
    length = sum(lasting)
    header = struct.pack(">IIIIIH10x", 0, 0, SCALE, length, 0x10000, 0x100) + MATRIX + bytes(24) + struct.pack(">I", 2)
    track = struct.pack(">IIIII8xhhhH", 0, 0, 1, 0, length, 0, 0, 0, 0) + MATRIX
    track += struct.pack(">II", width << 16, height << 16)
    media = _box(
        b"mdia",
        _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, SCALE, length, 0x55C4, 0)),
        _full(b"hdlr", b"\0\0\0\0vide", bytes(12), b"drawn\0"),
        _box(
            b"minf",
            _full(b"vmhd", bytes(8), flags=1),
            _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))),
            _samples(sizes, offsets, lasting, width, height),
        ),
    )
    return _box(b"moov", _full(b"mvhd", header), _box(b"trak", _full(b"tkhd", track, flags=3), media))


def _samples(sizes: list[int], offsets: list[int], lasting: list[int], width: int, height: int) -> bytes:
    count = len(sizes)
    entry = struct.pack(">6xH16xHHIIIH", 1, width, height, 0x480000, 0x480000, 0, 1) + bytes(32) + b"\0\x18\xff\xff"
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _box(b"jpeg", entry)),
        _full(b"stts", struct.pack(">I", count), *(struct.pack(">II", 1, ticks) for ticks in lasting)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        _full(b"stsz", struct.pack(">II", 0, count), struct.pack(f">{count}I", *sizes)),
        _full(b"stco", struct.pack(">I", count), struct.pack(f">{count}I", *offsets)),
    )
