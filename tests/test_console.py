"""What is said while work goes on: a bar on a terminal, lines in a log, nothing with --quiet."""

import io
import json
import logging
import re
import sys
import time

import pytest

from affectkit import console
from affectkit.console import Outcome
from affectkit.plain import printable

NOTE = "epoch 3/12 loss .412 uar .61 38 samples/s"


class Terminal(io.StringIO):
    """A terminal of `width` columns, as far as rich asks."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def frames(self):
        """The lines that it showed, one after the other, without colours and movements of the cursor."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return [line for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.fixture
def terminal(monkeypatch):
    """`terminal(width)` stands in for stderr."""

    def open_terminal(width):
        made = Terminal()
        monkeypatch.setattr(sys, "stderr", made)
        for name, value in {"TERM": "xterm", "COLUMNS": str(width), "LINES": "25"}.items():
            monkeypatch.setenv(name, value)
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        return made

    return open_terminal


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds)` lets time pass for the log; it begins at 0."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        now[0] += seconds

    return sleep


@pytest.fixture(autouse=True)
def talkative(monkeypatch):
    monkeypatch.setattr(console, "_quiet", False)


def test_the_bar_shows_counts_time_left_and_the_note(terminal):
    screen = terminal(120)
    with console.progress("train") as progress:
        for done in range(1, 4):
            progress(done, 12, NOTE)
            time.sleep(0.01)  # the time left is measured
    last = screen.frames()[-1]
    assert re.fullmatch(rf"train [━╸╺ ]+ 3/12 0:00:0\d {re.escape(NOTE)} *", last), last


def test_the_bar_needs_no_note_and_forgets_the_last(terminal):
    screen = terminal(100)
    with console.progress("train") as progress:
        progress(1, 12, NOTE)
        progress(2, 12)
    assert re.search(r" 2/12 (0:00:0\d|-:--:--)$", screen.frames()[-1].rstrip())


@pytest.mark.parametrize("width", [60, 80])
def test_the_bar_keeps_to_one_line_of_a_narrow_terminal(terminal, width):
    screen = terminal(width)
    with console.progress("finetune") as progress:
        progress(100, 12000, NOTE)
    frames = screen.frames()
    assert all(len(frame) <= width for frame in frames)
    assert all(frame.startswith("finetune ") for frame in frames), "the note went over to another line"
    assert "100/12000" in frames[-1]
    assert re.search(r"epoch[^…]*…", frames[-1]), frames[-1]


def test_the_bar_takes_brackets_and_braces_as_they_are(terminal):
    screen = terminal(100)
    with console.progress("module:{x}[red]") as progress:
        progress(1, 2, "[bold]{note}[/]")
    assert screen.frames()[-1].startswith("module:{x}[red] ")
    assert "[bold]{note}[/]" in screen.frames()[-1]


def test_the_bar_is_gone_when_the_work_is_done(terminal):
    screen = terminal(100)
    with console.progress("train") as progress:
        progress(1, 2)
    assert screen.getvalue().rstrip("\r\n").endswith(("\x1b[2K", "\x1b[1A\x1b[2K"))  # moved up, line erased


def test_the_log_says_now_and_then_where_the_work_stands(capsys, clock):
    with console.progress("train") as progress:
        for done in range(1, 11):
            clock(10)
            progress(done, 100, NOTE)
    assert capsys.readouterr().err.splitlines() == [
        f"train: {done} of 100, about {left} to go; {NOTE}"
        for done, left in ((3, "16 min"), (6, "16 min"), (9, "15 min"))  # 10 s a step: 970, 940 and 910 s
    ]


def test_the_log_needs_no_note(capsys, clock):
    with console.progress("headers") as progress:
        clock(31)
        progress(1, 3)
    assert capsys.readouterr().err == "headers: 1 of 3, about 62 s to go\n"


def test_steps_of_the_run_before_take_no_time(capsys, clock):
    """500 of 1000 steps were found done; 10 more took 40 s, so that the other 490 take 1,960 s."""
    with console.progress("train") as progress:
        progress(500, 1000)
        clock(40)
        progress(510, 1000)
    assert capsys.readouterr().err == "train: 510 of 1000, about 33 min to go\n"


def test_a_first_step_that_comes_late_and_large_has_no_time_left(capsys, clock):
    with console.progress("encode") as progress:
        clock(40)
        progress(64, 640)
    assert capsys.readouterr().err == "encode: 64 of 640\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(31, "31 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (7200, "2 h 0 min"), (11100, "3 h 5 min")],
)
def test_the_time_left_in_few_words(capsys, clock, seconds, text):
    with console.progress("train") as progress:
        clock(seconds)  # for the first half
        progress(1, 2)
    assert capsys.readouterr().err == f"train: 1 of 2, about {text} to go\n"


def test_quiet_says_nothing(capsys, clock, monkeypatch):
    monkeypatch.setattr(console, "_quiet", True)
    with console.progress("train") as progress:
        clock(100)
        progress(1, 2, NOTE)
    assert capsys.readouterr().err == ""


HOSTILE = "calm\x1b[2J\x9b2J\x07\r\nerror: all is well\u2028\u202egnp\u2066\ttail\ud800"
SHOWN = r"calm\u001b[2J\u009b2J\u0007\r\nerror: all is well\u2028\u202egnp\u2066\ttail\ud800"


@pytest.mark.parametrize(
    "utter",
    [
        console.error,
        console.say,
        lambda text: logging.getLogger("affectkit.x").warning("%s", text),
        lambda text: console.show(Outcome(lines=[text])),
        lambda text: console.show(Outcome(warnings=[text])),
    ],
    ids=["error", "message", "log record", "line", "warning"],
)
def test_what_data_holds_does_not_act_on_the_terminal(capsys, utter):
    console.configure()
    utter(HOSTILE)
    assert capsys.readouterr().err.removeprefix("error: ").removeprefix("warning: ") == SHOWN + "\n"


def test_names_in_other_scripts_are_shown_as_they_are(capsys):
    console.say("Ärger 怒り غضب غضب\u200cغضب 👩\u200d🔬 \\n")
    assert capsys.readouterr().err == "Ärger 怒り غضب غضب\u200cغضب 👩\u200d🔬 \\n\n"


def test_progress_shows_names_of_data_as_text(terminal, capsys, clock):
    with console.progress(HOSTILE) as progress:
        clock(40)
        progress(1, 2, HOSTILE)
    assert capsys.readouterr().err == f"{SHOWN}: 1 of 2, about 40 s to go; {SHOWN}\n"
    screen = terminal(400)
    with console.progress(HOSTILE) as progress:
        progress(1, 2, HOSTILE)
    assert screen.getvalue().count(r"calm\u001b[2J") >= 2 and "calm\x1b" not in screen.getvalue()


def test_printed_json_keeps_the_values_and_is_one_line_of_text(capsys, tmp_path):
    console.configure(json_output=True)
    console.show(Outcome(tmp_path, {"class": HOSTILE}))
    console.configure()
    text = capsys.readouterr().out
    assert json.loads(text)["class"] == HOSTILE and printable(text.removesuffix("\n")) + "\n" == text


def test_a_warning_is_said_once_in_a_command_and_other_messages_as_often_as_they_come(capsys):
    for _ in range(2):  # commands
        console.configure()
        for _ in range(3):
            logging.getLogger("affectkit.fits").warning("all %d rows have one label", 4)
            logging.getLogger("affectkit.fits").info("fitted")
    assert capsys.readouterr().err.splitlines() == ["warning: all 4 rows have one label", *["fitted"] * 3] * 2


def test_a_very_long_error_keeps_its_file_and_its_remedy(capsys):
    console.error("a.pkl: holds " + "x" * 100_000 + "; download it again")
    said = capsys.readouterr().err
    assert said.startswith("error: a.pkl: holds xxx") and said.endswith("; download it again\n") and len(said) < 2_000
