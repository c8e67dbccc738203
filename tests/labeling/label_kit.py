"""A queue, a page's server in this process behind a test client, and one in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager, suppress

import numpy as np
import soundfile

from affectkit.artifacts.annotations import open_journal

TONE = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)  # half a second at 16 kHz


def write_queue(folder, count=4, *, name="queue.csv", columns="", cells=""):
    """`queue.csv` of `count` recordings r1.wav, ..., each of its own length."""
    lines = ["id,path" + columns]
    for number in range(1, count + 1):
        soundfile.write(folder / f"r{number}.wav", TONE[: 8000 - number], 16000)
        lines.append(f"r{number},r{number}.wav" + cells)
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def write_texts(folder, count):
    (folder / "queue.csv").write_text("id,text\n" + "".join(f"r{n},text {n}\n" for n in range(1, count + 1)))
    return folder / "queue.csv"


@contextmanager
def opened(
    queue, journal=None, *, labels="angry,happy", scale=None, raters=1, token="", host="127.0.0.1", clock=None, **how
):
    """(client, desk) of a server in this process."""
    from starlette.testclient import TestClient

    from affectkit.labeling.app import create_app
    from affectkit.labeling.desk import Desk
    from affectkit.labeling.guard import Entrance
    from affectkit.labeling.queue import questions_of, read_queue

    rows = read_queue(queue)
    questions = questions_of(labels, scale, "label", [])
    with open_journal(journal or queue.with_name("labels.jsonl"), [q.target for q in questions], alone=True) as written:
        desk = Desk(rows, questions, written, raters=raters, **({"clock": clock} if clock else {}))
        app = create_app(desk, Entrance(host, 8002, token), **how)
        yield TestClient(app, f"http://{host}:8002", raise_server_exceptions=False), desk


def asked(client, annotator="ann", tab="t", count=1, holding=()):
    """The ids that a tab is given."""
    answer = client.get(
        "/api/next", params={"annotator": annotator, "tab": tab, "count": count, "holding": ",".join(map(str, holding))}
    )
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def answer(id, *, key=None, **more):
    """An answer, or one that is taken back; labels: label="angry"."""
    known = {name: more.pop(name) for name in ("comment", "seconds", "at", "undo") if name in more}
    return {"key": key or str(uuid.uuid4()), "id": id, "labels": more, **known}


def told(client, *answers, annotator="ann", tab="t", status=200):
    response = client.post("/api/answers", json={"annotator": annotator, "tab": tab, "answers": list(answers)})
    assert response.status_code == status, response.text
    return response.json()


@contextmanager
def process(queue, output, *words, environment=None, before=()):
    """`affectkit label` in a process of its own: (process, address, what it has said)."""
    line = [*before, sys.executable, "-m", "affectkit", "label", queue, "-o", output, "--port", "0", *words]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})}
    served = subprocess.Popen([*map(str, line)], env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = []
    try:
        for text in served.stderr:
            said.append(text)
            if found := re.search(r"http://\S+", text):
                threading.Thread(target=said.extend, args=(served.stderr,), daemon=True).start()
                yield served, found[0], said
                return
        raise AssertionError("".join(said))
    finally:
        with suppress(ProcessLookupError):
            served.send_signal(signal.SIGKILL)
        served.wait()
