"""Damaged artifacts are refused in one line, or answer as they did: no traceback, no other answer."""

import csv
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectkit.cli import run
from affectkit.errors import AffectkitError

# --- Damage, drawn from a seed: what a disk, an editor, another tool or a stranger may do to a file. JSON and CSV are
# changed where they mean something, other files in their bytes; every file is also cut.

DEEP = json.loads("[" * 900 + "]" * 900)
VALUES = [
    None,
    True,
    0,
    -1,
    1e308,
    -1e308,
    10**30,
    "",
    "x",
    "../../x",
    "\x1b[31m\u202e",
    "=1+1",
    [],
    {},
    [1],
    {"a": 1},
    DEEP,
]
CELLS = [
    "",
    "nan",
    "inf",
    "-1",
    "1e308",
    "1e-320",
    "x",
    "../../x",
    "\x1b[31mred",
    "\u202eright",
    "=1+1",
    "a" * 5000,
    "0.5",
    "fit",
]


def mutate(path, rng, cells=CELLS):
    """Damage a file in place; what was done, in words."""
    kinds = {".json": in_json, ".csv": lambda text, rng: in_csv(text, rng, cells)}
    kind = rng.choice(["own", "own", "own", "bytes", "cut"])
    data = path.read_bytes()
    if kind == "cut" or not data:
        kept = rng.randrange(len(data) + 1)
        path.write_bytes(data[:kept])
        return f"{path.name}: cut to {kept} of {len(data)} bytes"
    if kind == "own" and path.suffix in kinds:
        changed, what = kinds[path.suffix](data.decode(), rng)
        path.write_text(changed)
        return f"{path.name}: {what}"
    damaged = bytearray(data)
    places = [
        rng.randrange(min(len(data), 400) if rng.random() < 0.5 else len(data)) for _ in range(rng.choice([1, 1, 4]))
    ]
    for place in places:
        damaged[place] = rng.choice([0, 255, 127, damaged[place] ^ (1 << rng.randrange(8))])
    path.write_bytes(damaged)
    return f"{path.name}: bytes {places}"


def places_of(node):
    """Every (container, key) below a JSON value."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield node, key
        yield from places_of(value)


def in_json(text, rng):
    tree = json.loads(text)
    places = list(places_of(tree))
    if not places or rng.random() < 0.05:
        value = rng.choice(VALUES)
        return json.dumps(value), f"is {str(value)[:20]!r}"
    container, key = rng.choice(places)
    if rng.random() < 0.2:
        del container[key]
        return json.dumps(tree), f"lacks {key!r}"
    if rng.random() < 0.1:
        container[key] = "A_LONG_NUMBER"
        return json.dumps(tree).replace('"A_LONG_NUMBER"', "9" * 400), f"{key!r} has 400 digits"
    container[key] = rng.choice(VALUES)
    return json.dumps(tree), f"{key!r} is {str(container[key])[:20]!r}"


def in_csv(text, rng, cells=CELLS):
    rows = list(csv.reader(io.StringIO(text)))
    header, body = rows[0], rows[1:]
    column = rng.randrange(len(header))
    kind = rng.choice(["cell", "cell", "cell", "column", "row", "twice", "names"])
    if kind == "column":
        what = f"lacks {header[column]!r}"
        rows = [[cell for place, cell in enumerate(row) if place != column] for row in rows]
    elif kind == "names":
        other = rng.randrange(len(header))
        header[column], header[other] = header[other], header[column]
        what = f"{header[other]!r} and {header[column]!r} are exchanged"
    elif kind == "row" and body:
        what = f"lacks row {(row := rng.randrange(len(body))) + 1}"
        del rows[row + 1]
    elif kind == "twice" and body:
        row = rng.randrange(len(body))
        rows.append(list(body[row]))
        what = f"has row {row + 1} twice"
    elif body:
        row = rng.randrange(len(body))
        body[row][column] = rng.choice(cells)
        what = f"row {row + 1}, {header[column]!r} is {body[row][column][:20]!r}"
    else:
        what = "as it was"
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue(), what


# --- What comes of it


FIRST = int(os.environ.get("AFFECTKIT_MUTATIONS_FROM", 0))  # the seed to begin with, for many of them in pieces
HEARING = ["--model", "tiny-random:wav2vec2-ctc", "--device", "cpu"]
COUNT = int(os.environ.get("AFFECTKIT_MUTATIONS", 300))
# The first tenth of the seeds for every change, the others with the slow tests.
SHARES = pytest.mark.parametrize(
    "share", [(0, 0.1), pytest.param((0.1, 1), marks=pytest.mark.slow)], ids=["first", "rest"]
)
ONLY = os.environ.get("AFFECTKIT_MUTATIONS_OF", "")  # a pattern of the files to damage
MOST = 2 << 30  # bytes that reading may take
MODELS = {"linear": ["--c-grid", 1], "svm": ["--c-grid", 1], "forest": ["--trees", 5], "mlp": ["--epochs", 2]}
SUFFIXES = (".json", ".jsonl", ".csv", ".safetensors", ".skops")
TEXTS = {  # models of texts
    "lexicon": ["import-model", "lexicon"],
    "classifier": ["import-model", "hf-text", "--model", "tiny-random:bert", "--max-tokens", 16],
    "network": ["finetune", "--base-model", "tiny-random:bert", "--epochs", 1, "--head", "attentive"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Features, models of them and of a table, a fusion of two, a calibration of it, a report, a selection; models of
    texts, a route between two models, a calibration of each speaker, a transcribed manifest, a table of predictions."""
    root = tmp_path_factory.mktemp("mutations")
    rng = np.random.default_rng(0)
    rows, values = ["id,label,speaker,split,text,time_sec"], ["id,a,b,c"]
    for number in range(60):
        kind = number % 3
        split = "train" if number < 30 else "val" if number < 48 else "test"
        label = ("anger", "joy", "calm")[kind]
        rows.append(f"r{number},{label},s{number // 6},{split},line {number} {label},{number % 6}")
        values.append(f"r{number}," + ",".join(f"{x:.4f}" for x in rng.normal(np.eye(3)[kind] * 2)))
    (root / "rows.csv").write_text("\n".join(rows) + "\n")
    (root / "values.csv").write_text("\n".join(values) + "\n")
    make("prepare-manifest", "csv", root / "rows.csv", "--split-by", "official", "-o", root / "manifest")
    make(
        "extract-features",
        "-m",
        root / "manifest",
        "--encoder",
        "text-ngrams",
        "--columns",
        64,
        "-o",
        root / "ngrams",
    )
    for model, options in MODELS.items():
        features = ["--features", root / "values.csv"]
        make("train", "-m", root / "manifest", *features, "--model", model, *options, "-o", root / model)
    make("fuse", f"one={root}/linear", f"two={root}/svm", "--rule", "stacked", "-o", root / "fused")
    make("calibrate", root / "fused", "--method", "temperature", "-o", root / "calibrated")
    make("evaluate", root / "linear", "-o", root / "report")
    make("evaluate", root / "svm", "-o", root / "rival")
    for name, words in TEXTS.items():
        make(*words, "-m", root / "manifest", "--device", "cpu", "-o", root / name)
    route = ["--rule", "route", "--by", "speaker", "--default", "s9", "--unknown", "default"]
    make("fuse", f"s8={root}/linear", f"s9={root}/svm", *route, "-o", root / "routed")
    make("calibrate", root / "svm", "--per", "speaker", "--min-rows", 4, "-o", root / "per")
    make("predict", "--model-dir", root / "lexicon", "-m", root / "manifest", "-o", root / "said.csv")
    table = ["tabulate", f"one={root}/said.csv", "-m", root / "manifest", "--columns", "text"]
    make(*table, "-o", root / "table")
    make("alert", root / "linear", "--when", "anger>=.4", "--sequence", "speaker", "-o", root / "alerts")
    recordings = ["id,path,text"]
    for number in range(4):
        soundfile.write(root / f"{number}.wav", rng.normal(size=4000 + 500 * number) * 0.1, 16000)
        recordings.append(f"r{number},{number}.wav,{'' if number else 'so'}")
    (root / "recordings.csv").write_text("\n".join(recordings) + "\n")
    make("transcribe", "-m", root / "recordings.csv", *HEARING, "-o", root / "texts", "--against", "text")
    return root


def make(*words):
    return run([str(word) for word in words])


def reading(root, file, rng):
    """A command line that reads a file of the study, and what it writes."""
    output, manifest, values = root / "answer", ["-m", root / "manifest"], ["--features", root / "values.csv"]
    name, *inside = file.relative_to(root).parts
    if name in MODELS and (inside[0] == "best_model" or inside == ["fit_rows.csv"]):
        chain = rng.choice([name, "fused", "calibrated"]) if name in ("linear", "svm") else name
        sets = 1 if chain in MODELS else 2
        return ["predict", "--model-dir", root / chain, *manifest, *values * sets, "-o", output], output
    if name in TEXTS and (inside[0] == "best_model" or inside == ["fit_rows.csv"]):
        return ["predict", "--model-dir", root / name, *manifest, "--device", "cpu", "-o", output], output
    if name in ("lexicon", "classifier"):
        judged = root / "manifest" / "test.csv"
        return ["tabulate", f"one={root}/{name}", "-m", judged, "-o", output], output / "test_features.csv"
    if inside[0] == "best_model":
        chain = rng.choice([name, "calibrated"]) if name == "fused" else name
        return [
            "predict",
            "--model-dir",
            root / chain,
            *manifest,
            *values * (1 if name == "per" else 2),
            "-o",
            output,
        ], output
    if name == "texts" and inside[0] in ("folds.csv", "summary.json", "label_map.json"):
        return ["transcribe", "-m", root / name, *HEARING, "-o", output], output / "transcription.json"
    if name in ("texts", "alerts"):
        return ["report", root / name, "-o", output], output / "report.html"
    if name in ("report", "rival"):
        return ["report", root / "report", root / "rival", "-o", output], output / "comparison.json"
    train = ["train", *manifest, "--c-grid", "1", "-o", output]
    calibrate = ["calibrate", root / name, "--method", "vector", "-o", output]
    lines = {"manifest": [[*train, *values]], "ngrams": [[*train, "--features", root / "ngrams"]]}
    lines["table"] = [[*train, "--features", root / name]]
    fuse = ["fuse", f"one={root}/{name}", f"two={root}/mlp", "--rule", "weighted", "-o", output]
    stabilize = ["stabilize", root / name, "--sequence", "speaker", *manifest, "-o", output]
    words = rng.choice(lines.get(name, [calibrate, calibrate, fuse, stabilize]))
    return words, output / "predictions.csv"


@contextmanager
def limited():
    """Neither 20 s nor `MOST` bytes more than there are."""
    data = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data + MOST, limits[1]))
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("no end after 20 s"))
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def answer(words, written):
    """What a command line leaves, or its refusal. Of JSON without `inputs`: these are what a record lists, and a record
    that lists fewer files says no more."""
    try:
        with warnings.catch_warnings(), limited():
            warnings.simplefilter("error")
            make(*words)
    except AffectkitError as refusal:
        return refusal
    if written.suffix == ".json":
        told = json.loads(written.read_bytes())
        return json.dumps({name: value for name, value in told.items() if name != "inputs"}).encode()
    return written.read_bytes()


@SHARES
@pytest.mark.parametrize("recorded", [True, False], ids=["of a finished run", "of unknown origin"])
def test_damage_is_refused_or_changes_nothing(study, recorded, share):
    """Of unknown origin: without a record that knows the digests, as a downloaded folder is; then it may answer, since
    nothing says that it answered otherwise before."""
    files = sorted(path for path in study.rglob("*") if path.suffix in SUFFIXES and path.parent != study)
    assert_withstood(study, files, reading, recorded, share)


def assert_withstood(study, files, reading, recorded, share, cells=CELLS, count=COUNT // 2):
    """Damage one of the files for each seed of this share of `count`, and read it as `reading` says."""
    files = [path for path in files if re.search(ONLY, str(path.relative_to(study)))]
    records = {path: path.read_bytes() for path in files if path.name in ("run.json", "started.json")}
    files = [path for path in files if recorded or path not in records]
    expected, problems = {}, []
    for seed in range(FIRST + round(share[0] * count), FIRST + round(share[1] * count)):
        rng = random.Random(seed)
        file = rng.choice(files)
        words, written = reading(study, file, rng)
        if (line := tuple(words)) not in expected:
            expected[line] = answer(words, written)
            assert isinstance(expected[line], bytes), expected[line]
            remove(study / "answer")
        if not recorded:
            for path in records:
                path.unlink()
        data, stat = file.read_bytes(), file.stat()
        what = mutate(file, rng, cells)
        try:
            after = answer(words, written)
            silent = isinstance(after, bytes) and recorded and after != expected[line]
            problem = "another answer, silently" if silent else ""
            if isinstance(after, AffectkitError) and not (after.file and after.remedy):
                problem = f"names no {'remedy' if after.file else 'file'}: {after}"
        except (Exception, pytest.fail.Exception) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            command = " ".join(map(str, words)).replace(f"{study}/", "")
            problems.append(f"seed {seed}: {file.relative_to(study)}, {what}: {problem} ({command})"[:500])
        remove(study / "answer")
        for path, content in {file: data, **records}.items():
            path.write_bytes(content)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not problems, f"{len(problems)} of {count}\n" + "\n".join(problems)


def remove(output):
    """What a command left: a folder, or a file and its record."""
    for path in output.parent.glob(f"{output.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- Tables: what is read, with whatever a spreadsheet makes of it, and the models of them


OF_TABLES = [
    *CELLS, "1,5", "1,000", "31.02.2024", "03/04/2024", "2024-01-31", "NA", "7 mm", "45%", "#DIV/0!", "1e39", "-1e39",
    "\u75c5\u4eba\u7684\u4f24\u53e3\u5f88\u5e72", "a\nb", '"', "True", "0", "256", " ",
]  # fmt: skip
TREES = {"forest": ["--trees", 3, "--min-leaf", 2], "boosted": ["--rounds", 3], "linear": ["--c-grid", 1]}
PREPARED = {"linear": ["--impute", "knn"], "forest": ["--select-features", 9], "boosted": ["--importance"]}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A table of every kind of column with its manifest, models of it, and the tables of corpora as they come."""
    root = tmp_path_factory.mktemp("clinic")
    (root / "given").mkdir()
    rng, rows, cells = np.random.default_rng(0), ["id,label,speaker,split"], ["id,age,sex,site,seen,note"]
    for number in range(60):
        label = ("open", "healed")[number % 2]
        rows.append(f"r{number},{label},s{number // 5},{'train' if number < 40 else 'test'}")
        age = f"{50 + 9 * (number % 2) + rng.normal(0, 9):.1f}" if number % 5 else "NA"
        site = "" if number % 7 == 0 else rng.choice(["heel", "toe", "sole"])
        cells.append(f"r{number},{age},{'fm'[rng.integers(2)]},{site},2024-01-{number % 28 + 1:02},wound {number} red")
    (root / "given" / "rows.csv").write_text("\n".join(rows) + "\n")
    (root / "given" / "cells.csv").write_text("\r\n".join(cells) + "\r\n", newline="")
    table = ["-m", root / "given" / "rows.csv", "--features", root / "given" / "cells.csv"]
    for model, options in TREES.items():
        make("train", *table, "--model", model, *options, *PREPARED[model], "-o", root / model)
    make("synthesize", "dfu", root / "dfu", "--size", 12, "--speakers", 4)
    for corpus in ("fer2013", "ferplus"):
        make("synthesize", corpus, root / corpus, "--size", 12, "--speakers", 3)
    return root


def reading_tables(root, file, rng):
    name, *inside = file.relative_to(root).parts
    output, cells = root / "answer", root / "given" / "cells.csv"
    if name == "given":
        model = rng.choice([*TREES])
        table = ["-m", root / "given" / "rows.csv", "--features", cells]
        train = ["train", *table, "--model", model, *TREES[model], "--no-importance"]
        predict = ["predict", "--model-dir", root / model, cells]
        line = predict if inside[0] == "cells.csv" and rng.random() < 0.4 else train
        return [*line, "-o", output], output if line is predict else output / "predictions.csv"
    if name in ("dfu", "fer2013", "ferplus"):
        return ["prepare-manifest", name, root / name, "-o", output], output / "summary.json"
    if inside[0] == "best_model" or inside == ["fit_rows.csv"]:
        return ["predict", "--model-dir", root / name, cells, "-o", output], output
    return ["report", root / name, "-o", output], output / "report.html"


@SHARES
@pytest.mark.parametrize("of", ["tables", "models of a finished run", "models of unknown origin"])
def test_damage_to_tables_and_their_models_is_refused_or_said(clinic, of, share):
    """Of a table nothing says how it was; so a changed one may be answered."""
    raw = [path for name in ("given", "dfu", "fer2013", "ferplus") for path in (clinic / name).rglob("*.csv")]
    made = [path for name in TREES for path in (clinic / name).rglob("*") if path.suffix in SUFFIXES]
    files = sorted(raw if of == "tables" else made)
    assert_withstood(clinic, files, reading_tables, of == "models of a finished run", share, OF_TABLES)


# --- Cross-attention of arrays: the model, its attention, the logs of its training


CROSSED = ["--model", "cross-attention", "--width", 4, "--heads", 2, "--epochs", 2, "--stopping-folds", 1]


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """A network on two arrays, with its attention exported."""
    root = tmp_path_factory.mktemp("crossed")
    make("synthesize", "arrays", root / "arrays", "--size", 40, "--speakers", 8)
    make("prepare-manifest", "arrays", root / "arrays", "-o", root / "manifest")
    words = ["train", "-m", root / "manifest", *sets_of(root), *CROSSED, "--target", "openness,neuroticism"]
    make(*words, "--export-attention", "--device", "cpu", "-o", root / "cross")
    return root


def sets_of(root):
    arrays = {name: root / "arrays" / f"{name}_features.npy" for name in ("static", "dynamic")}
    return [word for name, path in arrays.items() for word in ("--features", f"{name}={path}")]


def reading_crossed(root, file, rng):
    run, output = root / "cross", root / "answer"
    name = file.relative_to(run).parts[0]
    if name in ("best_model", "fit_rows.csv"):
        return ["predict", "--model-dir", run, "-m", root / "manifest", *sets_of(root), "-o", output], output
    if rng.random() < 0.5:
        return ["plot", run, "--only", "loss,learning_rate", "--format", "svg", "-o", output], output / "loss.svg"
    return ["report", run, "-o", output], output / "report.html"


@SHARES
@pytest.mark.parametrize("recorded", [True, False], ids=["of a finished run", "of unknown origin"])
def test_damage_to_cross_attention_is_refused_or_changes_nothing(crossed, recorded, share):
    files = (path for path in (crossed / "cross").rglob("*") if path.suffix in SUFFIXES and path.name != "log.jsonl")
    files = sorted(path for path in files if "attention" not in path.parts)  # features, damaged above
    assert_withstood(crossed, files, reading_crossed, recorded, share, count=COUNT // 20)


# --- Sessions: labels and landmarks as they come, folds beside a test part, models of several heads and of sequences


OF_SERIES = [*CELLS, "-1.#IND", "1e39", "0,0", "12:60", "9" * 30, "-0", "NaN", " 1", "1 1"]
OF_SESSIONS = (*SUFFIXES, ".mat", ".npy", ".txt")
HEADS = ["--target", "stress,depression,mood", "--epochs", 2, "--hidden-size", 4, "--stopping-folds", 1]
RAISED = ["--when", "stress>=2", "--for", 1, "--clear", 1.5, "--cooldown", 5, "--sequence", "session"]
RAW = ("sessions", "folders", "emopain", "daic")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Twins of corpora of sessions, folders with labels.json, a manifest of folds and a test part, landmark features,
    models of several heads, of sequences and of landmarks; alerts, an agreement, means over windows."""
    root = tmp_path_factory.mktemp("sessions")
    make("synthesize", "sessions", root / "sessions", "--size", 96, "--speakers", 8)
    make("synthesize", "emopain", root / "emopain", "--size", 8, "--speakers", 4)
    make("synthesize", "daic-woz", root / "daic", "--size", 16, "--speakers", 8)
    rng = np.random.default_rng(0)
    for number in range(4):
        folder = root / "folders" / f"s{number}"
        folder.mkdir(parents=True)
        np.save(folder / "landmarks.npy", rng.normal(300, 90, (40, 33, 4)).astype(np.float32))
        labels = {"subject_id": f"p{number // 2}", "frame_rate": 10, "stress_labels": [1, 2, None, 4], "notes": "calm"}
        (folder / "labels.json").write_text(json.dumps(labels))
    table = (root / "sessions" / "sessions.csv").read_text().splitlines()
    moods = ["mood", *(("low", "mild", "high")[number // 7 % 3] for number in range(len(table) - 1))]
    lines = [f"{row},{mood}" for row, mood in zip(table, moods, strict=True)]
    (root / "sessions" / "sessions.csv").write_text("\n".join(lines) + "\n")
    targets = ["--target-columns", "stress=1:5,depression=0:27,mood=low<mild<high"]
    prepared = [*targets, "--window", 2, "--folds", 2, "--test-fraction", 0.3, "--group", "subject"]
    make("prepare-manifest", "sessions", root / "sessions", *prepared, "-o", root / "manifest")
    manifest = ["-m", root / "manifest"]
    make("extract-features", *manifest, "--encoder", "landmarks", "--image-size", "1280x720", "-o", root / "posture")
    posture = [*manifest, "--features", root / "posture", "--cv", "--device", "cpu"]
    make("train", *posture, "--model", "mlp", *HEADS, "--separate", "-o", root / "joint")
    gathered = ["--sequence", "session", "--truth", "majority"]
    make("train", *posture, "--model", "attention", *gathered, *HEADS, "-o", root / "pooled")
    make("alert", root / "joint", *manifest, *RAISED, "--split", "oof", "-o", root / "alerts")
    judge = ["--agreement", "--alert", "stress>=2", "--prevalence", 0.1, "--group", "subject"]
    make("evaluate", root / "joint", *manifest, *judge, "-o", root / "agreed")
    return root


def reading_sessions(root, file, rng):
    name, *inside = file.relative_to(root).parts
    output, manifest = root / "answer", ["-m", root / "manifest"]
    landmarks = ["--encoder", "landmarks", "--image-size", "1280x720"]
    if name == "sessions" and file.name.endswith("_landmarks.csv"):
        return ["extract-features", *manifest, *landmarks, "-o", output], output / "index.csv"
    if name in RAW:
        corpus = {"folders": "sessions", "daic": "daic-woz"}.get(name, name)
        return ["prepare-manifest", corpus, root / name, "--folds", 2, "-o", output], output / "summary.json"
    if inside[0] == "best_model" or inside == ["fit_rows.csv"]:
        posture = ["--features", root / "posture"] if rng.random() < 0.8 else []
        line = ["predict", "--model-dir", root / name, *manifest, *posture, "--device", "cpu", "-o", output]
        return line, output
    if name in ("alerts", "agreed") or "separate" in inside or inside[-1].startswith(("train_report", "history")):
        return ["report", root / name, "-o", output], output / "report.html"
    if name in ("manifest", "posture"):
        line = ["train", *manifest, "--features", root / "posture", "--cv", "--target", "stress", "--c-grid", 1]
        return [*line, "-o", output], output / "predictions.csv"
    own = [*manifest, "-o", output]
    lines = [(["evaluate", root / name, "--agreement", "--group", "subject", *own], output / "metrics.json")]
    if name == "joint":
        lines += [(["alert", root / name, *RAISED, "--split", "oof", *own], output / "alert.json")]
        majority = ["--to", "session", "--truth", "majority"]
        lines += [(["aggregate", root / name, *majority, *own], output / "predictions.csv")]
    return rng.choice(lines)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["what is given", "what was made", "what is of unknown origin"])
def test_damage_to_sessions_is_refused_or_said(sessions, of):
    files = [path for path in sessions.rglob("*") if path.suffix in OF_SESSIONS and path.parent != sessions]
    raw = of == "what is given"
    files = sorted(path for path in files if (path.relative_to(sessions).parts[0] in RAW) == raw)
    if raw:
        files = [path for path in files if path.name not in ("run.json", "started.json")]
    assert_withstood(sessions, files, reading_sessions, of == "what was made", (0, 1), OF_SERIES)
