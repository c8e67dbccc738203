"""Training a second head on a frozen CLIP ViT-B/32 (random weights), from features that are there already, against
running the backbone in every epoch: 96 images, 12 epochs, float32, the same threads; loading and answering included.

The loss curves have to be the same: what is saved is work, not accuracy.
"""

import logging
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file

from affectkit.artifacts.manifest import read_manifest
from affectkit.encoders import open_clip as encoder
from affectkit.encoders._encoder import items, load
from affectkit.encoders._loop import extract
from affectkit.finetuning.finetune import finetune
from affectkit.finetuning.media.images import Images
from affectkit.finetuning.rows import Setup
from affectkit.models.image_libraries import build_open_clip
from affectkit.training.accelerating import open_accelerator
from affectkit.training.problem import Settings
from affectkit.training.stages import Stage

IMAGES, EPOCHS = 96, 12
PARTS = ("train",) * 4 + ("val", "test")


def run() -> list[dict]:
    logging.disable(logging.WARNING)  # the manifest names no groups
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, manifest = make_checkpoint(Path(folder)), make_manifest(Path(folder))
        extract_features(checkpoint, manifest, Path(folder) / "features")
        seconds, curves = {}, {}
        for how in ("features", "once", "always"):
            seconds[how], curves[how] = trained(checkpoint, manifest, Path(folder), how)
    logging.disable(logging.NOTSET)
    return [row(how, seconds, curves) for how in ("features", "once")]


def row(how: str, seconds: dict, curves: dict) -> dict:
    ratio = seconds["always"] / seconds[how]
    apart = float(np.abs(curves[how] - curves["always"]).max())
    least = 10 if how == "features" else 5  # encoding once is an epoch's worth of work
    what = {"features": "a second head on features", "once": "a first head, encoding once"}[how]
    return {
        "what": f"{what}: {EPOCHS} frozen epochs of {IMAGES} images, {torch.get_num_threads()} threads",
        "ours": f"{seconds[how]:.1f} s, losses within {apart:.0e}",
        "peer": f"the backbone in every epoch: {seconds['always']:.1f} s",
        "ratio": ratio,
        "target": f">= {least}x, losses within 1e-5",
        "ok": ratio >= least and apart < 1e-5,
    }


def trained(checkpoint: str, manifest: Path, folder: Path, how: str) -> tuple[float, np.ndarray]:
    """Seconds, and the losses of each epoch [epochs, 2]."""
    stage = Stage("frozen", "head", EPOCHS, "1e-3", "one-cycle")
    setup = Setup(Images(checkpoint), [stage], Settings(batch_size=32, num_workers=2))
    rows = read_manifest(manifest)
    place, given = folder / "runs" / how, folder / "features" if how == "features" else None
    place.mkdir(parents=True)
    with mock.patch.object(Setup, "encodes_once", how != "always"):
        began = time.perf_counter()
        finetune(rows, rows.chosen_targets("valence,arousal"), setup, place, open_accelerator("cpu"), features=given)
        seconds = time.perf_counter() - began
    return seconds, pd.read_csv(place / "history.csv")[["train_loss", "val_loss"]].to_numpy()


def make_checkpoint(folder: Path) -> str:
    import open_clip

    tower = build_open_clip(open_clip.get_model_config("ViT-B-32"))
    file = folder / "clip.safetensors"
    save_file({f"visual.{name}": tensor.contiguous() for name, tensor in tower.state_dict().items()}, file)
    return f"open_clip:ViT-B-32/{file}"


def make_manifest(folder: Path) -> Path:
    rng, table = np.random.default_rng(0), []
    for number in range(IMAGES):
        path = folder / f"{number:03d}.jpg"
        coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(path)
        valence, arousal = rng.uniform(-1, 1, 2)
        part = PARTS[number % len(PARTS)]
        table.append({"id": path.stem, "path": path, "split": part, "valence": valence, "arousal": arousal})
    pd.DataFrame(table).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def extract_features(checkpoint: str, manifest: Path, folder: Path) -> None:
    from affectkit.artifacts.runs import open_run

    built = encoder.build(checkpoint=checkpoint.removeprefix("open_clip:"))
    with open_run("extract-features", {"output_dir": folder}):
        load(built, "cpu")
        extract(built, items(read_manifest(manifest), built), folder)
