"""What a transcriber is, and the options that several share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.transcripts import Transcript
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.registry import Option

AUTO = "auto"

DeviceOpt = Annotated[str, Option("Device to recognise speech on: auto, cpu, cuda, cuda:1, mps.")]
WordTimesOpt = Annotated[
    bool, Option("Whether the times of words are written, into transcripts.jsonl; of a CTC network they always are.")
]
RevisionOpt = Annotated[str, Option("Branch, tag or commit of a hub id.")]


class Transcriber(ABC):
    """Writes recordings down. What it gives for one never depends on what else is in the batch.

    options: resolved, without the device; `build(**options)` gives the same transcriber. rate: Hz that it reads.
    languages: ISO 639-1, that it can be told to write; None where it cannot be told.
    """

    name: str
    options: dict[str, Any]
    device: str
    rate: int = 16000
    languages: Sequence[str] | None = None

    def __init__(self, options: dict[str, Any], device: str) -> None:
        self.options, self.device = options, device

    @abstractmethod
    def load(self, model: str, *, batch_seconds: float) -> None:
        """Fetch the model: a hub id, a local folder, or `tiny-random:ARCHITECTURE`. batch_seconds: computed at once,
        padding included. Before any of what follows."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record: `weights`, the digest of the model, ..."""
        return {}

    def cost(self, seconds: float) -> float:
        """The seconds that are computed for a recording of so many, padding included."""
        return seconds

    @abstractmethod
    def hear(self, waves: Sequence[np.ndarray], languages: Sequence[str], *, silence: bool = True) -> list[Transcript]:
        """What each waveform [T] float32 says, in order. languages: of each, "" where it is to be told.

        silence: whether text is left out where the model itself finds that nobody speaks.
        """


def record(transcriber: Transcriber) -> dict[str, Any]:
    """What decides a transcript, apart from the recording and its language: of the journal, and of a cache's keys."""
    return {"engine": transcriber.name, "options": transcriber.options, **transcriber.describe()}


def called(model: str) -> str:
    """A model's name where people read it: `openai/whisper-base`, or its folder, is `whisper-base`."""
    return model if ":" in model else Path(model).expanduser().absolute().name


def check_language(transcriber: Transcriber, language: str) -> None:
    """Refuse a language that the model does not write, or what is no code of one. Raises "usage"."""
    known = transcriber.languages
    if known is None and not re.fullmatch("[a-z]{2,3}|", language):
        raise AffectkitError("usage", f"'{language}' is no code of a language", remedy="give one such as en, de or zh")
    if language and known is not None and language not in known:
        remedy = did_you_mean(language, [AUTO, *known]) if len(known) > 1 else f"it writes {known[0]} alone"
        raise AffectkitError("usage", f"this model does not write --language {language}", remedy=remedy)
