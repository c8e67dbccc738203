"""One step: forward, loss over the whole batch, backward, update."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from affectkit.errors import AffectkitError
from affectkit.training.failures import enough_memory, not_finite
from affectkit.training.judging import gathered
from affectkit.training.loading import Loaded
from affectkit.training.optimizing import Pace, load_optimizer, optimizer_tensors, set_rates
from affectkit.training.problem import Problem
from affectkit.training.weights import overwrite

# --- An exponential moving average of a network's weights, to judge and keep in their place


UPDATES = "updates"
PREFIX = "weights."  # no tensor of a network can then be named as the count is


class Average:
    """The average of a network's parameters and persistent buffers, at least in float32: in bfloat16 a step of 1 - d
    below .004 would round away. Buffers of whole numbers (counts of batches) are copied.

    decay: d, in [0, 1). At update n, from 1, the old average weighs min(d, (1 + n) / (10 + n)), so that the first
    weights, which are the initial ones, are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise AffectkitError("usage", f"a decay of {decay:g} averages nothing", remedy="give 0 to 1, such as .999")
        self.decay = decay
        self.updates = 0
        self._averages = {}
        for name, tensor in _state(network).items():
            wide = torch.promote_types(tensor.dtype, torch.float32) if tensor.is_floating_point() else tensor.dtype
            self._averages[name] = tensor.to(wide, copy=True, memory_format=torch.contiguous_format)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's weights as they are after an optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, current in _state(network).items():
            average = self._averages[name]
            if average.is_floating_point():
                # A lerp of two equal numbers is that number, so what never trains is never changed by rounding.
                average.lerp_(current.to(average), 1 - decay)
            else:
                average.copy_(current)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """The averages in the network's place inside the block; its own weights after it, to the bit, come what may."""
        state = _state(network)
        kept = {name: tensor.clone() for name, tensor in state.items()}
        try:
            overwrite(state, self._averages)
            yield
        finally:
            overwrite(state, kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint stores: the averages themselves, not copies, and the number of updates."""
        count = torch.tensor(self.updates, dtype=torch.int64)
        return {UPDATES: count} | {PREFIX + name: tensor for name, tensor in self._averages.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave. Raises "input" for another network's, and then changes nothing."""
        mine = self.tensors()
        wrong = [name for name in mine if name not in tensors or tensors[name].shape != mine[name].shape]
        wrong += [name for name in tensors if name not in mine]
        if wrong:
            raise AffectkitError("input", f"stored weight averages are of another network: {wrong[0]}")
        self.updates = int(tensors[UPDATES])
        overwrite(self._averages, {name: tensors[PREFIX + name] for name in self._averages})


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, tied ones once."""
    stored = network.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in network.named_buffers() if name in stored}
    return {name: tensor.detach() for name, tensor in {**dict(network.named_parameters()), **buffers}.items()}


_OPTIMIZER, _AVERAGE = "optimizer.", "average."


class Stepper:
    """Updates a network's trainable weights, the same under one process as under several.

    Every process computes the loss of the whole batch, its own rows with their graph, so the sum of the processes'
    gradients is the gradient of that loss. clip: of the gradient's norm, 0 for none. average: decay of the weights'
    moving average, 0 for none. norm: of the last update's gradient, before it was clipped.
    """

    norm = math.nan

    def __init__(self, problem: Problem, optimizer: Any, accelerator: Any, *, clip: float, average: float) -> None:
        self.bare = problem.module
        self.examples, self.objective = problem.train, problem.objective
        self.accelerator, self.clip = accelerator, clip
        self.network = accelerator.prepare_model(self.bare) if accelerator.num_processes > 1 else self.bare
        self.optimizer = optimizer
        optimizer.zero_grad(set_to_none=True)
        self.average = Average(self.bare, average) if average else None
        self.trained = [parameter for parameter in self.bare.parameters() if parameter.requires_grad]
        self.names = {id(parameter): name for name, parameter in self.bare.named_parameters()}

    def backward(self, loaded: Loaded, *, share_of_step: float = 1.0, last: bool = True, finite: bool = True) -> float:
        """Add the gradient of a batch, weighted by its share of the step; returns its loss.

        last: whether an update follows, so that processes exchange gradients now. Raises "input" for a loss that is not
        finite, unless told that it may be, "environment" where memory does not suffice.
        """
        quiet = nullcontext() if last else self.accelerator.no_sync(self.network)
        with enough_memory(self.examples, loaded.rows), quiet:
            with self.accelerator.autocast():
                outputs = self.network(**loaded.inputs)
            loss = self.objective(gathered(outputs, loaded, self.accelerator), self._truth(loaded.rows))
            value = float(loss.detach())
            if finite and not math.isfinite(value):
                raise not_finite("the loss", self.examples, loaded.rows)
            # Processes exchange the mean of their gradients, and the sum is wanted.
            self.accelerator.backward(loss * (share_of_step * self.accelerator.num_processes))
        return value

    def step(self, pace: Pace, number: int, rows: np.ndarray) -> float:
        """Make update `number` of the stage; returns the highest learning rate. rows: of the step, for the error.

        Raises "input" for a gradient that is not finite (under fp16, where that happens by design, the update is
        skipped instead).
        """
        rate = pace.set(self.optimizer, number)
        self.norm = self._clip()
        if self.accelerator.scaler is None and not math.isfinite(self.norm):
            raise not_finite("the gradient", self.examples, rows)
        self._update()
        if self.average:
            self.average.update(self.bare)
        return rate

    def once(self, loaded: Loaded, rate: float) -> float:
        """Update at `rate`, whatever comes of it; returns the loss before."""
        loss = self.backward(loaded, finite=False)
        set_rates(self.optimizer, rate)
        if math.isfinite(loss):
            self._clip()
            self._update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def averaged(self) -> AbstractContextManager[Any]:
        """The network with the weights that an epoch is judged by, inside the block."""
        return self.average.swapped(self.bare) if self.average else nullcontext()

    def tensors(self) -> dict[str, Tensor]:
        """What an update depends on besides the network and the scaler."""
        tensors = {_OPTIMIZER + name: tensor for name, tensor in optimizer_tensors(self.optimizer, self.names).items()}
        if self.average:
            tensors |= {_AVERAGE + name: tensor for name, tensor in self.average.tensors().items()}
        return tensors

    def load(self, stored: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        load_optimizer(self.optimizer, under(stored, _OPTIMIZER), self.names)
        if self.average:
            self.average.load(under(stored, _AVERAGE))

    def release(self) -> None:
        """Let go of the wrapped network: the next stage trains other parameters."""
        if self.network is not self.bare:
            self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
            self.accelerator.free_memory()

    def _clip(self) -> float:
        """The gradient's norm, as it was before it was clipped."""
        if self.accelerator.scaler:
            self.accelerator.scaler.unscale_(self.optimizer)
        return float(nn.utils.clip_grad_norm_(self.trained, self.clip or math.inf))

    def _update(self) -> None:
        if self.accelerator.scaler:
            self.accelerator.scaler.step(self.optimizer)
            self.accelerator.scaler.update()
        else:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # Every process gets the first one's batch statistics, with which epochs are judged and weights kept.
        for module in self.bare.modules() if self.accelerator.num_processes > 1 else ():
            for buffer in module.buffers(recurse=False) if module.training else ():
                broadcast(buffer)

    def _truth(self, rows: np.ndarray) -> dict[str, Tensor]:
        device = self.accelerator.device
        return {name: torch.from_numpy(np.asarray(v)[rows]).to(device) for name, v in self.examples.truth.items()}


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
