"""Group norm over valid frames, so that padding a batch changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class ValidGroupNorm(nn.GroupNorm):
    """`norm` and its weights, with each sequence's mean and variance taken over its own first frames.

    wav2vec2-base and its kin norm the first layer's output over time: zeros behind a short utterance shift it by .5
    to .8 of a standard deviation. Set `frames` (valid frames of each sequence of this layer's input) before a padded
    batch, and leave it set until the backward pass is over; None makes it the norm itself.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__(norm.num_groups, norm.num_channels, eps=norm.eps, affine=norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.frames: Sequence[int] | None = None
        self.train(norm.training)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, C, T] -> [B, C, T], zeros behind the valid frames."""
        if self.frames is None:
            return super().forward(hidden)
        batch, _, length = hidden.shape
        if len(self.frames) != batch or max(self.frames) > length:
            raise ValueError(
                f"valid frames {list(self.frames)} are not those of a batch of shape {tuple(hidden.shape)}"
            )
        return _Normed.apply(
            hidden, self.weight, self.bias, tuple(int(count) for count in self.frames), self.num_groups, self.eps
        )


class _Normed(torch.autograd.Function):
    """Group norm (Wu and He 2018) of one sequence after the other: its first frames times a scale, plus a shift.

    Written over the masked batch, autograd would keep several more tensors of the input's size, which in wav2vec2-base
    are the largest there are: 52 MB for each second of a batch of 8. This keeps the input alone, as torch's own does.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        frames: tuple[int, ...],
        groups: int,
        eps: float,
    ) -> torch.Tensor:
        out, moments = torch.empty_like(hidden), []
        for row, count in enumerate(frames):
            own = hidden[row, :, :count]
            variance, mean = torch.var_mean(_exact(own).unflatten(0, (groups, -1)), dim=(1, 2), correction=0)
            mean, slope = _per_channel(mean, hidden), _per_channel((variance + eps).rsqrt(), hidden)
            scale = slope if weight is None else slope * weight
            shift = -mean * scale if bias is None else bias - mean * scale
            torch.addcmul(shift[:, None], own, scale[:, None], out=out[row, :, :count])
            out[row, :, count:] = 0
            moments.append(torch.stack([mean, slope]))
        ctx.frames, ctx.groups = frames, groups
        ctx.save_for_backward(hidden, weight, torch.stack(moments))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        hidden, weight, moments = ctx.saved_tensors
        of_hidden = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = of_bias = torch.zeros_like(moments[0, 0])
        for row, count in enumerate(ctx.frames):
            own, above, (mean, slope) = hidden[row, :, :count], grad[row, :, :count], moments[row]
            total = above.sum(dim=1, dtype=slope.dtype)
            along = slope * (torch.linalg.vecdot(_exact(above), _exact(own)) - mean * total)  # with the normed input
            of_weight, of_bias = of_weight + along, of_bias + total
            if of_hidden is None:
                continue
            factor = torch.ones_like(slope) if weight is None else weight
            total, along = (_group_mean(factor * sums, ctx.groups) / count for sums in (total, along))
            tilt = -along * slope.square()
            torch.addcmul((-total * slope - tilt * mean)[:, None], own, tilt[:, None], out=of_hidden[row, :, :count])
            of_hidden[row, :, :count].addcmul_(above, (slope * factor)[:, None])
        wanted = ctx.needs_input_grad
        return of_hidden, of_weight if wanted[1] else None, of_bias if wanted[2] else None, None, None, None


def _exact(values: torch.Tensor) -> torch.Tensor:
    """In float32 at least: the variance of thousands of frames is not for bfloat16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _per_channel(values: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """[G] -> [C]."""
    return values.repeat_interleave(hidden.shape[1] // len(values))


def _group_mean(values: torch.Tensor, groups: int) -> torch.Tensor:
    """[C] -> [C], each the mean of its group."""
    per_group = values.unflatten(0, (groups, -1))
    return per_group.mean(dim=1, keepdim=True).expand_as(per_group).flatten()


def over_valid_frames(module: nn.Module) -> list[ValidGroupNorm]:
    """Replace every group norm inside `module`, its weights and their names kept; returns the new ones."""
    replaced = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm) and not isinstance(child, ValidGroupNorm):
                replaced.append(ValidGroupNorm(child))
                setattr(parent, name, replaced[-1])
    return replaced
