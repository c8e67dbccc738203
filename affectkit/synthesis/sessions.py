"""The twin of self-recorded sessions: seconds of stress that posture and voice show, and scores of whole sessions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectkit.synthesis import films, postures, texts, twins
from affectkit.synthesis.voices import Voice, speak

LABELS, FRAMES = "labels.json", "frames"
RATES = (25.0, 30000 / 1001, 30.0, None)  # frames a second, None of a rate that varies
SESSION_SEC = (20, 60)  # about the shortest and the longest, where the twin is large enough
UNRATED = 0.05  # share of the seconds
MISSING = 1 / 3  # share of the sessions without a score
SCORES = {"depression": 27, "anxiety": 21}  # highest: of the PHQ-9 and the GAD-7
SOUND_HZ = 8000
PICTURED = 5  # of so many folders the last has frames instead of a sound, and the one before a video too
PIXELS = 96


@dataclass(frozen=True)
class Act:
    """One session of the twin. stress: [S] 1 to 5, NaN where nobody said it. scores: NaN without."""

    subject: str
    session: str
    stress: np.ndarray
    tension: np.ndarray
    scores: Mapping[str, float]

    @property
    def stem(self) -> str:
        return f"{self.subject}_{self.session}"


def write_sessions(root: Path, *, size: int, speakers: int, seed: int, layout: str) -> None:
    """Write `size` seconds of `speakers` subjects. layout: a `table` beside recordings, or `folders` of labels.json."""
    twins.write_readme(root, "sessions", size=size, speakers=speakers, seed=seed, session_layout=layout)
    lines: list[tuple[object, ...]] = []
    for number, (act, sitter, voice) in enumerate(_acts(size, speakers, seed)):
        rng = twins.generator(seed, "session", act.stem)
        times = postures.frame_times(float(len(act.stress)), RATES[number % len(RATES)], rng)
        body = postures.sit(sitter, times, np.interp(times, np.arange(len(act.stress)) + 0.5, act.tension), rng)
        folders = layout == "folders"
        place = root / act.subject / act.session if folders else root / "recordings"
        place.mkdir(parents=True, exist_ok=True)
        landmarks = place / ("landmarks.csv" if folders else f"{act.stem}_landmarks.csv")
        text = "\n".join([",".join(postures.header()), *postures.as_lines(times, body)]) + "\n"
        landmarks.write_text(text, encoding="utf-8")
        kind = number % PICTURED if folders else 0
        if kind == PICTURED - 1:
            for second in range(len(act.stress)):
                frame = body[np.searchsorted(times, second + 0.5).clip(max=len(times) - 1)]
                twins.save_image(place / f"{FRAMES}/frame_{second + 1:04d}.jpg", postures.draw_frame(frame))
        else:
            _talk(place / ("audio.wav" if folders else f"{act.stem}.wav"), voice, act, rng)
        if kind == PICTURED - 2:
            images = [postures.draw_frame(frame, PIXELS) for frame in body]
            films.write_film(place / "video.mp4", images, times.tolist(), float(len(act.stress)))
        if folders:
            _write_labels(place / LABELS, act)
        else:
            lines += _lines(act)
    if layout == "table":
        header = ("video", "start_sec", "end_sec", "subject", "session", "stress", *SCORES, "notes")
        twins.write_rows(root / "sessions.csv", header, lines)


def _acts(size: int, speakers: int, seed: int) -> Iterator[tuple[Act, postures.Sitter, Voice]]:
    if size < speakers:
        raise twins.usage(f"--size {size}: each of {speakers} subjects has a second at least", "ask for a larger one")
    voices = twins.cast({f"p{n:02d}": "female" if n % 2 else "male" for n in range(1, speakers + 1)}, speakers, seed)
    number = 0
    recorded = _parts(size, speakers, twins.generator(seed, "lengths"))
    for seconds, (subject, voice) in zip(recorded, voices.items(), strict=True):
        rng = twins.generator(seed, "person", subject)
        burden, worry = rng.beta(1.2, 2.5), rng.beta(1.5, 2.5)
        sitter = postures.draw_sitter(rng, burden=burden)
        level = 2.2 + 2.0 * worry + rng.normal(0, 0.3)
        sessions = min(seconds, max(1, round(2 * seconds / sum(SESSION_SEC))))
        for part, length in enumerate(_parts(seconds, sessions, rng), start=1):
            stress = level + rng.normal(0, 0.6) + 0.9 * _slow(length, rng)
            said = np.rint(stress + rng.normal(0, 0.35, length)).clip(1, 5)
            said[rng.random(length) < UNRATED] = np.nan
            low = {"depression": burden, "anxiety": worry}
            rated = {
                name: round(float(np.clip(most * low[name] + rng.normal(0, 1.5), 0, most)))
                for name, most in SCORES.items()
            }
            gaps = {"depression": 0, "anxiety": 1}
            scored = {n: math.nan if number % 3 == gaps[n] else float(value) for n, value in rated.items()}
            yield Act(subject, f"s{part}", said, ((stress - 1) / 4).clip(0, 1), scored), sitter, voice
            number += 1


def _parts(seconds: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` lengths in whole seconds, of which the longest is about three times the shortest, and none is 0. They
    add up to `seconds`."""
    low, high = SESSION_SEC
    shares = rng.uniform(low, high, count).cumsum()
    cuts = np.rint(np.array([0.0, *shares]) / shares[-1] * (seconds - count)).astype(int)
    return [int(length) + 1 for length in np.diff(cuts)]


def _slow(length: int, rng: np.random.Generator) -> np.ndarray:
    """[length] a walk of about unit deviation that forgets in some ten seconds."""
    walk = np.empty(length)
    value = float(rng.standard_normal())
    for second in range(length):
        value = 0.9 * value + math.sqrt(1 - 0.9**2) * float(rng.standard_normal())
        walk[second] = value
    return walk


def _talk(path: Path, voice: Voice, act: Act, rng: np.random.Generator) -> None:
    """The session's sound: sentences, the more fearful the more stress, one after another."""
    samples = np.zeros(len(act.stress) * SOUND_HZ, dtype=np.float32)
    place = 0
    while place < len(samples):
        tension = float(act.tension[place // SOUND_HZ])
        clip = speak(voice, "fear", texts.plain_sentence(rng), rate=SOUND_HZ, rng=rng, intensity=1.5 * tension)
        clip = clip[: len(samples) - place]
        samples[place : place + len(clip)] = clip
        place += len(clip) + int(rng.uniform(0.1, 0.5) * SOUND_HZ)
    twins.save_sound(path, samples, SOUND_HZ)


def _lines(act: Act) -> list[tuple[object, ...]]:
    """The rows of the table, one for each second."""
    scores = [_cell(value) for value in act.scores.values()]
    note = "seated, at a desk" if act.session == "s1" else ""
    names = (f"recordings/{act.stem}.wav",), (act.subject, act.session)
    return [
        (*names[0], second, second + 1, *names[1], _cell(stress), *scores, note)
        for second, stress in enumerate(act.stress)
    ]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:g}"


def _write_labels(path: Path, act: Act) -> None:
    labels = [None if math.isnan(value) else int(value) for value in act.stress]
    scores = {name: int(value) for name, value in act.scores.items() if not math.isnan(value)}
    data = {"stress_labels": labels, "subject_id": act.subject, "session_id": act.session, **scores, "notes": ""}
    path.write_text(json.dumps(data) + "\n", encoding="utf-8")
