"""A queue in the format that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from affectkit.artifacts.exchange import label_studio, prodigy
from affectkit.artifacts.tables import write_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["csv", "label-studio", "prodigy"]
BY_ENDING: dict[str, Format] = {".json": label_studio.TOOL, ".jsonl": prodigy.TOOL}


def format_of(path: Path, asked: Format | None, *, shown: bool, document_root: Path | None) -> Format:
    """The format that is asked for, else that of the file's ending. shown, document_root: as `write_queue` takes them.
    Raises "usage" for what the format does not have."""
    form = asked or BY_ENDING.get(path.suffix.lower(), "csv")
    if document_root and form != label_studio.TOOL:
        raise AffectkitError("usage", f"--document-root is of label-studio, not of {form}", remedy="leave it out")
    if shown and form == "csv":
        what = "--show-predictions is of label-studio and prodigy: a CSV has them in any case"
        raise AffectkitError("usage", what, remedy="pass it to affectkit label instead")
    if path in files_of(path, form)[1:]:
        what = "tasks of Label Studio are JSON, and the .xml beside them is their project's configuration"
        raise AffectkitError("usage", what, file=path, remedy="name a .json")
    return form


def files_of(path: Path, form: Format) -> list[Path]:
    """All that is written for a queue at `path`."""
    return [path, *([label_studio.configuration_of(path)] if form == label_studio.TOOL else [])]


def write_queue(
    path: Path,
    form: Format,
    queue: pd.DataFrame,
    targets: Sequence[Target],
    *,
    shown: bool = False,
    model_version: str = "",
    document_root: Path | None = None,
) -> list[str]:
    """Write a table of rows to be labelled; what to do with it in the tool, in words.

    shown: whether people see what a model says of the rows. model_version: what it is called. document_root: above all
    media, where Label Studio serves local files. Raises "input" naming the row that the tool cannot show.
    """
    if form == "csv":
        write_table(path, queue)
        return []
    if form == prodigy.TOOL:
        return prodigy.write_tasks(path, queue, targets, blind=not shown)
    return label_studio.write_tasks(
        path, queue, targets, blind=not shown, model_version=model_version, document_root=document_root
    )
