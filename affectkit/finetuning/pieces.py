"""Rows that are too long for a network at once: read in pieces, whose outputs are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn


def in_pieces(
    rows: Sequence[Sequence[np.ndarray]], collate: Callable[[list[np.ndarray]], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """A batch of rows, each of one piece or more, as `InPieces` takes it."""
    inputs = collate([piece for pieces in rows for piece in pieces])
    if all(len(pieces) == 1 for pieces in rows):
        return inputs
    lengths = torch.tensor([float(len(piece)) for pieces in rows for piece in pieces])
    owners = torch.tensor([row for row, pieces in enumerate(rows) for _ in pieces])
    return {**inputs, "owners": owners, "weights": lengths}


class InPieces(nn.Module):
    """A network that also answers for rows in pieces: the mean of the pieces' outputs, weighted by their length.

    For a head that is linear behind a mean over frames this is the mean over all frames, as if the row were whole.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, owners: torch.Tensor | None = None, weights: torch.Tensor | None = None, **inputs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """owners: [P] the row that each piece belongs to; weights: [P]. Without them each piece is a row."""
        outputs = self.network(**inputs)
        if owners is None or weights is None:
            return outputs
        rows = int(owners.max()) + 1
        total = torch.zeros(rows, device=weights.device).index_add_(0, owners, weights)
        share = weights / total[owners]
        return {
            name: values.new_zeros(rows, *values.shape[1:]).index_add_(
                0, owners, values * share.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
            )
            for name, values in outputs.items()
        }

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        return self.network.parts()
