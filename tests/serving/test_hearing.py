"""Recordings without a text: what a transcriber hears in them, and how that is fused and reported."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hostile import wav
from serving_kit import opened, refusal

from affectkit.serving import hearing

TONE = (0.3 * np.sin(np.arange(32000) / 5)).astype(np.float32)


class Parrot:
    """A transcriber that says what it is told to have heard."""

    rate, languages = 8000, ("en", "zh", "de")
    said = SimpleNamespace(text="Der Lappen", language="de", confidence=0.5, words=())

    def load(self, model, *, batch_seconds):
        self.model = model

    def hear(self, waves, languages, *, silence=True):
        assert [len(wave) for wave in waves] == [16000]  # at its own rate
        return [self.said]


@pytest.fixture(scope="module")
def client(models):
    with pytest.MonkeyPatch.context() as patched:
        build = hearing.registry.build
        makes = {"transcribers": lambda *what: Parrot()}
        patched.setattr(hearing.registry, "build", lambda kind, *what: makes.get(kind, partial(build, kind))(*what))
        with opened({"fused": models["fused"]}, transcriber="parrot", max_asr_duration_ms=3000) as client:
            yield client


def heard(monkeypatch, **what):
    monkeypatch.setattr(Parrot, "said", SimpleNamespace(**{**vars(Parrot.said), **what}))


def test_what_is_heard_is_fused_as_if_it_had_been_sent(client):
    by_ear = client.post("/ser/analyze", files={"file": wav(TONE)}).json()
    sent = client.post("/ser/analyze", files={"file": wav(TONE)}, data={"text": "Der Lappen", "language_hint": "de"})
    assert by_ear["fusion"]["ready"] and by_ear["overall"] == sent.json()["overall"]
    assert by_ear["transcript"] == {"text": "Der Lappen", "language": "de", "source": "heard", "confidence": 0.5}
    assert by_ear["timings"]["transcribeMs"] >= 0


def test_a_hint_that_the_recording_contradicts_is_reported(client, monkeypatch):
    heard(monkeypatch, text="我很难过", language="zh")
    meta = client.post("/ser/analyze", files={"file": wav(TONE)}, data={"language_hint": "en"}).json()["meta"]
    assert meta["language"] == "zh" and "language_hint is en" in meta["warnings"][0]


def test_silence_is_fused_without_a_text(client, monkeypatch):
    heard(monkeypatch, text="", language="", confidence=math.nan)
    answer = client.post("/ser/analyze", files={"file": wav(TONE)}).json()
    assert answer["fusion"]["ready"] and answer["fusion"]["without"] == ["text"]
    assert answer["transcript"]["confidence"] is None


def test_what_is_too_quiet_is_not_heard(client):
    """As `transcribe` has it by default: what was trained on and what is served have the same texts."""
    faint = client.post("/asr/transcribe", files={"file": wav(TONE * 1e-3)}).json()
    assert (faint["text"], faint["language"], faint["segments"]) == ("", "", [])
    assert client.post("/asr/transcribe", files={"file": wav(TONE)}).json()["text"] == "Der Lappen"


def test_transcripts_have_segments_between_pauses(client, monkeypatch):
    words = [["so", 0.0, 0.4], ["much", 0.5, 0.8], ["later", 1.6, 1.9]]
    heard(monkeypatch, text="so much later", language="en", words=words)
    answer = client.post("/asr/transcribe", files={"file": wav(TONE)}).json()
    assert answer["text"] == "so much later" and answer["language"] == "en" and answer["meta"]["durationMs"] == 2000
    assert answer["segments"] == [
        {"startMs": 0, "endMs": 800, "text": "so much"}, {"startMs": 1600, "endMs": 1900, "text": "later"}
    ]  # fmt: skip


def test_recordings_above_its_limit_are_refused(client):
    refusal(client.post("/asr/transcribe", files={"file": wav(np.tile(TONE, 2))}), 413, "too_large")
