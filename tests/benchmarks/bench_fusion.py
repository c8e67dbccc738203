"""Inverse-variance fusion of 1,000,000 rows, two sources, valence and arousal, against a row-wise pandas apply.

The peer takes minutes: it is timed on some of the rows and extrapolated. python tests/benchmarks/bench.py fusion
"""

import time

import numpy as np
import pandas as pd

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.fusion.rules.inverse_variance import build
from affectkit.labels import Target

ROWS, FITTED, TIMED, ROUNDS, LIMIT = 1_000_000, 2000, 20_000, 5, 1.0
TARGETS = [Target(name, "number", (), (-1.0, 1.0)) for name in ("valence", "arousal")]


def run() -> list[dict]:
    rule = build()
    worlds = [make_sources(target, seed) for seed, target in enumerate(TARGETS)]
    fits = [rule.fit(taken(sources, slice(FITTED)), GroundTruth(truth[:FITTED], groups())) for sources, truth in worlds]
    fast = min(seconds(ours, rule, fits, worlds) for _ in range(ROUNDS))
    slow = seconds(peer, fits, worlds, TIMED) * ROWS / TIMED
    for fused, expected in zip(ours(rule, fits, worlds), peer(fits, worlds, TIMED), strict=True):
        np.testing.assert_allclose(np.c_[fused.mean, fused.var][:TIMED], expected)
    return [
        {
            "what": f"inverse-variance fusion of {ROWS:,} rows, 2 sources, valence and arousal",
            "ours": f"{fast:.2f} s",
            "peer": f"{slow:.0f} s (pandas apply of rows, from {TIMED:,})",
            "ratio": slow / fast,
            "seconds": fast,
            "target": f"<= {LIMIT:g} s",
            "ok": fast <= LIMIT,
        }
    ]


def make_sources(target, seed):
    """Two experts of different error, variances of five passes; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, ROWS)
    sources = {}
    for name, error in (("voice", 0.3), ("face", 0.5)):
        spread = error * rng.uniform(0.5, 1.5, ROWS)
        mean = truth + spread * rng.normal(size=ROWS)
        sources[name] = TargetPrediction(target, mean=mean, var=spread**2 * rng.chisquare(4, ROWS) / 4)
    return sources, truth


def groups():
    return np.array([f"speaker{row % 20}" for row in range(FITTED)])


def taken(sources, rows):
    return {name: source.take(rows) for name, source in sources.items()}


def ours(rule, fits, worlds):
    return [rule.apply(fit, sources) for fit, (sources, _) in zip(fits, worlds, strict=True)]


def peer(fits, worlds, rows):
    """The same means and variances, [rows, 2] for each target."""
    frames = [frame_of(sources, rows) for sources, _ in worlds]
    pairs = zip(fits, frames, strict=True)
    return [f.apply(fuse_row, axis=1, result_type="expand", scales=fit["scales"]).to_numpy() for fit, f in pairs]


def frame_of(sources, rows):
    columns = {f"{name}_{part}": getattr(s, part)[:rows] for name, s in sources.items() for part in ("mean", "var")}
    return pd.DataFrame(columns)


def fuse_row(row, scales):
    precision = {name: 1 / max(a + b * row[f"{name}_var"], 1e-6) for name, (a, b) in scales.items()}
    summed = sum(precision.values())
    return sum(p * row[f"{name}_mean"] for name, p in precision.items()) / summed, 1 / summed


def seconds(work, *arguments) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began
