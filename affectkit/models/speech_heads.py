"""What turns hidden states of speech into answers: three ways to pool, one linear layer over all targets.

`mean` and `weighted` are transformers' own classification networks: projection, mean over time, linear layer; weighted
sums all layers first, with learned weights (Yang et al. 2021, SUPERB). `attentive` is attentive statistics pooling
(Okabe et al. 2018), which transformers does not have: it refuses such a folder for the shape of its `classifier`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean

Head = Literal["mean", "attentive", "weighted"]
HEADS: tuple[Head, ...] = ("mean", "attentive", "weighted")
ATTENTIVE = "AffectkitAttentiveStatistics"  # the architecture that config.json names
_ATTENTION = 128  # units of the attention's hidden layer


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time, frames weighted by attention (Okabe et al. 2018, eq. 3 to 6)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, _ATTENTION)
        self.score = nn.Linear(_ATTENTION, 1, bias=False)  # the paper's has a constant, which the softmax cancels

    def forward(self, states: torch.Tensor, frames: Sequence[int] | None = None) -> torch.Tensor:
        """[B, T, D] -> [B, 2D] float32. frames: how many of each row are valid; None: all."""
        scores = self.score(torch.tanh(self.hidden(states)))[..., 0].float()
        if frames is not None:
            valid = torch.arange(states.shape[1]) < torch.tensor(list(frames))[:, None]
            scores = scores.masked_fill(~valid.to(scores.device), -torch.inf)
        share, states = scores.softmax(dim=1)[..., None], states.float()
        mean = (share * states).sum(dim=1)
        variance = (share * (states - mean[:, None]).square()).sum(dim=1)
        return torch.cat([mean, variance.clamp(min=1e-8).sqrt()], dim=1)  # of one frame 0, whose root has no slope


def check_head(head: str) -> None:
    if head not in HEADS:
        raise AffectkitError("usage", f"there is no head '{head}'", remedy=did_you_mean(head, list(HEADS)))


def put_on(model: Any, head: Head, seed: int) -> None:
    """Give one of transformers' classification networks a new head, drawn from `seed` as transformers draws it.

    The config says already how many outputs there are.
    """
    config = model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if head == "attentive":
            # transformers ignores weights that it does not know, and demands that the others have their shapes. One
            # that could never be [outputs, 2 D] keeps it from going on with a classifier of random weights.
            config.classifier_proj_size = config.hidden_size
            model.projector = AttentiveStatistics(config.hidden_size)
            model.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
        else:
            model.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
            model.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)
        if head == "weighted":
            count = config.num_hidden_layers + 1
            model.layer_weights = nn.Parameter(torch.ones(count) / count)
        for module in (*model.projector.modules(), model.classifier):
            model._init_weights(module)
