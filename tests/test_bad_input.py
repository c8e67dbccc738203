"""What a stranger's mistakes, a damaged folder and a full disk get: one line that says where and what to do."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from affectkit.cli import app


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Text of two classes and a rating by twelve speakers, as manifest, features, model and predictions."""
    root = tmp_path_factory.mktemp("study")
    lines = ["id,label,text,speaker,site,split,valence"]
    for number in range(48):
        label, word = [("joy", "sunny"), ("rage", "shout")][number % 2]
        split = "train" if number < 32 else "test"
        lines.append(f"u{number:02},{label},the {word} day {number},s{number // 4},c{number // 8},{split},{number % 5}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    for line in (
        f"prepare-manifest csv {root}/table.csv --path-column= --split-by official -o {root}/manifest",
        f"extract-features --manifest {root}/manifest --encoder text-ngrams -o {root}/features",
        f"train --manifest {root}/manifest --features {root}/features -o {root}/model",
        f"train --manifest {root}/manifest --features {root}/features --model svm -o {root}/svm",
        f"predict --model-dir {root}/model --manifest {root}/manifest -o {root}/predictions.csv",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output, result.exception)
    return root


def refused(*arguments, code=1):
    """The one line of error that a command line gives."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def prepared(path, *options, **how):
    return refused("prepare-manifest", "csv", path, "--path-column=", *options, "-o", path.parent / "out", **how)


# --- tables of a corpus


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",", ";"), "its columns are separated by ';'; save it with commas"),
        (lambda text: text.replace("sunny", "sönnig").encode("latin-1"), "is not UTF-8 text"),
        (lambda text: text.encode("utf-16"), "is not UTF-8 text"),
        (lambda text: text.splitlines()[0] + "\n", "has no rows"),
        (lambda text: text.replace(",4\n", ",inf\n"), "row 5: valence 'inf' is not a finite number"),
        (lambda text: text.replace(",4\n", ",NA\n"), "row 5: valence 'NA' is not a number"),
        (lambda text: text.replace(",train,", ",trian,"), "row 1: split 'trian' is not in train, val, test"),
    ],
)
def test_a_broken_table_is_named_with_its_row(study, tmp_path, change, message):
    changed = change((study / "table.csv").read_text())
    (tmp_path / "t.csv").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    error = prepared(tmp_path / "t.csv")
    assert "t.csv" in error and message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group", "speeker"], "names no speeker"),
        (["--label-map", "FOLDER.json"], "FOLDER.json"),
        (["--target-columns", "valence=nan:inf"], "is not a target"),
        (["--target-columns", "../x=1:5"], "is not a target"),
        (["--min-duration", "1"], "nothing here has a duration"),
    ],
)
def test_a_misspelt_or_senseless_option_is_named(study, tmp_path, options, message):
    shutil.copy(study / "table.csv", tmp_path)
    (tmp_path / "FOLDER.json").mkdir()
    options = [str(tmp_path / o) if o == "FOLDER.json" else o for o in options]
    code = 1 if "--label-map" in options else 2
    assert message in prepared(tmp_path / "table.csv", *options, code=code)


@pytest.mark.parametrize("name", ["prepare-manifest", "train", "evaluate", "synthesize"])
def test_a_negative_seed_is_a_usage_error(name, study, tmp_path):
    arguments = {
        "prepare-manifest": ["csv", study / "table.csv", "-o", tmp_path / "x"],
        "train": ["--manifest", study / "manifest", "--features", study / "features", "-o", tmp_path / "x"],
        "evaluate": [study / "predictions.csv", "-o", tmp_path / "x"],
        "synthesize": ["emodb", tmp_path / "x"],
    }
    result = CliRunner().invoke(app, [name, *map(str, arguments[name]), "--seed", "-1"])
    assert result.exit_code == 2 and "--seed" in result.stderr


@pytest.mark.parametrize("kind", ["encoder", "corpus"])
def test_a_module_that_is_no_plug_in_is_refused(kind, study, tmp_path):
    line = {
        "encoder": ["extract-features", "--manifest", study / "manifest", "--encoder", "os.path"],
        "corpus": ["prepare-manifest", "os.path", study],
    }[kind]
    assert f"os.path is no {kind}" in refused(*line, "-o", tmp_path / "x", code=2)


# --- media


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    (folder / "folder.wav").mkdir()
    (folder / "link.wav").symlink_to("nowhere")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "pointer.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder.wav", "holds no audio"),
        ("link.wav", "is a link to a file that is missing"),
        ("empty.wav", "is empty"),
        ("pointer.wav", "run git lfs pull"),
        ("missing.wav", "no such file"),
    ],
)
def test_predict_names_a_recording_that_it_cannot_read(speech, unreadable, tmp_path, name, message):
    error = refused("predict", "--model-dir", speech / "model", unreadable / name, "-o", tmp_path / "p.csv")
    assert name in error and message in error
    assert list(tmp_path.iterdir()) == []


def test_predict_without_one_readable_recording_names_the_files(speech, unreadable):
    error = refused("predict", "--model-dir", speech / "model", unreadable / "empty.wav", "--on-error", "skip")
    assert error == "error: FILES: no row could be encoded"


def test_a_pointer_in_a_corpus_stops_unless_skipped(affectkit, unreadable, tone, tmp_path):
    for number in range(6):
        tone(tmp_path / "c" / "ab"[number % 2] / f"{number}.wav", pitch=200 + number)
    shutil.copy(unreadable / "pointer.wav", tmp_path / "c" / "a")
    line = ["prepare-manifest", "folder", tmp_path / "c", "-o", tmp_path / "m"]
    error = refused(*line)
    assert "pointer.wav: is a Git-LFS pointer" in error and "git lfs pull" in error
    affectkit(*line, "--on-error", "skip")


# --- targets and features


def edited(source, target, name, change):
    """A copy of a run's files, no longer the run's own, with one of them changed."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("run.json", "started.json"))
    path = target / name
    path.write_text(change(path.read_text()))
    return target


def trained(study, tmp_path, *options, manifest=None, features=None):
    line = ["train", "--manifest", manifest or study / "manifest", "--features", features or study / "features"]
    error = refused(*line, *options, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return error


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inf", "row 5: valence 'inf' is not a finite number"),
        ("high", "row 5: valence 'high' is not a number"),
        ("1_0", "row 5: valence '1_0' is not a number"),
        ('"3,5"', "row 5: valence '3,5' is not a number; write decimals with a point: 3.5"),
        ("1e39", "row 5: valence 1e+39 is too large a number to compute with; give it in other units"),
    ],
)
def test_a_target_that_is_no_number_is_named(study, tmp_path, value, message):
    manifest = edited(study / "manifest", tmp_path / "m", "train.csv", lambda t: t.replace(",4\n", f",{value}\n"))
    assert message in trained(study, tmp_path, "--target", "valence", manifest=manifest)


def test_targets_that_are_all_missing_leave_nothing_to_fit(study, tmp_path):
    manifest = edited(
        study / "manifest",
        tmp_path / "m",
        "train.csv",
        lambda t: "\n".join(line[:-1] + "nan" if n else line for n, line in enumerate(t.splitlines())) + "\n",
    )
    error = trained(study, tmp_path, "--target", "valence", manifest=manifest)
    assert error.endswith("give rows with a valence")


@pytest.mark.parametrize("value", ["inf", "1e39"])
def test_infinite_features_are_refused(study, tmp_path, value):
    rows = [f"u{n:02},{value if n == 5 else n}" for n in range(48)]
    (tmp_path / "f.csv").write_text("\n".join(["id,a", *rows]) + "\n")
    error = trained(study, tmp_path, features=tmp_path / "f.csv")
    assert "f.csv row 6: a " in error


def test_nan_among_sparse_features_is_refused(study, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    shutil.copytree(study / "features", tmp_path / "f", ignore=shutil.ignore_patterns("run.json", "started.json"))
    shard = tmp_path / "f" / "features-00001.safetensors"
    with safe_open(shard, "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).copy() for name in ("data", "indices", "indptr")}
    tensors["data"][0] = np.nan
    save_file(tensors, shard, metadata=metadata)
    assert "'u00' are not finite" in trained(study, tmp_path, features=tmp_path / "f")


@pytest.mark.parametrize(
    "summary",
    [
        {"targets": [{"nme": "label"}]},
        {"targets": "label"},
        {"targets": [{"name": "label", "kind": "colour", "classes": ["joy"]}]},
        {"targets": [{"name": "../label", "kind": "number"}]},
        {"corpora": [1]},
    ],
)
def test_a_summary_that_makes_no_sense_is_named(study, tmp_path, summary):
    manifest = edited(study / "manifest", tmp_path / "m", "summary.json", lambda _: json.dumps(summary))
    assert "summary.json: is no manifest's summary" in trained(study, tmp_path, manifest=manifest)


@pytest.mark.parametrize("names", [",", "label,valance"])
def test_an_unknown_target_is_named(study, tmp_path, names):
    assert "its targets are label, valence" in trained(study, tmp_path, "--target", names)


@pytest.mark.parametrize("grid", ["nan", "inf", "0", "a"])
def test_a_grid_holds_positive_numbers(study, tmp_path, grid):
    line = ["train", "--manifest", study / "manifest", "--features", study / "features", "-o", tmp_path / "x"]
    assert "is not a list of positive numbers" in refused(*line, "--c-grid", grid, code=2)


def with_folds(source, target, fold):
    """A copy of a manifest whose train and val rows say `fold(n)` in a column."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("run.json", "started.json"))
    for path in (target / "train.csv", target / "val.csv"):
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{header},fold", *(f"{x},{fold(n)}" for n, x in enumerate(lines))]) + "\n")
    return target


def test_any_column_groups_and_folds_have_any_names(affectkit, study, tmp_path):
    manifest = with_folds(study / "manifest", tmp_path / "m", lambda n: "north" if n % 4 < 2 else "south")
    line = ["train", "--manifest", manifest, "--features", study / "features", "--cv", "--group", "site"]
    affectkit(*line, "-o", tmp_path / "out")
    assert "site" in (tmp_path / "out" / "predictions.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("fold", "message"), [(lambda n: "a", "one fold only"), (lambda n: "" if n == 1 else "ab"[n % 2], "has no fold")]
)
def test_folds_that_are_none_are_refused(study, tmp_path, fold, message):
    manifest = with_folds(study / "manifest", tmp_path / "m", fold)
    assert message in trained(study, tmp_path, "--cv", manifest=manifest)


# --- model folders


def halved(name):
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def spec(**facts):
    def change(folder):
        path = folder / "affectkit.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return change


def encoder(**facts):
    def change(folder):
        path = folder / "affectkit.json"
        data = json.loads(path.read_text())
        data["features"][0] |= facts
        path.write_text(json.dumps(data))

    return change


DAMAGE = {
    "weights cut": ("model", halved("label.safetensors"), "is not a whole model"),
    "weights gone": ("model", lambda f: (f / "label.safetensors").unlink(), "label.safetensors"),
    "weights of something else": (
        "model",
        lambda f: shutil.copy(f / "label.preprocessing.safetensors", f / "label.safetensors"),
        "is not a whole model",
    ),
    "scaling cut": ("model", halved("label.preprocessing.safetensors"), "is not a whole model"),
    "description cut": ("model", halved("affectkit.json"), "not a JSON model description"),
    "a newer schema": ("model", spec(schema=9), "upgrade affectkit"),
    "an unknown kind": ("model", spec(kind="oracle"), "kind 'oracle'"),
    "an unknown estimator": ("model", spec(estimator="os.system"), "there is no estimator 'os.system'"),
    "no estimator": ("model", spec(estimator=3), "is not a whole model"),
    "unknown options": ("model", spec(options={"shell": "x"}), "no option --shell"),
    "no targets": ("model", spec(targets=[]), "is not a whole model"),
    "targets elsewhere": ("model", spec(targets=[{"name": "../x", "kind": "number"}]), "is no model description"),
    "more classes": (
        "model",
        spec(targets=[{"name": "label", "kind": "class", "classes": ["a", "b", "c"]}]),
        "is not a whole model",
    ),
    "no features": ("model", spec(features=[]), "is not a whole model"),
    "other dimensions": ("model", spec(dimensions=[5]), "is not a whole model"),
    "an unknown encoder": ("model", encoder(encoder="os.system"), "there is no encoder 'os.system'"),
    "unknown encoder options": ("model", encoder(options={"shell": "x"}), "no option --shell"),
    "archive cut": ("svm", halved("label.skops"), "label.skops"),
    "archive gone": ("svm", lambda f: (f / "label.skops").unlink(), "label.skops"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_or_tampered_model_is_refused_by_name(study, tmp_path, what):
    source, change, message = DAMAGE[what]
    shutil.copytree(study / source, tmp_path / "m", ignore=shutil.ignore_patterns("run.json", "started.json"))
    change(tmp_path / "m" / "best_model")
    error = refused(
        "predict", "--model-dir", tmp_path / "m", "--manifest", study / "manifest", "-o", tmp_path / "p.csv"
    )
    assert "best_model" in error and message in error
    assert not (tmp_path / "p.csv").exists()


# --- what is there is not lost


def test_overwrite_spares_inputs_and_other_commands_work(study, tmp_path):
    shutil.copytree(study / "model", tmp_path / "model", ignore=shutil.ignore_patterns("run.json", "started.json"))
    shutil.copytree(
        study / "manifest", tmp_path / "manifest", ignore=shutil.ignore_patterns("run.json", "started.json")
    )
    shutil.copy(study / "manifest" / "test.csv", tmp_path / "t.csv")
    lines = [
        ["evaluate", tmp_path / "model", "-o", tmp_path / "model"],
        ["evaluate", study / "predictions.csv", "-o", tmp_path / "model"],
        ["prepare-manifest", "merge", tmp_path / "manifest", study / "manifest", "-o", tmp_path / "manifest"],
        ["predict", "--model-dir", study / "model", "--manifest", tmp_path / "t.csv", "-o", tmp_path / "t.csv"],
    ]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for line in lines:
        assert "--overwrite" in refused(*line, "--overwrite")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "line", ["--help", "--version", "prepare-manifest --list", pytest.param("predict", marks=pytest.mark.slow)]
)
def test_a_full_disk_behind_stdout_is_one_line(line, study):
    words = [*line.split(), "--model-dir", study / "model", "--manifest", study / "manifest"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "affectkit", *map(str, words if line == "predict" else line.split())],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ") and "no space left" in done.stderr
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr


def test_interrupted_is_one_line_and_130(study, tmp_path):
    os.mkfifo(tmp_path / "table.csv")  # the command waits here, inside its error boundary
    line = ["prepare-manifest", "csv", tmp_path, "--path-column=", "-o", tmp_path / "out"]
    command = [sys.executable, "-m", "affectkit", *map(str, line), "--table", "table.csv"]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not (tmp_path / "out" / "started.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "error: interrupted; what was finished is kept\n"
    assert process.returncode == 130
    assert not (tmp_path / "out").exists()
