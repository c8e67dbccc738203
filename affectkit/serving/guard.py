"""Around every request: its id, its token, the limits on its bytes and its time, its line in the log."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.requests import ClientDisconnect

from affectkit.serving.service import Service
from affectkit.web import Refused

logger = logging.getLogger(__name__)

OPEN = ("/livez", "/readyz", "/", "/page.js", "/page.css")  # asked without a token: nothing of a model is in them
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Guard:
    """ASGI middleware. The service takes no request that it could not hold."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.service)
        self.service.in_flight += 1
        try:
            await self._answer(exchange, scope)
        finally:
            self.service.in_flight -= 1
            exchange.log(self.service)

    async def _answer(self, exchange: _Exchange, scope: Any) -> None:
        try:
            self._admit(exchange)
            await exchange.run(self.app)
        except Refused as refused:
            await exchange.refuse(refused)
        except ClientDisconnect:  # in the midst of its body: nobody is there to be told
            return
        except Exception:  # a bug: the client is told the id under which the log has it
            logger.exception("request %s failed", exchange.id)
            await exchange.refuse(Refused(500, "the service failed; its log says why, under this request's id"))

    def _admit(self, exchange: _Exchange) -> None:
        settings, path = self.service.settings, exchange.scope["path"]
        if settings.token and path not in OPEN:
            scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
            known = hmac.compare_digest(token.strip().encode(), settings.token.encode())
            if scheme.lower() != "bearer" or not known:
                raise Refused(401, "the request bears no valid token")
        if exchange.scope["method"] != "POST":
            return
        if self.service.draining:
            raise Refused(503, "the service is ending", code="draining", retry_after=1)
        if self.service.in_flight > settings.max_requests:
            self.service.metrics.refused.labels("requests").inc()
            raise Refused(429, "the service is at its capacity", retry_after=self.service.batcher.capacity.pace or 1)
        length = exchange.headers.get("content-length", "0")
        if not length.isdigit():
            raise Refused(400, "Content-Length is no number")
        if int(length) > settings.max_bytes:
            raise exchange.too_large()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Any, receive: Any, send: Any, service: Service) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.settings = service.settings
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        wanted = self.headers.get("x-request-id", "")
        self.id = wanted if _ID.fullmatch(wanted) else uuid.uuid4().hex
        self.began = time.perf_counter()
        self.received = 0
        self.received_at: float | None = None
        self.status = 0
        self._whole, self._gone = asyncio.Event(), asyncio.Event()
        scope.setdefault("state", {}).update(request_id=self.id, began=self.began)

    def too_large(self) -> Refused:
        return Refused(413, f"the body has more than {self.settings.max_bytes:,} bytes")

    async def run(self, app: Any) -> None:
        """The application, until it has answered, its time is up, or the client has gone."""
        work = asyncio.ensure_future(app(self.scope, self.receive, self.send))
        whole = asyncio.ensure_future(self._whole.wait())
        gone = asyncio.ensure_future(self._watch())
        try:
            while not work.done() and not gone.done():
                left = self._deadline() - time.perf_counter()
                if left <= 0:
                    raise self._late()
                awaited = {work, gone} if whole.done() else {work, whole}
                await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, whole, gone):
                task.cancel()
            await asyncio.gather(work, whole, gone, return_exceptions=True)
        if not work.cancelled():
            work.result()

    def _deadline(self) -> float:
        if self.received_at is None:
            return self.began + self.settings.receive_seconds
        return self.received_at + self.settings.request_seconds

    def _late(self) -> Refused:
        if self.received_at is None:
            return Refused(408, f"the body did not arrive within {self.settings.receive_seconds:g} s")
        return Refused(504, f"no answer within {self.settings.request_seconds:g} s", retry_after=1)

    async def _watch(self) -> None:
        """Ends when the client has gone; nothing else asks for messages once the body is there."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def receive(self) -> Any:
        if self.received_at is not None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if self.received > self.settings.max_bytes:
            raise self.too_large()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.received_at = time.perf_counter()
            self._whole.set()
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = {"x-request-id": self.id, "x-content-type-options": "nosniff"}
            if self.received_at is None and self.scope["method"] == "POST":
                extra["connection"] = "close"  # the rest of the body is not read
            message["headers"] = [*message.get("headers", []), *((k.encode(), v.encode()) for k, v in extra.items())]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        if self.status:  # the answer has begun
            return
        body = json.dumps(refused.body(self.id)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": body})

    def log(self, service: Service) -> None:
        route = getattr(self.scope.get("route"), "path", "other")
        seconds = time.perf_counter() - self.began
        service.metrics.requests.labels(route, self.status or 499).inc()
        service.metrics.latency.labels(route).observe(seconds)
        logger.info("%s %s %s %d %.0f ms", self.id, self.scope["method"], route, self.status or 499, seconds * 1000)
