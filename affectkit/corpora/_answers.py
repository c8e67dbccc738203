"""What people answered to the rows of a manifest: whose answers count, and the targets of both as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from affectkit.artifacts.annotations import Annotation, Annotations, counting
from affectkit.artifacts.manifest import COLUMNS, Manifest
from affectkit.corpora._corpus import Dropped
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.raters import Ratings
from affectkit.labels import Target

RATERS = "raters"  # column: how many people labelled a row


@dataclass(frozen=True)
class Answers:
    """given: those that count, of known rows, in the order in which ties look at them. places: of the rows, by id.
    raters: numbers, by name. dropped: answers to rows that there are not."""

    given: list[Annotation]
    places: dict[str, int]
    raters: dict[str, int]
    dropped: list[Dropped]

    def ratings(self, target: Target) -> Ratings:
        """The answers to one target, of classes their places."""
        found = [each for each in self.given if target.name in each.labels]
        codes = {name: float(code) for code, name in enumerate(target.classes)}
        cells = [each.labels[target.name] for each in found]
        values = [codes[str(cell)] for cell in cells] if target.classes else [float(cell) for cell in cells]
        items, who = [self.places[each.id] for each in found], [self.raters[each.annotator] for each in found]
        return Ratings(np.array(items, dtype=np.int64), np.array(who, dtype=np.int64), np.array(values, dtype=float))


def answered(journals: Sequence[Annotations], base: Manifest, chosen: Sequence[str]) -> Answers:
    """Of one person's answers to a row the last one, in the order of the journals. chosen: whose count, "" for all.

    Raises "input" where two journals have a key in common or none a label, "usage" for a person who answered nothing.
    """
    every: dict[str, Annotation] = {}
    files: dict[str, Path] = {}
    for journal in journals:
        for each in journal.given:
            if every.setdefault(each.key, each) != each:
                what = f"key '{each.key}' is that of another answer in {files[each.key]}"
                raise AffectkitError("input", what, file=journal.path, remedy="leave one of the files out")
            files.setdefault(each.key, journal.path)
    counted = counting(list(every.values()))
    people = list(dict.fromkeys(each.annotator for each in counted))
    for name in chosen:
        if name not in people:
            remedy = did_you_mean(name, people)
            raise AffectkitError("usage", f"--annotators: '{name}' has answered nothing", remedy=remedy)
    raters = {name: number for number, name in enumerate(dict.fromkeys(chosen or people))}
    counted = [each for each in counted if each.annotator in raters]
    if chosen:
        counted.sort(key=lambda each: raters[each.annotator])
    if not any(each.labels for each in counted):
        raise AffectkitError("input", "holds no label to add", file=journals[0].path, remedy="label some rows first")
    places = {key: place for place, key in enumerate(base.rows["id"])}
    known = [each for each in counted if each.id in places]
    lost = [_unknown(each, files[each.key]) for each in counted if each.id not in places]
    return Answers(known, places, raters, lost)


def _unknown(each: Annotation, file: Path) -> Dropped:
    why, remedy = "answers a row that the manifest does not have", "pass the manifest whose rows were labelled"
    return Dropped(str(file), why, remedy, f"'{each.id}' by {each.annotator}")


# --- The targets of journals and manifest as one


def joined_targets(journals: Sequence[Annotations], answers: Answers, base: Manifest) -> dict[str, Target]:
    """Those that somebody answered, by name, as the new manifest has them: of classes those of the manifest, then new
    ones that were chosen.

    Raises "input" where journals and manifest mean different things by a name, or it is that of another column.
    """
    chosen: dict[str, set[str | float]] = {}
    for each in answers.given:
        for name, value in each.labels.items():
            chosen.setdefault(name, set()).add(value)
    joined: dict[str, Target] = {}
    for journal in journals:
        for name, theirs in journal.targets.items():
            if name not in chosen:
                continue
            _refuse_column(name, base, journal.path)
            known = joined.get(name) or base.targets.get(name)
            where = base.path if name not in joined else "another file of answers"
            if theirs.kind == "class":
                theirs = replace(theirs, classes=tuple(each for each in theirs.classes if each in chosen[name]))
            joined[name] = _joined(known, theirs, journal.path, where) if known else theirs
    for name, target in joined.items():
        if nul := next((each for each in target.classes if "\0" in each), ""):
            what = f"{name} '{nul}' holds a NUL character, which no table can"
            raise AffectkitError("input", what, file=journals[0].path, remedy="rename the class")
    taken = Counter([*base.targets, *joined.keys() - base.targets.keys()])
    taken.update(column for target in joined.values() for column in columns_beside(target))
    for column in (column for column, times in taken.items() if times > 1):
        what = f"'{column}' would be two columns: it names a target, or a class, and what raters said of another"
        raise AffectkitError("input", what, file=journals[0].path, remedy="label under another name")
    return joined


def columns_beside(target: Target) -> list[str]:
    """Where disagreement is kept: `votes_<class>`, of a target that is not the label `votes_<target>_<class>`; of a
    number `<target>_sd`."""
    if target.kind == "number":
        return [f"{target.name}_sd"]
    prefix = "votes_" if target.name == "label" else f"votes_{target.name}_"
    return [prefix + name for name in target.classes]


def _refuse_column(name: str, base: Manifest, file: Path) -> None:
    """Raises "input" for a target whose column says something else already."""
    taken = name in base.rows and name not in base.targets and bool((base.rows[name] != "").any())
    reserved = name in {*COLUMNS, RATERS} - {"label"} or name.startswith(("votes_", "path_"))
    if taken or reserved:
        what = f"has labels of '{name}', which is a column of the manifest and none of its targets"
        raise AffectkitError("input", what, file=file, remedy="label under another name")


def _joined(known: Target, theirs: Target, file: Path, where: Path | str) -> Target:
    """A target that is known, with what `theirs` adds."""
    if known.kind != theirs.kind:
        raise _differ(known, theirs, file, where)
    if known.kind == "number":
        if known.scale and theirs.scale and known.scale != theirs.scale:
            raise _differ(known, theirs, file, where)
        return known if known.scale else replace(known, scale=theirs.scale)
    if known.kind == "class":
        return replace(known, classes=tuple(dict.fromkeys(known.classes + theirs.classes)))
    for longer, shorter in ((known, theirs), (theirs, known)):
        if tuple(name for name in longer.classes if name in shorter.classes) == shorter.classes:
            return longer
    raise _differ(known, theirs, file, where)


def _differ(known: Target, theirs: Target, file: Path, where: Path | str) -> AffectkitError:
    what = f"{theirs.name} is {theirs.in_words} here and {known.in_words} in {where}"
    return AffectkitError("input", what, file=file, remedy="label them alike, or under another name")


def new_classes(target: Target, known: Mapping[str, Target]) -> list[str]:
    """Those that the manifest's own target does not have; none of a target that is new."""
    before = known[target.name].classes if target.name in known else target.classes
    return [name for name in target.classes if name not in before]
