"""Run the network that stands on stdin once, as a program: its shapes go to stdout, and a crash ends nobody else.

affectkit.models.tflite starts it for files that it does not know. It imports nothing of affectkit.
"""

from __future__ import annotations

import json
import sys

_MOST_MEMORY = 4 << 30  # address space: a changed shape may ask for any amount


def main() -> None:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    _limit_memory()
    answer: dict[str, object] = {}
    try:
        network = Interpreter(model_content=sys.stdin.buffer.read(), num_threads=1)
        sides = {"inputs": network.get_input_details(), "outputs": network.get_output_details()}
        for side, entries in sides.items():
            answer[side] = [
                [int(size) for size in entry["shape"]] if entry["dtype"] is np.float32 else None for entry in entries
            ]
        if all(entry["dtype"] is np.float32 for entry in sides["inputs"]):
            network.allocate_tensors()
            for entry in sides["inputs"]:
                network.set_tensor(entry["index"], np.zeros(entry["shape"], np.float32))
            for _ in range(3):
                network.invoke()
        del network  # what was written beside an array may only show when its memory is given back
    except (ValueError, RuntimeError, MemoryError) as error:
        answer = {"error": str(error).strip().partition("\n")[0] or type(error).__name__}
    sys.stdout.write(json.dumps(answer))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))


if __name__ == "__main__":
    main()
