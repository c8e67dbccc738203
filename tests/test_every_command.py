"""What every command owes, written once and asked of each."""

import csv
import errno
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from affectkit.artifacts.annotations import Annotation, open_journal
from affectkit.cli import app
from affectkit.labels import Target

RECORDS = {"run.json", "started.json", "steps.csv", "log.jsonl", ".lock"}  # what says when and how fast, and who writes
ONE_FILE = ("predict", "query")  # write a file alone, at once: there is nothing to resume
LOOKS_ON = ("label", "serve", "watch")  # do not end by themselves: tests of their own look at what they write
COMMANDS = [command.name for command in app.registered_commands if command.name not in LOOKS_ON]


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A small study on text, each artifact made by its command: fast, and real."""
    root = tmp_path_factory.mktemp("study")
    words = {"joy": "glad sunny laugh smile", "grief": "loss tears alone dark", "rage": "shout fury slam hate"}
    lines = ["id,label,text,speaker,sex,split,time_sec"]
    for number in range(72):
        label = list(words)[number % 3]
        word = words[label].split()[number // 3 % 4] if number % 5 else "well"
        split = "train" if number < 42 else "val" if number < 54 else "test"
        sex = "female" if number % 2 else "male"
        lines.append(f"u{number:02},{label},the {word} day {number},s{number // 6},{sex},{split},{number}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    write_answers(root)
    write_speech(root)
    write_faces(root)
    for name in OUTPUT:
        result = invoke(*complete(name, root, root / OUTPUT[name]))
        assert result.exit_code == 0, (name, result.output, result.exception)
    return root


def write_answers(root):
    """`labels.jsonl`: what two people say of every third row of the table."""
    targets = [Target("label", "class", ("joy", "grief", "rage")), Target("valence", "number", scale=(1.0, 5.0))]
    with open_journal(root / "labels.jsonl", targets) as journal:
        for number in range(0, 72, 3):
            for who, name in (("ann", "joy"), ("bob", "grief" if number % 2 else "joy")):
                labels = {"label": name, "valence": number % 5 + 1.0}
                journal.append(Annotation(f"{who}{number}", f"u{number:02}", who, labels, comment="", seconds=2.0))


def write_speech(root):
    """`speech.csv`: 24 short tones, low and high, by four speakers."""
    lines = ["id,path,label,speaker,split"]
    for number in range(24):
        time = np.arange(4800) / 16000
        pitch = (150, 900)[number % 2] * (1 + number / 200)
        soundfile.write(root / f"t{number:02}.wav", 0.3 * np.sin(2 * np.pi * pitch * time), 16000)
        split = "train" if number < 12 else "val" if number < 18 else "test"
        lines.append(f"t{number:02},t{number:02}.wav,{('low', 'high')[number % 2]},s{number // 6},{split}")
    (root / "speech.csv").write_text("\n".join(lines) + "\n")


def write_faces(root):
    """`faces.csv`: 12 plain pictures, dark and bright, and weights of a small network that reads them."""
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), root / "face.safetensors")
    lines = ["id,path,valence,arousal,split"]
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number,) * 3).save(root / f"p{number:02}.png")
        split = ("train", "val", "test")[number % 3]
        lines.append(f"p{number:02},p{number:02}.png,{number / 12},{-number / 12},{split}")
    (root / "faces.csv").write_text("\n".join(lines) + "\n")


OUTPUT = {
    "synthesize": "twin",
    "prepare-manifest": "manifest",
    "transcribe": "texts",
    "extract-features": "features",
    "train": "model",
    "finetune": "finetuned",
    "import-model": "face",
    "predict": "predictions.csv",
    "fuse": "fused",
    "calibrate": "calibrated",
    "stabilize": "stable",
    "aggregate": "by_speaker",
    "alert": "alerts",
    "tabulate": "columns",
    "ablate": "ablation",
    "evaluate": "report",
    "select": "best",
    "learning-curve": "curve",
    "query": "queue.csv",
    "report": "comparison",
    "plot": "plots",
    # The same commands on other roads, each named by its command and a word
    "prepare-manifest labels": "labelled",
    "finetune text": "finetuned_text",
    "import-model hf-text": "classifier",
    "import-model lexicon": "lexicon",
    "fuse route": "routed",
    "calibrate per": "calibrated_per",
}


def arguments(name, root):
    """The command line of each command in this study, without its output."""
    lines = {
        "synthesize": f"synthesize emobank {root}/twin --size 30",
        "prepare-manifest": f"prepare-manifest csv {root}/table.csv --path-column= --split-by official",
        "transcribe": f"transcribe --manifest {root}/speech.csv --model tiny-random:wav2vec2-ctc --device cpu",
        "extract-features": f"extract-features --manifest {root}/manifest --encoder text-ngrams",
        "train": f"train --manifest {root}/manifest --features {root}/features --model linear",
        "finetune": f"finetune --manifest {root}/speech.csv --base-model tiny-random:wav2vec2 --epochs 1 --device cpu",
        "import-model": f"import-model timm --checkpoint timm:test_resnet/{root}/face.safetensors --detector whole "
        f"--manifest {root}/faces.csv --device cpu",
        "predict": f"predict --model-dir {root}/model --manifest {root}/manifest",
        "fuse": f"fuse one={root}/model two={root}/predictions.csv --rule mean",
        "calibrate": f"calibrate {root}/model --method temperature",
        "stabilize": f"stabilize {root}/predictions.csv --sequence speaker --alpha .5",
        "aggregate": f"aggregate {root}/predictions.csv --to speaker --truth majority",
        "alert": f"alert {root}/predictions.csv --when 'rage>=.4 for 1' --sequence speaker --clear .3 --max-gap 9",
        "tabulate": f"tabulate one={root}/predictions.csv --manifest {root}/manifest/test.csv --columns sex,text",
        "ablate": f"ablate one={root}/model two={root}/predictions.csv --rule mean",
        "evaluate": f"evaluate {root}/predictions.csv --split test",
        "select": f"select {root}/model {root}/calibrated --by val_macro_f1 --then val_nll",
        "learning-curve": f"learning-curve --manifest {root}/manifest --features {root}/features --c-grid 1 --start 9 "
        "--step 9 --rounds 1 --seeds 2",
        "query": f"query {root}/model --manifest {root}/manifest --relabel --strategy margin,random -n 6",
        "report": f"report {root}/model {root}/calibrated",
        "plot": f"plot {root}/model {root}/calibrated --only confusion,reliability",
        "prepare-manifest labels": f"prepare-manifest labels {root}/labels.jsonl -m {root}/manifest",
        "finetune text": f"finetune --manifest {root}/manifest --base-model tiny-random:bert --epochs 1 --device cpu",
        "import-model hf-text": f"import-model hf-text --model tiny-random:bert -m {root}/manifest --device cpu",
        "import-model lexicon": f"import-model lexicon --manifest {root}/manifest --device cpu",
        "fuse route": f"fuse male={root}/model female={root}/model --rule route --by sex --default male",
        "calibrate per": f"calibrate {root}/model --method temperature --per sex --min-rows 3",
    }
    return shlex.split(lines[name])


def complete(name, root, output):
    """The command line of each command in this study, which writes to `output`."""
    words = arguments(name, root)
    return [*words[:2], str(output), *words[3:]] if name == "synthesize" else [*words, "-o", str(output)]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def files(path):
    """The bytes of a folder or a file, records aside, and where a parent lies, which the folder's own place decides;
    seconds of hearing."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    found = {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name not in RECORDS}
    for name in [name for name in found if name.endswith("affectkit.json")]:
        found[name] = re.sub(rb'"path": "[^"]*"', b'"path": ""', found[name])
    for name in [name for name in found if b"asr_seconds" in found[name]]:
        header, *lines = csv.reader(found[name].decode().splitlines())
        place = header.index("asr_seconds")
        found[name] = b"\n".join(",".join(line[:place] + line[place + 1 :]).encode() for line in lines)
    if journal := found.get("transcripts.jsonl"):
        found["transcripts.jsonl"] = re.sub(rb'"seconds": [^,]*', b"", journal)
    return found


def one_line_error(result, *parts, code=1):
    assert result.exit_code == code, (result.output, result.exception)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in errors[0], errors[0]


def test_every_command_is_in_this_study(tmp_path):
    assert list(OUTPUT)[: len(COMMANDS)] == COMMANDS
    for name in OUTPUT:
        assert arguments(name, tmp_path)[0] == name.split()[0]


@pytest.mark.parametrize("name", [*COMMANDS, *LOOKS_ON])
def test_help_says_what_it_does_and_ends_with_a_line_that_runs(name):
    text = invoke(name, "--help").stdout
    flat = " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())
    assert f"Example: affectkit {name} " in flat
    for command in app.registered_commands:
        if command.name == name:
            example = " ".join(command.callback.__doc__.split("Example: ")[1].split())
    assert example.startswith(f"affectkit {name}")


@pytest.mark.parametrize("name", OUTPUT)
def test_a_rerun_gives_the_same_bytes(name, study, tmp_path):
    output = tmp_path / OUTPUT[name]
    assert invoke(*complete(name, study, output)).exit_code == 0
    assert files(output) == files(study / OUTPUT[name])


@pytest.mark.parametrize("name", OUTPUT)
def test_what_is_there_is_kept_unless_overwritten(name, study, tmp_path):
    output = tmp_path / OUTPUT[name]
    source = study / OUTPUT[name]
    shutil.copytree(source, output) if source.is_dir() else shutil.copy(source, output)
    before = files(output)
    one_line_error(invoke(*complete(name, study, output)), str(output))
    assert files(output) == before
    assert invoke(*complete(name, study, output), "--overwrite").exit_code == 0
    assert files(output) == before


class Killed(BaseException):
    """Stands for SIGKILL: from then on the process changes nothing more, whatever tries to clean up."""


KILL, FULL = Killed(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
CREATE, REMOVE = {"open", "os.mkdir"}, {"os.rename", "os.remove", "os.rmdir"}
CAUSES = {  # of an end: what is raised, at which changes, whether at all later ones too, whether over an older run
    "kill -9": (KILL, CREATE | REMOVE, True, False),
    "kill -9 over an older run": (KILL, CREATE | REMOVE, True, True),
    "full disk": (FULL, CREATE, True, False),
    "Ctrl-C": (KeyboardInterrupt(), CREATE | REMOVE, False, False),
}


class Death:
    """Ends whatever changes a file or folder below `folder` for the nth time; n = 0 only counts."""

    def __init__(self):
        self.folder, self.after, self.seen, self.cause = None, 0, 0, "kill -9"
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        error, events, stays, _ = CAUSES[self.cause]
        if self.folder is None or event not in events:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if not str(arguments[0]).startswith(self.folder):
            return
        self.seen += 1
        if self.seen == self.after or (stays and self.after and self.seen > self.after):
            raise error

    def of(self, folder, words, *, cause, after=0):
        """What a command line that is ended prints; how many changes it made or would have made."""
        self.folder, self.after, self.seen, self.cause = str(folder), after, 0, cause
        try:
            result = invoke(*words)
            assert isinstance(result.exception, (type(None), SystemExit, Killed)), result.exception
        except Killed:
            result = None
        finally:
            self.folder = None
        return result, self.seen


@pytest.fixture(scope="session")
def death():
    return Death()


MODELS = ("train", "finetune", "import-model", "fuse", "calibrate")
KILLS = int(os.environ.get("AFFECTKIT_KILLS", 30)) // len(OUTPUT)  # of each command, of all causes in turn


def readers(name, study, output):
    """The command lines that take what the command `name` left at `output`."""
    command = name.split()[0]
    source = f"{study}/{'model' if command in MODELS else OUTPUT[name]}"
    for reader in [reader for reader in COMMANDS if reader != name]:
        words = [word.replace(source, str(output)) for word in arguments(reader, study)]
        if words != arguments(reader, study):
            yield words
    if name == "synthesize":
        yield ["prepare-manifest", "emobank", output]
    elif name not in ONE_FILE:
        yield ["report", output]
    if name == "prepare-manifest":
        yield ["extract-features", "--manifest", output / "train.csv", "--encoder", "text-ngrams"]
    if command in (*MODELS, "select"):
        yield ["predict", "--model-dir", output / "best_model", "--manifest", study / "manifest"]
        yield ["evaluate", output]
        yield ["evaluate", output / "predictions.csv"]


def require_not_taken(name, study, output):
    """No command takes what was left for whole, and the command itself says what is there, with both remedies."""
    begun = (output / "started.json").exists()
    for words in readers(name, study, output):
        wanted = () if words[0] in ("predict", "prepare-manifest") else ("-o", output.parent / "taken")
        result = invoke(*words, *(wanted or ("-o", output.parent / "taken.csv")))
        one_line_error(result, str(output), *(["is unfinished"] if begun else []))
    if begun:
        one_line_error(invoke(*complete(name, study, output)), str(output), "is unfinished; pass --resume or --over")


@pytest.mark.parametrize("name", OUTPUT)
def test_ended_anywhere_it_leaves_what_can_be_resumed_or_overwritten(name, study, tmp_path, death):
    """And nothing that passes for whole, unless it is: the record is there, and all that it lists."""
    output, older, whole = tmp_path / OUTPUT[name], study / OUTPUT[name], files(study / OUTPUT[name])
    rng = np.random.default_rng(list(OUTPUT).index(name))
    changes: dict[str, int] = {}

    def end(cause, after):
        for left in tmp_path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        over = CAUSES[cause][-1]
        if over:
            shutil.copytree(older, output) if older.is_dir() else shutil.copy2(older, output)
        words = [*complete(name, study, output), *(["--overwrite"] if over else [])]
        return death.of(tmp_path, words, cause=cause, after=after)

    for number in range(list(OUTPUT).index(name), list(OUTPUT).index(name) + max(KILLS, 1)):
        cause = list(CAUSES)[number % len(CAUSES)]
        changes[cause] = changes.get(cause) or end(cause, 0)[1]
        after = int(rng.integers(1, changes[cause], endpoint=True))
        where = f"{cause} at change {after} of {changes[cause]}"
        result, _ = end(cause, after)
        if cause == "full disk":
            one_line_error(result, "no space left on the device")
        if output.is_dir() and not (output / "run.json").exists():
            require_not_taken(name, study, output)
        elif output.exists():
            assert files(output) == whole, where
        again = "--resume" if rng.random() < 0.5 and name not in ONE_FILE else "--overwrite"
        result = invoke(*complete(name, study, output), again)
        assert result.exit_code == 0, f"{where}, {again}: {result.output}"
        assert files(output) == whole, f"{where}, {again}"


@pytest.mark.parametrize("name", OUTPUT)
def test_overwrite_never_touches_an_input(name, study, tmp_path):
    """Neither as the output, nor as a file of it, nor from above."""
    copy = shutil.copytree(study, tmp_path / "study", copy_function=os.link)
    before = files(copy)
    paths = [Path(word.rpartition("=")[2].rpartition(":")[2]) for word in arguments(name, copy)[1:]]
    inputs = [path for path in paths if path.is_absolute() and path != copy / OUTPUT[name]]
    for place in (copy, *inputs, *(path / "started.json" for path in inputs if path.is_dir())):
        one_line_error(invoke(*complete(name, copy, place), "--overwrite"), str(place.parent))
        assert files(copy) == before


@pytest.mark.parametrize("name", [n for n in OUTPUT if n not in ONE_FILE])
def test_resuming_a_finished_folder_does_nothing(name, study):
    output = study / OUTPUT[name]
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*")}
    result = invoke(*complete(name, study, output), "--resume")
    assert result.exit_code == 0, result.output
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*")} == before


@pytest.mark.parametrize("name", OUTPUT)
def test_stdout_is_the_path_alone_and_json_is_one_line(name, study, tmp_path):
    output = tmp_path / OUTPUT[name]
    result = invoke(*complete(name, study, output), "--quiet")
    assert result.stdout == f"{output}\n"
    result = invoke(*complete(name, study, output), "--overwrite", "--json")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["path"] == str(output)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_a_usage_error(name, study):
    result = invoke(*arguments(name, study), "--colour", "blue")
    assert result.exit_code == 2
    assert "No such option" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_an_infinite_number(name, study):
    for option in re.findall(r"(--[\w-]+) +<float", invoke(name, "--help").stdout):
        for value in ("inf", "-inf", "nan"):
            result = invoke(*complete(name, study, study / "none"), f"{option}={value}")
            assert result.exit_code == 2, (option, value, result.output, result.exception)
            assert f"{option} {value}; give a finite number" in result.stderr or "Invalid value" in result.stderr


@pytest.mark.parametrize("name", OUTPUT)
def test_an_output_that_cannot_be_is_one_line(name, study, tmp_path):
    (tmp_path / "file").write_text("")
    one_line_error(invoke(*complete(name, study, tmp_path / "file" / "x")), "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", OUTPUT)
def test_a_folder_that_may_not_be_written_is_one_line(name, study, tmp_path):
    tmp_path.chmod(0o500)
    try:
        one_line_error(invoke(*complete(name, study, tmp_path / "x")), "permission denied")
    finally:
        tmp_path.chmod(0o700)


READS_A_MANIFEST = ["prepare-manifest labels", "extract-features", "train", "predict"]
BROKEN = {
    "an empty manifest": (lambda text: text.splitlines()[0] + "\n", "has no rows"),
    "no header": (lambda text: "", "is empty"),
    "no id": (lambda text: text.replace("id,", "name,", 1), "has no column 'id'"),
    "a doubled id": (lambda text: text + text.splitlines()[1] + "\n", "stands already in"),
    "a ragged row": (lambda text: text + "u99,joy\n", "2 cells under a header of"),
    "an unknown label": (lambda text: text.replace(",joy,", ",glee,"), "label 'glee' is not in grief, joy, rage"),
}


@pytest.mark.parametrize("name", READS_A_MANIFEST)
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_manifest_is_one_line_that_names_the_file(name, what, study, tmp_path):
    change, message = BROKEN[what]
    broken = tmp_path / "manifest"
    shutil.copytree(study / "manifest", broken, ignore=shutil.ignore_patterns("run.json", "started.json"))
    (broken / "test.csv").unlink()
    (broken / "val.csv").unlink()
    path = broken / "train.csv"
    path.write_text(change(path.read_text()))
    line = [str(broken) if a == f"{study}/manifest" else a for a in arguments(name, study)]
    one_line_error(invoke(*line, "-o", tmp_path / "out"), message, str(broken))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", READS_A_MANIFEST)
def test_windows_line_ends_a_bom_and_other_scripts_change_nothing(name, study, tmp_path):
    other = tmp_path / "manifest"
    shutil.copytree(study / "manifest", other, ignore=shutil.ignore_patterns("run.json", "started.json"))
    for path in other.glob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    line = [str(other) if a == f"{study}/manifest" else a for a in arguments(name, study)]
    assert invoke(*line, "-o", tmp_path / OUTPUT[name]).exit_code == 0
    assert files(tmp_path / OUTPUT[name]) == files(study / OUTPUT[name])


@pytest.mark.parametrize(
    ("name", "needs"), [("extract-features", "manifest"), ("train", "features"), ("predict", "model")]
)
def test_an_unfinished_input_is_refused(name, needs, study, tmp_path):
    shutil.copytree(study / needs, tmp_path / needs)
    (tmp_path / needs / "run.json").unlink()
    line = [str(tmp_path / needs) if a == f"{study}/{needs}" else a for a in arguments(name, study)]
    one_line_error(invoke(*line, "-o", tmp_path / "out"), "is unfinished")


@pytest.mark.parametrize("name", ["extract-features", "train", "evaluate"])
def test_a_missing_input_is_named(name, study, tmp_path):
    line = [a.replace(str(study), str(tmp_path / "nowhere")) for a in arguments(name, study)]
    one_line_error(invoke(*line, "-o", tmp_path / "out"), "nowhere", "no such")


def test_misspelt_names_are_answered_with_the_nearest(study, tmp_path):
    one_line_error(invoke("prepare-manifest", "emobd", study, "-o", tmp_path / "x"), "did you mean emodb", code=2)
    line = ["extract-features", "--manifest", study / "manifest", "-o", tmp_path / "x", "--encoder"]
    one_line_error(invoke(*line, "opensmil"), "did you mean opensmile", code=2)
    line = [
        "train",
        "--manifest",
        study / "manifest",
        "--features",
        study / "features",
        "-o",
        tmp_path / "x",
        "--model",
    ]
    one_line_error(invoke(*line, "linaer"), "did you mean linear", code=2)


@pytest.mark.parametrize("line", ["prepare-manifest --list", pytest.param("predict", marks=pytest.mark.slow)])
def test_a_closed_pipe_is_quiet(line, study):
    words = arguments(line, study) if line == "predict" else line.split()
    command = [sys.executable, "-m", "affectkit", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait()


@pytest.mark.parametrize("name", OUTPUT)
def test_a_full_disk_is_one_line_and_loses_nothing(name, study, tmp_path):
    """A limit on file size stands in for a full disk, whoever writes the file: the same error from the same call."""
    output, whole = tmp_path / OUTPUT[name], files(study / OUTPUT[name])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, whole.values())) - 1, limit[1]))
    try:
        result = invoke(*complete(name, study, output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    one_line_error(result, f"error: {output}" if name != "synthesize" else "writing", "the file would be larger")
    assert not (output / "run.json").exists() and not output.is_file()
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob(".*.lock"))
    assert invoke(*complete(name, study, output), *(["--resume"] if name not in ONE_FILE else [])).exit_code == 0
    assert files(output) == whole
