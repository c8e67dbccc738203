"""`affectkit extract-features`."""

from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome

EncoderOpt = Annotated[
    str,
    typer.Option("--encoder", help=f"Encoder: {', '.join(registry.names('encoders'))}, or your own package.module."),
]
BatchSecondsOpt = Annotated[
    float,
    typer.Option(
        "--batch-seconds", min=0, help="Seconds of audio per batch, padding included. It does not change the features."
    ),
]


def extract_features(
    manifest: opt.Manifest,
    encoder: EncoderOpt,
    output_dir: opt.OutputDir,
    split: opt.Split = None,
    media_root: opt.MediaRoot = None,
    batch_seconds: BatchSecondsOpt = 60.0,
    on_error: opt.OnError = "stop",
    num_workers: opt.NumWorkers = None,
    device: opt.Device = "auto",
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **encoder_options: Any,
) -> Outcome:
    """Extract features of every row with an encoder.

    Work is done in shards: an unfinished folder goes on with --resume, and several processes share one folder:
    accelerate launch --multi_gpu --num_processes 2 -m affectkit extract-features ... (also on CPUs).

    Example: affectkit extract-features --manifest runs/manifest --encoder opensmile -o runs/egemaps
    """
    options = dict(locals())
    plugin = registry.load("encoders", encoder, foreign=True)
    registry.check_options("encoders", encoder, plugin.build, encoder_options)
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.distributed import ranks
    from affectkit.encoders._encoder import items, load
    from affectkit.encoders._loop import extract

    built = plugin.build(**encoder_options)
    here = ranks(cpu=device == "cpu" or not built.on_device)
    workers = here.workers(num_workers)
    with open_run("extract-features", options, inputs=[manifest], is_main=here.is_main, barrier=here.barrier) as run:
        if run.finished:
            return Outcome(run.path, finished=True) if here.is_main else Outcome()
        rows = read_manifest(manifest, split=split, media_root=media_root)
        todo = items(rows, built, num_workers=workers)
        place = load(built, device, local_rank=here.local_rank)
        with console.progress(encoder) as progress:
            written = extract(
                built,
                todo,
                run.path,
                batch_seconds=batch_seconds,
                num_workers=workers,
                on_error=on_error,
                where=rows.where,
                ranks=here,
                progress=progress,
            )
        if written:
            run.note(device=place, processes=here.world, skipped=len(written.skipped), **written.counts)
    return Outcome(run.path, written.facts(), written.lines()) if written else Outcome()
