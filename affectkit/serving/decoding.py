"""Decoding in worker processes: an upload becomes plain files that a model reads as it would have read the upload.

A recording becomes WAV files of float32, mono, at its own rate, one for each stretch: the very samples that
`read_audio` gives for that stretch. An image becomes a bitmap of the upright RGB pixels. A file that kills its decoder
takes the workers along, which are replaced, not the service.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from affectkit.media.audio import read_stretches
from affectkit.media.cuts import Windows
from affectkit.serving.metrics import Metrics
from affectkit.web import Refused

logger = logging.getLogger(__name__)

_HEARTBEAT = 0.5  # s; a worker that is killed while idle shows within this


@dataclass(frozen=True)
class Cut:
    """Windows of a recording, in seconds, as `affectkit predict --window --stride` cuts them."""

    seconds: float
    stride: float
    most: int


@dataclass(frozen=True)
class Bounds:
    """What an upload may hold, and for how many seconds it is decoded."""

    seconds: float
    samples: int
    time_limit: float


@dataclass(frozen=True)
class Stretch:
    """A file of samples: from `start` to `end` of the recording, in seconds; or of an image, which counts as one."""

    path: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Decoded:
    """A decoded recording: the whole, then its windows (the whole alone where one window holds it)."""

    rate: int
    seconds: float
    whole: Stretch
    windows: tuple[Stretch, ...]


class TooLong(Exception):
    """A recording beyond a limit. Its text says which."""


# --- In a worker process


def start_worker() -> None:
    """Signals are the service's; a worker ends with its pool, or with the service if that is killed. What decodes is
    imported before the first upload comes."""
    import PIL.Image  # noqa: F401
    import soundfile  # noqa: F401

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(lambda: os._exit(1))


def end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` when the process that started this one is gone, if there is one: killed, it tells nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            end()

        threading.Thread(target=watch, daemon=True).start()


def alive() -> int:
    return os.getpid()


def decode_sound(path: str, folder: str, cut: Cut | None, bounds: Bounds) -> Decoded:
    """Write the stretches of a recording into `folder`. Raises `TooLong`, or what `read_audio` raises."""
    import soundfile

    def stretches(seconds: float, rate: int) -> list[tuple[float, float]]:
        if seconds > bounds.seconds:
            raise TooLong(f"is {seconds:.0f} s long: the limit is {bounds.seconds:g} s")
        if seconds * rate > bounds.samples:
            raise TooLong(f"has {seconds * rate:,.0f} samples: the limit is {bounds.samples:,}")
        if cut is None:
            return [(0.0, seconds)]
        if seconds / cut.stride > cut.most + 1:
            raise TooLong(f"has {math.ceil(seconds / cut.stride):,} segments: the limit is {cut.most:,}")
        windows = Windows(cut.seconds, cut.stride).cut(0.0, seconds)
        return [(0.0, seconds)] + (windows if len(windows) > 1 else [])

    with _within(bounds.time_limit):
        files = []
        for number, (start, end, samples, rate) in enumerate(read_stretches(path, stretches, most_sec=bounds.seconds)):
            file = Path(folder, f"{Path(path).name}-{number}.wav")
            soundfile.write(file, samples, rate, subtype="FLOAT", format="WAV")
            files.append(Stretch(str(file), start, end))
    return Decoded(rate, files[0].end, files[0], tuple(files[1:] or files))


def decode_image(path: str, folder: str, bounds: Bounds) -> Stretch:
    """Write the pixels of an image into `folder`. Raises what `read_image` raises."""
    from PIL import Image

    from affectkit.media import read_image

    with _within(bounds.time_limit):
        file = Path(folder, f"{Path(path).name}.bmp")
        Image.fromarray(read_image(path)).save(file)
    return Stretch(str(file), 0.0, 1.0)


@contextmanager
def _within(seconds: float) -> Any:
    """End decoding after so many seconds, ffmpeg included."""

    def end(number: int, frame: Any) -> None:
        raise TooLong(f"took more than {seconds:g} s to decode")

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# --- In the service


class Decoder:
    """A pool of worker processes, replaced as a whole when one of them is lost."""

    def __init__(self, workers: int, metrics: Metrics) -> None:
        self.workers, self.metrics = workers, metrics
        self.ready = False
        self._pool: ProcessPoolExecutor | None = None
        self._heart: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._pool = self._new()
        await self._beat()
        self._heart = asyncio.create_task(self._heartbeat())

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=start_worker)

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Decode in a worker. Raises `Refused` for what is too long, and where the worker is lost."""
        pool, began = self._pool, time.perf_counter()
        try:
            assert pool is not None
            return await asyncio.wrap_future(pool.submit(work, *arguments))
        except TooLong as error:
            raise Refused(413, f"the recording {error}") from None
        except BrokenProcessPool:
            self._lost(pool)
            message = "the decoding process was lost, and is being replaced"
            raise Refused(503, message, code="decoder_lost", retry_after=2) from None
        finally:
            self.metrics.decoding.observe(time.perf_counter() - began)

    def _lost(self, pool: ProcessPoolExecutor | None) -> None:
        """Replace a broken pool, once; ready again when a worker of the new one has answered."""
        if pool is None or pool is not self._pool:
            return
        logger.error("a decoding process was lost; the pool is being replaced")
        self.ready = False
        self.metrics.restarts.inc()
        self._pool = self._new()
        pool.shutdown(wait=False, cancel_futures=True)

    async def _beat(self) -> None:
        pool = self._pool
        try:
            assert pool is not None
            count = 1 if self.ready else self.workers  # a new pool starts a process for each that waits
            await asyncio.gather(*[asyncio.wrap_future(pool.submit(alive)) for _ in range(count)])
            self.ready = pool is self._pool
        except BrokenProcessPool:
            self._lost(pool)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT if self.ready else 0.05)
            await self._beat()

    async def stop(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            with suppress(asyncio.CancelledError):
                await self._heart
        self.ready = False
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
