"""What was heard: one recording's transcript, the journal of a run that hears many, and the cache that runs share."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import misfit, read_json, write_json
from affectkit.artifacts.locks import locked
from affectkit.errors import AffectkitError
from affectkit.plain import parse_json, without_nan

JOURNAL = "transcripts.jsonl"
SILENT = "silent"  # why a text is empty: the level of the recording, or the model, says that nobody speaks
CORPUS, CACHE, HEARD = "corpus", "cache", "heard"  # where a text is from
SOURCES = (CORPUS, CACHE, HEARD)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recording was heard to say. confidence: 0 to 1, NaN where unknown. seconds: that computing it took.

    words: [word, start, end] in seconds. source: "heard" or "cache". why: the text is empty, or the row was skipped.
    key: of the cache.
    """

    text: str
    language: str = ""
    confidence: float = float("nan")
    seconds: float = 0.0
    words: Sequence[Sequence[Any]] = ()
    source: str = HEARD
    why: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text.replace("\0", ""))  # which no table may hold

    @property
    def data(self) -> np.ndarray:
        """Its numbers, which the loop of encoders wants finite; an unknown confidence is none of them."""
        return np.array([self.seconds, *(second for _, *times in self.words for second in times)])


def _share(value: Any) -> bool:
    """null or a number from 0 to 1"""
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)


def _seconds(value: Any) -> bool:
    """a number of seconds"""
    return type(value) in (int, float) and 0 <= value < 1e9


def _word(value: Any) -> bool:
    """a word, its start and its end in seconds"""
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and all(map(_seconds, value[1:]))


_STORED = {
    "text": str, "language": str, "confidence": _share, "seconds": _seconds, "words": [_word], "source?": str,
    "why?": str, "key?": str,
}  # fmt: skip


def _stored(transcript: Transcript) -> dict[str, Any]:
    return without_nan({**asdict(transcript), "words": [list(word) for word in transcript.words]})


def _restored(data: Mapping[str, Any]) -> Transcript:
    known = {item.name: data[item.name] for item in fields(Transcript) if item.name in data}
    return Transcript(**{**known, "confidence": float("nan") if data["confidence"] is None else data["confidence"]})


# --- The journal of a run: a line for each recording as soon as it is heard, so that a killed run goes on behind it


class Journal:
    """rows: what was heard before, by id. recognizer: what hears; a journal of another one is not gone on with.

    Raises "usage" then, and "input" for a file that is no journal; a line that a killed process left unfinished goes.
    """

    def __init__(self, path: Path, recognizer: Mapping[str, Any]) -> None:
        self.path, self.rows = path, {}
        header = json.dumps({"schema": 1, "recognizer": without_nan(recognizer)}, ensure_ascii=False).encode()
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if whole and whole[0].rstrip() != header:
            message = "--resume: was begun with another model, or other weights"
            raise AffectkitError("usage", message, file=path, remedy="use --overwrite")
        self.rows = dict(_entry(path, number, line) for number, line in enumerate(whole[1:], 2))
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - held while the run hears
        self._file.truncate(sum(map(len, whole)))
        if not whole:
            self._append(header + b"\n")

    def write(self, transcripts: Mapping[str, Transcript]) -> None:
        """Add what was heard of some ids, on the disk before it returns."""
        entries = [{"id": key, **_stored(transcript)} for key, transcript in transcripts.items()]
        self._append("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode())
        self.rows |= transcripts

    def _append(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = str(self.path)
            raise

    def close(self) -> None:
        self._file.close()


def _entry(path: Path, number: int, line: bytes) -> tuple[str, Transcript]:
    try:
        data = parse_json(line.decode())
        problem = misfit(data, {"id": str, **_STORED})
    except ValueError as error:
        problem = str(error)
    if problem:
        message = f"line {number} is no transcript: {problem}"
        raise AffectkitError("input", message, file=path, remedy="use --overwrite")
    return data["id"], _restored(data)


# --- The cache that runs share: answers by what was heard, by which model, and how


_CACHE = {"kind": str, "entries": {str: _STORED}}
_KIND = "affectkit asr cache"
_PATIENCE_SEC, _SAVE_SEC = 60.0, 30.0


def key_of(samples: np.ndarray, rate: int, recognizer: Mapping[str, Any], language: str) -> str:
    """Of an answer: SHA-256 of the samples, the recognizer's record, and the language that it is told."""
    facts = json.dumps([rate, without_nan(recognizer), language], sort_keys=True, ensure_ascii=False)
    sha = hashlib.sha256(facts.encode())
    sha.update(np.ascontiguousarray(samples, dtype="<f4").data)
    return sha.hexdigest()


@dataclass
class Cache:
    """Answers in a JSON file, or none where there is no path. Failures and empty answers are never kept.

    Several processes may share the file: each adds what it has to what is there. entries: by key, as they are stored.
    """

    path: Path | None = None
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    _new: dict[str, dict[str, Any]] = field(default_factory=dict)
    _saved: float = field(default_factory=time.monotonic)

    @classmethod
    def read(cls, path: Path | None) -> Cache:
        """Raises "input" for a damaged file, OSError for a place that cannot be written."""
        if path is None:
            return cls()
        path = Path(os.path.realpath(path))  # a link stays one
        with _lock(path):
            return cls(path, _entries(path))

    def get(self, key: str) -> Transcript | None:
        entry = self.entries.get(key)
        return _restored({**entry, "key": key}) if entry else None

    def add(self, transcripts: Iterable[Transcript]) -> None:
        """Keep the answers that are heard and not empty; on the disk now and then, and at last by `save`."""
        if self.path is None:
            return
        fresh = {t.key: _kept(t) for t in transcripts if t.key and t.text and t.key not in self.entries}
        self.entries |= fresh
        self._new |= fresh
        if time.monotonic() - self._saved > _SAVE_SEC:
            self.save()

    def save(self) -> None:
        """Write what is new, beside what others have written meanwhile."""
        if self.path is None or not self._new:
            return
        with _lock(self.path):
            self.entries = dict(sorted({**_entries(self.path), **self._new}.items()))
            write_json(self.path, {"kind": _KIND, "entries": self.entries})
        self._new, self._saved = {}, time.monotonic()


def _lock(path: Path) -> AbstractContextManager[None]:
    return locked(path.parent, path.with_name(f".{path.name}.lock"), patience=_PATIENCE_SEC)


def _kept(transcript: Transcript) -> dict[str, Any]:
    return {name: value for name, value in _stored(transcript).items() if name not in ("source", "why", "key")}


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    remedy = "restore it, or name another file: it is left as it is"
    try:
        data = read_json(path, what="cache of transcripts", shape=_CACHE)
    except AffectkitError as error:
        raise AffectkitError(error.code, error.message, file=path, remedy=remedy) from None
    if data["kind"] != _KIND:
        raise AffectkitError("input", "is no cache of transcripts", file=path, remedy=remedy)
    return {key: entry for key, entry in data["entries"].items() if entry["text"].strip()}


def heard_by(transcripts: Mapping[str, Any]) -> dict[str, int]:
    """How many texts each model heard, the latest model first. transcripts: of a `summary.json`."""
    before = transcripts.get("before", {})
    heard = transcripts["counts"]["heard"] + transcripts["counts"]["cache"] - sum(before.values())
    return {transcripts["model"]: heard + before.get(transcripts["model"], 0)} | {
        model: count for model, count in before.items() if model != transcripts["model"]
    }
