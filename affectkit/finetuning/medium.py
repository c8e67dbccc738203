"""What differs between media when a network is fine-tuned on them: how rows are read, and which network reads them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.finetuning.passes import ONCE, Passes

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.manifest import Manifest
    from affectkit.encoders._encoder import Item
    from affectkit.labels import Target
    from affectkit.training.problem import Examples

logger = logging.getLogger(__name__)

Where = Callable[[int], dict[str, Any]]


class Medium(Protocol):
    """A kind of media as it is fine-tuned on: a dataclass, `build` of a file in `media/`, whose fields are its options.

    reads: "audio", "images", ..., as `reads_of` says it of its checkpoints; where what a row has is called otherwise,
    the class says in `checkpoints` what theirs is. frozen: names of the network's parts that no stage trains.
    batch_size, batch_seconds: of a batch that is trained on. answered_at_once: rows of a batch that is only answered,
    and what they may cost together, None where they cost the same. encodes_once: the network has an `encode`, what
    comes before its head, and that makes the same of a row in every epoch while frozen. features: what that is, where
    it is known. passes: over each row that is to be answered.
    """

    @property
    def checkpoint(self) -> str: ...
    @property
    def augmentation(self) -> Any: ...
    @property
    def reads(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def batch_seconds(self) -> float | None: ...
    @property
    def features(self) -> Path | None: ...
    @property
    def passes(self) -> Passes: ...
    @property
    def answered_at_once(self) -> tuple[int, float | None]: ...
    @property
    def encodes_once(self) -> bool: ...
    @property
    def frozen(self) -> frozenset[str]: ...

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        """The rows of a manifest, in order."""

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        """Why rows cannot be read, by position, as far as headers and columns tell; nothing is decoded."""

    def decode(self, item: Item) -> Any:
        """A row's medium. Raises for one that cannot be read."""

    def build(self, targets: Sequence[Target], seed: int) -> Any:
        """The checkpoint's network with a new head."""

    def load(self, folder: Path, targets: Sequence[Target]) -> Any:
        """What the network's `save` wrote."""

    def wrapped(self, network: Any, passes: Passes = ONCE) -> Any:
        """What the training loop is given: the network, or what cuts and joins for it, or answers in several passes.

        Raises "usage" for passes that the medium does not have.
        """

    def examples(self, *rows: Any, **how: Any) -> Examples:
        """Rows to train on, or to be answered: the fields of `MediumExamples` after the medium."""

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        """How much there is to go through in an epoch, and its unit: (3.2, "hours of audio")."""

    def spec(self) -> dict[str, Any]:
        """What `affectkit.json` says of the options that answers depend on; `head` among them, how it is called."""


@dataclass(frozen=True)
class MediumExamples:
    """Rows to train on, or to be answered.

    where: `file` and `row` of one, for errors. train: whether they are augmented. passes: over each row. failed: where
    given, it takes the reason for which a row cannot be read, by position, and zeros stand in; else such a row raises.
    """

    medium: Any
    items: Sequence[Item]
    truth: Mapping[str, np.ndarray]
    network: Any
    where: Where
    train: bool = False
    passes: Passes = ONCE
    failed: dict[int, str] | None = None

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.items]

    def read(self, position: int, decode: Callable[[Item], np.ndarray], *shape: int) -> np.ndarray:
        """What `decode` makes of a row; zeros of that shape where it cannot be read, and that may be."""
        import numpy as np

        try:
            return decode(self.items[position])
        except AffectkitError as error:
            if self.failed is None:
                raise AffectkitError(error.code, error.reason, **self.where(position), remedy=error.remedy) from None
            self.failed[position] = error.reason
            return np.zeros(shape, np.float32)


def choose_medium(checkpoint: str, revision: str, options: Mapping[str, Any]) -> Medium:
    """What the checkpoint reads decides; of several media that read the same, the first that has most of the options.

    Raises "usage" for an option that the medium lacks, or where nothing is fine-tuned on it, and as `reads_of` does.
    """
    from affectkit.models.images import reads_of

    reads = reads_of(checkpoint, revision=revision)
    media = {name: build for name, build in _media().items() if getattr(build, "checkpoints", build.reads) == reads}
    if not media:
        remedy = f"use a network for {', '.join(_media())}"
        raise AffectkitError("usage", f"{checkpoint} reads {reads}, on which nothing is fine-tuned", remedy=remedy)
    name = max(media, key=lambda name: len(options.keys() & registry.options(media[name]).keys()))
    registry.check_options("media", name, media[name], options)
    return media[name](checkpoint, revision, **options)


def medium_of(spec: Mapping[str, Any]) -> Medium:
    """The medium that a record (`affectkit.json`) describes. Raises KeyError or ValueError for what it cannot be."""
    reads = {build.reads: build for build in reversed(_media().values())}
    return (_media()[spec["medium"]] if "medium" in spec else reads[spec["reads"]]).from_spec(spec)


def _media() -> dict[str, Any]:
    return {name: registry.load("media", name).build for name in registry.names("media")}


def headers_of(manifest: Manifest, read: Callable[[Sequence[Path]], Iterable[Any]], column: str = "path") -> list[Any]:
    """Each row's header, or the error in its place; a file that many rows are a part of is looked at once.

    read: of files, in order.
    """
    paths = [path or Path() for path in manifest.media(column)]
    each = list(dict.fromkeys(paths))
    headers = dict(zip(each, read(each), strict=True))
    return [headers[path] for path in paths]


# --- Which media of a manifest can be read, before any time is spent on them


def readable(
    manifest: Manifest, medium: Medium, folder: Path, *, on_error: str, num_workers: int = 0, is_main: bool = True
) -> Manifest:
    """The manifest, once it is known that its media can be read: an hour of training does not end on a missing file.

    on_error: "stop" reads all headers and raises for the first bad row, named. "skip" decodes every file once, and
    leaves those that fail out; they are listed in `folder`/skipped.csv.
    """
    from affectkit.artifacts.features import SKIPPED

    if on_error == "skip":
        bad = _undecodable(manifest, medium, num_workers)
    else:
        bad = medium.unfit(manifest, num_workers=num_workers)
    if not bad:
        return manifest
    first = min(bad)
    if on_error == "stop" or len(bad) == len(manifest.rows):
        remedy = "; ".join(filter(None, [bad[first].remedy, "or pass --on-error skip" if on_error == "stop" else ""]))
        raise AffectkitError(bad[first].code, bad[first].reason, **manifest.where(first), remedy=remedy)
    logger.warning("%d of %d rows cannot be read and are skipped: see %s", len(bad), len(manifest.rows), SKIPPED)
    if is_main:
        import pandas as pd

        from affectkit.artifacts.tables import write_table

        rows = [{"id": manifest.rows["id"].iloc[place], "reason": error.reason} for place, error in bad.items()]
        write_table(folder / SKIPPED, pd.DataFrame(rows))
    return manifest.take([place not in bad for place in range(len(manifest.rows))])


def _undecodable(manifest: Manifest, medium: Medium, num_workers: int) -> dict[int, AffectkitError]:
    from affectkit.media.files import mapped, or_error

    decoded = mapped(partial(or_error, medium.decode), medium.items(manifest, num_workers=num_workers), num_workers)
    return {place: error for place, error in enumerate(decoded) if isinstance(error, AffectkitError)}
