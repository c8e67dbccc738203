"""The page in a browser that can reach nothing but this machine."""

import sys
import time
from pathlib import Path

import pytest
from serving_kit import process

sys.path.insert(0, str(Path(__file__).parents[1]))  # for browser
from browser import open_browser

from affectkit.artifacts.annotations import read_annotations

pytestmark = pytest.mark.processes


def test_a_file_and_a_recording_are_answered_in_the_browser(models, clips, tmp_path):
    labels = tmp_path / "labels.jsonl"
    words = (models["audio"], models["text"], "--feedback", labels)
    with open_browser(tmp_path / "profile") as browser, process(*words) as (_, address):
        tab = browser.tab()
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
            tab.screen(width, 900)
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
        tab.scheme("dark")
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

        asked = tab.requests()
        assert asked and all(url.startswith((address, "data:", "blob:", "about:")) for url in asked), asked
        assert [text for text in tab.logged() if "422" not in text] == []
