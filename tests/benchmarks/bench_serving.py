"""Requests of one file each, by 32 clients on loopback: against offline prediction of all files at once, and against
LitServe around the same model, in turns.

A linear model on openSMILE functionals, whose features take nearly all the time; decoding, HTTP and the clients are on
the side of the service. LitServe has one server and one worker, and batches as many rows, waiting as long.

pip install -e '.[bench,serve]' brings LitServe; python tests/benchmarks/bench.py serving
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
CLIENTS, ROUNDS, ROWS, WAIT = 32, 5, 32, 0.004
SAME = 1e-6
PATIENCE = 20  # s; LitServe 0.2.19 now and then leaves a request without an answer
PEER = Path(__file__).with_name("litserve_peer.py")


def run() -> list[dict]:
    from serving_kit import process

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CLIENTS) as clients:
        model, clips = make_model(Path(folder))
        offline = predictor(model, clips)
        contents = [clip.read_bytes() for clip in clips]
        limits = {"AFFECTKIT_SERVE_QUEUE_ITEMS": 64, "AFFECTKIT_SERVE_BATCH_ITEMS": ROWS}
        with process(model, **limits) as (_, address):
            runs = {"served": lambda: ours(clients, address, contents), "offline": offline}
            if not importlib.util.find_spec("litserve"):
                seconds = in_turns(runs)
                return [row(seconds, "offline", len(clips), 0.8), skipped("not installed")]
            with litserve(model) as peer:
                try:
                    seconds = in_turns(runs | {"LitServe": lambda: theirs(clients, peer, contents)})
                except httpx.TimeoutException:
                    seconds = in_turns(runs)
                    return [row(seconds, "offline", len(clips), 0.8), skipped(f"no answer within {PATIENCE} s")]
    return [row(seconds, "offline", len(clips), 0.8), row(seconds, "LitServe", len(clips), 0.85)]


def in_turns(runs):
    """Seconds of each, summed up; all of them give the same answers."""
    [first, *others] = [np.asarray(ask()) for ask in runs.values()]  # warm
    for other in others:
        assert np.allclose(other, first, rtol=0, atol=SAME)
    seconds = dict.fromkeys(runs, 0.0)
    for _ in range(ROUNDS):
        for name, ask in runs.items():
            began = time.perf_counter()
            ask()
            seconds[name] += time.perf_counter() - began
    return seconds


def row(seconds, peer, count, target):
    ratio = seconds[peer] / seconds["served"]
    speed = {name: f"{ROUNDS * count / value:.0f} clips/s" for name, value in seconds.items()}
    return {
        "what": f"serve, {CLIENTS} clients, {count} clips: {peer}",
        "ours": speed["served"],
        "peer": f"{peer}: {speed[peer]}",
        "ratio": ratio,
        "target": f">= {target}x",
        "ok": ratio >= target,
    }


def skipped(why):
    what, peer = f"serve, {CLIENTS} clients: LitServe", f"LitServe: {why}"
    return {"what": what, "ours": "", "peer": peer, "seconds": 0.0, "target": ">= 0.85x", "ok": True}


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
    """Offline prediction of all clips, by a model that stays loaded."""
    from affectkit.inference import Work, load_model, manifest_of_files

    loaded, rows = load_model(model), manifest_of_files(clips, {"audio"})
    return lambda: loaded.predict(rows, Work(device="cpu")).probabilities()


def ours(clients, address, contents):
    def ask(content):
        answer = client.post(f"{address}/v1/predict", files={"files": content}).raise_for_status().json()
        return list(answer["results"][0]["answers"]["label"]["probabilities"].values())

    with httpx.Client(timeout=120) as client:
        return list(clients.map(ask, contents))


def theirs(clients, address, contents):
    def ask(content):
        return client.post(f"{address}/predict", files={"files": content}).raise_for_status().json()["probabilities"]

    with httpx.Client(timeout=PATIENCE) as client:
        return list(clients.map(ask, contents))


@contextmanager
def litserve(model):
    from serving_kit import status_of, wait_until

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, PEER, model, str(port), str(ROWS), str(WAIT)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: status_of(f"http://127.0.0.1:{port}/health") == 200, 90, started)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(started.pid, signal.SIGKILL)  # its server and its worker outlive it
        started.wait(30)
