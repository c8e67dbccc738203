"""`affectkit select` over 200 runs of 535 rows and 7 classes, from their folders to the copied model and its report.

The peer reads the same tables with pandas and calls scikit-learn's macro-F1 for each run, whole and without each of the
10 speakers: the numbers behind the same jackknife, and nothing else. python tests/benchmarks/bench.py selection
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from affectkit.artifacts.models import BEST, write_fit_rows, write_spec
from affectkit.artifacts.runs import open_run
from affectkit.artifacts.tables import write_table
from affectkit.commands.select import select
from affectkit.labels import Target

RUNS, ROWS, SPEAKERS, LIMIT = 200, 535, 10, 3.0
CLASSES = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        runs = make_runs(Path(folder))
        chosen(runs[:2], Path(folder) / "warm")
        ours = seconds(chosen, runs, Path(folder) / "best")
        theirs = seconds(peer, runs)
    return [
        {
            "what": f"select over {RUNS} runs of {ROWS} rows, {len(CLASSES)} classes, {SPEAKERS} speakers",
            "ours": f"{ours:.2f} s, all of the command",
            "peer": f"{theirs:.2f} s (pandas and scikit-learn, figures alone)",
            "ratio": theirs / ours,
            "seconds": ours,
            "target": f"<= {LIMIT:g} s",
            "ok": ours <= LIMIT,
        }
    ]


def chosen(runs, folder):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        select(runs, folder)


def peer(runs):
    for folder in runs:
        table = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
        f1_score(table["label"], table["pred"], average="macro")
        for speaker in table["speaker"].unique():
            rest = table[table["speaker"] != speaker]
            f1_score(rest["label"], rest["pred"], average="macro")


def make_runs(root, count=RUNS, rows=ROWS, skill=1.5):
    """Run folders with a model's description and predictions, as a command leaves them."""
    rng = np.random.default_rng(0)
    truth = rng.integers(len(CLASSES), size=rows)
    return [make_run(root / f"run{k:03}", rng, truth, skill) for k in range(count)]


def make_run(folder, rng, truth, skill):
    scores = rng.normal(size=(len(truth), len(CLASSES))) + skill * np.eye(len(CLASSES))[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    table = pd.DataFrame({"id": [f"u{i:04}" for i in range(len(truth))], "split": "val", "seen": "heldout"})
    table["label"], table["pred"] = names[truth], names[probabilities.argmax(axis=1)]
    table = table.assign(**{f"prob_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)})
    table["speaker"] = [f"s{i % SPEAKERS}" for i in range(len(truth))]
    spec = {"kind": "estimator", "estimator": "linear", "targets": [Target("label", "class", CLASSES).to_json()]}
    with open_run("train", {"output_dir": folder}):
        write_spec(folder / BEST, {**spec, "parents": []}, "# A model\n")
        write_fit_rows([folder, folder / BEST], pd.DataFrame({"id": ["t0"], "group": ["s99"], "role": ["fit"]}))
        write_table(folder / "predictions.csv", table)
    return folder


def seconds(work, *arguments) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began
