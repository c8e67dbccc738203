"""Clips for a speech network, and the network that hears long ones in pieces."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.finetuning.medium import MediumExamples
from affectkit.training.problem import Draw


class SpeechExamples(MediumExamples):
    """Clips for a speech network. In training, one longer than the medium's `max_seconds` is cropped to a stretch drawn
    anew each epoch; elsewhere it is heard in equal pieces, whose outputs are averaged by their length."""

    @property
    def costs(self) -> np.ndarray:
        return np.array([max(clip.duration_sec, 1e-3) for clip in self.items])

    def load(self, position: int, draw: Draw | None) -> list[np.ndarray]:
        """The waveform [T] float32 at the network's rate, in pieces of at most `max_seconds`."""
        rate = self.network.rate
        wave = self.read(position, partial(self.medium.decode, rate=rate), self.network.min_samples)
        most = int(min(self.medium.max_seconds, self.network.max_sec) * rate)
        if draw is None:
            pieces = np.array_split(wave, max(1, -(-len(wave) // most)))
            return [self.network.prepare(piece) for piece in pieces]
        rng = draw()
        if len(wave) > most:
            start = int(rng.integers(len(wave) - most + 1))
            wave = wave[start : start + most]
        if self.train and self.medium.augmentation:
            wave = self.medium.augmentation.augment(wave, rate, rng)[:most]
        return [self.network.prepare(wave)]

    def collate(self, items: list[list[np.ndarray]]) -> dict[str, torch.Tensor]:
        inputs = self.network.collate([piece for pieces in items for piece in pieces])
        if all(len(pieces) == 1 for pieces in items):
            return inputs
        lengths = torch.tensor([float(len(piece)) for pieces in items for piece in pieces])
        owners = torch.tensor([row for row, pieces in enumerate(items) for _ in pieces])
        return {**inputs, "owners": owners, "weights": lengths}


class InPieces(nn.Module):
    """A network that also answers for clips in pieces: the mean of the pieces' outputs, weighted by their length.

    For a head that is linear behind a mean over frames this is the mean over all frames, as if the clip were whole.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, owners: torch.Tensor | None = None, weights: torch.Tensor | None = None, **inputs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """owners: [P] the row that each piece belongs to; weights: [P]. Without them each piece is a row."""
        # On a CPU nothing is gained by padding: without gradients each clip goes by itself, exact and fastest.
        self.network.alone = not self.training and inputs["inputs"].device.type == "cpu"
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
