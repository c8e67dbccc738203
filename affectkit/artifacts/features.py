"""Features: what an encoder says about each row, in shards that a killed run can go on from.

A folder of `index.csv` (id, shard, start, frames), `features-00001.safetensors`, ... and `encoder.json`; or a `.csv` of
an `id` and named numeric columns; or a folder of such tables that `tabulate` wrote, whose `summary.json` says which
columns are features. Everything is float32. Shards hold one tensor `values`, stacked over their rows:
[rows, D] or [rows, L, D] pooled, [frames, D] or [frames, L, D] otherwise; sparse ones hold `indptr`, `indices`, `data`
(CSR).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from affectkit.artifacts.columns import Table
from affectkit.artifacts.files import SCHEMA, misfit, read_json, write_bytes
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import check_ids, first_row, read_table, to_numbers
from affectkit.errors import AffectkitError
from affectkit.labels import spelt_alike
from affectkit.media.files import NPY
from affectkit.plain import parse_json

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse


# --- A shard: a safetensors file that says in its metadata which rows it holds, so it can be trusted on its own. The
# metadata is one key of canonical JSON, so equal content is equal bytes

KEY = "affectkit"
Values: TypeAlias = "Sequence[np.ndarray] | scipy.sparse.csr_matrix"  # of each row


@dataclass(frozen=True)
class ShardFacts:
    """What a shard's metadata says.

    encoder: digest of the encoder's record. ids: of its rows, in order. frames: of each row; None where pooled.
    skipped: (id, reason) of rows that could not be encoded. counts: what happened to rows on the way ("truncated": 3).
    """

    encoder: str
    ids: list[str]
    frames: list[int] | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def write_shard(path: Path, values: Values, facts: ShardFacts) -> None:
    """Write a shard atomically. values: [D] or [L, D] of each row, [T, ...] where `facts.frames`, or CSR [N, D]."""
    from safetensors.numpy import save

    if not isinstance(values, (list, tuple)):
        csr: Any = values
        named = {
            "data": csr.data.astype(np.float32), "indices": csr.indices.astype(np.int32),
            "indptr": csr.indptr.astype(np.int64),
        }  # fmt: skip
    elif values:
        stacked = np.stack(values) if facts.frames is None else np.concatenate(values)
        named = {"values": np.ascontiguousarray(stacked, dtype=np.float32)}
    else:
        named = {"values": np.zeros((0, 0), dtype=np.float32)}
    metadata = {KEY: canonical({"schema": SCHEMA, **asdict(facts)})}
    write_bytes(path, save(named, metadata=metadata))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A shard as safetensors' own handle (a memory map)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            yield handle
    except FileNotFoundError:
        raise AffectkitError("missing", "no such shard", file=path, remedy="extract the features again") from None
    except (SafetensorError, OSError, IndexError) as error:  # IndexError: of a tensor without a dimension
        raise AffectkitError("input", f"is not a whole shard: {error}", file=path, remedy="extract it again") from None


_DTYPES = {"values": "F32", "data": "F32", "indices": "I32", "indptr": "I64"}


def _slice(handle: Any, name: str, path: Path) -> Any:
    """A tensor of a shard, to be sliced."""
    values = handle.get_slice(name)
    if values.get_dtype() != _DTYPES[name]:
        message = f"is not a whole shard: its {name} are {values.get_dtype()}, not {_DTYPES[name]}"
        raise AffectkitError("input", message, file=path, remedy="extract it again")
    return values


def tensors(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    with opened(path) as handle:
        for name in names:
            _slice(handle, name, path)
        return {name: handle.get_tensor(name) for name in names}


def row_count(path: Path) -> int:
    """How many rows (or frames) a shard holds, from its header alone."""
    with opened(path) as handle:
        sparse = "indptr" in handle.keys()  # noqa: SIM118  not a dict
        return handle.get_slice("indptr").get_shape()[0] - 1 if sparse else handle.get_slice("values").get_shape()[0]


def read_facts(path: Path) -> ShardFacts:
    """The metadata of a shard; its tensors are not read."""
    with opened(path) as handle:
        metadata: Mapping[str, str] = handle.metadata() or {}
    if KEY not in metadata:
        raise AffectkitError("input", "is not a shard that affectkit wrote", file=path)
    data = _parsed(metadata[KEY], path)
    if data.pop("schema") > SCHEMA:
        message = "has a newer schema than this affectkit reads"
        raise AffectkitError("input", message, file=path, remedy="upgrade affectkit")
    data["skipped"] = [(key, reason) for key, reason in data["skipped"]]
    return ShardFacts(**{name.name: data[name.name] for name in fields(ShardFacts)})


_FACTS = {
    "schema": int, "encoder": str, "ids": [str], "frames": ([int], None), "skipped": [[str]], "counts": {str: int},
}  # fmt: skip


def _parsed(metadata: str, path: Path) -> dict[str, Any]:
    try:
        data = parse_json(metadata)
        problem = misfit(data, _FACTS) or ("" if all(len(pair) == 2 for pair in data["skipped"]) else "skipped rows")
    except ValueError as error:
        problem = str(error)
    if problem:
        remedy = "extract the features again"
        raise AffectkitError("input", f"is not a whole shard: {problem}", file=path, remedy=remedy)
    return data


def canonical(data: dict[str, Any]) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


# --- `index.csv` of a features folder: which shard holds a row, and where; checked, since a wrong place is a wrong row


INDEX = "index.csv"
SHARD = re.compile(r"features-\d{5,}\.safetensors")


def read_index(folder: Path) -> pd.DataFrame:
    """Read and check `index.csv`: `id`, `shard`, and int64 `start`, `frames` (1 where pooled).

    Raises "input" naming the row of a doubled id, of a shard that is no shard's name, and of a place outside its shard.
    """
    file = folder / INDEX
    table = read_table(file, required=["id", "shard", "start", "frames"])
    check_ids(table["id"], file)
    table = table.assign(**{column: _whole(table, column, file) for column in ("start", "frames")})
    sizes: dict[str, int] = {}
    places = zip(table["shard"], table["start"], table["frames"], strict=True)
    for row, (shard, first, count) in enumerate(places, start=1):
        if not SHARD.fullmatch(shard):
            what = f"'{shard}' is not the name of a shard"
            raise AffectkitError("input", what, file=file, row=row, remedy="extract the features again")
        if shard not in sizes:
            sizes[shard] = row_count(folder / shard)
        if first + count > sizes[shard]:
            message = f"points at {first + count} in {shard}, which holds {sizes[shard]}"
            raise AffectkitError("input", message, file=file, row=row, remedy="extract the features again")
    return table


def _whole(table: pd.DataFrame, column: str, file: Path) -> np.ndarray:
    values = to_numbers(table[column], file=file, column=column)
    if (row := first_row(~((values >= 0) & (values <= 2**53) & (values % 1 == 0)))) is not None:
        message = f"{column} '{table[column][row]}' is not a whole number from 0 to 2^53"
        raise AffectkitError("input", message, file=file, row=row + 1)
    return values.astype("int64")


ENCODER, SKIPPED = "encoder.json", "skipped.csv"
_ENCODER = {
    "encoder": str, "pooled": bool, "sparse?": bool, "dim?": (int, None), "options?": {str: object},
    "feature_names?": ([str], None),
}  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Features of `ids`, read shard by shard as they are asked for.

    encoder: what `encoder.json` says ({} for a table). names: of the columns, where they have any.
    pooled: one vector per row; else one per frame. sparse: rows are sparse vectors. tabulation: what the columns of a
    table by `tabulate` are made of, so that what is trained on it says how to make them again.
    """

    path: Path
    ids: list[str]
    encoder: dict[str, Any]
    names: list[str] | None
    pooled: bool
    sparse: bool
    _shard: list[str] = field(repr=False)
    _start: np.ndarray = field(repr=False)  # [N] where a row begins in its shard
    _frames: np.ndarray = field(repr=False)  # [N]; 1 where pooled
    _table: np.ndarray | Table | None = field(repr=False, default=None)  # [N, D] of a CSV
    _row: dict[str, int] = field(repr=False, default_factory=dict)
    tabulation: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._row.update({key: row for row, key in enumerate(self.ids)})

    def described(self) -> dict[str, Any]:
        """What made these features, for the record of a model: the encoder's record, or a table's column names."""
        if isinstance(self._table, Table):
            return {"encoder": None, "columns": [asdict(column) for column in self._table.columns]}
        made = {"tabulation": self.tabulation} if self.tabulation else {}
        return self.encoder or {"encoder": None, "feature_names": self.names, "dim": len(self.names or ()), **made}

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that have no features, in order."""
        return [key for key in ids if key not in self._row]

    def matrix(self, ids: Sequence[str], *, layer: int | Literal["mean", "all"] | None = None) -> Any:
        """[N, D] float32 of pooled features, in the order of `ids`; CSR where they are sparse; or a `Table`.

        layer: which of [L, D] to take, the "mean" of all, or "all": [N, L, D]. Flattening them would mix layers into
        one scale, so features of several layers are refused without it.
        Raises "input" for ids that are missing (naming the first), for frames, and for layers.
        """
        if not self.pooled:
            raise self._refused("holds frames, not one vector per row", "extract with --pool mean")
        rows = self._rows(ids)
        if self._table is not None:
            return self._table[rows]
        if self.sparse:
            return self._sparse_rows(rows)
        parts = np.empty((len(rows), *self._taken_shape(layer)), dtype=np.float32)
        for shard, places in self._by_shard(rows).items():
            values = tensors(self.path / shard, ["values"])["values"][self._start[rows[places]]]
            if values.ndim == 3 and layer != "all":
                values = values.mean(axis=1) if layer == "mean" else values[:, layer]
            parts[places] = values
        return parts

    def frames(self, ids: Iterable[str]) -> Iterator[np.ndarray]:
        """The values of each row in turn, as they are stored: [T, D] or [T, L, D]; [D] or [L, D] where pooled."""
        if self.sparse:
            raise self._refused("is sparse: it has no frames", "use it with --model linear")
        rows = self._rows(list(ids))
        if self._table is not None:
            if isinstance(self._table, Table):
                raise self._refused("holds columns that are no numbers, and so no frames", "use it with train")
            yield from self._table[rows]
            return
        shard, values = "", np.empty(0)
        for row in rows:
            if self._shard[row] != shard:
                shard = self._shard[row]
                with opened(self.path / shard) as handle:  # a memory map: only what is sliced is read
                    values = _slice(handle, "values", self.path / shard)
            start, stop = int(self._start[row]), int(self._start[row] + self._frames[row])
            yield values[start] if self.pooled else values[start:stop]

    def stacked(self, ids: Sequence[str]) -> np.ndarray:
        """[T, D] or [T, L, D] float32: the vectors of pooled rows in the order of `ids`, as frames. Rows that lie end
        to end in a shard are read at once. Raises "input" for ids that are missing, and for what are no vectors."""
        if not self.pooled:
            raise self._refused("holds frames, not one vector per row", "extract with --pool mean")
        if self.sparse or isinstance(self._table, Table):
            what = "is sparse" if self.sparse else "holds columns of a table that are not all read as numbers"
            raise self._refused(f"{what}: its rows cannot be frames", "use dense features, or a CSV of numbers alone")
        rows = self._rows(ids)
        if self._table is not None:
            return self._table[rows]
        parts, first = [], 0
        for place in range(1, len(rows) + 1):
            if place < len(rows) and self._follows(rows[place - 1], rows[place]):
                continue
            start, shard = int(self._start[rows[first]]), self.path / self._shard[rows[first]]
            with opened(shard) as handle:
                parts.append(_slice(handle, "values", shard)[start : start + place - first])
            first = place
        return np.concatenate(parts)

    def _follows(self, row: int, following: int) -> bool:
        """Whether a row lies right behind another."""
        return self._shard[row] == self._shard[following] and bool(self._start[following] == self._start[row] + 1)

    def _rows(self, ids: Sequence[str]) -> np.ndarray:
        absent = self.missing(ids)
        if absent:
            reason = self._skip_reason(absent[0])
            message = f"has no features of id '{absent[0]}'{reason} ({len(absent)} of {len(ids)} ids are missing)"
            raise self._refused(message, self.near(absent[0]) or "pass --missing drop, or extract them")
        return np.fromiter((self._row[key] for key in ids), dtype=np.int64, count=len(ids))

    def near(self, key: str) -> str:
        """What to do about an id that others have in another spelling; "" where none has."""
        alike = next((names for names in spelt_alike([key, *self.ids]) if key in names), [key])
        return next((f"'{name}' is there: write ids alike" for name in alike if name != key), "")

    def _skip_reason(self, key: str) -> str:
        if self._table is not None or not (self.path / SKIPPED).exists():
            return ""
        skipped = read_table(self.path / SKIPPED, required=["id", "reason"])
        reasons = list(skipped.loc[skipped["id"] == key, "reason"])
        return f", skipped: {reasons[0]}" if reasons else ""

    def lengths(self, ids: Sequence[str]) -> np.ndarray:
        """[N] int64: frames of each of `ids`; 1 where pooled. Raises "input" for ids that are missing."""
        return self._frames[self._rows(ids)]

    def row_shape(self) -> tuple[int, ...]:
        """(D,) or (L, D): the shape of a frame, or of a row where pooled. Not of sparse features."""
        if self._table is not None:
            return self._table.shape[1:]
        with opened(self.path / self._shard[0]) as handle:
            return tuple(handle.get_slice("values").get_shape()[1:])

    def _taken_shape(self, layer: int | Literal["mean", "all"] | None) -> tuple[int, ...]:
        shape = self.row_shape()
        if len(shape) == 1 or layer == "all":
            return shape
        if layer is None:
            raise self._refused(f"holds {shape[0]} layers per row", "extract with --layer last, or name one layer")
        if layer != "mean" and not -shape[0] <= layer < shape[0]:
            raise self._refused(f"has no layer {layer}", f"its layers are 0 to {shape[0] - 1}")
        return (shape[1],)

    def _by_shard(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Places in `rows`, by the shard that holds them."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self._shard[row], []).append(place)
        return {shard: np.asarray(positions) for shard, positions in places.items()}

    def _sparse_rows(self, rows: np.ndarray) -> scipy.sparse.csr_matrix:
        from scipy.sparse import csr_matrix, vstack

        columns, parts, by_shard = int(self.encoder["dim"]), [], self._by_shard(rows)
        for shard, places in by_shard.items():
            stored = tensors(self.path / shard, ["data", "indices", "indptr"])
            shape = (len(stored["indptr"]) - 1, columns)
            try:
                block = csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape)
                block.check_format(full_check=True)  # columns outside `dim` would be written past the array's end
            except ValueError as error:
                raise self._refused(f"{shard} is damaged: {error}", "extract the features again") from None
            parts.append(block[self._start[rows[places]]])
        if not parts:
            return csr_matrix((0, columns), dtype=np.float32)
        return vstack(parts, format="csr")[np.argsort(np.concatenate([*by_shard.values()]), kind="stable")]

    def _refused(self, message: str, remedy: str) -> AffectkitError:
        return AffectkitError("input", message, file=self.path, remedy=remedy)


def read_features(path: Path) -> Features:
    """Open features: a folder written by extract-features, or a CSV of `id` and numeric columns.

    Raises "missing", "unfinished", or "input" naming the row of a doubled id or of a cell that is not a number.
    """
    path = Path(path)
    if not path.exists():
        raise AffectkitError("missing", "no such features", file=path, remedy="run extract-features")
    if path.suffix.lower() == NPY:
        what, remedy = "is an array, whose rows have no ids here", "extract it with --encoder arrays"
        raise AffectkitError("input", what, file=path, remedy=remedy)
    if is_tabulated(trusted(path, complete=True)):
        return _read_tabulated(path)
    return _read_folder(path) if path.is_dir() else _read_csv(path)


def _read_folder(path: Path) -> Features:
    encoder = read_json(path / ENCODER, what="encoder record", shape=_ENCODER)
    if encoder.get("sparse") and not encoder.get("dim"):
        raise AffectkitError("input", "is not an encoder's record", file=path / ENCODER, remedy="extract them again")
    index = read_index(path)
    if not len(index):
        raise AffectkitError("input", "holds no features", file=path / INDEX, remedy="extract them again")
    places = list(index["shard"]), index["start"].to_numpy(), index["frames"].to_numpy()
    if encoder["pooled"] and (row := first_row(index["frames"] != 1)) is not None:
        message = f"frames is {index['frames'][row]}, and each row is one vector"
        raise AffectkitError("input", message, file=path / INDEX, row=row + 1, remedy="extract them again")
    names, sparse = encoder.get("feature_names"), bool(encoder.get("sparse", False))
    return Features(path, list(index["id"]), encoder, names, encoder["pooled"], sparse, *places)


PART, SUMMARY = "_features.csv", "summary.json"
_SUMMARY = {"features": [str], "tabulation": {str: object}}


def is_tabulated(path: Path) -> bool:
    """Whether it is a folder that `tabulate` wrote, or a table in one."""
    if path.is_dir():
        return not (path / ENCODER).exists() and any(path.glob(f"*{PART}")) and (path / SUMMARY).exists()
    return path.name.endswith(PART) and (path.parent / SUMMARY).exists()


def _read_tabulated(path: Path) -> Features:
    """The parts as one table of what the summary calls features; what stands beside them is not read."""
    folder = path if path.is_dir() else path.parent
    known = read_json(folder / SUMMARY, what="summary of a table of features", shape=_SUMMARY)
    files = sorted(path.glob(f"*{PART}")) if path.is_dir() else [path]
    parts = [_read_csv(file, known["features"]) for file in files]
    ids = [key for part in parts for key in part.ids]
    values = np.concatenate([part.matrix(part.ids) for part in parts])
    return replace(of_rows(ids, path, known["features"], values), tabulation=known["tabulation"])


def _read_csv(path: Path, names: list[str] | None = None) -> Features:
    """names: of the columns that are features, all but the id by default."""

    def numeric(header: Sequence[str]) -> set[str]:
        return set(header) - {"id"} if names is None else set(names)

    table = read_table(path, required=["id", *(names or ())], numbers=numeric)
    return of_numbers(table, path, [column for column in table.columns if column != "id"] if names is None else names)


def of_numbers(table: pd.DataFrame, path: Path, names: list[str]) -> Features:
    """Columns of numbers. Raises "input" naming the row of any other cell, and of an id that stands twice."""
    if not names or not len(table):
        raise AffectkitError("input", "holds no features", file=path, remedy="give it an id and numeric columns")
    columns = [to_numbers(table[name], file=path, column=name) for name in names]
    values = np.stack([_in_float32(cells, name, path) for name, cells in zip(names, columns, strict=True)], axis=1)
    return of_rows(list(table["id"]), path, names, values)


def of_rows(ids: list[str], path: Path, names: list[str], values: np.ndarray | Table) -> Features:
    """What is in memory, a row for each id."""
    import pandas as pd

    check_ids(pd.Series(ids, dtype=object), path)
    ones = np.ones(len(ids), dtype=np.int64)
    return Features(path, ids, {}, names, True, False, [path.name] * len(ids), np.arange(len(ids)), ones, values)


def _in_float32(cells: np.ndarray, column: str, path: Path) -> np.ndarray:
    """[N] float32 of float64. Raises "input" naming the row of a number that float32 cannot hold."""
    with np.errstate(over="ignore"):
        values = cells.astype(np.float32)
    if (row := first_row(np.isinf(values))) is not None:
        message = f"{column} {cells[row]:g} is too large a number"
        remedy = "features are float32: give it in other units"
        raise AffectkitError("input", message, file=path, row=row + 1, remedy=remedy)
    return values
