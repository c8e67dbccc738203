"""`affectkit evaluate --agreement` and `--prevalence` as a clinician runs them, and cross-fitted rows beside held-out
ones: what the folder, the page and the terminal say."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from affectkit.artifacts.files import write_json
from affectkit.artifacts.reports import read_report
from affectkit.instruments import NO_DIAGNOSIS
from affectkit.results import words

LEVELS = ["none", "mild", "severe"]
ASKED = ("--agreement", "--alert", "phq8>=10", "--prevalence", ".1,.05")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Predictions of stress, phq8 and ordered severity: 120 held-out rows of 6 subjects, 200 cross-fitted ones of 10;
    and their manifest."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    subject = np.concatenate([np.arange(120) % 6, 6 + np.arange(200) % 10])
    frame = pd.DataFrame({"id": [f"r{i:03}" for i in range(320)]})
    frame["split"] = np.where(subject < 6, "test", "train")
    frame["seen"] = np.where(subject < 6, "heldout", "oof")
    level, offset = rng.standard_normal((2, 16))
    frame["stress"] = np.clip(3 + 0.6 * level[subject] + 0.6 * rng.standard_normal(320), 1, 5).round(1)
    frame["stress_pred"] = 1 + 0.6 * frame["stress"] + 0.2 * offset[subject] + 0.4 * rng.standard_normal(320)
    frame["phq8"] = np.clip(9 + 4 * level[subject] + 3 * rng.standard_normal(320), 0, 24).round()
    frame["phq8_pred"] = 4 + 0.6 * frame["phq8"] + 2.5 * rng.standard_normal(320)
    for name in ("phq8", "phq8_pred"):
        frame[name.replace("phq8", "severity")] = np.array(LEVELS)[np.digitize(frame[name], [8, 12])]
    frame["subject"] = [f"p{s:02}" for s in subject]
    frame["sex"] = np.where(subject % 2, "female", "male")
    (root / "manifest").mkdir()
    for split, part in frame.groupby("split"):
        columns = ["id", "split", "stress", "phq8", "severity", "subject", "sex"]
        part[columns].to_csv(root / "manifest" / f"{split}.csv", index=False)
    targets = [
        {"name": "stress", "kind": "number", "scale": [1, 5]},
        {"name": "phq8", "kind": "number", "scale": [0, 24]},
    ]
    targets.append({"name": "severity", "kind": "ordinal", "classes": LEVELS})
    declared = {"title": "Sessions", "scores": {"phq8": "PHQ-8, asked before each session"}}
    write_json(root / "manifest" / "summary.json", {"targets": targets, "corpora": {"sessions": declared}})
    frame.drop(columns=["subject", "sex"]).to_csv(root / "predictions.csv", index=False)
    return root


@pytest.fixture(scope="module")
def frame(study):
    table = pd.read_csv(study / "predictions.csv")
    parts = [pd.read_csv(study / "manifest" / f"{split}.csv") for split in ("test", "train")]
    return table.merge(pd.concat(parts)[["id", "subject", "sex"]], on="id")


def evaluate(affectkit, study, out, *more, **how):
    return affectkit("evaluate", study / "predictions.csv", "-m", study / "manifest", *more, "-o", out, **how)


def test_agreement_in_every_file(affectkit, study, frame, tmp_path):
    result = evaluate(affectkit, study, tmp_path / "out", *ASKED)
    report = read_report(tmp_path / "out")
    test = frame[frame["split"] == "test"]
    means = test.groupby("subject")[["stress", "stress_pred"]].mean()
    deviations = test[["stress", "stress_pred"]] - means.loc[test["subject"]].to_numpy()
    agreed = report["agreement"]["targets"]["stress"]
    assert report["agreement"]["column"] == "subject"
    assert agreed["between"]["pearson"]["value"] == pytest.approx(pearsonr(*means.to_numpy().T).statistic, abs=1e-6)
    within = agreed["within"]["pearson"]
    assert within["value"] == pytest.approx(pearsonr(*deviations.to_numpy().T).statistic, abs=1e-6)
    table = pd.read_csv(tmp_path / "out" / "agreement.csv").set_index(["target", "of", "figure"])
    assert table.loc[("stress", "within", "pearson"), "low"] == pytest.approx(within["low"])
    gap = agreed["floors"]["difference"]["mae"]
    assert table.loc[("stress", "difference", "mae"), ["value", "p"]].tolist() == pytest.approx(
        [gap["value"], gap["p"]]
    )
    train = frame.loc[frame["split"] == "train", "stress"].mean()
    assert agreed["floors"]["train_mean"]["mae"]["value"] == pytest.approx((test["stress"] - train).abs().mean())
    assert set(report["agreement"]["targets"]) == {"stress", "phq8", "severity"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert f'<data value="{within["value"]!r}">' in page and "Agreement: severity" in page
    for name in ("stress_agreement.svg", "stress_bland_altman.svg", "phq8_agreement.svg"):
        assert (tmp_path / "out" / name).exists()
    lines = result.stderr.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("stress, agreement"))
    assert lines[start].split()[2:] == ["all", "rows", "between", "within"]
    assert f"{within['value']:.3f}  [{within['low']:.3f}, {within['high']:.3f}]" in lines[start + 1]
    judged = pd.read_csv(tmp_path / "out" / "judged.csv")
    assert judged["subject"].tolist() == test["subject"].tolist()


def test_the_page_is_drawn_again_the_same(affectkit, study, tmp_path):
    evaluate(affectkit, study, tmp_path / "out", *ASKED)
    affectkit("report", tmp_path / "out", "-o", tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_text() == (tmp_path / "out" / "report.html").read_text()


def test_predictive_values_by_bayes(affectkit, study, frame, tmp_path):
    result = evaluate(affectkit, study, tmp_path / "out", *ASKED, "--prevalence", ".1", "--slices", "sex")
    alert = read_report(tmp_path / "out")["alerts"]["phq8>=10"]
    test = frame[frame["split"] == "test"]
    positive, raised = test["phq8"] >= 10, test["phq8_pred"] >= 10
    found, spared = raised[positive].mean(), 1 - raised[~positive].mean()
    assert list(alert["at_prevalence"]) == ["0.1", "0.05"]
    for text, figures in alert["at_prevalence"].items():
        share = float(text)
        ppv = share * found / (share * found + (1 - share) * (1 - spared))
        npv = (1 - share) * spared / ((1 - share) * spared + share * (1 - found))
        assert [figures[key]["value"] for key in ("ppv", "npv")] == pytest.approx([ppv, npv], abs=1e-12)
        assert all(0 <= figure["low"] < figure["value"] < figure["high"] <= 1 for figure in figures.values())
    metrics = {name: figure["value"] for name, figure in alert["metrics"].items()}
    assert metrics["prevalence"] == pytest.approx(positive.mean())
    assert metrics["npv"] == pytest.approx((~positive)[~raised].mean())
    assert metrics["lr_positive"] == pytest.approx(found / (1 - spared))
    # At the rows' own prevalence Bayes' rule gives what was counted.
    evaluate(affectkit, study, tmp_path / "own", "--alert", "phq8>=10", "--prevalence", repr(float(positive.mean())))
    [own] = read_report(tmp_path / "own")["alerts"]["phq8>=10"]["at_prevalence"].values()
    assert own["ppv"]["value"] == pytest.approx(metrics["precision"])
    assert set(alert["slices"]["sex=female"]["differences"]) == {"sensitivity", "specificity", "fpr", "fnr"}
    rows = pd.read_csv(tmp_path / "out" / "alerts.csv")
    assert {"ppv_at_0.1", "npv_at_0.05", "lr_negative", "specificity_difference"} <= set(rows["metric"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "positive predictive value (precision)" in page and "phq8&gt;=10: at 0.1" in page
    assert f"phq8>=10, prevalence {metrics['prevalence']:.3f} (these rows)" in result.stderr


def test_cross_fitted_and_held_out_rows_side_by_side(affectkit, study, frame, tmp_path):
    result = evaluate(affectkit, study, tmp_path / "out", *ASKED)
    report = read_report(tmp_path / "out")
    oof = report["beside"]["oof"]
    assert (report["split"], report["n"], report["groups"]["count"]) == ("test", 120, 6)
    assert (oof["split"], oof["n"], oof["groups"]["count"]) == ("oof", 200, 10)
    for part, rows in ((report, frame[frame["seen"] == "heldout"]), (oof, frame[frame["seen"] == "oof"])):
        error = (rows["stress"] - rows["stress_pred"]).abs().mean()
        assert part["metrics"]["stress.mae"]["value"] == pytest.approx(error)
    alone = evaluate(affectkit, study, tmp_path / "oof", *ASKED, "--split", "oof")
    other = read_report(tmp_path / "oof")
    for key in ("metrics", "agreement", "alerts", "floors"):
        assert other[key] == oof[key]
    assert "beside" not in other and "cross-fitted  " not in alone.stderr.splitlines()[2]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Held out and cross-fitted, side by side" in page
    assert f'<data value="{oof["metrics"]["stress.ccc"]["value"]!r}">' in page
    assert re.search(r"metric +held out +interval .*cross-fitted +interval", result.stderr)
    assert "cross-fitted: 200 rows" in result.stderr
    assert (tmp_path / "out" / "beside.csv").exists()


def test_requirements_of_an_agreement(affectkit, study, tmp_path):
    asked = ("--require", "stress.within.pearson>=.2", "--require", "severity.between.ccc.low>=-1")
    evaluate(affectkit, study, tmp_path / "met", "--agreement", *asked)
    assert [row["state"] for row in read_report(tmp_path / "met")["required"]] == ["met", "met"]
    evaluate(affectkit, study, tmp_path / "missed", "--agreement", "--require", "stress.within.ccc>=.99", code=3)
    assert read_report(tmp_path / "missed")["required"][0]["state"] == "missed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prevalence", ".1"), "--prevalence is of the predictive values of an --alert"),
        (("--alert", "phq8>=10", "--prevalence", "10"), "--prevalence '10' does not lie between 0 and 1"),
        (("--alert", "phq8>=10", "--prevalence", "nan"), "--prevalence 'nan' does not lie between 0 and 1"),
        (("--alert", "phq8>=10", "--prevalence", ".1,ten"), "--prevalence 'ten'"),
        (("--require", "stress.within.pearson>=.3"), "add --agreement"),
        (("--agreement", "--require", "stres.within.pearson>=.3"), "did you mean stress?"),
        (("--agreement", "--require", "stress.within.ccc<=.3"), "better where it is higher"),
        (("--agreement", "--require", "stress.within.mae<=.3"), "there is no metric 'stress.within.mae'"),
    ],
)
def test_what_makes_no_sense_is_named_before_anything_is_written(affectkit, study, tmp_path, options, message):
    result = evaluate(affectkit, study, tmp_path / "out", *options, code=2)
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_subjects_there_is_no_agreement(affectkit, frame, tmp_path):
    frame[["id", "split", "seen", "stress", "stress_pred"]].to_csv(tmp_path / "bare.csv", index=False)
    result = affectkit("evaluate", tmp_path / "bare.csv", "--agreement", "-o", tmp_path / "out", code=2)
    assert "which rows are of one person; name the column with --group" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_score_is_never_called_a_diagnosis(affectkit, study, frame, tmp_path):
    result = evaluate(affectkit, study, tmp_path / "out", *ASKED)
    sentence = f"severity, stress, phq8: {NO_DIAGNOSIS}"
    names = sorted(("stress", "phq8", "severity"))
    [line] = [line for line in result.stderr.splitlines() if NO_DIAGNOSIS in line]
    assert sorted(re.findall(r"\w+", line.removeprefix("warning: ").partition(":")[0])) == names, sentence
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index(NO_DIAGNOSIS) < page.index("Key figures")
    assert "PHQ-8, asked before each session" in page and "Regulation (EU) 2017/745" in page
    for text in (page, result.stderr):
        assert "diagnos" not in text.replace(NO_DIAGNOSIS, "").replace(words.INTENDED_USE, "").lower()
    plain = tmp_path / "plain.csv"
    frame[["id", "split", "seen", "subject"]].assign(valence=frame["stress"], valence_pred=3.0).to_csv(
        plain, index=False
    )
    result = affectkit("evaluate", plain, "-o", tmp_path / "valence")
    assert NO_DIAGNOSIS not in result.stderr + (tmp_path / "valence" / "report.html").read_text()


def test_json_has_agreement_and_what_stands_beside(affectkit, study, tmp_path):
    result = evaluate(affectkit, study, tmp_path / "out", "--agreement", "--json", "--quiet")
    facts = json.loads(result.stdout)
    report = read_report(tmp_path / "out")
    assert facts["agreement"] == report["agreement"] and facts["beside"] == report["beside"]


def test_same_bytes_on_a_rerun(affectkit, study, tmp_path):
    for name in ("one", "two"):
        evaluate(affectkit, study, tmp_path / name, *ASKED)
    for path in (tmp_path / "one").iterdir():
        if path.name not in ("run.json", "started.json"):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
