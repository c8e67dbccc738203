"""Speech to fine-tune on: recordings decoded, cropped, augmented, normalised, and the network that hears them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.artifacts.manifest import Manifest
from affectkit.encoders._encoder import Item, recordings
from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import Where, headers_of, reason
from affectkit.finetuning.passes import ONCE, Passes
from affectkit.labels import Target
from affectkit.media import read_headers
from affectkit.media.audio import read_audio
from affectkit.media.augment import Augmentation
from affectkit.models import speech_network
from affectkit.models.speech_heads import Head
from affectkit.training.problem import Draw


@dataclass(frozen=True)
class Speech:
    """The medium of speech networks; options as `finetune` has them. dropout: None leaves the checkpoint's own."""

    checkpoint: str
    revision: str = ""
    head: Head = "mean"
    freeze_feature_encoder: bool = True
    specaugment: bool = False
    dropout: float | None = None
    max_seconds: float = 20.0
    augmentation: Augmentation = field(default_factory=Augmentation)

    reads = "audio"
    encodes_once = False  # crops are drawn anew in each epoch
    answered_at_once = (256, 60.0)  # seconds, padding counted

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Speech:
        """As a record has it. Raises KeyError, or ValueError for no length to hear."""
        if not float(spec["max_seconds"]) > 0:
            raise ValueError("no length to hear")
        return cls(spec["base"]["checkpoint"], head=spec["head"], max_seconds=float(spec["max_seconds"]))

    @property
    def frozen(self) -> frozenset[str]:
        return frozenset({"feature_encoder"} if self.freeze_feature_encoder else ())

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        return recordings(manifest, num_workers=num_workers)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        headers = headers_of(manifest, read_headers)
        return {place: header for place, header in enumerate(headers) if isinstance(header, AffectkitError)}

    def decode(self, item: Item, rate: int | None = None) -> np.ndarray:
        """The samples [T] float32, at `rate` Hz or the file's own."""
        return read_audio(item.path or "", rate=rate, start_sec=item.start_sec, end_sec=item.end_sec)[0]

    def build(self, targets: Sequence[Target], seed: int) -> speech_network.SpeechNetwork:
        return speech_network.build(
            self.checkpoint,
            targets,
            head=self.head,
            dropout=self.dropout,
            revision=self.revision,
            specaugment=self.specaugment,
            seed=seed,
        )

    def load(self, folder: Path, targets: Sequence[Target]) -> speech_network.SpeechNetwork:
        return speech_network.load(folder, targets)

    def whole(self, network: Any, passes: Passes = ONCE) -> Any:
        if passes != ONCE:
            message = "--tta and --mc-dropout are of image networks, and this one reads speech"
            raise AffectkitError("usage", message, remedy="leave them out")
        return InPieces(network)

    def examples(
        self,
        items: Sequence[Item],
        truth: Mapping[str, np.ndarray],
        network: Any,
        where: Where,
        *,
        train: bool = False,
        passes: Passes = ONCE,
        failed: dict[int, str] | None = None,
    ) -> SpeechExamples:
        augmentation = self.augmentation if train else None
        return SpeechExamples(items, truth, network, self.max_seconds, where, augmentation, failed)

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        seconds = sum(min(item.duration_sec, self.max_seconds) for item in items)
        return seconds / 3600, "hours of audio"

    def spec(self) -> dict[str, Any]:
        return {"head": self.head, "max_seconds": self.max_seconds}


@dataclass(frozen=True)
class SpeechExamples:
    """Clips for a speech network.

    max_seconds: in training a longer clip is cropped to a stretch drawn anew each epoch; elsewhere it is heard in equal
    pieces, whose outputs are averaged by their length. where: `file` and `row` of a clip, for errors. augmentation: in
    training only. failed: where given, it takes the reason for which a clip cannot be decoded, and silence stands in;
    else such a clip raises.
    """

    clips: Sequence[Item]
    truth: Mapping[str, np.ndarray]
    network: Any
    max_seconds: float
    where: Where
    augmentation: Augmentation | None = None
    failed: dict[int, str] | None = None

    @property
    def ids(self) -> list[str]:
        return [clip.id for clip in self.clips]

    @property
    def costs(self) -> np.ndarray:
        return np.array([max(clip.duration_sec, 1e-3) for clip in self.clips])

    def load(self, position: int, draw: Draw | None) -> list[np.ndarray]:
        """The waveform [T] float32 at the network's rate, in pieces of at most `max_seconds`."""
        rate = self.network.rate
        wave = self._decoded(position)
        most = int(min(self.max_seconds, self.network.max_sec) * rate)
        if draw is None:
            pieces = np.array_split(wave, max(1, -(-len(wave) // most)))
            return [self.network.prepare(piece) for piece in pieces]
        rng = draw()
        if len(wave) > most:
            start = int(rng.integers(len(wave) - most + 1))
            wave = wave[start : start + most]
        if self.augmentation:
            wave = self.augmentation.augment(wave, rate, rng)[:most]
        return [self.network.prepare(wave)]

    def _decoded(self, position: int) -> np.ndarray:
        clip, rate = self.clips[position], self.network.rate
        try:
            return read_audio(clip.path or "", rate=rate, start_sec=clip.start_sec, end_sec=clip.end_sec)[0]
        except AffectkitError as error:
            if self.failed is None:
                raise AffectkitError(error.code, reason(error), **self.where(position), remedy=error.remedy) from None
            self.failed[position] = reason(error)
            return np.zeros(self.network.min_samples, np.float32)

    def collate(self, items: list[list[np.ndarray]]) -> dict[str, torch.Tensor]:
        inputs = self.network.collate([piece for pieces in items for piece in pieces])
        if all(len(pieces) == 1 for pieces in items):
            return inputs
        lengths = torch.tensor([float(len(piece)) for pieces in items for piece in pieces])
        owners = torch.tensor([row for row, pieces in enumerate(items) for _ in pieces])
        return {**inputs, "owners": owners, "weights": lengths}


class InPieces(nn.Module):
    """A network that also answers for clips in pieces: the mean of the pieces' outputs, weighted by their length.

    For a head that is linear behind a mean over frames this is the mean over all frames, as if the clip were whole.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, owners: torch.Tensor | None = None, weights: torch.Tensor | None = None, **inputs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """owners: [P] the row that each piece belongs to; weights: [P]. Without them each piece is a row."""
        # On a CPU nothing is gained by padding: without gradients each clip goes by itself, exact and fastest.
        self.network.alone = not self.training and inputs["inputs"].device.type == "cpu"
        outputs = self.network(**inputs)
        if owners is None or weights is None:
            return outputs
        rows = int(owners.max()) + 1
        total = torch.zeros(rows, device=weights.device).index_add_(0, owners, weights)
        share = weights / total[owners]
        return {
            name: values.new_zeros(rows, *values.shape[1:]).index_add_(
                0, owners, values * share.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
            )
            for name, values in outputs.items()
        }

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        return self.network.parts()
