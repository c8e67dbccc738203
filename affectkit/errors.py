"""The one exception a user is meant to see, and how it reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

# `serve` maps a code to an HTTP status, the command line to an exit code (usage: 2, unmet: 3, undecidable: 4, the
# others: 1).
Code = Literal[
    "usage", "missing", "input", "leak", "exists", "unfinished", "busy", "environment", "unmet", "undecidable"
]  # fmt: skip


class AffectkitError(Exception):
    """A problem that the user can mend.

    code: what kind of problem, one of `Code`.
    message: what is wrong, lower case, without a full stop.
    file, row: where; `row` counts the data rows of a table from 1, the header not counted.
    remedy: what to do about it, as an imperative.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(code, message, file, row, remedy)
        self.code = code
        self.message = message
        self.file = str(file) if file is not None else None
        self.row = row
        self.remedy = remedy

    @property
    def reason(self) -> str:
        """What is wrong, and with which file; without its row and remedy, which are others where it is passed on."""
        return f"{self.file}: {self.message}" if self.file else self.message

    def __str__(self) -> str:
        place = " ".join(([self.file] if self.file else []) + ([f"row {self.row}"] if self.row else []))
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self):  # keyword-only arguments; worker processes send errors back pickled
        return _rebuild, (self.code, self.message, self.file, self.row, self.remedy)


def _rebuild(code: Code, message: str, file: str | None, row: int | None, remedy: str | None) -> AffectkitError:
    return AffectkitError(code, message, file=file, row=row, remedy=remedy)


def listed(names: Sequence[str], most: int = 20) -> str:
    """The names, of many the first ones and how many there are."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def did_you_mean(word: str, known: list[str], otherwise: str = "") -> str:
    """A remedy for a misspelt name: the nearest known ones, else `otherwise`, or all of them."""
    import difflib

    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    otherwise = otherwise or f"known are {listed(known) or 'none'}"
    return f"did you mean {' or '.join(near)}?" if near else otherwise
