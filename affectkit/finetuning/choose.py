"""Which medium a checkpoint reads, with the options that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from affectkit.errors import AffectkitError
from affectkit.finetuning.media.images import Images
from affectkit.finetuning.media.speech import Speech
from affectkit.finetuning.medium import Medium
from affectkit.media import augment, augment_images
from affectkit.models.reads import reads_of

BATCH = {"audio": 4, "images": 32}  # rows, where the command line says nothing
_SHARED = ("checkpoint", "revision", "dropout", "augmentation")
_MEDIA: dict[str, type[Speech] | type[Images]] = {"audio": Speech, "images": Images}
# Options of one medium that it does not keep, and their defaults.
_ONLY: dict[str, dict[str, Any]] = {
    "audio": {"batch_seconds": None},
    "images": {"features": None, "tta": 1, "mc_dropout": 0},
}


def choose_medium(checkpoint: str, options: Mapping[str, Any]) -> Medium:
    """What the checkpoint reads decides. options: as the command line has them, of all media.

    Raises "usage" for an option of another medium, and as `reads_of` does.
    """
    reads = reads_of(checkpoint, revision=options["revision"])
    for other in _MEDIA.keys() - {reads}:
        _refuse(other, checkpoint, options)
    kind = _MEDIA[reads]
    own = {name: options[name] for name in _own(kind)}
    parse: Any = augment.parse if reads == "audio" else augment_images.parse
    shared = {"revision": options["revision"], "dropout": options["dropout"]}
    return kind(checkpoint, **shared, augmentation=parse(options["augment"]), **own)


def _own(kind: type[Speech] | type[Images]) -> dict[str, Any]:
    """The options that it alone has, and their defaults."""
    return {field.name: field.default for field in fields(kind) if field.name not in _SHARED}


def _refuse(other: str, checkpoint: str, options: Mapping[str, Any]) -> None:
    for name, default in {**_own(_MEDIA[other]), **_ONLY[other]}.items():
        if options[name] != default:
            flag = "--" + name.replace("_", "-")
            what = "speech" if other == "audio" else "images"
            raise AffectkitError(
                "usage", f"{flag} is of {what}, which {checkpoint} does not read", remedy="leave it out"
            )
