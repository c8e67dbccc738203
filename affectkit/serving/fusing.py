"""The columns of a fusion that was trained on a table: for one request, by the definition that made the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import probability_columns
from affectkit.errors import AffectkitError
from affectkit.fusion.table import LANGUAGE, LAYOUTS, LENGTH, TEXT, Tabulation
from affectkit.labels import Target
from affectkit.serving.models import Served
from affectkit.web import Refused

Share = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]


class TextFeatures(BaseModel):
    """What a request may bring of its text, in the published names."""

    text_negative: Share = None
    text_neutral: Share = None
    text_positive: Share = None
    text_negative_score: Share = None
    text_length_norm: Share = None

    def completed(self) -> dict[str, float]:
        """As the published service does: what is missing is neutral, shares sum to 1.

        >>> TextFeatures(text_negative=0.25).completed()["text_neutral"]
        0.75
        """
        score = self.text_negative_score
        negative = (score or 0.0) if self.text_negative is None else self.text_negative
        positive, neutral = self.text_positive, self.text_neutral
        if neutral is None:
            neutral = max(0.0, 1.0 - negative - (positive or 0.0))
        elif positive is None:
            positive = max(0.0, 1.0 - negative - neutral)
        shares = negative, neutral, positive or 0.0
        if total := sum(shares):
            shares = negative / total, neutral / total, shares[2] / total
        else:
            shares = 0.0, 1.0, 0.0
        values = *shares, shares[0] if score is None else score, self.text_length_norm or 0.0
        return dict(zip(TextFeatures.model_fields, values, strict=True))


@dataclass(frozen=True)
class Side:
    """A source of the published fusion, and its row of predictions; None where it gave no answer."""

    served: Served
    row: Mapping[str, Any] | None


def features(
    sides: Mapping[str, Side], names: Sequence[str], cells: Mapping[str, str], brought: Mapping[str, float]
) -> dict[str, float]:
    """The columns called `names`, in order, NaN where unknown. sides: audio and text. cells: text and language.
    brought: what the request brings of the columns.

    Raises `Refused` for a column that neither layout makes of these sources.
    """
    sources = {name: side.served.targets for name, side in sides.items()}
    answers = {name: {t.name: _output(t, side.row) for t in side.served.targets} for name, side in sides.items()}
    values = [name.removeprefix("lang_is_") for name in names if name.startswith("lang_is_")]
    known: dict[str, float] = {}
    for layout in LAYOUTS:
        try:
            tabulation = Tabulation(layout, sources, {TEXT: LENGTH, LANGUAGE: values})
            columns = tabulation.features(answers, {name: [cell] for name, cell in cells.items()})
        except AffectkitError:  # the acoustic model has other classes than the published four
            continue
        known |= {name: float(column[0]) for name, column in columns.items()}
    known |= brought
    missing = [name for name in names if name not in known]
    if missing:
        message = f"the fusion needs {len(missing)} columns that are not made of this request"
        raise Refused(422, message, code="fusion_failed", details={"missing": missing[:20]})
    return {name: known[name] for name in names}


def _output(target: Target, row: Mapping[str, Any] | None) -> TargetPrediction:
    """One row of predictions as arrays."""
    if row is None:
        return TargetPrediction.declined(target, 1)
    if target.kind == "number":
        var = row.get(f"{target.name}_var", math.nan)
        return TargetPrediction(target, mean=np.array([row[f"{target.name}_pred"]]), var=np.array([var]))
    return TargetPrediction.of(target, np.array([[row[name] for name in probability_columns(target)]]))
