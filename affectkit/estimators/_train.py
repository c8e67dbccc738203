"""From a manifest and its features to a model and honest predictions."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
from affectkit.artifacts.table_features import called, feature_sets, open_features, refuse_unknown
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
from affectkit.estimators._fit import FitSettings, FittedTargets, fit_targets, load_fitted, together
from affectkit.estimators._importance import Shuffled, Shuffles, plan_shuffles
from affectkit.estimators._model import EstimatorModel, columns_of, speaker_normalized, width_of
from affectkit.estimators._network_inputs import Frames, read_block, read_windows
from affectkit.estimators._preprocessing import hashed
from affectkit.evaluation.rows import encode_target
from affectkit.labels import Target
from affectkit.leakage.disguise import Suspect, suspects_of
from affectkit.leakage.held_out import HeldOut, groups_of, hold_out_rows
from affectkit.splits import GROUP_COLUMNS, default_group

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.estimators._attended import AttentionExport

logger = logging.getLogger(__name__)


# --- Where networks are trained: a folder for each fit, in which an interrupted run goes on, gone when all is done


FITS, FITTED = "fits", "fitted.json"
OUTCOME = ("chosen", "search", "history", "sweeps")  # of fitted targets, besides what predicts
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
    """The fits of targets: `first`, `first` + 1, ... of `total`, with what is said of them, and where they work. name:
    what stands before the names of their trainings."""

    first: int
    total: int
    progress: Progress
    workspace: Workspace | None = None
    name: str = ""

    def run(
        self, number: int, estimator: Estimator, targets: Sequence[Target], fit: Callable[[Estimator], FittedTargets]
    ) -> FittedTargets:
        """`fit` of the estimator, which works in a workspace of its own; read back, where it was done before."""
        if self.workspace is None or not isinstance(estimator, TrainedInEpochs):
            return fit(estimator)
        from affectkit.training.journal import name_of_fit, within

        names = [self.name, name_of_fit(number) if number else ""]
        number += self.first
        what = f"fit {number + 1} of {self.total}: " if self.total > 1 else ""

        def say(note: str) -> None:
            self.progress(number, self.total, what + note)

        workspace = replace(self.workspace, folder=self.workspace.folder / FITS / f"{number:03d}", say=say)
        record = workspace.folder / FITTED
        if not record.exists():
            with within("/".join(filter(None, names)), number + 1, self.total):
                model = fit(estimator.at(workspace))
            model.save(workspace.folder)
            write_json(record, {name: getattr(model, name) for name in OUTCOME})
        for folder in [path for path in workspace.folder.iterdir() if path.is_dir()]:
            shutil.rmtree(folder)
        known = read_json(record, what="fit")
        return replace(load_fitted(workspace.folder, targets, estimator), **{name: known[name] for name in OUTCOME})


@dataclass(frozen=True)
class Dataset:
    """Rows of a manifest with their features: a block per features folder, and what each says of itself.

    group: the column of what must not straddle; None picks the speaker or what stands in for it. row_weights: how much
    train rows count, as `--row-weights` says it. sequences: what the rows are, where each stands for several. names: of
    the sets of features, for messages and for estimators that speak of them.
    """

    manifest: Manifest
    blocks: list[Block]
    encoders: list[dict[str, Any]]
    group: str | None = None
    row_weights: str = ""
    sequences: Sequences | None = None
    names: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Column]:
        """Of all tables."""
        return [column for encoder in self.encoders for column in columns_of(encoder)]


@dataclass(frozen=True)
class Trained:
    """suspects: columns that may be the truth in disguise. importance: a row for each target and column that was asked
    about. in_sample: what the model says of the very rows that it was fitted on. separate: of targets that were learned
    together, what each says that is trained alone, on the same rows with the same folds and seed, where that was asked.
    warnings: of targets that some fits could not learn. attention: tables of what was paid attention to."""

    model: EstimatorModel
    predictions: Predictions
    fit_rows: pd.DataFrame
    in_sample: Predictions
    suspects: list[Suspect] = field(default_factory=list)
    importance: list[dict[str, Any]] = field(default_factory=list)
    separate: Predictions | None = None
    warnings: list[str] = field(default_factory=list)
    attention: dict[str, pd.DataFrame] = field(default_factory=dict)


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

    features: of each set its path, with a name before it where it has one (`feature_sets`). missing: "drop" leaves out
    rows that a features folder lacks, "stop" raises naming the first. estimator: what is to be fitted on them; None
    takes one vector of each row. targets: what is to be predicted, which no column may carry.
    exclude: columns of tables to leave out. gathering: of rows into sequences, each of which is then one row, whose
    frames are the vectors of its windows.
    """
    takes, name = takes_of(estimator), getattr(estimator, "name", "")
    sequences = _gathered(manifest, gathering, targets, group) if gathering else None
    sets = feature_sets(features)
    refuse_unknown(exclude, [each.path for each in sets], manifest)
    apart = [*(target.name for target in targets), group or default_group(manifest.rows)]
    loaded = [open_features(each.path, manifest, apart=apart, exclude=exclude) for each in sets]
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
    named = [{"name": each.name} if each.name else {} for each in sets]
    described = [name | source.described() for name, source in zip(named, loaded, strict=True)]
    return Dataset(manifest, blocks, described, group, sequences=sequences, names=tuple(called(sets)))


def _gathered(manifest: Manifest, gathering: Gathering, targets: Sequence[Target], group: str | None) -> Sequences:
    sequences = gather(manifest, gathering, targets, group=group)
    if group is None:
        _refuse_divided_people(manifest, sequences)
    for target, names in sequences.mixed.items():
        what = "%s of %d sequences is left empty: no class is the most frequent, as in '%s'"
        logger.warning(what, target, len(names), names[0])
    return sequences


def _refuse_divided_people(manifest: Manifest, sequences: Sequences) -> None:
    """Raise "leak" for a person of several sequences that nothing keeps together, as these are of several people: some
    would be fitted on where the others are judged, and no report would say so."""
    groups = dict(zip(sequences.ids, groups_of(sequences.manifest)[1], strict=True))
    for name in [name for name in GROUP_COLUMNS if name in sequences.dropped]:
        met: dict[str, tuple[str, str]] = {}
        for value, window in zip(manifest.rows[name].astype(str), manifest.rows["id"], strict=True):
            key = sequences.by_window[window]
            first, group = met.setdefault(value, (key, groups[key]))
            if value and group != groups[key]:
                how = sequences.how.name
                what = f"{name} '{value}' has rows in {how} '{first}' and '{key}', which no column keeps together"
                remedy = f"tell them apart by --sequence {','.join(sequences.how.columns)},{name}, or name a --group"
                raise AffectkitError("leak", what, file=manifest.path, remedy=remedy)


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
    separate: bool = False,
    attention_to: Path | None = None,
) -> Trained:
    """Fit the targets, and predict every row that may be judged; which those are, `hold_out_rows` says.

    importance: of columns, as `plan_shuffles` takes it. separate: also train each of several targets alone.
    workspace: where a network is trained, to go on there if it is interrupted (`clean_up` removes what it leaves).
    attention_to: a folder to write into what a network paid attention to, of the rows that may be judged.
    """
    estimator = estimator.reading(data.names, data.blocks)
    parts = together(estimator, targets)
    _check_options(data, estimator, targets, settings, separate=separate, importance=importance)
    importance = False if takes_of(estimator).apart else importance
    rows = data.manifest.rows
    if settings.normalize == "speaker":
        speakers = rows["speaker"].to_numpy() if "speaker" in rows else None
        data = replace(data, blocks=speaker_normalized(data.blocks, speakers))
    held_out = hold_out_rows(data.manifest, targets, group=data.group, cv=cv, seed=settings.seed)
    weights = row_weights(data.manifest, data.row_weights, held_out.fit) if data.row_weights else None
    _warn_of_copies(data, held_out)
    suspects = _suspects(data, targets, held_out)
    names = [encoder.get("feature_names") for encoder in data.encoders]
    shuffles = plan_shuffles(data.manifest, data.blocks, names, held_out, wanted=importance, seed=settings.seed)
    export = None
    if attention_to:
        from affectkit.estimators._attended import plan_export

        export = plan_export(attention_to, estimator, data.names, data.blocks, held_out)
    alone = [[target] for target in targets if _tells(encode_target(target, list(rows[target.name]))[held_out.fit])]
    alone = alone if separate else []
    each: list[_Answered] = []
    for number, some in enumerate([*parts, *alone]):
        count = len(held_out.fits())
        kept = number < len(parts)
        name = "" if kept else f"alone-{some[0].name}"
        fits = ResumableFits(number * count, (len(parts) + len(alone)) * count, progress, workspace, name)
        with one_thread():
            how = settings, fits, weights, shuffles if kept else None, export if kept else None
            each.append(
                _fit_and_predict(data, held_out, estimator if kept else estimator.alone, some, *how, declines=not kept)
            )
    made, apart = each[: len(parts)], each[len(parts) :]
    carried = [held_out.group] if held_out.group else []
    carried += [*data.sequences.how.columns, WINDOWS] if data.sequences else []
    predictions = build_predictions(rows, _all(answered.outputs for answered in made), held_out.seen, carried)
    in_sample = build_predictions(rows, _all(answered.final for answered in made), held_out.fitted)
    spec = _spec(data, held_out, estimator, [answered.model for answered in made], settings)
    fit_rows = held_out.fit_rows()
    others = None
    if apart:
        outputs = _all(answered.outputs for answered in apart)
        others = build_predictions(rows, outputs, held_out.seen, carried).take(held_out.judged)
    return Trained(
        EstimatorModel(spec, [answered.model for answered in made]),
        predictions.take(held_out.judged),
        data.sequences.fit_rows(fit_rows) if data.sequences else fit_rows,
        in_sample.take(held_out.fitted == "fit"),
        suspects,
        _all(answered.worth for answered in made),
        others,
        _all(answered.warnings for answered in made),
        export.tables() if export else {},
    )


def _all(parts: Iterable[Sequence[Any]]) -> list[Any]:
    return [each for part in parts for each in part]


def _check_options(
    data: Dataset,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: FitSettings,
    *,
    separate: bool,
    importance: bool | None,
) -> None:
    """Raise "usage" for options that the estimator, or these targets, have no use for."""
    estimator.check_targets(targets)
    if separate and len(together(estimator, targets)) == len(targets):
        why = "there is one target" if len(targets) == 1 else f"{estimator.name} fits each target alone as it is"
        raise AffectkitError("usage", f"--separate: {why}", remedy="leave it out")
    if data.row_weights and isinstance(estimator, TrainedInEpochs):
        able = "linear, svm, forest or boosted"
        raise AffectkitError("usage", f"--row-weights: {estimator.name} weighs classes alone", remedy=f"use {able}")
    if importance and takes_of(estimator).apart:
        message = f"--importance: {estimator.name} reads sets of features, not columns"
        raise AffectkitError("usage", message, remedy="leave it out")
    if takes_of(estimator).gaps and settings.impute != "median":
        message = f"--impute {settings.impute}: {estimator.name} reads gaps as they are"
        raise AffectkitError("usage", message, remedy="leave it out")


@dataclass(frozen=True)
class _Answered:
    """The final model, and of each of its targets a prediction for every row, out of fold on the fit rows where there
    are folds, and what the final model says of every row. worth: of the columns that are asked about."""

    model: FittedTargets
    outputs: list[TargetPrediction]
    final: list[TargetPrediction]
    worth: list[dict[str, Any]]
    warnings: list[str]


def _fit_and_predict(
    data: Dataset,
    held_out: HeldOut,
    estimator: Estimator,
    targets: Sequence[Target],
    settings: FitSettings,
    fits: ResumableFits,
    weights: np.ndarray | None,
    shuffles: Shuffles | None,
    export: AttentionExport | None,
    *,
    declines: bool = False,
) -> _Answered:
    """Of targets that are learned together. declines: whether a fold's answers of a single target are none, in place of
    an error, where its fit rows tell nothing of it: so do those of several, with which they are compared."""
    truths = [encode_target(target, list(data.manifest.rows[target.name])) for target in targets]
    ids = data.manifest.rows["id"].astype(str).to_numpy()
    for target, y in zip(targets, truths, strict=True):
        _warn_of_unseen(target, y[held_out.fits()[0][0]])
    models: list[FittedTargets] = []
    outputs: list[np.ndarray] = []
    final: list[np.ndarray] = []
    unlearned = Counter[str]()
    shuffled = Shuffled(shuffles, targets) if shuffles else None
    judging = held_out.judging()
    for number, (inside, outside) in enumerate(held_out.fits()):
        if declines and models and not _tells(truths[0][inside]):
            outputs[0][outside] = np.nan
            continue

        def fit(placed: Estimator, rows: np.ndarray = inside) -> FittedTargets:
            blocks, groups = [b[rows] for b in data.blocks], held_out.groups[rows]
            counted = None if weights is None else weights[rows]
            truth = [y[rows] for y in truths]
            return fit_targets(placed, targets, blocks, truth, groups, settings, ids[rows], counted)

        model = fits.run(number, estimator, targets, fit)
        answers = model.predict([b[outside] for b in data.blocks])
        for target, values in zip(targets, answers, strict=True):
            if target.name not in model.unlearned:
                refuse_no_answer(values, data.manifest, outside)
        unlearned.update(model.unlearned)
        if not models:
            outputs, final = [np.array(values) for values in answers], answers
        for output, values in zip(outputs, answers, strict=True):
            output[outside] = values
        models = models or [model]
        if shuffled:
            say = partial(fits.progress, fits.first + number, fits.total)
            shuffled.answer(model, data.blocks, judging[number][1], say)
        if export:
            rows = judging[number][1]
            export.answer(number, model.fitted.network, model.matrix([b[rows] for b in data.blocks]))
        fits.progress(fits.first + number + 1, fits.total)
    worth = [
        {"target": target.name, **row}
        for place, target in enumerate(targets)
        for row in (shuffled.table(place, truths[place], outputs[place]) if shuffled else ())
    ]
    told, kept = ([TargetPrediction.of(t, v) for t, v in zip(targets, vs, strict=True)] for vs in (outputs, final))
    return _Answered(models[0], told, kept, worth, _unlearned_in_words(unlearned, models[0], len(judging)))


def _tells(truth: np.ndarray) -> bool:
    """Whether known rows of a target differ. truth: as `encode_target` has it."""
    return len(np.unique(truth[~np.isnan(truth)])) > 1


def _unlearned_in_words(unlearned: Counter[str], final: FittedTargets, fits: int) -> list[str]:
    """Said once for each target, and warned of. unlearned: of how many fits."""
    warnings = []
    for name, count in sorted(unlearned.items()):
        where = f"{count} of {fits} fits" if fits > 1 else "the fit"
        what = f"{name}: the rows of {where} tell nothing of it: answers are declined there"
        warnings.append(what + (", and the model has none for new rows" if name in final.unlearned else ""))
        logger.warning("%s", warnings[-1])
    return warnings


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
    data: Dataset, held_out: HeldOut, estimator: Estimator, fits: Sequence[FittedTargets], settings: FitSettings
) -> dict[str, Any]:
    targets = [(target, fit) for fit in fits for target in fit.targets]
    return {
        "kind": "estimator",
        "estimator": estimator.name,
        "options": estimator.options,
        "targets": [target.to_json() for target, _ in targets],
        **({"together": [target.name for target, _ in targets]} if len(fits) < len(targets) else {}),
        "chosen": {target.name: fit.chosen for target, fit in targets},
        "normalize": settings.normalize,
        "class_weight": settings.class_weight,
        **({"row_weights": data.row_weights} if data.row_weights else {}),
        **({"impute": settings.impute} if settings.impute != "median" else {}),
        **({"selected": _selected(fits, data.encoders)} if settings.select_features else {}),
        **({**data.sequences.how.plain(), "windows": data.sequences.counts()} if data.sequences else {}),
        "group": held_out.group,
        "groups_straddle": held_out.straddle,
        "features": data.encoders,
        "dimensions": [width_of(block) for block in data.blocks],
        "needs": sorted({str(encoder.get("reads", "features")) for encoder in data.encoders}),
        "parents": [],
    }


def _selected(fits: Sequence[FittedTargets], encoders: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The columns that were chosen, of each target."""
    names = [encoder.get("feature_names") for encoder in encoders]
    return {target.name: fit.preprocessing.names(names) for fit in fits for target in fit.targets}
