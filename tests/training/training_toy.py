"""A small problem to train on: rows of frames of three classes and a number, and a network of three parts."""

import numpy as np
import torch
from torch import nn

from affectkit.labels import Target
from affectkit.training.fit import Problem
from affectkit.training.objective import build_objective

LABEL = Target("label", "class", ("angry", "calm", "sad"))
VALENCE = Target("valence", "number", scale=(-3.0, 3.0))


class Rows:
    """[T, D] of each row, padded when collated; costs are T. Training adds noise."""

    def __init__(self, values, truth):
        self.values, self.truth = values, truth
        self.ids = [f"row-{number:03}" for number in range(len(values))]
        self.costs = np.array([len(value) for value in values], float)
        self.loaded = []

    def load(self, position, draw):
        self.loaded.append(self.ids[position])
        value = self.values[position]
        return value if draw is None else value + 0.05 * draw().standard_normal(value.shape).astype(np.float32)

    def collate(self, items):
        longest = max(map(len, items))
        padded = np.stack([np.pad(item, ((0, longest - len(item)), (0, 0))) for item in items])
        return {"x": torch.from_numpy(padded), "lengths": torch.tensor([len(item) for item in items])}


class Net(nn.Module):
    """Two layers, the second with batch norm, a mean over frames, and a head of every target.

    In training, dropout draws from torch's generator, and frames are masked by numpy's global one, as transformers'
    SpecAugment does.
    """

    def __init__(self, targets, width=16, dropout=0.2):
        super().__init__()
        self.targets, self.mask = targets, dropout / 2
        self.first = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Dropout(dropout))
        self.second = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(dropout))
        self.norm = nn.BatchNorm1d(width)
        self.heads = nn.ModuleDict({t.name: nn.Linear(width, max(1, len(t.classes))) for t in targets})

    def forward(self, x, lengths):
        if self.training and self.mask:
            x = x * torch.from_numpy(np.random.random(x.shape[:2]) >= self.mask)[..., None].to(x)
        frames = self.second(self.first(x))
        valid = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]
        pooled = (frames * valid).sum(1) / lengths[:, None]
        pooled = self.norm(pooled) if len(pooled) > 1 or not self.norm.training else pooled
        found = {name: head(pooled) for name, head in self.heads.items()}
        return {t.name: found[t.name] if t.classes else found[t.name][:, 0] for t in self.targets}

    def parts(self):
        parts = [("first", [self.first]), ("second", [self.second, self.norm]), ("head", [self.heads])]
        return [(name, [p for module in modules for p in module.parameters()]) for name, modules in parts]


def make_rows(count, seed, targets=(LABEL,), *, lengths=(3, 20)):
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 3
    centres = np.eye(4, dtype=np.float32)[:3] * 1.5
    frames = rng.integers(*lengths, count)
    values = [centres[k] + rng.standard_normal((n, 4)).astype(np.float32) for k, n in zip(label, frames, strict=True)]
    truth = {"label": label.astype(np.int64)}
    if VALENCE in targets:
        truth["valence"] = (label - 1 + 0.3 * rng.standard_normal(count)).astype(np.float32)
        truth["valence"][::5] = np.nan
    return Rows(values, {target.name: truth[target.name] for target in targets})


def make_problem(targets=(LABEL,), *, rows=24, val=12, dropout=0.2, frozen=frozenset(), lengths=(3, 20), **objective):
    """A fresh network and its rows, the same each time; val=0: no validation rows."""
    torch.manual_seed(1)
    train = make_rows(rows, 0, targets, lengths=lengths)
    held_out = make_rows(val, 1, targets, lengths=lengths) if val else None
    network = Net(list(targets), dropout=dropout)
    return Problem(network, train, held_out, build_objective(list(targets), train.truth, **objective), frozen)


def weights_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(first, second):
    """Two networks' weights, bit for bit."""
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different, f"other bits in {different}"
