"""What an answer should have been, as people say: lines of `labels.jsonl`, which `prepare-manifest labels` reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from affectkit.artifacts.annotations import (
    LONGEST_COMMENT,
    LONGEST_KEY,
    LONGEST_NAME,
    Journal,
    now,
    open_journal,
    parse_annotation,
)
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.serving import uploads
from affectkit.serving.models import Served
from affectkit.web import Refused, refuse_foreign

logger = logging.getLogger(__name__)

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class Correction(BaseModel):
    """id: of the row, as a manifest calls it. labels: target -> class, or number. key: made by the client, another one
    for every correction, so that one which is sent again counts once."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    id: Name
    annotator: Name
    labels: Annotated[dict[str, float | str], Field(min_length=1)]
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""
    key: Annotated[str, Field(max_length=LONGEST_KEY)] = ""


class Feedback:
    """The journal that the service was told to write, if any."""

    def __init__(self, path: Path | None, models: Mapping[str, Served], *, guarded: bool = False) -> None:
        """guarded: who asks bears a token. Raises "usage" where two models differ in the classes, or the scale, of a
        target; and as `open_journal`."""
        self._open, self._guarded = ExitStack(), guarded
        self.journal: Journal | None = None
        if path is not None:
            self.journal = self._open.enter_context(open_journal(path, list(_targets(models).values())))

    @property
    def configured(self) -> bool:
        return self.journal is not None

    async def take(self, request: Request) -> dict[str, Any]:
        """Write what the request says, before it is answered. Raises `Refused`; 507, with nothing written, where the
        disk takes no more."""
        if self.journal is None:
            remedy = "start it with --feedback, or with AFFECTKIT_SERVE_FEEDBACK"
            raise Refused(501, "the service was started without a file for feedback", details={"remedy": remedy})
        refuse_foreign(request)
        if not self._guarded and not _is_numeric(request.headers.get("host", "")):
            what = "without a token corrections are taken at an IP address or localhost alone"
            raise Refused(421, what, details={"remedy": "start it with AFFECTKIT_SERVE_TOKEN"})
        told = (await uploads.read_json(request, Correction)).model_dump()
        told["key"] = told["key"] or str(uuid4())
        try:
            given = parse_annotation({**told, "at": now(), "tool": "serve"}, self.journal.targets)
            new = await asyncio.to_thread(self.journal.append, given)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        except OSError as error:
            logger.error("%s: %s", self.journal.path, error.strerror)
            raise Refused(507, "the feedback could not be written", retry_after=10) from None
        return {"key": given.key, "new": new}

    def stop(self) -> None:
        self._open.close()


def _is_numeric(host: str) -> bool:
    """Whether a Host header has no name that another site's owner could point at this machine (DNS rebinding)."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return name == "localhost" or bool(ip_address(name.strip("[]")))
    except ValueError:
        return False


def _targets(models: Mapping[str, Served]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for served in models.values():
        for target in served.targets:
            if targets.setdefault(target.name, target) != target:
                what = f"--feedback: the models differ in what {target.name} is, as {served.name} does"
                raise AffectkitError("usage", what, remedy="serve them apart, each with a file of its own")
    return targets
