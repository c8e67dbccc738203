"""`hf-audio` against the plain AutoModel on padded batches of 8 in corpus order: wav2vec2-base's shape, random weights.

Clip lengths as in EmoDB (0.9 to 9 s, mean 2.8 s) and, for one clip in sixteen, a tail of up to 20 s. Float32, the same
threads, decoding and normalisation included on both sides.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.utils import logging

from affectkit.encoders import hf_audio
from affectkit.encoders._encoder import Item, load
from affectkit.encoders._loop import encode_items

CLIPS, BATCH, RATE = 64, 8, 16000
logging.disable_progress_bar()


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, paths = make_checkpoint(Path(folder) / "base"), make_clips(Path(folder))
        encoder = hf_audio.build(checkpoint=str(checkpoint))
        load(encoder, "cpu")
        model, extractor = (
            AutoModel.from_pretrained(checkpoint).eval(),
            AutoFeatureExtractor.from_pretrained(checkpoint),
        )
        ours = peer = 0.0
        values = []
        for half in (paths[: CLIPS // 2], paths[CLIPS // 2 :]):  # in turns: other load on the machine meets both
            began = time.perf_counter()
            values += encode(encoder, half)
            ours += time.perf_counter() - began
            began = time.perf_counter()
            padded(model, extractor, half)
            peer += time.perf_counter() - began
        difference = invariance(encoder, paths, values)
    ratio = peer / ours
    return [
        {
            "what": f"wav2vec2-base of {CLIPS} clips, {torch.get_num_threads()} threads",
            "ours": f"{CLIPS / ours:.2f} clips/s",
            "peer": f"AutoModel, padded batches of {BATCH}: {CLIPS / peer:.2f} clips/s",
            "ratio": ratio,
            "target": ">= 1.8x",
            "ok": ratio >= 1.8,
        },
        {
            "what": "its largest relative change with the batch",
            "ours": f"{difference:.1e}",
            "peer": "1e-5",
            "ratio": difference / 1e-5,
            "target": "<= 1x of 1e-5",
            "ok": difference <= 1e-5,
        },
    ]


def make_checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def make_clips(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    seconds = np.clip(rng.lognormal(np.log(2.6), 0.4, CLIPS), 0.9, 9.0)
    seconds[rng.choice(CLIPS, CLIPS // 16, replace=False)] = rng.uniform(10, 20, CLIPS // 16)
    paths = [folder / f"{clip:03d}.wav" for clip in range(CLIPS)]
    for path, length in zip(paths, seconds, strict=True):
        soundfile.write(path, 0.1 * rng.standard_normal(int(length * RATE)), RATE)
    return paths


def encode(encoder, paths: list[Path], **options) -> list[np.ndarray]:
    items = [Item(path.stem, path, duration_sec=soundfile.info(path).duration) for path in paths]
    return encode_items(encoder, items, **options).values


@torch.inference_mode()
def padded(model, extractor, paths: list[Path]) -> None:
    for start in range(0, len(paths), BATCH):
        waves = [soundfile.read(path, dtype="float32")[0] for path in paths[start : start + BATCH]]
        batch = extractor(waves, sampling_rate=RATE, padding=True, return_tensors="pt")
        model(**batch).last_hidden_state.mean(dim=1)


def invariance(encoder, paths: list[Path], values: list[np.ndarray]) -> float:
    """The same clips again, in other batches and company."""
    some = list(range(0, CLIPS, 9))
    again = encode(encoder, [paths[clip] for clip in some], batch_seconds=1.0)
    return max(
        float(np.abs(one - values[clip]).max() / np.abs(values[clip]).max())
        for one, clip in zip(again, some, strict=True)
    )
