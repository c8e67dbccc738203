"""Weights to start from: those of a fine-tuned run, in each fold of the fold's own, or of a plain checkpoint file."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from affectkit import registry
from affectkit.artifacts.files import read_json, sha256
from affectkit.artifacts.models import SPEC, TRAIN_REPORT, best_model, read_fit_rows, read_spec, run_of, whole
from affectkit.artifacts.records import trusted
from affectkit.artifacts.tables import read_table, write_table
from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import Medium, choose_medium, medium_of
from affectkit.labels import Target
from affectkit.leakage.held_out import seen_of
from affectkit.models.outputs import is_linked
from affectkit.models.weights import check_finite, read_tensors, write_tensors

logger = logging.getLogger(__name__)

FOLDS = "folds"
NETWORK, ROWS = "network.safetensors", "rows.csv"  # of a fold that is kept: its weights, and what they were made on
PREFIXES = ("", "module.", "model.", "backbone.", "network.", "encoder.")  # what other tools put before names
TRAINED, STOPPING = "train", "stopping"
_NAMED = 8  # tensors that a report names of each kind
_KEEP = "make it with finetune --cv --keep-folds on the same manifest, with the same --seed"


# --- Folds that are kept


def keep_rows(folder: Path, ids: np.ndarray, train: np.ndarray, stopping: np.ndarray) -> None:
    """Write which rows a fold's network was fitted on, and by which its epoch was chosen."""
    rows = [*((key, TRAINED) for key in ids[train]), *((key, STOPPING) for key in ids[stopping])]
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / ROWS, pd.DataFrame(rows, columns=["id", "role"]))


def keep_network(folder: Path, network: Any) -> None:
    write_tensors(folder / NETWORK, network.state_dict())


@dataclass(frozen=True)
class KeptFold:
    """trained, stopping: ids of the rows that the network was fitted on, and of those that chose its epoch."""

    folder: Path
    trained: frozenset[str]
    stopping: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> KeptFold:
        rows = read_table(trusted(folder / ROWS), required=["id", "role"])
        trained, stopping = (frozenset(rows["id"][rows["role"] == role]) for role in (TRAINED, STOPPING))
        return cls(folder, trained, stopping)


# --- What is loaded


@dataclass(frozen=True)
class Loaded:
    """Names of tensors: of the network that got their weights, of it that kept their own, of the source that found no
    place, and of both that have another shape. heads: targets whose head was loaded too."""

    loaded: Sequence[str]
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshapen: Sequence[str]
    heads: Sequence[str] = ()

    def plain(self) -> dict[str, Any]:
        names = ("missing", "unexpected", "misshapen")
        named = {f"{name}_names": list(getattr(self, name)[:_NAMED]) for name in names}
        return {name: len(getattr(self, name)) for name in ("loaded", *names)} | named | {"heads": list(self.heads)}


def load_tensors(
    network: Any, tensors: Mapping[str, torch.Tensor], source: Path, apart: Collection[str] = ()
) -> Loaded:
    """Give a network the tensors that it has names and shapes for. apart: names, of both, that are left out.

    Raises "input" where nothing fits, and for what is no number.
    """
    check_finite(tensors, source)
    state = {name: tensor for name, tensor in network.state_dict().items() if name not in apart}
    there = {name: tensor for name, tensor in tensors.items() if name not in apart}
    common = state.keys() & there.keys()
    fitting = {name: there[name] for name in state if name in common and there[name].shape == state[name].shape}
    misshapen = sorted(common - fitting.keys())
    if not fitting:
        ours, theirs = min(state, default="nothing"), min(there, default="nothing")
        message = f"fits no tensor of the network: it has names such as {theirs}, the network such as {ours}"
        raise AffectkitError("input", message, file=source, remedy="name weights of the same --base-model")
    network.load_state_dict({**network.state_dict(), **fitting})
    return Loaded(list(fitting), sorted(state.keys() - common), sorted(there.keys() - common), misshapen)


def renamed(tensors: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors under the names of a network's state, by what prefix is taken off and put before fits the most."""
    parts = [name.split(".") for name in state]
    ours = {".".join(names[:depth]) + "." for names in parts for depth in range(1, min(4, len(names)))}
    candidates = []
    for old in PREFIXES:
        for new in ["", *sorted(ours, key=len)]:
            names = {name: new + name.removeprefix(old) for name in tensors}
            fits = sum(state[to].shape == tensors[name].shape for name, to in names.items() if to in state)
            candidates.append((fits, names))
    _, names = max(candidates, key=lambda candidate: candidate[0])  # the first, which changes least, of equals
    return {to: tensors[name] for name, to in names.items()}


# --- Where they come from


@dataclass(frozen=True)
class Rows:
    """Of one fit: ids of the rows that choose its epoch, and of those that it is judged by, with the groups of all as
    `RunStart.group` has them; none where it has none, or the manifest does not."""

    stopping: Sequence[str]
    judged: Sequence[str]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class CheckpointStart:
    """A plain file of weights, of which nothing says on what they were trained."""

    path: Path
    by_fold = False
    group = None

    def check(self, number: int, rows: Rows) -> None:
        """Nothing is known of its rows."""

    def into(self, network: Any, targets: Sequence[Target], number: int, rows: Rows) -> Loaded:
        tensors = renamed(read_tensors(self.path), network.state_dict())
        return load_tensors(network, tensors, self.path)

    def facts(self) -> dict[str, Any]:
        return {"path": str(self.path), "sha256": sha256(self.path), "chosen_by": None}


@dataclass(frozen=True)
class RunStart:
    """A run of finetune. folds: those that it kept, by number; the final fit, whose network is the model, has 0.

    by_fold: whether each fold of this fit starts from another network.
    """

    path: Path
    model: Path
    spec: Mapping[str, Any]
    by_fold: bool
    folds: Mapping[int, KeptFold] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, cv: bool) -> RunStart:
        """Raises "input" for a model of another kind, "usage" where folds are needed that were not kept."""
        model = best_model(path)
        spec = read_spec(model)
        if spec.get("kind") != "finetuned":
            message = f"is a model of kind '{spec.get('kind')}': a network starts from a fine-tuned one"
            raise AffectkitError("input", message, file=path, remedy="name a run of affectkit finetune")
        folder = run_of(model) / FOLDS
        kept = sorted(place.parent for place in folder.glob(f"*/{ROWS}"))
        folds = {int(place.name): KeptFold.read(place) for place in kept if place.name.isdecimal()}
        if cv and len(folds) < 2:
            message = "--init with --cv needs the network of each fold, and this run kept none"
            raise AffectkitError("usage", message, file=path, remedy=_KEEP)
        return cls(path, model, spec, cv, folds)

    @property
    def group(self) -> str | None:
        """The column of what the rows that judge it do not share with those that it was fitted on."""
        return None if self.spec.get("groups_straddle") else self.spec.get("group")

    @property
    def medium(self) -> Medium:
        with whole(self.model):
            return medium_of(self.spec)

    def into(self, network: Any, targets: Sequence[Target], number: int, rows: Rows) -> Loaded:
        """Give a network the weights for fit `number`; 0 is the final one. Raises as `check`."""
        fold = self.check(number, rows)
        tensors = read_tensors(trusted(fold.folder / NETWORK)) if fold else None
        with whole(self.model):
            theirs = [Target.from_json(target) for target in self.spec["targets"]]
            before = self.medium.load(self.model, theirs)
            if tensors is not None:
                before.load_state_dict(tensors)
        return _transferred(before, theirs, network, targets, self.path)

    def check(self, number: int, rows: Rows) -> KeptFold | None:
        """The fold that a fit starts from, None for the final one. Raises "leak" where its weights have met rows that
        judge the fit or choose its epoch."""
        if number:
            return self._fold(rows)
        self._check_final(rows)
        return None

    def facts(self) -> dict[str, Any]:
        """chosen_by: the rows that chose the epoch of the weights, whose figures flatter what starts from it."""
        report = run_of(self.model) / TRAIN_REPORT
        chosen_by = read_json(report)["selected_on"] if report.exists() else None
        return {"path": str(self.path), "sha256": None, "chosen_by": chosen_by}

    def _fold(self, rows: Rows) -> KeptFold:
        judged, fitted = set(rows.judged), self._fitted
        groups = {rows.groups[key] for key in judged} if rows.groups else set()
        for number, fold in self.folds.items():
            met = fold.trained | fold.stopping
            if number and not met & judged and not groups & set(fitted["group"][fitted["id"].isin(met)]) - {""}:
                _refuse_stopping(set(rows.stopping) & fold.trained, self.path)
                return fold
        message = f"each network that it kept was fitted on rows or groups of a fold, as on id '{rows.judged[0]}'"
        raise AffectkitError("leak", message, file=self.path, remedy=_KEEP)

    def _check_final(self, rows: Rows) -> None:
        fitted = self._fitted
        cells = [rows.groups[key] for key in rows.judged] if rows.groups else None
        for key, seen in zip(rows.judged, seen_of(rows.judged, cells, fitted), strict=True):
            if seen == "fit":
                message = f"was fitted on id '{key}', or its group, by which this fit is judged"
                raise AffectkitError("leak", message, file=self.path, remedy="start from a run with the same split")
        trained = self.folds[0].trained if 0 in self.folds else frozenset(fitted["id"])
        _refuse_stopping(set(rows.stopping) & trained, self.path)

    @cached_property
    def _fitted(self) -> pd.DataFrame:
        """The rows of its own fits, not those of its parents."""
        fitted = read_fit_rows(self.model)
        return fitted[fitted["role"] == "fit"]


Start = CheckpointStart | RunStart


def read_start(path: Path, *, cv: bool) -> Start:
    """Raises "missing", and as `RunStart.read` does."""
    if path.is_dir():
        return RunStart.read(path, cv=cv)
    read_tensors(trusted(path))
    if (path.parent / SPEC).exists():
        message = "is a file of a model, which knows the rows that it was fitted on"
        raise AffectkitError("usage", message, file=path, remedy=f"name its folder: --init {path.parent}")
    logger.warning("%s: nothing says which rows these weights were trained on", path)
    return CheckpointStart(path)


def medium_to_train(start: Start | None, checkpoint: str | None, revision: str, options: Mapping[str, Any]) -> Medium:
    """The medium of the checkpoint; without one, that of the run that is started from, but for options that were typed.

    Raises as `choose_medium` does, and "usage" for a run on another kind of media, or on other pictures of a row.
    """
    if checkpoint is None:
        assert isinstance(start, RunStart)
        before: Any = start.medium
        registry.check_options("media", start.spec["reads"], type(before), options)
        medium = cast(Medium, replace(before, revision=revision, **options))
    else:
        medium = choose_medium(checkpoint, revision, options)
    if not isinstance(start, RunStart):
        return medium
    if start.spec["reads"] != medium.reads:
        message = f"reads {start.spec['reads']}, and {checkpoint} reads {medium.reads}"
        raise AffectkitError("usage", message, file=start.path, remedy="leave --base-model out")
    before, now = list(start.spec.get("media", ())), medium.spec().get("media", ())
    if before != list(now):  # branches are known by their places
        message = f"has branches for {', '.join(before)}, and --media names {', '.join(now)}"
        raise AffectkitError("usage", message, file=start.path, remedy=f"pass --media {','.join(before)}")
    return medium


def _refuse_stopping(met: Collection[str], path: Path) -> None:
    if met:
        message = f"was fitted on rows that choose the epoch here, as id '{min(met)}' ({len(met)} in all)"
        remedy = "use the --seed and the --early-stopping-fraction of that run, kept with --keep-folds, or val rows"
        raise AffectkitError("leak", message, file=path, remedy=remedy)


def in_standard_units(network: Any, heads: Collection[str], scaling: Mapping[str, tuple[float, float]]) -> None:
    """Let numbers whose heads were loaded come out in units of deviation again, as training has them."""
    if inverse := {name: (-mean / deviation, 1 / deviation) for name, (mean, deviation) in scaling.items()}:
        network.fold({name: units if name in heads else (0.0, 1.0) for name, units in inverse.items()})


@torch.no_grad()
def _transferred(
    before: Any, theirs: Sequence[Target], network: Any, targets: Sequence[Target], source: Path
) -> Loaded:
    """One network's weights into another of its kind; of the last layer the outputs of targets that both have, classes
    by their names."""
    known = {target.name: target for target in before.targets}
    heads = [target.name for target in targets if target.name in known and _alike(target, known[target.name])]
    ours = {target.name: _names(network, target) for target in targets}
    lacking = set().union(*(names for name, names in ours.items() if name not in heads))
    old = set().union(*(_names(before, target) for target in theirs))
    done = load_tensors(network, before.state_dict(), source, {*old, *set().union(*ours.values())})
    for target in (target for target in targets if target.name in heads):
        (its, there), (mine, here) = before.output_of(known[target.name]), network.output_of(target)
        order = [known[target.name].classes.index(name) for name in target.classes] or [0]
        for name, tensor in mine.named_parameters():
            tensor[here] = getattr(its, name)[there][order]
    loaded = [*done.loaded, *sorted(set().union(*ours.values()) - lacking)]
    unexpected = [*done.unexpected, *(() if heads else sorted(old))]
    return Loaded(loaded, [*done.missing, *sorted(lacking)], unexpected, done.misshapen, heads)


def _names(network: Any, target: Target) -> set[str]:
    """Of the tensors of the linear layer that answers for a target."""
    layer = {id(parameter) for parameter in network.output_of(target)[0].parameters()}
    return {name for name, parameter in network.named_parameters() if id(parameter) in layer}


def _alike(first: Target, second: Target) -> bool:
    if is_linked(first) or is_linked(second):
        return is_linked(first) == is_linked(second) and first.classes == second.classes
    numbers = "number" in (first.kind, second.kind)
    return first.kind == second.kind if numbers else sorted(first.classes) == sorted(second.classes)
