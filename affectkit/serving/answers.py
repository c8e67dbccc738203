"""A row of predictions as JSON says it: prediction, calibrated probabilities, uncertainty, abstention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import SET_MARK, prediction_column, probability_columns, set_column
from affectkit.fusion.table import FOUR, entropy, polarity
from affectkit.inference.faces import COLUMNS as FACES
from affectkit.labels import Target
from affectkit.plain import without_nan

_SHORT = {"ang": "ANGRY", "hap": "HAPPY", "neu": "NEUTRAL", "sad": "SAD"}
# The published names of emotions; a label that is not here is itself.
EMOTIONS = {name: code for short, code in _SHORT.items() for name in FOUR[short]} | {
    "exc": "HAPPY", "excited": "HAPPY", "calm": "CALM", "fear": "FEAR", "fea": "FEAR", "fearful": "FEAR"
}  # fmt: skip


def emotion_code(label: str | None) -> str | None:
    return EMOTIONS.get(label.strip().casefold(), label) if label else None


def of_target(target: Target, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of a target. abstain: the model declines, or its prediction set is not one class."""
    name = target.name
    if target.kind == "number":
        parts = {"value": "pred", "variance": "var", "low": "low", "high": "high"}
        said = {key: _number(row.get(f"{name}_{part}")) for key, part in parts.items()}
        return {"kind": "number", **said, "abstain": said["value"] is None}
    values = [_number(row.get(column)) for column in probability_columns(target)]
    known = [value for value in values if value is not None]
    prediction = str(row.get(prediction_column(name)) or "") or None
    answer: dict[str, Any] = {
        "kind": target.kind,
        "prediction": prediction,
        "probabilities": dict(zip(target.classes, values, strict=True)),
        "confidence": max(known, default=None),
        "entropy": float(entropy(np.array([known]))[0]) if known else None,
        "abstain": prediction is None,
    }
    if set_column(name) in row:
        answer["set"] = [text for text in str(row[set_column(name)]).split(SET_MARK) if text]
        answer["abstain"] = prediction is None or len(answer["set"]) != 1
    return answer


def of_row(targets: Sequence[Target], row: Mapping[str, Any]) -> dict[str, Any]:
    """By target; and what a face expert says of the face."""
    face = {name: row[name] for name in FACES if name in row}
    answers = {target.name: of_target(target, row) for target in targets}
    return without_nan({"answers": answers, **({"face": face} if face else {})})


def _number(value: Any) -> float | None:
    return None if value is None or value == "" or value != value else float(value)


# --- The published fields


def audio_summary(target: Target | None, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """`audio_prob_<class>`, confidence and entropy of the acoustic model over the whole clip."""
    if target is None or answer is None or answer["confidence"] is None:
        return {"audio_confidence": None, "audio_entropy": None, "dominantEmotion": None}
    heard: dict[str, float] = defaultdict(float)
    for name, value in answer["probabilities"].items():
        heard[f"audio_prob_{short(name)}"] += value
    confidence = {"audio_confidence": answer["confidence"], "audio_entropy": answer["entropy"]}
    return {**heard, **confidence, "dominantEmotion": emotion_code(answer["prediction"])}


def short(name: str) -> str:
    """`ang`, `hap`, `neu`, `sad` for the published four, however they are spelt; other classes are themselves."""
    return next((short for short, names in FOUR.items() if name.strip().casefold() in names), name)


def by_polarity(probabilities: Mapping[str, float | None]) -> dict[str, float]:
    """As `polarity` has them, of one answer; a probability that is unknown counts as 0."""
    target = Target("text", "class", tuple(name.strip() for name in probabilities))
    values = np.array([[value or 0.0 for value in probabilities.values()]])
    return {name: float(share[0]) for name, share in polarity(TargetPrediction.of(target, values)).items()}
