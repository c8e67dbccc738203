"""The trunk of cross-attention: sets of features that ask each other, or that are gated, or stand side by side.

A set that asks does so once for each row: by its vector, or by the mean of its steps. Scaled dot products with the
steps of another set say how much each of these counts, in several heads (Vaswani et al. 2017, section 3.2); what is
read is added to what asked.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.estimators._network import Answer, Answering, Set

logger = logging.getLogger(__name__)

ALL, FIRST = "all", "first"
MOST_READERS = 256  # in a network: of 16 sets that all ask each other; to build them takes seconds
Join = Literal["cross-attention", "gated", "concat"]
Positions = Literal["sinusoidal", "none"]
Norm = Literal["none", "layer", "batch"]


@dataclass(frozen=True)
class Crossing:
    """The form of cross-attention.

    query: names of the sets that attend, or `ALL`, or `FIRST`. width: of each set's projection. head_size: of the
    queries and keys of a head, and of what it reads. hidden_size: of the layer after the join. norm: of each
    set that attends and what it read, over its units ("layer"), and then of each unit over a batch ("batch"). note:
    what is logged before training.
    """

    join: Join
    query: tuple[str, ...]
    heads: int
    width: int
    head_size: int
    hidden_size: int
    dropout: float
    positions: Positions
    norm: Norm = "none"
    note: str = ""

    def network(self, answers: Sequence[Answer], sets: Sequence[Set]) -> CrossNetwork:
        """Raises "usage" for more sets than can read each other."""
        self._check_readers(sets)
        return CrossNetwork(answers, sets, self)

    def _check_readers(self, sets: Sequence[Set]) -> None:
        count = len(self.asking(sets)) * (len(sets) - 1)
        if self.join == "cross-attention" and count > MOST_READERS:
            what = f"{len(sets)} sets would attend to each other in {count} pairs, and {MOST_READERS} is the most"
            raise AffectkitError("usage", what, remedy="name fewer sets with --query")

    def asking(self, sets: Sequence[Set]) -> list[int]:
        """Places of the sets that attend to others."""
        if self.query in ((ALL,), (FIRST,)):
            return list(range(len(sets) if self.query == (ALL,) else 1))
        return [place for place, features in enumerate(sets) if features.name in self.query]

    def pairs(self, sets: Sequence[Set]) -> list[tuple[str, str]]:
        if self.join != "cross-attention":
            return []
        asked = [features for features in sets if features.frames]
        return [(sets[place].name, b.name) for place in self.asking(sets) for b in asked if b is not sets[place]]

    def check(self, sets: Sequence[Set], single: Sequence[bool]) -> None:
        names = [features.name for features in sets]
        if len(sets) < 2:
            remedy = "name more with --features, such as --features static=FOLDER --features dynamic=FOLDER"
            raise AffectkitError(
                "usage", "cross-attention joins two sets of features or more: there is one", remedy=remedy
            )
        if self.note:
            logger.info("%s", self.note)
        if self.join != "cross-attention":
            return
        for name in self.query:
            if name not in (*names, ALL, FIRST):
                remedy = did_you_mean(name, names)
                raise AffectkitError("usage", f"--query: no set of features is called '{name}'", remedy=remedy)
        if self.query in ((ALL,), (FIRST,)) and self.query[0] in names:
            what = f"--query {self.query[0]} is a word of its own, and a set of features is called so too"
            raise AffectkitError("usage", what, remedy="give the set another name")
        self._check_readers(sets)
        asking = self.asking(sets)
        asked = [place for place in range(len(sets)) if asking != [place]]
        if all(single[place] for place in asked):
            what = "%s: one step per row, so attention has nothing to choose from; --join concat can express the same "
            logger.warning(what + "with fewer weights", ", ".join(names[place] for place in asked))
            return
        for place in asked:
            if single[place]:
                what = "%s has one step per row: attention to it has nothing to choose from, and its weights are 1"
                logger.warning(what, names[place])


@dataclass(frozen=True)
class Steps:
    """What a set says of B rows. values: [B, T, W] of each step, 0 where a row has none. shares: [B, T], each step's
    share of a mean over the row's. single: whether a row is one vector."""

    values: torch.Tensor
    shares: torch.Tensor
    single: bool = False

    @classmethod
    def of(cls, values: torch.Tensor, lengths: torch.Tensor | None) -> Steps:
        """values: [B, D], or padded [B, T, D] with `lengths` [B]."""
        if lengths is None:
            return cls(values[:, None], values.new_ones(len(values), 1), single=True)
        valid = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        return cls(values.masked_fill(~valid[..., None], 0.0), valid / lengths[:, None])

    @property
    def mean(self) -> torch.Tensor:
        """[B, W]."""
        return torch.einsum("bt,btw->bw", self.shares, self.values)


class CrossNetwork(Answering):
    """Each set is projected to one width; sets are joined; a hidden layer and the heads follow."""

    def __init__(self, answers: Sequence[Answer], sets: Sequence[Set], form: Crossing) -> None:
        super().__init__(answers, sets)
        self.projections = nn.ModuleList(nn.Linear(features.dim, form.width) for features in sets)
        self.join = JOINS[form.join](sets, form)
        self.after = nn.Sequential(
            *[nn.BatchNorm1d(self.join.width)] * (form.norm == "batch"),
            nn.Dropout(form.dropout),
            nn.Linear(self.join.width, form.hidden_size),
            nn.ReLU(),
        )
        for module in (*self.projections.modules(), *self.join.modules()):
            if isinstance(module, nn.Linear):
                _draw(module)
        self.put_heads(form.hidden_size)

    def states(self, mixed: Sequence[torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.after(self.join(self._steps(mixed, inputs)))

    def attention(self, inputs: Mapping[str, torch.Tensor]) -> dict[tuple[str, str], torch.Tensor]:
        """[B, T, H] weights by (set that asks, set that is asked), 0 where a row has no step; of sets with steps to
        choose from, {} of other joins."""
        if not isinstance(self.join, CrossAttention):
            return {}
        steps, names = self._steps(self.mixed(inputs), inputs), [features.name for features in self.sets]
        weights = self.join.attention(steps)
        return {(names[asks], names[asked]): weights[asks, asked] for asks, asked in weights}

    def _steps(self, mixed: Sequence[torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> list[Steps]:
        projected = [projection(values) for projection, values in zip(self.projections, mixed, strict=True)]
        return [Steps.of(values, inputs.get(f"lengths{place}")) for place, values in enumerate(projected)]


def _draw(layer: nn.Linear) -> None:
    """First weights that keep a signal's variance (Glorot and Bengio 2010), as the published network has them. Torch's
    own keep a third of it, and scores of queries with keys start close to 0: in 240 rows of four steps, of which a row
    asks for one by what it holds, four of eight trainings did not find it (CCC below .6); with these, one did not."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


# --- Joins: each set's steps in, [B, width] out


class CrossAttention(nn.Module):
    """Every set of `asking` attends to every other one. What comes out of it is its own mean, plus what it read of all
    others, normalised where that is asked for; these stand side by side."""

    def __init__(self, sets: Sequence[Set], form: Crossing) -> None:
        super().__init__()
        self.asking, self.positions = form.asking(sets), form.positions == "sinusoidal"
        asked = {a: [b for b in range(len(sets)) if b != a] for a in self.asking}
        self.readers = nn.ModuleDict(
            {f"{a}-{b}": Reader(form, choosing=sets[b].frames) for a, others in asked.items() for b in others}
        )
        self.norms = nn.ModuleDict({str(a): _norm(form) for a in self.asking})
        self.width = form.width * len(self.asking)

    def forward(self, sets: Sequence[Steps]) -> torch.Tensor:
        means, marks = [steps.mean for steps in sets], self._marks(sets)
        read = {a: means[a] for a in self.asking}
        for a, b, reader in self._each():
            read[a] = read[a] + reader(means[a], sets[b], marks[b])
        return torch.cat([self.norms[str(a)](states) for a, states in read.items()], dim=1)

    def attention(self, sets: Sequence[Steps]) -> dict[tuple[int, int], torch.Tensor]:
        """[B, T, H] by places of the set that asks, and of the one asked, where that has steps."""
        means, marks = [steps.mean for steps in sets], self._marks(sets)
        chosen = [(a, b, reader) for a, b, reader in self._each() if not sets[b].single]
        return {(a, b): reader.weights(means[a], sets[b], marks[b]) for a, b, reader in chosen}

    def _each(self) -> Iterator[tuple[int, int, Reader]]:
        """Places of the set that asks and of the one asked, and how it reads."""
        for name, reader in self.readers.items():
            a, b = map(int, name.split("-"))
            yield a, b, cast(Reader, reader)

    def _marks(self, sets: Sequence[Steps]) -> list[torch.Tensor | None]:
        return [sinusoids(steps) if self.positions and not steps.single else None for steps in sets]


def _norm(form: Crossing) -> nn.Module:
    """Of a set and what it read. None by default: what a head read that is of no use to a target scales all else that
    the set says. With a layer norm, traits of a twin of First Impressions' arrays that need no attention lost .005 to
    .021 of CCC to sets side by side (1,800 rows, width 128, 30 epochs); without, .010 at most."""
    if form.norm == "none":
        return nn.Identity()
    affine = form.norm != "batch"  # batch norm undoes what scales or shifts a unit before it
    return nn.LayerNorm(form.width, elementwise_affine=affine)


class Reader(nn.Module):
    """How one set reads another: multi-head attention with one query of each row.

    A key has no constant, which the softmax cancels. With one query, W_k x . q = x . (W_k' q), so that keys and values
    of single steps are never computed. What a step holds and where it is have keys of their own (Ke et al. 2021): added
    to each other beforehand, the one is noise to a head that looks for the other. choosing: whether there are steps to
    choose from; where a row is one vector, its weight is 1, and there are no queries and keys.
    """

    def __init__(self, form: Crossing, *, choosing: bool) -> None:
        super().__init__()
        self.heads, inner = form.heads, form.heads * form.head_size
        self.query = nn.Linear(form.width, inner) if choosing else None
        self.key = nn.Linear(form.width, inner, bias=False) if choosing else None
        placed = choosing and form.positions == "sinusoidal"
        self.place = nn.Linear(4 * WAVES, inner, bias=False) if placed else None
        self.value = nn.Linear(form.width, inner)
        self.out = nn.Linear(inner, form.width)

    def forward(self, asks: torch.Tensor, steps: Steps, marks: torch.Tensor | None) -> torch.Tensor:
        """[B, W] of what asks, [B, W]."""
        weights = self.weights(asks, steps, marks)
        read = torch.einsum("bth,btw->bhw", weights, steps.values)
        value = self.value.weight.unflatten(0, (self.heads, -1))
        values = torch.einsum("bhw,hdw->bhd", read, value).flatten(1) + self.value.bias
        return self.out(values)

    def weights(self, asks: torch.Tensor, steps: Steps, marks: torch.Tensor | None) -> torch.Tensor:
        """[B, T, H], over the steps of each row 1 in sum. marks: [B, T, 4 WAVES], of where steps are."""
        if self.query is None or self.key is None:
            return steps.shares[..., None].expand(-1, -1, self.heads)
        queries = self.query(asks).unflatten(1, (self.heads, -1)) / math.sqrt(self.key.out_features / self.heads)
        scores = self._scores(queries, self.key, steps.values)
        if self.place is not None and marks is not None:
            scores = scores + self._scores(queries, self.place, marks)
        return scores.masked_fill((steps.shares == 0)[..., None], -torch.inf).softmax(dim=1)

    def _scores(self, queries: torch.Tensor, keys: nn.Linear, steps: torch.Tensor) -> torch.Tensor:
        """[B, T, H] products of queries [B, H, d] with the keys of steps [B, T, W]."""
        wanted = torch.einsum("bhd,hdw->bhw", queries, keys.weight.unflatten(0, (self.heads, -1)))
        return torch.einsum("bhw,btw->bth", wanted, steps)


class Gated(nn.Module):
    """A gated unit (Arevalo et al. 2017): of each set's mean its tanh, in shares of 0 to 1 that all sets decide, unit
    by unit."""

    def __init__(self, sets: Sequence[Set], form: Crossing) -> None:
        super().__init__()
        self.width = form.width
        self.gates = nn.Linear(form.width * len(sets), form.width * len(sets))

    def forward(self, sets: Sequence[Steps]) -> torch.Tensor:
        means = torch.stack([steps.mean for steps in sets], dim=1)
        shares = self.gates(means.flatten(1)).unflatten(1, means.shape[1:]).softmax(dim=1)
        return (shares * means.tanh()).sum(dim=1)


class Concat(nn.Module):
    """Each set's mean, side by side."""

    def __init__(self, sets: Sequence[Set], form: Crossing) -> None:
        super().__init__()
        self.width = form.width * len(sets)

    def forward(self, sets: Sequence[Steps]) -> torch.Tensor:
        return torch.cat([steps.mean for steps in sets], dim=1).relu()


JOINS: dict[str, type[CrossAttention] | type[Gated] | type[Concat]] = {
    "cross-attention": CrossAttention,
    "gated": Gated,
    "concat": Concat,
}


WAVES = 8  # of each kind; more of them than a row has steps tell places apart that are one


def sinusoids(steps: Steps) -> torch.Tensor:
    """[B, T, 4 WAVES], sines and cosines of where steps are: of a step's number (Vaswani et al. 2017, section 3.5), and
    of its share of the row, in half turns, so that a query may ask for the beginning or the end of rows of any
    length."""
    numbers = torch.arange(steps.values.shape[1], device=steps.values.device, dtype=steps.values.dtype)
    waves = torch.arange(WAVES, device=numbers.device)
    lengths = (steps.shares > 0).sum(dim=1, keepdim=True)
    absolute = (numbers[:, None] * 10000.0 ** (-waves / WAVES)).expand(len(lengths), -1, -1)
    relative = ((numbers + 0.5) / lengths)[..., None] * math.pi * (waves + 1)
    return torch.cat([turns for angle in (absolute, relative) for turns in (angle.sin(), angle.cos())], dim=2)
