"""Writing features shard by shard, so that a killed run goes on with the shards it lacks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit.artifacts.features import ENCODER, INDEX, SKIPPED, ShardFacts, Values, canonical, read_facts, write_shard
from affectkit.artifacts.files import write_json
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.plain import without_nan


@dataclass(frozen=True)
class Written:
    """What a finished folder holds. counts: what happened to rows on the way ("truncated": 3)."""

    rows: int
    skipped: list[tuple[str, str]]
    shards: int
    counts: dict[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        return {"rows": self.rows, "skipped": len(self.skipped), "shards": self.shards, **self.counts}

    def lines(self) -> list[str]:
        """What a person should know."""
        told = [f"{self.rows} rows in {self.shards} shard{'s' * (self.shards != 1)}"]
        told += [f"{count} rows {what.replace('_', ' ')}" for what, count in self.counts.items() if count]
        if self.skipped:
            key, reason = self.skipped[0]
            told.append(f"{len(self.skipped)} rows skipped, see {SKIPPED}; the first, {key}: {reason}")
        return told


class FeatureWriter:
    """Writes the features of one encoder over planned rows.

    folder: of an open run. encoder: what `encoder.json` will say. plan: the ids of each shard, in manifest order; it
    must be the same whenever the run is gone on with. Several processes may write different shards of one folder; one
    of them calls `finish` when all are there.
    """

    def __init__(self, folder: Path, encoder: dict[str, Any], plan: Sequence[Sequence[str]]) -> None:
        self.folder, self.encoder, self.plan = Path(folder), without_nan(encoder), plan
        self.digest = hashlib.sha256(canonical(self.encoder).encode()).hexdigest()

    def path(self, number: int) -> Path:
        return self.folder / f"features-{number + 1:05d}.safetensors"

    def has(self, number: int) -> bool:
        """Whether shard `number` (from 0) was written before, whole and by this same plan and encoder.

        Raises "usage" if it was written by another: weights that changed since, for instance.
        """
        path = self.path(number)
        if not path.exists():
            return False
        facts = read_facts(path)
        if facts.encoder != self.digest:
            message = "--resume: was written by another encoder, or other weights"
            raise AffectkitError("usage", message, file=path, remedy="use --overwrite")
        self._check_plan(number, facts)
        return True

    def _check_plan(self, number: int, facts: ShardFacts) -> None:
        skipped = {key for key, _ in facts.skipped}
        if facts.ids != [key for key in self.plan[number] if key not in skipped] or not skipped <= {*self.plan[number]}:
            message = "--resume: holds other rows than the manifest"
            raise AffectkitError("usage", message, file=self.path(number), remedy="use --overwrite")

    def write(
        self, number: int, values: Values, ids: list[str], skipped: list[tuple[str, str]], counts: dict[str, int]
    ) -> None:
        """Write shard `number`: a value for each of `ids`; the plan's other rows must be among `skipped`."""
        frames = None if self.encoder["pooled"] else [len(value) for value in values]
        facts = ShardFacts(self.digest, ids, frames, skipped, counts)
        self._check_plan(number, facts)
        write_shard(self.path(number), values, facts)

    def finish(self) -> Written:
        """Write `index.csv`, `skipped.csv` (where rows were skipped) and `encoder.json`, from what the shards say.

        Raises "input" if every row was skipped.
        """
        import pandas as pd

        for left in self.folder.glob(".*.tmp"):  # of processes that were killed while writing
            left.unlink()
        index, skipped, counts = self._collect()
        if not index:
            key, reason = skipped[0]
            raise AffectkitError("input", f"no row could be encoded; the first, {key}: {reason}", file=self.folder)
        write_table(self.folder / INDEX, pd.DataFrame(index, columns=["id", "shard", "start", "frames"]))
        if skipped:
            write_table(self.folder / SKIPPED, pd.DataFrame(skipped, columns=["id", "reason"]))
        write_json(self.folder / ENCODER, self.encoder)
        return Written(len(index), skipped, len(self.plan), dict(counts))

    def _collect(self) -> tuple[list[tuple[str, str, int, int]], list[tuple[str, str]], Counter[str]]:
        index: list[tuple[str, str, int, int]] = []
        skipped: list[tuple[str, str]] = []
        counts: Counter[str] = Counter()
        for number in range(len(self.plan)):
            facts = read_facts(self.path(number))
            start = 0
            for key, frames in zip(facts.ids, facts.frames or [1] * len(facts.ids), strict=True):
                index.append((key, self.path(number).name, start, frames))
                start += frames
            skipped += facts.skipped
            counts.update(facts.counts)
        return index, skipped, counts
