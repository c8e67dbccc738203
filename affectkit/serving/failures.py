"""Every refusal of the service: one exception, one body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.errors import AffectkitError

# What a status means, where whoever refuses has no word of its own.
CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "request_timeout", 411: "length_required", 413: "too_large", 415: "unsupported_media_type", 422: "input",
    429: "over_capacity", 500: "internal", 501: "not_configured", 503: "unavailable", 504: "timeout",
    507: "not_written",
}  # fmt: skip
_STATUSES = {"usage": 422, "input": 422, "missing": 422, "busy": 429, "environment": 503}


class Refused(Exception):
    """A request that is not answered. details: for programs; retry_after: seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code or CODES.get(status, "error")
        self.details, self.retry_after = dict(details or {}), retry_after

    @property
    def headers(self) -> dict[str, str]:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        return headers

    def body(self, request_id: str) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message, "request_id": request_id, "details": self.details}
        return {"error": error}


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
