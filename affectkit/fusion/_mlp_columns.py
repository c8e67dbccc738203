"""The columns that a network of fusion reads: probabilities, numbers, cells of tables, and what of them is missing.

Probabilities enter as they are and not as logs: bounded, they can't throw a small network off. With one source, one of
noise and 300 rows of 7 classes, a network of nothing but log-probabilities lost .052 of UAR to that source alone, one
of probabilities .009.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Rows
from affectkit.errors import AffectkitError
from affectkit.fusion._rule import Sources, Table
from affectkit.fusion._stack import CONSTANT, Inputs

Scaler = list[dict[str, Any]]  # of each column that is read: source, column, missing, center, scale
Named = tuple[str, str, np.ndarray]  # source, column, [N] values
SOURCE = ""  # the column that stands for a source as a whole


@dataclass(frozen=True)
class Columns:
    """inputs: the sources. names: of the columns of tables, by source."""

    inputs: Inputs
    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, sources: Sources, rule: str) -> Columns:
        names = {name: source.names for name, source in sources.items() if isinstance(source, Table)}
        return cls(Inputs.of(sources, rule), names)

    def in_order(self, rows: Rows) -> tuple[Columns, Rows]:
        """Rows that have a source, in the order of what is in them. Raises "input" without any."""
        inputs, rows = self.inputs.in_order(rows)
        return Columns(inputs, self.names), rows

    def fit_scaler(self) -> Scaler:
        """`center` (mean of what is known) and `scale` (its deviation) of every column that varies."""
        found = []
        for missing, named in ((False, self._values()), (True, self._gaps())):
            for source, column, values in named:
                known = values[~np.isnan(values)]
                center, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
                if scale > CONSTANT * max(1.0, abs(center)):
                    one = {"source": source, "column": column, "missing": missing, "center": center, "scale": scale}
                    found.append(one)
        return found

    def standardised(self, scaler: Scaler) -> np.ndarray:
        """[P, N], NaN where missing. Raises "input" for a table that lacks a column."""
        there = {(source, column, False): values for source, column, values in self._values()}
        there |= {(source, column, True): values for source, column, values in self._gaps()}
        found = np.empty((len(scaler), len(self.inputs.known)))
        for place, one in enumerate(scaler):
            values = there.get((one["source"], one["column"], one["missing"]))
            if values is None:
                what = f"{one['source']} has no column '{one['column']}', which the fusion was fitted on"
                raise AffectkitError("input", what, remedy="give a table with the same columns")
            found[place] = (values - one["center"]) / one["scale"]
        return found

    def _values(self) -> Iterator[Named]:
        """Every column, NaN where missing."""
        of = self.inputs.panel
        names = of.target.classes or (of.target.name,)
        for source, shown in zip(of.names, of.shown(), strict=True):
            yield from ((source, name, values) for name, values in zip(names, shown.T, strict=True))
        for source, cells in self.inputs.tables.items():
            yield from ((source, name, values) for name, values in zip(self.names[source], cells, strict=True))

    def _gaps(self) -> Iterator[Named]:
        """1 where a source is missing, and where a cell of a table is that is there: else 0."""
        of = self.inputs.panel
        yield from ((source, SOURCE, (~known).astype(float)) for source, known in zip(of.names, of.known, strict=True))
        for source, cells in self.inputs.tables.items():
            missing = np.isnan(cells)
            gone = missing.all(axis=0)
            yield source, SOURCE, gone.astype(float)
            for name, own in zip(self.names[source], missing, strict=True):
                yield source, name, (own & ~gone).astype(float)
