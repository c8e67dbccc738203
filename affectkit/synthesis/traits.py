"""Clips that tell five personality traits: two of them only to who relates a look to the right moments of the motion.

Each trait needs another thing, so that a twin shows what a network can do:

- openness is in the look alone, agreeableness in the mean of the motion alone, conscientiousness half in each;
- extraversion: the look says *which kind of step* counts. Steps are of four kinds (the way that something moves), and a
  second movement has a value for each kind;
- neuroticism: the look says *which quarter of the clip* counts. A third movement has a value for each quarter.

A clip's values sum to 0 over its steps and any one is as likely to count as any other, so that neither look nor
motion alone, nor the look beside the mean of the motion, says anything of these two. Spreads over a clip's steps do say
something of extraversion: a mixture of kind and value is spread by how the two go together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
STEPS = 12
KINDS = QUARTERS = 4
_PERSON = 0.6  # standard deviation of a trait between people; within a person .8, so that the whole has 1
_NOISE = 0.35  # of raters, in the same unit


@dataclass(frozen=True)
class Clips:
    """N clips, in latent terms: standard deviations of about 1 where they are numbers.

    traits: [N, 5], as `TRAITS`. openness, order: [N] the look's share of openness and conscientiousness. kind, quarter:
    [N] int, which of the steps count for extraversion and neuroticism; the look tells both. liveliness, steadiness: [N,
    12] the motion's share of agreeableness and conscientiousness in each step. kinds: [N, 12] int, of each step.
    by_kind, by_quarter: [N, 12] the values of the second and third movement.
    """

    traits: np.ndarray
    openness: np.ndarray
    order: np.ndarray
    kind: np.ndarray
    quarter: np.ndarray
    liveliness: np.ndarray
    steadiness: np.ndarray
    kinds: np.ndarray
    by_kind: np.ndarray
    by_quarter: np.ndarray


def draw_clips(people: np.ndarray, rng: np.random.Generator) -> Clips:
    """A clip for each of [N] int people, who have something of their own in every trait."""
    count = len(people)
    own = rng.normal(0, _PERSON, (int(people.max()) + 1, 6))[people]
    openness, order, extraversion, agreeableness, neuroticism, steadiness = (
        own + rng.normal(0, np.sqrt(1 - _PERSON**2), (count, 6))
    ).T
    kind, quarter = rng.integers(0, KINDS, count), rng.integers(0, QUARTERS, count)
    kinds = rng.permuted(np.tile(np.arange(STEPS) % KINDS, (count, 1)), axis=1)
    quarters = np.tile(np.arange(STEPS) * QUARTERS // STEPS, (count, 1))
    conscientiousness = (order + steadiness) / np.sqrt(2)
    return Clips(
        np.column_stack([openness, conscientiousness, extraversion, agreeableness, neuroticism]),
        openness,
        order,
        kind,
        quarter,
        agreeableness[:, None] + rng.normal(0, 0.7, (count, STEPS)),
        steadiness[:, None] + rng.normal(0, 0.7, (count, STEPS)),
        kinds,
        np.take_along_axis(_values(extraversion, kind, KINDS, rng), kinds, axis=1),
        np.take_along_axis(_values(neuroticism, quarter, QUARTERS, rng), quarters, axis=1),
    )


def _values(trait: np.ndarray, place: np.ndarray, places: int, rng: np.random.Generator) -> np.ndarray:
    """[N, places] values that sum to 0 in each clip, the one at `place` being the trait; exchangeable otherwise.

    Normal values of variance v less their mean have variance v (1 - 1/p), which is to be 1; given one of them, the
    others are as here.
    """
    spread = rng.normal(0, np.sqrt(places / (places - 1)), (len(trait), places))
    others = np.arange(places) != place[:, None]
    mean = (spread * others).sum(axis=1, keepdims=True) / (places - 1)
    return np.where(others, spread - mean - trait[:, None] / (places - 1), trait[:, None])


def rated(traits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N, 5] on [0, 1]: what raters make of the traits; of a mean near .55 and a deviation near .14, as real ones."""
    noisy = (traits + rng.normal(0, _NOISE, traits.shape)) / np.sqrt(1 + _NOISE**2)
    return 1 / (1 + np.exp(-0.2 - 0.6 * noisy))


# --- As feature arrays


def features(clips: Clips, people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Static [N, 24] and dynamic [N, 12, 16] float32: each a fixed random mixture of what is to be seen, with noise.

    What a person looks like besides, and how the person moves, is in both, and tells nothing.
    """
    look = np.column_stack([clips.openness, clips.order, np.eye(KINDS)[clips.kind], np.eye(QUARTERS)[clips.quarter]])
    motion = np.stack([clips.liveliness, clips.steadiness, clips.by_kind, clips.by_quarter], axis=-1)
    motion = np.concatenate([motion, 1.5 * np.eye(KINDS)[clips.kinds]], axis=-1)
    looks, moves = (rng.normal(0, 0.5, (int(people.max()) + 1, 4))[people] for _ in range(2))
    static = _mixed(np.concatenate([look * ([1.0] * 2 + [1.5] * 8), looks], axis=1), 24, 0.15, rng)
    dynamic = _mixed(np.concatenate([motion, np.repeat(moves[:, None], STEPS, axis=1)], axis=-1), 16, 0.2, rng)
    return static, dynamic


def _mixed(parts: np.ndarray, width: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """[..., P] -> [..., width] float32 by an orthonormal mixture, P at most `width`, and noise."""
    mixture = np.linalg.qr(rng.normal(0, 1, (width, parts.shape[-1])))[0].T
    mixed = parts @ mixture
    return (mixed + rng.normal(0, noise, mixed.shape)).astype(np.float32)
