"""`transcribe --engine hf` against transformers' own `generate` on padded batches of 8 in corpus order: Whisper base.

Real weights (`make test-pretrained` fetches them), and clips of EmoDB from AFFECTKIT_DATA, German; float32, the same
threads, greedy on both sides, decoding of files and features included. Where either is absent, the row says so.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast
from transformers.utils import logging

from affectkit.artifacts.transcripts import Cache
from affectkit.encoders._encoder import Item
from affectkit.encoders._loop import encode_shards
from affectkit.media import read_audio, read_header
from affectkit.transcribers import hf
from affectkit.transcribers._listen import BATCH_SEC, Listener, Listening

CLIPS, BATCH, RATE = 32, 8, 16000
logging.disable_progress_bar()
logging.set_verbosity_error()


def run() -> list[dict]:
    folder = Path(os.environ.get("AFFECTKIT_PRETRAINED", "runs/pretrained")) / "whisper-base"
    clips = sorted((Path(os.environ.get("AFFECTKIT_DATA", "")) / "emodb").rglob("*.wav"))[:: 512 // CLIPS][:CLIPS]
    if not folder.exists() or not clips:
        missing = {"what": "transcripts by Whisper base", "ours": "-", "peer": f"needs {folder} and EmoDB"}
        return [{**missing, "seconds": 0.0, "target": "-", "ok": True}]
    return [row(folder, clips, language) for language in ("de", "")]


def row(folder, clips, language):
    transcriber, peer = hf.build(device="cpu"), Peer(folder)
    transcriber.load(str(folder), batch_seconds=BATCH_SEC)
    listener = Listener(transcriber, Listening(dict.fromkeys(map(str, clips), language), -60.0), Cache())
    times, texts = np.zeros(2), ([], [])
    sides = (lambda part: ours(listener, part), lambda part: peer(part, language))
    for turn in range(len(clips) // BATCH):  # in turns, each first as often: other load on the machine meets both
        for side in (turn % 2, 1 - turn % 2):
            began = time.perf_counter()
            texts[side].extend(sides[side](clips[turn * BATCH : (turn + 1) * BATCH]))
            times[side] += time.perf_counter() - began
    same = sum(" ".join(one.split()) == " ".join(other.split()) for one, other in zip(*texts, strict=True))
    least = 0.95 if language else 1  # told, both do the same work, nearly all of it in the encoder
    told = f"told {language}" if language else "which tells the language"
    return {
        "what": f"transcripts by Whisper base, {told}: {len(clips)} clips, {torch.get_num_threads()} threads",
        "ours": f"{len(clips) / times[0]:.2f} clips/s",
        "peer": f"generate, padded batches of {BATCH}: {len(clips) / times[1]:.2f} clips/s, {same} texts the same",
        "ratio": times[1] / times[0],
        "target": f">= {least}x",
        "ok": times[1] >= least * times[0],
    }


def ours(listener, clips):
    items = [Item(str(path), path, duration_sec=read_header(path).duration) for path in clips]
    parts = encode_shards(listener, items, [range(len(items))], batch_seconds=float("inf"))
    return [transcript.text for part in parts for transcript in part.values]


class Peer:
    """The network as transformers' own loader and `generate` have it; the folder says nothing of how to generate."""

    def __init__(self, folder):
        self.model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
        self.extractor = WhisperFeatureExtractor.from_pretrained(folder)
        self.tokenizer = WhisperTokenizerFast.from_pretrained(folder)
        number, config = self.tokenizer.convert_tokens_to_ids, self.model.generation_config
        words = self.tokenizer.get_vocab()
        first, last = number("<|startoftranscript|>"), number("<|translate|>")
        config.lang_to_id = {word: place for word, place in words.items() if first < place < last}
        config.task_to_id = {task: number(f"<|{task}|>") for task in ("transcribe", "translate")}
        config.no_timestamps_token_id, config.is_multilingual = number("<|notimestamps|>"), True
        config.pad_token_id = config.eos_token_id = number("<|endoftext|>")
        config.decoder_start_token_id, config.max_length = first, 448
        config.begin_suppress_tokens = [*self.tokenizer.encode(" ", add_special_tokens=False), config.eos_token_id]

    def __call__(self, clips, language):
        texts = []
        for start in range(0, len(clips), BATCH):
            waves = [read_audio(path, rate=RATE)[0] for path in clips[start : start + BATCH]]
            features = self.extractor(waves, sampling_rate=RATE, return_tensors="pt").input_features
            how = {"language": language} if language else {}
            with torch.inference_mode():
                tokens = self.model.generate(features, task="transcribe", do_sample=False, num_beams=1, **how)
            texts += self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts
