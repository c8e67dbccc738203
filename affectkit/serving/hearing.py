"""The transcriber that the service was told to use, if any: a plug-in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from affectkit import registry
from affectkit.media import read_audio
from affectkit.media.texts import language_of, written_in
from affectkit.serving.settings import ServeSettings
from affectkit.transcribers import QUIETEST
from affectkit.transcribers._listen import loudest
from affectkit.web import Refused

_PAUSE = 0.5  # s, between two segments of a transcript


@dataclass(frozen=True)
class Spoken:
    """segments: (start, end, text), in seconds, where the model has them. source: heard, or request."""

    text: str
    language: str
    source: str
    confidence: float | None = None
    segments: tuple[tuple[float, float, str], ...] = ()


class Hearing:
    """One thread of its own: a transcript takes seconds, and answers that need none do not wait for it."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transcriber")
        self._transcriber: Any = None

    @property
    def configured(self) -> bool:
        return bool(self.settings.transcriber)

    def require(self) -> None:
        """Raises `Refused` 501 without a transcriber."""
        if not self.configured:
            remedy = "start it with --transcriber and --transcriber-model, or with AFFECTKIT_SERVE_TRANSCRIBER"
            raise Refused(501, "the service was started without a transcriber", details={"remedy": remedy})

    def load(self) -> None:
        """Raises, before the service listens, for a plug-in or a model that there is not."""
        if self.configured:
            device = {"device": self.settings.transcriber_device} if self.settings.transcriber_device else {}
            self._transcriber = registry.build("transcribers", self.settings.transcriber, device)
            self._transcriber.load(self.settings.transcriber_model, batch_seconds=self.settings.batch_seconds)

    async def hear(self, path: str, language: str = "") -> Spoken:
        """language: that it is told; else it finds out. Raises `Refused` 501 without a transcriber, else what the
        transcriber raises."""
        self.require()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._hear, path, language)

    def _hear(self, path: str, language: str) -> Spoken:
        samples, _ = read_audio(path, rate=self._transcriber.rate)
        if loudest(samples, self._transcriber.rate) < QUIETEST:  # a recogniser invents text where nobody speaks
            return Spoken("", "", "heard")
        told = language if language in (self._transcriber.languages or ()) else ""
        [heard] = self._transcriber.hear([samples], [told])
        confidence = None if math.isnan(heard.confidence) else float(heard.confidence)
        spoken = language_of("", heard.language) or written_in(heard.text, language)
        return Spoken(heard.text, spoken, "heard", confidence, tuple(_phrases(heard)))

    def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _phrases(heard: Any) -> Iterator[tuple[float, float, str]]:
    """(start, end, text) of what is said without a pause, where the words have times; all of it else."""
    phrases: list[list[Any]] = []
    for word, start, end in heard.words:
        if not phrases or start - phrases[-1][-1][2] > _PAUSE:
            phrases.append([])
        phrases[-1].append((word.strip(), float(start), float(end)))
    for phrase in phrases:
        yield phrase[0][1], phrase[-1][2], " ".join(word for word, _, _ in phrase)
