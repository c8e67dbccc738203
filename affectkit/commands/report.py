"""`affectkit report`."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectkit.options as opt
from affectkit.console import Outcome
from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    from affectkit.reporting.page import Page

RunsArg = Annotated[
    list[str],
    typer.Argument(metavar="[NAME=]RUN...", help="Finished run folders: one to draw again, or several to compare."),
]
# Who draws the page of the folder that a command wrote: a file of `reporting/`.
PAGES = {
    "train": "trained",
    "finetune": "trained",
    "import-model": "trained",
    "fuse": "fused",
    "calibrate": "calibrated",
    "stabilize": "stabilized",
    "transcribe": "transcribed",
    "aggregate": "aggregated",
    "alert": "alerted",
    "ablate": "ablated",
    "evaluate": "evaluated",
    "select": "selected",
    "report": "compared",
}


def report(
    runs: RunsArg,
    output_dir: opt.OutputDir,
    split: opt.JudgedSplit = None,
    group: opt.Group = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
) -> Outcome:
    """Draw the page of a finished run again, or the page of several runs side by side.

    Of one run: its own page, from what is in its folder. Of several: metrics with intervals, differences to the first
    run (paired, on the rows that all of them predicted and none was fitted on), learning curves and reliability.

    Example: affectkit report runs/linear runs/svm tuned=runs/wav2vec2 -o runs/side_by_side
    """
    options = dict(locals())
    from affectkit.artifacts.models import whole
    from affectkit.artifacts.runs import open_run
    from affectkit.reporting import terminal
    from affectkit.reporting.browser import write_page

    folders = _named(runs)
    commands = {name: _command(folder) for name, folder in folders.items()}
    alone = len(folders) == 1
    if alone and (split or group):
        option = "--split" if split else "--group"
        raise AffectkitError("usage", f"{option} is for several runs", remedy="leave it out, or use affectkit evaluate")
    with open_run("report", options, inputs=folders.values()) as run:
        shown = run.path
        if alone:
            [shown] = folders.values()
        elif not run.finished:
            _compare(run.path, folders, commands, split, group)
        with whole(shown, "run"):
            page = _page(shown, next(iter(commands.values())) if alone else "report")
            if not run.finished:
                write_page(run.path, page)
            return terminal.outcome(run.path, {"title": page.title, "runs": commands}, page)


def _named(runs: list[str]) -> dict[str, Path]:
    """Folders by name: that before `=`, else what tells the folder from the others."""
    from affectkit.artifacts.sources import named_paths
    from affectkit.evaluation.candidates import run_names

    names: dict[Path, str] = {}
    paths = []
    for text in runs:
        path = Path(text)
        if "=" in text and not path.exists():
            [(name, path)] = named_paths([text]).items()
            names[path] = name
        paths.append(path)
    folders: dict[str, Path] = {}
    for plain, path in run_names(paths).items():
        name = names.get(path, plain)
        if name in folders:
            remedy = "write NAME=RUN, each with a name of its own"
            raise AffectkitError("usage", f"the name '{name}' stands twice", remedy=remedy)
        folders[name] = path
    return folders


def _command(folder: Path) -> str:
    """What wrote the folder. Raises "missing", "input" or "unfinished" for what is no finished run."""
    from affectkit.artifacts.records import RECORD, read_record, require_run, trusted

    require_run(folder)
    return read_record(trusted(folder) / RECORD).get("command", "")


def _page(folder: Path, command: str) -> "Page":
    from affectkit.artifacts.reports import COMPARISON

    if command not in PAGES:
        remedy = f"name a folder of {', '.join(PAGES)}"
        raise AffectkitError("input", f"affectkit {command} leaves no page", file=folder, remedy=remedy)
    if command == "report" and not (folder / COMPARISON).exists():
        what = "is itself the page of one run, drawn again"
        raise AffectkitError("input", what, file=folder, remedy="name the run that it is of")
    try:
        return import_module(f"affectkit.reporting.{PAGES[command]}").draw(folder)
    except KeyError as missing:
        what = f"was written by an earlier affectkit: {missing} is not in its files"
        raise AffectkitError("input", what, file=folder, remedy="run its command again") from None


def _compare(
    output: Path, folders: dict[str, Path], commands: dict[str, str], split: str | None, group: str | None
) -> None:
    """Judge the runs, and write `comparison.json`."""
    from affectkit.artifacts.files import read_json, write_json
    from affectkit.artifacts.models import TRAIN_REPORT
    from affectkit.artifacts.reports import COMPARISON, METRICS, read_report
    from affectkit.artifacts.sources import PREDICTIONS, read_source
    from affectkit.evaluation.assess import assess
    from affectkit.evaluation.side_by_side import side_by_side
    from affectkit.reporting.trained import read_history
    from affectkit.results.lineage import digests, lineage

    reports: dict[str, Any] = {}
    sources, histories = {}, {}
    for name, folder in folders.items():
        if (folder / METRICS).exists():
            reports[name] = _own_report(read_report(folder), folder, split, group)
        elif (folder / PREDICTIONS).exists():
            sources[name] = read_source(name, folder)
            reports[name] = assess(sources[name].table(), split=split, group=group)
        else:
            what = f"has neither {METRICS} nor {PREDICTIONS}: affectkit {commands[name]} judges no one model"
            raise AffectkitError("input", what, file=folder, remedy="report it alone")
        if epochs := read_history(folder):
            known = read_json(folder / TRAIN_REPORT) if (folder / TRAIN_REPORT).exists() else {}
            histories[name] = {"monitor": known.get("monitor"), "epochs": epochs}
    comparison = side_by_side(reports, sources, split=split, group=group)
    for name, run in comparison["runs"].items():
        run["command"] = commands[name]
    inputs = [
        {**file, "name": f"{name}/{file['name']}"}
        for name, folder in folders.items()
        for file in digests([sources[name].path if name in sources else folder / METRICS])
    ]
    past = {**lineage(folders.values()), "inputs": inputs}
    write_json(output / COMPARISON, {**comparison, "histories": histories, **past})


def _own_report(report: dict[str, Any], folder: Path, split: str | None, group: str | None) -> dict[str, Any]:
    """A report as it was made. Raises "usage" where other rows or groups are asked for: it has no predictions."""
    grouped = (report.get("groups") or {}).get("column")
    for option, wanted, have in (("--split", split, report.get("split")), ("--group", group, grouped)):
        if wanted is not None and wanted != have:
            what = f"is a report with {option} {have}, not {wanted}"
            raise AffectkitError("usage", what, file=folder, remedy="run evaluate again, or name the run it judged")
    return report
