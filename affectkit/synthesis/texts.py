"""Sentences from a small grammar, whose words carry valence, arousal and dominance.

A word is drawn with a weight that falls with its distance from the wanted affect, so n-grams can learn what a sentence
means, and a share of the words are drawn regardless, so they cannot learn it perfectly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from affectkit.registry import Option
from affectkit.synthesis.emotions import EMOTIONS, named

Affect = tuple[float, float, float]
SentencesOpt = Annotated[
    Literal["parallel", "telling", "clear"],
    Option(
        "What is said: parallel, the same sentences in every emotion, which tell nothing of it; telling, words that "
        "tell it for the most part; clear, words that tell it clearly."
    ),
]


@dataclass(frozen=True)
class Choice:
    """How words are chosen.

    width: how far from the wanted affect they still come, on [-1, 1]. noise: share of words drawn regardless of it.
    """

    width: float
    noise: float


TELLING, CLEAR = Choice(0.33, 0.12), Choice(0.2, 0.0)

# (words, valence, arousal, dominance), all our own judgement
OPENERS: Sequence[tuple[str, Affect]] = [
    ("yay", (0.8, 0.7, 0.3)), ("great", (0.7, 0.4, 0.3)), ("wow", (0.4, 0.8, -0.2)), ("goodness", (0.1, 0.7, -0.3)),
    ("ugh", (-0.6, 0.2, 0.1)), ("yuck", (-0.7, 0.3, 0.2)), ("oh no", (-0.6, 0.5, -0.6)), ("help", (-0.6, 0.8, -0.7)),
    ("enough", (-0.5, 0.7, 0.6)), ("how dare you", (-0.7, 0.8, 0.7)), ("alas", (-0.5, -0.4, -0.5)),
    ("hm", (0.0, -0.3, 0.0)), ("well", (0.0, 0.0, 0.1)), ("okay", (0.1, -0.1, 0.1)), ("yawn", (-0.2, -0.8, -0.1)),
    ("whatever", (-0.4, -0.4, 0.2)), ("lovely", (0.7, 0.1, 0.2)), ("easy now", (0.3, -0.5, 0.3)),
]  # fmt: skip
ADJECTIVES: Sequence[tuple[str, Affect]] = [
    ("wonderful", (0.9, 0.5, 0.3)), ("delightful", (0.8, 0.4, 0.2)), ("thrilling", (0.6, 0.9, 0.3)),
    ("funny", (0.7, 0.5, 0.2)), ("peaceful", (0.6, -0.6, 0.2)), ("cosy", (0.5, -0.4, 0.1)),
    ("unbelievable", (0.2, 0.7, -0.2)), ("sudden", (0.0, 0.7, -0.3)), ("strange", (-0.1, 0.4, -0.2)),
    ("terrifying", (-0.7, 0.8, -0.7)), ("dangerous", (-0.6, 0.6, -0.5)), ("threatening", (-0.6, 0.6, -0.5)),
    ("outrageous", (-0.7, 0.8, 0.5)), ("unfair", (-0.6, 0.5, 0.3)), ("infuriating", (-0.7, 0.8, 0.5)),
    ("disgusting", (-0.8, 0.3, 0.2)), ("rotten", (-0.7, 0.1, 0.1)), ("filthy", (-0.6, 0.2, 0.2)),
    ("hopeless", (-0.7, -0.4, -0.6)), ("lonely", (-0.6, -0.5, -0.5)), ("tragic", (-0.7, -0.2, -0.5)),
    ("dull", (-0.3, -0.6, -0.1)), ("endless", (-0.3, -0.5, -0.2)), ("tedious", (-0.4, -0.6, 0.0)),
    ("normal", (0.0, -0.1, 0.0)), ("ready", (0.1, 0.0, 0.2)), ("early", (0.0, 0.0, 0.0)), ("blue", (0.0, -0.1, 0.0)),
    ("ordinary", (0.0, -0.2, 0.0)), ("pathetic", (-0.6, 0.0, 0.5)),
]  # fmt: skip
VERBS: Sequence[tuple[str, Affect]] = [
    ("love", (0.9, 0.5, 0.3)), ("enjoy", (0.7, 0.3, 0.3)), ("celebrate", (0.8, 0.8, 0.4)), ("like", (0.4, 0.1, 0.2)),
    ("hate", (-0.8, 0.7, 0.5)), ("will not tolerate", (-0.6, 0.7, 0.7)), ("am sick of", (-0.6, 0.3, 0.2)),
    ("dread", (-0.6, 0.5, -0.6)), ("am scared of", (-0.7, 0.7, -0.7)), ("cannot stomach", (-0.7, 0.3, 0.2)),
    ("miss", (-0.4, -0.3, -0.4)), ("mourn", (-0.7, -0.5, -0.5)), ("gave up on", (-0.6, -0.4, -0.5)),
    ("never expected", (0.1, 0.7, -0.3)), ("cannot believe", (0.0, 0.8, -0.2)), ("slept through", (-0.2, -0.7, -0.1)),
    ("wait for", (-0.1, -0.3, -0.1)), ("know", (0.0, 0.0, 0.1)), ("saw", (0.0, 0.0, 0.0)),
    ("look after", (0.3, -0.2, 0.2)),
]  # fmt: skip
THINGS = (
    "the party", "this letter", "the meeting", "our house", "that song", "the kitchen", "the train", "his story",
    "the garden", "your answer", "the weather", "this town", "the phone call", "her plan", "the lesson", "the dog",
)  # fmt: skip
PEOPLE = ("my brother", "the neighbour", "everybody", "the teacher", "our boss", "a friend", "she", "he")
TIMES = ("today", "again", "this morning", "last night", "at work", "after all", "in the end", "on monday")
TEMPLATES = (
    "{Opener}, I {verb} {thing}.",
    "{Opener}! {Thing} was {adjective} {time}.",
    "I {verb} {thing} {time}.",
    "{Person} said {thing} is {adjective}.",
    "{Opener}, {thing} {time}, so {adjective}.",
    "{Thing} looks {adjective} and {person} knows it.",
)
PLAIN = (
    "{Person} walked past {place} {time}.",
    "{Person} left {thing} near {place}.",
    "{Thing} is behind {place} {time}.",
)
PLACES = ("the station", "the bridge", "the old mill", "the market", "the river", "the library", "the corner")
MANDARIN = (
    ("今天", "昨天", "明天", "早上", "晚上", "周末"),
    ("我们", "他们", "老师", "妈妈", "朋友", "邻居"),
    ("在公园里", "在学校", "在家里", "在车站", "在图书馆"),
    ("看书", "喝茶", "等车", "说话", "吃饭", "听音乐"),
)

MANDARIN_FEELINGS: Sequence[tuple[str, Affect]] = [
    ("真高兴", (0.8, 0.5, 0.3)), ("太好了", (0.8, 0.6, 0.3)), ("很喜欢", (0.7, 0.3, 0.2)),
    ("笑个不停", (0.8, 0.6, 0.3)),
    ("心里很踏实", (0.5, -0.5, 0.3)), ("气死了", (-0.7, 0.8, 0.6)), ("太过分了", (-0.6, 0.7, 0.5)),
    ("谁也别拦我", (-0.6, 0.7, 0.7)), ("真讨厌", (-0.6, 0.5, 0.4)), ("好难过", (-0.6, -0.4, -0.5)),
    ("很孤单", (-0.6, -0.5, -0.5)), ("没有希望", (-0.7, -0.4, -0.6)), ("想哭", (-0.6, -0.3, -0.6)),
    ("吓坏了", (-0.6, 0.7, -0.7)), ("和平常一样", (0.0, -0.2, 0.0)), ("没什么特别", (0.0, -0.2, 0.0)),
    ("还可以", (0.1, -0.1, 0.1)), ("有点困", (-0.1, -0.7, -0.1)), ("真没想到", (0.2, 0.7, -0.2)),
    ("吓了一跳", (0.0, 0.8, -0.4)), ("居然是这样", (0.2, 0.7, -0.2)),
]  # fmt: skip


def sentence(affect: Affect, rng: np.random.Generator, choice: Choice = TELLING) -> str:
    """An English sentence about an affect (valence, arousal, dominance in [-1, 1])."""
    template = _any(TEMPLATES, rng)
    opener, adjective, verb = (_word(words, affect, rng, choice) for words in (OPENERS, ADJECTIVES, VERBS))
    thing, person, time = (_any(words, rng) for words in (THINGS, PEOPLE, TIMES))
    return _fill(template, opener=opener, adjective=adjective, verb=verb, thing=thing, person=person, time=time)


def plain_sentence(rng: np.random.Generator) -> str:
    """An English sentence that says nothing of emotion, as corpora with prescribed texts use."""
    template = _any(PLAIN, rng)
    thing, person, time, place = (_any(words, rng) for words in (THINGS, PEOPLE, TIMES, PLACES))
    return _fill(template, thing=thing, person=person, time=time, place=place)


def clear_sentence(label: str, rng: np.random.Generator, *, mandarin: bool = False) -> str:
    """A sentence in words that are near to an emotion's own affect, with none that are drawn regardless."""
    return (mandarin_sentence if mandarin else sentence)(EMOTIONS[named(label)].affect, rng, CLEAR)


def plain_mandarin(rng: np.random.Generator) -> str:
    """A Mandarin sentence that says nothing of emotion."""
    return "".join(_any(part, rng) for part in MANDARIN) + "。"


def mandarin_sentence(affect: Affect, rng: np.random.Generator, choice: Choice = TELLING) -> str:
    """A Mandarin sentence about an affect (valence, arousal, dominance in [-1, 1])."""
    time, person, place, verb = (_any(part, rng) for part in MANDARIN)
    return f"{time}{person}{place}{verb}\uff0c{_word(MANDARIN_FEELINGS, affect, rng, choice)}。"


def _word(words: Sequence[tuple[str, Affect]], affect: Affect, rng: np.random.Generator, choice: Choice) -> str:
    distance = ((np.array([place for _, place in words]) - np.array(affect)) ** 2).sum(axis=1)
    weights = np.exp(-distance / (2 * choice.width**2))
    weights = (1 - choice.noise) * weights / weights.sum() + choice.noise / len(words)
    return words[rng.choice(len(words), p=weights)][0]


def _any(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _fill(template: str, **slots: str) -> str:
    capitals = {name.capitalize(): word[0].upper() + word[1:] for name, word in slots.items()}
    return template.format(**slots, **capitals)
