"""`affectkit learning-curve`."""

from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

StrategiesOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        help="What asks for the next rows, as query has it: margin, or margin=.7,random=.3. Repeatable; random is "
        "always among them (default: random, least-confidence).",
    ),
]
StartOpt = Annotated[
    float, typer.Option("--start", min=0, help="Rows with a label at first: a share below 1, or a number.")
]
StepOpt = Annotated[float, typer.Option("--step", min=0, help="Rows that a round asks for, as --start has them.")]
RoundsOpt = Annotated[int, typer.Option("--rounds", min=1, help="Number of rounds.")]
SeedsOpt = Annotated[int, typer.Option("--seeds", min=1, help="Number of repeats, with the seeds 0, 1, ...")]
CurveMetric = Annotated[
    str | None,
    typer.Option("--metric", help="Metric of the curve (default: uar, or ccc of numbers)."),
]


def learning_curve(
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    features: opt.Features = None,
    model: opt.Model = "linear",
    strategy: StrategiesOpt = None,
    start: StartOpt = 0.1,
    step: StepOpt = 0.1,
    rounds: RoundsOpt = 5,
    seeds: SeedsOpt = 10,
    metric: CurveMetric = None,
    target: opt.LearnedTargets = None,
    normalize: opt.Normalize = "train",
    class_weight: opt.ClassWeight = "balanced",
    row_weights: opt.RowWeights = "",
    exclude: opt.Exclude = None,
    impute: opt.Impute = "median",
    select_features: opt.SelectFeatures = None,
    group: opt.Group = None,
    missing: opt.Missing = "stop",
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Tell how many labels a model needs, and which strategy of query saves some, from labels that are there already.

    A model is trained on some rows, a strategy asks for more, and so on; labels that nobody asked for are withheld. It
    is judged on the test rows, or with folds on another fold for each seed, which are never asked for. Curves are means
    over seeds. The effort of a strategy is how many labels it needs for what random rows reach, over theirs.

    Example: affectkit learning-curve --manifest runs/manifest --features runs/egemaps --strategy margin -o runs/curve
    """
    options = dict(locals()) | {"seed": 0}
    if not features:
        raise AffectkitError("usage", "learning-curve needs --features", remedy="extract some")
    import shutil

    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.table_features import files_of
    from affectkit.distributed import Ranks
    from affectkit.estimators._again import assemble
    from affectkit.estimators._fit import build_estimator
    from affectkit.labeling.learning_curve import PARTS, RANDOM, plan, simulate, summary, write_learning_curve
    from affectkit.labeling.query import parse_strategies
    from affectkit.reporting import learned, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests, lineage

    chosen = list(dict.fromkeys([RANDOM, *(strategy or ["least-confidence"])]))
    for name in chosen:
        parse_strategies(name)
    estimator = build_estimator(model, plugin_options)
    inputs = [manifest, *files_of(features)]
    with open_run("learning-curve", options, inputs=inputs) as run:
        if not run.finished:
            training = assemble(read_manifest(manifest), estimator, {**options, "sequence": None})
            how: dict[str, Any] = {"metric": metric, "start": start, "step": step, "rounds": rounds, "seeds": seeds}
            simulation = plan(training, device=device, num_workers=Ranks().workers(num_workers), **how)
            with console.progress("learning curve") as progress:
                curves = simulate(simulation, chosen, run.path, progress)
            read = {**lineage(inputs), "warnings": [], "inputs": digests(inputs)}
            read |= {"normalization": "transductive" if normalize == "speaker" else "inductive"}
            told = {"model": model, **summary(curves, simulation), **read}
            write_learning_curve(run.path, curves, told)
            write_page(run.path, learned.draw(run.path))
            shutil.rmtree(run.path / PARTS)
        page, facts = learned.draw(run.path), learned.read(run.path)
    kept = {name: facts[name] for name in ("metric", "labels", "strategies")}
    return terminal.outcome(run.path, kept, page)
