"""What nobody should send: refused with the one body, without harm to the next request."""

import shutil
import socket
import sys

import numpy as np
import pytest
from hostile import cases, streamed, wav
from serving_kit import opened, refusal, wait_until

from affectkit.serving.settings import settings_of

TONE = (0.3 * np.sin(np.arange(16000) / 5)).astype(np.float32)
FORM = {"content-type": "multipart/form-data; boundary=b"}


def test_hostile_uploads_are_refused_and_the_next_good_one_is_answered(client, capsys):
    uploads = cases()
    assert len(uploads) >= 30
    for name, content, file_name, kind in uploads:
        response = client.post("/ser/analyze", files={"file": (file_name, content, kind)}, data={"model": "audio"})
        assert response.status_code in (400, 413, 415, 422), (name, response.status_code, response.text)
        error = refusal(response, response.status_code)
        assert file_name not in response.text or len(file_name) < 9, name
        assert "\x1b" not in error["message"]
    assert client.post("/ser/analyze", files={"file": wav(TONE)}, data={"model": "audio"}).status_code == 200
    assert "passwd" not in capsys.readouterr().err


@pytest.mark.parametrize("rate", [1000, 384_000])
def test_odd_rates_that_a_recording_can_have_are_answered(client, rate):
    samples = (0.3 * np.sin(np.arange(2 * rate) / 50)).astype(np.float32)
    response = client.post("/ser/analyze", files={"file": wav(samples, rate)}, data={"model": "audio"})
    assert response.status_code == 200 and response.json()["meta"]["sampleRate"] == rate


@pytest.mark.parametrize("chunked", [False, True])
def test_bytes_are_counted_while_they_come(models, chunked):
    with opened({"text": models["text"]}, max_bytes=100_000) as client:
        content = (b"x" * 10_000 for _ in range(20)) if chunked else b"x" * 200_000
        refusal(client.post("/v1/predict", content=content, headers=FORM), 413, "too_large")


@pytest.mark.parametrize(
    "content, headers, status",
    [
        (b"", {"content-type": "multipart/form-data"}, 400),
        (b"--b\r\nno header", FORM, 400),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", FORM, 400),
        (b'{"texts": ["\\ud800"]}', {"content-type": "application/json"}, 400),
        (b'{"texts": ' + b"[" * 5000 + b"]" * 5000 + b"}", {"content-type": "application/json"}, 400),
        (b'{"rows": [{"height": 1e999}]}', {"content-type": "application/json"}, 400),
        (b"\xff\xfe", {"content-type": "application/json"}, 400),
    ],
)  # fmt: skip
def test_broken_bodies_are_refused(client, content, headers, status):
    refusal(client.post("/v1/predict", content=content, headers=headers), status)


def test_what_is_too_long_is_refused_before_it_is_decoded(models):
    with opened({"audio": models["audio"]}, max_seconds=1.5, max_segments=10) as client:
        long = client.post("/ser/analyze", files={"file": wav(np.tile(TONE, 2))})
        assert "limit is 1.5 s" in refusal(long, 413)["message"]
        many = client.post("/ser/analyze", files={"file": wav(TONE)}, data={"segment_ms": 20})
        assert "limit is 10" in refusal(many, 413)["message"]


def test_what_does_not_say_its_length_is_decoded_no_further_than_the_limit(models, tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    with opened({"audio": models["audio"]}, max_seconds=2) as client:
        long = client.post("/ser/analyze", files={"file": streamed(tmp_path, 8)})
        assert "is 3 s long: the limit is 2 s" in refusal(long, 413)["message"]
        short = client.post("/ser/analyze", files={"file": streamed(tmp_path, 1)})
        assert short.json()["meta"]["durationMs"] == pytest.approx(1000, abs=50)


def test_a_slow_answer_ends_in_time(models, monkeypatch):
    import threading

    from affectkit.serving import batching

    gate = threading.Event()
    with opened({"text": models["text"]}, request_seconds=0.3) as client:
        service = client.app.state.service
        monkeypatch.setattr(service.batcher, "compute", lambda *a: (gate.wait(5), batching.answer(*a))[1])
        refusal(client.post("/text/sentiment", json={"text": "so"}), 504, "timeout")
        gate.set()


def test_more_than_it_holds_is_refused_with_the_time_to_wait(models, monkeypatch):
    import threading

    gate, answers = threading.Event(), []
    with opened({"text": models["text"]}, queue_items=2) as client:
        service = client.app.state.service
        compute = service.batcher.compute
        monkeypatch.setattr(service.batcher, "compute", lambda *a: (gate.wait(5), compute(*a))[1])
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/text/sentiment", json={"text": "so"})))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) >= 4, 10)
        gate.set()
        for thread in threads:
            thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    refusal(refused, 429, "over_capacity")
    assert int(refused.headers["retry-after"]) >= 1


def test_one_row_that_spoils_a_batch_spoils_no_other(models, monkeypatch):
    from affectkit.errors import AffectkitError
    from affectkit.serving import models as served

    predict = served._predict

    def spoiled(model, rows, work):
        if any("bad" in row["text"] for row in rows):
            raise AffectkitError("input", "the answer is not a number")
        return predict(model, rows, work)

    monkeypatch.setattr(served, "_predict", spoiled)
    with opened({"text": models["text"]}) as client:
        results = client.post("/v1/predict", json={"texts": ["so", "bad", "gut"]}).json()["results"]
    assert [result.get("error", {}).get("code") for result in results] == [None, "input", None]


def test_what_cannot_be_served_is_refused_by_name(models, affectkit, tmp_path, monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda server: pytest.fail("it serves"))
    shutil.copytree(models["fused"], tmp_path / "changed")
    weights = tmp_path / "changed/best_model/parents/model/parents/audio/README.md"
    weights.write_bytes(weights.read_bytes() + b"x")
    result = affectkit("serve", tmp_path / "changed", code=1)
    assert "has changed since" in result.output and "changed" in result.output
    assert "no such model folder" in affectkit("serve", tmp_path / "none", code=1).output
    assert "no model to serve" in affectkit("serve", code=2).output
    twice = affectkit("serve", f"a={models['text']}", f"a={models['audio']}", code=2)
    assert "two models are called 'a'" in twice.output
    assert "no transcriber 'none'" in affectkit("serve", models["text"], "--transcriber", "none", code=2).output


def test_an_address_in_use_and_a_missing_library_are_said_before_models_are_loaded(models, affectkit, monkeypatch):
    monkeypatch.setattr("affectkit.serving.service.Service.load", lambda settings: pytest.fail("it loads"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = affectkit("serve", models["text"], "--port", taken.getsockname()[1], code=2).output
    assert "cannot listen on 127.0.0.1" in said and "--port" in said
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    assert "affectkit[serve]" in affectkit("serve", models["text"], code=1).output


def test_the_lexicon_takes_the_place_of_a_network_of_texts():
    settings = settings_of(variables={"TEXT_ENGINE": "lexicon", "TEXT_HF_MODEL": "network", "WHISPER_MODEL": "small"})
    assert [(model.name, model.path) for model in settings.models] == [("text", None)]
    assert settings.transcriber == "faster-whisper"


def test_variables_of_the_published_service_name_models_by_role(models):
    settings = settings_of(
        variables={
            "SER_HF_MODEL_DIR_EN": str(models["audio"]), "SER_HF_MODEL_DIR_ZH": str(models["audio"]),
            "SER_HF_ROUTING": "language", "SER_HF_DEFAULT_LANGUAGE": "zh", "SER_HF_DEVICE": "cpu",
            "TEXT_HF_MODEL": str(models["text"]), "TEXT_HF_ROUTING": "single", "FUSION_MODEL_DIR": str(models["fused"]),
            "WHISPER_MODEL": "tiny", "MAX_ASR_DURATION_MS": "60000", "SER_ENGINE": "hf_wav2vec2",
            "AFFECTKIT_SERVE_MAX_FILES": "3",
        }
    )  # fmt: skip
    assert [model.name for model in settings.models] == ["fusion", "audio-en", "audio-zh", "text"]
    assert settings.audio.choose("en") == ("audio-en", "en")
    assert settings.audio.choose(None) == ("audio-zh", "zh_default")
    assert settings.text.choose("zh") == ("text", "single")
    assert settings.fusion == "fusion" and settings.max_asr_duration_ms == 60_000 and settings.max_files == 3
    assert settings.models[1].device == "cpu" and settings.transcriber_model == "tiny"


@pytest.mark.parametrize(
    "variables, why",
    [({"AFFECTKIT_SERVE_MAX_FILE": "3"}, "no variable"), ({"AFFECTKIT_SERVE_MAX_FILES": "many"}, "is 'many'"),
     ({"SER_HF_ROUTING": "none"}, "SER_HF_ROUTING is 'none'"), ({"AFFECTKIT_SERVE_MAX_BYTES": "0"}, "BYTES is '0'")],
)  # fmt: skip
def test_a_variable_that_means_nothing_is_refused(variables, why):
    from affectkit.errors import AffectkitError

    with pytest.raises(AffectkitError, match=why):
        settings_of(variables=variables)
