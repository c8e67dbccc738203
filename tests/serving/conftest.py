"""Models to serve, and a service of them."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))  # for serving_kit
pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")


def run(*words):
    from affectkit.cli import app

    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (words, result.output, result.exception)


@pytest.fixture(scope="session")
def models(made_once, speech):
    """Folders by role: `speech/linear` on audio; `text` on its texts; `fused` of both, calibrated by language, with its
    parents in it; `table` of two columns of numbers."""

    def make(root):
        folds = speech / "folds"
        run("extract-features", "--manifest", folds, "--encoder", "text-ngrams", "-o", root / "ngrams")
        run(
            "train", "--cv", "--c-grid", ".1,1", "--manifest", folds, "--features", root / "ngrams", "-o", root / "text"
        )
        run("fuse", f"audio={speech / 'linear'}", f"text={root / 'text'}", "--rule", "mean", "-o", root / "mean")
        run("calibrate", root / "mean", "--method", "temperature", "--bundle", "-o", root / "fused")
        write_table(root)
        run("train", "--manifest", root / "rows.csv", "--features", root / "table.csv", "-o", root / "table")

    root = made_once("served", make)
    return {"audio": speech / "linear", "text": root / "text", "fused": root / "fused", "table": root / "table"}


def write_table(root):
    rows = [(f"r{n:02}", ("low", "high")[n % 2], n % 2 + n / 100, -n / 50) for n in range(40)]
    lines = [f"{key},{label},{'train' if n < 30 else 'test'}" for n, (key, label, *_) in enumerate(rows)]
    (root / "rows.csv").write_text("\n".join(["id,label,split", *lines]) + "\n")
    (root / "table.csv").write_text("\n".join(["id,height,slope", *(f"{r[0]},{r[2]},{r[3]}" for r in rows)]) + "\n")


@pytest.fixture(scope="session")
def clips(emodb_twin):
    return sorted(Path(emodb_twin).rglob("*.wav"))[:12]


@pytest.fixture(scope="session")
def client(models):
    """All models, the fused one as the default."""
    from serving_kit import opened

    with opened({"fused": models["fused"], **models}) as client:
        yield client


@pytest.fixture(scope="session")
def affectkit_once():
    """A command line, for fixtures of a module."""
    return run
