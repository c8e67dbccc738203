"""A source-filter voice: glottal pulses and breath noise through formant resonators.

It sounds like nobody, and is meant to: what counts is that openSMILE and wav2vec2 find in it what they find in speech
(voiced and unvoiced frames, F0, jitter, formants, loudness peaks per second, spectral slope), that emotion and speaker
both move those, and that they overlap. Each utterance departs from its emotion's prosody, speakers differ in how much
they express, and so a classifier with 88 eGeMAPS functionals stays well under perfect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affectkit.synthesis.emotions import EMOTIONS

# F1, F2, F3 in Hz of an adult male vocal tract (Peterson and Barney 1952, rounded), and of a neutral F4.
VOWELS = {
    "a": (730, 1090, 2440, 3500),
    "e": (530, 1840, 2480, 3500),
    "i": (270, 2290, 3010, 3500),
    "o": (570, 840, 2410, 3500),
    "u": (300, 870, 2240, 3500),
}
ONSET = 0.3  # the part of a syllable before its vowel: voiced frames are then about 60 %, as in EmoDB
BANDWIDTHS = (80.0, 100.0, 140.0, 250.0)  # Hz, of F1 to F4
LETTERS = {"ä": "e", "ö": "e", "ü": "i", "y": "i"}


@dataclass(frozen=True)
class Voice:
    """A speaker. pitch: Hz. tract: factor on the formants. pace: syllables per second. level: dB re full scale.

    tilt: dB at 4 kHz. rough: percent jitter. breath: dB of noise re the pulses. expression: factor on every emotion.
    """

    sex: str
    pitch: float
    tract: float
    pace: float
    level: float
    tilt: float
    rough: float
    breath: float
    expression: float


def draw_voice(sex: str, rng: np.random.Generator) -> Voice:
    """A random speaker of that sex, "female" or "male"; any other sex draws one of the two."""
    female = sex == "female" or (sex != "male" and rng.random() < 0.5)
    return Voice(
        sex=sex,
        pitch=float((205.0 if female else 115.0) * 2 ** (rng.normal(0, 2.0) / 12)),
        tract=float((1.16 if female else 1.0) * rng.normal(1, 0.04)),
        pace=float(rng.normal(4.8, 0.4)),
        level=float(rng.normal(-24, 2.0)),
        tilt=float(rng.normal(-3 if female else 0, 2.0)),
        rough=float(rng.uniform(0.4, 1.0)),
        breath=float(rng.normal(-36 if female else -40, 2.0)),
        expression=float(np.clip(rng.normal(1, 0.2), 0.6, 1.4)),
    )


def vowels_of(text: str) -> list[str]:
    """One vowel per syllable: runs of vowel letters, and one for each letter of a script that has none (Chinese)."""
    vowels: list[str] = []
    previous = ""
    for letter in text.lower():
        vowel = LETTERS.get(letter, letter)
        if ord(letter) > 0x2E80 and letter.isalpha():
            vowels.append("aeiou"[ord(letter) % 5])
        elif vowel in VOWELS and previous not in VOWELS:
            vowels.append(vowel)
        previous = vowel
    return vowels or ["a"]


def speak(
    voice: Voice, emotion: str, text: str, *, rate: int, rng: np.random.Generator, intensity: float = 1.0
) -> np.ndarray:
    """`text` said by `voice` in an emotion of `EMOTIONS`, [T] float32 in [-1, 1] at `rate` Hz, mostly 1 to 4 s.

    intensity: factor on the emotion's prosody, as a rater would hear it; 0 is neutral.
    """
    prosody, effect = EMOTIONS[emotion], voice.expression * intensity
    vowels = vowels_of(text)[:16]
    pace = voice.pace * prosody.pace**effect * np.exp(rng.normal(0, 0.07))
    lengths = rng.normal(1, 0.15, len(vowels)).clip(0.6, 1.5) / pace
    lengths *= np.clip(lengths.sum(), 0.9, 4.2) / lengths.sum()
    edges = (np.concatenate([[0.0], lengths.cumsum()]) * rate).astype(int)

    semitones = prosody.pitch * effect + rng.normal(0, 1.5)
    span = 2.0 * prosody.span**effect * np.exp(rng.normal(0, 0.25))
    rough = max(0.1, voice.rough + prosody.rough * effect + rng.normal(0, 0.3)) / 100
    # a contour of about unit deviation: falling over the phrase, one accent per syllable
    accents = rng.normal(0, 0.8, len(edges)) + np.linspace(0.8, -0.8, len(edges))
    melody = np.interp(np.arange(edges[-1]), edges, accents)
    f0 = voice.pitch * 2 ** ((semitones + span * melody) / 12)
    source = _pulses(f0, rough, rate, rng) * _syllables(edges, rng)
    source = _tilted(source, voice.tilt + prosody.tilt * effect + rng.normal(0, 2.0), rate)

    breath = 10 ** ((voice.breath + prosody.breath * effect + rng.normal(0, 2.0)) / 20)
    source += breath * np.sqrt(np.mean(source**2)) * rng.standard_normal(len(source))
    speech = _tract(source, vowels, edges, voice.tract, rate) + _consonants(edges, rate, rng)

    level = voice.level + prosody.level * effect + rng.normal(0, 2.0)
    speech *= 10 ** (level / 20) / np.sqrt(np.mean(speech**2))
    pad = np.zeros(int(rng.uniform(0.05, 0.2) * rate))
    speech = np.concatenate([pad, speech, pad]) + rng.standard_normal(len(speech) + 2 * len(pad)) * 3e-4
    return np.tanh(speech).astype(np.float32)  # a soft ceiling: loud clips saturate a little instead of wrapping


def _pulses(f0: np.ndarray, rough: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """The derivative of the glottal flow t^2 - t^3 over an open phase of 60 % of each cycle (Klatt and Klatt 1990)."""
    cycles = int(f0.sum() / rate) + 2
    jitter = 1 + rough * rng.standard_normal(cycles)
    shimmer = 1 + 4 * rough * rng.standard_normal(cycles)
    steady = np.minimum((f0.cumsum() / rate).astype(int), cycles - 1)
    phase = (f0 * jitter[steady]).cumsum() / rate
    cycle = np.minimum(phase.astype(int), cycles - 1)
    opening = (phase - np.floor(phase)) / 0.6
    return np.where(opening < 1, 2 * opening - 3 * opening**2, 0.0) * shimmer[cycle]


def _syllables(edges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The energy envelope [T]: after its onset a bump per syllable, stressed or not, fading over the phrase."""
    envelope = np.zeros(edges[-1])
    stress = rng.uniform(0.6, 1.0, len(edges) - 1) * np.linspace(1, 0.75, len(edges) - 1)
    for start, end, height in zip(edges[:-1], edges[1:], stress, strict=True):
        place = np.clip((np.arange(start, end) - start) / (end - start) - ONSET, 0, None) / (1 - ONSET)
        envelope[start:end] = height * np.sin(np.pi * place) ** 0.7
    return envelope


def _tilted(signal: np.ndarray, decibels: float, rate: int) -> np.ndarray:
    """Add a first-order shelf: about `decibels` at 4 kHz, none at 0 Hz."""
    from scipy.signal import lfilter

    gain, pole = 10 ** (decibels / 20), np.exp(-2 * np.pi * 1500 / rate)
    low = lfilter([1 - pole], [1, -pole], signal)
    return low + gain * (signal - low)


def _tract(source: np.ndarray, vowels: list[str], edges: np.ndarray, tract: float, rate: int) -> np.ndarray:
    """Filter with every vowel that occurs and fade between them: no clicks, no time-varying filter."""
    from scipy.signal import sosfilt

    centres = (edges[:-1] + edges[1:]) / 2
    times = np.arange(len(source))
    speech = np.zeros(len(source))
    for vowel in sorted(set(vowels)):
        weight = np.interp(times, centres, [float(v == vowel) for v in vowels])
        speech += weight * sosfilt(_resonators(vowel, tract, rate), source)
    return speech / np.sqrt(np.mean(speech**2))


def _resonators(vowel: str, tract: float, rate: int) -> np.ndarray:
    """Two-pole resonators of unit gain at 0 Hz, one per formant (Klatt 1980), as second-order sections."""
    sections = []
    for formant, width in zip(VOWELS[vowel], BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / rate)
        b = -2 * radius * np.cos(2 * np.pi * formant * tract / rate)
        c = radius**2
        sections.append([1 + b + c, 0, 0, 1, b, c])
    return np.array(sections)


def _consonants(edges: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """High-passed noise of 50 ms at two in three syllable onsets, some 25 dB under the vowels."""
    noise = np.zeros(edges[-1])
    width = int(0.05 * rate)
    for start in edges[:-1][rng.random(len(edges) - 1) < 0.67]:
        burst = rng.standard_normal(min(width, edges[-1] - start))
        noise[start : start + width] += np.diff(burst, prepend=0.0) * np.hanning(len(burst)) * rng.uniform(0.03, 0.12)
    return noise
