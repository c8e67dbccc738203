"""Two processes train what one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from training_processes import SCENARIOS, train

pytestmark = pytest.mark.slow


def launch(folder, *names, processes=2, seconds=120):
    """`accelerate launch` on CPUs, where it starts several processes only with --multi_gpu."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--multi_gpu", "--num_processes", processes, "--num_machines", 1, "--mixed_precision", "no"]
    options += ["--dynamo_backend", "no", "--main_process_port", port]
    script = Path(__file__).with_name("training_processes.py")
    command = [
        str(part) for part in (sys.executable, "-m", "accelerate.commands.launch", *options, script, folder, *names)
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    folder.mkdir(exist_ok=True)
    with open(folder / "said.txt", "w") as said:
        running = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        try:
            code = running.wait(seconds)
        except subprocess.TimeoutExpired:
            for process in [*psutil.Process(running.pid).children(recursive=True), running]:
                process.kill()
            raise
    return code, (folder / "said.txt").read_text()


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """All scenarios in one launch, which takes long to begin; in the last, one process fails."""
    folder = tmp_path_factory.mktemp("processes") / "two"
    return folder, *launch(folder, *SCENARIOS, "resumed", "broken")


@pytest.fixture(scope="module")
def both(launched):
    """What the two processes found: {scenario: [of rank 0, of rank 1]}."""
    folder, _, said = launched
    assert (folder / "broken").exists(), said
    names = [*SCENARIOS, "resumed"]
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1)] for name in names}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_history_is_that_of_one_process(both, name, tmp_path, accelerator):
    alone = train(SCENARIOS[name], tmp_path)
    for found in both[name]:
        assert len(found["history"]) == len(alone["history"])
        for row, expected in zip(found["history"], alone["history"], strict=True):
            assert row.keys() == expected.keys()
            for column, value in expected.items():
                if isinstance(value, float):
                    np.testing.assert_allclose(row[column], value, rtol=1e-5, atol=1e-6, err_msg=column)
                else:
                    assert row[column] == value
        np.testing.assert_allclose(found["rates"], alone["rates"], rtol=1e-5)
        # Of the gradients, whose scale Adam would hide; a sweep goes on until they are huge, and so are roundings.
        np.testing.assert_allclose(found["norms"][-3:], alone["norms"][-3:], rtol=1e-4)


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_every_row_once_in_one_of_them(both, name):
    first, second = both[name]
    epochs = len(first["history"])
    assert sorted(first["loaded"] + second["loaded"]) == sorted(first["ids"] * epochs)
    assert 0.6 < len(first["loaded"]) / len(second["loaded"]) < 1.7


def test_batches_smaller_than_the_number_of_processes(both):
    """The second process stands by with a row that counts for nothing; a step has three batches of one row."""
    first, second = both["tiny batches"]
    assert sorted(first["loaded"]) == sorted(first["ids"] * 3)
    assert first["loaded"] == second["loaded"]
    assert first["history"][-1]["step"] == 9


@pytest.mark.parametrize("name", [*SCENARIOS, "resumed"])
def test_they_have_the_same_weights(both, name):
    """As they are judged and at the end; batch statistics and averages among them (`resumed`, where each also has
    dropout of its own)."""
    first, second = both[name]
    assert first["judged"] == second["judged"] and len(set(first["judged"])) == len(first["history"])
    assert first["weights"] == second["weights"]
    assert first["history"] == second["history"]


def test_an_error_in_one_ends_all(launched):
    """The other waits for it in the middle of an epoch; `launch` would have run out of time."""
    folder, code, said = launched
    assert code != 0
    assert "train.csv row " in said and "is empty (0 bytes)" in said
    assert not list(folder.glob("broken-*.json"))
