"""Extraction: shards as the unit of work, of resuming and of sharing among processes.

A shard is consecutive rows, cut by rows and durations alone.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from affectkit.artifacts.feature_writer import FeatureWriter, Written
from affectkit.distributed import Ranks
from affectkit.encoders._encoder import Encoder, Item, record
from affectkit.encoders._loop import BATCH_SEC, Encoded, OnError, Where, encode_shards, rows_of, stacked

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
