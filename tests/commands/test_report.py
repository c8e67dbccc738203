"""`affectkit report`: the page of a run drawn again, byte by byte, and several runs side by side."""

import json
import re
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from affectkit.cli import app
from affectkit.evaluation.metrics import ccc
from affectkit.reporting.pages import PAGES

PAGE = {"train": "training.html", "finetune": "training.html"}


def invoke(line):
    return CliRunner().invoke(app, shlex.split(line))


@pytest.fixture(scope="module")
def study(tmp_path_factory, drawn):
    """Text of eight writers, and each kind of run that has a page, with its figures."""
    root = tmp_path_factory.mktemp("report")
    words = {"joy": "glad sunny laugh smile", "grief": "loss tears alone dark", "rage": "shout fury slam hate"}
    lines = ["id,label,valence,text,speaker,split,time_sec"]
    for number in range(72):
        label = list(words)[number % 3]
        hint = label if number % 7 > 1 else "rage"
        word = words[hint].split()[number // 3 % 4] if number % 5 else "well"
        split = "train" if number < 42 else "val" if number < 54 else "test"
        value = (0.8, -0.6, -0.3)[number % 3] + number / 1000
        lines.append(f"u{number:02},{label},{value},the {word} day {number},s{number // 6},{split},{number}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    rows = [f"u{number:02},{number % 3},{number % 5 - number % 3}" for number in range(72)]
    (root / "dense.csv").write_text("\n".join(["id,x,y", *rows]) + "\n")
    for line in (
        "prepare-manifest csv {0}/table.csv --path-column= --split-by official -o {0}/manifest",
        "extract-features --manifest {0}/manifest --encoder text-ngrams -o {0}/features",
        "train --manifest {0}/manifest --features {0}/features --model linear --c-grid .1,1 --cv -o {0}/linear",
        "train --manifest {0}/manifest --features {0}/features --model svm --cv -o {0}/svm",
        "train --manifest {0}/manifest --features {0}/features --model linear --cv --target valence -o {0}/valence",
        "train --manifest {0}/manifest --features {0}/dense.csv --model mlp --epochs 3 --device cpu -o {0}/train",
        "fuse linear={0}/linear svm={0}/svm --rule mean -o {0}/fuse",
        "calibrate {0}/linear --method temperature -o {0}/calibrate",
        "stabilize {0}/linear --sequence speaker --alpha .5 -o {0}/stabilize",
        "aggregate {0}/linear --to speaker --truth majority -o {0}/aggregate",
        "alert {0}/linear --when joy>=.4 --sequence speaker -o {0}/alert",
        "ablate linear={0}/linear svm={0}/svm --rule mean --seeds 1 -o {0}/ablate",
        "learning-curve --manifest {0}/manifest --features {0}/dense.csv --c-grid 1 --start 9 --step 9 --rounds 1 "
        "--seeds 1 -o {0}/learning-curve",
        "evaluate {0}/valence --manifest {0}/manifest -o {0}/evaluate",
        "evaluate {0}/linear --split test -o {0}/classes",
        "select {0}/linear {0}/calibrate --by val_macro_f1 -o {0}/select",
        "report {0}/linear {0}/svm -o {0}/report",
        "transcribe --manifest {0}/manifest --model tiny-random:wav2vec2-ctc --device cpu -o {0}/transcribe",
    ):
        result = invoke(line.format(root))
        assert result.exit_code == 0, (line, result.output, result.exception)
    return root


# Of finetune, tests/commands/test_finetune.py; aggregate and import-model write no page of their own.
OTHERS = ("finetune", "aggregate", "import-model")


@pytest.mark.parametrize("command", [*(command for command in PAGES if command not in OTHERS), "classes"])
def test_a_page_is_drawn_again_from_its_folder_byte_by_byte(study, tmp_path, command):
    invoked = invoke(f"report {study}/{command} -o {tmp_path}/again")
    assert invoked.exit_code == 0, (invoked.output, invoked.exception)
    before, after = study / command, tmp_path / "again"
    assert (after / "report.html").read_bytes() == (before / PAGE.get(command, "report.html")).read_bytes()
    figures = {path.name: path.read_bytes() for path in before.glob("*.svg")}
    assert {path.name: path.read_bytes() for path in after.glob("*.svg")} == figures


@pytest.mark.parametrize(
    ("command", "name", "change"),
    [
        ("evaluate", "metrics.json", lambda text: json.dumps({**json.loads(text), "floors": [True]})),
        ("calibrate", "train_report.json", lambda text: re.sub(r'"value": [\d.]+', '"value": "x"', text)),
        ("linear", "train_report.json", lambda text: re.sub(r'"value": [\d.]+', '"value": "x"', text)),
    ],
)
def test_a_page_of_what_is_not_whole_is_one_line(study, tmp_path, command, name, change):
    """Of unknown origin: no record says what it was."""
    folder = shutil.copytree(study / command, tmp_path / "run")
    (folder / name).write_text(change((folder / name).read_text()))
    known = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**known, "outputs": []}))
    result = invoke(f"report {folder} -o {tmp_path}/page")
    assert (result.exit_code, result.output.count("\n")) == (1, 1), (result.output, result.exception)
    assert f"error: {folder}: is not a whole run (" in result.output


def test_a_page_does_not_need_what_the_run_was_made_of(study, tmp_path):
    """The folder may be all that is left."""
    for command in ("evaluate", "ablate", "select", "stabilize", "alert", "fuse"):
        moved = tmp_path / "elsewhere" / command
        shutil.copytree(study / command, moved)
        assert invoke(f"report {moved} -o {tmp_path}/{command}").exit_code == 0
        assert (tmp_path / command / "report.html").read_bytes() == (study / command / "report.html").read_bytes()


@pytest.mark.parametrize(
    ("command", "said"), [("linear", "Training of linear"), ("aggregate", "Aggregation of linear")]
)
def test_a_run_without_a_page_gets_one(study, tmp_path, command, said):
    result = invoke(f"report {study}/{command} -o {tmp_path}/page --json")
    assert json.loads(result.stdout)["title"] == said
    assert f"<h1>{said}</h1>" in (tmp_path / "page" / "report.html").read_text()


def elsewhere(run, place, old, new):
    """A copy of a run whose records name another input."""
    shutil.copytree(run, place)
    for name in ("started.json", "run.json"):
        text = (place / name).read_text()
        assert str(old) in text
        (place / name).write_text(text.replace(str(old), str(new)))
    return place


def test_a_calibration_whose_predictions_are_gone_shows_what_its_folder_holds(study, tmp_path):
    gone = elsewhere(study / "calibrate", tmp_path / "calibrate", study / "linear", tmp_path / "linear")
    result = invoke(f"report {gone} -o {tmp_path}/page")
    assert result.exit_code == 0, (result.output, result.exception)
    page = (tmp_path / "page" / "report.html").read_text()
    assert "<h1>Calibration of linear</h1>" in page
    assert "linear has gone or has changed since: figures of before and after are left out" in page
    drawn = {path.name for path in (study / "calibrate").glob("*.svg")}
    assert drawn > {path.name for path in (tmp_path / "page").glob("*.svg")} == {"map_label.svg"}


def test_a_page_of_metrics_says_that_the_data_are_synthetic(study, tmp_path):
    shutil.copytree(study / "manifest", tmp_path / "manifest")
    summary = json.loads((tmp_path / "manifest" / "summary.json").read_text())
    for corpus in summary["corpora"].values():
        corpus |= {"title": "A twin", "synthetic": True}
    (tmp_path / "manifest" / "summary.json").write_text(json.dumps(summary))
    run = elsewhere(study / "linear", tmp_path / "linear", study / "manifest", tmp_path / "manifest")
    result = invoke(f"report {run} -o {tmp_path}/page")
    warning = "Synthetic data (A twin): these figures say nothing about real people."
    assert warning in result.output
    assert warning in (tmp_path / "page" / "report.html").read_text()


def test_runs_side_by_side(study, tmp_path):
    result = invoke(
        f"report {study}/linear other={study}/svm {study}/train -o {tmp_path}/out --split test --group speaker"
    )
    assert result.exit_code == 0, (result.output, result.exception)
    said = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert list(said["runs"]) == ["linear", "other", "train"]
    for run in ("linear", "other"):
        assert said["runs"][run]["split"] == "test"
        figure = said["runs"][run]["metrics"]["uar"]
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert said["paired"]["reference"] == "linear"
    assert said["paired"]["groups"] == {"column": "speaker", "count": 3}
    uar = said["paired"]["metrics"]["uar"]
    assert uar["differences"]["other"]["value"] == pytest.approx(
        uar["values"]["other"]["value"] - uar["values"]["linear"]["value"]
    )
    assert list(said["histories"]) == ["train"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"runs_uar.svg", "differences_uar.svg", "other_label_reliability.svg", "train_learning_loss.svg"} <= names
    page = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Metrics", "Differences", "Learning curves", "Reliability"):
        assert f"<h2>{heading}</h2>" in page
    assert "other less linear: uar" in result.stderr


def test_of_several_targets_each_is_compared(tmp_path):
    rng = np.random.default_rng(0)
    truth = {name: rng.uniform(size=60).round(3) for name in ("openness", "extraversion")}
    for run, noise in (("near", 0.1), ("far", 0.4)):
        columns = {f"{name}_pred": (values + rng.normal(0, noise, 60)).round(4) for name, values in truth.items()}
        rows = pd.DataFrame({"id": [f"r{n}" for n in range(60)], "split": "test", **truth, **columns})
        rows.assign(speaker=[f"s{n % 6}" for n in range(60)]).to_csv(tmp_path / f"{run}.csv", index=False)
    result = invoke(
        f"report near={tmp_path}/near.csv far={tmp_path}/far.csv --treat-as test --group speaker -o {tmp_path}/out"
    )
    assert result.exit_code == 0, (result.output, result.exception)
    metrics = json.loads((tmp_path / "out" / "comparison.json").read_text())["paired"]["metrics"]
    tables = {run: pd.read_csv(tmp_path / f"{run}.csv") for run in ("near", "far")}
    for name in truth:
        reached = {run: ccc(table[name], table[f"{name}_pred"]) for run, table in tables.items()}
        assert metrics[f"{name}.ccc"]["values"]["near"]["value"] == pytest.approx(reached["near"], abs=1e-9)
        [difference] = metrics[f"{name}.ccc"]["differences"].values()
        assert difference["value"] == pytest.approx(reached["far"] - reached["near"], abs=1e-9)
        assert difference["high"] < 0
    assert "CCC of each target" in (tmp_path / "out" / "report.html").read_text()


def test_differences_are_those_of_select(study, tmp_path):
    """The same rows, the same pairs: `select` compares with the best one, `report` with the first."""
    invoke(f"select {study}/linear {study}/svm --by val_uar -o {tmp_path}/best")
    ranked = json.loads((tmp_path / "best" / "model_selection.json").read_text())
    other = next(name for name in ("linear", "svm") if name != ranked["best"])
    invoke(f"report {study}/{ranked['best']} {study}/{other} --split val -o {tmp_path}/out")
    paired = json.loads((tmp_path / "out" / "comparison.json").read_text())["paired"]["metrics"]["uar"]
    row = next(run for run in ranked["runs"] if run["run"] == other)
    assert paired["values"][other] == pytest.approx(row["figure"])
    difference = paired["differences"][other]
    assert {key: difference[key] for key in ("value", "low", "high")} == pytest.approx(row["difference"])
    assert difference["p"] == pytest.approx(row["p"])


def test_reports_without_predictions_stand_beside_each_other_unpaired(study, tmp_path):
    result = invoke(f"report {study}/classes {study}/evaluate -o {tmp_path}/out")
    assert result.exit_code == 0, result.output
    said = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert said["paired"] == {}
    assert (
        said["runs"]["classes"]["metrics"]["uar"]
        == json.loads((study / "classes/metrics.json").read_text())["metrics"]["uar"]
    )
    assert "no paired differences" in result.stderr


def test_runs_of_different_tasks_are_not_paired_and_say_why(study, tmp_path):
    result = invoke(f"report {study}/linear {study}/valence -o {tmp_path}/out")
    assert result.exit_code == 0, result.output
    assert "warning: no differences between the runs: the runs predict no common target" in result.stderr


def test_the_same_bytes_on_a_rerun_and_nothing_to_do_on_resume(study, tmp_path):
    line = f"report {study}/linear {study}/svm -o {tmp_path}"
    for name in ("one", "two"):
        assert invoke(f"{line}/{name}").exit_code == 0
    for path in (tmp_path / "one").iterdir():
        if path.name not in ("run.json", "started.json"):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert invoke(f"{line}/one").exit_code == 1
    assert invoke(f"{line}/one --resume").exit_code == 0


@pytest.mark.parametrize(
    ("line", "code", "parts"),
    [
        ("{0}/nowhere", 1, ["no such run folder"]),
        ("{0}/table.csv", 1, ["is neither predictions nor a history"]),
        ("{1}/bare", 1, ["is no run folder", "started.json"]),
        ("{1}/begun", 1, ["unfinished", "--resume"]),
        ("{0}/manifest", 1, ["affectkit prepare-manifest leaves no page", "name a folder of"]),
        ("{0}/manifest {0}/linear", 1, ["judges no one model"]),
        ("{0}/linear --split val", 2, ["--split is for several runs"]),
        ("a={0}/linear a={0}/svm", 2, ["the name 'a' stands twice", "NAME=RUN"]),
        ("{0}/linear b={0}/linear", 2, ["is named twice"]),
        ("{0}/linear {0}/classes --split val", 2, ["is a report with --split test, not val"]),
    ],
)
def test_mistakes_are_one_line(study, tmp_path, line, code, parts):
    (tmp_path / "bare").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "started.json").write_text("{}")
    result = invoke(f"report {line.format(study, tmp_path)} -o {tmp_path}/out")
    assert result.exit_code == code, (result.output, result.exception)
    errors = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    for part in parts:
        assert part in errors[0]
    assert not (tmp_path / "out").exists()
