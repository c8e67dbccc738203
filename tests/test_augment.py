"""Augmentation, measured on what comes out: levels, spectra, lengths and decays, against scipy and hand calculation."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit.errors import AffectkitError
from affectkit.media import read_audio
from affectkit.media.augment import KINDS, PRESETS, parse

RATE = 16000
VALUES = {
    "noise": "10..30", "white": "10", "pink": "10", "gain": "6", "speed": ".9..1.1",
    "reverb": ".2..0.6", "band": ".3..1", "shift": ".3", "mask": "2x.1",
}  # fmt: skip


def speech(seconds=3.0, rate=RATE, seed=0):
    """Syllables of a voice: harmonics of 150 Hz under a slow envelope, with pauses."""
    time = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    loud = np.clip(np.sin(2 * np.pi * 1.5 * time + seed), 0, None)
    return (0.1 * voice * loud).astype(np.float32)


def tone(pitch, seconds=1.0, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def augmented(text, wave, seed=0, rate=RATE):
    return parse(text).augment(wave, rate, np.random.default_rng(seed))


def db(ratio):
    return 20 * np.log10(ratio)


def power_in(wave, low, high, rate=RATE):
    """Power between two tones, by Welch's method."""
    bins, density = scipy.signal.welch(wave, rate, nperseg=4096)
    return density[(bins >= low) & (bins < high)].sum()


def pitch(wave, rate=RATE):
    """Of a pure tone, in Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**18))
    return np.fft.rfftfreq(2**18, 1 / rate)[spectrum.argmax()]


# What each effect does


@pytest.mark.parametrize("colour", ["noise", "white", "pink"])
@pytest.mark.parametrize("ratio", [-5, 10, 40])
def test_noise_lies_at_its_ratio_to_the_signal(colour, ratio):
    wave = speech()
    for seed in range(4):
        added = augmented(f"{colour}={ratio}", wave, seed) - wave
        assert db(np.std(wave) / np.std(added)) == pytest.approx(ratio, abs=0.05)


def test_ratios_are_drawn_from_the_whole_range():
    wave = speech(0.5)
    ratios = [db(np.std(wave) / np.std(augmented("noise=10..30", wave, seed) - wave)) for seed in range(200)]
    assert min(ratios) > 9.9
    assert max(ratios) < 30.1
    assert np.mean(ratios) == pytest.approx(20, abs=1.2)  # 3 standard errors of a uniform draw
    assert np.std(ratios) == pytest.approx(20 / np.sqrt(12), rel=0.15)


def test_an_offset_is_no_signal():
    wave = speech()
    added = augmented("white=10", wave + np.float32(5), 0) - wave - 5
    assert db(np.std(wave) / np.std(added)) == pytest.approx(10, abs=0.05)


def test_white_noise_has_the_same_power_everywhere_and_pink_in_every_octave():
    wave = speech(20)
    for colour, slope in (("white", 3.01), ("pink", 0.0)):  # dB an octave, of the power in it
        added = augmented(f"{colour}=0", wave) - wave
        octaves = [power_in(added, low, 2 * low) for low in (125, 250, 500, 1000, 2000, 4000)]
        assert np.diff(10 * np.log10(octaves)) == pytest.approx(slope, abs=0.5)


def test_pink_noise_wastes_no_power_below_what_is_heard():
    wave = speech(5)
    added = augmented("pink=0", wave) - wave
    spectrum = np.square(np.abs(np.fft.rfft(added)))
    assert spectrum[np.fft.rfftfreq(len(added), 1 / RATE) < 19].sum() < 1e-3 * spectrum.sum()


def test_noise_is_white_or_pink():
    wave = speech(2)
    added = [augmented("noise=0", wave, seed) - wave for seed in range(40)]
    pink = sum(power_in(of, 20, 500) > power_in(of, 4000, 8000) for of in added)
    assert 10 <= pink <= 30  # binomial(40, .5): outside with p = .001


def test_gain_multiplies():
    wave = speech(0.5)
    gains = []
    for seed in range(60):
        changed = augmented("gain=6", wave, seed)
        factor = changed[wave != 0] / wave[wave != 0]
        np.testing.assert_allclose(factor, factor[0], rtol=1e-5)
        gains.append(db(factor[0]))
    assert -6 <= min(gains) < -4 < 4 < max(gains) <= 6


def test_gain_of_a_range_is_that_range():
    wave = speech(0.5)
    gains = [db(np.std(augmented("gain=-6..-3", wave, seed)) / np.std(wave)) for seed in range(20)]
    assert -6.01 <= min(gains) <= max(gains) <= -2.99


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 1.37, 2.0])
def test_speed_changes_length_and_pitch_alike(factor):
    changed = augmented(f"speed={factor}", tone(500))
    assert len(changed) == np.ceil(RATE / factor)
    assert pitch(changed) == pytest.approx(500 * factor, rel=1e-3)
    assert np.abs(changed[200:-200]).max() == pytest.approx(0.3, rel=0.02)


def test_speed_equals_scipys_resampling():
    expected = scipy.signal.resample_poly(speech().astype(np.float64), 100, 90)
    assert augmented("speed=.9", speech()) == pytest.approx(expected, abs=1e-5)


def test_speed_lets_nothing_fold_back():
    """At double speed 7 kHz would be 14 kHz, above half the rate: it is gone, and not to be heard at 2 kHz."""
    changed = augmented("speed=2", tone(7000) + tone(500))
    assert power_in(changed, 1100, 8000) < 1e-4 * power_in(changed, 900, 1100)


def test_speeds_are_drawn_from_whole_percents_of_the_range():
    lengths = {len(augmented("speed=.9..1.1", speech(0.2), seed)) for seed in range(300)}
    assert lengths == {int(np.ceil(100 * 3200 / percent)) for percent in range(90, 111)}


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_echoes_decay_as_asked(seconds):
    """Schroeder's integral over the answer to a click, its slope from -5 to -25 dB (T20 of ISO 3382)."""
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1
    found = []
    for seed in range(5):
        tail = augmented(f"reverb={seconds}", click, seed)[1:]
        level = 10 * np.log10(np.cumsum(np.square(tail[::-1], dtype=float))[::-1] + 1e-20)
        level -= level[0]
        places = np.flatnonzero((level < -5) & (level > -25))
        found.append(-60 / (RATE * np.polyfit(places, level[places], 1)[0]))
    assert np.mean(found) == pytest.approx(seconds, rel=0.05)


def test_reverb_keeps_loudness_and_length():
    wave = speech()
    changed = augmented("reverb=.5", wave)
    assert len(changed) == len(wave)
    assert np.sqrt(np.mean(changed**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-4)
    pauses = np.abs(wave) < 1e-6
    assert np.std(changed[pauses]) > 0.05 * np.std(wave)  # echoes in the pauses


def test_a_band_is_taken_out_and_the_rest_left():
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(20 * RATE).astype(np.float32)
    before, bins = np.abs(np.fft.rfft(wave)), np.fft.rfftfreq(len(wave), 1 / RATE)
    for seed in range(5):
        share = np.abs(np.fft.rfft(augmented("band=1", wave, seed))) / before
        gone = bins[share < 0.01]
        assert np.log2(gone.max() / gone.min()) == pytest.approx(1, abs=0.02)
        assert 100 / 1.5 < gone.min() < gone.max() < RATE / 2
        np.testing.assert_allclose(share[(bins < gone.min() / 1.1) | (bins > gone.max() * 1.1)], 1, atol=0.01)


def test_a_band_that_is_all_of_the_wave_stays():
    wave = tone(1000)
    for seed in range(50):
        changed = augmented("band=4", wave, seed)
        assert np.std(changed) > 1e-3 * np.std(wave)


def test_shift_turns_the_wave_round():
    wave = np.arange(1, 1001, dtype=np.float32)
    starts = []
    for seed in range(100):
        changed = augmented("shift=.1", wave, seed)
        starts.append(int(np.flatnonzero(changed == 1)[0]))
        assert (np.roll(changed, -starts[-1]) == wave).all()
    starts = np.where(np.array(starts) > 500, np.array(starts) - 1000, starts)
    assert -100 <= starts.min() < -50 < 50 < starts.max() <= 100


def test_masks_are_so_many_and_so_long():
    wave = np.ones(10 * RATE, np.float32)
    counts, longest = set(), 0
    for seed in range(50):
        silent = np.concatenate([[0], augmented("mask=3x.2", wave, seed) == 0, [0]]).astype(int)
        starts, ends = np.flatnonzero(np.diff(silent) == 1), np.flatnonzero(np.diff(silent) == -1)
        counts.add(len(starts))
        longest = max(longest, *(ends - starts))
    assert max(counts) == 3
    assert 0.15 * RATE < longest <= 0.4 * RATE  # two may touch


def test_masks_leave_half_of_a_short_wave():
    for length in range(1, 50):
        for seed in range(5):
            assert (augmented("mask=4x60", np.ones(length, np.float32), seed) != 0).sum() >= length / 2


def test_a_mask_over_the_only_click_is_not_applied():
    click = np.zeros(100, np.float32)
    click[50] = 1
    assert all(augmented("mask=1x60", click, seed).any() for seed in range(100))


# What every effect owes

waves = st.builds(
    lambda length, scale, seed: (scale * np.random.default_rng(seed).standard_normal(length)).astype(np.float32),
    st.one_of(st.integers(1, 20), st.integers(21, 5 * RATE)),
    st.sampled_from([1e-30, 1e-4, 0.1, 1.0, 1e4, 1e37]),
    st.integers(0, 99),
)
texts = st.one_of(
    st.sampled_from([*PRESETS, *(f"{name}={value}" for name, value in VALUES.items())]),
    st.permutations(list(VALUES)).map(lambda names: ",".join(f"{name}={VALUES[name]}@.7" for name in names)),
)


def test_every_effect_is_tried_here():
    assert set(VALUES) == set(KINDS)


@settings(max_examples=150)
@given(wave=waves, text=texts, seed=st.integers(0, 2**32), rate=st.sampled_from([8000, 16000, 44100]))
@pytest.mark.filterwarnings("error")
def test_something_finite_is_heard_whatever_comes_in(wave, text, seed, rate):
    kept = wave.copy()
    changed = augmented(text, wave, seed, rate)
    assert changed.dtype == np.float32
    assert changed.ndim == 1
    assert np.isfinite(changed).all()
    assert changed.any(), "a wave became silence"
    assert np.ceil(len(wave) / 1.1) <= len(changed) <= np.ceil(len(wave) / 0.9)
    assert (wave == kept).all(), "the wave itself was changed"
    assert (augmented(text, wave, seed, rate) == changed).all()


@settings(max_examples=50)
@given(length=st.integers(1, 5 * RATE), text=texts, seed=st.integers(0, 2**32))
def test_silence_stays_silence(length, text, seed):
    changed = augmented(text, np.zeros(length, np.float32), seed)
    assert len(changed) >= 1
    assert not changed.any()


@pytest.mark.parametrize("text", [f"{name}={value}" for name, value in VALUES.items()])
def test_another_seed_makes_another_wave(text):
    made = [augmented(text, speech(), seed).tobytes() for seed in range(6)]
    assert len(set(made)) > 3


def test_nothing_in_nothing_out():
    assert len(augmented("strong", np.zeros(0, np.float32))) == 0


def test_what_is_not_finite_is_left_as_it_is():
    wave = np.array([0.1, np.nan, 0.2], np.float32)
    assert np.array_equal(augmented("gain=6,noise=10,reverb=.3", wave), wave, equal_nan=True)


def test_effects_follow_each_other_from_left_to_right():
    wave = speech()
    noisy = augmented("white=0,gain=-20..-20", wave)
    quiet = augmented("gain=-20..-20,white=0", wave)  # the noise follows the level of what it meets
    assert np.std(noisy) == pytest.approx(np.std(quiet), rel=0.05)
    masked_last, masked_first = augmented("white=0,mask=1x1", wave), augmented("mask=1x1,white=0", wave)
    assert (masked_last[wave != 0] == 0).any()
    assert not (masked_first[wave != 0] == 0).any()


@pytest.mark.parametrize(("probability", "low", "high"), [(0.5, 160, 240), (0.05, 5, 40)])
def test_effects_are_applied_as_often_as_asked(probability, low, high):
    """400 waves; binomial bounds beyond p = .0001."""
    rng, wave = np.random.default_rng(0), tone(440, 0.01)
    augmentation = parse(f"gain=6@{probability}")
    assert low < sum((augmentation.augment(wave, RATE, rng) != wave).any() for _ in range(400)) < high


def test_a_recording_is_augmented_at_its_own_rate(tone, tmp_path):
    wave, rate = read_audio(tone(tmp_path / "a.wav", 0.5, pitch=220.0, rate=22050))
    assert pitch(augmented("speed=1.5", wave, rate=rate), rate) == pytest.approx(330, rel=1e-2)


# The option


@pytest.mark.parametrize("text", ["", " ", "none", ","])
def test_nothing_is_asked_for(text):
    assert not parse(text)
    assert str(parse(text)) == "none"
    wave = speech(0.1)
    assert (augmented(text, wave) == wave).all()


@pytest.mark.parametrize(
    "text", [*PRESETS, *(f"{n}={v}@.5" for n, v in VALUES.items()), "gain=3..3", "mask=.1", "noise=-5..5,gain=-6..3"]
)
def test_its_text_means_the_same(text):
    assert parse(str(parse(text))) == parse(text)


def test_an_effect_beside_a_preset_replaces_its_own():
    light = parse("light").effects
    for text in ("light,noise=5@.1", "noise=5@.1,light"):
        changed = {effect.name: effect for effect in parse(text).effects}
        assert str(changed["noise"]) == "noise=5@0.1"
        assert set(changed) == {effect.name for effect in light}
        assert changed["speed"] == light[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nosie=10", "there is no augmentation 'nosie'; did you mean noise"),
        ("lihgt", "did you mean light"),
        ("pitch=2", "there is no augmentation 'pitch'"),
        ("noise", "augmentation noise: '' is not a ratio of signal to noise in dB, -20 to 100; write noise=10..30@.5"),
        ("noise=loud", "'loud' is not a ratio"),
        ("noise=30..10", "'30..10' is not a ratio"),
        ("noise=1..2..3", "'1..2..3' is not"),
        ("noise=nan", "'nan' is not"),
        ("gain=60", "at most 40 dB"),
        ("gain=-6", "'-6' is not"),
        ("speed=0", "a factor from .5 to 2"),
        ("speed=.9-1.1", "a factor from .5 to 2"),
        ("mask=0x.1", "a number of stretches"),
        ("mask=x.1", "a number of stretches"),
        ("mask=2x", "a number of stretches"),
        ("mask=2.5x.1", "a number of stretches"),
        ("mask=2x-.1", "a number of stretches"),
        ("shift=2", "a share of the length"),
        ("noise=10@0", "'0' is no probability above 0"),
        ("noise=10@", "'' is no probability above 0"),
        ("noise=10@1.5", "'1.5' is no probability above 0"),
        ("noise=10,noise=20", "augmentation noise is given twice"),
    ],
)
def test_what_cannot_be_meant(text, said):
    with pytest.raises(AffectkitError) as caught:
        parse(text)
    assert caught.value.code == "usage"
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
