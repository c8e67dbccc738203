"""Fixtures that read like use: `affectkit("evaluate", predictions, "-o", folder)`."""

import gc
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from typer.testing import CliRunner

# No random seed and no deadline: a busy machine fails nothing, and a failure comes back.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items):
    """Files with slow tests first, so that of two processes neither begins a long one when the other is done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt" viewBox="0 0 1 1"></svg>\n'


def _save_nothing(figure, file, format="svg", **_):
    file.write(EMPTY if format == "svg" else b"a picture")


@pytest.fixture(scope="session", autouse=True)
def _quick():
    """A figure takes .05 to .1 s to put together, and .05 to .3 s more in `savefig`: tests/reporting draws figures, a
    test with `drawn` puts them together, all others have empty ones. The commands and options of an app are read once,
    not for each command line, .06 s. What was imported is not looked through for garbage again and again. And no file
    waits for the disk: a power cut is not tested here."""
    import typer.testing
    from matplotlib.figure import Figure as Canvas

    from affectkit.reporting.page import Figure, Plot

    gc.freeze()
    with pytest.MonkeyPatch.context() as patched:
        plot = vars(Figure)["plot"]
        patched.setattr(Figure, "plot", Plot(EMPTY, "not drawn", png=b"a picture"))
        patched.setattr(Canvas, "savefig", _save_nothing)
        patched.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))
        patched.setattr(os, "fsync", lambda _: None)
        yield plot


@pytest.fixture(scope="module")
def drawn(_quick):
    """Figures of pages are put together, as for a user."""
    from affectkit.reporting.page import Figure

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "plot", _quick)
        yield


@pytest.fixture
def affectkit():
    """Run a command line in this process; fails the test unless it exits with `code`."""
    from affectkit.cli import app

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


class Killed(BaseException):
    """Stands for a signal: nothing may catch it."""


@pytest.fixture
def stopped(affectkit, monkeypatch):
    """`stopped(*arguments, write=3)`: a command line that ends, as if killed, when its third file is about to get its
    name, or with `named` right afterwards; False if it came to its end before."""
    replace = os.replace

    def run(*arguments, write, named=False):
        writes = 0

        def replacing(source, target):
            nonlocal writes
            writes += 1
            if named:
                replace(source, target)
            if writes == write:
                raise Killed
            if not named:
                replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replacing)
            try:
                affectkit(*arguments)
            except Killed:
                return True
        return False

    return run


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data that AFFECTKIT_DATA names; tests that need it skip without."""
    folder = os.environ.get("AFFECTKIT_DATA")
    if not folder:
        pytest.skip("AFFECTKIT_DATA is not set: no real data here")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """`made_once("twin", make)`: a folder that `make(folder)` fills for all processes of this session, whichever asks
    first. It is read only: a test that writes takes a copy."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "shared"
    shared.mkdir(exist_ok=True)

    def folder(name, make):
        with FileLock(shared / f"{name}.lock"):
            if not (shared / f"{name}.made").exists():
                make(shared / name)
                (shared / f"{name}.made").touch()
        return shared / name

    return folder


@pytest.fixture(scope="session")
def emodb_twin(made_once):
    """A synthetic EmoDB of 70 utterances by 5 speakers."""
    from affectkit import registry

    def make(root):
        root.mkdir()
        registry.load("corpora", "emodb").synthesize(root, size=70, speakers=5, seed=0)

    return made_once("emodb", make)


@pytest.fixture(scope="session")
def speech(made_once, emodb_twin):
    """A study of the EmoDB twin: manifests `split` and `folds`; `egemaps` and `gemaps`, features of all rows; a linear
    `model` of the split's train rows, and cross-fitted ones of each kind of features, `linear` and `small`."""
    pytest.importorskip("opensmile")
    from affectkit.cli import app

    def make(root):
        manifest, extract = ["prepare-manifest", "emodb", emodb_twin], ["extract-features", "--encoder", "opensmile"]
        train = ["train", "--c-grid", ".1,1", "--cv", "--manifest", root / "folds", "--features"]
        for line in (
            [*manifest, "--split-by", "speaker", "-o", root / "split"],
            [*manifest, "--folds", "speaker", "-o", root / "folds"],
            [*extract, "--manifest", root / "split", "-o", root / "egemaps"],
            [*extract, "--manifest", root / "split", "--feature-set", "GeMAPSv01b", "-o", root / "gemaps"],
            [*train[:3], "--manifest", root / "split", "--features", root / "egemaps", "-o", root / "model"],
            [*train, root / "egemaps", "-o", root / "linear"],
            [*train, root / "gemaps", "-o", root / "small"],
        ):
            result = CliRunner().invoke(app, [str(word) for word in line])
            assert result.exit_code == 0, (line, result.output, result.exception)

    return made_once("speech", make)


@pytest.fixture
def tone():
    """Write a short sine as WAV: `tone(path, seconds=0.5, pitch=220.0)`."""
    import soundfile

    def write(path, seconds=0.5, pitch=220.0, rate=16000):
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(int(seconds * rate)) / rate
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time), rate)
        return path

    return write
