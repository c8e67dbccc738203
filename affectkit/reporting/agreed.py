"""Agreement with self-reports, as the page of an evaluation and the terminal show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.evaluation.agreement import people
from affectkit.reporting.figures import agreement as figures
from affectkit.reporting.page import Figure, Section, Sentence, Table, figure
from affectkit.results.words import is_number

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {"pearson": "Pearson r", "spearman": "Spearman rho", "ccc": "CCC"}
ERRORS = {"mae": "MAE", "rmse": "RMSE", "ccc": "CCC"}
LIMITS = {
    "bias": "bias, predicted minus true",
    "sd": "standard deviation of differences",
    "lower": "lower limit of agreement",
    "upper": "upper limit of agreement",
    "slope": "slope of the difference on the mean",
}
HOW = (
    "Over all rows a figure mixes knowing who reports high scores with knowing when. Between subjects: of the "
    "subjects' means, each subject once. Within subjects: of the deviations from the subject's own means; Pearson's r "
    "of these is the repeated-measures correlation, Spearman's the mean of the subjects' own, of those with three "
    "rows or more."
)
LIMITS_CAPTION = (
    "Bland-Altman: 95 % of differences lie between the limits. Their standard deviation has a part between and one "
    "within subjects, from an analysis of variance of the differences (Bland and Altman 2007)."
)
FLOORS_CAPTION = (
    "Against the subject's own mean: the mean of the same subject's other self-reports, the row itself left out. It "
    "looks at self-reports, so it is no model but a bar: what knowing the person gives without looking at anything."
)
BETWEEN_WITHIN = (
    "Left: the subjects' means; right: all rows, with a line of each subject{some}, all of the common slope. Lines "
    "that lie apart but run flat say that the model knows who, not when."
)
BLAND_ALTMAN = (
    "Bland-Altman with limits for repeated measurements; shaded: their intervals, as far as the figure reaches. "
    "Dotted: the slope; a downward one says that predictions are drawn towards their mean."
)


def agreement_section(name: str, agreement: Mapping[str, Any], judged: pd.DataFrame | None, scale: Any) -> Section:
    """Of one target. judged: truth, prediction and subject of each row of numbers, which figures need."""
    row, column = agreement["targets"][name], agreement["column"]
    tables = [_levels(row, column)]
    if row["bland_altman"]:
        tables.append(_limits(row["bland_altman"]))
    if row["floors"]:
        tables.append(_floors(row["floors"]))
    first = next(iter(agreement["targets"])) == name
    text: list[Sentence] = [_counts(row, column), *([HOW] if first else []), *_verdict(row)]
    if row["levels"]:
        text.append(f"Levels are taken as numbers 0 to {len(row['levels']) - 1}, in their order.")
    return Section(f"Agreement: {name}", text=text, tables=tables, figures=_figures(name, row, column, judged, scale))


def _counts(row: Mapping[str, Any], column: str) -> Sentence:
    again = row["repeated"]
    head: Sentence = (row["n"], f" rows of {people(row['subjects'], column)} with a self-report and a prediction; ")
    share = again["subjects"] / row["subjects"] if row["subjects"] else 0.0
    whom = "subject ({:.0%}) has" if again["subjects"] == 1 else "subjects ({:.0%}) have"
    tail = f" {whom.format(share)} two rows or more, {again['rows']} in all. Subjects with one row say nothing "
    return (*head, again["subjects"], f"{tail}within.")


def _levels(row: Mapping[str, Any], column: str) -> Table:
    columns = ["all rows", f"between subjects ({row['subjects']})", f"within subjects ({row['repeated']['subjects']})"]
    rows = {title: [row[level][key] for level in ("all", "between", "within")] for key, title in FIGURES.items()}
    subjects = "subjects" if column == "subject" else f"subjects ({column})"
    caption = f"Agreement over all rows, between and within {subjects}; brackets as above."
    return Table(caption, "figure", columns, rows, file="agreement.csv")


def _limits(limits: Mapping[str, Any]) -> Table:
    rows = {title: [limits[key]] for key, title in LIMITS.items()}
    rows |= {f"of it {part} subjects": [limits[f"sd_{part}"]] for part in ("between", "within")}
    order = [*list(LIMITS.values())[:2], *(f"of it {part} subjects" for part in ("between", "within"))]
    rows = {title: rows[title] for title in [*order, *list(LIMITS.values())[2:]]}
    return Table(LIMITS_CAPTION, "figure", ["value"], rows, file="agreement.csv")


def _floors(floors: Mapping[str, Any]) -> Table:
    answers = {"model": "model", "own_mean": "subject's own mean", "train_mean": "train mean"}
    columns = {key: title for key, title in answers.items() if key in floors}
    rows = {
        title: [*(floors[column][key] for column in columns), floors["difference"][key], floors["difference"][key]["p"]]
        for key, title in ERRORS.items()
    }
    caption = (
        f"{FLOORS_CAPTION} Of {floors['n']} rows of {people(floors['subjects'], 'subject')} with two rows or more."
    )
    titles = [*columns.values(), "model less own mean", "p"]
    return Table(caption, "figure", titles, rows, better={"MAE": "lower", "RMSE": "lower", "CCC": "higher"})


def _verdict(row: Mapping[str, Any]) -> Iterator[Sentence]:
    """Whether the model is better than knowing the person."""
    if row["floors"]:
        gap = row["floors"]["difference"]["mae"]
        yield (f"MAE less that of the subject's own mean, {_over(row)}: ", gap, f": {better(gap)}.")


def _over(row: Mapping[str, Any]) -> str:
    """Which rows the subject's own mean is for, since figures over all rows are others."""
    if row["floors"]["n"] == row["n"]:
        return f"over all {row['n']} rows"
    return f"over the {row['floors']['n']} of {row['n']} rows whose subject has two or more"


def better(gap: Mapping[str, Any]) -> str:
    """gap: the model's MAE less that of the subject's own mean."""
    if not (is_number(gap["low"]) and is_number(gap["high"])):
        return "without an interval, which is better cannot be told"
    if gap["high"] < 0:
        return "the model is better"
    return "the subject's own mean is better" if gap["low"] > 0 else "these rows do not tell which is better"


def _figures(name: str, row: Mapping[str, Any], column: str, judged: pd.DataFrame | None, scale: Any) -> list[Figure]:
    """Of a number; ordered classes have their confusion."""
    if row["levels"] or judged is None or not {name, f"{name}_pred", column} <= set(judged):
        return []
    truth, predicted = (judged[key].to_numpy(float) for key in (name, f"{name}_pred"))
    subjects = judged[column].astype(str).to_numpy()
    known = np.isfinite(truth + predicted) & (subjects != "")
    if not known.any():
        return []
    rows = truth[known], predicted[known], subjects[known]
    some = f" (of {figures.LINES})" if row["subjects"] > figures.LINES else ""
    caption = BETWEEN_WITHIN.format(some=some)
    look = {"name": name, "scale": scale, "figures": row}
    limits = {"name": name, "figures": row["bland_altman"]}
    return [
        figure(f"{name}_agreement", caption, figures.between_within, *rows, **look),
        figure(f"{name}_bland_altman", BLAND_ALTMAN, figures.bland_altman, *rows, **limits),
    ]


def summary_section(agreement: Mapping[str, Any]) -> Iterator[Section]:
    """What a terminal shows: of each target the three levels, its limits, and whether knowing the person is better."""
    for name, row in agreement["targets"].items():
        columns = ["all rows", "between", "within"]
        rows = {title: [row[level][key] for level in ("all", "between", "within")] for key, title in FIGURES.items()}
        subjects = people(row["subjects"], agreement["column"])
        text: list[Sentence] = [f"{subjects}, {row['repeated']['subjects']} with two rows or more"]
        if limits := row["bland_altman"]:
            text.append(("bias ", limits["bias"], ", limits of agreement ", limits["lower"], " to ", limits["upper"]))
        if floors := row["floors"]:
            model, own, gap = floors["model"]["mae"], floors["own_mean"]["mae"], floors["difference"]["mae"]
            text.append((f"MAE {_over(row)}: ", model, ", of the subject's own mean ", own, f": {better(gap)}"))
        yield Section("", tables=[Table("", f"{name}, agreement", columns, rows)], text=text)


def beside_rows(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Of a report the figures of agreement by what they are called where parts stand side by side."""
    return {
        f"{target}, {level} subjects, {title}": row[level][key]
        for target, row in (report.get("agreement") or {"targets": {}})["targets"].items()
        for level in ("between", "within")
        for key, title in FIGURES.items()
        if key != "spearman"
    }
