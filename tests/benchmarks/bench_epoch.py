"""An epoch over pooled features of two sets against a bare loop of PyTorch: the same network, loss, optimiser, clipping
and batches, which the loop gathers by index from tensors that are scaled already. Both in one thread.

Ours is the whole of a training with its journal open: scaling, seeding, watching for what is not finite, checkpoints.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from affectkit import registry
from affectkit.estimators._network import Answer, Rows, build_head, sets_of
from affectkit.estimators._network_inputs import Inputs, Scaling
from affectkit.labels import Target
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Problem, Settings, fit
from affectkit.training.journal import open_journal
from affectkit.training.objective import build_objective
from affectkit.training.stages import Stage

ROWS, DIM, BATCH, EPOCHS, ROUNDS = 100_000, 512, 256, 2, 3
MODELS = ("mlp", "cross-attention")
MOST = 1.3
TRAITS = [Target(name, "number", scale=(0.0, 1.0)) for name in ("o", "c", "e", "a", "n")]


def run() -> list[dict]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    sets = [rng.standard_normal((ROWS, DIM), dtype=np.float32) for _ in range(2)]
    truth = {target.name: rng.random(ROWS, dtype=np.float32) for target in TRAITS}
    known = registry.names("estimators")
    return [row(model, sets, truth) for model in MODELS if model in known]


def row(model: str, sets: list[np.ndarray], truth: dict[str, np.ndarray]) -> dict:
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(ROUNDS):
        times["ours"].append(ours(model, sets, truth))
        times["peer"].append(peer(model, sets, truth))
    epoch = {side: float(np.median(seconds)) for side, seconds in times.items()}
    return {
        "what": f"an epoch of {model}, {ROWS:,} x ({DIM} + {DIM}), batches of {BATCH}",
        "ours": f"{epoch['ours']:.2f} s",
        "peer": f"a bare PyTorch loop: {epoch['peer']:.2f} s",
        "ratio": epoch["ours"] / epoch["peer"],
        "target": f"<= {MOST}x",
        "ok": epoch["ours"] <= MOST * epoch["peer"],
    }


def network_of(model: str, inputs: Inputs):
    estimator = registry.build("estimators", model, {})
    answers = [Answer(target.name, 1) for target in TRAITS]
    return build_head(answers, sets_of(inputs, ["static", "dynamic"]), estimator.form, 0)


def inputs_of(sets: list[np.ndarray]) -> Inputs:
    scalings = [Scaling(np.zeros(DIM), each.mean(axis=0, dtype=float), each.std(axis=0, dtype=float)) for each in sets]
    return Inputs(tuple(sets), tuple(scalings))


def ours(model: str, sets: list[np.ndarray], truth: dict[str, np.ndarray]) -> float:
    """Seconds of an epoch."""
    rows = Rows(inputs_of(sets), [str(number) for number in range(ROWS)], truth)
    problem = Problem(network_of(model, rows.inputs), rows, None, build_objective(TRAITS, truth))
    settings = Settings(batch_size=BATCH, weight_decay=0.01)
    stage = Stage("full", "all", EPOCHS, "1e-3", "constant", patience=0)
    with tempfile.TemporaryDirectory() as name:
        told = {"resumed": False, "options": {}}
        with open_journal(Path(name), "train", **told):
            began = time.perf_counter()
            fit(problem, [stage], settings, Path(name), open_accelerator("cpu"))
            return (time.perf_counter() - began) / EPOCHS


def peer(model: str, sets: list[np.ndarray], truth: dict[str, np.ndarray]) -> float:
    inputs = inputs_of(sets)
    network, objective = network_of(model, inputs), build_objective(TRAITS, truth)
    values = [torch.from_numpy(s.apply_narrow(x)) for x, s in zip(sets, inputs.scalings, strict=True)]
    known = {name: torch.from_numpy(numbers) for name, numbers in truth.items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    network.train()
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in torch.randperm(ROWS).split(BATCH):
            outputs = network(**{f"values{place}": each[batch] for place, each in enumerate(values)})
            loss = objective(outputs, {name: numbers[batch] for name, numbers in known.items()})
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return (time.perf_counter() - began) / EPOCHS
