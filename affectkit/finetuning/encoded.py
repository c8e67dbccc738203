"""What a frozen network makes of rows before its head: computed once, or read from features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.features import read_features
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.training.judging import outputs_of
from affectkit.training.problem import Draw, Examples

CHUNK = 1024  # rows between two signs of life


@dataclass(frozen=True)
class EncodedExamples:
    """Rows as they enter the head. values: [N, D] float32."""

    ids: Sequence[str]
    truth: Mapping[str, np.ndarray]
    values: np.ndarray

    @property
    def costs(self) -> np.ndarray:
        return np.ones(len(self.ids))

    def load(self, position: int, draw: Draw | None) -> np.ndarray:
        return self.values[position]

    def collate(self, items: list[np.ndarray]) -> dict[str, torch.Tensor]:
        return {"features": torch.from_numpy(np.stack(items))}


class _BeforeHead(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"encoded": self.network.encode(**inputs)}


def encode(
    network: Any,
    rows: np.ndarray,
    examples: Callable[[np.ndarray], Examples],
    accelerator: Any,
    answering: Mapping[str, Any],
    progress: Progress | None,
) -> torch.Tensor:
    """[N, D] float32 on the CPU. examples: of some of the rows. answering: how they are batched and loaded, as
    `outputs_of` has it."""
    encoded = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        encoded.append(outputs_of(_BeforeHead(network), examples(part), accelerator, **answering)["encoded"])
        if progress and accelerator.is_main_process:
            progress(start + len(part), len(rows), "encoding with the frozen network")
    return torch.cat(encoded)


def read_encoded(path: Path, ids: Sequence[str], rows: np.ndarray, known: Mapping[str, Any], crop: str) -> np.ndarray:
    """[N, D] of the `ids`, NaN but for those at `rows`, from a folder of features.

    known: what the network says of itself. Raises "input" for features of another network, and for missing ids.
    """
    features = read_features(path)
    # What is made in bfloat16 gives other losses, and other answers than the saved network does.
    wanted = {"weights": known["weights"], "preprocessing": known["preprocessing"], "crop": crop, "dtype": "float32"}
    made = {**features.encoder, **features.encoder.get("options", {})}
    other = next((name for name, value in wanted.items() if made.get(name) != value), None)
    if other:
        message = f"were not made by this network: their '{other}' is another"
        remedy = "extract them with the same checkpoint and --crop, or leave --features out"
        raise AffectkitError("input", message, file=path, remedy=remedy)
    needed = [ids[row] for row in rows]
    missing = features.missing(needed)
    if missing:
        message = f"has no features of id '{missing[0]}' ({len(missing)} of {len(needed)} ids are missing)"
        raise AffectkitError("input", message, file=path, remedy="extract them, or leave --features out")
    values = features.matrix(needed)
    features_of_all = np.full((len(ids), values.shape[1]), np.nan, np.float32)
    features_of_all[rows] = values
    return features_of_all
