"""Any Hugging Face text encoder: BERT, RoBERTa, DistilBERT and their kin

A text is cut after `--max-tokens` tokens (the run says how many were), the special ones counted; pooling is over its
own tokens, special ones included, as sentence encoders do it. Devlin et al. 2019; Reimers and Gurevych 2019.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import (
    Encoder,
    HfEncoder,
    HfOptions,
    Item,
    Reads,
    TextColumnOpt,
    batches_of,
    check_layer,
    pool,
)
from affectkit.errors import AffectkitError
from affectkit.registry import Option, options_from


@dataclass(frozen=True)
class TextOptions(HfOptions):
    max_tokens: Annotated[int, Option("Maximum length of a text; 0 takes the checkpoint's maximum.", unit="tokens")] = 0
    batch_tokens: Annotated[int, Option("Size of a batch of texts, padding included.", unit="tokens")] = 4096
    text_column: TextColumnOpt = "text"


@options_from(TextOptions)
def build(options: TextOptions) -> Encoder:
    """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
    examples = "roberta-base, a local folder, or tiny-random:bert"
    options.check("hf-text", examples, ("mean", "mean-std", "cls", "none"))
    if options.max_tokens < 0 or options.batch_tokens < 1:
        raise AffectkitError("usage", "--max-tokens and --batch-tokens count tokens", remedy="use positive numbers")
    return HfText(asdict(options))


class HfText(HfEncoder):
    """`prepare` gives the text; tokens are made a batch at a time, where the tokenizer is fastest."""

    name = "hf-text"
    reads: Reads = "text"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.column = options["text_column"]

    def load(self, device: str) -> None:
        from affectkit.models import backbones
        from affectkit.models.text_inputs import longest, padded_right

        backbone = backbones.load(self.options["checkpoint"], "text", revision=self.options["revision"])
        self._facts, self._device = backbone.facts(), device
        model = backbone.model.get_encoder() if backbone.model.config.is_encoder_decoder else backbone.model
        self._model, self._tokenizer = model.to(device), padded_right(backbone.processor)
        self._layers = int(self._model.config.num_hidden_layers) + 1
        self._max_tokens = longest(self._model, self._tokenizer, self.options["max_tokens"])
        check_layer(self.layer, self._layers)

    def describe(self) -> dict[str, Any]:
        shape = self.shape(int(self._model.config.hidden_size), self._layers)
        return {**shape, "max_tokens": self._max_tokens, **self._facts}

    def prepare(self, item: Item) -> str:
        if not item.text.strip():
            raise AffectkitError("input", "has no text")
        return item.text

    def encode(self, prepared: list[str]) -> list[np.ndarray]:
        """Batches of similar length: in a corpus's own order more than half would be padding."""
        tokens = self._tokenizer(prepared, verbose=False)["input_ids"]
        self.counts["truncated"] += sum(len(text) > self._max_tokens for text in tokens)
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        vectors: dict[int, np.ndarray] = {}
        lengths = [min(len(text), self._max_tokens) for text in tokens]
        for batch in batches_of(order, lengths, self.options["batch_tokens"]):
            vectors.update(zip(batch, self._forward([prepared[place] for place in batch]), strict=True))
        return [vectors[place] for place in range(len(prepared))]

    def _forward(self, texts: list[str]) -> list[np.ndarray]:
        from affectkit.models.forward import run

        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        arguments = {key: value.to(self._device) for key, value in batch.items() if key != "token_type_ids"}
        states = run(self._model, arguments, self.layer, self.options["dtype"])
        counts = batch["attention_mask"].sum(dim=1).tolist()
        return [pool(state[:count], self.options["pool"]) for state, count in zip(states, counts, strict=True)]
