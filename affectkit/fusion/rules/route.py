"""Each row by the source that its column names, as its language; nothing is fitted

A row whose column has another value, or none, is answered by --default, or declined; both are counted by value.
Languages are told by what they are: `en-US` and `English` go to the source `en`. `predict` runs only the model that a
row needs.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Annotated, Any, Literal

import numpy as np

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.fusion.ensemble import Ensemble, check_names
from affectkit.fusion.rule import Rule, Sources
from affectkit.media.texts import LANGUAGE, language_code
from affectkit.registry import Option, check_values

log = logging.getLogger(__name__)

Unknown = Literal["default", "decline", "error"]


def build(
    *,
    by: Annotated[str, Option("Column whose value names the source that answers a row, such as language.")] = "",
    default: Annotated[str, Option("Source that answers rows of any other value, or of none.")] = "",
    unknown: Annotated[
        Unknown | None,
        Option(
            "What becomes of rows of any other value: default, decline or error.",
            default="default, or decline without --default",
        ),
    ] = None,
) -> Route:
    """The rule. Raises "usage" for a policy that cannot be."""
    check_values(build, {"unknown": unknown})
    unknown = unknown or ("default" if default else "decline")
    if (unknown == "default") != bool(default):
        what = f"--unknown {unknown} {'has no use for' if default else 'needs'} --default"
        raise AffectkitError("usage", what, remedy="leave one of them out" if default else "name a source with it")
    return Route(by=by, default=default, unknown=unknown)


class Route(Rule):
    """Parameters: `sources`, their names, sorted."""

    name = "route"
    single_group = True
    learns = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.columns = (options["by"],) if options["by"] else ()
        self._read = language_code if options["by"] == LANGUAGE else str

    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        names, default = list(Ensemble.of(sources, self.name).names), self.options["default"]
        if not self.columns:
            raise AffectkitError("usage", "route needs --by", remedy="name a column, such as --by language")
        values = [self._read(name) for name in names]
        if doubled := [name for name, value in zip(names, values, strict=True) if values.count(value) > 1]:
            what = f"the sources {' and '.join(doubled)} are called after one {LANGUAGE}"
            raise AffectkitError("usage", what, remedy="leave one of them out")
        if default and self._read(default) not in values:
            what = f"--default {default} is none of the sources {', '.join(names)}"
            raise AffectkitError("usage", what, remedy="name one of them")
        return {"sources": names}

    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        ensemble = Ensemble.of(sources, self.name)
        check_names(ensemble.names, parameters["sources"])
        assert rows is not None
        places = self._places(parameters, rows)
        each = np.arange(len(ensemble))
        values = np.where(places[:, None] < 0, np.nan, ensemble.shown()[places, each])
        return ensemble.answer(values, np.where(places < 0, np.nan, ensemble.variances[places, each]))

    def wanted(self, parameters: dict[str, Any], rows: GroundTruth) -> dict[str, np.ndarray]:
        places = self._places(parameters, rows)
        if unknown := self.unknown(parameters, rows):
            values = ", ".join(f"'{value}'" if value else "(empty)" for value in list(unknown)[:5])
            what = "%d of %d rows have a %s that no source is called (%s): %s"
            log.warning(what, sum(unknown.values()), len(rows), *self.columns, values, self.policy)
        return {name: places == place for place, name in enumerate(sorted(parameters["sources"]))}

    def unknown(self, parameters: dict[str, Any], rows: GroundTruth) -> dict[str, int]:
        """Values that no source is called -> how many rows have them, most first."""
        known = self.known_cells(parameters)[self.options["by"]]
        return dict(Counter(value for value in self._values(rows) if value not in known).most_common())

    @property
    def policy(self) -> str:
        """What becomes of rows of such values."""
        return f"answered by {self.options['default']}, the default" if self.options["default"] else "declined"

    def known_cells(self, parameters: dict[str, Any]) -> dict[str, list[str]]:
        return {column: [self._read(name) for name in sorted(parameters["sources"])] for column in self.columns}

    def _values(self, rows: GroundTruth) -> list[str]:
        return [self._read(cell) for cell in rows.columns[self.options["by"]].tolist()]

    def _places(self, parameters: dict[str, Any], rows: GroundTruth) -> np.ndarray:
        """[N] the place of each row's source among those of the parameters, -1 for none. Raises "input" naming the
        first row of another value, where that is an error."""
        (by,), values, names = self.columns, self._values(rows), parameters["sources"]
        place = {value: number for number, value in enumerate(self.known_cells(parameters)[by])}
        other = place[self._read(self.options["default"])] if self.options["default"] else -1
        places = np.array([place.get(value, other) for value in values], dtype=np.int64)
        if self.options["unknown"] == "error" and (places < 0).any():
            row = int((places < 0).argmax())
            what = f"{by} '{values[row]}' is none of {', '.join(names)}"
            raise AffectkitError("input", what, row=row + 1, remedy="fuse with --default NAME, or --unknown decline")
        return places
