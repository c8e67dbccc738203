"""Reading a corpus with its plug-in, before any choice is made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped, Note, Row
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target, map_labels, parse_label_map
from affectkit.media.texts import LANGUAGE, language_code, with_language_codes
from affectkit.plain import comma_separated
from affectkit.splits import SPLITS, tidy_splits
from affectkit.synthesis.twins import is_synthetic

if TYPE_CHECKING:
    import pandas as pd


SAFE_ID = re.compile(r"[^/\\\x00-\x1f]{1,200}")


@dataclass(frozen=True)
class Base:
    """A manifest whose rows get further labels: what it says of itself, which stands unless something else is asked.

    summary, label_map, audit: as its files have them. label: the target of its classes now, if any. sections: what the
    summary says besides. tables: what is written beside the manifest's own, by the file's name. lines, warnings: for
    people.
    """

    summary: Mapping[str, Any]
    label_map: Mapping[str, Any]
    audit: Mapping[str, Any]
    label: Target | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Gathered:
    """A corpus as read, before any choice.

    corpora: what `summary.json` says of each by name: root, licence, citation, notes. corpus: what holds of all rows.
    dropped: every row left out, and why. source: the folder or table that was read, for errors. base: the manifest
    that the rows are of, where they were prepared before.
    """

    rows: pd.DataFrame
    targets: tuple[Target, ...]
    corpora: dict[str, dict[str, Any]]
    corpus: Corpus
    dropped: list[Dropped] = field(default_factory=list)
    source: Path | None = None
    base: Base | None = None


def gather(module: ModuleType, name: str, roots: Sequence[Path], options: Mapping[str, Any]) -> Gathered:
    """Read a corpus with its plug-in, whose targets may depend on its options: then it has a function `targets`.

    Raises "input" when nothing, or an unusable id, comes out of it.
    """
    if hasattr(module, "gather"):  # a plug-in that reads manifests brings their corpora along
        return module.gather(roots, **options)
    if len(roots) != 1:
        raise AffectkitError("usage", f"{name} takes one folder, not {len(roots)}", remedy="join manifests with merge")
    corpus: Corpus = module.CORPUS
    root = Path(roots[0])
    if not root.exists() and not getattr(module, "REMOTE", False):  # a hub id is no folder
        raise AffectkitError("missing", "no such file or folder", file=root)
    rows, dropped, notes = _collect(module.read(root, **options))
    if not len(rows):
        reasons = Counter(item.reason for item in dropped).most_common(1)
        because = f": {reasons[0][1]} files dropped, {reasons[0][0]}" if reasons else ""
        raise AffectkitError("input", f"no rows of {corpus.title} found{because}", file=root)
    rows.insert(1, "corpus", name)
    base = root if root.is_dir() else root.parent
    facts = {
        "root": str(base.resolve()),
        **{fact: getattr(corpus, fact) for fact in ("title", "licence", "citation", "language")},
        **({"scores": dict(corpus.scores)} if corpus.scores else {}),
        "synthetic": is_synthetic(base),
    }
    kinds = {"notes": True, "warnings": False}
    sentences = {kind: [note.text for note in notes if note.in_reports == kept] for kind, kept in kinds.items()}
    facts |= {kind: texts for kind, texts in sentences.items() if texts}
    declared = module.targets(rows=rows, **options) if hasattr(module, "targets") else corpus.targets
    rows = with_language_codes(tidy_splits(rows, file=root))
    asked = options.get("split_column")
    if asked not in (None, "", "split") and "split" not in rows:
        what = f"column '{asked}' has none of {', '.join(SPLITS)}"
        raise AffectkitError("input", what, file=root, remedy="name another --split-column")
    targets = tuple(target for target in declared if target.name in rows)
    return Gathered(rows, targets, {name: facts}, corpus, dropped, root)


def _collect(items: Iterable[Row | Dropped | Note]) -> tuple[pd.DataFrame, list[Dropped], list[Note]]:
    import pandas as pd

    items = list(items)
    dropped = [item for item in items if isinstance(item, Dropped)]
    notes = [item for item in items if isinstance(item, Note)]
    kept = [item for item in items if not isinstance(item, (Dropped, Note))]
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
    return frame, dropped, notes


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
    val_fraction: float | None = None
    test_fraction: float | None = None
    group: str | None = None
    audit: str = "content"
    allow_leaks: Sequence[str] = ()
    drop_leaks: str | None = None
    num_workers: int | None = None
    on_error: str = "stop"
    media_root: Path | None = None
    faces: Path | None = None
    seed: int = 0

    @property
    def anew(self) -> bool:
        """Whether anything is asked of rows that are a manifest's already: which stay, under which labels, on which
        side; or that their media are looked at again."""
        how = {name: getattr(self, name) for name in ("allow_leaks", "num_workers", "on_error", "seed")}
        return self != Choices(**how)

    @property
    def fractions(self) -> dict[str, float]:
        """Shares of the rows for val and test, by default those of a split, or nothing where there are folds.

        Raises "usage" for folds beside a val part: what a fold leaves out stands in its place.
        """
        if self.folds and self.val_fraction:
            remedy = "leave it out: train --cv holds out each fold in turn"
            raise AffectkitError("usage", "--folds and --val-fraction exclude each other", remedy=remedy)
        asked = {"val_fraction": self.val_fraction, "test_fraction": self.test_fraction}
        default = dict.fromkeys(asked, 0.0) if self.folds else {"val_fraction": 0.15, "test_fraction": 0.2}
        return {name: default[name] if share is None else share for name, share in asked.items()}


def drop(rows: pd.DataFrame, reasons: Sequence[str], dropped: list[Dropped]) -> pd.DataFrame:
    """The rows without a reason ("") to leave them out; the others are added to `dropped`."""
    keep = np.array([not reason for reason in reasons], dtype=bool)
    for row, reason in zip(rows[~keep].to_dict("records"), filter(None, reasons), strict=True):
        dropped.append(Dropped(str(row.get("path") or row["id"]), reason))
    return rows[keep].reset_index(drop=True)


def keep_only(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    subsets = gathered.corpus.subsets
    for text in choices.only:
        condition = subsets.get(text, text)
        column, equals, values = condition.partition("=")
        if not equals or column not in rows:
            remedy = did_you_mean(text, [*subsets, *(f"{c}=..." for c in rows.columns)])
            raise AffectkitError("usage", f"--only '{text}' names no part of this corpus", remedy=remedy)
        wanted = values.split(",")
        among = rows[column].astype(str).isin(map(language_code, wanted) if column == LANGUAGE else wanted)
        rows = drop(rows, ["" if kept else f"not --only {condition}" for kept in among], gathered.dropped)
    return rows


def apply_labels(
    rows: pd.DataFrame, gathered: Gathered, choices: Choices
) -> tuple[pd.DataFrame, dict[str, Any], Target | None]:
    """Map source labels to classes. The order of classes is that of --labels, else alphabetical.

    The classes of a manifest stay as they are, or are themselves what is mapped.
    """
    base = gathered.base
    now = base.label.classes if base and base.label else ()
    if base and not (choices.preset or choices.label_map or choices.labels):
        return rows, {"map": {}, **base.label_map, "classes": list(now)}, base.label
    if base and "label" in rows:
        rows = rows.assign(source_label=rows["label"])
    if "source_label" not in rows or not (rows["source_label"] != "").any():
        if choices.preset or choices.label_map or choices.labels:
            remedy = "leave --preset and --label-map out"
            raise AffectkitError("usage", "the corpus has no class labels to map", remedy=remedy)
        return rows, {"classes": [], "map": {}}, None
    mapping = _mapping(gathered.corpus.presets, choices)
    classes = map_labels(rows["source_label"], mapping, complete=choices.preset is not None)
    names = {name for name in classes if name}
    present = [name for name in now if name in names] + sorted(names.difference(now))
    order = comma_separated(choices.labels) or present
    for name in order:
        if name not in present:
            raise AffectkitError("usage", f"--labels: no row is '{name}'", remedy=did_you_mean(name, present))
    reasons = [
        "" if name == "" or name in order else f"label '{source}' is not among the classes"
        for name, source in zip(classes, rows["source_label"], strict=True)
    ]
    rows = drop(rows.assign(label=classes), reasons, gathered.dropped)
    used = dict(sorted({(s, c) for s, c in zip(rows["source_label"], rows["label"], strict=True) if c}))
    return rows, {"classes": order, "map": used}, Target("label", "class", tuple(order))


def _mapping(presets: Mapping[str, Mapping[str, str]], choices: Choices) -> dict[str, str]:
    preset = choices.preset
    if preset is not None and preset not in presets:
        remedy = did_you_mean(preset, list(presets))
        raise AffectkitError("usage", f"there is no preset '{preset}' here", remedy=remedy)
    extra = parse_label_map(choices.label_map) if choices.label_map else {}
    return {**(presets[preset] if preset is not None else {}), **extra}
