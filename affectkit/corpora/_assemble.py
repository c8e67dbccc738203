"""From a corpus as read to a manifest: labels, media, splits, audit, summary."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import media, splits
from affectkit.corpora._corpus import Defect, Dropped
from affectkit.corpora._faces import with_faces
from affectkit.corpora._files import AUDIO, IMAGES
from affectkit.corpora._gather import Base, Choices, Gathered, apply_labels, drop, keep_only
from affectkit.corpora._sides import group_column, keep_parts, split_by, split_rows
from affectkit.errors import AffectkitError
from affectkit.labels import NO_NAMES, Target, spelt_alike
from affectkit.leakage.audit import BOXES, PARTS, audit
from affectkit.leakage.sides import AuditReport
from affectkit.media.series_formats import ENDINGS

if TYPE_CHECKING:
    import pandas as pd


# --- Durations from the media's headers, and bad media out: sound, videos and images


SOUNDING = AUDIO | {".mp4", ".mov", ".m4v"}


def media_paths(
    rows: pd.DataFrame, gathered: Gathered, media_root: Path | None, column: str = "path"
) -> list[Path | None]:
    if column not in rows:
        return [None] * len(rows)
    roots = {name: media_root or Path(facts["root"]) for name, facts in gathered.corpora.items() if facts.get("root")}
    cells = zip(rows["corpus"], rows[column], strict=True)
    return [roots.get(corpus, Path()) / cell if cell else None for corpus, cell in cells]


def media_beside(rows: pd.DataFrame, gathered: Gathered, media_root: Path | None) -> list[list[Path]]:
    """The further pictures and time series of each row, in columns `path_<name>`."""
    columns = [name for name in rows if str(name).startswith("path_")]
    each = zip(*(media_paths(rows, gathered, media_root, name) for name in columns), strict=True)
    known = IMAGES | {*ENDINGS}
    further = [[path for path in row if path and path.suffix.lower() in known] for row in each]
    return further if columns else [[] for _ in range(len(rows))]


def measure(
    rows: pd.DataFrame, gathered: Gathered, paths: list[Path | None], choices: Choices, progress: Callable[[str], Any]
) -> tuple[pd.DataFrame, dict[Path, media.AnyHeader]]:
    """Bad files out (or an error), then the wanted durations; with the headers of files. Images are looked at too, and
    have no duration."""
    beside = media_beside(rows, gathered, choices.media_root)
    media_of = [[path, *more] for path, more in zip(paths, beside, strict=True)]
    each = dict.fromkeys(path for row in media_of for path in row if path is not None)
    known = [path for path in each if path.suffix.lower() in SOUNDING | IMAGES]
    sounding = any(p.suffix.lower() in SOUNDING for p in known)
    if not sounding and (choices.min_duration is not None or choices.max_duration is not None):
        raise AffectkitError("usage", "--min-duration, --max-duration: nothing here has a duration")
    if not known:
        return rows, {}
    workers = choices.num_workers if choices.num_workers is not None else os.cpu_count() or 1
    with progress("headers") as update:
        read = media.read_headers(known, read=_read, num_workers=workers, progress=update)
    by_path = dict(zip(known, read, strict=True))
    headers = [by_path.get(p) if p else None for p in paths]
    segments = _segments(rows, headers) if sounding else [None] * len(rows)
    if choices.on_error == "stop":
        _refuse(next((h for h in by_path.values() if isinstance(h, AffectkitError)), None))
        if not gathered.corpus.overruns:
            _refuse(next((error for error in segments if error), None))
    if sounding:
        rows = rows.assign(duration_sec=_durations(rows, headers))
    durations = rows["duration_sec"] if sounding else [math.nan] * len(rows)
    outside = [_OUTSIDE if error else "" for error in segments]
    errors = {path: header.message for path, header in by_path.items() if isinstance(header, AffectkitError)}
    reasons = [
        next((errors[path] for path in row if path in errors), "") or misplaced or _out_of_range(duration, choices)
        for row, misplaced, duration in zip(media_of, outside, durations, strict=True)
    ]
    return drop(rows, reasons, gathered.dropped), by_path


def _read(path: str | Path) -> media.AnyHeader:
    """By the file's name, as the reader of the corpus took it for an image or not."""
    return media.read_image_header(path) if Path(path).suffix.lower() in IMAGES else media.read_length(path)


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


# --- What a manifest had better be looked at for


_CUT = 0.5  # share of the recordings that end at exactly the longest's end
_FEW = 10  # recordings, below which equal lengths mean nothing
_LONG = 20  # times the median, and a minute at least


def suspicions(
    rows: pd.DataFrame, paths: Sequence[Path | None], headers: Sequence[media.AnyHeader | None], group: str | None
) -> Iterator[str]:
    """Labels and groups spelt in two ways, classes that train lacks, recordings that were cut or that never end."""
    for column in dict.fromkeys(("label", group)):
        for spellings in spelt_alike(set(rows[column].astype(str))) if column and column in rows else ():
            names = " and ".join(f"'{name}'" for name in spellings)
            labels = f"--label-map '{spellings[0]}={spellings[1]}' makes one of them"
            remedy = labels if column == "label" else "write them alike in the corpus's table"
            what = "differ by case or spaces only, or by decimals, and count as different"
            yield f"{column}s {names} {what}: {remedy}"
        for name, count in rows[column].value_counts().items() if column and column in rows else ():
            if str(name).strip().casefold() in NO_NAMES:
                remedy = f"--label-map '{name}=' leaves them out" if column == "label" else "leave the cell empty"
                yield f"{count} rows have the {column} '{name}', as if it were one: {remedy} if it is none"
    yield from _repeated(rows)
    if "label" in rows:
        yield from _missing_classes(rows)
    durations = {p: h.duration for p, h in zip(paths, headers, strict=True) if p and isinstance(h, media.Header)}
    starts = rows["start_sec"] if "start_sec" in rows else [math.nan] * len(rows)
    cut = {path for path, start in zip(paths, starts, strict=True) if path and not math.isnan(start)}
    yield from _cut_alike(durations)
    yield from _endless({path: duration for path, duration in durations.items() if path not in cut})


def _repeated(rows: pd.DataFrame) -> Iterator[str]:
    """Rows of the same part of the same recording as another one."""
    parts = [column for column in rows if column in ("path", *PARTS) or str(column).startswith(BOXES)]
    if "path" not in rows:
        return
    doubled = rows[(rows["path"] != "") & rows.duplicated(["corpus", *parts])]
    if len(doubled):
        example = doubled["path"].iloc[0]
        yield f"{len(doubled)} rows repeat another row's recording, as {example}: it counts several times"


def _missing_classes(rows: pd.DataFrame) -> Iterator[str]:
    labelled = rows[rows["label"] != ""]
    side = "fold" if "fold" in rows else "split"
    fitted = labelled[labelled["fold"] != ""] if side == "fold" else labelled
    sides = fitted.groupby("label")[side].agg(set)
    for name in sorted(set(labelled["label"]) - set(fitted["label"])):
        yield f"class '{name}' stands in test only, in no fold: no model learns it"
    for name, parts in sides.items():
        if side == "split" and "train" not in parts and (rows["split"] == "train").any():
            where = " and ".join(sorted(parts, key=splits.SPLITS.index))
            yield f"class '{name}' has no rows in train, only in {where}: no model learns it"
        elif side == "fold" and len(parts) == 1:
            yield f"class '{name}' stands in fold {next(iter(parts))} only: the model that is judged there never saw it"


def _cut_alike(durations: dict[Path, float]) -> Iterator[str]:
    """Recordings that all end at one length, as people do not."""
    if len(durations) < _FEW:
        return
    values = np.array(list(durations.values()))
    alike = int((values == values.max()).sum())
    if alike >= _CUT * len(values):
        share = "all" if alike == len(values) else f"{alike} of"
        yield (
            f"{share} {len(values)} recordings are {values.max():.2f} s long, and none is longer: they were probably "
            "cut or padded, or recording stopped there, so figures are not comparable with those on whole recordings"
        )


def _endless(durations: dict[Path, float]) -> Iterator[str]:
    """Recordings that are rows as they are, and so long that nobody meant them to be."""
    values = np.array(list(durations.values()))
    if len(values) >= _FEW and values.max() > max(60.0, _LONG * np.median(values)):
        longest = list(durations)[int(values.argmax())]
        limit = max(60.0, _LONG * np.median(values))
        yield (
            f"{(values > limit).sum()} of {len(values)} recordings are longer than {limit:.0f} s, the median is "
            f"{np.median(values):.1f} s; the longest is {longest.name} with {values.max():.0f} s: leave them out with "
            f"--max-duration {limit:.0f}"
        )


# --- The manifest, with what was left out and why


_REASONS = 10  # told on the terminal; summary.json has all


@dataclass(frozen=True)
class Assembled:
    """report: what the audit found, None where that of the manifest before stands. audit: for `leak_audit.json`, {} for
    no such file. tables: what stands beside the manifest, by the file's name. told: further lines for people."""

    rows: pd.DataFrame
    summary: dict[str, Any]
    label_map: dict[str, Any]
    report: AuditReport | None
    audit: Mapping[str, Any]
    dropped: list[Dropped]
    warnings: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    told: Sequence[str] = ()

    def facts(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {key: self.summary[key] for key in ("rows", "hours", "counts", "declared", "dropped_reasons")}

    def lines(self) -> list[str]:
        """What a person wants to know at once: sizes, what was left out and why, declared defects."""
        summary = self.summary
        lines = [f"{name}: " + _count_words(counts) for name, counts in summary["counts"].items()]
        example = {item.reason: item.path for item in reversed(self.dropped)}
        reasons = Counter(item.reason for item in self.dropped).most_common()  # a manifest's own were told before
        lines += [f"dropped {count}: {reason}, as {example[reason]}" for reason, count in reasons[:_REASONS]]
        if rest := sum(count for _, count in reasons[_REASONS:]):
            lines.append(f"dropped {rest} for {len(reasons) - _REASONS} other reasons: summary.json has them")
        lines += [f"declared by the corpus: {sentence}" for sentence in summary["declared"]]
        lines += [f"not compared: {note}" for note in self.audit.get("notes", ())]
        return [*lines, *self.told]


def assemble(gathered: Gathered, choices: Choices, progress: Callable[[str], Any]) -> Assembled:
    """Apply `choices`, split and audit. progress: `progress(what)` is a context that yields a callback.

    Raises "input" when no row is left. An undeclared leak is in the report: the caller requires that there is none.
    """
    gathered = replace(gathered, dropped=list(gathered.dropped))
    if choices.on_error == "stop":
        _refuse_mistakes(gathered.dropped, gathered.source)
    base = gathered.base
    if base and not choices.anew:
        return _as_they_were(gathered, base)
    rows = keep_only(with_places(gathered.rows) if base else gathered.rows, gathered, choices)
    rows, label_map, label = apply_labels(rows, gathered, choices)
    by = split_by(rows, gathered, choices)
    if by == "official":
        rows = keep_parts(rows, gathered, choices)
    paths = media_paths(rows, gathered, choices.media_root)
    if choices.faces:
        rows = with_faces(rows, paths, choices.faces)
    rows, known = measure(rows, gathered, paths, choices, progress)
    if not len(rows):
        reason, count = Counter(item.reason for item in gathered.dropped).most_common(1)[0]
        raise AffectkitError("input", f"no rows are left: {count} of {len(gathered.dropped)} dropped, {reason}")
    rows = split_rows(rows, by, gathered, choices)
    group = group_column(rows, gathered, choices)

    def files(rows: pd.DataFrame) -> tuple[list[Path | None], list[media.AnyHeader | None]]:
        paths = media_paths(rows, gathered, choices.media_root)
        return paths, [known.get(path) if path else None for path in paths]

    def compare(rows: pd.DataFrame, progress: Callable[[int, int], None]) -> AuditReport:
        paths, headers = files(rows)
        beside = [{path: known.get(path) for path in each} for each in media_beside(rows, gathered, choices.media_root)]
        options: dict[str, Any] = {"level": choices.audit, "group_column": group, "num_workers": choices.num_workers}
        what: dict[str, Any] = {"media": paths, "headers": headers, "beside": beside, "defects": _defects(by, gathered)}
        return audit(rows, **what, **options, progress=progress)

    with progress("audit") as update:
        first = report = compare(rows, update)
        while choices.drop_leaks and (reasons := report.copies(choices.drop_leaks, choices.allow_leaks)):
            rows = drop(rows, [reasons.get(key, "") for key in rows["id"]], gathered.dropped)
            report = compare(rows, update).without(first, choices.drop_leaks, choices.allow_leaks)
    warnings = (*_notes(gathered), *suspicions(rows, *files(rows), group), *_beyond(rows, gathered), *report.conflicts)
    summary = _summary(rows, by, group, gathered, label, report.declared_sentences(choices.allow_leaks))
    summary |= {"drop_leaks": report.dropped} if report.dropped else {}
    made = Assembled(rows, summary, label_map, report, report.to_json(), gathered.dropped, warnings)
    return _besides(made, base) if base else made


def _as_they_were(gathered: Gathered, base: Base) -> Assembled:
    """A manifest's rows with the labels that they have now; sides, media and audit are those of before."""
    rows, label_map, label = apply_labels(gathered.rows, gathered, Choices())
    group = group_column(rows, gathered, Choices())
    nothing = [None] * len(rows)
    warnings = (*suspicions(with_places(rows), nothing, nothing, group), *_beyond(rows, gathered))
    summary = _summary(rows, "official", group, gathered, label, [])
    return _besides(Assembled(rows, summary, label_map, None, base.audit, gathered.dropped, warnings), base)


def _besides(made: Assembled, base: Base) -> Assembled:
    return replace(made, tables=base.tables, told=base.lines, warnings=(*base.warnings, *made.warnings))


def with_places(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of anybody's manifest with columns for the corpus and the side, though it says nothing of them."""
    return rows.assign(**{name: "" for name in ("corpus", "split") if name not in rows})


def _notes(gathered: Gathered) -> list[str]:
    facts = gathered.corpora.values()
    return [text for of_corpus in facts for kind in ("notes", "warnings") for text in of_corpus.get(kind, ())]


def _beyond(rows: pd.DataFrame, gathered: Gathered) -> list[str]:
    """Numbers outside of their scale, a sentence for each target that has any."""
    scaled = [target for target in gathered.targets if target.scale]
    sentences = [target.beyond_scale(rows[target.name].to_numpy(float), list(rows["id"])) for target in scaled]
    return [sentence for sentence in sentences if sentence]


def _refuse_mistakes(dropped: list[Dropped], source: Path | None) -> None:
    """Stop at what the corpus should have had."""
    mistakes = [item for item in dropped if item.remedy]
    if mistakes:
        first, *others = mistakes
        message = first.sentence + (f" (and {len(others)} more such)" if others else "")
        either = " Or" if first.remedy.endswith("?") else ", or"
        remedy = f"{first.remedy}{either} leave such rows out with --on-error skip"
        raise AffectkitError("input", message, file=_below(source, first.path), remedy=remedy)


def _below(source: Path | None, path: str) -> str:
    """The path of what was left out as a user would type it, where it is a file of the corpus."""
    base = source if source is None or source.is_dir() else source.parent
    return str(base / path) if base is not None and (base / path.partition(" row ")[0]).exists() else path


def _defects(by: str, gathered: Gathered) -> list[Defect]:
    """The declared defects that excuse this split: whose voice is on both sides concerns the official split only."""
    concerned = by == "official" or not gathered.corpus.official
    return [defect for defect in gathered.corpus.defects if concerned or defect.kind in ("text", "media")]


def _summary(
    rows: pd.DataFrame, by: str, group: str | None, gathered: Gathered, label: Target | None, declared: Sequence[str]
) -> dict[str, Any]:
    """What `summary.json` says. declared: what reports must repeat of this split."""
    summary = {
        "corpora": gathered.corpora,
        "targets": [target.to_json() for target in ([label] if label else []) + list(gathered.targets)],
        "rows": len(rows),
        "hours": round(float(rows["duration_sec"].sum()) / 3600, 4) if "duration_sec" in rows else None,
        "split_by": by,
        "group": group,
        "counts": {name: _counts(part, group) for name, part in splits.parts_in_order(rows)},
        "declared": list(declared),
        "defects": list(gathered.corpus.defects),
        "dropped_reasons": dict(Counter(item.reason for item in gathered.dropped).most_common()),
        "dropped": [{"path": item.path, "reason": item.sentence} for item in gathered.dropped],
    }
    return _continued(summary, gathered.base) if gathered.base else summary


def _continued(summary: dict[str, Any], base: Base) -> dict[str, Any]:
    """The summary of a manifest that goes on: what was dropped before, what its sides are declared to share where these
    stay, and what else it said."""
    before = dict(base.summary)
    if summary["split_by"] == "official":
        summary["split_by"] = before.get("split_by", "official")
        summary["declared"] = list(dict.fromkeys([*before.get("declared", []), *summary["declared"]]))
    reasons = Counter(before.get("dropped_reasons", {})) + Counter(summary["dropped_reasons"])
    dropped = [*before.get("dropped", []), *summary["dropped"]]
    return {**before, **summary, "dropped_reasons": dict(reasons.most_common()), "dropped": dropped, **base.sections}


def _counts(part: pd.DataFrame, group: str | None) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows": len(part)}
    if group:
        counts[group] = int(part.loc[part[group] != "", group].nunique())
    if "label" in part:
        counts["label"] = {name: int(n) for name, n in part["label"].value_counts().sort_index().items() if name}
        counts["unlabelled"] = int((part["label"] == "").sum())
    return counts


def _count_words(counts: dict[str, Any]) -> str:
    several = {"row": counts["rows"]} | {w: n for w, n in counts.items() if w not in ("rows", "label", "unlabelled")}
    parts = [f"{n} {what}{'s' * (n != 1)}" for what, n in several.items()]
    if counts.get("label"):
        parts.append(" ".join(f"{name} {n}" for name, n in counts["label"].items()))
    return ", ".join(parts)
