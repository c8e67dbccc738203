"""The `opensmile` encoder against `opensmile.Smile.process_files` in one process, on some of EmoDB or on noise."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import opensmile
import soundfile

from affectkit.encoders import opensmile as ours_opensmile
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items

FILES, ROUNDS = 60, 4


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        paths = some_files(Path(folder))
        return [compare(paths, name) for name in ("eGeMAPSv02", "ComParE_2016")]


def some_files(folder: Path) -> list[Path]:
    if os.environ.get("AFFECTKIT_DATA"):
        return sorted(Path(os.environ["AFFECTKIT_DATA"]).glob("emodb/wav/*.wav"))[::8][:FILES]
    rng = np.random.default_rng(0)
    paths = [folder / f"{file:03d}.wav" for file in range(FILES)]
    for path in paths:
        length = int(22050 * rng.uniform(1, 5))
        soundfile.write(path, 0.1 * rng.standard_normal(length), 22050)
    return paths


def compare(paths: list[Path], name: str) -> dict:
    encoder = ours_opensmile.build(feature_set=name)
    load(encoder)
    smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)
    items = [Item(path.stem, path, duration_sec=soundfile.info(path).duration) for path in paths]
    ours, peer = [], []
    for _ in range(ROUNDS):  # in turns: other load on the machine meets both
        began = time.perf_counter()
        values = np.stack(encode_items(encoder, items, num_workers=os.cpu_count() or 1).values)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        reference = smile.process_files([str(path) for path in paths]).to_numpy()
        peer.append(time.perf_counter() - began)
    assert np.array_equal(values, reference)
    ratio = min(peer) / min(ours)
    return {
        "what": f"openSMILE {name} of {len(paths)} files, {os.cpu_count()} cores",
        "ours": f"{len(paths) / min(ours):.0f} files/s",
        "peer": f"Smile.process_files {len(paths) / min(peer):.0f} files/s, the same values",
        "ratio": ratio,
        "target": ">= 1.7x",
        "ok": ratio >= 1.7,
    }
