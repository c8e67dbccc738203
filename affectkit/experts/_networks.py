"""What experts that are torch networks share: pixels in, exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def pixels(
    crops: np.ndarray, device: str, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
) -> torch.Tensor:
    """[B, S, S, 3] uint8 -> [B, 3, S, S] float32: (pixel / 255 - mean) / std, by channel."""
    batch = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    by_channel = [torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) for values in (mean, std)]
    return (batch - by_channel[0]) / by_channel[1]


@contextmanager
def answering(device: str) -> Iterator[None]:
    """Without gradients, and on a GPU without TF32, whose three digits depend on the batch's shape."""
    with torch.inference_mode():
        if not device.startswith("cuda"):
            yield
            return
        precise = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = precise


def softmax(logits: torch.Tensor) -> np.ndarray:
    """[B, K] float64 probabilities."""
    return torch.softmax(logits.double(), dim=1).cpu().numpy()
