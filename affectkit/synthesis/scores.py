"""What simulated raters say: valence, arousal and dominance on a scale, and votes for classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectkit.synthesis.emotions import EMOTIONS, named


def draw_intensity(rng: np.random.Generator) -> float:
    """How strongly one utterance expresses its emotion: 1 on average, 0.2 at least."""
    return float(max(0.2, rng.normal(1.0, 0.3)))


def draw_affect(label: str, intensity: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Valence, arousal and dominance in [-1, 1] that one utterance means: around its emotion's, and apart from them."""
    centre = np.array(EMOTIONS[named(label)].affect) * intensity
    valence, arousal, dominance = (centre + rng.normal(0, 0.15, 3)).clip(-1, 1)
    return float(valence), float(arousal), float(dominance)


def rate(
    affect: Sequence[float], scale: tuple[float, float], rng: np.random.Generator, *, raters: int = 4
) -> list[list[int]]:
    """Each rater's whole-numbered rating of each dimension on `scale`, [raters][dimensions]."""
    low, high = scale
    middle, half = (low + high) / 2, (high - low) / 2
    ratings = middle + half * (np.array(affect) + rng.normal(0, 0.35, (raters, len(affect))))
    return np.rint(ratings).clip(low, high).astype(int).tolist()


def vote(
    label: str, labels: Sequence[str], rng: np.random.Generator, *, raters: int = 10, agreement: float = 0.6
) -> list[str]:
    """Each rater's class: `label` with probability `agreement`, else one of `labels`, near ones more often."""
    places = np.array([EMOTIONS[named(word)].affect for word in labels])
    weights = np.exp(-((places - places[list(labels).index(label)]) ** 2).sum(axis=1))
    weights[list(labels).index(label)] = 0.0
    weights = (1 - agreement) * weights / weights.sum()
    weights[list(labels).index(label)] = agreement
    return [labels[i] for i in rng.choice(len(labels), size=raters, p=weights / weights.sum())]
