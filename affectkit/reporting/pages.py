"""Who draws the page of a folder, by the command that wrote it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    from affectkit.reporting.page import Page

# A file of `reporting/` each.
PAGES = {
    "train": "trained",
    "finetune": "trained",
    "import-model": "trained",
    "fuse": "fused",
    "calibrate": "calibrated",
    "stabilize": "stabilized",
    "transcribe": "transcribed",
    "aggregate": "aggregated",
    "alert": "alerted",
    "ablate": "ablated",
    "learning-curve": "learned",
    "evaluate": "evaluated",
    "select": "selected",
    "report": "compared",
}
# Those whose figures are of a history or of judged rows alone, which `plots` draws from the files.
FROM_FILES = ("train", "finetune", "import-model", "evaluate", "aggregate")


def page_of(folder: Path, command: str) -> Page:
    """Raises "input" for a folder of a command without a page, and for what is itself a page drawn again."""
    from affectkit.artifacts.reports import COMPARISON

    if command not in PAGES:
        remedy = f"name a folder of {', '.join(PAGES)}"
        raise AffectkitError("input", f"affectkit {command} leaves no page", file=folder, remedy=remedy)
    if command == "report" and not (folder / COMPARISON).exists():
        what = "is itself the page of one run, drawn again"
        raise AffectkitError("input", what, file=folder, remedy="name the run that it is of")
    try:
        page: Page = import_module(f"affectkit.reporting.{PAGES[command]}").draw(folder)
    except KeyError as missing:
        what = f"was written by an earlier affectkit: {missing} is not in its files"
        raise AffectkitError("input", what, file=folder, remedy="run its command again") from None
    return page
