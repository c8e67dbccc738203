"""Labels that people gave, in whichever tool: the file itself says of which it is."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.annotations import Annotation, Annotations, add_once, parse_annotation, read_annotations
from affectkit.artifacts.exchange import label_studio, prodigy
from affectkit.artifacts.records import trusted
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.plain import parse_json

KNOWN = "name labels.jsonl of affectkit label, JSON of Label Studio, or JSONL of prodigy db-out"
_HEAD = 1 << 16  # bytes


def read_labels(path: Path, targets: Iterable[Target] = ()) -> Annotations:
    """What people answered: `labels.jsonl`, an export of Label Studio (JSON, JSON_MIN), or answers of Prodigy (JSONL).

    targets: those that are known, with their classes and scales; where others were answered, they are what the answers
    tell. `labels.jsonl` has its own, and these are of no account. Answers are in the order in which they were given.
    Raises "missing"; "input" naming the task or the line that is no answer, a class that its target lacks, a file of
    another kind, or of tasks that nobody has answered.
    """
    path = trusted(Path(path))
    tool, data = _content(path)
    if tool is None:
        return read_annotations(path)
    try:
        answers = list(tool.answered(data))
        known = tool.asked([answer for _, answer in answers], {target.name: target for target in targets})
        given = _given(tool, answers, known)
    except ValueError as error:
        raise AffectkitError("input", str(error), file=path, remedy="mend it, or leave it out") from None
    if not given:
        remedy = "export it again once people have answered"
        raise AffectkitError("input", "holds nothing that somebody answered", file=path, remedy=remedy)
    told = {name for each in given for name in each.labels}
    answered = {name: target for name, target in known.items() if name in told}
    return Annotations(path, answered or known, sorted(given, key=lambda each: each.at))


def _given(tool: Any, answers: Iterable[tuple[str, Any]], targets: Mapping[str, Target]) -> list[Annotation]:
    given: dict[str, Annotation] = {}
    for where, answer in answers:
        try:
            add_once(given, parse_annotation(tool.line_of(answer, targets), targets))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return list(given.values())


def row_ids_of(path: Path) -> list[str]:
    """The rows that tasks or answers are of, in any of the formats. Raises as `read_labels` does."""
    path = trusted(Path(path))
    tool, data = _content(path)
    if tool is None:
        return [each.id for each in read_annotations(path).counting()]
    try:
        return tool.row_ids(data)
    except ValueError as error:
        raise AffectkitError("input", str(error), file=path, remedy="mend it, or leave it out") from None


def _content(path: Path) -> tuple[Any, Any]:
    """The tool that a file is of, and what it holds: a list, or lines by their number; None of `labels.jsonl`, and of
    what is no file, of which its reader says what it is."""
    if not path.is_file():
        return None, None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head:  # a journal that was opened, and no more
            return None, None
        if head.startswith(b"["):
            data = parse_json(path.read_text(encoding="utf-8-sig"))
            if label_studio.is_export(data):
                return label_studio, data
        elif head.startswith(b"{"):
            return _lines(path)
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        raise AffectkitError("input", "is not UTF-8", file=path, remedy="export it again") from None
    except ValueError as error:
        raise AffectkitError("input", f"is no JSON: {error}", file=path, remedy="export it again") from None
    raise AffectkitError("input", "holds no labels of a tool that is known", file=path, remedy=KNOWN)


def _lines(path: Path) -> tuple[Any, Any]:
    lines: dict[int, Any] = {}
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                data = parse_json(line)
            except ValueError as error:
                if lines:
                    raise ValueError(f"line {number}: {error}") from None
                if not line.endswith("\n"):  # a journal's, that a killed process had not ended
                    return None, None
                break
            if not lines and not prodigy.is_line(data):
                if isinstance(data, dict) and {"targets", "labels"} & data.keys():
                    return None, None
                break
            lines[number] = data
    if not lines:
        raise AffectkitError("input", "holds no labels of a tool that is known", file=path, remedy=KNOWN)
    return prodigy, lines
