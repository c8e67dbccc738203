"""/v1/predict: rows for any model, many in one request: files, texts, tables of features."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from affectkit.errors import AffectkitError
from affectkit.media.texts import written_in
from affectkit.serving import answers, decoding
from affectkit.serving.batching import Outcome
from affectkit.serving.failures import of_affectkit
from affectkit.serving.metrics import Timings
from affectkit.serving.models import Answer, Served
from affectkit.serving.service import Columns, Language, Service
from affectkit.web import Refused

Number = Annotated[float, Field(allow_inf_nan=False)]


class Common(BaseModel):
    """columns: text that a calibration or a route asks of every row."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    language: Language | None = None
    columns: Columns = Field(default_factory=dict)


class PredictBody(Common):
    """The JSON of /v1/predict. texts: for a model of texts. rows: features by name, null where missing; text for
    categories, dates and texts of a table."""

    texts: list[str] = Field(default_factory=list)
    rows: list[dict[str, Number | str | None]] = Field(default_factory=list)


class PredictFields(Common):
    """The form of /v1/predict, beside its files; `text` once for each file, for a model that reads both."""

    text: list[str] = Field(default_factory=list)


async def predict_json(service: Service, body: PredictBody, timings: Timings) -> dict[str, Any]:
    served = service.model(body.model)
    service.check_columns(served, body.columns)
    if served.medium:
        reads = " and ".join(sorted(served.reads))
        raise Refused(422, f"the model '{served.name}' reads {reads}: send a form with files", code="input")
    unread = body.rows if served.reads == {"text"} else body.texts
    if unread:
        raise Refused(422, f"the model '{served.name}' reads {', '.join(served.reads)} alone", code="input")
    _check_count(service, body.texts or body.rows)
    rows = _text_rows(service, served, body.texts, body) + _feature_rows(service, served, body.rows, body)
    with service.batcher.capacity.permit("items", len(rows)):
        outcomes = await service.batcher.ask(served, rows, [1.0] * len(rows), timings)
    return _answered(served, outcomes, None)


async def predict_files(
    service: Service, files: Sequence[Path], folder: Path, fields: PredictFields, timings: Timings
) -> dict[str, Any]:
    served = service.model(fields.model)
    service.check_columns(served, fields.columns)
    if served.reads == {"features"}:
        raise Refused(422, f"the model '{served.name}' reads features: send JSON", code="input")
    if served.medium and len(fields.text) != len(files) * ("text" in served.reads):
        what = "reads a text with each file" if "text" in served.reads else "reads no texts"
        message = f"the model '{served.name}' {what}: {len(files)} files, {len(fields.text)} texts"
        raise Refused(422, message, code="input")
    count = _check_count(service, files if served.medium else [*fields.text, *files])
    with ExitStack() as permits:
        permits.enter_context(service.batcher.capacity.permit("items", count))
        if served.medium:
            outcomes: Sequence[Outcome | Refused] = await _of_media(
                service, served, files, folder, fields, timings, permits
            )
        else:
            texts = [*fields.text, *await asyncio.gather(*(asyncio.to_thread(_text_of, path) for path in files))]
            rows = _text_rows(service, served, texts, fields)
            outcomes = await service.batcher.ask(served, rows, [1.0] * len(rows), timings)
    return _answered(served, outcomes, folder)


async def _of_media(
    service: Service,
    served: Served,
    files: Sequence[Path],
    folder: Path,
    fields: PredictFields,
    timings: Timings,
    permits: ExitStack,
) -> list[Outcome | Refused]:
    """Files that cannot be decoded have their refusal in their place: the others are answered all the same."""
    decoded = await asyncio.gather(*(_decoded(service, served, path, folder) for path in files))
    timings.lap("decodeMs")
    places = [place for place, item in enumerate(decoded) if not isinstance(item, Exception)]
    costs = [decoded[place].seconds for place in places]
    if served.medium == "audio":
        permits.enter_context(service.batcher.capacity.permit("seconds", sum(costs)))
    rows = []
    for place, cost in zip(places, costs, strict=True):
        text = fields.text[place] if fields.text else ""
        service.check_text(text, place)
        how: dict[str, Any] = {"language": written_in(text, fields.language or ""), "columns": fields.columns}
        rows.append(service.row(served, decoded[place].path, text=text, seconds=cost, **how))
    outcomes = await service.batcher.ask(served, rows, costs, timings)
    for place, outcome in zip(places, outcomes, strict=True):
        decoded[place] = outcome
    return decoded


async def _decoded(service: Service, served: Served, path: Path, folder: Path) -> Any:
    """A stretch, or why there is none."""
    where = str(path), str(folder)
    try:
        if served.medium == "images":
            return await service.decoder.run(decoding.decode_image, *where, service.bounds)
        return (await service.decoder.run(decoding.decode_sound, *where, None, service.bounds)).whole
    except AffectkitError as error:
        return error
    except Refused as refused:
        if refused.status >= 500:
            raise
        return refused


def _check_count(service: Service, rows: Sequence[Any]) -> int:
    if not rows:
        raise Refused(422, "the request has no file, no text and no row", code="validation")
    if len(rows) > service.settings.max_files:
        raise Refused(413, f"the request has {len(rows)} rows: the limit is {service.settings.max_files}")
    return len(rows)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise AffectkitError("input", "is no text in UTF-8", file=path) from None


def _text_rows(service: Service, served: Served, texts: Sequence[str], said: Common) -> list[dict[str, Any]]:
    for place, text in enumerate(texts):
        service.check_text(text, place)
    tags = [written_in(text, said.language or "") for text in texts]
    return [
        service.row(served, "", text=text, language=tag, columns=said.columns)
        for text, tag in zip(texts, tags, strict=True)
    ]


def _feature_rows(
    service: Service, served: Served, rows: Sequence[Mapping[str, Any]], said: Common
) -> list[dict[str, Any]]:
    named = []
    for place, row in enumerate(rows):
        missing = [name for name in served.table if name not in row]
        if missing:
            message = f"row {place} lacks {len(missing)} of the model's {len(served.table)} features"
            raise Refused(422, message, code="input", details={"row": place, "missing": missing[:20]})
        for cell in row.values():
            if isinstance(cell, str):
                service.check_text(cell, place)
        features = {name: math.nan if row[name] is None else row[name] for name in served.table}
        own = service.row(served, "", language=said.language or "", columns=said.columns)
        named.append({**own, "features": features})
    return named


def _answered(served: Served, outcomes: Sequence[Outcome | Refused], folder: Path | None) -> dict[str, Any]:
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
    }
