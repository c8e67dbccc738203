"""What experts that are torch networks share: pixels in, exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from affectkit.models.forward import without_tf32


def pixels(
    crops: np.ndarray, device: str, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
) -> torch.Tensor:
    """[B, S, S, 3] uint8 -> [B, 3, S, S] float32: (pixel / 255 - mean) / std, by channel."""
    batch = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    by_channel = [torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) for values in (mean, std)]
    return (batch - by_channel[0]) / by_channel[1]


@contextmanager
def answering(device: str) -> Iterator[None]:
    """Without gradients, in exact float32."""
    with torch.inference_mode(), without_tf32() if device.startswith("cuda") else nullcontext():
        yield


def softmax(logits: torch.Tensor) -> np.ndarray:
    """[B, K] float64 probabilities."""
    return torch.softmax(logits.double(), dim=1).cpu().numpy()
