"""scikit-learn estimators on disk, without pickle and with the same bytes each time."""

import io
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np

from affectkit.artifacts.arrays import check_numbers, checked
from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.errors import AffectkitError

T = TypeVar("T")


def save(estimator: Any, path: Path) -> None:
    """Write with skops, then put memory addresses and times out of the archive: equal fits give equal files."""
    write_bytes(path, _canonical(_skops().dumps(estimator)))


def _skops() -> Any:
    """skops.io, which on import loads all of scikit-learn to trust its estimators, and torch with it: 2.4 s, where a
    small table is fitted in one. Trusted here is what `load` is told."""
    import sklearn.utils

    with patch.object(sklearn.utils, "all_estimators", list):
        import skops.io
    return skops.io


LARGEST_FIT = 1 << 31  # bytes, unpacked


def load(path: Path, *, trusted: Sequence[str] = ()) -> Any:
    """Read with skops. trusted: types of scikit-learn and SciPy; the caller must check what is in them.

    Raises "input" for a file that holds any other type, or that is damaged.
    """
    skops = _skops()
    from skops.io.exceptions import UntrustedTypesFoundException

    remedy = "copy it again, or train the model again"
    try:
        _check_archive(path)
        return skops.load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        message = str(error).splitlines()[0].rstrip(".")
        raise AffectkitError("input", message[:1].lower() + message[1:], file=path) from None
    except FileNotFoundError:
        raise
    except Exception as error:  # of zip, zlib, JSON, NumPy, and whatever constructor the file made skops call
        why = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
        raise AffectkitError("input", f"not a skops file: {why}", file=path, remedy=remedy) from None


def _check_archive(path: Path) -> None:
    """Raises unless every member is whole, and every array as large as its header says: NumPy takes memory for what a
    header promises."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_FIT:
            raise ValueError(f"it unpacks to more than {LARGEST_FIT >> 30} GiB")
        for name in archive.namelist():
            content = archive.read(name)  # its checksum with it
            if name.endswith(".npy"):
                _check_npy(name, content)


def _check_npy(name: str, content: bytes) -> None:
    handle = io.BytesIO(content)
    version = np.lib.format.read_magic(handle)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or promised != len(content) - handle.tell():
        raise ValueError(f"{name} is not the array that its header promises")


def save_fit(fitted: Any, stem: Path) -> None:
    """Write `<stem>.skops`, the fit's `model`, and `<stem>.json`, its other fields."""
    save(fitted.model, stem.with_name(stem.name + ".skops"))
    facts = {name: value for name, value in vars(fitted).items() if name != "model"}
    write_json(stem.with_name(stem.name + ".json"), facts)


def load_fit(kind: Callable[..., T], stem: Path, *, trusted: Sequence[str] = ()) -> T:
    """What `save_fit` wrote of a fit of that kind; raises as `load` does."""
    facts = read_json(stem.with_name(stem.name + ".json"), what="fit")
    facts.pop("schema", None)
    check_numbers("fit", facts)
    return kind(load(stem.with_name(stem.name + ".skops"), trusted=trusted), **facts)


def _canonical(data: bytes) -> bytes:
    numbers: dict[str, int] = {}

    def number(key: Any) -> int:
        return numbers.setdefault(str(key), len(numbers))

    def renamed(file: str) -> str:
        stem, dot, ending = file.partition(".")
        return f"{number(stem)}{dot}{ending}"

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        fields = {key: plain(item) for key, item in value.items()}
        if "__id__" in fields:
            fields["__id__"] = number(value["__id__"])
        if isinstance(fields.get("file"), str):
            fields["file"] = renamed(fields["file"])
        return fields

    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        schema = plain(json.loads(old.read("schema.json")))
        members = {renamed(name): old.read(name) for name in old.namelist() if name != "schema.json"}
        members["schema.json"] = json.dumps(schema, indent=1).encode()
        for name in sorted(members):
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


def count_classes(model: Any, classes: int) -> int:
    """How many of the target's `classes` a scikit-learn classifier answers for. Raises ValueError unless its list of
    them, indices, rises."""
    order = checked("classes", model.classes_, [None], dtype="int64", low=0, high=classes - 1)
    if (order[1:] <= order[:-1]).any():
        raise ValueError("its classes do not rise")
    return len(order)
