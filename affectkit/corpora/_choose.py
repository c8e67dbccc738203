"""Which rows a manifest keeps, and under which labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.corpora._corpus import Dropped
from affectkit.corpora._gather import Gathered
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target, map_labels, parse_label_map
from affectkit.plain import comma_separated

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Choices:
    """What the command line asks of the rows."""

    preset: str | None = None
    label_map: str | None = None
    labels: str | None = None
    only: Sequence[str] = ()
    min_duration: float | None = None
    max_duration: float | None = None
    split_by: str | None = None
    folds: str | None = None
    val_fraction: float = 0.15
    test_fraction: float = 0.2
    group: str | None = None
    audit: str = "content"
    allow_leaks: Sequence[str] = ()
    num_workers: int | None = None
    on_error: str = "stop"
    media_root: Path | None = None
    faces: Path | None = None
    seed: int = 0


def drop(rows: pd.DataFrame, keep: Any, reason: Callable[[Any], str], dropped: list[Dropped]) -> pd.DataFrame:
    for _, row in rows[~keep].iterrows():
        dropped.append(Dropped(str(row.get("path") or row["id"]), reason(row)))
    return rows[keep].reset_index(drop=True)


def keep_only(
    rows: pd.DataFrame, filters: Sequence[str], subsets: Mapping[str, str], dropped: list[Dropped]
) -> pd.DataFrame:
    for text in filters:
        condition = subsets.get(text, text)
        column, equals, values = condition.partition("=")
        if not equals or column not in rows:
            known = [*subsets, *(f"{c}=..." for c in rows.columns)]
            raise AffectkitError(
                "usage", f"--only '{text}' names no part of this corpus", remedy=did_you_mean(text, known)
            )
        keep = rows[column].astype(str).isin(values.split(",")).to_numpy()
        rows = drop(rows, keep, lambda row: f"not --only {condition}", dropped)  # noqa: B023  called at once
    return rows


def apply_labels(
    rows: pd.DataFrame, gathered: Gathered, choices: Choices, dropped: list[Dropped]
) -> tuple[pd.DataFrame, dict[str, Any], Target | None]:
    """Map source labels to classes. The order of classes is that of --labels, else alphabetical."""
    if "source_label" not in rows or not (rows["source_label"] != "").any():
        if choices.preset or choices.label_map or choices.labels:
            raise AffectkitError(
                "usage", "the corpus has no class labels to map", remedy="leave --preset and --label-map out"
            )
        return rows, {"classes": [], "map": {}}, None
    mapping, complete = _mapping(gathered, choices)
    classes = map_labels(rows["source_label"], mapping, complete=complete)
    present = sorted({name for name in classes if name})
    order = comma_separated(choices.labels) or present
    for name in order:
        if name not in present:
            raise AffectkitError("usage", f"--labels: no row is '{name}'", remedy=did_you_mean(name, present))
    keep = np.array([name == "" or name in order for name in classes])
    rows = rows.assign(label=classes)
    rows = drop(rows, keep, lambda row: f"label '{row['source_label']}' is not among the classes", dropped)
    used = dict(sorted({(s, c) for s, c in zip(rows["source_label"], rows["label"], strict=True) if c}))
    return rows, {"classes": order, "map": used}, Target("label", "class", tuple(order))


def _mapping(gathered: Gathered, choices: Choices) -> tuple[dict[str, str], bool]:
    if choices.preset is None:
        return (parse_label_map(choices.label_map) if choices.label_map else {}), False
    if choices.preset not in gathered.presets:
        raise AffectkitError(
            "usage",
            f"there is no preset '{choices.preset}' here",
            remedy=did_you_mean(choices.preset, list(gathered.presets)),
        )
    extra = parse_label_map(choices.label_map) if choices.label_map else {}
    return {**gathered.presets[choices.preset], **extra}, True
