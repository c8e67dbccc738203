"""What a query leaves: a table of the rows to ask about, and in a few words what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import cells_of, output_columns
from affectkit.labeling.candidates import Candidates
from affectkit.labeling.query import Picked

if TYPE_CHECKING:
    import pandas as pd

# What a person who labels may want to see of a row, beside its media and before the answers.
SHOWN = ("text", "start_sec", "end_sec", "split")
MOST_NAMED = 8  # classes, or reasons, of a line


def queue_table(candidates: Candidates, picked: Sequence[Picked]) -> pd.DataFrame:
    """A row for each that was picked: `id`, `strategy`, `score`, `reason`, what the manifest says, then the answers."""
    import pandas as pd

    rows = [each.row for each in picked]
    frame = candidates.frame.iloc[rows].reset_index(drop=True)
    told: dict[str, Any] = {"id": frame["id"], "strategy": [each.strategy for each in picked]}
    told |= {"score": [each.score for each in picked], "reason": [each.reason for each in picked]}
    told |= candidates.media(rows)
    told |= {name: frame[name] for name in (*SHOWN, candidates.group) if name and name in frame}
    answered = candidates.pool(0).take(np.array(rows, int))
    for target, output in zip(candidates.targets, answered.outputs, strict=False):
        told |= output_columns(output)
        if target.name in frame:
            told[target.name] = frame[target.name]
    return pd.DataFrame(told)


def queue_facts(candidates: Candidates, picked: Sequence[Picked], strategies: Sequence[str]) -> dict[str, Any]:
    """How many rows there are of each strategy, predicted class and group, the most frequent first."""
    rows = np.array([each.row for each in picked], int)
    facts: dict[str, Any] = {"rows": len(rows), "of": len(candidates.frame), "left_out": dict(candidates.left_out)}
    facts["strategies"] = {name: sum(each.strategy == name for each in picked) for name in strategies}
    outputs = [output.take(rows) for output in candidates.pool(0).outputs if output.target.kind != "number"]
    facts["predicted"] = {output.target.name: _counts(output.classes) for output in outputs}
    if candidates.group and candidates.group in candidates.frame:
        cells = cells_of(candidates.frame[[candidates.group]].iloc[rows], candidates.group)
        facts |= {"group": candidates.group, "groups": _counts(cells)}
    return facts


def queue_lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts for the terminal."""
    lines = [f"{facts['rows']:,} rows of {facts['of']:,}: {_listed(facts['strategies'], ' by ')}"]
    lines += [f"{name} as predicted: {_listed(counts)}" for name, counts in facts["predicted"].items() if counts]
    if groups := facts.get("groups"):
        most = next(iter(groups))
        lines.append(f"of {len(groups):,} by {facts['group']}, at most {groups[most]:,} of one ({most})")
    return lines + [f"{number:,} not asked about: {why}" for why, number in facts["left_out"].items()]


def _counts(cells: np.ndarray) -> dict[str, int]:
    """Of each value but "", the most frequent first."""
    counts = Counter(cells[cells != ""].tolist())
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _listed(counts: Mapping[str, int], by: str = " ") -> str:
    each = [f"{number:,}{by}{name}" for name, number in counts.items()]
    more = len(each) - MOST_NAMED
    return ", ".join(each[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
