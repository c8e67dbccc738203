"""What a calibration or a fusion leaves in its run folder, whatever it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectkit import __version__
from affectkit.artifacts.files import write_json
from affectkit.artifacts.models import BEST, PARENTS, copy_model, parent_of, read_spec, write_fit_rows, write_spec
from affectkit.artifacts.predictions import Predictions, write_predictions
from affectkit.artifacts.sources import Source
from affectkit.evaluation.assess import assess
from affectkit.evaluation.rows import answered_parts
from affectkit.leakage.crossfit import FitPlan
from affectkit.reporting import browser
from affectkit.reporting.card import model_card
from affectkit.reporting.lineage import digests, lineage
from affectkit.reporting.page import Page, Section, Sentence

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.calibration.method import CalibrationModel
    from affectkit.fusion.rule import FusionModel

Reports = dict[str, dict[str, Any]]


def past(sources: Sequence[Source]) -> dict[str, Any]:
    """The `lineage` of the sources."""
    return lineage([source.path for source in sources])


def judge(predictions: Predictions, plan: FitPlan, said: Mapping[str, Any]) -> Reports:
    """What `assess` says of each part of the rows that may be judged: "oof", "val", "test". said: of `past`."""
    return {part: {**assess(rows, group=plan.group), **said} for part, rows in answered_parts(predictions).items()}


def write_combined(
    folder: Path,
    model: CalibrationModel | FusionModel,
    spec: Mapping[str, Any],
    predictions: Predictions,
    plan: FitPlan,
    sources: Sequence[Source],
    said: Mapping[str, Any],
    reports: Reports,
    report: Mapping[str, Any],
    *,
    bundle: bool = False,
) -> None:
    """Write `best_model/`, `fit_rows.csv`, `predictions.csv` and `train_report.json`.

    spec: what the model's description says besides its targets, group and parents. said: of `past`. reports: of
    `judge`. report: what `train_report.json` says besides rows and metrics. bundle: copy the parents along, so that
    `best_model/` predicts wherever it is moved to.
    """
    best = folder / BEST
    model.save(best)
    whole = {
        **spec,
        "targets": [target.to_json() for name, target in predictions.targets.items() if name in model.targets],
        "group": plan.group,
        "groups_straddle": plan.straddles or any(_straddles(source) for source in sources),
        "fitted_on": plan.origin,
        "parents": [_parent(source, best, bundle) for source in sources],
    }
    rows = _fit_rows(plan, predictions, sources)
    whole["normalize"] = {"transductive": "speaker", "inductive": "train"}.get(said["normalization"])
    summary = {"corpora": {c["name"]: c for c in said["corpora"]}, "declared": said["declared"]}
    own = rows[rows["role"] == "fit"]
    counted = {"fit_rows": len(own), "fit_groups": own["group"].nunique() if plan.group else None}
    known = {"name": folder.name, "spec": whole, "summary": summary, "reports": reports, "affectkit": __version__}
    card = {**known, **counted}
    write_spec(best, whole, model_card(card))
    write_fit_rows([folder, best], rows)
    write_predictions(folder / "predictions.csv", predictions)
    facts = {
        "targets": list(model.targets),
        "fitted_on": plan.origin,
        "folds": plan.scheme,
        "fit_rows": len(plan.fit),
        "groups": {part: found["groups"] for part, found in reports.items()},
        **report,
        "metrics": flat(reports),
    }
    write_json(folder / "train_report.json", facts)


def flat(reports: Reports) -> dict[str, Any]:
    """The metrics of all parts by one name each: `oof_uar`, `test_nll`."""
    return {f"{part}_{name}": m for part, found in reports.items() for name, m in found["metrics"].items()}


def _parent(source: Source, best: Path, bundle: bool) -> dict[str, Any]:
    if source.model is None or not bundle:
        return parent_of(source.name, source.model, best)
    place = best / PARENTS / source.name
    copy_model(source.model, place)
    return parent_of(source.name, place, best)


def _fit_rows(plan: FitPlan, predictions: Predictions, sources: Sequence[Source]) -> pd.DataFrame:
    """The rows fitted on, and those that a parent was fitted on, under its name: `predict` knows them all."""
    import pandas as pd

    own = plan.fit_rows(predictions.frame["id"].to_numpy())
    parents = [source.fitted.assign(role=source.name) for source in sources if len(source.fitted)]
    return pd.concat([own, *parents], ignore_index=True).drop_duplicates("id")


def _straddles(source: Source) -> bool:
    return bool(source.model and read_spec(source.model).get("groups_straddle"))


def write_page(
    folder: Path,
    title: str,
    lead: Sequence[Sentence],
    sections: Sequence[Section],
    sources: Sequence[Source],
    said: Mapping[str, Any],
    *,
    warnings: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> None:
    """Write `report.html`, and its figures beside it."""
    inputs = [{**item, "name": f"{s.name}: {item['name']}"} for s in sources for item in digests([s.path])]
    page = Page(
        title,
        lead,
        sections,
        warnings=warnings,
        declared=said["declared"],
        corpora=said["corpora"],
        normalization=said["normalization"],
        inputs=inputs,
        metrics=metrics,
        source="train_report.json",
    )
    browser.write_page(folder, page)
