"""When Whisper's words are said: each token's cross-attention, followed through time.

As `openai-whisper` aligns (timing.py): attention of all heads in the last half of the decoder's layers, normalised over
tokens, smoothed by a median over 7 frames, and the cheapest monotone path through it (dynamic time warping). Heads that
are known to align do it more exactly; a checkpoint's weights do not say which they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_SMOOTH = 7
FRAME_SEC = 0.02
UNSPACED = ("zh", "yue", "ja", "th", "lo", "my")  # written without spaces: each character is a word


def token_times(model: Any, states: torch.Tensor, prompt: Sequence[int], tokens: list[int], frames: int) -> np.ndarray:
    """[N + 1] seconds at which each of N tokens begins, and at which the last one ends.

    states: [1, 1500, D] of the encoder, of which the first `frames` are heard. prompt: what stands before the tokens,
    their end behind them.
    """
    ids = torch.tensor([[*prompt, *tokens, model.config.eos_token_id]], device=states.device)
    with _attention(model.model.decoder) as layers:
        model.model.decoder(input_ids=ids, encoder_hidden_states=states, use_cache=False)
    weights = torch.cat([_weights(*layer) for layer in layers])[:, :, : max(frames, 1)].softmax(dim=-1)
    spread, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
    smooth = _median((weights - mean) / spread.clamp_min(1e-9))
    # A token is looked for where the one before it is read: N tokens, and their end.
    matrix = smooth.mean(dim=0)[len(prompt) - 1 : -1].cpu().double().numpy()
    return _begins(-matrix) * FRAME_SEC


@contextmanager
def _attention(decoder: Any) -> Iterator[list[tuple[torch.Tensor, torch.Tensor, Any]]]:
    """Queries and keys of the cross-attention of the last half of the layers, once the decoder has run."""
    layers: list[tuple[torch.Tensor, torch.Tensor, Any]] = []
    kept: dict[tuple[int, str], torch.Tensor] = {}
    chosen = [layer.encoder_attn for layer in decoder.layers[len(decoder.layers) // 2 :]]
    hooks = [
        getattr(attention, name).register_forward_hook(lambda _, __, out, key=(n, name): kept.update({key: out}))
        for n, attention in enumerate(chosen)
        for name in ("q_proj", "k_proj")
    ]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()
        layers += [(kept[n, "q_proj"], kept[n, "k_proj"], a) for n, a in enumerate(chosen) if (n, "k_proj") in kept]


def _weights(queries: torch.Tensor, keys: torch.Tensor, attention: Any) -> torch.Tensor:
    """[H, T, 1500] float32 before the softmax."""
    q, k = (x[0].float().unflatten(-1, (attention.num_heads, -1)).transpose(0, 1) for x in (queries, keys))
    return q @ k.transpose(1, 2) * attention.head_dim**-0.5


def _median(weights: torch.Tensor) -> torch.Tensor:
    """Over a window along the last axis, whose ends are mirrored."""
    half = _SMOOTH // 2
    if weights.shape[-1] <= half:
        return weights
    padded = torch.nn.functional.pad(weights, (half, half), mode="reflect")
    return padded.unfold(-1, _SMOOTH, 1).sort(dim=-1).values[..., half]


def _begins(cost: np.ndarray) -> np.ndarray:
    """[N] the frame at which the cheapest path from the first corner of [N, F] to the last one reaches each row."""
    rows, frames = cost.shape
    total = np.full((rows + 1, frames + 1), np.inf)
    total[0, 0] = 0.0
    for row in range(1, rows + 1):
        sums = np.concatenate([[0.0], np.cumsum(cost[row - 1])])
        entered = np.minimum(total[row - 1, :-1], total[row - 1, 1:]) - sums[:-1]
        total[row, 1:] = sums[1:] + np.minimum.accumulate(entered)
    row, frame, begins = rows, frames, np.zeros(rows)
    while row > 0 and frame > 0:
        begins[row - 1] = frame - 1
        steps = (total[row - 1, frame - 1], total[row - 1, frame], total[row, frame - 1])
        best = int(np.argmin(steps))
        row, frame = row - (best < 2), frame - (best != 1)
    return begins


def words_of(
    tokenizer: Any, language: str, tokens: Sequence[int], begins: Sequence[float], ends: Sequence[float]
) -> tuple[tuple[str, float, float], ...]:
    """Tokens as words with their times: a word begins with a space, or is a character where there are none."""
    words: list[list[Any]] = []
    waiting: list[int] = []
    for place, token in enumerate(tokens):
        waiting.append(token)
        text = tokenizer.decode(waiting)
        if "\ufffd" in text and place < len(tokens) - 1:  # a part of a character
            continue
        begin, end = begins[place - len(waiting) + 1], ends[place]
        waiting = []
        new = not words or text.startswith(" ") or (language in UNSPACED and any(sign.isalnum() for sign in text))
        if new:
            words.append([text, begin, end])
        else:
            words[-1] = [words[-1][0] + text, words[-1][1], end]
    cut = ((word.strip(), round(float(begin), 3), round(float(end), 3)) for word, begin, end in words)
    return tuple(word for word in cut if word[0])
