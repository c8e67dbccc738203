"""From a corpus as read to a manifest: labels, media, splits, audit, summary."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import media, splits
from affectkit.artifacts.tables import read_table
from affectkit.corpora._corpus import Defect, Dropped
from affectkit.corpora._faces import with_faces
from affectkit.corpora._files import AUDIO, IMAGES
from affectkit.corpora._gather import Choices, Gathered, apply_labels, drop, keep_only
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.leakage.audit import audit
from affectkit.leakage.sides import AuditReport

if TYPE_CHECKING:
    import pandas as pd


# --- Durations from the media's headers, and bad media out: sound, videos and images


SOUNDING = AUDIO | {".mp4", ".mov", ".m4v"}


def media_paths(rows: pd.DataFrame, gathered: Gathered, media_root: Path | None) -> list[Path | None]:
    if "path" not in rows:
        return [None] * len(rows)
    roots = {name: media_root or Path(facts["root"]) for name, facts in gathered.corpora.items() if facts.get("root")}
    return [roots[corpus] / cell if cell else None for corpus, cell in zip(rows["corpus"], rows["path"], strict=True)]


def measure(
    rows: pd.DataFrame, gathered: Gathered, paths: list[Path | None], choices: Choices, progress: Callable[[str], Any]
) -> tuple[pd.DataFrame, list[Path | None], list[media.AnyHeader | None]]:
    """Bad files out (or an error), then the wanted durations. Images are looked at too, and have no duration."""
    known = list(dict.fromkeys(p for p in paths if p is not None and p.suffix.lower() in SOUNDING | IMAGES))
    sounding = any(p.suffix.lower() in SOUNDING for p in known)
    if not sounding and (choices.min_duration is not None or choices.max_duration is not None):
        raise AffectkitError("usage", "--min-duration, --max-duration: nothing here has a duration")
    if not known:
        return rows, paths, [None] * len(rows)
    workers = choices.num_workers if choices.num_workers is not None else os.cpu_count() or 1
    with progress("headers") as update:
        read = media.read_headers(known, read=_read, num_workers=workers, progress=update)
    by_path = dict(zip(known, read, strict=True))
    headers = [by_path.get(p) if p else None for p in paths]
    segments = _segments(rows, headers) if sounding else [None] * len(rows)
    if choices.on_error == "stop":
        _refuse(next((h for h in headers if isinstance(h, AffectkitError)), None))
        _refuse(next((error for error in segments if error), None))
    if sounding:
        rows = rows.assign(duration_sec=_durations(rows, headers))
    durations = rows["duration_sec"] if sounding else [math.nan] * len(rows)
    outside = [_OUTSIDE if error else "" for error in segments]
    reasons = [
        header.message if isinstance(header, AffectkitError) else misplaced or _out_of_range(duration, choices)
        for header, misplaced, duration in zip(headers, outside, durations, strict=True)
    ]
    kept = [(path, header) for path, header, reason in zip(paths, headers, reasons, strict=True) if not reason]
    return drop(rows, reasons, gathered.dropped), [path for path, _ in kept], [header for _, header in kept]


def _read(path: str | Path) -> media.AnyHeader:
    """By the file's name, as the reader of the corpus took it for an image or not."""
    return media.read_image_header(path) if Path(path).suffix.lower() in IMAGES else media.read_header(path)


_OUTSIDE = "its segment does not lie in its recording"


def _refuse(error: AffectkitError | None) -> None:
    if error:
        remedy = "; ".join(filter(None, [error.remedy, "or leave such files out with --on-error skip"]))
        raise AffectkitError(error.code, error.message, file=error.file, remedy=remedy)


def _segments(rows: pd.DataFrame, headers: list[Any]) -> list[AffectkitError | None]:
    """What is wrong with each row's segment; of a recording whose length is unknown, as far as can be said."""
    starts, ends = (rows[name] if name in rows else [math.nan] * len(rows) for name in ("start_sec", "end_sec"))
    lengths = [h.duration if isinstance(h, media.Header) else math.inf for h in headers]
    paths = rows["path"] if "path" in rows else rows["id"]
    return [media.segment_error(*row) for row in zip(paths, starts, ends, lengths, strict=True)]


def _durations(rows: pd.DataFrame, headers: list[Any]) -> Any:
    """Seconds of each row's segment, or of its whole recording."""
    recordings = np.array([h.duration if isinstance(h, media.Header) else np.nan for h in headers])
    start = rows["start_sec"].to_numpy(float) if "start_sec" in rows else np.zeros(len(rows))
    end = rows["end_sec"].to_numpy(float) if "end_sec" in rows else recordings
    return np.round(np.where(np.isnan(end), recordings, end) - np.where(np.isnan(start), 0.0, start), 6)


def _out_of_range(duration: float, choices: Choices) -> str:
    if choices.min_duration is not None and duration < choices.min_duration:
        return f"shorter than --min-duration {choices.min_duration:g} s"
    if choices.max_duration is not None and duration > choices.max_duration:
        return f"longer than --max-duration {choices.max_duration:g} s"
    return ""


# --- Which side each row of a manifest is on


def split_rows(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """Fill `split`, or `fold` (then everything is `train`), by what the command line asks for."""
    if choices.folds:
        return _folds(rows, gathered, choices)
    by = choices.split_by or default_split(rows, gathered)
    fractions: Any = {name: getattr(choices, name) for name in ("val_fraction", "test_fraction", "seed")}
    if by == "official":
        return _official(rows, gathered, choices)
    if by == "random":
        return rows.assign(split=splits.random_rows(_labels(rows), len(rows), **fractions))
    if by.endswith(".csv"):
        split, fold = splits.from_table(read_table(Path(by), required=["id"]), list(rows["id"]), file=Path(by))
        return rows.assign(split=split) if fold is None else rows.assign(split="train", fold=fold)
    column = choices.group or (splits.default_group(rows) if by == "speaker" and "speaker" not in rows else by)
    groups = _groups(rows, column, "--split-by")
    return rows.assign(split=splits.by_group(groups, _labels(rows), **fractions, name=str(column)))


def default_split(rows: pd.DataFrame, gathered: Gathered) -> str:
    """`official` where the corpus as it lies here says it, else `speaker` (or what stands in), else `random`."""
    if gathered.corpus.official and "split" in rows and (rows["split"] != "").any():
        return "official"
    return "speaker" if splits.default_group(rows) else "random"


def group_column(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> str | None:
    """What must not straddle: as asked, else as the corpus says (IEMOCAP's sessions), else the speaker."""
    if choices.group and choices.group not in rows:
        _groups(rows, choices.group, "--group")
    own = gathered.corpus.default_group
    of_corpus = own if own in rows and (rows[own] != "").any() else ""
    return choices.group or of_corpus or splits.default_group(rows)


def _folds(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    if choices.split_by:
        raise AffectkitError("usage", "--folds and --split-by exclude each other", remedy="leave one of them out")
    text = str(choices.folds)
    count = int(text) if text.isdigit() else None
    column = group_column(rows, gathered, choices) if count else choices.group or text
    if count and column is None:
        return rows.assign(split="train", fold=splits.random_folds(_labels(rows), len(rows), count, choices.seed))
    groups = _groups(rows, column, "--folds")
    folds = splits.folds_by_group(groups, _labels(rows), count, choices.seed, name=str(column))
    return rows.assign(split="train", fold=folds)


def _official(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> pd.DataFrame:
    """The corpus's own split; where it has no validation part, one is carved out of train by group."""
    if not gathered.corpus.official:
        raise AffectkitError("usage", "the corpus has no official split", remedy="use --split-by speaker")
    split = rows["split"].to_numpy(dtype=object, copy=True)
    if (split == "val").any() or not choices.val_fraction:
        return rows
    train = np.flatnonzero(split == "train")
    column = group_column(rows, gathered, choices) or "id"
    labels = _labels(rows)
    groups, classes = rows[column].astype(str).to_numpy()[train], labels[train] if labels is not None else None
    held = splits.hold_out(groups, classes, fraction=choices.val_fraction, seed=choices.seed)
    split[train[held]] = "val"
    return rows.assign(split=split)


def _labels(rows: pd.DataFrame) -> Any:
    return rows["label"].to_numpy() if "label" in rows else None


def _groups(rows: pd.DataFrame, column: str | None, option: str) -> Any:
    if column is None or column not in rows or not (rows[column] != "").any():
        known = ", ".join(c for c in splits.GROUP_COLUMNS if c in rows) or "none"
        raise AffectkitError("usage", f"{option}: the corpus names no {column or 'groups'}", remedy=f"it has {known}")
    return rows[column].astype(str).to_numpy()


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
    gathered = replace(gathered, dropped=list(gathered.dropped))
    if choices.on_error == "stop":
        _refuse_mistakes(gathered.dropped)
    rows = keep_only(gathered.rows, gathered, choices)
    rows, label_map, label = apply_labels(rows, gathered, choices)
    paths = media_paths(rows, gathered, choices.media_root)
    if choices.faces:
        rows = with_faces(rows, paths, choices.faces)
    rows, paths, headers = measure(rows, gathered, paths, choices, progress)
    if not len(rows):
        reason, count = Counter(item.reason for item in gathered.dropped).most_common(1)[0]
        raise AffectkitError("input", f"no rows are left: {count} of {len(gathered.dropped)} dropped, {reason}")
    rows = split_rows(rows, gathered, choices)
    with progress("audit") as update:
        report = audit(
            rows, level=choices.audit, media=paths, headers=headers, defects=_defects(rows, gathered, choices),
            group_column=group_column(rows, gathered, choices), num_workers=choices.num_workers, progress=update,
        )  # fmt: skip
    report.require(choices.allow_leaks)
    targets = ([label] if label else []) + list(gathered.targets)
    return Assembled(rows, _summary(rows, gathered, choices, targets, report), label_map, report)


def _refuse_mistakes(dropped: list[Dropped]) -> None:
    """Stop at what the corpus should have had."""
    mistakes = [item for item in dropped if item.remedy]
    if mistakes:
        first, *others = mistakes
        message = first.reason + (f" (and {len(others)} more such)" if others else "")
        remedy = f"{first.remedy}, or leave such rows out with --on-error skip"
        raise AffectkitError("input", message, file=first.path, remedy=remedy)


def _defects(rows: pd.DataFrame, gathered: Gathered, choices: Choices) -> list[Defect]:
    """The declared defects that excuse this split: whose voice is on both sides concerns the official split only."""
    by = "folds" if choices.folds else choices.split_by or default_split(rows, gathered)
    defects = gathered.corpus.defects
    concerned = by == "official" or not gathered.corpus.official
    return [defect for defect in defects if concerned or defect.kind in ("text", "media")]


def _summary(
    rows: pd.DataFrame, gathered: Gathered, choices: Choices, targets: list[Target], report: AuditReport
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
        "defects": list(gathered.corpus.defects),
        "dropped_reasons": dict(Counter(item.reason for item in gathered.dropped).most_common()),
        "dropped": [{"path": item.path, "reason": item.reason} for item in gathered.dropped],
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
