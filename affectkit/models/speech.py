"""Speech networks as one function: waveforms of any lengths in, hidden states of valid frames out.

What comes out for a waveform does not depend on which others it is given with. On a CPU each goes alone, which is
exact and, with nothing padded, also fastest. On a GPU batches are padded: the attention is masked, and group norms
take their statistics over valid frames (`ValidGroupNorm`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from affectkit.models.backbones import Backbone
from affectkit.models.forward import Layer, run
from affectkit.models.speech_inputs import Mel, groups_of, inputs_of, over_valid_frames


class SpeechStates:
    """wav2vec2 and its kin, a convolution over samples, then a transformer; or Whisper's encoder.

    inputs: what it reads, with its rate, min_samples, max_sec and frame_sec. dim: D. layers: hidden states there are,
    the transformer's input among them.
    """

    def __init__(
        self,
        backbone: Backbone,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        pad: bool | None = None,
        to_30_s: bool = True,
    ) -> None:
        """pad: batch different lengths by padding, where that is exact; None: on anything but a CPU, which 1500 frames
        of Whisper's fill already. to_30_s: as of `Mel`. Raises "input" for a kind of network that is not supported, or
        that has no 30 s to do without.
        """
        self.inputs, config = inputs_of(backbone, to_30_s=to_30_s), backbone.model.config
        self.device, self.dtype = torch.device(device), dtype
        self.dim, self.layers = int(config.hidden_size), int(config.num_hidden_layers) + 1
        self.alone = self.device.type == "cpu" if pad is None else not pad
        # The position convolution's weight norm is computed once: anew it costs a twentieth of a second's time.
        for module in backbone.model.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        mel = isinstance(self.inputs, Mel)
        self.model = (backbone.model.get_encoder() if mel else backbone.model).to(self.device)
        self.norms = [] if mel else over_valid_frames(self.model.feature_extractor)

    def hidden(self, waves: Sequence[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        """[T, D] float32 of each waveform at `layer`, or [T, L, D] of "all"; a frame each 20 ms."""
        states: dict[int, torch.Tensor] = {}
        lengths = [len(wave) for wave in waves]
        for group in groups_of(lengths, paddable=self.inputs.paddable, alone=self.alone) if waves else []:
            states.update(zip(group, self._forward([waves[place] for place in group], layer), strict=True))
        return [states[place] for place in range(len(waves))]

    def _forward(self, waves: list[np.ndarray], layer: Layer) -> list[torch.Tensor]:
        batch, lengths = self.inputs.batch(waves)
        arguments = self.inputs.arguments(batch.to(self.device), lengths, self.norms)
        shorter = isinstance(self.inputs, Mel) and not self.inputs.to_30_s
        with _of_frames(self.model, batch.shape[-1] // 2) if shorter else nullcontext():
            states = run(self.model, arguments, layer, self.dtype)
        return [state[:count] for state, count in zip(states, self.inputs.frames(lengths), strict=True)]


@contextmanager
def _of_frames(encoder: Any, frames: int) -> Iterator[None]:
    """Let Whisper's encoder read so many frames: its own forward takes as many as it has positions, 1500."""
    positions, count = encoder.embed_positions, encoder.config.max_source_positions
    encoder.embed_positions = nn.Embedding.from_pretrained(positions.weight[:frames])
    encoder.config.max_source_positions = frames
    try:
        yield
    finally:
        encoder.embed_positions, encoder.config.max_source_positions = positions, count
