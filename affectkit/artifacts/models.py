"""Model folders: a run folder whose `best_model/` predicts.

`best_model/affectkit.json` says what the model is; the weights lie beside it. `fit_rows.csv` (id, group, role), in the
run folder and in `best_model/`, says what it was fitted on, so that no command takes those rows for held-out ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import atomic, read_json, sha256, write_json, write_text
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import read_table, write_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target, are_targets
from affectkit.plain import is_file_name

if TYPE_CHECKING:
    import pandas as pd


BEST, SPEC, FIT_ROWS = "best_model", "affectkit.json", "fit_rows.csv"
LABEL_MAP, TRAIN_REPORT = "label_map.json", "train_report.json"
CALIBRATION, FUSION = "calibration.json", "fusion.json"  # of a `best_model/` that is one
BRANCHES = "branches"  # of a network that sees several pictures of a row: a folder for each


def best_model(path: Path) -> Path:
    """The folder that holds `affectkit.json`: `path` itself, or the `best_model/` in it.

    Raises "missing" or "unfinished".
    """
    path = Path(path)
    if not path.is_dir():
        raise AffectkitError("missing", "no such model folder", file=path)
    for folder in (path, path / BEST):
        if (folder / SPEC).exists():
            for file in folder.iterdir():
                if file.exists() and not file.is_file() and (file.suffix or not file.is_dir()):  # a pipe would not end
                    message = "is not a file"
                    raise AffectkitError("input", message, file=file, remedy="copy the model again")
            return trusted(folder, complete=True)
    trusted(path)
    raise AffectkitError("missing", f"holds no {SPEC}", file=path, remedy="name a folder that affectkit train wrote")


def run_of(model: Path) -> Path:
    """The run folder that a model's folder lies in; a model that was copied out of its run has none but itself."""
    return model.parent if model.name == BEST else model


@contextmanager
def whole(folder: Path, what: str = "model") -> Iterator[None]:
    """What a damaged, incomplete or tampered folder makes its readers raise, as one "input" error that names it."""
    from safetensors import SafetensorError

    try:
        yield
    except AffectkitError as error:
        if error.file:
            raise
        remedy = error.remedy or "upgrade affectkit, or train it again"
        raise AffectkitError("input", error.message, file=folder, row=error.row, remedy=remedy) from None
    except FileNotFoundError as error:
        name = Path(error.filename).name if error.filename else str(error)
        raise AffectkitError("missing", f"lacks a file: {name}", file=folder, remedy="copy all of it again") from None
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        remedy = "copy it again, or train it again"
        raise AffectkitError("input", f"is not a whole {what} ({why})", file=folder, remedy=remedy) from error


# --- What the files of a `best_model/` say


_PARENT = {"name": is_file_name, "path": (str, None), "sha256": (str, None)}
_FEATURES = {
    "encoder": (str, None), "options?": {str: object}, "feature_names?": ([str], None), "dim?": (int, None),
    "pooled?": bool, "sparse?": bool, "columns?": [{"name": str, "kind": str, "form": str}],
}  # fmt: skip
_SPEC = {
    "kind": str, "targets": are_targets, "options?": {str: object}, "features?": [_FEATURES], "needs?": [str],
    "dimensions?": [(int, [int])], "group?": (str, None), "groups_straddle?": bool, "normalize?": (str, None),
    "parents?": [_PARENT], "columns?": [str], "fit_rows?": {"rows": int, "sha256": str}, "on_trust?": [str],
    "sequence?": [str], "time?": str, "truth?": str, "windows?": {str: float},
    "together?": [str],
}  # fmt: skip
_PARAMETERS = {"options": {str: object}, "parameters": {str: object}}
_STAGES = {
    CALIBRATION: {"targets": {str: {"method": str, **_PARAMETERS}}},
    FUSION: {"sources": [is_file_name], "targets": {str: {"rule": str, **_PARAMETERS}}},
}


def read_spec(folder: Path) -> dict[str, Any]:
    """What `affectkit.json` says."""
    return read_json(folder / SPEC, what="model description", shape=_SPEC)


def read_stage(folder: Path, name: str) -> dict[str, Any]:
    """What `calibration.json` or `fusion.json` says."""
    return read_json(folder / name, what=name.removesuffix(".json"), shape=_STAGES[name])


def write_spec(folder: Path, spec: Mapping[str, Any], card: str) -> None:
    """Write the description, the label map and the model card of `best_model/`."""
    write_json(folder / SPEC, spec)
    if classes := label_map(spec):
        write_json(folder / LABEL_MAP, classes)
    write_text(folder / "README.md", card)


def label_map(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`classes` of the label, else of the first class target, and of all of them by `targets`; empty of numbers."""
    targets = [Target.from_json(target) for target in spec["targets"]]
    classes = {target.name: list(target.classes) for target in targets if target.kind != "number"}
    return {"classes": classes.get("label", next(iter(classes.values()))), "targets": classes} if classes else {}


def read_fit_rows(folder: Path) -> pd.DataFrame:
    """`id`, `group`, `role` as text: what the `best_model/` was fitted on, or the run whose model has gone.

    Raises "missing" or "input" for a model that no longer says it: its own training rows would pass for held-out ones.
    """
    is_model, path = (folder / SPEC).exists(), trusted(folder / FIT_ROWS)
    if not is_model and not path.exists():
        return no_fit_rows()
    known = read_spec(folder).get("fit_rows") if is_model else None
    remedy = f"copy {FIT_ROWS} again from where the model came from, or train it again"
    if not path.is_file():
        message = f"lacks {FIT_ROWS}: nothing says which rows the model was fitted on"
        raise AffectkitError("missing", message, file=folder, remedy=remedy)
    rows = read_table(path, required=["id", "group", "role"])
    if known and sha256(path) != known["sha256"]:
        count = f", and now of {len(rows)}" if len(rows) != known["rows"] else ""
        message = f"is not as the model was saved with it: a table of {known['rows']} rows{count}"
        raise AffectkitError("input", message, file=path, remedy=remedy)
    return rows


def no_fit_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=["id", "group", "role"])


def write_fit_rows(folders: Sequence[Path], rows: pd.DataFrame) -> dict[str, Any]:
    """Write the rows into each folder; returns what the description says of them, by which a cut table is known."""
    for folder in folders:
        write_table(folder / FIT_ROWS, rows)
    return {"rows": len(rows), "sha256": sha256(folders[0] / FIT_ROWS)}


# --- The models that a calibration or a fusion stands on: named in its description, found again, copied along
#
# `affectkit.json` says `"parents": [{"name", "path", "sha256"}]`: the path of the parent's `best_model/`, relative to
# the folder that holds the description, and a digest of the files in it. `path` is null for a parent that is only a
# table: such a chain cannot predict.


PARENTS = "parents"


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a `best_model/`'s own files, wherever it lies; parents say theirs."""
    total = hashlib.sha256()
    for path in _files(folder):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    spec = read_spec(folder)
    spec["parents"] = [{**parent, "path": ""} for parent in spec.get("parents", [])]
    total.update(repr(sorted(spec.items())).encode())
    return total.hexdigest()


def _files(model: Path) -> list[Path]:
    """The files of a `best_model/` itself, without its description and without those of its parents."""
    each = [path for path in model.iterdir() if path.name != SPEC] + list((model / BRANCHES).rglob("*"))
    return sorted(path for path in each if path.is_file())


def parent_of(name: str, model: Path | None, folder: Path) -> dict[str, Any]:
    """What the description in `folder` says of the parent `model`, a `best_model/`; None is a table alone."""
    if model is None:
        return {"name": name, "path": None, "sha256": None}
    path = Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    return {"name": name, "path": path, "sha256": model_digest(model)}


def parent_folder(folder: Path, parent: Mapping[str, Any]) -> Path:
    """Where a parent lies. Raises "missing", or "input" for a table alone and for a model that has changed since."""
    with whole(folder):
        name, path, known = parent["name"], parent["path"], parent["sha256"]
    if path is None:
        message = f"cannot predict: its source '{name}' is only a table"
        raise AffectkitError("input", message, file=folder, remedy="fuse run folders of models instead")
    place = Path(os.path.normpath(folder.resolve() / path))
    if not place.is_dir():
        remedy = "copy the parents too: affectkit select, or --bundle"
        raise AffectkitError("missing", f"its parent '{name}' is not at {path}", file=folder, remedy=remedy)
    model = best_model(place)
    if model_digest(model) != known:
        remedy = "run the command that made it again"
        raise AffectkitError("input", f"its parent '{name}' has changed since", file=folder, remedy=remedy)
    return model


def copy_model(model: Path, target: Path) -> None:
    """Copy a `best_model/` to `target`, its parents along into `target/parents/<name>`, and theirs into them.

    The copy predicts wherever it is moved to. A parent that is only a table stays one.
    """
    spec, parents = read_spec(model), []
    target.mkdir(parents=True, exist_ok=True)
    for path in _files(model):
        if model.resolve() not in path.resolve().parents:  # what it leads to may be nobody else's business
            message = "is a link that leads out of the model's folder"
            raise AffectkitError("input", message, file=path, remedy="put the file itself there, if it belongs to it")
        place = target / path.relative_to(model)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic(place) as temporary:
            shutil.copyfile(path, temporary)
    for parent in spec.get("parents", []):
        if parent["path"] is not None:
            place = target / PARENTS / parent["name"]
            copy_model(parent_folder(model, parent), place)
            parent = parent_of(parent["name"], place, target)
        parents.append(parent)
    write_json(target / SPEC, {**spec, "parents": parents})
