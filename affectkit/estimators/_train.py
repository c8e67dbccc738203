"""From a manifest and its features to a model and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.columns import NUMERIC, Column, Table
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.manifest import Manifest, row_weights
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.artifacts.sequences import WINDOWS, Gathering, Sequences, gather
from affectkit.artifacts.table_features import open_features, refuse_unknown
from affectkit.console import Progress
from affectkit.distributed import one_thread
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import (
    Block,
    Estimator,
    TrainedInEpochs,
    Workspace,
    refuse_infinite,
    refuse_no_answer,
    takes_of,
)
from affectkit.estimators._fit import FitSettings, TargetModel, encode_target, fit_target, load_target
from affectkit.estimators._importance import Shuffled, Shuffles, plan_shuffles
from affectkit.estimators._model import EstimatorModel, columns_of, speaker_normalized, width_of
from affectkit.estimators._network_inputs import Frames, read_block, read_windows
from affectkit.estimators._preprocessing import hashed
from affectkit.labels import Target
from affectkit.leakage.disguise import Suspect, suspects_of
from affectkit.leakage.held_out import HeldOut, hold_out_rows
from affectkit.splits import GROUP_COLUMNS, default_group

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


# --- Where networks are trained: a folder for each fit, in which an interrupted run goes on, gone when all is done


FITS, FITTED = "fits", "fitted.json"
OUTCOME = ("chosen", "search", "history", "sweeps")  # of a fitted target, besides what predicts
MOST_COLUMNS = 2000  # of a table, that are looked at one by one
MOST_READERS = 4  # threads; each holds two batches of frames, and more read no faster


def workspace_of(estimator: Estimator, folder: Path, device: str, num_workers: int) -> Workspace | None:
    """Where an estimator that is trained in epochs works; None for the others. num_workers: threads that read frames.

    Raises as `open_accelerator` does.
    """
    if not isinstance(estimator, TrainedInEpochs):
        return None
    from affectkit.training.accelerating import open_accelerator

    return Workspace(folder, open_accelerator(device), min(num_workers, MOST_READERS))


def clean_up(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(folder / FITS, ignore_errors=True)


@dataclass(frozen=True)
class ResumableFits:
    """The fits of a target: `first`, `first` + 1, ... of `total`, with what is said of them, and where they work."""

    first: int
    total: int
    progress: Progress
    workspace: Workspace | None = None

    def run(
        self, number: int, estimator: Estimator, target: Target, fit: Callable[[Estimator], TargetModel]
    ) -> TargetModel:
        """`fit` of the estimator, which works in a workspace of its own; read back, where it was done before."""
        if self.workspace is None or not isinstance(estimator, TrainedInEpochs):
            return fit(estimator)
        number += self.first
        what = f"fit {number + 1} of {self.total}: " if self.total > 1 else ""

        def say(note: str) -> None:
            self.progress(number, self.total, what + note)

        workspace = replace(self.workspace, folder=self.workspace.folder / FITS / f"{number:03d}", say=say)
        record = workspace.folder / FITTED
        if not record.exists():
            model = fit(estimator.at(workspace))
            model.save(workspace.folder)
            write_json(record, {name: getattr(model, name) for name in OUTCOME})
        for folder in [path for path in workspace.folder.iterdir() if path.is_dir()]:
            shutil.rmtree(folder)
        known = read_json(record, what="fit")
        return replace(load_target(workspace.folder, target, estimator), **{name: known[name] for name in OUTCOME})


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features: a block per features folder, and what each says of itself.

    group: the column of what must not straddle; None picks the speaker or what stands in for it. row_weights: how much
    train rows count, as `--row-weights` says it. sequences: what the rows are, where each stands for several.
    """

    manifest: Manifest
    blocks: list[Block]
    encoders: list[dict[str, Any]]
    group: str | None = None
    row_weights: str = ""
    sequences: Sequences | None = None

    @property
    def columns(self) -> list[Column]:
        """Of all tables."""
        return [column for encoder in self.encoders for column in columns_of(encoder)]


@dataclass(frozen=True)
class Trained:
    """suspects: columns that may be the truth in disguise. importance: a row for each target and column that was asked
    about. in_sample: what the model says of the very rows that it was fitted on."""

    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame
    in_sample: Predictions
    suspects: list[Suspect] = field(default_factory=list)
    importance: list[dict[str, Any]] = field(default_factory=list)


def load_dataset(
    manifest: Manifest,
    features: Sequence[Path],
    *,
    group: str | None,
    missing: str,
    estimator: Estimator | None = None,
    targets: Sequence[Target] = (),
    exclude: Sequence[str] = (),
    gathering: Gathering | None = None,
) -> Dataset:
    """Join a manifest's rows with their features by id.

    missing: "drop" leaves out rows that a features folder lacks, "stop" raises naming the first. estimator: what is to
    be fitted on them; None takes one vector of each row. targets: what is to be predicted, which no column may carry.
    exclude: columns of tables to leave out. gathering: of rows into sequences, each of which is then one row, whose
    frames are the vectors of its windows.
    """
    takes, name = takes_of(estimator), getattr(estimator, "name", "")
    sequences = _gathered(manifest, gathering, targets, group) if gathering else None
    refuse_unknown(exclude, features, manifest)
    apart = [*(target.name for target in targets), group or default_group(manifest.rows)]
    loaded = [open_features(path, manifest, apart=apart, exclude=exclude) for path in features]
    if missing == "drop":
        there = set.intersection(*({*f.ids} for f in loaded))
        keep = manifest.rows["id"].isin(there).to_numpy()
        if not keep.any():
            for each in loaded:
                each.lengths(list(manifest.rows["id"]))  # raises, naming a row
        if not keep.all():
            lost = next(iter(manifest.rows["id"][~keep]))
            near = next((f": '{lost}', but {near}" for f in loaded if (near := f.near(lost))), "")
            logger.warning("%d of %d rows have no features and are dropped%s", (~keep).sum(), len(keep), near)
        manifest = manifest.take(keep)
    if sequences:
        sequences = _with_features(sequences, set(manifest.rows["id"]))
        manifest = sequences.manifest
    ids = list(manifest.rows["id"])
    blocks = [read_windows(f, sequences, takes, name) if sequences else read_block(f, ids, takes, name) for f in loaded]
    for block, source in zip(blocks, loaded, strict=True):
        refuse_infinite(block, ids, source.path)
    blocks = [hashed(block) if isinstance(block, Table) else block for block in blocks]
    return Dataset(manifest, blocks, [f.described() for f in loaded], group, sequences=sequences)


def _gathered(manifest: Manifest, gathering: Gathering, targets: Sequence[Target], group: str | None) -> Sequences:
    """What differs within a sequence is named, where it would keep the sequences of one person apart."""
    sequences = gather(manifest, gathering, targets, group=group)
    for name in sequences.dropped:
        if name in GROUP_COLUMNS:
            what = "%s differs within a %s, and cannot say which of them go together: name a --group that does"
            logger.warning(what, name, gathering.name)
    for target, names in sequences.mixed.items():
        what = "%s of %d sequences is left empty: no class is the most frequent, as in '%s'"
        logger.warning(what, target, len(names), names[0])
    return sequences


def _with_features(sequences: Sequences, ids: set[str]) -> Sequences:
    """With these windows; sequences that have none of them are counted."""
    kept = sequences.keeping(ids)
    if lost := [key for key in sequences.ids if key not in set(kept.ids)]:
        what = "%d of %d sequences have no window with features and are dropped, as '%s'"
        logger.warning(what, len(lost), len(sequences.ids), lost[0])
    return kept


def train_model(
    data: Dataset,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: FitSettings,
    *,
    cv: bool,
    progress: Progress,
    workspace: Workspace | None = None,
    importance: bool | None = False,
) -> Trained:
    """Fit each target, and predict every row that may be judged; which those are, `hold_out_rows` says.

    importance: of columns, as `plan_shuffles` takes it.
    workspace: where a network is trained, to go on there if it is interrupted (`clean_up` removes what it leaves).
    """
    rows = data.manifest.rows
    if settings.normalize == "speaker":
        speakers = rows["speaker"].to_numpy() if "speaker" in rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    held_out = hold_out_rows(data.manifest, targets, group=data.group, cv=cv, seed=settings.seed)
    if data.row_weights and isinstance(estimator, TrainedInEpochs):
        able = "linear, svm, forest or boosted"
        raise AffectkitError("usage", f"--row-weights: {estimator.name} weighs classes alone", remedy=f"use {able}")
    weights = row_weights(data.manifest, data.row_weights, held_out.fit) if data.row_weights else None
    _warn_of_copies(data, held_out)
    if takes_of(estimator).gaps and settings.impute != "median":
        message = f"--impute {settings.impute}: {estimator.name} reads gaps as they are"
        raise AffectkitError("usage", message, remedy="leave it out")
    suspects = _suspects(data, targets, held_out)
    names = [encoder.get("feature_names") for encoder in data.encoders]
    shuffles = plan_shuffles(data.manifest, data.blocks, names, held_out, wanted=importance, seed=settings.seed)
    count = len(held_out.fits())
    models, outputs, of_model, worth = [], [], [], []
    for number, target in enumerate(targets):
        fits = ResumableFits(number * count, len(targets) * count, progress, workspace)
        with one_thread():
            model, output, final, table = _fit_and_predict(
                data, held_out, estimator, target, settings, fits, weights, shuffles
            )
        models.append(model)
        worth += [{"target": target.name, **row} for row in table]
        outputs.append(TargetPrediction.of(target, output))
        of_model.append(TargetPrediction.of(target, final))
    carried = [held_out.group] if held_out.group else []
    carried += [*data.sequences.how.columns, WINDOWS] if data.sequences else []
    predictions = build_predictions(rows, outputs, held_out.seen, carried)
    spec = _spec(data, held_out, estimator, models, settings)
    in_sample = build_predictions(rows, of_model, held_out.fitted).take(held_out.fitted == "fit")
    judged, fit_rows = predictions.take(held_out.judged), held_out.fit_rows()
    fit_rows = data.sequences.fit_rows(fit_rows) if data.sequences else fit_rows
    return Trained(EstimatorModel(spec, models), judged, fit_rows, in_sample, suspects, worth)


def _fit_and_predict(
    data: Dataset,
    held_out: HeldOut,
    estimator: Estimator,
    target: Target,
    settings: FitSettings,
    fits: ResumableFits,
    weights: np.ndarray | None,
    shuffles: Shuffles | None,
) -> tuple[TargetModel, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """The final model, a prediction for every row, out of fold on the fit rows where there are folds, what the final
    model says of every row, and what the columns are worth that are asked about."""
    y = encode_target(target, list(data.manifest.rows[target.name]))
    ids = data.manifest.rows["id"].astype(str).to_numpy()
    _warn_of_unseen(target, y[held_out.fits()[0][0]])
    models: list[TargetModel] = []
    output: Any = None
    final: Any = None
    shuffled = Shuffled(shuffles, target) if shuffles else None
    judging = held_out.judging()
    for number, (inside, outside) in enumerate(held_out.fits()):

        def fit(placed: Estimator, rows: np.ndarray = inside) -> TargetModel:
            blocks, groups = [b[rows] for b in data.blocks], held_out.groups[rows]
            counted = None if weights is None else weights[rows]
            return fit_target(placed, target, blocks, y[rows], groups, settings, ids[rows], counted)

        model = fits.run(number, estimator, target, fit)
        values = model.predict([b[outside] for b in data.blocks])
        refuse_no_answer(values, data.manifest, outside)
        if output is None:
            output, final = np.array(values), values
        output[outside] = values
        models = models or [model]
        if shuffled:
            shuffled.answer(
                model, data.blocks, judging[number][1], partial(fits.progress, fits.first + number, fits.total)
            )
        fits.progress(fits.first + number + 1, fits.total)
    return models[0], output, final, shuffled.table(y, output) if shuffled else []


def _warn_of_copies(data: Dataset, held_out: HeldOut) -> None:
    blocks = [block.codes if isinstance(block, Table) else block for block in data.blocks]
    if not blocks or not all(isinstance(block, np.ndarray) for block in blocks):
        return
    cells = np.array([hash(b"".join(block[row].tobytes() for block in blocks)) for row in range(len(held_out.ids))])
    held_out.warn_of_copies(cells, "features")


def _suspects(data: Dataset, targets: Sequence[Target], held_out: HeldOut) -> list[Suspect]:
    """Columns of tables that tell a target on their own, on the rows that are fitted on; warned of by name."""
    suspects, fit = list[Suspect](), held_out.fit
    for block, encoder in zip(data.blocks, data.encoders, strict=True):
        table = isinstance(block, Table)
        names = block.names if table else encoder.get("feature_names") or ()
        if not names or encoder.get("encoder") or encoder.get("tabulation") or len(names) > MOST_COLUMNS:
            continue
        if isinstance(block, Frames):
            continue
        ordered = np.array([not table or column.kind in NUMERIC for column in (block.columns if table else names)])
        cells = (block.codes if table else block)[fit]
        for target in targets:
            y = encode_target(target, list(data.manifest.rows[target.name]))[fit]
            suspects += suspects_of(names, cells, ordered, target, y, held_out.groups[fit])
    for suspect in suspects:
        logger.warning("%s", suspect.in_words())
    return suspects


def _warn_of_unseen(target: Target, fitted: np.ndarray) -> None:
    """Name the classes that no row fitted on has. fitted: [M] class indices of those rows, NaN unlabelled."""
    if unseen := target.unseen(fitted):
        message = "%s: none of the rows fitted on is %s: the model gives these classes a probability of 0"
        logger.warning(message, target.name, ", ".join(unseen))


def _spec(
    data: Dataset, held_out: HeldOut, estimator: Estimator, models: Sequence[TargetModel], settings: FitSettings
) -> dict[str, Any]:
    return {
        "kind": "estimator",
        "estimator": estimator.name,
        "options": estimator.options,
        "targets": [model.target.to_json() for model in models],
        "chosen": {model.target.name: model.chosen for model in models},
        "normalize": settings.normalize,
        "class_weight": settings.class_weight,
        **({"row_weights": data.row_weights} if data.row_weights else {}),
        **({"impute": settings.impute} if settings.impute != "median" else {}),
        **({"selected": _selected(models, data.encoders)} if settings.select_features else {}),
        **({**data.sequences.how.plain(), "windows": data.sequences.counts()} if data.sequences else {}),
        "group": held_out.group,
        "groups_straddle": held_out.straddle,
        "features": data.encoders,
        "dimensions": [width_of(block) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }


def _selected(models: Sequence[TargetModel], encoders: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The columns that were chosen, of each target."""
    return {
        model.target.name: model.preprocessing.names([e.get("feature_names") for e in encoders]) for model in models
    }
