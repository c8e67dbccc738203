"""A fitted calibration: what `calibration.json` holds, and its application to answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affectkit import registry
from affectkit.artifacts.arrays import check_numbers
from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import CALIBRATION, read_spec, read_stage, whole
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.labels import Target

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
    """The built-in method called `name`. Raises "usage" for an unknown one, or for an option that it lacks."""
    return registry.build("methods", name, options)
