"""`affectkit predict`."""

from pathlib import Path
from typing import Annotated

import typer

from affectkit import console
from affectkit.errors import AffectkitError
from affectkit.options import (
    DeviceOpt,
    JsonOpt,
    McDropoutOpt,
    MediaRootOpt,
    NumWorkersOpt,
    OnErrorOpt,
    OptionalManifestOpt,
    OverwriteOpt,
    QuietOpt,
    SplitOpt,
    TtaOpt,
)

WindowOpt = Annotated[
    float | None, typer.Option("--window", help="Cut recordings into windows of this length (s): a row for each.")
]
StrideOpt = Annotated[
    float | None,
    typer.Option("--stride", help="From the start of a window to the next (s)", show_default="the window"),
]


def predict(
    model_dir: Annotated[Path, typer.Option("--model-dir", help="Model: a run folder or its best_model.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Media files, and folders of them, instead of a manifest.", metavar="FILES"),
    ] = None,
    manifest: OptionalManifestOpt = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write", show_default="print it")] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option("--features", help="Features already extracted, in the order of training."),
    ] = None,
    window: WindowOpt = None,
    stride: StrideOpt = None,
    tta: TtaOpt = None,
    mc_dropout: McDropoutOpt = None,
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

    Rows of a manifest that the model was fitted on are left out, unless asked for. Of windows, `id` is <clip>@<start>;
    a rest of half a window or more is a window too, a shorter one is added to the window before.

    Example: affectkit predict --model-dir runs/linear recordings/one.wav --window 5 -o runs/windows.csv
    """
    options = dict(locals())
    if bool(files) == (manifest is not None):
        raise typer.BadParameter("give either FILES or --manifest.", param_hint="FILES")
    _check_windows(window, stride, features)
    from contextlib import nullcontext

    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.predictions import predictions_text, write_predictions
    from affectkit.artifacts.runs import open_run
    from affectkit.inference import (
        Windows,
        Work,
        load_model,
        manifest_of_files,
        needs,
        predict_windows,
        without_fit_rows,
    )

    windows = Windows.of(window, stride) if window is not None else None
    inputs = [model_dir, *([manifest] if manifest else []), *(features or [])]
    with open_run("predict", options, inputs=inputs, reads=files or ()) if output else nullcontext():
        model = load_model(model_dir)
        if manifest is not None:
            rows = read_manifest(manifest, split=split, media_root=media_root)
            rows = rows if include_fit else without_fit_rows(model, rows)
        else:
            rows = manifest_of_files(files or [], needs(model), on_error=on_error)
        work = Work(device, num_workers, on_error, tta, mc_dropout)
        with console.progress("predict") as progress:
            if windows:
                predictions = predict_windows(model, rows, windows, work=work, progress=progress)
            else:
                predictions = model.predict(rows, features=features or (), work=work, progress=progress)
        if output:
            write_predictions(output, predictions)
    if output:
        console.result(output, {"rows": len(predictions.frame)})
    else:
        console.data(predictions_text(predictions, as_json=json_output))


def _check_windows(window: float | None, stride: float | None, features: list[Path] | None) -> None:
    if stride is not None and window is None:
        raise AffectkitError("usage", "--stride needs --window", remedy="give the length of a window in seconds")
    if window is not None and features:
        message = "--features are of whole recordings, and --window cuts them"
        raise AffectkitError("usage", message, remedy="leave one of them out")
