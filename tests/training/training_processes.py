"""What test_processes.py runs, alone and under `accelerate launch`: `training_processes.py FOLDER SCENARIO...`."""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from training_toy import LABEL, VALENCE, make_problem, weights_of

from affectkit.errors import AffectkitError
from affectkit.training.fit import fit
from affectkit.training.judging import Judge
from affectkit.training.problem import Settings
from affectkit.training.stages import Stage
from affectkit.training.stepping import Stepper

BOTH = (LABEL, VALENCE)
WHOLE = Stage("whole", "all", 3, "1e-2")
# (problem, stages, settings)
SCENARIOS = {
    "classes": ({"rows": 26, "val": 13}, [WHOLE], {"batch_size": 5, "accumulation": 2}),
    "numbers": ({"targets": BOTH, "loss": "ccc"}, [Stage("head", "head", 1, "1e-2"), WHOLE], {"average": 0.9}),
    "tiny batches": (
        {"targets": BOTH, "rows": 9, "val": 3, "loss": "mse"},
        [WHOLE],
        {"batch_size": 1, "accumulation": 3},
    ),
    "seconds": ({"targets": BOTH}, [WHOLE], {"batch_seconds": 45.0, "num_workers": 2}),
    "found": ({"rows": 60}, [Stage("a", "head", 2, "find", "one-cycle"), Stage("b", "all", 1, "find/10")], {}),
}
# What one process cannot do alike: each has batch statistics and dropout of its own.
RANDOM = ({"targets": BOTH, "dropout": 0.3, "rows": 25}, [Stage("head", "head", 1, "1e-2"), WHOLE],
          {"batch_size": 6, "accumulation": 2, "average": 0.9, "checkpoint_steps": 1})  # fmt: skip


class Interrupted(Exception):
    pass


def train(scenario, folder, *, plain=True, interrupt=None, spoil=None):
    """What came of it, as JSON has it. interrupt: batch after which every process stops. spoil: changes the problem."""
    of, stages, settings = scenario
    problem = make_problem(**{"dropout": 0.0, **of})
    if plain:
        problem.module.norm = nn.Identity()
    if spoil:
        spoil(problem)
    backward, clip, measure = Stepper.backward, Stepper._clip, Judge.measure
    calls, norms, judged = [], [], []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == interrupt:
            raise Interrupted
        return backward(*arguments, **options)

    Stepper.backward = counted
    Stepper._clip = lambda stepper: (norms.append(clip(stepper)), norms[-1])[1]
    Judge.measure = lambda *of: (judged.append(digest(problem.module)), measure(*of))[1]
    try:
        found = fit(
            problem, stages, Settings(**{"batch_size": 8, "seed": 3, **settings}), folder, Accelerator(cpu=True)
        )
    finally:
        Stepper.backward, Stepper._clip, Judge.measure = backward, clip, measure
    return {
        "history": found.history,
        "rates": [stage["rates"] for stage in found.stages],
        "loaded": problem.train.loaded,
        "ids": problem.train.ids,
        "norms": norms,
        "judged": judged,
        "weights": digest(problem.module),
        "batches": len(calls),
    }


def digest(network):
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in weights_of(network).values())).hexdigest()


def resumed(folder):
    """Interrupted twice, at the same place in each process; then to the end."""
    whole = train(RANDOM, folder / "whole", plain=False)
    for number in range(2, whole["batches"] + 1, 7):
        for _ in range(2):
            try:
                train(RANDOM, folder / f"at-{number}", plain=False, interrupt=number)
            except Interrupted:
                continue
        again = train(RANDOM, folder / f"at-{number}", plain=False)
        assert again["weights"] == whole["weights"], number
        assert again["history"] == whole["history"], number
    return whole


def broken(folder):
    """The second process cannot load a row of the second epoch."""
    rank = Accelerator(cpu=True).process_index

    def spoil(problem):
        inner = problem.train.load

        def load(position, rng):
            if rank == 1 and len(problem.train.loaded) > 15:
                raise AffectkitError("input", "is empty (0 bytes)", file="train.csv", row=position + 1)
            return inner(position, rng)

        problem.train.load = load

    train(({}, [Stage("a", "all", 200, "1e-3")], {"num_workers": 2}), folder, spoil=spoil)


def main(folder, names):
    torch.set_num_threads(1)
    rank = os.environ.get("RANK", "0")
    special = {"resumed": resumed, "broken": broken}
    for name in names:
        place = folder / name
        found = special[name](place) if name in special else train(SCENARIOS[name], place)
        (folder / f"{name}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
