"""What an error of the library is to a client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.web import Refused

_STATUSES = {"usage": 422, "input": 422, "missing": 422, "busy": 429, "environment": 503}


def of_affectkit(error: AffectkitError, folder: Path | None = None) -> Refused:
    """An error of the library. folder: of the request, whose files are named by their position alone."""
    details: dict[str, Any] = {}
    texts = [error.message, error.remedy or ""]
    if folder is not None:
        upload = re.compile(rf"(?:file:)?{re.escape(str(folder))}/(\d+)[\w.-]*")
        place = upload.search(f"{error.file} {texts[0]} {texts[1]}")
        if place:
            details["file"] = int(place[1])
        texts = [upload.sub("the file", text).removeprefix("the file: ") for text in texts]
    if texts[1]:
        details["remedy"] = texts[1]
    return Refused(_STATUSES.get(error.code, 500), texts[0], code=error.code, details=details)
