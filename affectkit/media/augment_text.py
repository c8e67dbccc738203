"""The text of an augmentation, `noise=10..30@.5,gain=6`: effects, each with a range to draw from and how often."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated


@dataclass(frozen=True)
class Kind:
    """A kind of effect. apply: what it does. what: its value, in words. least, most: the limits of it. both_ways: x
    alone means -x..x. counted: the value is a number of times and a largest one, `2x.1`."""

    apply: Callable[..., np.ndarray]
    what: str
    example: str
    least: float
    most: float
    both_ways: bool = False
    counted: bool = False


@dataclass(frozen=True)
class Effect:
    """Drawn from [low, high], and applied with `probability`. count: of a counted one."""

    name: str
    kind: Kind
    low: float
    high: float
    probability: float = 1.0
    count: int = 1

    def __str__(self) -> str:
        value = f"{self.low:.12g}" if self.low == self.high else f"{self.low:.12g}..{self.high:.12g}"
        if self.kind.counted:
            value = f"{self.count}x{self.high:.12g}"
        elif self.low == self.high and self.kind.both_ways:
            value = f"{value}..{value}"
        return f"{self.name}={value}" + (f"@{self.probability:.12g}" if self.probability < 1 else "")


@dataclass(frozen=True)
class Effects:
    """From the first applied to the last; falsy for none. Parsing its text makes the same ones."""

    effects: tuple[Effect, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.effects)

    def __str__(self) -> str:
        return ",".join(map(str, self.effects)) or "none"


def parse_effects(text: str, kinds: Mapping[str, Kind], presets: Mapping[str, str]) -> tuple[Effect, ...]:
    """Effects from `name=value@probability,...` and names of presets, of which effects that are named replace theirs.

    Raises "usage", naming what is wrong in it.
    """
    effects: dict[str, Effect] = {}
    named: set[str] = set()
    for part in comma_separated(text):
        if part in presets:
            preset = [_effect(each, kinds, presets) for each in comma_separated(presets[part])]
            effects |= {effect.name: effect for effect in preset if effect.name not in named}
            continue
        effect = _effect(part, kinds, presets)
        if effect.name in named:
            raise AffectkitError("usage", f"augmentation {effect.name} is given twice", remedy="give it once")
        named.add(effect.name)
        effects[effect.name] = effect
    return tuple(effects.values())


def _effect(part: str, kinds: Mapping[str, Kind], presets: Mapping[str, str]) -> Effect:
    name, _, drawn = (piece.strip() for piece in part.partition("="))
    if name not in kinds:
        remedy = did_you_mean(name, [*kinds, *presets])
        raise AffectkitError("usage", f"there is no augmentation '{name}'", remedy=remedy)
    value, at, often = drawn.partition("@")
    effect, probability = _valued(name, kinds[name], value), _number(often) if at else 1.0
    if effect is None or not 0 < probability <= 1:
        what = f"'{value}' is not {kinds[name].what}" if effect is None else f"'{often}' is no probability above 0"
        raise AffectkitError("usage", f"augmentation {name}: {what}", remedy=f"write {name}={kinds[name].example}@.5")
    return replace(effect, probability=probability)


def _valued(name: str, kind: Kind, value: str) -> Effect | None:
    """None where the value is none of this kind."""
    count = 1
    if kind.counted:
        many, times, longest = value.rpartition("x")
        ends, count = [0.0, _number(longest)], int(many) if re.fullmatch(r"\d{1,2}", many) else int(not times)
    else:
        ends = [_number(end) for end in value.split("..")]
        if len(ends) == 1:
            ends = [-ends[0] if kind.both_ways else ends[0], ends[0]]
    if len(ends) != 2 or not count or not kind.least <= ends[0] <= ends[1] <= kind.most:
        return None
    return Effect(name, kind, ends[0], ends[1], count=count)


def _number(text: str) -> float:
    """NaN for what is none; it is within no limits."""
    return float(text) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", text.strip()) else math.nan
