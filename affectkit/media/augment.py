"""Augmentation of waveforms for training: noise, gain, speed, reverberation and more, from one readable option.

`noise=10..30@.5,gain=6,speed=.9..1.1` is three effects, applied from left to right; `@.5` is how often (always, where
it is left out). A value is a range to draw from, uniformly; `light` and `strong` stand for lists of effects.
"""

from __future__ import annotations

import math

import numpy as np

from affectkit.media.audio import resample
from affectkit.media.augment_text import Effects, Kind, parse_effects

# --- What augmentation does to a waveform: each effect [T] float32 -> [T'] float32, drawn from a generator
#
# `value` is the range that the effect's strength is drawn from, uniformly.


_AUDIBLE = 20.0  # Hz; pink noise of 5 s would have 43 % of its power below, where it covers nothing
_DIRECT_DB = 3.0  # direct sound over reverberation, as one or two metres away in a room
_EDGE = 0.1  # octaves over which a band that is taken out fades
_PERCENT = 100  # speeds are whole percent: their ratios stay small and their filters short

Wave = np.ndarray
Rng = np.random.Generator
Value = tuple[float, float]


def noise(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """White or pink, at even odds."""
    return (white, pink)[rng.integers(2)](wave, rate, rng, value)


def white(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    return _with_noise(wave, rng.standard_normal(len(wave), np.float32), rng, value)


def pink(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """Noise whose power falls by 3 dB an octave, from the lowest tone that is heard."""
    from scipy.fft import irfft, next_fast_len

    length = next_fast_len(max(len(wave), rate // 10), real=True)  # shorter noise would have no bin that is heard
    bins = np.fft.rfftfreq(length, 1 / rate)
    lowest = max(1, int(np.searchsorted(bins, min(_AUDIBLE, rate / 8))))
    spectrum = np.zeros(len(bins), np.complex64)
    drawn = rng.standard_normal(2 * (len(bins) - lowest), np.float32).view(np.complex64)
    spectrum[lowest:] = drawn / np.sqrt(bins[lowest:]).astype(np.float32)
    return _with_noise(wave, irfft(spectrum, length)[: len(wave)], rng, value)


def _with_noise(wave: Wave, noise: Wave, rng: Rng, value: Value) -> Wave:
    """At a ratio of signal to noise in dB, both about their means: the offset of a cheap sound card is no signal."""
    ratio = 10 ** (rng.uniform(*value) / 20)
    signal, disturbance = loudness(wave - wave.mean()), loudness(noise - noise.mean())
    return wave + noise * np.float32(signal / ratio / (disturbance or 1.0))


def gain(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """By dB; nothing is clipped, samples may leave -1..1."""
    return wave * np.float32(10 ** (rng.uniform(*value) / 20))


def speed(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """A factor f: [ceil(T / f)], and every tone f times as high."""
    low, high = round(_PERCENT * value[0]), round(_PERCENT * value[1])
    return resample(wave, int(rng.integers(low, high + 1)), _PERCENT)


def reverb(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """A room whose echoes decay by 60 dB in so many seconds: convolved with noise that decays exponentially (Moorer
    1979), as loud as before; what rings on after the end is cut off."""
    from scipy.signal import oaconvolve

    seconds = rng.uniform(*value)
    time = np.arange(1, int(seconds * rate) + 1, dtype=np.float32) / np.float32(rate)
    tail = rng.standard_normal(len(time), np.float32) * np.exp(np.float32(-3 * math.log(10) / seconds) * time)
    power = float(np.square(tail).sum()) or 1.0
    room = np.append(np.float32(1), tail * np.float32(math.sqrt(10 ** (-_DIRECT_DB / 10) / power)))
    heard = oaconvolve(wave, room)[: len(wave)]
    return heard * np.float32(loudness(wave) / (loudness(heard) or 1.0))


def band(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """Without so many octaves around a tone between 100 Hz and .8 of the highest, drawn evenly over octaves."""
    from scipy.fft import irfft, next_fast_len, rfft

    octaves, place = rng.uniform(*value), rng.random()
    highest = 0.4 * rate
    centre = highest * (min(100.0, highest) / highest) ** place
    length = next_fast_len(len(wave), real=True)
    bins = np.fft.rfftfreq(length, 1 / rate)
    bins[0] = 1e-9  # a constant is far below any band
    away = np.abs(np.log2(bins / centre)) - octaves / 2
    return irfft(rfft(wave, length) * np.clip(away / _EDGE, 0, 1).astype(np.float32), length)[: len(wave)]


def shift(wave: Wave, rate: int, rng: Rng, value: Value) -> Wave:
    """By a share of the length; what leaves at one end comes in at the other, so that nothing that was said is lost."""
    return np.roll(wave, round(rng.uniform(*value) * len(wave)))


def mask(wave: Wave, rate: int, rng: Rng, value: Value, count: int) -> Wave:
    """`count` stretches of silence, each of so many seconds; half of the wave stays at the least."""
    wave = wave.copy()
    most = len(wave) / (2 * count)
    for _ in range(count):
        length = int(min(rng.uniform(*value) * rate, most))
        start = int(rng.integers(len(wave) - length + 1))
        wave[start : start + length] = 0
    return wave


def loudness(wave: Wave) -> float:
    """Root mean square; not finite where a sample is not."""
    if not len(wave):
        return 0.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        power = float(np.square(wave).mean())
        if not 1e-30 < power < math.inf:  # too small or large for a float32, which is four times as fast
            power = float(np.square(wave, dtype=np.float64).mean())
    return math.sqrt(power)


PRESETS = {
    "none": "",
    "light": "speed=.95..1.05@.5,noise=15..35@.5,gain=6@.5",
    "strong": "speed=.9..1.1@.7,reverb=.2..0.6@.3,band=.3..1@.3,noise=5..30@.7,mask=3x.15@.5,shift=.2@.3,gain=10@.5",
}
_FAINT = 1e-3  # of the loudness before: an effect that leaves less of a wave (-60 dB) is not applied


class Augmentation(Effects):
    """Effects, from the first applied to the last. `parse` of its text makes the same one."""

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
                    count = {"count": effect.count} if effect.kind.counted else {}
                    changed = effect.kind.apply(wave, rate, rng, (effect.low, effect.high), **count)
                    changed = changed.astype(np.float32, copy=False)
                    if _FAINT * loudness(wave) <= loudness(changed) < math.inf:
                        wave = changed
        return wave


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
    "noise": Kind(noise, *_RATIO),
    "white": Kind(white, *_RATIO),
    "pink": Kind(pink, *_RATIO),
    "gain": Kind(gain, "a change of at most 40 dB", "6", -40.0, 40.0, both_ways=True),
    "speed": Kind(speed, "a factor from .5 to 2", ".9..1.1", 0.5, 2.0),
    "reverb": Kind(reverb, "a decay in seconds, .05 to 5", ".2..0.6", 0.05, 5.0),
    "band": Kind(band, "a width in octaves, .05 to 4", ".3..1", 0.05, 4.0),
    "shift": Kind(shift, "a share of the length, -1 to 1", ".1", -1.0, 1.0, both_ways=True),
    "mask": Kind(mask, "a number of stretches and their longest seconds, up to 60", "2x.1", 0.0, 60.0, counted=True),
}
