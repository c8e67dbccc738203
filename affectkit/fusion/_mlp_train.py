"""Training the members of a network of fusion, by the one training loop."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.fusion._mlp_network import FusedRows, Members
from affectkit.fusion._mlp_prior import Parameters, prior_scores
from affectkit.fusion._mlp_study import ALL, Study
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Problem, Settings, fit
from affectkit.training.objective import Objective, build_objective
from affectkit.training.stages import Stage

PATIENCE = 10  # epochs without less held-out loss, after which no more are tried
# Held-out loss is looked at every so many steps or more, and every so many epochs or less: a look, with what the loop
# writes then, takes as long as a dozen steps, and of few rows an epoch is one step.
STEPS, EPOCHS = 10, 5
HISTORY = ("epoch", "step", "train_loss", "val_loss", "best")


@dataclass(frozen=True)
class Trained:
    """network: of all rows, what JSON can hold. answers: [N, C] of every member, for all rows. history: a row for each
    look. All are of the epoch whose loss on the rows that the inner members never saw is least."""

    network: dict[str, Any]
    answers: list[np.ndarray]
    history: list[dict[str, Any]]


def train(study: Study, priors: Sequence[Parameters], options: Mapping[str, Any], seed: int) -> Trained:
    """priors: what each member starts from."""
    objective = _objective(study)
    names = [target.name for target in objective.targets]
    units = [objective.scaling.get(name, (0.0, 1.0)) for name in names]
    starts = [prior_scores(prior, study.inputs).T for prior in priors]
    start = np.stack([(own - mean) / unit for own, (mean, unit) in zip(starts, units, strict=True)], axis=1)
    columns, begin = (torch.from_numpy(values.astype(np.float32)) for values in (study.columns.T, start))
    passes = passes_of(options["epochs"], -(-len(columns) // options["batch_size"]))
    seen, unseen = ({name: study.truth(own == of) for name, own in study.parts()} for of in (True, False))
    train, val = FusedRows.of(columns, begin, seen, passes=passes), FusedRows.of(columns, begin, unseen)
    with _one_thread(), torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        network = Members(
            dict(study.parts()), columns, hidden=options["hidden_size"], outputs=start.shape[2],
            dropout=options["dropout"], number=study.number,
        )  # fmt: skip
        how = _settings(options, len(columns), seed)
        with _diverging():
            problem = Problem(network, train, val, objective)
            found = fit(problem, [_stage(options, passes)], how, Path(folder), open_accelerator("cpu"))
        network.eval().double()  # as the answers will be computed
        with torch.no_grad():
            answers = objective.answers(network(torch.from_numpy(study.columns.T), torch.from_numpy(start)))
    history = [{name: row[name] for name in HISTORY} | {"epoch": row["epoch"] * passes} for row in found.history]
    fitted = {**network.plain(ALL), "unit": units[-1][1]}
    return Trained(fitted, [answers[name].reshape(len(columns), -1) for name in names], history)


def _objective(study: Study) -> Objective:
    """A target for each member."""
    target = study.inputs.panel.target
    return build_objective(
        [replace(target, name=name) for name, _ in study.parts()],
        {name: study.truth(own) for name, own in study.parts()},
        loss="mse" if study.number else "cross-entropy",
        class_weight="balanced" if study.balanced else "none",
    )


def passes_of(epochs: int, steps: int) -> int:
    """Epochs from one look to the next: a divisor of `epochs`. steps: of an epoch."""
    most = min(EPOCHS, -(-STEPS // steps))
    return max(passes for passes in range(1, most + 1) if epochs % passes == 0)


def _stage(options: Mapping[str, Any], passes: int) -> Stage:
    return Stage(
        "mlp", epochs=options["epochs"] // passes, learning_rate=str(options["learning_rate"]), schedule="constant",
        patience=-(-PATIENCE // passes), monitor="val_loss",
    )  # fmt: skip


def _settings(options: Mapping[str, Any], rows: int, seed: int) -> Settings:
    """Without clipping: the gradient's norm is that of all members together."""
    size = min(options["batch_size"], rows)
    return Settings(batch_size=size, clip=0.0, weight_decay=options["weight_decay"], seed=seed)


@contextmanager
def _diverging() -> Iterator[None]:
    """Say what a loss that is not finite means here, where rows have no names."""
    try:
        yield
    except AffectkitError as error:
        if error.code != "input":
            raise
        raise AffectkitError("input", "mlp: its training diverges", remedy="lower --learning-rate") from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small: two threads would wait for each other, and round otherwise than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
