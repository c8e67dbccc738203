"""What a calibration method is."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from affectkit.artifacts.outputs import Output, Rows

Kind = Literal["class", "number"]


class Method(Protocol):
    """Fits plain parameters on answers and truth, and applies them to any answers of the same target.

    options: resolved; `build(**options)` gives the same method. kinds: of targets that it takes (an ordinal target is a
    class). single_group: whether it may be fitted on the rows of one group (few parameters). columns: the further
    columns of text that it needs of every row, in `Rows.columns`.
    """

    name: str
    options: dict[str, Any]
    kinds: tuple[Kind, ...]
    single_group: bool
    columns: tuple[str, ...]

    def fit(self, output: Output, rows: Rows) -> dict[str, Any]:
        """Parameters that JSON can hold (lists, numbers, text, None; `calibration.json`), from rows that all have a
        truth and an answer, in no particular order: permuting them changes nothing.

        Raises AffectkitError "input" where the rows allow no fit, saying what would.
        """

    def apply(self, parameters: dict[str, Any], output: Output, rows: Rows) -> Output:
        """Calibrated answers, a row at a time: no row's answer depends on another. `rows.truth` must not be looked at
        (it is NaN here). Declined rows (NaN) stay declined. Never raises for a value that `fit` did not meet."""
