"""What a text network reads: tokens of a text, cut to what the network takes, in batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.media.texts import MOST_CHARACTERS
from affectkit.models.backbones import Backbone

logger = logging.getLogger(__name__)

LongTexts = Literal["head", "tail", "pieces"]
_LONGEST = 512  # where neither the tokenizer nor the network sets a limit
_PROBE = "a b"


def longest(model: Any, tokenizer: Any, asked: int = 0) -> int:
    """Tokens per text, special ones counted: as asked, if the checkpoint takes as many. Raises "usage"."""
    positions = getattr(model.config, "max_position_embeddings", _LONGEST) or _LONGEST
    embedded = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embedded, "padding_idx", None)
    if padding is not None:  # RoBERTa's positions begin behind the padding's
        positions -= padding + 1
    limit = min(int(tokenizer.model_max_length), positions)  # the former is enormous where unknown
    if asked > limit:
        raise AffectkitError("usage", f"--max-tokens {asked}: this checkpoint takes {limit}")
    return asked or limit


def padded_right(tokenizer: Any) -> Any:
    """The tokenizer, padding behind a text (positions count from the first token) with a token that it has.

    Raises "input" for one without any."""
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token
    if tokenizer.pad_token_id is None:
        raise AffectkitError("input", "its tokenizer has no token to pad texts with", remedy="copy the folder again")
    return tokenizer


def say_cut(cut: int, count: int, max_tokens: int, long_texts: LongTexts) -> None:
    """Say how many of so many texts are not read whole, if any."""
    if cut:
        what = "%d of %d texts are longer than %d tokens: their %s is read"
        logger.warning(what, cut, count, max_tokens, long_texts)


@dataclass(frozen=True)
class TextInputs:
    """before, after: the special tokens around a text. most: tokens of a piece without them. mask: the token that
    stands for one that is not shown; None where there is none."""

    tokenizer: Any
    max_tokens: int
    long_texts: LongTexts
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, backbone: Backbone, max_tokens: int = 0, long_texts: LongTexts = "head") -> TextInputs:
        """Raises "usage" for more tokens than the checkpoint takes, or no room for any; "input" for a tokenizer that is
        not the network's."""
        model, tokenizer = backbone.model, padded_right(backbone.processor)
        words = model.get_input_embeddings().num_embeddings
        if len(tokenizer) > words:
            message = f"its tokenizer has {len(tokenizer)} tokens, and the network {words}"
            raise AffectkitError("input", message, remedy="use the tokenizer that it was trained with")
        limit = longest(model, tokenizer, max_tokens)
        plain, framed = (tokenizer(_PROBE, add_special_tokens=special)["input_ids"] for special in (False, True))
        start = next(at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
        before, after = tuple(framed[:start]), tuple(framed[start + len(plain) :])
        if limit <= len(before) + len(after):
            remedy = f"give more than {len(before) + len(after)}, which the special tokens take"
            raise AffectkitError("usage", f"--max-tokens {limit} leaves no room for a text", remedy=remedy)
        return cls(tokenizer, limit, long_texts, before, after)

    @property
    def most(self) -> int:
        return self.max_tokens - len(self.before) - len(self.after)

    @property
    def mask(self) -> int | None:
        mask = self.tokenizer.mask_token_id
        return self.tokenizer.unk_token_id if mask is None else mask

    def cut(self, tokens: Sequence[np.ndarray]) -> int:
        """How many texts are not read whole."""
        return 0 if self.long_texts == "pieces" else sum(len(each) > self.most for each in tokens)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """[T] int32 of each text, without special tokens; of a text that cannot be read none."""
        readable = [text if len(text) <= MOST_CHARACTERS else "" for text in texts]
        if not readable:
            return []
        each = self.tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]
        return [np.array(tokens, np.int32) for tokens in each]

    def pieces(self, tokens: np.ndarray) -> list[np.ndarray]:
        """What is read of a text: a part of at most `most` tokens, or all of it in several."""
        if self.long_texts == "pieces":
            return np.array_split(tokens, max(1, -(-len(tokens) // self.most)))
        return [tokens[: self.most] if self.long_texts == "head" else tokens[-self.most :]]

    def batch(self, pieces: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """`inputs` and `mask`, [P, T] int64: the pieces between their special tokens, padded to the longest."""
        framed = [np.concatenate([self.before, piece, self.after]) for piece in pieces]
        inputs = np.full((len(framed), max(map(len, framed))), self.tokenizer.pad_token_id, np.int64)
        mask = np.zeros_like(inputs)
        for row, tokens in enumerate(framed):
            inputs[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        return {"inputs": torch.from_numpy(inputs), "mask": torch.from_numpy(mask)}
