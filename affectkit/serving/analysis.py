"""/ser/analyze, /asr/transcribe and /text/sentiment: the published requests and answers, without their defects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from affectkit.plain import without_nan
from affectkit.serving import answers, decoding
from affectkit.serving.failures import Refused
from affectkit.serving.hearing import Transcript, short_language, written_in
from affectkit.serving.metrics import Timings
from affectkit.serving.models import Answer, Served
from affectkit.serving.service import Service

Share = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]
TEXT_FEATURES = ("text_negative", "text_neutral", "text_positive", "text_negative_score", "text_length_norm")


class AnalyzeFields(BaseModel):
    """The form of /ser/analyze, beside its file."""

    model_config = ConfigDict(extra="ignore")
    segment_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 8000
    overlap_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0
    language_hint: Annotated[str | None, Field(max_length=35)] = None
    text: str | None = None
    model: str | None = None
    text_negative: Share = None
    text_neutral: Share = None
    text_positive: Share = None
    text_negative_score: Share = None
    text_length_norm: Share = None


class Sentence(BaseModel):
    """The body of /text/sentiment."""

    text: str
    language: Annotated[str | None, Field(max_length=35)] = None
    model: str | None = None


@dataclass
class Analysis:
    """One request on its way. overall: the model that answers for the clip; acoustic: for its segments."""

    service: Service
    fields: AnalyzeFields
    overall: Served
    acoustic: Served
    strategy: str
    sound: decoding.Sound
    transcript: Transcript | None = None
    language: str = ""
    warnings: list[str] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    @property
    def fuses(self) -> bool:
        return "text" in self.overall.reads


def windows_of(fields: AnalyzeFields, most: int) -> decoding.Cut:
    if fields.overlap_ms >= fields.segment_ms:
        raise Refused(422, "overlap_ms must be less than segment_ms", code="validation")
    return decoding.Cut(fields.segment_ms / 1000, (fields.segment_ms - fields.overlap_ms) / 1000, most)


def chosen(service: Service, fields: AnalyzeFields) -> tuple[Served, Served, str]:
    """The model of the clip, that of its segments, and the routing strategy. Raises `Refused` where none hears."""
    settings, hint = service.settings, short_language(fields.language_hint)
    name, strategy = settings.audio.choose(hint)
    if fields.model:
        name, strategy = "", "request"
    overall = service.model(fields.model or (settings.fusion if settings.fusion_enabled else "") or name or None)
    if "audio" not in overall.reads and not fields.model:
        overall = next((served for served in service.models.values() if "audio" in served.reads), overall)
    acoustic = overall.part("audio")
    if "audio" not in overall.reads or (acoustic is None and not name):
        details = {"reads": sorted(overall.reads)}
        raise Refused(422, f"the model '{overall.name}' does not hear recordings", code="input", details=details)
    if "text" in overall.reads and not settings.fusion_enabled and acoustic is not None:
        overall = acoustic
    return overall, acoustic or service.model(name), strategy


async def analyze(
    service: Service, path: Path, folder: Path, fields: AnalyzeFields, timings: Timings
) -> dict[str, Any]:
    """The published answer, with what it lacks beside it. Raises `Refused` or `AffectkitError`."""
    overall, acoustic, strategy = chosen(service, fields)
    cut = windows_of(fields, service.settings.max_segments)
    sound = await service.decoder.run(decoding.decode_sound, str(path), str(folder), cut, service.bounds)
    timings.lap("decodeMs")
    analysis = Analysis(service, fields, overall, acoustic, strategy, sound, timings=timings)
    with ExitStack() as permits:
        seconds = sound.whole.seconds + sum(window.seconds for window in sound.windows)
        permits.enter_context(service.batcher.capacity.permit("seconds", seconds))
        await _understand(analysis)
        clip, segments = await _answers(analysis)
    return _published(analysis, clip, segments)


async def _understand(analysis: Analysis) -> None:
    """What is said, in which language; and where the request is wrong about it."""
    fields, hint = analysis.fields, short_language(analysis.fields.language_hint)
    if fields.text is not None:
        language = written_in(fields.text) or hint or ""
        analysis.transcript = Transcript(fields.text, language, "request")
    elif analysis.fuses and analysis.service.hearing.configured:
        analysis.transcript = await analysis.service.hearing.hear(analysis.sound.whole.path, hint)
        analysis.timings.lap("transcribeMs")
    heard = analysis.transcript.language if analysis.transcript else ""
    if hint and heard and heard != hint:
        analysis.warnings.append(f"language_hint is {hint}, and the text is {heard}: it counts as {heard}")
    analysis.language = heard or hint or analysis.service.settings.audio.default
    if analysis.fuses and analysis.transcript is None:  # an explicit fallback, which the answer names
        analysis.warnings.append(
            "no text: the request has none, and there is no transcriber; the acoustic model answers"
        )
        analysis.overall = analysis.acoustic


async def _answers(analysis: Analysis) -> tuple[Answer, list[Answer]]:
    """Those of the clip, and of its segments: with the clip's own where one segment is the clip."""
    service, sound = analysis.service, analysis.sound
    text = analysis.transcript.text if analysis.transcript else ""

    def rows(served: Served, stretches: tuple[decoding.Stretch, ...]) -> list[dict[str, Any]]:
        how: dict[str, Any] = {"text": text, "language": analysis.language}
        return [service.row(served, stretch.path, seconds=stretch.seconds, **how) for stretch in stretches]

    asked: list[tuple[Served, tuple[decoding.Stretch, ...]]] = [(analysis.overall, (sound.whole,))]
    if sound.windows != (sound.whole,):
        asked.append((analysis.acoustic, sound.windows))
    outcomes = await asyncio.gather(
        *(
            service.batcher.ask(served, rows(served, s), [stretch.seconds for stretch in s], analysis.timings)
            for served, s in asked
        )
    )
    clip = service.answered(outcomes[0][0])
    if len(outcomes) > 1:
        return clip, [service.answered(outcome) for outcome in outcomes[1]]
    return clip, [_acoustic(analysis, clip)]


def _acoustic(analysis: Analysis, clip: Answer) -> Answer:
    """What the acoustic model says of the clip, alone or within the chain."""
    if analysis.overall.folder == analysis.acoustic.folder:
        return clip
    folder = analysis.acoustic.folder
    if folder not in clip.parts:
        raise Refused(503, "the acoustic model gave no answer for the clip", code="fusion_failed")
    return Answer(clip.parts[folder], clip.parts)


def _published(analysis: Analysis, clip: Answer, segments: list[Answer]) -> dict[str, Any]:
    overall, acoustic, sound = analysis.overall, analysis.acoustic, analysis.sound
    said = answers.of_row(overall.targets, clip.row)["answers"]
    main = said.get(overall.main.name) if overall.main else None
    inside = _acoustic(analysis, clip)
    heard = answers.of_target(acoustic.main, inside.row) if acoustic.main else None
    milliseconds = [(round(1000 * window.start), round(1000 * window.end)) for window in sound.windows]
    return without_nan(
        {
            "overall": _emotion(main),
            "segments": [
                {"startMs": start, "endMs": end, **_segment(acoustic, segment)}
                for (start, end), segment in zip(milliseconds, segments, strict=True)
            ],
            "audioSummary": answers.audio_summary(acoustic.main, heard),
            "textFeatures": _text_features(analysis, clip),
            "fusion": _fusion(analysis, main),
            "answers": said,
            "calibrated": bool(overall.calibration),
            "transcript": vars(analysis.transcript) | {"segments": None} if analysis.transcript else None,
            "meta": _meta(analysis),
        }
    )


def _emotion(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        return {"emotionCode": None, "confidence": None}
    names = {"emotionCode": answers.emotion_code(answer["prediction"]), "label": answer["prediction"]}
    kept = ("confidence", "probabilities", "entropy", "set", "abstain")
    return names | {name: answer[name] for name in kept if name in answer}


def _segment(acoustic: Served, segment: Answer) -> dict[str, Any]:
    said = answers.of_row(acoustic.targets, segment.row)["answers"]
    main = _emotion(said[acoustic.main.name] if acoustic.main else None)
    numbers = {name: value for name, value in said.items() if value["kind"] == "number"}
    return {**main, **({"numbers": numbers} if numbers else {})}


def _text_features(analysis: Analysis, clip: Answer) -> dict[str, float]:
    """Those of the request; else what the text model of the chain says; neutral without either, as published."""
    fields, text = analysis.fields, analysis.transcript.text if analysis.transcript else ""
    given = {name: getattr(fields, name) for name in TEXT_FEATURES}
    part = analysis.overall.part("text") if analysis.fuses else None
    if part is not None and part.main is not None and part.folder in clip.parts:
        scores = answers.by_polarity(answers.of_target(part.main, clip.parts[part.folder])["probabilities"])
        known = {f"text_{name}": value for name, value in scores.items()}
        return {**known, "text_negative_score": scores["negative"], "text_length_norm": answers.length_norm(text)}
    return text_features(given) | ({"text_length_norm": answers.length_norm(text)} if analysis.transcript else {})


def text_features(given: Mapping[str, float | None]) -> dict[str, float]:
    """The five of a request, completed as the published service does: what is missing is neutral, shares sum to 1.

    >>> text_features({"text_negative": 0.25})["text_neutral"]
    0.75
    """
    score, length = given.get("text_negative_score"), given.get("text_length_norm")
    negative = given.get("text_negative")
    negative = (score or 0.0) if negative is None else negative
    neutral, positive = given.get("text_neutral"), given.get("text_positive")
    if neutral is None:
        positive = positive or 0.0
        neutral = max(0.0, 1.0 - negative - positive)
    elif positive is None:
        positive = max(0.0, 1.0 - negative - neutral)
    total = negative + neutral + positive
    shares = (negative / total, neutral / total, positive / total) if total else (0.0, 1.0, 0.0)
    known = dict(zip(TEXT_FEATURES, shares, strict=False))
    return {**known, "text_negative_score": shares[0] if score is None else score, "text_length_norm": length or 0.0}


def _fusion(analysis: Analysis, main: Mapping[str, Any] | None) -> dict[str, Any]:
    settings = analysis.service.settings
    wanted = chosen(analysis.service, analysis.fields)[0]
    if not settings.fusion_enabled or "text" not in wanted.reads:
        return {"enabled": False, "ready": False}
    if not analysis.fuses or main is None:
        return {"enabled": True, "ready": False, "fallback": analysis.overall.name, "reason": analysis.warnings[-1]}
    calibration = analysis.overall.calibration.get(analysis.overall.main.name if analysis.overall.main else "", {})
    scores = {str(answers.emotion_code(name)): value for name, value in main["probabilities"].items()}
    return {
        "enabled": True,
        "ready": True,
        "labelRaw": main["prediction"],
        "label": answers.emotion_code(main["prediction"]),
        "confidence": main["confidence"],
        "temperature": calibration.get("parameters", {}).get("temperature", 1.0),
        "calibration": calibration.get("method"),
        "scores": scores,
        "scoresRaw": main["probabilities"],
    }


def _meta(analysis: Analysis) -> dict[str, Any]:
    service, overall = analysis.service, analysis.overall
    return {
        "model": overall.name,
        "modelId": overall.name,
        "modelDigest": overall.digest,
        "engine": service.settings.engine,
        "routeLanguage": short_language(analysis.fields.language_hint),
        "routingStrategy": analysis.strategy,
        "languageHint": short_language(analysis.fields.language_hint),
        "language": analysis.language,
        "sampleRate": analysis.sound.rate,
        "durationMs": round(1000 * analysis.sound.whole.seconds),
        "fusionEnabled": service.settings.fusion_enabled,
        "warnings": analysis.warnings,
    }


# --- Speech to text, and texts


async def transcribe(
    service: Service, path: Path, folder: Path, language: str | None, timings: Timings
) -> dict[str, Any]:
    """The published answer. Raises `Refused` 501 without a transcriber, 413 above `max_asr_seconds`."""
    service.hearing.require()
    limit = min(service.settings.max_seconds, service.settings.max_asr_seconds)
    bounds = decoding.Bounds(limit, service.settings.max_samples, service.settings.decode_seconds)
    sound = await service.decoder.run(decoding.decode_sound, str(path), str(folder), None, bounds)
    timings.lap("decodeMs")
    with service.batcher.capacity.permit("seconds", sound.whole.seconds):
        transcript = await service.hearing.hear(sound.whole.path, short_language(language))
    timings.lap("transcribeMs")
    meta = {"model": service.settings.transcriber_model, "engine": service.settings.transcriber}
    segments = [
        {"startMs": round(1000 * start), "endMs": round(1000 * end), "text": text}
        for start, end, text in transcript.segments
    ]
    return {
        "text": transcript.text,
        "language": transcript.language,
        "confidence": transcript.confidence,
        "segments": segments,
        "meta": {**meta, "durationMs": round(1000 * sound.whole.seconds)},
    }


async def sentiment(service: Service, sentence: Sentence, timings: Timings) -> dict[str, Any]:
    """The published answer. Raises `Refused` 501 where no model reads texts."""
    if len(sentence.text) > service.settings.max_characters:
        raise Refused(413, f"the text has more than {service.settings.max_characters:,} characters")
    hint = short_language(sentence.language)
    language = written_in(sentence.text) or hint or service.settings.text.default
    name, strategy = service.settings.text.choose(language)
    served = service.model(sentence.model or name) if sentence.model or name else service.reading("text")
    if served is None:
        remedy = "serve a model folder that reads texts too, or name one in TEXT_HF_MODEL"
        raise Refused(501, "the service was started without a model of texts", details={"remedy": remedy})
    if served.reads != {"text"} or served.main is None:
        raise Refused(422, f"the model '{served.name}' says no class of a text alone")
    row = service.row(served, "", text=sentence.text, language=language)
    [outcome] = await service.batcher.ask(served, [row], [1.0], timings)
    answer = answers.of_target(served.main, service.answered(outcome).row)
    scores = answers.by_polarity(answer["probabilities"])
    warnings = [f"language is {hint}, and the text is {language}"] if hint and hint != language else []
    meta = {"engine": "affectkit", "model": served.name, "modelDigest": served.digest, "routeLanguage": language}
    return without_nan(
        {
            "label": answer["prediction"],
            "negativeScore": scores["negative"],
            "scores": scores,
            "probabilities": answer["probabilities"],
            "entropy": answer["entropy"],
            "abstain": answer["abstain"],
            "meta": {**meta, "routingStrategy": strategy, "warnings": warnings},
        }
    )
