"""A headless Chromium that reaches nothing but this machine, told what to do by the DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--window-size=1000,1100", "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking",
)  # fmt: skip
DOMAINS = ("Page", "Network", "Runtime", "DOM", "Log")
TEXTS = {"Enter": "\r", "Space": " "}
CODES = {"Enter": 13, "Space": 32, "Backspace": 8, "Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38,
         "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}  # fmt: skip
SHIFT = 8


class Browser:
    """Its two pipes. Tabs share them, and each keeps the events that are of itself."""

    def __init__(self, write, read):
        self.write, self.read, self.number, self.rest, self.tabs = write, read, 0, b"", {}

    def ask(self, method, session=None, **parameters):
        """The answer, which may be an "error"."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.write.write(json.dumps({**message, **({"sessionId": session} if session else {})}).encode() + b"\0")
        self.write.flush()
        while (answer := self.next()).get("id") != self.number:
            pass
        return answer

    def call(self, method, session=None, **parameters):
        answer = self.ask(method, session, **parameters)
        assert "error" not in answer, answer
        return answer["result"]

    def next(self):
        while b"\0" not in self.rest:
            more = os.read(self.read.fileno(), 1 << 20)
            assert more, "the browser has ended"
            self.rest += more
        text, _, self.rest = self.rest.partition(b"\0")
        answer = json.loads(text)
        if answer.get("sessionId") in self.tabs and "method" in answer:
            self.tabs[answer["sessionId"]].events.append(answer)
        return answer

    def tab(self, url="about:blank", context=None):
        """A new tab. context: of `context()`; tabs of one share what pages store."""
        return Tab(self, url, context)

    def context(self):
        return self.call("Target.createBrowserContext")["browserContextId"]


class Tab:
    def __init__(self, browser, url, context):
        self.browser, self.events, self.session = browser, [], None
        of = {"browserContextId": context} if context else {}
        self.target = browser.call("Target.createTarget", url="about:blank", **of)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.tabs[self.session] = self
        for domain in DOMAINS:
            self.call(f"{domain}.enable")
        if url != "about:blank":
            self.call("Page.navigate", url=url)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def reload(self):
        self.run("window.before = true")
        self.call("Page.reload")
        self.wait("!window.before && document.readyState === 'complete'")

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
        del self.browser.tabs[self.session]

    def evaluate(self, script):
        told = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        return self.browser.ask("Runtime.evaluate", self.session, expression=script, **told)

    def run(self, script):
        answer = self.evaluate(script)
        assert "exceptionDetails" not in answer.get("result", {"exceptionDetails": 1}), answer
        return answer["result"]["result"].get("value")

    def wait(self, script, seconds=30):
        """Until it is true; an element is, and what fails, as on a page that is still loading, is not."""
        until = time.monotonic() + seconds
        while True:
            result = self.evaluate(f"(value => value instanceof Node || value)({script})").get("result", {})
            if "exceptionDetails" not in result and (value := result.get("result", {}).get("value")):
                return value
            assert time.monotonic() < until, (script, self.run("document.body.innerText")[:1000])
            time.sleep(0.02)

    def press(self, key, shift=False):
        """A key by its name, or by the letter that it gives."""
        text = TEXTS.get(key, key if len(key) == 1 else "")
        told = {"key": text if key == "Space" else key, "code": key, "modifiers": SHIFT if shift else 0}
        told["windowsVirtualKeyCode"] = CODES.get(key, ord(key.upper()[0]))
        self.call(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            **told,
            **({"text": text} if text else {}),
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def box(self, selector):
        """Where an element is: (left, top, width, height), in pixels of the window."""
        script = (
            "(e => { e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })"
        )
        return self.run(f"{script}(document.querySelector({json.dumps(selector)}))")

    def click(self, selector, right=0.5, down=0.5):
        """At a part of an element's width and of its height."""
        left, top, width, height = self.box(selector)
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": left + right * width, "y": top + down * height, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screen(self, width, height, mobile=False, scale=1):
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def scheme(self, name):
        """ "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def logged(self):
        """What the browser found wrong: its log, and errors of scripts that nothing caught."""
        entries = [e["params"]["entry"]["text"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"]["exceptionDetails"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return entries + [str(each.get("exception", each)) for each in thrown]

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def open_browser(folder):
    """Chromium, with its profile in a folder. It takes its orders from descriptor 3 and answers on 4."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
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
