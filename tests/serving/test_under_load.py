"""A service in a process of its own, on loopback, with few clients: load, overload, lost processes, the end."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile import cases, wav
from serving_kit import process, refusal, status_of, wait_until

httpx = pytest.importorskip("httpx")
pytestmark = pytest.mark.processes
TONE = (0.3 * np.sin(np.arange(16000) / 5)).astype(np.float32)


def children_of(process_id):
    """Ids of all processes below one."""
    table = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            table[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [child for child, parent in table.items() if parent == process_id]
    return found + [below for child in found for below in children_of(child)]


def decoders_of(process_id):
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children_of(process_id)}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def memory_of(process_id):
    """Resident megabytes of a process and all below it."""
    pages = 0
    for one in [process_id, *children_of(process_id)]:
        with open(f"/proc/{one}/statm") as file:
            pages += int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def analyze(address, content, timeout=120, **fields):
    return httpx.post(f"{address}/ser/analyze", files={"file": content}, data=fields, timeout=timeout)


def test_under_load_answers_are_those_of_predict_alone(models, clips, affectkit, tmp_path):
    """Every segment length, by eight clients at once, in batches of whoever comes."""
    pd = pytest.importorskip("pandas")
    expected, asked = {}, [(clip, ms) for clip in clips[:8] for ms in (8000, 900, 450)]
    for ms in (8000, 900, 450):
        words = ["--window", ms / 1000, "--on-error", "skip", "-o", tmp_path / f"{ms}.csv"]
        affectkit("predict", "--model-dir", models["audio"], *clips[:8], *words)
        table = pd.read_csv(tmp_path / f"{ms}.csv", keep_default_na=False)
        expected |= {(clip, ms): rows.filter(like="prob_").to_numpy(float) for clip, rows in table.groupby("clip")}
    with process(models["audio"]) as (_, address), ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda pair: analyze(address, pair[0].read_bytes(), segment_ms=pair[1]), asked))
    for (clip, ms), answer in zip(asked, answers, strict=True):
        parts = [part for part in answer.json()["segments"] if "error" not in part]
        said = np.array([list(part["probabilities"].values()) for part in parts])
        np.testing.assert_allclose(said, expected[clip.stem, ms], atol=1e-6)


def test_overloaded_it_answers_or_refuses_and_nothing_grows(models, clips):
    content, statuses, latencies = clips[0].read_bytes(), Counter(), []

    def ask(_):
        began = time.monotonic()
        answer = analyze(address, content)
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            refusal(answer, 429, "over_capacity")
        else:
            latencies.append(time.monotonic() - began)
        statuses[answer.status_code] += 1

    with (
        process(models["audio"], AFFECTKIT_SERVE_QUEUE_ITEMS=4) as (served, address),
        ThreadPoolExecutor(40) as clients,
    ):
        list(clients.map(ask, range(80)))
        before = memory_of(served.pid)
        list(clients.map(ask, range(400)))
        grown = memory_of(served.pid) - before
        assert status_of(f"{address}/readyz") == 200
    assert statuses.keys() == {200, 429} and statuses[200] > 20
    assert grown < 60, grown
    assert np.quantile(latencies, 0.99) < 5


def test_hostile_uploads_leave_memory_as_it_was(models):
    with process(models["audio"]) as (served, address):
        for _ in range(3):
            assert analyze(address, wav(TONE)).status_code == 200
        before = memory_of(served.pid)
        for name, content, file_name, kind in cases():
            answer = httpx.post(f"{address}/ser/analyze", files={"file": (file_name, content, kind)}, timeout=60)
            assert 400 <= answer.status_code < 500, (name, answer.text)
        refusal(endless(address), 413, "too_large")
        assert memory_of(served.pid) - before < 200
        assert analyze(address, wav(TONE)).status_code == 200


def endless(address):
    """A chunked body that never ends, of which 100 MB are taken at most."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as stream:
        head = "POST /ser/analyze HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        stream.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * (1 << 20)
        try:
            for _ in range(1000):
                stream.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                part = b"x" * (1 << 20)
        except OSError:
            pass
        answer = b""
        try:
            while block := stream.recv(65536):
                answer += block
        except OSError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    request_id = json.loads(body)["error"]["request_id"]
    return httpx.Response(int(head.split()[1]), content=body, headers={"x-request-id": request_id})


def test_a_killed_decoder_is_replaced(models):
    with process(models["audio"], AFFECTKIT_SERVE_DECODE_WORKERS=1) as (served, address):
        assert analyze(address, wav(TONE)).status_code == 200
        [decoder] = decoders_of(served.pid)
        os.kill(decoder, signal.SIGKILL)
        wait_until(lambda: "decoder_restarts_total 1.0" in httpx.get(f"{address}/metrics").text, 10, served)
        wait_until(lambda: status_of(f"{address}/readyz") == 200, 20, served)
        assert analyze(address, wav(TONE)).status_code == 200
        assert decoders_of(served.pid) not in ([], [decoder])


def test_on_sigterm_it_is_not_ready_answers_what_it_has_and_exits_with_0(models, clips):
    with process(models["audio"]) as (served, address), ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(analyze, address, clips[0].read_bytes(), segment_ms=50) for _ in range(6)]
        wait_until(lambda: "affectkit_waiting_rows 0.0" not in httpx.get(f"{address}/metrics").text, 20, served)
        decoders = decoders_of(served.pid)
        os.kill(served.pid, signal.SIGTERM)
        assert status_of(f"{address}/readyz") in (503, None)
        assert {answer.result().status_code for answer in asked} <= {200, 503}
        assert served.wait(30) == 0
        assert [one for one in decoders if Path(f"/proc/{one}").exists()] == []
    assert any(answer.result().status_code == 200 for answer in asked)


def test_a_killed_service_leaves_no_process_behind(models):
    with process(models["audio"]) as (served, _):
        decoders = decoders_of(served.pid)
        assert decoders
        served.kill()
        wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in decoders), 10)


def test_several_workers_share_an_address(models):
    with process(models["text"], "--workers", 2) as (served, address):
        for _ in range(4):
            answer = httpx.post(f"{address}/text/sentiment", json={"text": "so"}, timeout=30)
            assert answer.status_code == 200
        served.terminate()
        assert served.wait(40) == 0


def test_uvicorn_takes_the_application_from_the_environment(models):
    with process(command=["uvicorn", "affectkit.serving.app:app"], SER_HF_MODEL_DIR=models["audio"]) as (
        served,
        address,
    ):
        assert httpx.get(f"{address}/health").json()["serModel"] == "audio"
        served.terminate()
        assert served.wait(30) == 0


def test_clients_that_have_gone_are_not_answered(models):
    with process(models["audio"]) as (served, address):
        gone = threading.Thread(target=lambda: _give_up(address))
        gone.start()
        gone.join()
        wait_until(lambda: 'status="499"' in httpx.get(f"{address}/metrics").text, 20, served)
        assert analyze(address, wav(TONE)).status_code == 200


def _give_up(address):
    with pytest.raises(httpx.TimeoutException):
        analyze(address, wav(np.tile(TONE, 60)), timeout=0.3, segment_ms=100)


def test_schemathesis_finds_no_error_of_the_server(models):
    pytest.importorskip("schemathesis")
    folders = [f"{name}={folder}" for name, folder in models.items()]
    with process(*folders) as (_, address):
        command = ["schemathesis", "run", f"{address}/openapi.json", "--checks", "not_a_server_error", "--seed", "0"]
        command += ["--max-examples", "25", "--phases", "examples,coverage,fuzzing", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert status_of(f"{address}/readyz") == 200
