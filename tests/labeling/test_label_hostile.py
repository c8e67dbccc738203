"""What another site, another machine or a hostile queue may try: refused, or escaped."""

import csv
import json
import logging
import os

import pytest

pytest.importorskip("fastapi")

from label_kit import answer, opened, told, write_queue, write_texts

from affectkit.errors import AffectkitError
from affectkit.labeling.guard import Entrance, entrance_of

TOKEN = "a-token_of.24~characters"
NEXT = "/api/next?annotator=ann&tab=t"


def refused(response, status, code=None):
    """The one body of an error."""
    assert response.status_code == status, (response.status_code, response.text)
    error = response.json()["error"]
    assert response.json().keys() == {"error"} and error["message"]
    assert code in (None, error["code"])
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    return error["message"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    (folder / "secret.txt").write_text("a secret")
    with opened(write_queue(folder, 2)) as (client, _):
        yield client


@pytest.fixture
def guarded(tmp_path):
    """With a token, as on an address that others reach."""
    with opened(write_queue(tmp_path, 2), token=TOKEN, host="192.0.2.7") as (client, _):
        yield client


# --- Another name for this machine (DNS rebinding)


@pytest.mark.parametrize("host", ["127.0.0.1:8002", "localhost:8002", "LOCALHOST:8002", "[::1]:8002"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get(NEXT, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8002", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8002", "", "localhost",
     "127.0.0.1:8002.evil.example", "127.0.0.1:8002@evil.example", "0.0.0.0:8002", "\x1b[2J:8002"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", NEXT, "/media/1/0", "/label.js", "/livez", "/nothing"])
def test_a_foreign_name_is_refused_whatever_is_asked(client, host, path):
    refused(client.get(path, headers={"host": host}), 421, "foreign_host")


def test_on_port_80_a_host_has_no_port():
    assert Entrance("127.0.0.1", 80).is_own("localhost") and not Entrance("127.0.0.1", 8002).is_own("localhost")
    assert Entrance("::1", 8002).is_own("[::1]:8002")


# --- Another site


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9000", "http://127.0.0.1", "http://127.0.0.1:8002.evil.example",
     "file://", "http://a@evil.example:8002", "127.0.0.1:8002"],
)  # fmt: skip
def test_another_sites_page_may_send_nothing(client, origin):
    body = {"annotator": origin, "tab": "t", "answers": [answer("r1")]}
    refused(client.post("/api/answers", json=body, headers={"origin": origin}), 403)
    assert client.get("/api/progress", params={"annotator": origin}).json()["skipped"] == 0
    own = {"origin": "http://127.0.0.1:8002", "sec-fetch-site": "same-origin"}
    assert client.post("/api/answers", json=body, headers=own).json()["written"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
@pytest.mark.parametrize("path", [NEXT, "/api/progress?annotator=a", "/media/1/0", "/peaks/1/0", "/label.js"])
def test_another_sites_page_may_ask_for_nothing_but_link_to_the_page(client, site, path):
    refused(client.get(path, headers={"sec-fetch-site": site}), 403)
    assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_what_a_form_can_send_is_refused(client, kind):
    body = json.dumps({"annotator": "ann", "tab": "t", "answers": []})
    headers = {} if kind is None else {"content-type": kind}
    refused(client.post("/api/answers", content=body, headers=headers), 415)


def test_the_headers_let_nothing_in_and_keep_nothing(client):
    page = client.get("/").headers
    assert "default-src 'none'" in page["content-security-policy"]
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert "unsafe" not in page["content-security-policy"] and "http" not in page["content-security-policy"]
    for path in ("/", NEXT, "/media/1/0", "/peaks/1/0", "/api/progress?annotator=a", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store", path
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not any(name.startswith("access-control") for name in headers)


# --- A token


def test_with_a_token_nothing_is_told_without_it(guarded):
    for path in (
        "/",
        NEXT,
        "/media/1/0",
        "/peaks/1/0",
        "/label.js",
        "/api/progress?annotator=a",
        "/?token=",
        "/nothing",
    ):
        refused(guarded.get(path), 401)
        for wrong in ("x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"):
            refused(guarded.get(path, headers={"authorization": f"Bearer {wrong}".encode()}), 401)
            cookie = f"affectkit-label-8002={wrong}".encode()
            refused(guarded.get(path, headers={"cookie": cookie}), 401)
    refused(guarded.get("/?token=wrong"), 401)
    refused(guarded.get(f"/label.js?token={TOKEN}"), 401)
    refused(guarded.post("/api/answers", json={"annotator": "a", "tab": "t", "answers": []}), 401)
    assert guarded.get("/livez").status_code == 200
    for host in ("[::", "a b", "http://x/", "\x1b[2J", ""):
        refused(guarded.get("/", headers={"host": host}), 401)
        assert guarded.get("/livez", headers={"host": host}).status_code == 200
    assert guarded.get(NEXT, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(guarded):
    entered = guarded.get(f"/?token={TOKEN}", headers={"sec-fetch-site": "cross-site"})
    assert entered.status_code == 200 and TOKEN not in entered.text and 'content="0; url=/"' in entered.text
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "affectkit-label-8002=" in cookie
    others = {"cookie": f'theme="dark; a[b]=1; affectkit-label-8002={TOKEN}'}  # of another program on this machine
    assert guarded.get("/").status_code == guarded.get("/", headers=others).status_code == 200
    assert guarded.get("/", headers={"host": "labels.example"}).status_code == 200  # by any name, as behind a proxy
    body = {"annotator": "ann", "tab": "t", "answers": []}
    refused(guarded.post("/api/answers", json=body, headers={"origin": "http://evil.example"}), 403)


def test_an_address_that_others_reach_asks_for_a_token():
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.53"):
        assert not entrance_of(host, 8002).token
    for host in ("0.0.0.0", "::", "192.0.2.7", "machine", "127.0.0.1.example"):
        one, other = entrance_of(host, 8002), entrance_of(host, 8002)
        assert len(one.token) >= 32 and one.token != other.token and one.address.endswith(f"/?token={one.token}")
    assert entrance_of("127.0.0.1", 8002, TOKEN).token == TOKEN
    assert entrance_of("192.0.2.7", 80, TOKEN).address == f"http://192.0.2.7:80/?token={TOKEN}"
    assert entrance_of("2001:db8::1", 8002, TOKEN).address.startswith("http://[2001:db8::1]:8002/")
    assert "0.0.0.0" not in entrance_of("0.0.0.0", 8002).address
    for bad in ("short", "with space in it, and more", "<script>alert(1)</script>", "é" * 20, "\n" * 20):
        with pytest.raises(AffectkitError, match="AFFECTKIT_LABEL_TOKEN"):
            entrance_of("127.0.0.1", 8002, bad)


# --- Bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"annotator": "\\ud800", "tab": "t", "answers": []}', 400),
        (b'{"annotator": "a", "tab": "t", "answers": []' + b"[" * 50_000, 400),
        (b'{"annotator": "a", "tab": "t", "answers": [{"seconds": 1e999}]}', 400),
        (b'{"annotator": "a", "annotator": "b", "tab": "t", "answers": []}', 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"annotator": 1, "tab": "t", "answers": []}', 422),
        (b'{"annotator": "a", "tab": "t", "answers": {}}', 422),
        (b'{"annotator": "a", "tab": "t", "answers": ["x"]}', 422),
        (b'{"annotator": " ", "tab": "t", "answers": []}', 422),
        (b'{"annotator": "a\\u001b[2J", "tab": "t", "answers": []}', 422),
        (b'{"annotator": "a\\u202eb", "tab": "t", "answers": []}', 422),
        (b'{"annotator": "a", "tab": "t", "answers": [], "study": "another"}', 409),
        (b'{"annotator": "a", "tab": "t", "answers": [' + b",".join([b"{}"] * 501) + b"]}", 413),
        (b" " * 256_001, 413),
    ],
)
def test_a_body_that_is_none_is_refused(client, body, status):
    response = client.post("/api/answers", content=body, headers={"content-type": "application/json"})
    assert "\x1b" not in response.text
    refused(response, status)
    assert client.get(NEXT).status_code == 200


def test_bytes_are_counted_while_they_come(client):
    answer = as_it_is(client.app, "/api/answers", "POST", [b" " * 10_000] * 100)
    assert answer["status"] == 413 and answer["taken"] == 26


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/next", 422), ("/api/next?annotator=a", 422), ("/api/next?annotator=&tab=t", 422),
     ("/api/next?annotator=%20&tab=t", 422), (f"/api/next?annotator={'a' * 201}&tab=t", 422),
     ("/api/next?annotator=%1b[2J&tab=t", 422), (NEXT + "&count=51", 422), (NEXT + "&count=-1", 422),
     (NEXT + "&count=x", 422), (NEXT + "&study=other", 409), ("/api/progress", 422), ("/api/answers", 405),
     ("/openapi.json", 404), ("/docs", 404), ("/api/", 404)],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(client, path, status):
    response = client.get(path)
    assert "\x1b" not in response.text
    refused(response, status)


# --- Files beside the queue


@pytest.mark.parametrize(
    "path",
    ["/media/1/1", "/media/0/0", "/media/3/0", "/media/-1/0", "/media/1/-1", "/media/1e0/0", "/media/1.0/0",
     "/media/+1/0", "/media/99999999999999999999/0", f"/media/{'9' * 5000}/0", "/media/../secret.txt",
     "/media/%2e%2e/secret.txt", "/media/..%2fsecret.txt", "/media/1/..%2f..%2fsecret.txt",
     "/media/1/%2e%2e%2fsecret.txt", "/media/%2fetc%2fpasswd", "/media//etc/passwd", "/media/1/0/../../secret.txt",
     "/media/1/0%00.txt", "/media/secret.txt", "/secret.txt",
     "/..%2fsecret.txt", "/%2e%2e/label.py", "/label.html", "/page/label.js", "/labels.jsonl", "/queue.csv",
     "/../app.py", "/%2e%2e%2fapp.py", "/..%5capp.py", "/media/..%5c..%5csecret.txt", "/peaks/../secret.txt",
     "/peaks/%2e%2e%2fsecret.txt/0", "//evil.example/label.js", "/label.js/../../app.py"],
)  # fmt: skip
def test_no_path_leads_out_of_the_queue(client, path):
    """Sent as it is: a client that tidies a path would hide what a server makes of it."""
    response = as_it_is(client.app, path)
    assert response["status"] in (404, 422), (path, response)
    assert b"a secret" not in response["body"] and b"affectkit.labeling" not in response["body"]


def as_it_is(app, path, method="GET", body=(b"",)):
    """The answer to a path that nobody has tidied, and how many parts of the body it took."""
    import asyncio
    from urllib.parse import unquote

    found = {"body": b"", "taken": 0}

    async def receive():
        found["taken"] += 1
        if found["taken"] > len(body):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body[found["taken"] - 1], "more_body": found["taken"] < len(body)}

    async def send(message):
        found["status"] = message.get("status", found.get("status"))
        found["body"] += message.get("body", b"")

    scope = {
        "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8002"), (b"content-type", b"application/json")], "scheme": "http",
        "http_version": "1.1", "root_path": "", "server": ("127.0.0.1", 8002), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return found


# --- A hostile queue

BAD = '"><script>alert(1)</script>\x1b[2J\x1b]0;t\x07\u202e&{{7*7}}\r\nSet-Cookie: a=b'


def test_what_a_queue_holds_is_escaped_wherever_it_is_shown(tmp_path, caplog):
    with open(tmp_path / "queue.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "path", "text", BAD[:20]], [BAD, BAD, BAD, BAD]])
    mark = "'\"><script>alert(1)</script>{{7*7}}"
    classes = mark.replace('"', '""').join('""') + ",happy"
    with caplog.at_level(logging.INFO, "affectkit"), opened(tmp_path / "queue.csv", labels=classes, shown=True,
                                                           annotator=BAD) as (client, desk):  # fmt: skip
        page = client.get("/")
        assert "<script>alert" not in page.text and "\x1b" not in page.text and "{{7*7}}" in page.text
        assert desk.queue.manifest.path.name in page.text
        found = client.get(NEXT)
        assert found.headers["content-type"] == "application/json"
        [item] = found.json()["items"]
        assert item["id"] == BAD and item["text"] == BAD and item["media"][0]["problem"]
        assert "\x1b" not in found.text  # as JSON writes it
        done = told(client, answer(BAD, label=mark, comment=BAD), answer(BAD, key=BAD, label="none"))
        assert len(done["written"]) == 1 and done["refused"][0]["key"] == BAD
        media = client.get("/media/1/0")
        refused(media, 404)
        for response in (page, found, media):
            assert not any("alert" in value or "\x1b" in value for value in response.headers.values())
            assert "set-cookie" not in response.headers
    assert (tmp_path / "labels.jsonl").read_bytes().count(b"\x1b") == 0
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 2


def test_lines_of_the_log_do_nothing_to_a_terminal(client, capsys, monkeypatch):
    from affectkit.web import log_to_stderr

    library = logging.getLogger("affectkit")
    monkeypatch.setattr(library, "handlers", library.handlers)
    monkeypatch.setattr(library, "propagate", library.propagate)
    log_to_stderr()
    client.get("/%1b[2J%0d%0aERROR forged", headers={"host": "evil.example"})
    client.get("/%1b[2J%0d%0aERROR forged")
    said = capsys.readouterr().err
    assert "was refused" in said and "\x1b" not in said and "\\u001b[2J" in said
    assert not any(line.startswith("ERROR forged") for line in said.splitlines())


def test_a_failure_of_ours_is_told_without_its_insides(client, monkeypatch):
    from affectkit.labeling import clips

    monkeypatch.setattr(clips, "_known", lambda *a: 1 / 0)
    assert refused(client.get("/media/1/0"), 500) == "the server failed; its log says why"
    item, _ = client.get(NEXT).json()["items"]  # and stops nobody
    assert item["media"][0]["problem"] == "the server failed at this file; its log says why"


def test_a_queue_of_odd_places_harms_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "text.wav").write_text("<script>alert(1)</script>" * 100)
    (tmp_path / "page.png").write_text("<!doctype html><script>alert(1)</script>")
    (tmp_path / "image.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    (tmp_path / "none.wav").write_bytes(b"")
    names = ["pipe.wav", "loop.wav", "folder.wav", "text.wav", "page.png", "image.svg", "none.wav", "missing.wav",
             "/etc/passwd", "/dev/zero", "/proc/self/environ", "..", "x" * 300, "ä" * 300, "text.wav/ä"]  # fmt: skip
    rows = "".join(f"r{n},{name}\n" for n, name in enumerate(names))
    (tmp_path / "queue.csv").write_text("id,path\n" + rows)
    with opened(tmp_path / "queue.csv") as (client, desk):
        items = client.get("/api/next?annotator=ann&tab=t&count=50").json()["items"]
        assert len(items) == len(desk.queue) == len(names)
        for item in items:
            assert item["media"][0]["problem"], item
            assert str(tmp_path) not in item["media"][0]["problem"]
            for address in (f"/media/{item['row']}/0", f"/peaks/{item['row']}/0"):
                response = client.get(address)
                refused(response, response.status_code)
                assert response.status_code in (404, 422) and "root:" not in response.text
        assert told(client, answer("r0", label="angry"), answer("r3"))["progress"]["left"] == len(names) - 2


def test_texts_alone_need_no_media(tmp_path):
    with opened(write_texts(tmp_path, 1)) as (client, _):
        refused(client.get("/media/1/0"), 404)
