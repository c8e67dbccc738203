"""`affectkit predict`."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    from affectkit.media.cuts import Windows

WindowOpt = Annotated[
    float | None,
    typer.Option("--window", help="Length of the windows to cut recordings into, in seconds; each window is a row."),
]
StrideOpt = Annotated[
    float | None,
    typer.Option("--stride", help="Seconds from the start of a window to the next (default: the window's length)."),
]
FpsOpt = Annotated[
    float | None,
    typer.Option(
        "--fps", help="Number of frames per second to look at, where FILES or the manifest's media are videos."
    ),
]
FacesOpt = Annotated[
    str | None,
    typer.Option(
        "--faces",
        help=f"Face detector for videos, each face found being a row: none, {', '.join(registry.names('detectors'))} "
        "(default: none where the model sees whole images).",
    ),
]
ColumnOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=VALUE",
        help="Cell that all FILES have, such as language=en, which a route or a calibration may ask for. Repeat "
        "it for more.",
    ),
]
TrackGapOpt = Annotated[
    float | None,
    typer.Option(
        "--track-gap",
        help="Seconds for which a face in a video may be unseen and still be the same track (default: 1).",
    ),
]


def predict(
    model_dir: Annotated[Path, typer.Option("--model-dir", help="Model: a run folder, or its best_model.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Media files, or folders of them, instead of a manifest; for a model of a table, CSVs of its columns.",
            metavar="FILES",
        ),
    ] = None,
    manifest: opt.OptionalManifest = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write (default: print it).")] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(
            "--features",
            metavar="[NAME=]PATH",
            help="Features already extracted: by the names that they had in training, such as static=FOLDER, or "
            "without names in the order used in training.",
        ),
    ] = None,
    column: ColumnOpt = None,
    window: WindowOpt = None,
    stride: StrideOpt = None,
    fps: FpsOpt = None,
    faces: FacesOpt = None,
    track_gap: TrackGapOpt = None,
    tta: opt.AsTrainedTta = None,
    mc_dropout: opt.AsTrainedMcDropout = None,
    split: opt.Split = None,
    include_fit: Annotated[
        bool,
        typer.Option(
            "--include-fit",
            help="Whether to also predict the rows that the model was fitted on; they are marked as such.",
        ),
    ] = False,
    media_root: opt.MediaRoot = None,
    device: opt.Device = "auto",
    num_workers: opt.NumWorkers = None,
    on_error: opt.OnError = "stop",
    overwrite: opt.Overwrite = False,
    json_output: opt.Json = False,
    **detector_options: Any,
) -> Outcome:
    """Predict with a model, from a manifest or from media files, running its own encoder where needed.

    Rows of a manifest that the model was fitted on are left out, unless asked for. A table needs no `id`: its rows are
    row-1, row-2, ... then. Of windows, `id` is <clip>@<start>;
    a rest of half a window or more is a window too, a shorter one is added to the window before.

    Of videos (--fps), `id` is <video>@<time>; where faces are looked for, a row is a face, <video>@<time>#<track>, and
    a track one face that goes on: affectkit stabilize faces.csv --sequence sequence,track, affectkit aggregate
    faces.csv --to track. Rows of a manifest that name videos and a time_sec are these frames, without --fps.

    Of several passes over a row (--tta, --mc-dropout) the answer is their mean. How far they differ is told too: t_var
    of a number, mutual_information of classes, by which affectkit query --strategy bald knows what the model does not.

    Example: affectkit predict --model-dir runs/linear recordings/one.wav --window 5 -o runs/windows.csv
    """
    options = dict(locals())
    if bool(files) == (manifest is not None):
        raise typer.BadParameter("give either FILES or --manifest.", param_hint="FILES")
    cells = _cells(column, files)
    windows = _windows(window, stride, features)
    _check_videos(fps, faces, track_gap, detector_options, window, features)
    from contextlib import nullcontext

    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.predictions import predictions_text, write_predictions
    from affectkit.artifacts.records import require_finished
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.table_features import files_of
    from affectkit.inference import (
        TABLES,
        Sampling,
        Work,
        check_drops,
        check_reads,
        holds_videos,
        load_model,
        manifest_of_files,
        manifest_of_tables,
        needs,
        predict_videos,
        predict_windows,
        without_fit_rows,
    )

    sampling = Sampling(fps, faces or "", detector_options, **({} if track_gap is None else {"track_gap": track_gap}))
    inputs = [model_dir, manifest, *files_of(features or [])]
    for path in files or ():
        require_finished(path)
    with open_run("predict", options, inputs=inputs, reads=files or ()) if output else nullcontext():
        model = load_model(model_dir)
        check_drops(model, mc_dropout)
        if fps is not None:
            check_reads(model)
        if manifest is not None:
            rows = read_manifest(manifest, split=split, media_root=media_root)
            rows = rows if include_fit else without_fit_rows(model, rows)
        elif "features" in (media := needs(model).media) and (
            (len(media) == 1 and not features) or all(path.suffix.lower() in TABLES for path in files or ())
        ):
            rows = manifest_of_tables(files or [], cells)
        else:
            looked_for = needs(model).media if fps is None else {"video"}
            rows = manifest_of_files(files or [], looked_for, columns=cells, on_error=on_error)
        facts: dict[str, Any] = {}
        with console.progress("predict") as progress, _ended_by_sigterm():
            work = Work(device, num_workers, on_error, tta, mc_dropout, progress)
            if fps is not None or (not features and holds_videos(model, rows)):
                predictions, counts = predict_videos(model, rows, work, sampling)
                facts = vars(counts)
            elif windows:
                predictions = predict_windows(model, rows, work, windows)
            else:
                predictions = model.predict(rows, work, features or ())
        if output:
            write_predictions(output, predictions)
    if output:
        return Outcome(output, {"rows": len(predictions.frame), **facts})
    return Outcome(data=predictions_text(predictions, as_json=json_output))


def _cells(column: list[str] | None, files: list[Path] | None) -> dict[str, str]:
    """Columns of FILES, by name."""
    pairs = [text.partition("=") for text in column or ()]
    if pairs and not files:
        raise AffectkitError("usage", "--column is for FILES", remedy="add it to the manifest")
    for name, equals, value in pairs:
        if not equals or not value.strip() or name.strip() in ("", "id", "path"):
            raise AffectkitError("usage", f"--column '{name}{equals}{value}' is no cell", remedy="write language=en")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _windows(window: float | None, stride: float | None, features: list[Path] | None) -> "Windows | None":
    from affectkit.media.cuts import Windows

    windows = Windows.asked(window, stride)
    if windows and features:
        message = "--features are of whole recordings, and --window cuts them"
        raise AffectkitError("usage", message, remedy="leave one of them out")
    return windows


def _check_videos(
    fps: float | None,
    faces: str | None,
    track_gap: float | None,
    detector_options: dict[str, Any],
    window: float | None,
    features: list[Path] | None,
) -> None:
    named = {"--faces": faces, "--track-gap": track_gap}
    given = [option for option, value in named.items() if value is not None]
    given += ["--" + option.replace("_", "-") for option in detector_options]
    if fps is None and given:
        raise AffectkitError("usage", f"{given[0]} needs --fps", remedy="give frames of a second, such as --fps 2")
    for option, value in (("--window", window), ("--features", features)):
        if fps is not None and value:
            raise AffectkitError("usage", f"{option} has no use for --fps", remedy="leave one of them out")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as an exception does, which takes temporary files along."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
