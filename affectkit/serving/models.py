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
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.inference import Model, Work, load_model, needs
from affectkit.labels import Target
from affectkit.serving.settings import ModelFolder, Settings

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

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        predictions = self.inner.predict(manifest, work, features)
        if isinstance(work, Asked):
            work.parts[self.folder] = predictions
        return predictions


def overheard(model: Model) -> Overheard:
    parents = {name: overheard(parent) for name, parent in model.parents.items()}
    inner = replace(model, parents=parents) if parents else model
    return Overheard(model.folder, model.spec, model.fit_rows, inner, parents=parents)


@dataclass(frozen=True)
class Served:
    """A model that rows can be sent to: one of the folders, or a part of its chain.

    columns: the further columns of text that a calibration or a route in it asks of a row. table: the columns of a
    model that reads features, in order.
    """

    name: str
    digest: str
    model: Overheard
    device: str
    reads: frozenset[str]
    columns: tuple[str, ...] = ()
    table: tuple[str, ...] = ()

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

    def part(self, *reads: str) -> Served | None:
        """The uppermost model of the chain that reads nothing else: its acoustic side, or that of texts."""
        level: list[Overheard] = [self.model]
        while level:
            for model in level:
                if needs(model) == set(reads):
                    return self if model is self.model else replace(self, model=model, reads=frozenset(reads))
            level = [parent for model in level for parent in model.parents.values() if isinstance(parent, Overheard)]
        return None

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


def load_served(settings: Settings) -> dict[str, Served]:
    """All folders, by name. Raises, naming the folder, for one that is damaged, whose parents have changed, or that
    reads what no request can bring."""
    if not settings.models:
        remedy = "name model folders, or set AFFECTKIT_SERVE_MODELS or SER_HF_MODEL_DIR"
        raise AffectkitError("usage", "there is no model to serve", remedy=remedy)
    return {folder.name: _load(folder, settings.device) for folder in settings.models}


def _load(folder: ModelFolder, device: str) -> Served:
    model = load_model(folder.path)
    reads = needs(model)
    if set(reads) not in READABLE or (reads == {"features"} and model.feature_sets != 1):
        what = f"reads {' and '.join(sorted(reads)) or 'nothing'}, which no request brings"
        raise AffectkitError("input", what, file=folder.path, remedy="predict manifests with it: affectkit predict")
    for part in _chain(model):
        if part.spec.get("normalize") == "speaker":
            what = "is scaled by each speaker's own rows, which one request does not have"
            raise AffectkitError("input", what, file=part.folder, remedy="train it with --normalize train")
    columns = [name for part in _chain(model) for name in getattr(getattr(part, "stage", None), "columns", ())]
    table = next((part.spec["features"][0].get("feature_names", ()) for part in _chain(model) if reads == {"features"}
                  and part.spec.get("features")), ())  # fmt: skip
    logger.info("model %s: %s of %s", folder.name, model.spec["kind"], " and ".join(sorted(reads)))
    return Served(
        folder.name,
        model_digest(model.folder),
        overheard(model),
        folder.device or device,
        reads,
        tuple(dict.fromkeys(columns)),
        tuple(table),
    )


def _chain(model: Model) -> Iterator[Model]:
    yield model
    for parent in model.parents.values():
        yield from _chain(parent)


# --- A batch


@dataclass(frozen=True)
class Answer:
    """What a model says of one row. row: of `Predictions.frame`. parts: those of the models of its chain, by folder."""

    row: Mapping[str, Any]
    parts: Mapping[Path, Mapping[str, Any]]


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
    return [
        Answer(table[row["id"]], {folder: part[row["id"]] for folder, part in parts.items() if row["id"] in part})
        if row["id"] in table
        else _skipped(work, row, None)
        for row in rows
    ]


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
    reason = work.reasons.get(row["id"])
    if reason is None:
        return error or AffectkitError("input", "the model gave no answer")
    return AffectkitError("input", reason)
