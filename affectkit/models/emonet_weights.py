"""EmoNet's weights: read from the files of its authors, or from a model folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from affectkit.errors import AffectkitError
from affectkit.models.emonet import HOW_TO_GET, EmoNet
from affectkit.models.image_weights import fill, read_tensors

logger = logging.getLogger(__name__)

LICENCE = "EmoNet's weights (Toisoul et al. 2021) are under CC BY-NC-ND 4.0: for research only, not to be changed"
_HEAD = "emo_fc_2.3.weight"  # [expressions + 2, 128]: the expressions, then valence, then arousal


def load_weights(path: str | Path, expressions: int | None = None) -> EmoNet:
    """The network of a weights file, on the CPU and in eval mode.

    path: a .pth of the authors or a .safetensors with the same names, or a folder of emonet_5.* and emonet_8.* (of both
    the one for 8). expressions: 5 or 8 if the file must have so many; None takes what it has.
    Raises "missing" (no such file; says how to get it) or "input" (not these tensors, each of them, of these shapes).
    """
    file = find(Path(path).expanduser(), expressions)
    with _with_remedy(file):
        tensors = read_tensors(file)
        count = _expressions_in(tensors)
        if expressions is not None and count != expressions:
            raise AffectkitError("input", f"is of an EmoNet for {count} expressions, not {expressions}")
        network = EmoNet(count).to_empty(device="cpu")
        fill(network, tensors, "EmoNet", file)
        _check_finite(network)
    return network.requires_grad_(False)


def find(path: Path, expressions: int | None = None) -> Path:
    """The weights file that `path` is or holds."""
    if not path.is_dir():
        if not path.exists():
            raise AffectkitError("missing", "there are no EmoNet weights", file=path, remedy=HOW_TO_GET)
        return path
    counts = (8, 5) if expressions is None else (expressions,)
    names = [f"emonet_{count}{suffix}" for count in counts for suffix in (".pth", ".safetensors")]
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        raise AffectkitError("missing", f"holds no {' or '.join(names[::2])}", file=path, remedy=HOW_TO_GET)
    if len(found) > 1:
        logger.warning("%s holds %s: reading %s", path, " and ".join(f.name for f in found), found[0].name)
    return found[0]


@contextmanager
def _with_remedy(file: Path) -> Iterator[None]:
    """An error about the file says where the right one is."""
    try:
        yield
    except AffectkitError as error:
        raise AffectkitError(error.code, error.message, file=error.file or file, remedy=HOW_TO_GET) from None


def _expressions_in(tensors: Mapping[str, torch.Tensor]) -> int:
    head = tensors.get(_HEAD)
    if head is None:
        raise AffectkitError("input", f"is not EmoNet's: it lacks {_HEAD}")
    if head.ndim != 2 or head.shape[0] not in (7, 10):
        raise AffectkitError("input", f"is not EmoNet's: {_HEAD} is {list(head.shape)}, not [7, 128] or [10, 128]")
    return head.shape[0] - 2


def _check_finite(network: EmoNet) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor.sum(dtype=torch.float64)):  # any NaN or infinity reaches the sum
            raise AffectkitError("input", f"holds what is no number: {name}")
