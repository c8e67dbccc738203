"""What a protocol is: phases, each a few steps, each step a run folder that a single command could have written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from affectkit import registry
from affectkit.artifacts.runs import open_run
from affectkit.console import Progress
from affectkit.distributed import Ranks
from affectkit.errors import AffectkitError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """What all phases share. folder: of the study, with a folder for each step."""

    manifest: Path
    folder: Path
    group: str | None = None
    media_root: Path | None = None
    device: str = "auto"
    num_workers: int | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    progress: Progress | None = None


@dataclass(frozen=True)
class Step:
    """says: what it will do, a sentence. line: the single command that does the same. inputs: what it reads.

    work: called with the open run's folder, once; it returns what is to be said at its end.
    """

    folder: Path
    says: str
    line: str
    inputs: Sequence[Path]
    options: Mapping[str, Any]
    work: Callable[[Path, Ranks], Sequence[str]]

    @property
    def command(self) -> str:
        return self.line.split()[0]


class Procedure(Protocol):
    """A published procedure. phases: their numbers, in order."""

    name: str
    phases: tuple[int, ...]

    def steps(self, phase: int, study: Study) -> list[Step]:
        """Of a phase. Raises "missing" where an earlier phase has not been run, "usage" for options at odds."""


def build_procedure(name: str, phase: int | None, options: Mapping[str, Any]) -> Procedure:
    """The procedure called `name`. Raises "usage" for an unknown one, an option that it lacks, or no such phase."""
    module = registry.load("protocols", name)
    registry.check_options("protocols", name, module.build, dict(options))
    procedure: Procedure = module.build(**options)
    if phase not in procedure.phases:
        known = ", ".join(map(str, procedure.phases))
        raise AffectkitError("usage", f"{name} has no phase {phase}", remedy=f"--phase {known}")
    return procedure


def announce(phase: int, steps: Sequence[Step]) -> list[str]:
    """What a phase will do, in lines to be read before it does it."""
    lines = [f"phase {phase}: {len(steps)} step{'s' if len(steps) > 1 else ''}"]
    for number, step in enumerate(steps, start=1):
        lines += [f"{number}. {step.says}", f"   affectkit {step.line}"]
    return lines


def carry_out(steps: Sequence[Step], study: Study, here: Ranks) -> list[str]:
    """Run the steps, each in its folder; with `resume` finished ones are kept. Returns what they say."""
    said: list[str] = []
    for step in steps:
        options = {
            **step.options, "output_dir": step.folder, "manifest": study.manifest, "group": study.group,
            "media_root": study.media_root, "seed": study.seed, "resume": study.resume, "overwrite": study.overwrite,
        }  # fmt: skip
        for path in step.inputs:
            if not path.exists():
                raise AffectkitError("missing", "is not there", file=path, remedy="run the earlier phase first")
        step.folder.parent.mkdir(parents=True, exist_ok=True)
        with open_run(step.command, options, inputs=step.inputs, is_main=here.is_main, barrier=here.barrier) as run:
            if run.finished:
                logger.info("%s is finished", step.folder)
            else:
                said += [f"{step.folder}:", *step.work(run.path, here)]
    return said
