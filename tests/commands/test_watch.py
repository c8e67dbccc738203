"""`affectkit watch`: a run as it is seen from its files, while it trains, dies, goes on and ends."""

import itertools
import json
import os
import re
import shutil
import socket
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from run_under_way import RunUnderWay

from affectkit.artifacts.progress import FULL_ROWS, QUIET, SETTLED, Follower
from affectkit.commands import watch as command
from affectkit.reporting.watched import draw


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # whose path may be longer than a line
    return RunUnderWay(Path("run"))


@pytest.fixture
def follower(run):
    return Follower(run.folder, clock=lambda: run.clock)


def text(status, width=80, height=None, colour=False):
    """The page as a terminal of that width shows it."""
    paper = Console(file=StringIO(), width=width, markup=False, highlight=False, emoji=False)
    paper.print(draw(status, width, height, colour=colour))
    return "\n".join(line.rstrip() for line in paper.file.getvalue().splitlines())


# --- What is seen of a run


def test_a_run_from_its_first_moment_to_its_end(run, follower):
    assert follower.look().state == "running"
    assert "no network has been trained in it so far" in text(follower.look())
    run.start()
    run.fit()
    run.progress(1)
    assert "final; stage mlp; epoch 1/50, batch 1/10" in text(follower.look())
    for epoch in (1, 2, 3):
        run.clock += 10
        run.epoch(epoch)
        run.progress(10 * epoch)
    page = text(follower.look(), width=100)
    assert "run  train mlp of valence, arousal\nrunning, since " in page
    assert ", 30 s so far, on node7\n" in page
    assert " 6%, about 8 min to go\n" in page  # 30 batches in 30 seconds, and 470 are left
    assert "loss  train 0.741  val 0.530" in page
    assert "val CCC  val 0.030" in page
    assert re.search(r"epoch +train loss +val loss +val CCC +valence CCC +arousal CCC +valence MAE", page)
    assert re.search(r"\n +\*3 +0.741 +0.530 +0.030", page)
    run.finish()
    status = follower.look()
    assert status.state == "finished"
    assert "finished, since " in text(status)
    assert "to go" not in text(status)


def test_silence_is_counted_from_the_last_change_that_was_seen(run, follower):
    run.start(host="node7")
    run.fit()
    run.progress(1)
    follower.look()
    run.clock += QUIET - 1
    assert follower.look().state == "running"
    run.clock += 20
    status = follower.look()
    assert (status.state, status.seen) == ("silent", False)
    assert status.silent == pytest.approx(QUIET + 19, abs=0.9)
    assert "no sign for 49 s, by the times of its files, at work, or killed" in text(status, 200)
    run.progress(2)
    assert follower.look().state == "running"
    run.clock += 100
    assert text(follower.look(), 200).splitlines()[1].startswith("no sign for 100 s, at work, or killed")


def test_before_the_first_change_the_times_of_files_tell(run):
    run.start()
    hour_ago = time.time() - 3600
    for path in run.folder.iterdir():
        os.utime(path, (hour_ago, hour_ago))
    assert Follower(run.folder).look().silent == pytest.approx(3600, abs=60)
    for path in run.folder.iterdir():  # a clock that is an hour ahead of ours
        os.utime(path, (hour_ago + 7200, hour_ago + 7200))
    assert Follower(run.folder).look().silent < 60


def test_a_process_of_this_machine_that_is_gone_is_known(run, follower):
    run.start(host=socket.gethostname(), pid=os.getpid())
    run.fit()
    run.progress(1)
    follower.look()
    run.clock += SETTLED
    assert follower.look().state == "running"
    run.start(host=socket.gethostname(), pid=2**22 + 1)  # more than there are
    run.progress(2)
    assert follower.look().state == "running"  # what has just changed is not dead
    run.clock += SETTLED
    assert follower.look().state == "killed"
    assert "killed, its command goes on with --resume" in text(follower.look(), 200)
    (run.folder / "progress.json").unlink()
    follower.look()
    run.clock += SETTLED
    assert follower.look().state == "ended"


def test_an_error_takes_the_progress_along_and_leaves_no_end(run, follower):
    """So it is known of another machine too."""
    run.start()
    run.fit()
    run.epoch(1)
    run.progress(10)
    follower.look()
    (run.folder / "progress.json").unlink()
    follower.look()
    run.clock += SETTLED
    assert text(follower.look(), 200).splitlines()[1].startswith("failed or interrupted, its command goes on with")
    run.start(resumed=True)  # and has not trained yet
    run.clock += SETTLED
    assert follower.look().state == "running"
    run.tell("end", seconds=3)
    assert "what it gave is being judged and written" in text(follower.look(), 200)


def test_a_run_that_is_resumed_is_followed(run, follower):
    run.start()
    run.fit()
    for epoch in (1, 2, 3):
        run.epoch(epoch)
    run.progress(35)
    follower.look()
    run.clock += 3600
    with open(run.folder / "log.jsonl", "a") as log:
        log.write('{"time": "2026-')  # killed while it wrote
    run.start(resumed=True)  # and nobody cut the torn line off
    run.tell("resume", fit="final", stage="mlp", epoch=1, batch=0, step=10)
    run.epoch(2, val_ccc=0.5)  # with other figures than before
    run.progress(20)
    status = follower.look()
    assert [row["val_ccc"] for row in status.epochs] == [0.01, 0.5]
    assert "resumed at " in text(status, 200)
    run.clock += 10
    run.progress(30)
    assert str(follower.look().left) == "nan"  # the pace of before the pause, or over it, says nothing
    run.clock += 10
    run.progress(40)
    assert follower.look().left == 460
    run.start(resumed=True)
    assert "resumed 2 times, last at " in text(follower.look(), 200)


def test_a_run_that_is_overwritten_begins_anew(run, follower):
    run.start()
    run.fit()
    run.epoch(1)
    run.steps(5)
    assert len(follower.look().epochs) == 1
    run.write("started.json", {"schema": 1, "command": "train", "options": {}, "emptying": True})
    for name in ("log.jsonl", "steps.csv"):
        (run.folder / name).unlink()
    assert "being emptied by --overwrite" in text(follower.look())
    run.write("started.json", {"schema": 1, "command": "train", "options": {"model": "attention"}})
    run.start()
    run.fit()
    status = follower.look()
    assert (status.epochs, status.steps, len(status.starts)) == ([], [], 1)
    assert "train attention" in text(status, 200)
    shutil.rmtree(run.folder)
    assert follower.look().state == "not begun"


def test_of_several_fits_the_one_under_way_is_drawn_and_all_are_listed(run, follower):
    run.start()
    for number, name in enumerate(("inner-1", "inner-2"), start=1):
        run.fit(name, number, 6)
        run.epoch(1, name, val_ccc=0.5)
        run.epoch(2, name, val_ccc=0.4, best=False)
    run.fit("inner-3", 3, 6)
    run.progress(1, fit="inner-3", number=3, fits=6)
    run.steps(300, fit="inner-3")
    page = text(follower.look(), 120)
    assert "inner-3, 3 of 6; stage mlp; epoch 1/50" in page
    assert "loss of steps" in page
    assert "best val CCC of each fit: inner-1 0.500 in epoch 1 of 2, inner-2 0.500 in epoch 1 of 2" in page
    assert "142.3 rows/s, 0.5% wait for data, 1,203 MB, learning rate 0.001, gradient norm 0.5" in page
    run.write("run.json", {"schema": 1, "seconds": 9})
    (run.folder / "history.csv").write_text("epoch,train_loss,val_loss,best\n1,0.5,0.6,True\n2,0.4,,False\n")
    page = text(follower.look(), 120)
    assert "means over the inner folds" in page
    assert re.search(r"\n +2 +0.400 +-\n", page)


def test_epochs_have_the_numbers_of_their_rows_and_of_several_stages_one_after_another(run, follower):
    run.start()
    run.fit()
    run.epoch(2)  # as a fusion counts several passes in a row
    run.epoch(4)
    ends = re.compile(r"\n +(\d+) +epoch +(\d+) ")
    assert ends.search(text(follower.look())).groups() == ("2", "4")
    run.epoch(1, stage="whole")
    page = text(follower.look())
    assert ends.search(page).groups() == ("1", "3")
    assert re.search(r"\n +mlp 4 .*\n\*whole 1 ", page)


def test_a_run_without_a_log_shows_its_history(run, follower):
    (run.folder / "history.csv").write_text("stage,epoch,train_loss,val_loss,val_uar,best\nall,1,0.5,0.6,0.4,True\n")
    run.write("run.json", {"schema": 1, "seconds": 75.0})
    page = text(follower.look())
    assert "finished, 75 s" in page
    assert re.search(r"\*1 +0.500 +0.600 +0.400", page)


def test_a_run_that_trains_no_network_shows_what_there_is(run, follower):
    run.write("run.json", {"schema": 1, "seconds": 5.0})
    assert "no network was trained in it" in text(follower.look())


def test_long_trainings_are_kept_in_bounded_memory(run, follower):
    run.start()
    run.fit()
    for epoch in range(1, 501):
        run.epoch(epoch, best=epoch == 7)
    rows = follower.look().epochs
    assert len(rows) == 500
    whole = [row["epoch"] for row in rows if "val_arousal.mae" in row]
    assert whole == [7, *range(501 - FULL_ROWS, 501)]
    assert all("val_ccc" in row and "val_loss" in row for row in rows)


def test_text_of_a_run_does_nothing_to_the_terminal(run, follower):
    run.targets = ["[bold]calm[/bold]\x1b[2J", "b\nc"]
    run.write("started.json", {"command": "tra\x1b]0;x\x07in", "options": {"model": "[red]mlp"}})
    run.start(host="\x1b[31mnode")
    run.fit("fin\u202eal", stage="\x9b2J")
    run.progress(1, fit="fin\u202eal", stage="\x9b2J")
    run.epoch(1, fit="fin\u202eal")
    page = text(follower.look(), 300)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert "[bold]calm[/bold]\\u001b[2J, b\\nc" in page


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"time": 3}', "\0\0\n", '{"event": "epoch", "fit": "final"}\n'])
def test_files_of_anything_are_survived(run, follower, damage):
    run.start()
    run.fit()
    run.epoch(1)
    run.progress(3)
    for name in ("log.jsonl", "steps.csv", "history.csv"):
        with open(run.folder / name, "a") as file:
            file.write(damage)
    for name in ("progress.json", "started.json"):
        (run.folder / name).write_text(damage)
    assert "0.905" in text(follower.look())
    run.tell("start", targets={"a": 1}, host=["x"], pid="y", monitor=3)
    run.tell("epoch", fit="final", epoch="x", stage=None, best="perhaps", val_ccc="high", train_loss=[])
    run.tell("fit", fit="final", number="x", total=-1, monitor=None)
    run.progress(3, total="many", epochs=None, rows_per_second="fast", stage=None, batches=1e400)
    text(follower.look())


# --- On terminals of any size


@pytest.mark.parametrize("epochs", [0, 1, 2, 500])
@pytest.mark.parametrize("targets", [1, 30])
def test_nothing_is_wider_than_the_terminal_or_much_taller(tmp_path, epochs, targets):
    run = RunUnderWay(tmp_path / "run", targets=[f"target{n}" for n in range(targets)])
    run.start()
    run.fit(epochs=500)
    for epoch in range(1, epochs + 1):
        run.epoch(epoch, **({"val_ccc": None, "val_loss": None} if epoch % 3 else {}))
    run.progress(10 * epochs + 1, 5000)
    run.steps(2000)
    status = Follower(run.folder).look()
    for width, colour in itertools.product((20, 40, 80, 200), (False, True)):
        page = text(status, width, colour=colour)
        assert max(map(len, page.splitlines())) <= width
        assert len(text(status, width, 40, colour=colour).splitlines()) <= 40 + 8 * (width < 40)
        assert page.isascii() or colour


def test_with_thirty_targets_as_many_columns_stand_as_there_is_room_for(tmp_path):
    run = RunUnderWay(tmp_path / "run", targets=[f"target{n}" for n in range(30)])
    run.start()
    run.fit()
    run.epoch(1)
    page = text(Follower(run.folder).look(), 100)
    assert "target3 CCC" in page and "target4 CCC" not in page
    assert "* the best epoch so far; 57 more columns in its files" in page


# --- The command


def test_once_prints_plain_lines_and_json_one_of_them(affectkit, run):
    run.start()
    run.fit()
    run.epoch(1)
    run.progress(11)
    result = affectkit("watch", run.folder, "--once")
    assert result.stdout.startswith(f"{run.folder}  train mlp")
    assert result.stdout.isascii() and "\x1b" not in result.stdout
    assert affectkit("watch", run.folder).stdout == result.stdout  # as stdout is no terminal
    facts = json.loads(affectkit("watch", run.folder, "--json").stdout)
    assert facts["path"] == str(run.folder)
    assert (facts["state"], facts["epochs"], facts["targets"]) == ("running", 1, ["valence", "arousal"])
    assert facts["fit"]["epoch"] == 2 and facts["last"]["val_ccc"] == 0.01
    assert affectkit("watch", run.folder, "--once", "--quiet").stdout == f"{run.folder}\n"


def test_quiet_waits_for_the_end(affectkit, run, monkeypatch):
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            run.finish()

    monkeypatch.setattr(command.time, "sleep", sleep)
    assert affectkit("watch", run.folder, "--quiet", "--every", "5").stdout == f"{run.folder}\n"
    assert waited == [5.0] * 3


@pytest.mark.parametrize("leaves", [False, True])
def test_on_a_terminal_it_follows_until_the_end_or_ctrl_c(affectkit, run, monkeypatch, leaves):
    run.start()
    run.fit()
    screen, looks = StringIO(), []
    real = Console

    def console(**how):
        return real(**{"file": screen, "force_terminal": True, "width": 60, "height": 30, **how})

    def sleep(_):
        looks.append(1)
        if len(looks) == 3 and leaves:
            raise KeyboardInterrupt
        run.epoch(len(looks))
        if len(looks) == 3:
            run.finish()

    monkeypatch.setattr("rich.console.Console", console)
    monkeypatch.setattr(command.time, "sleep", sleep)
    result = affectkit("watch", run.folder)
    assert len(looks) == 3
    assert ("running" if leaves else "finished") in result.stdout
    assert screen.getvalue().startswith("\x1b[?1049h") and "\x1b[?1049l" in screen.getvalue()  # leaves no trace


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no such run folder"), ("file", "is a file"), ("bare", "it has no started.json")]
)
def test_what_is_no_run_is_one_line(affectkit, tmp_path, name, message):
    (tmp_path / "bare").mkdir()
    (tmp_path / "file").touch()
    assert message in affectkit("watch", tmp_path / name, code=1).stderr
    if name == "nowhere":
        page = affectkit("watch", tmp_path / name, "--wait", "--once").stdout
        assert "waiting for a run to begin here" in page
        assert not (tmp_path / name).exists()


def test_it_writes_nothing(affectkit, run):
    run.start()
    run.fit()
    run.epoch(1)
    before = {path.name: path.stat().st_mtime_ns for path in [run.folder, *run.folder.iterdir()]}
    affectkit("watch", run.folder, "--once")
    assert before == {path.name: path.stat().st_mtime_ns for path in [run.folder, *run.folder.iterdir()]}
