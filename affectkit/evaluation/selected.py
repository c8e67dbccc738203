"""What `select` leaves in its folder: the chosen run, copied with its parents, and the ranking."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import atomic, write_json
from affectkit.artifacts.models import BEST, FIT_ROWS, TRAIN_REPORT, copy_model, parent_folder, read_spec
from affectkit.artifacts.reports import SELECTION, SELECTION_TABLE
from affectkit.artifacts.sources import PREDICTIONS, Source
from affectkit.artifacts.tables import write_table
from affectkit.evaluation.complexity import STAGES, Facts
from affectkit.evaluation.parts import grouping
from affectkit.evaluation.selection import LEVEL, Ranked, Selection
from affectkit.plain import shown, without_nan

if TYPE_CHECKING:
    import pandas as pd


def write_selected(
    folder: Path,
    selection: Selection,
    runs: Mapping[str, Source],
    facts: Mapping[str, Facts],
    *,
    ties: bool,
    lineage: Mapping[str, Any],
) -> None:
    """Copy the chosen run, its parents along, and write the ranking. lineage: of the runs, with the `inputs` read.

    Raises "missing" or "input" before anything is written where a parent of the chosen run has gone or has changed.
    """
    chosen = runs[selection.chosen]
    if chosen.model is not None:
        _refuse_broken(chosen.model)
        copy_model(chosen.model, folder / BEST)
    copies = {chosen.path: PREDICTIONS}
    if chosen.model is not None:
        beside = {chosen.path.parent / name: name for name in (FIT_ROWS, TRAIN_REPORT)}
        copies = {path: name for path, name in beside.items() if path.exists()} | copies
    for path, name in copies.items():
        with atomic(folder / name) as temporary:
            shutil.copyfile(path, temporary)
    report = without_nan({**selection_report(selection, runs, facts, ties=ties), **lineage})
    write_table(folder / SELECTION_TABLE, ranking_table(report))
    write_json(folder / SELECTION, report)


def _refuse_broken(model: Path) -> None:
    for parent in read_spec(model).get("parents", []):
        if parent["path"] is not None:
            _refuse_broken(parent_folder(model, parent))


def selection_report(
    selection: Selection, runs: Mapping[str, Source], facts: Mapping[str, Facts], *, ties: bool
) -> dict[str, Any]:
    """Everything that the selection says, as plain values."""
    measured, judged, figure = selection.by.metric, selection.on, selection.ranking[0].figure
    origins = list(judged.origins.values())
    return {
        "by": selection.by.text,
        "metric": measured.name,
        "targets": [target.name for target in measured.targets],
        "higher_is_better": measured.definition.higher_is_better,
        "then": [criterion.text for criterion in selection.then],
        "ties": ties,
        **({"required": selection.required.plain()} if selection.required.requirements else {}),
        "split": selection.by.split,
        "rows": {origin: origins.count(origin) for origin in dict.fromkeys(origins)},
        "n": judged.count,
        "groups": None if judged.group is None else {"column": judged.group, "count": figure.groups},
        "interval": {"method": figure.method, "level": LEVEL},
        "best": selection.best,
        "tie_set": selection.tie_set,
        "telling": selection.telling,
        "chosen": selection.chosen,
        "decided_by": selection.decided,
        "servable": facts[selection.chosen].servable,
        "optimism": selection.optimism.plain() if selection.optimism else None,
        "warnings": _warnings(selection, facts),
        "runs": [_plain(rank, run, runs[run.name], facts[run.name]) for rank, run in enumerate(selection.ranking, 1)],
    }


def _plain(rank: int, run: Ranked, source: Source, facts: Facts) -> dict[str, Any]:
    size: dict[str, Any] = dict.fromkeys(("parents", "stage", "bytes", "complexity"))
    if facts.complexity is not None:
        known = facts.complexity
        size = {"parents": known.parents, "stage": STAGES[known.stage], "bytes": known.size, "complexity": known.words}
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
        **size,
        "made": facts.made,
        "servable": facts.servable,
    }


def ranking_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """`model_selection.csv`: a row for each run, the chosen one first."""
    import pandas as pd

    rows = []
    for run in report["runs"]:
        figure, difference = run["figure"], run["difference"]
        columns = {key: run[key] for key in ("rank", "run", "path", "command", "model")}
        columns |= {report["by"]: figure["value"], "low": figure["low"], "high": figure["high"]}
        columns |= {"difference": difference["value"]} | {
            f"difference_{end}": difference[end] for end in ("low", "high")
        }
        columns |= {key: run[key] for key in ("p", "p_adjusted", "tie")} | run["criteria"]
        judged = (report.get("required") or {}).get("judged", {})
        columns |= {text: by_run[run["run"]]["state"] for text, by_run in judged.items()}
        rows.append(columns | {key: run[key] for key in ("parents", "stage", "bytes", "made", "servable")})
    return pd.DataFrame(rows)


def _warnings(selection: Selection, facts: Mapping[str, Facts]) -> list[str]:
    """The gravest first."""
    by, then, required = selection.by, selection.then, selection.required
    looked_at = (by, *then, *(each.criterion for each in required.requirements))
    warnings = [_test_warning(selection)] if any(criterion.split == "test" for criterion in looked_at) else []
    if required.given_up is not None:
        left = "the others" if len(required.requirements) > 2 else required.requirements[-1].text
        what = f"of those that meet {left}, the one of the best {by.text} is chosen"
        warnings.append(f"no run meets {required.given_up.text} besides: {what}")
    scaled = [name for name, known in facts.items() if known.transductive]
    if scaled and len(scaled) < len(facts):
        what = "scaled features by each speaker's own rows (transductive): not comparable with the other runs"
        warnings.append(f"{', '.join(scaled[:3])}{' and more' if len(scaled) > 3 else ''} {what}")
    if undecided := required.undecided(selection.chosen):
        what = "its interval holds the threshold, and the figure itself decided"
        warnings.append(f"{selection.chosen} cannot be told from {', '.join(undecided)}: {what}")
    if "ece" in by.metric.name and required.given_up is None:
        warnings.append(f"{by.text} does not ask who is right: an answer that is always the same can have one of 0")
    if len(facts) == 1:
        warnings.append("one run only: there was nothing to choose between")
    name, chosen = selection.chosen, facts[selection.chosen]
    if chosen.complexity is None:
        warnings.append(f"{name} is a table without a model: its predictions are copied, and nothing can predict")
    elif not chosen.servable:
        warnings.append(f"{name} cannot predict new rows: a parent of it came as a table, without its model")
    return [*warnings, *selection.warnings, *grouping(selection.on.group, selection.on.groups)]


def _test_warning(selection: Selection) -> str:
    by = selection.by
    if by.split != "test":
        asked = {"--then": [(each.text, each) for each in selection.then]}
        asked["--require"] = [(each.text, each.criterion) for each in selection.required.requirements]
        of_test = {flag: [t for t, criterion in each if criterion.split == "test"] for flag, each in asked.items()}
        criteria = "; ".join(f"{flag} {', '.join(texts)}" for flag, texts in of_test.items() if texts)
        return f"TEST ROWS HAVE A SAY ({criteria}): the test figures of the chosen run are optimistic"
    warning = f"TEST ROWS CHOOSE (--by {by.text}): the best of {len(selection.ranking)} figures is optimistic"
    advice = f"choose by val_{by.metric.name}, and report test once"
    if selection.optimism is None:
        return f"{warning}; {advice}"
    naive, nested = shown(selection.optimism.naive), shown(selection.optimism.nested)
    each = f"choosing without each {selection.on.group or 'row'} and judging on it gives {nested}"
    return f"{warning}. It is {naive}; {each}. {advice[0].upper()}{advice[1:]}"
