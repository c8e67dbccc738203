"""Loads any model folder, and the parents of a chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import best_model, parent_folder, read_fit_rows, read_spec, whole
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions, cells_of
from affectkit.artifacts.sequences import WINDOWS, Gathering, Sequences
from affectkit.calibration.method import CalibrationModel
from affectkit.distributed import ranks
from affectkit.errors import AffectkitError
from affectkit.estimators._model import load_estimator_model
from affectkit.finetuning.beside import answers_of
from affectkit.finetuning.model import FinetunedModel, load_finetuned_model
from affectkit.finetuning.passes import Passes
from affectkit.fusion.rule import FusionModel
from affectkit.inference import faces, texts
from affectkit.inference.estimator_model import EstimatorPipeline
from affectkit.inference.model import Model, Work, require_columns, seen_rows, sequences_of
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
        network = load_finetuned_model(folder)
        parents = {name: load_model(parent_folder(folder, parent)) for name, parent in _parents_of(spec).items()}
        with whole(folder):
            _check_answers(parents, network.targets)
        return FinetunedNetwork(folder, spec, read_fit_rows(folder), network, parents=parents)
    if kind in EXPERTS:
        return EXPERTS[kind](folder, spec, read_fit_rows(folder))
    if kind not in ("calibration", "fusion"):
        raise AffectkitError("input", f"is a model of kind '{kind}', which this affectkit cannot run", file=folder)
    stage = CalibrationModel.load(folder) if kind == "calibration" else FusionModel.load(folder)
    with whole(folder):
        parents = {parent["name"]: load_model(parent_folder(folder, parent)) for parent in spec["parents"]}
        if not parents or (kind == "calibration" and len(parents) > 1):
            raise ValueError(f"a {kind} of {len(parents)} parents")
        if isinstance(stage, FusionModel) and set(stage.sources) != set(parents):
            raise ValueError(f"a fusion of {', '.join(stage.sources)}, not of its parents")
        for target in map(Target.from_json, spec["targets"]):
            if target.name not in stage.targets:
                raise ValueError(f"it is no {kind} of {target.name}")
        if len({Gathering.of(known) is None for known in (spec, *(parent.spec for parent in parents.values()))}) > 1:
            raise ValueError("one part of it answers rows, another sequences of rows")
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
        cells = model.stage.known_cells(target.name)
        columns = {name: np.resize(cells.get(name) or [""], count) for name in model.stage.columns}
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


def _parents_of(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Of a network that is mixed with them, in the order of its mixture; none of another."""
    parents = {parent["name"]: parent for parent in spec.get("parents", ())}
    return {name: parents[name] for name in spec["beside"]["sources"]} if "beside" in spec else {}


def _check_answers(parents: Mapping[str, Model], targets: Sequence[Target]) -> None:
    """Raises as `whole` expects it for parents that do not answer for the classes of the targets."""
    for parent in parents.values():
        known = {target.name: target for target in map(Target.from_json, parent.spec["targets"])}
        for target in targets:
            _sample(known[target.name]).aligned(target)


def predicted_by(
    parents: Mapping[str, Model],
    manifest: Manifest,
    work: Work,
    features: Sequence[Path],
    wanted: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Predictions]:
    """What each parent says of the rows that it is wanted for, [N] bool; of all without. features: of all, in order."""
    feature_sets, predictions = iter(features), {}
    for name, parent in parents.items():
        of_parent = list(islice(feature_sets, parent.feature_sets))
        rows = None if wanted is None else wanted[name]
        if rows is None or rows.any():
            asked = manifest if rows is None or rows.all() else manifest.take(rows)
            predictions[name] = parent.predict(asked, work, of_parent)
    return predictions


def check_feature_sets(model: Model, features: Sequence[Path]) -> None:
    """Raises "usage" for another number of features than the model, or its chain, takes."""
    if features and len(features) != model.feature_sets:
        message = f"the chain takes {model.feature_sets} feature sets, not {len(features)}"
        raise AffectkitError("usage", message)


@dataclass(frozen=True)
class FinetunedNetwork(Model):
    """A fine-tuned network behind raw media, and beside it the models that it is mixed with."""

    model: FinetunedModel

    @property
    def drops(self) -> bool:
        return True  # what it lacks, its medium says

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        if features and not self.parents:
            raise AffectkitError("usage", "a fine-tuned network takes no --features", file=self.folder)
        beside = None
        if self.parents:
            check_feature_sets(self, features)
            manifest, beside = self._beside(manifest, work, features)
        outputs, skipped = self.model.predict(
            self.model.medium.items(manifest),
            open_accelerator(work.device),
            where=manifest.where,
            on_error=work.on_error,
            num_workers=ranks(cpu=work.device == "cpu").workers(work.num_workers),
            passes=Passes.of(self.spec, work.tta, work.mc_dropout),
            progress=work.progress,
            beside=beside,
        )
        for place, reason in skipped.items():
            work.tell_skipped(manifest.rows["id"].iloc[place], reason)
        if len(skipped) == len(manifest.rows):
            raise AffectkitError("input", "no row could be decoded", file=manifest.path)
        predictions = build_predictions(manifest.rows, outputs, seen_rows(self, manifest.rows))
        return predictions.take(np.array([place not in skipped for place in range(len(manifest.rows))]))

    def _beside(self, manifest: Manifest, work: Work, features: Sequence[Path]) -> tuple[Manifest, np.ndarray]:
        """The rows that every parent answers, and what each says of them, [N, S, C]."""
        ids = list(manifest.rows["id"])
        answers = answers_of(predicted_by(self.parents, manifest, work, features), self.model.targets, ids)
        lacking = np.isnan(answers).any(axis=2)
        for place in np.flatnonzero(lacking.any(axis=1)):
            name = list(self.parents)[int(lacking[place].argmax())]
            message = f"'{name}' has no answer for id '{ids[place]}'"
            if work.on_error == "stop":
                raise AffectkitError("input", message, **manifest.where(int(place)), remedy="or pass --on-error skip")
            work.tell_skipped(ids[place], message)
        kept = ~lacking.any(axis=1)
        if not kept.any():
            raise AffectkitError("input", "no row is answered by all models beside the network", file=manifest.path)
        return manifest.take(kept), answers[kept]


@dataclass(frozen=True)
class StackedModel(Model):
    """A calibration or a fusion behind the models that it was fitted on."""

    stage: CalibrationModel | FusionModel

    @property
    def columns(self) -> Sequence[str]:
        return self.stage.columns

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        check_feature_sets(self, features)
        require_columns(self, manifest)
        sequences = sequences_of(self, manifest)
        answered = sequences.manifest if sequences else manifest
        wanted = self.wanted(answered)
        asked = wanted
        if sequences and wanted:
            asked = {name: sequences.spread(rows, manifest) for name, rows in wanted.items()}
        predictions = predicted_by(self.parents, manifest, work, features, asked)
        return self._joined(answered.rows, predictions, wanted, sequences)

    def wanted(self, manifest: Manifest) -> dict[str, np.ndarray] | None:
        """Parent -> [N] bool, the rows that it is needed for; None where all are for all. Raises "input" naming the row
        whose cell is refused."""
        if not self.columns:
            return None
        cells = self._cells(manifest.rows)
        try:
            return self.stage.wanted(cells)
        except AffectkitError as error:
            place = {} if error.row is None else manifest.where(error.row - 1)
            raise AffectkitError(error.code, error.message, **place, remedy=error.remedy) from None

    def _joined(
        self,
        rows: pd.DataFrame,
        predictions: dict[str, Predictions],
        wanted: dict[str, np.ndarray] | None,
        sequences: Sequences | None,
    ) -> Predictions:
        """What the stage makes of the parents' answers. A row that is skipped by all parents that it needs is left
        out; one that needs none is declined."""
        import pandas as pd

        kept = rows["id"].isin({key for table in predictions.values() for key in table.frame["id"]}).to_numpy()
        if wanted is not None:
            kept = kept | ~np.any(list(wanted.values()), axis=0)
        rows = rows[kept].reset_index(drop=True)
        seen = seen_rows(self, rows, sequences) if wanted is None else _seen_by(predictions, rows)
        outputs = [self._answer(Target.from_json(target), predictions, rows) for target in self.spec["targets"]]
        frames = [table.frame.set_index("id") for table in predictions.values()]
        for by_id in frames if wanted is None or not frames else [pd.concat(frames)]:  # what experts say of their media
            rows = rows.assign(**{name: rows["id"].map(by_id[name]) for name in SAID if name in by_id})
        carried = [self.spec.get("group"), *self.columns, *SAID]
        carried += [*sequences.how.columns, WINDOWS] if sequences else []
        return build_predictions(rows, outputs, seen, [name for name in carried if name and name in rows])

    def _cells(self, rows: pd.DataFrame) -> GroundTruth:
        """The columns that the stage needs of every row."""
        return _of_columns({name: cells_of(rows, name) for name in self.columns}, len(rows))

    def _answer(self, target: Target, predictions: dict[str, Predictions], rows: pd.DataFrame) -> TargetPrediction:
        answers = {}
        for name in self.parents:  # declined where a parent skipped a row, or was not asked
            if name not in predictions:
                answers[name] = TargetPrediction.declined(target, len(rows))
                continue
            table = predictions[name]
            place = {key: position for position, key in enumerate(table.frame["id"])}
            positions = np.array([place.get(key, -1) for key in rows["id"]], dtype=int)
            answers[name] = table.output(target.name).aligned(target).at(positions)
        return self.answer_of(target, answers, self._cells(rows).columns)

    def answer_of(
        self, target: Target, answers: dict[str, TargetPrediction], columns: Mapping[str, np.ndarray]
    ) -> TargetPrediction:
        """answers: of each parent, in the order of `target`'s classes. columns: of text, that the stage needs."""
        if target.name not in self.stage.targets:
            raise AffectkitError("input", f"has no parameters of {target.name}", file=self.folder)
        rows = _of_columns(columns, len(next(iter(answers.values()))))
        if isinstance(self.stage, FusionModel):
            return self.stage.apply(target.name, answers, rows)
        [answer] = answers.values()
        return self.stage.apply(answer, rows)


def _of_columns(columns: Mapping[str, np.ndarray], rows: int) -> GroundTruth:
    """Of rows of which no more is known."""
    return GroundTruth(np.full(rows, np.nan), np.full(rows, ""), columns)


def _seen_by(predictions: Mapping[str, Predictions], rows: pd.DataFrame) -> list[str]:
    """`fit` where a model that answered the row was fitted on it."""
    fitted = {key for table in predictions.values() for key in table.frame["id"][table.frame["seen"] == "fit"]}
    return ["fit" if key in fitted else "heldout" for key in rows["id"]]
