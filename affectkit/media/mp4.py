"""The length of an MP4 or MOV from its atoms (ISO/IEC 14496-12): the sound track's, else the whole movie's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from affectkit.errors import AffectkitError
from affectkit.media.files import LengthUnknown, OpenFile, opened

_MOST_PLAYED = 2  # times a track's own length: an edit list may begin with a pause
Span = tuple[int, int]  # first and last byte (exclusive) of an atom's body


def is_mp4(head: bytes) -> bool:
    name = head[4:8]  # the last three are English words: a text may hold them there, but begins with no zero byte
    return name in (b"ftyp", b"moov", b"mdat") or (name in (b"free", b"skip", b"wide") and head[0] == 0)


def read_facts(file: OpenFile) -> tuple[int, int, int, str]:
    """Length, units per second, channels (0 without sound) and "MP4".

    Raises "input" if the file is cut off, has no movie header, or is fragmented without a duration.
    """
    check_whole(file)
    movie = _find(file, (b"moov",), 0, file.size)
    header = movie and _find(file, (b"mvhd",), *movie)
    if movie is None or header is None:
        raise AffectkitError("input", "is not a video: it has no movie header (moov)", file=file.path)
    length, scale = _length_and_scale(file, header)
    extended = _find(file, (b"mvex", b"mehd"), *movie) if length == 0 else None
    if extended:  # the length of a fragmented one
        length = int.from_bytes(file.at(extended[0] + 4, 8 if file.at(extended[0], 1) == b"\1" else 4), "big")
    facts = _sound_track(file, movie, scale) or (length, scale, 0, "MP4")
    if facts[0] == 0 or facts[1] == 0:
        what = "its movie header gives no duration (a fragmented MP4)"
        raise LengthUnknown("input", what, file=file.path, remedy="rewrite it with ffmpeg -i OLD -c copy NEW")
    return facts


def check_whole(file: OpenFile) -> None:
    """Raise "input" if the file ends before its last atom does."""
    for _ in _atoms(file, 0, file.size):
        pass


def _atoms(file: OpenFile, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        head = file.at(start, 8)
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        body = start + 8
        if size == 1:
            size, body = int.from_bytes(file.at(body, 8), "big"), body + 8
        elif size == 0:  # to the end of the file
            size = end - start
        if size < body - start:
            raise AffectkitError("input", f"is malformed: an atom of {size} bytes at byte {start}", file=file.path)
        if start + size > end:
            raise file.cut_off(f"{start + size - end:,} bytes are missing at the end")
        yield name, body, start + size
        start += size


def _find(file: OpenFile, names: tuple[bytes, ...], start: int, end: int) -> Span | None:
    """The body of the first atom along a path of names."""
    span = next(((body, stop) for name, body, stop in _atoms(file, start, end) if name == names[0]), None)
    return span if span is None or len(names) == 1 else _find(file, names[1:], *span)


def _sound_track(file: OpenFile, movie: Span, movie_scale: int) -> tuple[int, int, int, str] | None:
    for name, *span in _atoms(file, *movie):
        if name != b"trak":
            continue
        start, end = span
        handler = _find(file, (b"mdia", b"hdlr"), start, end)
        header = _find(file, (b"mdia", b"mdhd"), start, end)
        if handler and header and file.at(handler[0] + 8, 4) == b"soun":
            length, scale = _length_and_scale(file, header)
            played = _played_length(file, start, end, scale, movie_scale)
            length = played if 0 < played <= _MOST_PLAYED * length or not length else length
            described = _find(file, (b"mdia", b"minf", b"stbl", b"stsd"), start, end)
            # The first sample entry follows 8 bytes; its channel count stands 24 bytes into it.
            channels = int.from_bytes(file.at(described[0] + 8 + 24, 2), "big") if described else 0
            return (length, scale, channels, "MP4") if length else None
    return None


def _played_length(file: OpenFile, start: int, end: int, scale: int, movie_scale: int) -> int:
    """A track's length after its edit list, which cuts the encoder's priming (46 ms of AAC at 22 kHz); 0: unknown."""
    header = _find(file, (b"tkhd",), start, end)
    if header is None or not movie_scale:
        return 0
    long = file.at(header[0], 1) == b"\1"
    raw = file.at(header[0] + (28 if long else 20), 8 if long else 4)
    return 0 if raw.strip(b"\xff") == b"" else round(int.from_bytes(raw, "big") * scale / movie_scale)


def _length_and_scale(file: OpenFile, header: Span) -> tuple[int, int]:
    """Duration (0: unknown) and units per second of an mvhd or mdhd atom, version 0 or 1."""
    long = file.at(header[0], 1) == b"\1"
    width = 8 if long else 4
    raw = file.at(header[0] + (20 if long else 12), 4 + width)
    scale, length = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")
    return (0 if length == (1 << 8 * width) - 1 else length), scale


# --- How many pictures a second


def frame_rate(path: str | Path) -> float | None:
    """Pictures per second of the first track of pictures, on average; 0 of a track that is empty or says no time, None
    where there is no such track, or no MP4."""
    with opened(path) as file:
        movie = _find(file, (b"moov",), 0, file.size) if is_mp4(file.head) else None
        if movie is None or _find(file, (b"mvex",), *movie):  # fragmented: its pictures are counted elsewhere
            return None
        header = _find(file, (b"mvhd",), *movie)
        if header and _length_and_scale(file, header)[1] == 0:
            return 0.0
        for start, end in _picture_tracks(file, movie):
            header = _find(file, (b"mdia", b"mdhd"), start, end)
            length, scale = _length_and_scale(file, header) if header else (0, 0)
            sizes = _find(file, (b"mdia", b"minf", b"stbl", b"stsz"), start, end)
            count = int.from_bytes(file.at(sizes[0] + 8, 4), "big") if sizes else 0
            return count * scale / length if length else 0.0
    return None


def has_pictures(file: OpenFile) -> bool:
    """Whether there is a track of them."""
    movie = _find(file, (b"moov",), 0, file.size) if is_mp4(file.head) else None
    return movie is not None and any(True for _ in _picture_tracks(file, movie))


def _picture_tracks(file: OpenFile, movie: Span) -> Iterator[Span]:
    for name, start, end in _atoms(file, *movie):
        handler = _find(file, (b"mdia", b"hdlr"), start, end) if name == b"trak" else None
        if handler and file.at(handler[0] + 8, 4) == b"vide":
            yield start, end
