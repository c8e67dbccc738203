"""Fine-tuning an image network against a plain timm training loop: MobileNetV3-Large from the same random weights.

Grey images of 48 x 48 pixels, as in FER2013, batches of 16, AdamW, cross-entropy with smoothed labels, float32, the
same augmentation; validation on neither side. The loop is timm's network and transform in torch's DataLoader with one
worker. Either side trains in one thread and loads in another one. Each is a process of its own; the two take turns, and
the first epoch warms up.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

IMAGES, BATCH, CLASSES, EPOCHS = 96, 16, 7, 2
NAME, AUGMENT, RATE, SMOOTHING = "mobilenetv3_large_100", "light", 1e-4, 0.1
ROUNDS = 3


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_weights(folder / "weights.safetensors")
        make_images(folder)
        measured = {"ours": [], "peer": []}
        for _ in range(ROUNDS):
            for side in measured:
                line = [sys.executable, __file__, side, str(folder)]
                done = subprocess.run(line, capture_output=True, text=True, check=True)
                measured[side].append(json.loads(done.stdout.splitlines()[-1]))
    speeds = {side: float(np.median([row["images_per_second"] for row in rows])) for side, rows in measured.items()}
    wait = float(np.median([row["loader_wait"] for row in measured["ours"]]))
    return [
        {
            "what": f"fine-tuning {NAME}, {IMAGES} images, batches of {BATCH}",
            "ours": f"{speeds['ours']:.1f} images/s",
            "peer": f"a plain timm loop: {speeds['peer']:.1f} images/s",
            "ratio": speeds["ours"] / speeds["peer"],
            "target": ">= 1.0x",
            "ok": speeds["ours"] >= speeds["peer"],
        },
        {
            "what": "its wait for images, share of the step",
            "ours": f"{wait:.1%}",
            "peer": "5 %",
            "ratio": wait / 0.05,
            "target": "< 1x of 5 %",
            "ok": wait < 0.05,
        },
    ]


def make_weights(file: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(NAME).state_dict(), file)


def make_images(folder: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    lines = ["id,path,label,split"]
    for number in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
        path = folder / f"{number:03d}.png"
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(path)
        lines.append(f"{number:03d},{path},c{number % CLASSES},train")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def ours(folder: Path) -> dict[str, float]:
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.finetuning.media.images import Images
    from affectkit.finetuning.rows import truth_of
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.fit import Problem, Settings, fit
    from affectkit.training.journal import open_journal
    from affectkit.training.objective import build_objective
    from affectkit.training.stages import Stage

    manifest = read_manifest(folder / "train.csv")
    targets = manifest.chosen_targets(None)
    medium = Images(f"timm:{NAME}/{folder}/weights.safetensors", augment=AUGMENT)
    network = medium.build(targets, 0)
    truth = truth_of(manifest.rows, targets)
    examples = medium.examples(medium.items(manifest), truth, network, manifest.where, train=True)
    objective = build_objective(targets, truth, class_weight="none", label_smoothing=SMOOTHING)
    problem = Problem(network, examples, None, objective, medium.frozen)
    settings = Settings(batch_size=BATCH, num_workers=1, checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory() as place:
        stages = [Stage("full", "all", EPOCHS, str(RATE))]
        with open_journal(Path(place), "finetune", resumed=False, options={}):
            fit(problem, stages, settings, Path(place), open_accelerator("cpu"))
        events = map(json.loads, (Path(place) / "log.jsonl").read_text().splitlines())
        speeds = [event for event in events if event["event"] == "epoch"][1:]
    return {
        "images_per_second": float(np.mean([epoch["rows_per_second"] for epoch in speeds])),
        "loader_wait": float(np.mean([epoch["loader_wait"] for epoch in speeds])),
    }


def peer(folder: Path) -> dict[str, float]:
    import time

    import timm
    import torch
    from PIL import Image
    from timm.data import create_transform, resolve_model_data_config

    from affectkit.media.augment_images import parse

    model = timm.create_model(NAME, num_classes=CLASSES, drop_rate=0.1).train()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    effects, paths = parse(AUGMENT), sorted(folder.glob("*.png"))

    class Faces(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            image = np.asarray(Image.open(paths[index]).convert("RGB"))
            image = effects.augment(image, np.random.default_rng(torch.randint(1 << 31, ()).item()))
            return transform(Image.fromarray(image)), index % CLASSES

    loader = torch.utils.data.DataLoader(Faces(), BATCH, shuffle=True, num_workers=1, persistent_workers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    times = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        for pixels, labels in loader:
            loss = loss_of(model(pixels), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        times.append(time.perf_counter() - began)
    return {"images_per_second": IMAGES / float(np.mean(times[1:])), "loader_wait": 0.0}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(json.dumps({"ours": ours, "peer": peer}[sys.argv[1]](Path(sys.argv[2]))))
