"""Header reading against a loop of `soundfile.info`, and the memory that a 100,000-file manifest's headers take."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from affectkit.media import read_headers

FILES, ROUNDS, MANY = 2000, 5, 100_000


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        paths = make_corpus(Path(folder), FILES)
        ours, peer = [], []
        for _ in range(ROUNDS):  # in turns, so that other load on the machine meets both
            ours.append(seconds(lambda: read_headers(paths)))
            peer.append(seconds(lambda: [soundfile.info(path) for path in paths]))
        growth = peak_growth(paths * (MANY // FILES))
    ratio = min(peer) / min(ours)
    return [
        {
            "what": f"headers of {FILES:,} WAVs",
            "ours": f"{min(ours) / FILES * 1e6:.1f} us per file",
            "peer": f"soundfile.info {min(peer) / FILES * 1e6:.1f} us per file",
            "ratio": ratio,
            "target": ">= 5x",
            "ok": ratio >= 5,
        },
        {
            "what": f"peak memory for the headers of {MANY:,} files",
            "ours": f"{growth / 2**20:.1f} MiB",
            "peer": f"{growth / MANY:.0f} bytes per file",
            "ratio": growth / 2**20 / 100,
            "target": "<= 1x of 100 MiB",
            "ok": growth <= 100 * 2**20,
        },
    ]


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
