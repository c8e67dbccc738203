"""Figures of predictions, of rows that may be judged: of numbers and of classes, runs together where they can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.reports import file_name
from affectkit.evaluation.coverage import central, standardized
from affectkit.labels import Target
from affectkit.reporting.figures import errors, evaluation
from affectkit.reporting.figures.calibrations import interval_coverage
from affectkit.reporting.figures.correlations import correlation_of, correlations
from affectkit.reporting.page import Figure, figure
from affectkit.reporting.plots.material import Material
from affectkit.results import words
from affectkit.results.words import ranged

PANELS = 9  # targets of a figure; of more there are several figures
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.7, 0.8, 0.9, 0.95])
IN_TITLE = (("ccc", "CCC"), ("r2", "R²"), ("mae", "MAE"), ("pearson", "r"))


def answered(materials: Sequence[Material]) -> list[Material]:
    return [run for run in materials if run.rows is not None]


def number_targets(runs: Sequence[Material]) -> dict[str, list[tuple[Material, Target]]]:
    """Number -> the runs that answer it, with what each knows of it."""
    found: dict[str, list[tuple[Material, Target]]] = {}
    for run in answered(runs):
        for target in run.numbers:
            found.setdefault(target.name, []).append((run, target))
    return found


# --- Numbers


def scatters(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Prediction against truth of each target, with the identity, density, intervals, and figures in the title."""
    for target, runs in number_targets(materials).items():
        first, known = runs[0]
        if len(runs) == 1:
            truth, predicted = first.pair(known)
            look: dict[str, Any] = {"name": target, "scale": known.scale, "note": _title(first, target)}
            look["ends"] = first.ends(known)
            yield figure(f"{target}_{name}", words.SCATTER_WITH_INTERVALS, evaluation.scatter, truth, predicted, **look)
        else:
            pairs = {run.name: run.pair(t) for run, t in runs}
            notes = {run.name: f"CCC {ranged(_interval(run, target, 'ccc'))}" for run, _ in runs}
            scale = next((t.scale for _, t in runs if t.scale), None)
            yield figure(
                f"{target}_{name}", words.SCATTER, errors.scatters, pairs, name=target, scale=scale, notes=notes
            )


def _title(run: Material, target: str) -> str:
    parts = [f"{title} {ranged(_interval(run, target, metric))}" for metric, title in IN_TITLE]
    return f"{parts[0]}   {parts[1]}\n{parts[2]}   {parts[3]}"


def _interval(run: Material, target: str, metric: str) -> Mapping[str, Any]:
    if run.report:
        return run.report["metrics"].get(f"{target}.{metric}") or {"value": None}
    interval = run.figures.get(f"{target}.{metric}")
    return interval.plain() if interval else {"value": None}


def residuals(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Errors against predictions, a panel for each target; a figure for each run."""
    for run in answered(materials):
        pairs = {target.name: run.pair(target) for target in run.numbers}
        for number, some in _paged(pairs):
            yield figure(_file(name, run, materials, number), words.RESIDUALS_OVER_PREDICTIONS, errors.residuals, some)


def by_tenth(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Errors by tenths of the predictions, runs in one panel."""
    targets = {
        target: {run.name: run.pair(known) for run, known in runs} for target, runs in number_targets(materials).items()
    }
    for number, some in _paged(targets):
        yield figure(f"{name}{number}", words.ERROR_BY_TENTH, errors.by_tenth, some)


def distributions(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """The errors of each target."""
    for target, runs in number_targets(materials).items():
        pairs = {run.name: run.pair(known) for run, known in runs}
        yield figure(f"{target}_{name}", words.ERROR_DISTRIBUTION, errors.distribution, pairs, name=target)


def target_correlations(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """Between targets: of the truth, of the predictions, and how far the latter are from the former."""
    for run in answered(materials):
        names = [target.name for target in run.numbers]
        if len(names) < 2:
            continue
        sides = [np.stack(side, axis=1) for side in zip(*map(run.pair, run.numbers), strict=True)]
        both = np.isfinite(sides[0] + sides[1])
        true, predicted = (correlation_of(np.where(both, side, np.nan)) for side in sides)
        for file, what, matrix, label in (
            (f"true_{name}", "of the true values", true, "correlation"),
            (f"predicted_{name}", "of the predictions", predicted, "correlation"),
            (f"{name.removesuffix('s')}_differences", "of the predictions less those of the true values",
             predicted - true, "difference of correlations"),
        ):  # fmt: skip
            caption = words.target_correlations(what)
            alt = f"Correlations between {len(names)} targets, {what}."
            look = {"label": label, "alt": alt}
            yield figure(_file(file, run, materials), caption, correlations, matrix, names, **look)


def interval_calibration(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    """How often intervals from `t_var` hold the truth, runs together."""
    for target, runs in number_targets(materials).items():
        observed, scores = {}, {}
        for run, known in runs:
            assert run.rows is not None
            shares = central(run.rows, known, LEVELS)
            if shares is not None:
                observed[run.name], scores[run.name] = shares, standardized(run.rows, known)
        if observed:
            caption = words.INTERVAL_COVERAGE + words.RESIDUALS
            look: dict[str, Any] = {"residuals": scores, "name": target}
            yield figure(f"{target}_{name}", caption, interval_coverage, LEVELS, observed, **look)


# --- Classes


def confusions(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    for run, target, details in _class_details(materials):
        confusion = details.get("confusion") or {}
        if confusion.get("classes"):
            file = _file(_of_target(name, run, target), run, materials)
            yield figure(file, words.CONFUSION, evaluation.confusion, confusion["counts"], confusion["classes"])


def reliabilities(materials: Sequence[Material], *, name: str) -> Iterator[Figure]:
    for run, target, details in _class_details(materials):
        calibration, error = details.get("calibration") or {}, details.get("ece")
        bins = calibration.get("bins") or []
        if error is not None and any(row["n"] for row in bins):
            file = _file(_of_target(name, run, target), run, materials)
            look = {"ece": error, "null": calibration.get("null")}
            yield figure(file, words.RELIABILITY, evaluation.reliability, bins, **look)


def _class_details(materials: Sequence[Material]) -> Iterator[tuple[Material, Target, Mapping[str, Any]]]:
    for run in materials:
        for target in run.classes:
            yield run, target, run.details(target)


def _of_target(name: str, run: Material, target: Target) -> str:
    """Of the first class target the name alone, as on the page of `evaluate`."""
    return name if target == run.classes[0] else f"{target.name}_{name}"


def _file(name: str, run: Material, materials: Sequence[Material], number: str = "") -> str:
    return f"{name}{number}" if len(materials) == 1 else file_name(f"{run.name}_{name}{number}")


def _paged(targets: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """As many targets as a figure has room for, and what tells the figures apart."""
    names = list(targets)
    for start in range(0, len(names), PANELS):
        number = "" if not start else f"_{start // PANELS + 1}"
        yield number, {name: targets[name] for name in names[start : start + PANELS]}
