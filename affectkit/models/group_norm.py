"""Group norm over valid frames, so that padding a batch changes nothing."""

from __future__ import annotations

import torch
from torch import nn


class ValidGroupNorm(nn.Module):
    """`norm`, with each sequence's mean and variance taken over its own first frames.

    wav2vec2-base and its kin norm the first layer's output over time: zeros behind a short utterance shift it by .5
    to .8 of a standard deviation. Set `frames` ([B] valid frames of this layer's input) before a padded batch.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm
        self.frames: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, C, T] -> [B, C, T]; what stands behind the valid frames is not meaningful."""
        if self.frames is None:
            return self.norm(hidden)
        batch, channels, length = hidden.shape
        valid = torch.arange(length, device=hidden.device) < self.frames[:, None]
        grouped = hidden.float().reshape(batch, self.norm.num_groups, -1, length)
        mask = valid[:, None, None, :]
        count = self.frames[:, None, None, None] * grouped.shape[2]
        mean = (grouped * mask).sum((2, 3), keepdim=True) / count
        variance = ((grouped - mean).square() * mask).sum((2, 3), keepdim=True) / count
        normed = ((grouped - mean) * torch.rsqrt(variance + self.norm.eps)).reshape(batch, channels, length)
        if self.norm.affine:
            normed = normed * self.norm.weight[:, None] + self.norm.bias[:, None]
        return normed.to(hidden.dtype)


def over_valid_frames(module: nn.Module) -> list[ValidGroupNorm]:
    """Replace every group norm inside `module`; returns the new ones."""
    replaced = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm) and not isinstance(parent, ValidGroupNorm):
                replaced.append(ValidGroupNorm(child))
                setattr(parent, name, replaced[-1])
    return replaced
