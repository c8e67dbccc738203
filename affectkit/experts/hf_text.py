"""Any Hugging Face sequence classifier of texts, with its labels mapped to classes

Its weights and tokenizer are copied into the model folder. Probabilities of labels that are mapped to one class are
summed; no temperature is fitted. A classifier of several labels at once is taken as one of exclusive classes: its
sigmoids are divided by their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.experts._texts import TextAnswers, TextExpert, Texts, mapped_classes
from affectkit.finetuning.media.text import LongTexts, MaxTokens
from affectkit.labels import parse_label_map
from affectkit.registry import Option

if TYPE_CHECKING:
    import torch

medium = Texts  # what it reads, with the options of all that read it


def build(
    *,
    model: Annotated[
        str, Option("Sequence classifier: a Hugging Face hub id, a local folder, or tiny-random:bert.")
    ] = "",
    revision: Annotated[str, Option("Branch, tag or commit of a hub id.")] = "",
    label_map: Annotated[
        str,
        Option(
            "Classes of the classifier's labels: negative=sad,positive=happy, or a JSON file; labels left out keep "
            "their names."
        ),
    ] = "",
    max_tokens: MaxTokens = 0,
    long_texts: LongTexts = "head",
) -> TextExpert:
    """The expert; the classifier is read by `load`. Raises "usage" without one, and for a map that is none."""
    if not model:
        raise AffectkitError("usage", "hf-text needs a --model", remedy="name a hub id or a local folder")
    pairs = parse_label_map(label_map) if isinstance(label_map, str) and label_map else dict(label_map or {})
    options = {"model": str(model), "revision": revision, "max_tokens": max_tokens, "long_texts": long_texts}
    return HfTextExpert({**options, "label_map": pairs})


class HfTextExpert(TextExpert):
    """Answers are those of transformers' own network, softmax in float64."""

    name = "hf-text"
    licence = "the licence of the weights is their author's: see where they came from"

    def load(self, device: str, folder: Path | None = None) -> None:
        from affectkit.finetuning.pieces import InPieces
        from affectkit.models import text_network

        how: dict[str, Any] = {name: self.options[name] for name in ("max_tokens", "long_texts")}
        how["revision"] = "" if folder else self.options["revision"]
        self._network = text_network.load_classifier(str(folder or self.options["model"]), **how)
        self._answering = InPieces(self._network).requires_grad_(False).eval().to(device)
        labels = self._network.targets[0].classes
        classes = mapped_classes(labels, self.options["label_map"])
        self.classes = tuple(dict.fromkeys(classes))
        self._sums = np.array([[name == kind for kind in self.classes] for name in classes], float)
        self._exclusive = self._network.model.config.problem_type != "multi_label_classification"

    def predict(self, texts: Sequence[str], languages: Sequence[str]) -> TextAnswers:
        import torch

        inputs, device = self._network.inputs, next(self._answering.parameters()).device
        tokens = inputs.tokens(texts)
        if not tokens:
            return TextAnswers(np.empty((0, len(self.classes))), [])
        from affectkit.finetuning.pieces import in_pieces

        batch = in_pieces([inputs.pieces(each) for each in tokens], inputs.batch)
        with torch.inference_mode():
            logits = self._answering(**{name: values.to(device) for name, values in batch.items()})["label"]
        probabilities = self._of(logits.double().cpu()) @ self._sums
        unknown = [not np.isfinite(row).all() for row in probabilities]
        probabilities[unknown] = np.nan
        declined = ["the classifier gave a number that is not finite" if wrong else "" for wrong in unknown]
        return TextAnswers(probabilities, declined, cut=inputs.cut(tokens))

    def _of(self, logits: torch.Tensor) -> np.ndarray:
        if self._exclusive:
            return logits.softmax(dim=1).numpy()
        each = logits.sigmoid()
        return (each / each.sum(dim=1, keepdim=True)).numpy()

    def save(self, folder: Path) -> None:
        self._network.save(folder)

    def describe(self) -> dict[str, Any]:
        network = self._network.describe()
        facts = {name: network[name] for name in ("architecture", "weights", "tiny_random", "max_tokens")}
        kind = f"a sequence classifier ({network['architecture']}) of {', '.join(self._network.targets[0].classes)}"
        return {"kind": kind, **facts, "exclusive": self._exclusive}
