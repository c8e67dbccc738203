"""One forward pass, in float32 or bfloat16, with the hidden states that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from affectkit.errors import AffectkitError

Layer = int | Literal["last", "all"]


def run(model: Any, arguments: dict[str, torch.Tensor], layer: Layer, dtype: str) -> torch.Tensor:
    """Hidden states [B, T, D] float32 at `layer`, or [B, T, L, D] of "all". TF32 is off: it is good to three digits."""
    device = next(iter(arguments.values())).device.type
    autocast = torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
    try:
        with torch.inference_mode(), autocast, without_tf32():
            output = model(**arguments, output_hidden_states=layer != "last")
    except torch.OutOfMemoryError:
        shape = tuple(next(iter(arguments.values())).shape)
        raise AffectkitError(
            "environment",
            f"the GPU has no memory for a batch of shape {shape}",
            remedy="lower --batch-seconds or --batch-tokens",
        ) from None
    if layer == "last":
        return output.last_hidden_state.float()
    states = output.hidden_states
    return torch.stack(states, dim=2).float() if layer == "all" else states[layer].float()


@contextmanager
def without_tf32() -> Iterator[None]:
    """On a GPU: exact float32, whatever the batch. TF32 is good to three digits, and depends on the batch's shape."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
