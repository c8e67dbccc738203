"""Texts for a text network: tokens made once, hidden at random in training, long ones cut or in pieces."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from affectkit.encoders._encoder import Item
from affectkit.finetuning.medium import MediumExamples
from affectkit.finetuning.pieces import in_pieces
from affectkit.models.text_inputs import say_cut
from affectkit.training.problem import Draw


class TextExamples(MediumExamples):
    """Texts for a text network. In training, one that is read in pieces is a piece drawn anew each epoch."""

    @cached_property
    def tokens(self) -> list[np.ndarray]:
        inputs = self.network.inputs
        tokens = inputs.tokens([item.text for item in self.items])
        if self.train:
            say_cut(inputs.cut(tokens), len(tokens), inputs.max_tokens, inputs.long_texts)
        return tokens

    @cached_property
    def costs(self) -> np.ndarray:
        """Tokens of each text, special ones included, so many as are read at once."""
        inputs = self.network.inputs
        lengths = np.array([len(tokens) for tokens in self.tokens], float)
        return np.minimum(lengths, inputs.most) + inputs.max_tokens - inputs.most

    def load(self, position: int, draw: Draw | None) -> list[np.ndarray]:
        """Tokens of a text without special ones, in pieces."""

        def checked(item: Item) -> np.ndarray:
            self.medium.decode(item)
            return self.tokens[position]

        inputs = self.network.inputs
        pieces = inputs.pieces(self.read(position, checked, 0))
        if draw is None or not self.train:
            return pieces
        hiding = self.medium.token_dropout and inputs.mask is not None
        if not hiding and len(pieces) == 1:
            return pieces
        rng = draw()
        piece = pieces[int(rng.integers(len(pieces)))]
        return [np.where(rng.random(len(piece)) < self.medium.token_dropout, inputs.mask, piece) if hiding else piece]

    def collate(self, items: list[list[np.ndarray]]) -> dict[str, torch.Tensor]:
        return in_pieces(items, self.network.inputs.batch)
