"""Which media of a manifest can be read, before any time is spent on them."""

from __future__ import annotations

import logging
from pathlib import Path

from affectkit.artifacts.features import SKIPPED
from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.tables import write_table
from affectkit.encoders._encoder import Item
from affectkit.errors import AffectkitError
from affectkit.finetuning._medium import Medium, reason
from affectkit.media import mapped

logger = logging.getLogger(__name__)


def readable(
    manifest: Manifest, medium: Medium, folder: Path, *, on_error: str, num_workers: int = 0, is_main: bool = True
) -> Manifest:
    """The manifest, once it is known that its media can be read: an hour of training does not end on a missing file.

    on_error: "stop" reads all headers and raises for the first bad row, named. "skip" decodes every file once, and
    leaves those that fail out; they are listed in `folder`/skipped.csv.
    """
    if on_error == "skip":
        bad = _undecodable(manifest, medium, num_workers)
    else:
        bad = medium.unfit(manifest, num_workers=num_workers)
    if not bad:
        return manifest
    first = min(bad)
    if on_error == "stop" or len(bad) == len(manifest.rows):
        remedy = "; ".join(filter(None, [bad[first].remedy, "or pass --on-error skip" if on_error == "stop" else ""]))
        place = {} if manifest.bare else manifest.where(first)
        raise AffectkitError(bad[first].code, reason(bad[first]), **place, remedy=remedy)
    logger.warning("%d of %d rows cannot be read and are skipped: see %s", len(bad), len(manifest.rows), SKIPPED)
    if is_main:
        import pandas as pd

        rows = [{"id": manifest.rows["id"].iloc[place], "reason": reason(error)} for place, error in bad.items()]
        write_table(folder / SKIPPED, pd.DataFrame(rows))
    return manifest.take([place not in bad for place in range(len(manifest.rows))])


def _undecodable(manifest: Manifest, medium: Medium, num_workers: int) -> dict[int, AffectkitError]:
    def attempt(item: Item) -> AffectkitError | None:
        try:
            medium.decode(item)
        except AffectkitError as error:
            error.__traceback__ = None  # it would keep what was decoded alive
            return error
        return None

    found = mapped(attempt, medium.items(manifest, num_workers=num_workers), num_workers)
    return {place: error for place, error in enumerate(found) if error is not None}
