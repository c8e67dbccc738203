from collections import Counter

import numpy as np
import pytest
import soundfile

from affectkit.errors import AffectkitError
from affectkit.synthesis import twins


def test_deal_keeps_proportions_and_spreads_labels_over_speakers():
    dealt = twins.deal(100, ["a", "b", "c"], {"x": 3, "y": 1, "z": 1})
    assert Counter(label for _, label in dealt) == {"x": 60, "y": 20, "z": 20}
    cells = Counter(dealt)
    for label, count in (("x", 20), ("y", 6), ("z", 6)):
        assert all(count <= cells[speaker, label] <= count + 1 for speaker in "abc")
    # largest remainders: shares of 10 are 3.33 each, the first gets the tenth
    assert Counter(label for _, label in twins.deal(10, ["a"], {"x": 1, "y": 1, "z": 1})) == {"x": 4, "y": 3, "z": 3}
    with pytest.raises(AffectkitError, match="--size 0"):
        twins.deal(0, ["a"], {"x": 1})


def test_cast_takes_women_and_men_in_turn():
    sexes = {"01": "male", "02": "male", "03": "male", "04": "female", "05": "female"}
    assert list(twins.cast(sexes, 4, seed=0)) == ["01", "02", "04", "05"]
    # a speaker's voice does not depend on who else is there
    assert (
        twins.cast(sexes, 2, seed=0)["01"] == twins.cast(sexes, 5, seed=0)["01"] != twins.cast(sexes, 2, seed=1)["01"]
    )
    for speakers in (0, 6):
        with pytest.raises(AffectkitError, match="has 5 speakers; ask for 1 to 5"):
            twins.cast(sexes, speakers, seed=0)


def test_generators_depend_on_seed_and_key_alone():
    draw = lambda *key: twins.generator(*key).random()  # noqa: E731
    assert draw(0, "clip", 1) == draw(0, "clip", 1)
    assert len({draw(0, "clip", 1), draw(0, "clip", 2), draw(1, "clip", 1), draw(0, "clop", 1)}) == 4


def test_a_recording_says_that_it_is_synthetic(tmp_path):
    voices = twins.cast({"a": "female"}, 1, seed=0)
    seconds = twins.record(
        tmp_path / "x/a.wav", voices["a"], "angry", "Hello there", np.random.default_rng(0), rate=22050
    )
    with soundfile.SoundFile(tmp_path / "x/a.wav") as clip:
        assert (clip.samplerate, clip.channels, clip.subtype) == (22050, 1, "PCM_16")
        assert "SYNTHETIC" in clip.comment and clip.frames / 22050 == seconds


def test_a_layout_that_is_full_is_an_error():
    assert twins.nth("ab", 1) == "b"
    with pytest.raises(AffectkitError, match="ask for fewer"):
        twins.nth("ab", 2)


def test_parts_keep_speakers_apart_and_small_casts_are_tested():
    assert [twins.part_of(n) for n in range(5)] == ["train", "train", "test", "train", "val"]
