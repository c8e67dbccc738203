"""Prodigy: tasks with options to choose from, and the answers of a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from affectkit.artifacts.annotations import LONGEST_COMMENT
from affectkit.artifacts.exchange._answers import put, utc
from affectkit.artifacts.exchange._tasks import Kind, Task, choices_of, tasks_of
from affectkit.artifacts.files import misfit, write_text
from affectkit.labels import Target
from affectkit.plain import without_nan

if TYPE_CHECKING:
    import pandas as pd

TOOL: Literal["prodigy"] = "prodigy"


# --- What it is told: a line each


def write_tasks(path: Path, queue: pd.DataFrame, targets: Sequence[Target], *, blind: bool) -> list[str]:
    """Write the rows of a queue as tasks; what to do with them, in words. Raises as `tasks_of` and `tasks_jsonl` do."""
    kinds, tasks = tasks_of(queue, targets, blind=blind)
    lines = [json.dumps(without_nan(task), ensure_ascii=False) for task in tasks_jsonl(tasks, targets, kinds)]
    write_text(path, "\n".join(lines) + "\n")
    return [f"prodigy mark DATASET {path} --view-id choice shows texts and images; a recipe of blocks plays media"]


def tasks_jsonl(
    tasks: Sequence[Task], targets: Sequence[Target], kinds: Mapping[str, Kind]
) -> Iterator[dict[str, Any]]:
    """As its recipes read them, for the interface `choice`: of several targets the choices of all, as target=value.
    What is predicted is chosen beforehand. Raises "input" for a number without a scale."""
    several = len(targets) > 1
    options = [
        {"id": f"{target.name}={value}" if several else value, "text": f"{target.name}: {value}" if several else value}
        for target in targets
        for value in choices_of(target)
    ]
    column = "path" if "path" in kinds else next(iter(kinds), "")
    for task in tasks:
        meta: dict[str, Any] = {"id": task.id}
        meta |= {name: value for name, value in (("start_sec", task.start), ("end_sec", task.end)) if value is not None}
        told: dict[str, Any] = {"text": task.text} if task.text else {}
        if cell := task.media.get(column, ""):
            told[kinds[column]] = cell
            if kinds[column] != "image" and task.start is not None and task.end is not None:
                told["audio_spans"] = [{"start": task.start, "end": task.end, "label": "segment"}]
        told |= {"meta": {**meta, **task.why}, "options": options}
        if several:
            told["config"] = {"choice_style": "multiple"}
        if task.said:
            told["accept"] = [
                f"{target.name}={value}" if several else value
                for target in targets
                if target.name in task.said and (value := _nearest(target, task.said[target.name]))
            ]
        yield told


def _nearest(target: Target, said: str | float) -> str:
    if isinstance(said, str):
        return said
    return min(choices_of(target), key=lambda step: abs(float(step) - said))


# --- What people answered


_LINE = {
    "answer?": (None, str), "accept?": (None, [(str, float)]), "meta?": (None, dict), "label?": object,
    "options?": (None, [{"id": (str, float)}]), "_annotator_id?": (None, str), "_session_id?": (None, str),
    "_timestamp?": (None, float), "comment?": object,
}  # fmt: skip
ANSWERS = ("accept", "reject", "ignore")


def is_line(data: Any) -> bool:
    """Whether it may be a line of its tasks, or of its answers."""
    return isinstance(data, dict) and bool({"answer", "_task_hash", "_input_hash", "options", "meta"} & data.keys())


def row_ids(lines: Mapping[int, Any]) -> list[str]:
    """Of all tasks, answered or not. Raises ValueError for one that has none."""
    return [row_id(line) for line in lines.values()]


def row_id(line: Any) -> str:
    """Raises ValueError for a task that says none."""
    for place in (line.get("meta"), line) if isinstance(line, dict) else ():
        if isinstance(place, dict) and isinstance(place.get("id"), (str, int)) and str(place["id"]).strip():
            return str(place["id"])
    raise ValueError("nothing says which row it is: its meta has no id")


def answered(lines: Mapping[int, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each answer stands, and the answer; tasks that nobody answered are none. lines: by number. Raises
    ValueError."""
    for number, line in lines.items():
        if problem := misfit(line, _LINE, "the task"):
            raise ValueError(f"line {number}: {problem}")
        if line.get("answer") not in (None, *ANSWERS):
            raise ValueError(f"line {number}: answer '{line['answer']}' is not in {', '.join(ANSWERS)}")
        if line.get("answer"):
            yield f"line {number}", line


def asked(answers: Sequence[Mapping[str, Any]], known: Mapping[str, Target]) -> dict[str, Target]:
    """Those that are known; without any, the classes of a `label` that could be chosen, as nothing tells more."""
    classes = {_text(option["id"]): None for line in answers for option in line.get("options") or ()}
    classes |= {_text(name): None for line in answers for name in line.get("accept") or ()}
    classes |= {line["label"]: None for line in answers if isinstance(line.get("label"), str)}
    names = tuple(name for name in classes if name)
    return dict(known) or ({"label": Target("label", "class", names)} if names else {})


def line_of(line: Mapping[str, Any], targets: Mapping[str, Target]) -> dict[str, Any]:
    """An answer as `labels.jsonl` has it: what was accepted; of a rejected or ignored task nothing. Raises ValueError,
    in words, for what is none."""
    row, labels = row_id(line), dict[str, str | float]()
    chosen = [_text(name) for name in line.get("accept") or ()]
    if not chosen and isinstance(line.get("label"), str):  # one class was proposed, and found right
        chosen = [line["label"]]
    for name in chosen if line["answer"] == "accept" else ():
        target, value = _chosen(name, targets)
        put(labels, target.name, [value])
    person = line.get("_annotator_id") or line.get("_session_id") or TOOL
    at = utc(line["_timestamp"]) if line.get("_timestamp") else ""
    comment = line["comment"] if isinstance(line.get("comment"), str) else ""
    return {"key": _key(row, person, at, line), "id": row, "annotator": person, "labels": labels,
            "comment": comment[:LONGEST_COMMENT], "at": at, "tool": TOOL}  # fmt: skip


def _chosen(name: str, targets: Mapping[str, Target]) -> tuple[Target, str | float]:
    """The target that an option is of, and its value: `target=value`, or a value that is of one target alone."""
    first, equals, value = name.partition("=")
    if equals and first in targets and name not in targets[first].classes:
        return targets[first], _value(targets[first], value)
    meant = [target for target in targets.values() if name in target.classes]
    meant = meant or [target for target in targets.values() if target.kind == "number"]
    if len(meant) != 1:
        known = ", ".join(targets) or "none"
        raise ValueError(f"'{name}' was accepted, and nothing says of which target: there are {known}")
    return meant[0], _value(meant[0], name)


def _value(target: Target, text: str) -> str | float:
    if target.kind != "number":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' was accepted, and {target.name} is a number") from None


def _text(name: str | float) -> str:
    return name if isinstance(name, str) else f"{name:g}"


def _key(row: str, person: str, at: str, line: Mapping[str, Any]) -> str:
    """The same for the same answer in every export of its dataset, which has no key of its own."""
    told = [row, person, at, line["answer"], line.get("accept"), line.get("label"), line.get("_task_hash")]
    return f"{TOOL}-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]}"
