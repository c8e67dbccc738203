"""A path is taken for a run's artifact only when the run has ended and the artifact is what the run wrote."""

import contextlib
import json
import os
import shutil

import pytest

from affectkit.artifacts import records
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.models import best_model
from affectkit.artifacts.records import digest, require_finished, trusted
from affectkit.artifacts.reports import read_report
from affectkit.artifacts.runs import open_run
from affectkit.artifacts.sources import predictions_path, read_source
from affectkit.errors import AffectkitError

PREDICTIONS = "id,seen,label,pred,prob_a,prob_b\n1,oof,a,a,.9,.1\n2,fit,b,b,.2,.8\n"


@pytest.fixture
def run(tmp_path):
    """A folder with a bit of everything."""
    with open_run("train", {"output_dir": tmp_path / "run"}) as made:
        (made.path / "best_model" / "parents" / "voice").mkdir(parents=True)
        files = {
            "predictions.csv": PREDICTIONS,
            "train.csv": "id,label\n1,a\n2,b\n",
            "summary.json": "{}",
            "metrics.json": '{"metrics": {}, "n": 2}',
            "best_model/affectkit.json": '{"kind": "test", "targets": []}',
            "best_model/fit_rows.csv": "id,group,role\n",
            "best_model/parents/voice/affectkit.json": '{"kind": "test", "targets": []}',
            "best_model/weights.bin": "1234",
            "best_model/README.md": "a card",
            "report.html": "<html>",
        }
        for name, text in files.items():
            (made.path / name).write_text(text)
    return made.path


READERS = {
    "a run": (lambda run: digest(run), "predictions.csv"),
    "predictions": (lambda run: predictions_path(run), "predictions.csv"),
    "a table": (lambda run: digest(run / "predictions.csv"), "predictions.csv"),
    "a source": (lambda run: read_source("x", run), "best_model/affectkit.json"),
    "features": (lambda run: read_features(run / "train.csv"), "train.csv"),
    "a manifest": (read_manifest, "train.csv"),
    "one side": (lambda run: read_manifest(run / "train.csv"), "summary.json"),
    "a model": (best_model, "best_model/affectkit.json"),
    "a model alone": (lambda run: best_model(run / "best_model"), "best_model/fit_rows.csv"),
    "weights": (best_model, "best_model/weights.bin"),
    "a parent": (lambda run: best_model(run / "best_model/parents/voice"), "best_model/parents/voice/affectkit.json"),
    "a report": (read_report, "metrics.json"),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_changed_since_is_refused_by_every_reader(run, reader):
    read, name = READERS[reader]
    path = run / name
    times = path.stat()
    path.write_text(path.read_text()[::-1])  # of the same size and, below, of the same time
    if path.suffix != ".bin":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(AffectkitError, match="was changed since its run finished") as refused:
        read(run)
    assert refused.value.file == str(path) and "run affectkit train again" in refused.value.remedy


@pytest.mark.parametrize("reader", READERS)
def test_what_is_unfinished_is_refused_by_every_reader(run, reader):
    (run / "run.json").unlink()
    with pytest.raises(AffectkitError, match=r"is unfinished: it has no run\.json") as refused:
        READERS[reader][0](run)
    assert refused.value.file == str(run)


def test_other_times_pages_and_cards_are_no_change(run):
    for path in run.rglob("*"):
        os.utime(path)
    (run / "best_model" / "README.md").write_text("a better card")
    (run / "report.html").unlink()
    assert trusted(run, complete=True) == run


def test_what_has_gone_counts_where_it_would_make_another_artifact(run):
    (run / "summary.json").unlink()
    with pytest.raises(AffectkitError, match=r"summary\.json: has gone"):
        read_manifest(run)
    assert predictions_path(run)  # which have nothing to do with it


def test_a_copy_outside_a_run_is_the_users_own(run, tmp_path):
    shutil.copytree(run / "best_model", tmp_path / "mine")
    (tmp_path / "mine" / "weights.bin").write_text("other")
    assert best_model(tmp_path / "mine") == tmp_path / "mine"
    table = shutil.copy(run / "predictions.csv", tmp_path / "mine.csv")
    table.write_text(PREDICTIONS.replace("fit", "oof"))
    assert digest(table)["size"] == len(PREDICTIONS)


def test_links_and_dots_lead_to_the_run_that_wrote(run, tmp_path, monkeypatch):
    (tmp_path / "link.csv").symlink_to(run / "predictions.csv")
    (run / "predictions.csv").write_text(PREDICTIONS.replace("fit", "oof"))
    monkeypatch.chdir(run / "best_model")
    for path in (tmp_path / "link.csv", run / "best_model" / ".." / "predictions.csv"):
        with pytest.raises(AffectkitError, match="was changed"):
            trusted(path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AffectkitError, match=r"^run/predictions\.csv: was changed"):
        trusted((run / "predictions.csv").relative_to(tmp_path))
    assert trusted(run / ".." / "elsewhere.csv")


def test_a_file_that_was_written_alone_is_compared_with_its_record(tmp_path):
    table = tmp_path / "p.csv"
    with open_run("predict", {"output": table}):
        table.write_text(PREDICTIONS)
    assert trusted(table)
    table.write_text(PREDICTIONS.replace("fit", "oof"))
    with pytest.raises(AffectkitError, match=r"p\.csv: was changed"):
        trusted(table)
    with open_run("predict", {"output": table, "overwrite": True}):
        assert not (tmp_path / "p.csv.run.json").exists()  # a kill leaves no record of another table
        table.write_text(PREDICTIONS)
    assert trusted(table)


def test_a_corpus_need_only_be_finished(run, tmp_path):
    (run / "train.csv").write_text("my own")
    with open_run("prepare-manifest", {"output_dir": tmp_path / "m"}, reads=[run]):
        pass
    (run / "run.json").unlink()
    with (
        pytest.raises(AffectkitError, match="is unfinished"),
        open_run("prepare-manifest", {"output_dir": tmp_path / "n"}, reads=[run / "wav"]),
    ):
        pass


def test_a_record_counts_without_that_of_the_start(run):
    (run / "started.json").unlink()
    assert predictions_path(run)
    (run / "predictions.csv").write_text(PREDICTIONS.replace("fit", "oof"))
    with pytest.raises(AffectkitError, match=r"predictions\.csv: was changed since its run finished"):
        predictions_path(run)


def test_the_two_records_must_agree(run):
    started = json.loads((run / "started.json").read_text())
    (run / "started.json").write_text(json.dumps({**started, "options": {"seed": 7}}))
    with pytest.raises(AffectkitError, match=r"started\.json: was changed"):
        digest(run)


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (3, "'outputs' is not a list"),
        ([1], r"'outputs'\[0\] is not an object"),
        ([{"path": "x"}], "has no 'sha256'"),
        ([{"path": "../x", "sha256": "", "size": 1, "mtime_ns": 1}], "'path' is not the path of a file in the same"),
        ([{"path": "/etc/x", "sha256": "", "size": 1, "mtime_ns": 1}], "'path' is not the path of a file in the same"),
        ([{"path": "x", "sha256": "", "size": True, "mtime_ns": 1}], "'size' is not a whole number"),
    ],
)
def test_a_damaged_record_is_one_line(run, outputs, why):
    (run / "run.json").write_text(json.dumps({"outputs": outputs}))
    with pytest.raises(AffectkitError, match=rf"run\.json: is no record: .*{why}"):
        digest(run)
    with pytest.raises(AffectkitError, match="is no record"):
        predictions_path(run)


# --- --overwrite, killed


class Killed(BaseException):
    pass


def deletions(monkeypatch, stop):
    """Every way in which a file or a folder goes, up to the one numbered `stop`."""
    count = 0

    def counting(delete):
        def counted(*arguments, **options):
            nonlocal count
            count += 1
            if count == stop:
                raise Killed
            return delete(*arguments, **options)

        return counted

    for name in ("unlink", "rmdir", "remove", "replace"):
        monkeypatch.setattr(os, name, counting(getattr(os, name)))
    return lambda: count


@pytest.mark.parametrize("again", ["overwrite", "resume"])
def test_overwrite_killed_at_any_deletion_leaves_nothing_that_passes_for_whole(tmp_path, monkeypatch, again):
    def begin(folder, **options):
        with open_run("train", {"output_dir": folder, "seed": 0, **options}) as made:
            (made.path / "best_model").mkdir(exist_ok=True)
            (made.path / "best_model" / "affectkit.json").write_text('{"kind": "test", "targets": []}')
            (made.path / "predictions.csv").write_text(PREDICTIONS)

    monkeypatch.setattr(records, "VERSIONS", ())  # looking them up takes most of a run
    for stop in range(1, 100):
        folder = tmp_path / str(stop)
        begin(folder)
        with open_run("report", {"output_dir": folder / "a page"}) as inner:
            (inner.path / "metrics.json").write_text('{"metrics": {}, "n": 2}')
        with monkeypatch.context() as patched:
            done = deletions(patched, stop)
            with contextlib.suppress(Killed):
                begin(folder, overwrite=True)
            ended = done() < stop
        if ended:
            break
        if (folder / "run.json").exists():  # before anything had gone, or when all was written
            trusted(folder, complete=True)
            continue
        inner = folder / "a page"  # whole while its record is there
        if (inner / "run.json").exists():
            assert trusted(inner, complete=True)
        else:
            with pytest.raises(AffectkitError, match="is unfinished"):
                require_finished(inner / "metrics.json")
        for place in (folder, folder / "best_model", folder / "predictions.csv"):
            with pytest.raises(AffectkitError, match="is unfinished"):
                require_finished(place)
        emptying = "emptying" in (folder / "started.json").read_text()
        begin(folder, **{again: True})
        assert not (inner.exists() and emptying)
        assert "emptying" not in json.loads((folder / "started.json").read_text())
        trusted(folder, complete=True)
    assert ended and stop > 8
