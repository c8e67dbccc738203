"""`affectkit train --cv` and `predict` on a table of 300 columns give the figures of a scikit-learn pipeline."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

ROWS, NEW, NUMBERS, CLASSES = 600, 40, 289, ["calm", "mixed", "tense"]
CATEGORIES = [f"c{place}" for place in range(9)] + ["same"]
OPTIONS = {
    "forest": ["--trees", 12, "--min-leaf", 2],
    "boosted": ["--rounds", 4],
    "linear": ["--c-grid", 1],
}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """40 % gaps, a category of one fold alone, a constant number and word, a column that two folds lack, CRLF; and
    rows without an id or a label, with categories that no row before had."""
    folder, rng = tmp_path_factory.mktemp("clinic"), np.random.default_rng(0)
    count, truth = ROWS + NEW, rng.integers(0, 3, ROWS)
    fold = np.arange(ROWS) // 4 % 3
    numbers = rng.normal(size=(count, NUMBERS)).round(4)
    numbers[:ROWS, :5] += truth[:, None]
    cells = {f"n{place}": numbers[:, place] for place in range(NUMBERS)}
    cells |= {name: rng.choice(list("abcd"), count).astype(object) for name in CATEGORIES[:-1]}
    cells["c0"][:ROWS][fold == 1] = "one fold's"
    cells["c1"][ROWS:] = "never met"
    cells["when"] = (np.datetime64("2000-01-01") + rng.integers(0, 9000, count)).astype(str).astype(object)
    table = pd.DataFrame(cells)
    table = table.mask(rng.random(table.shape) < 0.4)
    table.loc[np.append(fold != 1, np.ones(NEW, dtype=bool)), "n7"] = None
    table = table.assign(one=1.0, same="x")
    ids = [f"r{row}" for row in range(ROWS)]
    table[:ROWS].assign(id=ids).to_csv(folder / "table.csv", index=False, lineterminator="\r\n")
    table[ROWS:].to_csv(folder / "new.csv", index=False, lineterminator="\r\n")
    rows = pd.DataFrame({"id": ids, "subject": [f"s{row // 4}" for row in range(ROWS)], "fold": fold})
    rows["label"], rows["stress"] = np.array(CLASSES)[truth], (truth / 10 + rng.normal(0, 0.1, ROWS)).round(3)
    rows.to_csv(folder / "rows.csv", index=False, lineterminator="\r\n")
    return folder, table.assign(when=(pd.to_datetime(table["when"]) - pd.Timestamp(0)) / pd.Timedelta(days=1)), rows


def pipeline(model, target, columns):
    """As people write it."""
    numbers = [name for name in columns if name not in CATEGORIES]
    classes, last = target == "label", [*range(len(numbers), len(columns))]
    filled = [SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()]
    one_hot = [SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")]
    steps = [("numbers", make_pipeline(*filled), numbers), ("categories", make_pipeline(*one_hot), CATEGORIES)]
    if model == "boosted":
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        steps = [("numbers", "passthrough", numbers), ("categories", codes, CATEGORIES)]
        how = {"max_iter": 4, "early_stopping": False, "random_state": 0, "categorical_features": last}
        step = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(**how)
    elif model == "forest":
        how = {"n_estimators": 12, "min_samples_leaf": 2, "max_features": "sqrt", "random_state": 0}
        step = (RandomForestClassifier if classes else RandomForestRegressor)(**how)
    else:
        step = LogisticRegression(C=1, max_iter=3000) if classes else Ridge(alpha=0.5)
    return make_pipeline(ColumnTransformer(steps, sparse_threshold=0), step)


def answers(model, target, table, y, inside, outside, balanced):
    """What a pipeline that is fitted on the rows inside says of those outside."""
    lost = table.columns[table[inside].isna().all()]  # scikit-learn's boosting refuses a column of gaps alone
    table = table.assign(**dict.fromkeys(lost, 0)) if model == "boosted" else table
    fitted = pipeline(model, target, list(table.columns))
    weights = {f"{fitted.steps[-1][0]}__sample_weight": compute_sample_weight("balanced", y)} if balanced else {}
    fitted.fit(table[inside], y, **weights)
    return fitted.predict_proba(table[outside]) if target == "label" else fitted.predict(table[outside])


@pytest.mark.parametrize(
    ("model", "target", "weight"),
    [
        *((model, "label", "none") for model in OPTIONS),
        # below 1: of larger ones nine digits are written
        *(pytest.param(m, "stress", "none", marks=[pytest.mark.slow] * (m == "boosted")) for m in OPTIONS),
        pytest.param("forest", "label", "balanced", marks=pytest.mark.slow),
    ],
)
def test_folds_and_new_rows_are_answered_as_by_a_scikit_learn_pipeline(
    affectkit, clinic, tmp_path, model, target, weight
):
    folder, table, rows = clinic
    line = ["train", "--manifest", folder / "rows.csv", "--features", folder / "table.csv", "--model", model]
    line += [*OPTIONS[model], "--target", target, "--class-weight", weight, "--cv", "--no-importance"]
    affectkit(*line, "-o", tmp_path / "m")
    affectkit("predict", "--model-dir", tmp_path / "m", folder / "new.csv", "-o", tmp_path / "new.csv")
    names = [f"prob_{name}" for name in CLASSES] if target == "label" else "stress_pred"
    places, fold = np.arange(len(table)), np.append(rows["fold"], np.full(NEW, -1))
    given = pd.read_csv(tmp_path / "m" / "predictions.csv").set_index("id").loc[rows["id"], names]
    for number in range(3):
        inside = (fold != number) & (places < ROWS)
        how = (model, target, table, rows[target][inside[:ROWS]], inside, fold == number, weight == "balanced")
        np.testing.assert_allclose(given[rows["fold"].to_numpy() == number], answers(*how), rtol=0, atol=1e-9)
    how = (model, target, table, rows[target], places < ROWS, places >= ROWS, weight == "balanced")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "new.csv")[names], answers(*how), rtol=0, atol=1e-9)
