"""What a fusion rule is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.arrays import check_numbers
from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import FUSION, read_stage, whole
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction


@dataclass(frozen=True)
class SourceTable:
    """A source that is no prediction: numeric columns [N, D] by name; NaN is missing."""

    names: tuple[str, ...]
    values: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """[N] bool: rows that have any value."""
        return ~np.isnan(self.values).all(axis=1)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> SourceTable:
        return SourceTable(self.names, self.values[rows])


# By name, in the order of the command line; all of N rows, classes aligned.
Sources = Mapping[str, TargetPrediction | SourceTable]

Files = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]  # by name: an object (.json), or rows (.csv)


class Rule(ABC):
    """Fits plain parameters on several sources and the truth, and applies them to the same sources of any rows.

    A row may lack sources (NaN): what is there decides, and a row without any is declined (NaN).

    options: resolved; `build(**options)` gives the same rule. takes_tables: whether a source may be a `SourceTable`.
    single_group: whether it may be fitted on the rows of one group (few parameters, or none). columns: the further
    columns of text that it needs of every row, in `GroundTruth.columns`. learns: whether it fits anything to the truth;
    one that does not leaves how rows were seen to its sources, which need not have rows in common.
    """

    name: str
    takes_tables: bool = False
    single_group: bool = False
    columns: tuple[str, ...] = ()
    learns: bool = True
    trains: bool = False  # epoch by epoch, which a journal tells of

    def __init__(self, **options: Any) -> None:
        self.options = options

    def seeded(self, seed: int) -> Rule:
        """The same rule with another seed, if it draws at random."""
        return self

    @abstractmethod
    def fit(self, sources: Sources, rows: GroundTruth) -> dict[str, Any]:
        """Parameters that JSON can hold (`fusion.json`), from rows that all have a truth; `rows.groups` for inner
        grouped folds. Permuting the rows changes nothing.

        Raises AffectkitError "usage" or "input" where that cannot be.
        """

    @abstractmethod
    def apply(self, parameters: dict[str, Any], sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        """Fused answers, a row at a time: no row's answer depends on another. rows: has the `columns` of a rule that
        needs some; its truth must not be looked at."""

    def wanted(self, parameters: dict[str, Any], rows: GroundTruth) -> dict[str, np.ndarray] | None:
        """Source -> [N] bool, the rows that it is needed for; None where all are for all. Warns of rows whose cells
        name none."""
        return None

    def unknown(self, parameters: dict[str, Any], rows: GroundTruth) -> dict[str, int]:
        """Values of its column that name no source -> how many rows have them, where rows go by one."""
        return {}

    @property
    def policy(self) -> str:
        """What becomes of such rows, in words."""
        return ""

    def known_cells(self, parameters: dict[str, Any]) -> dict[str, list[str]]:
        """Column -> values that it knows, on which parameters are tried out when they are loaded."""
        return {}

    def uncalibrated(self, parameters: dict[str, Any], sources: Sources) -> TargetPrediction | None:
        """What `apply` would say without the rule's own calibration; None where it has none for such a target."""
        return None

    def files(self, parameters: dict[str, Any]) -> Files:
        """What it has to show of its parameters, in further files of the run folder."""
        return {}


# --- A fitted fusion: what `fusion.json` holds, and its application to sources


@dataclass(frozen=True)
class FusionModel:
    """sources: names in order. targets: name -> {"rule", "options", "parameters"}."""

    sources: Sequence[str]
    targets: Mapping[str, Mapping[str, Any]]

    @property
    def columns(self) -> list[str]:
        """The columns of text that rows must have."""
        return list(dict.fromkeys(column for name in self.targets for column in self.rule(name).columns))

    def rule(self, target: str) -> Rule:
        return build_rule(self.targets[target]["rule"], self.targets[target]["options"])

    def apply(self, target: str, sources: Sources, rows: GroundTruth | None = None) -> TargetPrediction:
        """Fused answers of one target."""
        return self.rule(target).apply(self.targets[target]["parameters"], sources, rows)

    def wanted(self, rows: GroundTruth) -> dict[str, np.ndarray] | None:
        """Source -> [N] bool, the rows that any target needs it for; None where all are for all."""
        masks = [self.rule(name).wanted(fitted["parameters"], rows) for name, fitted in self.targets.items()]
        known = [mask for mask in masks if mask is not None]
        if len(known) < len(masks):
            return None
        return {name: np.any([mask[name] for mask in known], axis=0) for name in self.sources}

    def known_cells(self, target: str) -> dict[str, list[str]]:
        return self.rule(target).known_cells(self.targets[target]["parameters"])

    def save(self, folder: Path) -> None:
        write_json(folder / FUSION, {"sources": list(self.sources), "targets": dict(self.targets)})

    def files(self) -> dict[str, dict[str, Any]]:
        """What rules have to show besides, by file name and target: an object (.json), or rows (.csv)."""
        files: dict[str, dict[str, Any]] = {}
        for target, fitted in self.targets.items():
            for name, content in self.rule(target).files(fitted["parameters"]).items():
                files.setdefault(name, {})[target] = content
        return files

    @classmethod
    def load(cls, folder: Path) -> FusionModel:
        """Raises "missing" or "input" for a folder that is not whole."""
        with whole(folder):
            stored = read_stage(folder, FUSION)
            model = cls(list(stored["sources"]), dict(stored["targets"]))
            for fitted in model.targets.values():
                check_numbers("parameters", fitted["parameters"])
                build_rule(fitted["rule"], fitted["options"])
        return model


def build_rule(name: str, options: Mapping[str, Any], *, seed: int = 0) -> Rule:
    """The built-in rule called `name`. seed: of what it draws at random, if it does.

    Raises "usage" for an unknown one, or for an option that it lacks.
    """
    rule: Rule = registry.build("rules", name, options)
    return rule.seeded(seed)
