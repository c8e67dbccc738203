"""Augmentation of waveforms for training: noise, gain, speed, reverberation and more, from one readable option.

`noise=10..30@.5,gain=6,speed=.9..1.1` is three effects, applied from left to right; `@.5` is how often (always, where
it is left out). A value is a range to draw from, uniformly; `light` and `strong` stand for lists of effects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from affectkit.media import effects
from affectkit.media.augment_text import Effect, Kind, parse_effects

PRESETS = {
    "none": "",
    "light": "speed=.95..1.05@.5,noise=15..35@.5,gain=6@.5",
    "strong": "speed=.9..1.1@.7,reverb=.2..0.6@.3,band=.3..1@.3,noise=5..30@.7,mask=3x.15@.5,shift=.2@.3,gain=10@.5",
}
_FAINT = 1e-3  # of the loudness before: an effect that leaves less of a wave (-60 dB) is not applied


@dataclass(frozen=True)
class Augmentation:
    """Effects, from the first applied to the last; falsy for none. `parse` of its text makes the same one."""

    effects: tuple[Effect, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.effects)

    def __str__(self) -> str:
        return ",".join(map(str, self.effects)) or "none"

    def augment(self, wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
        """[T] finite float32 at `rate` Hz -> [T'] float32; T' differs where the speed does. `wave` is left as it is.

        What comes out depends on the arguments alone. An effect that would leave nothing to be heard of a wave, such
        as a mask over its only click, or numbers that are not finite, is not applied. Silence stays silence.
        """
        wave = np.asarray(wave, np.float32)
        if not len(wave):
            return wave
        with np.errstate(over="ignore", invalid="ignore"):  # of what is then not applied
            for effect in self.effects:
                if rng.random() < effect.probability:
                    changed = _applied(effect, wave, rate, rng)
                    wave = changed if _audible(changed, wave) else wave
        return wave


def _applied(effect: Effect, wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    more = {"count": effect.count} if effect.kind.counted else {}
    return effect.kind.apply(wave, rate, rng, (effect.low, effect.high), **more).astype(np.float32, copy=False)


def _audible(changed: np.ndarray, before: np.ndarray) -> bool:
    loud = effects.loudness(changed)
    return math.isfinite(loud) and loud >= _FAINT * effects.loudness(before)


def parse(text: str) -> Augmentation:
    """Effects from `name=value@probability,...` and names of presets, of which effects that are named replace theirs.

    Values: `noise` (or `white`, `pink`), dB of signal to noise; `gain`, dB; `speed`, a factor that changes pitch and
    length alike, and with the pitch what arousal is heard from; `reverb`, seconds of decay by 60 dB; `band`, octaves
    taken out; `shift`, a share of the length by which the wave is turned round; `mask`, how many stretches of silence,
    and of how many seconds at most. A single number x of gain and shift means -x..x. Gain says nothing to models that
    scale every utterance to unit variance, as wav2vec2 may.

    Raises "usage", naming what is wrong in it.
    """
    return Augmentation(parse_effects(text, KINDS, PRESETS))


_RATIO = ("a ratio of signal to noise in dB, -20 to 100", "10..30", -20.0, 100.0)
KINDS = {
    "noise": Kind(effects.noise, *_RATIO),
    "white": Kind(effects.white, *_RATIO),
    "pink": Kind(effects.pink, *_RATIO),
    "gain": Kind(effects.gain, "a change of at most 40 dB", "6", -40.0, 40.0, both_ways=True),
    "speed": Kind(effects.speed, "a factor from .5 to 2", ".9..1.1", 0.5, 2.0),
    "reverb": Kind(effects.reverb, "a decay in seconds, .05 to 5", ".2..0.6", 0.05, 5.0),
    "band": Kind(effects.band, "a width in octaves, .05 to 4", ".3..1", 0.05, 4.0),
    "shift": Kind(effects.shift, "a share of the length, -1 to 1", ".1", -1.0, 1.0, both_ways=True),
    "mask": Kind(
        effects.mask, "a number of stretches and their longest seconds, up to 60", "2x.1", 0.0, 60.0, counted=True
    ),
}
EFFECTS = tuple(KINDS)
