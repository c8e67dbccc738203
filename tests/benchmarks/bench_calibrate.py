"""`evaluate` and `calibrate` on large tables, as commands of their own: their time and their largest memory.

The peer reads the same table and writes it again with pandas. python tests/benchmarks/bench.py calibrate
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench_tables import make_table

from affectkit.artifacts.tables import write_table

LIMIT, MEMORY = 20.0, 1.5  # seconds and GB
SIZES = ((1_000_000, 8), (10_000, 100))  # rows and classes
WORKS = {
    "evaluate": ["evaluate"],
    "calibrate --method temperature": ["calibrate", "--method", "temperature"],
    "calibrate": ["calibrate"],
}


def run() -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for count, classes in SIZES:
            file = Path(name) / f"{count}.csv"
            table = overconfident(make_table(count, classes))
            write_table(file, table.assign(split=np.where(np.arange(count) % 2, "val", "test")))
            del table
            theirs = read_and_write(file)
            rows += [row(what, words, file, f"{count:,} x {classes}", theirs) for what, words in WORKS.items()]
    return rows


def overconfident(table) -> pd.DataFrame:
    """With a truth that is drawn from the probabilities at a temperature of 1.5: what there is to calibrate."""
    columns = [column for column in table if column.startswith("prob_")]
    scores = np.log(table[columns].to_numpy().clip(1e-9)) / 1.5
    drawn = (scores + np.random.default_rng(0).gumbel(size=scores.shape)).argmax(axis=1)
    return table.assign(label=np.array([column.removeprefix("prob_") for column in columns])[drawn])


def row(what, words, file, size, theirs) -> dict:
    folder = file.with_suffix("") / words[0] / str(len(words))
    seconds, memory = measured([words[0], str(file), *words[1:], "-o", str(folder)])
    return {
        "what": f"{what}, {size}",
        "ours": f"{seconds:.1f} s, {memory:.2f} GB",
        "peer": f"{theirs:.1f} s (pandas reads and writes the table)",
        "seconds": seconds,
        "target": f"<= {LIMIT:g} s, {MEMORY:g} GB",
        "ok": seconds <= LIMIT and memory <= MEMORY,
    }


def measured(words) -> tuple[float, float]:
    """Seconds, and GB at most."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "affectkit", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return time.perf_counter() - began, usage.ru_maxrss / 1e6


def read_and_write(file) -> float:
    began = time.perf_counter()
    table = pd.read_csv(file)
    table.to_csv(file.with_suffix(".tmp"), index=False, float_format="%.9g", lineterminator="\n")
    return time.perf_counter() - began
