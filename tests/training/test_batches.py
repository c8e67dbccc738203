"""Batches hold every row once, waste little, and are a function of the seed, the stage and the epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.training.loading import epoch_batches, share, sorted_batches

COSTS = st.lists(st.floats(0.1, 30), max_size=120).map(np.array)
SIZES = st.integers(1, 17)
SECONDS = st.none() | st.floats(0.5, 200)


def padding(batches, costs):
    """Share of what is computed that is padding."""
    padded = sum(len(batch) * costs[batch].max() for batch in batches)
    return 1 - costs.sum() / padded


@given(COSTS, SIZES, SECONDS, st.integers(0, 9))
def test_every_row_once(costs, size, seconds, epoch):
    for batches in (
        epoch_batches(costs, size, (0, 1, epoch), most_cost=seconds),
        sorted_batches(costs, size, most_cost=seconds),
    ):
        rows = [int(row) for batch in batches for row in batch]
        assert sorted(rows) == list(range(len(costs)))
        assert all(len(batch) for batch in batches)


@given(COSTS, SIZES)
def test_sizes_differ_by_one_at_most(costs, size):
    """A loss of the batch gives each batch one weight, so none may be a small rest."""
    sizes = [len(batch) for batch in epoch_batches(costs, size, (0,))]
    assert len(sizes) == -(-len(costs) // size)
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)


@given(COSTS, SECONDS.filter(bool))
def test_seconds_are_never_exceeded_but_by_a_lone_row(costs, seconds):
    for batches in (epoch_batches(costs, 1, (0,), most_cost=seconds), sorted_batches(costs, 1, most_cost=seconds)):
        assert all(len(batch) == 1 or len(batch) * costs[batch].max() <= seconds for batch in batches)


@given(COSTS.filter(len), SIZES, SECONDS, st.integers(0, 5))
def test_the_same_key_gives_the_same_order(costs, size, seconds, seed):
    def order(*key):
        return [list(batch) for batch in epoch_batches(costs, size, key, most_cost=seconds)]

    assert order(seed, 0, 3) == order(seed, 0, 3)


def test_another_seed_stage_or_epoch_gives_another_order():
    costs = np.ones(200)
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2)]
    orders = {tuple(np.concatenate(epoch_batches(costs, 8, key))) for key in keys}
    assert len(orders) == len(keys)


@pytest.mark.parametrize("rows", [32, 100, 400, 2000])
@pytest.mark.parametrize("seconds", [None, 40.0])
def test_rows_get_other_neighbours_each_epoch(rows, seconds):
    """One pool of all rows, sorted by length, would put the same ones together forever."""
    costs = np.random.default_rng(0).uniform(1, 12, rows)

    def pairs(epoch):
        batches = epoch_batches(costs, 8, (0, 0, epoch), most_cost=seconds)
        return {(a, b) for batch in batches for a in batch for b in batch if a < b}

    first, second = pairs(0), pairs(1)
    assert len(first & second) < 0.5 * len(first)


@pytest.mark.parametrize(("rows", "most"), [(100, 0.25), (400, 0.12), (8000, 0.06)])
@pytest.mark.parametrize("seconds", [None, 60.0])
def test_little_is_padding(rows, most, seconds):
    """Of utterances whose lengths are distributed as IEMOCAP's are, roughly (log-normal, median 3.5 s, 30 s at most);
    batches of 8 in random order are padding to about a half."""
    costs = np.random.default_rng(1).lognormal(np.log(3.5), 0.6, rows).clip(0.6, 30)
    shuffled = np.array_split(np.random.default_rng(2).permutation(rows), rows // 8)
    assert padding(shuffled, costs) > 0.44
    assert np.mean([padding(epoch_batches(costs, 8, (epoch,), most_cost=seconds), costs) for epoch in range(5)]) < most


@pytest.mark.parametrize("rows", [400, 8000])
def test_batches_of_seconds_are_full(rows):
    costs = np.random.default_rng(1).lognormal(np.log(3.5), 0.6, rows).clip(0.6, 30)
    filled = [len(batch) * costs[batch].max() / 60 for batch in epoch_batches(costs, 1, (0,), most_cost=60.0)]
    assert np.mean(filled) > 0.85


def test_batches_come_in_any_order_of_length():
    """Sorted pools, not sorted epochs: a first half of short clips would be another curriculum each epoch."""
    costs = np.random.default_rng(0).uniform(1, 12, 800)
    lengths = [costs[batch].mean() for batch in epoch_batches(costs, 8, (0,))]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.3


def test_the_dearest_batch_is_judged_first():
    costs = np.array([1.0, 9.0, 3.0, 2.0, 8.0])
    assert 1 in sorted_batches(costs, 2)[0]


@given(st.integers(1, 20), st.integers(1, 6))
def test_processes_share_a_batch_among_them(rows, world):
    batch = np.arange(rows) + 100
    shares = [share(batch, rank, world) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate(shares), batch)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert len(shares[0])  # the first one always has some
