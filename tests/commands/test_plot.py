"""`affectkit plot`: which files it writes of which runs, and `report` of what other tools wrote."""

import json
import shutil

import numpy as np
import pytest

from affectkit.artifacts.tables import read_table
from affectkit.reporting.page import Figure, Page, Plot, Section
from affectkit.reporting.plots.catalogue import figures_of
from affectkit.reporting.plots.material import Material

NAMES = ("openness", "neuroticism")
LOG = "epoch,loss,val_loss,val_mae,val_r_squared\n0,1.5,1.6,0.2,-0.5\n1,1.2,1.3,0.1,0.2\n2,1.0,1.2,0.1,0.3\n"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A folder of other tools' files: predictions of numbers and of classes, a log of Keras."""
    root = tmp_path_factory.mktemp("theirs")
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (40, 2))
    predicted = 0.4 * truth + 0.3 + rng.normal(0, 0.05, (40, 2))
    lines = ["id," + ",".join(f"{name},{name}_pred" for name in NAMES)]
    for n in range(40):
        lines.append(f"r{n}," + ",".join(f"{truth[n, k]:.6f},{predicted[n, k]:.6f}" for k in range(2)))
    (root / "numbers.csv").write_text("\n".join(lines) + "\n")
    rows = [f"r{n},{'ab'[n % 2]},{'ab'[n % 3 % 2]},{0.3 + n % 2 * 0.4},{0.7 - n % 2 * 0.4}" for n in range(40)]
    (root / "classes.csv").write_text("\n".join(["id,label,pred,prob_a,prob_b", *rows]) + "\n")
    (root / "training.log").write_text(LOG)
    return root


def drawn(folder):
    return sorted(path.name for path in folder.glob("*.png"))


def test_predictions_of_another_tool(affectkit, theirs, tmp_path):
    affectkit("plot", theirs / "numbers.csv", "-o", tmp_path / "plots")
    assert drawn(tmp_path / "plots") == sorted(
        [f"{name}_{kind}.png" for name in NAMES for kind in ("scatter", "error_dist")]
        + ["residuals.png", "error_by_decile.png", "true_trait_correlations.png", "predicted_trait_correlations.png",
           "trait_correlation_differences.png"]
    )  # fmt: skip
    said = json.loads((tmp_path / "plots/prediction_analysis/metrics.json").read_text())
    assert list(said["trait_metrics"]) == list(NAMES)
    assert (said["n"], said["split"], said["foreign"], said["floor"]) == (40, "all", True, "judged_mean")
    index = read_table(tmp_path / "plots/index.csv")
    written = {path.name for path in (tmp_path / "plots").iterdir() if path.suffix in (".png", ".svg")}
    assert set(index["file"]) == written
    assert (index["alt"].str.len() > 20).all() and (index["caption"].str.len() > 20).all()


def test_classes_and_formats(affectkit, theirs, tmp_path):
    affectkit("plot", theirs / "classes.csv", "--format", "svg", "-o", tmp_path / "plots")
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {"confusion.svg", "reliability.svg", "index.csv", "run.json", "started.json"}


def test_a_history_of_another_tool_beside_predictions(affectkit, theirs, tmp_path):
    line = ("keras=" + str(theirs / "training.log"), theirs / "numbers.csv")
    affectkit("plot", *line, "--only", "loss,mae,r_squared,r2_comparison,scatter", "-o", tmp_path / "plots")
    expected = ["loss", "mae", "r_squared", "r2_comparison", *(f"{name}_scatter" for name in NAMES)]
    assert drawn(tmp_path / "plots") == sorted(f"{name}.png" for name in expected)
    said = json.loads((tmp_path / "plots/prediction_analysis/metrics.json").read_text())
    assert list(said["runs"]) == ["numbers.csv"]


def attending(folder):
    """A run's tables of attention: two heads over two steps."""
    folder.mkdir()
    rows = [f"r{n},static,dynamic,{h},2,0.6,0.69,0.87,1,0.7" for n in range(3) for h in (1, 2)]
    header = "id,query,set,head,steps,entropy,uniform,share,peak_step,peak_weight"
    (folder / "attention.csv").write_text("\n".join([header, *rows]) + "\n")
    bins = [f"static,dynamic,{h},{n / 2},{n / 2 + 0.5},0.5,0.5" for h in (1, 2) for n in range(2)]
    (folder / "attention_curves.csv").write_text("\n".join(["query,set,head,from,to,weight,null", *bins]) + "\n")
    return Material(folder.name, attended=folder)


def test_runs_with_other_rows_are_told_apart(affectkit, theirs, tmp_path):
    lines = (theirs / "numbers.csv").read_text().splitlines(keepends=True)
    (tmp_path / "fewer.csv").write_text("".join(lines[:31]))
    only = ["--only", "error_by_decile", "--format", "svg"]
    result = affectkit("plot", theirs / "numbers.csv", tmp_path / "fewer.csv", *only, "-o", tmp_path / "plots")
    assert "drawn on different rows: numbers.csv on 40 all rows, fewer.csv on 30 all rows" in result.stderr


def test_attention_of_several_runs_has_their_names(tmp_path):
    runs = [attending(tmp_path / "a"), Material("none"), attending(tmp_path / "b")]
    figures = figures_of(runs, ["attention"])
    names = ["attention_static-dynamic", "attention_entropy_static-dynamic"]
    assert [figure.name for _, figure in figures] == [f"{run}_{name}" for run in "ab" for name in names]
    assert "head 2 is highest at 1" in figures[0][1].draw().alt
    assert [figure.name for _, figure in figures_of(runs[:1], ["attention"])] == names


def test_weights_and_traces_come_from_the_page_of_their_command():
    drawn = Figure("weights", "What each modality weighs.", lambda: Plot("", ""))
    page = Page("Fusion", [], [Section("Weights", figures=[drawn])])
    runs = [Material(name, page=lambda: page) for name in ("fused", "f2")]
    assert figures_of(runs[:1], []) == [("page", drawn)]
    assert [figure.name for _, figure in figures_of(runs, ["page"])] == ["fused_weights", "f2_weights"]


def test_a_run_that_goes_on_is_drawn_so_far_and_not_reported(affectkit, theirs, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "started.json").write_text('{"schema": 1, "command": "train"}')
    (run / "history.csv").write_text("stage,epoch,learning_rate,train_loss,val_loss,best\nfull,1,0.1,2,3,True\n")
    result = affectkit("plot", run, "-o", tmp_path / "plots")
    assert "run has not ended: its history so far" in result.stderr
    assert drawn(tmp_path / "plots") == ["learning_rate.png", "loss.png"]
    assert "unfinished" in affectkit("report", run, "-o", tmp_path / "page", code=1).stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{0}/numbers.csv", "--only", "los"], 2, "did you mean loss"),
        (["{0}/numbers.csv", "--format", "pgn"], 2, "did you mean png"),
        (["{0}/numbers.csv", "--only", "loss"], 1, "loss needs a history"),
        (["{0}/nowhere"], 1, "no such file or folder"),
        (["{0}"], 1, "is no run folder, and holds no history and no predictions"),
        (["{1}/odd.csv"], 1, "is neither predictions nor a history"),
        (["{1}/odd.json"], 1, "no history of a training"),
        (["{0}/numbers.csv", "--split", "test"], 1, "has no rows of test"),
    ],
)
def test_mistakes_are_one_line(affectkit, theirs, tmp_path, words, code, said):
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    (tmp_path / "odd.json").write_text('{"a": [1, 2]}')
    result = affectkit("plot", *(word.format(theirs, tmp_path) for word in words), "-o", tmp_path / "out", code=code)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "out" / "run.json").exists()


def test_report_of_files_of_other_tools(affectkit, theirs, tmp_path):
    affectkit("report", theirs / "training.log", "-o", tmp_path / "log")
    page = (tmp_path / "log/report.html").read_text()
    assert "<h1>Training of training.log</h1>" in page and "Logged by Keras." in page
    affectkit("report", theirs / "numbers.csv", "--treat-as", "test", "-o", tmp_path / "numbers")
    page = (tmp_path / "numbers/report.html").read_text()
    assert "<h1>Evaluation of numbers.csv</h1>" in page
    metrics = json.loads((tmp_path / "numbers/metrics.json").read_text())
    assert (metrics["split"], metrics["foreign"]) == ("test", True)


def test_report_of_histories_side_by_side(affectkit, theirs, tmp_path):
    shutil.copy(theirs / "training.log", tmp_path / "<b>.log")
    affectkit("report", theirs / "training.log", tmp_path / "<b>.log", theirs / "classes.csv", "-o", tmp_path / "out")
    said = json.loads((tmp_path / "out/comparison.json").read_text())
    assert (list(said["runs"]), list(said["histories"])) == (["classes.csv"], ["training.log", "<b>.log"])
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;b&gt;.log" in page and "<b>" not in page
