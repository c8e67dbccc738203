"""A real Label Studio takes our tasks, serves our files and gives back what was answered.

AFFECTKIT_LABEL_STUDIO names its executable, of an environment of its own: python3 -m venv DIR && DIR/bin/pip install
label-studio. It makes a database when it starts, which takes a minute.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectkit.artifacts.exchange import read_labels
from affectkit.labels import Target

pytestmark = pytest.mark.slow

MOOD = Target("label", "class", ('an"gry & <b>', "joy"))
VALENCE, STRESS = Target("valence", "number", scale=(-1.0, 1.0)), Target("stress", "number", scale=(1.0, 5.0))
TOKEN, PATIENCE = "0123456789abcdef0123456789abcdef01234567", 300  # seconds to start


class Server:
    """Label Studio on loopback, and its API."""

    def __init__(self, executable, folder, root):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        served = {"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true", "COLLECT_ANALYTICS": "false",
                  "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root), "LATEST_VERSION_CHECK": "false"}  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        who = ["--username", "ann@example.org", "--password", "not-a-secret-1", "--user-token", TOKEN]
        line = [executable, "start", "--no-browser", "--data-dir", folder, "--internal-host", "127.0.0.1"]
        self.log = open(folder.with_suffix(".log"), "w+")  # noqa: SIM115  as long as the process
        self.process = subprocess.Popen(
            [*map(str, line), "--port", str(port), *who, "--enable-legacy-api-token"],
            env={**kept, **served}, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True, cwd=root,
        )  # fmt: skip
        self.address = f"http://127.0.0.1:{port}"

    def wait(self):
        for _ in range(PATIENCE):
            time.sleep(1)
            try:
                return self.fetch("/health")
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.said()
        raise AssertionError(f"not there after {PATIENCE} s: {self.said()}")

    def said(self):
        self.log.seek(0)
        return self.log.read()[-2000:]

    def fetch(self, path, data=None, method="GET"):
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def ask(self, path, data=None, method=None):
        try:
            return json.loads(self.fetch(path, data, method or ("GET" if data is None else "POST")))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()[:2000]}") from None

    def end(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four recordings, one of them a stretch, that a model says something of."""
    root = tmp_path_factory.mktemp("media")
    (root / "wav").mkdir()
    rows, answers = [], []
    for number in range(4):
        name = f"wav/t {number} & ö.wav"
        soundfile.write(root / name, 0.1 * np.sin(np.arange(8000) * (number + 1) / 20), 8000)
        start, end = (0.25, 0.75) if number == 1 else ("", "")
        rows.append({"id": f"r{number}", "path": name, "text": f"text <{number}>", "label": "", "split": "train",
                     "start_sec": start, "end_sec": end})  # fmt: skip
        p = 0.5 + number / 10
        answers.append({"id": f"r{number}", "seen": "heldout", f"prob_{MOOD.classes[0]}": p, "prob_joy": 1 - p,
                        "valence_pred": number / 4, "stress_pred": 1 + number})  # fmt: skip
    pd.DataFrame(rows).to_csv(root / "train.csv", index=False)
    targets = [target.to_json() for target in (MOOD, VALENCE, STRESS)]
    frame = pd.DataFrame(rows).assign(valence="", stress="")
    frame.to_csv(root / "train.csv", index=False)
    (root / "summary.json").write_text(json.dumps({"schema": 1, "targets": targets}))
    pd.DataFrame(answers).to_csv(root / "answers.csv", index=False)
    return root


@pytest.fixture(scope="module")
def server(study, tmp_path_factory):
    executable = os.environ.get("AFFECTKIT_LABEL_STUDIO")
    if not executable:
        pytest.skip("AFFECTKIT_LABEL_STUDIO is not set: there is no Label Studio here")
    server = Server(executable, tmp_path_factory.mktemp("label-studio"), study)
    try:
        server.wait()
        yield server
    finally:
        server.end()


def result(control, kind, value):
    return {"from_name": control, "to_name": "audio", "type": kind, "value": value}


def test_a_real_label_studio_asks_about_a_queue_and_gives_back_the_answers(affectkit, study, server, tmp_path):
    queue = tmp_path / "queue.json"
    line = ("query", study / "answers.csv", "-m", study / "train.csv", "-n", 4, "--document-root", study)
    affectkit(*line, "--show-predictions", "-o", queue)
    configuration, tasks = (tmp_path / "queue.xml").read_text(), json.loads(queue.read_text())
    project = server.ask("/api/projects", {"title": "affectkit", "label_config": configuration})
    number = project["id"]
    told = server.ask(f"/api/projects/{number}/import", tasks)
    assert (told["task_count"], told["prediction_count"]) == (4, 4)

    # What is to be seen: media, text, and what is filled in beforehand.
    there = {task["data"]["row_id"]: task for task in server.ask(f"/api/tasks?project={number}&fields=all")["tasks"]}
    assert {name: task["data"] for name, task in there.items()} == {t["data"]["row_id"]: t["data"] for t in tasks}
    for task in tasks:
        [prediction] = there[task["data"]["row_id"]]["predictions"]
        assert (prediction["model_version"], prediction["result"]) == (
            str(study / "answers.csv"), task["predictions"][0]["result"]
        )  # fmt: skip
        assert prediction["score"] == pytest.approx(task["predictions"][0]["score"])
    assert [each["from_name"] for each in there["r1"]["predictions"][0]["result"]] == [
        "region", "label", "valence", "stress"
    ]  # fmt: skip
    server.ask("/api/storages/localfiles", {"project": number, "path": str(study / "wav"), "use_blob_urls": True})
    for name, task in there.items():
        assert server.fetch(task["data"]["audio"]) == (study / f"wav/t {name[1:]} & ö.wav").read_bytes()

    # What people answer: all, a part with a comment, nothing; and one who thinks again.
    def answer(name, *results, **more):
        return server.ask(f"/api/tasks/{there[name]['id']}/annotations/", {"result": list(results), **more})

    full = [result("label", "choices", {"choices": [MOOD.classes[0]]}), result("valence", "number", {"number": -0.5}),
            result("stress", "rating", {"rating": 4})]  # fmt: skip
    answer("r0", *full, lead_time=3.25)
    note = result("comment", "textarea", {"text": ['what\n"ever" <b>']})
    answer("r1", *there["r1"]["predictions"][0]["result"][:1], result("valence", "number", {"number": 1}), note)
    answer("r2", was_cancelled=True)
    first = answer("r3", result("label", "choices", {"choices": ["joy"]}))
    changed = {"result": [result("label", "choices", {"choices": [MOOD.classes[0]]})]}
    server.ask(f"/api/annotations/{first['id']}/", changed, "PATCH")

    expected = {
        "r0": ({"label": MOOD.classes[0], "valence": -0.5, "stress": 4}, "", 3.25),
        "r1": ({"valence": 1}, 'what\n"ever" <b>', None),
        "r2": ({}, "", None),
        "r3": ({"label": MOOD.classes[0]}, "", None),
    }
    targets = [MOOD, VALENCE, STRESS]
    for form, rows in (("JSON", ["r0", "r1", "r2", "r3"]), ("JSON_MIN", ["r0", "r1", "r3"])):
        path = tmp_path / f"{form}.json"
        path.write_bytes(server.fetch(f"/api/projects/{number}/export?exportType={form}&download_all_tasks=true"))
        found = read_labels(path, targets)
        assert {each.id: (dict(each.labels), each.comment, each.seconds) for each in found.given} == {
            name: expected[name] for name in rows
        }
        assert {each.annotator for each in found.given} == {"1"} and all(each.at for each in found.given)
        assert found.targets == {target.name: target for target in targets}
