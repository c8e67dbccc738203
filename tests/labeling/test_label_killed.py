"""`affectkit label` in processes of its own: killed at any moment, out of room on the disk, ended by signals."""

import json
import multiprocessing
import random
import signal
import socket
import threading
import time
import uuid
from collections import Counter
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")

from label_kit import process, write_texts

from affectkit.artifacts.annotations import counting, read_annotations
from affectkit.commands.label import label

LABELS, KILLS = 1000, 20


class Machine(threading.Thread):
    """Answers rows as the page does: what was not acknowledged is sent again, under the same keys."""

    def __init__(self, port, annotator, tab, rows, seed):
        super().__init__(daemon=True)
        self.port, self.who, self.tab, self.rows = port, annotator, tab, rows
        self.random = random.Random(seed)
        self.acknowledged, self.sent, self.failures, self.problem = [], {}, 0, None

    def run(self):
        rows = list(self.rows)
        while rows:
            some, rows = rows[:3], rows[3:]
            answers = [
                {"key": str(uuid.uuid4()), "id": row, "labels": {"label": self.random.choice("ab")}} for row in some
            ]
            self.sent |= {each["key"]: (each["id"], each["labels"]["label"]) for each in answers}
            while answers:
                answer = self.ask({"annotator": self.who, "tab": self.tab, "answers": answers})
                if answer is None:
                    self.failures += 1
                    time.sleep(0.01)
                    continue
                if answer["refused"]:
                    self.problem = answer
                    return
                self.acknowledged += answer["written"]
                answers = [each for each in answers if each["key"] not in answer["written"]]

    def ask(self, body):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", "/api/answers", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return json.loads(response.read()) if response.status == 200 else None
        except (OSError, HTTPException, ValueError):  # killed before, in the midst of it, or after
            return None
        finally:
            connection.close()


@pytest.mark.processes
def test_no_acknowledged_label_is_lost_or_doubled_by_twenty_kills(tmp_path):
    """Forked from a process that has imported everything: what is killed is the server, not Python's start."""
    queue, journal = write_texts(tmp_path, LABELS // 2), tmp_path / "labels.jsonl"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["affectkit.labeling.app", "affectkit.commands.label", "pandas", "pyarrow.csv", "uvicorn"]
    )
    rows = [f"r{number}" for number in range(1, LABELS // 2 + 1)]
    machines = [Machine(port, who, who, rows, seed) for seed, who in enumerate(["ann", "bob"])]
    chance, kills, served = random.Random(0), 0, None

    def start():
        server = context.Process(
            target=label, args=(queue, journal), kwargs={"labels": "a,b", "raters": 2, "port": port}
        )
        server.start()
        return server

    served = start()
    for machine in machines:
        machine.start()
    try:
        while kills < KILLS:
            done = sum(len(machine.acknowledged) for machine in machines)
            wanted = (kills + chance.random()) * LABELS / (KILLS + 1)
            until = time.monotonic() + 20
            while done < wanted and time.monotonic() < until:
                time.sleep(0.001)
                done = sum(len(machine.acknowledged) for machine in machines)
            time.sleep(chance.random() * 0.01)
            assert served.is_alive() and time.monotonic() < until
            served.kill()
            served.join()
            kills += 1
            served = start()
        for machine in machines:
            machine.join(30)
    finally:
        served.kill()
        served.join()
    assert not any(machine.is_alive() or machine.problem for machine in machines), [
        machine.problem for machine in machines
    ]
    assert sum(machine.failures for machine in machines) >= KILLS  # they were killed while somebody was answering
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert Counter(line["key"] for line in lines if "key" in line).most_common(1)[0][1] == 1
    written = read_annotations(journal)
    known = {each.key: (each.id, each.labels["label"]) for each in written.given}
    for machine in machines:
        assert len(machine.acknowledged) == len(set(machine.acknowledged)) == LABELS // 2
        assert {key: known[key] for key in machine.acknowledged} == machine.sent
    assert len(known) == len(counting(written.given)) == LABELS


def post(address, *answers):
    connection = HTTPConnection("127.0.0.1", urlsplit(address).port, timeout=10)
    body = json.dumps({"annotator": "ann", "tab": "t", "answers": answers})
    connection.request("POST", "/api/answers", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.processes
def test_a_disk_that_is_full_takes_nothing_and_says_so_and_later_takes_it(tmp_path):
    """A limit on file size stands in for it; a second process, without the limit, goes on."""
    queue, journal = write_texts(tmp_path, 5), tmp_path / "labels.jsonl"
    answers = [{"key": f"k{n}", "id": f"r{n}", "labels": {"label": "a"}, "comment": "c" * 2000} for n in range(1, 6)]
    with process(queue, journal, "--labels", "a,b", before=("prlimit", "--fsize=5000")) as (served, address, said):
        statuses = [post(address, each)[0] for each in answers]
        assert statuses == [200, 200, 507, 507, 507] and served.poll() is None
        assert [each.key for each in read_annotations(journal).given] == ["k1", "k2"]
        served.send_signal(signal.SIGTERM)
        assert served.wait(10) == 0
        time.sleep(0.1)
        assert "cannot be written: file too large" in "".join(said).lower() and "Traceback" not in "".join(said)
    with process(queue, journal, "--labels", "a,b") as (_, address, _said):
        status, told = post(address, *answers)
        assert (status, told["written"]) == (200, ["k1", "k2", "k3", "k4", "k5"])
    assert [each.key for each in read_annotations(journal).given] == ["k1", "k2", "k3", "k4", "k5"]


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace_and_a_second_process_is_refused_meanwhile(tmp_path, affectkit, number):
    queue, journal = write_texts(tmp_path, 3), tmp_path / "labels.jsonl"
    with process(queue, journal, "--labels", "a,b") as (served, address, said):
        with socket.create_connection(("127.0.0.1", urlsplit(address).port)):  # a connection that nobody uses
            assert (
                post(address, {"key": "k", "id": "r1", "labels": {"label": "a"}})[0] == 200
            )  # beside an idle connection
            busy = affectkit("label", queue, "-o", journal, "--labels", "a,b", "--port", 0, code=1)
            assert "another process is writing here" in busy.output
            served.send_signal(number)
            assert served.wait(10) == 0
        assert served.stdout.read() == f"{journal}\n"
        time.sleep(0.1)
        assert "1 of 3 rows labelled by 1 people" in "".join(said) and "Traceback" not in "".join(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.jsonl", "queue.csv"]
