"""What is known of a run beside its predictions: what made it, how simple it is, and when it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectkit.artifacts.models import FIT_ROWS, FUSION, SPEC, read_spec, read_stage, whole
from affectkit.artifacts.records import RECORD, file_record, read_record, recorded
from affectkit.artifacts.sources import Source

SINGLE, CALIBRATION, FIXED_FUSION, FITTED_FUSION = range(4)
STAGES = ("a single model", "a calibration", "a fusion of fixed weights", "a fitted fusion")
FIXED_RULES = ("mean", "product", "route")  # nothing is fitted; `weighted` is fixed too where its weights were typed
NOT_WEIGHTS = {"README.md", FIT_ROWS, SPEC, "label_map.json"}  # of `best_model/`: they say nothing of its size


@dataclass(frozen=True, order=True)
class Complexity:
    """Ordered from simple to complex: by the number of models that the chain stands on, then by the furthest stage in
    it, then by the bytes of all its weights, which stand in for the number of fitted parameters."""

    parents: int
    stage: int
    size: int

    @property
    def words(self) -> str:
        on = f" on {self.parents} {'model' if self.parents == 1 else 'models'}" if self.parents else ""
        size = f"{self.size / 1000:.1f} kB" if self.size < 1e6 else f"{self.size / 1e6:.1f} MB"
        return f"{STAGES[self.stage]}{on}, {size}"


@dataclass(frozen=True)
class Facts:
    """command: what wrote the run, "" for a table. model: its estimator, method or rule. complexity: None without a
    model. made: time of its predictions, ISO 8601 in UTC. servable: whether the chain can predict. transductive:
    whether any of it scaled features per speaker."""

    command: str
    model: str
    complexity: Complexity | None
    made: str
    servable: bool
    transductive: bool


def facts_of(source: Source) -> Facts:
    """Raises "input" or "missing" for a damaged model folder."""
    command, made = _record(source.path)
    if source.model is None:
        return Facts(command, "table", None, made, False, False)
    with whole(source.model):
        chain = list(_chain(source.model))
        specs = {folder: read_spec(folder) for folder in chain if folder is not None}
        stage = max(_stage(folder, spec) for folder, spec in specs.items())
        files = [p for folder in specs for p in folder.rglob("*") if p.is_file() and p.name not in NOT_WEIGHTS]
        complexity = Complexity(len(chain) - 1, stage, sum(p.stat().st_size for p in files))
        scaled = any(spec.get("normalize") == "speaker" for spec in specs.values())
    return Facts(command, _name(specs[source.model]), complexity, made, None not in chain, scaled)


def _record(table: Path) -> tuple[str, str]:
    """The command that wrote a table, and when: as its record says, which a copied run keeps, else as its file does."""
    for record in (file_record(table), table.parent / RECORD):
        known = recorded(record).get(table.name)
        if known:
            return read_record(record).get("command", ""), _time(known["mtime_ns"])
    return "", _time(table.stat().st_mtime_ns)


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC).isoformat(timespec="microseconds")


def _chain(model: Path) -> Iterator[Path | None]:
    """The model, then all that it stands on, each once; None for each parent that is a table, or has gone."""
    waiting: list[Path | None] = [model]
    met = set()
    while waiting:
        folder = waiting.pop(0)
        if folder is None or not (folder / SPEC).exists():
            yield None
        elif folder.resolve() not in met:
            met.add(folder.resolve())
            yield folder
            parents = read_spec(folder).get("parents", [])
            waiting += [None if parent["path"] is None else folder / parent["path"] for parent in parents]


def _stage(folder: Path, spec: Mapping[str, Any]) -> int:
    if spec["kind"] == "calibration":
        return CALIBRATION
    if spec["kind"] != "fusion":
        return SINGLE
    rules = read_stage(folder, FUSION)["targets"].values()
    for fitted in rules:
        typed = fitted["rule"] == "weighted" and not fitted.get("options", {}).get("search")
        if not typed and fitted["rule"] not in FIXED_RULES:
            return FITTED_FUSION
    return FIXED_FUSION


def _name(spec: Mapping[str, Any]) -> str:
    """`linear`, `calibration: temperature`, `fusion: mean`."""
    if spec["kind"] == "estimator":
        return str(spec["estimator"])
    how = spec.get("method") or spec.get("rule")
    return f"{spec['kind']}: {how}" if how else str(spec["kind"])
