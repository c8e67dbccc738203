"""Two published expression networks as plain functions of their tensors, in their authors' own layout and arithmetic.

They are other people's tools, whose tables of probabilities affectkit reads: neither is part of it. Both return
[N, 7] probabilities in the order of their classes in `EXPERTS`, for [N, H, W] grey images from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional


def mini_xception(tensors: dict[str, torch.Tensor], grey: torch.Tensor) -> torch.Tensor:
    """tensors: by Keras' layer and weight, such as conv2d_1.kernel, in Keras' order of dimensions."""

    def conv(name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
        return functional.conv2d(
            x, tensors[f"{name}.kernel"].permute(3, 2, 0, 1), tensors.get(f"{name}.bias"), **options
        )

    def separable(number: int, x: torch.Tensor) -> torch.Tensor:
        depth, point = (tensors[f"separable_conv2d_{number}.{kind}_kernel"] for kind in ("depthwise", "pointwise"))
        x = functional.conv2d(x, depth.permute(2, 3, 0, 1), padding=1, groups=x.shape[1])
        return functional.conv2d(x, point.permute(3, 2, 0, 1))

    def norm(number: int, x: torch.Tensor) -> torch.Tensor:
        name = f"batch_normalization_{number}"
        mean, variance, scale, shift = (
            tensors[f"{name}.{kind}"] for kind in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    x = functional.interpolate(grey[:, None], (64, 64), mode="bilinear") / 127.5 - 1
    x = norm(1, conv("conv2d_1", x)).relu()
    x = norm(2, conv("conv2d_2", x)).relu()
    for block in range(4):
        first, second, shortcut = 4 + 3 * block, 5 + 3 * block, 3 + 3 * block  # as Keras numbered the norms
        inner = norm(first, separable(1 + 2 * block, x)).relu()
        inner = norm(second, separable(2 + 2 * block, inner))
        x = functional.max_pool2d(padded(inner, 3, value=-torch.inf), 3, 2) + norm(
            shortcut, conv(f"conv2d_{3 + block}", x, stride=2)
        )
    return conv("conv2d_7", x, padding=1).mean((2, 3)).softmax(1)


def face_api(tensors: dict[str, torch.Tensor], grey: torch.Tensor) -> torch.Tensor:
    """tensors: by face-api's names, such as dense0/conv0/filters, in TensorFlow's order of dimensions."""

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        x, bias = padded(x, stride=stride), tensors[f"{name}/bias"]
        if f"{name}/filters" in tensors:
            return functional.conv2d(x, tensors[f"{name}/filters"].permute(3, 2, 0, 1), bias, stride)
        depth, point = (tensors[f"{name}/{kind}_filter"] for kind in ("depthwise", "pointwise"))
        x = functional.conv2d(x, depth.permute(2, 3, 0, 1), stride=stride, groups=x.shape[1])
        return functional.conv2d(x, point.permute(3, 2, 0, 1), bias)

    x = resized_from_corners(grey[:, None], 112).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    x = (x - torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)) / 255
    for block in range(4):
        total = conv(f"dense{block}/conv0", x, stride=2).relu()
        x = total
        for number in (1, 2, 3):
            total = total + conv(f"dense{block}/conv{number}", x)
            x = total.relu()
    features = functional.avg_pool2d(x, 7, 2).flatten(1)
    return (features @ tensors["fc/weights"] + tensors["fc/bias"]).softmax(1)


def padded(x: torch.Tensor, size: int = 3, stride: int = 2, value: float = 0.0) -> torch.Tensor:
    """TensorFlow's "same": of an odd number of pixels, the one more at the right and bottom."""
    sides = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        sides += [total // 2, total - total // 2]
    return functional.pad(x, sides, value=value)


def resized_from_corners(x: torch.Tensor, size: int) -> torch.Tensor:
    """TensorFlow's resizeBilinear without half-pixel centres: pixel i is read at i * length / size."""
    length = x.shape[-1]
    place = torch.arange(size) * (length / size)
    low = place.floor().long()
    high, share = (low + 1).clamp(max=length - 1), place - low
    x = x[..., low, :] * (1 - share)[:, None] + x[..., high, :] * share[:, None]
    return x[..., low] * (1 - share) + x[..., high] * share


# By the name of its file of tensors: the network and its classes in their order, in FER2013's words.
EXPERTS = {
    "mini-xception": (mini_xception, ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")),
    "face-api-expression": (face_api, ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")),
}


def write_table(target: Path, weights: Path, ids: Sequence[str], images: np.ndarray) -> None:
    """What an expert says of images [N, H, W], as anybody's table: id and prob_<class>."""
    from safetensors.torch import load_file

    network, classes = EXPERTS[weights.stem]
    tensors = load_file(weights)
    with torch.inference_mode():
        batches = torch.from_numpy(images).float().split(64)
        probabilities = torch.cat([network(tensors, batch) for batch in batches]).numpy()
    table = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in classes])
    table.assign(id=list(ids)).to_csv(target, index=False)
