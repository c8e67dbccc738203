"""Randomness that leaves no state behind."""

import random

import numpy as np
import torch
from training_toy import LABEL, Net, make_rows

from affectkit.training.accelerating import seed_step, untouched


def draws():
    return torch.rand(3).tolist(), np.random.random(3).tolist(), random.random()


def test_a_key_decides_whatever_was_drawn_before():
    seed_step((0, 1, 2, 3))
    first = draws()
    draws()
    seed_step((0, 1, 2, 3))
    assert draws() == first
    seed_step((0, 1, 2, 4))
    assert all(one != other for one, other in zip(draws(), first, strict=True))


def test_keys_do_not_run_into_each_other():
    """Batch 1 of epoch 0 is not batch 0 of epoch 1, nor another seed's."""
    keys = [(s, g, e, b, r) for s in range(3) for g in range(2) for e in range(3) for b in range(3) for r in range(2)]
    found = set()
    for key in keys:
        seed_step(key)
        found.add(draws()[0][0])
    assert len(found) == len(keys)


def test_dropout_and_masks_inside_a_network_repeat():
    """Dropout draws from torch's generator, SpecAugment-like masks from numpy's global one."""
    network, rows = Net([LABEL], dropout=0.5), make_rows(4, 0)
    inputs = rows.collate(rows.values)

    def answers(*, before):
        before()
        seed_step((1, 2))
        network.norm.reset_running_stats()
        return network.train()(**inputs)["label"]

    quiet = answers(before=lambda: None)
    assert torch.equal(answers(before=draws), quiet)
    assert not torch.equal(network(**inputs)["label"], quiet)


def test_the_callers_generators_are_left_alone():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    expected = draws()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    with untouched():
        seed_step((5,))
        draws()
    assert draws() == expected
