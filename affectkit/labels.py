"""Targets, label maps and scales: what there is to predict."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated, is_file_name, parse_json

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Target:
    """Something to predict.

    name: the manifest's column. kind: "class" (unordered), "ordinal" (ordered classes) or "number".
    classes: in the label map's order, for class and ordinal targets. scale: (lowest, highest), for numbers.
    further: a number that is learnt only where it is asked for by name, as a corpus has it besides what it is about.
    """

    name: str
    kind: Literal["class", "ordinal", "number"]
    classes: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    further: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not is_file_name(self.name):
            message = f"{self.name!r} cannot be a target's name: it becomes a file's"
            raise AffectkitError("input", message, remedy="rename its columns: without / and control characters")

    @property
    def width(self) -> float | None:
        """Of a number's scale; None where it has none."""
        return self.scale[1] - self.scale[0] if self.scale else None

    @property
    def in_words(self) -> str:
        """`a number from 1 to 5`, `angry | happy`, of ordered classes `none < mild`."""
        if self.kind == "number":
            return f"a number from {self.scale[0]:g} to {self.scale[1]:g}" if self.scale else "a number"
        return (" | " if self.kind == "class" else " < ").join(self.classes)

    def beyond_scale(self, values: "np.ndarray", ids: Sequence[str]) -> str:
        """What to say of [N] numbers outside the scale; "" where there are none."""
        import numpy as np

        low, high = self.scale or (-np.inf, np.inf)
        rows = np.flatnonzero((values < low) | (values > high))
        if not len(rows):
            return ""
        first = f"as {values[rows[0]]:g} of '{ids[rows[0]]}'"
        return f"{len(rows)} rows have a {self.name} outside its scale {low:g} to {high:g}, {first}"

    def unseen(self, codes: "np.ndarray") -> list[str]:
        """The classes of which none of [N] class indices is; none of numbers."""
        return [name for code, name in enumerate(self.classes) if not (codes == code).any()]

    def to_json(self) -> dict[str, Any]:
        if self.kind == "number":
            further = {"further": True} if self.further else {}
            return {"name": self.name, "kind": self.kind, "scale": list(self.scale) if self.scale else None, **further}
        return {"name": self.name, "kind": self.kind, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Target":
        """Raises ValueError for what `to_json` did not write."""
        name: Any = data.get("name")
        kind, classes, scale = data.get("kind"), data.get("classes"), data.get("scale")
        if not is_file_name(name):
            raise ValueError(f"{name!r} is not a target's name")
        if kind == "number" and not classes:
            if scale is not None and not _is_scale(scale):
                raise ValueError(f"the scale of {name} is not its lowest and highest number")
            return cls(name, kind, scale=(scale[0], scale[1]) if scale else None, further=bool(data.get("further")))
        if kind not in ("class", "ordinal"):
            raise ValueError(f"{name} is of kind {kind!r}, not class, ordinal or number")
        if not isinstance(classes, list) or not all(isinstance(item, str) and item for item in classes):
            raise ValueError(f"the classes of {name} are not a list of names")
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f"{name} has no classes, or one of them twice")
        return cls(name, kind, tuple(classes))


POINTS = range(3, 11)  # the last point of a scale that is answered in whole points


def in_points(scale: tuple[float, float] | None) -> bool:
    """Whether a number is answered in whole points: from 0 or 1 to 3 up to 10."""
    return scale is not None and scale[0] in (0, 1) and scale[1] in POINTS


def usual_step(scale: tuple[float, float]) -> float:
    """Between two answers of a number: 1 in whole points, else a hundredth of the scale's width."""
    return 1.0 if in_points(scale) else (scale[1] - scale[0]) / 100


def _is_scale(scale: Any) -> bool:
    numbers = isinstance(scale, list) and all(isinstance(end, (int, float)) for end in scale)
    return numbers and len(scale) == 2 and scale[0] <= scale[1]


def are_targets(data: Any) -> bool:
    """a list of targets, each with its own name, its kind and its classes"""
    try:
        names = [Target.from_json(target).name for target in data]
    except (AttributeError, TypeError, ValueError):
        return False
    return isinstance(data, list) and len(set(names)) == len(names)


def parse_label_map(text: str) -> dict[str, str]:
    """`--label-map exc=happy,fru=` or the path of a JSON object. An empty class drops the rows of that source label."""
    if text.endswith(".json"):
        try:
            data = parse_json(Path(text).read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise AffectkitError("missing", "no such label map", file=text) from None
        except (ValueError, IsADirectoryError) as error:
            raise AffectkitError("input", f"not JSON: {error}", file=text) from None
        data = data.get("map", data) if isinstance(data, dict) else data
        if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
            what = "a label map is an object of source label to class"
            raise AffectkitError("input", what, file=text, remedy='write {"exc": "happy"}')
        return dict(data)
    pairs = [part.partition("=") for part in comma_separated(text)]
    for source, equals, _ in pairs:
        if not equals or not source.strip():
            what = f"--label-map: '{source}' is not source=class"
            raise AffectkitError("usage", what, remedy="write --label-map exc=happy,fru=")
    mapping = {source.strip(): target.strip() for source, _, target in pairs}
    if len(mapping) < len(pairs):
        raise AffectkitError("usage", f"--label-map: '{text}' maps a label twice", remedy="name each label once")
    return mapping


def map_labels(source_labels: Iterable[str], label_map: Mapping[str, str], *, complete: bool) -> list[str | None]:
    """The class of each source label; "" stays "" (unlabelled), None means that the row is to be dropped.

    complete: source labels that the map lacks are dropped (a preset); otherwise they keep their names.
    Raises "usage" if the map names a source label that no row has.
    """
    present = list(source_labels)
    known = sorted(set(present) - {""})
    for source in label_map:
        if not complete and source not in known:
            what = f"--label-map: no row is labelled '{source}'"
            raise AffectkitError("usage", what, remedy=did_you_mean(source, known))
    classes = {source: label_map.get(source, None if complete else source) or None for source in known} | {"": ""}
    return [classes[source] for source in present]


def spelt_alike(names: Iterable[str]) -> list[list[str]]:
    """Sets of names that differ by case, white space, the encoding of accents or the decimals of a number only (pandas
    writes the class 1 as 1.0 where other rows have none), each sorted.

    >>> spelt_alike(["joy", "Joy", "fear", "very calm", "verycalm", "1", "1.0"])
    [['1', '1.0'], ['Joy', 'joy'], ['very calm', 'verycalm']]
    """
    alike: dict[str, set[str]] = defaultdict(set)
    for name in names:
        key = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        with suppress(ValueError):
            key = repr(float(key)).removesuffix(".0")
        alike[key].add(name)
    return [sorted(spellings) for key, spellings in sorted(alike.items()) if key and len(spellings) > 1]


NO_NAMES = ("nan", "na", "null", "n/a", "#n/a", "<na>")  # what tools write for a missing cell


def class_weights(counts: "np.ndarray") -> "np.ndarray":
    """[K] weights by which all classes count alike, of their [K] rows: n / (k * count) over the k classes that occur.

    A class without rows weighs what the mean row does: it may occur among others.
    """
    import numpy as np

    present = counts > 0
    weights = np.ones(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
