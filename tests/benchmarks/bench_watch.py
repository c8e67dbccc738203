"""`watch` at its default rate beside a training: what it costs the run, and how much of a core it takes itself.

The same training runs with a watcher on a terminal of its own and without, in turn; pairs change their order. The
watcher's share of a core is the harder figure: on a machine with a free core the run hardly notices it.
python tests/benchmarks/bench.py watch
"""

import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, COLUMNS, EPOCHS, PAIRS = 8000, 64, 20, 5
RATIO, SHARE = 0.99, 0.01


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make(work)
        ratios, shares = [], []
        for number in range(PAIRS):
            seconds = {}
            for watched in (number % 2 == 0, number % 2 == 1):
                seconds[watched], share = train(work, work / f"run-{number}-{watched}", watched)
                shares += [share] if watched else []
            ratios.append(seconds[False] / seconds[True])
    ratio, share = statistics.median(ratios), statistics.median(shares)
    what = f"train --model mlp, {ROWS:,} x {COLUMNS}, {EPOCHS} epochs, followed by watch"
    spread = f"{PAIRS} pairs, {min(ratios):.3f}x to {max(ratios):.3f}x"
    return [
        {
            "what": what,
            "ours": spread,
            "peer": "the same, not followed",
            "ratio": ratio,
            "target": f">= {RATIO}x",
            "ok": ratio >= RATIO,
        },
        {
            "what": "CPU of watch while it follows",
            "ours": f"{share:.2%} of a core",
            "peer": "",
            "seconds": share,
            "target": f"<= {SHARE:.0%}",
            "ok": share <= SHARE,
        },
    ]


def make(folder):
    """A manifest with two numbers to learn, and a table of features."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, COLUMNS))
    truth = values @ rng.normal(size=(COLUMNS, 2)) / COLUMNS**0.5 + rng.normal(size=(ROWS, 2))
    ids, speaker = [f"u{row:06}" for row in range(ROWS)], np.arange(ROWS) // 40
    pd.DataFrame(values, columns=[f"c{place}" for place in range(COLUMNS)]).assign(id=ids).to_csv(
        folder / "features.csv", index=False
    )
    manifest = pd.DataFrame({"id": ids, "valence": truth[:, 0], "arousal": truth[:, 1], "speaker": speaker})
    manifest.assign(split=np.where(speaker % 5, "train", "test")).to_csv(folder / "split.csv", index=False)


def train(folder, output, watched) -> tuple[float, float]:
    """Seconds from the first epoch to the last, by the log; the share of a core that the watcher took, start aside."""
    line = ["train", "--manifest", folder / "split.csv", "--features", folder / "features.csv", "--model", "mlp"]
    line += ["--target", "valence,arousal", "--epochs", EPOCHS, "--stopping-folds", 0, "--device", "cpu"]
    line += ["--no-importance", "--quiet", "-o", output]
    running = subprocess.Popen(command(*line), stdout=subprocess.DEVNULL)
    share = follow(running, output) if watched else 0.0
    assert running.wait() == 0
    log = pd.read_json(output / "log.jsonl", lines=True)
    epochs = pd.to_datetime(log[log["event"] == "epoch"]["time"])
    return (epochs.iloc[-1] - epochs.iloc[0]).total_seconds(), share


def follow(running, output) -> float:
    """Watch a run on a terminal until it has ended."""
    screen, terminal = pty.openpty()
    threading.Thread(target=drain, args=(screen,), daemon=True).start()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    watcher = subprocess.Popen(command("watch", "--wait", output), stdout=terminal, env=environment)
    while not (output / "log.jsonl").exists() and running.poll() is None:
        time.sleep(0.1)
    began, before = time.monotonic(), seconds_of(watcher.pid)
    running.wait()
    share = (seconds_of(watcher.pid) - before) / (time.monotonic() - began)
    assert watcher.wait(timeout=60) == 0
    return share


def drain(screen):
    try:
        while os.read(screen, 65536):
            pass
    except OSError:  # the watcher has closed it
        pass


def seconds_of(pid) -> float:
    """CPU seconds of a process so far; also of one that has ended, until it is waited for."""
    cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")


def command(*words):
    return [sys.executable, "-m", "affectkit", *map(str, words)]
