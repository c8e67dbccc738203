"""Requests of one file each, by eight clients on loopback, against offline prediction of all files at once, in turns.

A linear model on openSMILE functionals, whose features take nearly all the time; decoding, HTTP and the clients are on
the side of the service.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
CLIENTS, ROUNDS = 8, 3


def run() -> list[dict]:
    from serving_kit import process

    with tempfile.TemporaryDirectory() as folder:
        model, clips = make_model(Path(folder))
        offline = predictor(model, clips)
        contents = [clip.read_bytes() for clip in clips]
        variables = {"AFFECTKIT_SERVE_QUEUE_ITEMS": 64}
        with process(model, **variables) as (_, address), ThreadPoolExecutor(CLIENTS) as clients:
            asking = httpx.Client(timeout=120)

            def ask(content):
                answer = asking.post(f"{address}/v1/predict", files={"files": content})
                assert answer.status_code == 200, answer.text

            list(clients.map(ask, contents[:CLIENTS]))
            served = alone = 0.0
            for _ in range(ROUNDS):
                began = time.perf_counter()
                list(clients.map(ask, contents))
                served += time.perf_counter() - began
                began = time.perf_counter()
                offline()
                alone += time.perf_counter() - began
    total, ratio = ROUNDS * len(clips), alone / served
    return [
        {
            "what": f"serve, {CLIENTS} clients, {len(clips)} clips",
            "ours": f"{total / served:.0f} clips/s",
            "peer": f"offline batch: {total / alone:.0f} clips/s",
            "ratio": ratio,
            "target": ">= 0.8x",
            "ok": ratio >= 0.8,
        }
    ]


def make_model(root):
    """A model folder, and the clips of its corpus."""
    lines = (
        f"synthesize emodb {root}/corpus --size 96 --speakers 4",
        f"prepare-manifest emodb {root}/corpus --folds speaker -o {root}/manifest",
        f"extract-features --manifest {root}/manifest --encoder opensmile -o {root}/features",
        f"train --manifest {root}/manifest --features {root}/features --model linear --cv -o {root}/model",
    )
    for line in lines:
        subprocess.run([sys.executable, "-m", "affectkit", *line.split()], check=True, capture_output=True)
    return root / "model", sorted((root / "corpus").rglob("*.wav"))


def predictor(model, clips):
    """Offline prediction of all clips, loaded and warm."""
    from affectkit.inference import Work, load_model, manifest_of_files

    loaded, rows = load_model(model), manifest_of_files(clips, {"audio"})
    loaded.predict(rows, Work(device="cpu"))
    return lambda: loaded.predict(rows, Work(device="cpu"))
