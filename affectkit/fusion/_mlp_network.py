"""The networks of fusion, one for each set of rows that it is fitted on, side by side, and the rows as they are loaded.

A network for every fold within the fit rows, which never sees the fold, and one for all of them are one network of as
many targets: a row that a member may not see has no truth for its target. So all of them go through one training with
the same batches, an epoch means the same to each, and the validation loss is that of cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.training.examples import HEAD, Draw, Part

CONSTANT = 1e-6  # a column whose deviation over a member's rows is a smaller share of that over all has no say


@dataclass
class FusedRows:
    """N rows, each `passes` times, as `affectkit.training.examples.Examples` has them.

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


class Members(nn.Module):
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
    return center, torch.where(deviation > CONSTANT, 1 / deviation, 0.0)
