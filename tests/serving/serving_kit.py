"""A service in this process behind a test client, or in a process of its own; and what every refusal is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress


@contextmanager
def opened(folders, variables=None, **limits):
    """A test client of a service in this process."""
    from starlette.testclient import TestClient

    from affectkit.serving.app import create_app
    from affectkit.serving.service import Service
    from affectkit.serving.settings import settings_of

    words = [f"{name}={folder}" for name, folder in folders.items()]
    settings = settings_of(words, variables or {}, **{"device": "cpu", "decode_workers": 1, **limits})
    with TestClient(create_app(Service.load(settings)), raise_server_exceptions=False) as client:
        client.headers["x-request-id"] = "test"
        yield client


@contextmanager
def process(*words, command=("affectkit", "serve"), timeout=90, **variables):
    """`affectkit serve` in a process of its own: (process, address). It is ended, if it has not ended by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "AFFECTKIT_SERVE_DEVICE": "cpu"}
    environment = {**os.environ, **known, **{name: str(value) for name, value in variables.items()}}
    line = [sys.executable, "-m", *command, *map(str, words), "--port", str(port)]
    served = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_until(lambda: status_of(f"http://127.0.0.1:{port}/readyz") == 200, timeout, served)
        yield served, f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(served.pid, signal.SIGKILL)  # its decoders and workers too, which would hold the pipe open
        served.communicate()


def wait_until(true, timeout, served=None):
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, "not in time"
        assert served is None or served.poll() is None, served.communicate()[0]
        time.sleep(0.05)


def status_of(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def refusal(response, status, code=None):
    """The one body of an error, checked."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message", "request_id", "details"}
    assert body["error"]["message"] and body["error"]["request_id"]
    assert response.headers["x-request-id"] == body["error"]["request_id"]
    assert code in (None, body["error"]["code"])
    assert "/tmp" not in json.dumps(body)
    return body["error"]
