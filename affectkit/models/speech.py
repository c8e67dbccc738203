"""Speech networks as one function: waveforms of any lengths in, hidden states of valid frames out.

What comes out for a waveform does not depend on which others it is given with. On a CPU each goes alone, which is
exact and, with nothing padded, also fastest. On a GPU batches are padded: the attention is masked, and group norms
take their statistics over valid frames (`ValidGroupNorm`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils import parametrize

from affectkit.models.backbones import Backbone
from affectkit.models.forward import Layer, run
from affectkit.models.speech_inputs import Mel, Samples, check_speech, groups_of, over_valid_frames


class Waveforms:
    """wav2vec2 and its kin: a convolution over samples, then a transformer.

    dim: D. layers: hidden states there are, the transformer's input among them. rate, frame_sec, min_samples, max_sec:
    as of `Samples`.
    """

    max_sec = Samples.max_sec

    def __init__(
        self, backbone: Backbone, device: str = "cpu", dtype: str = "float32", *, pad: bool | None = None
    ) -> None:
        """pad: batch different lengths by padding, where that is exact; None: on anything but a CPU."""
        self.config, self.device, self.dtype = backbone.model.config, torch.device(device), dtype
        self.inputs = Samples(self.config, backbone.processor)
        self.rate, self.dim = self.inputs.rate, int(self.config.hidden_size)
        self.min_samples, self.frame_sec = self.inputs.min_samples, self.inputs.frame_sec
        self.layers = int(self.config.num_hidden_layers) + 1
        self.alone = self.device.type == "cpu" if pad is None else not pad
        # The position convolution's weight norm is computed once: anew it costs a twentieth of a second's time.
        for module in backbone.model.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self.model = backbone.model.to(self.device)
        self.norms = over_valid_frames(self.model.feature_extractor)

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        return self.inputs.normalise(samples)

    def hidden(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        """[T, D] float32 of each waveform at `layer`, or [T, L, D] of "all"; a frame each 20 ms."""
        states: dict[int, torch.Tensor] = {}
        lengths = [len(wave) for wave in waves]
        for group in groups_of(lengths, paddable=self.inputs.paddable, alone=self.alone) if waves else []:
            states.update(zip(group, self._forward([waves[place] for place in group], layer), strict=True))
        return [states[place] for place in range(len(waves))]

    def _forward(self, waves: list[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        batch, lengths = self.inputs.batch(waves)
        arguments = {"input_values": batch.to(self.device)}
        mask = self.inputs.mask(lengths, self.norms, self.device)
        if mask is not None:
            arguments["attention_mask"] = mask
        states = run(self.model, arguments, layer, self.dtype)
        return [state[:count] for state, count in zip(states, self.inputs.frames(lengths), strict=True)]


class Whisper:
    """Whisper's encoder: always 30 s of log-mel frames; only frames that the waveform reaches are kept."""

    max_sec = Mel.max_sec
    min_samples = Mel.min_samples

    def __init__(self, backbone: Backbone, device: str = "cpu", dtype: str = "float32") -> None:
        self.config, self.device, self.dtype = backbone.model.config, torch.device(device), dtype
        self.inputs = Mel(backbone.processor)
        self.rate, self.dim, self.frame_sec = self.inputs.rate, int(self.config.d_model), self.inputs.frame_sec
        self.layers = int(self.config.encoder_layers) + 1
        self.model = backbone.model.get_encoder().to(self.device)

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        return self.inputs.normalise(samples)

    def hidden(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        """[T, D] float32 of each waveform of at most 30 s at `layer`, or [T, L, D] of "all"; a frame each 20 ms."""
        size = 1 if self.device.type == "cpu" else len(waves)  # 1500 frames fill a CPU already
        parts = [waves[start : start + size] for start in range(0, len(waves), size)]
        return [state for part in parts for state in self._forward(part, layer)]

    def _forward(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        mel, lengths = self.inputs.batch(waves)
        states = run(self.model, {"input_features": mel.to(self.device)}, layer, self.dtype)
        return [state[:count] for state, count in zip(states, self.inputs.frames(lengths), strict=True)]


def open_speech(backbone: Backbone, device: str = "cpu", dtype: str = "float32") -> Waveforms | Whisper:
    """The network of a checkpoint, ready to run. Raises "input" for a kind that is not supported."""
    check_speech(backbone)
    if backbone.model.config.model_type == "whisper":
        return Whisper(backbone, device, dtype)
    return Waveforms(backbone, device, dtype)
