"""Where networks are trained: a folder for each fit, in which an interrupted run goes on, gone when all is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from affectkit.artifacts.files import read_json, write_json
from affectkit.console import Progress
from affectkit.estimators._estimator import Estimator, Place, TrainedInEpochs
from affectkit.estimators._fit import TargetModel, load_target
from affectkit.labels import Target

FITS, FITTED = "fits", "fitted.json"
OUTCOME = ("chosen", "search", "history", "sweeps")  # of a fitted target, besides what predicts
MOST_READERS = 4  # threads; each holds two batches of frames, and more read no faster


def place_of(estimator: Estimator, folder: Path, device: str, num_workers: int) -> Place | None:
    """Where an estimator that is trained in epochs works; None for the others. num_workers: threads that read frames.

    Raises as `open_accelerator` does.
    """
    if not isinstance(estimator, TrainedInEpochs):
        return None
    from affectkit.training.accelerating import open_accelerator

    return Place(folder, open_accelerator(device), min(num_workers, MOST_READERS))


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(folder / FITS, ignore_errors=True)


@dataclass(frozen=True)
class Fits:
    """The fits of a target: `first`, `first` + 1, ... of `total`, with what is said of them, and where they work."""

    first: int
    total: int
    progress: Progress
    place: Place | None = None

    def done(self, number: int) -> None:
        self.progress(self.first + number + 1, self.total)

    def run(
        self, number: int, estimator: Estimator, target: Target, fit: Callable[[Estimator], TargetModel]
    ) -> TargetModel:
        """`fit` of the estimator, which works in a place of its own; read back, where it was done before."""
        if self.place is None or not isinstance(estimator, TrainedInEpochs):
            return fit(estimator)
        place = self._place(self.place, self.first + number)
        record = place.folder / FITTED
        if not record.exists():
            model = fit(estimator.at(place))
            model.save(place.folder)
            write_json(record, {name: getattr(model, name) for name in OUTCOME})
        for left in [folder for folder in place.folder.iterdir() if folder.is_dir()]:
            shutil.rmtree(left)
        known = read_json(record, what="fit")
        return replace(load_target(place.folder, target, estimator), **{name: known[name] for name in OUTCOME})

    def _place(self, place: Place, number: int) -> Place:
        what = f"fit {number + 1} of {self.total}: " if self.total > 1 else ""
        say = lambda note: self.progress(number, self.total, what + note)  # noqa: E731
        return replace(place, folder=place.folder / FITS / f"{number:03d}", say=say)
