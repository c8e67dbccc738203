"""What a protocol is: phases of a few steps, each a command line that is shown, and run in this process."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from affectkit import registry
from affectkit.console import App
from affectkit.distributed import Ranks
from affectkit.errors import AffectkitError

logger = logging.getLogger(__name__)

# Commands whose work several processes share; any other runs in the first of them, and the others wait.
SHARING = frozenset({"extract-features", "finetune"})


@dataclass(frozen=True)
class Study:
    """What all steps share. folder: of the study, with a run folder for each step. options: that every command takes
    which has them, by name (`group`, `device`, `resume`, ...), as they were typed."""

    manifest: Path
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """says: what it will do, a sentence. words: the command line, without the program's name. folder: what it writes.
    needs: what an earlier phase must have left."""

    says: str
    words: tuple[str, ...]
    folder: Path
    needs: Sequence[Path] = ()

    @property
    def line(self) -> str:
        return shlex.join(("affectkit", *self.words))


def step(
    says: str,
    command: Callable[..., Any],
    *arguments: Any,
    study: Study,
    folder: Path,
    needs: Sequence[Path] = (),
    **options: Any,
) -> Step:
    """A step that calls `command`, a function of `affectkit.commands`, with the study's manifest and shared options.

    options: by the names of the function's parameters; None is left out, True is a flag.
    """
    takes = set(command.__annotations__)
    shared = {name: value for name, value in study.options.items() if name in takes}
    words = [command.__name__.replace("_", "-"), *map(str, arguments)]
    for name, value in {**options, "manifest": study.manifest, "output_dir": folder, **shared}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return Step(says, tuple(words), folder, needs)


class Procedure(Protocol):
    """A published procedure. phases: their numbers, in order."""

    name: str
    phases: tuple[int, ...]

    def steps(self, phase: int, study: Study) -> list[Step]:
        """Of a phase. Raises "usage" for options at odds."""


def build_procedure(name: str, phase: int | None, options: Mapping[str, Any]) -> Procedure:
    """The procedure called `name`. Raises "usage" for an unknown one, an option that it lacks, or no such phase."""
    procedure: Procedure = registry.build("protocols", name, options)
    if phase not in procedure.phases:
        known = ", ".join(map(str, procedure.phases))
        raise AffectkitError("usage", f"{name} has no phase {phase}", remedy=f"--phase {known}")
    return procedure


def announcement(phase: int, steps: Sequence[Step]) -> list[str]:
    """What a phase will do, in lines to be read before it does it."""
    lines = [f"phase {phase}: {len(steps)} step{'s' * (len(steps) > 1)}"]
    for number, planned in enumerate(steps, start=1):
        lines += [f"{number}. {planned.says}", f"   {planned.line}"]
    return lines


def script(phase: int, steps: Sequence[Step]) -> str:
    """The phase as a shell script."""
    lines = ["#!/usr/bin/env bash", f"# phase {phase}", "set -euo pipefail"]
    for number, planned in enumerate(steps, start=1):
        lines += ["", f"# {number}. {planned.says}", planned.line]
    return "\n".join(lines) + "\n"


def carry_out(steps: Sequence[Step], run: App, ranks: Ranks) -> list[str]:
    """Run the steps one after the other. Returns their lines. Raises "missing" where an earlier phase has not run."""
    lines: list[str] = []
    for planned in steps:
        for path in planned.needs:
            if not path.exists():
                raise AffectkitError("missing", "is not there", file=path, remedy="run the earlier phase first")
        if ranks.is_main or planned.words[0] in SHARING:
            outcome = run(planned.words)
            if outcome.finished:
                logger.info("%s is finished", planned.folder)
            elif outcome.path is not None:
                lines += [f"{planned.folder}:", *outcome.lines, *(f"warning: {text}" for text in outcome.warnings)]
        ranks.barrier()
    return lines
