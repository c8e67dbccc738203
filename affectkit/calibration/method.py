"""A fitted calibration: what `calibration.json` holds, and its application to answers."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affectkit import registry
from affectkit.artifacts.arrays import check_numbers
from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import CALIBRATION, read_spec, read_stage, whole
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labels import Target

log = logging.getLogger(__name__)


# --- What a calibration method is


Kind = Literal["class", "number"]


class Method(ABC):
    """Fits plain parameters on answers and truth, and applies them to any answers of the same target.

    options: resolved; `build(**options)` gives the same method. kinds: of targets that it takes (an ordinal target is a
    class). single_group: whether it may be fitted on the rows of one group (few parameters). columns: the further
    columns of text that it needs of every row, in `GroundTruth.columns`.
    """

    name: str
    kinds: tuple[Kind, ...] = ("class",)
    single_group: bool = False
    columns: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        self.options = options

    def planned(self, rows: GroundTruth) -> Method:
        """The method for the fits of all folds, once it has seen which rows the final one has; their truth must not be
        looked at."""
        return self

    @abstractmethod
    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        """Parameters that JSON can hold (lists, numbers, text, None; `calibration.json`), from rows that all have a
        truth and an answer, in no particular order: permuting them changes nothing.

        Raises AffectkitError "input" where the rows allow no fit, saying what would.
        """

    @abstractmethod
    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        """Calibrated answers, a row at a time: no row's answer depends on another. `rows.truth` must not be looked at
        (it is NaN here). Declined rows (NaN) stay declined. Never raises for a value that `fit` did not meet."""

    def unclamped(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        """A number's answers before they are held to its target's scale."""
        return self.apply(parameters, output, rows)

    def known_cells(self, parameters: dict[str, Any]) -> dict[str, list[str]]:
        """Column -> values that it knows, on which parameters are tried out when they are loaded."""
        return {}

    @abstractmethod
    def check(self, parameters: dict[str, Any], target: Target) -> None:
        """Raises ValueError, KeyError or TypeError for parameters, as a file has them, that `fit` cannot give."""


# --- A calibration fitted for each value of a column, such as a language, on the rows of that value alone


LEAST_ROWS = 100  # of a value, for a fit of its own
MOST_VALUES = 50


class PerValue(Method):
    """Parameters: `overall`, of all rows; `values`, by value: how many `rows` it has, and its `parameters`, None where
    it has the fit of all rows: it has too few, or they allow no fit. So has a value that no fit row has."""

    def __init__(self, method: Method, per: str, min_rows: int, chosen: tuple[str, ...] | None = None) -> None:
        """chosen: the values that get a fit of their own, where that is decided; by default those of enough rows."""
        if min_rows < 1:
            raise AffectkitError("usage", f"--min-rows {min_rows}", remedy="give 1 or more")
        super().__init__(**{**method.options, "per": per, "min_rows": min_rows})
        self.method, self.per, self.min_rows, self.chosen = method, per, min_rows, chosen
        self.name, self.kinds, self.single_group = method.name, method.kinds, method.single_group
        self.columns = (per, *method.columns)

    def planned(self, rows: GroundTruth) -> PerValue:
        """Each fold's fit has a fit for the values for which the final one has, though it has fewer rows of them.

        Raises "input" for a column of too many values.
        """
        if (count := len(list(self._values(rows)))) > MOST_VALUES:
            remedy = f"name one of {MOST_VALUES} values at most, such as language"
            raise AffectkitError("input", f"--per: the column '{self.per}' has {count} values", remedy=remedy)
        chosen = tuple(value for value, at in self._values(rows) if self._enough(rows.take(at)))
        return PerValue(self.method, self.per, self.min_rows, chosen)

    def fit(self, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any]:
        overall = self.method.fit(output, rows)
        values: dict[str, dict[str, Any]] = {}
        for value, at in self._values(rows):
            alone = self._enough(rows.take(at)) if self.chosen is None else value in self.chosen
            parameters = self._fitted(value, output.take(at), rows.take(at)) if alone else None
            values[value] = {"rows": len(at), "parameters": parameters}
        return {"overall": overall, "values": values}

    def _fitted(self, value: str, output: TargetPrediction, rows: GroundTruth) -> dict[str, Any] | None:
        try:
            return self.method.fit(output, rows)
        except AffectkitError as error:
            if error.code != "input":
                raise
            log.warning("%s %s has the fit of all rows: %s", self.per, value, error.message)
            return None

    def apply(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        return self._applied(self.method.apply, parameters, output, rows)

    def unclamped(self, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        return self._applied(self.method.unclamped, parameters, output, rows)

    def _applied(
        self, apply: Any, parameters: dict[str, Any], output: TargetPrediction, rows: GroundTruth
    ) -> TargetPrediction:
        calibrated = apply(parameters["overall"], output, rows)
        for value, at in self._values(rows):
            if fitted := parameters["values"].get(value, {}).get("parameters"):
                calibrated = calibrated.put(at, apply(fitted, output.take(at), rows.take(at)))
        return calibrated

    def check(self, parameters: dict[str, Any], target: Target) -> None:
        self.method.check(parameters["overall"], target)
        for value, fitted in dict(parameters["values"]).items():
            if not isinstance(fitted["rows"], int):
                raise ValueError(f"the rows of {value} are no number")
            if fitted["parameters"] is not None:
                self.method.check(fitted["parameters"], target)

    def known_cells(self, parameters: dict[str, Any]) -> dict[str, list[str]]:
        return {self.per: [*parameters["values"], ""]}

    def _values(self, rows: GroundTruth) -> Iterator[tuple[str, np.ndarray]]:
        """Each value that there is, sorted, and the positions of its rows."""
        cells = rows.columns[self.per].astype(str)
        for value in sorted(set(cells.tolist()) - {""}):
            yield value, np.flatnonzero(cells == value)

    def _enough(self, rows: GroundTruth) -> bool:
        """Whether a value's rows allow a fit, which must not be of one group alone where the method may not."""
        alone = len(set(rows.groups.tolist())) == 1 and rows.groups[0] != ""
        return len(rows) >= self.min_rows and (self.single_group or not alone)


# --- What `calibration.json` holds


NONE = "none"  # the method of a target that is best left as it is


@dataclass(frozen=True)
class CalibrationModel:
    """targets: name -> {"method", "options", "parameters"}."""

    targets: Mapping[str, Mapping[str, Any]]

    @property
    def columns(self) -> list[str]:
        """The columns of text that rows must have."""
        methods = [self.method(name) for name in self.targets]
        return list(dict.fromkeys(column for method in methods if method for column in method.columns))

    def method(self, target: str) -> Method | None:
        """The method of a target, None where it is left as it is."""
        fitted = self.targets[target]
        return None if fitted["method"] == NONE else build_method(fitted["method"], fitted["options"])

    def wanted(self, rows: GroundTruth) -> None:
        """As a fusion says which of its parents a row needs: the one for all."""

    def known_cells(self, target: str) -> dict[str, list[str]]:
        method = self.method(target)
        return method.known_cells(self.targets[target]["parameters"]) if method else {}

    def apply(self, output: TargetPrediction, rows: GroundTruth) -> TargetPrediction:
        """Calibrated answers of one target; those of a target that was not calibrated stay as they are."""
        if output.target.name not in self.targets:
            return output
        method = self.method(output.target.name)
        return method.apply(self.targets[output.target.name]["parameters"], output, rows) if method else output

    def save(self, folder: Path) -> None:
        write_json(folder / CALIBRATION, {"targets": {name: dict(fitted) for name, fitted in self.targets.items()}})

    @classmethod
    def load(cls, folder: Path) -> CalibrationModel:
        """Raises "missing" or "input" for a folder that is not whole."""
        targets = {target["name"]: target for target in read_spec(folder)["targets"]}
        with whole(folder):
            model = cls(read_stage(folder, CALIBRATION)["targets"])
            for name, fitted in model.targets.items():
                if method := model.method(name):
                    check_numbers("parameters", fitted["parameters"])
                    method.check(fitted["parameters"], Target.from_json(targets[name]))
        return model


def build_method(name: str, options: Mapping[str, Any]) -> Method:
    """The built-in method called `name`; with `per` and `min_rows` among its options, for each value of that column,
    unless the method itself has such an option. Raises "usage" for an unknown one, or for an option that it lacks."""
    if not options.get("per") or "per" in registry.options(registry.load("methods", name).build):
        return registry.build("methods", name, options)
    others = {option: value for option, value in options.items() if option not in ("per", "min_rows")}
    return PerValue(registry.build("methods", name, others), options["per"], options.get("min_rows", LEAST_ROWS))
