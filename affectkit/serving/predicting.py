"""/v1/predict: rows for any model, many in one request: files, texts, tables of features."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from affectkit.errors import AffectkitError
from affectkit.serving import answers, decoding
from affectkit.serving.batching import Outcome
from affectkit.serving.failures import Refused, of_affectkit
from affectkit.serving.hearing import short_language, written_in
from affectkit.serving.metrics import Timings
from affectkit.serving.models import Answer, Served
from affectkit.serving.service import Service

Number = Annotated[float, Field(allow_inf_nan=False)]
Columns = dict[str, Annotated[str, Field(max_length=1000)]]


class PredictBody(BaseModel):
    """The JSON of /v1/predict. texts: for a model of texts. rows: features by name, null where missing. columns: text
    that a calibration or a route asks of every row."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    texts: list[str] | None = None
    rows: list[dict[str, Number | None]] | None = None
    language: Annotated[str | None, Field(max_length=35)] = None
    columns: Columns = Field(default_factory=dict)


class PredictFields(BaseModel):
    """The form of /v1/predict, beside its files; `text` once for each file, for a model that reads both."""

    model: str | None = None
    language: Annotated[str | None, Field(max_length=35)] = None
    columns: Columns = Field(default_factory=dict)
    text: list[str] = Field(default_factory=list)


async def predict_json(service: Service, body: PredictBody, timings: Timings) -> dict[str, Any]:
    served = service.model(body.model)
    if served.reads == {"features"}:
        rows = _feature_rows(service, served, body.rows or [])
    elif served.reads == {"text"}:
        rows = _text_rows(service, served, body.texts or [], body.language, body.columns)
    else:
        reads = " and ".join(sorted(served.reads))
        raise Refused(422, f"the model '{served.name}' reads {reads}: send a form with files", code="input")
    _require_some(service, rows)
    with service.batcher.capacity.permit("items", len(rows)):
        outcomes = await service.batcher.ask(served, rows, [1.0] * len(rows), timings)
    return _answered(served, outcomes, None, timings)


async def predict_files(
    service: Service, files: Sequence[Path], folder: Path, fields: PredictFields, timings: Timings
) -> dict[str, Any]:
    served = service.model(fields.model)
    if served.reads == {"features"}:
        raise Refused(422, f"the model '{served.name}' reads features: send JSON", code="input")
    _require_some(service, files or fields.text)
    with ExitStack() as permits:
        permits.enter_context(service.batcher.capacity.permit("items", len(files) or len(fields.text)))
        if served.reads == {"text"}:
            texts = [*fields.text, *await asyncio.gather(*(asyncio.to_thread(_text_of, path) for path in files))]
            rows = _text_rows(service, served, texts, fields.language, fields.columns)
            outcomes = await service.batcher.ask(served, rows, [1.0] * len(rows), timings)
            return _answered(served, outcomes, folder, timings)
        texts = _texts_beside(served, files, fields.text)
        decoded = await asyncio.gather(*(_decoded(service, served, path, folder) for path in files))
        timings.lap("decodeMs")
        costs = [item.whole.seconds if isinstance(item, decoding.Decoded) else 1.0 for item in decoded]
        if served.medium == "audio":
            permits.enter_context(service.batcher.capacity.permit("seconds", sum(costs)))
        rows, places = [], []
        for place, (item, text, cost) in enumerate(zip(decoded, texts, costs, strict=True)):
            if isinstance(item, Exception):
                continue
            language = written_in(text, short_language(fields.language))
            path = item.whole.path if isinstance(item, decoding.Decoded) else item
            rows.append(service.row(served, path, text=text, language=language, seconds=cost, columns=fields.columns))
            places.append(place)
        answered: Iterator[Outcome] = iter(())
        if rows:
            answered = iter(await service.batcher.ask(served, rows, [costs[place] for place in places], timings))
        merged: list[Any] = [item if isinstance(item, Exception) else next(answered) for item in decoded]
    return _answered(served, merged, folder, timings)


async def _decoded(service: Service, served: Served, path: Path, folder: Path) -> Any:
    """A `Decoded`, the path of an image, or why there is none: other files of the request are answered all the same."""
    try:
        if served.medium == "audio":
            return await service.decoder.run(decoding.decode_sound, str(path), str(folder), None, service.bounds)
        return await service.decoder.run(decoding.decode_image, str(path), str(folder), service.bounds)
    except AffectkitError as error:
        return error
    except Refused as refused:
        if refused.status >= 500:
            raise
        return refused


def _require_some(service: Service, rows: Sequence[Any]) -> None:
    if not rows:
        raise Refused(422, "the request has no file, no text and no row", code="validation")
    if len(rows) > service.settings.max_files:
        raise Refused(413, f"the request has {len(rows)} rows: the limit is {service.settings.max_files}")


def _texts_beside(served: Served, files: Sequence[Path], texts: Sequence[str]) -> list[str]:
    if "text" not in served.reads:
        return [""] * len(files)
    if len(texts) != len(files):
        message = f"the model '{served.name}' reads a text with each file: {len(files)} files, {len(texts)} texts"
        raise Refused(422, message, code="input")
    return list(texts)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise AffectkitError("input", "is no text in UTF-8", file=path) from None


def _text_rows(
    service: Service, served: Served, texts: Sequence[str], language: str | None, columns: Mapping[str, str]
) -> list[dict[str, Any]]:
    most = service.settings.max_characters
    for place, text in enumerate(texts):
        if len(text) > most:
            raise Refused(413, f"a text has more than {most:,} characters", details={"row": place})
    tags = [written_in(text, short_language(language)) for text in texts]
    return [
        service.row(served, "", text=text, language=tag, columns=columns) for text, tag in zip(texts, tags, strict=True)
    ]


def _feature_rows(service: Service, served: Served, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    named = []
    for place, row in enumerate(rows):
        missing = [name for name in served.table if name not in row]
        if missing:
            message = f"row {place} lacks {len(missing)} of the model's {len(served.table)} features"
            raise Refused(422, message, code="input", details={"row": place, "missing": missing[:20]})
        features = {name: math.nan if row[name] is None else row[name] for name in served.table}
        named.append({**service.row(served, ""), "features": features})
    return named


def _answered(
    served: Served, outcomes: Sequence[Outcome | Refused], folder: Path | None, timings: Timings
) -> dict[str, Any]:
    """A result for each row. Raises the first refusal where there is nothing else."""
    results: list[dict[str, Any]] = []
    refusals: list[Refused] = []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Answer):
            results.append({"index": place, **answers.of_row(served.targets, outcome.row)})
            continue
        refused = outcome if isinstance(outcome, Refused) else of_affectkit(outcome, folder)
        refusals.append(refused)
        error = {"code": refused.code, "message": refused.message, "details": refused.details}
        results.append({"index": place, "error": error})
    if len(refusals) == len(results):
        raise refusals[0]
    return {
        "model": served.name,
        "digest": served.digest,
        "calibrated": bool(served.calibration),
        "results": results,
        "timings": timings,
    }
