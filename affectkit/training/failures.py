"""What goes wrong with a batch, told by the ids of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.models.weights import first_not_finite
from affectkit.training.problem import Examples

_NAMED = 8  # ids of a batch that an error names


def not_finite(what: str, examples: Examples, rows: np.ndarray) -> AffectkitError:
    """The error for a loss, a gradient or answers of these rows that are infinite or not a number."""
    ids = [examples.ids[row] for row in rows[:_NAMED]]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return AffectkitError(
        "input",
        f"{what} is not finite in the batch of {', '.join(ids)}{more}",
        remedy="look at these rows, or lower --learning-rate; the last checkpoint is kept",
    )


def unanswered(outputs: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Positions of the rows that a network answers with an infinity or NaN. outputs: each [N, ...]."""
    wrong = [~torch.isfinite(values.reshape(len(values), -1)).all(dim=1) for values in outputs.values()]
    return torch.stack(wrong).any(dim=0).nonzero()[:, 0].cpu().numpy()


def check_answered(outputs: Mapping[str, torch.Tensor], examples: Examples) -> None:
    """Raises "input" naming rows whose answers are no numbers: they would be taken for rows without one."""
    rows = unanswered(outputs)
    if len(rows):
        raise not_finite("the network's answer", examples, rows)


def check_weights(tensors: Mapping[str, torch.Tensor], when: str) -> None:
    """Raises "input" for weights that became infinite or NaN, which an update may do after a loss that was finite."""
    name = first_not_finite(tensors)
    if name:
        message = f"the network's weights are not finite after {when}: {name}"
        raise AffectkitError("input", message, remedy="lower --learning-rate; the last checkpoint is kept")


@contextmanager
def enough_memory(examples: Examples, rows: np.ndarray) -> Iterator[None]:
    """Raise "environment" naming the longest of `rows` where the memory does not suffice for them."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU, torch raises a RuntimeError like any other.
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in str(error):
            raise
        longest = examples.ids[rows[int(np.asarray(examples.costs)[rows].argmax())]]
        raise AffectkitError(
            "environment",
            f"memory does not suffice for a batch of {len(rows)}, of which '{longest}' is the longest",
            remedy="lower --batch-size, --batch-seconds or --max-seconds",
        ) from None
