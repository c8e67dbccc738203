"""The application of `affectkit label`: a page, the rows to be asked, the answers, and the media of the queue alone."""

from __future__ import annotations

import logging
import re
import signal
import threading
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from socket import socket
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathPart
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool

from affectkit import __version__
from affectkit.artifacts.annotations import LONGEST_NAME, Annotation, in_utc, now, parse_annotation
from affectkit.artifacts.files import misfit
from affectkit.errors import AffectkitError
from affectkit.labeling import clips
from affectkit.labeling.desk import Desk, name_of
from affectkit.labeling.guard import Entrance, Guard, read_json
from affectkit.labeling.queue import LONGEST_TEXT, Question
from affectkit.web import Refused, add_refusals, page_headers

T = TypeVar("T")
InThread = Callable[..., Awaitable[Any]]

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript", ".css": "text/css"}
MEDIA_THREADS = 8
MOST_ITEMS = 50  # given at once
MOST_ANSWERS = 500
MOST_HELD = 1000  # rows that a tab has, shown or answered and not sent yet
_BODY = {"annotator": str, "tab": str, "answers": [dict], "study?": str}
_RANGE = re.compile(r"bytes=([0-9]{0,20})-([0-9]{0,20})")

Name = Annotated[str, Query(min_length=1, max_length=LONGEST_NAME)]
Number = Annotated[str, PathPart(pattern="^[0-9]{1,9}$")]


def create_app(desk: Desk, entrance: Entrance, *, annotator: str = "", shown: bool = False) -> Any:
    """annotator: the name that the page proposes. shown: whether it shows what the queue says of the answer."""
    app = FastAPI(title="affectkit label", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
                  redirect_slashes=False)  # fmt: skip
    # A disk that does not answer, or a long recording, keeps no answer from being written: media have threads apart.
    in_thread: InThread = partial(to_thread.run_sync, limiter=CapacityLimiter(MEDIA_THREADS))
    add_refusals(app)
    _add_page(app, desk, annotator, shown)
    _add_items(app, desk, shown, in_thread)
    _add_media(app, desk, in_thread)
    app.add_middleware(Guard, entrance=entrance)
    return app


# --- The page


def _add_page(app: FastAPI, desk: Desk, annotator: str, shown: bool) -> None:
    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    queue = desk.queue.manifest.path.name
    controls = [control(question) for question in desk.questions]
    setup = {"study": desk.study, "queue": queue, "annotator": annotator, "raters": desk.raters, "shown": shown}
    context = {"setup": {**setup, "controls": controls}, "controls": controls}
    headers = {**page_headers(media="'self' blob:", images="'self' blob: data:"), "Cache-Control": "no-store"}

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(environment.get_template("label.html").render(context), headers=headers)

    def add_file(file: Path) -> None:
        @app.get(f"/{file.name}")
        def of_page() -> FileResponse:
            kind = f"{TYPES[file.suffix]}; charset=utf-8"
            return FileResponse(file, media_type=kind, headers={"Cache-Control": "no-cache"})

    for file in sorted(PAGE.iterdir()):
        if file.suffix in TYPES:
            add_file(file)

    @app.get("/livez")
    def livez() -> Any:
        return {"status": "ok"}


def control(question: Question) -> dict[str, Any]:
    """How a target is answered, for the page: one of `choices`, whole points, or a number from `low` to `high`."""
    target = question.target
    kind = "class" if target.classes else "points" if question.whole else "scale"
    low, high, step = (int(n) if n == int(n) else n for n in (*(target.scale or (0, 0)), question.step))
    return {"name": target.name, "kind": kind, "choices": target.classes, "low": low, "high": high, "step": step}


# --- Rows and answers


def _add_items(app: FastAPI, desk: Desk, shown: bool, in_thread: InThread) -> None:
    def check_study(study: str) -> None:
        if study not in ("", desk.study):
            raise Refused(409, "this page is of another queue, or of other targets; load it again", code="other_study")

    @app.get("/api/next")
    async def next_items(annotator: Name, tab: Name, count: Annotated[int, Query(ge=0, le=MOST_ITEMS)] = 3,
                   holding: str = "", study: str = "") -> Any:  # fmt: skip
        check_study(study)
        name = _name(annotator)
        rows = await run_in_threadpool(desk.next, name, tab, count, _rows(holding, len(desk.queue)))
        items = [await in_thread(item, desk, row, shown) for row in rows]
        return {"items": items, "progress": await run_in_threadpool(desk.progress, name)}

    @app.get("/api/progress")
    def progress(annotator: Name, study: str = "") -> Any:
        check_study(study)
        return desk.progress(_name(annotator))

    @app.post("/api/answers")
    async def answers(request: Request) -> Any:
        body = await read_json(request)
        if problem := misfit(body, _BODY, "the body"):
            raise Refused(422, problem)
        check_study(body.get("study", ""))
        if len(body["answers"]) > MOST_ANSWERS:
            raise Refused(413, f"these are more than {MOST_ANSWERS} answers; send some of them first")
        who, tab = _name(body["annotator"]), body["tab"][:LONGEST_NAME]
        return await run_in_threadpool(_take, desk, who, tab, body["answers"])


def _take(desk: Desk, annotator: str, tab: str, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Raises `Refused` where the disk takes no more; what was written before stays written, and is known by its key."""
    written: list[str] = []
    refused: list[dict[str, Any]] = []
    for data in answers:
        try:
            desk.take(_annotation(data, annotator, desk), tab)
        except ValueError as error:
            refused.append({"key": data.get("key"), "why": str(error)})
        except OSError as error:
            logger.error("%s: an answer cannot be written: %s", desk.journal.path, error.strerror)
            raise Refused(507, f"the answer cannot be written: {str(error.strerror).lower()}") from None
        else:
            written.append(data["key"])
    return {"written": written, "refused": refused, "progress": desk.progress(annotator)}


def _annotation(data: dict[str, Any], annotator: str, desk: Desk) -> Annotation:
    known = {name: data[name] for name in ("key", "id", "labels", "comment", "seconds", "undo") if name in data}
    return parse_annotation({**known, "at": _instant(data.get("at")), "annotator": annotator}, desk.targets)


def _instant(text: Any) -> str:
    """When a browser says that an answer was given, in UTC; now, where it says nothing that can be read."""
    try:
        return in_utc(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError):
        return now()


def _name(text: str) -> str:
    try:
        return name_of(text)
    except ValueError as error:
        raise Refused(422, str(error)) from None


def _rows(text: str, most: int) -> list[int]:
    """`3,4` -> [2, 3], of those that there are."""
    numbers = [int(part) for part in text.split(",")[:MOST_HELD] if re.fullmatch("[0-9]{1,9}", part)]
    return [number - 1 for number in dict.fromkeys(numbers) if 1 <= number <= most]


def item(desk: Desk, row: int, shown: bool) -> dict[str, Any]:
    """A row, from 0, as the page shows it."""
    queue, text = desk.queue, desk.queue.text(row)
    media = [found for place in range(len(queue.columns)) if (found := _medium(desk, row, place, shown))]
    problem = "" if media or text.strip() else "there is nothing to be seen or heard: the row has neither path nor text"
    if len(text) > LONGEST_TEXT:
        problem = f"of the text the first {LONGEST_TEXT:,} of {len(text):,} characters are shown"
    return {
        "row": row + 1, "id": queue.ids[row], "text": text[:LONGEST_TEXT] or None, "media": media,
        "shown": queue.cells(row) if shown else [], "problem": problem,
    }  # fmt: skip


def _medium(desk: Desk, row: int, place: int, shown: bool) -> dict[str, Any] | None:
    """None for an empty cell. A file's name often tells the answer, and is told with it alone. Whatever a file does to
    us, its row can be answered or skipped, and the next one is asked."""
    address, path = f"{row + 1}/{place}", None
    try:
        path = desk.queue.medium(row, place)
        if path is None:
            return None
        clip = clips.look(path, *desk.queue.segment(row))
    except OSError as error:
        clip = clips.Clip("audio", problem=f"cannot be read: {str(error.strerror).lower()}")
    except Exception:  # a bug in one reader keeps no other row from being asked
        logger.exception("/media/%s failed", address)
        clip = clips.Clip("audio", problem="the server failed at this file; its log says why")
    return {
        "kind": clip.kind, "url": f"/media/{address}", "peaks": f"/peaks/{address}" if clip.waveform else None,
        "name": path.name if path and shown else "", "start": clip.start, "end": clip.end, "problem": clip.problem,
    }  # fmt: skip


# --- Media: by the number of their row and of their column; no path comes from outside


def _add_media(app: FastAPI, desk: Desk, in_thread: InThread) -> None:
    async def of_file(work: Callable[..., T], number: str, column: str) -> T:
        try:
            row, place = int(number) - 1, int(column)
            path = await in_thread(desk.queue.medium, row, place)
            if path is None:
                raise Refused(404, "the queue has no such file")
            return await in_thread(work, path, *desk.queue.segment(row))
        except AffectkitError as error:
            raise Refused(404 if error.code == "missing" else 422, error.message) from None
        except OSError as error:
            raise Refused(422, f"cannot be read: {str(error.strerror).lower()}") from None

    @app.api_route("/media/{row}/{place}", methods=["GET", "HEAD"])
    async def media(request: Request, row: Number, place: Number) -> Response:
        return sent(request, await of_file(clips.open_clip, row, place), in_thread)

    @app.get("/peaks/{row}/{place}")
    async def peaks(row: Number, place: Number) -> Any:
        return await of_file(clips.peaks, row, place)


def sent(request: Request, content: clips.Bytes, in_thread: InThread) -> Response:
    """All of it, or the one range that is asked for (RFC 9110, section 14)."""
    headers = {"Accept-Ranges": "bytes", "Content-Disposition": "inline"}
    first, last, status = 0, content.size, 200
    if bounds := _range(request.headers.get("range", ""), content.size):
        first, last, status = *bounds, 206
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{content.size}"
        if first >= last:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{content.size}"})
    headers["Content-Length"] = str(last - first)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.type)

    async def blocks() -> AsyncIterator[bytes]:
        parts = content.read(first, last)
        while block := await in_thread(next, parts, b""):
            yield block

    return StreamingResponse(blocks(), status, headers, content.type)


def _range(text: str, size: int) -> tuple[int, int] | None:
    """The first byte that is asked for, and the one behind the last; None where no range is, or none that can be."""
    asked = _RANGE.fullmatch(text.strip())
    begin, end = asked.groups() if asked else ("", "")
    if not begin and not end:
        return None
    if not begin:
        return max(0, size - int(end)), size
    if end and int(end) < int(begin):
        return None
    return int(begin), min(int(end) + 1, size) if end else size


# --- The server


def run_until_signal(app: Any, listening: socket, *, page: str = "") -> None:
    """Answer requests until SIGINT or SIGTERM. page: to be opened in the browser."""
    import uvicorn

    config = uvicorn.Config(app, access_log=False, log_level="warning", http="h11", timeout_graceful_shutdown=2)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn hands on what ended it
    if page:
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()  # some browsers stay
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
