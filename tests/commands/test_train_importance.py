"""`affectkit train --importance`: the table, the page, and who gets one unasked."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.files import read_json


@pytest.fixture(scope="module")
def columns(made_once):
    """A manifest and features of 24 named columns, the first of which tells the class."""

    def make(folder):
        folder.mkdir()
        rng = np.random.default_rng(0)
        ids, truth = [f"r{row}" for row in range(120)], rng.integers(0, 2, 120)
        frame = pd.DataFrame({"id": ids, "speaker": [f"s{row % 12}" for row in range(120)]})
        frame.assign(label=np.array(["calm", "tense"])[truth]).to_csv(folder / "m.csv", index=False)
        values = pd.DataFrame(rng.normal(size=(120, 24)).round(3), columns=[f"c{place}" for place in range(24)])
        values.assign(c0=values["c0"] + 3 * truth).assign(id=ids).to_csv(folder / "x.csv", index=False)

    return made_once("columns", make)


def line(folder, *rest):
    return ["train", "--manifest", folder / "m.csv", "--features", folder / "x.csv", "--cv", *rest]


@pytest.mark.parametrize(
    "model",
    [["forest", "--trees", 9, "--min-leaf", 2], pytest.param(["mlp", "--epochs", 1], marks=pytest.mark.slow)],
    ids=["forest", "mlp"],
)
def test_the_page_shows_twenty_columns_and_the_table_all(affectkit, columns, tmp_path, model):
    affectkit(*line(columns, "--importance", "--model", *model, "-o", tmp_path / "m"))
    table = pd.read_csv(tmp_path / "m" / "importance.csv")
    assert list(table) == ["target", "column", "kind", "metric", "drop", "low", "high", "sd", "part", "rows"]
    assert len(table) == 24
    assert table["drop"].is_monotonic_decreasing
    page = (tmp_path / "m" / "training.html").read_text()
    assert "What columns are worth" in page
    shown = [name for name in table["column"] if f">{name}<" in page]
    assert shown == list(table["column"][:20])
    affectkit("report", tmp_path / "m", "-o", tmp_path / "again")
    assert "What columns are worth" in (tmp_path / "again" / "report.html").read_text()
    record = read_json(tmp_path / "m" / "run.json", what="record")
    assert "importance.csv" in str(record["outputs"])


def test_numbers_alone_get_none_unasked(affectkit, columns, tmp_path):
    affectkit(*line(columns, "--model", "forest", "--trees", 9, "--min-leaf", 2, "-o", tmp_path / "m"))
    assert not (tmp_path / "m" / "importance.csv").exists()
    assert not (tmp_path / "m" / "training.html").exists()
    report = read_json(tmp_path / "m" / "train_report.json", what="report")
    assert report["selected_on"] == "nothing: there was one candidate"


def test_a_run_that_was_asked_for_it_is_the_same_run_but_for_it(affectkit, columns, tmp_path):
    for name, asked in (("with", "--importance"), ("without", "--no-importance")):
        affectkit(*line(columns, "--model", "boosted", "--rounds", 5, asked, "-o", tmp_path / name))
    for file in ("predictions.csv", "best_model/label.safetensors", "best_model/affectkit.json", "train_report.json"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()


def test_features_whose_columns_have_no_names_are_refused(affectkit, tmp_path):
    affectkit("synthesize", "emobank", tmp_path / "c", "--size", 60)
    affectkit("prepare-manifest", "emobank", tmp_path / "c", "-o", tmp_path / "m")
    affectkit("extract-features", "--manifest", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    given = ["--manifest", tmp_path / "m", "--features", tmp_path / "f"]
    result = affectkit("train", *given, "--importance", "-o", tmp_path / "run", code=2)
    assert "--importance: some features are sparse, of layers or of frames; leave it out" in result.stderr


def test_a_table_gets_one_unasked_unless_it_is_declined(affectkit, columns, tmp_path):
    table = pd.read_csv(columns / "x.csv").assign(side=np.where(np.arange(120) % 3, "left", "right"))
    table[["id", "c0", "side"]].to_csv(tmp_path / "table.csv", index=False)
    given = ["train", "--manifest", columns / "m.csv", "--features", tmp_path / "table.csv", "--cv"]
    given += ["--model", "boosted", "--rounds", 5, "-o"]
    affectkit(*given, tmp_path / "m")
    worth = pd.read_csv(tmp_path / "m" / "importance.csv").set_index("column")
    assert worth["kind"].to_dict() == {"c0": "number", "side": "category"}
    assert worth["low"]["c0"] > 0.1
    affectkit(*given, tmp_path / "declined", "--no-importance")
    assert not (tmp_path / "declined" / "importance.csv").exists()
