"""`--num-workers` on one core, where worker threads cannot help: what they cost against none, openSMILE eGeMAPSv02."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from bench_opensmile import some_files

from affectkit.distributed import Ranks
from affectkit.encoders import opensmile
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items

ROUNDS = 4


def run() -> list[dict]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measured(some_files(Path(folder)))
    finally:
        os.sched_setaffinity(0, cores)


def measured(paths: list[Path]) -> list[dict]:
    encoder = opensmile.build(feature_set="eGeMAPSv02")
    load(encoder)
    items = [Item(path.stem, path, duration_sec=soundfile.info(path).duration) for path in paths]
    workers = {"0": 0, "the default": Ranks().workers(None), "4": 4}
    times, values = {name: [] for name in workers}, {}
    for _ in range(ROUNDS):  # in turns, so that other load on the machine meets all
        for name, count in workers.items():
            began = time.perf_counter()
            values[name] = np.stack(encode_items(encoder, items, num_workers=count).values)
            times[name].append(time.perf_counter() - began)
    assert all(np.array_equal(values["0"], others) for others in values.values())
    none = min(times["0"])
    return [
        {
            "what": f"--num-workers {name} on one core, openSMILE eGeMAPSv02, {len(paths)} files",
            "ours": f"{len(paths) / min(times[name]):.1f} files/s",
            "peer": f"--num-workers 0, {len(paths) / none:.1f} files/s, the same values",
            "ratio": none / min(times[name]),
            "target": ">= 0.9x",
            "ok": none >= 0.9 * min(times[name]),
        }
        for name in ("the default", "4")
    ]
