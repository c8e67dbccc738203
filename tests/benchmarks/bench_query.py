"""`query` as a command of its own: margin on a large table of predictions, core-set on features, time and memory.

The peers do the same plainly: pandas reads the table and numpy sorts margins; scikit-learn scales the features and
measures the distances of all rows to each pick. Both pick the same rows. python tests/benchmarks/bench.py query
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from bench_tables import make_table

from affectkit.artifacts.feature_writer import FeatureWriter
from affectkit.artifacts.tables import write_table

LIMIT, MEMORY, ROWS, CLASSES = 3.0, 0.7, 1_000_000, 8  # seconds, GB
PICKS, POINTS, DIM, LABELLED, SHARD = 200, 100_000, 256, 1000, 10_000

MARGIN = """
import sys, numpy as np, pandas as pd
table = pd.read_csv(sys.argv[1])
p = np.sort(table[[name for name in table if name.startswith("prob_")]].to_numpy(), axis=1)
nearness = 1 - (p[:, -1] - p[:, -2])
first = np.argsort(-nearness)[: int(sys.argv[3])]
table.iloc[first].to_csv(sys.argv[2], index=False)
"""
CORE_SET = """
import sys, numpy as np, pandas as pd
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin_min
from sklearn.preprocessing import StandardScaler
table, count = pd.read_csv(sys.argv[1], keep_default_na=False), int(sys.argv[3])
x = StandardScaler().fit_transform(np.load(sys.argv[1] + ".npy")).astype(np.float32)
labelled = (table["label"] != "").to_numpy()
nearest = pairwise_distances_argmin_min(x, x[labelled])[1]
nearest[labelled] = -1
picks = []
for _ in range(count):
    picks.append(int(nearest.argmax()))
    nearest = np.minimum(nearest, pairwise_distances(x, x[picks[-1:]])[:, 0])
    nearest[picks] = -1
table.iloc[picks].to_csv(sys.argv[2], index=False)
"""
WATCHED = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "predictions.csv"
        made = make_table(ROWS, CLASSES)
        write_table(table, made[["id", *(name for name in made if name.startswith("prob_"))]])
        ours, theirs = ["query", "--strategy", "margin", str(table)], [MARGIN, str(table)]
        rows = [compared(f"query-margin, {ROWS:,} x {CLASSES}", folder, ours, theirs, LIMIT)]
        table.unlink()
        manifest = folder / "manifest.csv"
        write_features(folder / "features", manifest)
        ours = ["query", "-m", str(manifest), "--features", str(folder / "features"), "--strategy", "core-set"]
        return [*rows, compared(f"query-core-set, {POINTS:,} x {DIM}", folder, ours, [CORE_SET, str(manifest)])]


def write_features(folder: Path, manifest: Path) -> None:
    """Of rows of which some have a label, as an encoder leaves them, and as an array."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, (100, DIM))
    values = (centres[rng.integers(100, size=POINTS)] + rng.standard_normal((POINTS, DIM))).astype(np.float32)
    ids = [f"clip{number:07}" for number in range(POINTS)]
    labels = np.where(np.arange(POINTS) % (POINTS // LABELLED) == 0, "joy", "")
    write_table(manifest, pd.DataFrame({"id": ids, "label": labels, "split": "train"}))
    np.save(f"{manifest}.npy", values)
    shards = [ids[start : start + SHARD] for start in range(0, POINTS, SHARD)]
    known = {"encoder": "made up", "options": {}, "pooled": True, "dim": DIM, "feature_names": None}
    folder.mkdir()
    writer = FeatureWriter(folder, known, shards)
    for number, shard in enumerate(shards):
        writer.write(number, list(values[number * SHARD :][: len(shard)]), shard, [], {})
    writer.finish()


def compared(what: str, folder: Path, ours: list[str], theirs: list[str], limit: float | None = None) -> dict:
    found, peer = folder / "queue.csv", folder / "peer.csv"
    again = ["-m", "affectkit", *ours, "-n", str(PICKS), "-o", str(found), "--overwrite"]
    seconds, memory = median_of(lambda: measured(*again))
    their_seconds, their_memory = median_of(lambda: measured("-c", *theirs, str(peer), str(PICKS)))
    picked, expected = (list(pd.read_csv(file)["id"]) for file in (found, peer))
    assert set(picked) == set(expected), f"{what}: {len(set(picked) & set(expected))} of {PICKS} rows are the same"
    ratio = their_seconds / seconds
    ok = seconds <= limit if limit else ratio >= 1 and memory <= MEMORY
    return {
        "what": f"{what}, {PICKS} picks, all of the command",
        "ours": f"{seconds:.1f} s, {memory:.2f} GB",
        "peer": f"{their_seconds:.1f} s, {their_memory:.2f} GB, the same rows",
        "seconds": seconds,
        "ratio": None if limit else ratio,
        "target": f"<= {limit:g} s" if limit else f">= 1x, <= {MEMORY:g} GB",
        "ok": ok,
    }


def median_of(run: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Of three runs, by seconds: the first finds nothing in the machine's memory."""
    return sorted(run() for _ in range(3))[1]


def measured(*words: str) -> tuple[float, float]:
    """Seconds, and GB at most, of a Python process. A small one starts it: what this one holds would count as its."""
    line = [sys.executable, "-c", WATCHED, sys.executable, *words]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory / 1e6
