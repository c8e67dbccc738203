"""Hashed n-grams of words and characters: sparse, nothing is fitted

Two blocks of columns, words then characters within words, each row of a block of length 1 (l2). Hashing needs no
vocabulary, so it can learn nothing from test rows. Weinberger et al. 2009.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.encoders._encoder import Encoder, Item, Reads, TextColumnOpt, check_choice
from affectkit.errors import AffectkitError
from affectkit.registry import Option

if TYPE_CHECKING:
    import scipy.sparse

_OFF = "none"


def build(
    *,
    word_ngrams: Annotated[str, Option("Shortest and longest n-gram of words; none leaves them out.")] = "1-2",
    char_ngrams: Annotated[
        str, Option("Shortest and longest n-gram of characters within words; none leaves them out.")
    ] = "2-5",
    columns: Annotated[
        int, Option("Number of hashed columns per kind of n-gram; fewer columns collide more often.")
    ] = 2**18,
    weighting: Annotated[str, Option("Weighting of the n-grams: count, log (1 + log count) or binary.")] = "count",
    text_column: TextColumnOpt = "text",
) -> Encoder:
    """The encoder. Raises "usage" for a range that is none."""
    _parse_range("word_ngrams", word_ngrams)
    _parse_range("char_ngrams", char_ngrams)
    if word_ngrams == char_ngrams == _OFF:
        raise AffectkitError("usage", "--word-ngrams none and --char-ngrams none leave no columns")
    if not 1 <= columns < 2**30:
        raise AffectkitError("usage", f"--columns {columns}", remedy="use a number between 1 and 2^30")
    check_choice("weighting", weighting, ("count", "log", "binary"))
    ranges = {"word_ngrams": word_ngrams, "char_ngrams": char_ngrams}
    return TextNgrams({**ranges, "columns": columns, "weighting": weighting, "text_column": text_column})


class TextNgrams(Encoder):
    """`encode` gives CSR [N, blocks * columns] float32."""

    name = "text-ngrams"
    reads: Reads = "text"

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.column = options["text_column"]

    @cached_property
    def _blocks(self) -> list[Any]:
        from sklearn.feature_extraction.text import HashingVectorizer

        columns, binary = self.options["columns"], self.options["weighting"] == "binary"
        shared: dict[str, Any] = {"n_features": columns, "binary": binary, "norm": None, "dtype": "float32"}
        return [
            HashingVectorizer(analyzer=analyzer, ngram_range=_parse_range(option, self.options[option]), **shared)
            for analyzer, option in (("word", "word_ngrams"), ("char_wb", "char_ngrams"))
            if self.options[option] != _OFF
        ]

    def load(self, device: str) -> None:
        _ = self._blocks

    def describe(self) -> dict[str, Any]:
        return {"dim": len(self._blocks) * self.options["columns"], "sparse": True}

    def prepare(self, item: Item) -> str:
        if not item.text.strip():
            raise AffectkitError("input", "has no text")
        return item.text

    def encode(self, prepared: list[str]) -> scipy.sparse.csr_matrix:
        from scipy.sparse import csr_matrix, hstack
        from sklearn.preprocessing import normalize

        blocks = [vectorizer.transform(prepared) for vectorizer in self._blocks]
        if self.options["weighting"] == "log":  # counts are signed: half of the n-grams are hashed to -1
            for counts in blocks:
                counts.data = np.sign(counts.data) * (1 + np.log(np.maximum(np.abs(counts.data), 1)))
        values = csr_matrix(hstack([normalize(counts, norm="l2", copy=False) for counts in blocks]))
        values.sort_indices()
        return values


def _parse_range(option: str, text: str) -> tuple[int, int] | None:
    if text == _OFF:
        return None
    low, _, high = text.partition("-")
    if low.isdigit() and (high or low).isdigit() and 1 <= int(low) <= int(high or low):
        return int(low), int(high or low)
    flag = "--" + option.replace("_", "-")
    raise AffectkitError("usage", f"{flag} {text} is not a range of lengths", remedy="write 1-2, or none")
