"""The command line of `affectkit label`: what it asks for, and mistakes of who starts it."""

import json
import socket
import sys

import pytest

pytest.importorskip("fastapi")

from label_kit import answer, told, write_texts

from affectkit.artifacts.annotations import open_journal
from affectkit.errors import AffectkitError
from affectkit.labeling.app import control
from affectkit.labeling.queue import questions_of
from affectkit.labels import Target


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: pytest.fail("it serves"))


# --- What is asked


@pytest.mark.parametrize(
    ("text", "kind", "low", "high", "step"),
    [
        ("stress=1:5", "points", 1, 5, 1),
        ("stress=0:10", "points", 0, 10, 1),
        ("stress=1:3", "points", 1, 3, 1),
        ("v=-1:1", "scale", -1, 1, 0.02),
        ("v=0:1", "scale", 0, 1, 0.01),
        ("v=0:100", "scale", 0, 100, 1),
        ("v=0:1:.25", "scale", 0, 1, 0.25),
        ("v=-3:3:1", "points", -3, 3, 1),
        ("v=1:5:.5", "scale", 1, 5, 0.5),
    ],
)
def test_a_scale_is_points_or_a_range(text, kind, low, high, step):
    [question] = questions_of(None, text, "label", [])
    made = control(question)
    assert (made["kind"], made["low"], made["high"], made["step"]) == (kind, low, high, pytest.approx(step))


@pytest.mark.parametrize(
    "text",
    ["", " , ", "stress", "stress=", "stress=1", "stress=1:", "stress=5:1", "stress=1:1", "stress=a:b", "=1:5",
     "a=1:5:0", "stress=1:5:9", "stress=nan:1", "stress=0:inf", "stress=0:1e300", "stress=1:5:1:1", "a/b=1:5",
     "a=1:5,a=1:5", "label=1:5"],
)  # fmt: skip
def test_a_scale_that_is_none_is_one_line(affectkit, tmp_path, text):
    queue = write_texts(tmp_path, 1)
    words = ["label", queue, "-o", tmp_path / "l.jsonl", "--port", 0, "--labels", "a,b", "--scale", text]
    result = affectkit(*words, code=1 if text.startswith("a/b") else 2)
    [line] = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert "; " in line
    assert not (tmp_path / "l.jsonl").exists()


@pytest.mark.parametrize("text", ["", ",", "a,b,a", " a ,a", "a,b\x1b[2J", "a,\u202eb"])
def test_classes_that_are_none_or_doubled_are_one_line(affectkit, tmp_path, text):
    words = ["label", write_texts(tmp_path, 1), "-o", tmp_path / "l.jsonl", "--port", 0, "--labels", text]
    said = affectkit(*words, code=2).output
    assert "error: --labels" in said and "; name " in said.replace("; write", "; name") and "\x1b" not in said


def test_fifty_classes_and_those_that_the_queue_predicts(tmp_path):
    many = ",".join(f"class {n}" for n in range(50))
    assert len(questions_of(many, None, "label", [])[0].target.classes) == 50
    columns = ["id", "path", "prob_sad", "prob_angry", "mood_prob_low", "mood_prob_high", "mood_pred"]
    assert questions_of(None, None, "label", columns)[0].target.classes == ("sad", "angry")
    assert questions_of(None, None, "mood", columns)[0].target == Target("mood", "class", ("low", "high"))
    with pytest.raises(AffectkitError, match="write --labels"):
        questions_of(None, None, "age", columns)


# --- Who starts it


QUEUES = {
    "no id": ("path\na.wav\n", "has no column 'id'"),
    "doubled ids": ("id,path\na,a.wav\na,b.wav\n", "stands already in"),
    "an empty id": ("id,path\n,a.wav\n", "the id is empty"),
    "neither path nor text": ("id,label\na,angry\n", "has neither a column 'path' nor 'text'"),
    "no rows": ("id,path\n", "has no rows"),
    "nothing": ("", "is empty"),
    "no UTF-8": (b"id,text\na,\xe4\n", "is not UTF-8"),
    "times that are none": ("id,path,start_sec\na,a.wav,soon\n", "start_sec"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "NUL bytes"),
}


@pytest.mark.parametrize("what", QUEUES)
def test_a_queue_that_is_none_is_one_line(affectkit, tmp_path, what):
    content, why = QUEUES[what]
    (tmp_path / "q.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = affectkit("label", tmp_path / "q.csv", "-o", tmp_path / "l.jsonl", "--labels", "a", "--port", 0, code=1)
    [line] = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert why in line and "q.csv" in line
    assert not (tmp_path / "l.jsonl").exists()


def test_mistakes_of_who_starts_it_are_one_line_each(affectkit, tmp_path, monkeypatch):
    queue = write_texts(tmp_path, 2)
    words = ["label", queue, "-o", tmp_path / "l.jsonl", "--port", 0]
    assert "no such" in affectkit("label", tmp_path / "none.csv", *words[2:], "--labels", "a", code=1).output
    assert "nothing says what is to be answered; write --labels" in affectkit(*words, code=2).output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = affectkit(*words, "--labels", "a", "--port", taken.getsockname()[1], code=2).output
    assert "cannot listen on 127.0.0.1" in said and "--port" in said
    assert "--host" in affectkit(*words, "--labels", "a", "--host", "nowhere.invalid", code=2).output
    with open_journal(tmp_path / "l.jsonl", [Target("label", "class", ("a", "b"))]):
        assert "another process is writing here" in affectkit(*words, "--labels", "a,b", code=1).output
    assert "has labels of label with a, b" in affectkit(*words, "--labels", "a,c", code=1).output
    said = affectkit(*words, "--labels", "a,b", "--scale", "v=-1:1", code=1).output
    assert "has labels of label, not of label, v; ask for the same ones" in said
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 1
    (tmp_path / "folder").mkdir()
    assert "is a folder" in affectkit(*words[:3], tmp_path / "folder", *words[4:], "--labels", "a", code=1).output
    assert "error: " in affectkit(*words[:3], queue, *words[4:], "--labels", "a", code=1).output  # not over the queue
    assert queue.read_text().startswith("id,text")
    for name in (" ", "\x1b[2J", "a" * 201):
        assert "--annotator: a name has" in affectkit(*words, "--labels", "a", "--annotator", name, code=2).output
    monkeypatch.setenv("AFFECTKIT_LABEL_TOKEN", "short")
    assert "AFFECTKIT_LABEL_TOKEN is too short" in affectkit(*words, "--labels", "a", code=2).output
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "affectkit[serve]" in affectkit(*words, "--labels", "a", code=1).output


def test_an_answer_does_not_wait_for_an_acknowledgement_of_its_first_half():
    from affectkit.web import listen

    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        taken, _ = listening.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_command_says_where_to_go_and_in_the_end_what_was_done(affectkit, tmp_path, monkeypatch):
    from starlette.testclient import TestClient

    queue, seen = write_texts(tmp_path, 3), []

    def served(server, sockets):
        port = sockets[0].getsockname()[1]
        client = TestClient(server.config.app, f"http://127.0.0.1:{port}")
        seen.append((port, client.get("/").text))
        told(client, answer("r1", label="<happy>"), answer("r2"))
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", served)
    words = ["label", queue, "-o", tmp_path / "new/l.jsonl", "--port", 0, "--annotator", "Ann <i>"]
    result = affectkit(*words, "--labels", "angry,<happy>")
    [(port, page)] = seen
    assert f"3 rows to label at http://127.0.0.1:{port}/" in result.stderr
    assert "1 of 3 rows labelled by 1 people" in result.stderr
    assert result.stdout == f"{tmp_path / 'new/l.jsonl'}\n"
    assert "<happy>" not in page and "Ann <i>" not in page and "Ann \\u003ci\\u003e" in page
    facts = json.loads(affectkit(*words, "--labels", "angry,<happy>", "--json").stdout)
    assert facts["answers"] == 4 and facts["labelled"] == 1
