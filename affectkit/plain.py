"""Values made plain: for JSON, and from what is typed."""

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


def comma_separated(text: str | None) -> list[str]:
    """`"sex, language,"` -> `["sex", "language"]`; nothing for None."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
