"""Label Studio: tasks with pre-annotations, the configuration of their project, and annotations from its export."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from affectkit.artifacts.annotations import LONGEST_COMMENT
from affectkit.artifacts.exchange._answers import put, utc
from affectkit.artifacts.exchange._tasks import Kind, Task, tasks_of
from affectkit.artifacts.files import misfit, write_text
from affectkit.errors import AffectkitError
from affectkit.labels import Target, in_points, usual_step
from affectkit.plain import printable, without_nan, xml_text

if TYPE_CHECKING:
    import pandas as pd

TOOL: Literal["label-studio"] = "label-studio"
ROW, SEGMENT, REGION, COMMENT = "row_id", "segment", "region", "comment"
# What a task, or its export, calls its own.
TAKEN = {ROW, SEGMENT, REGION, COMMENT, "text", "audio", "video", "image", "id", "annotator", "annotation_id",
         "created_at", "updated_at", "lead_time", "agreement"}  # fmt: skip
TAGS: dict[Kind, str] = {"audio": "Audio", "video": "Video", "image": "Image"}
HOTKEYS = "1234567890"


# --- What it is told: tasks, and how to ask


def write_tasks(
    path: Path,
    queue: pd.DataFrame,
    targets: Sequence[Target],
    *,
    blind: bool,
    model_version: str = "",
    document_root: Path | None = None,
) -> list[str]:
    """Write the rows of a queue as tasks, and their project's labelling configuration beside them, as <name>.xml; what
    to do with them, in words. Raises as `tasks_of`, `tasks_json` and `configuration` do."""
    kinds, tasks = tasks_of(queue, targets, blind=blind)
    lines = [f"labelling configuration of the project: {configuration_of(path)}"]
    root, folder = (document_root.absolute() if document_root else None), _folder(tasks)
    if folder:
        root = root or folder.parent
        if root == folder:
            what = f"files lie in {root} itself, of which Label Studio serves folders alone"
            raise AffectkitError("usage", what, remedy="name a folder above with --document-root")
        served = f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}"
        lines.append(f"Label Studio plays the files with {served}, and a source storage of local files at {folder}")
    told = tasks_json(tasks, targets, kinds, model_version=model_version, document_root=root)
    write_text(configuration_of(path), configuration(tasks, targets, kinds))
    write_text(path, json.dumps(without_nan(told), indent=1, ensure_ascii=False) + "\n")
    return lines


def configuration_of(path: Path) -> Path:
    return path.with_suffix(".xml")


def tasks_json(
    tasks: Sequence[Task],
    targets: Sequence[Target],
    kinds: Mapping[str, Kind],
    *,
    model_version: str = "",
    document_root: Path | None = None,
) -> list[dict[str, Any]]:
    """As its import takes them. document_root: of its local files, where there are files. Raises "input" naming the
    file that does not lie below it."""
    texts, segments = any(task.text for task in tasks), any(task.segment for task in tasks)
    names, asked = _names_of(kinds), _first(kinds)
    told = []
    for task in tasks:
        data = {ROW: task.id} | dict.fromkeys(names.values(), "")
        data |= {names[column]: _address(cell, document_root) for column, cell in task.media.items()}
        data |= ({"text": task.text} if texts else {}) | ({SEGMENT: task.segment} if segments else {})
        each: dict[str, Any] = {"data": data}
        if task.why:
            each["meta"] = {**task.why}
        results = [_result(target, task.said[target.name], asked) for target in targets if target.name in task.said]
        region = [_region(task)] if kinds.get("path") == "audio" and task.start is not None and task.end else []
        if results or region:
            sure = {} if task.sure is None else {"score": task.sure}
            version = model_version if results else "segments"
            each["predictions"] = [{"model_version": version, **sure, "result": region + results}]
        told.append(each)
    return told


def _folder(tasks: Sequence[Task]) -> Path | None:
    """The folder of all local files; None where there is none of an absolute path."""
    folders = {os.path.dirname(cell) for task in tasks for cell in task.media.values() if os.path.isabs(cell)}
    return Path(os.path.commonpath(folders)) if folders else None


def configuration(tasks: Sequence[Task], targets: Sequence[Target], kinds: Mapping[str, Kind]) -> str:
    """The labelling configuration of a project of these tasks. Raises "input" for a target or a class that it cannot
    have."""
    names, asked = _names_of(kinds), _first(kinds)
    lines = ["<View>"]
    if any(task.segment for task in tasks):
        lines.append(_tag("Header", value=f"${SEGMENT}"))
    for column, kind in kinds.items():
        lines.append(_tag(TAGS[kind], name=names[column], value=f"${names[column]}"))
        if column == "path" and kind == "audio" and any(task.segment for task in tasks):
            label = _tag("Label", value=SEGMENT)
            lines += [_tag("Labels", end=">", name=REGION, toName=asked), f"  {label}", "</Labels>"]
    if any(task.text for task in tasks):
        lines.append(_tag("Text", name="text", value="$text"))
    for target in targets:
        lines += _control(target, asked)
    lines.append(_tag("TextArea", name=COMMENT, toName=asked, placeholder="Comment", rows="1", maxSubmissions="1"))
    return "\n  ".join(lines) + "\n</View>\n"


def _control(target: Target, asked: str) -> Iterator[str]:
    if target.name in TAKEN or target.name.startswith("path_"):
        what = f"a target cannot be called '{target.name}' in Label Studio: its tasks have that already"
        raise AffectkitError("input", what, remedy="rename the column, or use --format csv")
    how = {"name": target.name, "toName": asked}
    if target.kind != "number":
        yield _tag("Header", value=target.name)
        more = {"choice": "single-radio", "showInline": "true", "required": "true"}
        yield _tag("Choices", end=">", **how, **more)
        for place, name in enumerate(target.classes):
            hotkey = {"hotkey": HOTKEYS[place]} if place < len(HOTKEYS) else {}
            yield "  " + _tag("Choice", value=name, **hotkey)
        yield "</Choices>"
        return
    low, high = target.scale or (None, None)
    yield _tag("Header", value=target.name + (f" ({low:g} to {high:g})" if target.scale else ""))
    if low is None or high is None:
        yield _tag("Number", **how)
    elif in_points(target.scale) and low == 1:
        yield _tag("Rating", **how, maxRating=f"{high:g}")
    else:
        yield _tag("Number", **how, min=f"{low:g}", max=f"{high:g}", step=f"{usual_step((low, high)):g}", slider="true")


def _tag(kind: str, end: str = "/>", **attributes: str) -> str:
    for value in attributes.values():
        if xml_text(value) != value:
            what = f"'{printable(value)}' has characters that no XML can hold"
            raise AffectkitError("input", what, remedy="rename the class, or use --format csv")
    return f"<{kind} " + " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items()) + end


def _names_of(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Column of media -> what a task calls it: by its kind, further ones as they are."""
    return {column: kind if column == "path" else column for column, kind in kinds.items()}


def _first(kinds: Mapping[str, Kind]) -> str:
    """What is asked about: the medium of `path`, else the first, else the text."""
    names = _names_of(kinds)
    return names.get("path") or next(iter(names.values()), "text")


def _address(cell: str, root: Path | None) -> str:
    """Where Label Studio finds a file below its document root; what has an address of its own keeps it."""
    if "://" in cell:
        return cell
    path = Path(cell)
    if path.is_absolute():
        if root is None or not path.is_relative_to(root):
            remedy = "name a folder above all files with --document-root"
            raise AffectkitError("input", f"does not lie below {root}", file=path, remedy=remedy)
        cell = path.relative_to(root).as_posix()
    return f"/data/local-files/?d={quote(cell)}"


def _result(target: Target, said: str | float, asked: str) -> dict[str, Any]:
    how = {"from_name": target.name, "to_name": asked}
    if isinstance(said, str):
        return {**how, "type": "choices", "value": {"choices": [said]}}
    if target.scale is None:
        return {**how, "type": "number", "value": {"number": said}}
    (low, high), step = target.scale, usual_step(target.scale)
    # It submits no number that is not on a step, be it one that was filled in.
    number = round(min(max(low + step * round((said - low) / step), low), high), 6)
    if in_points(target.scale) and low == 1:
        return {**how, "type": "rating", "value": {"rating": int(number)}}
    return {**how, "type": "number", "value": {"number": number}}


def _region(task: Task) -> dict[str, Any]:
    """The seconds of a recording that the row is of."""
    value = {"start": task.start, "end": task.end, "channel": 0, "labels": [SEGMENT]}
    return {"id": REGION, "from_name": REGION, "to_name": "audio", "type": "labels", "value": value}


# --- What people answered, from its export: JSON, with all that it knows, or JSON_MIN, a record for each answer


_TIMES = {"lead_time?": (None, float), "created_at?": (None, str)}
_PERSON = {"id?": (None, int), "email?": (None, str)}
_ANSWER = {
    "result?": (None, [{"from_name?": (None, str), "type?": (None, str), "value?": (None, dict)}]),
    "was_cancelled?": (None, bool), "unique_id?": (None, str), "id?": (None, int),
    "completed_by?": (None, int, str, _PERSON), **_TIMES,
}  # fmt: skip
_TASK = {"data": dict, "meta?": (None, dict), "annotations?": (None, [_ANSWER])}
_MINIMAL = {"annotation_id": int, "annotator?": (None, int, str), **_TIMES}


def is_export(data: Sequence[Any]) -> bool:
    """Whether it may be its tasks, or JSON_MIN's answers; none at all, where nobody answered."""
    of_tasks = any(isinstance(each, dict) and {"data", "annotation_id"} & each.keys() for each in data)
    return not data or of_tasks


def row_ids(data: Sequence[Any]) -> list[str]:
    """Of all tasks, answered or not. Raises ValueError for one that has none."""
    return [_row_id(task) for task in data]


def answered(data: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each answer stands, and the answer: `task` and `annotation`, one and the same in JSON_MIN. Raises
    ValueError."""
    for number, task in enumerate(data, start=1):
        where, minimal = f"task {number}", isinstance(task, dict) and "annotation_id" in task
        if problem := misfit(task, _MINIMAL if minimal else _TASK, "the task"):
            raise ValueError(f"{where}: {problem}")
        for annotation in [task] if minimal else task.get("annotations") or ():
            yield where, {"task": task, "annotation": annotation}


def asked(answers: Sequence[Mapping[str, Any]], known: Mapping[str, Target]) -> dict[str, Target]:
    """What the controls that were answered ask for; of those that are not known what answers tell, classes by their
    names and numbers."""
    classes: dict[str, set[str]] = {}
    numbers: set[str] = set()
    for each in answers:
        minimal = each["task"] is each["annotation"]  # where every text may be a choice
        for name, kind, value in () if minimal else _results(each["annotation"]):
            if kind == "choices":
                classes.setdefault(name, set()).update(map(str, value.get("choices") or ()))
            elif kind in ("number", "rating"):
                numbers.add(name)
    told = {name: Target(name, "class", tuple(sorted(named))) for name, named in classes.items() if named}
    return {name: Target(name, "number") for name in sorted(numbers)} | told | dict(known)


def line_of(answer: Mapping[str, Any], targets: Mapping[str, Target]) -> dict[str, Any]:
    """An answer as `labels.jsonl` has it. Raises ValueError, in words, for what is none."""
    task, annotation = answer["task"], answer["annotation"]
    minimal = task is annotation
    controls = _minimal_results(task) if minimal else _results(annotation)
    labels: dict[str, str | float] = {}
    comments: list[str] = []
    for name, kind, value in controls:
        if kind == "textarea" and name == COMMENT:
            comments += map(str, value.get("text") or ())
        elif name in targets and kind in ("choices", "number", "rating"):
            put(labels, name, value.get("choices") if kind == "choices" else [value.get(kind)])
    skipped = annotation.get("was_cancelled")
    number = annotation.get("annotation_id" if minimal else "id")
    return {
        "key": annotation.get("unique_id") or f"{TOOL}-{number}",
        "id": _row_id(task),
        "annotator": _person(annotation.get("annotator" if minimal else "completed_by")),
        "labels": {} if skipped else labels,
        "comment": "\n".join(comments)[:LONGEST_COMMENT],
        "seconds": annotation.get("lead_time"),
        "at": utc(annotation.get("created_at") or ""),
        "tool": TOOL,
    }


def _row_id(task: Any) -> str:
    """What `tasks_json` calls it, else what a table calls it that was imported; JSON_MIN's own `id` is the task's."""
    minimal = isinstance(task, dict) and "annotation_id" in task
    parts = ("data", "meta") if isinstance(task, dict) and not minimal else ()
    places = [(task, ROW)] if minimal else [(task.get(part), name) for name in (ROW, "id") for part in parts]
    for place, name in places:
        if isinstance(place, dict) and isinstance(place.get(name), (str, int)) and str(place[name]).strip():
            return str(place[name])
    what = "nothing says which row it is: there is no row_id"
    raise ValueError(f"{what}; JSON_MIN has no other id, JSON may" if minimal else f"{what}, nor id, in its data")


def _person(who: Any) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return TOOL if who in (None, "") else str(who)


def _results(annotation: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name of the control, its type, and what it says."""
    for result in annotation.get("result") or ():
        yield result.get("from_name") or "", result.get("type") or "", result.get("value") or {}


def _minimal_results(task: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """JSON_MIN writes the one choice, or text, of a control as text, and others as what they say."""
    for name, value in task.items():
        if isinstance(value, str):
            yield name, "textarea" if name == COMMENT else "choices", {"choices": [value], "text": [value]}
        for each in value if isinstance(value, list) else [value]:
            for kind in ("choices", "number", "rating"):
                if isinstance(each, dict) and kind in each:
                    yield name, kind, each
