"""Fitting a network of fusion: what it starts from, the training, and whether it is any better, by rows that were not
fitted on."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.arrays import checked
from affectkit.artifacts.outputs import GroundTruth
from affectkit.distributed import one_thread
from affectkit.errors import AffectkitError
from affectkit.evaluation.rows import SMALLEST_PROBABILITY
from affectkit.evaluation.temperature import BOUND, fit_sharpness, logits, sharpened, softmax, total
from affectkit.fusion.rules import _stacked
from affectkit.fusion.rules._stacked import NumberStack, Parameters, StackInputs, linear, row_weights
from affectkit.plain import without_nan
from affectkit.training.accelerating import open_accelerator
from affectkit.training.fit import Problem, Settings, fit
from affectkit.training.objective import build_objective
from affectkit.training.problem import HEAD, Draw, Judging, Part
from affectkit.training.stages import Stage

logger = logging.getLogger(__name__)


# --- What a network of fusion starts from, is compared with, and falls back to: equal weights, or the best source


def fit_priors(inputs: StackInputs, rows: GroundTruth, balanced: bool) -> list[Parameters]:
    """Both, as stacking has them. Within a fold a source may have no row: then its place, the last, is a matter of
    names, not of what came first."""
    ensemble = replace(inputs.ensemble, as_named=inputs.ensemble.names)
    return _stacked.fit_priors(replace(inputs, ensemble=ensemble), rows, balanced)


def prior_scores(prior: Mapping[str, Any], inputs: StackInputs) -> np.ndarray:
    """[C, N]: log-probabilities, or numbers; of rows without any source too."""
    if inputs.number:
        return np.ascontiguousarray(NumberStack().predict({**prior, "ridge": None}, inputs).T)
    return logits(_stacked.prior_answers({**prior}, inputs))


def answers_of(scores: np.ndarray, number: bool) -> np.ndarray:
    """[N, C] probabilities or numbers, of scores [C, N]."""
    return np.ascontiguousarray((scores if number else softmax(scores)).T)


def losses(answers: np.ndarray, truth: np.ndarray, number: bool) -> np.ndarray:
    """[N]: -log p of the true class, nats, or squared errors."""
    if number:
        return (answers[:, 0] - truth) ** 2
    of_truth = answers[np.arange(len(truth)), truth.astype(np.int64)]
    return -np.log(np.maximum(of_truth, SMALLEST_PROBABILITY))


# --- What a network of fusion is fitted on: rows, and the folds within them that say what it is worth


ALL = "all"  # the member that is fitted on all rows


@dataclass(frozen=True)
class InnerFolds:
    """inputs, rows: in an order that is the rows' own. columns: [P, N] standardised, NaN where missing.
    folds: [N] int. balanced: whether classes count alike; of numbers, no. gating: [P] bool, the columns of the source
    that gates the others, None without."""

    inputs: StackInputs
    rows: GroundTruth
    columns: np.ndarray
    folds: np.ndarray
    balanced: bool
    gating: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        inputs: StackInputs,
        rows: GroundTruth,
        columns: np.ndarray,
        balanced: bool,
        gating: np.ndarray | None = None,
    ) -> InnerFolds:
        labels = rows.truth if inputs.number else rows.truth.astype(np.int64)
        return cls(inputs, rows, columns, _stacked.inner_folds(rows, labels), balanced, gating)

    def parts(self) -> list[tuple[str, np.ndarray]]:
        """Names and rows [N] bool of the members: all but a fold each, then all."""
        kept = [(f"fold-{fold}", self.folds != fold) for fold in np.unique(self.folds)]
        return [*kept, (ALL, np.full(len(self.folds), True))]

    def held_out(self, members: Sequence[np.ndarray]) -> np.ndarray:
        """[N, C]: each row's answer by the member that never saw its fold. members: [N, C] answers of each member."""
        unseen = np.empty_like(members[0])
        for fold, answers in zip(np.unique(self.folds), members[:-1], strict=True):
            unseen[self.folds == fold] = answers[self.folds == fold]
        return unseen

    def truth(self, known: np.ndarray) -> np.ndarray:
        """[N], of the rows `known` [N] bool and unknown of the others, as the training loop has it."""
        if self.inputs.number:
            return np.where(known, self.rows.truth, np.nan).astype(np.float32)
        return np.where(known, self.rows.truth, -1).astype(np.int64)

    def truth_of_all(self) -> dict[str, np.ndarray]:
        """Of the target, by its name."""
        return {self.inputs.ensemble.target.name: self.truth(np.full(len(self.folds), True))}

    def prior_answers(self, prior: Parameters) -> np.ndarray:
        return answers_of(prior_scores(prior, self.inputs), self.inputs.number)

    def better(self, priors: Sequence[Parameters], part: np.ndarray) -> Parameters:
        """Of priors, the one with less loss on the rows of a member."""
        truth = self.rows.truth[part]
        weights = row_weights(truth, self.balanced)

        def loss(prior: Parameters) -> float:
            return float(weights @ losses(self.prior_answers(prior)[part], truth, self.inputs.number))

        return min(priors, key=loss)

    def temperature(self, answers: np.ndarray) -> float | None:
        """Of held-out probabilities, at the least NLL; 1 where they are all right, or tell nothing of the truth: the
        rows then bound it on one side only. None for numbers."""
        if self.inputs.number:
            return None
        sharpness = fit_sharpness(answers, self.rows.truth.astype(np.int64))
        return 1.0 if sharpness in (BOUND, 1 / BOUND) else 1 / sharpness


def fit_mlp(
    inputs: StackInputs,
    rows: GroundTruth,
    columns: np.ndarray,
    options: Mapping[str, Any],
    seed: int,
    gating: np.ndarray | None = None,
) -> Parameters:
    """`prior`, `order` and `base`; `network`, None where it is no better; `temperature`; `search`: the candidates with
    their held-out losses; `history` of the training; `seed`.

    inputs, rows, columns, gating: as `InnerFolds` has them. What chooses is of rows that were not fitted on: members of
    the inner folds say at which epoch the loss is least, then, each candidate at a temperature of its own, whether
    the rows can tell the network from equal weights or the best source (the 1-SE rule of `_stacked.choose`), and the
    temperature.
    """
    balanced = options["class_weight"] == "balanced" and not inputs.number
    if len(np.unique(rows.truth)) < 2:
        name, unscaled = inputs.ensemble.target.name, None if inputs.number else 1.0
        logger.warning("all %d fit rows have one %s: mlp is left at equal weights", len(rows), name)
        prior = fit_priors(inputs, rows, balanced)[0]
        return {**prior, "network": None, "temperature": unscaled, "search": [], "history": [], "seed": seed}
    inner = InnerFolds.of(inputs, rows, columns, balanced, gating)
    priors = [fit_priors(inputs.take(part), rows.take(part), balanced) for _, part in inner.parts()]
    candidates = [{**prior, "network": None} for prior in priors[-1]]
    held_out = [inner.held_out([inner.prior_answers(prior) for prior in alike]) for alike in zip(*priors, strict=True)]
    history: list[dict[str, Any]] = []
    # Of every member there must be columns, and two truths at least to tell apart.
    if len(columns) and all(len(np.unique(rows.truth[part])) > 1 for _, part in inner.parts()):
        starts = [inner.better(pair, part) for pair, (_, part) in zip(priors, inner.parts(), strict=True)]
        network, answers, history = train(inner, starts, options, seed)
        candidates.append({**starts[-1], "network": network})
        held_out.append(inner.held_out(answers))
    return {**_chosen(inner, candidates, held_out, history), "history": history, "seed": seed}


def _chosen(
    inner: InnerFolds, candidates: list[Parameters], held_out: list[np.ndarray], history: list[dict[str, Any]]
) -> Parameters:
    """The candidate that its held-out answers speak for, with its `temperature` and the `search`."""
    temperatures = [inner.temperature(answers) for answers in held_out]
    calibrated = [p if t is None else sharpened(p, 1 / t) for p, t in zip(held_out, temperatures, strict=True)]
    truth, weights = inner.rows.truth, row_weights(inner.rows.truth, inner.balanced)
    weighted = [weights * losses(answers, truth, inner.inputs.number) for answers in calibrated]
    chosen = _stacked.choose(weighted, [0, 0, 1][: len(weighted)])
    epochs = [0, *(row["epoch"] for row in history if row["best"])][-1]
    search = [
        {"prior": fit["prior"], "epochs": epochs if fit["network"] else 0, "loss": float(loss.mean())}
        for fit, loss in zip(candidates, weighted, strict=True)
    ]
    return {**candidates[chosen], "temperature": temperatures[chosen], "search": search}


# --- The columns that a network of fusion reads: probabilities and their logs, numbers, cells
#
# Of probabilities a network of few rows learns more, of their logs one of many: with two sources of 7 classes that each
# know some of them, networks of probabilities, of logs and of both gained .191, .186 and .193 of UAR over the better
# source from 300 rows, and .204, .216 and .213 from 5,000.


What = Literal["value", "log", "missing"]
Scaler = list[dict[str, Any]]  # of each column that is read: source, column, what, center, scale
Column = tuple[tuple[str, str, What], np.ndarray]  # source, column and what of it; [N] values
SOURCE = ""  # the column that stands for a source as a whole


def fit_scaler(inputs: StackInputs) -> Scaler:
    """`center` (mean of what is known) and `scale` (its deviation) of every column that varies."""
    scaler = []
    for (source, column, what), values in _columns(inputs):
        known = values[~np.isnan(values)]
        with np.errstate(over="ignore"):
            center, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
        if _stacked.CONSTANT * max(1.0, abs(center)) < scale < np.inf:  # of numbers beyond 1e154 no deviation is known
            scaler.append({"source": source, "column": column, "what": what, "center": center, "scale": scale})
    return scaler


def standardised(inputs: StackInputs, scaler: Scaler) -> np.ndarray:
    """[P, N], NaN where missing. Raises "input" for a table that lacks a column."""
    columns = dict(_columns(inputs))
    scaled = np.empty((len(scaler), len(inputs.known)))
    for place, column in enumerate(scaler):
        values = columns.get((column["source"], column["column"], column["what"]))
        if values is None:
            message = f"{column['source']} has no column '{column['column']}', which the fusion was fitted on"
            raise AffectkitError("input", message, remedy="give a table with the same columns")
        scaled[place] = (values - column["center"]) / column["scale"]
    return scaled


def _columns(inputs: StackInputs) -> Iterator[Column]:
    """Of the sources of predictions, where a log is less the mean of the logs of all classes; then of the tables."""
    ensemble = inputs.ensemble
    names = ensemble.target.classes or (ensemble.target.name,)
    for source, shown, known in zip(ensemble.names, ensemble.shown(), ensemble.known, strict=True):
        yield (source, SOURCE, "missing"), (~known).astype(float)
        yield from (((source, name, "value"), values) for name, values in zip(names, shown.T, strict=True))
        if not inputs.number:
            logs = logits(shown)
            ratios = logs - total(logs) / len(logs)
            yield from (((source, name, "log"), values) for name, values in zip(names, ratios, strict=True))
    for source, cells in inputs.tables.items():
        missing = np.isnan(cells)
        gone = missing.all(axis=0)
        yield (source, SOURCE, "missing"), gone.astype(float)
        for name, values, gaps in zip(inputs.columns[source], cells, missing, strict=True):
            yield (source, name, "value"), values
            yield (source, name, "missing"), (gaps & ~gone).astype(float)  # a gap in what is there


def gating(scaler: Scaler, source: str) -> np.ndarray | None:
    """[P] bool: the columns of the source that gates the others; None for "", and where there is nothing to gate with,
    or by."""
    of_source = np.array([column["source"] == source for column in scaler], bool)
    return of_source if of_source.any() and not of_source.all() else None


# --- The networks of fusion, one for each set of rows that it is fitted on
#
# A network for every fold within the fit rows, which never sees the fold, and one for all of them are one network of as
# many targets: a row that a member may not see has no truth for its target. So all of them go through one training with
# the same batches, an epoch means the same to each, and the validation loss is that of cross-validation.


GATE_SIZE = 32  # hidden units of a gate
NO_SAY = 1e-6  # a column whose deviation over a member's rows is a smaller share of that over all has no say


class FusedRows:
    """N rows, each `passes` times, as `affectkit.training.problem.Examples` has them.

    columns: [N, P] float32, standardised over all of them, NaN where missing. start: [N, M, C] float32, what each
    member's answer is added to. truth: of each member, by its name.
    """

    def __init__(
        self, columns: torch.Tensor, start: torch.Tensor, truth: Mapping[str, np.ndarray], passes: int = 1
    ) -> None:
        self.columns, self.start = columns, start
        self.ids = [f"row {number}" for number in range(len(columns))] * passes
        self.costs = np.ones(len(self.ids))
        self.truth = {name: np.tile(values, passes) for name, values in truth.items()}

    def load(self, position: int, draw: Draw | None) -> int:
        return position % len(self.columns)

    def collate(self, items: list[int]) -> dict[str, torch.Tensor]:
        return self.batch(np.array(items))

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        places = torch.from_numpy(rows % len(self.columns))
        return {"columns": self.columns[places], "start": self.start[places]}


class FoldNetworks(nn.Module):
    """M networks with one hidden layer each and the same weights before training; their answers are 0 then.

    members: names, and which rows [N] bool each is fitted on. columns: [N, P], as in `FusedRows`. gating: [P] bool, the
    columns by which a layer of its own, ReLU, another and a sigmoid multiply the others; None for no gate.
    """

    center: torch.Tensor
    factor: torch.Tensor

    def __init__(
        self,
        members: Mapping[str, np.ndarray],
        columns: torch.Tensor,
        hidden: int,
        outputs: int,
        dropout: float,
        gating: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.names = list(members)
        scales = [_scale(columns[torch.from_numpy(rows)]) for rows in members.values()]
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
        self.gating = None if gating is None else torch.from_numpy(gating)
        self.gate = nn.ParameterDict()
        if gating is not None:
            layers = {"hidden": (int(gating.sum()), GATE_SIZE), "head": (GATE_SIZE, int((~gating).sum()))}
            for name, sizes in layers.items():
                layer = nn.Linear(*sizes)
                self.gate[name] = nn.Parameter(layer.weight.detach().T.repeat(count, 1, 1))
                self.gate[f"{name}_bias"] = nn.Parameter(layer.bias.detach().repeat(count))

    def forward(self, columns: torch.Tensor, start: torch.Tensor) -> dict[str, torch.Tensor]:
        count = len(self.names)
        scaled = torch.nan_to_num((columns - self.center) * self.factor)
        scaled = scaled if self.gating is None else self._gated(scaled)
        hidden = torch.relu(scaled @ self.hidden + self.hidden_bias.view(count, 1, -1))
        scores = self.dropout(hidden) @ self.head + self.head_bias.view(count, 1, -1) + start.transpose(0, 1)
        number = scores.shape[2] == 1  # a class target has two at least
        return dict(zip(self.names, scores[..., 0] if number else scores, strict=True))

    def _gated(self, columns: torch.Tensor) -> torch.Tensor:
        """[M, N, P] columns, those of the others multiplied by what the gating ones say."""
        count = len(self.names)
        inner = columns[..., self.gating] @ self.gate["hidden"] + self.gate["hidden_bias"].view(count, 1, -1)
        share = torch.sigmoid(torch.relu(inner) @ self.gate["head"] + self.gate["head_bias"].view(count, 1, -1))
        assert self.gating is not None
        gated = columns.clone()
        gated[..., ~self.gating] = columns[..., ~self.gating] * share
        return gated

    def parts(self) -> list[Part]:
        return [("hidden", [self.hidden, self.hidden_bias, *self.gate.values()]), (HEAD, [self.head, self.head_bias])]

    def plain(self, name: str) -> dict[str, Any]:
        """`hidden` and `head` of a member: `weights` [inputs][outputs] and `bias`; `gate` has both of the gate."""
        place, count = self.names.index(name), len(self.names)

        def layers(hidden: Any, hidden_bias: Any, head: Any, head_bias: Any) -> dict[str, Any]:
            return {
                layer: {"weights": weights[place].tolist(), "bias": bias.view(count, -1)[place].tolist()}
                for layer, weights, bias in (("hidden", hidden, hidden_bias), ("head", head, head_bias))
            }

        gate = {"gate": layers(**self.gate)} if self.gate else {}
        return {**layers(self.hidden, self.hidden_bias, self.head, self.head_bias), **gate}


def _scale(columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[P] means of what is known in [n, P] columns, and 1 / deviation; 0 for a column without any."""
    known = ~columns.isnan()
    count = known.sum(0).clamp_min(1)
    center = columns.nan_to_num().sum(0) / count
    deviation = ((columns - center).nan_to_num().square().sum(0) / count).sqrt()
    return center, torch.where(deviation > NO_SAY, 1 / deviation, 0.0)


# --- What a fitted network of fusion says, in numpy: a row's answer has the same bits alone as among others


LARGEST_EXPONENT = 500.0


def predict(parameters: Mapping[str, Any], inputs: StackInputs) -> np.ndarray:
    """[N, C] probabilities before the temperature, or numbers held to their scale; NaN for rows without a source."""
    scores, network = prior_scores(parameters, inputs), parameters["network"]
    if network is not None:
        columns = _gated(network, parameters["scaler"], np.nan_to_num(standardised(inputs, parameters["scaler"])))
        hidden = np.maximum(_layer(network["hidden"], columns), 0.0)
        scores = scores + network["unit"] * _layer(network["head"], hidden)
    answers = answers_of(scores, inputs.number)
    if inputs.ensemble.target.scale:
        answers = np.clip(answers, *inputs.ensemble.target.scale)
    answers[~inputs.known] = np.nan
    return _stacked.keep_unseen({**parameters}, inputs, answers)


def _gated(network: Mapping[str, Any], scaler: Scaler, columns: np.ndarray) -> np.ndarray:
    """[P, N] columns, those of the other sources multiplied by what the gate, if there is one, says."""
    if "gate" not in network:
        return columns
    gate, by = network["gate"], gating(scaler, network["gate"]["source"])
    if by is None:
        raise ValueError("the gate is of no source")
    inner = np.maximum(_layer(gate["hidden"], columns[by]), 0.0)
    share = _layer(gate["head"], inner)
    if len(share) != (~by).sum():
        raise ValueError(f"the gate is of {len(share)} inputs, not {(~by).sum()}")
    gated = columns.copy()
    gated[~by] *= 1 / (1 + np.exp(-np.clip(share, -LARGEST_EXPONENT, LARGEST_EXPONENT)))
    return gated


def _layer(layer: Mapping[str, Any], features: np.ndarray) -> np.ndarray:
    weights = checked("weights", layer["weights"], [len(features), None])
    return linear(features, weights) + checked("bias", layer["bias"], [weights.shape[1]])[:, None]


# --- Training the members of a network of fusion, by the one training loop


PATIENCE = 10  # epochs without less held-out loss, after which no more are tried
# Held-out loss is looked at every so many steps or more, and every so many epochs or less: a look, with what the loop
# writes then, takes as long as a dozen steps, and of few rows an epoch is one step.
STEPS, EPOCHS = 10, 5
HISTORY = ("epoch", "step", "train_loss", "val_loss", "best")


class TrainedNetwork(NamedTuple):
    """network: of all rows, what JSON can hold. answers: [N, C] of every member, for all rows. history: a row for each
    look. All are of the epoch whose loss on the rows that the inner members never saw is least."""

    network: dict[str, Any]
    answers: list[np.ndarray]
    history: list[dict[str, Any]]


def train(inner: InnerFolds, priors: Sequence[Parameters], options: Mapping[str, Any], seed: int) -> TrainedNetwork:
    """priors: what each member starts from. Raises "input" where the loss is not finite."""
    members, number = dict(inner.parts()), inner.inputs.number
    seen, unseen = ({name: inner.truth(rows == side) for name, rows in members.items()} for side in (True, False))
    weight, loss = ("balanced" if inner.balanced else "none"), ("mse" if number else "cross-entropy")
    targets = [replace(inner.inputs.ensemble.target, name=name) for name in members]
    objective = build_objective(targets, seen, loss=loss, class_weight=weight)
    units = [objective.scaling.get(name, (0.0, 1.0)) for name in members]
    scores = [prior_scores(prior, inner.inputs).T for prior in priors]
    start = np.stack([(values - mean) / unit for values, (mean, unit) in zip(scores, units, strict=True)], axis=1)
    columns, begin = (torch.from_numpy(values.astype(np.float32)) for values in (inner.columns.T, start))
    passes = passes_of(options["epochs"], -(-len(columns) // options["batch_size"]))
    rows = FusedRows(columns, begin, seen, passes), FusedRows(columns, begin, unseen)
    with one_thread("torch"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = options["hidden_size"], start.shape[2], options["dropout"]
        network = FoldNetworks(members, columns, *sizes, inner.gating)
        judging = Judging([inner.inputs.ensemble.target], inner.truth_of_all(), partial(_pooled, inner, units))
        history = _fit(Problem(network, *rows, objective, judging=judging, passes=passes), options, seed)
        network.eval().double()  # as the answers will be computed
        with torch.no_grad():
            outputs = objective.answers(network(torch.from_numpy(inner.columns.T), torch.from_numpy(start)))
    answers = [outputs[name].reshape(len(columns), -1) for name in members]
    plain = network.plain(ALL)
    if "gate" in plain:
        plain["gate"]["source"] = options["gate"]
    return TrainedNetwork({**plain, "unit": units[-1][1]}, answers, history)


def _pooled(
    inner: InnerFolds, units: Sequence[tuple[float, float]], outputs: Mapping[str, torch.Tensor]
) -> dict[str, np.ndarray]:
    """Each row's answer by the member that never saw it, as `Objective.answers` would give those of a target.

    units: mean and deviation of each member. outputs: [N, C] or [N] of each.
    """
    target, member = inner.inputs.ensemble.target, np.unique(inner.folds, return_inverse=True)[1]
    stacked = torch.stack([values for name, values in outputs.items() if name != ALL])
    chosen = stacked[torch.from_numpy(member), torch.arange(len(member))].double()
    if not inner.inputs.number:
        return {target.name: chosen.softmax(dim=1).numpy()}
    mean, deviation = np.array(units)[member].T
    return {target.name: np.clip(mean + deviation * chosen.numpy(), *(target.scale or (-np.inf, np.inf)))}


def _fit(problem: Problem, options: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """The history. Without clipping: the gradient's norm is that of all members together."""
    passes = problem.passes
    stage = Stage(
        "mlp", epochs=options["epochs"] // passes, learning_rate=str(options["learning_rate"]), schedule="constant",
        patience=-(-PATIENCE // passes), monitor="val_loss",
    )  # fmt: skip
    size, decay = min(options["batch_size"], len(problem.train.ids) // passes), options["weight_decay"]
    settings = Settings(batch_size=size, clip=0.0, weight_decay=decay, seed=seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            trained = fit(problem, [stage], settings, Path(folder), open_accelerator("cpu"))
    except AffectkitError as error:
        if error.code != "input":
            raise
        # A loss that is not finite is told by the ids of its rows, and these have none.
        raise AffectkitError("input", "mlp: its training diverges", remedy="lower --learning-rate") from error
    return [
        without_nan({name: row[name] for name in row if name in HISTORY or name.startswith("val_")})
        for row in trained.history
    ]


def passes_of(epochs: int, steps: int) -> int:
    """Epochs from one look to the next: a divisor of `epochs`. steps: of an epoch."""
    most = min(EPOCHS, -(-STEPS // steps))
    return max(passes for passes in range(1, most + 1) if epochs % passes == 0)
