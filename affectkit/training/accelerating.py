"""Accelerate, set up for what the command line asks: a device, a precision, as many processes as were launched."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.models.forward import resolve_device

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
    place = torch.device(resolve_device(device))
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


# --- Randomness that leaves no state behind: every step seeds the generators from where it stands
#
# Dropout draws from torch's generator and transformers' SpecAugment from numpy's global one. Set from (seed, stage,
# epoch, batch) before each step, they need not be stored with a checkpoint, and a step draws the same whatever was
# computed before it: a sweep, a validation, an earlier process.


CPU = torch.device("cpu")


def seed_step(key: Sequence[int], device: torch.device = CPU) -> None:
    """Set the generators of torch (on the CPU and `device`), numpy and Python as a function of `key`.

    `torch.manual_seed` would do for all devices; where no GPU is in use it takes 1 ms, to remember where it was called.
    """
    first, second = np.random.SeedSequence([*key]).generate_state(2, np.uint64)
    torch.default_generator.manual_seed(int(first) >> 1)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(int(first) >> 1)
    np.random.seed(int(second) & 0xFFFFFFFF)
    random.seed(int(second))


@contextmanager
def untouched(device: torch.device = CPU) -> Iterator[None]:
    """Leave the caller's generators as they were."""
    numpys, pythons = np.random.get_state(), random.getstate()
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpys)
            random.setstate(pythons)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = (1 << 30, 1 << 25)  # bytes; the second is the most that older ones take


def keep_memory() -> None:
    """Let glibc keep memory from one batch to the next, which is of the same size. Of an image network on a CPU a fifth
    of a step is page faults otherwise; it takes a seventh more memory. Where there is no glibc nothing is changed."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        any(libc.mallopt(M_MMAP_THRESHOLD, largest) for largest in LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
