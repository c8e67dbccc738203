"""What speech networks read, and which waveforms may share a batch without changing each other's answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from affectkit.errors import AffectkitError
from affectkit.models.backbones import Backbone

# Masked padding is exact for these. Not for data2vec-audio, whose stacked position convolutions see each other's
# padded frames, nor for what has not been tested: those are batched in equal lengths only.
_PADDABLE = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}


class Samples:
    """What wav2vec2 and its kin read: samples, normalised, zeros behind the shorter ones.

    rate: Hz. frame_sec: from a frame to the next. min_samples: shorter waveforms are padded with zeros up to the
    convolution's receptive field (25 ms), which makes one frame. paddable: whether masked padding is exact.
    """

    max_sec = float("inf")

    def __init__(self, config: Any, processor: Any) -> None:
        self.processor, self.rate = processor, int(processor.sampling_rate)
        self.strides = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.min_samples = 1
        for kernel, stride in reversed(self.strides):
            self.min_samples = (self.min_samples - 1) * stride + kernel
        self.frame_sec = prod(stride for _, stride in self.strides) / self.rate
        # A batch norm before the position convolution gives padded frames a value, which reaches valid ones.
        self.paddable = config.model_type in _PADDABLE and not getattr(config, "conv_pos_batch_norm", False)

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        """The checkpoint's own normalisation of a whole utterance, before any padding."""
        normed = self.processor(samples, sampling_rate=self.rate, padding=False, return_tensors="np")
        return np.asarray(normed["input_values"][0], dtype=np.float32)

    def batch(self, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """[B, T] float32, and how many samples of each row count."""
        lengths = [max(self.min_samples, len(wave)) for wave in waves]
        batch = torch.zeros(len(waves), max(lengths))
        for row, wave in enumerate(waves):
            batch[row, : len(wave)] = torch.from_numpy(np.asarray(wave, dtype=np.float32))
        return batch, lengths

    def frames(self, lengths: Sequence[int]) -> list[int]:
        """Frames of waveforms of so many samples."""
        return _frames(lengths, self.strides)

    def arguments(
        self, batch: torch.Tensor, lengths: Sequence[int], norms: Sequence[ValidGroupNorm]
    ) -> dict[str, torch.Tensor]:
        """What a network is given: a padded batch with an attention mask [B, T]. Tells `norms` the valid frames."""
        padded = min(lengths) < max(lengths)
        for norm in norms:
            norm.frames = _frames(lengths, self.strides[:1]) if padded else None
        arguments = {"input_values": batch[:, : max(lengths)]}
        if padded:
            mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
            arguments["attention_mask"] = mask.to(batch.device, torch.long)
        return arguments


class Mel:
    """What Whisper reads: 30 s of log-mel frames, silence behind the waveform.

    to_30_s: False leaves the silence out, which Whisper was not trained on: other features, in a quarter of the time.
    min_samples, max_sec, frame_sec: as of `Samples`; longer waveforms are refused.
    """

    max_sec = 30.0

    def __init__(self, processor: Any, *, to_30_s: bool = True) -> None:
        self.processor, self.rate = processor, int(processor.sampling_rate)
        self.hop = 2 * int(processor.hop_length)  # the second convolution has a stride of 2
        self.frame_sec = self.hop / self.rate
        self.to_30_s = self.paddable = to_30_s  # there is nothing to pad, or no mask for it
        self.min_samples = 1 if to_30_s else 2 * self.hop  # the first window reaches over both ends

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        """The waveform as it is: its log-mel frames are normalised together with the silence behind them."""
        return samples

    def batch(self, waves: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """[B, mel bands, 3000] float32, and how many samples each waveform has. Raises "input" for over 30 s."""
        lengths = [len(wave) for wave in waves]
        if max(lengths) > self.max_sec * self.rate:
            seconds = f"{max(lengths) / self.rate:.1f} s of audio"
            message = f"{seconds} are more than the {self.max_sec:g} s that Whisper reads"
            raise AffectkitError("input", message, remedy="cut it into pieces: --max-seconds 30")
        how: dict[str, Any] = {"sampling_rate": self.rate, "return_tensors": "pt"}
        if not self.to_30_s:  # whole frames
            size = max(self.min_samples, ceil(max(lengths) / self.hop) * self.hop)
            waves, how = [np.pad(wave, (0, size - len(wave))) for wave in waves], {**how, "padding": False}
        return self.processor([np.asarray(wave) for wave in waves], **how)["input_features"], lengths

    def frames(self, lengths: Sequence[int]) -> list[int]:
        """Frames that waveforms of so many samples reach; the last one begun counts."""
        return [ceil(length / self.hop) for length in lengths]

    def arguments(self, batch: torch.Tensor, lengths: Sequence[int], norms: Any) -> dict[str, torch.Tensor]:
        """What a network is given."""
        return {"input_features": batch}


def groups_of(lengths: Sequence[int], *, paddable: bool, alone: bool) -> list[list[int]]:
    """Places of waveforms that may go into one batch: all, those of equal length, or each alone."""
    if alone:
        return [[place] for place in range(len(lengths))]
    if paddable or min(lengths) == max(lengths):
        return [list(range(len(lengths)))]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [list(group) for _, group in groupby(order, key=lengths.__getitem__)]


def inputs_of(backbone: Backbone, *, to_30_s: bool = True) -> Samples | Mel:
    """What a checkpoint reads. Raises "input" for a kind of network that is not supported, "usage" for one that reads
    no 30 s to do without."""
    config, processor = backbone.model.config, backbone.processor
    if config.model_type == "whisper":
        return Mel(processor, to_30_s=to_30_s)
    if not to_30_s:
        message = f"--padding none is of Whisper: {config.model_type} pads nothing"
        raise AffectkitError("usage", message, remedy="leave it out")
    convolves = "input_values" in processor.model_input_names and hasattr(backbone.model, "feature_extractor")
    needed = ("conv_kernel", "conv_stride", "hidden_size", "num_hidden_layers")
    if not convolves or not all(hasattr(config, name) for name in needed):
        remedy = f"use one of {', '.join([*sorted(_PADDABLE), 'data2vec-audio', 'whisper'])}"
        message = f"'{config.model_type}' is not a speech network that affectkit knows"
        raise AffectkitError("input", message, remedy=remedy)
    if getattr(config, "add_adapter", False):
        raise AffectkitError("input", "checkpoints with an adapter (add_adapter) are not supported")
    return Samples(config, processor)


def _frames(lengths: Sequence[int], strides: Sequence[tuple[int, int]]) -> list[int]:
    """Frames that come out of convolutions without padding."""
    for kernel, stride in strides:
        lengths = [(length - kernel) // stride + 1 for length in lengths]
    return list(lengths)


# --- Group norm over valid frames, so that padding a batch changes nothing


_Affine = torch.Tensor | None  # a norm's weight or bias


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
            shape = tuple(hidden.shape)
            raise ValueError(f"valid frames {list(self.frames)} are not those of a batch of shape {shape}")
        frames = tuple(int(count) for count in self.frames)
        return _Normed.apply(hidden, self.weight, self.bias, frames, self.num_groups, self.eps)


class _Normed(torch.autograd.Function):
    """Group norm (Wu and He 2018) of one sequence after the other: its first frames times a scale, plus a shift.

    Written over the masked batch, autograd would keep several more tensors of the input's size, which in wav2vec2-base
    are the largest there are: 52 MB for each second of a batch of 8. This keeps the input alone, as torch's own does.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: torch.Tensor, weight: _Affine, bias: _Affine, frames: tuple[int, ...], groups: int, eps: float
    ) -> torch.Tensor:
        out, moments = torch.empty_like(hidden), []
        for row, count in enumerate(frames):
            valid = hidden[row, :, :count]
            variance, mean = torch.var_mean(_exact(valid).unflatten(0, (groups, -1)), dim=(1, 2), correction=0)
            mean, slope = _per_channel(mean, hidden), _per_channel((variance + eps).rsqrt(), hidden)
            scale = slope if weight is None else slope * weight
            shift = -mean * scale if bias is None else bias - mean * scale
            torch.addcmul(shift[:, None], valid, scale[:, None], out=out[row, :, :count])
            out[row, :, count:] = 0
            moments.append(torch.stack([mean, slope]))
        ctx.frames, ctx.groups = frames, groups
        ctx.save_for_backward(hidden, weight, torch.stack(moments))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        hidden, weight, moments = ctx.saved_tensors
        grad_hidden = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = grad_bias = torch.zeros_like(moments[0, 0])
        for row, count in enumerate(ctx.frames):
            valid, above, (mean, slope) = hidden[row, :, :count], grad[row, :, :count], moments[row]
            total = above.sum(dim=1, dtype=slope.dtype)
            along = slope * (torch.linalg.vecdot(_exact(above), _exact(valid)) - mean * total)  # with the normed input
            grad_weight, grad_bias = grad_weight + along, grad_bias + total
            if grad_hidden is None:
                continue
            factor = torch.ones_like(slope) if weight is None else weight
            # The mean over the channels of each group, for each of them
            grouped = [(factor * sums).unflatten(0, (ctx.groups, -1)) for sums in (total, along)]
            total, along = (each.mean(1, keepdim=True).expand_as(each).flatten() / count for each in grouped)
            tilt = -along * slope.square()
            row_grad = grad_hidden[row, :, :count]
            torch.addcmul((-total * slope - tilt * mean)[:, None], valid, tilt[:, None], out=row_grad)
            row_grad.addcmul_(above, (slope * factor)[:, None])
        wanted = ctx.needs_input_grad
        return grad_hidden, grad_weight if wanted[1] else None, grad_bias if wanted[2] else None, None, None, None


def _exact(values: torch.Tensor) -> torch.Tensor:
    """In float32 at least: the variance of thousands of frames is not for bfloat16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _per_channel(values: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """[G] -> [C]."""
    return values.repeat_interleave(hidden.shape[1] // len(values))


def over_valid_frames(module: nn.Module) -> list[ValidGroupNorm]:
    """Replace every group norm inside `module`, its weights and their names kept; returns the new ones."""
    replaced = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm) and not isinstance(child, ValidGroupNorm):
                replaced.append(ValidGroupNorm(child))
                setattr(parent, name, replaced[-1])
    return replaced
