"""Which epochs are better, by rows that are not trained on."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.class_metrics import f1s, recalls
from affectkit.evaluation.metrics import METRICS
from affectkit.evaluation.number_metrics import UNDEFINED
from affectkit.evaluation.rows import prefix, statistics
from affectkit.labels import Target
from affectkit.training.failures import check_answered, enough_memory
from affectkit.training.loading import Loaded, load_batches, sorted_batches
from affectkit.training.objective import known_rows
from affectkit.training.problem import Examples, Problem
from affectkit.training.settings import Settings
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)


# --- Answers for rows that are not trained on, and what they are worth while training goes on


TRAIN_LOSS, VAL_LOSS = "train_loss", "val_loss"
SCORE = "score"
CLASS_METRICS = ("uar", "macro_f1", "accuracy", "kappa", "kappa_linear", "kappa_quadratic")
NUMBER_METRICS = ("ccc", "mae", "pearson", "mse", "rmse", "r2", "one_minus_mae")
OF_EACH_CLASS = {"recall": recalls, "f1": f1s}


def outputs_of(
    network: Any,
    examples: Examples,
    accelerator: Any,
    *,
    size: int,
    most_cost: float | None = None,
    num_workers: int = 0,
    finite: bool = True,
) -> dict[str, torch.Tensor]:
    """What the network says of every row, in their order, on the CPU in float32, float64 where the network answers in
    it; every process has it all.

    The network is in eval mode meanwhile. size, most_cost: of a batch, over all processes; batches change no answer.
    Raises "input" naming rows whose answers are not finite, unless told that they may be.
    """
    batches = sorted_batches(np.asarray(examples.costs), size, most_cost=most_cost)
    outputs: dict[str, torch.Tensor] = {}
    with (
        _in_eval_mode(network),
        closing(load_batches(examples, batches, accelerator, num_workers=num_workers)) as loading,
    ):
        for loaded in loading:
            with enough_memory(examples, loaded.rows), accelerator.autocast():
                share = network(**loaded.inputs)
            for name, gathered_rows in gathered(share, loaded, accelerator).items():
                wide = torch.promote_types(gathered_rows.dtype, torch.float32)
                rows = outputs.setdefault(name, torch.zeros(len(examples.ids), *gathered_rows.shape[1:], dtype=wide))
                rows[loaded.rows] = gathered_rows.to(wide).cpu()
    if finite:
        check_answered(outputs, examples)
    return outputs


@contextmanager
def _in_eval_mode(network: Any) -> Iterator[None]:
    """In eval mode and without gradients; each module's own mode again afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def gathered(share: Mapping[str, torch.Tensor], loaded: Loaded, accelerator: Any) -> dict[str, torch.Tensor]:
    """The outputs of the whole batch on every process, this process's own with their graph.

    A loss over the whole batch then needs no thought about processes, be it weighted by class or a correlation.
    """
    rank, sizes = accelerator.process_index, loaded.sizes
    if len(sizes) == 1:
        return dict(share)
    outputs = {}
    for name, mine in share.items():
        room = mine.new_zeros(max(sizes), *mine.shape[1:])
        room[: sizes[rank]] = mine.detach()[: sizes[rank]]
        pieces = accelerator.gather(room).split(max(sizes))
        kept = [piece[:size] for piece, size in zip(pieces, sizes, strict=True)]
        kept[rank] = mine[: sizes[rank]]  # if none, an empty one with a graph: each process takes part in the backward
        outputs[name] = torch.cat(kept)
    return outputs


def scores(
    targets: Sequence[Target], answers: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Metrics by the names that reports use: `uar`, `recall.<class>` and `f1.<class>`, `t.uar` of a class target other
    than `label`; `t.ccc` of a number, and `ccc`, the mean over the numbers; `score` of several targets, the mean of
    their UAR and CCC. A target without a known row has none.

    answers: what `Objective.answers` gives. truth: as `Examples` have it; of votes the most frequent class counts.
    """
    sums: dict[str, np.ndarray] = {}
    for target in targets:
        answer, true = answers[target.name], np.asarray(truth[target.name])
        known = known_rows(true)
        if target.kind != "number":
            true = np.nan_to_num(true).argmax(axis=1) if true.ndim == 2 else true
            answer = answer.argmax(axis=1)
        if known.any():
            sums[target.name] = statistics(target, true[known], answer[known])[0]
    values = _figures([target for target in targets if target.name in sums], sums)
    means = _means(targets, values)
    return values | {mean: float(np.mean([values[name] for name in names])) for mean, names in means.items()}


def score_names(targets: Sequence[Target], truth: Mapping[str, np.ndarray]) -> list[str]:
    """The names that `scores` gives, which the truth decides."""
    known = [target for target in targets if known_rows(np.asarray(truth[target.name])).any()]
    names = [name for target in known for name in _names(target)]
    return [*names, *_means(targets, names)]


def _names(target: Target) -> list[str]:
    if target.kind == "number":
        return [prefix(target) + name for name in NUMBER_METRICS]
    each = [f"{metric}.{name}" for metric in OF_EACH_CLASS for name in target.classes]
    return [prefix(target) + name for name in (*CLASS_METRICS, *each)]


def _figures(targets: Sequence[Target], sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The metrics of `_names`, target by target, from the sums over its rows; of all numbers at once, as a formula
    takes as long for one as for thirty."""
    numbers = [target.name for target in targets if target.kind == "number"]
    stacked = np.stack([sums[name] for name in numbers]) if numbers else np.empty((0, 10))
    of_numbers = np.stack([METRICS[name].estimate.of(stacked) for name in NUMBER_METRICS], axis=1)
    if np.isnan(of_numbers[:, 0]).any():
        logger.warning(UNDEFINED)
    values: dict[str, float] = {}
    for target in targets:
        counts = sums[target.name]
        if target.kind == "number":
            figures = of_numbers[numbers.index(target.name)]
        else:
            pooled = [METRICS[name].estimate.of(counts) for name in CLASS_METRICS]
            figures = np.concatenate([pooled, *(formula(counts) for formula in OF_EACH_CLASS.values())])
        values |= dict(zip(_names(target), figures.tolist(), strict=True))
    return values


def _means(targets: Sequence[Target], names: Collection[str]) -> dict[str, list[str]]:
    """What each mean is of: the numbers, or all targets, with a known row."""
    numbers = [target.name for target in targets if target.kind == "number" and target.name != "label"]
    known = {mean: [f"{name}.{mean}" for name in numbers if f"{name}.{mean}" in names] for mean in NUMBER_METRICS}
    if len(targets) > 1:
        own = [prefix(target) + ("ccc" if target.kind == "number" else "uar") for target in targets]
        known[SCORE] = [name for name in own if name in names]
    return {mean: averaged for mean, averaged in known.items() if averaged}


def default_monitor(targets: Sequence[Target]) -> str:
    """The column of the history that decides, where none is named: the UAR of classes, the mean CCC of numbers, the
    loss where there are both."""
    if all(target.kind == "number" for target in targets):
        return "val_ccc"
    if len(targets) > 1:
        return VAL_LOSS
    return "val_uar" if targets[0].name == "label" else f"val_{targets[0].name}.uar"


def monitor_of(stages: Sequence[Stage], targets: Sequence[Target]) -> str:
    """The column that decides in these stages, as it is called in the history, where there are validation rows."""
    asked = next((stage.monitor for stage in stages if stage.monitor), None) or default_monitor(targets)
    return asked if asked in (TRAIN_LOSS, VAL_LOSS) or asked.startswith("val_") else f"val_{asked}"


def higher_is_better(monitor: str) -> bool:
    """Whether a column of the history is better when it rises."""
    if monitor == f"val_{SCORE}":
        return True
    name = monitor.removeprefix("val_")
    if any(name.startswith(f"{each}.") or f".{each}." in name for each in OF_EACH_CLASS):
        return True
    metric = METRICS.get(name.rpartition(".")[2])
    return metric.higher_is_better if metric else False


def _judging(problem: Problem, rows: Examples) -> tuple[Sequence[Target], Mapping[str, np.ndarray], Any]:
    """The targets that get figures, their truth, and what makes answers of outputs."""
    judging, objective = problem.judging, problem.objective
    if judging is None:
        return objective.targets, rows.truth, objective.answers
    return judging.targets, judging.truth, judging.answers


@dataclass(frozen=True)
class Judge:
    """problem, settings: of the training. monitor: the column of the history that decides; None where nothing can, and
    the last epoch is the best."""

    problem: Problem
    settings: Settings
    monitor: str | None

    @classmethod
    def of(cls, problem: Problem, stages: Sequence[Stage], settings: Settings) -> Judge:
        """Raises "usage" where stages watch different columns, or one that the history will not have."""
        default = default_monitor(problem.objective.targets) if problem.judged is not None else ""
        columns = [TRAIN_LOSS]
        if problem.judged is not None:
            names = score_names(*(_judging(problem, problem.judged)[:2]))
            columns += [VAL_LOSS, *(f"val_{name}" for name in names)]
        asked = [stage.monitor or default for stage in stages]
        named = {f"val_{name}" if f"val_{name}" in columns else name for name in asked}
        if len(named) > 1:
            remedy = "let all watch one, by which weights are compared"
            raise AffectkitError("usage", f"stages watch {' and '.join(sorted(named))}", remedy=remedy)
        monitor = named.pop()
        if monitor and monitor not in columns:
            message = f"there is no {monitor} to watch, as the validation rows are"
            raise AffectkitError("usage", message, remedy=did_you_mean(monitor, columns))
        return cls(problem, settings, monitor or None)

    @property
    def higher(self) -> bool:
        """Whether a higher value is better."""
        return higher_is_better(self.monitor or "")

    def measure(self, network: Any, accelerator: Any) -> dict[str, float]:
        """Loss and metrics of the validation rows, over all of them at once; NaN where undefined."""
        rows, objective = self.problem.judged, self.problem.objective
        if rows is None:
            return {}
        outputs = outputs_of(network, rows, accelerator, **self.settings.answering)
        truth = {name: torch.from_numpy(np.asarray(values)) for name, values in rows.truth.items()}
        targets, known, answers = _judging(self.problem, rows)
        values = scores(targets, answers(outputs), known)
        figures = {VAL_LOSS: float(objective(outputs, truth))} | {f"val_{name}": v for name, v in values.items()}
        return {name: value if math.isfinite(value) else math.nan for name, value in figures.items()}

    def best(self, row: dict[str, Any], before: dict[str, Any] | None) -> bool:
        """Whether an epoch's weights are to be kept rather than those of the best one before.

        Without a monitor, or as long as it was never defined, the last epoch is the best.
        """
        if self.monitor is None or before is None or math.isnan(before[self.monitor]):
            return True
        return self.better(row[self.monitor], before[self.monitor])

    def better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        """Whether a monitored value improves on another by more than `by`; an undefined one never does."""
        if math.isnan(value) or than is None:
            return not math.isnan(value)
        return value > than + by if self.higher else value < than - by
