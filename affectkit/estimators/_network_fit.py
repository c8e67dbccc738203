"""Fitting networks: how many epochs, and the fit on all rows; both are the one training loop's."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.estimators._estimator import Choice, Estimator, Fold, Labels, Matrix, Takes, Workspace
from affectkit.estimators._network import Form, Head, Set, answered, build_head, few_threads, labelled_rows, sets_of
from affectkit.estimators._network_inputs import inputs_of
from affectkit.labels import Target
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Fit, Problem, Settings, fit
from affectkit.training.judging import default_monitor, higher_is_better
from affectkit.training.objective import Objective, build_objective
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)


# --- How networks learned on inner folds, epoch by epoch, and their mean


@dataclass(frozen=True)
class Curve:
    """history: of one inner fold, as the training loop has it. held: predictions of the rows that it holds out, [M, K]
    or [M], by the best epoch's weights."""

    history: list[dict[str, Any]]
    held: np.ndarray

    def save(self, stem: Path) -> None:
        """Write `<stem>.safetensors` and then `<stem>.json`, by which the whole is known to be there."""
        from safetensors.numpy import save

        write_bytes(stem.with_suffix(".safetensors"), save({"held": self.held}))
        write_json(stem.with_suffix(".json"), {"history": self.history})

    @classmethod
    def load(cls, stem: Path) -> Curve:
        from safetensors.numpy import load_file

        stored = read_json(stem.with_suffix(".json"), what="curve")["history"]
        history = [{name: np.nan if value is None else value for name, value in row.items()} for row in stored]
        return cls(history, load_file(stem.with_suffix(".safetensors"))["held"])


def mean_curve(curves: Sequence[Curve], monitor: str) -> list[dict[str, Any]]:
    """The mean of histories over epochs, each weighted by the rows that it holds out; one that ended early goes on as
    it ended, and an undefined figure counts for nothing.

    monitor: the column by which epochs are compared. A row has `epoch`, `learning_rate`, `train_loss`, `val_...`,
    `folds`: how many still trained, `score`: of the monitor, higher is better, and `best`: better than all before.
    """
    longest = max((len(curve.history) for curve in curves), default=0)
    weights = np.array([len(curve.held) for curve in curves], float)
    sign = 1.0 if higher_is_better(monitor) else -1.0
    epochs: list[dict[str, Any]] = []
    highest = -np.inf
    for epoch in range(1, longest + 1):
        rows = [curve.history[min(epoch, len(curve.history)) - 1] for curve in curves]
        names = [name for name in rows[0] if name in ("learning_rate", "train_loss") or name.startswith("val_")]
        means = {name: _mean(np.array([row[name] for row in rows], float), weights) for name in names}
        score = sign * means[monitor]
        best = bool(score > highest or (epoch == 1 and np.isnan(score)))
        highest = max(highest, score) if score == score else highest
        folds = sum(len(curve.history) >= epoch for curve in curves)
        epochs.append({"epoch": epoch, **means, "folds": folds, "score": score, "best": best})
    return epochs


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")


@dataclass(frozen=True)
class NetworkFit:
    """A trained network, on the CPU. classes: K, 0 of a number. present: [K] bool, classes that had fit rows; the
    others have probability 0, and logits are divided by `temperature`. mean, deviation: of a number, in whose units the
    network answers. sweeps: of the learning-rate finder."""

    name: str
    network: Head
    classes: int
    present: np.ndarray
    mean: float = 0.0
    deviation: float = 1.0
    temperature: float = 1.0
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
        return (outputs / self.temperature).softmax(dim=1).numpy()


@dataclass(frozen=True)
class NetworkEstimator(Estimator):
    """The estimator of mlp and attention.

    stage: of a training, but for the number of epochs, which inner folds choose: `stopping_folds` of them are held out
    in turn, and the network is then trained on all rows for as many epochs as gave the best UAR, or CCC of a number, on
    average. The folds' own networks set the temperature of its probabilities, as they never saw the rows that they hold
    out. Val rows have no part in any of it, unless they are among the rows fitted on.
    """

    form: Form
    takes: Takes
    stage: Stage
    settings: Settings
    loss: str = "auto"
    stopping_folds: int = 5
    workspace: Workspace | None = None

    selects_on = "uar"

    def at(self, workspace: Workspace) -> NetworkEstimator:
        return replace(self, workspace=workspace)

    def choose(self, folds: Iterable[Fold], labels: Labels, seed: int) -> Choice:
        oof = np.full((len(labels.y), labels.classes) if labels.classes else len(labels.y), np.nan)
        curves = []
        for number, fold in enumerate(islice(folds, self.stopping_folds), start=1):
            if len(np.unique(fold.labels.y)) > 1:
                curves.append(self._curve(fold, number, seed))
                oof[fold.outside] = curves[-1].held
        if self.stopping_folds and not curves:
            logger.warning("no inner fold has anything to learn: %s is trained for all epochs", self.name)
        history = mean_curve(curves, default_monitor([_target(labels)]))
        best = max((row["epoch"] for row in history if row["best"]), default=self.stage.epochs)
        search = [{"epochs": row["epoch"], "score": row["score"], "chosen": row["epoch"] == best} for row in history]
        return Choice({"epochs": best}, search or [{"epochs": best, "chosen": True}], oof, history)

    def fit_path(self, x: Matrix, labels: Labels, candidates: Sequence[dict[str, Any]], seed: int) -> list[NetworkFit]:
        fits = []
        for candidate in candidates:
            stage = replace(self.stage, epochs=candidate["epochs"], patience=0)
            name = "final" if len(candidates) == 1 else f"final-{candidate['epochs']}"
            with self._working(name) as workspace:
                fits.append(self._trained(x, labels, None, stage, workspace, seed)[0])
        return fits

    def calibrated(self, fitted: NetworkFit, oof: np.ndarray, labels: Labels) -> NetworkFit:
        """At the temperature that makes the inner out-of-fold probabilities likeliest; it moves no prediction."""
        if not labels.classes or np.isnan(oof).all():
            return fitted
        return replace(fitted, temperature=temperature_of(oof, labels))

    def save(self, fitted: NetworkFit, stem: Path) -> None:
        """Write `<stem>.safetensors`, the weights, and `<stem>.json`, what the network is."""
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in fitted.network.state_dict().items()}
        write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))
        facts: dict[str, Any] = {"answer": fitted.network.answer, "sets": list(map(asdict, fitted.network.sets))}
        facts |= {"classes": fitted.classes, "present": fitted.present.tolist()}
        facts |= {"mean": fitted.mean, "deviation": fitted.deviation, "temperature": fitted.temperature}
        write_json(stem.with_name(stem.name + ".json"), facts)

    def load(self, stem: Path) -> NetworkFit:
        """What `save` wrote, of a network of this form. Raises ValueError or KeyError for anything else, and then has
        taken no memory for what the file's numbers promise: shapes are compared before there are weights."""
        from safetensors.torch import load_file

        facts = read_json(stem.with_name(stem.name + ".json"), what="network")
        stored = load_file(stem.with_name(stem.name + ".safetensors"))
        sets = [Set(int(known["dim"]), int(known["layers"]), bool(known["frames"])) for known in facts["sets"]]
        classes, present = int(facts["classes"]), np.array(facts["present"], dtype=bool)
        mean, deviation, temperature = (float(facts[key]) for key in ("mean", "deviation", "temperature"))
        sensible = math.isfinite(mean) and 0 < deviation < math.inf and 0 < temperature < math.inf
        if len(present) != classes or (classes and not present.any()) or not sensible:
            raise ValueError("its classes or its units make no sense")
        with torch.device("meta"):
            network = Head(str(facts["answer"]), sets, classes or 1, self.form)
        _check(network.state_dict(), stored)
        network.load_state_dict(stored, assign=True)
        return NetworkFit(self.name, network.eval(), classes, present, mean, deviation, temperature)

    def _curve(self, fold: Fold, number: int, seed: int) -> Curve:
        """Of a training on an inner fold, judged epoch by epoch on the rows that it holds out."""
        name = f"inner-{number}"
        stem = self.workspace.folder / name if self.workspace else None
        if stem and stem.with_suffix(".json").exists():
            return Curve.load(stem)
        with self._working(name) as workspace:
            held = fold.held, fold.held_labels
            fitted, done = self._trained(fold.x, fold.labels, held, self.stage, workspace, seed)
            curve = Curve(done.history, fitted.predict(fold.held))
            if stem:
                curve.save(stem)
                shutil.rmtree(workspace.folder)
        return curve

    def _trained(
        self, x: Matrix, labels: Labels, held: tuple[Matrix, Labels] | None, stage: Stage, work: Workspace, seed: int
    ) -> tuple[NetworkFit, Fit]:
        """One training, in the workspace's folder, which it goes on from; it ends with the best epoch for the rows held
        out, without any with the last one."""
        inputs = inputs_of(x, self.name)
        objective = objective_of(labels, self.loss)
        [target] = objective.targets
        network = build_head(target.name, sets_of(inputs), labels.classes or 1, self.form, seed)
        val = labelled_rows(inputs_of(held[0], self.name), held[1], target.name) if held else None
        problem = Problem(network, labelled_rows(inputs, labels, target.name), val, objective)
        frames = any(features.frames for features in network.sets)
        settings = replace(self.settings, seed=seed, num_workers=work.num_workers if frames else 0)

        def progress(done: int, total: int, note: str = "") -> None:
            if work.say:
                work.say(f"{work.folder.name}, {note}")

        with few_threads(network):
            done = fit(problem, [stage], settings, work.folder, work.accelerator, progress=progress)
        mean, deviation = objective.scaling.get(target.name, (0.0, 1.0))
        present = np.isin(np.arange(labels.classes), labels.y)
        made = self.name, network.cpu().eval(), labels.classes, present, mean, deviation
        return NetworkFit(*made, sweeps=tuple(done.sweeps)), done

    @contextmanager
    def _working(self, name: str) -> Iterator[Workspace]:
        """The workspace of one training; without one given, a passing folder."""
        if self.workspace:
            yield replace(self.workspace, folder=self.workspace.folder / name)
            return
        with tempfile.TemporaryDirectory(prefix="affectkit-") as folder:
            yield Workspace(Path(folder), open_accelerator())


def objective_of(labels: Labels, loss: str) -> Objective:
    """The loss of these rows, its classes weighted as the labels are."""
    target = _target(labels)
    truth = {target.name: labels.y if labels.classes else labels.y.astype(np.float32)}
    objective = build_objective([target], truth, loss=loss, class_weight="none")
    if not labels.classes:
        return objective
    weights = np.ones(labels.classes)
    weights[labels.y] = labels.weights
    return replace(objective, weights={target.name: tuple(weights.tolist())})


def temperature_of(probabilities: np.ndarray, labels: Labels) -> float:
    """T at which softmax(log p / T) is likeliest, each row as much as it weighs; rows of NaN are left out.

    probabilities: [N, K], of rows that their networks never saw. Guo et al. 2017.
    """
    from affectkit.evaluation.temperature import BOUND, fit_sharpness

    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    sharpness = fit_sharpness(probabilities[known], labels.y[known], labels.weights[known])
    if sharpness in (BOUND, 1 / BOUND):
        what = "say nothing, and every class gets the same" if sharpness < 1 else "are never wrong"
        logger.warning("the network's probabilities of inner folds %s: T = %.3g", what, 1 / sharpness)
    return 1 / sharpness


def _target(labels: Labels) -> Target:
    classes = tuple(map(str, range(labels.classes)))
    return labels.target or (Target("label", "class", classes) if classes else Target("label", "number"))


def _check(expected: dict[str, Any], stored: dict[str, Any]) -> None:
    """Raises ValueError unless the weights are the network's, by name, shape and type."""
    missing, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    if missing or unknown:
        lack, more = ", ".join(missing) or "none", ", ".join(unknown) or "none"
        raise ValueError(f"its weights lack {lack} and have {more} more")
    for name, tensor in expected.items():
        if stored[name].shape != tensor.shape or stored[name].dtype != tensor.dtype:
            raise ValueError(f"{name} is {list(stored[name].shape)}, not {list(tensor.shape)}")
        if not bool(torch.isfinite(stored[name]).all()):
            raise ValueError(f"{name} is not finite")
