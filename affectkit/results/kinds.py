"""From what each command made to the one record of it: training, fine-tuning, an import, a fusion, a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from affectkit.artifacts.manifest import Manifest
from affectkit.artifacts.models import LABEL_MAP, label_map
from affectkit.artifacts.reports import EXAMPLES, MISTAKES, confusion_files, mistake_rows, report_tables
from affectkit.artifacts.sources import Source
from affectkit.evaluation.assess import assess
from affectkit.evaluation.rows import judged_parts, unseen
from affectkit.labels import Target
from affectkit.leakage.crossfit import FitPlan
from affectkit.results.examples import pictures
from affectkit.results.result import Reports, Result, flat, of_manifest, of_sources, on_trust
from affectkit.results.separate import SEPARATE, separate_of
from affectkit.results.worth import tables_of, worth_of

if TYPE_CHECKING:
    import pandas as pd

    from affectkit.calibration.calibrate import Calibrated, Candidate
    from affectkit.estimators._train import Trained
    from affectkit.finetuning.finetune import Finetuned
    from affectkit.fusion.fuse import Fused
    from affectkit.inference.model import Imported

SEARCHED = "inner grouped cross-validation of the fit rows"
NOT_SEARCHED = "nothing: the network was trained for all epochs"
ONE_CANDIDATE = "nothing: there was one candidate"
IMPORTED = "nothing: it was imported as it is"


def of_training(trained: Trained, manifest: Manifest) -> Result:
    """With `search.csv`, what was tried; of networks `history.csv`, means over the inner folds that chose the number of
    epochs, and `lr_find.json` where a rate was looked for; `importance.csv` where it was asked
    for."""
    import pandas as pd

    spec, fits = trained.model.spec, trained.model.fits
    search = [{"target": fit.name, **row} for fit in fits for row in fit.search]
    history = [{"stage": fit.name, **row} for fit in fits for row in fit.history]
    sweeps = [{**sweep, "stage": fit.name} for fit in fits for sweep in fit.sweeps]
    files: dict[str, Any] = {"search.csv": pd.DataFrame(search)}
    files |= {"history.csv": pd.DataFrame(history)} if history else {}
    files |= {"lr_find.json": {"sweeps": sweeps}} if sweeps else {}
    known = {name for row in search for name in row}
    files |= {"importance.csv": pd.DataFrame(trained.importance)} if trained.importance else {}
    files |= trained.attention
    selected_on = SEARCHED if "score" in known else NOT_SEARCHED if "epochs" in known else ONE_CANDIDATE
    facts = {key: spec[key] for key in ("chosen", "normalize")}
    facts = {"model": spec["estimator"], **facts, "transductive": spec["normalize"] == "speaker"}
    facts |= {key: spec[key] for key in ("impute", "selected", "sequence", "time", "truth", "windows") if key in spec}
    if columns := [column for encoder in spec["features"] for column in encoder.get("columns", ())]:
        facts |= {"columns": columns}
    if trained.suspects:
        facts |= {"suspects": [vars(suspect) | {"warning": suspect.in_words()} for suspect in trained.suspects]}
    if trained.warnings:
        facts |= {"unlearned": trained.warnings}
    for fit in fits:
        facts |= {"task_weights": weights} if (weights := getattr(fit.fitted, "task_weights", None)) else {}
    if trained.separate is not None:
        facts |= {"separate": separate_of(trained.predictions, trained.separate, spec["group"])}
        files[SEPARATE] = trained.separate
    described = spec, trained.predictions, trained.fit_rows, manifest, selected_on, facts, files
    return of_manifest(trained.model, *described, trained.in_sample)


def of_finetuning(finetuned: Finetuned, manifest: Manifest, examples: int = 0) -> Result:
    """With the confusions and mistakes of each part, the label map, and of images that are mistaken a few of each kind,
    `examples` at most, of the test rows where there are any."""
    import pandas as pd

    spec = finetuned.model.spec
    final, *folds = finetuned.fits
    facts = {
        "model": "finetuned",
        "base_model": spec["base"]["checkpoint"],
        "head": spec["head"],
        "stages": final.stages,
        "monitor": final.monitor,
        "best": final.best,
        "folds": [fit.best for fit in folds],
        "normalize": None,
        "transductive": False,
    }
    if final.task_weights:
        facts["task_weights"] = final.task_weights
    if finetuned.start is not None:
        facts["init"] = finetuned.start.facts() | {"fits": [loaded.plain() for loaded in finetuned.loaded]}
    mixture, beside = finetuned.model.mixture, finetuned.beside
    if mixture is not None and beside is not None:
        nested = {branch.name: branch.nested for branch in beside.branches}
        facts["beside"] = {**mixture.options.plain(), "shares": mixture.plain(), "nested": nested}
    if finetuned.separate is not None:
        facts["separate"] = separate_of(finetuned.predictions, finetuned.separate, spec["group"])
    if finetuned.stages or finetuned.branches:
        facts["worth"] = worth_of(finetuned)
    predictions, selected_on = finetuned.predictions, finetuned.selected_on
    described = spec, predictions, finetuned.fit_rows, manifest, selected_on, facts
    result = of_manifest(finetuned.model, *described, in_sample=finetuned.in_sample)
    files: dict[str, Any] = {LABEL_MAP: classes} if (classes := label_map(spec)) else {}
    for part, report in result.reports.items():
        files |= confusion_files(part, report)
    files |= {SEPARATE: finetuned.separate} if finetuned.separate is not None else {}
    if rows := list(mistake_rows(result.reports)):
        files[f"{MISTAKES}.csv"] = pd.DataFrame(rows)
        part = rows[0]["part"]
        judged = judged_parts(predictions)[part]
        if kept := pictures(judged, result.reports[part], manifest, examples):
            files[EXAMPLES] = {"pictures": kept}
    sources = [branch.source for branch in beside.branches] if beside else []
    return replace(result, files=files | tables_of(finetuned), sources=sources, exact=bool(sources))


def of_expert(imported: Imported, manifest: Manifest, *, group: str | None) -> Result:
    """Of an expert that was fitted elsewhere: it has no fit rows."""
    import pandas as pd

    predictions = imported.predictions
    spec = {
        **imported.spec,
        "targets": [target.to_json() for target in predictions.targets.values()],
        "group": group,
        "groups_straddle": False,
        "needs": [imported.spec["reads"]],
        "parents": [],
    }
    facts = {"model": spec["expert"], **imported.facts}
    fit_rows = pd.DataFrame(columns=["id", "group", "role"], dtype=str)
    return of_manifest(imported.expert, spec, predictions, fit_rows, manifest, IMPORTED, facts)


# --- A fusion


def of_fusion(fused: Fused, rule: str, sources: Sequence[Source], plan: FitPlan) -> Result:
    """With what the rule has to show, and the confusions of a rule that ends with a calibration of its own."""
    warnings = _fusion_warnings(fused, sources, plan)
    result = of_sources(fused, {"kind": "fusion", "rule": rule}, plan, sources, warnings)
    weights = {name: _weights(fitted["parameters"]) for name, fitted in fused.model.targets.items()}
    facts = {
        "rule": rule,
        "sources": [source.name for source in sources],
        "verdicts": [verdict.plain() for verdict in fused.verdicts],
        "fell_back": list(fused.fell_back),
        "weights": {name: shares for name, shares in weights.items() if shares},
        "servable": all(source.model is not None for source in sources),
        **({"routed": vars(fused.routed)} if fused.routed else {}),
        **_recalibrated(fused, plan),
    }
    files = _calibrated_confusions(result.reports, plan) if fused.uncalibrated is not None else {}
    return replace(result, facts=facts, files=files | _rule_files(fused))


def _fusion_warnings(fused: Fused, sources: Sequence[Source], plan: FitPlan) -> list[str]:
    warnings = []
    if plan.group is None:
        warnings.append("no groups are known: differences take rows as independent and are claimed too readily")
    if foreign := on_trust(sources):
        names = ", ".join(source.name for source in foreign)
        what = f"nothing says how the predictions of {names} were made (no column 'seen')"
        warnings.append(f"{what}: taken as held out")
    tables = [source.name for source in sources if source.model is None]
    if tables:
        warnings.append(f"the fusion cannot predict new rows: {', '.join(tables)} came as a table, without its model")
    for name, target in fused.predictions.targets.items():
        if len(plan.fit) and (classes := unseen(fused.predictions, target, plan.fit)):
            why = "what fusing does for such rows is not known, and they are not taken to 0"
            warnings.append(f"{name}: none of the rows fitted on is {', '.join(classes)}: {why}")
    if fused.fell_back:
        names = ", ".join(fused.fell_back)
        warnings.append(f"fusing does not help {names}: the single source is kept (--fallback best)")
    return warnings


def _weights(parameters: Mapping[str, Any]) -> dict[str, float] | None:
    """Of each source: those of rows, on average, before those that are fixed."""
    weights = parameters.get("shares", parameters.get("weights"))
    return dict(weights) if isinstance(weights, dict) else None


def _recalibrated(fused: Fused, plan: FitPlan) -> dict[str, Any]:
    """What a calibration of the rule's own changed: the metrics without it, and `changes`, as of `calibrate`."""
    from affectkit.calibration.calibrate import Calibrated, before_and_after
    from affectkit.calibration.method import CalibrationModel

    if fused.uncalibrated is None:
        return {}
    both = Calibrated(CalibrationModel({}), fused.uncalibrated, fused.predictions, {}, {})
    before = {part: assess(old, group=plan.group) for part, (old, _) in both.parts.items()}
    targets = [fused.predictions.targets[name] for name in fused.recalibrated]
    return {"uncalibrated_metrics": flat(before), "changes": before_and_after(both, plan, targets)}


def _calibrated_confusions(reports: Reports, plan: FitPlan) -> dict[str, pd.DataFrame]:
    """`val_confusion_calibrated.csv` and `test_confusion_calibrated.csv`, of the parts of rows that there are."""
    files = {}
    for part, report in reports.items():
        # The rows fitted on go by the name of what they were: cross-fitted val rows are val rows.
        rows = plan.origin if part == "oof" and report["n"] == len(plan.fit) else part
        for name, table in report_tables(report).items():
            if name.endswith("confusion_counts"):  # of further targets, with their names before
                files[f"{rows}_{name.removesuffix('_counts')}_calibrated.csv"] = table
    return files


def _rule_files(fused: Fused) -> dict[str, Any]:
    """`"targets"` by name in an object, a column `target` before the others in a table."""
    import pandas as pd

    files: dict[str, Any] = {}
    for name, by_target in fused.model.files().items():
        if name.endswith(".json"):
            files[name] = {"targets": by_target}
        elif rows := [{"target": target, **row} for target, rows in by_target.items() for row in rows]:
            files[name] = pd.DataFrame(rows)
    return files


# --- A calibration


def of_calibration(
    calibrated: Calibrated,
    source: Source,
    plan: FitPlan,
    targets: Sequence[Target],
    *,
    wanted_error: float,
    abstain: bool,
    by: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Result:
    """With `calibration_map.csv`, what the final fit makes of each value. by: columns that coverage is told by.
    options: of the method."""
    import pandas as pd

    from affectkit.calibration import calibrate

    methods = {name: fitted["method"] for name, fitted in calibrated.model.targets.items()}
    kind = {"kind": "calibration", "method": ", ".join(sorted(set(methods.values())))}
    result = of_sources(calibrated, kind, plan, [source], _calibration_warnings(calibrated, plan))
    judged = calibrated, plan, targets
    facts = {
        "method": methods,
        "changes": calibrate.before_and_after(*judged),
        "selective": calibrate.selective(calibrated, targets, wanted_error),
        "coverage": calibrate.held(calibrated, plan, targets, by),
        "variance_coverage": calibrate.variance_coverage(calibrated, targets),
        **({"per_value": per_value} if (per_value := calibrate.of_values(*judged, options or {})) else {}),
        "clamped": {name: int(rows.sum()) for name, rows in calibrated.clamped.items()},
        "compared": {name: [_plain(c) for c in candidates] for name, candidates in calibrated.compared.items()},
    }
    predictions = calibrate.abstaining(result.predictions, facts["selective"]) if abstain else result.predictions
    curves = [row for target in targets for row in calibrate.mapped(calibrated, target)]
    files = {"calibration_map.csv": pd.DataFrame(curves)} if curves else {}
    return replace(result, predictions=predictions, facts=facts, files=files)


def _plain(candidate: Candidate) -> dict[str, Any]:
    against = candidate.against.plain() if candidate.against else None
    return {"method": candidate.method, "score": candidate.score, "against_none": against, "chosen": candidate.chosen}


def _calibration_warnings(calibrated: Calibrated, plan: FitPlan) -> list[str]:
    from affectkit.calibration.method import NONE

    warnings = []
    if plan.group is None:
        warnings.append("no groups are known: rows of one speaker may stand on both sides of a fold")
    if plan.single:
        warnings.append(f"all fit rows are of one {plan.group}: what holds for others is not known")
    if calibrated.before.foreign:
        warnings.append("nothing says how these predictions were made (no column 'seen'): taken as held out")
    for name, classes in calibrated.unseen.items():
        if classes:
            why = "their probabilities cannot be calibrated, and are not taken to 0"
            warnings.append(f"{name}: none of the rows fitted on is {', '.join(classes)}: {why}")
    unchanged = [name for name, fitted in calibrated.model.targets.items() if fitted["method"] == NONE]
    if unchanged:
        warnings.append(f"no calibration is better than none beyond chance: {', '.join(unchanged)} left as they are")
    return warnings
