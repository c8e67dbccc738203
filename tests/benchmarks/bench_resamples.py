"""10,000 cluster resamples of macro-F1, UAR and CCC over 10,000 rows, against scikit-learn called on every resample,
and of UAR alone against the package confidence_intervals.

The peers take minutes: they are timed on 20 resamples and extrapolated. python tests/benchmarks/bench.py resamples
"""

import time

import numpy as np
from sklearn.metrics import f1_score, recall_score

from affectkit.evaluation.intervals import Estimate, Resampling, as_units, intervals
from affectkit.evaluation.metrics import METRICS, ccc
from affectkit.evaluation.rows import moments, tallies

ROWS, SPEAKERS, CLASSES, RESAMPLES, TIMED, ROUNDS = 10_000, 91, 7, 10_000, 20, 10


def run() -> list[dict]:
    rows = make_rows()
    table = [
        ("macro-F1, UAR", ("macro_f1", "uar"), (), 0.1),
        ("macro-F1, UAR, CCC", ("macro_f1", "uar"), ("ccc",), 1.0),
    ]
    return [measure(rows, *line) for line in table] + [against_confidence_intervals(rows)]


def against_confidence_intervals(rows) -> dict:
    """UAR over speakers, by the package that the field's reviewers recommend."""
    what = f"{RESAMPLES:,} resamples of {SPEAKERS} speakers, {ROWS:,} rows: UAR"
    fast = min(seconds(ours, rows, ("uar",), (), ROUNDS + seed) for seed in range(ROUNDS))
    row = {"what": what, "ours": f"{fast:.3f} s", "seconds": fast, "target": ">= 500x", "ratio": None}
    try:
        from confidence_intervals import evaluate_with_conf_int
    except ImportError:
        return {**row, "peer": "skipped: confidence_intervals is not installed", "ok": True}
    truth, predicted, _, _, speaker = rows

    def balanced(labels, answers):
        return recall_score(labels, answers, average="macro")

    arguments = {"labels": truth, "conditions": speaker, "num_bootstraps": TIMED, "alpha": 5}
    slow = seconds(lambda: evaluate_with_conf_int(predicted, balanced, **arguments)) * RESAMPLES / TIMED
    peer = f"{slow:.0f} s (confidence_intervals, from {TIMED})"
    return {**row, "peer": peer, "ratio": slow / fast, "ok": slow / fast >= 500}


def measure(rows, what, of_counts, of_moments, limit) -> dict:
    """The best of some rounds of ours, and one of the peer's."""
    fast = min(seconds(ours, rows, of_counts, of_moments, seed) for seed in range(ROUNDS))
    slow = seconds(peer, rows, TIMED, bool(of_moments)) * RESAMPLES / TIMED
    return {
        "what": f"{RESAMPLES:,} resamples of {SPEAKERS} speakers, {ROWS:,} rows: {what}",
        "ours": f"{fast:.3f} s",
        "peer": f"{slow:.0f} s (scikit-learn per resample, from {TIMED})",
        "ratio": slow / fast,
        "seconds": fast,
        "target": f"<= {limit:g} s",
        "ok": fast <= limit,
    }


def make_rows():
    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES, size=ROWS)
    predicted = np.where(rng.random(ROWS) < 0.6, truth, rng.integers(CLASSES, size=ROWS))
    valence = rng.standard_normal(ROWS)
    return truth, predicted, valence, 0.6 * valence + rng.standard_normal(ROWS), rng.integers(SPEAKERS, size=ROWS)


def ours(rows, of_counts, of_moments, seed):
    """From rows to intervals; other seeds for the second figure, so that no drawn weights are found again."""
    seed += ROUNDS * len(of_moments)
    truth, predicted, valence, estimate, speaker = rows
    units = as_units(speaker, ROWS)
    settings = Resampling("bootstrap", resamples=RESAMPLES, seed=seed)
    tables = {of_counts: tallies(truth, predicted, CLASSES, units.codes, units.count)}
    if of_moments:
        tables[of_moments] = moments(valence, estimate, units.codes, units.count)
    figures = {name: Estimate(METRICS[name].of, METRICS[name].interval_scale) for name in (*of_counts, *of_moments)}
    return [intervals({name: figures[name] for name in names}, sums, settings) for names, sums in tables.items()]


def peer(rows, resamples, with_ccc):
    truth, predicted, valence, estimate, speaker = rows
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(speaker == one) for one in range(SPEAKERS)]
    for _ in range(resamples):
        drawn = np.concatenate([members[one] for one in rng.integers(SPEAKERS, size=SPEAKERS)])
        f1_score(truth[drawn], predicted[drawn], average="macro")
        recall_score(truth[drawn], predicted[drawn], average="macro")
        if with_ccc:
            ccc(valence[drawn], estimate[drawn])


def seconds(work, *arguments) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began
