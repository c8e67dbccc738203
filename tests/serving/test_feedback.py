"""Corrections over HTTP: written before they are answered, once each, in the journal that `label` writes too."""

import os

import pytest
from serving_kit import opened, refusal

from affectkit.artifacts.annotations import open_journal, read_annotations
from affectkit.labels import Target

SAID = {"id": "r01", "annotator": "ann", "labels": {"label": "high"}, "comment": "<b>\x1b[31m", "key": "k1"}


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    path = tmp_path_factory.mktemp("feedback") / "labels.jsonl"
    with opened({"table": models["table"]}, feedback=path) as client:
        client.headers["host"] = "127.0.0.1:8001"
        yield client, path


def test_a_correction_is_written_once_and_read_as_a_label(served):
    client, path = served
    for new in (True, False):
        assert client.post("/v1/feedback", json=SAID).json() == {"key": "k1", "new": new, "request_id": "test"}
    found = read_annotations(path)
    [given] = [each for each in found.given if each.key == "k1"]
    assert (given.id, given.labels, given.comment, given.tool) == ("r01", {"label": "high"}, SAID["comment"], "serve")
    assert given.at and found.targets["label"].classes == ("high", "low")
    unnamed = client.post("/v1/feedback", json={**SAID, "key": "", "id": "r02"}).json()
    assert unnamed["new"] and len(unnamed["key"]) == 36
    assert client.get("/health").json()["feedbackReady"]
    assert "/v1/feedback" in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"labels": {"label": "tall"}}, 422, "label 'tall' is not in high, low"),
        ({"labels": {"mood": "tall"}}, 422, "no target 'mood'"),
        ({"labels": {}}, 422, "labels"),
        ({"comment": "c" * 4001}, 422, "comment"),
        ({"annotator": ""}, 422, "annotator"),
        ({"annotator": " "}, 422, "'annotator' is empty"),
        ({"extra": 1}, 422, "extra"),
        ({"id": "r03"}, 422, "another answer already"),
    ],
)  # fmt: skip
def test_what_is_no_correction_is_refused(served, change, status, why):
    client, path = served
    client.post("/v1/feedback", json=SAID)
    before = path.read_bytes()
    answer = client.post("/v1/feedback", json={**SAID, "key": "k1" if "id" in change else "k2", **change})
    assert why in refusal(answer, status)["message"]
    assert path.read_bytes() == before


def test_pages_of_other_sites_cannot_correct(served):
    client, path = served
    before = path.read_bytes()
    answer = client.post("/v1/feedback", json={**SAID, "key": "k3"}, headers={"origin": "http://evil.example"})
    refusal(answer, 403)
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post("/v1/feedback", content=b'{"id": "r"}', headers={"content-type": kind})
        refusal(answer, 415)
    assert path.read_bytes() == before
    for host in ("evil.example", "evil.example:8001", "127.0.0.1.evil.example", ""):
        answer = client.post("/v1/feedback", json={**SAID, "key": "k4"}, headers={"host": host})
        refusal(answer, 421)
    assert path.read_bytes() == before
    own = {"origin": "http://127.0.0.1:8001"}
    assert client.post("/v1/feedback", json={**SAID, "key": "k4"}, headers=own).status_code == 200


def test_nothing_is_acknowledged_that_the_disk_did_not_take(served, monkeypatch):
    client, path = served
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        answer = client.post("/v1/feedback", json={**SAID, "key": "k5"})
        assert answer.headers["retry-after"] == "10" and str(path) not in answer.text
        refusal(answer, 507)
    assert path.read_bytes() == before
    assert client.post("/v1/feedback", json={**SAID, "key": "k5"}).json()["new"]


def test_with_a_token_any_name_will_do(models, tmp_path):
    with opened({"table": models["table"]}, feedback=tmp_path / "l.jsonl", token="t") as client:
        names = {"host": "affect.example", "authorization": "Bearer t"}
        assert client.post("/v1/feedback", json=SAID, headers=names).json()["new"]
        refusal(client.post("/v1/feedback", json=SAID, headers={"host": "127.0.0.1"}), 401)


def test_without_a_file_it_is_not_offered(models):
    with opened({"table": models["table"]}) as client:
        answer = client.post("/v1/feedback", json=SAID)
        assert "--feedback" in refusal(answer, 501)["details"]["remedy"]
        assert not client.get("/health").json()["feedbackReady"]
        assert "/v1/feedback" not in client.get("/openapi.json").json()["paths"]


def test_what_cannot_be_written_is_said_before_anything_listens(models, tmp_path, affectkit):
    path, line = tmp_path / "labels.jsonl", ("serve", models["table"], "--feedback")
    with open_journal(path, [Target("label", "class", ("joy",))]):
        assert "another process" in affectkit(*line, path, "--port", 0, code=1).stderr
    assert "has labels of label with joy" in affectkit(*line, path, "--port", 0, code=1).stderr
    two = affectkit("serve", models["table"], models["text"], "--feedback", tmp_path / "new", "--port", 0, code=2)
    assert "the models differ in what label is, as text does" in two.stderr
    several = affectkit(*line, tmp_path / "new", "--workers", 2, "--port", 0, code=2)
    assert "written by one process" in several.stderr
