"""Which share of the work is this process's under `accelerate launch -m affectkit`, and how many threads do it.

Without a GPU, accelerate's launcher starts several processes only with `--multi_gpu`:
`accelerate launch --multi_gpu --num_processes 2 -m affectkit extract-features ... --device cpu`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# How launchers say how many processes there are: torchrun and accelerate, then MPI's kinds.
_WORLD = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# Work is not cut evenly: the first rank to finish may wait long for the last.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `world`, and `local_rank` of `local_world` on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def workers(self, asked: int | None) -> int:
        """Worker threads of this process: as asked, else its share of the cores that it may use."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.local_world) if asked is None else asked

    def barrier(self) -> None:
        """Wait until every rank has come here. A rank that fails instead is noticed by the launcher, which ends all."""
        if self.world > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def ranks(*, cpu: bool = False) -> Ranks:
    """Join the other processes of the launch; alone, nothing is imported. cpu: work there even if there are GPUs."""
    world = next((int(os.environ[name]) for name in _WORLD if os.environ.get(name, "").isdigit()), 1)
    if world == 1:
        return Ranks()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=cpu or not torch.cuda.is_available(), timeout=_PATIENCE)
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Ranks(state.process_index, state.num_processes, state.local_process_index, local_world)


@lru_cache(1)
def _blas(modules: int) -> "ThreadpoolController":
    """The libraries of linear algebra that are loaded, which takes 2 ms to see. modules: that are imported, without
    which no further library comes."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread(library: Literal["blas", "torch"] = "blas") -> Iterator[None]:
    """Linear algebra of small matrices on one thread: the same last digits on every machine, and no waiting.

    On two busy cores, two threads of BLAS took 50 times as long as one, spinning for each other, and two of torch took
    39 s for six epochs of 535 rows of 88, where one took 2.3 s.
    """
    if library == "blas":
        with _blas(len(sys.modules)).limit(limits=1, user_api="blas"):
            yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
