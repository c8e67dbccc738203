"""Which device a network runs on."""

from __future__ import annotations

import torch

from affectkit.errors import AffectkitError


def resolve(device: str, *, local_rank: int = 0) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as torch calls it; of several GPUs, a rank takes its own.

    Raises "usage" for a name that torch does not know, "environment" for a device that this machine lacks.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise AffectkitError(
            "usage", f"there is no device '{device}'", remedy="use auto, cpu, cuda, cuda:1 or mps"
        ) from None
    if kind.type == "cuda":
        there = torch.cuda.device_count()
        index = local_rank % max(there, 1) if kind.index is None else kind.index
        if index >= there:
            raise AffectkitError("environment", f"there is no device '{device}' here", remedy="use --device cpu")
        return f"cuda:{index}"
    if kind.type == "mps" and not torch.backends.mps.is_available():
        raise AffectkitError("environment", "there is no device 'mps' here", remedy="use --device cpu")
    return str(kind)
