"""Fine-tuning speech against transformers' Trainer, set up as in its audio-classification example.

The same clips (lengths as in EmoDB, one in sixteen of 8 to 12 s), the wav2vec2-base shape with random weights, frozen
feature encoder, batches of 8, AdamW, float32, the same threads; decoding is included on both sides, validation on
neither. Each side is a process of its own, whose peak memory is measured; the two take turns.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CLIPS, BATCH, RATE, CLASSES = 32, 8, 16000, 4
ROUNDS = 2


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_checkpoint(folder / "base")
        make_clips(folder)
        found = {"ours": [], "peer": []}
        for _ in range(ROUNDS):
            for side in found:
                done = subprocess.run(
                    [sys.executable, __file__, side, str(folder)], capture_output=True, text=True, check=True
                )
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
    ours, peer = (
        {key: float(np.median([one[key] for one in found[side]])) for key in found[side][0]} for side in found
    )
    speed, memory = ours["clips_per_second"] / peer["clips_per_second"], ours["peak_gib"] / peer["peak_gib"]
    return [
        {
            "what": f"fine-tuning wav2vec2-base, {CLIPS} clips of varied length, batches of {BATCH}",
            "ours": f"{ours['clips_per_second']:.2f} clips/s",
            "peer": f"Trainer: {peer['clips_per_second']:.2f} clips/s",
            "ratio": speed,
            "target": ">= 1.3x",
            "ok": speed >= 1.3,
        },
        {
            "what": "its peak memory",
            "ours": f"{ours['peak_gib']:.2f} GiB",
            "peer": f"Trainer: {peer['peak_gib']:.2f} GiB",
            "ratio": memory,
            "target": "<= 1.05x",
            "ok": memory <= 1.05,
        },
        {
            "what": "its wait for data, share of the step",
            "ours": f"{ours['loader_wait']:.1%}",
            "peer": "5%",
            "ratio": ours["loader_wait"] / 0.05,
            "target": "<= 1x of 5%",
            "ok": ours["loader_wait"] <= 0.05,
        },
    ]


def make_checkpoint(folder: Path) -> None:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config(apply_spec_augment=False, layerdrop=0.0)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)


def make_clips(folder: Path) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    seconds = np.clip(rng.lognormal(np.log(2.6), 0.4, CLIPS), 0.9, 8.0)
    seconds[rng.choice(CLIPS, CLIPS // 16, replace=False)] = rng.uniform(8, 12, CLIPS // 16)
    lines = ["id,path,label,speaker,split,duration_sec"]
    for clip, length in enumerate(seconds):
        path = folder / f"{clip:03d}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(int(length * RATE)), RATE)
        lines.append(f"{clip:03d},{path},c{clip % CLASSES},s{clip % 6},train,{length}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def ours(folder: Path) -> dict[str, float]:
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.encoders._encoder import recordings
    from affectkit.finetuning.media._speech import Heard, SpeechExamples
    from affectkit.finetuning.media.speech import Speech
    from affectkit.finetuning.rows import truth_of
    from affectkit.models import speech_network
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.fit import Problem, Settings, fit
    from affectkit.training.journal import open_journal
    from affectkit.training.objective import build_objective
    from affectkit.training.stages import Stage

    manifest = read_manifest(folder / "train.csv")
    targets = manifest.chosen_targets(None)
    network = speech_network.build(str(folder / "base"), targets)
    truth = truth_of(manifest.rows, targets)
    examples = SpeechExamples(Speech(str(folder / "base")), recordings(manifest), truth, network, manifest.where)
    objective = build_objective(targets, truth, class_weight="none")
    problem = Problem(Heard(network), examples, None, objective, frozenset({"feature_encoder"}))
    with tempfile.TemporaryDirectory() as place:
        stages, settings = [Stage("full", "all", 2, "1e-5")], Settings(BATCH, num_workers=1, checkpoint_seconds=1e9)
        with open_journal(Path(place), "finetune", resumed=False, options={}):
            fit(problem, stages, settings, Path(place), open_accelerator("cpu"))
        events = map(json.loads, (Path(place) / "log.jsonl").read_text().splitlines())
        *_, speed = (event for event in events if event["event"] == "epoch")  # the first epoch warms up
    return {"clips_per_second": speed["rows_per_second"], "loader_wait": speed["loader_wait"]}


def peer(folder: Path) -> dict[str, float]:
    import time

    import soundfile
    import torch
    from transformers import (
        AutoFeatureExtractor,
        AutoModelForAudioClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    extractor = AutoFeatureExtractor.from_pretrained(folder / "base")
    model = AutoModelForAudioClassification.from_pretrained(folder / "base", num_labels=CLASSES)
    model.freeze_feature_encoder()
    paths = sorted(folder.glob("*.wav"))

    class Clips(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            wave = soundfile.read(paths[index], dtype="float32")[0][: 20 * RATE]
            return {"input_values": extractor(wave, sampling_rate=RATE)["input_values"][0], "labels": index % CLASSES}

    def collate(rows):
        batch = extractor.pad(
            [{"input_values": row["input_values"]} for row in rows], padding=True, return_tensors="pt"
        )
        return {**batch, "labels": torch.tensor([row["labels"] for row in rows])}

    times = []

    class Clock(TrainerCallback):
        def on_epoch_begin(self, *_, **__):
            times.append(time.perf_counter())

        def on_epoch_end(self, *_, **__):
            times[-1] = time.perf_counter() - times[-1]

    with tempfile.TemporaryDirectory() as place:
        arguments = TrainingArguments(
            place,
            per_device_train_batch_size=BATCH,
            num_train_epochs=2,
            learning_rate=1e-5,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            dataloader_num_workers=0,  # its default; a worker is a fork of a process of gigabytes
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        Trainer(model, arguments, data_collator=collate, train_dataset=Clips(), callbacks=[Clock()]).train()
    return {"clips_per_second": CLIPS / times[-1], "loader_wait": 0.0}


if __name__ == "__main__":
    import resource

    result = {"ours": ours, "peer": peer}[sys.argv[1]](Path(sys.argv[2]))
    result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(result))
