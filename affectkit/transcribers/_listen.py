"""Hearing many recordings on the loop of encoders: batches by seconds, the cache, silence, the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectkit.artifacts.transcripts import CACHE, SILENT, Cache, Journal, Transcript, key_of
from affectkit.encoders._encoder import Encoder, Item, Reads, batches_of
from affectkit.encoders._loop import OnError, Where, encode_shards
from affectkit.errors import AffectkitError
from affectkit.media import read_audio
from affectkit.transcribers._transcriber import Transcriber, record

BATCH_SEC = 240.0  # of audio computed at once, padding included: eight windows of Whisper
FRAME_SEC = 0.03


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded recording. language: that it is told, "" for none. key: of its answer in a cache."""

    samples: np.ndarray
    language: str
    key: str


@dataclass(frozen=True)
class Listening:
    """How recordings are heard. level: dBFS that a recording must reach to be heard at all.

    languages: by id, that the model is told, "" for none. retry_empty: hear once more, whatever the level and whatever
    the model thinks of voices, where the answer was empty.
    """

    languages: Mapping[str, str]
    level: float
    retry_empty: bool = False


class Listener(Encoder):
    """A transcriber as the loop of encoders runs it: the feature of a recording is its transcript."""

    reads: Reads = "audio"

    def __init__(self, transcriber: Transcriber, listening: Listening, cache: Cache) -> None:
        super().__init__({})
        self.name, self.transcriber, self.listening, self.cache = transcriber.name, transcriber, listening, cache
        self._record = record(transcriber)

    def prepare(self, item: Item) -> Sound:
        if item.path is None:
            raise AffectkitError("input", "has no path", remedy="give it one, or a text")
        rate, language = self.transcriber.rate, self.listening.languages[item.id]
        samples, _ = read_audio(item.path, rate=rate, start_sec=item.start_sec, end_sec=item.end_sec)
        return Sound(samples, language, key_of(samples, rate, self._record, language))

    def encode(self, prepared: list[Sound]) -> Any:
        answers = {place: self.cache.get(sound.key) for place, sound in enumerate(prepared)}
        known = {place: replace(answer, source=CACHE) for place, answer in answers.items() if answer}
        waiting = [place for place in answers if place not in known]
        loud = [p for p in waiting if loudest(prepared[p].samples, self.transcriber.rate) >= self.listening.level]
        fresh = dict.fromkeys(waiting, Transcript("", why=SILENT)) | self._heard(prepared, loud, silence=True)
        if self.listening.retry_empty:
            fresh |= self._heard(prepared, [place for place in waiting if not fresh[place].text], silence=False)
        fresh = {place: replace(answer, key=prepared[place].key) for place, answer in fresh.items()}
        self.cache.add(fresh.values())
        return [(known | fresh)[place] for place in answers]

    def _heard(self, prepared: Sequence[Sound], places: list[int], *, silence: bool) -> dict[int, Transcript]:
        """What is said at some places, each with its share of the time."""
        if not places:
            return {}
        waves = [prepared[place].samples for place in places]
        begin = time.perf_counter()
        answers = self.transcriber.hear(waves, [prepared[place].language for place in places], silence=silence)
        costs = np.array([self.transcriber.cost(len(wave) / self.transcriber.rate) for wave in waves])
        shares = (time.perf_counter() - begin) * costs / costs.sum()
        return {
            place: replace(answer, confidence=round(answer.confidence, 4), seconds=round(float(share), 4))
            for place, answer, share in zip(places, answers, shares, strict=True)
        }


def loudest(samples: np.ndarray, rate: int) -> float:
    """The level of the loudest 30 ms of [T] float32, in dB of full scale: 0 for a square wave, -inf for silence."""
    size = max(1, round(FRAME_SEC * rate))
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    power = float(np.einsum("ts,ts->t", padded, padded).max(initial=0.0)) / min(size, max(len(samples), 1))
    return 10 * float(np.log10(power)) if power > 0 else -float("inf")


def listen(
    transcriber: Transcriber,
    items: Sequence[Item],
    listening: Listening,
    journal: Journal,
    cache: Cache,
    *,
    batch_seconds: float = BATCH_SEC,
    num_workers: int = 0,
    on_error: OnError = "stop",
    where: Where | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Hear the items that the journal lacks, the short ones first, and write each batch into it.

    Raises as `encode_shards` does; what was heard before is kept, in the journal and in the cache.
    """
    cache.add(transcript for transcript in journal.rows.values() if transcript.source != CACHE)
    lengths = [transcriber.cost(item.duration_sec) for item in items]
    order = sorted(range(len(items)), key=lambda place: (items[place].duration_sec, place))
    order = [place for place in order if items[place].id not in journal.rows]
    chosen, done = [items[place] for place in order], len(items) - len(order)
    ends = np.cumsum([len(batch) for batch in batches_of(order, lengths, batch_seconds)] if order else [])
    batches = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    how: dict[str, Any] = {"num_workers": num_workers, "on_error": on_error, "batch_seconds": float("inf")}
    if where is not None:
        how["where"] = lambda place: where(order[place])
    if progress is not None:
        how["progress"] = lambda count: progress(done + count, len(items))
    try:
        for heard in encode_shards(Listener(transcriber, listening, cache), chosen, batches, **how):
            skipped = {key: Transcript("", source="", why=why) for key, why in heard.skipped}
            answers: dict[str, Any] = dict(zip(heard.ids, heard.values, strict=True))
            journal.write(answers | skipped)
    finally:
        cache.save()
