"""`affectkit plot`."""

import logging
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console
from affectkit.console import Outcome
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import comma_separated

log = logging.getLogger(__name__)

RunsArg = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]RUN...",
        help="Run folders, tables of predictions, or histories of trainings: ours, Keras', the Trainer's, PyTorch "
        "Lightning's or TensorBoard's. Several are drawn together.",
    ),
]
FormatOpt = Annotated[str, typer.Option("--format", help="Formats, comma-separated: png, svg.")]
OnlyOpt = Annotated[
    str | None,
    typer.Option(
        "--only", help="Kinds of figures, comma-separated, such as loss,mae,scatter (default: all that the runs have)."
    ),
]


def plot(
    runs: RunsArg,
    output_dir: opt.OutputDir,
    only: OnlyOpt = None,
    format: FormatOpt = "png,svg",
    split: opt.JudgedSplit = None,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAs = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Draw the figures of runs: training over epochs and steps, predictions against the truth, errors, calibration.

    A file for each figure and format, listed in index.csv with a caption and a text alternative; of predicted numbers
    prediction_analysis/metrics.json too. Only rows that the model never saw are drawn, of one split. Of a run that has
    not ended, its history so far.

    Example: affectkit plot runs/personality tuned=runs/tuned --only loss,r_squared,scatter -o runs/plots
    """
    options = dict(locals())
    formats = _formats(format)
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.models import whole
    from affectkit.artifacts.runs import open_run
    from affectkit.evaluation.candidates import named_runs
    from affectkit.reporting.plots.catalogue import chosen, figures_of
    from affectkit.reporting.plots.material import differing_rows, is_unfinished, read_material
    from affectkit.reporting.plots.write import write_analysis, write_figures

    names = comma_separated(only)
    if only is not None and not names:
        raise AffectkitError("usage", "--only names no figure", remedy="leave it out for all that the runs have")
    wanted = {kind.of for kind in chosen(names)}
    paths = named_runs(runs)
    running = [name for name, path in paths.items() if is_unfinished(path)]
    inputs = [path for name, path in paths.items() if name not in running]
    with open_run("plot", options, inputs=[*inputs, manifest]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest) if manifest else None
        how: dict[str, Any] = {"split": split, "treat_as": treat_as, "manifest": rows}
        materials = []
        for name, path in paths.items():
            with whole(path, "run"):
                materials.append(read_material(name, path, wanted, **how))
        with console.progress("drawing") as progress:
            written = write_figures(run.path, figures_of(materials, names), formats, progress)
        analysis = write_analysis(run.path, materials)
    facts = {"files": [row["file"] for row in written], "analysis": analysis}
    lines = [f"{name} has not ended: its history so far" for name in running]
    lines += differing_rows(materials)
    lines += [f"{run.name}: {run.log.tool}; carried as it is: {', '.join(run.log.carried)}"
              for run in materials if run.log and run.log.carried]  # fmt: skip
    lines += [f"{len(written)} files, listed in index.csv"]
    return Outcome(run.path, facts, lines)


def _formats(text: str) -> list[str]:
    """Of `--format`. Raises "usage" for one that is none."""
    from affectkit.reporting.figures.svg import FORMATS

    wanted = list(dict.fromkeys(part.lower().lstrip(".") for part in comma_separated(text)))
    for name in wanted:
        if name not in FORMATS:
            remedy = did_you_mean(name, list(FORMATS))
            raise AffectkitError("usage", f"--format: '{name}' is no format of figures", remedy=remedy)
    if not wanted:
        raise AffectkitError("usage", "--format names no format", remedy="name png, svg, or both")
    return wanted
