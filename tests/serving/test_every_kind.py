"""/v1/predict for every kind of model: what `affectkit predict` says of the same files, many in one request."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from serving_kit import opened, refusal

LABELS, FACES = ("anger", "happiness"), 6
TEXTS = ["I love it", "this is awful", "so what", "我很难过", "今天真开心"]


@pytest.fixture(scope="session")
def kinds(made_once, models, speech, affectkit_once):
    """Folders by kind, and manifests of what each reads: `sound.csv`, `faces.csv`, `texts.csv`."""
    from PIL import Image

    run = affectkit_once

    def make(root):
        root.mkdir()
        rows = pd.read_csv(speech / "folds/folds.csv", keep_default_na=False)
        corpus = json.loads((speech / "folds/summary.json").read_text())["corpora"]["emodb"]["root"]
        rows = rows.assign(path=[f"{corpus}/{path}" for path in rows["path"]])
        rows = rows.assign(language=np.where(np.arange(len(rows)) % 2, "en", "zh"))
        rows.to_csv(root / "sound.csv", index=False)
        few = rows.groupby("label").head(3).drop(columns="fold")
        few.assign(split=["train", "val", "test"] * (len(few) // 3)).to_csv(root / "few.csv", index=False)
        draw = np.random.default_rng(0)
        for n in range(FACES):
            Image.fromarray(draw.integers(0, 255, (48, 40, 3), dtype=np.uint8)).save(root / f"face{n}.png")
        parts = ["train", "train", "val", "val", "test", "test"]
        faces = {"id": [f"f{n}" for n in range(FACES)], "path": [f"{root}/face{n}.png" for n in range(FACES)]}
        pd.DataFrame({**faces, "label": LABELS * 3, "split": parts}).to_csv(root / "faces.csv", index=False)
        texts = {"id": [f"t{n}" for n in range(5)], "text": TEXTS, "language": ["en"] * 3 + ["zh"] * 2}
        pd.DataFrame(texts).to_csv(root / "texts.csv", index=False)
        run("import-model", "lexicon", "--manifest", root / "texts.csv", "-o", root / "lexicon")
        network = ["--model", "tiny-random:bert", "--device", "cpu"]
        run("import-model", "hf-text", *network, "--manifest", root / "texts.csv", "-o", root / "hf-text")
        how = ["--epochs", 1, "--device", "cpu", "-o"]
        for name, base, manifest in (("speech", "wav2vec2", "few"), ("image", "open_clip", "faces")):
            words = ["--manifest", root / f"{manifest}.csv", "--base-model", f"tiny-random:{base}"]
            run("finetune", *words, *how, root / name)
        train = ["train", "--cv", "--c-grid", ".1,1", "--manifest", root / "sound.csv", "--features"]
        run(*train, speech / "egemaps", "-o", root / "zh")
        run(*train, models["text"].parent / "ngrams", "-o", root / "words")
        run("fuse", f"audio={root / 'zh'}", f"text={root / 'words'}", "--rule", "mean", "-o", root / "mean")
        run("calibrate", root / "mean", "--method", "temperature", "-o", root / "en")
        route = ["--rule", "route", "--by", "language", "--default", "zh", "--manifest", root / "sound.csv"]
        run("fuse", f"en={root / 'en'}", f"zh={root / 'zh'}", *route, "-o", root / "routed")
        per = ["--method", "temperature", "--per", "language", "--min-rows", 5, "--bundle"]
        run("calibrate", root / "routed", *per, "-o", root / "chain")

    root = made_once("kinds", make)
    folders = {name: root / name for name in ("speech", "image", "hf-text", "lexicon", "chain")}
    return root, {**folders, "features": models["audio"], "fused": models["fused"]}


@pytest.fixture(scope="module")
def client(kinds):
    """All of them, the chain as the default."""
    with opened({"chain": kinds[1]["chain"], **kinds[1]}) as client:
        yield client


def values_of(answer):
    """[N, K] of a request's answers."""
    said = [next(iter(result["answers"].values())) for result in answer["results"]]
    return np.array([list(one["probabilities"].values()) for one in said], float)


def predicted(affectkit, folder, manifest, output):
    affectkit(
        "predict", "--model-dir", folder, "--manifest", manifest, "--device", "cpu", "--include-fit", "-o", output
    )
    return pd.read_csv(output).filter(regex="(^|_)prob_").to_numpy(float)


@pytest.mark.parametrize("kind, manifest", [("speech", "sound"), ("image", "faces"), ("features", "sound")])
def test_files_are_answered_as_predict_answers_them(client, affectkit, kinds, tmp_path, kind, manifest):
    root, folders = kinds
    rows = pd.read_csv(root / f"{manifest}.csv").head(8)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    expected = predicted(affectkit, folders[kind], tmp_path / "rows.csv", tmp_path / "out.csv")
    files = [("files", Path(path).read_bytes()) for path in rows["path"]]
    answer = client.post("/v1/predict", files=files, data={"model": kind}).json()
    np.testing.assert_allclose(values_of(answer), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-4  # of rows that differ


@pytest.mark.parametrize("kind", ["hf-text", "lexicon"])
def test_texts_are_answered_as_predict_answers_them(client, affectkit, kinds, tmp_path, kind):
    root, folders = kinds
    expected = predicted(affectkit, folders[kind], root / "texts.csv", tmp_path / "out.csv")
    body = {"model": kind, "texts": TEXTS}
    np.testing.assert_allclose(values_of(client.post("/v1/predict", json=body).json()), expected, atol=1e-6)
    files = [("files", text.encode()) for text in TEXTS]
    answer = client.post("/v1/predict", files=files, data={"model": kind}).json()
    np.testing.assert_allclose(values_of(answer), expected, atol=1e-6)


def test_a_routed_calibrated_chain_answers_each_row_by_its_language(client, affectkit, kinds, tmp_path):
    """Chinese rows by the acoustic model, English ones by the calibrated fusion; then calibrated by language."""
    root, folders = kinds
    rows = pd.read_csv(root / "sound.csv").head(8)
    expected = {}
    for language in ("en", "zh", "fr"):  # French by the default
        rows.assign(language=language).to_csv(tmp_path / "rows.csv", index=False)
        output = tmp_path / f"{language}.csv"
        expected[language] = predicted(affectkit, folders["chain"], tmp_path / "rows.csv", output)
        files = [("files", Path(path).read_bytes()) for path in rows["path"]]
        form = {"model": "chain", "text": list(rows["text"]), "columns": json.dumps({"language": language})}
        answer = client.post("/v1/predict", files=files, data=form).json()
        assert answer["calibrated"]
        np.testing.assert_allclose(values_of(answer), expected[language], atol=1e-6)
    assert np.abs(expected["en"] - expected["zh"]).max() > 1e-3

    acoustic = {}
    for hint, text, fused in [("en-GB", rows["text"][0], True), ("fr", rows["text"][0], False), ("zh", None, False)]:
        form = {"language_hint": hint, **({"text": text} if text else {})}
        answer = client.post("/ser/analyze", files={"file": files[0][1]}, data=form).json()
        assert answer["fusion"]["ready"] == answer["fusion"]["enabled"] == fused
        said = list(answer["overall"]["probabilities"].values())
        np.testing.assert_allclose(said, expected[hint[:2]][0], atol=1e-6)
        acoustic[hint] = list(answer["segments"][0]["probabilities"].values())
    alone = predicted(affectkit, root / "zh", tmp_path / "rows.csv", tmp_path / "alone.csv")[0]
    for segment in acoustic.values():  # here the fusion's acoustic model is the other branch too
        np.testing.assert_allclose(segment, alone, atol=1e-6)


def test_which_columns_a_request_may_bring_is_what_the_chain_decides_by(client, kinds):
    described = {model["id"]: model["columns"] for model in client.get("/v1/models").json()["models"]}
    assert described["chain"] == ["language"] and described["fused"] == described["speech"] == []
    body = {"model": "lexicon", "texts": ["so"], "columns": {"language": "en"}}
    assert "no use for the column language" in refusal(client.post("/v1/predict", json=body), 422, "input")["message"]


def test_a_column_that_no_request_brings_by_itself_is_asked_for(models, kinds, affectkit, tmp_path):
    sound = kinds[0] / "sound.csv"
    rows = ["--rule", "route", "--by", "sex", "--unknown", "error", "--manifest", sound]
    affectkit("fuse", f"male={models['audio']}", f"female={models['audio']}", *rows, "-o", tmp_path / "by_sex")
    content = Path(pd.read_csv(sound)["path"][0]).read_bytes()
    with opened({"by_sex": tmp_path / "by_sex"}) as client:
        assert client.get("/warmup").json()["problems"] == {}
        for route, name in (("/ser/analyze", "file"), ("/v1/predict", "files")):
            said = refusal(client.post(route, files={name: content}), 422, "input")
            assert "needs the column sex" in said["message"] and said["details"] == {"columns": ["sex"]}
            form = {"columns": '{"sex": "female"}'}
            assert client.post(route, files={name: content}, data=form).status_code == 200
        unknown = client.post("/v1/predict", files={"files": content}, data={"columns": '{"sex": "x"}'})
        assert "sex 'x' is none of" in refusal(unknown, 422)["message"]


def test_a_route_without_a_default_goes_by_the_text(kinds, affectkit, tmp_path):
    how = ["--rule", "route", "--by", "language", "--unknown", "error", "--manifest", kinds[0] / "sound.csv"]
    affectkit("fuse", f"en={kinds[0] / 'en'}", f"zh={kinds[0] / 'zh'}", *how, "-o", tmp_path / "two")
    content = Path(pd.read_csv(kinds[0] / "sound.csv")["path"][0]).read_bytes()
    with opened({"two": tmp_path / "two"}) as client:

        def answer(**form):
            return client.post("/ser/analyze", files={"file": content}, data=form)

        english, chinese = answer(text="I am sad").json(), answer(text="我很难过").json()
        assert english["fusion"]["ready"] and not chinese["fusion"]["enabled"]
        assert chinese["meta"]["language"] == "zh" and chinese["meta"]["warnings"] == []
        assert "language 'fr' is none of en, zh" in refusal(answer(language_hint="fr"), 422, "input")["message"]
        assert refusal(answer(), 422, "input")


def test_a_chain_whose_parent_was_edited_is_refused_by_name(kinds, affectkit, tmp_path, monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda server: pytest.fail("it serves"))
    copy = tmp_path / "chain"
    shutil.copytree(kinds[1]["chain"], copy)
    [deepest] = [
        path for path in copy.rglob("fusion.json") if json.loads(path.read_text())["sources"] == ["audio", "text"]
    ]
    deepest.write_text(deepest.read_text() + " ")
    said = affectkit("serve", copy, code=1).output
    assert "chain" in said and "changed since" in said


# --- Texts without a folder


def test_the_lexicon_needs_no_folder(kinds, affectkit, tmp_path):
    root, folders = kinds
    expected = predicted(affectkit, folders["lexicon"], root / "texts.csv", tmp_path / "out.csv")
    with opened({"audio": folders["features"]}, variables={"TEXT_ENGINE": "lexicon"}) as client:
        for text, row in zip(TEXTS, expected, strict=True):
            said = client.post("/text/sentiment", json={"text": text}).json()
            np.testing.assert_allclose(
                [said["scores"][name] for name in ("negative", "neutral", "positive")], row, atol=1e-6
            )
        assert client.get("/warmup").json()["problems"] == {}
        german = refusal(client.post("/text/sentiment", json={"text": "Na gut", "language": "de"}), 422, "input")
        assert "no lexicon of 'de'" in german["message"]
        long = client.post("/text/sentiment", json={"text": "so good " * 1250, "language": "zh"}).json()
        assert long["label"] == "positive" and "language is zh" in long["meta"]["warnings"][0]
        emoji = client.post("/text/sentiment", json={"text": "😀"}).json()
        assert emoji["scores"]["positive"] > emoji["scores"]["negative"]


def test_without_a_model_of_texts_the_remedy_is_said(models):
    with opened({"audio": models["audio"]}) as client:
        said = refusal(client.post("/text/sentiment", json={"text": "so"}), 501, "not_configured")
        assert "TEXT_ENGINE=lexicon" in said["details"]["remedy"]
