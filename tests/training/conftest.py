"""The toy of `training_toy.py`, and a way to train it."""

import sys
from pathlib import Path

import pytest
import torch

from affectkit.training.fit import Settings, fit
from affectkit.training.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))  # for training_toy, which scripts of these tests import as well


@pytest.fixture
def accelerator():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # another test may have left it in another precision
    return Accelerator(cpu=True)


@pytest.fixture
def train(accelerator, tmp_path):
    """`train(problem, stages, folder=..., batch_size=..., ...)`: a fit with the options that a test cares about."""

    def run(problem, stages=None, folder=None, *, progress=None, after_stage=None, **settings):
        settings = Settings(**{"batch_size": 8, "seed": 3, **settings})
        stages = stages or [Stage("whole", "all", 2, "1e-2")]
        folder = folder or tmp_path / "run"
        return fit(problem, stages, settings, folder, accelerator, progress=progress, after_stage=after_stage)

    return run


@pytest.fixture(autouse=True)
def one_thread():
    """Rounding depends on how many threads add up."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
