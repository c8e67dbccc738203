"""What an audit found, and whether it may stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from affectkit.errors import AffectkitError, did_you_mean

KINDS = ("speaker", "session", "dialogue", "source", "media", "text", "group")

_REMEDY = {
    "speaker": "split with --split-by speaker",
    "session": "split with --split-by session",
    "dialogue": "split with --split-by dialogue",
    "source": "split by --group with a column that names the recordings",
    "media": "remove the copies",
    "text": "split by --group text_id",
    "group": "split with --split-by group",
}


@dataclass(frozen=True)
class Leak:
    """What stands on more than one side.

    kind: one of `KINDS`. what: the column compared, or "identical media" or "near-identical media".
    count: how many values (or sets of copies) straddle, of `total` different ones. rows: how many rows they have.
    sides: the splits or folds involved. examples: {"value", "ids": {side: first id}}, a few.
    declared: the corpus's own sentence about it, "" where there is none.
    """

    kind: str
    what: str
    count: int
    total: int
    rows: int
    sides: tuple[str, ...]
    examples: tuple[dict[str, Any], ...]
    declared: str = ""

    def sentence(self) -> str:
        """`speaker: 3 of 10 stand on more than one side, as '03': a1 in train, a7 in test`."""
        example = self.examples[0]
        value = example["value"] if len(example["value"]) <= 60 else example["value"][:57] + "..."
        places = ", ".join(f"{key} in {side}" for side, key in list(example["ids"].items())[:2])
        return f"{self.what}: {self.count} of {self.total} on more than one side, as '{value}': {places}"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "what": self.what, "count": self.count, "total": self.total, "rows": self.rows,
            "sides": list(self.sides), "declared": self.declared or None, "examples": list(self.examples),
        }  # fmt: skip


@dataclass(frozen=True)
class AuditReport:
    """level: "names", "content" or "near". sides: rows on each. leaks: declared ones too.

    declared: (kind, sentence) of every defect that the corpus declares. notes: what could not be compared, and why.
    """

    level: str
    sides: dict[str, int]
    leaks: tuple[Leak, ...]
    declared: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def require(self, allowed: Collection[str] = ()) -> None:
        """Raise "leak" for the first kind that is neither declared nor in `allowed`, naming the others too."""
        for kind in allowed:
            if kind not in KINDS:
                remedy = did_you_mean(kind, list(KINDS))
                raise AffectkitError("usage", f"--allow-leaks: '{kind}' is no kind of leak", remedy=remedy)
        open_ones = [leak for leak in self.leaks if not leak.declared and leak.kind not in allowed]
        if not open_ones:
            return
        kinds = ",".join(kind for kind in KINDS if any(leak.kind == kind for leak in open_ones))
        more = f" (and {kinds.partition(',')[2]})" if "," in kinds else ""
        first = min(open_ones, key=lambda leak: KINDS.index(leak.kind))
        raise AffectkitError(
            "leak",
            f"{first.kind} leak{more}: {first.sentence()}",
            remedy=f"{_REMEDY[first.kind]}, or accept it with --allow-leaks {kinds}",
        )

    def declared_sentences(self, allowed: Collection[str] = ()) -> list[str]:
        """What every report must repeat: the declared defects that this split has, then the leaks that were allowed.

        A declared media defect is repeated whether the audit looked for it or not.
        """
        found = {leak.kind for leak in self.leaks} | {"media"}
        sentences = [text for kind, text in self.declared if kind in found]
        for leak in self.leaks:
            if not leak.declared and leak.kind in allowed:
                sentences.append(f"{leak.kind} leak, allowed: {leak.sentence()}")
        return sentences

    def to_json(self) -> dict[str, Any]:
        """For `leak_audit.json`."""
        return {
            "level": self.level,
            "sides": self.sides,
            "leaks": [leak.to_json() for leak in self.leaks],
            "declared": [{"kind": kind, "text": text} for kind, text in self.declared],
            "notes": list(self.notes),
        }
