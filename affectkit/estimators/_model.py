"""A trained model of one or more targets: blocks of features in, predictions out; and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.models import read_spec
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Matrix
from affectkit.estimators._fit import TargetModel, build_estimator, load_target
from affectkit.estimators._preprocessing import normalize_by_speaker
from affectkit.labels import Target


@dataclass(frozen=True)
class EstimatorModel:
    """spec: what `affectkit.json` says. One fitted `TargetModel` per target."""

    spec: dict[str, Any]
    targets: list[TargetModel]

    def predict(self, blocks: Sequence[Matrix], speakers: np.ndarray | None) -> list[tuple[Target, np.ndarray]]:
        """For each target [N, K] probabilities or [N] numbers. speakers: [N], needed under `--normalize speaker`."""
        if self.spec["normalize"] == "speaker":
            blocks = speaker_normalized(blocks, speakers)
        with one_thread():
            return [(part.target, part.predict(blocks)) for part in self.targets]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for part in self.targets:
            part.save(folder)


def one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: the same last digits on every machine, and no waiting.

    The matrices are small; on two busy cores, two threads took 50 times as long as one, spinning for each other.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def load_estimator_model(folder: Path) -> EstimatorModel:
    """Read a `best_model/` of kind "estimator"."""
    spec = read_spec(folder)
    estimator = build_estimator(spec["estimator"], spec["options"])
    targets = [load_target(folder, Target.from_json(target), estimator) for target in spec["targets"]]
    return EstimatorModel(spec, targets)


def speaker_normalized(blocks: Sequence[Matrix], speakers: np.ndarray | None) -> list[Matrix]:
    """Dense blocks z-normalised per speaker; sparse ones are left as they are."""
    if speakers is None:
        raise AffectkitError(
            "input", "--normalize speaker: the rows have no column 'speaker'", remedy="give a manifest"
        )
    return [normalize_by_speaker(b, speakers) if isinstance(b, np.ndarray) else b for b in blocks]
