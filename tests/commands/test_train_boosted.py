"""`affectkit train --model boosted` on a table, against scikit-learn on the same folds, and again from a bare table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils.class_weight import compute_sample_weight

ROWS, CLASSES = 240, ["calm", "mixed", "tense"]


def clinic(folder):
    """40 % gaps, categories that one fold alone has, a constant column, one that only one fold knows, CRLF."""
    rng = np.random.default_rng(0)
    patient = np.arange(ROWS) // 6
    fold, truth = patient % 4, rng.integers(0, 3, ROWS)
    table = pd.DataFrame({"id": [f"r{row}" for row in range(ROWS)]})
    table["age"] = (rng.normal(size=ROWS) + 0.6 * truth).round(3)
    table["town"] = np.where(fold == 2, "far", np.array(["a", "b", "c", "d"])[(truth + rng.integers(0, 2, ROWS)) % 4])
    table["same"] = 1.0
    table["dose"] = rng.normal(size=ROWS).round(3)
    table["side"] = np.array(["left", "right"])[rng.integers(0, 2, ROWS)]
    for name in ("age", "town", "dose", "side"):
        table.loc[rng.random(ROWS) < 0.4, name] = None
    table.loc[fold != 1, "dose"] = None
    table.to_csv(folder / "table.csv", index=False, lineterminator="\r\n")
    rows = pd.DataFrame({"id": table["id"], "speaker": [f"p{number}" for number in patient], "fold": fold})
    rows["label"], rows["stress"] = np.array(CLASSES)[truth], truth + rng.normal(size=ROWS).round(2)
    rows.to_csv(folder / "folds.csv", index=False)
    return table, rows


def peer(table, rows, target, **options):
    """[N, K] or [N]: of each fold by a fit on the others."""
    numbers, names = table[["age", "same", "dose"]].to_numpy(float), ["town", "side"]
    y = rows["stress"].to_numpy() if target == "stress" else np.searchsorted(CLASSES, rows["label"])
    answers = np.zeros((ROWS, 3) if target == "label" else ROWS)
    for fold in range(4):
        inside = (rows["fold"] != fold).to_numpy()
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        encoder.fit(table.loc[inside, names])
        x = np.c_[numbers, encoder.transform(table[names])]
        x[:, np.isnan(x[inside]).all(axis=0)] = 0  # scikit-learn refuses a column of gaps alone
        kind = HistGradientBoostingRegressor if target == "stress" else HistGradientBoostingClassifier
        model = kind(categorical_features=[3, 4], early_stopping=False, random_state=0, **options)
        weights = None if target == "stress" else compute_sample_weight("balanced", y[inside])
        model.fit(x[inside], y[inside], sample_weight=weights)
        answers[~inside] = model.predict(x[~inside]) if target == "stress" else model.predict_proba(x[~inside])
    return answers


@pytest.mark.parametrize("target", ["label", "stress"])
def test_figures_are_those_of_scikit_learn_on_the_same_folds(affectkit, tmp_path, target):
    table, rows = clinic(tmp_path)
    given = ["--manifest", tmp_path / "folds.csv", "--features", tmp_path / "table.csv", "--target", target]
    options = ["--model", "boosted", "--rounds", 20, "--shrinkage", 0.2, "--depth", 3, "--min-leaf", 7]
    affectkit("train", *given, *options, "--cv", "--no-importance", "-o", tmp_path / "m")
    expected = peer(table, rows, target, max_iter=20, learning_rate=0.2, max_depth=3, min_samples_leaf=7)
    answers = pd.read_csv(tmp_path / "m" / "predictions.csv").set_index("id").loc[table["id"]]
    names = "stress_pred" if target == "stress" else [f"prob_{name}" for name in CLASSES]
    np.testing.assert_allclose(answers[names], expected, rtol=0, atol=5e-9)


def test_the_number_of_rounds_is_chosen_and_a_model_predicts_rows_that_it_never_saw(affectkit, tmp_path):
    table, rows = clinic(tmp_path)
    rows = rows.drop(columns="fold").assign(split=np.where(rows["fold"] == 3, "test", "train"))
    rows.to_csv(tmp_path / "split.csv", index=False)
    given = ["--manifest", tmp_path / "split.csv", "--features", tmp_path / "table.csv"]
    affectkit("train", *given, "--target", "label", "--model", "boosted", "--no-importance", "-o", tmp_path / "m")
    search = pd.read_csv(tmp_path / "m" / "search.csv")
    assert list(search["rounds"]) == [30, 100, 300]
    assert search["score"].idxmax() == search["chosen"].idxmax()
    affectkit("predict", "--model-dir", tmp_path / "m", *given, "-o", tmp_path / "again.csv")
    first, second = (
        pd.read_csv(path).set_index("id") for path in (tmp_path / "m/predictions.csv", tmp_path / "again.csv")
    )
    names = [f"prob_{name}" for name in CLASSES]
    pd.testing.assert_frame_equal(second[names], first.loc[second.index, names])
    assert set(second.index) == set(table["id"][rows["split"] == "test"])
