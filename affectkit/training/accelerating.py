"""Accelerate, set up for what the command line asks: a device, a precision, as many processes as were launched."""

from __future__ import annotations

from typing import Any

import torch

from affectkit.errors import AffectkitError
from affectkit.models import devices

PRECISIONS = ("no", "bf16", "fp16")


def open_accelerator(device: str = "auto", mixed_precision: str = "no", *, skips_layers: bool = False) -> Any:
    """An `accelerate.Accelerator` on `device`; under `accelerate launch`, on this process's share of the devices.

    skips_layers: the network leaves out layers at random (layer drop), so that not every weight has a gradient.
    Raises "usage" for an unknown precision or device, "environment" for one that this machine lacks.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState, PartialState

    if mixed_precision not in PRECISIONS:
        message = f"there is no --mixed-precision {mixed_precision}"
        raise AffectkitError("usage", message, remedy=f"use {', '.join(PRECISIONS)}")
    place = torch.device(devices.resolve(device))
    if mixed_precision == "fp16" and place.type == "cpu":
        raise AffectkitError("usage", "fp16 needs a GPU", remedy="use --mixed-precision bf16, or no")
    if place.type == "cuda" and PartialState().num_processes == 1:
        torch.cuda.set_device(place)
    if PartialState(cpu=place.type == "cpu").num_processes == 1:
        # Accelerate keeps one state per process, made for the first precision and device that were asked for.
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        mixed_precision=mixed_precision,
        cpu=place.type == "cpu",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=skips_layers)],
    )
