import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from affectkit.artifacts.files import sha256
from affectkit.artifacts.records import digest, require_finished
from affectkit.artifacts.runs import open_run
from affectkit.errors import AffectkitError


def run_once(folder, text="result", **options):
    with open_run("test", {"output_dir": folder, "seed": 0, **options}) as run:
        if not run.finished:
            (run.path / "out.txt").write_text(text)
    return run


def test_a_finished_run_says_what_made_it(tmp_path):
    run_once(tmp_path / "r")
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["command"] == "test"
    assert record["outputs"][0]["path"] == "out.txt"
    assert record["outputs"][0]["sha256"] == sha256(tmp_path / "r" / "out.txt")
    assert not (tmp_path / "r" / ".lock").exists()


def test_a_folder_that_is_not_empty_is_refused_before_any_work(tmp_path):
    run_once(tmp_path / "r")
    with pytest.raises(AffectkitError, match="is finished; pass --resume or --overwrite"):
        run_once(tmp_path / "r", "other")
    assert (tmp_path / "r" / "out.txt").read_text() == "result"


def test_resuming_a_finished_run_does_nothing(tmp_path):
    run_once(tmp_path / "r")
    assert run_once(tmp_path / "r", "other", resume=True).finished
    assert (tmp_path / "r" / "out.txt").read_text() == "result"


def test_resuming_what_is_not_there_starts(tmp_path):
    run = run_once(tmp_path / "r", resume=True)
    assert not run.finished
    assert (tmp_path / "r" / "run.json").exists()


def test_resuming_with_another_option_names_it(tmp_path):
    run_once(tmp_path / "r", pool="mean")
    with pytest.raises(AffectkitError, match="--pool was 'mean' and is now 'max'"):
        run_once(tmp_path / "r", pool="max", resume=True)
    run_once(tmp_path / "r", pool="mean", resume=True, num_workers=7)  # cannot change the result
    run_once(tmp_path / "plugin", rule_options={"steps": 3})
    with pytest.raises(AffectkitError, match="--steps was 3 and is now 4"):
        run_once(tmp_path / "plugin", rule_options={"steps": 4}, resume=True)


def test_overwrite_empties_only_a_folder_of_ours(tmp_path):
    run_once(tmp_path / "r", "old")
    (tmp_path / "r" / ".DS_Store").write_text("x")
    run_once(tmp_path / "r", "new", overwrite=True)
    assert (tmp_path / "r" / "out.txt").read_text() == "new"
    assert not (tmp_path / "r" / ".DS_Store").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("precious")
    with pytest.raises(AffectkitError, match="not a folder that affectkit wrote"):
        run_once(home, overwrite=True)
    assert (home / "thesis.tex").read_text() == "precious"


def test_a_failure_leaves_an_unfinished_folder_that_nobody_takes_for_whole(tmp_path):
    with pytest.raises(RuntimeError), open_run("test", {"output_dir": tmp_path / "r"}) as run:
        (run.path / "out.txt").write_text("half")
        raise RuntimeError
    with pytest.raises(AffectkitError, match="is unfinished"):
        require_finished(tmp_path / "r")
    with pytest.raises(AffectkitError, match="is unfinished; pass --resume"):
        run_once(tmp_path / "r")


def test_a_failure_that_wrote_nothing_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), open_run("test", {"output_dir": tmp_path / "r"}):
        raise RuntimeError
    assert not (tmp_path / "r").exists()


def test_a_second_writer_is_kept_out_and_a_killed_one_is_not_in_the_way(tmp_path):
    script = (
        "import sys, time; from affectkit.artifacts.runs import open_run\n"
        "with open_run('test', {'output_dir': sys.argv[1], 'seed': 0}):\n    print('in', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "r")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(AffectkitError, match="another process is writing here"):
            run_once(tmp_path / "r", resume=True)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    time.sleep(0.05)
    assert run_once(tmp_path / "r", resume=True).resumed


def test_an_inputs_digest_comes_from_its_producer_only_while_the_file_is_the_same(tmp_path):
    run_once(tmp_path / "r")
    out = tmp_path / "r" / "out.txt"
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    record["outputs"][0]["sha256"] = "from the record"
    (tmp_path / "r" / "run.json").write_text(json.dumps(record))
    assert digest(out)["sha256"] == "from the record"
    assert digest(tmp_path / "r")["files"][0]["sha256"] == "from the record"
    os.utime(out)
    record["outputs"][0]["sha256"] = sha256(out)
    (tmp_path / "r" / "run.json").write_text(json.dumps(record))
    assert digest(out)["sha256"] == sha256(out)


def test_a_changed_input_stops_a_resume(tmp_path):
    (tmp_path / "in.csv").write_text("id\n1\n")
    options = {"output_dir": tmp_path / "r", "resume": True}
    with open_run("test", options, inputs=[tmp_path / "in.csv"]) as run:
        (run.path / "x").write_text("")
    (tmp_path / "in.csv").write_text("id\n2\n")
    with (
        pytest.raises(AffectkitError, match=r"in\.csv has changed since"),
        open_run("test", options, inputs=[tmp_path / "in.csv"]),
    ):
        pass


def test_a_file_has_its_record_beside_it_and_is_not_clobbered(tmp_path):
    target = tmp_path / "p.csv"
    with open_run("predict", {"output": target}):
        target.write_text("id\n")
    assert json.loads((tmp_path / "p.csv.run.json").read_text())["outputs"][0]["path"] == "p.csv"
    with pytest.raises(AffectkitError, match="exists already"), open_run("predict", {"output": target}):
        pass


def test_a_run_killed_before_it_had_begun_leaves_an_empty_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".started.json.123.tmp").write_text("{")
    (tmp_path / "run" / ".lock").write_text("")
    with open_run("train", {"output_dir": tmp_path / "run", "resume": True}) as run:
        assert not run.finished
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("place", [".", "best_model", "folds/01/checkpoints"])
def test_resuming_passes_what_a_kill_left_half_done(tmp_path, place):
    """A file, a folder of files, folders in it: a network is saved by way of one."""
    options = {"output_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt), open_run("c", options):
        (tmp_path / "run" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / place / "kept.json").write_text("{}")
        raise KeyboardInterrupt
    scratch = tmp_path / "run" / place / ".x7yz.tmp"
    (scratch / ".inner.tmp").mkdir(parents=True)
    for path in (scratch / "config.json", scratch / ".model.safetensors.12.tmp", scratch / ".inner.tmp" / "a"):
        path.write_text("half")
    scratch.with_name(".config.json.12.tmp").write_text("half")
    scratch.with_name(".link.tmp").symlink_to(tmp_path)
    with open_run("c", {**options, "resume": True}) as run:
        assert run.resumed
    assert [path.name for path in (tmp_path / "run").rglob("*") if path.name.startswith(".")] == []
    assert (tmp_path / "run" / place / "kept.json").exists() and tmp_path.exists()


# --- A record of the start that was damaged


DAMAGED = {
    "empty": lambda text: "",
    "cut": lambda text: text[:40],
    "one brace": lambda text: "{",
    "zeros": lambda text: "\0" * 40,
    "no command": lambda text: text.replace('"test"', "7"),
    "no JSON": lambda text: text.replace(":", ""),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("damage", DAMAGED)
def test_overwrite_passes_a_damaged_record_of_the_start(tmp_path, damage, finished):
    run_once(tmp_path / "r", "old")
    started = tmp_path / "r" / "started.json"
    started.write_text(DAMAGED[damage](started.read_text()))
    if not finished:
        (tmp_path / "r" / "run.json").unlink()
    with pytest.raises(AffectkitError, match=r"--resume: .*; use --overwrite"):
        run_once(tmp_path / "r", resume=True)
    run_once(tmp_path / "r", "new", overwrite=True)
    assert (tmp_path / "r" / "out.txt").read_text() == "new"
    assert json.loads(started.read_text())["command"] == "test"


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_left_of_a_damaged_record_still_says_whose_the_folder_is(tmp_path, finished):
    run_once(tmp_path / "r", "old")
    started = tmp_path / "r" / "started.json"
    started.write_text(started.read_text()[:60] if not finished else "")
    if not finished:
        (tmp_path / "r" / "run.json").unlink()
    with (
        pytest.raises(AffectkitError, match="--overwrite: affectkit test wrote it"),
        open_run("report", {"output_dir": tmp_path / "r", "overwrite": True}),
    ):
        pass
    assert (tmp_path / "r" / "out.txt").read_text() == "old"


def test_another_programs_started_json_is_no_record(tmp_path):
    (tmp_path / "started.json").write_text('{"job": 7}')
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(AffectkitError, match="not a folder that affectkit wrote"):
        run_once(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


# --- What is not the run's own stays


@pytest.mark.parametrize("name", ["notes.txt", "best_model/notes.txt", ".git/HEAD", "link"])
def test_overwrite_spares_what_was_put_into_a_finished_folder(tmp_path, name):
    run_once(tmp_path / "r", "old")
    stray = tmp_path / "r" / name
    stray.parent.mkdir(exist_ok=True)
    stray.symlink_to(tmp_path) if name == "link" else stray.write_text("precious")
    with pytest.raises(AffectkitError, match=f"--overwrite would delete {name}, which the run did not write; move it"):
        run_once(tmp_path / "r", "new", overwrite=True)
    assert (tmp_path / "r" / "out.txt").read_text() == "old" and stray.exists()


def test_overwrite_takes_along_what_other_commands_were_told_to_write_there(tmp_path):
    run_once(tmp_path / "r", "old")
    run_once(tmp_path / "r" / "inner", "old")
    with open_run("predict", {"output": tmp_path / "r" / "p.csv"}):
        (tmp_path / "r" / "p.csv").write_text("id\n")
    run_once(tmp_path / "r", "new", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["out.txt", "run.json", "started.json"]


@pytest.mark.parametrize("text", ["", "kind,of,leak\n", "kind,value,ids,sides,files\n"])
def test_a_listing_of_leaks_goes_only_where_a_refusal_left_it(tmp_path, text):
    listing = tmp_path / "leaks.csv"
    listing.write_text(text)
    if text.startswith("kind,value"):
        run_once(tmp_path)
        assert not listing.exists()
        return
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(AffectkitError, match=r"is not empty|not a folder that affectkit wrote"):
            run_once(tmp_path, **options)
    assert listing.read_text() == text


def test_emptying_a_folder_follows_no_link(tmp_path):
    run_once(tmp_path / "other", "precious")
    with pytest.raises(KeyboardInterrupt), open_run("test", {"output_dir": tmp_path / "r", "seed": 0}) as run:
        (run.path / "linked").symlink_to(tmp_path / "other")
        raise KeyboardInterrupt
    (tmp_path / "link").symlink_to(tmp_path / "r")
    run_once(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "r" / "out.txt").read_text() == "new"
    assert not (tmp_path / "r" / "linked").exists()
    assert (tmp_path / "other" / "out.txt").read_text() == "precious" and (tmp_path / "other" / "run.json").exists()


@pytest.mark.parametrize("place", ["corpus", "corpus/wav", ".", "link"])
def test_overwrite_deletes_no_input(tmp_path, monkeypatch, place):
    """Where the folder is the input, above it, or leads to it; and a corpus, which need only be finished."""
    monkeypatch.chdir(tmp_path)
    run_once(tmp_path / "corpus")
    (tmp_path / "corpus" / "wav").mkdir()
    (tmp_path / "link").symlink_to("corpus")
    (tmp_path / "corpus" / "wav" / "a.wav").write_text("precious")
    for reads in ({"inputs": [tmp_path / "corpus" / "wav" / "a.wav"]}, {"reads": [tmp_path / "corpus" / "wav"]}):
        with (
            pytest.raises(AffectkitError, match="--overwrite would delete the input"),
            open_run("test", {"output_dir": tmp_path / place, "overwrite": True}, **reads),
        ):
            pass
    assert (tmp_path / "corpus" / "wav" / "a.wav").read_text() == "precious"


def test_overwrite_replaces_no_file_of_a_run_and_none_of_an_input_folder(tmp_path):
    run_once(tmp_path / "r", "a part")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.csv").write_text("precious")
    for path, why in ((tmp_path / "r" / "out.txt", "affectkit test wrote it, as a part of a run"),
                      (tmp_path / "mine" / "a.csv", "would change the input")):  # fmt: skip
        with (
            pytest.raises(AffectkitError, match=f"--overwrite.*{why}.*; name another file"),
            open_run("predict", {"output": path, "overwrite": True}, inputs=[tmp_path / "mine"]),
        ):
            pass
        assert path.read_text() in ("a part", "precious")
    for _ in range(2):  # a file that affectkit wrote there may be replaced, and others may be written
        with open_run(
            "predict", {"output": tmp_path / "mine" / "p.csv", "overwrite": True}, inputs=[tmp_path / "mine"]
        ):
            (tmp_path / "mine" / "p.csv").write_text("id\n")


def test_a_run_inside_a_folder_is_no_part_of_that_input(tmp_path):
    (tmp_path / "train.csv").write_text("id\n1\n")
    options = {"output_dir": tmp_path / "features", "seed": 0}
    with pytest.raises(KeyboardInterrupt), open_run("test", options, inputs=[tmp_path]) as run:
        (run.path / "half.txt").write_text("half")
        raise KeyboardInterrupt
    with open_run("test", {**options, "resume": True}, inputs=[tmp_path]) as run:
        assert run.resumed
    assert [file["path"] for file in digest(tmp_path)["files"]] == ["train.csv"]


# --- The lock


@pytest.mark.parametrize("kind", ["a file", "a link"])
def test_a_lock_that_is_somebodys_is_neither_changed_nor_deleted(tmp_path, kind):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "r").mkdir()
    lock = tmp_path / "r" / ".lock"
    lock.symlink_to(mine) if kind == "a link" else lock.write_text("precious")
    with pytest.raises(AffectkitError, match=r"is not empty|is a link, not a lock"):
        run_once(tmp_path / "r", overwrite=kind == "a link")
    assert mine.read_text() == lock.read_text() == "precious"


def test_a_stale_lock_is_no_hindrance_and_a_lock_that_was_just_given_up_is_not_taken(tmp_path, monkeypatch):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".lock").write_text("")
    run_once(tmp_path / "r")
    flock = fcntl.flock

    def late(handle, operation):
        (tmp_path / "r" / ".lock").unlink()  # by the process that held it, between our opening it and locking it
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(AffectkitError, match="another process is writing here; wait"):
        run_once(tmp_path / "r", resume=True)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, caplog, number):
    def refuse(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run_once(tmp_path / "r")
    assert "this file system has no locks" in caplog.text and (tmp_path / "r" / "run.json").exists()


def test_two_commands_do_not_write_one_file_at_once(tmp_path):
    options = {"output": tmp_path / "p.csv", "overwrite": True}
    with open_run("predict", options):
        with pytest.raises(AffectkitError, match="another process is writing here"), open_run("predict", options):
            pass
        (tmp_path / "p.csv").write_text("id\n")
    assert {path.name for path in tmp_path.iterdir()} == {"p.csv", "p.csv.run.json"}


def test_a_file_takes_along_what_a_killed_process_had_not_finished(tmp_path):
    for name in (".p[1].csv.12.tmp", ".p1.csv.12.tmp", ".p[1].csv.lock"):
        (tmp_path / name).write_text("")
    with open_run("predict", {"output": tmp_path / "p[1].csv"}):
        (tmp_path / "p[1].csv").write_text("id\n")
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".p1.csv.12.tmp"]


def test_a_clock_that_goes_back_changes_nothing(tmp_path, monkeypatch):
    times = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(times))
    run_once(tmp_path / "r")
    assert json.loads((tmp_path / "r" / "run.json").read_text())["seconds"] >= 0
    os.utime(tmp_path / "r" / "out.txt", ns=(0, 0))
    assert run_once(tmp_path / "r", resume=True).finished
