"""What `serve` and `label` share: a socket, a log for hours, what a page may load, how a request is refused."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from affectkit.errors import AffectkitError
from affectkit.plain import printable

JSON = "application/json"


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises "usage" for an address that cannot be listened on."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0].lower()
        remedy = "name another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "name another --host"
        raise AffectkitError("usage", f"cannot listen on {host}:{port}: {why}", remedy=remedy) from None
    # asyncio sets it for sockets of its own making alone; without, each answer waits 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def log_to_stderr() -> None:
    """A line for a message, with its time, and tracebacks: for hours, not for one command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    library = logging.getLogger("affectkit")
    library.handlers, library.propagate = [handler], False
    library.setLevel(logging.INFO)


class _Lines(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def page_headers(*, media: str, images: str) -> dict[str, str]:
    """Of a page whose scripts and styles are files of its own, and that asks nobody else. media, images: from where."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"media-src {media}; img-src {images}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_foreign(request: Request) -> None:
    """A page of another site must not send anything in the name of who looks at it. Raises `Refused` 403 or 415."""
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Refused(403, "the request comes from another site's page")
    if content_type(request) != JSON:  # the one that no form of another site can have
        raise Refused(415, f"the body is no {JSON}")


# What a status means, where whoever refuses has no word of its own.
CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "request_timeout", 411: "length_required", 413: "too_large", 415: "unsupported_media_type", 421: "misdirected",
    422: "input", 429: "over_capacity", 500: "internal", 501: "not_configured", 503: "unavailable", 504: "timeout",
    507: "not_written",
}  # fmt: skip


class Refused(Exception):
    """A request that is not answered. details: for programs; retry_after: seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code or CODES.get(status, "error")
        self.details, self.retry_after = dict(details or {}), retry_after

    @property
    def headers(self) -> dict[str, str]:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        return headers

    def body(self, request_id: str = "") -> dict[str, Any]:
        named = {"request_id": request_id} if request_id else {}
        return {"error": {"code": self.code, "message": self.message, **named, "details": self.details}}


def refusal(refused: Refused, request_id: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(refused.body(request_id), refused.status, {**(headers or {}), **refused.headers})


def add_refusals(app: FastAPI) -> None:
    """One body for every status."""

    def answer(request: Request, refused: Refused, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return refusal(refused, request.scope.get("state", {}).get("request_id", ""), headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> JSONResponse:
        return answer(request, Refused(error.status_code, str(error.detail).lower()), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [{"field": ".".join(map(str, e["loc"])), "why": e["msg"]} for e in error.errors()]
        return answer(request, Refused(422, wrong[0]["why"], code="validation", details={"fields": wrong[:20]}))
