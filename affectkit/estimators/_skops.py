"""scikit-learn estimators on disk, without pickle and with the same bytes each time."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affectkit.artifacts.files import write_bytes
from affectkit.errors import AffectkitError


def save(estimator: Any, path: Path) -> None:
    """Write with skops, then put memory addresses and times out of the archive: equal fits give equal files."""
    import skops.io

    write_bytes(path, _canonical(skops.io.dumps(estimator)))


def load(path: Path, *, trusted: Sequence[str] = ()) -> Any:
    """Read with skops. trusted: types beyond those that skops trusts; the caller must check what is in them.

    Raises "input" for a file that holds any other type.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        message = str(error).splitlines()[0].rstrip(".")
        raise AffectkitError("input", message[:1].lower() + message[1:], file=path) from None
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise AffectkitError("input", f"not a skops file: {error}", file=path) from None


def _canonical(data: bytes) -> bytes:
    numbers: dict[str, int] = {}

    def number(key: Any) -> int:
        return numbers.setdefault(str(key), len(numbers))

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = {key: rename(item) for key, item in value.items()}
        if "__id__" in renamed:
            renamed["__id__"] = number(value["__id__"])
        if isinstance(renamed.get("file"), str):
            stem, dot, ending = renamed["file"].partition(".")
            renamed["file"] = f"{number(stem)}{dot}{ending}"
        return renamed

    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        schema = rename(json.loads(old.read("schema.json")))
        members = {}
        for name in old.namelist():
            if name != "schema.json":
                stem, dot, ending = name.partition(".")
                members[f"{number(stem)}{dot}{ending}"] = old.read(name)
        members["schema.json"] = json.dumps(schema, indent=1).encode()
        for name in sorted(members):
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()
