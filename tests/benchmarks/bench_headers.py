"""Header reading against a loop of `soundfile.info`, and the memory that a 100,000-file manifest's headers take.

python tests/benchmarks/bench_headers.py
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from affectkit.media import read_headers

FILES, ROUNDS, MANY = 2000, 5, 100_000


def measure() -> list[dict]:
    """One row per figure: what, ours, peer, unit, ratio and the ratio asked for."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_corpus(Path(folder), FILES)
        ours, peer = [], []
        for _ in range(ROUNDS):  # in turns, so that other load on the machine meets both
            ours.append(seconds(lambda: read_headers(paths)))
            peer.append(seconds(lambda: [soundfile.info(path) for path in paths]))
        growth = peak_growth(paths * (MANY // FILES))
    fast, slow = min(ours) / FILES * 1e6, min(peer) / FILES * 1e6
    return [
        {"what": "WAV headers against soundfile.info", "ours": fast, "peer": slow, "unit": "us per file",
         "ratio": slow / fast, "required": 5.0},
        {"what": "peak memory growth, headers of 100,000 files", "ours": growth / 2**20, "peer": None, "unit": "MiB",
         "ratio": None, "required": None},
    ]  # fmt: skip


def make_corpus(folder: Path, files: int) -> list[str]:
    """Hard links to twenty recordings of a second, as a corpus of `files` files."""
    rng = np.random.default_rng(0)
    for i in range(20):
        soundfile.write(folder / f"recording{i}.wav", rng.normal(0, 0.1, 16000 + i), 16000)
    for i in range(files):
        os.link(folder / f"recording{i % 20}.wav", folder / f"{i:06d}.wav")
    return [str(folder / f"{i:06d}.wav") for i in range(files)]


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_growth(paths: list[str]) -> int:
    before, seen = resident(), []
    headers = read_headers(paths, progress=lambda done, total: seen.append(resident()) if done % 640 == 0 else None)
    assert len(headers) == len(paths)
    return max(seen) - before


if __name__ == "__main__":
    for row in measure():
        peer = f"  peer {row['peer']:.1f}  ratio {row['ratio']:.1f} (>= {row['required']:g})" if row["peer"] else ""
        print(f"{row['what']}: {row['ours']:.1f} {row['unit']}{peer}")
