"""Fitting a network of fusion: what it starts from, the training, and whether it is any better, by rows that were not
fitted on."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.outputs import GroundTruth
from affectkit.distributed import one_thread
from affectkit.errors import AffectkitError
from affectkit.evaluation.rows import SMALLEST_PROBABILITY
from affectkit.evaluation.temperature import BOUND, fit_sharpness, logits, sharpened, softmax, total
from affectkit.fusion.ensemble import ranking, scorer
from affectkit.fusion.rule import Sources, SourceTable
from affectkit.fusion.rules._stacked import (
    CONSTANT,
    NumberStack,
    StackInputs,
    choose,
    class_row_weights,
    class_scores,
    inner_folds,
    linear,
)
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Problem, Settings, fit
from affectkit.training.objective import Objective, build_objective
from affectkit.training.problem import HEAD, Draw, Part
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)


# --- What a network of fusion starts from, is compared with, and falls back to: equal weights, or the best source


PRIORS = ("mean", "best")
Parameters = dict[str, Any]


def fit_priors(inputs: StackInputs, rows: GroundTruth, balanced: bool) -> dict[str, Parameters]:
    """Both, as stacking has them: `order` of the sources from the best, and `base`, the answer of a row that has
    tables only: how frequent classes are (alike, if balanced), or the mean truth."""
    number = inputs.ensemble.target.kind == "number"
    judge = scorer("mse" if number else "nll", inputs.ensemble.target, rows.truth)
    # Within a fold a source may have no row: then its place, the last, is a matter of names, not of what came first.
    order = [name for name, _ in ranking(replace(inputs.ensemble, as_named=inputs.ensemble.names), judge)]
    if number:
        base: Any = float(rows.truth.mean())
    else:
        codes, classes = rows.truth.astype(np.int64), inputs.ensemble.values.shape[2]
        counts = np.bincount(codes, class_row_weights(codes, balanced), minlength=classes)
        base = ((counts + 1.0) / (len(codes) + classes)).tolist()
    return {prior: {"prior": prior, "order": order, "base": base} for prior in PRIORS}


def prior_scores(prior: Mapping[str, Any], inputs: StackInputs) -> np.ndarray:
    """[C, N]: log-probabilities, or numbers; of rows without any source too."""
    if inputs.ensemble.target.kind == "number":
        return np.ascontiguousarray(NumberStack().predict({**prior, "ridge": None}, inputs).T)
    return class_scores({**prior, "slopes": None, "matrix": None}, inputs)


def answers_of(scores: np.ndarray, number: bool) -> np.ndarray:
    """[N, C] probabilities or numbers, of scores [C, N]."""
    return np.ascontiguousarray((scores if number else softmax(scores)).T)


def losses(answers: np.ndarray, truth: np.ndarray, number: bool) -> np.ndarray:
    """[N]: -log p of the true class, nats, or squared errors."""
    if number:
        return (answers[:, 0] - truth) ** 2
    of_truth = answers[np.arange(len(truth)), truth.astype(np.int64)]
    return -np.log(np.maximum(of_truth, SMALLEST_PROBABILITY))


def row_weights(truth: np.ndarray, number: bool, balanced: bool) -> np.ndarray:
    """[N], mean 1."""
    return np.ones(len(truth)) if number else class_row_weights(truth.astype(np.int64), balanced)


def better(priors: Sequence[Parameters], inputs: StackInputs, rows: GroundTruth, balanced: bool) -> Parameters:
    """Of priors, the one with less loss on the rows."""
    number = inputs.ensemble.target.kind == "number"
    weights = row_weights(rows.truth, number, balanced)

    def loss(prior: Parameters) -> float:
        return float(weights @ losses(answers_of(prior_scores(prior, inputs), number), rows.truth, number))

    return min(priors, key=loss)


# --- What a network of fusion is fitted on: rows, and the folds within them that say what it is worth


ALL = "all"  # the member that is fitted on all rows


@dataclass(frozen=True)
class InnerFolds:
    """inputs, rows: in an order that is the rows' own. columns: [P, N] standardised, NaN where missing.
    folds: [N] int. balanced: whether classes count alike."""

    inputs: StackInputs
    rows: GroundTruth
    columns: np.ndarray
    folds: np.ndarray
    balanced: bool

    @classmethod
    def of(cls, inputs: StackInputs, rows: GroundTruth, columns: np.ndarray, balanced: bool) -> InnerFolds:
        labels = rows.truth if inputs.ensemble.target.kind == "number" else rows.truth.astype(np.int64)
        return cls(inputs, rows, columns, inner_folds(rows, labels), balanced)

    @property
    def number(self) -> bool:
        return self.inputs.ensemble.target.kind == "number"

    def parts(self) -> list[tuple[str, np.ndarray]]:
        """Names and rows [N] bool of the members: all but a fold each, then all."""
        kept = [(f"fold-{fold}", self.folds != fold) for fold in np.unique(self.folds)]
        return [*kept, (ALL, np.full(len(self.folds), True))]

    def held_out(self, members: Sequence[np.ndarray]) -> np.ndarray:
        """[N, C]: each row's answer by the member that never saw its fold. members: [N, C] answers of each member."""
        found = np.empty_like(members[0])
        for fold, answers in zip(np.unique(self.folds), members[:-1], strict=True):
            found[self.folds == fold] = answers[self.folds == fold]
        return found

    def truth(self, own: np.ndarray) -> np.ndarray:
        """[N], of the rows `own` [N] bool and unknown of the others, as the training loop has it."""
        if self.number:
            return np.where(own, self.rows.truth, np.nan).astype(np.float32)
        return np.where(own, self.rows.truth, -1).astype(np.int64)

    def losses(self, answers: np.ndarray) -> np.ndarray:
        """[N], each row weighing what its class does."""
        weights = row_weights(self.rows.truth, self.number, self.balanced)
        return weights * losses(answers, self.rows.truth, self.number)


def fit_mlp(
    inputs: StackInputs, rows: GroundTruth, columns: np.ndarray, options: Mapping[str, Any], seed: int
) -> Parameters:
    """`prior`, `order` and `base`; `network`, None where it is no better; `temperature`; `search`: the candidates with
    their held-out losses; `history` of the training; `seed`.

    inputs, rows: in an order that is the rows' own. columns: [P, N] standardised, NaN where missing. What chooses is of
    rows that were not fitted on: the members of the inner folds say at which epoch the loss is least, then, each
    candidate at a temperature of its own, whether the rows can tell the network from equal weights or the best source
    (the 1-SE rule of `_stack.choose`), and the temperature.
    """

    balanced = options["class_weight"] == "balanced"
    if len(np.unique(rows.truth)) < 2:
        return {**_untold(inputs, rows, balanced), "seed": seed}
    inner = InnerFolds.of(inputs, rows, columns, balanced)
    each = [fit_priors(inputs.take(own), rows.take(own), balanced) for _, own in inner.parts()]
    candidates = [{**prior, "network": None} for prior in each[-1].values()]
    held_out = [inner.held_out([_answers(inner, priors[name]) for priors in each]) for name in each[-1]]
    history: list[dict[str, Any]] = []
    if trainable(inner):
        starts = [
            better(list(priors.values()), inputs.take(own), rows.take(own), balanced)
            for priors, (_, own) in zip(each, inner.parts(), strict=True)
        ]
        trained = train(inner, starts, options, seed)
        history = trained.history
        candidates.append({**starts[-1], "network": trained.network})
        held_out.append(inner.held_out(trained.answers))
    temperatures = [temperature(answers, inner) for answers in held_out]
    losses = [inner.losses(_at(answers, t)) for answers, t in zip(held_out, temperatures, strict=True)]
    taken = choose(losses, [0, 0, 1][: len(losses)])
    search = [_told(one, loss, history) for one, loss in zip(candidates, losses, strict=True)]
    found = {**candidates[taken], "temperature": temperatures[taken], "search": search, "history": history}
    return {**found, "seed": seed}


def _untold(inputs: StackInputs, rows: GroundTruth, balanced: bool) -> Parameters:
    """Equal weights, where all rows have one truth."""
    target = inputs.ensemble.target
    logger.warning("all %d fit rows have one %s: mlp is left at equal weights", len(rows), target.name)
    without = None if target.kind == "number" else 1.0
    prior = fit_priors(inputs, rows, balanced)["mean"]
    return {**prior, "network": None, "temperature": without, "search": [], "history": []}


def trainable(inner: InnerFolds) -> bool:
    """Whether there are columns, and two truths at least to tell apart in the rows of every member."""
    return bool(len(inner.columns)) and all(len(np.unique(inner.rows.truth[own])) > 1 for _, own in inner.parts())


def temperature(answers: np.ndarray, inner: InnerFolds) -> float | None:
    """Of held-out probabilities, at the least NLL; 1 where they are all right, or tell nothing of the truth: the rows
    then bound it on one side only. None for numbers."""
    if inner.number:
        return None
    sharpness = fit_sharpness(answers, inner.rows.truth.astype(np.int64))
    return 1.0 if sharpness in (BOUND, 1 / BOUND) else 1 / sharpness


def _at(answers: np.ndarray, temperature: float | None) -> np.ndarray:
    return answers if temperature is None else sharpened(answers, 1 / temperature)


def _answers(inner: InnerFolds, prior: Parameters) -> np.ndarray:
    return answers_of(prior_scores(prior, inner.inputs), inner.number)


def _told(candidate: Parameters, loss: np.ndarray, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A candidate in the search: its prior, the epochs that were trained, its held-out loss."""
    best = [row["epoch"] for row in history if row["best"]] if candidate["network"] else [0]
    return {"prior": candidate["prior"], "epochs": best[-1], "loss": float(loss.mean())}


# --- The columns that a network of fusion reads: probabilities and their logs, numbers, cells
#
# Of probabilities a network of few rows learns more, of their logs one of many: with two sources of 7 classes that each
# know some of them, networks of probabilities, of logs and of both gained .191, .186 and .193 of UAR over the better
# source from 300 rows, and .204, .216 and .213 from 5,000.


What = Literal["value", "log", "missing"]
Scaler = list[dict[str, Any]]  # of each column that is read: source, column, what, center, scale
Named = tuple[tuple[str, str, What], np.ndarray]  # source, column and what of it; [N] values
SOURCE = ""  # the column that stands for a source as a whole


@dataclass(frozen=True)
class FusionColumns:
    """inputs: the sources. names: of the columns of tables, by source."""

    inputs: StackInputs
    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, sources: Sources, rule: str) -> FusionColumns:
        names = {name: source.names for name, source in sources.items() if isinstance(source, SourceTable)}
        return cls(StackInputs.of(sources, rule), names)

    def in_order(self, rows: GroundTruth) -> tuple[FusionColumns, GroundTruth]:
        """Rows that have a source, in the order of what is in them. Raises "input" without any."""
        inputs, rows = self.inputs.in_order(rows)
        return FusionColumns(inputs, self.names), rows

    def fit_scaler(self) -> Scaler:
        """`center` (mean of what is known) and `scale` (its deviation) of every column that varies."""
        found = []
        for (source, column, what), values in self._all():
            known = values[~np.isnan(values)]
            with np.errstate(over="ignore"):
                center, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
            if CONSTANT * max(1.0, abs(center)) < scale < np.inf:  # no deviation is known of numbers beyond 1e154
                found.append({"source": source, "column": column, "what": what, "center": center, "scale": scale})
        return found

    def standardised(self, scaler: Scaler) -> np.ndarray:
        """[P, N], NaN where missing. Raises "input" for a table that lacks a column."""
        there = dict(self._all())
        found = np.empty((len(scaler), len(self.inputs.known)))
        for place, one in enumerate(scaler):
            values = there.get((one["source"], one["column"], one["what"]))
            if values is None:
                what = f"{one['source']} has no column '{one['column']}', which the fusion was fitted on"
                raise AffectkitError("input", what, remedy="give a table with the same columns")
            found[place] = (values - one["center"]) / one["scale"]
        return found

    def _all(self) -> Iterator[Named]:
        yield from self._answers()
        for source, cells in self.inputs.tables.items():
            missing = np.isnan(cells)
            gone = missing.all(axis=0)
            yield (source, SOURCE, "missing"), gone.astype(float)
            for name, values, own in zip(self.names[source], cells, missing, strict=True):
                yield (source, name, "value"), values
                yield (source, name, "missing"), (own & ~gone).astype(float)  # a gap in what is there

    def _answers(self) -> Iterator[Named]:
        """Of the sources of predictions; a log is less the mean of the logs of all classes."""
        of = self.inputs.ensemble
        names = of.target.classes or (of.target.name,)
        for source, shown, known in zip(of.names, of.shown(), of.known, strict=True):
            yield (source, SOURCE, "missing"), (~known).astype(float)
            yield from (((source, name, "value"), values) for name, values in zip(names, shown.T, strict=True))
            if of.target.kind != "number":
                logs = logits(shown)
                ratios = logs - total(logs) / len(logs)
                yield from (((source, name, "log"), values) for name, values in zip(names, ratios, strict=True))


# --- The networks of fusion, one for each set of rows that it is fitted on
#
# A network for every fold within the fit rows, which never sees the fold, and one for all of them are one network of as
# many targets: a row that a member may not see has no truth for its target. So all of them go through one training with
# the same batches, an epoch means the same to each, and the validation loss is that of cross-validation.


NO_SAY = 1e-6  # a column whose deviation over a member's rows is a smaller share of that over all has no say


@dataclass
class FusedRows:
    """N rows, each `passes` times, as `affectkit.training.problem.Examples` has them.

    columns: [N, P] float32, standardised over all of them, NaN where missing. start: [N, M, C] float32, what each
    member's answer is added to. truth: of each member, by its name.
    """

    ids: Sequence[str]
    costs: np.ndarray
    truth: Mapping[str, np.ndarray]
    columns: torch.Tensor
    start: torch.Tensor

    @classmethod
    def of(
        cls, columns: torch.Tensor, start: torch.Tensor, truth: Mapping[str, np.ndarray], *, passes: int = 1
    ) -> FusedRows:
        ids = [f"row {number}" for number in range(len(columns))] * passes
        repeated = {name: np.tile(values, passes) for name, values in truth.items()}
        return cls(ids, np.ones(len(ids)), repeated, columns, start)

    def load(self, position: int, draw: Draw | None) -> int:
        return position % self.columns.shape[0]

    def collate(self, items: list[int]) -> dict[str, torch.Tensor]:
        rows = torch.tensor(items)
        return {"columns": self.columns[rows], "start": self.start[rows]}


class FoldNetworks(nn.Module):
    """M networks with one hidden layer each and the same weights before training; their answers are 0 then.

    members: names, and which rows [N] bool each is fitted on. columns: [N, P], as in `FusedRows`.
    """

    center: torch.Tensor
    factor: torch.Tensor

    def __init__(
        self,
        members: Mapping[str, np.ndarray],
        columns: torch.Tensor,
        *,
        hidden: int,
        outputs: int,
        dropout: float,
        number: bool,
    ) -> None:
        super().__init__()
        self.names, self.number = list(members), number
        scales = [_scale(columns[torch.from_numpy(own)]) for own in members.values()]
        self.register_buffer("center", torch.stack([center for center, _ in scales])[:, None])
        self.register_buffer("factor", torch.stack([factor for _, factor in scales])[:, None])
        first = nn.Linear(columns.shape[1], hidden)  # for its way to draw weights
        count = len(members)
        self.hidden = nn.Parameter(first.weight.detach().T.repeat(count, 1, 1))
        self.head = nn.Parameter(torch.zeros(count, hidden, outputs))
        # One dimension, by which the optimiser knows what does not decay.
        self.hidden_bias = nn.Parameter(first.bias.detach().repeat(count))
        self.head_bias = nn.Parameter(torch.zeros(count * outputs))
        self.dropout = nn.Dropout(dropout)

    def forward(self, columns: torch.Tensor, start: torch.Tensor) -> dict[str, torch.Tensor]:
        count = len(self.names)
        own = torch.nan_to_num((columns - self.center) * self.factor)
        hidden = torch.relu(own @ self.hidden + self.hidden_bias.view(count, 1, -1))
        said = self.dropout(hidden) @ self.head + self.head_bias.view(count, 1, -1) + start.transpose(0, 1)
        return dict(zip(self.names, said[..., 0] if self.number else said, strict=True))

    def parts(self) -> list[Part]:
        return [("hidden", [self.hidden, self.hidden_bias]), (HEAD, [self.head, self.head_bias])]

    def plain(self, name: str) -> dict[str, Any]:
        """`hidden` and `head` of a member: `weights` [inputs][outputs] and `bias`."""
        place, count = self.names.index(name), len(self.names)
        layers = {"hidden": (self.hidden, self.hidden_bias), "head": (self.head, self.head_bias)}
        return {
            layer: {"weights": weights[place].tolist(), "bias": bias.view(count, -1)[place].tolist()}
            for layer, (weights, bias) in layers.items()
        }


def _scale(columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[P] means of what is known in [n, P] columns, and 1 / deviation; 0 for a column without any."""
    known = ~columns.isnan()
    count = known.sum(0).clamp_min(1)
    center = columns.nan_to_num().sum(0) / count
    deviation = ((columns - center).nan_to_num().square().sum(0) / count).sqrt()
    return center, torch.where(deviation > NO_SAY, 1 / deviation, 0.0)


# --- What a fitted network of fusion says, in numpy: a row's answer has the same bits alone as among others


def predict(parameters: Mapping[str, Any], given: FusionColumns) -> np.ndarray:
    """[N, C] probabilities before the temperature, or numbers held to their scale; NaN for rows without a source."""
    inputs, network = given.inputs, parameters["network"]
    target = inputs.ensemble.target
    scores = prior_scores(parameters, inputs)
    if network is not None:
        columns = np.nan_to_num(given.standardised(parameters["scaler"]))
        hidden = np.maximum(_layer(network["hidden"], columns), 0.0)
        scores = scores + network["unit"] * _layer(network["head"], hidden)
    found = answers_of(scores, target.kind == "number")
    if target.scale:
        found = np.clip(found, *target.scale)
    found[~inputs.known] = np.nan
    return found


def _layer(layer: Mapping[str, Any], features: np.ndarray) -> np.ndarray:
    return linear(features, np.array(layer["weights"])) + np.array(layer["bias"])[:, None]


# --- Training the members of a network of fusion, by the one training loop


PATIENCE = 10  # epochs without less held-out loss, after which no more are tried
# Held-out loss is looked at every so many steps or more, and every so many epochs or less: a look, with what the loop
# writes then, takes as long as a dozen steps, and of few rows an epoch is one step.
STEPS, EPOCHS = 10, 5
HISTORY = ("epoch", "step", "train_loss", "val_loss", "best")


@dataclass(frozen=True)
class TrainedNetwork:
    """network: of all rows, what JSON can hold. answers: [N, C] of every member, for all rows. history: a row for each
    look. All are of the epoch whose loss on the rows that the inner members never saw is least."""

    network: dict[str, Any]
    answers: list[np.ndarray]
    history: list[dict[str, Any]]


def train(inner: InnerFolds, priors: Sequence[Parameters], options: Mapping[str, Any], seed: int) -> TrainedNetwork:
    """priors: what each member starts from."""
    objective = _objective(inner)
    names = [target.name for target in objective.targets]
    units = [objective.scaling.get(name, (0.0, 1.0)) for name in names]
    starts = [prior_scores(prior, inner.inputs).T for prior in priors]
    start = np.stack([(own - mean) / unit for own, (mean, unit) in zip(starts, units, strict=True)], axis=1)
    columns, begin = (torch.from_numpy(values.astype(np.float32)) for values in (inner.columns.T, start))
    passes = passes_of(options["epochs"], -(-len(columns) // options["batch_size"]))
    seen, unseen = ({name: inner.truth(own == of) for name, own in inner.parts()} for of in (True, False))
    train, val = FusedRows.of(columns, begin, seen, passes=passes), FusedRows.of(columns, begin, unseen)
    with one_thread("torch"), torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        network = FoldNetworks(
            dict(inner.parts()), columns, hidden=options["hidden_size"], outputs=start.shape[2],
            dropout=options["dropout"], number=inner.number,
        )  # fmt: skip
        how = _settings(options, len(columns), seed)
        with _diverging():
            problem = Problem(network, train, val, objective)
            found = fit(problem, [_stage(options, passes)], how, Path(folder), open_accelerator("cpu"))
        network.eval().double()  # as the answers will be computed
        with torch.no_grad():
            answers = objective.answers(network(torch.from_numpy(inner.columns.T), torch.from_numpy(start)))
    history = [{name: row[name] for name in HISTORY} | {"epoch": row["epoch"] * passes} for row in found.history]
    fitted = {**network.plain(ALL), "unit": units[-1][1]}
    return TrainedNetwork(fitted, [answers[name].reshape(len(columns), -1) for name in names], history)


def _objective(inner: InnerFolds) -> Objective:
    """A target for each member."""
    target = inner.inputs.ensemble.target
    return build_objective(
        [replace(target, name=name) for name, _ in inner.parts()],
        {name: inner.truth(own) for name, own in inner.parts()},
        loss="mse" if inner.number else "cross-entropy",
        class_weight="balanced" if inner.balanced else "none",
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
