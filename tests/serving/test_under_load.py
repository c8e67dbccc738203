"""A service in a process of its own, on loopback, with few clients: load, overload, lost processes, the end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hostile import cases, wav
from serving_kit import process, refusal, status_of, wait_until

httpx = pytest.importorskip("httpx")
pytestmark = pytest.mark.processes
TONE = (0.3 * np.sin(np.arange(16000) / 5)).astype(np.float32)


@pytest.fixture(scope="module")
def served(models):
    """A process with all models, the acoustic one as the default, and one decoder: (process, address)."""
    folders = [f"{name}={models[name]}" for name in ("audio", "text", "fused", "table")]
    with process(*folders, AFFECTKIT_SERVE_DECODE_WORKERS=1) as (started, address):
        yield started, address


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
    found = []
    for child in children_of(process_id):
        with suppress(OSError):  # it has just ended
            found += [child] if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes() else []
    return found


def memory_of(process_id):
    """Resident megabytes of a process and all below it."""
    pages = 0
    for one in [process_id, *children_of(process_id)]:
        with open(f"/proc/{one}/statm") as file:
            pages += int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def gone(process_ids):
    return not any(Path(f"/proc/{one}").exists() for one in process_ids)


def analyze(address, content, timeout=120, **fields):
    return httpx.post(f"{address}/ser/analyze", files={"file": content}, data=fields, timeout=timeout)


def test_under_load_answers_are_those_of_predict_alone(served, models, clips, affectkit, tmp_path):
    """Every segment length, by eight clients at once, in batches of whoever comes."""
    pd = pytest.importorskip("pandas")
    expected, asked = {}, [(clip, ms) for clip in clips[:6] for ms in (8000, 900, 450)]
    for ms in (8000, 900, 450):
        words = ["--window", ms / 1000, "--on-error", "skip", "-o", tmp_path / f"{ms}.csv"]
        affectkit("predict", "--model-dir", models["audio"], *clips[:6], *words)
        table = pd.read_csv(tmp_path / f"{ms}.csv", keep_default_na=False)
        expected |= {(clip, ms): rows.filter(like="prob_").to_numpy(float) for clip, rows in table.groupby("clip")}
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda pair: analyze(served[1], pair[0].read_bytes(), segment_ms=pair[1]), asked))
    for (clip, ms), answer in zip(asked, answers, strict=True):
        parts = [part for part in answer.json()["segments"] if "error" not in part]
        said = np.array([list(part["probabilities"].values()) for part in parts])
        np.testing.assert_allclose(said, expected[clip.stem, ms], atol=1e-6)


@pytest.mark.slow
def test_overloaded_it_answers_or_refuses_and_nothing_grows(models, clips):
    """40 clients where four may be inside."""
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

    limits = {"AFFECTKIT_SERVE_QUEUE_ITEMS": 4, "AFFECTKIT_SERVE_DECODE_WORKERS": 1}
    with process(models["audio"], **limits) as (served, address), ThreadPoolExecutor(40) as clients:
        list(clients.map(ask, range(120)))  # until allocators have taken what they keep
        before = memory_of(served.pid)
        list(clients.map(ask, range(200)))
        grown = memory_of(served.pid) - before
        assert status_of(f"{address}/readyz") == 200
    assert statuses.keys() == {200, 429} and statuses[200] > 10
    assert grown < 100, grown  # MB; an arena of glibc is 64
    assert np.quantile(latencies, 0.99) < 10


def test_hostile_uploads_leave_memory_as_it_was(served, tmp_path):
    started, address = served
    for _ in range(3):
        assert analyze(address, wav(TONE)).status_code == 200
    before = memory_of(started.pid)
    for name, content, file_name, kind in [*cases(), *hours(tmp_path)]:
        answer = httpx.post(f"{address}/ser/analyze", files={"file": (file_name, content, kind)}, timeout=60)
        assert 400 <= answer.status_code < 500, (name, answer.text)
        refusal(answer, answer.status_code)
    refusal(endless(address), 413, "too_large")
    assert memory_of(started.pid) - before < 200
    assert analyze(address, wav(TONE)).status_code == 200


def hours(folder):
    """Eight hours of real Opus in 1.4 MB, where ffmpeg is installed."""
    if shutil.which("ffmpeg") is None:
        return
    how = ["-c:a", "libopus", "-b:a", "500", "-frame_duration", "120", "-compression_level", "0"]
    silence = ["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "28800"]
    subprocess.run(["ffmpeg", "-v", "error", *silence, *how, folder / "night.opus"], check=True)
    yield "8 real hours", (folder / "night.opus").read_bytes(), "a.opus", "audio/ogg"


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


def test_a_killed_decoder_is_replaced(served):
    started, address = served
    [decoder] = decoders_of(started.pid)
    os.kill(decoder, signal.SIGKILL)
    wait_until(lambda: "decoder_restarts_total 1.0" in httpx.get(f"{address}/metrics").text, 10, started)
    wait_until(lambda: status_of(f"{address}/readyz") == 200, 20, started)
    assert analyze(address, wav(TONE)).status_code == 200
    assert decoders_of(started.pid) not in ([], [decoder])


def test_clients_that_have_gone_are_not_answered(served):
    """In the midst of their body, or of their answer."""
    address = served[1]
    left = counted(address)
    with open_request(address, wav(TONE), "/ser/analyze") as (_, rest):
        assert rest
    with pytest.raises(httpx.TimeoutException):
        analyze(address, wav(np.tile(TONE, 60)), timeout=0.3, segment_ms=100)
    wait_until(lambda: counted(address) == left + 2, 20)
    assert 'status="500"' not in httpx.get(f"{address}/metrics").text
    assert analyze(address, wav(TONE)).status_code == 200


def counted(address):
    """Requests that were left by their clients."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if "requests_total" in line and 'status="499"' in line)


@contextmanager
def open_request(address, content, path):
    """A stream on which all of a request but its last half has been sent, and that half."""
    request = httpx.Request("POST", address + path, files={"file": content})
    body, (host, _, port) = request.read(), address.removeprefix("http://").partition(":")
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        stream.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body[: len(body) // 2])
        yield stream, body[len(body) // 2 :]


def test_on_sigterm_it_is_not_ready_answers_what_it_has_and_exits_with_0(models):
    with process(models["audio"]) as (served, address), open_request(address, wav(TONE), "/ser/analyze") as request:
        stream, rest = request
        decoders = decoders_of(served.pid)
        under_way = 'route="/ser/analyze"'
        assert decoders and under_way not in httpx.get(f"{address}/metrics").text
        os.kill(served.pid, signal.SIGTERM)
        wait_until(lambda: status_of(f"{address}/readyz") == 503, 10, served)
        refusal(analyze(address, wav(TONE)), 503, "draining")
        stream.sendall(rest)
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200") and b'"overall"' in answer
        assert served.wait(30) == 0 and gone(decoders)


def test_a_killed_worker_is_replaced_and_none_outlives_the_service(models):
    with process(f"audio={models['audio']}", "--workers", 2, AFFECTKIT_SERVE_DECODE_WORKERS=1) as (served, address):

        def workers():
            return {child for child in decoders_of(served.pid) if decoders_of(child)}

        wait_until(lambda: len(workers()) == 2, 30, served)
        first, *_ = before = workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(workers() - {first}) == 2, 60, served)
        wait_until(lambda: status_of(f"{address}/readyz") == 200, 30, served)
        for _ in range(4):
            assert analyze(address, wav(TONE)).status_code == 200
        everyone = {*before, *children_of(served.pid)}
        served.kill()  # its workers end by themselves
        wait_until(lambda: gone(everyone), 20)


def test_uvicorn_takes_the_application_from_the_environment(models):
    variables = {"SER_HF_MODEL_DIR": models["audio"], "TEXT_ENGINE": "lexicon"}
    with process(command=["uvicorn", "affectkit.serving.app:app"], **variables) as (served, address):
        health = httpx.get(f"{address}/health").json()
        assert health["serModel"] == "audio" and health["textModelReady"]
        decoders = decoders_of(served.pid)
        served.kill()
        wait_until(lambda: decoders and gone(decoders), 10)


@pytest.mark.slow
def test_schemathesis_finds_no_error_of_the_server(served, tmp_path):
    pytest.importorskip("schemathesis")
    command = ["schemathesis", "run", f"{served[1]}/openapi.json", "--checks", "not_a_server_error", "--seed", "0"]
    command += ["--max-examples", "15", "--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)  # it keeps a cache
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert status_of(f"{served[1]}/readyz") == 200
