"""What tests of commands that train share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for command_lines


@pytest.fixture(scope="module")
def without_pages():
    """training.html takes three quarters of the time of so small a run, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("affectkit.reporting.trained.write_training_page", lambda *_, **__: None)
        yield
