"""What the records beside the inputs know of a prediction's past: how features were scaled, which defects were declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.runs import RECORD
from affectkit.errors import AffectkitError


def lineage(inputs: Iterable[Path]) -> dict[str, Any]:
    """`{"normalization", "declared", "corpora"}` of everything that stands behind `inputs`, as far as it can be found.

    Follows each record to the inputs it names, and those to theirs. Files that have moved since end the trail quietly:
    a record is a help, not a condition.
    """
    scaled: set[str] = set()
    declared: dict[str, None] = {}
    corpora: dict[str, dict[str, Any]] = {}
    for place in _ancestry(inputs):
        options = _record(place).get("options", {})
        if options.get("normalize"):
            scaled.add("transductive" if options["normalize"] == "speaker" else "inductive")
        summary = _read(_folder(place) / "summary.json")
        declared |= dict.fromkeys(summary.get("declared", []))
        for name, corpus in summary.get("corpora", {}).items():
            facts = {key: corpus.get(key) or "" for key in ("title", "licence", "citation")}
            corpora.setdefault(name, {"name": name, **facts})
    # One transductive step anywhere in a chain makes its end transductive.
    normalization = "transductive" if "transductive" in scaled else "inductive" if scaled else "unknown"
    return {"normalization": normalization, "declared": list(declared), "corpora": list(corpora.values())}


def _ancestry(inputs: Iterable[Path]) -> Iterator[Path]:
    """The inputs, then what they were made from, nearest first; each place once."""
    waiting, met = [Path(i) for i in inputs], set()
    while waiting:
        place = waiting.pop(0)
        if place.resolve() in met:
            continue
        met.add(place.resolve())
        yield place
        waiting += [Path(parent) for parent in _record(place).get("parents", [])]


def _record(place: Path) -> dict[str, Any]:
    """The record of a file or a folder: its own, else that of the run folder that wrote it."""
    own = _read(place / RECORD if place.is_dir() else place.with_name(place.name + ".run.json"))
    around = _read(place.parent / RECORD)
    wrote = any(Path(item["path"]).parts[:1] == (place.name,) for item in around.get("outputs", []))
    return own or (around if wrote else {})


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) if path.is_file() else {}
    except AffectkitError:
        return {}
