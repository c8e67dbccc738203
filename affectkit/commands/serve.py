"""`affectkit serve`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from affectkit.console import Outcome
from affectkit.errors import AffectkitError

FoldersArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL_DIR...",
        help="Models: run folders, or their best_model; NAME=MODEL_DIR names one. The first is the default. Without "
        "any, those of the environment.",
    ),
]
HostOpt = Annotated[str, typer.Option("--host", help="Address to listen on.")]
PortOpt = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")]
WorkersOpt = Annotated[
    int, typer.Option("--workers", min=1, help="Number of server processes, each with its own models and queue.")
]
TranscriberOpt = Annotated[
    str | None, typer.Option("--transcriber", help="Recognizer for recordings without a text, such as hf.")
]
TranscriberModelOpt = Annotated[
    str | None, typer.Option("--transcriber-model", help="Model of the recognizer: a folder or an id.")
]
FeedbackOpt = Annotated[
    Path | None,
    typer.Option(
        "--feedback",
        help="labels.jsonl to which POST /v1/feedback writes what answers should have been; prepare-manifest labels "
        "reads it.",
    ),
]
DeviceOpt = Annotated[
    str | None, typer.Option("--device", help="Device to compute on: auto, cpu, cuda, cuda:1, mps (default: auto).")
]


def serve(
    folders: FoldersArg = None,
    host: HostOpt = "127.0.0.1",
    port: PortOpt = 8001,
    workers: WorkersOpt = 1,
    transcriber: TranscriberOpt = None,
    transcriber_model: TranscriberModelOpt = None,
    feedback: FeedbackOpt = None,
    device: DeviceOpt = None,
) -> Outcome:
    """Answer requests over HTTP with models: recordings, images, texts, tables, and whole chains.

    POST /v1/predict answers for any model, POST /ser/analyze for a recording and its segments; GET / is a page to try
    it, /openapi.json describes all. Limits and the token are set by variables, AFFECTKIT_SERVE_TOKEN and so on: see
    affectkit/serving/README.md. SIGTERM lets it answer what it has taken, and end.

    Example: affectkit serve runs/linear --port 8001
    """
    try:  # all that the rooms below import, and what these need, before any of it is used
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        remedy = "pip install 'affectkit[serve]'"
        raise AffectkitError("environment", f"serving needs {error.name}", remedy=remedy) from None
    from affectkit.serving.app import create_app
    from affectkit.serving.service import Service
    from affectkit.serving.settings import settings_of
    from affectkit.web import listen, log_to_stderr

    listen(host, port).close()  # refused before models are loaded
    log_to_stderr()
    known: dict[str, Any] = {"transcriber": transcriber, "transcriber_model": transcriber_model, "device": device}
    known["feedback"] = feedback
    settings = settings_of(folders or (), **known)
    if workers > 1 and settings.feedback:
        raise AffectkitError("usage", "--feedback is written by one process", remedy="leave --workers out")
    service = Service.load(settings)  # refused here, by name, before anything listens
    how: dict[str, Any] = {"host": host, "port": port, "access_log": False}
    how["http"] = "h11"  # takes 64 kB of headers at most, where httptools has no limit
    how |= {"timeout_keep_alive": 75, "timeout_graceful_shutdown": 5}
    if workers > 1:
        settings.to_environment(folders or ())
        uvicorn.run("affectkit.serving.app:app", workers=workers, **how)
        return Outcome()
    uvicorn.Server(uvicorn.Config(create_app(service), **how)).run()
    if service.failed:
        raise AffectkitError("environment", "inference has ended", remedy="start it again; the log says why")
    return Outcome()
