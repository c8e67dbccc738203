"""The models that are served: loaded once, chains with their parts, asked for batches of rows of many requests."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import model_digest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions, probability_columns
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.inference import Model, Work, load_model, needs
from affectkit.inference.model import seen_rows
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

    columns: the further columns of text that a calibration or a route in it asks of a row. table: the columns of a
    model that reads features, in order. parts: the uppermost models of the chain that read audio, and text, alone.
    """

    name: str
    digest: str
    model: Overheard
    device: str
    reads: frozenset[str]
    columns: tuple[str, ...] = ()
    table: tuple[str, ...] = ()
    parts: Mapping[str, Served] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.model.folder

    @property
    def targets(self) -> list[Target]:
        return [Target.from_json(target) for target in self.model.spec["targets"]]

    @property
    def main(self) -> Target | None:
        """The class target that emotions are read from; None for a model of numbers."""
        classes = [target for target in self.targets if target.kind != "number"]
        return next((target for target in classes if target.name == "label"), classes[0] if classes else None)

    @property
    def medium(self) -> str:
        """What is decoded for it: audio or images; "" for text and features."""
        return next((kind for kind in MEDIA if kind in self.reads), "")

    @property
    def calibration(self) -> dict[str, Any]:
        """By target, the method and parameters of the calibration that the chain ends with; {} where it has none."""
        stage = getattr(self.model.inner, "stage", None)
        if self.model.spec["kind"] == "fusion":  # a rule may end with a calibration of its own
            return {}
        return dict(getattr(stage, "targets", {}))

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
            "columns": list(self.table or self.columns),
        }


def load_served(settings: ServeSettings) -> dict[str, Served]:
    """All folders, by name. Raises, naming the folder, for one that is damaged, whose parents have changed, or that
    reads what no request can bring."""
    if not settings.models:
        remedy = "name model folders, or set AFFECTKIT_SERVE_MODELS or SER_HF_MODEL_DIR"
        raise AffectkitError("usage", "there is no model to serve", remedy=remedy)
    return {folder.name: _load(folder, settings.device) for folder in settings.models}


def _load(folder: ModelFolder, device: str) -> Served:
    model = load_model(folder.path)
    needed = needs(model)
    reads = needed.media
    if set(reads) not in READABLE or (reads == {"features"} and model.feature_sets != 1):
        what = f"reads {needed.in_words}, which no request brings"
        raise AffectkitError("input", what, file=folder.path, remedy="predict manifests with it: affectkit predict")
    for part in _chain(model):
        if part.spec.get("normalize") == "speaker":
            what = "is scaled by each speaker's own rows, which one request does not have"
            raise AffectkitError("input", what, file=part.folder, remedy="train it with --normalize train")
    table = next((part.spec["features"][0].get("feature_names", ()) for part in _chain(model) if reads == {"features"}
                  and part.spec.get("features")), ())  # fmt: skip
    logger.info("model %s: %s of %s", folder.name, model.spec["kind"], " and ".join(sorted(reads)))
    heard = overheard(model)
    how: dict[str, Any] = {"device": folder.device or device, "columns": needed.columns}
    whole = Served(folder.name, model_digest(model.folder), heard, reads=reads, table=tuple(table), **how)
    parts = {kind: _part(whole, kind) for kind in ("audio", "text")}
    return replace(whole, parts={kind: part for kind, part in parts.items() if part})


def _part(whole: Served, kind: str) -> Served | None:
    """The uppermost model of a chain that reads nothing else."""
    level = {whole.name: whole.model}
    while level:
        for name, model in level.items():
            if (reads := needs(model).media) == {kind}:
                return replace(whole, name=name, digest=model_digest(model.folder), model=model, reads=reads)
        level = {
            f"{name}/{own}": parent
            for name, model in level.items()
            for own, parent in model.parents.items()
            if isinstance(parent, Overheard)
        }
    return None


def _chain(model: Model) -> Iterator[Model]:
    yield model
    for parent in model.parents.values():
        yield from _chain(parent)


# --- A batch


@dataclass(frozen=True)
class Answer:
    """What a model says of one row. row: of `Predictions.frame`. parts: those of the models of its chain, by folder.
    reason: why one of them declined."""

    row: Mapping[str, Any]
    parts: Mapping[Path, Mapping[str, Any]]
    reason: str = ""


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
    for target in served.targets:
        columns = [f"{target.name}_pred"] if target.kind == "number" else probability_columns(target)
        if all(row[name] == row[name] for name in columns):
            return True
    return False


def _predict(served: Served, rows: Sequence[Mapping[str, Any]], work: Asked) -> Predictions:
    import pandas as pd

    if served.reads != {"features"}:
        table = pd.DataFrame(rows)
        return served.model.predict(_manifest(table), work)
    with tempfile.TemporaryDirectory(prefix="affectkit-features-") as folder:
        path = Path(folder, "features.csv")
        write_table(path, pd.DataFrame([{"id": row["id"], **row["features"]} for row in rows]))
        return served.model.predict(_manifest(pd.DataFrame([{"id": row["id"]} for row in rows])), work, [path])


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
