"""Experts by what they read: which function brings one in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from affectkit import registry
from affectkit.artifacts.manifest import Manifest
from affectkit.experts._expert import Faces
from affectkit.experts._texts import Texts
from affectkit.inference.faces import import_faces
from affectkit.inference.model import Imported, Work
from affectkit.inference.texts import import_texts

_IMPORTS: dict[type, Callable[..., Imported]] = {Faces: import_faces, Texts: import_texts}


def split_options(expert: str, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What the expert reads, with those of the options that all such experts share; and the other options."""
    medium = getattr(registry.load("experts", expert, foreign=True), "medium", Faces)
    shared = registry.options(medium)
    others = {name: value for name, value in options.items() if name not in shared}
    return medium(**{name: value for name, value in options.items() if name in shared}), others


def import_expert(expert: str, medium: Any, options: Mapping[str, Any], manifest: Manifest, work: Work) -> Imported:
    """medium, options: as `split_options` gives them. Rows of the train split are left out: nothing is fitted on them.

    Raises as the expert does, and "usage" for an option that it does not have.
    """
    return _IMPORTS[type(medium)](expert, options, medium, _to_answer(manifest), work)


def _to_answer(manifest: Manifest) -> Manifest:
    if "split" not in manifest.rows:
        return manifest
    keep = (manifest.rows["split"] != "train").to_numpy()
    return manifest.take(keep) if keep.any() else manifest
