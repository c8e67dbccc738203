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
