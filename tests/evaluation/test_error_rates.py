"""Word and character error rates: by hand, and against jiwer's own totals."""

import builtins

import jiwer
import numpy as np
import pytest

from affectkit.errors import AffectkitError
from affectkit.evaluation.error_rates import aligned, error_rates, normalise, require_jiwer
from affectkit.evaluation.intervals import Resampling

PAIRS = [
    ("the cat sat on the mat", "the cat sat at mat"),  # one substitution, one deletion
    ("he said so", "he said so and so"),  # two insertions
    ("yes", ""),
    ("well done", "Well, done!"),
    ("one two three", "two three"),
]
SAID, HEARD = map(list, zip(*PAIRS, strict=True))


def test_errors_by_hand():
    words = aligned(SAID, HEARD)["wer"].tolist()
    assert words == [[1, 1, 0, 6], [0, 0, 2, 3], [0, 1, 0, 1], [0, 0, 0, 2], [0, 1, 0, 3]]


def test_totals_are_jiwers():
    said, heard = ([" ".join(normalise(text)) for text in texts] for texts in (SAID, HEARD))
    rates = error_rates(aligned(SAID, HEARD), None, np.ones(len(SAID), bool), Resampling())
    assert rates["wer"]["value"] == pytest.approx(jiwer.wer(said, heard))
    joined = [["".join(text.split()) for text in texts] for texts in (said, heard)]
    assert rates["cer"]["value"] == pytest.approx(jiwer.cer(*joined))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's the dogs' bowl \u2013 isn\u2019t it?", ["it's", "the", "dogs", "bowl", "isn't", "it"]),
        ("\ufb01ve \uff21\uff22\uff23, 3,5 %", ["five", "abc", "3", "5"]),
        ("我很好\uff0cOK吗", ["我", "很", "好", "ok", "吗"]),
        ("ありがとう", list("ありがとう")),
        ("Straße", ["strasse"]),
        ("... 😀 --", []),
    ],
)
def test_normalisation(text, words):
    assert normalise(text) == words


def test_chinese_is_counted_by_characters():
    counts = aligned(["今天天气很好"], ["今天天很好啊"])
    assert counts["wer"].tolist() == counts["cer"].tolist() and counts["wer"][0, 3] == 6
    assert counts["wer"][0, :3].sum() == 2


def test_intervals_are_over_groups():
    """The delete-one jackknife of a ratio of sums, on the logarithm: by hand over three speakers."""
    said = ["a b c d"] * 6
    heard = ["a b c d", "a b c x", "a b y x", "a b c d", "a z y x", "a b c x"]
    groups = np.array(["s", "s", "t", "t", "u", "u"])
    rate = error_rates(aligned(said, heard), groups, np.ones(6, bool), Resampling())["wer"]
    errors = np.array([1, 2, 4])
    left_out = np.log((7 - errors) / 16)
    reach = 4.302652729911275 * np.sqrt(2 * left_out.var())  # Student's t of two degrees of freedom
    assert rate["value"] == pytest.approx(7 / 24) and rate["method"] == "jackknife"
    assert [rate["low"], rate["high"]] == pytest.approx(np.exp(np.log(7 / 24) + np.array([-reach, reach])))


def test_nothing_wrong_has_no_interval():
    rate = error_rates(aligned(["a b", "c"], ["a b", "c"]), None, np.ones(2, bool), Resampling())["wer"]
    assert rate["value"] == 0 and np.isnan(rate["low"])


def test_without_jiwer_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "jiwer":
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(AffectkitError, match=r"jiwer.*; pip install 'affectkit\[asr\]'"):
        require_jiwer()
