"""Loads any model folder, and the parents of a chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import best_model, parent_folder, read_fit_rows, read_spec, whole
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.calibration.method import CalibrationModel
from affectkit.distributed import ranks
from affectkit.errors import AffectkitError
from affectkit.estimators._model import load_estimator_model
from affectkit.finetuning.model import FinetunedModel, load_finetuned_model
from affectkit.finetuning.passes import Passes
from affectkit.fusion.rule import FusionModel
from affectkit.inference import faces, texts
from affectkit.inference.estimator_model import EstimatorPipeline
from affectkit.inference.model import Model, Work, seen_rows
from affectkit.labels import Target
from affectkit.training.accelerating import open_accelerator

if TYPE_CHECKING:
    import pandas as pd


EXPERTS: dict[str, Callable[..., Model]] = {faces.KIND: faces.FaceModel, texts.KIND: texts.TextModel}
SAID = (*faces.COLUMNS, *texts.COLUMNS)  # what experts say besides answers


def load_model(path: Path) -> Model:
    """Load a run folder, or its `best_model/`, and the parents of a chain.

    Raises "missing", "unfinished", or "input" for a kind unknown here, a parent that has changed or is only a table.
    """
    folder = best_model(path)
    spec = read_spec(folder)
    kind = spec.get("kind")
    if kind == "estimator":
        return EstimatorPipeline(folder, spec, estimator=load_estimator_model(folder), fit_rows=read_fit_rows(folder))
    if kind == "finetuned":
        return FinetunedNetwork(folder, spec, model=load_finetuned_model(folder), fit_rows=read_fit_rows(folder))
    if kind in EXPERTS:
        return EXPERTS[kind](folder, spec, read_fit_rows(folder))
    if kind not in ("calibration", "fusion"):
        raise AffectkitError("input", f"is a model of kind '{kind}', which this affectkit cannot run", file=folder)
    stage = CalibrationModel.load(folder) if kind == "calibration" else FusionModel.load(folder)
    with whole(folder):
        parents = {parent["name"]: load_model(parent_folder(folder, parent)) for parent in spec["parents"]}
        if not parents or (kind == "calibration" and len(parents) > 1):
            raise ValueError(f"a {kind} of {len(parents)} parents")
        for target in map(Target.from_json, spec["targets"]):
            if target.name not in stage.targets:
                raise ValueError(f"it is no {kind} of {target.name}")
        model = StackedModel(folder, spec, read_fit_rows(folder), stage, parents=parents)
        _sample_answers(model)
    return model


def _sample_answers(model: Model) -> dict[str, TargetPrediction]:
    """What a model may answer, by target; the stage of a chain is tried out on what its parents may answer, so that
    parameters that do not fit show when it is loaded, not in the midst of work. Raises as `whole` expects it."""
    targets = [Target.from_json(target) for target in model.spec["targets"]]
    if not isinstance(model, StackedModel):
        return {target.name: _sample(target) for target in targets}
    known = {name: _sample_answers(parent) for name, parent in model.parents.items()}
    answers = {}
    for target in targets:
        sources = {name: answered[target.name].aligned(target) for name, answered in known.items()}
        count = len(next(iter(sources.values())))
        columns = {name: np.full(count, "") for name in getattr(model.stage, "columns", ())}
        with np.errstate(all="ignore"):
            answer = model.answer_of(target, sources, columns)
        if answer.values.shape != sources[next(iter(sources))].values.shape or not np.isfinite(answer.values).all():
            raise ValueError(f"what it says of {target.name} is not finite, or of another shape")
        answers[target.name] = answer
    return answers


def _sample(target: Target) -> TargetPrediction:
    """Each class nearly certain, and all alike; numbers from end to end of their scale."""
    if target.kind == "number":
        low, high = target.scale or (-1.0, 1.0)
        return TargetPrediction(target, mean=np.linspace(low, high, 5), var=np.ones(5))
    even = np.full((1, len(target.classes)), 1 / len(target.classes))
    return TargetPrediction(target, probabilities=np.vstack([0.9 * np.eye(even.size) + 0.1 * even, even]))


@dataclass(frozen=True)
class FinetunedNetwork(Model):
    """A fine-tuned network behind raw media."""

    model: FinetunedModel

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        if features:
            raise AffectkitError("usage", "a fine-tuned network takes no --features", file=self.folder)
        outputs, skipped = self.model.predict(
            self.model.medium.items(manifest),
            open_accelerator(work.device),
            where=manifest.where,
            on_error=work.on_error,
            num_workers=ranks(cpu=work.device == "cpu").workers(work.num_workers),
            passes=Passes.of(self.spec, work.tta, work.mc_dropout),
            progress=work.progress,
        )
        for place, reason in skipped.items():
            work.tell_skipped(manifest.rows["id"].iloc[place], reason)
        if len(skipped) == len(manifest.rows):
            raise AffectkitError("input", "no row could be decoded", file=manifest.path)
        predictions = build_predictions(manifest.rows, outputs, seen_rows(self, manifest.rows))
        return predictions.take(np.array([place not in skipped for place in range(len(manifest.rows))]))


@dataclass(frozen=True)
class StackedModel(Model):
    """A calibration or a fusion behind the models that it was fitted on."""

    stage: CalibrationModel | FusionModel

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        if features and len(features) != self.feature_sets:
            raise AffectkitError("usage", f"the chain takes {self.feature_sets} feature sets, not {len(features)}")
        feature_sets = iter(features)
        predictions = {
            name: parent.predict(manifest, work, list(islice(feature_sets, parent.feature_sets)))
            for name, parent in self.parents.items()
        }
        answered = {key for table in predictions.values() for key in table.frame["id"]}
        rows = manifest.rows[manifest.rows["id"].isin(answered)].reset_index(drop=True)
        outputs = [self._answer(Target.from_json(target), predictions, rows) for target in self.spec["targets"]]
        for table in predictions.values():  # what experts say of a face or a text
            by_id = table.frame.set_index("id")
            rows = rows.assign(**{name: rows["id"].map(by_id[name]) for name in SAID if name in by_id})
        carried = [*([self.spec["group"]] if self.spec.get("group") else []), *(name for name in SAID if name in rows)]
        return build_predictions(rows, outputs, seen_rows(self, rows), carried)

    def _answer(self, target: Target, predictions: dict[str, Predictions], rows: pd.DataFrame) -> TargetPrediction:
        answers = {}
        for name, table in predictions.items():  # declined where a parent skipped a row
            place = {key: position for position, key in enumerate(table.frame["id"])}
            positions = np.array([place.get(key, -1) for key in rows["id"]], dtype=int)
            answers[name] = table.output(target.name).aligned(target).at(positions)
        columns = {}
        for name in getattr(self.stage, "columns", ()):
            if name not in rows:
                raise AffectkitError("input", f"the calibration needs a column '{name}'", file=self.folder)
            columns[name] = rows[name].astype(str).to_numpy()
        return self.answer_of(target, answers, columns)

    def answer_of(
        self, target: Target, answers: dict[str, TargetPrediction], columns: dict[str, np.ndarray]
    ) -> TargetPrediction:
        """answers: of each parent, in the order of `target`'s classes. columns: of text, that a calibration needs."""
        if target.name not in self.stage.targets:
            raise AffectkitError("input", f"has no parameters of {target.name}", file=self.folder)
        if isinstance(self.stage, FusionModel):
            return self.stage.apply(target.name, answers)
        [answer] = answers.values()
        rows = GroundTruth(np.full(len(answer), np.nan), np.full(len(answer), ""), columns)
        return self.stage.apply(answer, rows)
