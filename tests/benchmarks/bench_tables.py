"""Reading and writing a table of predictions, 1,000,000 rows of 8 classes, against pandas and pyarrow.

Ours reads with every check (ids, splits, sums of probabilities) and keeps what was carried as it was spelt; the peers
only parse. Ours and pandas write the same bytes; pyarrow writes all digits. python tests/benchmarks/bench.py tables
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import csv

from affectkit.artifacts.predictions import read_predictions, write_predictions

ROWS, CLASSES, ROUNDS = 1_000_000, 8, 3


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, theirs = folder / "predictions.csv", folder / "theirs.csv"
        make_table().to_csv(theirs, index=False, float_format="%.9g", lineterminator="\n")
        predictions = read_predictions(theirs)
        write_predictions(file, predictions)
        assert file.read_bytes() == theirs.read_bytes()
        texts = {column: str for column in predictions.frame if not column.startswith("prob_")}
        arrow = pyarrow.Table.from_pandas(predictions.frame)
        reading = {
            "ours": lambda: read_predictions(file),
            "pandas": lambda: pd.read_csv(file, dtype=texts, keep_default_na=False),
            "pyarrow": lambda: csv.read_csv(file).to_pandas(),
        }
        writing = {
            "ours": lambda: write_predictions(file, predictions),
            "pandas": lambda: predictions.frame.to_csv(theirs, index=False, float_format="%.9g", lineterminator="\n"),
            "pyarrow": lambda: csv.write_csv(arrow, theirs),
        }
        return [
            *rows("reading", fastest(reading), {"pandas": 0.5, "pyarrow": 0.25}),
            *rows("writing", fastest(writing), {"pandas": 3, "pyarrow": 0.2}),
        ]


def make_table(rows: int = ROWS, classes: int = CLASSES) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    scores = np.exp(2 * rng.standard_normal((rows, classes)))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    names = np.array([f"class{k}" for k in range(classes)], dtype=object)
    table = pd.DataFrame({"id": [f"clip{i:07}" for i in range(rows)], "split": "test", "seen": "heldout"})
    table["label"], table["pred"] = names[rng.integers(classes, size=rows)], names[probabilities.argmax(axis=1)]
    table = table.assign(**{f"prob_{name}": probabilities[:, k] for k, name in enumerate(names)})
    return table.assign(speaker=[f"s{i % 200}" for i in range(rows)], time_sec=np.arange(rows) % 100 / 10)


def fastest(works) -> dict[str, float]:
    times = {name: [] for name in works}
    for _ in range(ROUNDS):  # in turns, so that other load on the machine meets all
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: min(values) for name, values in times.items()}


def rows(what, seconds, targets) -> list[dict]:
    return [
        {
            "what": f"{what} predictions of {ROWS:,} rows, {CLASSES} classes",
            "ours": f"{seconds['ours']:.2f} s",
            "peer": f"{peer} {seconds[peer]:.2f} s",
            "ratio": seconds[peer] / seconds["ours"],
            "target": f">= {least:g}x",
            "ok": seconds[peer] >= least * seconds["ours"],
        }
        for peer, least in targets.items()
    ]
