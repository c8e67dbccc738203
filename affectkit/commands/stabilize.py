"""`affectkit stabilize`."""

from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.plain import comma_separated

AlphaOpt = Annotated[
    float | None,
    typer.Option("--alpha", min=1e-6, max=1, help="Weight of a new frame; 1 smooths nothing (default: 0.7)."),
]
HalfLifeOpt = Annotated[
    float | None,
    typer.Option(
        "--half-life",
        min=1e-9,
        help="Time in which the weight of the past halves, in the units of --time; for irregular "
        "frames, instead of --alpha.",
    ),
]
ThresholdOpt = Annotated[
    float | None,
    typer.Option(
        "--uncertainty-threshold",
        min=0,
        help="Hold frames whose standard deviation, sqrt(<target>_var), is above this (in the target's units) "
        "(default: 0.4, where there is a variance).",
    ),
]
MinConfidenceOpt = Annotated[
    float | None,
    typer.Option(
        "--min-confidence", min=0, max=1, help="Hold the last value at frames in which no class has this probability."
    ),
]
FACTS = ("rows", "sequences", "split", "n", "targets", "pooled")
MaxLagOpt = Annotated[int, typer.Option("--max-lag", min=1, help="Largest lag to look for, in frames.")]


def stabilize(
    predictions: opt.Predictions,
    output_dir: opt.OutputDir,
    alpha: AlphaOpt = None,
    half_life: HalfLifeOpt = None,
    uncertainty_threshold: ThresholdOpt = None,
    min_confidence: MinConfidenceOpt = None,
    sequence: opt.SequenceColumns = "sequence",
    time: opt.TimeColumn = "time_sec",
    target: opt.PredictedTargets = None,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAs = None,
    split: opt.JudgedSplit = None,
    group: opt.Group = None,
    max_lag: MaxLagOpt = 30,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Smooth predictions over time, holding the last value where the model is unsure.

    A moving average over the frames of each sequence: alpha * new + (1 - alpha) * old. A held frame does not move it.
    Reports jitter, lag and error before and after, on rows that the model never saw.

    Example: affectkit stabilize runs/faces/predictions.csv --alpha .7 --uncertainty-threshold .4 -o runs/stable
    """
    options = dict(locals())
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.predictions import write_predictions
    from affectkit.artifacts.reports import STABILITY
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import as_seen, chosen_targets, read_joined_sources
    from affectkit.artifacts.timeline import timeline
    from affectkit.evaluation.intervals import Resampling
    from affectkit.reporting import stabilized, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests, lineage
    from affectkit.temporal.stabilize import smoothing_of, write_stability
    from affectkit.temporal.stabilize import stabilize as smooth

    inputs = [predictions, *([manifest] if manifest else [])]
    with open_run("stabilize", options, inputs=inputs) as run:
        if not run.finished:
            frames: dict[str, Any] = {"sequence": comma_separated(sequence), "time": time}
            columns = [*frames["sequence"], time, *([group] if group else [])]
            named = {"predictions": predictions}
            [source] = read_joined_sources(named, manifest=manifest, columns=columns, treat_as=treat_as)
            table = source.table()
            targets = chosen_targets(table, target)
            gates = {"uncertainty_threshold": uncertainty_threshold, "min_confidence": min_confidence}
            smoothing, notes = smoothing_of(table, targets, alpha=alpha, half_life=half_life, **gates)
            line = timeline(table.frame, **frames, file=table.path)
            smoothed = smooth(table, line, targets, smoothing)
            write_predictions(run.path / "predictions.csv", as_seen(smoothed, treat_as))
            how = {**frames, "split": split, "group": group, "most": max_lag, "resampling": Resampling(seed=seed)}
            known: dict[str, Any] = {"notes": notes, "lineage": {**lineage(inputs), "inputs": digests(inputs)}}
            known["warnings"] = [f"the rows stand for split {treat_as} because --treat-as says so"] if treat_as else []
            write_stability(run.path, (table, smoothed), line, targets, smoothing.plain(), how, **known)
            write_page(run.path, stabilized.draw(run.path))
    report = read_json(run.path / STABILITY, what="stability report")
    return terminal.outcome(run.path, {key: report[key] for key in FACTS}, stabilized.draw(run.path))
