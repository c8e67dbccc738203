"""Fitting networks: how many epochs, and the fit on all rows; both are the one training loop's."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.files import read_json, write_json
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Choice, Fold, Labels, Matrix, Place, Takes
from affectkit.estimators._network import Form, Head, build_head
from affectkit.estimators._network_inputs import inputs_of
from affectkit.estimators._network_rows import answered, few_threads, labelled_rows, sets_of
from affectkit.labels import Target
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Fit, Problem, Settings, fit
from affectkit.training.objective import Objective, build_objective
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)

LOSS = "val_loss"


@dataclass(frozen=True)
class NetworkFit:
    """A trained network, on the CPU. classes: K, 0 of a number. present: [K] bool, classes that had fit rows; the
    others have probability 0. mean, deviation: of a number, in whose units the network answers. sweeps: of the
    learning-rate finder."""

    name: str
    network: Head
    classes: int
    present: np.ndarray
    mean: float = 0.0
    deviation: float = 1.0
    sweeps: tuple[dict[str, Any], ...] = ()

    def predict(self, x: Matrix) -> np.ndarray:
        """[N, K] probabilities, or [N] numbers; float64."""
        inputs = inputs_of(x, self.name)
        if not len(inputs):
            return np.zeros((0, self.classes) if self.classes else 0)
        outputs = answered(self.network, inputs).double()
        if not self.classes:
            return self.mean + self.deviation * outputs.numpy()
        outputs[:, ~self.present] = -np.inf
        return outputs.softmax(dim=1).numpy()


@dataclass(frozen=True)
class Network:
    """The estimator of mlp and attention.

    stage: but for the number of epochs, at most `epochs`, which inner folds choose by their loss: `stopping_folds` of
    them are held out in turn, and the network is then trained on all rows for as many epochs as gave the lowest loss on
    average. Val rows have no part in it, unless they are among the rows fitted on.
    """

    name: str
    options: dict[str, Any]
    form: Form
    takes: Takes
    stage: Stage
    settings: Settings
    loss: str = "auto"
    stopping_folds: int = 5
    place: Place | None = None
    selects_on: str = "nll"

    def at(self, place: Place) -> Network:
        return replace(self, place=place)

    def candidates(self, *, classes: int) -> list[dict[str, Any]]:
        return [{"epochs": epochs} for epochs in range(1, self.stage.epochs + 1)]

    def choose(self, folds: Iterable[Fold], seed: int) -> Choice:
        curves = []
        for number, fold in enumerate(islice(folds, self.stopping_folds), start=1):
            if len(np.unique(fold.labels.y)) > 1:
                curves.append((len(fold.held_labels.y), self._curve(fold, number, seed)))
        if self.stopping_folds and not curves:
            logger.warning("no inner fold has anything to learn: %s is trained for all epochs", self.name)
        history = mean_curve(curves)
        losses = [row[LOSS] for row in history]
        best = int(np.argmin(losses)) + 1 if losses else self.stage.epochs  # the first of equals
        for row in history:
            row["best"] = row[LOSS] == min(losses[: row["epoch"]]) and row["epoch"] <= best
        search = [{"epochs": n, "score": -loss, "chosen": n == best} for n, loss in enumerate(losses, start=1)]
        return Choice({"epochs": best}, search or [{"epochs": best, "chosen": True}], history=history)

    def fit_path(self, x: Matrix, labels: Labels, candidates: Sequence[dict[str, Any]], seed: int) -> list[NetworkFit]:
        found = []
        for candidate in candidates:
            stage = replace(self.stage, epochs=candidate["epochs"], patience=0, monitor="")
            name = "final" if len(candidates) == 1 else f"final-{candidate['epochs']}"
            with self._working(name) as place:
                network, objective, done = self._trained(x, labels, None, stage, place, seed)
            found.append(_fitted(self.name, network.cpu(), objective, labels, done))
        return found

    def calibrated(self, fitted: NetworkFit, oof: np.ndarray, labels: Labels) -> NetworkFit:
        return fitted

    def save(self, fitted: NetworkFit, stem: Path) -> None:
        from affectkit.estimators._network_files import save

        save(fitted, stem)

    def load(self, stem: Path) -> NetworkFit:
        from affectkit.estimators._network_files import load

        return load(stem, self.name, self.form)

    def _curve(self, fold: Fold, number: int, seed: int) -> list[dict[str, Any]]:
        """The history of a training on an inner fold, judged epoch by epoch on the rows that it holds out."""
        name = f"inner-{number}"
        record = self.place.folder / f"{name}.json" if self.place else None
        if record is None or not record.exists():
            stage = replace(self.stage, monitor=LOSS)
            with self._working(name) as place:
                held = (fold.held, fold.held_labels)
                history = self._trained(fold.x, fold.labels, held, stage, place, seed)[2].history
                if record is None:
                    return history
                write_json(record, {"history": history})
                shutil.rmtree(place.folder)
        assert record is not None
        history = read_json(record, what="curve")["history"]
        return [{name: np.nan if value is None else value for name, value in row.items()} for row in history]

    def _trained(
        self,
        x: Matrix,
        labels: Labels,
        held: tuple[Matrix, Labels] | None,
        stage: Stage,
        place: Place,
        seed: int,
    ) -> tuple[Head, Objective, Fit]:
        """One training, in the place's folder, which it goes on from."""
        inputs = inputs_of(x, self.name)
        objective = objective_of(labels, self.loss)
        [target] = objective.targets
        network = build_head(target.name, sets_of(inputs), labels.classes or 1, self.form, seed)
        val = labelled_rows(inputs_of(held[0], self.name), held[1], target.name) if held else None
        problem = Problem(network, labelled_rows(inputs, labels, target.name), val, objective)
        frames = any(one.frames for one in network.sets)
        settings = replace(self.settings, seed=seed, num_workers=place.num_workers if frames else 0)
        what = f"{place.folder.name}, " if self.place else ""

        def progress(done: int, total: int, note: str = "") -> None:
            if place.say:
                place.say(f"{what}{note}")

        with few_threads(network):
            done = fit(problem, [stage], settings, place.folder, place.accelerator, progress=progress)
        return network, objective, done

    @contextmanager
    def _working(self, name: str) -> Iterator[Place]:
        """The place of one training; without one given, a passing folder."""
        if self.place:
            yield replace(self.place, folder=self.place.folder / name)
            return
        with tempfile.TemporaryDirectory(prefix="affectkit-") as folder:
            yield Place(Path(folder), open_accelerator())


def objective_of(labels: Labels, loss: str) -> Objective:
    """The loss of these rows, its classes weighted as the labels are."""
    classes = tuple(map(str, range(labels.classes)))
    target = labels.target or (Target("label", "class", classes) if classes else Target("label", "number"))
    truth = {target.name: labels.y if labels.classes else labels.y.astype(np.float32)}
    objective = build_objective([target], truth, loss=loss, class_weight="none")
    if not labels.classes:
        return objective
    weights = np.ones(labels.classes)
    weights[labels.y] = labels.weights
    return replace(objective, weights={target.name: tuple(weights.tolist())})


def mean_curve(curves: Sequence[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The mean of histories over epochs, each weighted by its rows; one that ended early goes on as it ended.

    curves: (rows, history). `epoch`, `learning_rate`, `train_loss`, `val_...`, and `folds`: how many still trained.
    """
    longest = max((len(history) for _, history in curves), default=0)
    weights = [rows for rows, _ in curves]
    found = []
    for epoch in range(1, longest + 1):
        rows = [history[min(epoch, len(history)) - 1] for _, history in curves]
        names = [name for name in rows[0] if name in ("learning_rate", "train_loss") or name.startswith("val_")]
        means = {name: float(np.average([row[name] for row in rows], weights=weights)) for name in names}
        if not np.isfinite(means[LOSS]):
            raise AffectkitError("input", f"the loss of epoch {epoch} is not finite", remedy="lower --learning-rate")
        found.append({"epoch": epoch, **means, "folds": sum(len(history) >= epoch for _, history in curves)})
    return found


def _fitted(name: str, network: Head, objective: Objective, labels: Labels, done: Fit) -> NetworkFit:
    [target] = objective.targets
    mean, deviation = objective.scaling.get(target.name, (0.0, 1.0))
    present = np.isin(np.arange(labels.classes), labels.y)
    return NetworkFit(name, network.eval(), labels.classes, present, mean, deviation, tuple(done.sweeps))
