"""What a calibration makes of each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np

from affectkit.reporting.numbers import shown, thinned
from affectkit.reporting.svg import BLUE, GREEN, ORANGE, SOFT, VERMILLION, Plot, canvas, shorten, style, to_plot

NAMED_CURVES = 8  # above this many curves they are one crowd without a legend
AXIS_LINE = 38  # characters of an axis title

Curve = tuple[Any, Any]  # x [M], y [M]


def calibration_map(
    curves: Mapping[str, Curve], *, xlabel: str, ylabel: str, steps: bool = False, scale: Sequence[float] = (0.0, 1.0)
) -> Plot:
    """What a calibration makes of a value, over the identity. curves: class or target -> before [M], after [M].

    steps: each value holds up to the next one, as of isotonic regression or a histogram. scale: what both axes show
    at least.
    """
    drawn = {name: thinned(*curve) for name, curve in curves.items()}
    low, high = _reach(drawn.values(), scale)
    crowd = len(curves) > NAMED_CURVES
    looks = cycle([{"color": c, "linestyle": d} for d in ("-", (0, (4, 2))) for c in (BLUE, ORANGE, GREEN, VERMILLION)])
    with style():
        figure = canvas(4.4)
        axes = figure.subplots()
        axes.plot([low, high], [low, high], color=SOFT, linewidth=1, linestyle="--", label="unchanged")
        for (name, (x, y)), look in zip(drawn.items(), looks, strict=False):
            own = {"color": BLUE, "alpha": 0.45, "linewidth": 0.9} if crowd else {**look, "label": shorten(name)}
            axes.plot(x, y, drawstyle="steps-post" if steps else "default", **own)
        axes.set(xlabel=fill(xlabel, AXIS_LINE), ylabel=fill(ylabel, AXIS_LINE))
        axes.set(aspect="equal", xlim=(low, high), ylim=(low, high))
        figure.legend(loc="outside upper center", ncols=3, title=f"{len(curves)} curves" if crowd else None)
        said = "; ".join(f"{name}: {_ends(*curve)}" for name, curve in drawn.items())
        return to_plot(figure, f"{ylabel} against {xlabel}, over the identity. {said or 'No curve'}.")


def _reach(curves: Iterable[Curve], scale: Sequence[float]) -> tuple[float, float]:
    """Of both axes: the scale and every point."""
    values = np.concatenate([*(np.concatenate(curve) for curve in curves), np.asarray(scale, float)])
    margin = 0.02 * (values.max() - values.min()) or 0.5
    return float(values.min() - margin), float(values.max() + margin)


def _ends(x: np.ndarray, y: np.ndarray) -> str:
    if not len(x):
        return "nothing"
    places = dict.fromkeys((0, len(x) // 2, len(x) - 1))
    return ", ".join(f"{shown(float(x[i]))} becomes {shown(float(y[i]))}" for i in places)
