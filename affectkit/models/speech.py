"""Speech networks as one function: waveforms of any lengths in, hidden states of valid frames out.

What comes out for a waveform does not depend on which others it is given with. On a CPU each goes alone, which is
exact and, with nothing padded, also fastest. On a GPU batches are padded: the attention is masked, and group norms
take their statistics over valid frames (science of it: `group_norm.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from affectkit.errors import AffectkitError
from affectkit.models.backbones import Backbone
from affectkit.models.forward import Layer, run
from affectkit.models.group_norm import over_valid_frames

# Masked padding is exact for these. Not for data2vec-audio, whose stacked position convolutions see each other's
# padded frames, nor for what has not been tested: those are batched in equal lengths only.
_PADDABLE = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}


class Waveforms:
    """wav2vec2 and its kin: a convolution over samples, then a transformer.

    rate: Hz. dim: D. layers: hidden states there are, the transformer's input among them. frame_sec: from a frame to
    the next. min_samples: shorter waveforms are padded with zeros up to the convolution's receptive field (25 ms),
    which makes one frame.
    """

    max_sec = float("inf")

    def __init__(
        self, backbone: Backbone, device: str = "cpu", dtype: str = "float32", *, pad: bool | None = None
    ) -> None:
        """pad: batch different lengths by padding, where that is exact; None: on anything but a CPU."""
        self.config, self.device, self.dtype = backbone.model.config, torch.device(device), dtype
        self.processor = backbone.processor
        _require(self.config, ("conv_kernel", "conv_stride", "hidden_size", "num_hidden_layers"))
        if getattr(self.config, "add_adapter", False):
            raise AffectkitError("input", "checkpoints with an adapter (add_adapter) are not supported")
        self.rate, self.dim = int(self.processor.sampling_rate), int(self.config.hidden_size)
        self.layers = int(self.config.num_hidden_layers) + 1
        self.strides = list(zip(self.config.conv_kernel, self.config.conv_stride, strict=True))
        self.min_samples = _samples_of_a_frame(self.strides)
        self.frame_sec = prod(stride for _, stride in self.strides) / self.rate
        self.alone = self.device.type == "cpu" if pad is None else not pad
        self.model = _without_reparametrization(backbone.model).to(self.device)
        self.norms = over_valid_frames(self.model.feature_extractor)

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        """The checkpoint's own normalisation of a whole utterance, before any padding."""
        normed = self.processor(samples, sampling_rate=self.rate, padding=False, return_tensors="np")
        return np.asarray(normed["input_values"][0], dtype=np.float32)

    def hidden(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        """[T, D] float32 of each waveform at `layer`, or [T, L, D] of "all"; a frame each 20 ms."""
        waves = [np.pad(wave, (0, max(0, self.min_samples - len(wave)))) for wave in waves]
        found: dict[int, torch.Tensor] = {}
        for group in self._groups([len(wave) for wave in waves]):
            found.update(zip(group, self._forward([waves[place] for place in group], layer), strict=True))
        return [found[place] for place in range(len(waves))]

    def _groups(self, lengths: list[int]) -> list[list[int]]:
        """Places of waveforms that may go into one batch."""
        if self.alone:
            return [[place] for place in range(len(lengths))]
        if self.config.model_type in _PADDABLE:
            return [list(range(len(lengths)))]
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        return [list(group) for _, group in groupby(order, key=lengths.__getitem__)]

    def _forward(self, waves: list[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        lengths = [len(wave) for wave in waves]
        batch = torch.zeros(len(waves), max(lengths))
        for row, wave in enumerate(waves):
            batch[row, : len(wave)] = torch.from_numpy(wave)
        padded = min(lengths) < max(lengths)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None] if padded else None
        first = _frames(lengths, self.strides[:1]) if padded else None
        for norm in self.norms:
            norm.frames = torch.tensor(first, device=self.device) if first else None
        arguments = {"input_values": batch.to(self.device)}
        if mask is not None:
            arguments["attention_mask"] = mask.to(self.device, torch.long)
        states = run(self.model, arguments, layer, self.dtype)
        return [state[:count] for state, count in zip(states, _frames(lengths, self.strides), strict=True)]


class Whisper:
    """Whisper's encoder: always 30 s of log-mel frames; only frames that the waveform reaches are kept."""

    max_sec = 30.0
    min_samples = 1

    def __init__(self, backbone: Backbone, device: str = "cpu", dtype: str = "float32") -> None:
        self.config, self.device, self.dtype = backbone.model.config, torch.device(device), dtype
        self.processor = backbone.processor
        self.rate, self.dim = int(self.processor.sampling_rate), int(self.config.d_model)
        self.layers = int(self.config.encoder_layers) + 1
        self.hop = 2 * int(self.processor.hop_length)  # the second convolution has a stride of 2
        self.frame_sec = self.hop / self.rate
        self.model = backbone.model.get_encoder().to(self.device)

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        return samples

    def hidden(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        """[T, D] float32 of each waveform of at most 30 s at `layer`, or [T, L, D] of "all"; a frame each 20 ms."""
        size = 1 if self.device.type == "cpu" else len(waves)  # 1500 frames fill a CPU already
        parts = [waves[start : start + size] for start in range(0, len(waves), size)]
        return [state for part in parts for state in self._forward(part, layer)]

    def _forward(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        mel = self.processor(list(waves), sampling_rate=self.rate, return_tensors="pt")["input_features"]
        states = run(self.model, {"input_features": mel.to(self.device)}, layer, self.dtype)
        return [state[: ceil(len(wave) / self.hop)] for state, wave in zip(states, waves, strict=True)]


def open_speech(backbone: Backbone, device: str = "cpu", dtype: str = "float32") -> Waveforms | Whisper:
    """The network of a checkpoint, ready to run. Raises "input" for a kind that is not supported."""
    kind = backbone.model.config.model_type
    if kind == "whisper":
        return Whisper(backbone, device, dtype)
    if "input_values" not in backbone.processor.model_input_names or not hasattr(backbone.model, "feature_extractor"):
        raise _unsupported(kind)
    return Waveforms(backbone, device, dtype)


def _without_reparametrization(model: Any) -> Any:
    """The same weights, computed once: the position convolution's weight norm costs a twentieth of a second's time."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return model


def _frames(lengths: Sequence[int], strides: Sequence[tuple[int, int]]) -> list[int]:
    """Frames that come out of convolutions without padding."""
    for kernel, stride in strides:
        lengths = [(length - kernel) // stride + 1 for length in lengths]
    return list(lengths)


def _samples_of_a_frame(strides: Sequence[tuple[int, int]]) -> int:
    samples = 1
    for kernel, stride in reversed(strides):
        samples = (samples - 1) * stride + kernel
    return samples


def _require(config: Any, names: tuple[str, ...]) -> None:
    if not all(hasattr(config, name) for name in names):
        raise _unsupported(config.model_type)


def _unsupported(kind: str) -> AffectkitError:
    known = ", ".join([*sorted(_PADDABLE), "data2vec-audio", "whisper"])
    return AffectkitError(
        "input", f"'{kind}' is not a speech network that hf-audio knows", remedy=f"use one of {known}"
    )
