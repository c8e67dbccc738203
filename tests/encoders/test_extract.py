"""The loop: the plan, what is kept of a killed run, memory."""

import os
from collections import Counter
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

from affectkit.artifacts.features import read_features
from affectkit.artifacts.runs import open_run
from affectkit.distributed import Ranks
from affectkit.encoders._encoder import Item
from affectkit.encoders._loop import encode_items, encode_shards, extract, plan
from affectkit.errors import AffectkitError


class Fake:
    """Vectors of the item's own number, of `size` values; notes how it was used."""

    name, reads, on_device, feature_names = "fake", "audio", False, None

    def __init__(self, size=3, pooled=True, bad=(), fatal=()):
        self.size, self.pooled, self.bad, self.fatal = size, pooled, set(bad), set(fatal)
        self.options, self.counts, self.batches, self.most_ahead = {}, Counter(), [], 0
        self.prepared, self.lock = 0, Lock()

    def load(self, device):
        pass

    def describe(self):
        return {"dim": self.size}

    def prepare(self, item):
        with self.lock:
            self.prepared += 1
            self.most_ahead = max(self.most_ahead, self.prepared)
        if item.id in self.fatal:
            raise AffectkitError("environment", "ffmpeg is missing")
        if item.id in self.bad:
            raise AffectkitError("input", "is empty", file=f"{item.id}.wav", remedy="copy it again")
        return np.full((1 if self.pooled else 4, self.size), int(item.id), dtype=np.float32)

    def encode(self, prepared):
        self.batches.append(len(prepared))
        with self.lock:
            self.prepared -= len(prepared)
        self.counts["seen"] += len(prepared)
        return [one[0] if self.pooled else one for one in prepared]


def items(count, seconds=1.0):
    return [Item(str(number), Path(f"{number}.wav"), duration_sec=seconds) for number in range(count)]


def run(folder, encoder, todo, **options):
    resume = options.pop("resume", False)
    with open_run("extract-features", {"output_dir": folder, "resume": resume}) as opened:
        return extract(encoder, todo, opened.path, **options)


def test_shards_are_consecutive_rows_within_the_limits():
    assert plan([], pooled=True) == []
    assert plan(items(513), pooled=True) == [range(256), range(256, 512), range(512, 513)]
    assert plan(items(9, 400.0), pooled=True) == [range(3), range(3, 6), range(6, 9)]
    assert plan(items(3, 5000.0), pooled=True) == [range(1), range(1, 2), range(2, 3)]
    assert plan(items(33, 0.1), pooled=False) == [range(32), range(32, 33)]
    assert plan(items(5, 50.0), pooled=False) == [range(2), range(2, 4), range(4, 5)]


def test_batches_hold_similar_lengths_and_stay_within_the_seconds():
    rng = np.random.default_rng(0)
    todo = [Item(str(number), duration_sec=float(rng.uniform(1, 10))) for number in range(50)]
    encoder = Fake()
    assert encode_items(encoder, todo, batch_seconds=30.0).ids == [item.id for item in todo]
    lengths = sorted(item.duration_sec for item in todo)
    assert sum(encoder.batches) == 50 and len(encoder.batches) > 5
    for size in encoder.batches:
        batch, lengths = lengths[:size], lengths[size:]
        assert max(batch) * size <= 30.0


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_and_values_do_not_depend_on_the_workers(workers):
    encoded = encode_items(Fake(), items(600), num_workers=workers)
    assert encoded.ids == [str(number) for number in range(600)]
    np.testing.assert_array_equal([value[0] for value in encoded.values], range(600))
    assert encoded.counts == {"seen": 600}


def test_workers_run_ahead_but_not_away():
    encoder = Fake()
    shards = encode_shards(encoder, items(3000), plan(items(3000), pooled=True), num_workers=2, batch_seconds=10.0)
    for _ in shards:
        pass
    assert encoder.most_ahead <= 10 + 2 + 16 + 1


def test_stop_names_the_manifests_row_and_the_file():
    where = lambda position: {"file": "train.csv", "row": position + 1}  # noqa: E731
    with pytest.raises(AffectkitError) as caught:
        encode_items(Fake(bad=["5"]), items(9), where=where)
    assert str(caught.value) == "train.csv row 6: 5.wav: is empty; copy it again; or pass --on-error skip"


def test_what_is_no_fault_of_a_row_is_never_skipped():
    with pytest.raises(AffectkitError, match="ffmpeg is missing"):
        encode_items(Fake(fatal=["3"]), items(9), on_error="skip", num_workers=2)


def test_values_that_are_not_finite_are_an_error_of_their_row():
    encoder = Fake()
    encoder.encode = lambda prepared: [np.full(3, np.nan) if one[0, 0] == 2 else one[0] for one in prepared]
    encoded = encode_items(encoder, items(4), on_error="skip")
    assert encoded.ids == ["0", "1", "3"]
    assert encoded.skipped == [("2", "2.wav: fake gave values that are not finite")]


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(tmp_path):
    todo, bad = items(1000), ["3", "700"]
    whole = run(tmp_path / "whole", Fake(bad=bad), todo, on_error="skip")
    assert (whole.rows, whole.shards) == (998, 4)

    def interrupt(done, total):
        if done > 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "f", Fake(bad=bad), todo, on_error="skip", progress=interrupt)
    left = sorted(path.name for path in (tmp_path / "f").glob("features-*"))
    assert left == ["features-00001.safetensors", "features-00002.safetensors"]
    (tmp_path / "f" / ".features-00003.safetensors.1.tmp").write_bytes(b"half a shard")
    again = Fake(bad=["700"])  # row 3 could be read now: its shard is finished, so it stays as it was
    seen = []
    resumed = run(
        tmp_path / "f",
        again,
        todo,
        on_error="skip",
        resume=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert resumed == whole and sum(again.batches) == 1000 - 512 - 1
    assert seen[-1] == (1000, 1000) and seen[0][0] > 512
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names == {path.name for path in (tmp_path / "f").iterdir()}
    for name in names - {"run.json", "started.json"}:
        assert (tmp_path / "f" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert (tmp_path / "f" / "skipped.csv").read_text() == "id,reason\n3,3.wav: is empty\n700,700.wav: is empty\n"


def test_ranks_share_the_shards_and_the_last_writes_the_index(tmp_path):
    todo = items(1000)
    run(tmp_path / "whole", Fake(), todo)
    (tmp_path / "f").mkdir()
    others = [Fake(), Fake()]
    for rank, encoder in enumerate(others, start=1):
        assert extract(encoder, todo, tmp_path / "f", ranks=Alone(rank, 3)) is None
    assert [sum(encoder.batches) for encoder in others] == [256, 256]
    assert extract(Fake(), todo, tmp_path / "f", ranks=Alone(0, 3)).rows == 1000
    for path in (tmp_path / "f").iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


class Alone(Ranks):
    """Ranks that run after one another."""

    def barrier(self):
        pass


@pytest.mark.parametrize("pooled", [True, False])
def test_memory_does_not_grow_with_the_corpus(tmp_path, pooled):
    """Ten times the rows: 80 MB more of features, and not 10 MB more in memory."""
    resident = []

    def note(done, total):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append((done / total, pages * os.sysconf("SC_PAGE_SIZE")))

    size = 10_000 if pooled else 2500
    written = run(tmp_path / "f", Fake(size, pooled), items(2500), progress=note, num_workers=2, batch_seconds=8.0)
    assert written.rows == 2500
    assert sum(path.stat().st_size for path in (tmp_path / "f").glob("*.safetensors")) > 90e6
    early = max(memory for share, memory in resident if share < 0.3)
    late = max(memory for share, memory in resident if share >= 0.3)
    assert late - early < 10e6
    assert len(read_features(tmp_path / "f").ids) == 2500
