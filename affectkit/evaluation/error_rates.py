"""Word and character error rates of what was heard against what was said, with intervals over groups.

    rate = (substitutions + deletions + insertions) / units of the reference

summed over rows before dividing (so that a long row counts for more), by the alignment of fewest errors (Levenshtein),
which jiwer counts. Both texts are normalised first: NFKC, lower case, no punctuation and symbols but an apostrophe
within a word, single spaces. Chinese, Japanese and Thai have no spaces between words: there each character is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.evaluation.intervals import ABOVE_ZERO, Estimate, Resampling, intervals
from affectkit.media.texts import UNSPACED

NORMALISATION = (
    "Both texts are compared without case, punctuation and symbols (an apostrophe within a word stays), after "
    "Unicode's NFKC; numbers are not spelt out. Chinese, Japanese and Thai count each character as a word."
)
COUNTS = ("substitutions", "deletions", "insertions", "length")  # the last of the reference
RATES = {"wer": "word error rate", "cer": "character error rate"}
_APOSTROPHES = str.maketrans("\u2019\u02bc\uff07", "'''")


def normalise(text: str) -> list[str]:
    """The words of a text as they are compared.

    >>> normalise("\u201cDon\u2019t,\u201d he said \u2013 WHY?")
    ["don't", 'he', 'said', 'why']
    >>> normalise("我很好 OK")
    ['我', '很', '好', 'ok']
    """
    folded = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold().translate(_APOSTROPHES)
    folded = re.sub(r"(?<=\w)'(?=\w)", "\0", folded)
    plain = "".join(" " if unicodedata.category(sign)[0] in "PSZ" else sign for sign in folded)
    return UNSPACED.sub(r" \g<0> ", plain.replace("\0", "'")).split()


def require_jiwer() -> None:
    """Raises "environment" where it is not installed."""
    try:
        import jiwer  # noqa: F401 - asked before hours of hearing, not after
    except ImportError:
        remedy = "pip install 'affectkit[asr]'"
        raise AffectkitError("environment", "error rates need jiwer, which is not installed", remedy=remedy) from None


def aligned(references: Sequence[str], heard: Sequence[str]) -> dict[str, np.ndarray]:
    """`{"wer": [N, 4], "cer": [N, 4]}`: `COUNTS` of each row, of words and of characters, spaces left out.

    A row whose reference is empty once it is normalised counts all that was heard as insertions.
    """
    pairs = [(normalise(said), normalise(text)) for said, text in zip(references, heard, strict=True)]
    return {
        "wer": np.array([_errors(said, text) for said, text in pairs]).reshape(-1, 4),
        "cer": np.array([_errors(list("".join(said)), list("".join(text))) for said, text in pairs]).reshape(-1, 4),
    }


def _errors(reference: list[str], heard: list[str]) -> tuple[int, int, int, int]:
    import jiwer

    if not reference or not heard:  # jiwer refuses an empty reference
        return 0, len(reference), len(heard) * (not reference), len(reference)
    # Units are words to jiwer, whatever they are: joined by a space, which none of them holds.
    counts = jiwer.process_words(" ".join(reference), " ".join(heard))
    return counts.substitutions, counts.deletions, counts.insertions, len(reference)


def error_rates(
    counts: dict[str, np.ndarray], groups: np.ndarray | None, rows: np.ndarray, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Each rate of some rows with its interval and the sums of its `COUNTS`.

    counts: of `aligned`. groups: [N] text, what intervals resample; None: rows are. rows: [N] bool, which are judged.
    """
    units = resampling.units(groups, rows)
    rates: dict[str, dict[str, Any]] = {}
    for name, table in counts.items():
        sums = np.zeros((units.count, 4))
        np.add.at(sums, units.codes, table[rows])
        figure = Estimate(_rate, ABOVE_ZERO)
        interval = intervals({name: figure}, sums, resampling, groups=units.groups)[name]
        total = dict(zip(COUNTS, map(int, sums.sum(axis=0)), strict=True))
        rates[name] = {**interval.plain(), **total, "method": interval.method}
    return rates


def _rate(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., :3].sum(axis=-1) / sums[..., 3]
