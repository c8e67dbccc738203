"""`affectkit tabulate`."""

from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.plain import comma_separated

ColumnsOpt = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Columns of the manifest to make features of, comma-separated: numbers as they are, text as its length, "
        "any other as a column for each value.",
    ),
]
LayoutOpt = Annotated[
    Literal["named", "ser-service"],
    typer.Option(
        "--layout",
        help="Which features are made: named after sources and columns; or ser-service: that system's 19, of sources "
        "called audio and text.",
    ),
]

OverOpt = Annotated[
    str | None,
    typer.Option(
        "--over",
        help="Column of predictions of windows, frames or turns that names the manifest's row they are of; features "
        "are means over them (default, where their ids are not the manifest's: clip, sequence, or the id up to @).",
    ),
]


def tabulate(
    sources: opt.Sources,
    manifest: opt.Manifest,
    output_dir: opt.OutputDir,
    columns: ColumnsOpt = None,
    layout: LayoutOpt = "named",
    over: OverOpt = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Make features of predictions, to train a fusion on.

    Writes train_features.csv, val_features.csv and test_features.csv (folds_features.csv of a manifest of folds); train
    --features takes the folder. Rows that a source was fitted on need its cross-fitted answers: train it with --cv.

    Of predictions of windows, each feature is the mean over a row's windows: <name>_confidence is the mean of their
    confidences, not the confidence of their mean; <name>_windows counts them.

    Example: affectkit tabulate audio=runs/audio text=runs/text --manifest runs/manifest --columns text -o runs/table
    """
    options = dict(locals())
    from affectkit.artifacts.features import PART
    from affectkit.artifacts.files import write_json
    from affectkit.artifacts.manifest import SUMMARY, read_manifest
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import named_paths, rows_of_manifest
    from affectkit.artifacts.tables import EXACT, write_table
    from affectkit.fusion.table import tabulate as make_table
    from affectkit.results.lineage import digests

    paths = named_paths(sources)
    with open_run("tabulate", options, inputs=[*paths.values(), manifest]) as run:
        if run.finished:
            return Outcome(run.path, finished=True)
        rows = read_manifest(manifest)
        named = rows_of_manifest(paths, rows, over)
        table = make_table(named, rows, comma_separated(columns), layout)
        parts = table.parts()
        for part, frame in parts.items():
            write_table(run.path / f"{part}{PART}", frame, EXACT)
        counts = {part: len(frame) for part, frame in parts.items()}
        inputs = digests([source.path for source in named])
        facts: dict[str, Any] = {"features": table.features, "rows": counts, "seen": table.seen}
        facts |= {"windows": dict(table.windows)} if table.windows else {}
        write_json(run.path / SUMMARY, {**facts, "tabulation": table.tabulation.to_json(), "inputs": inputs})
    lines = [f"{name}: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}" for name, kinds in table.seen.items()]
    lines += [f"{name}: features are means over {count} windows" for name, count in table.windows.items()]
    total = ", ".join(f"{count} {part}" for part, count in counts.items())
    return Outcome(run.path, facts, [f"{len(table.features)} features; rows: {total}", *lines])
