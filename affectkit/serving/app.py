"""The application: `affectkit serve`, or `uvicorn affectkit.serving.app:app` with what the environment says."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from affectkit import __version__, console
from affectkit.errors import AffectkitError
from affectkit.serving import decoding, uploads
from affectkit.serving import documentation as doc
from affectkit.serving.analysis import AnalyzeFields, analyze
from affectkit.serving.failures import of_affectkit
from affectkit.serving.feedback import Correction
from affectkit.serving.guard import Guard
from affectkit.serving.metrics import Timings
from affectkit.serving.predicting import PredictBody, PredictFields, predict_files, predict_json
from affectkit.serving.sentences import Recording, Sentence, sentiment, transcribe
from affectkit.serving.service import Service, end_on_signals
from affectkit.serving.settings import settings_of
from affectkit.web import JSON, Refused, add_refusals, content_type, log_to_stderr, page_headers, refusal

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
REFUSALS = (400, 401, 404, 408, 413, 415, 422, 429, 503, 504)


def __getattr__(name: str) -> Any:
    if name == "app":  # made when a server asks for it, from what the environment says
        log_to_stderr()
        try:
            app = create_app(Service.load(settings_of()))
        except AffectkitError as error:
            console.error(str(error))
            sys.exit(1)
        decoding.end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))  # one of several workers
        return app
    raise AttributeError(name)


def create_app(service: Service) -> Any:
    """The ASGI application of a service whose models are loaded."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        end_on_signals(service)
        yield
        await service.stop()

    app = FastAPI(
        title="affectkit",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    add_refusals(app)

    @app.exception_handler(AffectkitError)
    async def of_library(request: Request, error: AffectkitError) -> JSONResponse:
        state = request.scope["state"]
        return refusal(of_affectkit(error, state.get("folder")), state["request_id"])

    _add_states(app, service)
    _add_models(app, service)
    _add_published(app, service)
    _add_page(app)
    app.add_middleware(Guard, service=service)
    return app


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/livez", tags=["state"], summary="Whether the process works")
    async def livez() -> Any:
        if service.failed or (service.started and not service.batcher.alive):
            raise Refused(503, "inference has ended", code="dead")
        return {"status": "ok"}

    @app.get("/readyz", tags=["state"], summary="Whether it takes work", responses=doc.errors(503))
    async def readyz() -> Any:
        if problems := service.problems():
            raise Refused(503, ", ".join(problems), code="not_ready", retry_after=1)
        return {"status": "ok"}

    @app.get("/health", tags=["state"], summary="What is served, and how it is")
    async def health() -> Any:
        settings, problems = service.settings, service.problems()
        return {
            "status": "ok" if not problems else "degraded",
            "problems": problems,
            "serEngine": settings.engine,
            "serModel": service.default.name,
            "serModelReady": not problems,
            "asrModel": settings.transcriber_model or None,
            "asrModelReady": service.hearing.configured,
            "textModelReady": service.of_texts("") is not None,
            "fusionEnabled": settings.fusion_enabled,
            "feedbackReady": service.feedback.configured,
            "models": list(service.models),
            "limits": {name: value for name, value in settings if name.startswith(("max_", "queue_", "batch_"))},
            "version": __version__,
        }

    @app.get("/warmup", tags=["state"], summary="Run every model once", responses=doc.errors(503))
    async def warmup() -> Any:
        with service.batcher.capacity.permit("items", 1):
            problems = await service.warm_up()
        return {"status": "degraded" if problems else "ok", "models": list(service.models), "problems": problems}

    @app.get("/metrics", tags=["state"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", tags=["models"], summary="The models that are served; the first is the default")
    async def models() -> Any:
        described = [served.described() for served in service.models.values()]
        return {"default": service.default.name, "models": described}

    texts = doc.of_json(PredictBody, {"texts": ["what a lovely day"]})
    files = doc.form(PredictFields, "files", many=True, required=False)
    answers = {**doc.example(doc.PREDICTED), **doc.errors(*REFUSALS)}

    @app.post("/v1/predict", tags=["models"], summary="Files, texts or rows, for any model",
              openapi_extra=doc.body(files, texts), responses=answers)  # fmt: skip
    async def predict(request: Request) -> Any:
        timings = Timings()
        if content_type(request) == JSON:
            answer = await predict_json(service, await uploads.read_json(request, PredictBody), timings)
            return _timed(request, answer, timings)
        with service.place() as folder:
            form = await _form(service, request, folder, timings)
            fields = form.checked(PredictFields, many=("text",))
            return _timed(request, await predict_files(service, form.files, folder, fields, timings), timings)

    correction = doc.of_json(Correction, doc.CORRECTION)
    written = {**doc.example({"key": "1f2e", "new": True}), **doc.errors(*REFUSALS, 403, 421, 501, 507)}

    @app.post("/v1/feedback", tags=["models"], summary="What an answer should have been",
              openapi_extra=doc.body(correction), include_in_schema=service.feedback.configured,
              responses=written)  # fmt: skip
    async def feedback(request: Request) -> Any:
        return {**await service.feedback.take(request), "request_id": request.scope["state"]["request_id"]}


def _add_published(app: FastAPI, service: Service) -> None:
    analyzed = {**doc.example(doc.ANALYZED), **doc.errors(*REFUSALS)}

    @app.post("/ser/analyze", tags=["published"], summary="The emotion of a recording and of its segments",
              openapi_extra=doc.body(doc.form(AnalyzeFields, "file")), responses=analyzed)  # fmt: skip
    async def ser_analyze(request: Request) -> Any:
        timings = Timings()
        with service.place() as folder:
            form = await _form(service, request, folder, timings)
            fields = form.checked(AnalyzeFields)
            with service.batcher.capacity.permit("items", 1):
                return _timed(request, await analyze(service, form.file, folder, fields, timings), timings)

    @app.post("/asr/transcribe", tags=["published"], summary="What is said in a recording",
              openapi_extra=doc.body(doc.form(Recording, "file")), include_in_schema=service.hearing.configured,
              responses={**doc.example(doc.TRANSCRIBED), **doc.errors(*REFUSALS, 501)})  # fmt: skip
    async def asr_transcribe(request: Request) -> Any:
        service.hearing.require()
        timings = Timings()
        with service.place() as folder:
            form = await _form(service, request, folder, timings)
            hint = form.checked(Recording).language_hint
            with service.batcher.capacity.permit("items", 1):
                return _timed(request, await transcribe(service, form.file, folder, hint, timings), timings)

    said = doc.of_json(Sentence, {"text": "I am so sad", "language": "en"})

    @app.post("/text/sentiment", tags=["published"], summary="What a text says", openapi_extra=doc.body(said),
              include_in_schema=service.of_texts("") is not None,
              responses={**doc.example(doc.SENTIMENT), **doc.errors(*REFUSALS, 501)})  # fmt: skip
    async def text_sentiment(request: Request) -> Any:
        timings = Timings()
        sentence = await uploads.read_json(request, Sentence)
        with service.batcher.capacity.permit("items", 1):
            return _timed(request, await sentiment(service, sentence, timings), timings)


def _add_page(app: FastAPI) -> None:
    """A page to try it with. Nothing of it comes from elsewhere, and it may ask nobody else."""
    kinds = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
    headers = {**page_headers(media="blob:", images="data:"), "Cache-Control": "no-cache"}

    async def page(request: Request) -> FileResponse:
        name = request.url.path[1:] or "index.html"
        return FileResponse(PAGE / name, media_type=f"{kinds[name]}; charset=utf-8", headers=headers)

    for route in ("/", "/page.js", "/page.css"):
        app.get(route, include_in_schema=False)(page)


async def _form(service: Service, request: Request, folder: Path, timings: Timings) -> uploads.UploadForm:
    settings, state = service.settings, request.scope["state"]
    state["folder"] = folder
    form = await uploads.read_form(request, folder, settings.max_files, settings.max_characters)
    if settings.log_details:
        logger.info("%s files: %s", state["request_id"], ", ".join(form.names))
    timings.lap("receiveMs")
    return form


def _timed(request: Request, answer: dict[str, Any], timings: Timings) -> JSONResponse:
    state = request.scope["state"]
    timings["totalMs"] = round((time.perf_counter() - state["began"]) * 1000, 3)
    return JSONResponse({**answer, "timings": timings, "request_id": state["request_id"]})
