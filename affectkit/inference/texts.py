"""A text expert behind a manifest's texts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectkit import registry
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions, build_predictions
from affectkit.encoders._encoder import texts
from affectkit.errors import AffectkitError
from affectkit.experts._texts import SENTIMENT, ReadingExpert, TextExpert, Texts, load_text_expert
from affectkit.inference.model import Imported, Model, Work
from affectkit.labels import Target
from affectkit.models.forward import resolve_device

logger = logging.getLogger(__name__)

KIND = "text-expert"
DECLINED = "declined"  # a column of predictions: why a text was not answered
COLUMNS = (DECLINED,)
_CHUNK = 256  # texts read at once


@dataclass(frozen=True)
class TextModel(Model):
    """A text expert. Nothing was fitted here: what its authors fitted it on is not known."""

    _loaded: dict[str, ReadingExpert] = field(default_factory=dict)

    def expert(self, device: str) -> ReadingExpert:
        if device not in self._loaded:
            self._loaded[device] = load_text_expert(self.folder, device=resolve_device(device))
        return self._loaded[device]

    def predict(self, manifest: Manifest, work: Work, features: Sequence[Path] = ()) -> Predictions:
        """Every row is answered or declined: one without text, or in a language that the expert does not have."""
        if features:
            raise AffectkitError("usage", "a text expert takes no --features", file=self.folder)
        return predict_texts(self.expert(work.device), manifest, work)


def built_in(name: str) -> TextModel:
    """A text expert that needs no folder, such as lexicon: on the cpu, its classes called `SENTIMENT`."""
    import pandas as pd

    made: TextExpert = registry.build("experts", name, {})
    made.load("cpu")
    target = Target(SENTIMENT, "class", made.classes)
    spec = {"kind": KIND, "needs": ["text"], "targets": [target.to_json()], "digest": made.describe()["weights"]}
    return TextModel(Path(name), spec, pd.DataFrame({"id": []}), {"cpu": ReadingExpert(made, (target,))})


def predict_texts(expert: ReadingExpert, manifest: Manifest, work: Work) -> Predictions:
    """What an expert says of a manifest's texts, with the column `DECLINED`."""
    items, rows = texts(manifest), manifest.rows
    languages = rows["language"].fillna("").astype(str).tolist() if "language" in rows else [""] * len(rows)
    parts, declined, cut = list[list[TargetPrediction]](), list[str](), 0
    for start in range(0, len(items), _CHUNK):
        some = slice(start, start + _CHUNK)
        outputs, answers = expert.predict([item.text for item in items[some]], languages[some])
        parts.append(outputs)
        declined += answers.declined
        cut += answers.cut
        work.progress(min(start + _CHUNK, len(items)), len(items))
    if cut:
        from affectkit.models.text_inputs import say_cut

        say_cut(cut, len(items), expert.expert.describe()["max_tokens"], expert.expert.options["long_texts"])
    for reason, count in Counter(filter(None, declined)).items():
        logger.warning("%d texts are declined: %s", count, reason)
    joined = [TargetPrediction.joined(each) for each in zip(*parts, strict=True)]
    return build_predictions(rows.assign(**{DECLINED: declined}), joined, ["heldout"] * len(rows), COLUMNS)


def import_texts(name: str, options: Mapping[str, Any], reading: Texts, manifest: Manifest, work: Work) -> Imported:
    """A text expert, and what it says of a manifest's texts. Raises "usage" for an option that it does not have."""
    made: TextExpert = registry.build("experts", name, options, foreign=True)
    made.load(resolve_device(work.device))
    expert = ReadingExpert(made, targets_for(made, manifest, reading.target))
    predictions = predict_texts(expert, manifest, work)
    described, declined = made.describe(), predictions.frame.get(DECLINED)
    count = 0 if declined is None else int((declined != "").sum())
    spec = {"kind": KIND, "reads": "text", "expert": made.name, "expert_facts": described, "licence": made.licence}
    facts = {"is": described["kind"], "texts": {"answered": len(predictions.frame) - count, "declined": count}}
    logger.info("%s is %s", made.name, described["kind"])
    return Imported(expert, predictions, spec, facts)


def targets_for(expert: TextExpert, manifest: Manifest, name: str | None) -> tuple[Target, ...]:
    """What an expert answers for: its classes, by the name of the manifest's target that has them, in its order; and
    the manifest's numbers that it knows. Raises "usage" for a target with other classes."""
    alike = [t for t in manifest.targets.values() if t.kind != "number" and sorted(t.classes) == sorted(expert.classes)]
    known = manifest.targets.get(name or "")
    if known is not None and known not in alike:
        message = f"--target {name}: the manifest's {name} is not one of {', '.join(expert.classes)}"
        raise AffectkitError("usage", message, remedy="map the classifier's labels to its classes, or name another")
    taken = SENTIMENT if SENTIMENT not in manifest.targets else f"text_{SENTIMENT}"
    classes = known or (Target(name, "class", expert.classes) if name else None)
    classes = classes or next(iter(alike), Target(taken, "class", expert.classes))
    numbers = (manifest.targets.get(output) for output in expert.outputs)
    return (classes, *(target for target in numbers if target is not None and target.kind == "number"))
