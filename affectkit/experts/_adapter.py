"""A face expert as a model of images: detection, crop, passes, scales; and the folder that keeps one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affectkit import registry
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.models import whole
from affectkit.detectors._detector import LANDMARK_SIDE, Detector, Face, choose, crop, of_person, square_of
from affectkit.errors import AffectkitError
from affectkit.experts._expert import NO_FACE, RECORD, CropRule, Expert, FaceAnswer, Plan, check_record, rescaled
from affectkit.labels import Target
from affectkit.models.forward import resolve_device

BATCH = 32  # crops given to the expert at once

_CutFace = tuple[FaceAnswer, list[np.ndarray]]  # crops [views, S, S, 3], none where there is nothing to be read


class FaceExpert:
    """Images in, answers out. Expert and detector are loaded."""

    def __init__(self, expert: Expert, detector: Detector, targets: Sequence[Target], rule: CropRule) -> None:
        self.expert, self.detector, self.rule = expert, detector, rule
        self.targets = tuple(targets) or tuple(Target(n, "number", scale=expert.scale) for n in expert.outputs)
        for target in self.targets:
            if target.kind != "number" or target.name not in expert.outputs:
                message = f"{expert.name} does not answer for the {target.kind} '{target.name}'"
                raise AffectkitError("usage", message, remedy=f"it answers for {', '.join(expert.outputs)}")

    def answering(self, targets: Sequence[Target]) -> FaceExpert:
        """The same expert, for these numbers on their own scales. Raises "usage" for what it has no answer to."""
        return FaceExpert(self.expert, self.detector, targets, self.rule)

    def finding_by(self, detector: Detector) -> FaceExpert:
        """The same expert, whose faces are found by another detector."""
        return FaceExpert(self.expert, detector, self.targets, self.rule)

    def predict(
        self,
        images: Iterable[tuple[np.ndarray, Mapping[str, Any]]],
        *,
        tta: int = 1,
        batch_size: int = BATCH,
        on_error: Literal["stop", "skip"] = "stop",
    ) -> Iterator[FaceAnswer]:
        """An answer for each image, in order; what is kept at a time are the crops of one batch.

        images: ([H, W, 3] uint8, the manifest's row). tta: passes. batch_size: crops that the expert reads at once; it
        changes no answer. on_error: "skip" declines an image whose row is bad, with the reason; "stop" raises.
        """
        plan = Plan(tta, self.rule.flip_average)
        waiting: list[_CutFace] = []
        for image, row in images:
            waiting.append(self._find(image, row, plan, on_error))
            if len(waiting) >= 8 * batch_size or sum(len(crops) for _, crops in waiting) >= batch_size:
                yield from self._answer(waiting, plan, batch_size)
                waiting = []
        yield from self._answer(waiting, plan, batch_size)

    def _find(self, image: np.ndarray, row: Mapping[str, Any], plan: Plan, on_error: str) -> _CutFace:
        try:
            if not (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,)):
                raise AffectkitError("input", "is no image of [H, W, 3] uint8")
            if not image.size:
                raise AffectkitError("input", "is an image without pixels")
            return self._cut(image, of_person(self.detector.detect(image, row), row), plan)
        except AffectkitError as error:
            if on_error == "stop" or error.code != "input":
                raise
            return FaceAnswer(declined=error.message), []

    def _cut(self, image: np.ndarray, faces: list[Face], plan: Plan) -> _CutFace:
        height, width = image.shape[:2]
        face = choose(faces, self.rule.policy, width, height)
        if face is None:
            return FaceAnswer(declined=NO_FACE), []
        face = face if self.expert.by_landmarks else replace(face, landmarks=None)
        centre, side, how = square_of(face, box_scale=self.rule.box_scale)
        crops = []
        for factor, mirrored in plan.views:
            cut = crop(image, centre, side * factor, self.expert.size)
            crops.append(cut[:, ::-1] if mirrored else cut)
        return FaceAnswer(faces=len(faces), box=face.box, crop=how), crops

    def _answer(self, waiting: list[_CutFace], plan: Plan, batch_size: int) -> Iterator[FaceAnswer]:
        every = [cut for _, crops in waiting for cut in crops]
        starts = range(0, len(every), batch_size)
        batches = [self.expert.predict(np.stack(every[start : start + batch_size])) for start in starts]
        numbers = {name: [value for batch in batches for value in batch.values[name]] for name in self.expert.outputs}
        probabilities = [each for batch in batches if batch.probabilities is not None for each in batch.probabilities]
        place = 0
        for face, crops in waiting:
            if not crops:
                yield face
                continue
            views = {name: np.array(values[place : place + len(plan.views)], float) for name, values in numbers.items()}
            yield self._rescaled(face, views, probabilities[place] if probabilities else None, plan)
            place += len(plan.views)

    def _rescaled(
        self, face: FaceAnswer, views: dict[str, np.ndarray], upright: np.ndarray | None, plan: Plan
    ) -> FaceAnswer:
        """The answer for a face, from the expert's numbers for each view of it."""
        numbers = [*(views[target.name] for target in self.targets), *([] if upright is None else [upright])]
        if not all(np.isfinite(values).all() for values in numbers):
            return replace(face, declined=f"{self.expert.name} gave a number that is not finite")
        values, var = {}, {}
        for target in self.targets:
            mean, spread = plan.mean_and_var(views[target.name])
            values[target.name], var[target.name] = rescaled(mean, spread, self.expert.scale, target.scale)
        return replace(face, values=values, var=var, probabilities=upright)

    def describe(self) -> dict[str, Any]:
        """What `expert.json` says."""
        return {
            "expert": self.expert.name,
            "options": self.expert.options,
            **self.expert.describe(),
            "outputs": self.expert.outputs,
            "scale": self.expert.scale,
            "classes": self.expert.classes,
            "licence": self.expert.licence,
            "detector": self.detector.name,
            "detector_options": self.detector.options,
            "detector_facts": self.detector.describe(),
            "crop": {
                **asdict(self.rule),
                "size": self.expert.size,
                "landmark_side": LANDMARK_SIDE if self.expert.by_landmarks else None,
            },
            "targets": [target.to_json() for target in self.targets],
        }

    def save(self, folder: Path) -> None:
        """Write a folder that `load_expert` reads, without the files that it was made from. The record comes last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.expert.save(folder)
        self.detector.save(folder)
        write_json(folder / RECORD, self.describe())


def build_expert(
    name: str,
    options: Mapping[str, Any],
    detector: str = "haar",
    detector_options: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[Target] = (),
    rule: CropRule | None = None,
    device: str = "auto",
    foreign: bool = False,
) -> FaceExpert:
    """A loaded face expert.

    targets: the numbers to answer for, on their own scales; none: all that the expert has, on its scale.
    foreign: names may be a user's own modules. Raises as the plug-ins do.
    """
    expert = registry.build("experts", name, options, foreign=foreign)
    finder = registry.build("detectors", detector, detector_options or {}, foreign=foreign)
    finder.load()
    expert.load(resolve_device(device))
    return FaceExpert(expert, finder, targets, rule or CropRule())


def load_expert(folder: Path, *, device: str = "auto") -> FaceExpert:
    """The face expert of a folder that `FaceExpert.save` wrote. Names in it resolve among the built-ins only.

    Raises "missing" or "input" for a folder that is not whole, and where weights, crop or input are not the record's.
    """
    folder = Path(folder)
    record = read_json(folder / RECORD, what="description of a face expert")
    with whole(folder):
        rule = CropRule(**{name: record["crop"][name] for name in ("policy", "box_scale", "flip_average")})
        targets = [Target.from_json(target) for target in record["targets"]]
        expert = registry.build("experts", record["expert"], record["options"])
        if not hasattr(expert, "by_landmarks"):
            raise ValueError(f"{record['expert']} sees no faces")
        detector = registry.build("detectors", record["detector"], record["detector_options"])
    detector.load(folder)
    expert.load(resolve_device(device), folder)
    loaded = FaceExpert(expert, detector, targets, rule)
    check_record(folder, record, loaded.describe())
    return loaded
