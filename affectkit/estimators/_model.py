"""A trained model of one or more targets: blocks of features in, predictions out; and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.artifacts.columns import Column, Table
from affectkit.artifacts.models import read_spec, whole
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.sequences import Gathering
from affectkit.distributed import one_thread
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Block, Takes, takes_of
from affectkit.estimators._fit import FittedTargets, build_estimator, load_fitted
from affectkit.estimators._network_inputs import Frames, normalize_by_speaker
from affectkit.estimators._preprocessing import Encoding
from affectkit.labels import Target


@dataclass(frozen=True)
class EstimatorModel:
    """spec: what `affectkit.json` says. fits: each answers a target, or several that were learned together."""

    spec: dict[str, Any]
    fits: list[FittedTargets]

    @property
    def takes(self) -> Takes:
        """The features that the estimator reads."""
        return takes_of(self.fits[0].estimator)

    @property
    def unlearned(self) -> frozenset[str]:
        """Targets that no row fitted on told anything of: their answers are declined."""
        return frozenset().union(*(part.unlearned for part in self.fits))

    @property
    def drops(self) -> bool:
        """Whether there is a dropout to draw from."""
        return all(getattr(part.fitted, "drops", False) for part in self.fits)

    def predict(self, blocks: Sequence[Block], speakers: np.ndarray | None, draws: int = 0) -> list[TargetPrediction]:
        """The answers of each target. speakers: [N], needed under `--normalize speaker`. draws: of the dropout, where
        the model `drops`; 0: the network as it is.

        Raises "input" for features of another width than those of training.
        """
        for number, (block, width) in enumerate(zip(blocks, self.spec["dimensions"], strict=True), start=1):
            if width_of(block) != width:
                what = f"features {number} have {width_of(block)} columns, the model was trained on {width}"
                raise AffectkitError("input", what, remedy="name them in the order of training")
        for block, encoding in zip(blocks, self.fits[0].preprocessing.blocks, strict=True):
            if isinstance(encoding, Encoding):
                encoding.warn_of_unmet(block)
        if self.spec["normalize"] == "speaker":
            blocks = speaker_normalized(blocks, speakers)
        with one_thread():
            if draws:
                return [output for part in self.fits for output in part.drawn(blocks, draws)]
            answers = [(part.targets, part.predict(blocks)) for part in self.fits]
        pairs = [pair for targets, values in answers for pair in zip(targets, values, strict=True)]
        return [TargetPrediction.of(target, values) for target, values in pairs]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for part in self.fits:
            part.save(folder)


def width_of(block: Block) -> int | list[int]:
    """D of a block, or [L, D]."""
    sizes = [int(size) for size in block.shape[1:]]
    return sizes[0] if len(sizes) == 1 else sizes


def load_estimator_model(folder: Path) -> EstimatorModel:
    """Read a `best_model/` of kind "estimator". Raises "input" for one that is damaged or does not fit together."""
    spec = read_spec(folder)
    with whole(folder):
        estimator = build_estimator(spec["estimator"], spec["options"])
        known = zip(spec["features"], spec["dimensions"], strict=True)
        widths = [columns_of(encoder) or (None if encoder.get("sparse") else width) for encoder, width in known]
        fits = [load_fitted(folder, targets, estimator, widths) for targets in _fitted_at_once(spec)]
        model = EstimatorModel(spec, fits)
        Gathering.of(spec)
        _try_out(model)
    return model


def _fitted_at_once(spec: dict[str, Any]) -> list[list[Target]]:
    """Raises ValueError for names that are not those of the targets."""
    targets = [Target.from_json(target) for target in spec["targets"]]
    if "together" not in spec:
        return [[target] for target in targets]
    if spec["together"] != [target.name for target in targets] or len(targets) < 2:
        raise ValueError("it learned other targets together than it answers")
    return [targets]


def columns_of(known: dict[str, Any]) -> tuple[Column, ...]:
    """Those of a table, by its record; of other features none."""
    return tuple(Column(**column) for column in known.get("columns") or ())


def _try_out(model: EstimatorModel) -> None:
    """Predict a row of zeros: weights of another model or of other features show here, not in the midst of work."""
    known = zip(model.spec["features"], model.spec["dimensions"], strict=True)
    if not model.fits:
        raise ValueError("no target")
    row = [_blank(encoder, width, model.takes, "sequence" in model.spec) for encoder, width in known]
    if model.spec["normalize"] not in ("train", "speaker", "none"):
        raise ValueError("an unknown normalization")
    for part in model.fits:
        with one_thread():
            answers = part.predict(row)
        for target, values in zip(part.targets, answers, strict=True):
            expected = (1,) if target.kind == "number" else (1, len(target.classes))
            if values.shape != expected or not (np.isfinite(values).all() or target.name in part.unlearned):
                raise ValueError(f"{target.name} is predicted as {values.shape}, not {expected}")


def _blank(encoder: dict[str, Any], width: int | list[int], takes: Takes, framed: bool) -> Block:
    """A row of zeros of an encoder's features, as the estimator takes them. framed: whether vectors are its frames."""
    from scipy.sparse import csr_matrix

    if columns := columns_of(encoder):
        return Table.of_gaps(columns)
    shape = width if isinstance(width, list) else [width]
    if encoder.get("sparse"):
        return csr_matrix((1, *shape))
    if takes.frames == "all" and (framed or not encoder.get("pooled", True)):
        return Frames.of_values(["zeros"], [np.zeros((2, *shape), dtype=np.float32)])
    return np.zeros((1, *shape))


def speaker_normalized(blocks: Sequence[Block], speakers: np.ndarray | None) -> list[Block]:
    """Dense blocks, and the numbers of tables, z-normalised per speaker; sparse ones are left as they are."""
    if speakers is None:
        raise AffectkitError("input", "--normalize speaker: the rows name no speaker", remedy="give a manifest")
    return [normalize_by_speaker(b, speakers) if isinstance(b, (np.ndarray, Frames, Table)) else b for b in blocks]
