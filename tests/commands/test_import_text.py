"""`affectkit import-model` of experts on texts, and what is made of their answers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from affectkit.models import tiny

pytest.importorskip("vaderSentiment", reason='the lexicon reads English with VADER: pip install "affectkit[text]"')

SAID = [
    ("I love it", "en"),
    ("我很难过", "zh"),
    ("It is Monday", "en"),
    ("Ich bin froh", "de"),
    ("", "en"),
    ("so sad", "en"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """72 rows of six sayings, by split; valence on 1 to 5; and a classifier's folder."""
    root = tmp_path_factory.mktemp("texts")
    valence = {"I love it": 4.5, "我很难过": 1.5, "so sad": 1.6}
    rows = [
        {
            "id": f"t{number:02}", "text": text, "language": language,
            "valence": valence.get(text, 3) + number % 5 / 10,
            "split": ("train", "val", "test")[number % 3], "speaker": f"p{number % 15}",
            "label": "happy" if text == "I love it" else "sad",
        }
        for number, (text, language) in enumerate(SAID * 12)
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(rows))
    table = pd.DataFrame(rows)
    table["split"], table["speaker"] = table["split"].to_numpy()[order], table["speaker"].to_numpy()[order]
    table["speaker"] = table["split"] + table["speaker"]
    table.to_csv(root / "rows.csv", index=False)
    model, tokenizer = tiny.build("tiny-random:bert", "text", {"id2label": {0: "NEG", 1: "POS"}}, classifier=True)
    model.save_pretrained(root / "classifier")
    tokenizer.save_pretrained(root / "classifier")
    return root


@pytest.fixture
def imported(affectkit, study, tmp_path):
    """`imported("lexicon")`: the run folder, and what was said."""

    def run(expert, *more, name="run", code=0):
        line = ("import-model", expert, "--manifest", study / "rows.csv", "-o", tmp_path / name, *more)
        return tmp_path / name, affectkit(*line, code=code).stderr

    return run


def test_a_lexicon_answers_in_its_languages_and_says_that_it_is_one(imported):
    run, said = imported("lexicon")
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False).set_index("id")
    assert len(table) == 48 and set(table["seen"]) == {"heldout"}
    by_language = table.groupby("language")["declined"].agg(set)
    assert by_language["de"] == {"no lexicon of 'de', only of en and zh"} and by_language["zh"] == {""}
    assert set(table["sentiment_pred"]) == {"positive", "negative", "neutral", ""}
    declined = table["declined"] != ""
    assert set(table.loc[declined, "sentiment_prob_neutral"]) == {""} == set(table.loc[declined, "valence_pred"])
    assert "lexicon is a lexicon, which counts words and was trained on nothing" in said
    report = json.loads((run / "train_report.json").read_text())
    assert report["is"].startswith("a lexicon") and report["texts"] == {
        "answered": int((~declined).sum()),
        "declined": int(declined.sum()),
    }
    assert report["metrics"]["test_valence.pearson"]["value"] > 0.5
    spec = json.loads((run / "best_model" / "affectkit.json").read_text())
    assert (spec["kind"], spec["needs"]) == ("text-expert", ["text"]) and "VADER 3" in spec["expert_facts"]["lexicons"][
        "en"
    ]
    card = (run / "best_model" / "README.md").read_text()
    assert "text expert: lexicon, a lexicon, which counts words" in card and "zh: " in card and "face" not in card


def test_a_classifiers_folder_needs_no_original_and_predicts_as_it_did(imported, affectkit, study, tmp_path):
    copy = shutil.copytree(study / "classifier", tmp_path / "classifier")
    run, _ = imported("hf-text", "--model", copy, "--label-map", "NEG=sad,POS=happy")
    shutil.rmtree(copy)
    spec = json.loads((run / "best_model" / "affectkit.json").read_text())
    assert spec["targets"] == [{"name": "label", "kind": "class", "classes": ["happy", "sad"]}], "the manifest's label"
    assert "test_uar" in json.loads((run / "train_report.json").read_text())["metrics"]
    moved = shutil.copytree(run / "best_model", tmp_path / "moved")
    line = ("--manifest", study / "rows.csv", "--split", "test", "-o", tmp_path / "again.csv")
    affectkit("predict", "--model-dir", moved, *line)
    own, again = (pd.read_csv(path).set_index("id") for path in (run / "predictions.csv", tmp_path / "again.csv"))
    columns = ["prob_happy", "prob_sad"]
    np.testing.assert_array_equal(again[columns], own.loc[again.index, columns])


def test_files_of_text_are_answered(imported, affectkit, tmp_path):
    run, _ = imported("lexicon")
    for name, text in {"a": "I love it", "b": "我很难过", "c": " ", "d": "love " * 2000, "e": "\U0001f600"}.items():
        (tmp_path / "said").mkdir(exist_ok=True)
        (tmp_path / "said" / f"{name}.txt").write_text(text, encoding="utf-8")
    affectkit("predict", "--model-dir", run, tmp_path / "said", "-o", tmp_path / "said.csv")
    table = pd.read_csv(tmp_path / "said.csv", keep_default_na=False)
    assert list(table["sentiment_pred"]) == ["positive", "negative", "", "positive", "positive"]
    assert list(table["declined"]) == ["", "", "has no text", "", ""]


def test_classes_that_no_row_can_judge_are_a_source_all_the_same(imported, affectkit, study, tmp_path):
    run, said = imported("hf-text", "--model", study / "classifier")
    assert "none of the 24 test rows has a truth and an answer: not judged" in said
    assert json.loads((run / "train_report.json").read_text())["metrics"] == {}
    assert {"sentiment_prob_NEG", "sentiment_prob_POS"} <= set(pd.read_csv(run / "predictions.csv"))
    affectkit("report", run, "-o", tmp_path / "page")


def test_a_name_for_the_classes(imported, study):
    run, _ = imported("hf-text", "--model", study / "classifier", "--target", "tone")
    assert "tone_prob_NEG" in pd.read_csv(run / "predictions.csv")
    said = imported("hf-text", "--model", study / "classifier", "--target", "label", name="other", code=2)[1]
    assert "--target label: the manifest's label is not one of NEG, POS; map the classifier's labels" in said


def test_its_answers_are_calibrated_fused_and_bundled(imported, affectkit, study, tmp_path):
    first, _ = imported("lexicon")
    grams = ("--manifest", study / "rows.csv", "-o", tmp_path / "grams")
    affectkit("extract-features", "--encoder", "text-ngrams", "--on-error", "skip", *grams)
    words = ("--features", tmp_path / "grams", "--missing", "drop", "--model", "linear", "--target", "valence")
    affectkit("train", "--manifest", study / "rows.csv", *words, "-o", tmp_path / "words")
    line = ("--method", "linear", "--target", "valence", "--manifest", study / "rows.csv", "--bundle")
    affectkit("calibrate", first, *line, "-o", tmp_path / "line")
    sources = (f"words={tmp_path / 'words'}", f"line={tmp_path / 'line'}")
    affectkit("fuse", *sources, "--rule", "mean", "--bundle", "-o", tmp_path / "fused")
    moved = shutil.copytree(tmp_path / "fused" / "best_model", tmp_path / "moved")
    for run in (first, *(tmp_path / name for name in ("line", "words", "fused"))):
        shutil.rmtree(run)
    line = ("--manifest", study / "rows.csv", "--include-fit", "--on-error", "skip", "-o", tmp_path / "p.csv")
    affectkit("predict", "--model-dir", moved, *line)
    table = pd.read_csv(tmp_path / "p.csv", keep_default_na=False).set_index("id")
    rows = pd.read_csv(study / "rows.csv", keep_default_na=False).set_index("id").loc[table.index]
    assert (table["declined"] != "").equals((rows["language"] == "de") | (rows["text"] == ""))
    assert (table["valence_pred"] != "").equals(rows["text"] != ""), "what the lexicon declines, the words answer"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hf-text", "hf-text needs a --model"),
        ("hf-text --model M --policy largest", "hf-text has no option --policy; it is of emonet, finetuned, timm"),
        ("lexicon --tta 3", "lexicon has no option --tta; it is of emonet, finetuned, timm"),
        ("lexicon --detector whole", "lexicon has no option --detector; it is of emonet, finetuned, timm"),
        ("lexicon --min-size 3", "lexicon has no option --min-size; it is of detector haar"),
        ("lexicon --label-map a=b", "lexicon has no option --label-map; it is of hf-text"),
        ("emonet --label-map a=b", "emonet has no option --label-map; it is of hf-text"),
        ("hf-text --model M --label-map NE=sad", "the classifier has no label 'NE'; did you mean NEG"),
        ("hf-text --model M --label-map NEG", "'NEG' is not source=class"),
        ("hf-text --model M --long-texts middle", "'middle' is not one of"),
    ],
)
def test_mistakes_are_told_in_a_line(line, said, imported, study):
    expert, *more = [str(study / "classifier") if word == "M" else word for word in line.split()]
    assert said in imported(expert, *more, code=2)[1]


def test_manifests_without_texts_are_refused(affectkit, study, tmp_path):
    pd.read_csv(study / "rows.csv").drop(columns="text").to_csv(tmp_path / "silent.csv", index=False)
    line = ("import-model", "lexicon", "--manifest", tmp_path / "silent.csv", "-o", tmp_path / "x")
    assert "silent.csv: has no column 'text'; transcribe" in affectkit(*line, code=1).stderr
