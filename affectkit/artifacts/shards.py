"""One shard of features: a safetensors file that says in its metadata which rows it holds.

The metadata is one key of canonical JSON, so equal content is equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import SCHEMA, write_bytes
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse

KEY = "affectkit"


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


def write_shard(path: Path, values: Sequence[np.ndarray] | scipy.sparse.csr_matrix, facts: ShardFacts) -> None:
    """Write a shard atomically. values: [D] or [L, D] of each row, [T, ...] where `facts.frames`, or CSR [N, D]."""
    from safetensors.numpy import save

    named = _dense(values, facts) if isinstance(values, (list, tuple)) else _csr(values)
    metadata = {KEY: canonical({"schema": SCHEMA, **asdict(facts)})}
    write_bytes(path, save(named, metadata=metadata))


def _dense(values: Sequence[np.ndarray], facts: ShardFacts) -> dict[str, np.ndarray]:
    import numpy as np

    if not values:
        return {"values": np.zeros((0, 0), dtype=np.float32)}
    stacked = np.stack(values) if facts.frames is None else np.concatenate(values)
    return {"values": np.ascontiguousarray(stacked, dtype=np.float32)}


def _csr(values: Any) -> dict[str, np.ndarray]:
    import numpy as np

    return {
        "data": values.data.astype(np.float32),
        "indices": values.indices.astype(np.int32),
        "indptr": values.indptr.astype(np.int64),
    }


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A shard as safetensors' own handle (a memory map)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            yield handle
    except FileNotFoundError:
        raise AffectkitError("missing", "no such shard", file=path, remedy="extract the features again") from None
    except (SafetensorError, OSError) as error:
        raise AffectkitError("input", f"is not a whole shard: {error}", file=path, remedy="extract it again") from None


def tensors(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    with opened(path) as handle:
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
    data = json.loads(metadata[KEY])
    if data.pop("schema") > SCHEMA:
        raise AffectkitError(
            "input", "has a newer schema than this affectkit reads", file=path, remedy="upgrade affectkit"
        )
    data["skipped"] = [(key, reason) for key, reason in data["skipped"]]
    return ShardFacts(**data)


def canonical(data: dict[str, Any]) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
