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
from affectkit.encoders._encoder import Encoder, Item, record
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
    most = BATCH_IMAGES if encoder.reads == "images" else None
    batches = [(shard, batch) for shard in shards for batch in _batches(items, shard, batch_seconds, most)]
    order = [items[position] for _, batch in batches for position in batch]
    done = 0
    ahead = num_workers + (most or 16)  # so that a whole batch of images waits when the one before is done
    with _prepared(encoder, order, num_workers, ahead) as outcomes:
        for shard, group in groupby(batches, key=lambda pair: pair[0]):
            encoder.counts.clear()
            values: dict[int, Any] = {}
            errors: dict[int, AffectkitError] = {}
            for _, batch in group:
                _encode_batch(encoder, batch, outcomes, values, errors)
                if errors and on_error == "stop":
                    raise _at_row(errors, items, where)
                done += len(batch)
                if progress:
                    progress(done)
            kept = [position for position in shard if position in values]
            skipped = [(items[p].id, _reason(errors[p], items[p])) for p in shard if p in errors]
            yield Encoded(
                [items[p].id for p in kept], stacked([values[p] for p in kept]), skipped, dict(encoder.counts)
            )


def _batches(items: Sequence[Item], shard: range, batch_seconds: float, most: int | None = None) -> list[list[int]]:
    """Positions of similar length together, longest last, so that little is padded; at most `most` of them."""
    batches: list[list[int]] = [[]]
    for position in sorted(shard, key=lambda p: items[p].duration_sec):
        size = len(batches[-1])
        if size and ((size + 1) * items[position].duration_sec > batch_seconds or size == most):
            batches.append([])
        batches[-1].append(position)
    return batches


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


def _encode_batch(
    encoder: Encoder,
    batch: list[int],
    outcomes: Iterator[Any],
    values: dict[int, Any],
    errors: dict[int, AffectkitError],
) -> None:
    ready = []
    for position in batch:
        outcome = next(outcomes)
        if isinstance(outcome, AffectkitError):
            errors[position] = outcome
        else:
            ready.append((position, outcome))
    if not ready:
        return
    for (position, _), value in zip(ready, rows_of(encoder.encode([outcome for _, outcome in ready])), strict=True):
        if np.isfinite(value.data if _is_sparse(value) else value).all():
            values[position] = value
        else:
            errors[position] = AffectkitError("input", f"{encoder.name} gave values that are not finite")


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
    batch_seconds: float = BATCH_SEC,
    num_workers: int = 0,
    on_error: OnError = "stop",
    where: Where | None = None,
    ranks: Ranks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written | None:
    """Write the features of `items` into the folder of an open run, going on with the shards that it lacks.

    Rank r of W does shards r, r + W, ...; rank 0 then writes the index, and only there is something returned.
    Raises as `encode_shards` does.
    """
    ranks = ranks or Ranks()
    shards = plan(items, pooled=encoder.pooled)
    writer = FeatureWriter(folder, record(encoder), [[items[p].id for p in shard] for shard in shards])
    mine = range(ranks.rank, len(shards), ranks.world)
    todo = [number for number in mine if not writer.has(number)]
    total = sum(len(shards[number]) for number in mine)
    done = total - sum(len(shards[number]) for number in todo)
    encoded = encode_shards(
        encoder,
        items,
        [shards[number] for number in todo],
        batch_seconds=batch_seconds,
        num_workers=num_workers,
        on_error=on_error,
        where=where,
        progress=(lambda count: progress(done + count, total)) if progress else None,
    )
    for number, part in zip(todo, encoded, strict=True):
        writer.write(number, part.values, part.ids, part.skipped, part.counts)
    ranks.barrier()
    return writer.finish() if ranks.is_main else None


def encode_items(
    encoder: Encoder,
    items: Sequence[Item],
    *,
    batch_seconds: float = BATCH_SEC,
    num_workers: int = 0,
    on_error: OnError = "stop",
    where: Where | None = None,
    progress: Callable[[int], None] | None = None,
) -> Encoded:
    """The features of `items` in memory: the same values as `extract` writes. Raises as `encode_shards` does."""
    parts = list(
        encode_shards(
            encoder,
            items,
            plan(items, pooled=encoder.pooled),
            batch_seconds=batch_seconds,
            num_workers=num_workers,
            on_error=on_error,
            where=where,
            progress=progress,
        )
    )
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Encoded(
        [key for part in parts for key in part.ids],
        stacked([row for part in parts for row in rows_of(part.values)]),
        [pair for part in parts for pair in part.skipped],
        dict(counts),
    )
