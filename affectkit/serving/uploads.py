"""Bodies of requests: forms with files, streamed to the disk, and JSON. No file gets the name it comes with."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from affectkit.plain import parse_json
from affectkit.web import JSON, Refused, content_type

T = TypeVar("T", bound=BaseModel)
FORM = "multipart/form-data"
_MOST_FIELDS = 256


class _Parser(MultiPartParser):
    spool_max_size = 1 << 16  # bytes in memory of each file


@dataclass
class UploadForm:
    """files: where each lies, in order. names: what they are called, for the log, if it is asked for. fields: what was
    said of each name, in order."""

    files: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def file(self) -> Path:
        """Raises `Refused` where there is not one."""
        if len(self.files) != 1:
            raise Refused(422, f"the form has {len(self.files)} files, not 1", code="validation")
        return self.files[0]

    def checked(self, shape: type[T], many: Sequence[str] = ()) -> T:
        """The fields that `shape` has. An empty one was not filled in, but for a text, which may be empty: nothing was
        said. Raises `Refused` for one that is said twice and is not in `many`, and for columns that are no JSON."""
        values: dict[str, Any] = {name: self.fields[name] for name in many if name in self.fields}
        for name in shape.model_fields.keys() & self.fields.keys() - set(many):
            [value, *others] = self.fields[name]
            if others:
                raise Refused(422, f"{name} stands twice", code="validation")
            if value or name == "text":
                values[name] = value
        if "columns" in values:
            values["columns"] = _json(values["columns"], "columns is")
        return checked(shape, values)


async def read_form(request: Request, folder: Path, most_files: int, most_characters: int) -> UploadForm:
    """Write the files of a form into `folder`, as 0, 1, ... Raises `Refused` for what is no form, or is too much."""
    if content_type(request) != FORM:
        raise Refused(415, f"the body is no {FORM}")
    how: dict[str, Any] = {"max_files": most_files, "max_fields": _MOST_FIELDS, "max_part_size": 4 * most_characters}
    try:
        data = await _Parser(request.headers, request.stream(), **how).parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith(("Too many", "Part exceeded")) else 400
        raise Refused(status, f"the form cannot be read: {error.message.rstrip('.')}") from None
    form = UploadForm()
    try:
        for name, part in data.multi_items():
            if isinstance(part, UploadFile):
                path = folder / str(len(form.files))
                await asyncio.to_thread(_write, part, path)
                form.files.append(path)
                form.names.append(part.filename or "")
            else:
                form.fields[name].append(part)
    finally:
        await data.close()
    return form


def _write(part: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file, 1 << 18)


async def read_json(request: Request, shape: type[T]) -> T:
    """Raises `Refused` for what is no JSON, or of another shape."""
    if content_type(request) not in (JSON, ""):
        raise Refused(415, f"the body is no {JSON}")
    return checked(shape, _json(await request.body(), "the body is"))


def _json(text: str | bytes, what: str) -> Any:
    try:
        return parse_json(text if isinstance(text, str) else text.decode())
    except ValueError as error:
        raise Refused(400, f"{what} no JSON: {type(error).__name__}") from None


def checked(shape: type[T], data: Any) -> T:
    """Raises `Refused` 422 saying which fields are wrong, and why; not what they hold."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        wrong = [{"field": ".".join(map(str, e["loc"])), "why": e["msg"]} for e in error.errors(include_url=False)]
        first = wrong[0]
        message = f"{first['field'] or 'the body'}: {first['why']}"
        raise Refused(422, message, code="validation", details={"fields": wrong[:20]}) from None
