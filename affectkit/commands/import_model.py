"""`affectkit import-model`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome

ExpertArg = Annotated[
    str, typer.Argument(help=f"Face expert: {', '.join(registry.names('experts'))}.", metavar="EXPERT")
]
DetectorOpt = Annotated[
    str, typer.Option("--detector", help=f"Face detector: {', '.join(registry.names('detectors'))}.")
]
PolicyOpt = Annotated[
    Literal["largest", "most-central", "highest-score"],
    typer.Option("--policy", help="Which of several faces to read."),
]
BoxScaleOpt = Annotated[
    float,
    typer.Option(
        "--box-scale",
        min=0.5,
        max=3,
        help="Side of the crop relative to the longer side of the face box, where there are no landmarks.",
    ),
]
FlipOpt = Annotated[
    bool,
    typer.Option(
        "--flip-average/--no-flip-average", help="Whether to average over the mirrored face too, where --tta is 1."
    ),
]
TargetOpt = Annotated[
    str | None,
    typer.Option("--target", help="Numbers to answer for, comma-separated (default: all of the expert's)."),
]


def import_model(
    expert: ExpertArg,
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    target: TargetOpt = None,
    detector: DetectorOpt = "haar",
    policy: PolicyOpt = "largest",
    box_scale: BoxScaleOpt = 1.0,
    flip_average: FlipOpt = True,
    tta: opt.Tta = 1,
    group: opt.Group = None,
    media_root: opt.MediaRoot = None,
    on_error: opt.OnError = "stop",
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Make a model folder of a network that reads faces, and predict a manifest's val and test rows with it.

    Nothing is trained: the network's weights are yours to bring. Numbers are on the scales of the manifest's targets.
    An image without a face is declined, and the column face says so; of a row about one person (EMOTIC), only faces in
    that person's box count. The folder is a source of fuse and calibrate as any other, and predict runs it on images,
    folders and videos.

    Example: affectkit import-model emonet --weights models/emonet/pretrained --manifest runs/manifest -o runs/face
    """
    options = dict(locals())
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.experts._adapter import build_expert
    from affectkit.experts._expert import CropRule
    from affectkit.inference import Work
    from affectkit.inference.faces import predict_faces, rows_to_answer, targets_for
    from affectkit.reporting import evaluated, terminal
    from affectkit.results.kinds import of_expert
    from affectkit.results.save import save_result

    expert_options, detector_options = _by_plugin(expert, detector, plugin_options)
    files = [Path(value) for value in plugin_options.values() if isinstance(value, str) and Path(value).is_file()]
    with open_run("import-model", options, inputs=[manifest, *files]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest, media_root=media_root)
        rule = CropRule(policy, box_scale, flip_average)
        face = build_expert(expert, expert_options, detector, detector_options, rule=rule, device=device, foreign=True)
        face = face.answering(targets_for(face, rows, target))
        with console.progress("import-model") as progress:
            work = Work(device, num_workers, on_error, progress=progress)
            predictions = predict_faces(face, rows_to_answer(rows), work, tta or 1)
        result = of_expert(face, predictions, rows, tta=tta or 1, group=group)
        save_result(run.path, result)
    pages = {part: evaluated.page(report) for part, report in result.reports.items()}
    return terminal.outcome(run.path, {"metrics": result.metrics}, pages)


def _by_plugin(expert: str, detector: str, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the expert, and of the detector. Raises "usage" for one that neither has."""
    finding = registry.options(registry.load("detectors", detector, foreign=True).build)
    own = {name: value for name, value in given.items() if name not in finding}
    registry.check_options("experts", expert, registry.load("experts", expert, foreign=True).build, own)
    return own, {name: value for name, value in given.items() if name in finding}
