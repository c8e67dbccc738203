"""Who may ask: before every request its Host, its token, its origin; and the size of a body."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse

from affectkit.errors import AffectkitError
from affectkit.plain import parse_json
from affectkit.web import Refused, page_headers, refusal, refuse_foreign

logger = logging.getLogger(__name__)

MOST_BYTES = 256_000  # of a body
BODY_SEC = 30.0  # for a body to come
HEADERS = {
    "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}  # fmt: skip


@dataclass(frozen=True)
class Entrance:
    """Where the server listens, and what it takes to come in. token: "" where none is in force."""

    host: str
    port: int
    token: str = ""

    @property
    def cookie(self) -> str:
        return f"affectkit-label-{self.port}"  # cookies know no port

    @property
    def address(self) -> str:
        """Of the page, for who opens it; with the token."""
        everywhere = self.host in ("0.0.0.0", "::")
        host = _outward() if everywhere else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this server."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        names = {named.lower(), "localhost", "127.0.0.1", "[::1]"}
        return host.lower() in {f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set())

    def admits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


def entrance_of(host: str, port: int, token: str = "") -> Entrance:
    """A token is made where others than this machine can reach it. Raises "usage" for one that is easy to guess."""
    if token and not re.fullmatch(r"[\w.~-]{16,}", token, re.ASCII):
        remedy = "set 16 or more letters and digits, or none, and one is made"
        raise AffectkitError("usage", "AFFECTKIT_LABEL_TOKEN is too short, or holds odd characters", remedy=remedy)
    return Entrance(host, port, token or ("" if _is_loopback(host) else secrets.token_urlsafe(24)))


def _outward() -> str:
    """This machine's address on the network that leads outwards, else its name; nothing is sent to learn it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that nobody has
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware."""

    def __init__(self, app: Any, entrance: Entrance) -> None:
        self.app, self.entrance = app, entrance

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_guarded(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                there = {name.lower() for name, _ in message.get("headers", [])}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        request = Request(scope, receive)
        try:
            answer = self._entered(request)
            await (answer or self.app)(scope, receive, send_guarded)
        except Refused as refused:
            logger.warning("%s %s was refused: %s", scope["method"], scope["path"][:200], refused.message)
            await refusal(refused)(scope, receive, send_guarded)
        except ClientDisconnect:
            return
        except Exception as error:  # a bug: the log has it, and the client no traceback
            if isinstance(error, AffectkitError):  # a file that turns out broken when its first bytes have been sent
                logger.warning("%s: %s", scope["path"], error.message)
            else:
                logger.exception("%s %s failed", scope["method"], scope["path"][:200])
            if not begun:
                await refusal(Refused(500, "the server failed; its log says why"))(scope, receive, send_guarded)

    def _entered(self, request: Request) -> HTMLResponse | None:
        """The answer to a request that brings its token in the address; None to one that may go on."""
        entrance, headers, path = self.entrance, request.headers, request.scope["path"]
        host = headers.get("host", "")
        if not entrance.token and not entrance.is_own(host):
            raise Refused(421, "this address is not the one that affectkit label printed", code="foreign_host")
        if path == "/livez":
            return None
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and path != "/":
            raise Refused(403, "another site may not ask this", code="foreign_origin")
        if entrance.token:
            if path == "/" and "token" in (query := parse_qs(request.scope["query_string"].decode("latin-1"))):
                return self._let_in(query["token"][0])
            if not any(entrance.admits(token) for token in _tokens(request, entrance.cookie)):
                raise Refused(401, "open the whole address that affectkit label printed, with its token")
        return None

    def _let_in(self, token: str) -> HTMLResponse:
        """Keeps the token in a cookie. The page goes on by itself: after a redirect from another site's link a browser
        would not send a strict cookie."""
        if not self.entrance.admits(token):
            raise Refused(401, "this is not the token that affectkit label printed")
        text = (
            '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>affectkit</title><a href="/">Go on</a>'
        )
        response = HTMLResponse(text, headers=page_headers(media="'none'", images="'none'"))
        response.set_cookie(self.entrance.cookie, token, httponly=True, samesite="strict", path="/")
        return response


def _tokens(request: Request, cookie: str) -> list[str]:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    tokens = [bearer.strip()] if scheme.lower() == "bearer" else []
    return [*tokens, request.cookies.get(cookie, "")]


async def read_json(request: Request) -> Any:
    """The JSON of a body. Raises `Refused` for one of another site or type, that is too long, too slow, or no JSON."""
    refuse_foreign(request)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SEC):
            async for block in request.stream():
                body += block
                if len(body) > MOST_BYTES:
                    raise Refused(413, f"the body has more than {MOST_BYTES:,} bytes")
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {BODY_SEC:g} s") from None
    try:
        return parse_json(body.decode())
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
