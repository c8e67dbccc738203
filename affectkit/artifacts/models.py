"""Model folders: a run folder whose `best_model/` predicts.

`best_model/affectkit.json` says what the model is; the weights lie beside it. `fit_rows.csv` (id, group, role), in the
run folder and in `best_model/`, says what it was fitted on, so that no command takes those rows for held-out ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.files import read_json, write_json, write_text
from affectkit.artifacts.records import require_finished
from affectkit.artifacts.tables import read_table, write_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target

if TYPE_CHECKING:
    import pandas as pd

BEST, SPEC, FIT_ROWS = "best_model", "affectkit.json", "fit_rows.csv"
CALIBRATION, FUSION = "calibration.json", "fusion.json"  # of a `best_model/` that is one


def best_model(path: Path) -> Path:
    """The folder that holds `affectkit.json`: `path` itself, or the `best_model/` in it.

    Raises "missing" or "unfinished".
    """
    path = Path(path)
    if not path.is_dir():
        raise AffectkitError("missing", "no such model folder", file=path)
    require_finished(path)
    for folder in (path, path / BEST):
        if (folder / SPEC).exists():
            return folder
    raise AffectkitError("missing", f"holds no {SPEC}", file=path, remedy="name a folder that affectkit train wrote")


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """What a damaged, incomplete or tampered folder makes its readers raise, as one "input" error that names it."""
    from safetensors import SafetensorError

    try:
        yield
    except AffectkitError as error:
        if error.file:
            raise
        raise AffectkitError(
            "input", error.message, file=folder, remedy="upgrade affectkit, or train it again"
        ) from None
    except FileNotFoundError as error:
        name = Path(error.filename).name if error.filename else str(error)
        raise AffectkitError("missing", f"lacks a file: {name}", file=folder, remedy="copy all of it again") from None
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        remedy = "copy it again, or train it again"
        raise AffectkitError("input", f"is not a whole model ({why})", file=folder, remedy=remedy) from error


def read_spec(folder: Path) -> dict[str, Any]:
    return read_json(folder / SPEC, what="model description")


def write_spec(folder: Path, spec: Mapping[str, Any], card: str) -> None:
    """Write the description, the label map and the model card of `best_model/`."""
    write_json(folder / SPEC, dict(spec))
    targets = [Target.from_json(t) for t in spec["targets"]]
    classes = {t.name: list(t.classes) for t in targets if t.kind != "number"}
    if classes:
        write_json(
            folder / "label_map.json",
            {"classes": classes.get("label", next(iter(classes.values()))), "targets": classes},
        )
    write_text(folder / "README.md", card)


def read_fit_rows(folder: Path) -> pd.DataFrame:
    """`id`, `group`, `role` as text; no rows where a folder does not say."""
    import pandas as pd

    path = folder / FIT_ROWS
    return (
        read_table(path, required=["id", "group", "role"])
        if path.exists()
        else pd.DataFrame(columns=["id", "group", "role"])
    )


def write_fit_rows(folders: Sequence[Path], rows: pd.DataFrame) -> None:
    for folder in folders:
        write_table(folder / FIT_ROWS, rows)
