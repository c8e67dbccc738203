"""What an encoder is, and the record from which it is built again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.media import Header, read_headers
from affectkit.media.cuts import parse_stretches
from affectkit.media.video import VIDEO
from affectkit.registry import Option

if TYPE_CHECKING:
    import scipy.sparse
    import torch

    from affectkit.artifacts.manifest import Manifest

logger = logging.getLogger(__name__)

Reads = Literal["audio", "text", "images", "arrays", "series"]
Layer = int | Literal["last", "all"]

# Options that several encoders share.
CheckpointOpt = Annotated[
    str,
    Option(
        "Hugging Face hub id, local folder, or tiny-random:ARCHITECTURE; for open-clip and "
        "timm, ARCHITECTURE/TAG or ARCHITECTURE/FILE."
    ),
]
RevisionOpt = Annotated[str, Option("Branch, tag or commit of a hub id.")]
PoolOpt = Annotated[
    str,
    Option(
        "Pooling over time: mean, mean-std (audio, series, videos), stats (series: mean, sd, slope, share of missing), "
        "cls (text: the first token) or none (a vector per frame, or per window)."
    ),
]
LayerOpt = Annotated[str, Option("Layer to take: last, all, or a number, where 0 is the input of the first layer.")]
TextColumnOpt = Annotated[
    str, Option("Column with the text to read, such as text_participant of an interview with both sides.")
]
DtypeOpt = Annotated[str, Option("Arithmetic of the network: float32 or bfloat16. Features are stored as float32.")]


@dataclass(frozen=True, slots=True)
class Item:
    """A row to encode: its medium or its text. Seconds; None where there is no bound, 0 where unknown.

    index: the row's place in a file that holds many, an array. box: what to cut out of an image, (x, y, width, height)
    in pixels of the upright image. stretches: (start, end) of what belongs to the row, where that is not all. key: of
    the row's recording in a table of many. size: (width, height) of its pictures in pixels, where known.
    """

    id: str
    path: Path | None = None
    text: str = ""
    start_sec: float | None = None
    end_sec: float | None = None
    duration_sec: float = 0.0
    index: int | None = None
    box: tuple[float, float, float, float] | None = None
    stretches: tuple[tuple[float, float], ...] = ()
    key: str = ""
    size: tuple[float, float] | None = None


class Encoder(Protocol):
    """Turns items into features. What it gives for an item never depends on what else is in the batch.

    options: resolved; `build(**options)` gives the same encoder. column: the manifest's, with what it reads.
    pooled: one [D] or [L, D] per item, else [T, D] or [T, L, D]. on_device: computes with torch. gaps: values may be
    missing, NaN.
    counts: what happened to items on the way ("truncated": 3), since it was last emptied.
    """

    name: str
    options: dict[str, Any]
    reads: Reads
    column: str = "path"
    pooled: bool = True
    on_device: bool = False
    gaps: bool = False
    counts: Counter[str]

    def __init__(self, options: dict[str, Any]) -> None:
        self.options, self.counts = options, Counter()

    @property
    def feature_names(self) -> list[str] | None:
        """The names of the D columns, where they have any."""
        return None

    def load(self, device: str) -> None:
        """Fetch weights onto a device ("cpu", "cuda:0"); before any of what follows."""
        return

    def settle(self, items: Sequence[Item]) -> None:
        """Fill in options that depend on what there is to encode, before the record is written."""
        return

    def describe(self) -> dict[str, Any]:
        """Facts for the record: `dim` (where known beforehand), `layers`, `rate`, `sparse`, `weights`, ..."""
        return {}

    def prepare(self, item: Item) -> Any:
        """Decode and check one item, on a worker thread. Raises AffectkitError for an item that cannot be encoded."""

    def encode(self, prepared: list[Any]) -> list[np.ndarray] | scipy.sparse.csr_matrix:
        """Features of prepared items, in order, float32; rows of a CSR matrix where sparse."""


# --- What several encoders share: options, their checks, batches, and how the frames of one item become one vector


@dataclass(frozen=True)
class HfOptions:
    """The options of what runs one of Hugging Face's transformers."""

    checkpoint: CheckpointOpt = ""
    revision: RevisionOpt = ""
    pool: PoolOpt = "mean"
    layer: LayerOpt = "last"
    dtype: DtypeOpt = "float32"

    def check(self, encoder: str, examples: str, pools: tuple[str, ...]) -> None:
        """Refuse what makes no sense. examples: of checkpoints."""
        if not self.checkpoint:
            raise AffectkitError("usage", f"{encoder} needs a --checkpoint", remedy=f"pass --checkpoint {examples}")
        check_choice("pool", self.pool, pools)
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))


class HfEncoder(Encoder):
    """What encoders of Hugging Face's transformers share."""

    on_device = True

    def __init__(self, options: dict[str, Any]) -> None:
        self.layer, self.pooled = parse_layer(options["layer"]), options["pool"] != "none"
        super().__init__({**options, "layer": str(self.layer)})

    def shape(self, dim: int, layers: int) -> dict[str, Any]:
        """Of the features of a network of so many hidden states of `dim` values, for the record."""
        return {
            "dim": dim * (2 if self.options["pool"] == "mean-std" else 1),
            "layers": layers if self.layer == "all" else None,
        }


def batches_of(
    order: Iterable[int], lengths: Sequence[float], limit: float, most: int | None = None
) -> list[list[int]]:
    """Consecutive places of `order`, where a batch, padded to its last, is within `limit`; at most `most` of them."""
    batches: list[list[int]] = [[]]
    for place in order:
        size = len(batches[-1])
        if size and ((size + 1) * lengths[place] > limit or size == most):
            batches.append([])
        batches[-1].append(place)
    return batches


def parse_layer(text: str) -> Layer:
    """`--layer`: "last", "all", or a number. Raises "usage"."""
    if text == "last" or text == "all":
        return text  # type: ignore[return-value]
    if not text.lstrip("-").isdigit():
        raise AffectkitError("usage", f"there is no --layer {text}", remedy="use last, all or a number")
    return int(text)


def check_layer(layer: Layer, layers: int) -> None:
    """Refuse a number that the network does not have; `layers` counts the transformer's input, layer 0."""
    if isinstance(layer, int) and not -layers <= layer < layers:
        raise AffectkitError("usage", f"there is no --layer {layer}", remedy=f"this network has 0 to {layers - 1}")


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise AffectkitError("usage", f"there is no --{option} {value}", remedy=f"use {', '.join(allowed)}")


def pool(frames: torch.Tensor, how: str) -> np.ndarray:
    """[T, D] or [T, L, D] -> [D] or [L, D] float32 by "mean", "mean-std" (2 D wide; standard deviation with ddof 0, as
    a clip may have one frame) or "cls" (the first frame); "none" keeps the frames. Each layer is pooled by itself, so
    a head that weights layers before a mean can weight them after it."""
    import torch

    if how == "cls":
        frames = frames[0]
    elif how == "mean":
        frames = frames.mean(dim=0)
    elif how == "mean-std":
        frames = torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0)], dim=-1)
    return frames.contiguous().cpu().numpy()


# --- The record of an encoder, and the encoder of a record


def record(encoder: Encoder) -> dict[str, Any]:
    """What `encoder.json` says: everything that is needed to encode a new file the same way."""
    return {
        "encoder": encoder.name,
        "options": encoder.options,
        "reads": encoder.reads,
        "pooled": encoder.pooled,
        **encoder.describe(),
        "feature_names": encoder.feature_names,
    }


def load(encoder: Encoder, device: str = "auto", *, local_rank: int = 0) -> str:
    """Load an encoder onto `device` as the command line names it; returns torch's name of it."""
    if not encoder.on_device:
        encoder.load("cpu")
        return "cpu"
    from affectkit.models.forward import resolve_device

    device = resolve_device(device, local_rank=local_rank)
    encoder.load(device)
    return device


def from_record(known: dict[str, Any], *, device: str = "auto", checkpoint: str | None = None) -> Encoder:
    """The encoder that a record (`encoder.json`) describes, loaded.

    checkpoint: where its weights lie here, if not where they lay. Only built-in encoders are built: a downloaded
    record never runs code. Raises "input" if what it gives cannot be the same: other weights, another dimension.
    """
    options = dict(known["options"])
    if checkpoint is not None:
        options["checkpoint"] = checkpoint
    encoder: Encoder = registry.load("encoders", known["encoder"]).build(**options)
    load(encoder, device)
    here = record(encoder)
    if here.get("opensmile") != known.get("opensmile"):
        logger.warning("features were made by openSMILE %s, here is %s", known.get("opensmile"), here.get("opensmile"))
    for fact in ("weights", "dim", "layers", "feature_names", "preprocessing"):
        if here.get(fact) != known.get(fact):
            what = "other weights" if fact == "weights" else f"another '{fact}'"
            name = f"{known['encoder']} {options.get('checkpoint', '')}".rstrip()
            remedy = "name the checkpoint that made them"
            raise AffectkitError("input", f"{name} has {what} than the features' encoder", remedy=remedy)
    return encoder


# --- The rows of a manifest as items


def items(manifest: Manifest, encoder: Encoder, *, num_workers: int = 0) -> list[Item]:
    """The rows of a manifest as items, in order. Durations that it lacks are read from the files' headers.

    Raises "input" if the manifest has no column to read from.
    """
    rows = manifest.rows
    if encoder.reads == "text" and (encoder.column != "text" or "text" in rows):
        return texts(manifest, encoder.column)
    if encoder.reads == "series":
        return series(manifest, encoder)
    if encoder.column not in rows:
        raise _no_column(manifest, encoder)
    media = manifest.media(encoder.column)
    if encoder.reads == "arrays":
        places = [None if index is None else int(index) for index in _column(rows, "array_index")]
        return [Item(key, path, index=index) for key, path, index in zip(rows["id"], media, places, strict=True)]
    if encoder.reads == "images":
        return pictures(manifest, encoder)
    return recordings(manifest, encoder.column, num_workers=num_workers)


def texts(manifest: Manifest, column: str = "text") -> list[Item]:
    """The texts of a manifest's rows, in order; of files named on the command line what they hold, whatever the column
    is called. Raises "input" if it has no such column."""
    rows = manifest.rows
    column = "text" if manifest.bare and "text" in rows else column
    if column not in rows:
        others = [name for name in rows if str(name).startswith("text") and name not in ("text_id", "text_source")]
        remedy = f"its texts are {', '.join(others)}" if others else "transcribe its recordings, or read their audio"
        raise AffectkitError("input", f"has no column '{column}'", file=manifest.path, remedy=remedy)
    files = manifest.media() if manifest.bare and "path" in rows else [None] * len(rows)
    return [Item(*row) for row in zip(rows["id"], files, rows[column].fillna(""), strict=True)]


def pictures(manifest: Manifest, encoder: Encoder) -> list[Item]:
    """The images and videos of a manifest's rows, in order; of videos with the seconds that are the row's, of images
    with the box that is to be cut out, unless a detector finds it. Raises "input" for a manifest without boxes."""
    media = manifest.media(encoder.column)
    films = [path is not None and path.suffix.lower() in VIDEO for path in media]
    boxed = not encoder.options.get("detector") and not all(films)
    pictured = images(manifest, encoder.column, crop=encoder.options.get("crop", "none") if boxed else "none")
    if not any(films):
        return pictured
    timed = _timed(manifest, media)
    return [film if is_film else picture for is_film, film, picture in zip(films, timed, pictured, strict=True)]


def _timed(manifest: Manifest, media: Sequence[Path | None]) -> list[Item]:
    """Rows with the seconds of their recordings that are theirs."""
    rows = manifest.rows
    times = [_column(rows, name) for name in ("start_sec", "end_sec", "duration_sec")]
    cells = rows["stretches"] if "stretches" in rows else [""] * len(rows)
    stretches = [_stretches(manifest, place, cell) for place, cell in enumerate(cells)]
    return [
        Item(key, path, "", start, end, duration or 0.0, stretches=parts)
        for key, path, start, end, duration, parts in zip(rows["id"], media, *times, stretches, strict=True)
    ]


def images(manifest: Manifest, column: str = "path", *, crop: str = "none") -> list[Item]:
    """The images of a manifest's rows, in order. crop: "face" or "person": with the box of that name, where known.

    Raises "input" if the manifest has no such columns.
    """
    media, rows = manifest.media(column), manifest.rows
    if crop == "none":
        return [Item(key, path) for key, path in zip(rows["id"], media, strict=True)]
    names = [f"{crop}_{side}" for side in ("x", "y", "width", "height")]
    missing = next((name for name in names if name not in rows), None)
    if missing:
        remedy = "add it, or encode with --crop none"
        raise AffectkitError("input", f"has no column '{missing}'", file=manifest.path, remedy=remedy)
    boxes = [_box(manifest, place, values) for place, values in enumerate(rows[names].itertuples(index=False))]
    return [Item(key, path, box=box) for key, path, box in zip(rows["id"], media, boxes, strict=True)]


def _box(manifest: Manifest, place: int, values: Any) -> tuple[float, float, float, float] | None:
    """Four cells as a box; None where one of them is empty."""
    try:
        x, y, width, height = (float(value) if value != "" else float("nan") for value in values)
    except (TypeError, ValueError):
        raise AffectkitError("input", f"{list(values)} is no box", **manifest.where(place)) from None
    return None if any(value != value for value in (x, y, width, height)) else (x, y, width, height)


def recordings(manifest: Manifest, column: str = "path", *, num_workers: int = 0) -> list[Item]:
    """The audio of a manifest's rows, in order: whole files, or their stretches from `start_sec` to `end_sec`."""
    rows, media = manifest.rows, manifest.media(column)
    columns = [_column(rows, name) for name in ("start_sec", "end_sec", "duration_sec")]
    stretches = [
        Item(key, path, "", start, end, duration or 0.0)
        for key, path, start, end, duration in zip(rows["id"], media, *columns, strict=True)
    ]
    _fill_durations(stretches, num_workers)
    return stretches


def series(manifest: Manifest, encoder: Any) -> list[Item]:
    """The time series of a manifest's rows, in order, and the seconds of them that are each row's.

    Of a table of many recordings, the row's name in it. Where a row has no series of the name that is asked for, its
    medium itself, if that is one, or a video of which the encoder can make one.
    """
    rows = manifest.rows
    if encoder.table is not None:
        if encoder.table_key not in rows:
            message = f"has no column '{encoder.table_key}', by which {encoder.table} says which row is meant"
            raise AffectkitError("input", message, file=manifest.path, remedy="add it to one of them")
        media: list[Path | None] = [encoder.table] * len(rows)
    else:
        named = manifest.media(encoder.column) if encoder.column in rows else [None] * len(rows)
        own = manifest.media() if "path" in rows else [None] * len(rows)
        bare = manifest.bare and encoder.column not in rows
        own = [path if bare or encoder.takes(path) else None for path in own]
        media = [path or other for path, other in zip(named, own, strict=True)]
        if encoder.column not in rows and not any(media):
            raise _no_column(manifest, encoder)
    keys = rows[encoder.table_key] if encoder.table is not None else [""] * len(rows)
    timed = _timed(manifest, media)
    return [replace(item, key=key, size=size) for item, key, size in zip(timed, keys, _sizes(rows), strict=True)]


def _sizes(rows: Any) -> list[tuple[float, float] | None]:
    """Width and height in pixels, where a manifest says so."""
    if not {"width", "height"} <= {*rows}:
        return [None] * len(rows)
    cells = zip(rows["width"].astype(str), rows["height"].astype(str), strict=True)
    return [(float(w), float(h)) if w.isdigit() and h.isdigit() and int(w) * int(h) else None for w, h in cells]


def _stretches(manifest: Manifest, place: int, cell: str) -> tuple[tuple[float, float], ...]:
    try:
        return parse_stretches(cell) if cell.strip() else ()
    except ValueError as error:
        message, remedy = f"stretches: '{error}' is none", "write seconds as 12.31-15.22;16-18.5, one after the other"
        raise AffectkitError("input", message, **manifest.where(place), remedy=remedy) from None


def _no_column(manifest: Manifest, encoder: Encoder) -> AffectkitError:
    """For a manifest without what the encoder reads, naming what it could be read with instead."""
    arrays = [name.removeprefix("path_") for name in manifest.rows if name.startswith("path_")]
    if encoder.reads == "series":
        there = f"its series are {', '.join(arrays)}: choose with --series" if arrays else "its rows have no series"
        remedy = "; ".join(filter(None, [there, getattr(encoder, "how_to", "")]))
    elif encoder.reads == "arrays":
        remedy = f"its arrays are {', '.join(arrays)}" if arrays else "its rows have no arrays"
    else:
        remedy = f"choose an encoder of {'audio' if encoder.reads == 'text' else 'text'}"
    return AffectkitError("input", f"has no column '{encoder.column}'", file=manifest.path, remedy=remedy)


def _fill_durations(items: list[Item], num_workers: int) -> None:
    """Put in durations from headers where they are unknown; 0 remains where a header cannot be read."""
    unknown = [place for place, item in enumerate(items) if item.duration_sec == 0 and item.path is not None]
    headers = read_headers([str(items[place].path) for place in unknown], num_workers=num_workers)
    for place, header in zip(unknown, headers, strict=True):
        if isinstance(header, Header):
            item = items[place]
            end = min(item.end_sec or header.duration, header.duration)
            items[place] = replace(item, duration_sec=max(end - (item.start_sec or 0.0), 0.0))


def _column(rows: Any, name: str) -> list[float | None]:
    if name not in rows:
        return [None] * len(rows)
    return [None if value != value else float(value) for value in rows[name]]
