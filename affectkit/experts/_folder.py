"""Making a face expert, and reading the folder that keeps one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectkit import registry
from affectkit.artifacts.files import read_json
from affectkit.artifacts.models import whole
from affectkit.detectors._detector import Detector, Policy
from affectkit.errors import AffectkitError
from affectkit.experts._adapter import FaceExpert
from affectkit.experts._answers import Rule
from affectkit.experts._expert import RECORD, Expert
from affectkit.labels import Target
from affectkit.plain import without_nan

NOT_COMPARED = ("licence", "detector_facts")  # words; the version of OpenCV


def build_expert(
    name: str,
    options: Mapping[str, Any] | None = None,
    detector: str = "haar",
    detector_options: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[Target] = (),
    policy: Policy = "largest",
    box_scale: float = 1.0,
    flip_average: bool = True,
    device: str = "auto",
    foreign: bool = False,
) -> FaceExpert:
    """A loaded face expert.

    targets: the numbers to answer for, on their own scales; none: all that the expert has, on its scale. policy: which
    of several faces. box_scale: side of the square over the longer side of a box without landmarks. flip_average: of a
    single pass. foreign: names may be a user's own modules. Raises as the plug-ins do.
    """
    rule = Rule(policy, float(box_scale), bool(flip_average))
    built = _build("experts", name, options or {}, foreign)
    finder = _build("detectors", detector, detector_options or {}, foreign)
    return _loaded(built, finder, targets, rule, device)


def load_expert(folder: Path, *, device: str = "auto") -> FaceExpert:
    """The face expert of a folder that `FaceExpert.save` wrote. Names in it resolve among the built-ins only.

    Raises "missing" or "input" for a folder that is not whole, and where weights, crop or input are not the record's.
    """
    folder = Path(folder)
    known = read_json(folder / RECORD, what="description of a face expert")
    with whole(folder):
        rule = Rule(**{name: known["crop"][name] for name in ("policy", "box_scale", "flip_average")})
        targets = [Target.from_json(target) for target in known["targets"]]
        expert = _build("experts", known["expert"], known["options"], False)
        detector = _build("detectors", known["detector"], known["detector_options"], False)
    loaded = _loaded(expert, detector, targets, rule, device, folder)
    for fact, here in without_nan(loaded.describe()).items():
        if fact not in NOT_COMPARED and here != known.get(fact):
            what = "other weights" if fact == "weights" else f"another '{fact}'"
            remedy = "copy it again, or make it again with this affectkit"
            raise AffectkitError("input", f"has {what} than its record says", file=folder, remedy=remedy)
    return loaded


def _build(kind: str, name: str, options: Mapping[str, Any], foreign: bool) -> Any:
    factory = registry.load(kind, name, foreign=foreign).build
    registry.check_options(kind, name, factory, dict(options))
    return factory(**options)


def _loaded(
    expert: Expert, detector: Detector, targets: Sequence[Target], rule: Rule, device: str, folder: Path | None = None
) -> FaceExpert:
    from affectkit.models import devices

    detector.load(folder)
    expert.load(devices.resolve(device), folder)
    return FaceExpert(expert, detector, targets, rule)
