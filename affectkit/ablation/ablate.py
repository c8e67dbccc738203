"""The loop over subsets: each is answered, written, and finished by a small file that says what it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.ablation.study import BEST_SINGLE, FULL, AblationStudy, Subset, judge
from affectkit.artifacts.files import read_json, sha256, write_json
from affectkit.artifacts.predictions import Predictions, read_predictions, write_predictions
from affectkit.artifacts.reports import ABLATION, ABLATION_TABLE
from affectkit.artifacts.tables import write_table
from affectkit.console import Progress, unwatched
from affectkit.errors import AffectkitError
from affectkit.evaluation.intervals import DEFAULT, Resampling
from affectkit.evaluation.metrics import meaningful
from affectkit.evaluation.requirements import Requirement
from affectkit.plain import without_nan

if TYPE_CHECKING:
    import pandas as pd

SUBSETS, DONE = "subsets", "subset.json"


def ablate(
    study: AblationStudy,
    chosen: Sequence[Subset],
    folder: Path,
    *,
    resampling: Resampling = DEFAULT,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answer and judge the subsets `chosen`, all sources together last; what `ablation_summary.json` says.

    Subsets that `folder` has already, whole and made of the same, are kept. Those that cannot answer are left out.
    """
    chosen = [subset for subset in chosen if set(subset.sources) & set(study.setup.predicting)]
    steps = 2 * len(chosen)
    report = progress or unwatched
    for done, subset in enumerate(chosen):
        _finish(study, subset, folder)
        report(done + 1, steps)
    return judge(
        study,
        chosen,
        lambda subset: _read(study, subset, folder),
        resampling,
        lambda done, total, note="": report(len(chosen) + done, steps),
    )


def table_name(repeat: int) -> str:
    """Of a repeat's predictions; the first one's has the name that every command takes for its folder."""
    return "predictions.csv" if repeat == 0 else f"predictions_{repeat}.csv"


def _finish(study: AblationStudy, subset: Subset, folder: Path) -> None:
    """Write a subset's predictions, repeat by repeat, unless they are there."""
    place = folder / SUBSETS / subset.name
    names = [table_name(repeat) for repeat in range(len(study.setup.seeds))]
    made_of = {"seeds": list(study.setup.seeds), **study.made_of(subset.sources)}
    if _is_finished(place, without_nan(made_of)):
        return
    for repeat, name in enumerate(names):
        try:
            answers = study.answer(subset.sources, repeat)
        except AffectkitError as error:
            message = f"{subset.name}: {error.message}"
            raise AffectkitError(error.code, message, file=error.file, row=error.row, remedy=error.remedy) from None
        write_predictions(place / name, answers)
    files = {name: sha256(place / name) for name in names}
    write_json(place / DONE, {"sources": list(subset.sources), "made_of": made_of, "files": files})


def _is_finished(place: Path, made_of: Mapping[str, Any]) -> bool:
    """Whether a subset is there, its files as they were written; a damaged one is not."""
    if not (place / DONE).exists():
        return False
    try:
        record = read_json(place / DONE, what="subset")
    except AffectkitError:
        return False
    files = record.get("files", {}).items()
    intact = all((place / name).is_file() and sha256(place / name) == known for name, known in files)
    return intact and record.get("made_of") == made_of


def _read(study: AblationStudy, subset: Subset, folder: Path) -> list[Predictions]:
    place, targets = folder / SUBSETS / subset.name, study.setup.targets
    paths = [place / table_name(repeat) for repeat in range(len(study.setup.seeds))]
    return [replace(read_predictions(path, targets=list(targets.values())), targets=dict(targets)) for path in paths]


# --- What was required of subsets


PARTS = ("test", "oof", "val")  # that requirements may be of, the first that there is by default


def required(stated: Sequence[Requirement], summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each requirement, of all sources together unless it names a subset, against what `summary` says.

    Raises "input" for rows or a subset without figures.
    """
    judged = []
    for requirement in stated:
        part = requirement.split or next(part for part in PARTS if part in summary["parts"])
        name = requirement.subset or summary["full"]
        row = (summary["parts"].get(part) or {"subsets": {}})["subsets"].get(name)
        if row is None:
            what = f"--require '{requirement.text}': {name} has no {part} rows that are judged"
            raise AffectkitError("input", what, remedy=f"require it of {' or '.join(summary['parts'])} rows")
        judged.append(requirement.judged(requirement.figure_in(row["metrics"]), of=f"{name}, {part} rows"))
    return judged


# --- What is left in the folder besides the subsets


def write_ablation(folder: Path, summary: Mapping[str, Any]) -> None:
    """summary: what `ablate` found; how in words, `warnings`, `inputs` read, and what `lineage` says of them."""
    write_json(folder / ABLATION, dict(summary))
    write_table(folder / ABLATION_TABLE, summary_table(summary))


def summary_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each subset and part of the rows; the compared metric and its differences stand first."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for part, judged in summary["parts"].items():
        for name, row in judged["subsets"].items():
            line = {
                "part": part,
                "subset": name,
                "sources": len(row["sources"]),
                "n": row["n"],
                "groups": row["groups"],
            }
            line |= _metric_columns(row, summary["metric"])
            for reference in (BEST_SINGLE, FULL):
                line |= _difference_columns(reference, row["against"].get(reference) or {})
            for metric in meaningful(row["metrics"], summary["targets"]):
                line |= _metric_columns(row, metric)
            for language, of_language in row.get("languages", {}).items():
                for metric in meaningful(of_language["metrics"], summary["targets"]):
                    line[f"{metric}_{language}"] = (of_language["metrics"][metric] or {}).get("value")
            rows.append(line)
    return pd.DataFrame(rows)


def _metric_columns(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    figure, spread = row["metrics"].get(metric) or {}, row["seeds"].get(metric) or {}
    cells = {metric: figure.get("value"), f"{metric}_low": figure.get("low"), f"{metric}_high": figure.get("high")}
    return cells | ({f"{metric}_sd": spread["sd"]} if spread else {})


def _difference_columns(reference: str, comparison: Mapping[str, Any]) -> dict[str, Any]:
    difference = comparison.get("difference") or {}
    spread = (comparison.get("seeds") or {}).get("difference") or {}
    name = f"to_{reference}"
    cells = {
        name: difference.get("value"),
        f"{name}_low": difference.get("low"),
        f"{name}_high": difference.get("high"),
    }
    cells |= {f"{name}_p": comparison.get("p"), f"{name}_p_holm": comparison.get("p_holm")}
    return cells | ({f"{name}_sd": spread["sd"]} if spread else {})
