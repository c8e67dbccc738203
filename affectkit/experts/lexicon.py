"""Sentiment by a lexicon, English and Chinese: no network and no download

English is read by VADER (Hutto and Gilbert 2014), Chinese by a small list of common words of our own. Both give one
number c from -1 to 1, VADER's compound; negative, neutral and positive are the softmax of 3 * (-c, .05, c), so that a
text is positive or negative beyond +-.05, as VADER's authors have it. The language is the row's column language, else
the script of the text; other languages are declined. Where the manifest has a valence, c is an answer for it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.experts._texts import TextAnswers, TextExpert, Texts
from affectkit.media.texts import language_of

medium = Texts  # what it reads, with the options of all that read it

_SHARPNESS, _THRESHOLD = 3.0, 0.05
_ALPHA = 15.0  # VADER's: a sum s is brought to s / sqrt(s^2 + 15)
_PIECE = 2000  # characters; longer texts are scored in pieces, whose c is averaged by length


def build() -> TextExpert:
    """The expert; its lexicons are read by `load`."""
    return LexiconExpert({})


class LexiconExpert(TextExpert):
    """Words, no training: weak, and the same everywhere."""

    name = "lexicon"
    classes: tuple[str, ...] = ("negative", "neutral", "positive")
    outputs: tuple[str, ...] = ("valence",)
    licence = "VADER: MIT, C. J. Hutto; the Chinese words: as affectkit"

    def load(self, device: str, folder: Path | None = None) -> None:
        """Raises "environment" where VADER is not installed."""
        from affectkit.experts import _chinese

        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError:
            message = "the lexicon reads English with VADER, which is not installed"
            raise AffectkitError("environment", message, remedy='pip install "affectkit[text]"') from None
        vader = SentimentIntensityAnalyzer()
        self._score: dict[str, Callable[[str], float]] = {
            "en": lambda text: float(vader.polarity_scores(text)["compound"]),
            "zh": lambda text: _normalised(_chinese.score(text)),
        }
        words = json.dumps([vader.lexicon, vader.emojis, _chinese.WORDS], sort_keys=True)
        self._digest = hashlib.sha256(words.encode()).hexdigest()
        self._lexicons = {
            "en": f"VADER {version('vaderSentiment')}, {len(vader.lexicon)} words and signs",
            "zh": f"{sum(role == 'word' for role, _ in _chinese.WORDS.values())} common words, affectkit's own list",
        }

    def predict(self, texts: Sequence[str], languages: Sequence[str]) -> TextAnswers:
        known = [language_of(text, language) or "en" for text, language in zip(texts, languages, strict=True)]
        read = [self._score.get(language) for language in known]
        compound = np.array(
            [_in_pieces(of, text) if of else np.nan for of, text in zip(read, texts, strict=True)], float
        )
        logits = _SHARPNESS * np.stack([-compound, np.full(len(texts), _THRESHOLD), compound], axis=1)
        each = np.exp(logits)
        declined = [
            "" if of else f"no lexicon of '{name}', only of en and zh" for of, name in zip(read, known, strict=True)
        ]
        return TextAnswers(each / each.sum(axis=1, keepdims=True), declined, {"valence": compound})

    def save(self, folder: Path) -> None:
        return  # the words are in the program and in VADER's package

    def describe(self) -> dict[str, Any]:
        kind = "a lexicon, which counts words and was trained on nothing"
        return {"kind": kind, "weights": self._digest, "lexicons": self._lexicons}


def _normalised(total: float) -> float:
    return total / float(np.sqrt(total**2 + _ALPHA))


def _in_pieces(score: Callable[[str], float], text: str) -> float:
    """VADER's time grows with the square of a text's words, and all but its sign is lost in a long sum."""
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return sum(score(piece) * len(piece) for piece in pieces) / len(text)
