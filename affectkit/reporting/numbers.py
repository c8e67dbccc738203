"""How numbers are written for the eye, and made ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def shown(value: float) -> str:
    """A number for the eye: three decimals; counts and large numbers whole, tiny and huge ones in a few digits."""
    size = abs(value)
    if size < 1e15 and (isinstance(value, int) or 10_000 <= size < 1e7):
        return f"{value:.0f}"
    if size < 1e-9:  # rounding noise, such as the R2 of a mean
        return "0.000"
    return f"{value:.3f}" if 0.0005 <= size < 10_000 else f"{value:.3g}"


def ranged(figure: Mapping[str, Any], sign: str = "") -> str:
    """`0.712 [0.651, 0.773]`; no brackets where an end is unknown, `undefined` for no number at all.

    sign: `+` writes it before positive numbers too.
    """
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if not is_number(value):
        return "undefined"
    brackets = f" [{signed(low, sign)}, {signed(high, sign)}]" if is_number(low) and is_number(high) else ""
    return f"{signed(value, sign)}{brackets}"


def signed(value: Any, sign: str = "+") -> str:
    """`+0.012`, `-0.040`, `0.000`."""
    text = shown(float(value))
    return f"{sign}{text}" if float(text) > 0 else text


def is_number(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))


def finite(values: Any) -> np.ndarray:
    """[N] float64, with NaN for None and for the infinite."""
    found = np.asarray(values, float)
    return np.where(np.isfinite(found), found, np.nan)


def values_of(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """[N]: one key of each row; NaN where it is missing or None."""
    return finite([row.get(key) for row in rows])


def thinned(x: Any, y: Any, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A curve's known points in the order of x; of many, those nearest to evenly spaced x, and both ends."""
    x, y = finite(x), finite(y)
    known = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[known], kind="stable")
    x, y = x[known][order], y[known][order]
    if len(x) <= most:
        return x, y
    places = np.searchsorted(x, np.linspace(x[0], x[-1], most - 1))
    places = np.unique(np.append(places, len(x) - 1))
    return x[places], y[places]
