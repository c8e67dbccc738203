"""The models that are served: loaded once, chains with their parts, asked for batches of rows of many requests."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import model_digest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions, prediction_column, probability_columns
from affectkit.artifacts.tables import EXACT, write_table
from affectkit.errors import AffectkitError
from affectkit.fusion.table import main_target
from affectkit.inference import Model, Work, load_model, needs
from affectkit.inference.load import StackedModel
from affectkit.inference.model import seen_rows
from affectkit.inference.texts import built_in
from affectkit.labels import Target
from affectkit.serving.settings import ModelFolder, ServeSettings

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

READABLE = ({"audio"}, {"images"}, {"text"}, {"audio", "text"}, {"images", "text"}, {"features"})
MEDIA = ("audio", "images")


@dataclass(frozen=True)
class Asked(Work):
    """The work of one batch. reasons: why rows were skipped, by id. parts: what each model of a chain answered, by its
    folder."""

    reasons: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    parts: dict[Path, Predictions] = field(default_factory=dict, repr=False, compare=False)

    def tell_skipped(self, row_id: str, reason: str) -> None:
        self.reasons.setdefault(row_id, reason)


@dataclass(frozen=True)
class Overheard(Model):
    """A model of a chain, whose own answers are kept beside those of the chain."""

    inner: Model
    is_parent: bool = False
    parents: Mapping[str, Overheard] = field(default_factory=dict, kw_only=True)

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        try:
            predictions = self.inner.predict(manifest, work, features)
        except AffectkitError:
            if not self.is_parent or not isinstance(work, Asked) or not set(manifest.rows["id"]) <= set(work.reasons):
                raise
            # A batch of nothing but rows that are skipped is no mistake of the caller here: they are declined.
            targets = [Target.from_json(target) for target in self.spec["targets"]]
            nothing = [TargetPrediction.declined(target, len(manifest.rows)) for target in targets]
            predictions = build_predictions(manifest.rows, nothing, seen_rows(self, manifest.rows))
        if isinstance(work, Asked):
            work.parts[self.folder] = predictions
        return predictions


def overheard(model: Model, *, is_parent: bool = False) -> Overheard:
    parents = {name: overheard(parent, is_parent=True) for name, parent in model.parents.items()}
    inner = replace(model, parents=parents) if parents else model
    return Overheard(model.folder, model.spec, model.fit_rows, inner, is_parent, parents=parents)


@dataclass(frozen=True)
class Served:
    """A model that rows can be sent to: one of the folders, or a part of its chain.

    table: the columns of a model that reads features, in order. parts: the models of the chain that read one thing
    alone, by folder.
    """

    name: str
    digest: str
    model: Overheard
    device: str
    reads: frozenset[str]
    table: tuple[str, ...] = ()
    parts: Mapping[Path, Served] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.model.folder

    @cached_property
    def targets(self) -> list[Target]:
        return [Target.from_json(target) for target in self.model.spec["targets"]]

    @cached_property
    def main(self) -> Target | None:
        """The class target that emotions are read from; None for a model of numbers."""
        target = main_target(self.targets)
        return target if target.kind != "number" else None

    @cached_property
    def columns(self) -> list[str]:
        """The further columns of text that a calibration or a route in it asks of a row."""
        return list(needs(self.model).columns)

    def sample_columns(self) -> list[dict[str, str]]:
        """Each value of `columns` that the chain knows, at least once."""
        known = {name: [""] for name in self.columns}
        for part in _chain(self.model):
            if isinstance(part.inner, StackedModel):
                for cells in map(part.inner.stage.known_cells, part.inner.stage.targets):
                    known |= {name: values for name, values in cells.items() if values}
        count = max(map(len, known.values()), default=1)
        return [{name: values[n % len(values)] for name, values in known.items()} for n in range(count)]

    def part(self, kind: str, cells: Mapping[str, str]) -> Served | None:
        """The uppermost model of the chain that reads `kind` alone, of those that answer a row with these `columns`.
        Raises "input" for a row that a route refuses."""
        import pandas as pd

        level = [self.model]
        while level:
            for model in level:
                if needs(model).media == {kind}:
                    return self if model is self.model else self.parts[model.folder]
            parents: list[Overheard] = []
            for model in level:
                inner = model.inner
                wanted = inner.wanted(_manifest(pd.DataFrame([cells]))) if isinstance(inner, StackedModel) else None
                parents += [parent for name, parent in model.parents.items() if wanted is None or wanted[name][0]]
            level = parents
        return None

    @property
    def medium(self) -> str:
        """What is decoded for it: audio or images; "" for text and features."""
        return next((kind for kind in MEDIA if kind in self.reads), "")

    @property
    def calibration(self) -> dict[str, Any]:
        """By target, the method and parameters of the calibration that the chain ends with; {} where it has none."""
        if self.model.spec["kind"] != "calibration":  # a fusion's rule may end with a calibration of its own
            return {}
        assert isinstance(self.model.inner, StackedModel)
        return dict(self.model.inner.stage.targets)

    def described(self) -> dict[str, Any]:
        """For /v1/models."""
        return {
            "id": self.name,
            "digest": self.digest,
            "kind": self.model.spec["kind"],
            "reads": sorted(self.reads),
            "targets": [target.to_json() for target in self.targets],
            "calibrated": bool(self.calibration),
            "parents": sorted(self.model.parents),
            "columns": list(self.table) or self.columns,
        }


def load_served(settings: ServeSettings) -> dict[str, Served]:
    """All folders, by name. Raises, naming the folder, for one that is damaged, whose parents have changed, or that
    reads what no request can bring."""
    if not settings.models:
        remedy = "name model folders, or set AFFECTKIT_SERVE_MODELS or SER_HF_MODEL_DIR"
        raise AffectkitError("usage", "there is no model to serve", remedy=remedy)
    return {folder.name: _load(folder, settings.device) for folder in settings.models}


def _load(folder: ModelFolder, device: str) -> Served:
    model = load_model(folder.path) if folder.path else built_in("lexicon")
    needed = needs(model)
    reads = needed.media
    if set(reads) not in READABLE or (reads == {"features"} and model.feature_sets != 1):
        what = f"reads {needed.in_words}, which no request brings"
        raise AffectkitError("input", what, file=folder.path, remedy="predict manifests with it: affectkit predict")
    chain = list(_chain(model))
    for part in chain:
        if part.spec.get("normalize") == "speaker":
            what = "is scaled by each speaker's own rows, which one request does not have"
            raise AffectkitError("input", what, file=part.folder, remedy="train it with --normalize train")
        if part.spec.get("sequence"):
            what = f"answers one row for all of a {part.spec['sequence'][0]}, which one request does not bring"
            raise AffectkitError("input", what, file=part.folder, remedy="predict manifests with it: affectkit predict")
    sets = [part.spec["features"][0] for part in chain if part.spec.get("features")] if reads == {"features"} else []
    columns = sets[0].get("columns", ()) if sets else ()
    table = tuple(sets[0].get("feature_names") or [column["name"] for column in columns]) if sets else ()
    logger.info("model %s: %s of %s", folder.name, model.spec["kind"], " and ".join(sorted(reads)))
    whole = Served(folder.name, _digest(model), overheard(model), folder.device or device, reads, table)
    parts = {
        part.folder: replace(whole, name=name, digest=_digest(part), model=part, reads=needs(part).media)
        for name, part in _named(whole.name, whole.model)
        if len(needs(part).media) == 1
    }
    return replace(whole, parts=parts)


def _digest(model: Model) -> str:
    return model.spec.get("digest") or model_digest(model.folder)  # a built-in model has no folder


def _named(name: str, model: Any) -> Iterator[tuple[str, Any]]:
    yield name, model
    for own, parent in model.parents.items():
        yield from _named(f"{name}/{own}", parent)


def _chain(model: Model) -> Iterator[Any]:
    return (part for _, part in _named("", model))


# --- A batch


@dataclass(frozen=True)
class Answer:
    """What a model says of one row. row: of `Predictions.frame`. parts: those of the models of its chain, by folder.
    reason: why one of them declined."""

    row: Mapping[str, Any]
    parts: Mapping[Path, Mapping[str, Any]]
    reason: str = ""

    def of(self, served: Served) -> Answer | None:
        """What a model of the chain said, or the chain itself; None where it has no answer, as to an empty text."""
        row = self.parts.get(served.folder)
        return replace(self, row=row) if row is not None and is_answered(served, row) else None


def answer(served: Served, rows: Sequence[Mapping[str, Any]], threads: int | None) -> list[Answer | AffectkitError]:
    """The answers to rows of a manifest, in order, or why one has none: as `affectkit predict` gives them."""
    work = Asked(device=served.device, num_workers=threads, on_error="skip")
    try:
        predictions = _predict(served, rows, work)
    except AffectkitError as error:
        if len(rows) > 1 and not all(row["id"] in work.reasons for row in rows):
            return [result for row in rows for result in answer(served, [row], threads)]  # one of them spoils the batch
        return [_skipped(work, row, error) for row in rows]
    table = _by_id(predictions)
    parts = {folder: _by_id(part) for folder, part in work.parts.items()}
    outcomes: list[Answer | AffectkitError] = []
    for row in rows:
        key, reason = row["id"], work.reasons.get(row["id"], "")
        if key not in table or (reason and not is_answered(served, table[key])):
            outcomes.append(_skipped(work, row, None))
        else:
            said = {folder: part[key] for folder, part in parts.items() if key in part}
            outcomes.append(Answer(table[key], said, reason))
    return outcomes


def is_answered(served: Served, row: Mapping[str, Any]) -> bool:
    """Whether a row has an answer to any target."""
    columns = [
        [prediction_column(target.name)] if target.kind == "number" else probability_columns(target)
        for target in served.targets
    ]
    return any(all(row[name] == row[name] for name in names) for names in columns)


def _predict(served: Served, rows: Sequence[Mapping[str, Any]], work: Asked) -> Predictions:
    import pandas as pd

    if served.reads != {"features"}:
        return served.model.predict(_manifest(pd.DataFrame(rows)), work)
    with tempfile.TemporaryDirectory(prefix="affectkit-features-") as folder:
        path = Path(folder, "features.csv")
        cells = [{name: _cell(value) for name, value in row["features"].items()} for row in rows]
        write_table(path, pd.DataFrame(cells).assign(id=[row["id"] for row in rows]))
        return served.model.predict(_manifest(pd.DataFrame(rows).drop(columns="features")), work, [path])


def _cell(value: float | str) -> str:
    """As tables have it: the category 1 is no 1.0."""
    return value if isinstance(value, str) else "" if math.isnan(value) else EXACT % value


def _manifest(table: pd.DataFrame) -> Manifest:
    path = Path("REQUEST")
    return Manifest(path, table, [(path, 0)] * len(table), {}, bare=True)


def _by_id(predictions: Predictions) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in predictions.frame.to_dict("records")}


def _skipped(work: Asked, row: Mapping[str, Any], error: AffectkitError | None) -> AffectkitError:
    reason = work.reasons.get(row["id"], "").removeprefix(f"{row.get('path')}: ")
    if not reason:
        return error or AffectkitError("input", "the model gave no answer")
    return AffectkitError("input", reason, file=row.get("path") or None)
