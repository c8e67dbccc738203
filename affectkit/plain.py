"""Values made plain: for JSON, for the eye, and from what is typed."""

from pathlib import Path
from typing import Any


def without_nan(value: Any) -> Any:
    """`value` with every non-finite float replaced by None, and numpy scalars, tuples and paths made plain."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return without_nan(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def readable(name: str | Path) -> str:
    """A file's name, with what is not UTF-8 in it as `\\xe4`: no table takes what Python makes of such bytes."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


RENAME = "rename it, for example with convmv -f latin1 -t utf8"


def comma_separated(text: str | None) -> list[str]:
    """`"sex, language,"` -> `["sex", "language"]`; nothing for None."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def shown(value: float) -> str:
    """A number for the eye: three decimals; counts and large numbers whole, tiny and huge ones in a few digits."""
    size = abs(value)
    if size < 1e15 and (isinstance(value, int) or 10_000 <= size < 1e7):
        return f"{value:.0f}"
    if size < 1e-9:  # rounding noise, such as the R2 of a mean
        return "0.000"
    return f"{value:.3f}" if 0.0005 <= size < 10_000 else f"{value:.3g}"
