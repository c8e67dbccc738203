"""One forward pass of a network: on which device, in float32 or bfloat16, and exact to float32's digits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from affectkit.errors import AffectkitError

Layer = int | Literal["last", "all"]


def resolve_device(device: str, *, local_rank: int = 0) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as torch calls it; of several GPUs, a rank takes its own.

    Raises "usage" for a name that torch does not know, "environment" for a device that this machine lacks.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        remedy = "use auto, cpu, cuda, cuda:1 or mps"
        raise AffectkitError("usage", f"there is no device '{device}'", remedy=remedy) from None
    if kind.type == "cuda":
        count = torch.cuda.device_count()
        index = local_rank % max(count, 1) if kind.index is None else kind.index
        if index >= count:
            raise AffectkitError("environment", f"there is no device '{device}' here", remedy="use --device cpu")
        return f"cuda:{index}"
    if kind.type == "mps" and not torch.backends.mps.is_available():
        raise AffectkitError("environment", "there is no device 'mps' here", remedy="use --device cpu")
    return str(kind)


def run(model: Any, arguments: dict[str, torch.Tensor], layer: Layer, dtype: str) -> torch.Tensor:
    """Hidden states [B, T, D] float32 at `layer`, or [B, T, L, D] of "all", of a network of transformers."""
    first = next(iter(arguments.values()))
    what, remedy = f"a batch of shape {tuple(first.shape)}", "lower --batch-seconds or --batch-tokens"
    with inferring(first.device.type, dtype, what, remedy):
        output = model(**arguments, output_hidden_states=layer != "last")
    if layer == "last":
        return output.last_hidden_state.float()
    states = output.hidden_states
    return torch.stack(states, dim=2).float() if layer == "all" else states[layer].float()


def embed(network: nn.Module, pixels: torch.Tensor, dtype: str = "float32") -> torch.Tensor:
    """[B, 3, H, W] -> [B, D] float32, without gradients. dtype: of the arithmetic, "float32" or "bfloat16"."""
    what = f"{len(pixels)} images of {pixels.shape[3]} x {pixels.shape[2]} pixels"
    with inferring(pixels.device.type, dtype, what, "use --device cpu, or a smaller network"):
        return network(pixels).float()


@contextmanager
def inferring(device: str, dtype: str, what: str, remedy: str) -> Iterator[None]:
    """Without gradients and TF32. what: the GPU may have no memory for, and what to do then."""
    autocast = torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bfloat16")
    try:
        with torch.inference_mode(), autocast, without_tf32():
            yield
    except torch.OutOfMemoryError:
        raise AffectkitError("environment", f"the GPU has no memory for {what}", remedy=remedy) from None


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
