"""The page of a learning curve: the metric by number of labels for each strategy, and what labels each saves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json
from affectkit.artifacts.reports import LEARNING_CURVE, LEARNING_CURVE_TABLE
from affectkit.reporting.figures.curves import Line, Panel, curves
from affectkit.reporting.page import Page, Plot, Section, Sentence, Table, figure, past
from affectkit.results import words
from affectkit.results.words import is_number

READING = (
    "The effort of a strategy is the number of labels that it needs over that of random rows, for one value of the "
    "metric: the lower one of the two after the last round. Below 1 it saves labels; an interval that includes 1 "
    "cannot tell. Intervals are over seeds: of other rows to begin with and, with folds, of other people judged; not "
    "of other corpora.",
    "The lowest of many efforts is too low: it was looked for on the rows that it is of. On another corpus, or with "
    "another model, another strategy may be the best one, or none.",
)


def read(folder: Path) -> dict[str, Any]:
    return read_json(folder / LEARNING_CURVE, what="learning curve")


def draw(folder: Path) -> Page:
    """The page of the folder that `learning-curve` wrote."""
    told = read(folder)
    metric, labels = words.title(told["metric"]), told["labels"]
    sizes = sorted(set(told["judged"]))
    judged = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    what = f"{told['model']} from {labels[0]} to {labels[-1]} labels of {told['of']} rows, in {len(labels) - 1} rounds"
    lead: list[Sentence] = [f"{what}; {told['seeds']} seeds, judged on {judged} rows that are never asked for."]
    efforts = Table(
        f"Labels that each needs over those of random rows, for the same {metric}.",
        "strategy",
        [metric, "effort"],
        {name: [row["curve"][-1], row["effort"]] for name, row in told["strategies"].items()},
        brackets="95 %",
    )
    table = Table(
        f"Mean {metric} over seeds, by number of labels.",
        "labels",
        list(told["strategies"]),
        {str(n): [row["curve"][at] for row in told["strategies"].values()] for at, n in enumerate(labels)},
        file=LEARNING_CURVE_TABLE,
    )
    caption = f"{metric} by number of labels: means over {told['seeds']} seeds with 95 % intervals."
    drawn = figure("learning_curve", caption, _plot, told, metric)
    return Page(
        title="Learning curve",
        lead=lead,
        sections=[
            Section("Curves", text=_verdicts(told), figures=[drawn], tables=[efforts, table]),
            Section("How to read this", text=READING),
        ],
        **past(told),
        metrics=[told["metric"]],
        source=LEARNING_CURVE,
        summary=[Section("", text=lead), Section("", tables=[efforts]), Section("", text=_verdicts(told))],
    )


def _verdicts(told: Mapping[str, Any]) -> list[Sentence]:
    sentences: list[Sentence] = []
    for name, row in told["strategies"].items():
        effort = row["effort"]
        if not effort or not is_number(effort["value"]):  # random rows are what the others are compared with
            continue
        verdict = "it cannot be told from random rows"
        if is_number(effort["low"]) and not effort["low"] <= 1 <= effort["high"]:
            verdict = "it saves labels" if effort["high"] < 1 else "it costs labels"
        sentences.append((f"{name} needs ", effort, f" of random's labels: {verdict}."))
    return sentences


def _plot(told: Mapping[str, Any], metric: str) -> Plot:
    x = np.array(told["labels"], float)
    lines = []
    for look, (name, row) in enumerate(told["strategies"].items()):
        y, low, high = (
            np.array([np.nan if (value := point[key]) is None else value for point in row["curve"]], float)
            for key in ("value", "low", "high")
        )
        lines.append(Line(name, x, y, look, low=low, high=high))
    return curves([Panel(lines, metric)], xlabel="labels", alt=f"{metric} by number of labels.")
