"""What all tools' answers have in common."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from affectkit.artifacts.annotations import in_utc


def put(labels: MutableMapping[str, str | float], name: str, values: Sequence[Any] | None) -> None:
    """Take what was chosen for a target, nothing or one. Raises ValueError for several."""
    chosen = [value for value in values or () if value is not None]
    if len(chosen) > 1 or (chosen and labels.get(name, chosen[0]) != chosen[0]):
        others = [labels[name], *chosen] if name in labels else chosen
        raise ValueError(f"{name} has several answers, {', '.join(map(str, others))}, and a row can have one")
    if chosen:
        labels[name] = chosen[0]


def utc(moment: str | float) -> str:
    """ISO 8601, or seconds since 1970, as `labels.jsonl` has it; "" for what is neither."""
    with suppress(ValueError, OverflowError, OSError):
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
        return in_utc(at if at.tzinfo else at.replace(tzinfo=UTC))
    return ""
