"""/asr/transcribe and /text/sentiment: the published requests and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from affectkit.inference.texts import DECLINED
from affectkit.media.texts import language_of, written_in
from affectkit.plain import without_nan
from affectkit.serving import answers, decoding
from affectkit.serving.metrics import Timings
from affectkit.serving.service import Language, Service
from affectkit.web import Refused


class Sentence(BaseModel):
    """The body of /text/sentiment."""

    text: str
    language: Language | None = None
    model: str | None = None


class Recording(BaseModel):
    """The form of /asr/transcribe, beside its file."""

    language_hint: Language = ""


async def transcribe(service: Service, path: Path, folder: Path, hint: str, timings: Timings) -> dict[str, Any]:
    """Raises `Refused` 501 without a transcriber, 413 above `max_asr_duration_ms`."""
    settings = service.settings
    limit = min(settings.max_seconds, settings.max_asr_duration_ms / 1000)
    bounds = decoding.Bounds(limit, settings.max_samples, settings.decode_seconds)
    sound = await service.decoder.run(decoding.decode_sound, str(path), str(folder), None, bounds)
    timings.lap("decodeMs")
    with service.batcher.capacity.permit("seconds", sound.whole.seconds):
        transcript = await service.hearing.hear(sound.whole.path, language_of("", hint))
    timings.lap("transcribeMs")
    meta = {"model": settings.transcriber_model, "engine": settings.transcriber}
    said = transcript.segments or (((0.0, sound.whole.seconds, transcript.text),) if transcript.text else ())
    return {
        "text": transcript.text,
        "language": transcript.language,
        "confidence": transcript.confidence,
        "segments": [{"startMs": round(1000 * a), "endMs": round(1000 * b), "text": text} for a, b, text in said],
        "meta": {**meta, "durationMs": round(1000 * sound.whole.seconds)},
    }


async def sentiment(service: Service, sentence: Sentence, timings: Timings) -> dict[str, Any]:
    """Raises `Refused` 501 where no model reads texts. A text without any is neutral, and no model is asked."""
    service.check_text(sentence.text)
    hint = language_of("", sentence.language or "")
    language = written_in(sentence.text, hint)
    _, strategy = service.settings.text.choose(language)
    served = service.model(sentence.model) if sentence.model else service.of_texts(language)
    if served is None:
        remedy = "serve a model folder that reads texts too, name one in TEXT_HF_MODEL, or set TEXT_ENGINE=lexicon"
        raise Refused(501, "the service was started without a model of texts", details={"remedy": remedy})
    if served.reads != {"text"} or served.main is None:
        raise Refused(422, f"the model '{served.name}' says no class of a text alone")
    meta = {"engine": "affectkit", "routeLanguage": language or None}
    if not sentence.text.strip():
        scores = {"negative": 0.0, "neutral": 1.0, "positive": 0.0}
        meta |= {"model": "empty", "routingStrategy": "empty"}
        return {"label": "neutral", "negativeScore": 0.0, "scores": scores, "abstain": True, "meta": meta}
    asked = service.row(served, "", text=sentence.text, language=language)
    [outcome] = await service.batcher.ask(served, [asked], [1.0], timings)
    row = service.answered(outcome).row
    answer = answers.of_target(served.main, row)
    if answer["prediction"] is None:
        reason = row.get(DECLINED) or f"it counts as '{language}'"
        raise Refused(422, f"the model '{served.name}' declines the text: {reason}")
    scores = answers.by_polarity(answer["probabilities"])
    warnings = [f"language is {hint}, and the text is {language}"] if hint and language != hint else []
    return without_nan(
        {
            "label": answer["prediction"],
            "negativeScore": scores["negative"],
            "scores": scores,
            **{name: answer[name] for name in ("probabilities", "entropy", "abstain")},
            "meta": {**meta, "model": served.name, "modelDigest": served.digest, "routingStrategy": strategy,
                     "warnings": warnings},
        }
    )  # fmt: skip
