"""A manifest's rows and what was heard: which are heard, what their cells become, how they are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.transcripts import CACHE, CORPUS, HEARD, SILENT, SOURCES, Transcript, heard_by
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.error_rates import COUNTS, aligned, error_rates
from affectkit.evaluation.intervals import Resampling
from affectkit.leakage.audit import audit
from affectkit.media.texts import LANGUAGE, language_code
from affectkit.plain import without_nan
from affectkit.splits import group_column
from affectkit.transcribers._transcriber import AUTO, Transcriber, check_language

if TYPE_CHECKING:
    import pandas as pd

NOW = (CACHE, HEARD)
COLUMN = "column"  # as --language: each row's own


@dataclass(frozen=True)
class Plan:
    """What is done with each row, [N]. sources: of its text now, "" where it has none. references: what it is judged
    against, "" for nothing. heard: whether it is heard. kept: whether its text stays. column: of the references. group:
    the column that intervals resample, if any."""

    sources: np.ndarray
    references: np.ndarray
    heard: np.ndarray
    kept: np.ndarray
    column: str
    group: str | None


def plan(manifest: Manifest, *, replace: bool, against: str | None, group: str | None = None) -> Plan:
    """A text is kept unless `replace`; a row with a reference is heard in any case. Only what the corpus brought is a
    reference, never what was heard before. Raises "input" for a column that is not there."""
    rows = manifest.rows
    if against is not None and against not in rows:
        remedy = did_you_mean(against, list(rows.columns))
        raise AffectkitError("input", f"has no column '{against}'", file=manifest.path, remedy=remedy)
    texts = _cells(rows, "text")
    written = _cells(rows, "text_source")
    sources = np.where(texts == "", "", np.where(np.isin(written, SOURCES), written, CORPUS))
    column = against or "text"
    references = _cells(rows, column) if against or replace else np.full(len(rows), "", dtype=object)
    if column == "text":
        references = np.where(sources == CORPUS, references, "")
    if against and not (references != "").any():
        message = f"no row has a text in '{against}' to judge by; one that was heard is none"
        raise AffectkitError("input", message, file=manifest.path, remedy="name another column, or leave --against out")
    kept = (texts != "") & (not replace)
    heard = ~kept | (references != "" if against else False)
    return Plan(sources, references, heard, kept, column, group_column(rows, group, file=manifest.path))


def _cells(rows: pd.DataFrame, column: str) -> np.ndarray:
    """[N] text without spaces around it; "" where there is no such column."""
    if column not in rows:
        return np.full(len(rows), "", dtype=object)
    return np.array([str(cell).strip() for cell in rows[column]], dtype=object)


def told(manifest: Manifest, language: str, transcriber: Transcriber) -> dict[str, str]:
    """By id, the language that a model is told for it, "" for none. language: as `--language` has it.

    English, eng and en-GB are all en. Raises "input" for `column` where no row has one, "usage" for one that the model
    does not write.
    """
    ids, cells = manifest.rows["id"], _cells(manifest.rows, LANGUAGE)
    if language == COLUMN and len(ids) and not (cells != "").any():
        remedy = "use --language auto, or name one"
        raise AffectkitError("input", "no row has a language", file=manifest.path, remedy=remedy)
    named = cells if language == COLUMN else ["" if language == AUTO else language] * len(ids)
    languages = {key: language_code(name) for key, name in zip(ids, named, strict=True)}
    for code in sorted(set(languages.values())):
        check_language(transcriber, code)
    return languages


def filled(manifest: Manifest, plan: Plan, answers: Mapping[str, Transcript]) -> pd.DataFrame:
    """The manifest's rows with `text`, `language`, `text_source`, `asr_confidence` and `asr_seconds`; a language that
    the corpus says stays."""
    rows = manifest.rooted()
    columns: dict[str, list[Any]] = {name: [] for name in ("text", "text_source", "asr_confidence", "asr_seconds")}
    before = [rows[name] if name in rows else [float("nan")] * len(rows) for name in list(columns)[2:]]
    texts, languages = (list(rows[name]) if name in rows else [""] * len(rows) for name in ("text", "language"))
    for place, key in enumerate(rows["id"]):
        answer = None if plan.kept[place] else answers.get(key)
        if answer is None:
            cells = (texts[place], plan.sources[place], *(column[place] for column in before))
        else:
            cells = (answer.text, answer.source if answer.text else "", answer.confidence, answer.seconds)
            languages[place] = languages[place].strip() or answer.language
        for name, cell in zip(columns, cells, strict=True):
            columns[name].append(cell)
    return rows.assign(**columns, language=languages)


def counted(rows: pd.DataFrame) -> dict[str, int]:
    """How many texts are of which source, and how many rows have none."""
    counts = Counter(rows["text_source"])
    return {**{source: counts[source] for source in SOURCES}, "empty": counts[""]}


def heard_before(manifest: Manifest, plan: Plan) -> dict[str, int]:
    """By model, how many of the texts that stay were heard before; as far as the manifest's summary tells, which may be
    of more rows."""
    kept = int((plan.kept & np.isin(plan.sources, NOW)).sum())
    known = heard_by(manifest.summary["transcripts"]) if "transcripts" in manifest.summary else {}
    if sum(known.values()) != kept:
        known = dict.fromkeys(known if len(known) == 1 else ["an unknown model"], kept)
    return known if kept else {}


# --- What is to be known of the hearing


def heard_alike(manifest: Manifest, rows: pd.DataFrame) -> list[str]:
    """What is to be declared where texts, now that they are heard, turn out the same on several sides of the split.

    Nothing where the manifest declares already that texts are, of whatever column.
    """
    declared = [*manifest.declared(), *(f"{kind} leak" for kind, _ in manifest.summary.get("defects", []))]
    if any(sentence.startswith("text leak") for sentence in declared) or not rows["text_source"].isin(NOW).any():
        return []
    columns = rows.columns.intersection(["id", "text", "split", "fold"])
    return [f"text leak, heard: {leak.sentence()}" for leak in audit(rows[columns], level="names").leaks]


def findings(manifest: Manifest, answers: Mapping[str, Transcript]) -> dict[str, Any]:
    """Counts of what was heard: languages, and rows that are silent, skipped, or in another language than they say."""
    languages = dict(zip(manifest.rows["id"], _cells(manifest.rows, LANGUAGE), strict=True))
    known = [(languages[key], answer.language) for key, answer in answers.items() if answer.text]
    return {
        "asked": len(answers),
        "silent": sum(answer.why == SILENT for answer in answers.values()),
        "skipped": sum(bool(answer.why) and answer.why != SILENT for answer in answers.values()),
        "languages": dict(sorted(Counter(language for _, language in known if language).items())),
        "other_language": sum(bool(said and heard) and said != heard for said, heard in known),
    }


def judged(
    manifest: Manifest, plan: Plan, answers: Mapping[str, Transcript], resampling: Resampling
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The error rates of rows with a reference, and a table of them: what was said, what was heard, which errors.

    Rows that could not be read, and references that hold no word, are left out and counted.
    """
    import pandas as pd

    rows, group = manifest.rows, plan.group
    ids = rows["id"].to_numpy()
    asked = np.array([key in answers for key in ids]) & (plan.references != "")
    answered = asked & np.array([not (a := answers.get(key)) or a.why in ("", SILENT) for key in ids])
    references, heard = plan.references[answered], np.array([answers[key].text for key in ids[answered]], dtype=object)
    counts = aligned(references.tolist(), heard.tolist())
    worded = counts["cer"][:, 3] > 0
    counts = {name: table[worded] for name, table in counts.items()}
    chosen = np.flatnonzero(answered)[worded]
    groups = None if group is None else rows[group].to_numpy()[chosen]
    languages = _cells(rows, LANGUAGE)[chosen]
    table = pd.DataFrame({"id": ids[chosen], "language": languages, **({group: groups} if group else {})})
    table = table.assign(reference=references[worded], heard=heard[worded])
    for name, sums in counts.items():
        table = table.assign(**{f"{name}_{what}": sums[:, place] for place, what in enumerate(COUNTS)})
    report: dict[str, Any] = {"reference": plan.column, "n": len(chosen), "left_out": int(asked.sum()) - len(chosen)}
    if not len(chosen):
        return report, table
    units = resampling.units(groups, np.ones(len(chosen), dtype=bool))
    report["groups"] = {"column": group, "count": units.groups} if group else None
    report["interval"] = {"method": resampling.method_for(units.count), "level": resampling.level}
    names = sorted(set(languages))
    every = {"all": np.ones(len(chosen), dtype=bool)}
    every |= {name or "unknown": languages == name for name in names} if len(names) > 1 else {}
    report["rates"] = {name: error_rates(counts, groups, mask, resampling) for name, mask in every.items()}
    report["rows"] = {name: int(mask.sum()) for name, mask in every.items()}
    return without_nan(report), table
