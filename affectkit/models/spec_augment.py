"""SpecAugment (Park et al. 2019) as transformers does it, where it is asked for, and for clips of any length.

Its masks are drawn from numpy's global generator: whoever trains seeds that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from affectkit.models.speech_inputs import Samples

_TIME_MASKED = 0.05  # share of frames, wav2vec2's own default


def set_up(base: Any, config: Any, *, wanted: bool, on_mel: bool) -> None:
    """Let `base` mask spans of frames in training, or never."""
    config.apply_spec_augment = wanted
    if wanted and not config.mask_time_prob:
        config.mask_time_prob = _TIME_MASKED
    if on_mel:
        return
    if wanted and not hasattr(base, "masked_spec_embed"):
        base.masked_spec_embed = nn.Parameter(torch.zeros(config.hidden_size))
    if not wanted and hasattr(base, "masked_spec_embed"):
        never_trained(base, "masked_spec_embed")  # processes would wait for the gradient of what takes no part


def never_trained(module: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer: it is saved and loaded as before, and no optimiser finds it."""
    values = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, values)


def fits(config: Any, inputs: Samples, longest: int) -> bool:
    """Whether a mask is no longer than the clip of most samples; where it is, transformers raises."""
    return max(inputs.frames([longest])) >= config.mask_time_length


def masked(base: Any, mel: torch.Tensor) -> torch.Tensor:
    """Log-mel frames with spans of silence, as transformers' WhisperModel makes them and its classifier does not."""
    from transformers import WhisperModel

    return WhisperModel._mask_input_features(base, mel.clone())
