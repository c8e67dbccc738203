"""One record of a result: what every command that leaves a model ends in, judged before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import read_spec
from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.sequences import Gathering, without_windows
from affectkit.artifacts.sources import Source, called
from affectkit.evaluation.assess import assess
from affectkit.evaluation.comparison import target_metric, value_of
from affectkit.evaluation.rows import answered_parts, prefix
from affectkit.leakage.crossfit import FitPlan
from affectkit.plain import without_nan
from affectkit.results import words
from affectkit.results.lineage import lineage, straddling

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.calibration.calibrate import Calibrated
    from affectkit.fusion.fuse import Fused

Reports = Mapping[str, Mapping[str, Any]]


class SavedModel(Protocol):
    def save(self, folder: Path) -> None:
        """Write what predicts, into a folder that need not exist."""


@dataclass(frozen=True)
class Result:
    """A model, what it says of its rows, and what that is worth.

    spec: what `affectkit.json` says; its parents are filled in where they are known, in the folder.
    fit_rows: `id`, `group`, `role` of the rows that this model was fitted on; those of its parents come from `sources`.
    reports: what `assess` says of each part: "oof", "val", "test".
    facts: what `train_report.json` says of this kind of model. basis: what it says of any: targets, rows, declared
    defects. summary: what the card says of the data: `corpora` by name, `declared`, of a manifest `hours`.
    files: what the run folder holds besides, by name: predictions or another table (.csv), or an object (.json).
    sources: what it stands on, in order. selected_on: which rows chose among what was tried, in words. exact: whether
    tables of predictions are written with all digits, so that what was mixed can be computed again.
    """

    model: SavedModel
    spec: Mapping[str, Any]
    predictions: Predictions
    fit_rows: pd.DataFrame
    reports: Reports
    facts: Mapping[str, Any]
    basis: Mapping[str, Any]
    summary: Mapping[str, Any]
    files: Mapping[str, Predictions | pd.DataFrame | Mapping[str, Any]] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    selected_on: str | None = None
    exact: bool = False

    @property
    def train_report(self) -> dict[str, Any]:
        """What `train_report.json` says."""
        groups = {part: report["groups"] for part, report in self.reports.items()}
        floors = {part: floors for part, report in self.reports.items() if (floors := report.get("floors"))}
        return {**self.facts, **self.basis, "groups": groups, "metrics": flat(self.reports), "floors": floors}

    @property
    def metrics(self) -> dict[str, Any]:
        """Part -> metric -> value with its interval."""
        return {part: report["metrics"] for part, report in self.reports.items()}


def flat(reports: Reports) -> dict[str, Any]:
    """The metrics of all parts by one name each: `oof_uar`, `test_nll`."""
    return {f"{part}_{name}": m for part, report in reports.items() for name, m in report["metrics"].items()}


# --- Of a model that was fitted on a manifest's rows, or judged on them


def of_manifest(
    model: SavedModel,
    spec: Mapping[str, Any],
    predictions: Predictions,
    fit_rows: pd.DataFrame,
    manifest: Manifest,
    selected_on: str,
    facts: Mapping[str, Any],
    files: Mapping[str, pd.DataFrame | Mapping[str, Any]] | None = None,
    in_sample: Predictions | None = None,
) -> Result:
    """in_sample: answers for rows fitted on, of a model that was.

    The floors are those of the rows fitted on; of a model fitted elsewhere, of the manifest's train rows, and that none
    of its rows can judge it is no mistake: it may answer for what the manifest does not know."""
    rows, declared = manifest.rows, manifest.declared() or straddling(spec)
    floor_rows = rows[rows["id"].isin(set(fit_rows["id"]))]
    if not len(floor_rows) and "split" in rows:
        floor_rows = rows[rows["split"] == "train"]
    normalization = "transductive" if spec.get("normalize") == "speaker" else "inductive"
    known: dict[str, Any] = {"declared": declared, "normalization": normalization}
    if transcripts := manifest.summary.get("transcripts"):
        known["texts"] = [words.texts(transcripts)]
    judged = {"group": spec["group"], "floor_rows": floor_rows}
    parts = answered_parts(predictions, some=bool(len(fit_rows)))
    reports = {part: {**assess(table, **judged), **known} for part, table in parts.items()}
    corpora = manifest.summary.get("corpora", {})
    if notes := words.notes([{"name": name, **corpus} for name, corpus in corpora.items()]):
        reports = {part: {**of, "warnings": [*notes, *of.get("warnings", [])]} for part, of in reports.items()}
    names = [target["name"] for target in spec["targets"]]
    basis: dict[str, Any] = {"targets": names, "selected_on": selected_on, "declared": declared}
    basis |= {"fit_rows": len(without_windows(fit_rows))}
    basis |= {"balance": balance(manifest, names)} | ({"notes": notes} if notes else {})
    if in_sample is not None and (gap := gap_between(in_sample, reports, facts.get("monitor"))):
        basis["gap"] = gap
    summary, files = manifest.summary, files or {}
    return Result(model, spec, predictions, fit_rows, reports, facts, basis, summary, files, selected_on=selected_on)


def balance(manifest: Manifest, targets: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Class target -> split -> class -> rows; "all" for rows without splits."""
    rows, counts = manifest.rows, {}
    splits = rows["split"] if "split" in rows else rows["id"].map(lambda _: "all")
    for target in (manifest.targets[name] for name in targets if name in manifest.targets):
        if target.kind != "number":
            by_split = rows.groupby(splits, sort=False)[target.name]
            counts[target.name] = {
                str(split): {name: int((cells == name).sum()) for name in target.classes} for split, cells in by_split
            }
    return counts


def gap_between(in_sample: Predictions, reports: Reports, monitor: str | None) -> dict[str, Any] | None:
    """How much more a model reaches on the rows that it was fitted on than on val rows, else cross-fitted ones: by the
    metric that chose its epoch, else by UAR, or CCC where there are only numbers. None where no such rows are judged.

    value: positive where the fitted rows do better, whichever way the metric goes.
    """
    part = next((part for part in ("val", "oof") if part in reports), None)
    if part is None:
        return None
    metrics, targets = reports[part]["metrics"], in_sample.targets
    classes = [target for target in targets.values() if target.kind != "number"]
    watched = (monitor or "").removeprefix("val_")
    name = watched if watched in metrics else f"{prefix(classes[0])}uar" if classes else "ccc"
    if name not in metrics:
        return None
    metric, judged = target_metric(name, targets), metrics[name]["value"]
    train = value_of(in_sample, metric)
    value = metric.gain(train - judged) if judged is not None else math.nan
    return without_nan({"metric": name, "train": train, "judged": judged, "part": part, "value": value})


# --- Of a model that was fitted on predictions: a fusion, a calibration


def on_trust(sources: Sequence[Source]) -> list[Source]:
    """Tables that do not say what the model behind them had seen."""
    return [source for source in sources if source.predictions is not None and source.predictions.foreign]


def of_sources(
    fitted: Fused | Calibrated, spec: Mapping[str, Any], plan: FitPlan, sources: Sequence[Source], warnings: list[str]
) -> Result:
    """A result without facts and files of its own. spec: what the description says besides targets, group, parents.

    warnings: what must be read before the figures.
    """
    past = lineage([source.path for source in sources])
    predictions, names = fitted.predictions, list(fitted.model.targets)
    models = [read_spec(source.model) for source in sources if source.model]
    straddles = plan.straddles or any(model.get("groups_straddle") for model in models)
    past["declared"] = past["declared"] or straddling({"group": plan.group, "groups_straddle": straddles})
    basis = {
        "targets": names,
        "fitted_on": plan.origin if len(plan.fit) else None,
        "folds": plan.scheme,
        "fit_rows": len(plan.fit),
        **past,
        "warnings": warnings,
    }
    gatherings = [gathering for model in models if (gathering := Gathering.of(model))]
    columns = list(dict.fromkeys([*fitted.model.columns, *(c for model in models for c in model.get("columns", ()))]))
    spec = {
        **spec,
        "targets": [target.to_json() for name, target in predictions.targets.items() if name in names],
        "group": plan.group,
        "groups_straddle": bool(straddles),
        "fitted_on": plan.origin if len(plan.fit) else None,
        **({"columns": columns} if columns else {}),
        **(gatherings[0].plain() if gatherings else {}),
        "parents": [],
        "normalize": {"transductive": "speaker", "inductive": "train"}.get(past["normalization"]),
    }
    if foreign := on_trust(sources):
        spec["on_trust"] = [called(source.path) for source in foreign]
    parts = answered_parts(predictions, some=bool(len(plan.fit)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # what takes long, of many rows, is done by numpy
        judged = pool.map(partial(assess, group=plan.group), parts.values())
        reports = {part: {**report, **past} for part, report in zip(parts, judged, strict=True)}
    summary = {"corpora": {corpus["name"]: corpus for corpus in past["corpora"]}, "declared": past["declared"]}
    fit_rows = plan.fit_rows(predictions.frame["id"].to_numpy())
    return Result(fitted.model, spec, predictions, fit_rows, reports, {}, basis, summary, sources=sources)
