"""The transcriber that the service was told to use, if any: a plug-in, loaded when it is first asked."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from affectkit import registry
from affectkit.serving.failures import Refused
from affectkit.serving.settings import LANGUAGES, Settings

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


@dataclass(frozen=True)
class Transcript:
    """segments: (start, end, text), in seconds, where the model has them. source: heard, or request."""

    text: str
    language: str
    source: str
    confidence: float | None = None
    segments: tuple[tuple[float, float, str], ...] = ()


class Hearing:
    """One thread of its own: a transcript takes seconds, and answers that need none do not wait for it."""

    def __init__(self, settings: Settings) -> None:
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

    async def hear(self, path: str, language: str | None) -> Transcript:
        """Raises `Refused` 501 without a transcriber, else what it raises."""
        self.require()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._hear, path, language)

    def _hear(self, path: str, language: str | None) -> Transcript:
        if self._transcriber is None:
            known = {"model": self.settings.transcriber_model, "device": self.settings.transcriber_device}
            options = {name: value for name, value in known.items() if value}
            self._transcriber = registry.build("transcribers", self.settings.transcriber, options)
        heard = self._transcriber.transcribe(path, language=language or "auto")
        segments = tuple((float(start), float(end), str(text)) for start, end, text in getattr(heard, "segments", ()))
        confidence = getattr(heard, "confidence", None)
        return Transcript(heard.text, short_language(heard.language) or "", "heard", confidence, segments)

    def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def short_language(hint: str | None) -> str | None:
    """`zh` of zh-CN, `en` of en_US; another one as it is, in lower case; None of nothing."""
    word = (hint or "").strip().lower()
    return next((tag for tag in LANGUAGES if word.startswith(tag)), word or None)


def written_in(text: str) -> str | None:
    """`zh` where a tenth of the letters or more are Han, `en` where there are Latin ones alone; None without either.

    >>> written_in("我很难过 ok"), written_in("I am sad"), written_in("...")
    ('zh', 'en', None)
    """
    han, latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
    if not han + latin:
        return None
    return "zh" if 10 * han >= han + latin else "en"
