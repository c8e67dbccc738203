"""`steps.csv`: how training went from step to step, in a table that stays small however long it is."""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_text

MOST = 2000  # rows
SECONDS = 0.5  # between looks at the memory, and between writes
GPU_MEMORY = "gpu_memory_mb"
COLUMNS = (
    "fit", "stage", "epoch", "step", "seconds", "steps", "train_loss", "learning_rate", "gradient_norm",
    "gradient_norm_max", "rows_per_second", "loader_wait", "memory_mb",
)  # fmt: skip


@dataclass(slots=True)
class Steps:
    """`steps` steps of a fit, and what they sum up to. epoch, step: of the last one. norms: of `normed` steps whose
    gradient's norm is finite. waited: seconds that they stood still for data. memory, gpu_memory: the most, in MB."""

    fit: str
    stage: str
    epoch: int
    step: int
    steps: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    norms: float = 0.0
    normed: int = 0
    norm_max: float = -math.inf
    rows: float = 0.0
    waited: float = 0.0
    memory: float = math.nan
    gpu_memory: float = math.nan

    def joined(self, later: Steps) -> Steps:
        """With the steps of a row that follows."""
        summed = ("steps", "seconds", "loss", "rate", "norms", "normed", "rows", "waited")
        both: dict[str, Any] = {name: getattr(self, name) + getattr(later, name) for name in summed}
        both |= {
            name: _most(getattr(self, name), getattr(later, name)) for name in ("norm_max", "memory", "gpu_memory")
        }
        return replace(later, **both)

    def cells(self) -> list[object]:
        """As `COLUMNS` has them, and the memory of the GPU."""
        seconds, normed = max(self.seconds, 1e-9), self.normed or math.nan
        means = (self.loss / self.steps, self.rate / self.steps, self.norms / normed)
        rest = (self.norm_max, self.rows / seconds, self.waited / seconds, self.memory, self.gpu_memory)
        numbers = [f"{value:.6g}" if math.isfinite(value) else "" for value in (*means, *rest)]
        return [self.fit, self.stage, self.epoch, self.step, f"{self.seconds:.6g}", self.steps, *numbers]

    @classmethod
    def of_cells(cls, row: dict[str, str]) -> Steps:
        """What `cells` made of one, to six digits. Raises ValueError or KeyError for anything else."""
        steps, seconds = int(row["steps"]), float(row["seconds"])
        number = {name: float(row[name]) if row.get(name) else math.nan for name in (*COLUMNS[6:], GPU_MEMORY)}
        norm, norm_max = number["gradient_norm"], number["gradient_norm_max"]
        return cls(
            row["fit"], row["stage"], int(row["epoch"]), int(row["step"]), steps, seconds,
            number["train_loss"] * steps, number["learning_rate"] * steps,
            0.0 if math.isnan(norm) else norm * steps, 0 if math.isnan(norm) else steps,
            -math.inf if math.isnan(norm_max) else norm_max,
            number["rows_per_second"] * seconds, number["loader_wait"] * seconds, number["memory_mb"],
            number[GPU_MEMORY],
        )  # fmt: skip


def _most(first: float, second: float) -> float:
    return second if math.isnan(first) else first if math.isnan(second) else max(first, second)


class StepTable:
    """The table of a run's steps, in a file that grows by lines. A row stands for `per_row` steps of one stage of one
    fit; once there are `MOST` rows, neighbours are joined, and each stands for twice as many from then on.

    What is not yet written when a process is killed is lost, but nothing that came before a checkpoint
    (`write_pending`).
    """

    def __init__(self, path: Path, *, resumed: bool = False) -> None:
        """resumed: go on with the file that is there; a line that a killed process did not finish is dropped."""
        self.path, self.per_row = path, 1
        self.rows = list(_read(path)) if resumed else []
        self.pending: Steps | None = None
        self.looked, self.memory, self.gpu_memory = -math.inf, math.nan, math.nan
        self.lines: list[str] = []
        self.file: io.FileIO | None = None
        self.columns: tuple[str, ...] = ()
        for row in self.rows:
            while self.per_row < row.steps:
                self.per_row *= 2

    def drop_after(self, fit: str, step: int) -> None:
        """Forget the steps of a fit after `step`: they are trained again."""
        kept = [row for row in self.rows if row.fit != fit or row.step <= step]
        if len(kept) < len(self.rows):
            self.rows = kept
            self._rewrite()

    def add(
        self, fit: str, stage: str, epoch: int, step: int, *, seconds: float, loss: float, rate: float, norm: float,
        rows: int, waited: float, device: Any,
    ) -> None:  # fmt: skip
        """A step. step: its number in the fit, from 1. loss: the mean over its batches."""
        now = time.monotonic()
        if now - self.looked > SECONDS:
            self.looked = now
            self.memory, self.gpu_memory = memory_mb(), gpu_memory_mb(device)
            self._flush()
        row = self.pending
        if row is None or row.stage != stage or row.fit != fit:
            self._close()
            row = self.pending = Steps(fit, stage, epoch, step)
        row.epoch, row.step = epoch, step
        row.steps += 1
        row.seconds += seconds
        row.loss += loss
        row.rate += rate
        row.rows += rows
        row.waited += waited
        if math.isfinite(norm):
            row.norms += norm
            row.normed += 1
            row.norm_max = max(row.norm_max, norm)
        row.memory, row.gpu_memory = _most(row.memory, self.memory), _most(row.gpu_memory, self.gpu_memory)
        if row.steps >= self.per_row:
            self._close()

    def write_pending(self) -> None:
        """Write what there is, the last row though it is not full."""
        self._close()
        self._flush()

    def close(self) -> None:
        self.write_pending()
        if self.file is not None:
            self.file.close()

    def _close(self) -> None:
        """End the row under way."""
        row, self.pending = self.pending, None
        if row is None:
            return
        self.rows.append(row)
        if len(self.rows) >= MOST:
            self._halve()
        else:
            self.lines.append(_line(row.cells()[: len(self.columns) or None]))

    def _halve(self) -> None:
        """Join neighbours until the table is half as long at most. Rows of different stages or fits are never joined:
        where these alone are too many, the first ones go."""
        least = sum(1 for _ in itertools.groupby(self.rows, lambda row: (row.fit, row.stage)))
        while len(self.rows) > max(least, MOST // 2):
            self.per_row *= 2
            joined: list[Steps] = []
            for row in self.rows:
                last = joined[-1] if joined else None
                alike = last is not None and (last.fit, last.stage) == (row.fit, row.stage)
                if last is not None and alike and last.steps + row.steps <= self.per_row:
                    joined[-1] = last.joined(row)
                else:
                    joined.append(row)
            self.rows = joined
        self.rows = self.rows[-MOST // 2 :]
        self._rewrite()

    def _flush(self) -> None:
        if not self.lines:
            return
        if self.file is None or (len(self.columns) == len(COLUMNS) and not math.isnan(self.gpu_memory)):
            self._rewrite()  # the first time, or a column has come
            return
        write_whole(self.file, "".join(self.lines), self.path)
        self.lines = []

    def _rewrite(self) -> None:
        """Write the whole table anew, so that the file is whole at any time."""
        on_gpu = any(not math.isnan(row.gpu_memory) for row in self.rows)
        self.columns = (*COLUMNS, GPU_MEMORY) if on_gpu else COLUMNS
        lines = [_line(self.columns), *(_line(row.cells()[: len(self.columns)]) for row in self.rows)]
        if self.file is not None:
            self.file.close()
        write_text(self.path, "".join(lines))
        self.lines, self.file = [], io.FileIO(self.path, "a")


def write_whole(file: io.FileIO, text: str, path: Path) -> None:
    """Write all of a text, unbuffered. Raises OSError naming the file."""
    data = text.encode()
    try:
        while data:
            data = data[file.write(data) or 0 :]
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _read(path: Path) -> Iterator[Steps]:
    """The rows of a file, up to one that is not whole."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    for row in csv.DictReader(io.StringIO(whole)):
        try:
            yield Steps.of_cells({name: cell for name, cell in row.items() if name})
        except (ValueError, KeyError, TypeError):
            return


def _line(cells: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]
    return line.getvalue()


_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6 if hasattr(os, "sysconf") else math.nan


def memory_mb() -> float:
    """Of this process, as it is now; where the system does not tell that, the most that it ever was."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as handle:
        return int(handle.read().split()[1]) * _PAGE_MB
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3


def gpu_memory_mb(device: Any) -> float:
    """The most that tensors took on a GPU so far; NaN on any other device."""
    if device.type != "cuda":
        return math.nan
    import torch

    return torch.cuda.max_memory_allocated(device) / 1e6
