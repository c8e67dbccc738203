"""Fitting networks: how many epochs, and the fit on all rows; both are the one training loop's."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.estimators._estimator import (
    Block,
    Choice,
    Estimator,
    Fold,
    Labels,
    Learned,
    Matrix,
    Takes,
    Workspace,
)
from affectkit.estimators._network import (
    Answer,
    Answering,
    Form,
    InDraws,
    Set,
    answered,
    build_head,
    droppable,
    few_threads,
    labelled_rows,
    sets_of,
    truth_of,
)
from affectkit.estimators._network_inputs import Frames, inputs_of
from affectkit.labels import Target
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Fit, Problem, Settings, fit
from affectkit.training.journal import within
from affectkit.training.judging import SCORE, default_monitor, higher_is_better
from affectkit.training.objective import AUTO, LOSSES, Objective, build_objective
from affectkit.training.settings import EQUAL, UNCERTAINTY, parse_task_weights
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)

DRAWN_AT_ONCE = 4096  # rows: of 100 draws of 8 classes 26 MB

# --- How networks learned on inner folds, epoch by epoch, and their mean


@dataclass(frozen=True)
class Curve:
    """history: of one inner fold, as the training loop has it. held: predictions of the M rows that it holds out,
    [M, K] or [M] of each target, by the best epoch's weights."""

    history: list[dict[str, Any]]
    held: list[np.ndarray]

    def save(self, stem: Path) -> None:
        """Write `<stem>.safetensors` and then `<stem>.json`, by which the whole is known to be there."""
        from safetensors.numpy import save

        write_bytes(stem.with_suffix(".safetensors"), save({str(n): held for n, held in enumerate(self.held)}))
        write_json(stem.with_suffix(".json"), {"history": self.history})

    @classmethod
    def load(cls, stem: Path) -> Curve:
        from safetensors.numpy import load_file

        stored = read_json(stem.with_suffix(".json"), what="curve")["history"]
        history = [{name: np.nan if value is None else value for name, value in row.items()} for row in stored]
        held = load_file(stem.with_suffix(".safetensors"))
        return cls(history, [held[str(number)] for number in range(len(held))])


def mean_curve(curves: Sequence[Curve], monitor: str) -> list[dict[str, Any]]:
    """The mean of histories over epochs, each weighted by the rows that it holds out; one that ended early goes on as
    it ended, and an undefined figure counts for nothing.

    monitor: the column by which epochs are compared. A row has `epoch`, `learning_rate`, `train_loss`, `val_...`,
    `folds`: how many still trained, `score`: of the monitor, higher is better, and `best`: better than all before.
    """
    longest = max((len(curve.history) for curve in curves), default=0)
    weights = np.array([len(curve.held[0]) for curve in curves], float)
    sign = 1.0 if higher_is_better(monitor) else -1.0
    epochs: list[dict[str, Any]] = []
    highest = -np.inf
    for epoch in range(1, longest + 1):
        rows = [curve.history[min(epoch, len(curve.history)) - 1] for curve in curves]
        there = dict.fromkeys(name for row in rows for name in row)  # a fold may lack all rows of a target
        names = [name for name in there if name in ("learning_rate", "train_loss") or name.startswith("val_")]
        means = {name: _mean(np.array([row.get(name, np.nan) for row in rows], float), weights) for name in names}
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
class Reading:
    """How a network's outputs for a target are read. classes: K, 0 of a number. present: [K] bool, classes that had fit
    rows; the others have probability 0, and logits are divided by `temperature`. mean, deviation: of a number, in whose
    units the network answers. levels: whether the classes are ordered, and their head a cumulative link. learned:
    whether there were rows to learn it from, and so a head; without one every answer is NaN."""

    answer: str
    classes: int
    present: np.ndarray
    mean: float = 0.0
    deviation: float = 1.0
    temperature: float = 1.0
    levels: bool = False
    learned: bool = True

    def read(self, outputs: torch.Tensor) -> np.ndarray:
        """[N, K] probabilities, or [N] numbers, of a network's float64."""
        if not self.classes:
            return self.mean + self.deviation * outputs.numpy()
        outputs[:, ~self.present] = -np.inf
        return (outputs / self.temperature).softmax(dim=1).numpy()

    def declined(self, rows: int) -> np.ndarray:
        """Answers that are none."""
        return np.full((rows, self.classes) if self.classes else rows, np.nan)

    def facts(self) -> dict[str, Any]:
        """For a record; what is true of few stands there only where it is."""
        known = {"answer": self.answer, "classes": self.classes, "present": self.present.tolist()}
        known |= {"mean": self.mean, "deviation": self.deviation, "temperature": self.temperature}
        return known | ({"levels": True} if self.levels else {}) | ({} if self.learned else {"learned": False})

    @classmethod
    def of_facts(cls, facts: dict[str, Any]) -> Reading:
        """Raises ValueError or KeyError for what `facts` did not give."""
        classes, present = int(facts["classes"]), np.array(facts["present"], dtype=bool)
        mean, deviation, temperature = (float(facts[key]) for key in ("mean", "deviation", "temperature"))
        levels, learned = bool(facts.get("levels")), bool(facts.get("learned", True))
        sensible = math.isfinite(mean) and 0 < deviation < math.inf and 0 < temperature < math.inf
        if len(present) != classes or (classes and learned and not present.any()) or not sensible:
            raise ValueError("its classes or its units make no sense")
        if levels and classes < 2:
            raise ValueError("fewer than two levels have no order")
        return cls(str(facts["answer"]), classes, present, mean, deviation, temperature, levels, learned)


@dataclass(frozen=True)
class NetworkFit:
    """A trained network, on the CPU, and how its outputs are read, of each target in turn. sweeps: of the learning-rate
    finder. task_weights: how much each target counted in the end, where that was learned."""

    name: str
    network: Answering
    readings: tuple[Reading, ...]
    sweeps: tuple[dict[str, Any], ...] = ()
    task_weights: dict[str, float] = field(default_factory=dict)

    @property
    def unlearned(self) -> frozenset[str]:
        """Targets whose rows told nothing."""
        return frozenset(reading.answer for reading in self.readings if not reading.learned)

    def predict(self, x: Matrix) -> np.ndarray:
        """[N, K] probabilities, or [N] numbers, of the only target; float64."""
        [values] = self.answers(x)
        return values

    def answers(self, x: Matrix) -> list[np.ndarray]:
        """The same of each target."""
        inputs = inputs_of(x, self.name)
        if not len(inputs):
            return [reading.declined(0) for reading in self.readings]
        return self._read(answered(self.network, inputs), (len(inputs),))

    @property
    def drops(self) -> bool:
        """Whether there is a dropout to draw from."""
        return bool(droppable(self.network))

    def drawn(self, x: Matrix, draws: int) -> Iterator[list[np.ndarray]]:
        """What `answers` gives in draws of the dropout, [n, draws, K] or [n, draws] of each target; some rows after the
        other, as those of all would take much memory."""
        inputs, network = inputs_of(x, self.name), InDraws(self.network, draws)
        for start in range(0, len(inputs), DRAWN_AT_ONCE):
            rows = np.arange(start, min(start + DRAWN_AT_ONCE, len(inputs)))
            yield self._read(answered(network, inputs.take(rows)), (len(rows), draws))

    def _read(self, outputs: dict[str, torch.Tensor], shape: tuple[int, ...]) -> list[np.ndarray]:
        """shape: [N] or [N, draws], what stands before the classes."""
        answers = []
        for reading in self.readings:
            if reading.learned:
                flat = outputs[reading.answer].double().reshape(math.prod(shape), *[-1] * bool(reading.classes))
            values = reading.read(flat) if reading.learned else reading.declined(math.prod(shape))
            answers.append(values.reshape(*shape, *values.shape[1:]))
        return answers


@dataclass(frozen=True)
class NetworkEstimator(Estimator):
    """An estimator that is a network: what it is like, its form says.

    stage: of a training, but for the number of epochs, which inner folds choose: `stopping_folds` of them are held out
    in turn, and the network is then trained on all rows for as many epochs as gave the best UAR, or CCC of a number, on
    average. The folds' own networks set the temperature of its probabilities, as they never saw the rows that they hold
    out. Val rows have no part in any of it, unless they are among the rows fitted on.

    Several targets are learned together, by one trunk with a head of each; rows that lack a target have no part in its
    loss, and epochs are compared by the mean of the targets' figures. A batch has as many rows as give each target
    `batch_size` known ones on average. task_weights: as `LossOptions` has them.
    names: of the sets of features, where the network speaks of them.
    """

    form: Form
    takes: Takes
    stage: Stage
    settings: Settings
    loss: str = "auto"
    stopping_folds: int = 5
    task_weights: str = EQUAL
    names: tuple[str, ...] = ()
    workspace: Workspace | None = None

    selects_on = "uar"
    learns_together = True

    def at(self, workspace: Workspace) -> NetworkEstimator:
        return replace(self, workspace=workspace)

    def check_targets(self, targets: Sequence[Target]) -> None:
        parse_task_weights(self.task_weights, [target.name for target in targets])

    def reading(self, names: Sequence[str], blocks: Sequence[Block]) -> NetworkEstimator:
        if not self.takes.apart:
            return self
        single = [not isinstance(block, Frames) or bool((block.lengths <= 1).all()) for block in blocks]
        self.form.check(_named(names, blocks), single)
        return replace(self, names=tuple(names))

    def pairs(self, names: Sequence[str], blocks: Sequence[Block]) -> list[tuple[str, str]]:
        return self.form.pairs(_named(names, blocks))

    @property
    def alone(self) -> NetworkEstimator:
        return replace(self, task_weights=EQUAL)

    def choose(self, folds: Iterable[Fold], labels: Learned, seed: int) -> Choice:
        oof = [np.full((len(own.y), own.classes) if own.classes else len(own.y), np.nan) for own in labels.each]
        curves = []
        for number, fold in enumerate(islice(folds, self.stopping_folds), start=1):
            if _judgeable(fold):
                curves.append(self._curve(fold, number, seed))
                for answers, held in zip(oof, curves[-1].held, strict=True):
                    answers[fold.outside] = held
        if self.stopping_folds and not curves:
            logger.warning("no inner fold has anything to learn: %s is trained for all epochs", self.name)
        history = mean_curve(curves, _monitor(labels))
        best = max((row["epoch"] for row in history if row["best"]), default=self.stage.epochs)
        search = [{"epochs": row["epoch"], "score": row["score"], "chosen": row["epoch"] == best} for row in history]
        told = search or [{"epochs": best, "chosen": True}]
        return Choice({"epochs": best}, told, oof if len(oof) > 1 else oof[0], history)

    def fit_path(self, x: Matrix, labels: Learned, candidates: Sequence[dict[str, Any]], seed: int) -> list[NetworkFit]:
        fits = []
        for candidate in candidates:
            stage = replace(self.stage, epochs=candidate["epochs"], patience=0)
            name = "final" if len(candidates) == 1 else f"final-{candidate['epochs']}"
            with self._working(name) as workspace, within(name, self._trainings, self._trainings):
                fits.append(self._trained(x, labels, None, stage, workspace, seed)[0])
        return fits

    def calibrated(self, fitted: NetworkFit, oof: Any, labels: Learned) -> NetworkFit:
        """At the temperature, of each class target, that makes the inner out-of-fold probabilities likeliest; it moves
        no prediction."""
        readings, each = [], oof if len(labels.each) > 1 else [oof]
        if all(not own.classes or _untold(own, answers) for own, answers in zip(labels.each, each, strict=True)):
            return fitted
        for reading, own, answers in zip(fitted.readings, labels.each, each, strict=True):
            told = own.classes and reading.learned and not _untold(own, answers)
            readings.append(replace(reading, temperature=temperature_of(answers, own)) if told else reading)
        return replace(fitted, readings=tuple(readings))

    def save(self, fitted: NetworkFit, stem: Path) -> None:
        """Write `<stem>.safetensors`, the weights, and `<stem>.json`, what the network is."""
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in fitted.network.state_dict().items()}
        write_bytes(stem.with_name(stem.name + ".safetensors"), save(tensors))
        readings = [reading.facts() for reading in fitted.readings]
        sets = [features.facts() for features in fitted.network.sets]
        if len(readings) == 1:
            record = {"answer": readings[0]["answer"], "sets": sets, **readings[0]}
        else:
            record = {"answers": readings, "sets": sets, "task_weights": fitted.task_weights}
        write_json(stem.with_name(stem.name + ".json"), record)

    def load(self, stem: Path) -> NetworkFit:
        """What `save` wrote, of a network of this form. Raises ValueError or KeyError for anything else, and then has
        taken no memory for what the file's numbers promise: shapes are compared before there are weights."""
        from safetensors.torch import load_file

        facts = read_json(stem.with_name(stem.name + ".json"), what="network")
        stored = load_file(stem.with_name(stem.name + ".safetensors"))
        sets = [Set.of_facts(known) for known in facts["sets"]]
        readings = tuple(Reading.of_facts(known) for known in facts.get("answers", [facts]))
        learned = [reading for reading in readings if reading.learned]
        if not sets:
            raise ValueError("it reads nothing")
        if not learned or len({reading.answer for reading in readings}) < len(readings):
            raise ValueError("it answers nothing, or a target twice")
        answers = [Answer(reading.answer, reading.classes or 1, levels=reading.levels) for reading in learned]
        try:
            with torch.device("meta"):
                network = self.form.network(answers, sets)
        except RuntimeError as error:  # a width below 0, or beyond 64 bits
            raise ValueError(error) from None
        _check(network.state_dict(), stored)
        network.load_state_dict(stored, assign=True)
        weights = {str(name): float(weight) for name, weight in facts.get("task_weights", {}).items()}
        return NetworkFit(self.name, network.eval(), readings, task_weights=weights)

    def _curve(self, fold: Fold, number: int, seed: int) -> Curve:
        """Of a training on an inner fold, judged epoch by epoch on the rows that it holds out."""
        name = f"inner-{number}"
        stem = self.workspace.folder / name if self.workspace else None
        if stem and stem.with_suffix(".json").exists():
            return Curve.load(stem)
        with self._working(name) as workspace, within(name, number, self._trainings):
            held = fold.held, fold.held_labels
            fitted, done = self._trained(fold.x, fold.labels, held, self.stage, workspace, seed)
            curve = Curve(_scored(done, _monitor(fold.labels)), fitted.answers(fold.held))
            if stem:
                curve.save(stem)
                shutil.rmtree(workspace.folder)
        return curve

    def _trained(
        self, x: Matrix, labels: Learned, held: tuple[Matrix, Learned] | None, stage: Stage, work: Workspace, seed: int
    ) -> tuple[NetworkFit, Fit]:
        """One training, in the workspace's folder, which it goes on from; it ends with the best epoch for the rows held
        out, without any with the last one."""
        inputs, places = inputs_of(x, self.name), _learned(labels)
        learned = [labels.each[place] for place in places]
        objective = self._objective(labels, learned)
        names = [target.name for target in objective.targets]
        answers = [_answer(own, target) for own, target in zip(learned, objective.targets, strict=True)]
        network = build_head(answers, sets_of(inputs, self.names), self.form, seed)
        val = None
        if held:
            val = labelled_rows(inputs_of(held[0], self.name), [held[1].each[place] for place in places], names)
        problem = Problem(network, labelled_rows(inputs, learned, names), val, objective)
        frames = any(features.frames for features in network.sets)
        size = _batch_size(self.settings.batch_size, learned)
        settings = replace(self.settings, seed=seed, batch_size=size, num_workers=work.num_workers if frames else 0)
        if held and len(learned) > 1:
            stage = replace(stage, monitor=SCORE)

        def progress(done: int, total: int, note: str = "") -> None:
            if work.say:
                work.say(f"{work.folder.name}, {note}")

        with few_threads(network):
            done = fit(problem, [stage], settings, work.folder, work.accelerator, progress=progress)
        readings = tuple(_reading(own, objective, learned=place in places) for place, own in enumerate(labels.each))
        return NetworkFit(self.name, network.cpu().eval(), readings, tuple(done.sweeps), done.task_weights), done

    def _objective(self, labels: Learned, learned: Sequence[Labels]) -> Objective:
        """Of the targets that can be learned; the options are of all of them."""
        named = [_target(own).name for own in labels.each]
        weights = parse_task_weights(self.task_weights, named) if len(named) > 1 else {}
        shares = {_target(own).name: weights[_target(own).name] for own in learned} if weights else {}
        learns = self.task_weights == UNCERTAINTY and len(learned) > 1
        objective = objective_of(learned, self.loss, alone=len(named) == 1)
        return replace(objective, task_weights=shares, learns_weights=learns)

    @property
    def _trainings(self) -> int:
        """Of a fit, where no inner fold lacks."""
        return self.stopping_folds + 1

    @contextmanager
    def _working(self, name: str) -> Iterator[Workspace]:
        """The workspace of one training; without one given, a passing folder."""
        if self.workspace:
            yield replace(self.workspace, folder=self.workspace.folder / name)
            return
        with tempfile.TemporaryDirectory(prefix="affectkit-") as folder:
            yield Workspace(Path(folder), open_accelerator())


def objective_of(labels: Sequence[Labels], loss: str, *, alone: bool = True) -> Objective:
    """The loss of these rows, its classes weighted as the labels are.

    alone: whether these are all targets that `loss` is for; of others it may fit those that are not here.
    """
    targets = [_target(own) for own in labels]
    forms = {"classes" if own.classes else "numbers" for own in labels}
    truth = {target.name: truth_of(own) for target, own in zip(targets, labels, strict=True)}
    chosen = loss if alone or loss == AUTO or LOSSES[loss] in forms else AUTO
    objective = build_objective(targets, truth, loss=chosen, class_weight="none")
    weights = {t.name: _class_weights(own) for t, own in zip(targets, labels, strict=True) if own.classes}
    return replace(objective, weights=weights)


def _class_weights(labels: Labels) -> tuple[float, ...]:
    weights = np.ones(labels.classes)
    weights[labels.y[labels.known]] = labels.weights[labels.known]
    return tuple(weights.tolist())


def temperature_of(probabilities: np.ndarray, labels: Labels) -> float:
    """T at which softmax(log p / T) is likeliest, each row as much as it weighs; rows of NaN are left out.

    probabilities: [N, K], of rows that their networks never saw. Guo et al. 2017.
    """
    from affectkit.evaluation.temperature import BOUND, fit_sharpness

    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1) & labels.known)
    sharpness = fit_sharpness(probabilities[known], labels.y[known], labels.weights[known])
    if sharpness in (BOUND, 1 / BOUND):
        what = "say nothing, and every class gets the same" if sharpness < 1 else "are never wrong"
        logger.warning("the network's probabilities of inner folds %s: T = %.3g", what, 1 / sharpness)
    return 1 / sharpness


def _named(names: Sequence[str], blocks: Sequence[Block]) -> list[Set]:
    """Sets of features before they are preprocessed, whose width is not told."""
    return [Set(0, frames=isinstance(block, Frames), name=name) for name, block in zip(names, blocks, strict=True)]


def _learned(labels: Learned) -> list[int]:
    """Places of the targets that rows tell something of; a single one is tried in any case, and says what it lacks."""
    return [place for place, own in enumerate(labels.each) if own.learnable or len(labels.each) == 1]


def _batch_size(size: int, learned: Sequence[Labels]) -> int:
    """Rows of a batch of which `size` are known of a target on average, as they all are where it is learned alone: the
    CCC of the 13 that are left of 32 with 60 % of labels missing is far off that of all rows."""
    known = sum(int(own.known.sum()) for own in learned) / len(learned)
    return round(size * len(learned[0].y) / known)


def _judgeable(fold: Fold) -> bool:
    """Whether some target can be learned inside, and its rows outside judge that."""
    pairs = zip(fold.labels.each, fold.held_labels.each, strict=True)
    return any(own.learnable and bool(held.known.any()) for own, held in pairs)


def _untold(labels: Labels, answers: np.ndarray) -> bool:
    """Whether no row that has a label was answered out of fold."""
    return bool(np.isnan(answers[labels.known]).all())


def _monitor(labels: Learned) -> str:
    """The column of the history that chooses epochs."""
    return f"val_{SCORE}" if len(labels.each) > 1 else default_monitor([_target(labels.each[0])])


def _scored(done: Fit, monitor: str) -> list[dict[str, Any]]:
    """The history with the column that is to choose: where one target alone could be learned, that one's figure."""
    return [row if monitor in row else {**row, monitor: row[done.monitor or ""]} for row in done.history]


def _answer(labels: Labels, target: Target) -> Answer:
    """The head of a target; levels start from their shares of the rows, as these are weighted, and one row more each:
    some may have none."""
    levels = target.kind == "ordinal"
    if not levels:
        return Answer(target.name, labels.classes or 1, target.classes)
    known = labels.known
    counts = np.bincount(labels.y[known], labels.weights[known], minlength=labels.classes) + 1
    return Answer(target.name, labels.classes, target.classes, levels, tuple((counts / counts.sum()).tolist()))


def _reading(labels: Labels, objective: Objective, *, learned: bool) -> Reading:
    target, present = _target(labels), np.isin(np.arange(labels.classes), labels.y)
    mean, deviation = objective.scaling.get(target.name, (0.0, 1.0)) if learned else (0.0, 1.0)
    levels = target.kind == "ordinal"
    return Reading(target.name, labels.classes, present, mean, deviation, levels=levels, learned=learned)


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
