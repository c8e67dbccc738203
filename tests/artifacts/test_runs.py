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
