"""What the OpenAPI description says beyond the routes: bodies of forms, examples, errors."""

from __future__ import annotations

from collections import ChainMap
from typing import Any

from pydantic import BaseModel

from affectkit.web import CODES


class Problem(BaseModel):
    code: str
    message: str
    request_id: str
    details: dict[str, Any]


class ErrorBody(BaseModel):
    error: Problem


_MEANT = {
    400: "The body cannot be read", 401: "No valid token", 403: "Another site's page", 404: "No such model",
    408: "The body came too slowly", 413: "Too many bytes, seconds or rows", 415: "Another content type",
    421: "Another host", 422: "No answer; the message says why",
    429: "At capacity: try again after Retry-After seconds", 501: "The service was started without what this needs",
    503: "Ending, or replacing a part: try again", 504: "No answer in time", 507: "It could not be written",
}  # fmt: skip


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, all with the one body."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        error = {"code": CODES[status], "message": _MEANT[status], "request_id": "2f1c", "details": {}}
        content = {"application/json": {"example": {"error": error}}}
        answers[status] = {"model": ErrorBody, "description": _MEANT[status], "content": content}
    return answers


def example(answer: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The answer", "content": {"application/json": {"example": answer}}}}


def form(fields: type[BaseModel], file: str, *, many: bool = False, required: bool = True) -> dict[str, Any]:
    """A form of a file, or `many`, and the fields of a model."""
    schema = fields.model_json_schema()
    binary: dict[str, Any] = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary} if many else binary
    schema["properties"] = {file: files, **schema["properties"]}
    schema["required"] = [file] if required else []
    return {"multipart/form-data": {"schema": schema}}


def body(*contents: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": dict(ChainMap(*contents))}}


def of_json(shape: type[BaseModel], example: Any) -> dict[str, Any]:
    return {"application/json": {"schema": shape.model_json_schema(), "example": example}}


ANALYZED = {
    "overall": {"emotionCode": "HAPPY", "label": "happy", "confidence": 0.71, "entropy": 0.62, "abstain": False},
    "segments": [{"startMs": 0, "endMs": 2000, "emotionCode": "HAPPY", "confidence": 0.71}],
    "audioSummary": {"audio_prob_hap": 0.71, "audio_confidence": 0.71, "dominantEmotion": "HAPPY"},
    "textFeatures": {"text_negative": 0.0, "text_neutral": 1.0, "text_positive": 0.0, "text_negative_score": 0.0,
                     "text_length_norm": 0.0},
    "fusion": {"enabled": False, "ready": False},
    "meta": {"model": "linear", "modelDigest": "9c1e", "sampleRate": 16000, "durationMs": 2000, "warnings": []},
    "timings": {"decodeMs": 6.1, "queueMs": 4.4, "inferenceMs": 38.0, "totalMs": 50.2},
}  # fmt: skip
PREDICTED = {
    "model": "linear",
    "digest": "9c1e",
    "calibrated": False,
    "results": [
        {"index": 0, "answers": {"label": {"kind": "class", "prediction": "happy", "probabilities": {"happy": 0.71}}}},
        {"index": 1, "error": {"code": "input", "message": "not audio", "details": {"file": 1}}},
    ],
    "timings": {"decodeMs": 6.1},
}
CORRECTION = {"id": "clip-17", "annotator": "ann", "labels": {"label": "happy"}, "comment": "laughs"}
TRANSCRIBED = {
    "text": "hello",
    "language": "en",
    "segments": [{"startMs": 0, "endMs": 800, "text": "hello"}],
    "meta": {},
}
SENTIMENT = {"label": "negative", "negativeScore": 0.8, "scores": {"negative": 0.8, "neutral": 0.1, "positive": 0.1}}
