"""Damaged artifacts are refused in one line, or answer as they did: no traceback, no other answer."""

import csv
import io
import json
import os
import random
import shutil
import warnings

import numpy as np
import pytest

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


def mutate(path, rng):
    """Damage a file in place; what was done, in words."""
    kinds = {".json": in_json, ".csv": in_csv}
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


def in_csv(text, rng):
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
        body[row][column] = rng.choice(CELLS)
        what = f"row {row + 1}, {header[column]!r} is {body[row][column][:20]!r}"
    else:
        what = "as it was"
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue(), what


# --- What comes of it

COUNT = int(os.environ.get("AFFECTKIT_MUTATIONS", 160))
MODELS = ("linear", "svm", "forest")
SUFFIXES = (".json", ".csv", ".safetensors", ".skops")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three models of a table, a fusion of two, a calibration of the fusion."""
    root = tmp_path_factory.mktemp("mutations")
    rng = np.random.default_rng(0)
    rows, values = ["id,label,speaker,split,text"], ["id,a,b,c"]
    for number in range(60):
        kind = number % 3
        split = "train" if number < 30 else "val" if number < 48 else "test"
        rows.append(f"r{number},{('anger', 'joy', 'calm')[kind]},s{number // 6},{split},line {number}")
        values.append(f"r{number}," + ",".join(f"{x:.4f}" for x in rng.normal(np.eye(3)[kind] * 2)))
    (root / "rows.csv").write_text("\n".join(rows) + "\n")
    (root / "values.csv").write_text("\n".join(values) + "\n")
    make("prepare-manifest", "csv", root / "rows.csv", "--split-by", "official", "-o", root / "manifest")
    for model in MODELS:
        options = {"forest": ["--trees", 5]}.get(model, ["--c-grid", "1"])
        make(
            "train",
            "-m",
            root / "manifest",
            "--features",
            root / "values.csv",
            "--model",
            model,
            *options,
            "-o",
            root / model,
        )
    make("fuse", f"one={root}/linear", f"two={root}/svm", "--rule", "stacked", "-o", root / "fused")
    make("calibrate", root / "fused", "--method", "temperature", "-o", root / "calibrated")
    return root


def make(*words):
    return run([str(word) for word in words])


def reading(root, file):
    """The command line that reads a file of the study, and what it writes."""
    output = root / "answer"
    place = file.relative_to(root).parts
    if (place[0] in MODELS and "best_model" in place) or (file.name == "fit_rows.csv" and place[0] in MODELS):
        words = ["predict", "--model-dir", root / place[0], "-m", root / "manifest", "--features", root / "values.csv"]
        return [*words, "-o", output], output
    if place[0] == "manifest":
        words = ["train", "-m", root / "manifest", "--features", root / "values.csv", "--c-grid", "1"]
        return [*words, "-o", output], output / "predictions.csv"
    return ["calibrate", root / place[0], "--method", "vector", "-o", output], output / "predictions.csv"


def answer(words, written):
    """The bytes that a command line leaves, or its refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make(*words)
    except AffectkitError as refusal:
        assert "\n" not in str(refusal), str(refusal)
        return refusal
    return written.read_bytes()


@pytest.mark.parametrize("recorded", [True, False], ids=["of a finished run", "of unknown origin"])
def test_damage_is_refused_or_changes_nothing(study, tmp_path, recorded):
    """Of unknown origin: without a record that knows the digests, as a downloaded folder is; then it may answer, since
    nothing says that it answered otherwise before."""
    names = ("run.json", "started.json") if not recorded else ()
    files = sorted(
        f for f in study.rglob("*") if f.suffix in (".json", ".csv", ".safetensors", ".skops") and f.parent != study
    )
    files = [f for f in files if "report" not in f.name and f.name not in names]
    expected = {}
    problems = []
    for seed in range(COUNT // 2):
        rng = random.Random(seed)
        file = rng.choice(files)
        root = tmp_path / "study"
        shutil.copytree(study, root)
        words, written = reading(root, root / file.relative_to(study))
        if tuple(words) not in expected:
            expected[tuple(words)] = answer(words, written)
            assert isinstance(expected[tuple(words)], bytes), expected[tuple(words)]
            shutil.rmtree(root)
            shutil.copytree(study, root)
        if not recorded:
            for name in ("run.json", "started.json"):
                for path in root.rglob(name):
                    path.unlink()
        what = mutate(root / file.relative_to(study), rng)
        try:
            after = answer(words, written)
            silent = isinstance(after, bytes) and recorded and after != expected[tuple(words)]
            problem = "another answer, silently" if silent else ""
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            problems.append(f"seed {seed}: {file.relative_to(study)}, {what}: {problem}"[:300])
        shutil.rmtree(root)
    assert not problems, f"{len(problems)} of {COUNT // 2}\n" + "\n".join(problems)
