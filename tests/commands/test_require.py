"""`--require` as a user runs it: the report is written, and the exit code tells met, missed and undecidable apart."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from affectkit.cli import app

CLASSES = np.array(("grief", "joy", "rage"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A manifest of 12 speakers, a linear model of its rows and their pictures; and a table of predictions of them."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    truth, speakers = np.tile(np.arange(3), 48), np.arange(144) // 12
    rows = pd.DataFrame({"id": [f"u{i:03}" for i in range(144)], "label": CLASSES[truth]})
    rows["speaker"] = [f"s{number:02}" for number in speakers]
    rows["split"] = np.select([speakers < 4, speakers < 8], ["train", "val"], "test")
    rows["path"] = rows["id"] + ".png"
    for number, path in enumerate(rows["path"]):
        Image.new("RGB", (90, 60), (number, 255 - number, 80)).save(root / path)
    rows.to_csv(root / "manifest.csv", index=False)
    values = rng.normal(size=(144, 3)) + 1.6 * np.eye(3)[truth]
    pd.DataFrame(values, columns=list("abc")).assign(id=rows["id"]).to_csv(root / "features.csv", index=False)
    line = f"train --manifest {root}/manifest.csv --features {root}/features.csv -o {root}/run"
    assert CliRunner().invoke(app, line.split()).exit_code == 0
    return root


def required(folder, file="metrics.json"):
    return {row["require"]: row["state"] for row in json.loads((folder / file).read_text())["required"]}


@pytest.mark.parametrize(
    ("more", "code"), [((), 0), (("uar>=.99",), 3), (("kappa>={}",), 4), (("kappa>={}", "uar>=.99"), 3)]
)
def test_evaluate_writes_its_report_and_ends_with_the_verdict_again_and_again(affectkit, study, tmp_path, more, code):
    affectkit("evaluate", study / "run", "-o", tmp_path / "plain")
    plain = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert "required" not in plain
    texts = ["uar.low>=.2", *(text.format(plain["metrics"]["kappa"]["value"]) for text in more)]
    line = [
        "evaluate",
        study / "run",
        *(word for text in texts for word in ("--require", text)),
        "-o",
        tmp_path / "out",
    ]
    first = affectkit(*line, code=code)
    assert first.stdout.strip().endswith("out") and all(text in first.stderr for text in texts)
    assert list(required(tmp_path / "out")) == texts
    assert "Requirements" in (tmp_path / "out" / "report.html").read_text()
    again = affectkit(*line, "--resume", code=code)
    assert [text for text in again.stderr.splitlines() if "error" in text] == [
        text for text in first.stderr.splitlines() if "error" in text
    ]


def test_the_gap_is_that_of_fit_rows_to_val_rows(affectkit, study, tmp_path):
    gap = json.loads((study / "run" / "train_report.json").read_text())["gap"]
    for name in ("manifest", "features"):  # under other names, as rows fitted on are not predicted
        table = pd.read_csv(study / f"{name}.csv")
        table.assign(id="x" + table["id"]).drop(columns="speaker", errors="ignore").to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    affectkit("predict", "--model-dir", study / "run", "--manifest", tmp_path / "manifest.csv", "--features",
              tmp_path / "features.csv", "-o", tmp_path / "all.csv")  # fmt: skip
    rows = pd.read_csv(tmp_path / "all.csv")
    recalls = {
        split: (part["pred"] == part["label"]).groupby(part["label"]).mean().mean()
        for split, part in rows.groupby("split")
    }
    assert gap["metric"] == "uar" and gap["part"] == "val"
    assert (gap["train"], gap["judged"]) == pytest.approx((recalls["train"], recalls["val"]))
    assert gap["value"] == pytest.approx(recalls["train"] - recalls["val"])
    affectkit("evaluate", study / "run", "--require", f"gap<={gap['value']}", "-o", tmp_path / "met")
    affectkit("evaluate", study / "run", "--require", f"gap<{gap['value']}", "-o", tmp_path / "missed", code=3)
    refused = affectkit("evaluate", tmp_path / "all.csv", "--require", "gap<=.1", "-o", tmp_path / "none", code=1)
    assert "there is no gap to require" in refused.stderr and not (tmp_path / "none").exists()


def test_a_figure_of_other_targets_is_refused_before_the_work(affectkit, study, tmp_path):
    result = affectkit("evaluate", study / "run", "--require", "ccc>=.1", "-o", tmp_path / "out", code=2)
    assert "there is no metric 'ccc' of label" in result.stderr and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ablate_is_held_to_all_sources_or_to_a_subset(affectkit, study, tmp_path):
    features = [f"{name}={study / 'features.csv'}" for name in ("one", "two")]
    line = [
        "ablate",
        "--manifest",
        study / "manifest.csv",
        "--seeds",
        1,
        "--features",
        features[0],
        "--features",
        features[1],
    ]
    texts = ["uar>=.4", "oof_uar.low>=.3", "one_only:uar>=.999"]
    line += [word for text in texts for word in ("--require", text)]
    result = affectkit(*line, "-o", tmp_path / "out", code=3)
    states = dict(zip(texts, ("met", "met", "missed"), strict=True))
    assert (
        required(tmp_path / "out", "ablation_summary.json") == states and "missed: one_only:uar>=.999" in result.stderr
    )
    of = [row["of"] for row in json.loads((tmp_path / "out" / "ablation_summary.json").read_text())["required"]]
    assert of == ["one+two, test rows", "one+two, oof rows", "one_only, test rows"]
    affectkit(*line, "-o", tmp_path / "out", "--resume", code=3)
    refused = affectkit(*line, "--require", "gap<=.1", "-o", tmp_path / "other", code=2)
    assert "subsets keep no figure of the rows that they were fitted on" in refused.stderr


def test_select_says_which_runs_cannot_be_told_from_a_requirement(affectkit, study, tmp_path):
    affectkit("select", study / "run", "-o", tmp_path / "plain", "--by", "val_uar")
    value = json.loads((tmp_path / "plain" / "model_selection.json").read_text())["runs"][0]["figure"]["value"]
    line = ("--require", f"uar>={value - 1e-6}", "--require", "gap<=1", "--require", "uar.low>=.2")
    result = affectkit("select", study / "run", "--by", "val_uar", *line, "-o", tmp_path / "best")
    table = pd.read_csv(tmp_path / "best" / "model_selection.csv").iloc[0]
    assert list(table[list(line[1::2])]) == ["undecidable", "met", "met"]
    assert f"run cannot be told from uar>={value - 1e-6}" in result.stderr
    affectkit("select", study / "run", "--require", "uar.low>=.99", "-o", tmp_path / "none", code=3)
    affectkit("select", study / "run", "--require", "gap<=-1", "-o", tmp_path / "none", code=3)


# --- What is mistaken for what, with pictures


def test_pictures_of_mistakes_are_kept_and_the_page_needs_no_media_again(affectkit, study, drawn, tmp_path):
    out = tmp_path / "out"
    affectkit("evaluate", study / "run", "--manifest", study / "manifest.csv", "--examples", 2, "-o", out)
    kept = json.loads((out / "examples.json").read_text())["pictures"]
    wrong = pd.read_csv(study / "run" / "predictions.csv").query("split == 'test' and pred != label").set_index("id")
    counts = wrong.groupby(["label", "pred"]).size()
    assert {(p["truth"], p["predicted"]) for p in kept} <= set(counts.index)
    assert len(kept) == sum(min(count, 2) for count in counts)
    for picture in kept:
        of_kind = wrong.query("label == @picture['truth'] and pred == @picture['predicted']")
        surest = of_kind[f"prob_{picture['predicted']}"].nlargest(2).index
        assert picture["id"] in surest
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(kept) and "check its licence" in page and len(page) < 500_000
    affectkit("report", out, "-o", tmp_path / "again")
    assert "data:image/jpeg;base64," in (tmp_path / "again" / "report.html").read_text()


@pytest.mark.parametrize("broken", ["no pictures wanted", "no manifest", "no images"])
def test_without_pictures_the_mistakes_stand_alone(affectkit, study, tmp_path, broken):
    more = ["--manifest", study / "manifest.csv"] if broken != "no manifest" else []
    if broken == "no images":
        rows = pd.read_csv(study / "manifest.csv").assign(path="features.csv")
        rows.to_csv(tmp_path / "manifest.csv", index=False)
        more = ["--manifest", tmp_path / "manifest.csv", "--media-root", study]
    more += ["--examples", 0] if broken == "no pictures wanted" else []
    affectkit("evaluate", study / "run", *more, "-o", tmp_path / "out")
    assert not (tmp_path / "out" / "examples.json").exists()
    assert "Mistakes" in (tmp_path / "out" / "report.html").read_text()
