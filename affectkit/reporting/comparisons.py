"""Figures with intervals, one below the other: candidates, differences, coverage; and the weights of a fusion."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from affectkit.reporting.numbers import finite, is_number, ranged, shown, values_of
from affectkit.reporting.plots import NAMED_GROUPS
from affectkit.reporting.svg import BLUE, SOFT, VERMILLION, Plot, canvas, style, to_plot
from affectkit.reporting.whiskers import Look, Row, cut, name_lines, spoken, whiskers

PLAIN, MARKED, CHOSEN = Look(SOFT, filled=False), Look(BLUE), Look(VERMILLION, "D")
BETTER, WORSE = Look(BLUE, ">"), Look(VERMILLION, "<")


def forest(
    rows: Mapping[str, Row],
    *,
    metric: str,
    reference: tuple[str, float] | None = None,
    marked: Collection[str] = (),
    mark: str = "tie set",
    chosen: str | None = None,
) -> Plot:
    """Figures with their intervals, in the order given.

    reference: a name and the value of the line to compare with. marked: rows set apart, as `mark` says.
    """
    looks = [CHOSEN if name == chosen else MARKED if name in marked else PLAIN for name in rows]
    keys = [("chosen", CHOSEN)] * (chosen in rows) + [(mark, MARKED)] * bool(set(marked) & set(rows) - {chosen})
    alt = f"{metric} of {spoken(rows)}."
    line = None
    if reference is not None and is_number(reference[1]):
        line = (f"{reference[0]} {shown(float(reference[1]))}", float(reference[1]))
        alt += f" Line: {line[0]}."
    if chosen in rows:
        alt += f" Chosen: {chosen}."
    if marked:
        alt += f" {mark.capitalize()}: {', '.join(name for name in rows if name in marked)}."
    return whiskers(rows, looks, keys, alt, xlabel=metric, line=line)


def differences(rows: Mapping[str, Row], *, metric: str, against: str, higher_is_better: bool = True) -> Plot:
    """Paired differences to `against`, around 0; those whose interval excludes 0 are in colour."""
    low, high = (values_of(list(rows.values()), key) for key in ("low", "high"))
    above, below = low > 0, high < 0
    up, down = (BETTER, WORSE) if higher_is_better else (Look(VERMILLION, ">"), Look(BLUE, "<"))
    looks = [up if a else down if b else PLAIN for a, b in zip(above, below, strict=True)]
    said = ("better", "worse") if higher_is_better else ("worse", "better")
    keys = [(f"{said[0]} (above 0)", up)] * bool(above.any()) + [(f"{said[1]} (below 0)", down)] * bool(below.any())
    clear = int(above.sum() + below.sum())
    alt = f"{metric} minus that of {against}: {spoken(rows, '+')}. {clear} of {len(rows)} intervals exclude 0."
    return whiskers(rows, looks, keys, alt, xlabel=f"{metric} minus that of {cut(against)}", line=("", 0.0), sign="+")


def coverage(rows: Mapping[str, Row], *, nominal: float) -> Plot:
    """The share of rows whose set or interval holds the truth, per attribute, beside the nominal share (0 to 1)."""
    low, high = (values_of(list(rows.values()), key) for key in ("low", "high"))
    looks = [WORSE if h < nominal else BETTER if lo > nominal else PLAIN for lo, h in zip(low, high, strict=True)]
    keys = [("too low", WORSE)] * (WORSE in looks) + [("higher than needed", BETTER)] * (BETTER in looks)
    alt = f"Coverage, nominally {nominal:.1%}: {spoken(rows)}."
    line = (f"nominal {nominal:g}", nominal)
    return whiskers(rows, looks, keys, alt, xlabel="share of rows whose set or interval holds the truth", line=line)


def weights(names: Sequence[str], found: Mapping[str, Sequence[float]]) -> Plot:
    """A bar for each source, target by target. found: target -> one weight per name; NaN where a source has none.

    Of many, as many whole targets as make 40 bars.
    """
    size = max(len(names), 1)
    targets = list(found)[: max(NAMED_GROUPS // size, 1)]
    values = finite([value for target in targets for value in found[target]])
    heads = int(len(found) > 1)  # a line for the name of each target
    place = -np.array([i + heads * (1 + i // size) for i in range(len(values))], float)
    with style():
        figure = canvas(0.9 + 0.19 * (len(values) + heads * len(targets)))
        axes = figure.subplots()
        axes.barh(place, np.nan_to_num(values), color=BLUE, height=0.68)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        name_lines(axes, place, list(names) * len(targets), values)
        for position, target in enumerate(targets * heads):
            at, beside = -position * (size + 1), axes.get_yaxis_transform()
            axes.text(0.01, at, cut(target), transform=beside, va="center", fontsize=8, weight="bold")
        axes.set(xlabel="weight", ylim=(min(place, default=0) - 0.7, 0.7))
        if len(targets) < len(found):
            axes.set_title(f"The first {len(targets)} of {len(found)} targets")
        rows = {t: zip(names, values[i * size : (i + 1) * size], strict=True) for i, t in enumerate(targets)}
        said = (f"{t}: " + ", ".join(f"{n} {ranged({'value': v})}" for n, v in row) for t, row in rows.items())
        return to_plot(figure, f"Weights by target: {'; '.join(said) or 'none'}.")
