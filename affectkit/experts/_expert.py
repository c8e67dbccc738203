"""What a face expert is: a network with weights of its own, that answers for crops of faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

WEIGHTS, RECORD = "model.safetensors", "expert.json"  # in a model folder


@dataclass(frozen=True)
class Answers:
    """For B crops: numbers by output, each [B], on the expert's scale; probabilities [B, K] of its classes, if any."""

    values: dict[str, np.ndarray]
    probabilities: np.ndarray | None = None


class Expert(Protocol):
    """Answers for crops. What it answers for one never depends on what else is in the batch.

    options: resolved; `build(**options)` gives the same expert. size: the side of its crops, pixels.
    outputs: the names of its numbers. scale: (lowest, highest) of them all. classes: of its probabilities, () if none.
    by_landmarks: whether its crops are squares around landmarks where a face has them, or always around its box.
    licence: a sentence on its weights. All but name and options are known once it is loaded.
    """

    name: str
    options: dict[str, Any]
    size: int
    outputs: tuple[str, ...]
    scale: tuple[float, float]
    classes: tuple[str, ...]
    by_landmarks: bool
    licence: str

    def load(self, device: str, folder: Path | None = None) -> None:
        """Fetch weights onto a device ("cpu", "cuda:0"): from the model folder that `save` wrote, else as options say.

        Raises "missing" or "input"; there is no expert without weights.
        """

    def predict(self, crops: np.ndarray) -> Answers:
        """crops: [B, size, size, 3] uint8, RGB; B is at least 1."""

    def save(self, folder: Path) -> None:
        """Write the files that `load` needs, `model.safetensors` first of all."""

    def describe(self) -> dict[str, Any]:
        """Facts for the record: `weights` (SHA-256 of the tensors) and what a reader of a report should know."""
