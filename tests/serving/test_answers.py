"""What the routes answer: as `predict` does, in the published form, with one body for every refusal."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from serving_kit import opened, refusal

CLASSES = ["anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"]


def predicted(affectkit, *words):
    affectkit("predict", *words[:-1], "-o", words[-1])
    frame = pd.read_csv(words[-1], keep_default_na=False)
    return frame[[f"prob_{name}" for name in CLASSES]].to_numpy(float)


def probabilities(said):
    return np.array([said["probabilities"][name] for name in CLASSES])


@pytest.mark.parametrize("segment_ms, overlap_ms", [(8000, 0), (1000, 0), (700, 350), (333, 0), (100, 0)])
def test_segments_are_those_of_predict_in_every_length(
    client, affectkit, clips, models, tmp_path, segment_ms, overlap_ms
):
    options = ["--window", segment_ms / 1000, "--stride", (segment_ms - overlap_ms) / 1000, "--on-error", "skip"]
    expected = predicted(affectkit, "--model-dir", models["audio"], clips[0], *options, tmp_path / "windows.csv")
    fields = {"segment_ms": segment_ms, "overlap_ms": overlap_ms, "model": "audio"}
    answer = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data=fields).json()
    windows = pd.read_csv(tmp_path / "windows.csv")
    segments = [part for part in answer["segments"] if "error" not in part]
    assert [part["startMs"] for part in segments] == [round(1000 * t) for t in windows["start_sec"]]
    np.testing.assert_allclose(np.array([*map(probabilities, segments)]), expected, atol=1e-6)
    reasons = [part["error"]["message"] for part in answer["segments"] if "error" in part]
    assert all("too short" in reason and "/" not in reason for reason in reasons)


def test_many_files_in_one_request_are_those_of_predict(client, affectkit, clips, models, tmp_path):
    expected = predicted(affectkit, "--model-dir", models["audio"], *clips, tmp_path / "all.csv")
    files = [("files", clip.read_bytes()) for clip in clips]
    answer = client.post("/v1/predict", files=files, data={"model": "audio"}).json()
    said = [probabilities(result["answers"]["label"]) for result in answer["results"]]
    np.testing.assert_allclose(np.array(said), expected, atol=1e-6)


def test_a_fused_calibrated_chain_answers_as_predict_does(client, affectkit, models, speech, tmp_path):
    rows = pd.read_csv(speech / "folds" / "folds.csv", keep_default_na=False).head(6)
    root = json.loads((speech / "folds" / "summary.json").read_text())["corpora"]["emodb"]["root"]
    rows = rows.assign(id=[f"new{n}" for n in range(6)], path=[f"{root}/{path}" for path in rows["path"]])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = ["--model-dir", models["fused"], "--manifest", tmp_path / "rows.csv", "--include-fit"]
    expected = predicted(affectkit, *words, tmp_path / "out.csv")
    files = [("files", Path(path).read_bytes()) for path in rows["path"]]
    answer = client.post("/v1/predict", files=files, data={"text": list(rows["text"]), "language": "de"}).json()
    said = [probabilities(result["answers"]["label"]) for result in answer["results"]]
    np.testing.assert_allclose(np.array(said), expected, atol=1e-6)
    form = {"text": rows["text"][0], "language_hint": "de"}
    analysis = client.post("/ser/analyze", files={"file": files[0][1]}, data=form).json()
    np.testing.assert_allclose(probabilities(analysis["overall"]), expected[0], atol=1e-6)
    assert analysis["calibrated"] and analysis["fusion"]["ready"] and analysis["fusion"]["temperature"] > 0
    assert analysis["fusion"]["scores"]["ANGRY"] == pytest.approx(expected[0][0], abs=1e-6)


def test_the_published_answer_has_its_fields(client, clips):
    answer = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data={"model": "audio"}).json()
    assert {"overall", "segments", "audioSummary", "textFeatures", "fusion", "meta"} <= answer.keys()
    assert answer["overall"].keys() >= {"emotionCode", "confidence", "probabilities", "entropy", "abstain"}
    assert answer["segments"][0].keys() >= {"startMs", "endMs", "emotionCode", "confidence"}
    heard = answer["audioSummary"]
    values = np.array(
        [heard[f"audio_prob_{name}"] for name in ("ang", "hap", "neu", "sad", "boredom", "disgust", "fear")]
    )
    assert heard["audio_confidence"] == values.max()
    assert heard["audio_entropy"] == pytest.approx(-(values * np.log(values)).sum())
    meta = {"model", "engine", "routeLanguage", "routingStrategy", "languageHint", "sampleRate", "durationMs"}
    assert answer["meta"].keys() >= meta | {"fusionEnabled"}
    assert answer["textFeatures"]["text_neutral"] == 1.0
    assert {"receiveMs", "decodeMs", "queueMs", "inferenceMs", "totalMs"} <= answer["timings"].keys()
    assert len(answer["meta"]["modelDigest"]) == 64


def test_without_a_text_the_acoustic_model_answers_and_is_named(client, clips):
    answer = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}).json()
    assert answer["fusion"]["enabled"] and not answer["fusion"]["ready"]
    assert answer["fusion"]["fallback"] == answer["meta"]["model"] == "fused/model/audio"
    alone = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data={"model": "audio"}).json()
    assert answer["overall"] == alone["overall"]


@pytest.mark.parametrize("text, without", [("😀", []), ("", ["text"]), ("so " * 3333 + "x", []), ("我很难过", [])])
def test_any_transcript_is_fused(client, clips, text, without):
    answer = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data={"text": text}).json()
    assert answer["fusion"]["ready"] and answer["fusion"]["without"] == without
    assert answer["textFeatures"]["text_length_norm"] == min(1.0, len(text) / 256)
    assert sum(answer["overall"]["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "text, hint, language, wrong", [("我很难过", "en", "zh", True), ("I am sad", "zh-CN", "en", True),
                                    ("I am sad", "en_US", "en", False), ("😀", "zh", "zh", False)]
)  # fmt: skip
def test_a_wrong_language_hint_is_reported(client, clips, text, hint, language, wrong):
    form = {"text": text, "language_hint": hint}
    meta = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data=form).json()["meta"]
    assert meta["language"] == language
    assert any("language_hint" in warning for warning in meta["warnings"]) == wrong


def test_text_features_of_a_request_are_completed(client, clips):
    form = {"model": "audio", "text_negative_score": 0.25}
    answer = client.post("/ser/analyze", files={"file": clips[0].read_bytes()}, data=form).json()
    assert answer["textFeatures"] == {
        "text_negative": 0.25, "text_neutral": 0.75, "text_positive": 0.0, "text_negative_score": 0.25,
        "text_length_norm": 0.0,
    }  # fmt: skip


def test_texts_and_tables_are_answered_in_json(client, affectkit, models, tmp_path):
    answer = client.post("/v1/predict", json={"model": "text", "texts": ["Der Lappen", "das Tuch"]}).json()
    assert [result["answers"]["label"]["prediction"] for result in answer["results"]]
    rows = [{"height": 0.1, "slope": -0.4}, {"height": 1.3, "slope": None}]
    table = "id,height,slope\na,.1,-.4\nb,1.3,\n"
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "m.csv").write_text("id\na\nb\n")
    words = ["--model-dir", models["table"], "--manifest", tmp_path / "m.csv", "--features", tmp_path / "t.csv"]
    affectkit("predict", *words, "-o", tmp_path / "out.csv")
    expected = pd.read_csv(tmp_path / "out.csv")["prob_high"]
    answer = client.post("/v1/predict", json={"model": "table", "rows": rows}).json()
    said = [result["answers"]["label"]["probabilities"]["high"] for result in answer["results"]]
    np.testing.assert_allclose(said, expected, atol=1e-6)


def test_sentiment_is_the_models_and_nothing_said_is_neutral(client):
    said = client.post("/text/sentiment", json={"text": "Der Lappen", "language": "de"}).json()
    assert said["label"] in CLASSES and said["meta"]["model"] == "text"
    assert sum(said["scores"].values()) == pytest.approx(1)
    empty = client.post("/text/sentiment", json={"text": " "}).json()
    assert empty["label"] == "neutral" and empty["meta"]["model"] == "empty" and empty["abstain"]


def test_one_bad_file_of_several_has_an_error_in_its_place(client, clips):
    files = [("files", clips[0].read_bytes()), ("files", b"no sound"), ("files", clips[1].read_bytes())]
    results = client.post("/v1/predict", files=files, data={"model": "audio"}).json()["results"]
    assert [("error" in result) for result in results] == [False, True, False]
    assert results[1]["error"]["details"]["file"] == 1


@pytest.mark.parametrize(
    "method, path, arguments, status, code",
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("DELETE", "/health", {}, 405, "method_not_allowed"),
        ("POST", "/ser/analyze", {"content": b"x"}, 415, "unsupported_media_type"),
        ("POST", "/ser/analyze", {"data": {"segment_ms": 5}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"overlap_ms": 8000}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"text_negative": "nan"}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"segment_ms": -1}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"language_hint": "e\0n"}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"text": ["a", "b"]}, "files": {"file": b"x"}}, 422, "validation"),
        ("POST", "/ser/analyze", {"data": {"columns": "{"}, "files": {"file": b"x"}}, 400, "bad_request"),
        ("POST", "/ser/analyze", {"data": {"a": "b"}}, 415, "unsupported_media_type"),
        ("POST", "/ser/analyze", {"data": {"text": "x" * 500_000}, "files": {"file": b"x"}}, 413, "too_large"),
        ("PUT", "/ser/analyze", {"content": b"x"}, 405, "method_not_allowed"),
        ("OPTIONS", "/v1/predict", {}, 405, "method_not_allowed"),
        ("POST", "/v1/predict", {"json": {"model": "text", "rows": [{"height": 1}]}}, 422, "input"),
        ("POST", "/v1/predict", {"json": {"model": "table", "texts": ["so"]}}, 422, "input"),
        ("POST", "/v1/predict", {"files": {"files": b"x"}, "data": {"model": "audio", "text": "so"}}, 422, "input"),
        ("POST", "/ser/analyze", {"data": {"model": "none"}, "files": {"file": b"x"}}, 404, "no_such_model"),
        ("POST", "/ser/analyze", {"data": {"model": "text"}, "files": {"file": b"x"}}, 422, "input"),
        ("POST", "/ser/analyze", {"files": [("file", b"x"), ("file", b"y")]}, 422, "validation"),
        ("POST", "/v1/predict", {"json": {"model": "text", "texts": []}}, 422, "validation"),
        ("POST", "/v1/predict", {"json": {"model": "audio", "texts": ["x"]}}, 422, "input"),
        ("POST", "/v1/predict", {"json": {"model": "table", "rows": [{"height": 1}]}}, 422, "input"),
        ("POST", "/v1/predict", {"json": {"surprise": 1}}, 422, "validation"),
        ("POST", "/v1/predict", {"json": {"model": "text", "texts": ["x"] * 65}}, 413, "too_large"),
        ("POST", "/text/sentiment", {"content": b"{"}, 400, "bad_request"),
        ("POST", "/text/sentiment", {"json": {}}, 422, "validation"),
        ("POST", "/text/sentiment", {"json": {"text": "x" * 100_001}}, 413, "too_large"),
        ("POST", "/asr/transcribe", {"files": {"file": b"x"}}, 501, "not_configured"),
    ],
)  # fmt: skip
def test_every_refusal_has_the_one_body(client, method, path, arguments, status, code):
    refusal(client.request(method, path, **arguments), status, code)


def test_states_models_and_metrics(client, models):
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["models"] == ["fused", "audio", "text", "table"]
    assert client.get("/warmup").json() == {"status": "ok", "models": health["models"], "problems": {}}
    described = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert described["fused"]["reads"] == ["audio", "text"] and described["fused"]["calibrated"]
    assert described["table"]["columns"] == ["height", "slope"]
    told = client.get("/metrics").text
    for name in ("queue_wait_seconds", "batch_rows", "batch_padding_share", "audio_seconds_total", "decode_seconds"):
        assert f"affectkit_{name}" in told
    assert "affectkit_answers_total{answer=" in told and "affectkit_inference_seconds_bucket" in told


def test_openapi_describes_what_can_be_asked(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/ser/analyze", "/text/sentiment", "/v1/predict", "/v1/models", "/health"} <= paths.keys()
    assert "/asr/transcribe" not in paths  # this service has no transcriber
    posted = paths["/v1/predict"]["post"]
    assert posted["requestBody"]["content"].keys() == {"multipart/form-data", "application/json"}
    assert posted["responses"]["200"]["content"]["application/json"]["example"]["results"]
    assert "error" in posted["responses"]["429"]["content"]["application/json"]["example"]


def test_a_token_is_asked_for_where_there_is_one(models):
    with opened({"text": models["text"]}, token="secret") as client:
        refusal(client.get("/v1/models"), 401, "unauthorized")
        refusal(client.get("/v1/models", headers={"authorization": "Bearer wrong"}), 401)
        assert client.get("/v1/models", headers={"authorization": "Bearer secret"}).status_code == 200
        assert client.get("/livez").status_code == client.get("/").status_code == 200


def test_the_page_asks_nobody_else(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("/", "/page.js", "/page.css"):
        text = client.get(name).text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text
