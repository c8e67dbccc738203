"""What the records beside the inputs know of their past: corpora, declared defects, how features were scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.manifest import SUMMARY, read_summary
from affectkit.artifacts.models import BEST, SPEC, read_spec
from affectkit.artifacts.records import RECORD, digest, file_record, read_record
from affectkit.artifacts.sources import PREDICTIONS
from affectkit.errors import AffectkitError
from affectkit.results.words import texts


def lineage(inputs: Iterable[Path]) -> dict[str, Any]:
    """`{"normalization", "declared", "corpora"}` of what stands behind `inputs`, as far as it can be found; `"texts"`
    too, a sentence for each manifest whose texts were transcribed, where there is any; of several whose texts have
    the same sources, for the largest: the others are mostly its parts.

    Follows each record to the inputs it names, and those to theirs. Files that have moved since end the trail quietly:
    a record is a help, not a condition.
    """
    scaled: set[str] = set()
    declared: dict[str, None] = {}
    undeclared: dict[str, None] = {}
    trusted_tables: dict[str, None] = {}
    corpora: dict[str, dict[str, Any]] = {}
    transcripts: dict[tuple[Any, ...], tuple[int, str]] = {}
    older: set[Path] = set()  # manifests that were transcribed again since
    for place in _ancestry(inputs):
        # As a model folder says, which may have come without its run; else as the record says.
        folder = place if place.is_dir() else place.parent
        beside = [folder / BEST] if place.name == PREDICTIONS else []
        specs = [_spec(model) for model in (place, place / BEST, *beside)]
        known = filter(None, (facts.get("normalize") for facts in (*specs, _record(place).get("options", {}))))
        if normalize := next(known, None):
            scaled.add("transductive" if normalize == "speaker" else "inductive")
        undeclared |= dict.fromkeys(sentence for spec in specs for sentence in straddling(spec))
        trusted_tables |= dict.fromkeys(name for spec in specs for name in spec.get("on_trust", []))
        summary = _read(read_summary, folder / SUMMARY)
        declared |= dict.fromkeys(summary.get("declared", []))
        if heard := summary.get("transcripts"):
            counts = heard["counts"]
            sources = heard["model"], counts["corpus"] > 0, counts["heard"] + counts["cache"] > 0, counts["empty"] > 0
            if folder.resolve() not in older:
                transcripts[sources] = max(transcripts.get(sources, (0, "")), (sum(counts.values()), texts(heard)))
            older |= {path if path.is_dir() else path.parent for path in map(Path.resolve, _parents(folder))}
        for name, corpus in summary.get("corpora", {}).items():
            facts = {key: corpus.get(key) or "" for key in ("title", "licence", "citation")}
            facts |= {"scores": corpus["scores"]} if corpus.get("scores") else {}
            entry = corpora.setdefault(name, {"name": name, **facts, "synthetic": bool(corpus.get("synthetic"))})
            # A study may join manifests of one corpus, of which one alone has something to be noted.
            if notes := dict.fromkeys([*entry.get("notes", []), *corpus.get("notes", [])]):
                entry["notes"] = list(notes)
    # One transductive step anywhere in a chain makes its end transductive.
    normalization = "transductive" if "transductive" in scaled else "inductive" if scaled else "unknown"
    defects = list(declared or undeclared)
    if trusted_tables:
        defects.append(f"predictions of {', '.join(trusted_tables)} were taken as held out on trust (no column 'seen')")
    past = {"normalization": normalization, "declared": defects, "corpora": list(corpora.values())}
    return past | ({"texts": [sentence for _, sentence in transcripts.values()]} if transcripts else {})


def straddling(spec: Mapping[str, Any]) -> list[str]:
    """What reports must repeat of a model whose split lets groups straddle, where its manifest declares nothing: one
    sentence, or none. spec: what its `affectkit.json` says."""
    what = "some stand on both sides of the split, which its manifest does not declare"
    return [f"{spec['group']}: {what}"] if spec.get("groups_straddle") and spec.get("group") else []


def digests(inputs: Iterable[Path]) -> list[dict[str, Any]]:
    """`{"name", "size", "sha256"}` of each file, those of folders included.

    By name, not by path: the same inputs give the same report wherever they lie.
    """
    rows = []
    for place in inputs:
        facts = digest(place)
        for file in facts.get("files", [facts]):
            name = f"{place.name}/{file['path']}" if "files" in facts else place.name
            rows.append({"name": name, "size": file["size"], "sha256": file["sha256"]})
    return rows


def _ancestry(inputs: Iterable[Path]) -> Iterator[Path]:
    """The inputs, then what they were made from, nearest first; each place once."""
    waiting, met = [Path(i) for i in inputs], set()
    while waiting:
        place = waiting.pop(0)
        if place.resolve() in met:
            continue
        met.add(place.resolve())
        yield place
        waiting += _parents(place)


def _parents(place: Path) -> list[Path]:
    return [Path(parent) for parent in _record(place).get("parents", [])]


def _record(place: Path) -> dict[str, Any]:
    """The record of a file or a folder: its own, else that of the run folder that wrote it."""
    if record := _read(read_record, place / RECORD if place.is_dir() else file_record(place)):
        return record
    for folder in list(place.parents)[:3]:  # a subset of an ablation lies two folders below
        record, inside = _read(read_record, folder / RECORD), place.relative_to(folder)
        if any(Path(item["path"]).is_relative_to(inside) for item in record.get("outputs", [])):
            return record
    return {}


def _read(reader: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    try:
        return reader(path) if path.is_file() else {}
    except AffectkitError:
        return {}


def _spec(model: Path) -> dict[str, Any]:
    return _read(lambda _: read_spec(model), model / SPEC)


def digests_at_start(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `digests` said of a source when a run began. item: of `inputs` in `started.json`; of a run folder its
    predictions are what was read."""
    files = item.get("files")
    if files is None:
        return [{"name": Path(item["path"]).name, "size": item["size"], "sha256": item["sha256"]}]
    predictions = [{**file, "name": PREDICTIONS} for file in files if file["path"] == PREDICTIONS]
    folder = Path(item["path"]).name
    chosen = predictions or [{**file, "name": f"{folder}/{file['path']}"} for file in files]
    return [{key: file[key] for key in ("name", "size", "sha256")} for file in chosen]
