"""Scores of mental health are known by their names, or because a corpus declares them, and nothing calls one a
diagnosis."""

import ast
import doctest
import re
from pathlib import Path

import pytest

import affectkit.instruments
from affectkit.instruments import NO_DIAGNOSIS, SCORES, no_diagnosis, scores_of
from affectkit.reporting import alerted
from affectkit.results import words

ROOMS = ("reporting", "results", "evaluation", "commands", "serving", "options.py", "cli.py", "instruments.py")


@pytest.mark.parametrize(
    "name", ["stress", "stress_level", "PHQ8", "phq8_score", "self-reported anxiety", "protective"]
)
def test_known_by_a_word_of_their_name(name):
    assert list(scores_of([name])) == list(scores_of([{"name": name, "kind": "number"}])) == [name]


@pytest.mark.parametrize("name", ["label", "valence", "arousal", "openness", "stressed", "paint"])
def test_other_targets_are_not(name):
    assert scores_of([name]) == {}
    assert no_diagnosis(scores_of([name])) == []


def test_a_corpus_says_it_better():
    corpora = [{"scores": {"focus": "attention, 1 to 5, asked every minute", "stress": "stress, 1 to 5"}}, {}]
    assert scores_of(["label", "focus", "stress"], corpora) == corpora[0]["scores"]
    assert scores_of(None) == {}


def texts_of(path):
    """Every text in a source file; of Python its string constants, joined where they stand side by side."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [" ".join(source.split())]
    return [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)
            and isinstance(node.value, str)]  # fmt: skip


def test_no_text_calls_a_score_a_diagnosis():
    root, found = Path(affectkit.__file__).parent, []
    allowed = (NO_DIAGNOSIS, words.INTENDED_USE, alerted.NO_DIAGNOSIS.partition(", and")[0])
    for room in ROOMS:
        paths = [root / room] if room.endswith(".py") else sorted((root / room).rglob("*"))
        for path in paths:
            if path.suffix in (".py", ".j2", ".css", ".html", ".js"):
                for text in texts_of(path):
                    for sentence in allowed:
                        text = text.replace(sentence, "")
                    found += [f"{path.name}: {text}"] if re.search("diagnos", text, re.IGNORECASE) else []
    # A doctest and a docstring's own name of the sentence aside.
    assert [text for text in found if "no_diagnosis" not in text] == []


def test_every_score_says_what_it_is():
    for word, what in SCORES.items():
        assert word == word.casefold() and word.isalnum()
        assert re.search("report|raters", what), word


def test_the_examples_run():
    assert doctest.testmod(affectkit.instruments).failed == 0
