"""Predictions that others wrote: scikit-learn, a Hugging Face pipeline, a spreadsheet; through `affectkit evaluate`."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from affectkit.artifacts.files import write_json
from affectkit.artifacts.reports import read_report

NAMES = np.array(["angry", "happy", "sad"])


@pytest.fixture
def judged(affectkit, tmp_path):
    """`judged(path, ...)`: the report of a table that stands for a test split."""

    def run(path, *options):
        affectkit("evaluate", path, "--treat-as", "test", *options, "--overwrite", "-o", tmp_path / "report")
        return read_report(tmp_path / "report")

    return run


@pytest.fixture
def refused(affectkit, tmp_path):
    """`refused(path, ...)`: the one line of error, without the path that it begins with."""

    def run(path, *options):
        result = affectkit("evaluate", path, *options, "-o", tmp_path / "report", code=1)
        assert not (tmp_path / "report").exists()
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and lines[0].startswith(f"error: {path}")
        return lines[0].removeprefix(f"error: {path}").strip(" :")

    return run


# scikit-learn


@pytest.mark.parametrize("kind", ["words", "whole numbers", "floats", "bools"])
def test_what_scikit_learn_predicts_is_judged_as_it_stands(judged, tmp_path, kind):
    rng = np.random.default_rng(0)
    features, codes = rng.normal(size=(80, 4)), rng.integers(0, 3, 80)
    truth = {"words": NAMES[codes], "whole numbers": codes, "floats": codes.astype(float), "bools": codes == 1}[kind]
    model = LogisticRegression().fit(features, truth)
    table = pd.DataFrame(model.predict_proba(features), columns=[f"prob_{c}" for c in model.classes_])
    table.insert(0, "id", [f"clip{i}" for i in range(80)])
    table.assign(label=truth).to_csv(tmp_path / "theirs.csv", index=False)
    report = judged(tmp_path / "theirs.csv")
    expected = recall_score(truth, model.predict(features), average="macro")
    assert report["metrics"]["uar"]["value"] == pytest.approx(expected, abs=1e-12)
    assert report["targets"][0]["classes"] == [str(c) for c in model.classes_]


def test_an_index_without_a_name_is_pointed_at(refused, tmp_path):
    table = pd.DataFrame({"prob_a": [0.5], "prob_b": [0.5], "label": ["a"]}, index=["clip0"])
    table.to_csv(tmp_path / "theirs.csv")
    assert refused(tmp_path / "theirs.csv").endswith("name it (pandas: to_csv(..., index_label='id'))")


def test_whole_numbers_that_pandas_wrote_as_floats_are_pointed_at(refused, tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "prob_0": [0.4, 0.5], "prob_1": [0.6, 0.5], "label": [1, np.nan]})
    table.to_csv(tmp_path / "theirs.csv", index=False)
    said = refused(tmp_path / "theirs.csv")
    assert said == "row 1: label '1.0' is not in 0, 1; write it as the class is written: 1"


# A Hugging Face pipeline


@pytest.fixture
def answers():
    """What `pipeline("audio-classification")(files, top_k=None)` gives: per file every class, the best first."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], 40)
    return [[{"score": float(row[k]), "label": str(NAMES[k])} for k in np.argsort(-row)] for row in shares]


def test_what_a_pipeline_answers_is_three_lines_away(answers, judged, tmp_path):
    files = [f"clip{i}" for i in range(40)]
    rows = [{"id": f, **{f"prob_{a['label']}": a["score"] for a in of}} for f, of in zip(files, answers, strict=True)]
    pd.DataFrame(rows).to_csv(tmp_path / "theirs.csv", index=False)
    truth = NAMES[np.arange(40) % 3]
    (tmp_path / "manifest").mkdir()
    speaker = [f"s{i % 5}" for i in range(40)]
    manifest = pd.DataFrame({"id": files, "label": truth, "speaker": speaker, "split": "test"})
    manifest.to_csv(tmp_path / "manifest" / "test.csv", index=False)
    targets = [{"name": "label", "kind": "class", "classes": list(NAMES)}]
    write_json(tmp_path / "manifest" / "summary.json", {"targets": targets, "corpora": {}})
    report = judged(tmp_path / "theirs.csv", "--manifest", tmp_path / "manifest", "--alert", "angry>=.5")
    best = [of[0]["label"] for of in answers]
    assert report["metrics"]["uar"]["value"] == pytest.approx(recall_score(truth, best, average="macro"), abs=1e-12)
    assert report["groups"] == {"column": "speaker", "count": 5}
    raised = sum(a["score"] >= 0.5 for of in answers for a in of if a["label"] == "angry")
    assert report["alerts"]["angry>=0.5"]["raised"] == raised


def test_only_the_best_classes_of_a_pipeline_are_refused(answers, refused, tmp_path):
    rows = [{"id": i, **{f"prob_{a['label']}": a["score"] for a in of[:2]}} for i, of in enumerate(answers)]
    pd.DataFrame(rows).assign(label="sad").to_csv(tmp_path / "theirs.csv", index=False)
    assert refused(tmp_path / "theirs.csv").endswith("is missing; give every class's probability, or none")


def test_a_pipelines_answers_written_as_they_are_hold_no_predictions(answers, refused, tmp_path):
    pd.DataFrame(answers).assign(id=range(40)).to_csv(tmp_path / "wide.csv", index=False)
    assert "holds no predictions; name columns pred, prob_<class>" in refused(tmp_path / "wide.csv")
    pd.DataFrame([{"id": i, **a} for i, of in enumerate(answers) for a in of]).to_csv(
        tmp_path / "long.csv", index=False
    )
    assert "row 2: id '0' stands twice" in refused(tmp_path / "long.csv")
    (tmp_path / "answers.csv").write_text(json.dumps(answers))
    assert refused(tmp_path / "answers.csv") == "is JSON, not CSV; save it as CSV in UTF-8 with commas"


# A spreadsheet

SHEET = """id,label,pred,prob_angry,prob_happy,prob_sad
u1,angry,angry,0.7,0.2,0.1
u2,happy,sad,0.1,0.4,0.5
u3,sad,sad,0.25,0.25,0.5
ü4,sad,angry,0.6,0.3,0.1
"""


def each_line(change):
    return lambda text: "\n".join(change(line) for line in text.splitlines()) + "\n"


SAME = {
    "a BOM": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "quoted": each_line(lambda line: ",".join(f'"{cell}"' for cell in line.split(","))),
    "empty rows": lambda text: text + "\r\n\n,,,,,\n,,,,,\n",
    "empty columns": each_line(lambda line: line + ",,"),
    "an empty row between": lambda text: text.replace("u2", ",,,,,\nu2"),
    "padded names": lambda text: text.replace(",", " , ", 5),
    "sep=,": lambda text: "sep=,\n" + text,
}


def test_what_a_spreadsheet_adds_changes_nothing(judged, tmp_path):
    (tmp_path / "plain.csv").write_text(SHEET)
    plain = judged(tmp_path / "plain.csv")
    for name, change in SAME.items():
        (tmp_path / "sheet.csv").write_bytes(change(SHEET).encode())
        sheet = judged(tmp_path / "sheet.csv")
        assert {**sheet, "inputs": None} == {**plain, "inputs": None}, name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text.replace(",", ";").replace(".", ","),
            "its columns are separated by ';' and its decimals by ','; save it with commas between columns",
        ),
        (lambda text: "sep=;\n" + text.replace(",", ";"), "its columns are separated by ';'; save it with commas"),
        (
            lambda text: text.replace(",", "\t"),
            "its columns are separated by tabs; name it .tsv, or save it with commas",
        ),
        (lambda text: text.encode("utf-16"), "is not UTF-8 text but UTF-16; save it as CSV in UTF-8 with commas"),
        (lambda text: text.encode("latin-1"), "is not UTF-8 text (line 5); save it as UTF-8; a spreadsheet offers"),
        (lambda text: text.replace("0.7,", '"0,7",'), "row 1: prob_angry '0,7' is not a number; write decimals with a"),
        (
            lambda text: text.replace("0.7,", "0,7,"),
            "row 1: 7 cells under a header of 6; name every column in the first",
        ),
        (
            lambda text: text.replace("0.7,0.2,0.1", "70,20,10"),
            "row 1: prob_angry 70 is outside [0, 1]; divide percentages by 100",
        ),
        (
            lambda text: text.replace("0.7,0.2,0.1", "70%,20%,10%"),
            "row 1: prob_angry '70%' is not a number; write shares of 1, without %",
        ),
        (lambda text: text.replace("0.7,", "#N/A,"), "row 1: prob_angry '#N/A' is not a number; leave the cell empty"),
        (lambda text: text.replace("u3", ""), "row 3: has no id"),
        (
            lambda text: text.replace("u2,happy", "u2, happy"),
            "row 2: label ' happy' is not in angry, happy, sad; write",
        ),
        (lambda text: text.replace("0.5\nu3", "0.5,see me\nu3"), "row 2: 7 cells under a header of 6"),
        (lambda text: text.replace(",0.1\nu2", "\nu2"), "row 1: 5 cells under a header of 6; an empty cell needs its"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_row_and_remedy(refused, tmp_path, change, said):
    changed = change(SHEET)
    (tmp_path / "sheet.csv").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    assert refused(tmp_path / "sheet.csv").startswith(said)


# What would change a figure without a word


def scores(path, **columns):
    """Ten rows of three classes, right where `label` is the first."""
    table = {"id": [f"r{row}" for row in range(10)], "split": "test", "label": "angry", "speaker": list("aabbccddee")}
    shares = {"prob_angry": 0.5, "prob_happy": 0.3, "prob_sad": 0.2}
    pd.DataFrame({**table, **shares, **columns}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("seen", [{}, {"seen": "heldout"}])
def test_parts_by_other_names_are_read_and_others_counted(affectkit, tmp_path, seen):
    split = ["Dev", " validation", "TEST", "test_clean", "holdout", "", "  ", "val", "test", "test"]
    path = scores(tmp_path / "theirs.csv", split=split, **seen)
    result = affectkit("evaluate", path, "-o", tmp_path / "report")
    assert read_report(tmp_path / "report")["n"] == 4
    counted = "3 of 10 rows are of split (empty), 'holdout', which is none of train, val, test"
    assert f"theirs.csv: {counted}" in result.stderr
    affectkit("evaluate", path, "--split", "dev", "-o", tmp_path / "dev")
    assert read_report(tmp_path / "dev")["n"] == 3


def test_a_table_whose_rows_all_have_a_part_is_not_mentioned(affectkit, tmp_path):
    result = affectkit("evaluate", scores(tmp_path / "p.csv", split=["val", "test"] * 5), "-o", tmp_path / "report")
    assert "which is none of" not in result.stderr


def test_what_float32_rounds_beyond_0_and_1_is_a_probability(judged, refused, tmp_path):
    assert "is outside [0, 1]" in refused(scores(tmp_path / "q.csv", prob_angry=1.00001))
    certain = {"prob_angry": 1 + 2e-7, "prob_happy": -1e-7, "prob_sad": 0.0}
    assert judged(scores(tmp_path / "p.csv", **certain))["metrics"]["nll"]["value"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("label", "remedy"),
    [
        ("Angry ", "write it as the class is written: angry"),
        ("bored", "give a column prob_bored, or leave the cell empty"),
    ],
)
def test_a_label_without_a_probability_is_named_before_sums_are(refused, tmp_path, label, remedy):
    path = scores(tmp_path / "p.csv", label=label, prob_sad=0.1)
    assert refused(path) == f"row 1: label '{label}' is not in angry, happy, sad; {remedy}"


def test_rows_whose_truth_has_no_probability_are_counted(judged, tmp_path):
    path = scores(tmp_path / "p.csv", label=["angry"] * 7 + ["sad"] * 3, prob_happy=0.5, prob_sad=0.0)
    [sentence] = [text for text in judged(path)["warnings"] if "probability 0" in text]
    assert sentence == "label: 3 rows have probability 0 of what they are (sad): NLL counts 27.6 for each"


def test_predictions_at_odds_with_their_probabilities_are_counted(judged, tmp_path):
    sentences = judged(scores(tmp_path / "p.csv", pred=["angry"] * 6 + ["sad"] * 4))["warnings"]
    assert any(
        text.startswith("label: the prediction of 4 rows is not their most probable class") for text in sentences
    )
    assert not any("most probable" in text for text in judged(scores(tmp_path / "q.csv", pred="angry"))["warnings"])


def test_a_negative_variance_is_unknown(affectkit, tmp_path):
    path = tmp_path / "p.csv"
    known = {"id": list("abcdefgh"), "split": "val", "speaker": list("aabbccdd"), "valence": np.arange(8.0)}
    variances = [0.2, -1.0, 0.2, 0.2, -3.0, 0.0, 0.2, 0.2]
    pd.DataFrame({**known, "valence_pred": np.arange(8.0)[::-1], "valence_var": variances}).to_csv(path, index=False)
    result = affectkit("calibrate", path, "--method", "conformal", "--coverage", ".5", "-o", tmp_path / "c")
    assert "p.csv row 2: valence_var -1 is negative: taken as unknown, as in 2 rows in all" in result.stderr
    written = pd.read_csv(tmp_path / "c" / "predictions.csv")["valence_var"]
    assert written.isna().sum() == 2 and written.min() == 0
