"""What a frozen network makes of rows before its head: computed once, or read from features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.features import Features
from affectkit.console import Progress
from affectkit.errors import AffectkitError
from affectkit.training.evaluating import outputs_of
from affectkit.training.examples import Draw, Examples

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
    network: Any, examples: Examples, accelerator: Any, answering: Mapping[str, Any], progress: Progress | None
) -> torch.Tensor:
    """[N, D] float32 on the CPU. answering: how rows are batched and loaded, as `outputs_of` has it."""
    found = []
    total = len(examples.ids)
    for start in range(0, total, CHUNK):
        part = _Part(examples, np.arange(start, min(start + CHUNK, total)))
        found.append(outputs_of(_BeforeHead(network), part, accelerator, **answering)["encoded"])
        if progress and accelerator.is_main_process:
            progress(min(start + CHUNK, total), total, "encoding with the frozen network")
    return torch.cat(found)


@dataclass(frozen=True)
class _Part:
    """Some rows of others. `truth` is not asked for."""

    of: Examples
    rows: np.ndarray

    @property
    def ids(self) -> list[str]:
        return [self.of.ids[row] for row in self.rows]

    @property
    def costs(self) -> np.ndarray:
        return np.asarray(self.of.costs)[self.rows]

    @property
    def truth(self) -> Mapping[str, np.ndarray]:
        return {}

    def load(self, position: int, draw: Draw | None) -> Any:
        return self.of.load(int(self.rows[position]), draw)

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        return self.of.collate(items)


def read_encoded(features: Features, ids: Sequence[str], expected: Mapping[str, Any]) -> np.ndarray:
    """[N, D] of `ids`. expected: the facts in which the features' encoder must agree with the network.

    Raises "input" for features of another network, and for ids that are missing.
    """
    known = {**features.encoder, **features.encoder.get("options", {})}
    for name, value in expected.items():
        if known.get(name) != value:
            message = f"were not made by this network: their {name} is {_short(known.get(name))}, not {_short(value)}"
            remedy = "extract them with the same checkpoint and --crop, or leave --features out"
            raise AffectkitError("input", message, file=features.path, remedy=remedy)
    return np.asarray(features.matrix(ids), np.float32)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:20]}..."
