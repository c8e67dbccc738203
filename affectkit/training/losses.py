"""Losses of a batch: plain functions of a network's outputs and the truth, with the rows of unknown truth left out.

A row is unknown where its class is -1, its number NaN, or its votes hold a NaN; a batch without a known row costs 0 and
moves nothing. `scale` [B], where there is one, is how much each row's loss counts, 1 on average over all rows: a batch
of rows that count for more moves more. Half-precision outputs are worked on in float32. No row is picked by its index,
so that a GPU never waits to learn how many there are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Variances are about 1 in standard units: a batch whose numbers differ by less than a thousandth has no CCC to speak
# of, and rounding (1e-8 of float32) over a smaller floor would make gradients that throw a network off.
LEAST_SPREAD = 1e-6
TINY = 1e-12


def known(truth: Tensor) -> Tensor:
    """[B] bool: rows whose truth is known, of [B] classes, [B] numbers or [B, K] votes."""
    if truth.ndim == 2:
        return ~truth.isnan().any(dim=1)
    return ~truth.isnan() if truth.is_floating_point() else truth >= 0


def cross_entropy(
    outputs: Tensor,
    truth: Tensor,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    scale: Tensor | None = None,
) -> Tensor:
    """Mean of -log p(truth), each row weighing its class's weight, as torch has it.

    outputs: [B, K] logits; truth: [B] class indices; weights: [K]; label_smoothing: the share of the truth that is
    spread evenly over the classes, in [0, 1).
    """
    outputs, truth = _wide(outputs), truth.long()
    weights = None if weights is None else weights.to(outputs)
    total = F.cross_entropy(
        outputs,
        truth,
        weight=weights,
        ignore_index=-1,
        reduction="sum" if scale is None else "none",
        label_smoothing=label_smoothing,
    )
    if scale is not None:
        total = (total * scale).sum()
    return total / _row_weights(outputs, truth, weights).sum().clamp_min(TINY)


def focal(
    outputs: Tensor,
    truth: Tensor,
    weights: Tensor | None = None,
    gamma: float = 2.0,
    scale: Tensor | None = None,
) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 5), -alpha (1 - p)^gamma log p of the true class, over the sum of the alphas.

    outputs: [B, K] logits; truth: [B] class indices; weights: [K], the alphas; gamma: 0 gives the cross-entropy.
    """
    outputs, truth = _wide(outputs), truth.long()
    row_weights = _row_weights(outputs, truth, weights)
    log_p = F.log_softmax(outputs, dim=1).gather(1, truth.clamp_min(0)[:, None])[:, 0]
    # 1 - p by expm1, which keeps its digits near p = 1, and never 0, where a power below 1 has no slope.
    missing = (-torch.expm1(log_p)).clamp_min(TINY)
    counted = row_weights if scale is None else row_weights * scale
    return -(counted * missing**gamma * log_p).sum() / row_weights.sum().clamp_min(TINY)


def soft_cross_entropy(
    outputs: Tensor,
    truth: Tensor,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    scale: Tensor | None = None,
) -> Tensor:
    """Mean of -sum(votes log p), each row weighing what its votes expect of the class weights.

    The weight is the row's and not the single vote's, so that each row is still best answered by its own votes.
    outputs: [B, K] logits; truth: [B, K] shares of votes, rows of sum 1; weights: [K].
    """
    outputs = _wide(outputs)
    rows = known(truth)
    votes = truth.to(outputs.dtype).where(rows[:, None], 0.0)
    row_weights = rows.to(outputs.dtype) if weights is None else (votes * weights.to(outputs)).sum(dim=1)
    smooth = votes * (1 - label_smoothing) + label_smoothing / outputs.shape[1]
    losses = -(smooth * F.log_softmax(outputs, dim=1)).sum(dim=1)
    counted = row_weights if scale is None else row_weights * scale
    return (counted * losses).sum() / row_weights.sum().clamp_min(TINY)


def mse(outputs: Tensor, truth: Tensor, scale: Tensor | None = None) -> Tensor:
    """Mean of (output - truth)^2 of [B] outputs and [B] numbers in the same units; ValueError for other shapes."""
    outputs, truth, rows = _numbers(outputs, truth)
    squares = (outputs - truth) ** 2
    return _mean(squares if scale is None else squares * scale, rows)


def ccc_loss(outputs: Tensor, truth: Tensor, scale: Tensor | None = None) -> Tensor:
    """1 - CCC of the batch (Lin 1989), in [0, 2]; variances have ddof 0. 1 where either side is constant.

    outputs: [B]; truth: [B] in the same, standard units (`LEAST_SPREAD`). One dimension only: a CCC over the columns of
    a matrix would mix their truths, so [B, D] raises ValueError.
    """
    outputs, truth, known_of = _numbers(outputs, truth)
    rows = known_of if scale is None else known_of * scale  # moments of rows that count for more or less
    output_mean, truth_mean = _mean(outputs, rows), _mean(truth, rows)
    both = _mean((outputs - output_mean) * (truth - truth_mean), rows)
    spread = _mean((outputs - output_mean) ** 2, rows) + _mean((truth - truth_mean) ** 2, rows)
    ccc = 2 * both / (spread + (output_mean - truth_mean) ** 2).clamp_min(LEAST_SPREAD)
    return (1 - ccc) * known_of.any()


def ccc_mse(outputs: Tensor, truth: Tensor, mse_weight: float = 1.0, scale: Tensor | None = None) -> Tensor:
    """1 - CCC + mse_weight * MSE; the squared errors still pull where a batch's CCC has no slope."""
    return ccc_loss(outputs, truth, scale) + mse_weight * mse(outputs, truth, scale)


def _wide(outputs: Tensor) -> Tensor:
    """At least float32: under autocast a network answers in 8 or 11 bits."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def _row_weights(outputs: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
    """[B] weights of rows by their class, 0 for unknown ones."""
    rows = known(truth).to(outputs.dtype)
    return rows if weights is None else rows * weights.to(outputs)[truth.clamp_min(0)]


def _numbers(outputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs and truth in one wide type, unknown truth set to 0, and which rows are known."""
    if outputs.ndim != 1 or outputs.shape != truth.shape:
        raise ValueError(f"numbers are [B] beside [B], not {list(outputs.shape)} beside {list(truth.shape)}")
    outputs, rows = _wide(outputs), known(truth)
    return outputs, truth.to(outputs.dtype).where(rows, 0.0), rows


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    """Over the known rows, or by their weights; 0 without any."""
    return (values * rows).sum() / rows.sum().clamp_min(TINY if rows.is_floating_point() else 1)
