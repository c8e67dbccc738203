"""`affectkit query`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

SourcesArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PREDICTIONS | NAME=PREDICTIONS...",
        help="Predictions: the run folder of a model, or a CSV from any tool; several by name. Without any, the rows "
        "of --manifest.",
    ),
]
CountOpt = Annotated[int, typer.Option("--count", "-n", min=1, help="Number of rows to ask about.")]
StrategyOpt = Annotated[
    str,
    typer.Option(
        "--strategy",
        help="What makes a row worth a label: least-confidence, margin, entropy (classes); variance (numbers); "
        "disagreement (several sources); bald (the same, or passes: predict --mc-dropout 20); core-set, k-means, "
        "typicality (--features); badge (both); label-errors; random. Several with their shares: "
        "margin=.7,random=.3.",
    ),
]
OutputOpt = Annotated[Path, typer.Option("--output", "-o", help="File to write: a row, or a task, for each.")]
FormatOpt = Annotated[
    Literal["csv", "label-studio", "prodigy"] | None,
    typer.Option(
        "--format",
        help="What to write: csv for affectkit label; tasks of Label Studio, with a project's configuration beside "
        "them as .xml, or of Prodigy (default: by the ending of --output, .json label-studio, .jsonl prodigy, else "
        "csv).",
    ),
]
ShowOpt = Annotated[
    bool,
    typer.Option(
        "--show-predictions",
        help="Whether tasks of label-studio and prodigy have the predicted answer filled in, and say why they were "
        "picked. It sways whoever answers.",
    ),
]
RootOpt = Annotated[
    Path | None,
    typer.Option(
        "--document-root",
        help="Folder above all media that Label Studio serves local files from (default: the one above the folder that "
        "holds all).",
    ),
]
FeaturesOpt = Annotated[
    list[Path] | None,
    typer.Option("--features", help="Features folder, for distances between rows. Repeatable."),
]
PerGroupOpt = Annotated[int | None, typer.Option("--per-group", min=1, help="At most so many rows of a group.")]
PerClassOpt = Annotated[
    int | None, typer.Option("--per-class", min=1, help="At most so many rows of a predicted class.")
]
QuotaOpt = Annotated[
    list[str] | None,
    typer.Option("--quota", metavar="COLUMN=VALUE:N", help="At most N rows of a value: sex=female:50. Repeatable."),
]
ExcludeOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--exclude", help="Queue, labels, any table with id, or manifest, whose rows are not asked about. Repeatable."
    ),
]
RelabelOpt = Annotated[
    bool, typer.Option("--relabel", help="Whether to ask about rows that have a label, instead of those without.")
]
AskedSplit = Annotated[str | None, typer.Option("--split", help="Ask about rows of this split alone: train or val.")]


def query(
    output: OutputOpt,
    sources: SourcesArg = None,
    count: CountOpt = 100,
    strategy: StrategyOpt = "least-confidence",
    manifest: opt.OptionalManifest = None,
    features: FeaturesOpt = None,
    target: opt.PredictedTargets = None,
    per_group: PerGroupOpt = None,
    per_class: PerClassOpt = None,
    quota: QuotaOpt = None,
    exclude: ExcludeOpt = None,
    relabel: RelabelOpt = False,
    split: AskedSplit = None,
    media_root: opt.MediaRoot = None,
    format_: FormatOpt = None,
    show_predictions: ShowOpt = False,
    document_root: RootOpt = None,
    group: opt.Group = None,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Choose the rows that are most worth a person's time, with a score and a reason for each.

    Rows without a label are asked about. Test rows never are, nor rows of their groups: what is judged must not steer
    what is learned. label-errors asks about labels that look wrong, and so does --relabel with any strategy, by answers
    of fits that never saw the row (train --cv): others are too sure of it.

    Example: affectkit query runs/linear --manifest runs/manifest -n 200 --strategy margin=.7,random=.3 -o queue.csv
    """
    options = dict(locals())
    from contextlib import ExitStack

    from affectkit.artifacts.exchange import files_of, format_of, write_queue
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import named_paths
    from affectkit.labeling.candidates import read_candidates
    from affectkit.labeling.picked import queue_facts, queue_lines, queue_table
    from affectkit.labeling.query import choose, parse_strategies, quota_columns

    form = format_of(output, format_, shown=show_predictions, document_root=document_root)
    strategies = parse_strategies(strategy)
    words = sources or []
    one = len(words) == 1 and "=" not in words[0]
    paths = {"model": Path(words[0])} if one else named_paths(words) if words else {}
    if media_root and not manifest:
        raise AffectkitError("usage", "--media-root is of a --manifest, and none is named", remedy="name it")
    inputs = [*paths.values(), manifest, *(features or ()), *(exclude or ())]
    with ExitStack() as stack:
        runs = [
            stack.enter_context(open_run("query", {**options, "output": file}, inputs=inputs))
            for file in files_of(output, form)
        ]
        known: dict[str, Any] = {"target": target, "group": group, "split": split, "media_root": media_root}
        known |= {"features": features or (), "exclude": exclude or ()}
        candidates = read_candidates(paths, manifest, columns=quota_columns(quota or ()), **known)
        limits: dict[str, Any] = {"per_group": per_group, "per_class": per_class, "quotas": quota or ()}
        chosen = choose(candidates, strategies, count, relabel=relabel, seed=seed, **limits)
        shown: dict[str, Any] = {"shown": show_predictions, "document_root": document_root}
        shown["model_version"] = words[0] if one else "+".join(paths)
        lines = write_queue(output, form, queue_table(candidates, chosen), candidates.targets, **shown)
        for run in runs:
            run.note(picked=len(chosen), left_out=dict(candidates.left_out))
    facts = queue_facts(candidates, chosen, [each.name for each, _ in strategies])
    return Outcome(output, facts, queue_lines(facts) + lines)
