"""text-ngrams against n-grams cut and hashed by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import murmurhash3_32

from affectkit.artifacts.manifest import Manifest
from affectkit.encoders import text_ngrams
from affectkit.encoders._encoder import Item, items
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError

WORDS = ["the", "cat", "saw", "the", "dog"]


def encode(texts, **options):
    encoder = text_ngrams.build(**options)
    encoder.load("cpu")
    return encode_items(encoder, [Item(str(place), text=text) for place, text in enumerate(texts)]).values


def hashed(ngrams, columns):
    """Signed counts by MurmurHash3, as scikit-learn signs them: by the hash's own sign."""
    row = np.zeros(columns)
    for ngram in ngrams:
        code = int(murmurhash3_32(ngram))
        row[abs(code) % columns] += 1 if code >= 0 else -1
    return row


def unit(row):
    return row / np.linalg.norm(row)


def test_words_and_characters_are_two_blocks_of_unit_length():
    words = [" ".join(WORDS[i : i + n]) for n in (1, 2) for i in range(len(WORDS) - n + 1)]
    characters = [
        padded[i : i + n] for word in WORDS for padded in [f" {word} "] for n in (2, 3, 4, 5)
        for i in range(len(padded) - n + 1)
    ]  # fmt: skip
    value = encode(["The cat saw the dog!"], columns=512, char_ngrams="2-5").toarray()[0]
    # Character n-grams keep the punctuation, so compare on the text without it.
    plain = encode(["The cat saw the dog"], columns=512).toarray()[0]
    np.testing.assert_allclose(value[:512], unit(hashed(words, 512)), atol=1e-6)
    np.testing.assert_allclose(plain[512:], unit(hashed(characters, 512)), atol=1e-6)


def test_weightings():
    options = {"columns": 4096, "char_ngrams": "none", "word_ngrams": "1"}
    expected = {"count": [2, 1, 1, 1], "log": [1 + np.log(2), 1, 1, 1], "binary": [1, 1, 1, 1]}
    for weighting, counts in expected.items():
        value = np.abs(encode([" ".join(WORDS)], weighting=weighting, **options).toarray()[0])
        np.testing.assert_allclose(np.sort(value[value > 0])[::-1], unit(np.array(counts, float)), rtol=1e-6)


def test_rows_are_stateless_sparse_and_sorted():
    texts = ["None", "I like it.", "ÄÖ ü", "?!"]
    together = encode(texts)
    assert together.shape == (4, 2 * 2**18) and together.dtype == np.float32 and together.has_sorted_indices
    for row, text in enumerate(texts):
        assert (together[row] != encode([text])).nnz == 0


def test_a_block_can_be_left_out():
    assert encode(["a cat"], word_ngrams="none", columns=64).shape == (1, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word_ngrams": "2-1"}, "--word-ngrams 2-1 is not a range of lengths; write 1-2, or none"),
        ({"char_ngrams": "x"}, "--char-ngrams x is not a range"),
        ({"char_ngrams": "none", "word_ngrams": "none"}, "leave no columns"),
        ({"columns": 0}, "--columns 0; use a number"),
        ({"weighting": "tfidf"}, "there is no --weighting tfidf"),
    ],
)
def test_unknown_options_are_usage_errors(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        text_ngrams.build(**options)
    assert caught.value.code == "usage"


def test_it_reads_the_column_that_is_named_and_of_files_their_text():
    rows = pd.DataFrame({"id": ["a"], "text": ["both of us"], "text_participant": ["only me"]})
    encoder = text_ngrams.build(text_column="text_participant")
    manifest = Manifest(Path("m"), rows, [(Path("m"), 1)], {})
    assert [item.text for item in items(manifest, encoder)] == ["only me"]
    files = replace(manifest, rows=rows[["id", "text"]], bare=True)
    assert [item.text for item in items(files, encoder)] == ["both of us"]
    with pytest.raises(AffectkitError, match="has no column 'text_participant'; its texts are text"):
        items(replace(files, bare=False), encoder)
