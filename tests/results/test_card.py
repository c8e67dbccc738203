"""The model card: what it must say, and that nothing in it breaks Markdown or YAML."""

import json
import re

import pytest

from affectkit.instruments import APPARENT
from affectkit.results import words
from affectkit.results.card import model_card

TARGETS = [
    {"name": "label", "kind": "class", "classes": ["anger", "joy"]},
    {"name": "valence", "kind": "number", "scale": [-1.0, 1.0]},
]
SUMMARY = {
    "corpora": {
        "emodb": {"title": "Berlin Database", "licence": "CC0-1.0", "citation": "Burkhardt 2005", "language": "de"}
    },
    "declared": ["every speaker says the same ten sentences"],
    "hours": 0.4126,
}
SPEC = {
    "kind": "estimator",
    "estimator": "linear",
    "targets": TARGETS,
    "chosen": {"label": {"C": 0.1}},
    "normalize": "train",
    "class_weight": "balanced",
    "group": "speaker",
    "features": [{"encoder": "opensmile", "options": {"feature_set": "ComParE_2016"}}],
}
REPORT = {
    "n": 100,
    "seen": ["heldout"],
    "groups": {"column": "speaker", "count": 2},
    "interval": {"method": "jackknife", "level": 0.95},
    "metrics": {"uar": {"value": 0.7512, "low": 0.70, "high": 0.80}, "ece": {"value": 0.1, "low": None, "high": None}},
    "floors": {"majority": {"uar": 0.5}},
}
FACTS = {
    "name": "linear",
    "affectkit": "0.1.0",
    "spec": SPEC,
    "summary": SUMMARY,
    "fit_rows": 300,
    "fit_groups": 8,
    "selected_on": "inner folds",
    "seed": 0,
    "reports": {"test": REPORT},
}


def test_says_use_limits_data_and_figures():
    card = model_card(FACTS)
    for expected in (
        words.INTENDED_USE, words.LIMITS, "article 5(1)(f) of the AI Act",
        "Berlin Database; licence: CC0-1.0; Burkhardt 2005",
        "every speaker says the same ten sentences", "fitted on 300 rows of 8 groups (speaker)", "0.41 hours of media",
        "encoder: opensmile (feature\\_set = ComParE\\_2016)", "estimator: linear", "chosen for label: C = 0.1",
        "Inductive: no statistics of the rows", "class weight: balanced", "seed: 0", "selected on: inner folds",
        "| test | UAR | 0.751 | [0.700, 0.800] | 0.500 |", "| test | ECE | 0.100 |  |  |",
        "95 %, jackknife with Student's t over 2 groups (speaker)",
        "one of anger, joy", "a number from -1 to 1", "affectkit predict --model-dir",
    ):  # fmt: skip
        assert expected in card
    assert "random weights" not in card
    assert "synthetic" not in card


def test_front_matter_is_yaml_that_the_hub_reads():
    front = re.match(r"---\n(.*?)\n---\n", model_card(FACTS), re.DOTALL)[1]
    facts = dict(line.split(": ", 1) for line in front.splitlines())
    assert facts["library_name"] == "affectkit"
    assert json.loads(facts["language"]) == ["de"]


def test_marks_what_must_not_be_believed():
    encoder = {"encoder": "hf-audio", "options": {"checkpoint": "tiny-random:wav2vec2"}}
    summary = {"corpora": {"emodb": {"title": "twin", "synthetic": True}}}
    card = model_card(FACTS | {"spec": SPEC | {"features": [encoder], "normalize": "speaker"}, "summary": summary})
    assert "random weights (tiny-random)" in card
    assert "Fitted on synthetic data" in card
    assert "Transductive: features were scaled per speaker" in card


@pytest.mark.parametrize("missing", sorted({*FACTS, *SPEC} - {"spec", "targets"}))
def test_any_fact_but_the_targets_may_be_missing(missing):
    facts = {key: value for key, value in FACTS.items() if key != missing}
    facts["spec"] = {key: value for key, value in SPEC.items() if key != missing}
    card = model_card(facts)
    assert "None" not in card
    assert "## Intended use" in card


def test_targets_alone_make_a_card():
    assert "Not recorded." in model_card({"spec": {"targets": TARGETS}})


def test_numbers_have_no_class_weight():
    assert "class weight" not in model_card(FACTS | {"spec": SPEC | {"targets": TARGETS[1:]}})


def test_names_do_not_break_the_page():
    targets = [{"name": "label", "kind": "class", "classes": ["<script>", "a|b", "# x\n# y"]}]
    report = REPORT | {"metrics": {"uar": {"value": None, "low": None, "high": None}}}
    card = model_card(FACTS | {"spec": SPEC | {"targets": targets}, "reports": {"te|st": report}})
    assert "<script>" not in card
    assert "&lt;script&gt;, a\\|b, \\# x \\# y" in card
    assert "| te\\|st | UAR | - |  | 0.500 |" in card


def test_same_bytes_twice():
    assert model_card(FACTS) == model_card(json.loads(json.dumps(FACTS)))


def test_an_experts_card_says_whose_weights_it_has_and_what_it_sees():
    spec = {
        "targets": [{"name": "valence", "kind": "number", "scale": [-1, 1]}], "expert": "emonet", "detector": "haar",
        "licence": "CC BY-NC-ND 4.0", "expert_facts": {"weights": "0123456789abcdef" * 4}, "tta": 5,
        "crop": {"policy": "largest", "box_scale": 1.2, "flip_average": True, "size": 256, "landmark_side": 0.909},
    }  # fmt: skip
    corpora = {"oasis": {"name": "oasis", "title": "OASIS", "synthetic": True}}
    card = model_card({"spec": spec, "fit_rows": 0, "summary": {"corpora": corpora}})
    for expected in (
        "face expert: emonet; weights: SHA-256 0123456789abcdef...",
        "licence of the weights: CC BY-NC-ND 4.0",
        "faces found by: haar; of several the largest one",
        "68 landmarks where there are any (0.909 times width + height), else their box, 1.2 times its longer side",
        "256 pixels wide, 5 views of each",
        "nothing was fitted here",
        "Judged on synthetic data",
    ):
        assert expected in card
    assert "Fitted on synthetic" not in card and "random weights" not in card
    alone = spec | {"tta": 1, "crop": spec["crop"] | {"landmark_side": None}}
    assert "sees squares around their box, 1.2 times its longer side, 256 pixels wide, with its mirror image" in (
        model_card({"spec": alone})
    )


def test_names_that_act_on_a_terminal_do_not_reach_the_card():
    target = {"name": "label", "kind": "class", "classes": ["calm\x1b[2J", "\u202egnirob", "two\nlines"]}
    card = model_card({**FACTS, "spec": {**SPEC, "targets": [target]}, "name": "run\x07"})
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", card)
    assert "u001b" in card and "two lines" in card


def test_scores_of_mental_health_state_their_use_and_the_prohibition():
    targets = [{"name": "phq8", "kind": "number", "scale": [0, 24]}, {"name": "focus", "kind": "number", "scale": None}]
    corpora = {"sessions": {"title": "Sessions", "scores": {"focus": "attention, asked every minute"}}}
    facts = FACTS | {"spec": SPEC | {"targets": targets}, "summary": {"corpora": corpora}}
    card = model_card(facts)
    for expected in (
        "**phq8, focus: a score of this kind is no diagnosis.**", words.HEALTH_USE, words.AI_ACT, words.AI_ACT_HEALTH,
        "- phq8: PHQ-8, a self-report of depressive symptoms", "- focus: attention, asked every minute",
    ):  # fmt: skip
        assert expected in card
    assert card.index("a score of this kind") < card.index("## Limits")
    plain = model_card(FACTS)
    assert words.AI_ACT in plain and words.AI_ACT_HEALTH not in plain and words.HEALTH_USE not in plain
    assert "a score of this kind" not in plain


def test_traits_of_personality_are_said_to_be_apparent():
    targets = [{"name": name, "kind": "number", "scale": [0, 1]} for name in ("openness", "interview")]
    card = model_card(FACTS | {"spec": SPEC | {"targets": targets}})
    assert f"**openness: {APPARENT}.**" in card and words.TRAITS_USE in card and words.AI_ACT_TRAITS in card
    assert words.warnings({"targets": targets})[0] == f"openness: {APPARENT}"
    assert APPARENT not in model_card(FACTS) and words.AI_ACT_TRAITS not in model_card(FACTS)


def test_ordered_classes_show_their_distances_first():
    targets = [{"name": "severity", "kind": "ordinal", "classes": ["none", "mild", "severe"]}]
    names = ("severity.uar", "severity.kappa_quadratic", "severity.mae_levels")
    report = REPORT | {"targets": targets, "metrics": {name: {"value": 0.25} for name in names}, "floors": {}}
    card = model_card(FACTS | {"spec": SPEC | {"targets": targets}, "reports": {"test": report}})
    assert "severity: one of none, mild, severe, in this order" in card
    rows = [line.split(" | ")[1] for line in card.splitlines() if line.startswith("| test")]
    assert rows == ["severity quadratic kappa", "severity MAE in levels", "severity UAR"]
    unordered = REPORT | {"targets": [{**targets[0], "kind": "class"}], "metrics": report["metrics"], "floors": {}}
    card = model_card(FACTS | {"reports": {"test": unordered}})
    assert [line.split(" | ")[1] for line in card.splitlines() if line.startswith("| test")] == ["severity UAR"]
