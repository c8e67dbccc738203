"""What a text expert is: a classifier or a lexicon that is brought as it is, and the folder that keeps one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit import registry
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.models import whole
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.experts._expert import RECORD, check_record, rescaled
from affectkit.labels import Target
from affectkit.media.files import or_error
from affectkit.media.texts import check_text
from affectkit.registry import Option

SENTIMENT = "sentiment"  # what classes are called that are those of no target of the manifest


@dataclass(frozen=True)
class Texts:
    """What text experts read, and the options that they share."""

    target: Annotated[
        str | None,
        Option(
            "Targets to answer for: the name of the classes.",
            default=f"the manifest's target that has these classes, else {SENTIMENT}",
        ),
    ] = None


@dataclass(frozen=True)
class TextAnswers:
    """For N texts: probabilities [N, K] of the classes; numbers by name, each [N], on the expert's scale. NaN where a
    text is declined, and `declined` has the reason, "" for the others. cut: how many texts were not read whole."""

    probabilities: np.ndarray
    declined: Sequence[str]
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    cut: int = 0


class TextExpert(ABC):
    """Answers for texts. What it answers for one never depends on what else is in the batch.

    options: resolved; `build(**options)` gives the same expert. classes: of its probabilities. outputs: the names of
    its numbers, () if none; scale: (lowest, highest) of them all. licence: a sentence on what it was made of. All but
    name and options are known once it is loaded.
    """

    name: str
    options: dict[str, Any]
    classes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    scale: tuple[float, float] = (-1.0, 1.0)
    licence: str = ""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def load(self, device: str, folder: Path | None = None) -> None:
        """Fetch what it answers by: from the model folder that `save` wrote, else as the options say."""

    @abstractmethod
    def predict(self, texts: Sequence[str], languages: Sequence[str]) -> TextAnswers:
        """texts: none is blank. languages: as the manifest has them, "" where unknown."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files that `load` needs."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Facts for the record: `weights`, a digest of what it answers by; `kind`, what it is, in a sentence."""


@dataclass(frozen=True)
class ReadingExpert:
    """A loaded text expert and what it answers for. targets: its classes, and numbers on their own scales."""

    expert: TextExpert
    targets: tuple[Target, ...]

    def predict(self, texts: Sequence[str], languages: Sequence[str]) -> tuple[list[TargetPrediction], TextAnswers]:
        """Of each target, and what the expert itself said. A blank text is declined, and one that is too long."""
        problems = [or_error(check_text, text) for text in texts]
        rows = [place for place, problem in enumerate(problems) if problem is None]
        answers = self.expert.predict([texts[row] for row in rows], [languages[row] for row in rows])
        declined = ["" if problem is None else problem.message for problem in problems]
        for row, reason in zip(rows, answers.declined, strict=True):
            declined[row] = reason
        at = np.full(len(texts), -1)
        at[rows] = np.arange(len(rows))
        outputs = [self._of(target, answers).at(at) for target in self.targets]
        return outputs, replace(answers, declined=declined)

    def _of(self, target: Target, answers: TextAnswers) -> TargetPrediction:
        if target.kind != "number":
            order = [self.expert.classes.index(name) for name in target.classes]
            return TargetPrediction(target, probabilities=answers.probabilities[:, order])
        values = [rescaled(value, 0.0, self.expert.scale, target.scale)[0] for value in answers.numbers[target.name]]
        return TargetPrediction(target, mean=np.array(values, float))

    def describe(self) -> dict[str, Any]:
        """What `expert.json` says."""
        return {
            "expert": self.expert.name,
            "options": self.expert.options,
            **self.expert.describe(),
            "classes": self.expert.classes,
            "licence": self.expert.licence,
            "targets": [target.to_json() for target in self.targets],
        }

    def save(self, folder: Path) -> None:
        """Write a folder that `load_text_expert` reads, without the files that it was made from. The record comes
        last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.expert.save(folder)
        write_json(folder / RECORD, self.describe())


def load_text_expert(folder: Path, *, device: str = "cpu") -> ReadingExpert:
    """The text expert of a folder that `ReadingExpert.save` wrote. Names in it resolve among the built-ins only.

    Raises "missing" or "input" for a folder that is not whole, and where what it answers by is not the record's.
    """
    folder = Path(folder)
    record = read_json(folder / RECORD, what="description of a text expert")
    with whole(folder):
        targets = tuple(Target.from_json(target) for target in record["targets"])
        expert = registry.build("experts", record["expert"], record["options"])
        if not isinstance(expert, TextExpert):
            raise ValueError(f"{record['expert']} reads no texts")
        expert.load(device, folder)
        reading = ReadingExpert(expert, targets)
        if any(target.kind != "number" and sorted(target.classes) != sorted(expert.classes) for target in targets):
            raise ValueError(f"the classes are {', '.join(expert.classes)}")
    check_record(folder, record, reading.describe())
    return reading


def mapped_classes(labels: Sequence[str], label_map: Mapping[str, str]) -> list[str]:
    """The class of each of a classifier's labels; one that the map lacks keeps its name.

    Raises "usage" for a label that the classifier does not have, and for one that is mapped to nothing.
    """
    for source, target in label_map.items():
        if source not in labels:
            message = f"--label-map: the classifier has no label '{source}'"
            raise AffectkitError("usage", message, remedy=did_you_mean(source, list(labels)))
        if not target:
            remedy = "name a class, such as other"
            raise AffectkitError("usage", f"--label-map: '{source}' is mapped to no class", remedy=remedy)
    return [label_map.get(label, label) for label in labels]
