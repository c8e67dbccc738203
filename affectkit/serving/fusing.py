"""The columns of a fusion that was trained on a table: for one request, by the definition that made the table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import probability_columns
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.serving.failures import Refused
from affectkit.serving.models import Served


@dataclass(frozen=True)
class Sides:
    """The two sources of the published fusion, and their rows of predictions; None where one gave no answer."""

    audio: Served
    audio_row: Mapping[str, Any]
    text: Served | None
    text_row: Mapping[str, Any] | None


def features(
    sides: Sides, names: Sequence[str], transcript: str, language: str, given: Mapping[str, float]
) -> dict[str, float]:
    """The columns called `names`, in order, NaN where unknown. given: what the request brings of them.

    Raises `Refused` for a column that neither layout makes of these sources.
    """
    known: dict[str, float] = {}
    for columns in _layouts(sides, names, {"text": [transcript], "language": [language]}):
        known |= {name: float(values[0]) for name, values in columns.items()}
    known |= given
    missing = [name for name in names if name not in known]
    if missing:
        message = f"the fusion needs {len(missing)} columns that are not made of this request"
        raise Refused(422, message, code="fusion_failed", details={"missing": missing[:20]})
    return {name: known[name] for name in names}


def _layouts(sides: Sides, names: Sequence[str], cells: Mapping[str, list[str]]) -> Iterator[dict[str, np.ndarray]]:
    from affectkit.fusion.table import LENGTH, Tabulation

    models = {"audio": (sides.audio, sides.audio_row), "text": (sides.text or sides.audio, sides.text_row)}
    sources = {name: served.targets for name, (served, _) in models.items()}
    answers = {name: {t.name: _output(t, row) for t in served.targets} for name, (served, row) in models.items()}
    values = [name.removeprefix("lang_is_") for name in names if name.startswith("lang_is_")]
    made = {"text": LENGTH, "language": values}
    for layout in ("named", "ser-service"):
        try:
            yield Tabulation(layout, sources, made).features(answers, cells)
        except AffectkitError:  # the acoustic model has other classes than the published four
            continue


def _output(target: Target, row: Mapping[str, Any] | None) -> TargetPrediction:
    """One row of predictions as arrays."""
    if row is None:
        return TargetPrediction.declined(target, 1)
    if target.kind == "number":
        var = row.get(f"{target.name}_var", math.nan)
        return TargetPrediction(target, mean=np.array([row[f"{target.name}_pred"]]), var=np.array([var]))
    return TargetPrediction.of(target, np.array([[row[name] for name in probability_columns(target)]]))
