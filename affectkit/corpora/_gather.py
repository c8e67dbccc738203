"""Reading a corpus with its plug-in, before any choice is made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target, map_labels, parse_label_map
from affectkit.plain import comma_separated
from affectkit.synthesis.twins import is_synthetic

if TYPE_CHECKING:
    import pandas as pd


SAFE_ID = re.compile(r"[^/\\\x00-\x1f]{1,200}")


@dataclass(frozen=True)
class Gathered:
    """A corpus as read, before any choice.

    corpora: what `summary.json` says of each by name: root, licence, citation. dropped: every row left out, and why.
    """

    rows: pd.DataFrame
    targets: tuple[Target, ...]
    corpora: dict[str, dict[str, Any]]
    defects: list[tuple[str, str]]
    official: str
    group: str = ""
    presets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subsets: Mapping[str, str] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)


def gather(module: ModuleType, name: str, roots: Sequence[Path], options: Mapping[str, Any]) -> Gathered:
    """Read a corpus with its plug-in. Raises "input" when nothing, or an unusable id, comes out of it."""
    if hasattr(module, "gather"):  # a plug-in that reads manifests brings their corpora along
        return module.gather(roots, **options)
    if len(roots) != 1:
        raise AffectkitError("usage", f"{name} takes one folder, not {len(roots)}", remedy="join manifests with merge")
    corpus: Corpus = module.CORPUS
    root = Path(roots[0])
    if not root.exists() and not getattr(module, "REMOTE", False):  # a hub id is no folder
        raise AffectkitError("missing", f"no such {corpus.title} folder", file=root)
    rows, dropped = _collect(module.read(root, **options))
    if not len(rows):
        reasons = Counter(item.reason for item in dropped).most_common(1)
        because = f": {reasons[0][1]} files dropped, {reasons[0][0]}" if reasons else ""
        raise AffectkitError("input", f"no rows of {corpus.title} found{because}", file=root)
    rows.insert(1, "corpus", name)
    base = root if root.is_dir() else root.parent
    facts = {
        "root": str(base.resolve()),
        "title": corpus.title,
        "licence": corpus.licence,
        "citation": corpus.citation,
        "language": corpus.language,
        "synthetic": is_synthetic(base),
    }
    return Gathered(
        rows,
        targets_of(module, rows, options),
        {name: facts},
        [(defect.kind, defect.text) for defect in corpus.defects],
        corpus.official,
        corpus.default_group,
        corpus.presets,
        corpus.subsets,
        dropped,
    )


def targets_of(module: ModuleType, rows: pd.DataFrame, options: Mapping[str, Any]) -> tuple[Target, ...]:
    """The number targets that the rows have; a plug-in whose targets depend on its options says so in `targets()`."""
    declared = module.targets(**options) if hasattr(module, "targets") else module.CORPUS.targets
    return tuple(target for target in declared if target.name in rows)


def _collect(items: Iterator[dict[str, Any] | Dropped]) -> tuple[pd.DataFrame, list[Dropped]]:
    import pandas as pd

    kept, dropped = [], []
    for item in items:
        if isinstance(item, Dropped):
            dropped.append(item)
        else:
            kept.append(item)
    seen: set[str] = set()
    for number, row in enumerate(kept, start=1):
        if not SAFE_ID.fullmatch(row["id"]):
            raise AffectkitError("input", f"id '{row['id']}' cannot be a file name", row=number)
        if row["id"] in seen:
            raise AffectkitError("input", f"id '{row['id']}' occurs twice in the corpus", remedy="give unique ids")
        seen.add(row["id"])
    frame = pd.DataFrame(kept)
    for column in frame.columns:
        if frame[column].dtype.kind not in "if":
            frame[column] = frame[column].fillna("").astype(object)
    return frame, dropped


# --- Which rows a manifest keeps, and under which labels


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
