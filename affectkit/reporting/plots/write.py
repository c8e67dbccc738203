"""Writing the figures of runs: a file for each and format, an index, and the figures of predictions as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_bytes, write_json, write_text
from affectkit.artifacts.tables import write_table
from affectkit.console import Progress, unwatched
from affectkit.evaluation.prediction_analysis import analyse
from affectkit.reporting.figures.svg import rendering
from affectkit.reporting.page import Figure
from affectkit.reporting.plots.material import Material

INDEX, ANALYSIS = "index.csv", "prediction_analysis/metrics.json"


def write_figures(
    folder: Path,
    figures: Sequence[tuple[str, Figure]],
    formats: Sequence[str],
    progress: Progress = unwatched,
) -> list[dict[str, str]]:
    """The rows of `index.csv`: `file`, `figure` (its kind), `caption`, `alt`, one for each file.

    figures: kind and figure, as `catalogue.figures_of` finds them.
    """
    import pandas as pd

    rows = []
    taken: set[str] = set()
    for done, (kind, figure) in enumerate(figures):
        progress(done, len(figures), figure.name)
        name = _free(figure.name, taken)
        with rendering(formats):
            plot = figure.draw()
        for ending in formats:
            file = folder / f"{name}.{ending}"
            if ending == "png" and plot.png:
                write_bytes(file, plot.png)
            elif ending == "svg":
                write_text(file, plot.svg)
            else:  # small pictures of a corpus, which are no drawing
                continue
            rows.append({"file": file.name, "figure": kind, "caption": figure.caption, "alt": plot.alt})
    write_table(folder / INDEX, pd.DataFrame(rows, columns=["file", "figure", "caption", "alt"]))
    return rows


def _free(name: str, taken: set[str]) -> str:
    """A name that no other file has, even where case does not count."""
    number, free = 1, name
    while free.lower() in taken:
        number, free = number + 1, f"{name}_{number + 1}"
    taken.add(free.lower())
    return free


def write_analysis(folder: Path, materials: Sequence[Material]) -> dict[str, Any] | None:
    """`prediction_analysis/metrics.json`: of one run its figures, of several the same under `runs`, by name; None where
    none predicts numbers."""
    runs = {run.name: _analysis(run) for run in materials if run.rows is not None and run.numbers}
    if not runs:
        return None
    alone = len(materials) == 1
    analysis: Mapping[str, Any] = next(iter(runs.values())) if alone else {"runs": runs}
    write_json(folder / ANALYSIS, analysis)
    return dict(analysis)


def _analysis(run: Material) -> dict[str, Any]:
    assert run.rows is not None
    report, frame = run.report, run.rows.frame
    seen = report.get("seen") or sorted(frame["seen"].unique())
    rows = {"run": run.name, "split": run.part, "seen": seen, "foreign": run.foreign}
    return rows | analyse(run.rows, run.numbers, run.figures, run.floors)
