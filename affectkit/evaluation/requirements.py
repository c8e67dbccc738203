"""What figures must reach: `--require 'uar>=.5'`, read and judged in one way for `evaluate`, `select` and `ablate`.

A figure meets its threshold or misses it, or it cannot be told: the threshold lies within its interval. A bound of the
interval (`uar.low>=.25`) and a figure without an interval are always met or missed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import TRAIN_REPORT, run_of
from affectkit.artifacts.records import trusted
from affectkit.artifacts.sources import PREDICTIONS
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.agreement import FIGURES, LEVELS
from affectkit.evaluation.comparison import TargetMetric, target_metric
from affectkit.labels import Target
from affectkit.plain import shown

STATES = MET, UNDECIDABLE, MISSED = "met", "undecidable", "missed"
GAP = "gap"  # of a run: its figure on rows that it was fitted on, less that on rows that it was not
BOUNDS = ("low", "high")
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_GAP = {"metric": str, "train": (float, None), "judged": (float, None), "part": str, "value": (float, None)}


@dataclass(frozen=True)
class Requirement:
    """`test_uar.low>=.25`, as `text`.

    subset: of an ablation. split: of the rows. name: `uar`, `stress.ccc`, `gap` or, of an agreement,
    `stress.within.pearson`. end: "low", "high", or "" for the figure itself. metric: what `name` is of the targets,
    which are known later than the text; None of a gap and of an agreement.
    """

    text: str
    name: str
    sign: str
    threshold: float
    end: str = ""
    split: str = ""
    subset: str = ""
    metric: TargetMetric | None = None

    @property
    def higher_is_better(self) -> bool:
        return self.of_agreement or (self.metric is not None and self.metric.definition.higher_is_better)

    @property
    def of_agreement(self) -> bool:
        """Whether it is a figure at one level of an agreement, all of which are better where they are higher."""
        target, _, figure = self.name.rpartition(".")
        return figure in FIGURES and target.rpartition(".")[2] in LEVELS and "." in target

    def of(self, targets: Mapping[str, Target], *, agreement: bool | None = None) -> Requirement:
        """agreement: whether it is judged; None where it never is.

        Raises "usage" for a figure that is not of these targets, and for one that would have to be bad."""
        resolved = self
        if agreement is not None and self.of_agreement:
            self._check_agreement(targets, agreement)
        elif self.name != GAP:
            resolved = replace(self, metric=target_metric(self.name, targets))
        better, worse, sign = ("higher", "low", ">=") if resolved.higher_is_better else ("lower", "high", "<=")
        if self.sign[0] != sign[0] or self.end not in ("", worse):
            said = f"--require '{self.text}': {self.name} is better where it is {better}"
            asked = self.text.replace(self.sign, sign, 1).replace(f".{self.end}{sign}", f".{worse}{sign}")
            raise AffectkitError("usage", said, remedy=f"write '{asked}'")
        return resolved

    def _check_agreement(self, targets: Mapping[str, Target], agreement: bool) -> None:
        name = self.name.rsplit(".", 2)[0]
        known = [target.name for target in targets.values() if target.kind != "class"]
        if not agreement:
            what = f"--require '{self.text}' is of an agreement, which is not judged"
            raise AffectkitError("usage", what, remedy="add --agreement")
        if name not in known:
            what = f"--require '{self.text}': there is no number and no ordered class '{name}'"
            raise AffectkitError("usage", what, remedy=did_you_mean(name, known))

    def figure_in(self, metrics: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        """Raises "input" where the rows do not have what the metric takes, such as probabilities or a scale."""
        key = self.name if self.metric is None else self.metric.key
        if key not in metrics:
            what = f"--require '{self.text}': {key} is not known of these predictions"
            raise AffectkitError("input", what, remedy=f"require one of {', '.join(metrics)}")
        return metrics[key]

    def reached(self, figure: Mapping[str, Any]) -> float:
        """What is held against the threshold: the value, or an end of the interval; NaN where it is undefined."""
        value = figure.get(self.end or "value")
        return math.nan if value is None else float(value)

    def loss(self, figure: Mapping[str, Any]) -> float:
        """What figures are sorted by, the nearest first and the undefined last."""
        value = self.reached(figure)
        return math.inf if math.isnan(value) else -value if self.higher_is_better else value

    def holds(self, value: float) -> bool:
        signs = {"<=": value <= self.threshold, ">=": value >= self.threshold}
        return (signs | {"<": value < self.threshold, ">": value > self.threshold})[self.sign]

    def state(self, figure: Mapping[str, Any]) -> str:
        """figure: `value`, and `low` and `high` where it has an interval."""
        ends = [math.nan if self.end or figure.get(end) is None else float(figure[end]) for end in BOUNDS]
        if not any(map(math.isnan, ends)) and self.holds(ends[0]) != self.holds(ends[1]):
            return UNDECIDABLE
        return MET if self.holds(self.reached(figure)) else MISSED

    def judged(self, figure: Mapping[str, Any], **of: str) -> dict[str, Any]:
        """As reports have it. of: what else tells whose figure it is."""
        ends = {key: figure.get(key) for key in ("value", *BOUNDS)}
        return {"require": self.text, **of, "state": self.state(figure), **ends}


def parse(text: str, *, splits: Sequence[str] = (), subsets: Sequence[str] = ()) -> Requirement:
    """splits, subsets: what may stand before the figure, as in `test_uar>=.5` and `audio+text:uar>=.5`.

    Raises "usage".
    """
    subset, colon, rest = text.partition(":") if subsets else ("", "", text)
    parts = re.fullmatch(rf"\s*([^<>=\s]+)\s*([<>]=?)\s*({_NUMBER})\s*", rest if colon else text)
    threshold = float(parts[3]) if parts else math.nan
    if parts is None or not math.isfinite(threshold):
        remedy = "write a figure, >= or <=, and a number with a point, in quotes: 'ece<=.03'"
        raise AffectkitError("usage", f"--require '{text}' is no requirement", remedy=remedy)
    if colon and subset.strip() not in subsets:
        remedy = did_you_mean(subset, list(subsets))
        raise AffectkitError("usage", f"--require '{text}': there is no subset '{subset}'", remedy=remedy)
    if subsets and parts[1] == GAP:
        what = f"--require '{text}': subsets keep no figure of the rows that they were fitted on"
        raise AffectkitError("usage", what, remedy="leave it out, or evaluate the run")
    name, dot, end = parts[1].rpartition(".")
    name, end = (name, end) if dot and end in BOUNDS else (parts[1], "")
    split, mark, figure = name.partition("_")
    split, name = (split, figure) if mark and split in splits else ("", name)
    return Requirement(text, name, parts[2], threshold, end, split, subset.strip() if colon else "")


def gap_of(path: Path) -> dict[str, Any]:
    """What `train_report.json` says of a run's gap. path: its folder, the table or the model in it.

    Raises "input" where it says none.
    """
    folder = run_of(path if path.is_dir() else path.parent)
    report = folder / TRAIN_REPORT
    known = {}
    if (path.is_dir() or path.name == PREDICTIONS) and report.exists():
        known = read_json(trusted(report), what="report of a training", shape={"gap?": _GAP})
    if "gap" not in known:
        what = "nothing says what the model reaches on the rows that it was fitted on: there is no gap to require"
        raise AffectkitError("input", what, file=path, remedy="name a run folder of train or finetune")
    return dict(known["gap"])


def verdict(judged: Sequence[Mapping[str, Any]]) -> AffectkitError | None:
    """What a command ends with, once its report is written: "unmet" where some are missed, else "undecidable".

    judged: as `Requirement.judged` gives them.
    """
    named = {state: [_named(row) for row in judged if row["state"] == state] for state in (MISSED, UNDECIDABLE)}
    told = "; ".join(f"{state}: {', '.join(rows)}" for state, rows in named.items() if rows)
    if named[MISSED]:
        return AffectkitError("unmet", f"--require: {told}")
    if named[UNDECIDABLE]:
        remedy = "judge more rows, or require the interval's worse end, as in 'uar.low>=.5' and 'mae.high<=.5'"
        return AffectkitError("undecidable", f"--require: {told}", remedy=remedy)
    return None


def _named(row: Mapping[str, Any]) -> str:
    value, *ends = (None if row[key] is None or math.isnan(row[key]) else shown(row[key]) for key in ("value", *BOUNDS))
    bracketed = ", no interval" if None in ends else f" [{ends[0]}, {ends[1]}]"
    return f"{row['require']} ({value or 'undefined'}{bracketed})"
