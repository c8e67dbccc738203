"""What `fuse` leaves in its run folder, and says of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_json
from affectkit.artifacts.reports import file_name
from affectkit.artifacts.sources import Source
from affectkit.artifacts.tables import write_table
from affectkit.fusion.fuse import Fused, Verdict
from affectkit.fusion.rule import FusionModel
from affectkit.leakage.crossfit import FitPlan
from affectkit.reporting import words
from affectkit.reporting.combined import judge, past, write_combined, write_page
from affectkit.reporting.figures import intervals
from affectkit.reporting.page import Figure, Section, Table
from affectkit.reporting.recalibrated import write_recalibrated
from affectkit.reporting.words import ranged, shown


def write_fused(
    folder: Path, found: Fused, rule: str, sources: Sequence[Source], plan: FitPlan, *, bundle: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Write the run folder. Returns what `train_report.json` says of the comparison, and lines for the terminal."""
    said = past(sources)
    reports = judge(found.predictions, plan, said)
    recalibrated = write_recalibrated(folder, found, reports, plan)
    _write_files(folder, found.model)
    report = {
        "rule": rule,
        "sources": [source.name for source in sources],
        "verdicts": [verdict.plain() for verdict in found.verdicts],
        "fell_back": list(found.fell_back),
        "weights": {name: weights for name in found.model.targets if (weights := _weights(found, name))},
        "servable": all(source.model is not None for source in sources),
        **recalibrated.facts,
    }
    spec = {"kind": "fusion", "rule": rule}
    write_combined(folder, found.model, spec, found.predictions, plan, sources, said, reports, report, bundle=bundle)
    verdicts = [_sentence(verdict) for verdict in found.verdicts]
    lead = [[_lead(rule, sources, plan)], *verdicts, *recalibrated.sentences]
    title = f"Fusion of {', '.join(source.name for source in sources)}"
    warnings = _warnings(found, sources, plan)
    write_page(folder, title, lead, _sections(found, reports), sources, said, warnings=warnings)
    return report, [*map(_spoken, lead), *(f"warning: {text}" for text in warnings)]


def _write_files(folder: Path, model: FusionModel) -> None:
    """What the rule has to show: `"targets"` by name in an object, a column `target` before the others in a table."""
    import pandas as pd

    for name, of in model.files().items():
        if name.endswith(".json"):
            write_json(folder / name, {"targets": of})
        elif rows := [{"target": target, **row} for target, rows in of.items() for row in rows]:
            write_table(folder / name, pd.DataFrame(rows))


def _lead(rule: str, sources: Sequence[Source], plan: FitPlan) -> str:
    names = ", ".join(source.name for source in sources)
    return f"{rule} of {names}; fitted on {len(plan.fit)} {plan.origin} rows, cross-fitted ({plan.scheme})"


def _sentence(verdict: Verdict) -> list[Any]:
    """Whether fusing helps, with the figures that say so: text and numbers in turn."""
    best, metric = verdict.best, words.title(verdict.best.measured.name)
    against = f", the best single source, {verdict.best_name}, " if verdict.best_name else ", the best single source "
    head = "fusing helps" if verdict.helps else "fusing does not help"
    said: list[Any] = [f"{verdict.part} rows: {head}: {metric} ", best.first, against, best.second, "; difference "]
    said.append(best.difference.plain())
    if verdict.turned:
        said.append(f"; {verdict.turned.rescued} rows rescued, {verdict.turned.degraded} degraded")
    if verdict.mean:
        said += ["; equal weights ", verdict.mean.second]
    return said


def _spoken(sentence: Sequence[Any]) -> str:
    """A sentence for the terminal."""
    words_of = (ranged(p) if isinstance(p, dict) else p if isinstance(p, str) else shown(p) for p in sentence)
    return "".join(words_of)


def _warnings(found: Fused, sources: Sequence[Source], plan: FitPlan) -> list[str]:
    said = []
    if plan.group is None:
        said.append("no groups are known: differences take rows as independent and are claimed too readily")
    tables = [source.name for source in sources if source.model is None]
    if tables:
        said.append(f"the fusion cannot predict new rows: {', '.join(tables)} came as a table, without its model")
    if found.fell_back:
        said.append(f"fusing does not help {', '.join(found.fell_back)}: the single source is kept (--fallback best)")
    return said


def _weights(found: Fused, target: str) -> dict[str, float] | None:
    parameters = found.model.targets[target]["parameters"]
    weights = parameters.get(
        "shares", parameters.get("weights")
    )  # those of rows, on average, before those that are fixed
    return dict(weights) if isinstance(weights, dict) else None


def _sections(found: Fused, reports: Any) -> list[Section]:
    sections = []
    for target in found.model.targets:
        verdicts = [verdict for verdict in found.verdicts if verdict.target == target]
        tables = [_table(verdict) for verdict in verdicts]
        figures = []
        for verdict in verdicts:
            rows = {
                f"to {verdict.best_name or 'the best single source'} (best single)": verdict.best.difference.plain()
            }
            if verdict.mean:
                rows["equal weights"] = verdict.mean.difference.plain()
            plot = partial(
                intervals.differences,
                rows,
                metric=words.title(verdict.best.measured.name),
                against="what stands beside",
                higher_is_better=verdict.best.measured.higher_is_better,
            )
            name = file_name(f"differences_{target}_{verdict.part}")
            figures.append(Figure(name, f"{verdict.part} rows. {words.differences_caption()}", plot))
        weights = _weights(found, target)
        if weights:
            plot = partial(intervals.weights, list(weights), {target: list(weights.values())})
            figures.append(Figure(file_name(f"weights_{target}"), words.WEIGHTS, plot))
        sections.append(Section(target, tables=tables, figures=figures))
    return sections


def _table(verdict: Verdict) -> Table:
    metric = words.title(verdict.best.measured.name)
    rows: dict[str, list[Any]] = {"fused": [verdict.best.first, None, verdict.best.n]}
    rows[f"best single ({verdict.best_name})"] = [verdict.best.second, verdict.best.difference.plain(), verdict.best.n]
    if verdict.mean:
        rows["equal weights"] = [verdict.mean.second, verdict.mean.difference.plain(), verdict.mean.n]
    rows |= {f"{name} alone": [value, None, None] for name, value in verdict.singles.items()}
    caption = f"{verdict.part} rows; a source alone is judged on the rows that it answers"
    return Table(caption, "", [metric, "fused less this", "n"], rows)
