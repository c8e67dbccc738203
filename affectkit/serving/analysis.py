"""/ser/analyze, /asr/transcribe and /text/sentiment: the published requests and answers, without their defects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from affectkit.errors import AffectkitError
from affectkit.plain import without_nan
from affectkit.serving import answers, decoding, fusing
from affectkit.serving.batching import Outcome
from affectkit.serving.failures import Refused, of_affectkit
from affectkit.serving.hearing import Spoken, short_language, written_in
from affectkit.serving.metrics import Timings
from affectkit.serving.models import Answer, Served, is_answered
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


@dataclass(frozen=True)
class Plan:
    """Which models answer. overall: for the clip; acoustic: for its segments, and for the clip's audio; text: for what
    is said, where a fusion asks for it. strategy: how they were chosen, in the published words."""

    overall: Served
    acoustic: Served
    text: Served | None
    strategy: str

    @property
    def fuses(self) -> bool:
        return self.overall.reads in ({"audio", "text"}, {"features"})


@dataclass
class Analysis:
    """One request on its way. fallback: why the acoustic model answers in place of the fusion."""

    service: Service
    fields: AnalyzeFields
    plan: Plan
    sound: decoding.Decoded
    timings: Timings
    transcript: Spoken | None = None
    language: str = ""
    warnings: list[str] = field(default_factory=list)
    fallback: str = ""

    @property
    def overall(self) -> Served:
        return self.plan.acoustic if self.fallback else self.plan.overall


def windows_of(fields: AnalyzeFields, most: int) -> decoding.Cut:
    if fields.overlap_ms >= fields.segment_ms:
        raise Refused(422, "overlap_ms must be less than segment_ms", code="validation")
    return decoding.Cut(fields.segment_ms / 1000, (fields.segment_ms - fields.overlap_ms) / 1000, most)


def plan_of(service: Service, fields: AnalyzeFields) -> Plan:
    """Raises `Refused` where no model hears recordings."""
    settings, hint = service.settings, short_language(fields.language_hint)
    name, strategy = settings.audio.choose(hint)
    routed = service.model(name) if name else None
    if fields.model:
        overall, strategy = service.model(fields.model), "request"
    elif settings.fusion_enabled and settings.fusion:
        overall = service.model(settings.fusion)
    else:
        hears = [served for served in service.models.values() if "audio" in served.reads]
        first = hears[0] if hears else service.default
        overall = (
            routed if routed and first.name in (settings.audio.single, *settings.audio.by_language.values()) else first
        )
    table = overall.reads == {"features"}
    acoustic = (
        overall.parts.get("audio") or (routed if table else None) or (service.reading("audio") if table else None)
    )
    if acoustic is None:
        details = {"reads": sorted(overall.reads)}
        raise Refused(422, f"the model '{overall.name}' does not hear recordings", code="input", details=details)
    if not settings.fusion_enabled:
        overall = acoustic
    text = text_model(service, hint) if table else overall.parts.get("text")
    return Plan(overall, acoustic, text, strategy)


def text_model(service: Service, language: str | None) -> Served | None:
    name, _ = service.settings.text.choose(language)
    return service.model(name) if name else service.reading("text")


async def analyze(
    service: Service, path: Path, folder: Path, fields: AnalyzeFields, timings: Timings
) -> dict[str, Any]:
    """The published answer, with what it lacks beside it. Raises `Refused` or `AffectkitError`."""
    plan, cut = plan_of(service, fields), windows_of(fields, service.settings.max_segments)
    sound = await service.decoder.run(decoding.decode_sound, str(path), str(folder), cut, service.bounds)
    timings.lap("decodeMs")
    analysis = Analysis(service, fields, plan, sound, timings)
    seconds = sound.whole.seconds + sum(window.seconds for window in sound.windows)
    with service.batcher.capacity.permit("seconds", seconds):
        await _understand(analysis)
        answered = await _answers(analysis)
    return _published(analysis, answered)


async def _understand(analysis: Analysis) -> None:
    """What is said, in which language; and where the request is wrong about it."""
    fields, service, hint = analysis.fields, analysis.service, short_language(analysis.fields.language_hint)
    if fields.text is not None:
        if len(fields.text) > service.settings.max_characters:
            raise Refused(413, f"the text has more than {service.settings.max_characters:,} characters")
        analysis.transcript = Spoken(fields.text, written_in(fields.text, hint), "request")
    elif analysis.plan.fuses and service.hearing.configured:
        analysis.transcript = await service.hearing.hear(analysis.sound.whole.path)
        analysis.timings.lap("transcribeMs")
    heard = analysis.transcript.language if analysis.transcript else ""
    if hint and heard and heard != hint:
        analysis.warnings.append(f"language_hint is {hint}, and the text is {heard}: it counts as {heard}")
    analysis.language = heard or hint or ""
    if analysis.plan.fuses and analysis.transcript is None and not _brings_text(analysis):
        analysis.fallback = "no text: the request has none, and there is no transcriber; the acoustic model answers"
        analysis.warnings.append(analysis.fallback)


def _given(fields: AnalyzeFields) -> dict[str, float]:
    """The text features that a request brings."""
    known = {name: getattr(fields, name) for name in TEXT_FEATURES}
    return text_features(known) if any(value is not None for value in known.values()) else {}


def _brings_text(analysis: Analysis) -> bool:
    """Whether a share of sentiment that the request brings is an input of the fusion."""
    brought = {name for name in TEXT_FEATURES[:4] if getattr(analysis.fields, name) is not None}
    return not brought.isdisjoint(analysis.plan.overall.table)


@dataclass(frozen=True)
class Answered:
    """clip: by the model of the whole. acoustic, text: of the clip, by the models of its sides; None for no answer."""

    clip: Answer
    acoustic: Answer
    text: Answer | None
    segments: Sequence[Outcome]
    features: Mapping[str, float] | None = None


async def _answers(analysis: Analysis) -> Answered:
    """Of the clip and its segments; the clip's own where one segment is the clip."""
    service, plan, sound = analysis.service, analysis.plan, analysis.sound
    from_table = analysis.overall.reads == {"features"}
    first = plan.acoustic if from_table else analysis.overall
    asked = [(first, (sound.whole,))] + ([(plan.acoustic, sound.windows)] if sound.windows != (sound.whole,) else [])
    text = text_model(service, analysis.language) if from_table and analysis.transcript else None
    waits = [_ask(analysis, served, stretches) for served, stretches in asked]
    outcomes = await asyncio.gather(*waits, *([_ask(analysis, text, (sound.whole,))] if text else []))
    clip = service.answered(outcomes[0][0])
    said = _said(outcomes[-1][0]) if text else _part(clip, plan.text)
    acoustic = clip if first.folder == plan.acoustic.folder else _part(clip, plan.acoustic)
    if acoustic is None or not is_answered(plan.acoustic, acoustic.row):
        raise AffectkitError("input", clip.reason or "the acoustic model gave no answer for the clip")
    segments: Sequence[Outcome] = outcomes[1] if len(asked) > 1 else [acoustic]
    if not from_table:
        return Answered(clip, acoustic, said, segments)
    sides = fusing.Sides(plan.acoustic, acoustic.row, text, said.row if said else None)
    spoken = analysis.transcript.text if analysis.transcript else ""
    features = fusing.features(sides, analysis.overall.table, spoken, analysis.language, _given(analysis.fields))
    row = {**service.row(analysis.overall, ""), "features": features}
    [fused] = await service.batcher.ask(analysis.overall, [row], [1.0], analysis.timings)
    return Answered(service.answered(fused), acoustic, said, segments, features)


async def _ask(analysis: Analysis, served: Served, stretches: Sequence[decoding.Stretch]) -> list[Outcome]:
    text = analysis.transcript.text if analysis.transcript else ""
    how: dict[str, Any] = {"text": text, "language": analysis.language}
    rows = [analysis.service.row(served, stretch.path, seconds=stretch.seconds, **how) for stretch in stretches]
    costs = [stretch.seconds if served.medium else 1.0 for stretch in stretches]
    return await analysis.service.batcher.ask(served, rows, costs, analysis.timings)


def _part(clip: Answer, part: Served | None) -> Answer | None:
    """What a model of the chain says of the clip."""
    if part is None or part.folder not in clip.parts:
        return None
    return _said(Answer(clip.parts[part.folder], clip.parts, clip.reason), part)


def _said(outcome: Outcome, served: Served | None = None) -> Answer | None:
    """An answer; None for one that was declined: a text may be empty."""
    if isinstance(outcome, AffectkitError) or (served is not None and not is_answered(served, outcome.row)):
        return None
    return outcome


def _published(analysis: Analysis, answered: Answered) -> dict[str, Any]:
    overall, acoustic, sound = analysis.overall, analysis.plan.acoustic, analysis.sound
    said = answers.of_row(overall.targets, answered.clip.row)["answers"]
    main = said.get(overall.main.name) if overall.main else None
    heard = answers.of_target(acoustic.main, answered.acoustic.row) if acoustic.main else None
    milliseconds = [(round(1000 * window.start), round(1000 * window.end)) for window in sound.windows]
    spoken = analysis.transcript
    return without_nan(
        {
            "overall": _emotion(main),
            "segments": [
                {"startMs": start, "endMs": end, **_segment(acoustic, segment)}
                for (start, end), segment in zip(milliseconds, answered.segments, strict=True)
            ],
            "audioSummary": answers.audio_summary(acoustic.main, heard),
            "textFeatures": _text_features(analysis, answered),
            "fusion": _fusion(analysis, answered, main),
            "answers": said,
            "calibrated": bool(overall.calibration),
            "transcript": {name: getattr(spoken, name) for name in ("text", "language", "source", "confidence")}
            if spoken
            else None,
            "meta": _meta(analysis),
        }
    )


def _emotion(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        return {"emotionCode": None, "confidence": None}
    names = {"emotionCode": answers.emotion_code(answer["prediction"]), "label": answer["prediction"]}
    kept = ("confidence", "probabilities", "entropy", "set", "abstain")
    return names | {name: answer[name] for name in kept if name in answer}


def _segment(acoustic: Served, segment: Outcome) -> dict[str, Any]:
    """A segment without an answer, such as one that is too short for the model, says why."""
    if isinstance(segment, AffectkitError):
        refused = of_affectkit(segment, Path(segment.file).parent if segment.file else None)
        return {**_emotion(None), "error": {"code": refused.code, "message": refused.message}}
    said = answers.of_row(acoustic.targets, segment.row)["answers"]
    main = _emotion(said[acoustic.main.name] if acoustic.main else None)
    numbers = {name: value for name, value in said.items() if value["kind"] == "number"}
    return {**main, **({"numbers": numbers} if numbers else {})}


def _text_features(analysis: Analysis, answered: Answered) -> dict[str, float]:
    """Those of the request; else what the model of texts says; neutral without either, as published."""
    given = _given(analysis.fields)
    if answered.features is not None:
        return {name: answered.features.get(name, value) for name, value in (given or text_features({})).items()}
    text, said = analysis.plan.text, answered.text
    spoken = {"text_length_norm": answers.length_norm(analysis.transcript.text)} if analysis.transcript else {}
    if given or text is None or text.main is None or said is None:
        return given or {**text_features({}), **spoken}
    scores = answers.by_polarity(answers.of_target(text.main, said.row)["probabilities"])
    shares = {f"text_{name}": value for name, value in scores.items()}
    return {**shares, "text_negative_score": scores["negative"], "text_length_norm": 0.0, **spoken}


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


def _fusion(analysis: Analysis, answered: Answered, main: Mapping[str, Any] | None) -> dict[str, Any]:
    if not analysis.plan.fuses:
        return {"enabled": False, "ready": False}
    if analysis.fallback or main is None:
        reason = analysis.fallback or "the fusion says no class"
        return {"enabled": True, "ready": False, "fallback": analysis.overall.name, "reason": reason}
    overall = analysis.overall
    calibration = overall.calibration.get(overall.main.name if overall.main else "", {})
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
        "features": answered.features,
        "without": ["text"] if answered.text is None and not _brings_text(analysis) else [],
    }


def _meta(analysis: Analysis) -> dict[str, Any]:
    service, overall = analysis.service, analysis.overall
    return {
        "model": overall.name,
        "modelId": overall.name,
        "modelDigest": overall.digest,
        "engine": service.settings.engine,
        "routeLanguage": short_language(analysis.fields.language_hint),
        "routingStrategy": analysis.plan.strategy,
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
    said = transcript.segments or (((0.0, sound.whole.seconds, transcript.text),) if transcript.text else ())
    segments = [{"startMs": round(1000 * start), "endMs": round(1000 * end), "text": text} for start, end, text in said]
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
    language = written_in(sentence.text, hint)
    _, strategy = service.settings.text.choose(language)
    served = service.model(sentence.model) if sentence.model else text_model(service, language)
    if served is None:
        remedy = "serve a model folder that reads texts too, or name one in TEXT_HF_MODEL"
        raise Refused(501, "the service was started without a model of texts", details={"remedy": remedy})
    if served.reads != {"text"} or served.main is None:
        raise Refused(422, f"the model '{served.name}' says no class of a text alone")
    if not sentence.text.strip():
        return _nothing_said(language)
    row = service.row(served, "", text=sentence.text, language=language)
    [outcome] = await service.batcher.ask(served, [row], [1.0], timings)
    answer = answers.of_target(served.main, service.answered(outcome).row)
    scores = answers.by_polarity(answer["probabilities"])
    warnings = [f"language is {hint}, and the text is {language}"] if hint and language not in ("", hint) else []
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


def _nothing_said(language: str) -> dict[str, Any]:
    """The published answer to a text without any: neutral; no model was asked."""
    scores = {"negative": 0.0, "neutral": 1.0, "positive": 0.0}
    meta = {"engine": "affectkit", "model": "empty", "routeLanguage": language or None, "routingStrategy": "empty"}
    return {"label": "neutral", "negativeScore": 0.0, "scores": scores, "abstain": True, "meta": meta}
