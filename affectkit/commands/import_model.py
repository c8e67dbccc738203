"""`affectkit import-model`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.options import flat

ExpertArg = Annotated[str, typer.Argument(help=f"Expert: {', '.join(registry.names('experts'))}.", metavar="EXPERT")]


def import_model(
    expert: ExpertArg,
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    group: opt.Group = None,
    media_root: opt.MediaRoot = None,
    on_error: opt.OnError = "stop",
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **plugin_options: Any,
) -> Outcome:
    """Make a model folder of an expert on faces or texts, and predict a manifest's val and test rows with it.

    Nothing is trained: a network's weights are yours to bring. Numbers are on the scales of the manifest's targets. The
    folder is a source of fuse and calibrate as any other, and predict runs it on images, folders and videos, or texts.

    An image without a face is declined, and the column face says so; of a row about one person (EMOTIC), only faces in
    that person's box count. A text that is empty, or in no language of the expert's, is declined, and the column
    declined says why.

    Example: affectkit import-model lexicon --manifest runs/manifest -o runs/sentiment
    """
    options = dict(locals())
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.inference import Work
    from affectkit.inference.imported import import_expert, split_options
    from affectkit.reporting import evaluated, terminal
    from affectkit.results.kinds import of_expert
    from affectkit.results.save import save_result

    medium, own = split_options(expert, plugin_options)
    options |= {**flat({"medium": medium}), "plugin_options": own}
    brought = [Path(value) for value in own.values() if isinstance(value, str) and Path(value).is_file()]
    with open_run("import-model", options, inputs=[manifest, *brought]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest, media_root=media_root)
        with console.progress("import-model") as progress:
            work = Work(device, num_workers, on_error, progress=progress)
            result = of_expert(import_expert(expert, medium, own, rows, work), rows, group=group)
        save_result(run.path, result)
    pages = {part: evaluated.page(report) for part, report in result.reports.items()}
    return terminal.outcome(run.path, {"metrics": result.metrics}, pages)
