"""NumPy arrays on disk."""

from pathlib import Path

import numpy as np

from affectkit.errors import AffectkitError
from affectkit.media.files import check_file


def open_array(path: Path) -> np.ndarray:
    """A .npy file, mapped into memory and read-only: only its header is read now.

    Raises as `check_file` does; "input" for pickled objects and for what has no row per sample.
    """
    check_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise AffectkitError(
            "input", f"is no plain array: {error}", file=path, remedy="save it with numpy.save"
        ) from None
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise AffectkitError("input", "is not an array with a row per sample", file=path)
    return array
