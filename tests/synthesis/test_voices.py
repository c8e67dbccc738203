import numpy as np
import pytest

from affectkit.synthesis.emotions import EMOTIONS, named
from affectkit.synthesis.voices import Voice, draw_voice, speak, vowels_of

TEXT = "The neighbour left the letter near the old mill."
PLAIN = Voice("male", pitch=110, tract=1, pace=4.8, level=-24, tilt=0, rough=0.3, breath=-50, expression=1)


def say(voice, emotion, seed, **options):
    return speak(voice, emotion, TEXT, rate=16000, rng=np.random.default_rng(seed), **options)


def pitch_of(samples, rate=16000):
    """Median F0 by the autocorrelation of 40 ms frames, 60-500 Hz: an independent, plain estimate."""
    found = []
    for start in range(0, len(samples) - 640, 320):
        frame = samples[start : start + 640] - samples[start : start + 640].mean()
        if np.sqrt(np.mean(frame**2)) < 0.3 * np.sqrt(np.mean(samples**2)):
            continue
        correlation = np.correlate(frame, frame, "full")[639:]
        lag = 32 + int(np.argmax(correlation[32:267]))
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(rate / lag)
    return float(np.median(found))


def test_a_clip_is_float32_in_range_one_to_five_seconds_and_the_same_again():
    for emotion in EMOTIONS:
        clip = say(draw_voice("female", np.random.default_rng(1)), emotion, 2)
        assert clip.dtype == np.float32 and np.abs(clip).max() < 1
        assert 1.0 < len(clip) / 16000 < 5.0
        assert np.array_equal(clip, say(draw_voice("female", np.random.default_rng(1)), emotion, 2))


@pytest.mark.parametrize("text", ["Hm", "a" * 400, "我们在公园里喝茶。", "", "Strč prst skrz krk"])
def test_any_text_can_be_said(text):
    clip = speak(PLAIN, "neutral", text, rate=16000, rng=np.random.default_rng(0))
    assert 0.9 < len(clip) / 16000 < 5.0 and np.isfinite(clip).all()


def test_the_pitch_is_the_speakers():
    for pitch in (100, 220):
        voice = Voice("", pitch, 1, 4.8, -24, 0, 0.3, -50, 1)
        heard = np.median([pitch_of(say(voice, "neutral", seed)) for seed in range(8)])
        assert abs(12 * np.log2(heard / pitch)) < 1.5  # semitones; an utterance deviates by 1.5


def test_emotion_moves_pitch_level_pace_and_tilt():
    def measures(emotion):
        clips = [say(PLAIN, emotion, seed) for seed in range(12)]
        level = np.mean([20 * np.log10(np.sqrt(np.mean(c**2))) for c in clips])
        spectra = [np.abs(np.fft.rfft(c)) ** 2 for c in clips]
        edges = [np.fft.rfftfreq(len(c), 1 / 16000) for c in clips]
        high = np.mean(
            [10 * np.log10(s[e > 1000].sum() / s[e <= 1000].sum()) for s, e in zip(spectra, edges, strict=True)]
        )
        return np.median([pitch_of(c) for c in clips]), level, np.mean([len(c) for c in clips]), high

    anger, sadness = measures("anger"), measures("sadness")
    assert anger[0] > sadness[0] and anger[1] > sadness[1] + 6 and anger[2] < 0.9 * sadness[2] and anger[3] > sadness[3]


def test_without_intensity_every_emotion_is_neutral():
    assert np.array_equal(say(PLAIN, "anger", 3, intensity=0.0), say(PLAIN, "neutral", 3))


def test_speakers_differ_and_keep_to_their_sex():
    voices = [draw_voice(sex, np.random.default_rng(n)) for n in range(20) for sex in ("female", "male")]
    assert len({voice.pitch for voice in voices}) == 40
    assert np.mean([v.pitch for v in voices if v.sex == "female"]) > 1.5 * np.mean(
        [v.pitch for v in voices if v.sex == "male"]
    )


def test_syllables_by_hand():
    assert vowels_of("Kids are talking") == ["i", "a", "e", "a", "i"]
    assert vowels_of("Tüten") == ["i", "e"]
    assert len(vowels_of("今天我们。")) == 4
    assert vowels_of("hm") == ["a"]


def test_every_word_of_a_corpus_has_a_prosody():
    from affectkit import registry

    corpora = [registry.load("corpora", name).CORPUS for name in registry.names("corpora")]
    words = {named(word) for corpus in corpora if corpus.reads == "audio" for word in corpus.classes.values()}
    assert words and words <= set(EMOTIONS)
