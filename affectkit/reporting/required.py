"""What was required of figures, and whether they reach it: the section that pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affectkit.evaluation.requirements import UNDECIDABLE
from affectkit.reporting.page import Section, Table

UNDECIDED = "Undecidable: the threshold lies within the figure's interval, so that these rows do not tell."


def required_section(required: Sequence[Mapping[str, Any]] | None, title: str = "Requirements") -> list[Section]:
    """required: as `Requirement.judged` gives them; none, and no section, where nothing was required."""
    if not required:
        return []
    rows = {row["require"]: [row["of"], row, row["state"]] for row in required}
    note = UNDECIDED if any(row["state"] == UNDECIDABLE for row in required) else ""
    return [Section(title, tables=[Table("", "required", ["of", "figure", "state"], rows)], note=note)]
