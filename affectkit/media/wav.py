"""The length of a WAV from its chunks, in a tenth of the time that opening it in libsndfile takes.

RIFF, RF64 and BW64; PCM, float, A-law and mu-law, plain or as WAVE_FORMAT_EXTENSIBLE. Anything else (ADPCM, GSM, odd
block sizes) is left to libsndfile. Sources: Microsoft "Multiple channel audio data and WAVE files"; EBU Tech 3306.
"""

from __future__ import annotations

import struct

from affectkit.errors import AffectkitError
from affectkit.media.files import OpenFile
from affectkit.media.splice import Piece

Facts = tuple[int, int, int, str]  # frames, rate, channels, format

_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")  # tag, channels, rate, bytes per second, block size, bits
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # after the tag, in a KSDATAFORMAT_SUBTYPE
_EXTENSIBLE = 0xFFFE
_BITS = {1: (8, 16, 24, 32), 3: (32, 64), 6: (8,), 7: (8,)}  # PCM, float, A-law, mu-law
_SIZE_IN_DS64 = 0xFFFFFFFF
# Writers to a pipe, which cannot know the size, put one at the edge of what its field holds, less a header, or a round
# number: ffmpeg, sox, arecord, pocket-tts.
_EDGES = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
_NEAR = 1 << 13
_ROUND, _HEADER = 1_000_000, 64
_NEXT = (b"fmt ", b"data", b"LIST", b"fact")  # where one follows a chunk of odd length at once, its padding is missing
_NOTE = 4096  # bytes after the samples that are no chunk, and that nobody needs to hear of


def is_wav(head: bytes) -> bool:
    return head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RF64", b"BW64")


def is_placeholder(size: int) -> bool:
    """Whether a size in a header is what is written where it is not known."""
    at_an_edge = any(abs(size - edge) <= _NEAR for edge in _EDGES)
    return at_an_edge or (size >= 1000 * _ROUND and size % _ROUND < _HEADER)


def read_facts(file: OpenFile) -> tuple[Facts, tuple[Piece, ...]] | None:
    """Frames, rate, channels and "WAV"; and the file as it should read, where its sizes mislead. None where libsndfile
    must be asked.

    Raises "input" if the file ends before its samples do, saying how many bytes are missing, and if much more follows
    them than it promises.
    """
    rate = channels = block = 0
    form, long_size, padded = b"", None, True
    offset = 12
    while offset + 8 <= file.size:
        name, length = _CHUNK.unpack(file.at(offset, 8))
        if name == b"fmt ":
            form = file.at(offset + 8, min(length, 40))
            described = _parse_format(form)
            if described is None:
                return None
            rate, channels, block = described
        elif name == b"ds64":
            long_size = struct.unpack("<Q", file.at(offset + 16, 8).ljust(8, b"\0"))[0]
        elif name == b"data":
            if not block:
                return None
            start = offset + 8
            size = _data_size(file, start, length, long_size)
            facts = (size // block, rate, channels, "WAV")
            promised = long_size if length == _SIZE_IN_DS64 and long_size is not None else length
            return facts, () if size == promised and padded else _with_size(form, start, size // block * block)
        offset += 8 + length
        unpadded = bool(length & 1) and file.at(offset, 4) in _NEXT
        padded &= not unpadded
        offset += length & 1 and not unpadded
    raise file.cut_off("it ends before its samples begin", "copy it again, or drop its row")


def _with_size(form: bytes, start: int, size: int) -> tuple[Piece, ...]:
    """The samples behind a header that tells their size, whatever it is: RF64's."""
    body = b"ds64" + struct.pack("<IQQQI", 28, 4 + 36 + 8 + len(form) + 8 + size, size, 0, 0)
    body += _CHUNK.pack(b"fmt ", len(form)) + form + _CHUNK.pack(b"data", _SIZE_IN_DS64)
    return b"RF64" + b"\xff" * 4 + b"WAVE" + body, range(start, start + size)


def _parse_format(body: bytes) -> tuple[int, int, int] | None:
    """Rate, channels and bytes per frame, where the block size is what the bits say."""
    if len(body) < _FORMAT.size:
        return None
    tag, channels, rate, _, block, bits = _FORMAT.unpack_from(body)
    if tag == _EXTENSIBLE and body[26:40] == _GUID_TAIL:
        tag = body[24] | body[25] << 8
    ordinary = bits in _BITS.get(tag, ()) and channels and block == channels * bits // 8
    return (rate, channels, block) if ordinary else None


def _data_size(file: OpenFile, start: int, length: int, long_size: int | None) -> int:
    """Bytes of samples: as promised, or to the end of the file where the writer could not say."""
    there = file.size - start
    if long_size is not None and length == _SIZE_IN_DS64:
        length = long_size
    if length > there:
        if is_placeholder(length) or length in (file.size, file.size - 8):  # the file's size, not the samples'
            return there
        what = f"{length - there:,} of {length:,} bytes of samples are missing"
        raise file.cut_off(what, "copy it again, or drop its row")
    after = file.at(start + length + (length & 1), 4)
    if after in (b"data", b"RIFF"):
        what = f"joins recordings: {there - length:,} bytes follow the first one's samples"
        raise AffectkitError("input", what, file=file.path, remedy="cut it apart, or drop its row")
    if length == there or _is_chunk(file, start + length + (length & 1)):
        return length
    if length == 0 or (there - length) % (1 << 32) == 0:  # never written, or more than 32 bits hold
        return there
    rest = there - length
    if rest > max(_NOTE, length // 100) and len(set(file.at(start + length, _NOTE))) > 1:
        what = f"holds {rest:,} bytes more than the {length:,} bytes of samples that its header promises"
        remedy = "if they are samples, rewrite it with ffmpeg -ignore_length 1 -i OLD.wav NEW.wav; else with -i alone"
        raise AffectkitError("input", what, file=file.path, remedy=remedy)
    return length


def _is_chunk(file: OpenFile, place: int) -> bool:
    """Whether a chunk begins there that ends within the file, or there is nothing."""
    head = file.at(place, 8)
    if len(head) < 8:
        return True
    name, length = _CHUNK.unpack(head)
    return name.isascii() and bytes(name).decode("latin-1").isprintable() and place + 8 + length <= file.size + 1
