"""A model of kind "estimator": its encoders, then the estimator."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.features import Features
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import whole
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.artifacts.sequences import WINDOWS, Sequences
from affectkit.artifacts.table_features import OWN, FeatureSet, feature_sets, is_table, open_known, read_encoded
from affectkit.encoders._encoder import Encoder, from_record, items
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.estimators._estimator import Block, Takes, refuse_infinite, refuse_no_answer
from affectkit.estimators._model import EstimatorModel
from affectkit.estimators._network_inputs import encoded_block, encoded_windows, read_block, read_windows
from affectkit.inference.model import Model, Work, seen_rows, sequences_of
from affectkit.media.series_formats import ENDINGS

logger = logging.getLogger(__name__)

_FACTS = ("encoder", "weights", "dim"), ("preprocessing", "feature_names")
# Options of encoders that change no feature: where the weights lie, which are compared themselves, how exactly they are
# computed with, and what is computed at once.
_SAME_VALUES = ("checkpoint", "revision", "dtype", "batch_tokens", "detector_weights")
CHUNK = 256  # rows whose frames are in memory together: of 4 s and 13 layers of 768, 2 GB
WINDOW_CHUNK = 4096  # windows, a vector each, but never less than one sequence


@dataclass(frozen=True)
class EstimatorPipeline(Model):
    """An estimator behind its encoders."""

    estimator: EstimatorModel
    _opened: dict[str, list[Encoder | None]] = field(
        default_factory=dict
    )  # once: a video is predicted some frames at a time

    @property
    def _takes(self) -> Takes:
        return self.estimator.takes

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        if sequences := sequences_of(self, manifest):
            return self._predict_sequences(sequences, manifest, work, features)
        if features:
            outputs = self._answers(manifest, self._read(manifest, features), work)
        else:
            manifest, outputs = self._encode(manifest, work)
        return build_predictions(manifest.rows, outputs, seen_rows(self, manifest.rows))

    @property
    def drops(self) -> bool:
        return self.estimator.drops

    def _predict_sequences(
        self, sequences: Sequences, windows: Manifest, work: Work, features: Sequence[Path]
    ) -> Predictions:
        """One row for each sequence of the manifest `windows`."""
        for target, names in sequences.mixed.items():
            what = "%s of %d sequences is left empty, as their rows differ in it: '%s'"
            logger.warning(what, target, len(names), names[0])
        if features:
            blocks = [self._block(sequences.manifest, each, sequences) for each in self._open(windows, features)]
            outputs = self._answers(sequences.manifest, blocks, work)
        else:
            sequences, outputs = self._encode_sequences(sequences, windows, work)
        rows = sequences.manifest.rows
        return build_predictions(rows, outputs, seen_rows(self, rows, sequences), [*sequences.how.columns, WINDOWS])

    def _answers(self, manifest: Manifest, blocks: Sequence[Block], work: Work) -> list[TargetPrediction]:
        speakers = manifest.rows["speaker"].to_numpy() if "speaker" in manifest.rows else None
        draws = work.mc_dropout if work.mc_dropout and self.drops else 0
        outputs = self.estimator.predict(blocks, speakers, draws)
        for output in outputs:
            if output.target.name not in self.estimator.unlearned:
                refuse_no_answer(output.values, manifest)
        return outputs

    def _read(self, manifest: Manifest, features: Sequence[Path]) -> list[Block]:
        """Features that were extracted before."""
        return [self._block(manifest, feature_set) for feature_set in self._open(manifest, features)]

    def _open(self, manifest: Manifest, features: Sequence[Path]) -> list[Features]:
        encoders = self.spec["features"]
        paths = _in_order(feature_sets(features), [encoder.get("name", "") for encoder in encoders])
        return [_read_as(path, manifest, encoder) for path, encoder in zip(paths, encoders, strict=True)]

    def _block(self, manifest: Manifest, features: Features, sequences: Sequences | None = None) -> Block:
        """sequences: what the manifest's rows are, where the features are of their windows."""
        ids, how = list(manifest.rows["id"]), (self._takes, self.spec["estimator"])
        block = read_windows(features, sequences, *how) if sequences else read_block(features, ids, *how)
        refuse_infinite(block, ids, features.path)
        return block

    def _encode(self, manifest: Manifest, work: Work) -> tuple[Manifest, list[TargetPrediction]]:
        """The rows that could be encoded, and their answers: the model's own encoders on raw media or text, and columns
        of the manifest where it was trained on some.

        All rows at once where each becomes a vector, some at a time where frames are kept for every one of them.
        """
        encoders = self._encoders(work)
        framed = any(encoder and not encoder.pooled for encoder in encoders) and self.spec["normalize"] != "speaker"
        total, size = len(manifest.rows), CHUNK if framed else len(manifest.rows)
        kept, answers = np.zeros(total, dtype=bool), []
        for start in range(0, total, size):
            part = np.zeros(total, dtype=bool)
            part[start : start + size] = True
            rows, blocks = manifest.take(part), list[Block]()
            for encoder, known in zip(encoders, self.spec["features"], strict=True):
                if encoder is None:
                    blocks.append(self._block(rows, open_known(OWN, rows, known)))
                    continue
                there, block = _encoded(encoder, rows, work, self._takes, start, total)
                part[np.flatnonzero(part)[~there]] = False
                rows, blocks = rows.take(there), [block[there] for block in blocks] + [block]
                if not there.any():
                    break
            else:
                answers.append(self._answers(rows, blocks, work))
            kept |= part
        if not kept.any():
            raise AffectkitError("input", "no row could be encoded", file=manifest.path)
        return manifest.take(kept), _joined(answers)

    def _encoders(self, work: Work) -> list[Encoder | None]:
        if work.device not in self._opened:
            self._opened[work.device] = [_opened(known, work.device, self.folder) for known in self.spec["features"]]
        return self._opened[work.device]

    def _encode_sequences(
        self, sequences: Sequences, windows: Manifest, work: Work
    ) -> tuple[Sequences, list[TargetPrediction]]:
        """The sequences of which a window could be encoded, and their answers: some sequences at a time."""
        kept: set[str] = set()
        answers, done, total = [], 0, len(windows.rows)
        for ids in _some(sequences, at_once=self.spec["normalize"] == "speaker"):
            part = windows.take(windows.rows["id"].isin(ids).to_numpy())
            encoded: list[Features | tuple[list[str], Any]] = []
            for encoder, known in zip(self._encoders(work), self.spec["features"], strict=True):
                if encoder is None:
                    encoded.append(open_known(OWN, part, known))
                    continue
                there, values = _encoded(encoder, part, work, None, done, total)
                part = part.take(there)
                encoded.append((list(part.rows["id"]), values))
                if not there.any():
                    break
            done += len(ids)
            these = sequences.keeping(set(part.rows["id"]))
            if these.ids:
                blocks = [self._of_windows(each, these) for each in encoded]
                answers.append(self._answers(these.manifest, blocks, work))
                kept.update(part.rows["id"])
        if not kept:
            raise AffectkitError("input", "no row could be encoded", file=windows.path)
        return sequences.keeping(kept), _joined(answers)

    def _of_windows(self, encoded: Features | tuple[list[str], Any], sequences: Sequences) -> Block:
        if isinstance(encoded, Features):
            return self._block(sequences.manifest, encoded, sequences)
        return encoded_windows(sequences, *encoded, self._takes)


def _joined(answers: Sequence[Sequence[TargetPrediction]]) -> list[TargetPrediction]:
    """Of parts of the rows, in order."""
    return [TargetPrediction.joined(parts) for parts in zip(*answers, strict=True)]


def _in_order(sets: Sequence[FeatureSet], names: Sequence[str]) -> list[Path]:
    """The paths of a model's sets of features: by their names, where they have some, else as they come. names: of the
    model's, "" where it knows none. Raises "usage" naming what is unknown, or missing."""
    if not any(each.name for each in sets):
        if len(sets) != len(names):
            raise AffectkitError("usage", f"the model was trained on {len(names)} feature sets, not {len(sets)}")
        return [each.path for each in sets]
    known, paths = [name for name in names if name], {each.name: each.path for each in sets}
    if len(known) < len(names) or "" in paths:
        what = "the model's sets have no names" if len(known) < len(names) else "some have a name, and some have none"
        raise AffectkitError("usage", f"--features: {what}", remedy="give all without names, in the order of training")
    for name in paths:
        if name not in known:
            remedy = did_you_mean(name, known)
            raise AffectkitError("usage", f"--features: the model was trained on no set '{name}'", remedy=remedy)
    if missing := [name for name in known if name not in paths]:
        remedy = f"add --features {missing[0]}=FOLDER"
        raise AffectkitError("usage", f"--features: {', '.join(missing)} missing", remedy=remedy)
    return [paths[name] for name in known]


def _read_as(path: Path, manifest: Manifest, trained_on: dict[str, Any]) -> Features:
    """Features of the kind that the model was trained on. Raises "input" for others."""
    if not trained_on.get("encoder") and is_table(path):
        return open_known(path, manifest, trained_on)
    features = read_encoded(path, manifest)
    _check_same_encoder(trained_on, features.described(), path)
    return features


def _opened(known: dict[str, Any], device: str, folder: Path) -> Encoder | None:
    """The encoder of a record, loaded; None for columns of a table, which a manifest may have too. Raises "input" for
    features of predictions, which nothing here can make."""
    if not known.get("encoder") and not known.get("tabulation"):
        return None
    if not known.get("encoder"):
        remedy = "pass that table with --features"
        raise AffectkitError("input", "was trained on a table of features", file=folder, remedy=remedy)
    with whole(folder):
        build = registry.load("encoders", known["encoder"]).build
        registry.check_options("encoders", known["encoder"], build, known["options"])
    return from_record(known, device=device)


def _some(sequences: Sequences, *, at_once: bool) -> Iterator[set[str]]:
    """The windows of some sequences at a time, up to `WINDOW_CHUNK` where there are several, or of all."""
    ids: list[str] = []
    for windows in sequences.windows:
        if ids and len(ids) + len(windows) > WINDOW_CHUNK and not at_once:
            yield set(ids)
            ids = []
        ids += windows
    yield set(ids)


def _encoded(
    encoder: Encoder, manifest: Manifest, work: Work, takes: Takes | None, start: int, total: int
) -> tuple[np.ndarray, Any]:
    """Which rows, those from `start` on of `total`, could be encoded, [N] bool, and the features of these: as an
    estimator takes them, or for None as the encoder gave them."""
    encoded = encode_items(
        encoder,
        items(manifest, encoder),
        num_workers=work.num_workers if work.num_workers is not None else os.cpu_count() or 1,
        on_error=work.on_error,
        where=None if manifest.bare else manifest.where,
        progress=lambda done: work.progress(start + done, total),
    )
    for name, reason in encoded.skipped:
        work.tell_skipped(name, reason)
    there = manifest.rows["id"].isin(set(encoded.ids)).to_numpy()
    if not there.any():
        return there, None
    if takes is None:
        return there, encoded.values
    return there, encoded_block(encoded.ids, encoded.values, takes, pooled=encoder.pooled)


def _check_same_encoder(trained_on: dict[str, Any], extracted: dict[str, Any], path: Path) -> None:
    """Refuse features of an encoder, weights, options or columns other than the model was trained on."""
    wanted, there = _compared(trained_on), _compared(extracted)
    for fact in (*wanted, *there):
        if wanted.get(fact) != there.get(fact):
            encoder = trained_on.get("encoder") or "another table"
            message = f"differs in '{fact}' from the features of the model ({encoder})"
            raise AffectkitError("input", message, file=path, remedy="extract them with the model's own encoder")


def _compared(record: dict[str, Any]) -> dict[str, Any]:
    """What decides about the values of an encoder's features."""
    options = {name: value for name, value in (record.get("options") or {}).items() if name not in _SAME_VALUES}
    if options.get("text_column") == "text":
        del options["text_column"]  # records before there was the option lack it
    if str(options.get("series", "")).lower().endswith(ENDINGS):  # a table of other rows is another file
        options["series"] = "table"
    if options.get("pool") == "none" and record.get("reads") != "series":
        options["pool"] = "mean"  # which the means over frames equal, to the bit
    first, last = ({name: record.get(name) for name in names} for names in _FACTS)
    return {**first, **options, **last}
