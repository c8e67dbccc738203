"""`affectkit calibrate`."""

from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

MethodOpt = Annotated[
    str,
    typer.Option(
        "--method",
        help=f"Calibration method: {', '.join(registry.names('methods'))}; or auto: the simplest that does as well as "
        "any, or none.",
    ),
]
WantedErrorOpt = Annotated[
    float,
    typer.Option(
        "--wanted-error",
        min=0,
        max=1,
        help="Error rate that the rows above the selective-prediction threshold should have.",
    ),
]
AbstainOpt = Annotated[
    bool,
    typer.Option(
        "--abstain", help="Whether to mark rows below the selective-prediction threshold, in a column `abstain`."
    ),
]


PerOpt = Annotated[
    str | None,
    typer.Option(
        "--per",
        help="Column, such as language, for each of whose values a fit of its own is made; of conformal, for each of "
        "whose values the coverage should hold.",
    ),
]
MinRowsOpt = Annotated[
    int | None,
    typer.Option(
        "--min-rows",
        min=1,
        help="Number of rows that a value of --per needs for a fit of its own; others have that of all rows (default: "
        "100).",
    ),
]


def calibrate(
    predictions: opt.Predictions,
    output_dir: opt.OutputDir,
    method: MethodOpt = "auto",
    fit_on: opt.FitOn = None,
    target: opt.PredictedTargets = None,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAsVal = None,
    group: opt.Group = None,
    per: PerOpt = None,
    min_rows: MinRowsOpt = None,
    wanted_error: WantedErrorOpt = 0.1,
    abstain: AbstainOpt = False,
    bundle: opt.Bundle = False,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **method_options: Any,
) -> Outcome:
    """Fit a calibration on held-out predictions, and apply it to all of them.

    The rows fitted on get cross-fitted predictions: what is written for a row is by a fit that never saw its speaker.
    Test rows are never fitted on.

    Example: affectkit calibrate runs/linear --method temperature -o runs/calibrated
    """
    options = dict(locals())
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import chosen_targets, read_joined_sources
    from affectkit.calibration.calibrate import calibrate as fit_calibration
    from affectkit.calibration.calibrate import needed_columns, taken
    from affectkit.evaluation.rows import fittable
    from affectkit.leakage.crossfit import plan_fit
    from affectkit.reporting import terminal
    from affectkit.reporting.browser import write_page
    from affectkit.reporting.calibrated import draw
    from affectkit.results.kinds import of_calibration
    from affectkit.results.save import save_result

    if min_rows is not None and not per:
        raise AffectkitError("usage", "--min-rows needs --per", remedy="name a column, such as --per language")
    typed = {"per": per, "min_rows": min_rows}
    method_options |= {name: value for name, value in typed.items() if value}
    extra = needed_columns(method, method_options)
    with open_run("calibrate", options, inputs=[predictions, manifest]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        columns = [*extra, *([group] if group else [])]
        [source] = read_joined_sources({"model": predictions}, manifest=manifest, columns=columns, treat_as=treat_as)
        table = source.table()
        targets = taken(method, method_options, chosen_targets(table, target))
        plan = plan_fit(table, fit_on=fit_on, group=group, seed=seed)
        targets = fittable(table, targets, plan.fit)
        calibrated = fit_calibration(table, method, method_options, plan, targets)
        asked: dict[str, Any] = {"wanted_error": wanted_error, "abstain": abstain, "by": extra}
        result = of_calibration(calibrated, source, plan, targets, options=method_options, **asked)
        save_result(run.path, result, bundle=bundle)
        facts = result.facts
        del source, plan, calibrated, result  # the page reads what was written: two tables of a million rows at a time
        page = draw(run.path, table)
        write_page(run.path, page)
    return terminal.outcome(run.path, facts, page)
