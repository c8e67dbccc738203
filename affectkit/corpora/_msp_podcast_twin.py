"""The files of MSP-Podcast's synthetic twin."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from affectkit.corpora.msp_podcast import CLASSES, COLUMNS, RATINGS
from affectkit.synthesis import scores, texts, twins
from affectkit.synthesis.voices import Voice, draw_voice

WEIGHTS = {"N": 35.0, "H": 22.0, "A": 13.0, "S": 11.0, "X": 8.0, "D": 3.0, "C": 3.0, "U": 3.0, "F": 1.0, "O": 1.0}
PARTS = ("Train", "Train", "Test1", "Train", "Development")  # of the speakers, in turn
UNKNOWN = 0.1  # share of segments whose speaker nobody identified, all in Test2


def write(root: Path, voices: Mapping[str, Voice], size: int, seed: int) -> None:
    """Deal the segments to speakers, podcasts and partitions, record, rate and write them."""
    rows, details = [], {}
    strangers = [f"Stranger{n}" for n in range(round(size * UNKNOWN))]
    dealt = twins.deal(size - len(strangers), list(voices), WEIGHTS)
    dealt += twins.deal(len(strangers), strangers, WEIGHTS) if strangers else []
    for index, (speaker, code) in enumerate(dealt):
        rng = twins.generator(seed, "segment", index)
        voice = voices[speaker] if speaker in voices else draw_voice("", rng)
        place = list(voices).index(speaker) if speaker in voices else len(voices)
        name = f"MSP-PODCAST_{place + 1:04d}_{index + 1:04d}.wav"
        part = PARTS[place % len(PARTS)] if speaker in voices else "Test2"
        person = (speaker, voice.sex.capitalize()) if speaker in voices else ("Unknown", "Unknown")
        numbers, details[name] = _segment(root, name, code, voice, rng)
        rows.append([name, code, *numbers, *person, part])
    twins.write_rows(root / "Labels/labels_consensus.csv", COLUMNS, rows)
    (root / "Labels/labels_detailed.json").write_text(json.dumps(details, indent=1) + "\n", encoding="utf-8")


def _segment(
    root: Path, name: str, code: str, voice: Voice, rng: np.random.Generator
) -> tuple[list[float], dict[str, dict[str, object]]]:
    """Record a segment and its transcript; its mean arousal, valence and dominance, and what each rater said."""
    intensity = scores.draw_intensity(rng)
    affect = scores.draw_affect(CLASSES[code], intensity, rng)
    text = texts.sentence(affect, rng)
    twins.record(root / "Audios" / name, voice, CLASSES[code], text, rng, intensity=intensity)
    transcript = root / "Transcripts" / name.replace(".wav", ".txt")
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.write_text(text + "\n", encoding="utf-8")
    ratings = scores.rate(affect, (1, 7), rng, raters=5)
    words = list(RATINGS.values())
    classes = scores.vote(CLASSES[code] if CLASSES[code] in words else "neutral", words, rng, raters=5)
    spoken = {word: tick.capitalize() for tick, word in RATINGS.items()}
    raters: dict[str, dict[str, object]] = {
        f"WORKER{n:08d}": {"EmoClass_Major": spoken[word], "EmoAct": a, "EmoVal": v, "EmoDom": d}
        for n, (word, (v, a, d)) in enumerate(zip(classes, ratings, strict=True), start=1)
    }
    means = [sum(r[dimension] for r in ratings) / len(ratings) for dimension in (1, 0, 2)]
    return means, raters
