"""Who says what and when in an interview of the twin: the interviewer's prompts, and answers that tell of severity."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from affectkit.instruments import PHQ8_LIKELY
from affectkit.media.cuts import Bounds
from affectkit.synthesis import texts, twins
from affectkit.synthesis.faces import Person
from affectkit.synthesis.voices import Voice, draw_voice, speak

RATE = 16000
GAP = 0.25  # seconds of silence between turns
FIRST = "300"  # the session in which something was scrubbed, and somebody laughs
WORDS_NOISE, VOICE_NOISE = 0.5, 1.0  # what a session adds to severity, in its standard deviations
ASKED = (0.04, 0.95)  # how likely the interviewer is to ask about a diagnosis, of those without and with depression
OPENING = ("how_doingV", "so how are you doing today")
PROMPTS = (
    ("where_originally", "where are you from originally"), ("why_la", "why did you move to l_a"),
    ("easy_sleep", "how easy is it to sleep well"), ("dream_job", "what is your dream job"),
    ("travel_trips", "do you travel a lot"), ("family_relationship", "how close are you to them"),
    ("proud_of", "what are you most proud of"), ("advice_back", "what advice would you give yourself"),
    ("argued_someone", "when did you last argue"), ("what_fun", "what do you do for fun"),
)  # fmt: skip
TELLING = (
    ("diagnosed_ago", "how long ago were you diagnosed"), ("therapy_still", "do you still go to therapy"),
    ("symptoms_first", "what were your symptoms"), ("therapy_useful", "is therapy useful to you"),
)  # fmt: skip


@dataclass(frozen=True)
class Participant:
    """score: PHQ-8. items: its parts, by name. part: of the split. severity: the score in standard deviations."""

    session: str
    sex: str
    part: str
    score: int
    items: dict[str, int]
    voice: Voice
    face: Person

    @property
    def severity(self) -> float:
        return (self.score - 7.0) / 6.0

    @property
    def depressed(self) -> bool:
        return self.score >= PHQ8_LIKELY


@dataclass(frozen=True)
class Said:
    """A part of the recording in which somebody speaks. start, stop: its seconds. text: as the transcript has it."""

    speaker: str
    start: float
    stop: float
    text: str


def talker(sex: str, rng: np.random.Generator) -> Voice:
    """A voice that is quick: interviews stay short, and their series small."""
    voice = draw_voice(sex, rng)
    return replace(voice, pace=1.35 * voice.pace)


class _Tape:
    """What is recorded, one after the other, with a silence of `GAP` behind each. clock: seconds of it so far."""

    def __init__(self, silence: float) -> None:
        self.clock, self.said = silence, list[Said]()
        self.pieces = [np.zeros(round(silence * RATE), np.float32)]

    def add(self, speaker: str, samples: np.ndarray, text: str) -> None:
        seconds = len(samples) / RATE
        self.said.append(Said(speaker, self.clock, self.clock + seconds, text))
        self.pieces += [samples, np.zeros(round(GAP * RATE), np.float32)]
        self.clock += seconds + round(GAP * RATE) / RATE

    def add_what_was_scrubbed(self, rng: np.random.Generator) -> Bounds:
        """After a laugh, half a second that the corpus silenced, which is returned, and half a second of laughter."""
        last = self.said[-1]
        self.said[-1] = replace(last, text=f"<laughter> {last.text}")
        start = self.clock
        self.add("Participant", np.zeros(RATE // 2, np.float32), "scrubbed_entry")
        self.add("Participant", 0.01 * rng.standard_normal(RATE // 2).astype(np.float32), "<laughter>")
        return start, start + 0.5

    def sound(self, silent: Bounds | None, rng: np.random.Generator) -> np.ndarray:
        """[T] float32, with some noise but where it is silent."""
        sound = np.concatenate(self.pieces)
        heard = np.ones(len(sound), np.float32)
        if silent:
            heard[round(silent[0] * RATE) : round(silent[1] * RATE)] = 0
        return sound + 3e-4 * heard * rng.standard_normal(len(sound)).astype(np.float32)


def interview(
    person: Participant, turns: int, rng: np.random.Generator, seed: int, prompts: dict[str, np.ndarray], lead: float
) -> tuple[list[Said], np.ndarray, Bounds | None]:
    """Who says what and when, the sound of it [T] float32, and the seconds that were scrubbed, if any.

    prompts: the interviewer's, by what they are called, which are recorded once. lead: seconds of silence first.
    """
    mood, tone = person.severity + rng.normal(0, (WORDS_NOISE, VOICE_NOISE))
    label, intensity = ("sadness" if tone > 0 else "happiness"), float(min(1.5, 0.5 * abs(tone)))
    tape = _Tape(lead)
    for code, words in _prompts(person, turns, rng):
        if code not in prompts:
            ellie, own = talker("female", twins.generator(seed, "ellie")), twins.generator(seed, "prompt", code)
            prompts[code] = speak(ellie, "neutral", words, rate=RATE, rng=own)
        tape.add("Ellie", prompts[code], f"{code} ({words})" if int(person.session) % 2 else words)
        text = _spoken(texts.sentence(_affect(mood, rng), rng))
        tape.add("Participant", speak(person.voice, label, text, rate=RATE, rng=rng, intensity=intensity), text)
    scrubbed = tape.add_what_was_scrubbed(rng) if person.session == FIRST else None
    return tape.said, tape.sound(scrubbed, rng), scrubbed


def _affect(mood: float, rng: np.random.Generator) -> texts.Affect:
    """Valence, arousal and dominance of an answer; the first is the lower, the more severe."""
    drawn = rng.normal((0.2 - 0.6 * mood, -0.05, 0.0), (0.25, 0.3, 0.3))
    valence, arousal, dominance = np.clip(drawn, -1, 1).tolist()
    return valence, arousal, dominance


def _prompts(person: Participant, turns: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """The interviewer's prompts, one before each turn; about a diagnosis where she was told to ask."""
    chosen = [OPENING, *(PROMPTS[place] for place in rng.integers(len(PROMPTS), size=turns - 1))]
    if rng.random() < ASKED[person.depressed]:
        count = min(len(TELLING), max(1, turns // 2))
        places = turns - 1 - rng.permutation(max(1, turns - 1))[:count]
        for place, which in zip(places, rng.permutation(len(TELLING)), strict=False):
            chosen[place] = TELLING[which]
    return chosen


def _spoken(sentence: str) -> str:
    """A sentence as transcribers write it: small letters, hardly a sign."""
    return " ".join("".join(sign for sign in sentence.lower() if sign.isalpha() or sign in " '").split())


def lines_of(said: Said) -> list[tuple[float, float, str, str]]:
    """One line of the transcript, or two where somebody says more, with a short pause between them."""
    words, middle = said.text.split(), (said.start + said.stop) / 2
    if said.speaker == "Ellie" or len(words) < 6:
        return [(said.start, said.stop, said.speaker, said.text)]
    half = len(words) // 2
    first, second = " ".join(words[:half]), " ".join(words[half:])
    return [(said.start, middle - 0.05, said.speaker, first), (middle + 0.05, said.stop, said.speaker, second)]
