"""Rows become batches: on any number of threads, for any number of processes, the same."""

import threading
import time
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_toy import make_rows

from affectkit.errors import AffectkitError
from affectkit.training.loading import Feed, load_batches, row_generator
from affectkit.training.problem import Settings

KEY = (0, 1, 2)
BATCHES = [np.array(rows) for rows in ([3, 1, 4], [0, 5], [2], [9, 8, 7, 6])]


def process(rank=0, world=1):
    """What loading asks of an accelerator."""
    return SimpleNamespace(process_index=rank, num_processes=world, device=torch.device("cpu"))


def loaded(rows, batches=BATCHES, accelerator=None, **options):
    return list(load_batches(rows, batches, accelerator or process(), **options))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_change_nothing(workers):
    rows = make_rows(10, 0)
    one = loaded(rows, key=KEY)
    for first, second in zip(one, loaded(rows, key=KEY, num_workers=workers), strict=True):
        assert list(first.rows) == list(second.rows)
        assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in first.inputs)


def test_augmentation_is_the_rows_own_whatever_stands_beside_it():
    """Alone, in a batch, and on the second of two processes."""
    rows = make_rows(10, 0)

    def heard(batch):
        valid = zip(batch.rows, batch.inputs["x"], batch.inputs["lengths"], strict=True)
        return {int(row): x[: int(length)] for row, x, length in valid}

    together = {row: x for batch in loaded(rows, key=KEY) for row, x in heard(batch).items()}
    for row in range(10):
        assert torch.equal(heard(loaded(rows, [np.array([row])], key=KEY)[0])[row], together[row])
    second = loaded(rows, [np.array([3, 1, 4])], process(1, 2), key=KEY)[0]
    assert torch.equal(second.inputs["x"][0, : int(second.inputs["lengths"][0])], together[4])


def test_augmentation_differs_between_rows_epochs_stages_and_seeds():
    draws = {row_generator(key, row).random() for key in (KEY, (0, 1, 3), (0, 2, 2), (5, 1, 2)) for row in ("a", "b")}
    assert len(draws) == 8
    assert row_generator(KEY, "a").random() == row_generator(KEY, "a").random()


def test_outside_training_nothing_is_drawn():
    rows = make_rows(4, 0)
    batch = loaded(rows, [np.array([2])])[0]
    np.testing.assert_array_equal(batch.inputs["x"][0], rows.values[2])


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_out_each_batch(world):
    rows = make_rows(10, 0)
    each = [loaded(rows, accelerator=process(rank, world), key=KEY) for rank in range(world)]
    for batches in zip(*each, strict=True):
        sizes = batches[0].sizes
        assert sum(sizes) == len(batches[0].rows) and all(batch.sizes == sizes for batch in batches)
        lengths = [n for batch, size in zip(batches, sizes, strict=True) for n in batch.inputs["lengths"][:size]]
        assert [int(n) for n in lengths] == [len(rows.values[row]) for row in batches[0].rows]
        assert all(len(batch.inputs["lengths"]) >= 1 for batch in batches)  # a stand-in, where there is no share


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_reaches_the_caller_and_threads_end(workers):
    rows = make_rows(10, 0)
    before = threading.active_count()

    def load(position, draw):
        if position == 2:
            raise AffectkitError("input", "is empty (0 bytes)", file="train.csv", row=3)
        return rows.values[position]

    rows.load = load
    with pytest.raises(AffectkitError, match=r"train\.csv row 3: is empty \(0 bytes\)"):
        loaded(rows, key=KEY, num_workers=workers)
    assert threading.active_count() == before


def test_threads_end_when_the_loop_stops_early():
    rows = make_rows(10, 0)
    before = threading.active_count()
    with closing(load_batches(rows, BATCHES * 50, process(), key=KEY, num_workers=3)) as loading:
        next(loading)
        assert threading.active_count() > before
    assert threading.active_count() == before
    assert len(rows.loaded) < 50  # and they had not run far ahead


def test_one_worker_loads_while_the_network_computes():
    rows = make_rows(10, 0)
    inner = rows.load
    rows.load = lambda position, rng: (time.sleep(0.02), inner(position, rng))[1]
    waited = []
    for batch in load_batches(rows, [np.array([row]) for row in range(10)], process(), num_workers=1):
        waited.append(batch.waited)
        time.sleep(0.1)
    assert waited[0] > 0.015
    assert np.median(waited[2:]) < 0.015


def test_ids_are_asked_for_once():
    """They may be a property that builds a list."""

    class Asked(type(make_rows(1, 0))):
        asked = 0

        @property
        def ids(self):
            type(self).asked += 1
            return self._ids

        @ids.setter
        def ids(self, ids):
            self._ids = ids

        def load(self, position, draw):
            return self.values[position]

    rows = make_rows(10, 0)
    loaded(Asked(rows.values, rows.truth), key=KEY)
    assert Asked.asked == 1


def test_memory_that_does_not_suffice_for_a_clip_names_it():
    rows = make_rows(10, 0)

    def load(position, draw):
        raise MemoryError

    rows.load = load
    rows.costs[4] = 1e6
    with pytest.raises(AffectkitError, match="'row-004' is the longest") as caught:
        loaded(rows, num_workers=2)
    assert caught.value.code == "environment"


def test_a_feed_goes_on_where_it_is_told():
    rows = make_rows(30, 0)
    feed = Feed(rows, Settings(batch_size=4, seed=7), process())
    whole = list(feed.load(1, 2))
    rest = list(feed.load(1, 2, start=5))
    assert [list(batch.rows) for batch in rest] == [list(batch.rows) for batch in whole[5:]]
    assert all(torch.equal(a.inputs["x"], b.inputs["x"]) for a, b in zip(rest, whole[5:], strict=True))


def test_a_feed_without_end_begins_new_epochs():
    rows = make_rows(6, 0)
    feed = Feed(rows, Settings(batch_size=3), process())
    with closing(feed.load_on(0, 10)) as loading:
        seen = [sorted([*next(loading).rows, *next(loading).rows]) for _ in range(3)]
    assert seen == [list(range(6))] * 3
