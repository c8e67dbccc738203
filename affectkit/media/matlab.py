"""Tables of numbers in MATLAB's files, up to version 7.2: one variable is read, and nothing but numbers is taken."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.files import check_file

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_matrix(path: Path, variable: str) -> np.ndarray:
    """[T, D] float64 of a file's `variable`.

    Raises as `check_file` does; "input" for what is no MATLAB file, or one of version 7.3 (HDF5), a variable that is
    not there, and one that holds anything but a table of numbers: cells, structures, objects and functions are not
    looked into.
    """
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    check_file(path)
    with open(path, "rb") as handle:
        head = handle.read(520)
    if _HDF5 in (head[:8], head[512:]) or b"MATLAB 7.3" in head[:116]:
        remedy = f"write it again in MATLAB: save(NAME, '{variable}', '-v7')"
        raise AffectkitError(
            "input", "is a MATLAB file of version 7.3, which is not read here", file=path, remedy=remedy
        )
    try:
        known = {name: kind for name, _, kind in whosmat(path)}
        usable = variable in known and known[variable] not in ("cell", "struct", "object", "function", "opaque")
        data = loadmat(path, variable_names=[variable]).get(variable) if usable else None
    except (
        MatReadError,
        zlib.error,
        ValueError,
        TypeError,
        LookupError,
        OSError,
        EOFError,
        MemoryError,
        RuntimeError,
    ) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AffectkitError("input", f"is no MATLAB file: {why}", file=path, remedy="copy it again") from None
    if variable not in known:
        there = ", ".join(known) or "nothing"
        raise AffectkitError("input", f"has no variable '{variable}', but {there}", file=path)
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "iufb" or data.ndim != 2:
        what = f"'{variable}' is no table of numbers but {known[variable]}"
        raise AffectkitError("input", what, file=path, remedy="give a row per frame and a column per measure")
    return data.astype(np.float64)
