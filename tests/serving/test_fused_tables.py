"""A fusion that was trained on a table of features: served, its inputs are those of the table."""

import numpy as np
import pandas as pd
import pytest
from serving_kit import opened

pytest.importorskip("affectkit.fusion.table", reason="there is no tabulate here")


@pytest.fixture(scope="module")
def fused(tmp_path_factory, affectkit_once, models, speech):
    """The fusion's run, features of three rows by `tabulate`, what it answers to them, and the rows."""
    root, folds = tmp_path_factory.mktemp("table"), speech / "folds"
    tabulate = ["tabulate", "--columns", "language,text", "--manifest"]
    sources = [f"audio={models['audio']}", f"text={models['text']}"]
    affectkit_once(*tabulate, folds, *sources, "-o", root / "table")
    [table] = (root / "table").glob("*_features.csv")
    affectkit_once("train", "--cv", "--manifest", folds, "--features", table, "-o", root / "fusion")
    rows = pd.read_csv(folds / "folds.csv", keep_default_na=False).head(3)
    corpus = pd.read_json(folds / "summary.json", typ="series")["corpora"]["emodb"]["root"]
    rows = rows.assign(id=["n0", "n1", "n2"], path=[f"{corpus}/{path}" for path in rows["path"]], speaker="new")
    rows.to_csv(root / "rows.csv", index=False)
    for name in ("audio", "text"):
        words = ["--manifest", root / "rows.csv", "--include-fit", "-o", root / f"{name}.csv"]
        affectkit_once("predict", "--model-dir", models[name], *words)
    affectkit_once(*tabulate, root / "rows.csv", f"audio={root}/audio.csv", f"text={root}/text.csv", "-o", root / "new")
    [features] = (root / "new").glob("*_features.csv")
    words = ["--manifest", root / "rows.csv", "--features", features, "--include-fit", "-o", root / "out.csv"]
    affectkit_once("predict", "--model-dir", root / "fusion", *words)
    return root / "fusion", pd.read_csv(features), pd.read_csv(root / "out.csv"), rows


def test_features_and_answers_are_those_of_the_table(fused, models):
    folder, table, expected, rows = fused
    with opened({"fusion": folder, "audio": models["audio"], "text": models["text"]}) as client:
        for place, row in rows.iterrows():
            with open(row["path"], "rb") as file:
                form = {"text": row["text"], "language_hint": "de"}
                answer = client.post("/ser/analyze", files={"file": file}, data=form).json()
            features = answer["fusion"]["features"]
            np.testing.assert_allclose([*features.values()], table.loc[place, [*features]].astype(float), atol=1e-9)
            said = [*answer["overall"]["probabilities"].values()]
            np.testing.assert_allclose(said, expected.filter(like="prob_").loc[place], atol=1e-6)


def test_without_a_text_it_is_not_fused(fused, models):
    folder, _, _, rows = fused
    with opened({"fusion": folder, "audio": models["audio"], "text": models["text"]}) as client:
        for form in ({}, {"text_negative": 0.5}):  # the latter are no inputs of this fusion
            with open(rows["path"][0], "rb") as file:
                fusion = client.post("/ser/analyze", files={"file": file}, data=form).json()["fusion"]
            assert not fusion["ready"] and fusion["fallback"] == "audio"
