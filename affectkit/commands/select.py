"""`affectkit select`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

RunsArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Run folders of models. A CSV of predictions is ranked too, but has no model to copy.",
    ),
]
ByOpt = Annotated[
    str | None,
    typer.Option(
        "--by",
        help="Figure to rank by: val, oof or test, then a metric. val is held-out or cross-fitted val rows, or all "
        "cross-fitted ones of a run without (default: val_macro_f1, or val_ccc of numbers).",
    ),
]
ThenOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--then",
        help="What decides among runs that tie: another such figure, simplest or earliest; repeat it for more "
        "(default: simplest, and earliest at last).",
    ),
]
TiesOpt = Annotated[
    bool,
    typer.Option(
        "--ties/--no-ties",
        help="Whether runs tie that the data cannot tell from the best at the 95 % level, or only "
        "runs with equal metrics.",
    ),
]

RequireOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="METRIC<=NUMBER",
        help="What the chosen run must reach, such as 'ece<=.03' or 'test_ece<=.03' (default: on the rows of --by). "
        "Repeat it for more: where no run meets all, the first is given up, and its figure decides among the runs that "
        "meet the others. Exit code 3 where no run meets the last.",
    ),
]
ReplaceOpt = Annotated[
    bool,
    typer.Option(
        "--replace-stable",
        help="Replace what select wrote into the folder before, in one step, so that a service finds it whole at any "
        "moment; it is kept as FOLDER.previous.",
    ),
]

FACTS = ("by", "best", "chosen", "decided_by", "tie_set", "optimism", "servable", "required", "warnings")  # for --json


def select(
    runs: RunsArg,
    output_dir: opt.OutputDir,
    by: ByOpt = None,
    then: ThenOpt = None,
    ties: TiesOpt = True,
    require: RequireOpt = None,
    replace_stable: ReplaceOpt = False,
    manifest: opt.OptionalManifest = None,
    treat_as: opt.TreatAsVal = None,
    group: opt.Group = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Choose among runs, and copy the chosen one with its parents: a folder that predicts wherever it is moved to.

    Runs are compared on the rows that all of them predicted and none was fitted on. Among those that the data cannot
    tell from the best, the simplest is taken: fewest models in the chain, then a single model before a calibration, a
    fusion of fixed weights and a fitted one, then fewest bytes. To choose by test rows is allowed, and optimistic.

    A folder that a service reads is replaced by --replace-stable; a killed replacement is put right by the next one.

    Example: affectkit select runs/linear runs/svm runs/fused --by val_macro_f1 --then simplest -o runs/best
    """
    options = dict(locals())
    if replace_stable and (resume or overwrite):
        raise AffectkitError("usage", "--replace-stable goes without --resume and --overwrite", remedy="leave them out")
    from contextlib import nullcontext

    from affectkit.artifacts.files import read_json
    from affectkit.artifacts.reports import SELECTION
    from affectkit.artifacts.runs import open_run
    from affectkit.artifacts.sources import read_joined_sources
    from affectkit.artifacts.stable import replacing
    from affectkit.evaluation.candidates import run_names
    from affectkit.evaluation.complexity import facts_of
    from affectkit.evaluation.selected import write_selected
    from affectkit.evaluation.selection import select as choose
    from affectkit.reporting import selected, terminal
    from affectkit.reporting.browser import write_page
    from affectkit.results.lineage import digests, lineage

    named = run_names(runs)
    with replacing(output_dir, "select") if replace_stable else nullcontext(output_dir) as place:
        options |= {"output_dir": place, "overwrite": overwrite or replace_stable}
        with open_run("select", options, inputs=[*runs, manifest]) as run:
            if not run.finished:
                columns = [group] if group else []
                joined = read_joined_sources(named, manifest=manifest, columns=columns, treat_as=treat_as)
                sources = {source.name: source for source in joined}
                facts = {name: facts_of(source) for name, source in sources.items()}
                how: dict[str, Any] = {"by": by, "then": then or ["simplest"], "require": require or ()}
                selection = choose(sources, facts, **how, group=group, ties=ties)
                files = [(name, file) for name, s in sources.items() for file in digests([s.path])]
                inputs = [{**file, "name": f"{name}/{file['name']}"} for name, file in files]
                past = {**lineage(source.path for source in joined), "inputs": inputs}
                write_selected(run.path, selection, sources, facts, ties=ties, lineage=past)
                write_page(run.path, selected.draw(run.path))
    report = read_json(output_dir / SELECTION, what="selection")
    facts = {key: report[key] for key in FACTS if key in report}
    return terminal.outcome(output_dir, facts, selected.draw(output_dir))
