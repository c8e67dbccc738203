"""Any Hugging Face text encoder: BERT, RoBERTa, DistilBERT and their kin

A text is cut after `--max-tokens` tokens (the run says how many were), the special ones counted; pooling is over its
own tokens, special ones included, as sentence encoders do it. Devlin et al. 2019; Reimers and Gurevych 2019.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import numpy as np

from affectkit.encoders._encoder import (
    CheckpointOpt,
    DtypeOpt,
    Encoder,
    Item,
    LayerOpt,
    PoolOpt,
    Reads,
    RevisionOpt,
    check_choice,
    check_layer,
    parse_layer,
    pool,
)
from affectkit.errors import AffectkitError
from affectkit.registry import Option

_LONGEST = 512  # where neither the tokenizer nor the network sets a limit


def build(
    *,
    checkpoint: CheckpointOpt = "",
    revision: RevisionOpt = "",
    pool: PoolOpt = "mean",
    layer: LayerOpt = "last",
    dtype: DtypeOpt = "float32",
    max_tokens: Annotated[
        int, Option("Maximum length of a text; 0 takes the checkpoint's maximum.", unit="tokens")
    ] = 0,
    batch_tokens: Annotated[int, Option("Size of a batch of texts, padding included.", unit="tokens")] = 4096,
) -> Encoder:
    """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
    if not checkpoint:
        remedy = "pass --checkpoint roberta-base, a local folder, or tiny-random:bert"
        raise AffectkitError("usage", "hf-text needs a --checkpoint", remedy=remedy)
    check_choice("pool", pool, ("mean", "mean-std", "cls", "none"))
    check_choice("dtype", dtype, ("float32", "bfloat16"))
    if max_tokens < 0 or batch_tokens < 1:
        raise AffectkitError("usage", "--max-tokens and --batch-tokens count tokens", remedy="use positive numbers")
    layer = str(parse_layer(layer))
    shared = {"checkpoint": checkpoint, "revision": revision, "pool": pool, "layer": layer, "dtype": dtype}
    return HfText({**shared, "max_tokens": max_tokens, "batch_tokens": batch_tokens})


class HfText:
    """`prepare` gives the text; tokens are made a batch at a time, where the tokenizer is fastest."""

    name = "hf-text"
    reads: Reads = "text"
    column = "text"
    on_device = True
    feature_names = None

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.layer = parse_layer(options["layer"])
        self.pooled = options["pool"] != "none"
        self.counts: Counter[str] = Counter()

    def load(self, device: str) -> None:
        from affectkit.models import backbones

        backbone = backbones.load(self.options["checkpoint"], "text", revision=self.options["revision"])
        self._facts, self._device = backbone.facts(), device
        model = backbone.model.get_encoder() if backbone.model.config.is_encoder_decoder else backbone.model
        self._model, self._tokenizer = model.to(device), backbone.processor
        self._tokenizer.padding_side = "right"  # positions count from the first token
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._layers = int(self._model.config.num_hidden_layers) + 1
        self._max_tokens = self._longest()
        check_layer(self.layer, self._layers)

    def _longest(self) -> int:
        """Tokens per text: as asked, if the checkpoint takes as many."""
        positions = getattr(self._model.config, "max_position_embeddings", _LONGEST) or _LONGEST
        embedded = getattr(getattr(self._model, "embeddings", None), "position_embeddings", None)
        padding = getattr(embedded, "padding_idx", None)
        if padding is not None:  # RoBERTa's positions begin behind the padding's
            positions -= padding + 1
        limit = min(int(self._tokenizer.model_max_length), positions)  # the former is enormous where unknown
        asked = self.options["max_tokens"]
        if asked > limit:
            raise AffectkitError("usage", f"--max-tokens {asked}: this checkpoint takes {limit}")
        return asked or limit

    def describe(self) -> dict[str, Any]:
        return {
            "dim": int(self._model.config.hidden_size) * (2 if self.options["pool"] == "mean-std" else 1),
            "layers": self._layers if self.layer == "all" else None,
            "max_tokens": self._max_tokens,
            **self._facts,
        }

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
        for batch in self._batches(order, [min(len(text), self._max_tokens) for text in tokens]):
            vectors.update(zip(batch, self._forward([prepared[place] for place in batch]), strict=True))
        return [vectors[place] for place in range(len(prepared))]

    def _batches(self, order: list[int], lengths: list[int]) -> list[list[int]]:
        batches: list[list[int]] = [[]]
        for place in order:
            if batches[-1] and (len(batches[-1]) + 1) * lengths[place] > self.options["batch_tokens"]:
                batches.append([])
            batches[-1].append(place)
        return batches

    def _forward(self, texts: list[str]) -> list[np.ndarray]:
        from affectkit.models.forward import run

        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        arguments = {key: value.to(self._device) for key, value in batch.items() if key != "token_type_ids"}
        states = run(self._model, arguments, self.layer, self.options["dtype"])
        counts = batch["attention_mask"].sum(dim=1).tolist()
        return [pool(state[:count], self.options["pool"]) for state, count in zip(states, counts, strict=True)]
