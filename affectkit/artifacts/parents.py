"""The models that a calibration or a fusion stands on: named in its description, found again, copied along.

`affectkit.json` says `"parents": [{"name", "path", "sha256"}]`: the path of the parent's `best_model/`, relative to the
folder that holds the description, and a digest of the files in it. `path` is null for a parent that is only a table:
such a chain cannot predict.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import atomic, sha256, write_json
from affectkit.artifacts.models import SPEC, best_model, read_spec, whole
from affectkit.errors import AffectkitError

PARENTS = "parents"


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a `best_model/`'s own files, wherever it lies; parents say theirs."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != SPEC):
        total.update(f"{path.name} {sha256(path)}\n".encode())
    spec = read_spec(folder)
    spec["parents"] = [{**parent, "path": ""} for parent in spec.get("parents", [])]
    total.update(repr(sorted(spec.items())).encode())
    return total.hexdigest()


def parent_of(name: str, model: Path | None, folder: Path) -> dict[str, Any]:
    """What the description in `folder` says of the parent `model`, a `best_model/`; None is a table alone."""
    if model is None:
        return {"name": name, "path": None, "sha256": None}
    return {
        "name": name,
        "path": Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix(),
        "sha256": model_digest(model),
    }


def parent_folder(folder: Path, parent: Mapping[str, Any]) -> Path:
    """Where a parent lies. Raises "missing", or "input" for a table alone and for a model that has changed since."""
    with whole(folder):
        name, path, known = parent["name"], parent["path"], parent["sha256"]
    if path is None:
        raise AffectkitError(
            "input", f"cannot predict: its source '{name}' is only a table", file=folder,
            remedy="fuse run folders of models instead",
        )  # fmt: skip
    place = Path(os.path.normpath(folder.resolve() / path))
    if not place.is_dir():
        raise AffectkitError(
            "missing", f"its parent '{name}' is not at {path}", file=folder,
            remedy="copy the parents too: affectkit select, or --bundle",
        )  # fmt: skip
    found = best_model(place)
    if model_digest(found) != known:
        raise AffectkitError(
            "input", f"its parent '{name}' has changed since", file=folder, remedy="run the command that made it again"
        )
    return found


def copy_model(model: Path, target: Path) -> None:
    """Copy a `best_model/` to `target`, its parents along into `target/parents/<name>`, and theirs into them.

    The copy predicts wherever it is moved to. A parent that is only a table stays one.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(p for p in model.iterdir() if p.is_file() and p.name != SPEC):
        with atomic(target / path.name) as temporary:
            shutil.copyfile(path, temporary)
    spec = read_spec(model)
    spec["parents"] = [_copied(model, target, parent) for parent in spec.get("parents", [])]
    write_json(target / SPEC, spec)


def _copied(model: Path, target: Path, parent: Mapping[str, Any]) -> dict[str, Any]:
    if parent["path"] is None:
        return dict(parent)
    place = target / PARENTS / parent["name"]
    copy_model(parent_folder(model, parent), place)
    return parent_of(parent["name"], place, target)
