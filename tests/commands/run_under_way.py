"""A run folder as a training leaves it, written step by step by the test that watches it."""

import json
import math
from datetime import UTC, datetime

STEPS = (
    "fit,stage,epoch,step,seconds,steps,train_loss,learning_rate,gradient_norm,gradient_norm_max,rows_per_second,"
    "loader_wait,memory_mb"
)


class RunUnderWay:
    """clock: seconds, of this machine and of the run's alike; the test moves it."""

    def __init__(self, folder, *, command="train", model="mlp", targets=("valence", "arousal"), monitor="val_ccc"):
        self.folder, self.clock, self.monitor, self.targets = folder, 1_000_000.0, monitor, list(targets)
        self.command = command
        folder.mkdir(exist_ok=True)
        self.write("started.json", {"schema": 1, "command": command, "options": {"model": model}, "inputs": []})

    @property
    def time(self):
        return datetime.fromtimestamp(self.clock, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def write(self, name, data):
        (self.folder / name).write_text(json.dumps(data) + "\n")

    def tell(self, event, **facts):
        with open(self.folder / "log.jsonl", "a") as log:
            log.write(json.dumps({"time": self.time, "event": event, **facts}) + "\n")

    def start(self, *, resumed=False, host="node7", pid=1):
        self.tell("start", command=self.command, pid=pid, host=host, resumed=resumed, targets=self.targets)

    def fit(self, name="final", number=1, total=1, stage="mlp", epochs=50):
        self.tell("fit", fit=name, number=number, total=total, rows=80, val_rows=20, monitor=self.monitor)
        self.tell("stage", fit=name, stage=stage, epochs=epochs, batches=10, rates=[0.001, 0.001])

    def epoch(self, epoch, fit="final", stage="mlp", **figures):
        self.tell("epoch", fit=fit, **self.row(epoch, stage, **figures))

    def row(self, epoch, stage="mlp", **figures):
        row = {"stage": stage, "epoch": epoch, "step": 10 * epoch, "learning_rate": 0.001}
        row |= {"train_loss": math.exp(-epoch / 10), "val_loss": 0.5 + 0.01 * epoch, "val_ccc": 0.01 * epoch}
        row |= {f"val_{target}.{metric}": 0.01 * epoch for metric in ("ccc", "mae") for target in self.targets}
        return row | {"best": True} | figures

    def progress(self, done, total=500, fit="final", number=1, fits=1, **facts):
        place = {"stage": "mlp", "epoch": done // 10 + 1, "epochs": 50, "batch": done % 10, "batches": 10}
        facts = {"fit": fit, "fit_number": number, "fits": fits, **place, "done": done, "total": total, **facts}
        self.write("progress.json", {"time": self.time, "train_loss": 0.4, "rows_per_second": 142.3, **facts})

    def steps(self, count, fit="final"):
        rows = [f"{fit},mlp,1,{n},0.1,1,{2 / n},0.001,0.5,0.6,142.3,0.005,1203" for n in range(1, count + 1)]
        (self.folder / "steps.csv").write_text("\n".join([STEPS, *rows]) + "\n")

    def finish(self):
        (self.folder / "progress.json").unlink(missing_ok=True)
        self.tell("end", seconds=60.0)
        self.write("run.json", {"schema": 1, "command": self.command, "seconds": 61.0})
