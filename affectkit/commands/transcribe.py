"""`affectkit transcribe`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError
from affectkit.transcribers import QUIETEST

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest
    from affectkit.artifacts.transcripts import Cache, Transcript
    from affectkit.transcribers._listen import Listening
    from affectkit.transcribers._rows import Plan
    from affectkit.transcribers._transcriber import Transcriber

ModelOpt = Annotated[
    str,
    typer.Option("--model", help="Recogniser: a Hugging Face hub id, a local folder, or tiny-random:ARCHITECTURE."),
]
EngineOpt = Annotated[
    str,
    typer.Option(
        "--engine", help=f"What runs it: {', '.join(registry.names('transcribers'))}, or your own package.module."
    ),
]
LanguageOpt = Annotated[
    str,
    typer.Option(
        "--language",
        help="Language that is spoken (en, zh, ...); auto: as the model hears it, row by row; column: as the "
        "manifest's column says, and as the model hears it where that is empty.",
    ),
]
ReplaceOpt = Annotated[
    bool,
    typer.Option("--replace", help="Hear rows that have a text, too, and put what is heard in its place."),
]
AgainstOpt = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="COLUMN",
        help="Column with what was really said: its rows are heard and judged by word and character error rates, and "
        "keep their text unless --replace (default: with --replace the corpus's own text, else none).",
    ),
]
CacheOpt = Annotated[
    Path | None,
    typer.Option(
        "--asr-cache-json",
        help="File of answers by content, model and options, which runs share. Failures and empty ones are not kept.",
    ),
]
RetryEmptyOpt = Annotated[
    bool,
    typer.Option(
        "--retry-empty",
        help="Hear rows whose answer is empty once more, whatever their level and without looking for voices.",
    ),
]
MinLevelOpt = Annotated[
    float,
    typer.Option(
        "--min-level",
        max=0,
        help="Level of the loudest 30 ms that a recording must reach to be heard, in dB of full scale; the text of "
        "quieter ones is empty.",
    ),
]
BatchSecondsOpt = Annotated[
    float,
    typer.Option(
        "--batch-seconds", min=0, help="Seconds of audio per batch, padding included. It does not change the texts."
    ),
]


def transcribe(
    manifest: opt.Manifest,
    model: ModelOpt,
    output_dir: opt.OutputDir,
    engine: EngineOpt = "hf",
    language: LanguageOpt = "auto",
    replace: ReplaceOpt = False,
    against: AgainstOpt = None,
    asr_cache_json: CacheOpt = None,
    retry_empty: RetryEmptyOpt = False,
    min_level: MinLevelOpt = QUIETEST,
    group: opt.Group = None,
    media_root: opt.MediaRoot = None,
    batch_seconds: BatchSecondsOpt = 240.0,
    on_error: opt.OnError = "stop",
    num_workers: opt.NumWorkers = None,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    **engine_options: Any,
) -> Outcome:
    """Write down what is said: a manifest in, the same manifest with texts out.

    A text that the corpus brings is kept unless --replace; then comes the cache, then the model. Splits, folds, labels
    and the leak audit are carried over. What was heard is kept as it comes, so a killed run goes on with --resume.

    Example: affectkit transcribe --manifest runs/manifest --model openai/whisper-base -o runs/texts
    """
    # Flat: --device is the engine's, and a resumed run may differ in it.
    options = {**{name: value for name, value in locals().items() if name != "engine_options"}, **engine_options}
    plugin = registry.load("transcribers", engine, foreign=True)
    registry.check_options("transcribers", engine, plugin.build, engine_options)
    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.manifest import read_manifest
    from affectkit.artifacts.reports import TRANSCRIPTION
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.transcripts import Cache
    from affectkit.distributed import ranks
    from affectkit.evaluation.error_rates import require_jiwer
    from affectkit.evaluation.intervals import Resampling
    from affectkit.reporting import terminal, transcribed
    from affectkit.reporting.browser import write_page
    from affectkit.transcribers._listen import Listening
    from affectkit.transcribers._rows import plan, told

    built = plugin.build(**engine_options)
    if (here := ranks(cpu=True)).world > 1:
        raise AffectkitError("usage", "transcribe runs in one process", remedy="start it without a launcher")
    _check(model, asr_cache_json, output_dir)
    folders = [Path(model)] if Path(model).is_dir() else []
    with open_run("transcribe", options, inputs=[manifest], reads=folders) as run:
        if not run.finished:
            rows = read_manifest(manifest, media_root=media_root)
            planned = plan(rows, replace=replace, against=against, group=group)
            if against is not None or (planned.references != "").any():
                require_jiwer()
            cache = Cache.read(asr_cache_json)
            built.load(model, batch_seconds=batch_seconds)
            listening = Listening(told(rows.take(planned.heard), language, built), min_level, retry_empty)
            loop = {"batch_seconds": batch_seconds, "num_workers": here.workers(num_workers), "on_error": on_error}
            answers = _hear(run.path, rows, planned, built, listening, cache, loop)
            report = _write(run.path, rows, planned, answers, built, model, Resampling(seed=seed))
            run.note(device=built.device, **{name: report[name] for name in ("asked", "silent", "skipped")})
            write_page(run.path, transcribed.draw(run.path))
    report = read_json(run.path / TRANSCRIPTION, what="report of a transcription")
    facts = {name: report[name] for name in ("rows", "counts", "silent", "skipped", "errors")}
    return terminal.outcome(run.path, facts, transcribed.draw(run.path))


def _check(model: str, cache: Path | None, output_dir: Path) -> None:
    if not model:
        raise AffectkitError("usage", "--model is empty", remedy="name a hub id or a folder")
    if cache is not None and output_dir.resolve() in Path(os.path.realpath(cache)).parents:
        what = "--asr-cache-json lies in --output-dir, which it is to outlive"
        raise AffectkitError("usage", what, file=cache, remedy="name a file outside")


def _hear(
    folder: Path,
    manifest: "Manifest",
    plan: "Plan",
    transcriber: "Transcriber",
    listening: "Listening",
    cache: "Cache",
    loop: dict[str, Any],
) -> "dict[str, Transcript]":
    """What is heard of the rows that are to be, by id, in the manifest's order."""
    from affectkit.artifacts.transcripts import JOURNAL, Journal
    from affectkit.encoders._encoder import recordings
    from affectkit.transcribers._listen import listen
    from affectkit.transcribers._transcriber import record

    places, asked = plan.heard.nonzero()[0], manifest.take(plan.heard)
    items = recordings(asked, num_workers=loop["num_workers"]) if len(places) else []
    journal = Journal(folder / JOURNAL, record(transcriber))
    try:
        with console.progress("transcribe") as progress:
            listen(
                transcriber, items, listening, journal, cache,
                where=lambda place: manifest.where(int(places[place])), progress=progress, **loop,
            )  # fmt: skip
    finally:
        journal.close()
    return {key: journal.rows[key] for key in asked.rows["id"]}


def _write(
    folder: Path,
    manifest: "Manifest",
    plan: "Plan",
    answers: "dict[str, Transcript]",
    transcriber: "Transcriber",
    model: str,
    resampling: Any,
) -> dict[str, Any]:
    """The manifest, the table of errors, those skipped, and the report, which is returned."""
    import pandas as pd

    from affectkit.artifacts.files import write_json
    from affectkit.artifacts.manifest import AUDIT, write_manifest
    from affectkit.artifacts.reports import ERROR_TABLE, TRANSCRIPTION
    from affectkit.artifacts.tables import write_table
    from affectkit.artifacts.transcripts import SILENT
    from affectkit.results.lineage import digests, lineage
    from affectkit.results.words import texts
    from affectkit.transcribers._rows import counted, filled, findings, heard_alike, heard_before, judged
    from affectkit.transcribers._transcriber import called, record

    rows, facts = filled(manifest, plan, answers), record(transcriber)
    transcripts = {"model": called(model), "digest": facts.pop("weights", ""), "engine": facts.pop("engine")}
    transcripts |= {"options": facts.pop("options"), "counts": counted(rows)}
    transcripts |= {"before": before} if (before := heard_before(manifest, plan)) else {}
    errors, table = None, None
    if (plan.references != "").any():
        errors, table = judged(manifest, plan, answers, resampling)
        write_table(folder / ERROR_TABLE, table)
    skipped = [(key, answer.why) for key, answer in answers.items() if answer.why not in ("", SILENT)]
    if skipped:
        write_table(folder / "skipped.csv", pd.DataFrame(skipped, columns=["id", "reason"]))
    past = {**lineage([manifest.path]), "inputs": digests([manifest.path]), "normalization": "inductive"}
    past |= {"texts": [texts(transcripts)], "declared": [*past["declared"], *(alike := heard_alike(manifest, rows))]}
    report = {"rows": len(rows), **transcripts, **facts, **findings(manifest, answers), "errors": errors, **past}
    write_json(folder / TRANSCRIPTION, report)
    label_map, audit = manifest.beside()
    declared = {"declared": [*manifest.declared(), *alike]} if alike else {}
    write_manifest(folder, rows, {**manifest.summary, **declared, "transcripts": transcripts}, label_map)
    if audit:
        write_json(folder / AUDIT, audit)
    return report
