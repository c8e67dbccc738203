"""The page of `affectkit label` in a browser: what people do there, and what becomes of it when something breaks."""

import json
import os
import re
import signal
import socket
import statistics
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("fastapi")

import numpy as np
import soundfile
from label_kit import process, write_texts
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # for browser
from browser import open_browser

from affectkit.artifacts.annotations import open_journal, read_annotations

pytestmark = pytest.mark.processes
ROWS = 100_000
MINUS = "\N{MINUS SIGN}"
BREAK = 0.13  # seconds: the page takes no answer to an item that it has just begun to show
HOSTILE = "<img src=x onerror=owned=1>\x1b[31m</script><script>owned=1</script>&lt;b&gt;"
OFFLINE = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}

# When the first item is on the screen, and how long after a key the next one is: up to the frame that shows it.
WATCH = """
window.spans = [];
addEventListener("keydown", ({timeStamp}) => {
  const before = document.querySelector(".content");
  requestAnimationFrame(() => requestAnimationFrame(() => {
    if (document.querySelector(".content") !== before) spans.push(performance.now() - timeStamp);
  }));
}, true);
new MutationObserver((_, watch) => {
  if (!document.querySelector("#stage .content")) return;
  watch.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.first = performance.now(); }));
}).observe(document, {childList: true, subtree: true});
"""

# `answers`: what the server is made to answer to the next POSTs, as [status, body].
PRETEND = """
const really = window.fetch;
window.answers = [];
window.fetch = (path, options) => {
  const next = options?.method === "POST" && answers.shift();
  return next ? Promise.resolve(new Response(JSON.stringify(next[1]), {status: next[0]})) : really(path, options);
};
"""


@contextmanager
def listening(queue, *, labels=None, scale=None, raters=1, shown=False):
    """(address, journal's path) of a server in this process that listens on a port."""
    import uvicorn

    from affectkit.labeling.app import create_app
    from affectkit.labeling.desk import Desk
    from affectkit.labeling.guard import Entrance
    from affectkit.labeling.queue import questions_of, read_queue

    rows, questions = read_queue(queue), questions_of(labels, scale, "label", [])
    path = queue.with_suffix(".jsonl")
    with socket.socket() as port, open_journal(path, [question.target for question in questions]) as journal:
        port.bind(("127.0.0.1", 0))
        entrance = Entrance("127.0.0.1", port.getsockname()[1])
        app = create_app(Desk(rows, questions, journal, raters=raters), entrance, shown=shown)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", http="h11", timeout_graceful_shutdown=1))
        running = threading.Thread(target=server.run, kwargs={"sockets": [port]})
        running.start()
        try:
            yield f"http://127.0.0.1:{entrance.port}/", path
        finally:
            server.should_exit = True
            running.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A class for each of many texts. Every person has all rows to answer: tests are not in each other's way."""
    with listening(write_texts(tmp_path_factory.mktemp("texts"), ROWS), labels="joy,anger,none", raters=50) as served:
        yield served


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Recordings, pictures and a video to place on two scales, then what is missing or hostile."""
    folder = tmp_path_factory.mktemp("media")
    tone = np.sin(np.arange(48_000) / 7) * np.repeat([0.1, 0.5, 0.9], 16_000)
    for number in range(6):
        soundfile.write(folder / f"{number}.wav", tone, 16_000)
    Image.new("RGB", (64, 48), "teal").save(folder / "face.png")
    (folder / "bad.wav").write_bytes(b"RIFF and no sound")
    hostile = folder / f"{HOSTILE.replace('/', '_')}.wav"
    soundfile.write(hostile, tone, 16_000)
    rows = [*((f"r{number}", f"{number}.wav", "") for number in range(6)), ("face", "face.png", "look"),
            ("gone", "nowhere.wav", ""), ("bad", "bad.wav", ""), (f"x{HOSTILE}", hostile.name, HOSTILE)]  # fmt: skip
    queue = folder / "queue.csv"
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    queue.write_text("\n".join(["id,path,text", *quoted]) + "\n")
    scale = "valence=-1:1,arousal=-1:1,stress=1:5"
    with listening(queue, labels="calm,<b onclick=owned=1>b</b>", scale=scale, raters=50, shown=True) as served:
        yield served


def open_page(browser, address, name="Ann", *, context=None, script=WATCH):
    """A tab, with the first item on it. context: of an earlier tab, whose name for the person is kept."""
    tab = browser.tab(context=context or browser.context())
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    tab.call("Page.navigate", url=address)
    if name:
        tab.wait("document.getElementById('naming').open")
        tab.type(name)
        tab.press("Enter")
    tab.wait("document.querySelector('.content')")
    tab.pressed = time.monotonic()
    return tab


def press(tab, *keys):
    for key in keys:
        time.sleep(max(0, tab.pressed + BREAK - time.monotonic()))
        tab.press(key)
        tab.pressed = time.monotonic()


def text_of(tab, selector):
    return tab.run(f"document.querySelector({json.dumps(selector)})?.textContent")


def saved(tab):
    tab.wait("document.getElementById('saved').textContent === 'All answers are saved'")


def given(path, name):
    """What counts of a person, and that nothing was written twice."""
    journal = read_annotations(path)
    lines = path.read_text().splitlines()[1:]
    assert len(lines) == len(journal.given) == len({each.key for each in journal.given})
    return {each.id: each for each in journal.counting() if each.annotator == name}


def query_of(address):
    return parse_qs(urlsplit(address).query)


def offline(tab, off):
    tab.call("Network.emulateNetworkConditions", offline=off, **OFFLINE)


# --- Answering


def test_a_class_is_answered_skipped_and_taken_back_by_keys_at_once(browser, texts):
    address, journal = texts
    tab = open_page(browser, address, "keys")
    assert text_of(tab, ".text") == "text 1" and text_of(tab, "#title") == f"Item 1 of {ROWS}"
    press(tab, "1", "2", "s", "Backspace")  # the skipped one comes back
    assert text_of(tab, ".text") == "text 3"
    press(tab, "Backspace")
    assert text_of(tab, ".text") == "text 2"
    assert tab.run("document.querySelector(':checked').value") == "anger"  # as it was answered
    press(tab, "c")
    tab.type("1 s ?")  # letters of a comment are no keys
    tab.press("Escape")
    press(tab, "3", "s")
    saved(tab)
    answers = given(journal, "keys")
    assert {each.id: dict(each.labels) for each in answers.values()} == {
        "r1": {"label": "joy"}, "r2": {"label": "none"}, "r3": {}
    }  # fmt: skip
    assert answers["r2"].comment == "1 s ?" and 0 < answers["r1"].seconds < 30
    tab.wait("document.getElementById('said').textContent.includes('Skipped. Item 4 of 100000. text 4')")

    press(tab, "?")
    assert tab.run("document.getElementById('help').open") and tab.run("document.activeElement.id") == "help-close"
    tab.press("1")  # is not for the page behind
    tab.press("Escape")
    assert not tab.run("document.getElementById('help').open") and text_of(tab, ".text") == "text 4"
    tab.run("document.getElementById('at-once').click()")
    press(tab, "1")
    assert text_of(tab, ".text") == "text 4"  # until it is sent
    press(tab, "Enter")
    assert text_of(tab, ".text") == "text 5"
    tab.click(".choice:nth-child(2)")
    assert tab.run("document.querySelector(':checked').value") == "anger" and text_of(tab, ".text") == "text 5"
    tab.run("document.getElementById('at-once').click()")
    time.sleep(BREAK)
    tab.click(".choice:nth-child(1)")
    assert text_of(tab, ".text") == "text 6"
    saved(tab)
    assert tab.logged() == []
    assert all(url.startswith((address, "data:")) for url in tab.requests())


def test_the_first_item_is_there_within_a_second_and_the_next_within_a_tenth(browser, texts, media):
    context = browser.context()
    tab = open_page(browser, texts[0], "quick", context=context)
    tab.close()
    tab = open_page(browser, texts[0], "", context=context)
    first = tab.wait("window.first")
    assert first < 1000
    press(tab, *"123" * 4)
    spans = tab.wait("spans.length >= 12 && spans")
    tab.close()
    tab = open_page(browser, media[0], "quick")
    for _ in range(5):
        tab.wait("document.querySelector('audio').readyState >= 3")
        press(tab, "s")
        assert tab.run("document.querySelector('audio')?.readyState >= 3 || document.querySelector('img').complete")
    heard = tab.wait("spans.length >= 5 && spans")
    tab.close()
    text, recording = statistics.median(spans), statistics.median(heard)
    print(f"first item after {first:.0f} ms, next text {text:.0f} ms, next recording {recording:.0f} ms")
    assert text < 100 and recording < 100


def test_two_tabs_of_one_person_and_another_person_have_each_row_once(browser, texts):
    address, journal = texts
    context = browser.context()
    tabs = [open_page(browser, address, "twin", context=context)]
    tabs.append(open_page(browser, address, "", context=context))  # knows the name
    tabs.append(open_page(browser, address, "other"))
    for _ in range(5):
        for tab, key in zip(tabs, "123", strict=True):
            press(tab, key)
    for tab in tabs:
        saved(tab)
    twin, other = given(journal, "twin"), given(journal, "other")
    assert len(twin) == 10 and len(other) == 5
    assert sorted(each.labels["label"] for each in twin.values()) == ["anger"] * 5 + ["joy"] * 5
    for tab in tabs:
        tab.close()


def test_another_person_at_the_same_tab_has_items_of_their_own(browser, texts):
    address, journal = texts
    tab = open_page(browser, address, "early")
    press(tab, "1", "1")
    tab.click("#who")
    tab.wait("document.getElementById('naming').open")
    tab.type("late")
    tab.press("Enter")
    tab.wait("document.querySelector('.text')?.textContent === 'text 1'")
    tab.run("document.getElementById('letters').click()")  # for who speaks to the computer
    press(tab, "2", "s")
    assert text_of(tab, ".text") == "text 1"
    tab.run("document.getElementById('letters').click()")
    press(tab, "2")
    saved(tab)
    assert len(given(journal, "early")) == 2 and given(journal, "late").keys() == {"r1"}
    assert tab.run("sessionStorage.getItem('affectkit/tab')") is None  # a copy of the tab is another one
    tab.reload()  # the tab knows who was there last
    tab.wait("document.querySelector('.text')?.textContent === 'text 2'")
    assert text_of(tab, "#who-name") == "late"
    assert len({query["tab"][0] for query in map(query_of, tab.requests()) if "tab" in query}) == 1
    tab.close()


def test_agreement_is_told_while_two_persons_answer(browser, tmp_path):
    with listening(write_texts(tmp_path, 4), scale="stress=1:5", raters=2) as (address, _):
        one, two = open_page(browser, address, "one"), open_page(browser, address, "two")
        assert one.run("document.getElementById('agreement').hidden")
        for number in "124":
            press(one, number, "Enter")
        saved(one)
        for number in "125":
            press(two, number, "Enter")
        saved(two)
        told = two.wait("document.getElementById('agreement').innerText")
        assert re.search(r"Krippendorff.s .\s+Rows\s+stress\s+\S?[01]\.\d\d\s+\d by 2", told), told
        one.close()
        two.close()


# --- Media and scales


def test_a_recording_is_played_sought_and_sped_and_its_waveform_drawn(browser, media):
    tab = open_page(browser, media[0], "listener")
    tab.wait("document.querySelector('.wave path').getAttribute('d').length > 500")
    sound = "document.querySelector('audio')"
    tab.wait(f"{sound}.readyState >= 3")
    assert tab.run(f"{sound}.paused")  # nothing plays unasked
    tab.press("ArrowRight")
    assert tab.run(f"{sound}.currentTime") == 1
    tab.press("Space")
    tab.wait(f"!{sound}.paused && {sound}.currentTime > 1")
    tab.press("Space")
    tab.press(">")
    assert tab.run(f"{sound}.playbackRate") == 1.25
    tab.click(".timeline", right=0.5)
    assert tab.run(f"{sound}.paused") and abs(tab.run(f"{sound}.currentTime") - 1.5) < 0.02
    tab.wait("document.querySelector('.timeline').getAttribute('aria-valuetext') === '1.5 of 3.0 seconds'")
    tab.run("document.querySelector('.timeline').focus()")
    tab.press("End")
    assert tab.run(f"{sound}.currentTime") == 3
    tab.press("Home")
    tab.press("ArrowLeft")
    assert tab.run(f"{sound}.currentTime") == 0
    tab.run("document.getElementById('autoplay').click()")
    press(tab, "s")
    tab.wait(f"{sound}.currentTime > 0.2")
    assert tab.run(f"{sound}.playbackRate") == 1.25
    tab.close()


def test_a_part_of_a_video_is_played_alone(browser, tmp_path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "v.webm"), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"VP80"), 10, (64, 48))
    for number in range(30):
        writer.write(np.full((48, 64, 3), 8 * number, np.uint8))
    writer.release()
    (tmp_path / "queue.csv").write_text("id,path,start_sec,end_sec\nv,v.webm,1,1.5\n")
    with listening(tmp_path / "queue.csv", labels="a,b") as (address, journal):
        tab = open_page(browser, address, "viewer")
        film = "document.querySelector('video')"
        tab.wait(f"{film}.currentTime === 1 && document.querySelector('.time').textContent === '0:00.0 / 0:00.5'")
        tab.press("Space")
        tab.wait(f"{film}.paused && {film}.currentTime >= 1.5")
        assert tab.run(f"{film}.currentTime") < 1.9
        tab.press("ArrowLeft")
        assert tab.run(f"{film}.currentTime") == 1
        press(tab, "1")
        tab.wait("document.title === 'All done. Thank you! | affectkit label'")
        saved(tab)
        press(tab, "Backspace", "2")  # the last one can be taken back as well
        saved(tab)
        assert given(journal, "viewer")["v"].labels == {"label": "b"}
        tab.close()


def test_the_grid_the_sliders_and_the_points_answer_by_keys_and_pointer(browser, media):
    address, journal = media
    tab = open_page(browser, address, "rater")
    assert tab.run("document.getElementById('grid').getAttribute('aria-valuetext')") == "not set"
    press(tab, "Enter")
    assert text_of(tab, "#missing") == "Still to answer: label, valence, arousal, stress."
    tab.click("#grid", right=0.75, down=0.25)
    value = "document.getElementById('grid').getAttribute('aria-valuetext')"
    assert tab.run(value) == "valence 0.5, arousal 0.5"
    tab.press("ArrowRight")
    tab.press("ArrowDown", shift=True)
    assert tab.run(value) == "valence 0.6, arousal 0.48"
    assert tab.run("[...document.querySelectorAll('.range')].map(it => it.value).join()") == "0.6,0.48"
    tab.run("document.activeElement.blur()")
    press(tab, "1", "4", "Enter")  # label, stress
    tab.wait("document.getElementById('title').textContent.startsWith('Item 2')")
    press(tab, "2", "9", "1")  # a slider has nine places
    assert tab.run(value) == f"valence 1, arousal {MINUS}1"
    tab.click(".range", right=0.5)  # in the middle, where its thumb may stand already
    assert tab.run(value).startswith("valence 0, ")
    tab.run("document.querySelectorAll('.exact')[1].select()")
    tab.type("7")
    tab.press("Enter")
    assert f"arousal goes from {MINUS}1 to 1" in text_of(tab, "#missing")
    tab.run("document.querySelectorAll('.exact')[1].select()")
    tab.type("0.123")
    tab.press("Tab")
    tab.run("document.activeElement.blur()")
    press(tab, "5", "Enter")
    tab.wait("document.getElementById('title').textContent.startsWith('Item 3')")
    saved(tab)
    answers = given(journal, "rater")
    assert answers["r0"].labels == {"label": "calm", "valence": 0.6, "arousal": 0.48, "stress": 4}
    assert answers["r1"].labels == {"label": "<b onclick=owned=1>b</b>", "valence": 0, "arousal": 0.123, "stress": 5}

    tab.run("document.getElementById('grid').focus()")  # by keyboard alone: the focus comes back to the form
    tab.press("ArrowUp")
    assert tab.run(value) == "valence 0, arousal 0.1"
    press(tab, "1", "1", "Enter")
    tab.wait("document.getElementById('title').textContent.startsWith('Item 4')")
    assert tab.run("document.activeElement.id") == "grid"
    tab.close()


def test_what_is_missing_or_hostile_is_told_and_nothing_of_it_is_run(browser, media):
    address, journal = media
    tab = open_page(browser, address, f"a{HOSTILE[:50].replace(chr(27), '')}")
    press(tab, *"sssss", "s")
    tab.wait("document.querySelector('img').naturalWidth === 64")
    press(tab, "s")
    tab.wait("document.querySelector('#stage .problem').textContent.length > 10")
    press(tab, "1", "2", "3", "4", "Enter")  # it can be answered all the same
    tab.wait("document.querySelector('#title').textContent.startsWith('Item 9')")
    tab.wait("!document.querySelector('#stage .problem').hidden")
    press(tab, "s")
    seen = HOSTILE.replace("\x1b", "␛")
    assert text_of(tab, ".text") == seen
    assert text_of(tab, ".about dd") == "x" + seen
    assert seen.replace("/", "_") in text_of(tab, ".about dl")
    assert "<b onclick=owned=1>b</b>" in text_of(tab, ".choice:nth-child(2)")
    assert tab.run("document.querySelectorAll('#stage img, bdi *, [onclick], [onerror]').length") == 0
    assert tab.run("document.querySelectorAll('script').length") == 2
    assert tab.run("typeof owned") == "undefined"
    assert "calm" in str(given(journal, f"a{HOSTILE[:50].replace(chr(27), '')}")["gone"].labels)
    tab.close()


# --- What breaks


@pytest.mark.parametrize("seconds", [1.2, pytest.param(60, marks=pytest.mark.slow)])
def test_answers_wait_while_the_network_is_away_and_outlive_their_tab(browser, texts, seconds):
    who, (address, journal) = f"away for {seconds} s", texts
    context = browser.context()
    tab = open_page(browser, address, who, context=context)
    press(tab, "1")
    saved(tab)
    leaving = "(event => !dispatchEvent(event))(new Event('beforeunload', {cancelable: true}))"
    assert not tab.run(leaving)
    offline(tab, True)
    press(tab, "2", "2", "3")
    tab.wait("document.getElementById('notice').innerText.includes('3 answers wait in this browser')")
    assert tab.run(leaving)
    assert len(given(journal, who)) == 1
    time.sleep(seconds)
    offline(tab, False)
    saved(tab)
    tab.wait("document.getElementById('notice').hidden")
    assert len(given(journal, who)) == 4
    offline(tab, True)
    press(tab, "1", "1")
    tab.close()  # and nobody comes back but later
    tab = browser.tab(f"{address}livez", context)
    left = "Object.keys(localStorage).filter(name => name.split('/').length === 4)"
    assert tab.wait(f"{left}.length") == 2
    older = "name => localStorage.setItem(name, JSON.stringify({...JSON.parse(localStorage.getItem(name)), order: 1}))"
    tab.run(f"{left}.forEach({older})")  # of a tab that closed long ago
    tab.call("Page.navigate", url=address)
    tab.wait("document.querySelector('.content')")
    tab.wait(f"{left}.length === 0")
    said = [answer.labels["label"] for answer in given(journal, who).values()]
    assert said == ["joy", "anger", "anger", "none", "joy", "joy"]
    tab.close()


def test_a_killed_server_loses_and_doubles_nothing(browser, tmp_path):
    queue, journal = write_texts(tmp_path, 200), tmp_path / "labels.jsonl"
    words = ("--labels", "joy,anger", "--annotator", "ann")
    with process(queue, journal, *words) as (served, address, _):
        tab = open_page(browser, address, "")
        for number in range(8):
            press(tab, "12"[number % 2])
            if number == 3:
                os.kill(served.pid, signal.SIGKILL)
        tab.wait("!document.getElementById('notice').hidden")
        waiting = tab.run("parseInt(document.getElementById('saved').textContent)")
        assert 4 <= waiting <= 5 and text_of(tab, ".text") == "text 9"
        press(tab, "Backspace", "1")  # is sent later as well
    port = address.rstrip("/").rpartition(":")[2]
    with process(queue, journal, *words, "--port", port):
        tab.run("document.getElementById('retry').click()")
        saved(tab)
        press(tab, "1")
        saved(tab)
        answers = given(journal, "ann")
        assert [answers[f"r{n}"].labels["label"] for n in range(1, 10)] == ["joy", "anger"] * 3 + ["joy"] * 3
        assert len(answers) == 9
    tab.close()


def test_a_server_that_cannot_write_or_refuses_is_told_and_no_answer_is_dropped(browser, texts):
    address, journal = texts
    tab = open_page(browser, address, "patient", script=PRETEND)
    body = {"error": {"code": "x", "message": "no space left on device"}}
    tab.run(
        f"answers.push([507, {json.dumps(body)}], [500, {{}}], [200, 'another program'], [403, {json.dumps(body)}])"
    )
    press(tab, "1")
    for words in ("cannot write: no space", "has a problem (500)", "not affectkit label", "Open the address again"):
        tab.wait(f"document.getElementById('notice').textContent.includes({json.dumps(words)})")
        tab.run("document.getElementById('retry').click()")
    saved(tab)
    assert len(given(journal, "patient")) == 1

    tab.run("answers.push(...Array(99).fill([500, {}]))")
    press(tab, *"11111")
    asked = [query for query in map(query_of, tab.requests()) if "holding" in query]
    waiting = tab.run("Object.values(localStorage).filter(it => it.includes('answer')).map(it => JSON.parse(it).row)")
    assert len(waiting) == 5 and {*map(str, waiting[:3])} <= set(asked[-1]["holding"][0].split(","))
    tab.run("answers.length = 0, document.getElementById('retry').click()")
    saved(tab)
    assert len(given(journal, "patient")) == 6

    tab.run("answers.push([422, {error: {message: 'the body <i>is</i> odd'}}])")
    row = text_of(tab, ".text").replace("text ", "r")
    press(tab, "2")
    tab.wait("document.getElementById('refused-title').textContent === '1 answer refused by the server'")
    assert text_of(tab, "#refused-list") == f"{row} (label anger): the body <i>is</i> odd"
    press(tab, "3")
    saved(tab)
    tab.reload()  # it is still there
    tab.wait("document.getElementById('refused-title').textContent === '1 answer refused by the server'")
    assert len(given(journal, "patient")) == 7 and row not in given(journal, "patient")
    tab.run("document.getElementById('refused-retry').click()")
    tab.wait("document.getElementById('refused').hidden && document.querySelector('.content')")
    assert len(given(journal, "patient")) == 8 and row in given(journal, "patient")
    tab.close()


def test_a_browser_that_keeps_nothing_and_has_no_random_uuid_says_so_and_works(browser, texts):
    address, journal = texts
    script = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };"
    tab = open_page(browser, address, "bare", script=script + "crypto.randomUUID = undefined;")
    tab.wait("document.getElementById('notice').textContent.includes('leave this tab open')")
    press(tab, "1", "2")
    saved(tab)
    assert len(given(journal, "bare")) == 2
    tab.close()


# --- For everybody


def test_on_a_phone_at_twice_the_size_and_in_the_dark(browser, media):
    tab = open_page(browser, media[0], "phone")
    for width in (360, 600):  # 600: a window of 1200 at 200 %
        tab.screen(width, 740, mobile=True)
        tab.wait("document.querySelector('.wave')")
        assert tab.run("document.documentElement.scrollWidth") == width
        small = "[...document.querySelectorAll('main button, .choice, select, .exact')]"
        small += ".filter(it => it.offsetParent && it.offsetHeight < 44)"
        assert tab.run(f"{small}.map(it => it.outerHTML)") == []
        box = tab.run("(b => [b.top, b.bottom])(document.getElementById('send').getBoundingClientRect())")
        assert box[0] > 0 and box[1] <= 740  # it is always at hand
    tab.scheme("dark")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    tab.close()


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_stands(browser, media):
    tab = open_page(browser, media[0], "tabber")
    tab.run("document.activeElement.blur()")
    reached = []
    for _ in range(20):
        tab.press("Tab")
        reached.append(tab.run("(it => it.classList[0] || it.id || it.tagName)(document.activeElement)"))
        outlined = (
            "(it => getComputedStyle(it.type === 'radio' ? it.parentNode : it).outlineStyle)(document.activeElement)"
        )
        assert tab.run(outlined) == "solid" or reached[-1] == "BODY", reached
    order = ["who", "help-open", "timeline", "play", "speed", "grid", "range", "exact", "comment", "skip", "send"]
    assert [one for one in dict.fromkeys(reached) if one in order] == order, reached
    tab.close()


@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_no_serious_fault(browser, media, texts, width):
    place = Path(os.environ.get("AFFECTKIT_AXE") or "node_modules/axe-core/axe.min.js")
    if not place.is_file():
        pytest.skip("axe-core is not here: npm install axe-core, and name its axe.min.js in AFFECTKIT_AXE")
    look = """axe.run({resultTypes: ["violations"]}).then(({violations}) => violations
      .filter(({impact}) => ["serious", "critical"].includes(impact))
      .map(({id, nodes}) => [id, nodes.map(({html, failureSummary}) => html + failureSummary)]))"""
    for address, schemes in ((media[0], ("light", "dark")), (texts[0], ("light",))):
        tab = open_page(browser, address, f"axe{width}")
        tab.call("Page.setBypassCSP", enabled=True)
        tab.reload()
        tab.wait("document.querySelector('.content') && document.querySelector('#said').textContent")
        tab.screen(width, 850, mobile=width < 600)
        tab.run(place.read_text(encoding="utf-8") + ";0")
        for scheme in schemes:
            tab.scheme(scheme)
            assert tab.run(look) == []
            press(tab, "?")
            assert tab.run(look) == []
            tab.press("Escape")
        tab.run("document.getElementById('who').click()")
        assert tab.run(look) == []
        tab.close()
