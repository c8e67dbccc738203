"""Alerts: a yes-or-no decision at a given threshold, such as `angry>=.5`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.rows import missing, pair
from affectkit.labels import Target

Sign = Literal[">=", "<="]


@dataclass(frozen=True)
class Alert:
    """Raised where a prediction is at least (`>=`) or at most (`<=`) `threshold`.

    name: a number, a class of `label`, or `<target>.<class>`; of a class, its probability is what is looked at.
    cutoff: of a number, where the truth is positive, by the same sign; None: at the threshold itself. For a class, the
    rows of that class are positive where the sign is `>=`, all others where it is `<=`.
    """

    name: str
    sign: Sign
    threshold: float
    cutoff: float | None = None

    def __str__(self) -> str:
        cutoff = "" if self.cutoff is None else f":{self.cutoff:.9g}"
        return f"{self.name}{self.sign}{self.threshold:.9g}{cutoff}"

    def reached(self, values: np.ndarray, threshold: float) -> np.ndarray:
        """[N] int64: 1 where `values` reach a threshold, 0 where they do not, -1 where they are NaN."""
        reached = values >= threshold if self.sign == ">=" else values <= threshold
        return np.where(np.isnan(values), -1, reached.astype(np.int64))


def parse_alert(text: str) -> Alert:
    """`angry>=.5`, `valence<=2`, or `phq8>=8:10`: raised from 8 on, positive from 10 on. Raises "usage"."""
    found = re.fullmatch(r"(.*\S)\s*(>=|<=)([^:<>=]+)(?::([^:<>=]+))?", text.strip(), re.DOTALL)
    numbers = [_number(part) for part in found.groups()[2:] if part is not None] if found else [None]
    if found is None or None in numbers:
        remedy = "write NAME>=THRESHOLD or NAME<=THRESHOLD, in quotes: --alert 'angry>=.5'"
        raise AffectkitError("usage", f"--alert '{text}' names no threshold", remedy=remedy)
    alert = Alert(found[1].strip(), cast(Sign, found[2]), *cast("list[float]", numbers))
    return replace(alert, cutoff=None) if alert.cutoff == alert.threshold else alert


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def named(predictions: Predictions, alert: Alert) -> tuple[Target, int | None]:
    """The target that an alert is about, and its class's place among the classes; None for a number.

    Raises "usage" for an unknown name, and for thresholds that a class's probability cannot have.
    """
    known: dict[str, tuple[Target, int | None]] = {}
    for target in predictions.targets.values():
        if target.kind == "number":
            known[target.name] = target, None
        for place, name in enumerate(target.classes):
            known[f"{target.name}.{name}"] = target, place
    known = {key.removeprefix("label."): value for key, value in known.items()} | known  # a number before a class
    if alert.name not in known:
        remedy = did_you_mean(alert.name, [name for name in known if not name.startswith("label.")])
        raise AffectkitError("usage", f"--alert '{alert}': there is no number or class '{alert.name}'", remedy=remedy)
    target, position = known[alert.name]
    if position is not None and alert.cutoff is not None:
        message = f"--alert '{alert}': a class is true or not and takes no second threshold"
        raise AffectkitError("usage", message, remedy=f"write '{replace(alert, cutoff=None)}'")
    if position is not None and not 0 <= alert.threshold <= 1:
        message = f"--alert '{alert}': the threshold of a probability lies between 0 and 1"
        raise AffectkitError("usage", message, remedy=f"write '{alert.name}{alert.sign}.5' for one half")
    return target, position


def decided(predictions: Predictions, alert: Alert) -> tuple[np.ndarray, np.ndarray]:
    """Truth and alert [N] int64: 1 for yes, 0 for no, -1 where missing.

    Raises "usage" as `named`, "input" for a class without probabilities and where no row has a truth.
    """
    target, position = named(predictions, alert)
    truth, predicted = pair(predictions, target)
    if missing(truth).all():
        remedy = f"give a column {target.name}, or the --manifest that has it"
        raise AffectkitError("input", f"no row has a truth for {target.name}", file=predictions.path, remedy=remedy)
    if position is None:
        cutoff = alert.threshold if alert.cutoff is None else alert.cutoff
        return alert.reached(truth, cutoff), alert.reached(predicted, alert.threshold)
    raised = alert.reached(predictions.output(target.name).values[:, position], alert.threshold)
    positive = (truth == position) == (alert.sign == ">=")
    return np.where(missing(truth), -1, positive), raised


def described(predictions: Predictions, alert: Alert) -> dict[str, Any]:
    """The alert in parts, as reports have it; `class` is None for a number, `cutoff` for a class."""
    target, position = named(predictions, alert)
    cutoff = alert.threshold if alert.cutoff is None else alert.cutoff
    return {
        "target": target.name,
        "class": None if position is None else target.classes[position],
        "sign": alert.sign,
        "threshold": alert.threshold,
        "cutoff": cutoff if position is None else None,
    }
