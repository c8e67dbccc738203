"""The third kind of sources: branches of a fine-tuned run, the models beside its network and the pictures of a row that
it sees. Those of a subset are trained anew, as the records of the run and of what it stands on say, each by a command
line of its own, whose run folder can be looked at, and gone on with."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit import registry
from affectkit.ablation.sources import fit_rows, with_folds
from affectkit.ablation.study import AblationSetup, AblationStudy, digest
from affectkit.artifacts.manifest import Manifest, media_columns, read_manifest, write_manifest
from affectkit.artifacts.models import label_map, whole
from affectkit.artifacts.predictions import Predictions, read_predictions
from affectkit.artifacts.records import STARTED, read_started, require_unchanged, trusted
from affectkit.artifacts.runs import open_run
from affectkit.artifacts.sources import PREDICTIONS, named_paths
from affectkit.console import App
from affectkit.errors import AffectkitError
from affectkit.finetuning.mixture import NETWORK, MixOptions
from affectkit.leakage.held_out import groups_of
from affectkit.plain import comma_separated, is_file_name

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

BRANCHES = "branches"  # folder of the runs
# What a command line of a branch says anew, or leaves to its command.
ANEW = {
    "manifest", "output_dir", "resume", "overwrite", "cv", "keep_folds", "init", "beside", "mix", "media", "seed",
    "track", "importance", "separate",
}  # fmt: skip
Step = tuple[Path, list[str]]  # a run's folder, and the words of its command line


@dataclass(frozen=True)
class Recorded:
    """A run's command and the options that its record has."""

    command: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, run: Path, command: str) -> Recorded:
        started = read_started(trusted(run))
        if started["command"] != command:
            message = f"affectkit {started['command']} made it: its branches cannot be trained again"
            raise AffectkitError("input", message, file=run, remedy=f"name a run of {command}")
        require_unchanged(started)
        nested = [value for value in started["options"].values() if isinstance(value, dict)]
        return cls(command, {**started["options"], **{name: v for each in nested for name, v in each.items()}})

    def words(self, folder: Path, **anew: Any) -> list[str]:
        """The command line that does the same with other inputs, and writes `folder`."""
        kept = {name: value for name, value in self.options.items() if name not in ANEW and not isinstance(value, dict)}
        words = [self.command]
        for name, value in {**kept, **anew, "cv": True, "output_dir": folder}.items():
            flag = "--" + name.replace("_", "-")
            if value is True:
                words.append(flag)
            elif value is False:
                words += [registry.negative_flag_of(p) for p in list(registry.owners_of(name).values())[:1]]
            elif value is not None and value != "":
                cells = value if isinstance(value, list) else [value]
                words += [word for cell in cells for word in (flag, str(cell))]
        return words


@dataclass(frozen=True)
class Branches:
    """network: how it is trained beside the models; alone: how it was trained before, the same where it started anew.
    tables: the models beside it, by name. pictures: that it sees; `network` where it has no choice of them. mix: how
    they are mixed, None equally."""

    network: Recorded
    alone: Recorded
    tables: Mapping[str, Recorded]
    pictures: Sequence[str]
    mix: MixOptions | None = None

    @classmethod
    def of(cls, run: Path) -> Branches:
        network = Recorded.of(run, "finetune")
        with whole(run / STARTED, "record of a training"):
            init = network.options.get("init")
            alone = Recorded.of(Path(init), "finetune") if init and Path(init).is_dir() else network
            beside = named_paths(network.options.get("beside") or [], least=0)
            tables = {name: Recorded.of(path, "train") for name, path in beside.items()}
            pictures = comma_separated(network.options.get("media") or alone.options.get("media") or "") or [NETWORK]
            if odd := [name for name in pictures if not is_file_name(name)]:
                raise ValueError(f"'{odd[0]}' names no picture")
            mix = network.options.get("mix")
            options = MixOptions.parse(mix, list(tables)) if mix else None
        if both := tables.keys() & set(pictures):
            message = f"'{min(both)}' is a model beside the network, and a picture"
            raise AffectkitError("input", message, file=run, remedy="make the run again with another --beside NAME=RUN")
        return cls(network, alone, tables, pictures, options)

    @property
    def names(self) -> list[str]:
        return [*self.tables, *self.pictures]

    def steps(self, sources: Sequence[str], manifest: Path, folder: Path, seed: int) -> Iterator[Step]:
        """The runs that a subset needs, the last of which answers for it, with the command line of each."""
        tables = [name for name in sources if name in self.tables]
        pictures = [name for name in sources if name in self.pictures]
        shared: dict[str, Any] = {"manifest": manifest, "seed": seed}
        for name in tables:
            yield folder / name, [*self.tables[name].words(folder / name, **shared), "--no-importance"]
        seen = {"media": ",".join(pictures)} if self.pictures != [NETWORK] else {}
        alone, place = folder / "+".join(pictures), folder / "+".join(sources)
        beside = [f"{name}={folder / name}" for name in tables]
        warm = self.alone is not self.network  # the network had been trained alone before it was mixed
        init = self.alone.options.get("init")  # a file of weights, or nothing
        if pictures and (warm or not tables):
            yield alone, self.alone.words(alone, **shared, **seen, init=init, keep_folds=warm and bool(tables))
        if pictures and tables:
            mixed = {"init": alone if warm else init, "beside": beside, "mix": self._mix(tables)}
            yield place, self.network.words(place, **shared, **seen, **mixed)
        elif len(tables) > 1:
            yield place, ["fuse", *beside, "--rule", "mean", "--output-dir", str(place)]

    def _mix(self, tables: Sequence[str]) -> str | None:
        """The weights of these tables and the network, which sum to 1 as those of all did."""
        if self.mix is None or self.mix.how != "fixed":
            return self.mix.how if self.mix else None
        known = dict(zip([*self.tables, NETWORK], self.mix.weights, strict=True))
        weights = np.array([known[name] for name in [*tables, NETWORK]])
        if not weights.any():
            message = f"--mix gives {', '.join(tables)} and the network no weight together"
            raise AffectkitError("usage", message, remedy="name other subsets with --include")
        return ",".join(repr(float(weight)) for weight in weights / weights.sum())


def of_branches(
    branches: Branches,
    app: App,
    folder: Path,
    *,
    metric: str | None = None,
    seeds: int = 1,
    cv_folds: int | None = None,
) -> AblationStudy:
    """Sources that are trained for each subset.

    app: what trains them. folder: of the open run. cv_folds, seeds: as `of_features` has them; every fit of a subset
    has the same folds, inside which a model beside a network is fitted again.
    """
    options = branches.network.options
    manifest = read_manifest(Path(options["manifest"]), media_root=_path(options.get("media_root")))
    targets = manifest.chosen_targets(options.get("target"))
    fit = fit_rows(manifest)
    manifest_of, schemes = {}, []
    for seed in range(seeds):
        table, scheme = with_folds(manifest, options.get("group"), fit, targets[0], cv_folds, seed)
        manifest_of[seed] = _written(manifest, table, folder / BRANCHES / f"manifest-{seed}")
        schemes.append(scheme)
    column, groups = groups_of(manifest, options.get("group"))
    known: dict[str, Any] = {"schemes": schemes, "group": column, "train": manifest.rows[fit]}
    setup = AblationSetup.of_trained(branches.names, targets, metric=metric, **known)

    def answer(sources: Sequence[str], repeat: int) -> Predictions:
        seed = setup.seeds[repeat]
        place = folder / BRANCHES
        for place, words in branches.steps(sources, manifest_of[seed], folder / BRANCHES / str(seed), seed):
            _carry_out(app, place, words)
        return read_predictions(place / PREDICTIONS)

    facts = {name: recorded.options for name, recorded in [("network", branches.network), ("alone", branches.alone)]}
    digests = {name: digest(name, str(branches.tables.get(name, ""))) for name in branches.names}
    return AblationStudy(setup, answer, facts, digest(groups, manifest.rows.to_csv(index=False)), digests)


def _carry_out(app: App, place: Path, words: list[str]) -> None:
    """Run a command, or go on with it; from the start where what it left is damaged, or of other options."""
    logger.info("affectkit %s", shlex.join(words))
    try:
        app([*words, "--resume"])
    except AffectkitError as error:
        if not _lies_in(error.file, place):
            raise
        logger.warning("%s is made again: %s", place, error.message)
        app([*words, "--overwrite"])


def _lies_in(file: Any, folder: Path) -> bool:
    return file is not None and Path(file).resolve().is_relative_to(folder.resolve())


def _written(manifest: Manifest, table: pd.DataFrame, folder: Path) -> Path:
    """The manifest with these folds, in a folder of its own record."""
    if not manifest.summary:  # nothing says where its media are, but where it lies
        home = (manifest.path if manifest.path.is_dir() else manifest.path.parent).resolve()
        paths = {name: [str(home / cell) if cell else "" for cell in table[name]] for name in media_columns(table)}
        table = table.assign(**paths)
    targets = [target.to_json() for target in manifest.targets.values()]
    options = {"output_dir": folder, "manifest": str(manifest.path), "rows": digest(table.to_csv(index=False))}
    again = (folder / STARTED).exists() and read_started(folder)["options"].get("rows") != options["rows"]
    with open_run("ablate", {**options, "overwrite" if again else "resume": True}) as run:
        if not run.finished:
            write_manifest(folder, table, manifest.summary or {"targets": targets}, label_map({"targets": targets}))
    return folder


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
