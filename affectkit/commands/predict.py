"""`affectkit predict`."""

from pathlib import Path
from typing import Annotated

import typer

from affectkit import console
from affectkit.options import (
    DeviceOpt,
    JsonOpt,
    MediaRootOpt,
    NumWorkersOpt,
    OnErrorOpt,
    OptionalManifestOpt,
    OverwriteOpt,
    QuietOpt,
    SplitOpt,
)


def predict(
    model_dir: Annotated[Path, typer.Option("--model-dir", help="Model: a run folder or its best_model.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Media files, instead of a manifest.", metavar="FILES")
    ] = None,
    manifest: OptionalManifestOpt = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write", show_default="print it")] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option("--features", help="Features already extracted, in the order of training."),
    ] = None,
    split: SplitOpt = None,
    include_fit: Annotated[
        bool, typer.Option("--include-fit", help="Also predict rows that the model was fitted on, marked so.")
    ] = False,
    media_root: MediaRootOpt = None,
    device: DeviceOpt = "auto",
    num_workers: NumWorkersOpt = None,
    on_error: OnErrorOpt = "stop",
    overwrite: OverwriteOpt = False,
    quiet: QuietOpt = False,
    json_output: JsonOpt = False,
) -> None:
    """Predict with a model, from a manifest or from media files, running its own encoder where needed.

    Rows of a manifest that the model was fitted on are left out, unless asked for.

    Example: affectkit predict --model-dir runs/linear recordings/one.wav
    """
    options = dict(locals())
    if bool(files) == (manifest is not None):
        raise typer.BadParameter("give either FILES or --manifest.", param_hint="FILES")
    from contextlib import nullcontext

    from affectkit.artifacts.manifest import manifest_of_files, read_manifest
    from affectkit.artifacts.predictions import predictions_text, write_predictions
    from affectkit.artifacts.runs import open_run
    from affectkit.inference import Work, load_model, without_fit_rows

    inputs = [model_dir, *([manifest] if manifest else []), *(features or [])]
    with open_run("predict", options, inputs=inputs, reads=files or ()) if output else nullcontext():
        model = load_model(model_dir)
        if manifest is not None:
            rows = read_manifest(manifest, split=split, media_root=media_root)
            rows = rows if include_fit else without_fit_rows(model, rows)
        else:
            rows = manifest_of_files(files or [])
        with console.progress("predict") as progress:
            predictions = model.predict(
                rows, features=features or (), work=Work(device, num_workers, on_error), progress=progress
            )
        if output:
            write_predictions(output, predictions)
    if output:
        console.result(output, {"rows": len(predictions.frame)})
    else:
        console.data(predictions_text(predictions, as_json=json_output))
