"""The service behind its routes: models, decoders and the queue, from start to drain."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from affectkit.errors import AffectkitError
from affectkit.serving import decoding
from affectkit.serving.batching import Batcher, Outcome
from affectkit.serving.feedback import Feedback
from affectkit.serving.hearing import Hearing
from affectkit.serving.metrics import Metrics
from affectkit.serving.models import Answer, Served, load_served
from affectkit.serving.settings import ServeSettings
from affectkit.web import Refused

logger = logging.getLogger(__name__)

Language = Annotated[str, Field(max_length=35, pattern=r"^\s*[A-Za-z0-9_-]*\s*$")]
Columns = dict[str, Annotated[str, Field(max_length=1000)]]  # of text, that a calibration or a route asks of a row


class Service:
    """One process's. in_flight: requests that are not answered. failed: it cannot go on, and ends with an error."""

    def __init__(self, settings: ServeSettings, models: Mapping[str, Served]) -> None:
        self.settings, self.models = settings, dict(models)
        self.metrics = Metrics()
        self.decoder = decoding.Decoder(settings.decode_workers, self.metrics)
        self.hearing = Hearing(settings)
        self.feedback = Feedback(settings.feedback, self.models, guarded=bool(settings.token))
        self.batcher: Batcher
        self.folder: Path
        self.in_flight = 0
        self.started = self.draining = self.failed = False
        self._ids = itertools.count()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    def load(cls, settings: ServeSettings) -> Service:
        """Raises "usage" or "input", naming the folder that cannot be served."""
        service = cls(settings, load_served(settings))
        service.hearing.load()
        return service

    @property
    def default(self) -> Served:
        return next(iter(self.models.values()))

    def model(self, name: str | None) -> Served:
        """By name, the default without one. Raises `Refused` 404."""
        if not name:
            return self.default
        if name not in self.models:
            known = ", ".join(self.models)
            raise Refused(404, "there is no model of this name", code="no_such_model", details={"known": known})
        return self.models[name]

    def reading(self, *reads: str) -> Served | None:
        """The default model, else the first one, that reads this and nothing else."""
        return next((served for served in self.models.values() if served.reads == set(reads)), None)

    def of_texts(self, language: str) -> Served | None:
        name, _ = self.settings.text.choose(language)
        return self.model(name) if name else self.reading("text")

    def check_text(self, text: str, place: int | None = None) -> None:
        """Raises `Refused` 413. place: of the text in the request."""
        if len(text) > self.settings.max_characters:
            details = {} if place is None else {"row": place}
            raise Refused(413, f"a text has more than {self.settings.max_characters:,} characters", details=details)

    # --- From start to end

    async def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="affectkit-serve-"))
        self.batcher = Batcher(self.settings, self.metrics)
        self.batcher.start()
        await self.decoder.start()
        await self.warm_up()
        self.started = True
        self._watch = asyncio.create_task(self._watched())
        self.metrics.ready.set(1)

    async def warm_up(self) -> dict[str, str]:
        """Run every model once: what is loaded late, such as an encoder, is loaded now. By name, what went wrong.

        Raises, before the service is ready, for a model that lacks a file or a library.
        """
        problems = {}
        for served in self.models.values():
            rows = await self._samples(served)
            for outcome in await self.batcher.ask(served, rows, [1.0] * len(rows), {}):
                if isinstance(outcome, AffectkitError):
                    if outcome.code in ("missing", "environment") and not self.started:
                        raise outcome
                    problems[served.name] = outcome.message
        return problems

    async def _samples(self, served: Served) -> list[dict[str, Any]]:
        """Rows to try a model with, one for each model that it routes to: noise, a grey picture, two words; nothing for
        a table of features."""
        if served.reads == {"features"}:
            return []
        path = ""
        if served.medium:
            path = str(self.folder / f"sample-{served.medium}")
            await asyncio.to_thread(_write_sample, served.medium, path)
        how: dict[str, Any] = {"text": "warm up", "language": "en", "seconds": 1.0}
        return [self.row(served, path, columns=columns, **how) for columns in served.sample_columns()]

    def row(
        self,
        served: Served,
        path: str,
        *,
        text: str = "",
        language: str = "",
        seconds: float | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """A manifest's row of one upload or text, with an id that no other row has. columns: as `check_columns` takes
        them."""
        cells = {"language": language, **(columns or {})}
        row: dict[str, Any] = {name: cells[name] for name in ("language", *served.columns)}
        row["id"] = f"request-{next(self._ids)}"
        if served.medium:
            row["path"] = path
        if served.medium == "audio":
            row["duration_sec"] = seconds
        if "text" in served.reads:
            row["text"] = text
        return row

    def check_columns(self, served: Served, columns: Mapping[str, str]) -> None:
        """Raises `Refused` for a column that the model decides by and is not there, but for the language, which may be
        unknown; and for one that it has no use for."""
        lacking = [f"needs the column {name}" for name in served.columns if name not in {"language", *columns}]
        odd = [f"has no use for the column {name}" for name in columns if name not in served.columns]
        if why := [*lacking, *odd]:
            details = {"columns": served.columns}
            raise Refused(422, f"the model '{served.name}' {why[0]}", code="input", details=details)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A folder for the files of one request, gone afterwards."""
        folder = self.folder / f"r{next(self._ids)}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def bounds(self) -> decoding.Bounds:
        settings = self.settings
        return decoding.Bounds(settings.max_seconds, settings.max_samples, settings.decode_seconds)

    def problems(self) -> list[str]:
        """Why it takes no work now; nothing where it does."""
        states = {
            "starting": not self.started,
            "draining": self.draining,
            "decoding processes are being replaced": self.started and not self.decoder.ready,
            "inference has ended": self.started and not self.batcher.alive,
        }
        return [why for why, true in states.items() if true]

    async def _watched(self) -> None:
        """Never healthy but dead: without its queue the service ends, with an error."""
        while True:
            await asyncio.sleep(0.5)
            self.metrics.ready.set(not self.problems())
            if not self.batcher.alive and not self.failed:
                logger.critical("inference has ended: the service cannot go on")
                self.failed = True
                signal.raise_signal(signal.SIGTERM)

    def drain(self, end: Callable[[], None]) -> None:
        """Take no more work; call `end` when what is under way is answered, or its time is up."""
        if self.draining:
            end()
            return
        self.draining = True
        self.metrics.ready.set(0)
        logger.info("draining: %d requests are under way", self.in_flight)
        self._drained = asyncio.get_running_loop().create_task(self._wait_until_idle(end))

    async def _wait_until_idle(self, end: Callable[[], None]) -> None:
        until = time.monotonic() + (0 if self.failed else self.settings.drain_seconds)
        while self.in_flight and time.monotonic() < until:
            await asyncio.sleep(0.05)
        end()

    async def stop(self) -> None:
        self.draining = True
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self.decoder.stop()
        await self.batcher.stop()
        self.hearing.stop()
        self.feedback.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answered(self, outcome: Outcome) -> Answer:
        """Raises the error that stands in place of an answer."""
        if isinstance(outcome, AffectkitError):
            raise outcome
        return outcome


def end_on_signals(service: Service) -> None:
    """On SIGTERM and SIGINT: not ready, drain, then the server's own end, as if nobody had sent a signal: exit 0.

    uvicorn's handlers stand when an application starts; its server is told to end when all is answered.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        server = getattr(before, "__self__", None)

        def end(server: Any = server, before: Any = before, number: int = number) -> None:
            if hasattr(server, "should_exit"):
                server.should_exit = True
            elif callable(before):
                before(number, None)

        loop.add_signal_handler(number, service.drain, end)


def _write_sample(medium: str, path: str) -> None:
    import numpy as np

    draw = np.random.default_rng(0)
    if medium == "audio":
        import soundfile

        soundfile.write(path, (0.05 * draw.standard_normal(16000)).astype(np.float32), 16000, "FLOAT", format="WAV")
    else:
        from PIL import Image

        pixels = draw.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="BMP")
