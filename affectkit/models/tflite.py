"""A TensorFlow Lite network from somebody's file, run by LiteRT on the CPU.

LiteRT checks a file's frame, not what is in it: of 300 copies of a network with three bytes changed, 9 ended the
process that ran them. A file that is not known by its digest is therefore run once in a process of its own first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.errors import AffectkitError

Shape = tuple[int, ...]

MARK = b"TFL3"  # bytes 4 to 8 of every file
_TRIAL = Path(__file__).with_name("tflite_trial.py")
_TRIAL_SEC = 120


class Network:
    """One image [height, width, 3] float32 in, arrays of known shapes out. Threads may share it: they take turns.

    digest: SHA-256 of the file.
    """

    def __init__(
        self,
        data: bytes,
        file: str | Path,
        inputs: Sequence[Shape],
        outputs: Sequence[Shape],
        *,
        known: Sequence[str] = (),
        threads: int = 1,
        remedy: str | None = None,
    ) -> None:
        """known: digests of files that need no trial. remedy: what to do about a file that cannot be used.

        Raises "environment" without LiteRT; "input" for what is no network, or one of other inputs and outputs.
        """
        if data[4:8] != MARK:
            raise AffectkitError("input", "is not a TensorFlow Lite file", file=file, remedy=remedy)
        interpreter = _interpreter_class()
        self.digest = sha256(data).hexdigest()
        expected = {"inputs": list(inputs), "outputs": list(outputs)}
        if self.digest not in known:
            _compare(_tried(data, file, remedy), expected, file, remedy)
        try:
            with _without_notices():
                self._network = interpreter(model_content=data, num_threads=threads)
                _compare(described(self._network), expected, file, remedy)
                self._network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _unusable(error, file, remedy) from None
        [self._input] = [entry["index"] for entry in self._network.get_input_details()]
        self._outputs = [entry["index"] for entry in self._network.get_output_details()]
        self._lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        with self._lock:
            self._network.set_tensor(self._input, image[None])
            self._network.invoke()
            return [self._network.get_tensor(index) for index in self._outputs]


def described(network: Any) -> dict[str, list[Shape | None]]:
    """The shapes of an interpreter's inputs and outputs, in their order; None for what is not float32."""

    def shapes(entries: list[dict[str, Any]]) -> list[Shape | None]:
        return [tuple(map(int, e["shape"])) if e["dtype"] is np.float32 else None for e in entries]

    return {"inputs": shapes(network.get_input_details()), "outputs": shapes(network.get_output_details())}


def version() -> str:
    """LiteRT's version, for records."""
    from importlib.metadata import version

    return version("ai-edge-litert")


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        remedy = 'pip install "affectkit[pose]"'
        raise AffectkitError("environment", "running .tflite networks needs LiteRT", remedy=remedy) from None
    return Interpreter


def _tried(data: bytes, file: str | Path, remedy: str | None) -> dict[str, list[Shape | None]]:
    """What a file's network takes and gives, after a run in a process of its own."""
    command = [sys.executable, "-P", str(_TRIAL)]
    answer: dict[str, Any]
    try:
        trial = subprocess.run(command, input=data, capture_output=True, timeout=_TRIAL_SEC)
        answer = json.loads(trial.stdout) if trial.returncode == 0 else {"error": "running it ends the process"}
    except subprocess.TimeoutExpired:
        answer = {"error": f"it ran for more than {_TRIAL_SEC} s"}
    if "error" in answer:
        raise _unusable(answer["error"], file, remedy)
    return {side: [None if shape is None else tuple(shape) for shape in answer[side]] for side in answer}


def _compare(network: dict, expected: dict, file: str | Path, remedy: str | None) -> None:
    for side, shapes in expected.items():
        if network[side] != shapes:
            have = ", ".join("no float32" if s is None else "x".join(map(str, s)) for s in network[side]) or "none"
            need = ", ".join("x".join(map(str, s)) for s in shapes)
            raise AffectkitError("input", f"is another network: its {side} are {have}; {need} are needed",
                                 file=file, remedy=remedy)  # fmt: skip


def _unusable(why: object, file: str | Path, remedy: str | None) -> AffectkitError:
    why = str(why).strip().partition("\n")[0]
    return AffectkitError("input", f"cannot be run as a TensorFlow Lite network: {why}", file=file, remedy=remedy)


@contextmanager
def _without_notices() -> Iterator[None]:
    """Leave out the line that LiteRT writes to stderr, for which it has no switch; others are written afterwards."""
    try:
        before = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            for line in kept:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)
