"""Time series at their own rates: COVAREP, formants, action units, gaze

Columns of a series are joined to rows by time, as frames, or as statistics of windows or of whole rows. The series is a
file for each recording (`--series covarep` reads the manifest's column path_covarep), or one table for all of them
(`--series FILE.csv`) with a column `id`, `sequence` or `session`, and one of times.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from affectkit.encoders._encoder import Item
from affectkit.encoders._series import SeriesEncoder, SeriesOptions, listed, matching
from affectkit.errors import AffectkitError
from affectkit.media.series import Chunk, Series
from affectkit.plain import comma_separated
from affectkit.registry import Option, options_from

# What COVAREP measures of the voice's source: without a voice (VUV is 0) these are numbers without meaning.
GLOTTAL = ("F0", "NAQ", "QOQ", "H1H2", "PSP", "MDQ", "peakSlope", "Rd", "Rd_conf", "creak")
VOICED = "VUV"
LOUDNESS = "MCEP_0"  # exactly 0 only where a stretch was scrubbed: names and places are zeros in DAIC-WOZ


@dataclass(frozen=True)
class LowLevelOptions(SeriesOptions):
    mask: Annotated[
        bool,
        Option("Features of the voice's source are missing where COVAREP heard no voice (VUV 0), or was scrubbed."),
    ] = True


@options_from(LowLevelOptions)
def build(options: LowLevelOptions) -> LowLevel:
    """The encoder. Raises "usage" for what makes no sense."""
    return LowLevel(options.resolved())


class LowLevel(SeriesEncoder):
    """Columns of a series."""

    name = "low-level"

    def frame_names(self) -> list[str] | None:
        columns = self.options["channels"]
        return comma_separated(columns) if columns and not re.search(r"[*?\[]", columns) else None

    def settle(self, items: Sequence[Item]) -> None:
        """Which columns, by the first item that can be read."""
        if self.frame_names() is not None:
            return
        first = self.first_readable(items)
        if not isinstance(first, Series):
            message = f"{first.path}: is a video, and a series is read"
            raise AffectkitError("usage", message, remedy="name it with --series; landmarks are read by landmarks")
        names = matching(first, self.options["channels"])
        if not names:
            raise AffectkitError("input", "has no columns of numbers beside its times", file=first.path)
        self.options["channels"] = listed(names)

    def measures(self, item: Item, counts: Counter[str]) -> tuple[int, Iterator[Chunk]]:
        series, names = self.open(item.path), self.frame_names() or []
        masked = [name for name in names if name in GLOTTAL] if self.options["mask"] else []
        aware = self.options["mask"] and series.format == "covarep"
        beside = [name for name in (VOICED, LOUDNESS) if aware and name in series.names]
        chunks = series.chunks([*names, *(name for name in beside if name not in names)], counts)
        if not beside:
            return len(names), chunks
        columns = list(dict.fromkeys([*names, *beside]))
        return len(names), _masked(chunks, columns, len(names), masked, counts)


def _masked(
    chunks: Iterable[Chunk], columns: Sequence[str], width: int, masked: Sequence[str], counts: Counter[str]
) -> Iterator[Chunk]:
    """The first `width` columns: NaN in those that are `masked` where there is no voice, in all where scrubbed."""
    places = [columns.index(name) for name in masked]
    for chunk in chunks:
        values = chunk.values[:, :width].copy()
        if VOICED in columns and places:
            silent = chunk.values[:, columns.index(VOICED)] == 0
            values[np.ix_(silent, places)] = np.nan
            counts["unvoiced"] += int(silent.sum())
        if LOUDNESS in columns:
            scrubbed = chunk.values[:, columns.index(LOUDNESS)] == 0
            values[scrubbed] = np.nan
            counts["scrubbed"] += int(scrubbed.sum())
        yield Chunk(chunk.times, values, chunk.keys)
