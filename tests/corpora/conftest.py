"""Tiny hand-made corpora: placeholders of media, and readers' answers sorted into rows and reasons."""

import struct

import pytest

from affectkit.corpora._corpus import Dropped, Note

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 98765\n"


@pytest.fixture
def wav():
    """Write a placeholder WAV of 200 zero samples at 16 kHz, made here byte by byte: `wav(path)`."""
    header = b"RIFF" + struct.pack("<I", 436) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    data = header + b"data" + struct.pack("<I", 400) + bytes(400)

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def pointer():
    """Write what Git LFS leaves in place of a file."""

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(POINTER)
        return path

    return write


@pytest.fixture
def gathered():
    """`rows, reasons = gathered(items)`: rows by id, and the reason for each dropped path."""

    def sort(items):
        rows, reasons = {}, {}
        for item in items:
            if isinstance(item, Dropped):
                reasons[item.path] = item.reason
            elif not isinstance(item, Note):
                assert item["id"] not in rows
                rows[item["id"]] = item
        return rows, reasons

    return sort
