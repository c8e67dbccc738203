"""Networks on features: what turns them into answers; and the trunk of mlp and attention, which is a learned weighting
of layers, a projection, hidden layers, pooling over frames.

With a mean over frames and no hidden layer this is the head of SUPERB's emotion task (Yang et al. 2021): weighted sum
of layers, linear projection, mean, linear layer. Nothing in it but the pooling knows of time, so it then answers the
same for a clip's frames as for their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from affectkit.distributed import one_thread
from affectkit.estimators._estimator import Labels
from affectkit.estimators._network_inputs import Frames, Inputs
from affectkit.models.cumulative_link import CumulativeLink
from affectkit.models.speech_heads import AttentiveStatistics
from affectkit.training.problem import Draw

Pooling = Literal["mean", "attentive"]


@dataclass(frozen=True)
class Set:
    """Features as a network sees them. dim: D. layers: L, 0 where there are none. frames: whether they have time.
    name: where the network speaks of sets by name."""

    dim: int
    layers: int = 0
    frames: bool = False
    name: str = ""

    def facts(self) -> dict[str, Any]:
        """For a record; a name stands there only where there is one."""
        return {key: value for key, value in asdict(self).items() if key != "name" or value}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Set:
        """Raises ValueError or KeyError for what `facts` did not give."""
        return cls(int(facts["dim"]), int(facts["layers"]), bool(facts["frames"]), str(facts.get("name", "")))


class Form(Protocol):
    """What the options of an estimator say of its network, but for what it reads and answers."""

    def network(self, answers: Sequence[Answer], sets: Sequence[Set]) -> Answering: ...

    def check(self, sets: Sequence[Set], single: Sequence[bool]) -> None:
        """Raise "usage" for sets that no such network reads, and warn of what it cannot do with them. single: of each
        whether all rows have no more than one step."""

    def pairs(self, sets: Sequence[Set]) -> list[tuple[str, str]]:
        """Names of the set that asks and of the one asked, wherever there are steps to pay attention to."""


@dataclass(frozen=True)
class Layers:
    """The form of mlp and attention.

    hidden_size: of the projection, and of each hidden layer. hidden_layers: how many non-linear ones; with none, the
    projection is linear. dropout: after each hidden layer. pooling: of frames.
    """

    hidden_size: int
    hidden_layers: int
    dropout: float
    pooling: Pooling = "mean"

    def network(self, answers: Sequence[Answer], sets: Sequence[Set]) -> Answering:
        return Head(answers, sets, self)

    def check(self, sets: Sequence[Set], single: Sequence[bool]) -> None:
        """Any sets can stand side by side."""

    def pairs(self, sets: Sequence[Set]) -> list[tuple[str, str]]:
        return []


class LayerSum(nn.Module):
    """[..., L, D] -> [..., D]: the sum of layers under weights that are positive and add up to 1."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.einsum("l,...ld->...d", self.weights.softmax(dim=0), states)


class MeanPooling(nn.Module):
    """[B, T, D] -> [B, D]: the mean over the first `lengths` frames of each."""

    def forward(self, states: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        counts = torch.tensor(list(lengths), device=states.device)[:, None]
        valid = torch.arange(states.shape[1], device=states.device) < counts
        return states.masked_fill(~valid[..., None], 0.0).sum(dim=1) / counts


@dataclass(frozen=True)
class Answer:
    """What is said of a target. name: the target's. outputs: K logits, or 1 number. classes: names, by which first
    weights are drawn; none: in their order. levels: whether the classes are ordered. shares: [K] of them among the rows
    fitted on, as they are weighted, from which levels start."""

    name: str
    outputs: int
    classes: tuple[str, ...] = ()
    levels: bool = False
    shares: tuple[float, ...] | None = None

    def head(self, dim: int) -> nn.Module:
        """[B, dim] -> [B, K], or [B, 1] of a number."""
        return CumulativeLink(dim, self.outputs, self.shares) if self.levels else nn.Linear(dim, self.outputs)

    def named_head(self, dim: int) -> nn.Module:
        """The same with the weights of a class where its name would stand among those of all: so the order of the
        classes changes no answer. That of levels is what they mean."""
        head = self.head(dim)
        if isinstance(head, nn.Linear) and self.classes:
            places = np.argsort(np.argsort(self.classes))
            with torch.no_grad():
                head.weight.copy_(head.weight[places].clone())
                head.bias.copy_(head.bias[places].clone())
        return head


class Answering(nn.Module):
    """A trunk, which a subclass brings, and a head of each target on it.

    Of several targets, heads are drawn in the order of their names: neither the order of targets nor that of classes
    changes an answer, but for rounding.
    """

    head: nn.Module

    def __init__(self, answers: Sequence[Answer], sets: Sequence[Set]) -> None:
        super().__init__()
        self.answers, self.sets = tuple(answers), tuple(sets)
        self.sums = nn.ModuleList(LayerSum(features.layers) if features.layers else nn.Identity() for features in sets)

    def put_heads(self, dim: int) -> None:
        """On a trunk of this width: the last weights that are drawn."""
        several = len(self.answers) > 1
        drawn = {a.name: a.named_head(dim) for a in sorted(self.answers, key=lambda a: a.name) if several}
        self.head = nn.ModuleList(drawn[a.name] for a in self.answers) if drawn else self.answers[0].head(dim)

    def states(self, mixed: Sequence[torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """[B, dim], what the heads read. mixed: of each set [B, D] or padded frames [B, T, D], their layers summed."""
        raise NotImplementedError

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """[B, K] logits, or [B] of a number, of each target.

        inputs: `values0`, `values1`, ... of each set: [B, D], [B, L, D], or padded frames [B, T, D], [B, T, L, D] with
        `lengths0`, ...: [B] frames of each.
        """
        states = self.states(self.mixed(inputs), inputs)
        heads = self.head if isinstance(self.head, nn.ModuleList) else [self.head]
        scores = {answer.name: head(states) for answer, head in zip(self.answers, heads, strict=True)}
        return {name: values if values.shape[1] > 1 else values[:, 0] for name, values in scores.items()}

    def mixed(self, inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Of each set the weighted sum of its layers."""
        return [mix(inputs[f"values{place}"]) for place, mix in enumerate(self.sums)]

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Up to three: the weights of layers, what follows them, the heads."""
        layers, head = list(self.sums.parameters()), list(self.head.parameters())
        hidden = [p for name, p in self.named_parameters() if name.partition(".")[0] not in ("sums", "head")]
        return [part for part in [("layers", layers), ("hidden", hidden), ("head", head)] if part[1]]


class Head(Answering):
    """Of mlp and attention: sets of vectors stand side by side before the projection; each set of frames has a branch
    and a pooling of its own, and they stand side by side after it."""

    def __init__(self, answers: Sequence[Answer], sets: Sequence[Set], form: Layers) -> None:
        super().__init__(answers, sets)
        vectors = sum(features.dim for features in sets if not features.frames)
        inputs = [vectors] * bool(vectors) + [features.dim for features in sets if features.frames]
        self.branches = nn.ModuleList(_branch(dim, form) for dim in inputs)
        attentive, pools = form.pooling == "attentive", len(inputs) - bool(vectors)
        self.pools = nn.ModuleList(
            AttentiveStatistics(form.hidden_size) if attentive else MeanPooling() for _ in range(pools)
        )
        self.put_heads(form.hidden_size * (bool(vectors) + pools * (1 + attentive)))

    def states(self, mixed: Sequence[torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        vectors = [values for values, features in zip(mixed, self.sets, strict=True) if not features.frames]
        frames = [place for place, features in enumerate(self.sets) if features.frames]
        branches = iter(self.branches)
        pooled = [next(branches)(torch.cat(vectors, dim=1))] if vectors else []
        for place, branch, pool in zip(frames, branches, self.pools, strict=True):
            pooled.append(pool(branch(mixed[place]), inputs[f"lengths{place}"].tolist()))
        return torch.cat(pooled, dim=1)


def _branch(dim: int, form: Layers) -> nn.Sequential:
    """The projection and the hidden layers, the first of which is the projection's."""
    modules: list[nn.Module] = [nn.Linear(dim, form.hidden_size)]
    for number in range(form.hidden_layers):
        modules += [nn.Linear(form.hidden_size, form.hidden_size)] if number else []
        modules += [nn.ReLU(), nn.Dropout(form.dropout)]
    return nn.Sequential(*modules)


class InDraws(nn.Module):
    """A network that answers each row in several draws of its dropout: {target: [B, draws, ...]}.

    A draw lacks the same units in every row, and of a row in every frame, as if it were one of the weights (Gal and
    Ghahramani 2016): what it answers for a row depends on no other.
    """

    def __init__(self, network: Answering, draws: int) -> None:
        super().__init__()
        self.network, self.draws = network, draws

    @property
    def sets(self) -> tuple[Set, ...]:
        return self.network.sets

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        each = []
        for draw in range(self.draws):
            with _dropping(droppable(self.network), draw):
                each.append(self.network(**inputs))
        return {name: torch.stack([outputs[name] for outputs in each], dim=1) for name in each[0]}


def droppable(network: nn.Module) -> list[nn.Dropout]:
    """The layers of a network that drop units."""
    return [module for module in network.modules() if isinstance(module, nn.Dropout) and module.p]


@contextmanager
def _dropping(layers: Sequence[nn.Dropout], draw: int) -> Iterator[None]:
    """Within, layers in eval mode drop the units of a draw."""

    def drop(layer: nn.Dropout, _: Any, states: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(draw * len(layers) + layers.index(layer))
        kept = torch.rand(states.shape[-1], generator=generator).ge_(layer.p).to(states)
        return states * kept / (1 - layer.p)

    hooks = [layer.register_forward_hook(drop) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def build_head(answers: Sequence[Answer], sets: Sequence[Set], form: Form, seed: int) -> Answering:
    """A network whose first weights are a function of the seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return form.network(answers, sets)


# --- Rows of features as the training loop takes them


CHUNK = 256  # rows answered at once, of vectors
CHUNK_VALUES = 2**25  # and values, of frames with their padding: 128 MB


@dataclass(frozen=True)
class Rows:
    """The loop's `Examples`. truth: of none, where rows are only to be answered."""

    inputs: Inputs
    ids: Sequence[str]
    truth: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def costs(self) -> np.ndarray:
        return self.inputs.costs

    def load(self, position: int, draw: Draw | None) -> list[np.ndarray]:
        return self.inputs.row(position)

    def collate(self, items: list[list[np.ndarray]]) -> dict[str, torch.Tensor]:
        return self._tensors([list(values) for values in zip(*items, strict=True)])

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        return self._tensors(self.inputs.batch(rows))

    def _tensors(self, sets: Sequence[np.ndarray | list[np.ndarray]]) -> dict[str, torch.Tensor]:
        """`values0`, ... of each set and, of frames, which are padded, `lengths0`, ..."""
        batch: dict[str, torch.Tensor] = {}
        for place, (block, values) in enumerate(zip(self.inputs.blocks, sets, strict=True)):
            if isinstance(block, Frames):
                batch[f"lengths{place}"] = torch.tensor([len(value) for value in values])
                frames = [torch.from_numpy(value) for value in values]
                batch[f"values{place}"] = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)
            else:
                batch[f"values{place}"] = torch.from_numpy(np.asarray(values))
        return batch


def labelled_rows(inputs: Inputs, labels: Sequence[Labels], names: Sequence[str]) -> Rows:
    """Rows with the truth of the targets of these names."""
    ids = labels[0].ids
    known = [f"row {number}" for number in range(1, len(inputs) + 1)] if ids is None else list(ids)
    return Rows(inputs, known, {name: truth_of(own) for name, own in zip(names, labels, strict=True)})


def truth_of(labels: Labels) -> np.ndarray:
    """As the loop's `Examples` have it."""
    return labels.y if labels.classes else labels.y.astype(np.float32)


def sets_of(inputs: Inputs, names: Sequence[str] = ()) -> list[Set]:
    """What a network for these inputs must read. names: of the sets, where it speaks of them."""
    shapes = [(block.shape[1:], isinstance(block, Frames)) for block in inputs.blocks]
    named = zip(shapes, names or [""] * len(shapes), strict=True)
    return [Set(shape[-1], shape[0] if len(shape) > 1 else 0, frames, name) for (shape, frames), name in named]


def answered(network: Any, inputs: Inputs) -> dict[str, torch.Tensor]:
    """What a network on the CPU says of every row, [N, K] or [N] per target, whatever stands beside it in a batch."""
    from affectkit.training.judging import outputs_of

    rows = Rows(inputs, [str(number) for number in range(len(inputs))])
    per_frame = sum(features.dim * max(features.layers, 1) for features in network.sets if features.frames)
    most = CHUNK_VALUES / per_frame if per_frame else None
    with few_threads(network):
        return outputs_of(network, rows, _Here(), size=CHUNK, most_cost=most, finite=False)


def few_threads(network: Any) -> AbstractContextManager[None]:
    """One thread on the CPU for a network that reads vectors: its matrices are small. Frames are worth all threads."""
    return nullcontext() if any(features.frames for features in network.sets) else one_thread("torch")


@dataclass(frozen=True)
class _Here:
    """One process on the CPU, as Accelerate would describe it, whose real one is of the training under way."""

    process_index: int = 0
    num_processes: int = 1

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def autocast(self) -> Any:
        return nullcontext()
