"""Figures of a calibration: before and after it, and what it makes of each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.reporting.figures.evaluation import reliability_panels
from affectkit.reporting.figures.palette import BLUE, GREEN, INK, ORANGE, SOFT, VERMILLION
from affectkit.reporting.figures.svg import canvas, finite, legend_above, limits, panel, shorten, thinned, to_plot
from affectkit.reporting.page import Plot
from affectkit.results.words import is_number, ranged, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Before, after, and what else there is: apart in colour and in dashes.
LOOKS: tuple[tuple[str, Any], ...] = ((ORANGE, (0, (4, 2))), (BLUE, "-"), (GREEN, (0, (1, 1.2))), (VERMILLION, "-."))
FAR = 4.0  # standard deviations; residuals beyond are counted, not drawn


def reliability_pair(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    *,
    ece: tuple[float, float],
    null: tuple[Mapping[str, float] | None, Mapping[str, float] | None] = (None, None),
) -> Plot:
    """Two reliability diagrams side by side. before, after, each ece and null: as in `evaluation.reliability`."""
    with canvas(3.7) as figure:
        panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
        alt = "Reliability diagrams before and after."
        sides = zip(("before", "after"), (before, after), ece, null, panels.T, strict=True)
        for title, bins, error, expected, (above, below) in sides:
            points = reliability_panels(above, below, bins, thick=6)
            text, band = f"ECE {ranged({'value': error})}", _null(expected)
            above.set_title(f"{title}: {text}\n{band}")
            below.set(xlabel="confidence")
            below.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            alt += f" {title.capitalize()}: {text} ({band}), confidence and accuracy by bin {points}."
        panels[0, 0].set_ylabel("accuracy in the bin")
        panels[1, 0].set_ylabel("rows")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return to_plot(figure, alt)


def _null(null: Mapping[str, float] | None) -> str:
    if not null or null.get("ece_p95") is None:
        return "without a null band"
    return f"calibrated: 95 % below {shown(null['ece_p95'])}"


def risk_coverage(
    curves: Mapping[str, Curve],
    *,
    error: str,
    wanted: float | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> Plot:
    """The error of the kept rows against the share kept, the surest rows first; best the lower curve.

    curves: name -> coverage [M], risk [M]. error: what risk is, for the axis. wanted: the error that was asked for.
    chosen: `coverage`, `risk` and `threshold` of the point that reaches it.
    """
    drawn = {name: thinned(*curve) for name, curve in curves.items()}
    alt = "Error of the kept rows against the share of rows kept. "
    alt += " ".join(f"{name}: {_at(*curve)}." for name, curve in drawn.items())
    with panel(3.3) as (figure, axes):
        for (name, (x, y)), (colour, dashes) in zip(drawn.items(), cycle(LOOKS), strict=False):
            axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.6, label=shorten(name))
        if wanted is not None and is_number(wanted):
            axes.axhline(wanted, color=SOFT, linewidth=1, label=f"wanted {shown(float(wanted))}")
            alt += f" Wanted: {shown(float(wanted))}."
        if chosen and is_number(chosen.get("coverage")) and is_number(chosen.get("risk")):
            text = f"keep {chosen['coverage']:.1%}, error {shown(float(chosen['risk']))}"
            axes.plot(chosen["coverage"], chosen["risk"], "D", color=INK, markersize=6, label=text)
            threshold = chosen.get("threshold")
            since = f", confidence from {shown(float(threshold))}" if threshold is not None else ""
            alt += f" Chosen: {text}{since}."
        axes.set(xlabel="share of rows kept", ylabel=fill(error, AXIS_LINE), xlim=(0, 1.02))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:.0%}")
        legend_above(figure, axes, 2)
        return to_plot(figure, alt)


def _at(x: np.ndarray, y: np.ndarray) -> str:
    """The curve at some shares, for those who cannot see it."""
    if not len(x):
        return "no rows"
    places = dict.fromkeys(int(np.abs(x - share).argmin()) for share in (1.0, 0.75, 0.5, 0.25))
    return ", ".join(f"{shown(float(y[i]))} at {x[i]:.0%}" for i in places)


def interval_coverage(
    expected: Any, observed: Mapping[str, Any], residuals: Mapping[str, Any] | None = None, *, name: str
) -> Plot:
    """How often predicted intervals hold the truth, and the residuals over the predicted standard deviation.

    expected: [L] nominal shares. observed: before, after -> [L] shares. residuals: the same -> [N] z-scores.
    """
    expected = finite(expected)
    texts = []
    with canvas(3.0 if residuals else 3.9) as figure:
        panels = figure.subplots(1, 2 if residuals else 1, squeeze=False)[0]
        panels[0].plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="as it should be")
        for (label, values), (colour, dashes) in zip(observed.items(), cycle(LOOKS), strict=False):
            shares = finite(values)
            panels[0].plot(expected, shares, marker="o", color=colour, linestyle=dashes, markersize=3, label=label)
            held = (f"{e:.0%} hold {ranged({'value': o})}" for e, o in zip(expected, shares, strict=True))
            texts.append(f"{label.capitalize()}: {', '.join(held)}.")
        panels[0].set(xlabel="nominal coverage", ylabel="observed coverage", aspect="equal")
        panels[0].set(xlim=(0, 1), ylim=(-0.02, 1.02), xticks=np.arange(6) / 5)
        if residuals:
            texts += _residual_panel(panels[1], residuals)
        legend_above(figure, panels[0])
        return to_plot(figure, f"Intervals of {name}. {' '.join(texts)}")


def _residual_panel(axes: Axes, residuals: Mapping[str, Any]) -> list[str]:
    """Densities of z-scores over the standard normal; what was drawn, in words."""
    edges, grid = np.linspace(-FAR, FAR, 33), np.linspace(-FAR, FAR, 81)
    texts, beyond = [], []
    axes.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=SOFT, linewidth=1, linestyle="--")
    for (label, scores), (colour, dashes) in zip(residuals.items(), cycle(LOOKS), strict=False):
        z = np.asarray(scores, float)
        z = z[np.isfinite(z)]
        density = np.histogram(z, edges)[0] / (max(len(z), 1) * (edges[1] - edges[0]))
        axes.stairs(density, edges, color=colour, linestyle=dashes, linewidth=1.4)
        beyond.append(f"{(np.abs(z) > FAR).mean():.1%}" if len(z) else "no rows")
        spread = ranged({"value": z.std() if len(z) else None})
        texts.append(f"Residuals {label}: standard deviation {spread}, beyond {FAR:g} {beyond[-1]}.")
    axes.set(xlabel=f"residual / predicted sd\n(beyond {FAR:g}: {' → '.join(beyond)})", ylabel="density")
    axes.set(xlim=(-FAR, FAR))
    axes.set_ylim(bottom=0)
    return texts


# --- What a calibration makes of each value


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
    ends = limits(np.concatenate([np.empty(0), *(values for curve in drawn.values() for values in curve)]), scale, 0.02)
    crowd = len(curves) > NAMED_CURVES
    looks = cycle([{"color": c, "linestyle": d} for d in ("-", (0, (4, 2))) for c in (BLUE, ORANGE, GREEN, VERMILLION)])
    with panel(4.4) as (figure, axes):
        axes.plot(ends, ends, color=SOFT, linewidth=1, linestyle="--", label="unchanged")
        for (name, (x, y)), look in zip(drawn.items(), looks, strict=False):
            line: dict[str, Any] = {**look, "label": shorten(name)}
            line = {"color": BLUE, "alpha": 0.45, "linewidth": 0.9} if crowd else line
            axes.plot(x, y, drawstyle="steps-post" if steps else "default", **line)
        axes.set(xlabel=fill(xlabel, AXIS_LINE), ylabel=fill(ylabel, AXIS_LINE))
        axes.set(aspect="equal", xlim=ends, ylim=ends)
        legend_above(figure, axes, title=f"{len(curves)} curves" if crowd else None)
        texts = "; ".join(f"{name}: {_ends(*curve)}" for name, curve in drawn.items())
        return to_plot(figure, f"{ylabel} against {xlabel}, over the identity. {texts or 'No curve'}.")


def _ends(x: np.ndarray, y: np.ndarray) -> str:
    if not len(x):
        return "nothing"
    places = dict.fromkeys((0, len(x) // 2, len(x) - 1))
    return ", ".join(f"{shown(float(x[i]))} becomes {shown(float(y[i]))}" for i in places)
