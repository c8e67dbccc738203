"""TensorBoard's event files, read with its own package: the curves of one training, as a row per step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError, listed

EVENTS = "*tfevents*"
FINAL = "final"  # the fit that is the model's own
PARTS = ("train", "validation")  # folders of Keras' callback, which has the same names in both

Row = dict[str, Any]


def event_files(folder: Path) -> list[Path]:
    """Of a folder and, where it has none itself, of its folders."""
    return sorted(folder.glob(EVENTS)) or sorted(folder.glob(f"*/{EVENTS}"))


def read_scalars(path: Path) -> list[Row]:
    """A row per step, of all that has a value there; of our own runs the curves of one fit.

    path: a file, a folder of files, or one of a folder of them, or of Keras' two, whose names then stand before their
    curves: `validation/epoch_loss`. Raises "input" for a folder of several trainings or without a number, "environment"
    without the package tensorboard.
    """
    by_step: dict[int, Row] = {}
    for place in _places(path):
        before = f"{place.name}/" if place != path and place.name in PARTS else ""
        for name, step, value in _points(place):
            by_step.setdefault(step, {"step": step})[before + name] = value if math.isfinite(value) else math.nan
    if not by_step:
        raise AffectkitError("input", "holds no scalars", file=path, remedy="name a folder of event files with losses")
    return _of_one_fit([by_step[step] for step in sorted(by_step)])


def _places(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    places = sorted({file.parent for file in event_files(path)})
    if len(places) > 1 and not {place.name for place in places} <= {*PARTS}:
        what = f"holds several trainings: {listed([place.name for place in places], 5)}"
        raise AffectkitError("input", what, file=path, remedy="name one of them")
    return places


def _points(place: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of each point."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        what, remedy = "is TensorBoard's, which needs the package tensorboard", "run pip install 'affectkit[track]'"
        raise AffectkitError("environment", what, file=place, remedy=remedy) from None
    events = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    points = [
        (tag, point.step, float(point.value)) for tag in events.Tags()["scalars"] for point in events.Scalars(tag)
    ]
    for tag in events.Tags()["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":  # as TensorFlow writes them
            points += [(tag, p.step, float(make_ndarray(p.tensor_proto).item())) for p in events.Tensors(tag)]
    return points


def _of_one_fit(rows: list[Row]) -> list[Row]:
    """Our trackers write `<fit>/<column>` for each fit of a run, or the model's own without: that, else the first."""
    names = dict.fromkeys(name for row in rows for name in row)
    fits = [name.removesuffix("/epoch") for name in names if name.endswith("/epoch") and f"{name[:-6]}/step" in names]
    if not fits:
        return rows
    if "epoch" in names:
        kept = ({n: v for n, v in row.items() if n.partition("/")[0] not in fits} for row in rows)
        return [row for row in kept if "epoch" in row]
    before = f"{FINAL if FINAL in fits else fits[0]}/"
    kept = ({n.removeprefix(before): v for n, v in row.items() if n.startswith(before)} for row in rows)
    return [row for row in kept if row]
