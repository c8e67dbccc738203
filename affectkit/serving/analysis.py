"""/ser/analyze: the published request and answer, without their defects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from affectkit.errors import AffectkitError
from affectkit.fusion.table import LANGUAGE, TEXT, length_norm
from affectkit.media.texts import language_of, written_in
from affectkit.plain import without_nan
from affectkit.serving import answers, decoding, fusing
from affectkit.serving.batching import Outcome
from affectkit.serving.failures import of_affectkit
from affectkit.serving.fusing import TextFeatures
from affectkit.serving.hearing import Spoken
from affectkit.serving.metrics import Timings
from affectkit.serving.models import Answer, Served
from affectkit.serving.service import Columns, Language, Service
from affectkit.web import Refused


class AnalyzeFields(TextFeatures):
    """The form of /ser/analyze, beside its file. columns: as of /v1/predict."""

    segment_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 8000
    overlap_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0
    language_hint: Language = ""
    text: str | None = None
    model: str = ""
    columns: Columns = Field(default_factory=dict)

    @property
    def hint(self) -> str:
        return language_of("", self.language_hint)

    @property
    def brought(self) -> dict[str, float]:
        """The text features of the request, completed; {} where it has none."""
        return self.completed() if self.model_fields_set & set(TextFeatures.model_fields) else {}


@dataclass
class Analysis:
    """One request on its way. chosen: the model for the clip; strategy: how it was chosen, in the published words.
    beside: the acoustic model of a fusion that was trained on a table, which has no parts. fallback: why the acoustic
    model answers in place of the fusion."""

    service: Service
    fields: AnalyzeFields
    timings: Timings
    chosen: Served
    beside: Served | None
    strategy: str
    language: str
    sound: decoding.Decoded = field(init=False)
    transcript: Spoken | None = None
    warnings: list[str] = field(default_factory=list)
    fallback: str = ""

    @property
    def acoustic(self) -> Served:
        """The model for the segments, and for the clip's audio. Raises `Refused` where none hears recordings."""
        part = self.beside or self.chosen.part("audio", self._cells)
        if part is None:
            raise _deaf(self.chosen)
        return part

    @property
    def overall(self) -> Served:
        return self.acoustic if self.fallback or not self.service.settings.fusion_enabled else self.chosen

    @property
    def reader(self) -> Served | None:
        """The model for what is said, where a fusion asks for it."""
        if not self.service.settings.fusion_enabled:
            return None
        return self.service.of_texts(self.language) if self.from_table else self.chosen.part("text", self._cells)

    @property
    def from_table(self) -> bool:
        return self.chosen.reads == {"features"}

    @property
    def fuses(self) -> bool:
        return self.service.settings.fusion_enabled and (self.from_table or self.reader is not None)

    @property
    def _cells(self) -> dict[str, str]:
        return {"language": self.language, **self.fields.columns}

    @property
    def text(self) -> str:
        return self.transcript.text if self.transcript else ""

    @property
    def brings_text(self) -> bool:
        """Whether a share of sentiment that the request brings is an input of the fusion."""
        return not self.fields.model_fields_set.isdisjoint({*TextFeatures.model_fields} & {*self.chosen.table})

    def fall_back(self, reason: str) -> None:
        self.fallback = f"{reason}; the acoustic model answers"
        self.warnings.append(self.fallback)

    async def ask(self, served: Served, stretches: Sequence[decoding.Stretch]) -> list[Outcome]:
        how: dict[str, Any] = {"text": self.text, "language": self.language, "columns": self.fields.columns}
        rows = [self.service.row(served, part.path, seconds=part.seconds, **how) for part in stretches]
        costs = [part.seconds if served.medium else 1.0 for part in stretches]
        return await self.service.batcher.ask(served, rows, costs, self.timings)


async def analyze(
    service: Service, path: Path, folder: Path, fields: AnalyzeFields, timings: Timings
) -> dict[str, Any]:
    """The published answer, with what it lacks beside it. Raises `Refused` or `AffectkitError`."""
    if fields.overlap_ms >= fields.segment_ms:
        raise Refused(422, "overlap_ms must be less than segment_ms", code="validation")
    service.check_text(fields.text or "")
    analysis = Analysis(service, fields, timings, *_chosen(service, fields), fields.hint)
    service.check_columns(analysis.chosen, fields.columns)
    if "audio" not in analysis.chosen.reads and analysis.beside is None:
        raise _deaf(analysis.chosen)  # before anything is decoded
    stride = (fields.segment_ms - fields.overlap_ms) / 1000
    cut = decoding.Cut(fields.segment_ms / 1000, stride, service.settings.max_segments)
    sound = await service.decoder.run(decoding.decode_sound, str(path), str(folder), cut, service.bounds)
    analysis.sound = sound
    timings.lap("decodeMs")
    seconds = sound.whole.seconds + sum(window.seconds for window in sound.windows)
    with service.batcher.capacity.permit("seconds", seconds):
        await _understand(analysis)
        answered = await _answers(analysis)
    return _published(analysis, answered)


def _deaf(served: Served) -> Refused:
    details = {"reads": sorted(served.reads)}
    return Refused(422, f"the model '{served.name}' does not hear recordings", code="input", details=details)


def _chosen(service: Service, fields: AnalyzeFields) -> tuple[Served, Served | None, str]:
    """The model for the clip; the acoustic one of a fusion of a table; and by which strategy."""
    settings = service.settings
    name, strategy = settings.audio.choose(fields.hint)
    routed = service.model(name) if name else None
    if fields.model:
        chosen, strategy = service.model(fields.model), "request"
    elif settings.fusion:
        chosen = service.model(settings.fusion)
    else:
        chosen = next((served for served in service.models.values() if "audio" in served.reads), service.default)
        if routed and chosen.name in settings.audio.names:
            chosen = routed
    beside = (routed or service.reading("audio")) if chosen.reads == {"features"} else None
    return chosen, beside, strategy


async def _understand(analysis: Analysis) -> None:
    """What is said, in which language; and where the request is wrong about it."""
    fields, service, hint = analysis.fields, analysis.service, analysis.fields.hint
    if fields.text is not None:
        analysis.transcript = Spoken(fields.text, written_in(fields.text, hint), "request")
    elif analysis.chosen.reads != {"audio"} and service.settings.fusion_enabled and service.hearing.configured:
        analysis.transcript = await service.hearing.hear(analysis.sound.whole.path)
        analysis.timings.lap("transcribeMs")
    heard = analysis.transcript.language if analysis.transcript else ""
    if hint and heard and heard != hint:
        analysis.warnings.append(f"language_hint is {hint}, and the text is {heard}: it counts as {heard}")
    analysis.language = heard or hint
    if analysis.fuses and analysis.transcript is None and not analysis.brings_text:
        analysis.fall_back("no text: the request has none, and there is no transcriber")


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
    acoustic, sound = analysis.acoustic, analysis.sound
    from_table = analysis.overall.reads == {"features"}
    first = acoustic if from_table else analysis.overall
    text = analysis.reader if from_table and analysis.transcript else None
    asked = [(first, (sound.whole,)), (acoustic, sound.windows if sound.windows != (sound.whole,) else ())]
    asked += [(text, (sound.whole,))] if text else []
    [clip], segments, *texts = await asyncio.gather(*(analysis.ask(*question) for question in asked))
    clip = analysis.service.answered(clip)
    heard = clip.of(acoustic)
    if heard is None:
        raise AffectkitError("input", clip.reason or "the acoustic model gave no answer for the clip")
    of_text = next((said for [said] in texts if isinstance(said, Answer)), clip)
    reader = analysis.reader
    answered = Answered(clip, heard, of_text.of(reader) if reader else None, segments or [heard])
    if from_table:
        answered = await _of_table(analysis, answered)
    if answered.clip.of(analysis.overall) is None:
        analysis.fall_back("the fusion gave no answer")
        answered = replace(answered, clip=heard)
    return answered


async def _of_table(analysis: Analysis, answered: Answered) -> Answered:
    """What a fusion says that was trained on a table."""
    acoustic = fusing.Side(analysis.acoustic, answered.acoustic.row)
    side = fusing.Side(analysis.reader or acoustic.served, answered.text.row if answered.text else None)
    cells = {TEXT: analysis.text, LANGUAGE: analysis.language}
    sides, names = {"audio": acoustic, "text": side}, analysis.overall.table
    features = fusing.features(sides, names, cells, analysis.fields.brought)
    how: dict[str, Any] = {"language": analysis.language, "columns": analysis.fields.columns}
    row = {**analysis.service.row(analysis.overall, "", **how), "features": features}
    [fused] = await analysis.service.batcher.ask(analysis.overall, [row], [1.0], analysis.timings)
    return replace(answered, clip=analysis.service.answered(fused), features=features)


# --- The published answer


def _published(analysis: Analysis, answered: Answered) -> dict[str, Any]:
    overall, acoustic, sound = analysis.overall, analysis.acoustic, analysis.sound
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
    text, said, brought = analysis.reader, answered.text, analysis.fields.brought
    known = brought or TextFeatures().completed()
    if answered.features is not None:
        return {name: answered.features.get(name, value) for name, value in known.items()}
    if analysis.transcript and not brought:
        known["text_length_norm"] = float(length_norm([analysis.text])[0])
    if brought or text is None or text.main is None or said is None:
        return known
    scores = answers.by_polarity(answers.of_target(text.main, said.row)["probabilities"])
    shares = {f"text_{name}": value for name, value in scores.items()}
    return {**known, **shares, "text_negative_score": scores["negative"]}


def _fusion(analysis: Analysis, answered: Answered, main: Mapping[str, Any] | None) -> dict[str, Any]:
    if not analysis.fuses:
        return {"enabled": False, "ready": False}
    overall = analysis.overall
    if analysis.fallback or main is None or overall.main is None:
        reason = analysis.fallback or "the fusion says no class"
        return {"enabled": True, "ready": False, "fallback": overall.name, "reason": reason}
    calibration = overall.calibration.get(overall.main.name, {})
    return {
        "enabled": True,
        "ready": True,
        "labelRaw": main["prediction"],
        "label": answers.emotion_code(main["prediction"]),
        "confidence": main["confidence"],
        "temperature": calibration.get("parameters", {}).get("temperature", 1.0),
        "calibration": calibration.get("method"),
        "scores": {str(answers.emotion_code(name)): value for name, value in main["probabilities"].items()},
        "scoresRaw": main["probabilities"],
        "features": answered.features,
        "without": ["text"] if answered.text is None and not analysis.brings_text else [],
    }


def _meta(analysis: Analysis) -> dict[str, Any]:
    settings, overall, hint = analysis.service.settings, analysis.overall, analysis.fields.hint or None
    return {
        "model": overall.name,
        "modelId": overall.name,
        "modelDigest": overall.digest,
        "engine": settings.engine,
        "routeLanguage": hint,
        "routingStrategy": analysis.strategy,
        "languageHint": hint,
        "language": analysis.language,
        "sampleRate": analysis.sound.rate,
        "durationMs": round(1000 * analysis.sound.whole.seconds),
        "fusionEnabled": settings.fusion_enabled,
        "warnings": analysis.warnings,
    }
