"""How many labels a model needs: it is trained on ever more rows of a manifest, which strategies ask for in rounds.

The labels are there already; those of rows that nobody asked for are withheld, so no person is needed. Every strategy
begins with the same rows drawn at random, and its model is judged on the same rows that are never asked for. What
differs between seeds is the rows to begin with, whatever is drawn at random, and of a manifest of folds the fold that
judges; intervals are over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.ablation.study import metric_of
from affectkit.artifacts.files import read_json, write_json
from affectkit.artifacts.predictions import Predictions, empty_cells
from affectkit.artifacts.reports import LEARNING_CURVE, LEARNING_CURVE_TABLE
from affectkit.artifacts.tables import write_table
from affectkit.console import Progress, unwatched
from affectkit.errors import AffectkitError
from affectkit.estimators._again import Training, silent
from affectkit.estimators._train import workspace_of
from affectkit.evaluation.comparison import TargetMetric, value_of
from affectkit.evaluation.intervals import ABOVE_ZERO, Estimate, Resampling, resample
from affectkit.labeling.pool import Pool
from affectkit.labeling.query import Picker, parse_strategies
from affectkit.labeling.strategies._distances import side_by_side
from affectkit.labeling.strategies._strategy import Strategy

RANDOM = "random"  # what every strategy is compared with
PARTS = "parts"  # folder of finished curves, gone in the end
OVER_SEEDS = Resampling(method="bootstrap")  # the jackknife does not suit a figure that moves in steps


@dataclass(frozen=True)
class Rounds:
    """start: rows that are labelled at first. step: rows that are asked for in every round. count: of rounds."""

    start: int
    step: int
    count: int

    @property
    def labels(self) -> list[int]:
        """Rows that have a label at the start and after each round."""
        return [self.start + self.step * number for number in range(self.count + 1)]


@dataclass(frozen=True)
class Simulation:
    """training: on all rows, with all labels. parts: of every seed, positions of the rows to ask about and of those to
    judge on."""

    training: Training
    metric: TargetMetric
    rounds: Rounds
    parts: Sequence[tuple[np.ndarray, np.ndarray]]
    device: str = "auto"
    num_workers: int = 0

    def curve(self, strategy: str, seed: int, folder: Path) -> list[float]:
        """The metric at the start and after each round. folder: to train networks in."""
        pool, judged = self.parts[seed]
        rng, shares, points = np.random.default_rng([seed, 0]), parse_strategies(strategy), self._points(pool)
        labelled = np.zeros(len(pool), bool)
        labelled[rng.permutation(len(pool))[: self.rounds.start]] = True
        values = []
        for number in range(self.rounds.count + 1):
            answers, unlabelled = self._train(pool, judged, labelled, seed, folder / str(number))
            values.append(value_of(answers, self.metric))
            if number < self.rounds.count:
                rows = np.flatnonzero(~labelled)
                some = {} if points is None else {"features": points[rows], "labelled": points[labelled]}
                asked = self._asked(shares, unlabelled, some, seed + 1000 * number)
                labelled[rows[asked]] = True
        return values

    def _train(
        self, pool: np.ndarray, judged: np.ndarray, labelled: np.ndarray, seed: int, folder: Path
    ) -> tuple[Predictions, Predictions]:
        """What a model that knows the labels of `labelled` says of the rows to judge on, and of the others to ask."""
        training, rows = self.training, self.training.data.manifest.rows
        places = np.concatenate([pool, judged])
        table = rows.iloc[places].reset_index(drop=True).drop(columns="fold", errors="ignore")
        table["split"] = ["train"] * len(pool) + ["test"] * len(judged)
        hidden = np.concatenate([~labelled, np.zeros(len(judged), bool)])
        for target in training.targets:
            table[target.name] = table[target.name].where(~hidden, np.nan if target.kind == "number" else "")
        known = training.data.manifest
        manifest = replace(known, rows=table, origin=[known.origin[place] for place in places])
        data = replace(training.data, manifest=manifest, blocks=[block[places] for block in training.data.blocks])
        again = replace(training, data=data, settings=replace(training.settings, seed=seed))
        workspace = workspace_of(training.estimator, folder, self.device, self.num_workers)
        with silent("estimators", "leakage"):  # it would be said for each of hundreds of fits
            trained = again.run(cv=False, importance=False, progress=unwatched, workspace=workspace)
        asked = set(table["id"][hidden])
        return trained.predictions, trained.in_sample.take(trained.in_sample.frame["id"].isin(asked).to_numpy())

    def _asked(
        self,
        shares: Sequence[tuple[Strategy, float]],
        answers: Predictions,
        features: Mapping[str, np.ndarray],
        seed: int,
    ) -> list[int]:
        """Places among the rows that `answers` are of, those that strategies ask for. features: as `Pool` has them."""
        outputs = {"model": [answers.output(target.name) for target in self.training.targets]}
        ids = answers.frame["id"].to_numpy()
        unknown = [np.full(len(ids), np.nan)] * len(self.training.targets)
        known = Pool(ids, outputs, truths=unknown, wanted=self.rounds.step, **features)
        picker = Picker(known, shares, [np.ones(len(ids), bool)] * len(shares), seed=seed)
        return [picked.row for picked in picker.pick(self.rounds.step)]

    def _points(self, pool: np.ndarray) -> np.ndarray | None:
        """[N, D] standardised features of the rows to ask about; None where they are no matrix."""
        blocks = self.training.data.blocks
        if not all(isinstance(block, np.ndarray) for block in blocks):
            return None
        return side_by_side([np.asarray(block[pool]) for block in blocks])


def plan(
    training: Training,
    *,
    metric: str | None,
    start: float,
    step: float,
    rounds: int,
    seeds: int,
    device: str = "auto",
    num_workers: int = 0,
) -> Simulation:
    """start, step: shares of the rows that can be asked about below 1, or numbers of rows. Raises "usage" for more than
    there are, "input" for a manifest of which nothing judges."""
    rows = training.data.manifest.rows
    known = ~np.any([empty_cells(rows[target.name].to_numpy()) for target in training.targets], axis=0)
    parts = _parts(training, known, seeds)
    least = min(len(pool) for pool, _ in parts)
    counted = Rounds(_rows(start, least), _rows(step, least), rounds)
    if counted.start < 2 or counted.step < 1:
        raise AffectkitError("usage", "--start and --step come to no rows", remedy="begin with more")
    if counted.labels[-1] > least:
        what = f"{counted.start} rows and {rounds} rounds of {counted.step} are more than the {least} that have a label"
        raise AffectkitError("usage", what, remedy="lower --start, --step or --rounds")
    targets = {target.name: target for target in training.targets}
    return Simulation(training, metric_of(metric, targets), counted, parts, device, num_workers)


def _rows(size: float, least: int) -> int:
    return round(size * least) if size < 1 else round(size)


def _parts(training: Training, known: np.ndarray, seeds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rows, file = training.data.manifest.rows, training.data.manifest.path
    if "fold" in rows and (rows["fold"] != "").any():
        folds = rows["fold"].to_numpy()
        names = sorted(set(folds) - {""}, key=lambda name: (len(str(name)), str(name)))
        judged = [known & (folds == names[seed % len(names)]) for seed in range(seeds)]
        pools = [known & (folds != "") & ~part for part in judged]
        return [(np.flatnonzero(pool), np.flatnonzero(part)) for pool, part in zip(pools, judged, strict=True)]
    splits = rows["split"].to_numpy() if "split" in rows else np.full(len(rows), "", object)
    pool, test = (np.flatnonzero(known & (splits == name)) for name in ("train", "test"))
    if not len(pool) or not len(test):
        what = "has no labelled train rows" if not len(pool) else "has no labelled test rows"
        raise AffectkitError("input", what, file=file, remedy="give a manifest of train and test rows, or of folds")
    return [(pool, test)] * seeds


Curves = dict[str, np.ndarray]  # strategy -> [S, R + 1], the metric of every seed at the start and after each round


def simulate(simulation: Simulation, strategies: Sequence[str], folder: Path, progress: Progress) -> Curves:
    """folder: of the run, where finished curves are kept, so that a killed run goes on."""
    total, curves = len(strategies) * len(simulation.parts), Curves()
    for place, strategy in enumerate(strategies):
        found = []
        for seed in range(len(simulation.parts)):
            progress(place * len(simulation.parts) + seed, total, f"{strategy}, seed {seed}")
            record = folder / PARTS / f"{place}-{seed}.json"
            if not record.exists():
                values = simulation.curve(strategy, seed, folder / PARTS / "fits" / f"{place}-{seed}")
                write_json(record, {"values": values})
            found.append(read_json(record, what="learning curve")["values"])
        curves[strategy] = np.array(found, float)
    progress(total, total, "")
    return curves


# --- What curves are worth, against that of rows at random


def effort(curve: np.ndarray, control: np.ndarray, labels: Sequence[int]) -> float:
    """Labels that `curve` needs, over those that `control` needs, for the same value: 0.7 saves three in ten.

    That value is the lower of the two after the last round, so that both reach it; between rounds curves are straight,
    and a curve counts as having reached what it had before. [R + 1] each, higher is better.
    """
    curve, control = np.maximum.accumulate(curve), np.maximum.accumulate(control)
    value = min(curve[-1], control[-1])
    return _needed(curve, value, labels) / _needed(control, value, labels)


def _needed(curve: np.ndarray, value: float, labels: Sequence[int]) -> float:
    place = int(np.argmax(curve >= value))
    if place == 0:
        return float(labels[0])
    share = (value - curve[place - 1]) / (curve[place] - curve[place - 1])
    return float(labels[place - 1] + share * (labels[place] - labels[place - 1]))


def summary(curves: Mapping[str, np.ndarray], simulation: Simulation) -> dict[str, Any]:
    """Of every strategy its mean curve, and the effort in labels against random rows, with intervals over seeds."""
    labels, metric = simulation.rounds.labels, simulation.metric
    sign = 1 if metric.definition.higher_is_better else -1
    scale = metric.definition.interval_scale
    strategies: dict[str, Any] = {}
    for name, values in curves.items():
        seeds = np.ones((len(values), 1))
        points = [
            resample({"": Estimate(_mean, scale)}, np.concatenate([seeds, values[:, [at]]], axis=1), OVER_SEEDS)[""]
            for at in range(len(labels))
        ]
        both = np.concatenate([seeds, sign * values, sign * curves[RANDOM]], axis=1)
        compared = Estimate(lambda sums: _efforts(sums, labels), ABOVE_ZERO)
        told = resample({"": compared}, both, OVER_SEEDS)[""].interval().plain() if name != RANDOM else None
        strategies[name] = {"curve": [point.interval().plain() for point in points], "effort": told}
    return {
        "metric": metric.name,
        "labels": labels,
        "seeds": len(simulation.parts),
        "of": min(len(pool) for pool, _ in simulation.parts),
        "judged": [len(judged) for _, judged in simulation.parts],
        "strategies": strategies,
    }


def write_learning_curve(folder: Path, curves: Curves, told: Mapping[str, Any]) -> None:
    """told: `summary`, what was trained, and what `lineage` says of the inputs."""
    import pandas as pd

    table = [
        {"strategy": name, "seed": seed, "labels": count, told["metric"]: float(value)}
        for name, values in curves.items()
        for seed, row in enumerate(values)
        for count, value in zip(told["labels"], row, strict=True)
    ]
    write_table(folder / LEARNING_CURVE_TABLE, pd.DataFrame(table))
    write_json(folder / LEARNING_CURVE, told)


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 1] / sums[..., 0]


def _efforts(sums: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """sums: [..., 1 + 2 (R + 1)]: seeds, then both curves."""
    means = sums[..., 1:] / sums[..., :1]
    flat = means.reshape(-1, 2, len(labels))
    return np.array([effort(curve, control, labels) for curve, control in flat]).reshape(means.shape[:-1])
