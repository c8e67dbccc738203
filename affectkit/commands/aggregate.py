"""`affectkit aggregate`."""

from typing import Annotated, Literal

import typer

import affectkit.options as opt
from affectkit.console import Outcome

ToOpt = Annotated[str, typer.Option("--to", help="Column whose values become the rows: clip, session, speaker, ...")]
RuleOpt = Annotated[
    Literal["mean", "median", "max", "vote"],
    typer.Option("--rule", help="How predictions are combined; vote is the share of rows that predict each class."),
]
WeightOpt = Annotated[
    str | None, typer.Option("--weight", help="Column of weights, such as duration_sec (default: all equal).")
]


def aggregate(
    predictions: opt.Predictions,
    to: ToOpt,
    output_dir: opt.OutputDir,
    rule: RuleOpt = "mean",
    weight: WeightOpt = None,
    truth: opt.Truth = "unanimous",
    target: opt.PredictedTargets = None,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAs = None,
    group: opt.Group = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Put predictions of windows or frames together into predictions of clips, sessions, subjects.

    Columns that do not differ within an aggregate are carried. A column `windows` says how many answers were used,
    `declined` how many rows had none. The truth of a number is made by the same rule as its predictions.

    Example: affectkit aggregate runs/linear/predictions.csv --to speaker --rule median -o runs/by_speaker
    """
    options = dict(locals())
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.predictions import write_predictions
    from affectkit.artifacts.reports import AGGREGATION
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import as_seen, chosen_targets, read_joined
    from affectkit.reporting import aggregated, terminal
    from affectkit.temporal.aggregate import aggregate as put_together
    from affectkit.temporal.aggregate import write_summary

    with open_run("aggregate", options, inputs=[predictions, manifest]) as run:
        if not run.finished:
            columns = [to, *([weight] if weight else []), *([group] if group else [])]
            table = read_joined(predictions, manifest=manifest, columns=columns, treat_as=treat_as)
            targets = chosen_targets(table, target)
            found = put_together(table, to, rule, targets=targets, weight=weight, truth=truth, group=group)
            write_predictions(run.path / "predictions.csv", as_seen(found.predictions, treat_as))
            asked = {"to": to, "rule": rule, "weight": weight, "truth": truth, "treat_as": treat_as}
            write_summary(run.path, asked, table, found)
    facts = read_json(run.path / AGGREGATION, what="summary")
    del facts["schema"]
    return terminal.outcome(run.path, facts, aggregated.draw(run.path))
