"""Augmentation of waveforms for training: noise, gain, speed, reverberation and more, from one readable option.

`noise=10..30@.5,gain=6,speed=.9..1.1` is three effects, applied from left to right; `@.5` is how often (always, where
it is left out). A value is a range to draw from, uniformly; `light` and `strong` stand for lists of effects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media import effects
from affectkit.plain import comma_separated

PRESETS = {
    "none": "",
    "light": "speed=.95..1.05@.5,noise=15..35@.5,gain=6@.5",
    "strong": "speed=.9..1.1@.7,reverb=.2..0.6@.3,band=.3..1@.3,noise=5..30@.7,mask=3x.15@.5,shift=.2@.3,gain=10@.5",
}
_FAINT = 1e-3  # of the loudness before: an effect that leaves less of a wave (-60 dB) is not applied


@dataclass(frozen=True)
class Effect:
    """Drawn from [low, high], and applied with `probability`. count: of masks."""

    name: str
    low: float
    high: float
    probability: float = 1.0
    count: int = 1

    def __str__(self) -> str:
        value = f"{self.low:.12g}" if self.low == self.high else f"{self.low:.12g}..{self.high:.12g}"
        if self.name == "mask":
            value = f"{self.count}x{self.high:.12g}"
        elif self.low == self.high and _KINDS[self.name].both_ways:
            value = f"{value}..{value}"
        return f"{self.name}={value}" + (f"@{self.probability:.12g}" if self.probability < 1 else "")

    def apply(self, wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
        value, more = (self.low, self.high), {"count": self.count} if self.name == "mask" else {}
        return _KINDS[self.name].apply(wave, rate, rng, value, **more).astype(np.float32, copy=False)


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
                    changed = effect.apply(wave, rate, rng)
                    wave = changed if _audible(changed, wave) else wave
        return wave


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
    found: dict[str, Effect] = {}
    named: set[str] = set()
    for part in comma_separated(text):
        if part in PRESETS:
            own = map(_effect, comma_separated(PRESETS[part]))
            found |= {effect.name: effect for effect in own if effect.name not in named}
            continue
        effect = _effect(part)
        if effect.name in named:
            raise AffectkitError("usage", f"augmentation {effect.name} is given twice", remedy="give it once")
        named.add(effect.name)
        found[effect.name] = effect
    return Augmentation(tuple(found.values()))


def _effect(part: str) -> Effect:
    name, _, given = (piece.strip() for piece in part.partition("="))
    if name not in _KINDS:
        remedy = did_you_mean(name, [*_KINDS, *PRESETS])
        raise AffectkitError("usage", f"there is no augmentation '{name}'", remedy=remedy)
    value, at, often = given.partition("@")
    effect, probability = _valued(name, value), _number(often) if at else 1.0
    if effect is None or not 0 < probability <= 1:
        what = f"'{value}' is not {_KINDS[name].what}" if effect is None else f"'{often}' is no probability above 0"
        raise AffectkitError("usage", f"augmentation {name}: {what}", remedy=f"write {name}={_KINDS[name].example}@.5")
    return replace(effect, probability=probability)


def _valued(name: str, value: str) -> Effect | None:
    """None where the value is none of this kind."""
    kind, count = _KINDS[name], 1
    if name == "mask":
        many, times, longest = value.rpartition("x")
        ends, count = [0.0, _number(longest)], int(many) if re.fullmatch(r"\d{1,2}", many) else int(not times)
    else:
        ends = [_number(end) for end in value.split("..")]
        if len(ends) == 1:
            ends = [-ends[0] if kind.both_ways else ends[0], ends[0]]
    if len(ends) != 2 or not count or not kind.least <= ends[0] <= ends[1] <= kind.most:
        return None
    return Effect(name, ends[0], ends[1], count=count)


def _number(text: str) -> float:
    """NaN for what is none; it is within no limits."""
    return float(text) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", text.strip()) else math.nan


@dataclass(frozen=True)
class _Kind:
    """what: its value, in words. least, most: the limits of it. both_ways: x alone means -x..x."""

    apply: Callable[..., np.ndarray]
    what: str
    example: str
    least: float
    most: float
    both_ways: bool = False


_RATIO = ("a ratio of signal to noise in dB, -20 to 100", "10..30", -20.0, 100.0)
_KINDS = {
    "noise": _Kind(effects.noise, *_RATIO),
    "white": _Kind(effects.white, *_RATIO),
    "pink": _Kind(effects.pink, *_RATIO),
    "gain": _Kind(effects.gain, "a change of at most 40 dB", "6", -40.0, 40.0, both_ways=True),
    "speed": _Kind(effects.speed, "a factor from .5 to 2", ".9..1.1", 0.5, 2.0),
    "reverb": _Kind(effects.reverb, "a decay in seconds, .05 to 5", ".2..0.6", 0.05, 5.0),
    "band": _Kind(effects.band, "a width in octaves, .05 to 4", ".3..1", 0.05, 4.0),
    "shift": _Kind(effects.shift, "a share of the length, -1 to 1", ".1", -1.0, 1.0, both_ways=True),
    "mask": _Kind(effects.mask, "a number of stretches and their longest seconds, up to 60", "2x.1", 0.0, 60.0),
}
EFFECTS = tuple(_KINDS)
