"""EmoNet: face crops in; 68 heatmaps, an expression, valence and arousal out.

Toisoul et al. 2021 (Nature Machine Intelligence 3), on the face alignment network of Bulat and Tzimiropoulos 2017: two
stacked hourglasses find the landmarks, and a small network reads the emotion from their features, weighted by where
landmarks are. Written from the papers and the names and shapes of the published tensors, which are the modules' names.

A network is built without storage: it cannot answer before `load_weights` gave it real weights.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from affectkit.errors import AffectkitError
from affectkit.models.weights import fill, read_tensors

logger = logging.getLogger(__name__)


LANDMARKS, WIDTH, DEPTH = 68, 256, 4

HOW_TO_GET = (
    "download emonet_8.pth or emonet_5.pth from the folder pretrained/ of github.com/face-analysis/emonet "
    "(CC BY-NC-ND 4.0: for research only) and name the file or its folder"
)

Fifth = Literal["fear", "anger"]


def expressions_of(count: int, fifth: Fifth = "anger") -> tuple[str, ...]:
    """The expressions, in the order of the logits.

    fifth: what the last of five is: its authors' README says fear, their loader, which made the labels, maps anger.
    """
    if count == 5:
        return ("neutral", "happy", "sad", "surprise", fifth)
    return ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


@dataclass(frozen=True)
class EmoNetAnswer:
    """heatmaps [B, 68, 64, 64]; expression [B, 5 or 8] logits; valence, arousal [B], trained to [-1, 1], unbounded."""

    heatmaps: torch.Tensor
    expression: torch.Tensor
    valence: torch.Tensor
    arousal: torch.Tensor


class ResidualBlock(nn.Module):
    """A residual block of three 3x3 convolutions, each on what the one before gave; their outputs, a half, a quarter
    and a quarter of the channels, lie side by side. Norm and ReLU come before each convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        channels = (inputs, outputs // 2, outputs // 4, outputs // 4)
        for place in (1, 2, 3):
            self.add_module(f"bn{place}", nn.BatchNorm2d(channels[place - 1]))
            self.add_module(f"conv{place}", nn.Conv2d(channels[place - 1], channels[place], 3, padding=1, bias=False))
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            project = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), project)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        outputs, here = [], features
        for place in (1, 2, 3):
            norm, convolution = self.get_submodule(f"bn{place}"), self.get_submodule(f"conv{place}")
            here = convolution(functional.relu(norm(here)))
            outputs.append(here)
        return torch.cat(outputs, dim=1) + self.downsample(features)


class Hourglass(nn.Module):
    """Four times halved and doubled again; at each level a block beside the way down and up keeps the detail."""

    def __init__(self) -> None:
        super().__init__()
        for level in range(1, DEPTH + 1):
            for branch in ("b1", "b2", "b3"):  # beside, on the way down, on the way up
                self.add_module(f"{branch}_{level}", ResidualBlock(WIDTH, WIDTH))
        self.add_module("b2_plus_1", ResidualBlock(WIDTH, WIDTH))  # at the bottom

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self._level(DEPTH, features)

    def _level(self, level: int, features: torch.Tensor) -> torch.Tensor:
        beside = self.get_submodule(f"b1_{level}")(features)
        low = self.get_submodule(f"b2_{level}")(functional.max_pool2d(features, 2))
        low = self.get_submodule("b2_plus_1")(low) if level == 1 else self._level(level - 1, low)
        low = self.get_submodule(f"b3_{level}")(low)
        return beside + functional.interpolate(low, scale_factor=2.0, mode="nearest")


class EmoNet(nn.Module):
    """The network for 5 or 8 expressions, in eval mode, without weights."""

    def __init__(self, expressions: int) -> None:
        super().__init__()
        if expressions not in (5, 8):
            raise AffectkitError("usage", f"EmoNet has no {expressions} expressions", remedy="use 5 or 8")
        self.expressions = expressions
        with torch.device("meta"):  # nothing is drawn at random, so there is nothing random to predict with
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
            self.bn1 = nn.BatchNorm2d(64)
            self.conv2, self.conv3 = ResidualBlock(64, 128), ResidualBlock(128, 128)
            self.conv4 = ResidualBlock(128, WIDTH)
            for stack in (0, 1):  # an hourglass and what makes heatmaps of it; the first hands both on
                self.add_module(f"m{stack}", Hourglass())
                self.add_module(f"top_m_{stack}", ResidualBlock(WIDTH, WIDTH))
                self.add_module(f"conv_last{stack}", nn.Conv2d(WIDTH, WIDTH, 1))
                self.add_module(f"bn_end{stack}", nn.BatchNorm2d(WIDTH))
                self.add_module(f"l{stack}", nn.Conv2d(WIDTH, LANDMARKS, 1))
                if stack == 0:
                    self.bl0, self.al0 = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(LANDMARKS, WIDTH, 1)
            self.conv1x1_input_emo_2 = nn.Conv2d(3 * WIDTH, WIDTH, 1)
            layers = [layer for _ in range(4) for layer in (ResidualBlock(WIDTH, WIDTH), nn.MaxPool2d(2))]
            self.emo_net_2 = nn.Sequential(*layers)
            last = nn.Linear(128, expressions + 2)
            self.emo_fc_2 = nn.Sequential(nn.Linear(WIDTH, 128), nn.BatchNorm1d(128), nn.ReLU(), last)
        self.eval()

    def forward(self, images: torch.Tensor) -> EmoNetAnswer:
        """images: [B, 3, 256, 256] float32, RGB in [0, 1], without further normalisation."""
        if self.conv1.weight.is_meta:
            raise AffectkitError("missing", "EmoNet has no weights to answer with", remedy=HOW_TO_GET)
        first = functional.relu(self.bn1(self.conv1(images)))
        first = self.conv4(self.conv3(functional.max_pool2d(self.conv2(first), 2)))  # [B, 256, 64, 64]
        features, heatmaps = self._stack(0, first)
        handed_on = self.bl0(features)
        last, heatmaps = self._stack(1, first + handed_on + self.al0(heatmaps))
        # Where any landmark is, the stacks' features count; the plain ones everywhere.
        anywhere = heatmaps.sum(dim=1, keepdim=True)
        features = torch.cat([first, handed_on * anywhere, last * anywhere], dim=1)
        features = self.emo_net_2(self.conv1x1_input_emo_2(features))  # [B, 256, 4, 4]
        outputs = self.emo_fc_2(features.mean(dim=(2, 3)))
        return EmoNetAnswer(heatmaps, outputs[:, :-2], outputs[:, -2], outputs[:, -1])

    def _stack(self, stack: int, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A stack's features and heatmaps."""
        for name in ("m", "top_m_", "conv_last", "bn_end"):
            features = self.get_submodule(f"{name}{stack}")(features)
        features = functional.relu(features)
        return features, self.get_submodule(f"l{stack}")(features)


# --- EmoNet's weights: read from the files of its authors, or from a model folder


LICENCE = "EmoNet's weights (Toisoul et al. 2021) are under CC BY-NC-ND 4.0: for research only, not to be changed"
_HEAD = "emo_fc_2.3.weight"  # [expressions + 2, 128]: the expressions, then valence, then arousal


def load_weights(path: str | Path, expressions: int | None = None) -> EmoNet:
    """The network of a weights file, on the CPU and in eval mode.

    path: a .pth of the authors or a .safetensors with the same names, or a folder of emonet_5.* and emonet_8.* (of both
    the one for 8). expressions: 5 or 8 if the file must have so many; None takes what it has.
    Raises "missing" (no such file; says how to get it) or "input" (not these tensors, each of them, of these shapes).
    """
    file = find(Path(path).expanduser(), expressions)
    try:
        tensors = read_tensors(file)
        count = _expressions_in(tensors)
        if expressions is not None and count != expressions:
            raise AffectkitError("input", f"is of an EmoNet for {count} expressions, not {expressions}")
        network = EmoNet(count).to_empty(device="cpu")
        fill(network, tensors, "EmoNet", file)
    except AffectkitError as error:
        raise AffectkitError(error.code, error.message, file=error.file or file, remedy=HOW_TO_GET) from None
    return network.requires_grad_(False)


def find(path: Path, expressions: int | None = None) -> Path:
    """The weights file that `path` is or holds."""
    if not path.is_dir():
        if not path.exists():
            raise AffectkitError("missing", "there are no EmoNet weights", file=path, remedy=HOW_TO_GET)
        return path
    counts = (8, 5) if expressions is None else (expressions,)
    names = [f"emonet_{count}{suffix}" for count in counts for suffix in (".pth", ".safetensors")]
    files = [path / name for name in names if (path / name).is_file()]
    if not files:
        raise AffectkitError("missing", f"holds no {' or '.join(names[::2])}", file=path, remedy=HOW_TO_GET)
    if len(files) > 1:
        logger.warning("%s holds %s: reading %s", path, " and ".join(f.name for f in files), files[0].name)
    return files[0]


def _expressions_in(tensors: Mapping[str, torch.Tensor]) -> int:
    head = tensors.get(_HEAD)
    if head is None:
        raise AffectkitError("input", f"is not EmoNet's: it lacks {_HEAD}")
    if head.ndim != 2 or head.shape[0] not in (7, 10):
        raise AffectkitError("input", f"is not EmoNet's: {_HEAD} is {list(head.shape)}, not [7, 128] or [10, 128]")
    return head.shape[0] - 2
