"""A golden record: what every recipe leaves behind on its twin, what it prints, and every help text.

    python tests/golden.py record STUDIES RECORD.json      after `make dry-run RUNS=STUDIES`
    python tests/golden.py compare BEFORE.json AFTER.json  lists what differs; exit code 1 where anything does

A refactoring is judged by it: written before anything changes, compared after each step. Bytes repeat on one machine
and at one thread count only, so a record is never committed: `make golden` in a worktree of an earlier revision makes
the one to compare with.
"""

import difflib
import hashlib
import json
import re
import sys
from pathlib import Path

RECORDS = {"run.json", "started.json", "steps.csv", "log.jsonl"}  # when, where and how long: these may differ
# Lines that depend on how fast the machine is.
TIMED = re.compile(r"^[\w -]+: \d+ of \d+|seconds|\d+ s\b|/s\b|Warning|warn\(|^make")


def record(studies: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of each file below `studies`, the lines that each recipe printed, and the text of each `--help`."""
    files, printed = {}, {}
    for path in sorted(path for path in studies.rglob("*") if path.is_file()):
        name = str(path.relative_to(studies))
        if path.suffix == ".log" and path.parent == studies:
            lines = path.read_text(encoding="utf-8").splitlines()
            printed[name] = "\n".join(line for line in lines if not TIMED.search(line))
        elif path.name not in RECORDS and not path.name.endswith(".run.json"):
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"files": files, "printed": printed, "help": helps()}


def helps() -> dict[str, str]:
    from typer.testing import CliRunner

    from affectkit.cli import COMMANDS, build

    runner = CliRunner(env={"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"})
    names = [command.__name__.replace("_", "-") for command, *_ in COMMANDS]
    texts = {"affectkit": runner.invoke(build(), ["--help"]).output}
    return texts | {name: runner.invoke(build(), [name, "--help"]).output for name in names}


def compare(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """A line for each file that is gone, new or other, and the changed lines of texts."""
    lines = []
    for kind in before:
        old, new = before[kind], after[kind]
        lines += [f"{kind}: gone: {name}" for name in sorted(old.keys() - new.keys())]
        lines += [f"{kind}: new: {name}" for name in sorted(new.keys() - old.keys())]
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name]:
                lines.append(f"{kind}: other: {name}")
                if kind != "files":
                    changes = difflib.unified_diff(old[name].splitlines(), new[name].splitlines(), lineterm="", n=0)
                    lines += [f"    {line}" for line in list(changes)[2:]]
    return lines


if __name__ == "__main__":
    verb, first, second = sys.argv[1:]
    if verb == "record":
        Path(second).write_text(json.dumps(record(Path(first)), indent=1, ensure_ascii=False), encoding="utf-8")
    else:
        differences = compare(*(json.loads(Path(path).read_text(encoding="utf-8")) for path in (first, second)))
        print("\n".join(differences) or "equal")
        sys.exit(bool(differences))
