"""Clips for a speech network, long ones in pieces."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from affectkit.finetuning.medium import MediumExamples
from affectkit.finetuning.pieces import InPieces, in_pieces
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
        return in_pieces(items, self.network.collate)


class Heard(InPieces):
    """On a CPU nothing is gained by padding: without gradients each clip goes by itself, exact and fastest."""

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        self.network.alone = not self.training and inputs["inputs"].device.type == "cpu"
        return super().forward(**inputs)
