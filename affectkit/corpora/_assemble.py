"""From a corpus as read to a manifest: labels, media, splits, audit, summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit import media
from affectkit.console import Progress
from affectkit.corpora._choose import Choices, apply_labels, keep_only
from affectkit.corpora._corpus import Dropped
from affectkit.corpora._faces import with_faces
from affectkit.corpora._gather import Gathered
from affectkit.corpora._measure import measure, media_paths
from affectkit.corpora._split import default_split, group_column, split_rows
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.leakage import AuditReport, audit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Assembled:
    rows: pd.DataFrame
    summary: dict[str, Any]
    label_map: dict[str, Any]
    report: AuditReport

    def facts(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {key: self.summary[key] for key in ("rows", "hours", "counts", "declared", "dropped_reasons")}

    def lines(self) -> list[str]:
        """What a person wants to know at once: sizes, what was left out and why, declared defects."""
        summary = self.summary
        lines = [f"{name}: " + _count_words(counts) for name, counts in summary["counts"].items()]
        lines += [f"dropped {count}: {reason}" for reason, count in summary["dropped_reasons"].items()]
        lines += [f"declared by the corpus: {sentence}" for sentence in summary["declared"]]
        return lines + [f"not compared: {note}" for note in self.report.notes]


def assemble(gathered: Gathered, choices: Choices, progress: Callable[[str], Any]) -> Assembled:
    """Apply `choices`, split and audit. progress: `progress(what)` is a context that yields a callback.

    Raises "leak" for an undeclared leak whose kind is not allowed, and "input" when no row is left.
    """
    rows, dropped = gathered.rows, list(gathered.dropped)
    if choices.on_error == "stop":
        _refuse_mistakes(dropped)
    rows = keep_only(rows, choices.only, gathered.subsets, dropped)
    rows, label_map, label = apply_labels(rows, gathered, choices, dropped)
    paths = media_paths(rows, gathered, choices.media_root)
    if choices.faces:
        rows = with_faces(rows, paths, choices.faces)
    rows, paths, headers = measure(rows, paths, choices, dropped, progress)
    _refuse_empty(rows, dropped)
    rows = split_rows(rows, gathered, choices)
    with progress("audit") as update:
        report = _audit(rows, paths, headers, gathered, choices, update)
    report.require(choices.allow_leaks)
    targets = ([label] if label else []) + list(gathered.targets)
    return Assembled(rows, _summary(rows, gathered, choices, targets, dropped, report), label_map, report)


def _refuse_mistakes(dropped: list[Dropped]) -> None:
    """Stop at what the corpus should have had."""
    mistakes = [item for item in dropped if item.remedy]
    if mistakes:
        first = mistakes[0]
        others = f" (and {len(mistakes) - 1} more such)" if len(mistakes) > 1 else ""
        raise AffectkitError(
            "input", first.reason + others, file=first.path,
            remedy=f"{first.remedy}, or leave such rows out with --on-error skip",
        )  # fmt: skip


def _refuse_empty(rows: pd.DataFrame, dropped: list[Dropped]) -> None:
    if len(rows):
        return
    reason, count = Counter(item.reason for item in dropped).most_common(1)[0]
    raise AffectkitError("input", f"no rows are left: {count} of {len(dropped)} dropped, {reason}")


def _audit(
    rows: pd.DataFrame,
    paths: list[Path | None],
    headers: list[media.AnyHeader | None],
    gathered: Gathered,
    choices: Choices,
    progress: Progress,
) -> AuditReport:
    return audit(
        rows,
        level=choices.audit,
        media=paths,
        headers=headers,
        defects=_defects(rows, gathered, choices),
        group_column=group_column(rows, gathered, choices),
        num_workers=choices.num_workers,
        progress=progress,
    )


def _defects(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> list[tuple[str, str]]:
    """The declared defects that excuse this split: whose voice is on both sides concerns the official split only."""
    by = "folds" if choices.folds else choices.split_by or default_split(rows, gathered)
    if by == "official" or not gathered.official:
        return gathered.defects
    return [(kind, text) for kind, text in gathered.defects if kind in ("text", "media")]


def _summary(
    rows: pd.DataFrame,
    gathered: Gathered,
    choices: Choices,
    targets: list[Target],
    dropped: list[Dropped],
    report: AuditReport,
) -> dict[str, Any]:
    side = "fold" if "fold" in rows else "split"
    group = group_column(rows, gathered, choices)
    return {
        "corpora": gathered.corpora,
        "targets": [target.to_json() for target in targets],
        "rows": len(rows),
        "hours": round(float(rows["duration_sec"].sum()) / 3600, 4) if "duration_sec" in rows else None,
        "split_by": f"{choices.folds} folds" if choices.folds else choices.split_by or default_split(rows, gathered),
        "group": group,
        "counts": {str(name): _counts(part, group) for name, part in rows.groupby(side, sort=True)},
        "declared": report.declared_sentences(choices.allow_leaks),
        "defects": gathered.defects,
        "dropped_reasons": dict(Counter(item.reason for item in dropped).most_common()),
        "dropped": [{"path": item.path, "reason": item.reason} for item in dropped],
    }


def _counts(part: pd.DataFrame, group: str | None) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows": len(part)}
    if group:
        counts[group] = int(part.loc[part[group] != "", group].nunique())
    if "label" in part:
        counts["label"] = {name: int(n) for name, n in part["label"].value_counts().sort_index().items() if name}
        counts["unlabelled"] = int((part["label"] == "").sum())
    return counts


def _count_words(counts: dict[str, Any]) -> str:
    parts = [f"{counts['rows']} rows"]
    parts += [f"{n} {what}s" for what, n in counts.items() if what not in ("rows", "label", "unlabelled")]
    if counts.get("label"):
        parts.append(" ".join(f"{name} {n}" for name, n in counts["label"].items()))
    return ", ".join(parts)
