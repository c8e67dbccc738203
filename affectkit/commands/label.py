"""`affectkit label`."""

import os
from pathlib import Path
from typing import Annotated

import typer

import affectkit.options as opt
from affectkit.console import Outcome, say
from affectkit.errors import AffectkitError

QueueArg = Annotated[
    Path,
    typer.Argument(
        metavar="QUEUE.csv", help="Rows to label, as query writes them, or any table with id, and path or text."
    ),
]
OutputOpt = Annotated[
    Path, typer.Option("--output", "-o", help="Journal of the answers, labels.jsonl; one that is there is continued.")
]
LabelsOpt = Annotated[
    str | None,
    typer.Option("--labels", help="Classes to choose from, comma-separated (default: those that the queue predicts)."),
]
ScaleOpt = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="NAME=LOW:HIGH[:STEP],...",
        help="Numbers to answer: valence=-1:1,arousal=-1:1. A scale from 0 or 1 to 3 up to 10 has whole points: "
        "stress=1:5.",
    ),
]
TargetOpt = Annotated[str, typer.Option("--target", help="What the classes are of.")]
AnnotatorOpt = Annotated[str, typer.Option("--annotator", help="Name that the page proposes to who answers.")]
RatersOpt = Annotated[int, typer.Option("--raters", min=1, max=100, help="How many persons are to answer each row.")]
ShowOpt = Annotated[
    bool,
    typer.Option(
        "--show-predictions",
        help="Show what the queue's further columns say: predictions, scores, reasons, labels, file names. They sway "
        "whoever answers.",
    ),
]
HostOpt = Annotated[
    str, typer.Option("--host", help="Address to listen on; any but one of this machine alone asks for a token.")
]
PortOpt = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any that is free.")]
OpenOpt = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def label(
    queue: QueueArg,
    output: OutputOpt,
    labels: LabelsOpt = None,
    scale: ScaleOpt = None,
    target: TargetOpt = "label",
    annotator: AnnotatorOpt = "",
    raters: RatersOpt = 1,
    show_predictions: ShowOpt = False,
    media_root: opt.MediaRoot = None,
    host: HostOpt = "127.0.0.1",
    port: PortOpt = 8002,
    open_: OpenOpt = False,
) -> Outcome:
    """Ask people about rows, on a page in the browser: recordings, videos, images, texts.

    Every answer is on the disk before the page is told so; run the command again to go on. Only files of the queue are
    sent, to this machine alone, or to who has the token (AFFECTKIT_LABEL_TOKEN, else one is made). Ctrl-C ends it. See
    affectkit/labeling/README.md.

    Example: affectkit label queue.csv --labels angry,happy,neutral,sad -o labels.jsonl
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        remedy = "pip install 'affectkit[serve]'"
        raise AffectkitError("environment", f"labelling needs {error.name}", remedy=remedy) from None
    from affectkit.artifacts.annotations import open_journal
    from affectkit.labeling.app import create_app, run_until_signal
    from affectkit.labeling.desk import Desk, name_of
    from affectkit.labeling.guard import entrance_of
    from affectkit.labeling.queue import questions_of, read_queue
    from affectkit.web import listen, log_to_stderr

    try:
        annotator = annotator and name_of(annotator)
    except ValueError as error:
        raise AffectkitError("usage", f"--annotator: {error}", remedy="write another") from None
    with listen(host, port) as socket:  # before anything is read
        entrance = entrance_of(host, socket.getsockname()[1], os.environ.get("AFFECTKIT_LABEL_TOKEN", ""))
        rows = read_queue(queue, media_root=media_root)
        questions = questions_of(labels, scale, target, list(rows.manifest.rows.columns))
        with open_journal(output, [question.target for question in questions], alone=True) as journal:
            desk = Desk(rows, questions, journal, raters=raters)
            app = create_app(desk, entrance, annotator=annotator, shown=show_predictions)
            say(f"{len(rows)} rows to label at {entrance.address} (Ctrl-C ends it)")
            log_to_stderr()
            run_until_signal(app, socket, page=entrance.address if open_ else "")
            facts = {"rows": len(rows), "answers": len(journal.given), **desk.counts()}
    lines = [f"{facts['labelled']} of {len(rows)} rows labelled by {facts['people']} people"]
    return Outcome(output, facts, lines)
