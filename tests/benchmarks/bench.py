"""Run every benchmark beside this file and print one table: `make bench`, or `python bench.py headers` for some.

Each `bench_<name>.py` has `run() -> list[dict]` with what, ours, peer, ratio or seconds, target, ok: the peer is
measured in the same run on the same data, so that the ratio means something on a noisy machine.
"""

import importlib.util
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # spawned workers import what they run by its name
    spec.loader.exec_module(module)
    return module


def main(wanted):
    folder = Path(__file__).parent
    sys.path.insert(0, str(folder))
    table = Table("what", "ours", "peer", "measured", "target", "")
    ok = True
    for path in sorted(folder.glob("bench_*.py")):
        if wanted and path.stem.removeprefix("bench_") not in wanted:
            continue
        for row in load(path).run():
            measured = f"{row['ratio']:.2f}x" if row.get("ratio") is not None else f"{row['seconds']:.2f} s"
            table.add_row(
                row["what"], row["ours"], row["peer"], measured, row["target"], "ok" if row["ok"] else "MISSED"
            )
            ok &= bool(row["ok"])
    Console(width=160).print(table)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
