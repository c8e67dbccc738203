"""The one loop that runs encoders: prepare items on threads, encode them in batches, a shard at a time.

Batches never reach over a shard, so neither workers nor processes nor an interruption change what is in one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affectkit.artifacts.feature_writer import FeatureWriter, Written
from affectkit.distributed import Ranks
from affectkit.encoders._encoder import Encoder, Item, batches_of, record
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import scipy.sparse


OnError = Literal["stop", "skip"]
Where = Callable[[int], dict[str, Any]]  # position of an item -> `file` and `row` for an error
BATCH_SEC = 60.0
# Images have no length: 32 at 224 pixels are 19 MB, fill a GPU, and keep a CPU busy while the next 32 are decoded.
BATCH_IMAGES = 32


@dataclass(frozen=True)
class Encoded:
    """Features of consecutive items: one value per id, in order; (id, reason) of those that could not be encoded."""

    ids: list[str]
    values: list[np.ndarray] | scipy.sparse.csr_matrix
    skipped: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def encode_shards(
    encoder: Encoder,
    items: Sequence[Item],
    shards: Sequence[range],
    *,
    batch_seconds: float = BATCH_SEC,
    num_workers: int = 0,
    on_error: OnError = "stop",
    where: Where | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Encoded]:
    """The features of each shard in turn.

    batch_seconds: of audio given to the encoder at once, padding counted. num_workers: threads that prepare items
    ahead of the encoder (decoding, resampling and openSMILE hold no interpreter lock); 0 prepares in this one.
    Raises, unless `on_error` is "skip", the first item's AffectkitError, with its `where`.
    """
    most = _most_at_once(encoder)
    lengths = [item.duration_sec for item in items]
    # Similar lengths together, longest last, so that little is padded
    orders = [(shard, sorted(shard, key=lengths.__getitem__)) for shard in shards]
    batches = [(shard, batch) for shard, order in orders for batch in batches_of(order, lengths, batch_seconds, most)]
    todo = [items[position] for _, batch in batches for position in batch]
    done = 0
    ahead = num_workers + (most or 16)  # so that a whole batch of images waits when the one before is done
    with _prepared(encoder, todo, num_workers, ahead) as outcomes:
        for shard, group in groupby(batches, key=lambda pair: pair[0]):
            encoder.counts.clear()
            results: dict[int, Any] = {}
            for _, batch in group:
                results |= _encode_batch(encoder, batch, outcomes)
                errors = {p: result for p, result in results.items() if isinstance(result, AffectkitError)}
                if errors and on_error == "stop":
                    raise _at_row(errors, items, where)
                done += len(batch)
                if progress:
                    progress(done)
            skipped = [(items[p].id, _reason(errors[p], items[p])) for p in shard if p in errors]
            kept = [p for p in shard if p not in errors]
            values = stacked([results[p] for p in kept])
            yield Encoded([items[p].id for p in kept], values, skipped, dict(encoder.counts))


def _most_at_once(encoder: Encoder) -> int | None:
    """Items of a batch, where their number limits it: of a series all the work is in `prepare`, and the frames of a
    video are batches of their own."""
    if encoder.reads == "images":
        return 1 if encoder.options.get("fps") else BATCH_IMAGES
    return 1 if encoder.reads == "series" else None


@contextmanager
def _prepared(encoder: Encoder, order: Iterable[Item], num_workers: int, ahead: int) -> Iterator[Iterator[Any]]:
    """What `prepare` gives for each item in turn, or its AffectkitError; `ahead` items early, so memory is flat."""

    def attempt(item: Item) -> Any:
        try:
            return encoder.prepare(item)
        except AffectkitError as error:
            if error.code in ("environment", "usage"):  # no fault of this item
                raise
            return error

    if num_workers == 0:
        yield map(attempt, order)
        return
    pool = ThreadPoolExecutor(num_workers)

    def on_threads() -> Iterator[Any]:
        waiting: deque[Future[Any]] = deque()
        for item in order:
            waiting.append(pool.submit(attempt, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield on_threads()
    finally:
        pool.shutdown(cancel_futures=True)


def _encode_batch(encoder: Encoder, batch: list[int], outcomes: Iterator[Any]) -> dict[int, Any]:
    """The value of each position, or the AffectkitError for which it has none."""
    results = {position: next(outcomes) for position in batch}
    ready = [position for position in batch if not isinstance(results[position], AffectkitError)]
    values = rows_of(encoder.encode([results[position] for position in ready])) if ready else []
    for position, value in zip(ready, values, strict=True):
        results[position] = value
        wrong = np.isinf if getattr(encoder, "gaps", False) else _not_finite
        if wrong(value if isinstance(value, np.ndarray) else value.data).any():
            results[position] = AffectkitError("input", f"{encoder.name} gave values that are not finite")
    return results


def _settle(encoder: Encoder, items: Sequence[Item]) -> None:
    """A user's own encoder need not have what most do nothing with."""
    if hasattr(encoder, "settle"):
        encoder.settle(items)


def _not_finite(values: np.ndarray) -> np.ndarray:
    return ~np.isfinite(values)


def _is_sparse(value: Any) -> bool:
    return hasattr(value, "indptr")


def rows_of(values: Any) -> Any:
    """The values of each item: a list as it is, a CSR matrix cut into its rows."""
    return [values[row] for row in range(values.shape[0])] if _is_sparse(values) else values


def stacked(values: list[Any]) -> Any:
    if values and _is_sparse(values[0]):
        from scipy.sparse import vstack

        return vstack(values, format="csr")
    return values


def _reason(error: AffectkitError, item: Item) -> str:
    named = error.file or (str(item.path) if item.path else None)
    return f"{named}: {error.message}" if named else error.message


def _at_row(errors: dict[int, AffectkitError], items: Sequence[Item], where: Where | None) -> AffectkitError:
    """The first error, with the manifest's file and row before the medium's own name."""
    position = min(errors)
    error = errors[position]
    if where is None:
        return error
    remedy = "; ".join(filter(None, [error.remedy, "or pass --on-error skip"]))
    return AffectkitError(error.code, _reason(error, items[position]), **where(position), remedy=remedy)


# --- Extraction: shards as the unit of work, of resuming and of sharing among processes
#
# A shard is consecutive rows, cut by rows and durations alone.


# A shard's limits: 20 minutes of audio take openSMILE half a minute and wav2vec2 some minutes on two cores, which is
# what a killed run loses. Frames are kept to 32 rows: 120 s of 13 layers of 768 are 240 MB.
POOLED_ROWS, POOLED_SEC = 256, 1200.0
FRAMES_ROWS, FRAMES_SEC = 32, 120.0


def plan(items: Sequence[Item], *, pooled: bool) -> list[range]:
    """Positions of each shard: consecutive, as many as the limits allow, at least one."""
    most_rows, most_sec = (POOLED_ROWS, POOLED_SEC) if pooled else (FRAMES_ROWS, FRAMES_SEC)
    shards, start, seconds = [], 0, 0.0
    for position, item in enumerate(items):
        if position > start and (position - start >= most_rows or seconds + item.duration_sec > most_sec):
            shards.append(range(start, position))
            start, seconds = position, 0.0
        seconds += item.duration_sec
    return shards + [range(start, len(items))] if len(items) else []


def extract(
    encoder: Encoder,
    items: Sequence[Item],
    folder: Path,
    *,
    ranks: Ranks | None = None,
    progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> Written | None:
    """Write the features of `items` into the folder of an open run, going on with the shards that it lacks.

    Rank r of W does shards r, r + W, ...; rank 0 then writes the index, and only there is something returned.
    how: batch_seconds, num_workers, on_error and where, as `encode_shards` has them. Raises as it does.
    """
    ranks = ranks or Ranks()
    _settle(encoder, items)
    shards = plan(items, pooled=encoder.pooled)
    writer = FeatureWriter(folder, record(encoder), [[items[p].id for p in shard] for shard in shards])
    mine = range(ranks.rank, len(shards), ranks.world)
    todo = [number for number in mine if not writer.has(number)]
    total = sum(len(shards[number]) for number in mine)
    done = total - sum(len(shards[number]) for number in todo)
    if progress:
        how["progress"] = lambda count: progress(done + count, total)
    encoded = encode_shards(encoder, items, [shards[number] for number in todo], **how)
    for number, part in zip(todo, encoded, strict=True):
        writer.write(number, part.values, part.ids, part.skipped, part.counts)
    ranks.barrier()
    return writer.finish() if ranks.is_main else None


def encode_items(encoder: Encoder, items: Sequence[Item], **how: Any) -> Encoded:
    """The features of `items` in memory: the same values as `extract` writes.

    how: batch_seconds, num_workers, on_error, where and progress, as `encode_shards` has them. Raises as it does.
    """
    _settle(encoder, items)
    parts = list(encode_shards(encoder, items, plan(items, pooled=encoder.pooled), **how))
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Encoded(
        [key for part in parts for key in part.ids],
        stacked([row for part in parts for row in rows_of(part.values)]),
        [pair for part in parts for pair in part.skipped],
        dict(counts),
    )
