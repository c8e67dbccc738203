"""`affectkit alert`."""

from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.plain import comma_separated

WhenOpt = Annotated[
    list[str],
    typer.Option(
        "--when",
        metavar="CONDITION",
        help="What raises an alert, quoted for the shell: 'stress>=.7', a number or the probability of a class; "
        "'severity>=moderate', the predicted level; 'severity.moderate+>=.5', the probability of that level or a "
        "higher one; 'confidence>=.8', the largest probability; joined by 'and'. Repeatable: any of them raises one. "
        "'... for 0' holds for this condition in place of --for.",
    ),
]
UnlessOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--unless",
        metavar="CONDITION",
        help="Rows that say nothing, as if the model had declined them: a condition as in --when, or on any column: "
        "'gated>=1', 'face=none'. Repeatable.",
    ),
]
ForOpt = Annotated[
    float,
    typer.Option(
        "--for",
        min=0,
        help="Seconds for which a condition must hold, from its first row to that which raises the alert: at one row a "
        "second, 5 are six rows.",
    ),
]
ClearOpt = Annotated[
    str | None,
    typer.Option(
        "--clear",
        metavar="NUMBER|CONDITION",
        help="What ends an alert: the number that the score of the only comparison must fall below (of <=: rise "
        "above), or a condition, 'stress<.5 and anxiety<moderate' (default: the first row at which no --when holds).",
    ),
]
CooldownOpt = Annotated[
    float,
    typer.Option("--cooldown", min=0, help="Seconds after an alert was raised in which its sequence raises none."),
]
MaxGapOpt = Annotated[
    float | None,
    typer.Option(
        "--max-gap",
        min=0,
        help="Seconds without a row, or without an answer, that end a run or an alert (default: 2.5 median steps).",
    ),
]
TrueWhenOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--true-when",
        metavar="CONDITION",
        help="What makes a true event, of true values and of any column: 'stress>=4' (default: as --when, of the true "
        "values, without what speaks of the model alone). Repeatable.",
    ),
]
ToleranceOpt = Annotated[
    float,
    typer.Option("--tolerance", min=0, help="Seconds after its onset in which an event that is over can be found."),
]
MatchOpt = Annotated[
    Literal["overlap", "raised"],
    typer.Option(
        "--match",
        help="What finds a true event: an alert that is on at any moment of it, or one that is raised within it.",
    ),
]
TimeOpt = Annotated[str, typer.Option("--time", help="Column with the time of a row, in seconds.")]
FACTS = ("rows", "sequences", "events", "hours", "hours_in_alert", "by_condition", "split", "judged")


def alert(
    predictions: opt.Predictions,
    when: WhenOpt,
    output_dir: opt.OutputDir,
    unless: UnlessOpt = None,
    for_: ForOpt = 0.0,
    clear: ClearOpt = None,
    cooldown: CooldownOpt = 0.0,
    max_gap: MaxGapOpt = None,
    true_when: TrueWhenOpt = None,
    tolerance: ToleranceOpt = 0.0,
    match: MatchOpt = "overlap",
    sequence: opt.SequenceColumns = "sequence",
    time: TimeOpt = "time_sec",
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAs = None,
    split: opt.JudgedSplit = None,
    group: opt.Group = None,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Raise alerts where predictions over time meet a condition, and judge them against the truth.

    Writes events.csv, states.csv (every row) and, where rows have a truth, which alerts were right, what was missed,
    how late, and how many false ones an hour, on rows that the model never saw. Nothing is fitted: choose thresholds on
    val or cross-fitted rows (evaluate --alert). An alert is a reason to look, and no more.

    Example: affectkit alert runs/sessions/predictions.csv --when 'stress>=.7' --for 5 --clear .5 --cooldown 300 -o
    runs/alerts
    """
    options = dict(locals())
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.reports import ALERTS
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import read_joined
    from affectkit.artifacts.timeline import timeline
    from affectkit.evaluation.intervals import Resampling
    from affectkit.reporting import alerted, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests, lineage
    from affectkit.temporal.alert import rule_of
    from affectkit.temporal.raised import Judging, write_alerts

    inputs = [predictions, *([manifest] if manifest else [])]
    times: dict[str, Any] = {"least": for_, "clear": clear, "cooldown": cooldown, "max_gap": max_gap}
    rule = rule_of(when, unless=unless or (), truth=true_when or (), **times)
    judging = Judging(split, group, tolerance, match, Resampling(seed=seed))
    with open_run("alert", options, inputs=inputs) as run:
        if not run.finished:
            frames: dict[str, Any] = {"sequence": comma_separated(sequence), "time": time}
            columns = [*frames["sequence"], time, *([group] if group else []), *rule.names]
            rows = read_manifest(manifest) if manifest else None
            table = read_joined(predictions, manifest=rows, columns=columns, treat_as=treat_as)
            rule.refuse_truths(set(rows.targets if rows else ()) - set(table.targets))
            line = timeline(table.frame, **frames, file=table.path)
            known: dict[str, Any] = {"lineage": {**lineage(inputs), "inputs": digests(inputs)}}
            known["warnings"] = [f"the rows stand for split {treat_as} because --treat-as says so"] if treat_as else []
            write_alerts(run.path, table, line, rule, judging, **frames, **known)
            write_page(run.path, alerted.draw(run.path))
    report = read_json(run.path / ALERTS, what="report of alerts")
    return terminal.outcome(run.path, {key: report[key] for key in FACTS}, alerted.draw(run.path))
