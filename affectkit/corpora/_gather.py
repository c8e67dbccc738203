"""Reading a corpus with its plug-in, before any choice is made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from affectkit.corpora._corpus import Corpus, Dropped
from affectkit.errors import AffectkitError
from affectkit.labels import Target
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
