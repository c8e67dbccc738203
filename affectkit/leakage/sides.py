"""Which side of the split each row is on, and what stands on more than one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.media import AnyHeader
from affectkit.media.files import mapped, or_error

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


# --- What an audit found, and whether it may stand


_REMEDY = {
    "speaker": "split with --split-by speaker",
    "session": "split with --split-by session",
    "dialogue": "split with --split-by dialogue",
    "source": "split by --group with a column that names the recordings",
    "media": "remove the copies",
    "text": "split by --group text_id",
    "group": "split with --split-by group",
}
KINDS = tuple(_REMEDY)
COPIES = (
    "source",
    "media",
    "text",
)  # kinds whose rows are the same thing again, not merely of the same person or place


@dataclass(frozen=True)
class LeakedValue:
    """What stands on more than one side, or the names of a set of copies, and the rows that have it, in their order."""

    value: str
    ids: tuple[str, ...]
    sides: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """What stands on more than one side.

    kind: one of `KINDS`. what: the column compared, or "identical media" or "near-identical media".
    count: how many values (or sets of copies) straddle, of `total` different ones. rows: how many rows they have.
    sides: the splits or folds involved. examples: {"value", "ids": {side: first id}}, a few.
    values: all of them. declared: the corpus's own sentence about it, "" where there is none.
    """

    kind: str
    what: str
    count: int
    total: int
    rows: int
    sides: tuple[str, ...]
    examples: tuple[dict[str, Any], ...]
    values: tuple[LeakedValue, ...] = ()
    declared: str = ""

    def sentence(self) -> str:
        """`speaker: 3 of 10 stand on more than one side, as '03': a1 in train, a7 in test`."""
        example = self.examples[0]
        value = example["value"] if len(example["value"]) <= 60 else example["value"][:57] + "..."
        places = ", ".join(f"{key} in {side}" for side, key in list(example["ids"].items())[:2])
        return f"{self.what}: {self.count} of {self.total} on more than one side, as '{value}': {places}"

    def to_json(self) -> dict[str, Any]:
        facts = {key: getattr(self, key) for key in ("kind", "what", "count", "total", "rows")}
        declared = self.declared or None
        return facts | {"sides": list(self.sides), "declared": declared, "examples": list(self.examples)}


@dataclass(frozen=True)
class AuditReport:
    """level: "names", "content" or "near". sides: rows on each. leaks: declared ones too.

    declared: (kind, sentence) of every defect that the corpus declares. notes: what could not be compared, and why.
    conflicts: sentences on recordings that stand under two labels or speakers. dropped: what `without` was told of.
    """

    level: str
    sides: dict[str, int]
    leaks: tuple[Leak, ...]
    declared: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    dropped: dict[str, Any] = field(default_factory=dict)

    def open_leaks(self, allowed: Collection[str] = ()) -> list[Leak]:
        """Those that are neither declared nor of a kind in `allowed`, in the order of `KINDS`."""
        leaks = [leak for leak in self.leaks if not leak.declared and leak.kind not in allowed]
        return sorted(leaks, key=lambda leak: KINDS.index(leak.kind))

    def require(self, allowed: Collection[str] = (), *, listed: Path | None = None) -> None:
        """Raise "leak" for the first kind that is neither declared nor in `allowed`, naming the others too.

        listed: the file that has all of them, to be named.
        """
        for kind in allowed:
            if kind not in KINDS:
                remedy = did_you_mean(kind, list(KINDS))
                raise AffectkitError("usage", f"--allow-leaks: '{kind}' is no kind of leak", remedy=remedy)
        open_ones = self.open_leaks(allowed)
        if not open_ones:
            return
        kinds = ",".join(dict.fromkeys(leak.kind for leak in open_ones))
        more = f" (and {kinds.partition(',')[2]})" if "," in kinds else ""
        first = open_ones[0]
        sided = all(side in _ORDER for side in self.sides) and any(leak.kind in COPIES for leak in open_ones)
        copies = ", drop copies with --drop-leaks train" if sided else ""
        remedy = f"{_REMEDY[first.kind]}{copies}, or accept it with --allow-leaks {kinds}"
        where = f" ({listed} lists all)" if listed else ""
        raise AffectkitError("leak", f"{first.kind} leak{more}: {first.sentence()}{where}", remedy=remedy)

    def listing(self, allowed: Collection[str] = ()) -> pd.DataFrame:
        """`kind`, `value`, `ids`, `sides`, `files` of each value of the open leaks; those of its rows joined by `|`."""
        import pandas as pd

        rows = [
            (leak.kind, value.value, *("|".join(cells) for cells in (value.ids, value.sides, value.files)))
            for leak in self.open_leaks(allowed)
            for value in leak.values
        ]
        return pd.DataFrame(rows, columns=["kind", "value", "ids", "sides", "files"])

    def copies(self, side: str, allowed: Collection[str] = ()) -> dict[str, str]:
        """id -> why it goes, of the rows that are copies of another side's, by leaks that are declared too.

        side: "train" keeps each copy where it is judged (test before val before train), "test" where it is fitted.
        Raises "usage" for folds, which have neither.
        """
        if any(name not in _ORDER for name in self.sides):
            remedy = "split with --split-by, or accept them with --allow-leaks"
            raise AffectkitError("usage", "--drop-leaks: folds have no train and no test side", remedy=remedy)
        reasons: dict[str, str] = {}
        for leak in self._copied(allowed):
            for value in leak.values:
                kept = sort_sides(set(value.sides))[-1 if side == "train" else 0]
                gone = {key: name for key, name in zip(value.ids, value.sides, strict=True) if name != kept}
                reasons |= {key: f"{leak.kind} of {name} also in {kept}" for key, name in gone.items()}
        return reasons

    def without(self, before: AuditReport, side: str, allowed: Collection[str]) -> AuditReport:
        """This report, of the rows that are left once those of `before.copies` have gone, with how many they were.

        Raises "input" where a side has none left.
        """
        if empty := [name for name in before.sides if name not in self.sides]:
            kinds = ",".join(dict.fromkeys(leak.kind for leak in before._copied(allowed)))
            remedy = f"split by a column that keeps copies together, or keep them with --allow-leaks {kinds}"
            raise AffectkitError("input", f"--drop-leaks {side} leaves no rows in {empty[0]}", remedy=remedy)
        rows = {name: count - self.sides[name] for name, count in before.sides.items() if count != self.sides[name]}
        facts = {"side": side, "rows": rows, "leaks": [leak.to_json() for leak in before._copied(allowed)]}
        return replace(self, dropped=facts)

    def _copied(self, allowed: Collection[str]) -> list[Leak]:
        return [leak for leak in self.leaks if leak.kind in COPIES and leak.kind not in allowed]

    def declared_sentences(self, allowed: Collection[str] = ()) -> list[str]:
        """What every report must repeat: the declared defects that this split has, then the leaks that were allowed.

        A declared media defect is repeated whether the audit looked for it or not.
        """
        kinds = {leak.kind for leak in self.leaks} | {"media"}
        open_ones = [leak for leak in self.leaks if not leak.declared and leak.kind in allowed]
        sentences = [text for kind, text in self.declared if kind in kinds]
        return sentences + [f"{leak.kind} leak, allowed: {leak.sentence()}" for leak in open_ones]

    def to_json(self) -> dict[str, Any]:
        """For `leak_audit.json`."""
        return {
            "level": self.level,
            "sides": self.sides,
            "leaks": [leak.to_json() for leak in self.leaks],
            "declared": [{"kind": kind, "text": text} for kind, text in self.declared],
            "notes": list(self.notes),
            **({"conflicts": list(self.conflicts)} if self.conflicts else {}),
            **({"dropped": self.dropped} if self.dropped else {}),
        }


# --- The side of each row, and the values that stand on more than one

_EXAMPLES = 5
_ORDER = {"train": 0, "val": 1, "test": 2}


def sides_of(rows: pd.DataFrame) -> list[str]:
    """`train`, `val` or `test`; `fold 3` where all rows are of one split, else `train fold 3`; "" for neither."""
    splits, folds = ([_text(cell) for cell in rows[c]] if c in rows else [""] * len(rows) for c in ("split", "fold"))
    sides = splits if len(set(splits)) > 1 else [""] * len(rows)
    pairs = zip(splits, sides, folds, strict=True)
    return [f"{side} fold {fold}".strip() if fold else split for split, side, fold in pairs]


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return "" if cell != cell else f"{cell:g}"


def straddling(
    kind: str,
    what: str,
    values: Sequence[str],
    sides: Sequence[str],
    ids: Sequence[str],
    *,
    show: Callable[[str], str] = str,
    files: Sequence[str] = (),
) -> Leak | None:
    """The leak of rows that share a value ("" is none) but not a side. show: a value as an example names it."""
    first: dict[str, dict[str, str]] = {}
    for value, side, key in zip(values, sides, ids, strict=True):
        if value and side:
            first.setdefault(value, {}).setdefault(side, key)
    shared = {value: places for value, places in first.items() if len(places) > 1}
    if not shared:
        return None
    members: dict[str, list[int]] = {value: [] for value in sorted(shared)}
    for position, (value, side) in enumerate(zip(values, sides, strict=True)):
        if value in shared and side:
            members[value].append(position)
    # The longest first: "yes" recurs by chance, a sentence does not.
    told = sorted(shared, key=lambda value: (-len(show(value)) if kind == "text" else 0, value))[:_EXAMPLES]
    examples = tuple({"value": show(value), "ids": in_order(shared[value])} for value in told)
    involved = sort_sides({side for places in shared.values() for side in places})
    leaked = tuple(
        LeakedValue(show(value), *(tuple(cells[p] for p in places) if cells else () for cells in (ids, sides, files)))
        for value, places in members.items()
    )
    rows = sum(len(value.ids) for value in leaked)
    return Leak(kind, what, len(shared), len(first), rows, involved, examples, leaked)


def in_order(places: dict[str, str]) -> dict[str, str]:
    return {side: places[side] for side in sort_sides(places)}


def sort_sides(sides: Iterable[str]) -> tuple[str, ...]:
    """Train before val before test, fold 2 before fold 10."""

    def rank(side: str) -> tuple[int, float, str]:
        split, _, fold = side.rpartition("fold ")
        return _ORDER.get((split if fold != side else side).strip(), 3), float(fold) if fold.isdecimal() else -1.0, side

    return tuple(sorted(sides, key=rank))


# --- The media files of a manifest, each once, with the sides that its rows are on

CLAIMS = ("label", "speaker")  # columns of what can only be one thing of a recording


@dataclass
class MediaFile:
    """path, its header (None: neither sound nor image), for each side the id of the first row that it has there,
    (id, side) of all its rows, and what they claim of it: (label, speaker)."""

    path: Path
    header: AnyHeader | None
    places: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, str]] = field(default_factory=list)
    claims: set[tuple[str, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class FileSet:
    files: list[MediaFile]

    @classmethod
    def of(
        cls,
        paths: Sequence[Path | None],
        headers: Sequence[AnyHeader | None],
        sides: Sequence[str],
        rows: pd.DataFrame,
        beside: Sequence[Mapping[Path, AnyHeader | None]] = (),
    ) -> FileSet:
        """beside: further files of each row."""
        by_path: dict[Path, MediaFile] = {}
        claims = zip(*(rows[c] if c in rows else [""] * len(rows) for c in CLAIMS), strict=True)
        files = (
            {path: header, **more}
            for path, header, more in zip(paths, headers, beside or [{}] * len(rows), strict=True)
        )
        for media, side, key, claim in zip(files, sides, rows["id"], claims, strict=True):
            for path, header in media.items() if side else ():
                if path is None:
                    continue
                file = by_path.setdefault(path, MediaFile(path, header))
                file.places.setdefault(side, key)
                file.rows.append((key, side))
                file.claims.add(claim)
        return cls(list(by_path.values()))


@dataclass(frozen=True)
class Copies:
    """What a comparison of media found. same: sets of files that are equal, on whichever sides."""

    leaks: list[Leak]
    notes: list[str]
    same: list[list[MediaFile]] = field(default_factory=list)

    @property
    def redundant(self) -> set[Path]:
        """Files that are equal to another one, which stands for them."""
        return {file.path for group in self.same for file in group[1:]}


def contested(files: Sequence[MediaFile]) -> bool:
    """Whether the files are on more than one side, or their rows claim different things of them."""
    return apart(files) or len({claim for file in files for claim in file.claims}) > 1


def apart(files: Sequence[MediaFile]) -> bool:
    """Whether the files are on more than one side."""
    return len({side for file in files for side in file.places}) > 1


def sides_as_numbers(files: Sequence[MediaFile]) -> np.ndarray:
    """[N] a number for each set of sides; files on several sides get one of their own, as they differ from any."""
    numbers: dict[object, int] = {}
    keys = [next(iter(f.places)) if len(f.places) == 1 else f.path for f in files]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int32)


def read_each(
    work: Callable[[MediaFile], T],
    files: Sequence[MediaFile],
    workers: int,
    progress: Callable[[int, int], None] | None,
    problems: list[str],
) -> Iterator[T | None]:
    """What `work` makes of each file; None where it cannot, and why goes to `problems`."""
    for done, result in enumerate(mapped(partial(or_error, work), files, workers), start=1):
        if isinstance(result, AffectkitError):
            problems.append(str(result))
        yield None if isinstance(result, AffectkitError) else result
        if progress:
            progress(done, len(files))


def unread(problems: Sequence[str]) -> list[str]:
    """A note about files that could not be compared; the first problem stands for all."""
    return [f"{len(problems)} files were not compared, the first: {problems[0]}"] if problems else []
