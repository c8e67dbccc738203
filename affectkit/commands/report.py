"""`affectkit report`."""

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
    typer.Argument(
        metavar="[NAME=]RUN...",
        help="Finished run folders, tables of predictions, or histories of trainings (ours, Keras', the Trainer's, "
        "PyTorch Lightning's, TensorBoard's): one to draw, or several to compare.",
    ),
]


def report(
    runs: RunsArg,
    output_dir: opt.OutputDir,
    split: opt.JudgedSplit = None,
    group: opt.Group = None,
    treat_as: opt.TreatAs = None,
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
    from affectkit.evaluation.candidates import named_runs
    from affectkit.reporting import terminal
    from affectkit.reporting.browser import write_page
    from affectkit.reporting.pages import page_of

    folders = named_runs(runs)
    commands = {name: _command(folder) for name, folder in folders.items()}
    alone = len(folders) == 1
    how = {"split": split, "group": group, "treat_as": treat_as}
    if alone and any(commands.values()) and (given := [name for name, value in how.items() if value]):
        option = f"--{given[0].replace('_', '-')}"
        what = f"{option} is for several runs" + ", and for tables" * (option == "--treat-as")
        raise AffectkitError("usage", what, remedy="leave it out, or use affectkit evaluate")
    with open_run("report", options, inputs=folders.values()) as run:
        [(name, shown), *_] = folders.items()
        if not alone and not run.finished:
            _compare(run.path, folders, commands, how)
        with whole(shown if alone else run.path, "run"):
            if alone and not commands[name]:
                page = _foreign_page(run.path, shown, name, how)
            else:
                page = page_of(shown, commands[name]) if alone else page_of(run.path, "report")
            if not run.finished:
                write_page(run.path, page)
            return terminal.outcome(run.path, {"title": page.title, "runs": commands}, page)


def _command(folder: Path) -> str:
    """What wrote the folder; "" of a file of any tool. Raises "missing", "input" or "unfinished" for what is no
    finished run, and no history and no predictions either."""
    from affectkit.artifacts.records import RECORD, read_record, require_run, trusted

    if folder.is_file() or (folder.is_dir() and _is_log(folder)):
        return ""
    require_run(folder, else_="a table of predictions, or a history")
    return read_record(trusted(folder) / RECORD).get("command", "")


def _is_log(folder: Path) -> bool:
    """Whether a folder that no command of ours wrote holds a training's log."""
    from affectkit.artifacts.histories import is_log_folder
    from affectkit.artifacts.records import STARTED

    return not (folder / STARTED).exists() and is_log_folder(folder)


def _foreign_page(output: Path, path: Path, name: str, how: dict[str, Any]) -> "Page":
    """Of a table of predictions the page of `evaluate`, with its files; of a history that of a training."""
    from affectkit.artifacts.histories import read_log
    from affectkit.artifacts.reports import write_report
    from affectkit.artifacts.sources import read_joined
    from affectkit.evaluation.assess import assess
    from affectkit.evaluation.rows import judged
    from affectkit.reporting import evaluated
    from affectkit.reporting.plots.material import is_predictions
    from affectkit.reporting.trained import foreign_page
    from affectkit.results.lineage import digests, lineage

    if path.is_dir() or not is_predictions(path):
        return foreign_page(read_log(path), name, digests([path]))
    table = read_joined(path, treat_as=how["treat_as"])
    report = assess(table, split=how["split"], group=how["group"])
    report |= {"foreign": table.foreign, **lineage([path]), "inputs": digests([path])}
    rows = judged(table, how["split"])[1]
    write_report(output, report, rows)
    return evaluated.page(report, rows.frame, title=f"Evaluation of {name}")


def _compare(output: Path, folders: dict[str, Path], commands: dict[str, str], how: dict[str, Any]) -> None:
    """Judge the runs, and write `comparison.json`. Of a history alone, its curves."""
    from affectkit.artifacts.files import read_json, write_json
    from affectkit.artifacts.histories import is_log_folder, read_log
    from affectkit.artifacts.models import TRAIN_REPORT
    from affectkit.artifacts.reports import COMPARISON, METRICS, read_report
    from affectkit.artifacts.sources import PREDICTIONS, read_source
    from affectkit.evaluation.assess import assess
    from affectkit.evaluation.side_by_side import side_by_side
    from affectkit.reporting.plots.material import is_predictions
    from affectkit.results.lineage import digests, lineage

    reports: dict[str, Any] = {}
    sources, histories = {}, {}
    split, group = how["split"], how["group"]
    for name, folder in folders.items():
        logged = is_log_folder(folder) if folder.is_dir() else not is_predictions(folder)
        if (folder / METRICS).exists():
            reports[name] = _own_report(read_report(folder), folder, split, group)
        elif (folder / PREDICTIONS).exists() or (folder.is_file() and not logged):
            sources[name] = read_source(name, folder, treat_as=how["treat_as"])
            reports[name] = assess(sources[name].table(), split=split, group=group)
        elif commands[name] or not logged:
            what = f"has neither {METRICS} nor {PREDICTIONS}: affectkit {commands[name]} judges no one model"
            raise AffectkitError("input", what, file=folder, remedy="report it alone")
        if logged and (epochs := read_log(folder).epochs):
            known = read_json(folder / TRAIN_REPORT) if (folder / TRAIN_REPORT).exists() else {}
            histories[name] = {"monitor": known.get("monitor"), "epochs": epochs}
    comparison = side_by_side(reports, sources, split=split, group=group)
    for name, run in comparison["runs"].items():
        run["command"] = commands[name]
    inputs = [
        {**file, "name": f"{name}/{file['name']}"}
        for name, folder in folders.items()
        for file in digests(
            [sources[name].path if name in sources else folder / METRICS if name in reports else folder]
        )
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
