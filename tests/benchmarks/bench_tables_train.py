"""`train` on tables of mixed columns against the plain scikit-learn pipeline: the same folds, the same figures.

The peer reads the CSV, fits the pipeline in every fold and on all rows, and writes what it predicts; what the command
does besides (kinds of columns, suspects, intervals, the model without pickle, reports) is its own cost. Peak memory is
that of 100,000 rows of 100 columns. python tests/benchmarks/bench.py tables_train
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, COLUMNS, FOLDS, RATIO = 20_000, 40, 5, 0.9
MANY_ROWS, MANY_COLUMNS, LIMIT = 100_000, 100, 3.0
MODELS = {
    "forest": ["--min-leaf", "5"],
    "boosted": ["--rounds", "100"],
}
CLASSES = ("calm", "mixed", "tense")
WORDS = ["pain", "sleep", "walks", "tired", "worse", "better", "calm", "dressing", "clean", "red"]


def run() -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        small, large = work / "small", work / "large"
        make(small, ROWS, COLUMNS)
        for model in MODELS:
            expected, slow = timed(peer, small, model, work / f"{model}.csv")
            _, fast = timed(train, small, model, work / model, "--cv")
            answers = pd.read_csv(work / model / "predictions.csv")
            np.testing.assert_allclose(answers[[f"prob_{name}" for name in CLASSES]], expected, atol=1e-9)
            rows.append(
                {
                    "what": f"train --model {model}, {ROWS:,} rows of {COLUMNS} mixed columns, {FOLDS} folds",
                    "ours": f"{fast:.1f} s",
                    "peer": f"{slow:.1f} s (scikit-learn's pipeline, the same figures)",
                    "ratio": slow / fast,
                    "target": f">= {RATIO}x",
                    "ok": slow / fast >= RATIO,
                }
            )
        make(large, MANY_ROWS, MANY_COLUMNS)
        for model in MODELS:
            peak, seconds = timed(train, large, model, work / f"large-{model}")
            rows.append(
                {
                    "what": f"peak memory of train --model {model}, {MANY_ROWS:,} x {MANY_COLUMNS}",
                    "ours": f"{peak:.2f} GB, {seconds:.0f} s",
                    "peer": "",
                    "seconds": seconds,
                    "target": f"<= {LIMIT:g} GB",
                    "ok": peak <= LIMIT,
                }
            )
    return rows


def make(folder, rows, columns):
    """Half numbers, two dates, two texts, the others categories; 15 % gaps; patients of 20 rows, dealt to folds."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    truth, patient = rng.integers(0, 3, rows), np.arange(rows) // 20
    table = {"id": [f"row-{row}" for row in range(rows)]}
    for place in range(columns):
        tells = place % 5 == 0
        if place < columns // 2:
            cells = np.round(rng.normal(size=rows) + 0.4 * tells * truth, 3).astype(str)
        elif place < columns // 2 + 2:
            cells = (np.datetime64("2020-01-01") + rng.integers(0, 900, rows)).astype(str)
        elif place < columns // 2 + 4:
            cells = np.array([" ".join(words) for words in rng.choice(WORDS, (rows, 4))])
        else:
            cells = np.array(list("abcdefgh"))[
                np.where(rng.random(rows) < 0.2 * tells, truth, rng.integers(0, 8, rows))
            ]
        table[f"{'ndtc'[np.searchsorted([20, 22, 24], place * 40 // columns, 'right')]}{place}"] = np.where(
            rng.random(rows) < 0.15, "", cells
        )
    pd.DataFrame(table).to_csv(folder / "columns.csv", index=False)
    manifest = pd.DataFrame({"id": table["id"], "speaker": [f"p{number}" for number in patient]})
    manifest["label"] = np.array(CLASSES)[truth]
    manifest.assign(fold=patient % FOLDS).to_csv(folder / "folds.csv", index=False)
    manifest.assign(split=np.where(patient % FOLDS, "train", "test")).to_csv(folder / "split.csv", index=False)


def train(folder, model, output, *rest) -> float:
    """Runs the command; returns its peak memory in GB."""
    manifest = folder / ("folds.csv" if rest else "split.csv")
    inputs = ["--manifest", manifest, "--features", folder / "columns.csv", "--normalize", "none", "--no-importance"]
    line = [sys.executable, "-m", "affectkit", "train", *inputs, "--model", model, *MODELS[model], *rest, "-o", output]
    process = subprocess.Popen(list(map(str, line)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return usage.ru_maxrss / 1e6


def peer(folder, model, output):
    """[N, 3] out-of-fold probabilities of the pipeline that anybody would write."""
    rows = pd.read_csv(folder / "folds.csv")
    table = pd.read_csv(folder / "columns.csv").drop(columns="id")
    for name in [name for name in table if name[0] == "d"]:
        table[name] = (pd.to_datetime(table[name]) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    for name in [name for name in table if name[0] == "t"]:
        table[name] = table[name].fillna("")
    y, folds = np.searchsorted(CLASSES, rows["label"]), rows["fold"].to_numpy()
    probabilities = np.empty((len(rows), len(CLASSES)))
    pipeline(table, model).fit(table, y, model__sample_weight=balanced(y))
    for fold in range(FOLDS):
        inside, outside = folds != fold, folds == fold
        fitted = pipeline(table, model).fit(table[inside], y[inside], model__sample_weight=balanced(y[inside]))
        probabilities[outside] = fitted.predict_proba(table[outside])
    rows.assign(**dict(zip(CLASSES, probabilities.T, strict=True))).to_csv(output, index=False)
    return probabilities


def balanced(y):
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight("balanced", y)


def pipeline(table, model):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    kinds = {kind: [name for name in table if name[0] in kind] for kind in ("nd", "c", "t")}
    texts = [(name, HashingVectorizer(n_features=64), name) for name in kinds["t"]]
    if model == "forest":
        onehot = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
        numbers = SimpleImputer(strategy="median")
        last = RandomForestClassifier(300, min_samples_leaf=5, random_state=0, n_jobs=-1)
    else:
        onehot = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        numbers = "passthrough"
        count, categories = len(kinds["nd"]), len(kinds["c"])
        mask = np.isin(np.arange(count + categories + 64 * len(texts)), count + np.arange(categories))
        last = HistGradientBoostingClassifier(
            max_iter=100, categorical_features=mask, early_stopping=False, random_state=0
        )
    columns = ColumnTransformer(
        [("numbers", numbers, kinds["nd"]), ("categories", onehot, kinds["c"]), *texts], sparse_threshold=0
    )
    return Pipeline([("columns", columns), ("model", last)])


def timed(work, *arguments):
    began = time.perf_counter()
    outcome = work(*arguments)
    return outcome, time.perf_counter() - began
