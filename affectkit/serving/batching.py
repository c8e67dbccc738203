"""Batches of rows of many requests: a bounded queue, and one thread that computes.

A permit is taken for every file or text before it is decoded, and for its seconds before it waits; what is beyond the
limits is refused at once. A batch is the row that waits longest and those of the same model whose cost is nearest to
its own, as many as the budget of padded seconds holds. Rows of a request that has gone are left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from affectkit.artifacts.predictions import prediction_column
from affectkit.errors import AffectkitError
from affectkit.serving.metrics import Metrics
from affectkit.serving.models import Answer, Served, answer
from affectkit.serving.settings import ServeSettings
from affectkit.web import Refused

logger = logging.getLogger(__name__)

_STUCK = 60.0  # s, beside twice the limit of a request: a batch that takes longer will not end

Outcome = Answer | AffectkitError


@dataclass(eq=False)
class _Waiting:
    served: Served
    row: Mapping[str, Any]
    cost: float
    since: float
    timings: dict[str, float]
    done: asyncio.Future[Outcome]


class Capacity:
    """Rows, and seconds of audio, that may wait or be worked on at once."""

    def __init__(self, items: int, seconds: float, metrics: Metrics) -> None:
        self.most = {"items": float(items), "seconds": seconds}
        self.taken = {"items": 0.0, "seconds": 0.0}
        self.metrics = metrics
        self.pace = 0.0  # seconds of computing a second of admitted work took lately, for Retry-After

    @contextmanager
    def permit(self, kind: str, amount: float) -> Iterator[None]:
        """Raises `Refused`: 429 where it is full, 413 for more than it ever holds."""
        if amount > self.most[kind]:
            raise Refused(413, f"the request has {amount:g} {kind}: the limit is {self.most[kind]:g}")
        if self.taken[kind] + amount > self.most[kind]:
            self.metrics.refused.labels(kind).inc()
            raise Refused(429, "the service is at its capacity", retry_after=self.pace or 1)
        self.taken[kind] += amount
        try:
            yield
        finally:
            self.taken[kind] -= amount


class Batcher:
    """The queue and the thread behind it. alive: False when it has ended, by whatever."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.capacity = Capacity(settings.queue_items, settings.queue_seconds, metrics)
        self.compute: Callable[..., list[Outcome]] = answer
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._loop: asyncio.Task[None] | None = None
        self._busy_since: float | None = None

    @property
    def alive(self) -> bool:
        """Whether it works, and no batch has held it up for longer than any request would wait."""
        busy = time.perf_counter() - self._busy_since if self._busy_since is not None else 0.0
        stuck = busy > _STUCK + 2 * self.settings.request_seconds
        return self._loop is not None and not self._loop.done() and not stuck

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run())
        self._loop.add_done_callback(_log_end)

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def ask(
        self, served: Served, rows: Sequence[Mapping[str, Any]], costs: Sequence[float], timings: dict[str, float]
    ) -> list[Outcome]:
        """The outcome of each row, in order. costs: seconds of audio, 1 for anything else. timings: gets `queueMs` and
        `inferenceMs`, of the rows that took longest."""
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        waiting = [
            _Waiting(served, row, cost, now, timings, loop.create_future())
            for row, cost in zip(rows, costs, strict=True)
        ]
        self._waiting += waiting
        self.metrics.waiting.set(len(self._waiting))
        self._arrived.set()
        return await asyncio.gather(*(each.done for each in waiting))

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await asyncio.sleep(self.settings.wait_ms / 1000)
            while batch := self._next_batch():
                await self._answer(batch)

    def _next_batch(self) -> list[_Waiting]:
        """The row that waits longest, and the nearest of its model within the budget."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.done.done()]
        if not self._waiting:
            return []
        first = self._waiting[0]
        same = [waiting for waiting in self._waiting if waiting.served is first.served]
        same.sort(key=lambda waiting: abs(waiting.cost - first.cost))  # stable: the first stays first
        batch: list[_Waiting] = []
        for waiting in same[: self.settings.batch_items]:
            longest = max(waiting.cost, *(row.cost for row in batch), first.cost)
            if batch and longest * (len(batch) + 1) > self.settings.batch_seconds:
                break
            batch.append(waiting)
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        self.metrics.waiting.set(len(self._waiting))
        return sorted(batch, key=lambda waiting: waiting.since)

    async def _answer(self, batch: list[_Waiting]) -> None:
        served, began = batch[0].served, time.perf_counter()
        rows = [waiting.row for waiting in batch]
        loop = asyncio.get_running_loop()
        self._busy_since = began
        try:
            outcomes = await loop.run_in_executor(self._thread, self.compute, served, rows, self.settings.threads)
        except Exception as error:  # a bug, or no memory: these rows have no answer, the next ones may
            logger.exception("a batch of %d rows failed", len(batch))
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(Refused(500, f"the model failed: {type(error).__name__}"))
            return
        finally:
            self._busy_since = None
        seconds = time.perf_counter() - began
        self._count(served, batch, outcomes, began, seconds)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            for name, value in {"queueMs": began - waiting.since, "inferenceMs": seconds}.items():
                waiting.timings[name] = max(waiting.timings.get(name, 0.0), round(value * 1000, 3))
            if not waiting.done.done():
                waiting.done.set_result(outcome)

    def _count(
        self, served: Served, batch: list[_Waiting], outcomes: Sequence[Outcome], began: float, seconds: float
    ) -> None:
        costs = [waiting.cost for waiting in batch]
        self.capacity.pace = 0.8 * self.capacity.pace + 0.2 * seconds * (1 + len(self._waiting) / len(batch))
        for waiting in batch:
            self.metrics.queue_wait.labels(served.name).observe(began - waiting.since)
        self.metrics.batch_size.labels(served.name).observe(len(batch))
        self.metrics.padding.labels(served.name).observe(1 - sum(costs) / (len(costs) * max(costs) or 1))
        self.metrics.inference.labels(served.name).observe(seconds)
        if served.medium == "audio":
            self.metrics.audio.labels(served.name).inc(sum(costs))
        for outcome in outcomes:
            if isinstance(outcome, Answer) and served.main is not None:
                answered = str(outcome.row.get(prediction_column(served.main.name)) or "declined")
                self.metrics.answers.labels(served.name, served.main.name, answered).inc()


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.critical("the queue has ended", exc_info=task.exception())
