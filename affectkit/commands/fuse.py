"""`affectkit fuse`."""

from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError
from affectkit.plain import comma_separated

RuleOpt = Annotated[str, typer.Option("--rule", help=f"Fusion rule: {', '.join(registry.names('rules'))}.")]
FallbackOpt = Annotated[
    Literal["best"] | None,
    typer.Option(
        "--fallback",
        help="What to do where fusing does not help on the rows fitted on: best keeps the best single source.",
    ),
]


def fuse(
    sources: opt.Sources,
    output_dir: opt.OutputDir,
    rule: RuleOpt = "mean",
    metric: opt.Metric = None,
    fallback: FallbackOpt = None,
    fit_on: opt.FitOn = None,
    target: opt.PredictedTargets = None,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAsVal = None,
    group: opt.Group = None,
    track: opt.Track = None,
    bundle: opt.Bundle = False,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **rule_options: Any,
) -> Outcome:
    """Fuse predictions, and say whether fusing helps.

    A rule is fitted on cross-fitted or val rows, and compared with the best single source over whole speakers. A row
    that a source lacks is fused from the others. Test rows are never fitted on.

    Example: affectkit fuse voice=runs/egemaps text=runs/text --rule stacked -o runs/fused
    """
    options = dict(locals())
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import named_paths, read_joined_sources
    from affectkit.evaluation.rows import fittable
    from affectkit.fusion.align import align, only
    from affectkit.fusion.fuse import fuse as fit_fusion
    from affectkit.fusion.rule import build_rule
    from affectkit.leakage.crossfit import plan_fit, plan_judged
    from affectkit.reporting import terminal
    from affectkit.reporting.browser import write_page
    from affectkit.reporting.fused import draw
    from affectkit.results.kinds import of_fusion
    from affectkit.results.save import save_result
    from affectkit.training.journal import open_journal

    paths = named_paths(sources, least=2)
    built = build_rule(rule, rule_options)
    if track and not built.trains:
        message = f"--track: rule {rule} is not trained epoch by epoch"
        raise AffectkitError("usage", message, remedy="leave it out, or use --rule mlp")
    with open_run("fuse", options, inputs=[*paths.values(), manifest]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        columns = [*built.columns, *([group] if group else [])]
        named = read_joined_sources(
            paths, manifest=manifest, columns=columns, treat_as=treat_as, tables=built.takes_tables
        )
        aligned = only(align(named, fit_on=fit_on, learns=built.learns), named, comma_separated(target))
        planned = plan_fit if built.learns else plan_judged
        plan = planned(aligned.rows, fit_on=fit_on, group=group, seed=seed)
        if built.learns:
            learnt = fittable(aligned.rows, aligned.rows.targets.values(), plan.fit)
            aligned = only(aligned, named, [each.name for each in learnt])
        names = list(aligned.rows.targets)
        start: dict[str, Any] = {"resumed": run.resumed, "options": options, "track": track, "targets": names}
        start |= {"monitor": "val_loss"}
        with console.progress("fuse") as progress, open_journal(run.path, "fuse", **start) as journal:
            how: dict[str, Any] = {"metric": metric, "fallback": fallback == "best", "seed": seed}
            fused = fit_fusion(aligned, rule, rule_options, plan, **how, progress=progress)
            for name in names:
                history = fused.model.targets[name]["parameters"].get("history", ())
                journal.tell_history(history, of=name if len(names) > 1 else "")
        result = of_fusion(fused, rule, named, plan if built.learns else plan.without_rows())
        save_result(run.path, result, bundle=bundle)
        page = draw(run.path)
        write_page(run.path, page)
    return terminal.outcome(run.path, result.facts, page)
