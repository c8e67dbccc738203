"""Fitting a temperature on 1,000,000 rows of 8 classes, against netcal and LBFGS in torch, to the same loss.

All start from the same float64 probabilities and may use every core. The published recipe of LBFGS (rate .01, 50
steps) is far from the minimum after its 50 steps, so here LBFGS has a line search, with which 6 of them do. Ours works
in float32, and so a second row has LBFGS do so.

pip install -e '.[bench]' brings netcal; python tests/benchmarks/bench.py temperature
"""

import contextlib
import importlib.util
import io
import time
import warnings

import numpy as np
import torch

from affectkit.evaluation.metrics import nll
from affectkit.evaluation.temperature import fit_sharpness, sharpened

ROWS, CLASSES, SHARPNESS, STEPS, ROUNDS, SAME = 1_000_000, 8, 1.8, 50, 5, 1e-7
TARGETS = {"netcal": 4, "LBFGS": 4, "LBFGS in float32": 2}


def run() -> list[dict]:
    probabilities, truth = make_rows()
    fits = {"ours": fit_sharpness, "netcal": netcal, "LBFGS": lbfgs, "LBFGS in float32": lbfgs32}
    if not importlib.util.find_spec("netcal"):
        del fits["netcal"]
    times = {name: [] for name in fits}
    found = {}
    for _ in range(ROUNDS):  # in turns, so that a busy moment does not fall to one
        for name, fit in fits.items():
            began = time.perf_counter()
            found[name] = fit(probabilities, truth)
            times[name].append(time.perf_counter() - began)
    loss = {name: nll(truth, sharpened(probabilities, b)) for name, b in found.items()}
    table = [line(name, times, loss) for name in fits if name != "ours"]
    return table if "netcal" in fits else [*table, skipped()]


def line(peer, times, loss) -> dict:
    fast, slow = min(times["ours"]), min(times[peer])
    gap = loss[peer] - loss["ours"]
    return {
        "what": f"temperature of {ROWS:,} x {CLASSES} rows: {peer}",
        "ours": f"{fast:.2f} s, NLL {loss['ours']:.8f}",
        "peer": f"{slow:.2f} s, NLL {gap:+.0e} from ours",
        "ratio": slow / fast,
        "target": f">= {TARGETS[peer]}x",
        "ok": slow >= TARGETS[peer] * fast and abs(gap) <= SAME,
    }


def skipped() -> dict:
    return {
        "what": f"temperature of {ROWS:,} x {CLASSES} rows: netcal",
        "ours": "",
        "peer": "skipped: netcal is not installed",
        "seconds": 0.0,
        "target": f">= {TARGETS['netcal']}x",
        "ok": True,
    }


def make_rows():
    """Probabilities too sharp by a known factor, and truths drawn from the right ones."""
    rng = np.random.default_rng(0)
    z = 2 * rng.standard_normal((ROWS, CLASSES))
    z -= z.max(axis=1, keepdims=True)
    honest = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    truth = (rng.random((ROWS, 1)) > honest.cumsum(axis=1)[:, :-1]).sum(axis=1)
    z *= SHARPNESS
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), truth


def netcal(probabilities, truth) -> float:
    from netcal.scaling import TemperatureScaling

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        scaling = TemperatureScaling().fit(probabilities, truth)
    return float(np.ravel(scaling.temperature)[0])  # netcal's is what logits are multiplied by


def lbfgs(probabilities, truth, dtype=torch.float64) -> float:
    logits = torch.from_numpy(probabilities).to(dtype).clamp(min=1e-12).log()
    classes = torch.from_numpy(truth)
    b = torch.ones(1, dtype=dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([b], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits * b, classes)
        loss.backward()
        return loss

    optimizer.step(closure)
    return b.item()


def lbfgs32(probabilities, truth) -> float:
    return lbfgs(probabilities, truth, torch.float32)
