"""`open-clip` against plain open_clip, which loads its images in one thread: CLIP ViT-B/32's shape, random weights.

JPEGs of 640 x 480 and 480 x 640 pixels, as photographs in corpora are; float32, two torch threads, batches of 32 and
open_clip's own transform on both sides. Loader wait is all the time in which the network does not run.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from affectkit.encoders import open_clip as plugin
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items

IMAGES, BATCH, THREADS = 128, 32, 2


def run() -> list[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measured(Path(folder))
    finally:
        torch.set_num_threads(threads)


def measured(folder: Path) -> list[dict]:
    tower = open_clip.create_model("ViT-B-32").eval().visual
    save_file(tower.state_dict(), folder / "tower.safetensors")
    paths = make_images(folder)
    encoder = plugin.build(checkpoint=f"ViT-B-32/{folder}/tower.safetensors")
    load(encoder, "cpu")
    busy = timed(encoder)
    encode(encoder, paths[:BATCH])
    plain(tower, paths[:BATCH])
    busy.clear()
    first, theirs = clocked(plain, tower, paths[: IMAGES // 2])  # before and after: other load meets both
    ours, values = clocked(encode, encoder, paths)
    second, more = clocked(plain, tower, paths[IMAGES // 2 :])
    peer, expected = first + second, np.concatenate([theirs, more])
    difference = float(np.abs(np.stack(values) - expected).max() / np.abs(expected).max())
    wait = 1 - sum(busy) / ours
    return [
        {
            "what": f"CLIP ViT-B/32 of {IMAGES} JPEGs, {THREADS} threads",
            "ours": f"{IMAGES / ours:.1f} images/s",
            "peer": f"open_clip, one thread loads: {IMAGES / peer:.1f} images/s",
            "ratio": peer / ours,
            "target": ">= 0.95x",
            "ok": peer / ours >= 0.95,
        },
        {
            "what": "loader wait, of all the time",
            "ours": f"{wait:.1%}",
            "peer": "5 %",
            "ratio": wait / 0.05,
            "target": "< 1x of 5 %",
            "ok": wait < 0.05,
        },
        {
            "what": "largest relative difference of the two",
            "ours": f"{difference:.1e}",
            "peer": "1e-5",
            "ratio": difference / 1e-5,
            "target": "<= 1x of 1e-5",
            "ok": difference <= 1e-5,
        },
    ]


def make_images(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:03d}.jpg" for number in range(IMAGES)]
    for number, path in enumerate(paths):
        size = (640, 480) if number % 3 else (480, 640)
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def clocked(function, *arguments):
    """Seconds that a call takes, and its value."""
    began = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - began, value


def timed(encoder) -> list[float]:
    """Seconds of each call of the network, from now on."""
    busy, encode = [], encoder.encode

    def timing(prepared):
        seconds, values = clocked(encode, prepared)
        busy.append(seconds)
        return values

    encoder.encode = timing
    return busy


def encode(encoder, paths: list[Path]) -> list[np.ndarray]:
    return encode_items(encoder, [Item(path.stem, path) for path in paths], num_workers=THREADS).values


@torch.inference_mode()
def plain(tower, paths: list[Path]) -> np.ndarray:
    transform = image_transform_v2(PreprocessCfg(), is_train=False)
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    return np.concatenate([tower(torch.stack([transform(Image.open(p)) for p in batch])).numpy() for batch in batches])
