"""MATLAB's files up to version 7.2, by SciPy: one matrix of numbers, or whatever else a corpus keeps in one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.files import check_file

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NO_NUMBERS = ("cell", "struct", "object", "function", "opaque")


@contextmanager
def as_matlab(path: Path, remedy: str = "copy it again") -> Iterator[None]:
    """Where SciPy reads a file: raises "input" for what is no MATLAB file, or a damaged one."""
    from scipy.io.matlab import MatReadError

    damaged = (zlib.error, ValueError, TypeError, LookupError, OSError, EOFError, MemoryError, RuntimeError)
    try:
        yield
    except (MatReadError, *damaged) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AffectkitError("input", f"is no MATLAB file: {why}", file=path, remedy=remedy) from None


def read_matrix(path: Path, variable: str, *, or_only: bool = False) -> np.ndarray:
    """[T, D] float64 of a file's `variable`. or_only: or of the only one that it holds, whatever it is called.

    Raises as `check_file` does; "input" for what is no MATLAB file, or one of version 7.3 (HDF5), a variable that is
    not there, and one that holds anything but a table of numbers: cells, structures, objects and functions are not
    looked into.
    """
    from scipy.io import loadmat, whosmat

    check_file(path)
    _refuse_hdf5(path, variable)
    with as_matlab(path):
        kinds = {name: kind for name, _, kind in whosmat(path)}
        if or_only and variable not in kinds and len(kinds) == 1:
            [variable] = kinds
        usable = kinds.get(variable, "cell") not in _NO_NUMBERS
        data = loadmat(path, variable_names=[variable]).get(variable) if usable else None
    if variable not in kinds:
        what = f"has no variable '{variable}', but {', '.join(kinds) or 'nothing'}"
        raise AffectkitError("input", what, file=path, remedy=f"save one matrix called {variable}")
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "iufb" or data.ndim != 2:
        what = f"'{variable}' is no table of numbers but {kinds[variable]}"
        raise AffectkitError("input", what, file=path, remedy="give a row per frame and a column per measure")
    return data.astype(np.float64)


def _refuse_hdf5(path: Path, variable: str) -> None:
    with open(path, "rb") as handle:
        head = handle.read(520)
    if _HDF5 in (head[:8], head[512:]) or b"MATLAB 7.3" in head[:116]:
        what = "is a MATLAB file of version 7.3, which is not read here"
        remedy = f"write it again in MATLAB: save(NAME, '{variable}', '-v7')"
        raise AffectkitError("input", what, file=path, remedy=remedy)
