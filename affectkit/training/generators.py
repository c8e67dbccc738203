"""Randomness that leaves no state behind: every step seeds the generators from where it stands.

Dropout draws from torch's generator and transformers' SpecAugment from numpy's global one. Set from (seed, stage,
epoch, batch) before each step, they need not be stored with a checkpoint, and a step draws the same whatever was
computed before it: a sweep, a validation, an earlier process.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

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
