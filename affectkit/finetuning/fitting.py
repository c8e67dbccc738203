"""One fine-tuning: what is built, trained and answered in a fold, or for the final network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectkit.console import Progress
from affectkit.finetuning.beside import Beside
from affectkit.finetuning.encoded import encode, read_encoded
from affectkit.finetuning.mixture import ALONE, NETWORK, MixedExamples, Mixture, features_of, mixed
from affectkit.finetuning.passes import ONCE
from affectkit.finetuning.rows import Data, Setup, labelled, stopping_rows, take, thawing, warn
from affectkit.finetuning.start import FOLDS, Loaded, Rows, in_standard_units, keep_network, keep_rows
from affectkit.leakage.held_out import groups_of
from affectkit.models.outputs import start_levels
from affectkit.training.fit import Fit, Problem, fit
from affectkit.training.journal import within
from affectkit.training.judging import outputs_of
from affectkit.training.keeping import read_tensors, write_tensors
from affectkit.training.objective import Objective, build_objective, counts_of
from affectkit.training.problem import Examples
from affectkit.training.stages import Stage

WORKING = ("answers*.safetensors", "encoded.safetensors", "beside.safetensors")  # what only an unfinished run needs
Kind = tuple[str, str]
# Of answers: of fits that did not see the row, where it is judged; of the final one; after a stage; of a branch alone.
WHOLE, FINAL, STAGE, BRANCH = ("", ""), ("final", ""), "stage", "branch"


@dataclass(frozen=True)
class Job:
    """Where a fine-tuning works, and whom it tells."""

    folder: Path
    accelerator: Any
    progress: Progress | None

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def of_fit(self, number: int) -> Job:
        return self if number == 0 else replace(self, folder=self.fold(number))

    def fold(self, number: int) -> Path:
        """What is kept of a fit, and where that of a fold works. job: of the run."""
        return self.folder / FOLDS / f"{number:02d}"

    def kept(self, name: str, make: Callable[[], Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """What `make` gives, in all processes; read where it was made before the run was interrupted."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            made = make()
            if self.is_main:
                write_tensors(path, made)
        self.accelerator.wait_for_everyone()
        return read_tensors(path)


@dataclass(frozen=True)
class Part:
    """The rows of a fit, which is 0, the final one, or that of a fold. Positions of those that may be fitted on, that
    are answered, and that are judged by it."""

    number: int
    inside: np.ndarray
    outside: np.ndarray
    judged: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What is said of N rows. of_kind: (kind, name) -> target -> [N, passes, ...], NaN where nothing was said."""

    rows: int
    of_kind: dict[Kind, dict[str, np.ndarray]] = field(default_factory=dict)

    def put(self, kind: Kind, rows: np.ndarray, answers: Mapping[str, np.ndarray]) -> None:
        for name, values in answers.items():
            of_target = self.of_kind.setdefault(kind, {})
            of_target.setdefault(name, np.full((self.rows, *values.shape[1:]), np.nan))[rows] = values


@dataclass(frozen=True)
class Fitting:
    """A fine-tuning. beside: [N, S, C], what other models say of the rows, None where there are none."""

    data: Data
    part: Part
    setup: Setup
    job: Job
    beside: np.ndarray | None = None

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows that are trained on and of those that choose the epoch."""
        train, stopping = stopping_rows(self.data, self.part.inside, self.setup)
        return train[labelled(take(self.data.truth, train))], stopping

    @cached_property
    def objective(self) -> Objective:
        return build_objective(self.data.targets, take(self.data.truth, self._rows[0]), **asdict(self.setup.loss))

    @cached_property
    def _started(self) -> tuple[Any, Loaded | None]:
        """The network in standard units, and what it started from."""
        network, loaded = started(self.data, self.part, self.setup)
        known = loaded.heads if loaded else ()
        start_levels(network, {name: shares for name, shares in self._shares.items() if name not in known})
        if loaded:
            in_standard_units(network, loaded.heads, self.objective.scaling)
        return network, loaded

    @property
    def _shares(self) -> dict[str, list[float]]:
        """Of each class target the shares of its classes among the train rows, as these are weighted, and one row more
        each: some may have none."""
        shares = {}
        for target in (target for target in self.data.targets if target.kind != "number"):
            counts = counts_of(target, self.data.truth[target.name][self._rows[0]]) + 1
            weighed = counts * self.objective.weights.get(target.name, 1.0)
            shares[target.name] = (weighed / weighed.sum()).tolist()
        return shares

    @property
    def network(self) -> Any:
        return self._started[0]

    @property
    def loaded(self) -> Loaded | None:
        return self._started[1]

    @cached_property
    def mixture(self) -> Mixture | None:
        if self.setup.beside is None:
            return None
        mix = self.setup.beside.mix
        features = features_of(self.network) if mix.how == "layer" else 0
        return Mixture(self.data.targets, replace(mix, features=features))

    def run(self, answers: Answers) -> Fit:
        """Train, and put what is said of rows among `answers`. The numbers of the network are then in the targets' own
        units."""
        data, setup, job = self.data, self.setup, self.job
        train, stopping = self._rows
        warn(data, self.objective, train, stopping, setup)
        stages, thawed = self._stages()
        problem = self._problem(thawed)
        network = mixed(setup.medium, self.network, self.mixture, setup.medium.passes)  # refuses before any training
        *early, _ = [stage.name for stage in stages]  # the last one's answers are those of the model

        def after_stage(stage: Stage) -> None:
            if stage.name in early and len(self.part.judged):
                self._answer(network, f"answers-{early.index(stage.name)}", self.part.judged)

        how: dict[str, Any] = {"progress": job.progress, "after_stage": after_stage}
        done = fit(problem, stages, setup.settings, job.folder, job.accelerator, **how)
        for place, name in enumerate(early if len(self.part.judged) else ()):
            outputs = self._answer(network, f"answers-{place}", self.part.judged)
            answers.put((STAGE, name), self.part.judged, self._read(outputs))
        outputs = self._answer(network, "answers", self.part.outside)
        for kind in (WHOLE,) if self.part.number else (WHOLE, FINAL):
            answers.put(kind, self.part.outside, self._read(outputs))
        for name, said in self._branches(outputs):
            answers.put((BRANCH, name), self.part.outside, said)
        self.network.fold(self.objective.scaling)
        return done

    def keep(self, folder: Path) -> None:
        """Keep of a fold what a later fit may start from; of the final one its rows, as its network is the model."""
        train, stopping = self._rows
        keep_rows(folder, self.data.held_out.ids, train, stopping)
        if self.part.number:
            keep_network(folder, self.network)

    def _stages(self) -> tuple[list[Stage], frozenset[str]]:
        """The stages, and those that thaw what is frozen."""
        stages, thawed = self.setup.stages, frozenset[str]()
        if epochs := getattr(self.setup.medium, "freeze_feature_encoder_epochs", 0):
            stages, thawed = thawing(stages, epochs)
        return list(stages) if len(self._rows[1]) else [replace(stage, patience=0) for stage in stages], thawed

    def _problem(self, thawed: frozenset[str]) -> Problem:
        (train, stopping), medium = self._rows, self.setup.medium
        judged, at_head = len(stopping) > 0, None
        val = self._examples(stopping) if judged else None
        if self.data.encoded is not None:
            at_head = self._at_head(train, train=True), self._at_head(stopping) if judged else None
        network = mixed(medium, self.network, self.mixture)
        examples = self._examples(train, train=True)
        return Problem(network, examples, val, self.objective, medium.frozen, at_head, thawed)

    # What is said of rows

    def _examples(self, rows: np.ndarray, **how: Any) -> Examples:
        return self._beside(self.data.examples(rows, self.network, self.setup.medium, **how), rows)

    def _at_head(self, rows: np.ndarray, **how: Any) -> Examples:
        return self._beside(self.data.at_head(rows, **how), rows)

    def _beside(self, examples: Examples, rows: np.ndarray) -> Examples:
        return examples if self.beside is None else MixedExamples(examples, self.beside[rows])

    def _answer(self, network: Any, name: str, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The outputs for rows, in several passes where the medium has them; kept until the run is finished."""
        setup, passes = self.setup, self.setup.medium.passes
        at_once = setup.head_only and self.data.encoded is not None and passes == ONCE
        examples = self._at_head(rows) if at_once else self._examples(rows, passes=passes)
        return self.job.kept(
            name, partial(outputs_of, network, examples, self.job.accelerator, **setup.settings.answering)
        )

    def _read(self, outputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
        """Of each target [M, passes, ...] in its units."""
        return self.setup.medium.passes.answers(self.objective, outputs)

    def _branches(self, outputs: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """The name of each branch, and what it says of the rows outside by itself."""
        if self.setup.beside is None or self.beside is None:
            return
        for place, branch in enumerate(self.setup.beside.branches):
            said = self.setup.beside.by_target(self.beside[self.part.outside, place])
            yield branch.name, {name: values[:, None] for name, values in said.items()}
        alone = {target.name: outputs[ALONE + target.name] for target in self.data.targets}
        yield NETWORK, self._read(alone)


def started(data: Data, part: Part, setup: Setup) -> tuple[Any, Loaded | None]:
    """A new network, with the weights that it starts from, and what was loaded of these. Raises as `Start.into`."""
    network = setup.medium.build(data.targets, setup.settings.seed)
    if setup.start is None:
        return network, None
    return network, setup.start.into(network, data.targets, part.number, rows_of_start(data, part, setup))


def rows_of_start(data: Data, part: Part, setup: Setup) -> Rows:
    """Which rows the weights that a fit starts from may not have met."""
    _, stopping = stopping_rows(data, part.inside, setup)
    ids, column = data.held_out.ids, setup.start.group if setup.start else None
    known = column is not None and column in data.manifest.rows
    groups = groups_of(data.manifest, column)[1] if known else ids[:0]
    return Rows(list(ids[stopping]), list(ids[part.judged]), dict(zip(ids, groups, strict=False)))


def beside_of(answers: np.ndarray, part: Part, beside: Beside, data: Data, job: Job) -> np.ndarray:
    """[N, S, C], what other models say of the rows of a fit: in a fold, from fits that saw none of the rows outside."""
    if part.number == 0:
        return answers
    ids, folder = data.held_out.ids, job.folder / "beside"

    def make() -> dict[str, torch.Tensor]:
        with within("beside"):
            made = beside.within(answers, ids, part.inside, part.outside, folder) if job.is_main else answers
        return {"beside": torch.from_numpy(made)}

    return job.kept("beside", make)["beside"].numpy()


def encoded_of(data: Data, parts: list[Part], setup: Setup, job: Job) -> np.ndarray:
    """[N, D] of the rows that the head is trained on, and, if that is all that is trained, of those to be answered; NaN
    for the others. Computed once, and kept in the run folder until the run is finished; or read from features."""
    medium, rows = setup.medium, data.rows_of(setup, [(part.inside, part.outside) for part in parts])

    def make() -> dict[str, torch.Tensor]:
        network = started(data, parts[0], setup)[0].to(job.accelerator.device)
        examples = partial(data.examples, network=network, medium=medium)
        values = encode(network, rows, examples, job.accelerator, setup.settings.answering, job.progress)
        values_of_all = torch.full((len(data.items), values.shape[1]), torch.nan)
        values_of_all[torch.from_numpy(rows)] = values
        return {"encoded": values_of_all}

    if medium.features:
        network, ids = medium.build(data.targets, setup.settings.seed), [item.id for item in data.items]
        return read_encoded(medium.features, ids, rows, network.describe(), medium.spec()["crop"])
    return job.kept("encoded", make)["encoded"].numpy()
