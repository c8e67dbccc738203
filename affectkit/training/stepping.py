"""One step: forward, loss over the whole batch, backward, update."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.training.evaluating import gathered
from affectkit.training.examples import Examples
from affectkit.training.loading import Loaded
from affectkit.training.objective import Objective
from affectkit.training.optimizing import set_rates

_NAMED = 8  # ids of a batch that an error names


class Stepper:
    """Updates a network's trainable weights, the same under one process as under several.

    Every process computes the loss of the whole batch, its own rows with their graph, so the sum of the processes'
    gradients is the gradient of that loss.
    """

    def __init__(
        self, network: Any, optimizer: Any, objective: Objective, examples: Examples, accelerator: Any, clip: float
    ) -> None:
        self.raw, self.objective, self.examples = network, objective, examples
        self.accelerator, self.clip = accelerator, clip
        self.network = accelerator.prepare_model(network) if accelerator.num_processes > 1 else network
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loaded: Loaded, *, share_of_step: float = 1.0, last: bool = True, finite: bool = True) -> float:
        """Add the gradient of a batch, weighted by its share of the step; returns its loss.

        last: whether an update follows, so that processes exchange gradients now. Raises "input" for a loss that is not
        finite, unless told that it may be, "environment" where memory does not suffice.
        """
        try:
            with self._quiet(last):
                with self.accelerator.autocast():
                    outputs = self.network(**loaded.inputs)
                whole = gathered(outputs, loaded, self.accelerator)
                loss = self.objective(whole, self._truth(loaded.rows))
                value = float(loss.detach())
                if finite and not math.isfinite(value):
                    raise self._not_finite("the loss", loaded)
                self.accelerator.backward(loss * (share_of_step * self.accelerator.num_processes))
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise self._out_of_memory(loaded) from None
        return value

    def step(self, scale: float, momentum: float | None, loaded: Loaded) -> float:
        """Update at `scale` times the peak rates; returns the highest rate. Raises "input" for a gradient that is not
        finite, naming the batch (under fp16, where that happens by design, the update is skipped instead)."""
        rate = set_rates(self.optimizer, scale, momentum)
        if self.clip:
            norm = self.accelerator.clip_grad_norm_(self._trained(), self.clip)
            if self.accelerator.scaler is None and norm is not None and not bool(torch.isfinite(norm)):
                raise self._not_finite("the gradient", loaded)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return rate

    def once(self, loaded: Loaded, rate: float) -> float:
        """Update at `rate`, whatever comes of it; returns the loss before."""
        loss = self.backward(loaded, finite=False)
        if math.isfinite(loss):
            set_rates(self.optimizer, rate, None)
            if self.clip:
                self.accelerator.clip_grad_norm_(self._trained(), self.clip)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def release(self) -> None:
        """Let go of the wrapped network: the next stage trains other parameters."""
        self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        self.accelerator.free_memory()

    def _trained(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.raw.parameters() if parameter.requires_grad]

    def _quiet(self, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last else self.accelerator.no_sync(self.network)

    def _truth(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        device = self.accelerator.device
        return {name: torch.from_numpy(np.asarray(v)[rows]).to(device) for name, v in self.examples.truth.items()}

    def _not_finite(self, what: str, loaded: Loaded) -> AffectkitError:
        ids = [self.examples.ids[row] for row in loaded.rows]
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        return AffectkitError(
            "input", f"{what} is not finite in the batch of {', '.join(ids[:_NAMED])}{more}",
            remedy="look at these rows, or lower --learning-rate; the last checkpoint is kept",
        )  # fmt: skip

    def _out_of_memory(self, loaded: Loaded) -> AffectkitError:
        costs = np.asarray(self.examples.costs)[loaded.rows]
        longest = self.examples.ids[loaded.rows[int(costs.argmax())]]
        return AffectkitError(
            "environment",
            f"memory does not suffice for {len(costs)} rows, the longest '{longest}' of {costs.max():g} s",
            remedy="lower --max-seconds, --batch-size or --batch-seconds",
        )  # fmt: skip
