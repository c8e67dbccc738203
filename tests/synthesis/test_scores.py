from collections import Counter

import numpy as np

from affectkit.synthesis import scores, texts
from affectkit.synthesis.emotions import EMOTIONS


def test_affect_lies_around_the_emotions_place():
    rng = np.random.default_rng(0)
    drawn = np.array([scores.draw_affect("angry", 1.0, rng) for _ in range(400)])
    anger = EMOTIONS["anger"]
    # the mean of 400 draws with deviation .15 stands within 3 * .15 / 20 of the place
    assert np.allclose(drawn.mean(axis=0), [anger.valence, anger.arousal, anger.dominance], atol=0.0225)
    assert np.abs(drawn).max() <= 1


def test_ratings_are_whole_on_the_scale_and_follow_the_affect():
    rng = np.random.default_rng(0)
    affects = rng.uniform(-1, 1, (300, 3))
    means = np.array([np.mean(scores.rate(affect, (1, 7), rng, raters=5), axis=0) for affect in affects])
    single = scores.rate((1.0, -1.0, 0.0), (1, 7), rng, raters=50)
    assert {type(value) for rating in single for value in rating} == {int}
    assert np.min(single) >= 1 and np.max(single) <= 7
    for dimension in range(3):
        assert 0.85 < np.corrcoef(affects[:, dimension], means[:, dimension])[0, 1] < 0.99


def test_votes_name_the_label_at_the_asked_rate_and_its_neighbours_before_its_opposites():
    rng = np.random.default_rng(0)
    labels = ["anger", "sadness", "happiness", "frustration"]
    counts = Counter(scores.vote("anger", labels, rng, raters=4000, agreement=0.6))
    assert abs(counts["anger"] / 4000 - 0.6) < 0.03  # 3.9 standard errors
    assert counts["frustration"] > counts["sadness"] and counts["frustration"] > counts["happiness"]


def test_intensity_is_positive_and_one_on_average():
    rng = np.random.default_rng(0)
    drawn = [scores.draw_intensity(rng) for _ in range(2000)]
    assert min(drawn) >= 0.2 and abs(np.mean(drawn) - 1) < 0.03


def test_sentences_are_sentences_and_plain_ones_carry_no_emotion_word():
    rng = np.random.default_rng(0)
    charged = {word for words in (texts.OPENERS, texts.ADJECTIVES, texts.VERBS) for word, place in words if any(place)}
    for _ in range(100):
        sentence, plain = texts.sentence((0.8, 0.5, 0.3), rng), texts.plain_sentence(rng)
        assert sentence[0].isupper() and sentence.endswith(".") and "{" not in sentence
        assert plain[0].isupper() and not any(f" {word} " in f" {plain.lower()[:-1]} " for word in charged)
    assert texts.plain_mandarin(rng).endswith("。")
