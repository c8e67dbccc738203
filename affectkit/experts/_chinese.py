"""The sentiment of a Chinese text by common words: `_chinese.txt`, a list of our own

A text is scored as VADER scores it (Hutto and Gilbert 2014): adverbs of degree before a word raise or lower its score,
a negation turns it by -.74, what stands before "but" counts half and what follows 1.5 times, exclamation marks add .292
each, up to four. Words are found by the longest match from left to right.
"""

from __future__ import annotations

import re
from pathlib import Path

_NEGATED, _MARK, _MARKS = -0.74, 0.292, 4
_REACH = 3  # characters without meaning here, across which an adverb still bears on a word
_END = re.compile("[\uff0c\u3002\uff01\uff1f\uff1b\u3001\u2026\uff5e,.!?;~\\s]")
_EXCLAMATION = "!\uff01"


def _read() -> tuple[dict[str, tuple[str, float]], dict[int, int]]:
    """Each word's role and value; and the simplified form of characters."""
    words: dict[str, tuple[str, float]] = {}
    characters = {"from": "", "to": ""}
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        role, *listed = line.split()
        if role in characters:
            characters[role] = "".join(listed)
        elif role in ("but", "plain"):
            words |= dict.fromkeys(listed, (role, 0.0))
        elif role == "not" or role.startswith("x"):
            words |= dict.fromkeys(listed, ("factor", _NEGATED if role == "not" else float(role[1:])))
        elif role != "#":
            words |= dict.fromkeys(listed, ("word", float(role)))
    return words, str.maketrans(characters["from"], characters["to"])


WORDS, _SIMPLIFIED = _read()
_LONGEST = max(map(len, WORDS))


def score(text: str) -> float:
    """The sum of a text's words, before it is brought to -1 to 1."""
    text = text.translate(_SIMPLIFIED)
    scores: list[float] = []
    factor, distance, place, turn = 1.0, 0, 0, 0
    while place < len(text):
        word = next((w for n in range(_LONGEST, 0, -1) if (w := text[place : place + n]) in WORDS), text[place])
        role, value = WORDS.get(word, ("", 0.0))
        if role == "word":
            scores.append(factor * value)
        turn = len(scores) if role == "but" else turn
        distance = 0 if role == "factor" else distance + len(word)
        if role == "factor":
            factor *= value
        elif role in ("word", "but") or distance > _REACH or _END.match(word):
            factor, distance = 1.0, 0
        place += len(word)
    total = sum(scores) if not turn else 0.5 * sum(scores[:turn]) + 1.5 * sum(scores[turn:])
    marks = _MARK * min(_MARKS, sum(text.count(mark) for mark in _EXCLAMATION))
    return total + marks if total > 0 else total - marks if total < 0 else 0.0
