"""The page in a browser that can reach nothing but this machine."""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest
from serving_kit import process

from affectkit.artifacts.annotations import read_annotations

pytestmark = pytest.mark.processes
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--window-size=1000,1100",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking",
)  # fmt: skip


class Browser:
    """A tab, told what to do by the DevTools protocol over two pipes."""

    def __init__(self, write, read):
        self.write, self.read, self.number, self.events, self.session = write, read, 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.write.write(json.dumps(message).encode() + b"\0")
        self.write.flush()
        while True:
            text = b""
            while (byte := self.read.read(1)) != b"\0":
                assert byte, "the browser has ended"
                text += byte
            answer = json.loads(text)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def run(self, script):
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script, seconds=30):
        until = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < until, (script, self.run("document.getElementById('status').textContent"))
            time.sleep(0.1)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9)

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder):
    """Chromium, which takes its orders from descriptor 3 and answers on 4."""
    orders, order = os.pipe()
    answer, answers = os.pipe()

    def place():
        os.dup2(orders, 103)
        os.dup2(answers, 104)
        os.dup2(103, 3)
        os.dup2(104, 4)

    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(command, preexec_fn=place, close_fds=False, **quiet)
    os.close(orders)
    os.close(answers)
    try:
        with os.fdopen(order, "wb") as write, os.fdopen(answer, "rb", buffering=0) as read:
            yield Browser(write, read)
    finally:
        started.kill()
        started.wait()


def test_a_file_and_a_recording_are_answered_in_the_browser(models, clips, tmp_path):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    labels = tmp_path / "labels.jsonl"
    words = (models["audio"], models["text"], "--feedback", labels)
    with process(*words) as (_, address), browser(tmp_path / "profile") as tab:
        tab.call("Page.navigate", url=address)
        tab.wait("document.querySelectorAll('#model option').length === 2")
        node = tab.call("DOM.querySelector", nodeId=tab.call("DOM.getDocument")["root"]["nodeId"], selector="#file")
        tab.run("document.getElementById('segment').value = 300")
        tab.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(clips[0])])
        tab.wait("document.getElementById('headline').textContent")
        assert tab.run("document.querySelectorAll('#lines path').length") == 7
        drawn = tab.run("document.getElementById('lines').textContent")
        assert "time in seconds" in drawn and "probability" in drawn
        for width in (390, 1000):  # letters of the chart have one size on any screen
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            tab.call("Emulation.setDeviceMetricsOverride", **metrics)
            tab.wait("document.querySelector('#lines text').getBoundingClientRect().height > 11")
        assert tab.run("document.querySelectorAll('#table tbody tr').length") > 3
        assert "%" in tab.run("document.getElementById('status').textContent")  # what a screen reader says
        tab.run("document.getElementById('player').currentTime = 0.5")
        tab.wait("document.querySelectorAll('tr[aria-current]').length === 1")
        tab.run("document.querySelector('#corrections select').value = 'fear'")
        tab.run("document.getElementById('annotator').value = '<b>ann'")
        tab.picture(tmp_path / "light.png")
        tab.run("document.querySelector('#correct button').click()")
        tab.wait("document.getElementById('status').textContent.startsWith('The correction is kept')")
        [given] = read_annotations(labels).given
        assert (given.id, given.annotator, given.labels) == (clips[0].stem, "<b>ann", {"label": "fear"})
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
        tab.picture(tmp_path / "dark.png")

        tab.run("document.getElementById('headline').textContent = ''")
        tab.run("document.getElementById('record').click()")
        tab.wait("document.getElementById('record').textContent === 'Stop'")
        time.sleep(1.5)
        tab.run("document.getElementById('record').click()")
        tab.wait("document.getElementById('headline').textContent")

        bad = tmp_path / "bad.wav"
        bad.write_bytes(b"no sound")
        tab.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(bad)])
        tab.wait("document.getElementById('status').textContent.startsWith('No answer: is not audio')")
        assert tab.run("document.getElementById('result').hidden")  # of the file before

        reached = []
        tab.run("document.body.focus(), document.activeElement.blur()")
        for _ in range(12):
            tab.press("Tab")
            reached.append(tab.run("document.activeElement.id"))
        assert {"model", "segment", "file", "record"} <= set(reached), reached

        asked = [e["params"]["request"]["url"] for e in tab.events if e["method"] == "Network.requestWillBeSent"]
        assert asked and all(url.startswith((address, "data:", "blob:", "about:")) for url in asked), asked
        wrong = [e["params"]["entry"]["text"] for e in tab.events if e["method"] == "Log.entryAdded"]
        assert [text for text in wrong if "422" not in text] == []
