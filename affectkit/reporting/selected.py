"""What `select` leaves in its folder, and says of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import atomic, write_json, write_text
from affectkit.artifacts.models import BEST, FIT_ROWS, copy_model, parent_folder, read_spec
from affectkit.artifacts.reports import PAGE
from affectkit.artifacts.sources import PREDICTIONS, Source
from affectkit.artifacts.tables import write_table
from affectkit.evaluation.complexity import STAGES, Facts
from affectkit.evaluation.parts import grouping
from affectkit.evaluation.selection import LEVEL, Ranked, Selection
from affectkit.plain import without_nan
from affectkit.reporting.selected_page import figures, selected_page
from affectkit.reporting.words import shown

if TYPE_CHECKING:
    import pandas as pd

TABLE, REPORT = "model_selection.csv", "model_selection.json"


def write_selected(
    folder: Path, found: Selection, runs: Mapping[str, Source], facts: Mapping[str, Facts], *, ties: bool
) -> dict[str, Any]:
    """Copy the chosen run, its parents along, and write the ranking. Returns what `model_selection.json` says.

    Raises "missing" or "input" before anything is written where a parent of the chosen run has gone or has changed.
    """
    chosen = runs[found.chosen]
    if chosen.model is not None:
        _refuse_broken(chosen.model)
        copy_model(chosen.model, folder / BEST)
    for name in (FIT_ROWS, "train_report.json"):
        if chosen.model is not None and (chosen.path.parent / name).exists():
            _copy(chosen.path.parent / name, folder / name)
    _copy(chosen.path, folder / PREDICTIONS)
    report = without_nan(selection_report(found, runs, facts, ties=ties))
    write_table(folder / TABLE, ranking_table(report))
    write_json(folder / REPORT, report)
    drawn = figures(report)
    for figure in drawn:
        write_text(folder / f"{figure.name}.svg", figure.plot.svg)
    write_text(folder / PAGE, selected_page(report, runs, drawn))
    return report


def _refuse_broken(model: Path) -> None:
    for parent in read_spec(model).get("parents", []):
        if parent["path"] is not None:
            _refuse_broken(parent_folder(model, parent))


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def selection_report(
    found: Selection, runs: Mapping[str, Source], facts: Mapping[str, Facts], *, ties: bool
) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    of, on = found.by.metric, found.on
    figure = found.ranking[0].figure
    origins = list(on.origins.values())
    return {
        "by": found.by.text,
        "metric": of.name,
        "higher_is_better": of.higher_is_better,
        "then": [criterion.text for criterion in found.then],
        "ties": ties,
        "split": found.by.split,
        "rows": {origin: origins.count(origin) for origin in dict.fromkeys(origins)},
        "n": on.count,
        "groups": None if on.group is None else {"column": on.group, "count": figure.groups},
        "interval": {"method": figure.method, "level": LEVEL},
        "best": found.best,
        "tie_set": found.tie_set,
        "telling": found.telling,
        "chosen": found.chosen,
        "decided_by": found.decided,
        "servable": facts[found.chosen].servable,
        "optimism": found.optimism.plain() if found.optimism else None,
        "warnings": _warnings(found, facts),
        "runs": [_plain(rank, run, runs[run.name], facts[run.name]) for rank, run in enumerate(found.ranking, 1)],
    }


def _plain(rank: int, run: Ranked, source: Source, facts: Facts) -> dict[str, Any]:
    complexity = facts.complexity
    return {
        "rank": rank,
        "run": run.name,
        "path": str(source.path.parent if source.path.name == PREDICTIONS else source.path),
        "command": facts.command,
        "model": facts.model,
        "figure": run.figure.plain(),
        "difference": run.difference.plain(),
        "p": run.difference.p,
        "p_adjusted": run.adjusted,
        "tie": run.tie,
        "criteria": dict(run.criteria),
        "parents": None if complexity is None else complexity.parents,
        "stage": None if complexity is None else STAGES[complexity.stage],
        "bytes": None if complexity is None else complexity.size,
        "complexity": None if complexity is None else complexity.words,
        "made": facts.made,
        "servable": facts.servable,
    }


def ranking_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """`model_selection.csv`: a row for each run, the chosen one first."""
    import pandas as pd

    def row(run: Mapping[str, Any]) -> dict[str, Any]:
        figure, difference = run["figure"], run["difference"]
        return {
            **{key: run[key] for key in ("rank", "run", "path", "command", "model")},
            report["by"]: figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            **{f"difference{end}": difference[key] for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))},
            **{key: run[key] for key in ("p", "p_adjusted", "tie")},
            **run["criteria"],
            **{key: run[key] for key in ("parents", "stage", "bytes", "made", "servable")},
        }

    return pd.DataFrame([row(run) for run in report["runs"]])


def _warnings(found: Selection, facts: Mapping[str, Facts]) -> list[str]:
    """The gravest first."""
    said = [_test_warning(found)] if any(c.split == "test" for c in (found.by, *found.then)) else []
    scaled = [name for name, known in facts.items() if known.transductive]
    if scaled and len(scaled) < len(facts):
        what = "scaled features by each speaker's own rows (transductive): not comparable with the other runs"
        said.append(f"{', '.join(scaled[:3])}{' and more' if len(scaled) > 3 else ''} {what}")
    if "ece" in found.by.metric.name:
        said.append(f"{found.by.text} does not ask who is right: an answer that is always the same can have one of 0")
    if len(facts) == 1:
        said.append("one run only: there was nothing to choose between")
    chosen = facts[found.chosen]
    if chosen.complexity is None:
        said.append(f"{found.chosen} is a table without a model: its predictions are copied, and nothing can predict")
    elif not chosen.servable:
        said.append(f"{found.chosen} cannot predict new rows: a parent of it came as a table, without its model")
    return [*said, *found.warnings, *grouping(found.on.group, found.on.groups)]


def _test_warning(found: Selection) -> str:
    if found.by.split != "test":
        criteria = ", ".join(c.text for c in found.then if c.split == "test")
        return f"TEST ROWS HAVE A SAY (--then {criteria}): the test figures of the chosen run are optimistic"
    said = f"TEST ROWS CHOOSE (--by {found.by.text}): the best of {len(found.ranking)} figures is optimistic"
    if found.optimism is None:
        return f"{said}; choose by val_{found.by.metric.name}, and report test once"
    naive, nested = found.optimism.naive, found.optimism.nested
    what = found.on.group or "row"
    return (
        f"{said}. It is {shown(naive)}; choosing without each {what} and judging on it gives {shown(nested)}. "
        f"Choose by val_{found.by.metric.name}, and report test once"
    )
