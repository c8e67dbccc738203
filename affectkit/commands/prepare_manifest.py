"""`affectkit prepare-manifest`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit import console, registry
from affectkit.console import Outcome
from affectkit.errors import AffectkitError
from affectkit.plain import comma_separated

if TYPE_CHECKING:
    from affectkit.leakage.sides import AuditReport


def _list(asked: bool) -> None:
    if asked:
        width = max(map(len, registry.names("corpora")))
        for name in registry.names("corpora"):
            print(f"{name:<{width}}  {registry.summary('corpora', name)}")
        raise typer.Exit


def prepare_manifest(
    corpus: Annotated[str, typer.Argument(help="Corpus, as named by --list.", metavar="CORPUS")],
    roots: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of the corpus; merge takes several manifests, labels the files of answers.", metavar="ROOT..."
        ),
    ],
    output_dir: opt.OutputDir,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Label map that the corpus brings, such as 4class.")
    ] = None,
    label_map: Annotated[
        str | None,
        typer.Option("--label-map", help="Label map: source=class,... or a JSON file. An empty class drops its rows."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Classes to keep, in this order, comma-separated.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="Rows to keep: a named part of the corpus (improvised), or column=value[,value]. Repeatable."
        ),
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option("--min-duration", min=0, help="Shortest clip to keep, in seconds.")
    ] = None,
    max_duration: Annotated[
        float | None, typer.Option("--max-duration", min=0, help="Longest clip to keep, in seconds.")
    ] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            "--split-by",
            help="official, speaker, session, random, another column, or a CSV of id,split "
            "(default: official where there is one, else speaker).",
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            "--val-fraction",
            min=0,
            max=0.9,
            help="Share of the rows for validation (default: 0.15; none with --folds).",
        ),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            "--test-fraction",
            min=0,
            max=0.9,
            help="Share of the rows for testing (default: 0.2; with --folds none, unless it is asked for: whole groups "
            "are then held out first, and the others make the folds).",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            help="Folds instead of splits: a number of folds, or a column (speaker, session, ...) for "
            "one fold per value. With --test-fraction, beside an untouched test part.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Column whose groups must not be split (default: speaker, where known)."),
    ] = None,
    audit: Annotated[
        Literal["names", "content", "near"],
        typer.Option(
            "--audit",
            help="How closely the splits are compared: by names, by content (identical media) or near "
            "(altered copies as well).",
        ),
    ] = "content",
    allow_leaks: Annotated[
        str | None,
        typer.Option(
            "--allow-leaks",
            help="Kinds of leak to accept, comma-separated: speaker, session, dialogue, source, media, text.",
        ),
    ] = None,
    drop_leaks: Annotated[
        Literal["train", "test"] | None,
        typer.Option(
            "--drop-leaks",
            help="Drop rows whose recording, medium or text another side has too: train keeps those that are judged "
            "(test, then val), test those that are fitted.",
        ),
    ] = None,
    faces: Annotated[
        Path | None,
        typer.Option(
            "--faces",
            help="CSV of detected faces (id or path, face_x, face_y, face_width, face_height, landmarks) "
            "to use instead of the corpus's own.",
        ),
    ] = None,
    media_root: opt.MediaRoot = None,
    num_workers: opt.NumWorkers = None,
    on_error: opt.OnError = "stop",
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    list_corpora: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the corpora and exit.")
    ] = False,
    **corpus_options: Any,
) -> Outcome:
    """Turn a corpus into a manifest: one row per sample, split without leaks.

    Durations come from the media's headers; rows that are left out are listed with the reason in summary.json, and
    what the splits share in leak_audit.json. An undeclared leak is an error unless its kind is allowed; leaks.csv then
    lists all that leaked.

    Example: affectkit prepare-manifest emodb corpora/emodb --folds speaker -o runs/manifest
    """
    options = dict(locals())
    from affectkit.artifacts.files import write_json
    from affectkit.artifacts.manifest import AUDIT, write_manifest
    from affectkit.artifacts.runs import REFUSAL, open_run
    from affectkit.artifacts.tables import write_table
    from affectkit.corpora._assemble import assemble
    from affectkit.corpora._gather import Choices, gather

    module = registry.load("corpora", corpus, foreign=True)
    registry.check_options("corpora", corpus, getattr(module, "read", None) or module.gather, corpus_options)
    choices = Choices(
        preset, label_map, labels, tuple(only or ()), min_duration, max_duration, split_by, folds, val_fraction,
        test_fraction, group, audit, comma_separated(allow_leaks), drop_leaks, num_workers, on_error, media_root, faces,
        seed,
    )  # fmt: skip
    named = [value for value in corpus_options.values() if isinstance(value, Path)]
    artifacts = [*roots, *named] if named else []  # what is made of other artifacts is made again where these change
    with open_run("prepare-manifest", options, inputs=[faces, *artifacts], reads=roots) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        made = assemble(gather(module, corpus, roots, corpus_options), choices, console.progress)
        if made.report:
            _require_no_leaks(made.report, choices.allow_leaks, run.path / REFUSAL)
        if made.audit:
            write_json(run.path / AUDIT, made.audit)
        for name, table in made.tables.items():
            write_table(run.path / name, table)
        write_manifest(run.path, made.rows, made.summary, made.label_map)
    return Outcome(run.path, made.facts(), made.lines(), made.warnings)


def _require_no_leaks(report: "AuditReport", allowed: Sequence[str], file: Path) -> None:
    """Raises "leak" for one that is neither declared nor allowed, and leaves all such in `file`."""
    from affectkit.artifacts.tables import write_table

    try:
        report.require(allowed, listed=file)
    except AffectkitError as error:
        if error.code == "leak":
            write_table(file, report.listing(allowed))
        raise
