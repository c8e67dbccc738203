"""A face expert behind raw images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.detectors.columns import BOX, ColumnsDetector
from affectkit.distributed import ranks
from affectkit.errors import AffectkitError
from affectkit.evaluation.assess import FACE, FOUND, NONE
from affectkit.experts._adapter import FaceExpert, build_expert, load_expert
from affectkit.experts._expert import FaceAnswer, Faces
from affectkit.inference.model import Imported, Model, Work
from affectkit.labels import Target
from affectkit.media.files import mapped, or_error
from affectkit.media.images import read_image

logger = logging.getLogger(__name__)

KIND, EXPRESSION = "face-expert", "expression"
# What predictions say of the face: whether one was found, of how many, and the box of the one that was read.
COLUMNS = (FACE, "faces", *BOX)


@dataclass(frozen=True)
class FaceModel(Model):
    """A face expert behind raw images. Nothing was fitted here: what its authors fitted it on is not known."""

    _loaded: dict[str, FaceExpert] = field(default_factory=dict)

    def expert(self, device: str) -> FaceExpert:
        if device not in self._loaded:
            self._loaded[device] = load_expert(self.folder, device=device)
        return self._loaded[device]

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        """Every row that can be read is answered; one without a face is declined, which `face` says."""
        if features or work.mc_dropout:
            option = "--features" if features else "--mc-dropout"
            raise AffectkitError("usage", f"a face expert takes no {option}", file=self.folder)
        tta = int(self.spec.get("tta", 1)) if work.tta is None else work.tta
        return predict_faces(self.expert(work.device), manifest, work, tta)


def predict_faces(expert: FaceExpert, manifest: Manifest, work: Work, tta: int) -> Predictions:
    """What an expert says of a manifest's images, with the columns `COLUMNS`. Its detector finds the faces, unless the
    rows are of no manifest and bring boxes along."""
    if manifest.bare and BOX[0] in manifest.rows:
        expert = expert.finding_by(ColumnsDetector())
    reading = _Reading(manifest, work)
    try:
        answers = list(expert.predict(reading.images(), tta=tta, on_error=work.on_error))
    except AffectkitError as error:
        if error.file:
            raise
        raise AffectkitError(error.code, error.message, **manifest.where(reading.place), remedy=error.remedy) from None
    rows = manifest.rows.iloc[reading.positions].reset_index(drop=True)
    if not len(rows):
        raise AffectkitError("input", "no image could be read", file=manifest.path)
    total, with_face = len(answers), sum(answer.faces > 0 for answer in answers)
    logger.info("a face was found in %d of %d images (%.0f %%)", with_face, total, 100 * with_face / total)
    for reason, count in Counter(a.declined for a in answers if a.declined and a.faces).items():
        logger.warning("%d images are declined: %s", count, reason)
    outputs = [_numbers(target, answers) for target in expert.targets]
    if classes := expert.expert.classes:
        nothing = np.full(len(classes), np.nan)
        probabilities = [nothing if answer.probabilities is None else answer.probabilities for answer in answers]
        outputs.append(TargetPrediction.of(Target(EXPRESSION, "class", classes), np.stack(probabilities)))
    return build_predictions(rows.assign(**_faces(answers)), outputs, ["heldout"] * len(rows), COLUMNS)


def targets_for(expert: FaceExpert, manifest: Manifest, names: str | None) -> list[Target]:
    """The manifest's numbers that an expert answers for, or those named; none where the manifest has none of them, and
    the expert's own scale serves. Raises "input" for an unknown name."""
    if names:
        return manifest.chosen_targets(names)
    known = (manifest.targets.get(name) for name in expert.expert.outputs)
    return [target for target in known if target is not None and target.kind == "number"]


def import_faces(name: str, options: Mapping[str, Any], faces: Faces, manifest: Manifest, work: Work) -> Imported:
    """A face expert, and what it says of a manifest's images. options: of the expert and of its detector.

    Raises "usage" for one that neither has.
    """
    finding = registry.options(registry.load("detectors", faces.detector, foreign=True).build)
    apart = {True: {}, False: {}}  # type: dict[bool, dict[str, Any]]
    for option, value in options.items():
        apart[option in finding][option] = value
    made = build_expert(
        name, apart[False], faces.detector, apart[True], rule=faces.rule, device=work.device, foreign=True
    )
    expert = made.answering(targets_for(made, manifest, faces.target))
    predictions = predict_faces(expert, manifest, work, faces.tta)
    described, counts = expert.describe(), predictions.frame[FACE].value_counts()
    spec = {
        "kind": KIND,
        "reads": "images",
        "expert": described["expert"],
        "expert_facts": expert.expert.describe(),
        **{key: described[key] for key in ("licence", "detector", "crop")},
        "tta": faces.tta,
    }
    return Imported(expert, predictions, spec, {"faces": {str(name): int(count) for name, count in counts.items()}})


class _Reading:
    """Images of a manifest, decoded on threads, with their rows; which of them were read."""

    def __init__(self, manifest: Manifest, work: Work) -> None:
        self.manifest, self.work = manifest, work
        self.positions: list[int] = []
        self.place = 0

    def images(self) -> Iterator[tuple[np.ndarray, Mapping[str, Any]]]:
        rows = self.manifest.rows.to_dict("records")
        workers = ranks(cpu=self.work.device == "cpu").workers(self.work.num_workers)
        read = mapped(partial(or_error, read_image), [path or "" for path in self.manifest.media()], workers)
        for self.place, (image, row) in enumerate(zip(read, rows, strict=True)):
            if isinstance(image, AffectkitError):
                message = image.reason
                if self.work.on_error == "stop":
                    raise AffectkitError(image.code, message, **self.manifest.where(self.place), remedy=image.remedy)
                self.work.tell_skipped(row["id"], message)
            else:
                self.positions.append(self.place)
                yield image, {str(name): value for name, value in row.items()}
            self.work.progress(self.place + 1, len(rows))


def _numbers(target: Target, answers: Sequence[FaceAnswer]) -> TargetPrediction:
    mean = np.array([answer.values.get(target.name, np.nan) for answer in answers])
    var = np.array([answer.var.get(target.name, np.nan) for answer in answers])
    return TargetPrediction(target, mean=mean, var=None if np.isnan(var).all() else var)


def _faces(answers: Sequence[FaceAnswer]) -> dict[str, Any]:
    boxes = np.array([answer.box or (np.nan,) * 4 for answer in answers], float).round(2)
    counts = [answer.faces for answer in answers]
    columns = {FACE: [FOUND if count else NONE for count in counts], "faces": counts}
    return {**columns, **{name: boxes[:, place] for place, name in enumerate(BOX)}}
