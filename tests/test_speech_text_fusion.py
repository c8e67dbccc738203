"""From recordings in two languages to answers of a service: every command of the chain, then load, then the end."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "serving"))
from serving_kit import process, status_of, wait_until

httpx = pytest.importorskip("httpx")
pytest.importorskip("opensmile")
pytest.importorskip("fastapi")
# One study of half a minute; tests of routes, served kinds and transcripts have smaller ones.
pytestmark = pytest.mark.slow
LANGUAGES = ("en", "zh")
PARTS = ("train", "val", "test", "train")  # of a language's speakers, in turn
CLASSES = "angry,happy,neutral,sad"
SMALL = ("--head", "mean", "--epochs", 1, "--learning-rate", "3e-3", "--batch-size", 16, "--device", "cpu")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A bilingual corpus whose words tell the emotion, one model of voice and one of words for each language, routed,
    fused, calibrated by language and selected into `best`. Rows of val are cross-fitted, those of test held out."""
    from affectkit.cli import app

    root = tmp_path_factory.mktemp("bilingual")

    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, (words, result.output, result.exception)

    run("synthesize", "esd", root / "corpus", "--size", 200, "--speakers", 8, "--sentences", "telling")
    write_split(root / "corpus", root / "split.csv")
    prepare = ("prepare-manifest", "esd", root / "corpus", "--labels", CLASSES, "--split-by", root / "split.csv")
    for name, only in {"all": (), "en": ("--only", "english"), "zh": ("--only", "mandarin")}.items():
        run(*prepare, *only, "-o", root / f"manifest-{name}")
        heard = ("--model", "tiny-random:whisper", "--device", "cpu", "--asr-cache-json", root / "heard.json")
        run("transcribe", "--manifest", root / f"manifest-{name}", *heard, "-o", root / name)
    run("extract-features", "--manifest", root / "all", "--encoder", "opensmile", "-o", root / "egemaps")
    run("extract-features", "--manifest", root / "all", "--encoder", "text-ngrams", "-o", root / "ngrams")
    for language in LANGUAGES:
        train = ("train", "--cv", "--manifest", root / language, "--features")
        run(*train, root / "egemaps", "-o", root / f"audio-{language}")
    run(*train[:-2], root / "en", "--features", root / "ngrams", "-o", root / "text-en")
    line = ("finetune", "--cv", "--manifest", root / "zh", "--base-model", "tiny-random:bert", *SMALL)
    run(*line, "-o", root / "text-zh")
    for source in ("audio", "text"):
        sources = [f"{language}={root / source}-{language}" for language in LANGUAGES]
        route = ("--rule", "route", "--by", "language", "--default", "zh", "--manifest", root / "all")
        run("fuse", *sources, *route, "-o", root / source)
    sources = [f"{source}={root / source}" for source in ("audio", "text")]
    run("fuse", *sources, "--rule", "mlp", "--gate", "audio", "--manifest", root / "all", "-o", root / "gated")
    calibrate = ("calibrate", root / "gated", "--method", "temperature", "--per", "language", "--min-rows", 20)
    run(*calibrate, "--manifest", root / "all", "-o", root / "calibrated")
    run("select", root / "calibrated", "--by", "val_macro_f1", "-o", root / "best", "--replace-stable")
    run("predict", "--model-dir", root / "best", "--manifest", root / "all", "-o", root / "test.csv", "--split", "test")
    return root


def write_split(corpus, path):
    """Whole speakers; both languages have some in every part. Speakers 0001 to 0010 speak Mandarin."""
    files = sorted(corpus.glob("*/*/*/*.wav"))
    speakers = sorted({file.stem[:4] for file in files})
    part = {name: PARTS[place % len(PARTS)] for place, name in enumerate(speakers)}
    with path.open("w", newline="") as table:
        csv.writer(table).writerows([("id", "split"), *((file.stem, part[file.stem[:4]]) for file in files)])


@pytest.fixture(scope="module")
def rows(study):
    """The test rows, and what `predict` says of them."""
    said = pd.read_csv(study / "test.csv", dtype={"id": str}).set_index("id")
    rows = pd.read_csv(study / "all" / "test.csv", dtype=str).set_index("id")
    assert set(rows["language"]) == set(LANGUAGES) and (said["seen"] == "heldout").all()
    return rows.join(said.filter(like="prob_"))


def ask(address, study, row, route="/v1/predict", **more):
    content = (study / "corpus" / row["path"]).read_bytes()
    name, hint = ("files", "language") if route == "/v1/predict" else ("file", "language_hint")
    data = {"text": row["text"], hint: row["language"], **more}
    return httpx.post(address + route, files={name: ("clip.wav", content)}, data=data, timeout=120)


@pytest.mark.processes
def test_under_load_each_row_gets_the_answer_of_predict_and_the_end_is_clean(study, rows):
    columns = list(rows.filter(like="prob_"))
    asked = [row for _, row in rows.iterrows()]
    analyze = {"route": "/ser/analyze", "segment_ms": 8000}
    with process(study / "best") as (served, address), ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda row: ask(address, study, row), asked))
        analyses = list(clients.map(lambda row: ask(address, study, row, **analyze), asked))
        late = [clients.submit(ask, address, study, row) for row in asked]
        wait_until(lambda: any(answer.done() for answer in late), 60, served)
        os.kill(served.pid, signal.SIGTERM)
        statuses = [status for answer in late if (status := status_at_the_end(answer)) is not None]
        assert set(statuses) <= {200, 503} and 200 in statuses
        assert served.wait(30) == 0
        assert status_of(f"{address}/livez") is None
    for row, answer, analysis in zip(asked, answers, analyses, strict=True):
        expected = row[columns].astype(float)
        [result] = answer.json()["results"]
        assert list(result["answers"]["label"]["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
        body = analysis.json()
        assert list(body["overall"]["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
        assert body["fusion"]["ready"] and body["fusion"]["without"] == []
        assert body["meta"]["language"] == row["language"] and body["meta"]["warnings"] == []


def status_at_the_end(answer):
    """None where the connection was refused: the service had closed its door."""
    try:
        return answer.result().status_code
    except httpx.TransportError:
        return None


def test_words_go_to_the_model_of_their_language_whatever_the_hint_says(study, rows):
    from serving_kit import opened

    chinese = rows[rows["language"] == "zh"].iloc[0]
    with opened({"best": study / "best"}) as client:
        content = (study / "corpus" / chinese["path"]).read_bytes()
        form = {"text": chinese["text"], "language_hint": "en"}
        body = client.post("/ser/analyze", files={"file": ("clip.wav", content)}, data=form).json()
        assert body["meta"]["language"] == "zh"
        assert body["meta"]["warnings"] == ["language_hint is en, and the text is zh: it counts as zh"]
        expected = chinese.filter(like="prob_").astype(float)
        assert list(body["overall"]["probabilities"].values()) == pytest.approx(expected, abs=1e-6)


def test_selected_is_one_folder_that_is_refused_by_name_where_a_parent_was_edited(study, tmp_path, affectkit):
    moved = shutil.copytree(study / "best", tmp_path / "moved")
    line = ("predict", "--manifest", study / "all", "--split", "test", "-o", tmp_path / "test.csv", "--model-dir")
    affectkit(*line, moved)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "test.csv"), pd.read_csv(study / "test.csv"))
    parent = moved / "best_model" / "parents" / "model" / "parents" / "text" / "parents" / "zh"
    (parent / "fit_rows.csv").write_text("id,group\n")
    said = affectkit("serve", moved, code=1).stderr
    assert str(parent) in said and "fit_rows.csv" in said


def test_recordings_that_nobody_wrote_down_are_heard_then_predicted(study, rows, tmp_path, affectkit):
    table = tmp_path / "new.csv"
    paths = [study / "corpus" / path for path in rows["path"][:2]]
    table.write_text("id,path\n" + "".join(f"r{place},{path}\n" for place, path in enumerate(paths)))
    line = ("--model", "tiny-random:whisper", "--device", "cpu", "--asr-cache-json", tmp_path / "heard.json")
    affectkit("transcribe", "--manifest", table, *line, "-o", tmp_path / "texts")
    affectkit("predict", "--model-dir", study / "best", "--manifest", tmp_path / "texts", "-o", tmp_path / "said.csv")
    said = pd.read_csv(tmp_path / "said.csv")
    assert said.filter(like="prob_").sum(axis=1).to_numpy() == pytest.approx(np.ones(2))


def test_each_language_has_its_own_temperature_and_figures(study, tmp_path, affectkit):
    report = json.loads((study / "calibrated" / "train_report.json").read_text())
    fitted = report["per_value"]["targets"]["label"]
    assert {language: value["rows"] for language, value in fitted.items()} == {"en": 60, "zh": 60}
    temperatures = {value["parameters"]["temperature"] for value in fitted.values()}
    assert len(temperatures) == 2
    line = ("evaluate", study / "best", "--manifest", study / "all", "--slices", "language")
    affectkit(*line, "-o", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Texts: 160 of the corpus" in page and "Texts: 80" not in page  # those of a language are among them
    slices = pd.read_csv(tmp_path / "report" / "slices.csv")
    assert set(slices["slice"]) >= {"language=en", "language=zh"}


@pytest.mark.figures
@pytest.mark.parametrize("sentences", ["telling", "parallel"])
def test_fusing_helps_where_words_tell_something_and_not_where_they_tell_nothing(sentences, tmp_path):
    """By the recipe, on twins of 20 speakers that say one or the other."""
    recipe = Path(__file__).parents[1] / "recipes" / "speech_text_fusion.sh"
    size = {"RUNS": str(tmp_path), "SIZE": "800", "SPEAKERS": "20", "SENTENCES": sentences}
    subprocess.run(["bash", recipe], env={**os.environ, **size}, check=True, capture_output=True)
    summary = json.loads((tmp_path / "speech_text_fusion" / "ablation" / "ablation_summary.json").read_text())
    subsets = summary["parts"]["oof"]["subsets"]
    audio, text = (subsets[name]["against"]["full"]["difference"] for name in ("audio_only", "text_only"))
    if sentences == "telling":
        assert audio["high"] < 0 and text["high"] < 0, "each source alone is worse than both"
    else:
        assert subsets["text_only"]["metrics"]["uar"]["value"] == pytest.approx(0.25, abs=0.03)
        assert audio["low"] <= 0 <= audio["high"], "words add nothing"
    report = json.loads((tmp_path / "speech_text_fusion" / "mlp" / "train_report.json").read_text())
    assert {verdict["helps"] for verdict in report["verdicts"]} == {sentences == "telling"}
