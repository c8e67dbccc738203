"""Real networks give what they are known for: `make test-pretrained` fetches them, and skips what cannot be had."""

import json
import os
from pathlib import Path

import expressions
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from sklearn.datasets import load_sample_image

from affectkit import registry
from affectkit.artifacts.manifest import read_manifest
from affectkit.cli import run
from affectkit.media.images import read_image

pytestmark = pytest.mark.pretrained

FOLDER = Path(os.environ.get("AFFECTKIT_PRETRAINED", "runs/pretrained"))


def network(name):
    if not (FOLDER / name).exists():
        pytest.skip(f"{FOLDER / name} is not here: python tests/pretrained/fetch.py {FOLDER}")
    return FOLDER / name


def corpus(name):
    root = os.environ.get("AFFECTKIT_DATA")
    if not root or not (Path(root) / name).exists():
        pytest.skip(f"AFFECTKIT_DATA has no {name} here")
    return Path(root) / name


def affectkit(*words):
    return run([str(word) for word in words]).path


def metrics(folder):
    return json.loads((folder / "train_report.json").read_text())["metrics"]


def whisper_features(study, *options):
    manifest = affectkit("prepare-manifest", "emodb", corpus("emodb"), "--folds", "speaker", "-o", study / "manifest")
    words = ("--encoder", "hf-audio", "--checkpoint", network("whisper-base"), *options)
    return manifest, affectkit("extract-features", "-m", manifest, *words, "-o", study / "features")


def test_whisper_hears_emotion_where_functionals_hear_less(tmp_path):
    """All layers, weighed inside the folds: pooled UAR .893 [.855, .922] on 2026-11-29, ComParE .756."""
    manifest, features = whisper_features(tmp_path, "--layer", "all", "--padding", "none")
    model = affectkit("train", "-m", manifest, "--features", features, "--model", "mlp", "--cv", "-o", tmp_path / "mlp")
    assert metrics(model)["oof_uar"]["value"] > 0.85


def test_minilm_on_emobank(tmp_path):
    """Test CCC of valence .576 [.512, .634], arousal .366, dominance .241 on 2026-11-29; n-grams .499, .339, .200."""
    manifest = affectkit("prepare-manifest", "emobank", corpus("emobank"), "-o", tmp_path / "manifest")
    words = ("--encoder", "hf-text", "--checkpoint", network("minilm"))
    features = affectkit("extract-features", "-m", manifest, *words, "-o", tmp_path / "features")
    values = metrics(affectkit("train", "-m", manifest, "--features", features, "-o", tmp_path / "ridge"))
    expected = {"valence": 0.576, "arousal": 0.366, "dominance": 0.241}
    assert {t: values[f"test_{t}.ccc"]["value"] for t in expected} == pytest.approx(expected, abs=0.01)


# --- Speech, written down


def error_rates(folder):
    return json.loads((folder / "transcription.json").read_text())["errors"]["rates"]["all"]


@pytest.mark.parametrize(("engine", "name"), [("hf", "whisper-base"), ("faster-whisper", "whisper-base-ct2")])
def test_whisper_writes_english_down(tmp_path, engine, name):
    """Word error rate .028 [.007, .113] over 71 words of LibriVox with either engine on 2026-11-29: 'Mr.', and an 'a'
    that the reader stumbles over."""
    if engine == "faster-whisper":
        pytest.importorskip("faster_whisper", reason="faster-whisper is not installed: pip install affectkit[asr]")
    words = ("--engine", engine, "--model", network(name), "--against", "text", "--device", "cpu")
    rates = error_rates(
        affectkit("transcribe", "-m", network("english") / "manifest.csv", *words, "-o", tmp_path / "o")
    )
    assert rates["wer"]["value"] == pytest.approx(2 / 71) and rates["cer"]["value"] < 0.03
    assert 0 < rates["wer"]["low"] < rates["wer"]["value"] < rates["wer"]["high"] < 0.3


def test_whisper_writes_the_same_in_every_batch_and_of_long_audio_what_it_writes_of_its_sentences(tmp_path):
    """Word error rate against the texts .046 on 2026-11-29; of transformers' own long form .038."""
    from affectkit.evaluation.error_rates import aligned
    from affectkit.media import read_audio
    from affectkit.transcribers import hf

    paths = sorted(network("english").glob("*.wav"))
    waves = [read_audio(path, rate=16000)[0] for path in paths]
    texts = []
    for seconds in (30, 300):
        transcriber = hf.build(device="cpu")
        transcriber.load(str(network("whisper-base")), batch_seconds=seconds)
        texts.append([answer.text for answer in transcriber.hear(waves, [""] * len(waves))])
    assert texts[0] == texts[1]
    order = [0, 1, 2, 3, 4, 3, 1, 0, 2, 4, 1, 3, 0, 2, 4, 0, 1, 3]  # 92 s in four windows, in which sentences recur
    [long] = transcriber.hear([np.concatenate([waves[place] for place in order])], ["en"])
    [errors] = aligned([" ".join(texts[0][place] for place in order)], [long.text])["wer"]
    assert errors[:3].sum() / errors[3] < 0.05


def test_words_are_said_when_the_other_engine_says_so(tmp_path):
    """Begins of words, half of them within .08 s of CTranslate2's, which knows the heads that align."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed: pip install affectkit[asr]")
    from affectkit.media import read_audio
    from affectkit.transcribers import faster_whisper, hf

    waves = [read_audio(path, rate=16000)[0] for path in sorted(network("english").glob("*.wav"))[:3]]
    begins = []
    for plugin, name in ((hf, "whisper-base"), (faster_whisper, "whisper-base-ct2")):
        transcriber = plugin.build(device="cpu", word_times=True)
        transcriber.load(str(network(name)), batch_seconds=240)
        answers = transcriber.hear(waves, ["en"] * len(waves))
        begins.append({(n, w[0].split("-")[0]): w[1] for n, a in enumerate(answers) for w in a.words})
    apart = [abs(begins[0][word] - begins[1][word]) for word in begins[0].keys() & begins[1].keys()]
    assert len(apart) > 30 and np.median(apart) < 0.1


def test_whisper_is_not_asked_about_silence_of_which_it_writes_you(tmp_path):
    """The recogniser's own rule lets digital silence pass: no-speech, but sure of its word."""
    for name, level in (("silence", 0.0), ("hum", 0.0003)):
        samples = np.random.default_rng(0).normal(size=48000) * level
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
    (tmp_path / "rows.csv").write_text("id,path\nsilence,silence.wav\nhum,hum.wav\n")
    words = ("-m", tmp_path / "rows.csv", "--model", network("whisper-base"), "--language", "en", "--device", "cpu")
    quiet, asked = (
        affectkit("transcribe", *words, *more, "-o", tmp_path / name)
        for name, more in (("quiet", ()), ("asked", ("--retry-empty",)))
    )
    assert (read_manifest(quiet).rows["text"] == "").all()
    assert read_manifest(asked).rows["text"].tolist()[0] == "you"


def test_whisper_writes_german_down(tmp_path):
    """Every 16th clip of EmoDB, which are cut here, so that what is missing counts as deleted: character error rate
    .297 [.236, .373] over 10 speakers on 2026-11-29, word error rate .394 [.326, .478]."""
    manifest = affectkit(
        "prepare-manifest", "emodb", corpus("emodb"), "--folds", "speaker", "-o", tmp_path / "manifest"
    )
    table = pd.read_csv(manifest / "folds.csv")[::16]
    table["path"] = [str(corpus("emodb") / path) for path in table["path"]]
    table.to_csv(tmp_path / "some.csv", index=False)
    words = ("--model", network("whisper-base"), "--language", "de", "--against", "text", "--device", "cpu")
    rates = error_rates(affectkit("transcribe", "-m", tmp_path / "some.csv", *words, "-o", tmp_path / "texts"))
    assert rates["cer"]["low"] < 0.3 < rates["cer"]["high"] and rates["wer"]["low"] < 0.4 < rates["wer"]["high"]


def test_minilm_fine_tuned_on_emobank(tmp_path):
    """Two epochs, 12 minutes on one core: test CCC of valence .727 [.689, .761], arousal .513, dominance .392 on
    2026-11-29; frozen .576, .366, .241."""
    manifest = affectkit("prepare-manifest", "emobank", corpus("emobank"), "-o", tmp_path / "manifest")
    words = ("--base-model", network("minilm"), "--head", "mean", "--target", "valence,arousal,dominance")
    how = ("--epochs", 2, "--learning-rate", "1e-4", "--max-tokens", 64, "--device", "cpu")
    values = metrics(affectkit("finetune", "-m", manifest, *words, *how, "-o", tmp_path / "run"))
    expected = {"valence": 0.727, "arousal": 0.513, "dominance": 0.392}
    assert {t: values[f"test_{t}.ccc"]["value"] for t in expected} == pytest.approx(expected, abs=0.03)


def test_vader_on_emobank(tmp_path):
    """Test r of valence .458 [.408, .506] on 2026-11-29; no network."""
    manifest = affectkit("prepare-manifest", "emobank", corpus("emobank"), "-o", tmp_path / "manifest")
    values = metrics(affectkit("import-model", "lexicon", "-m", manifest, "-o", tmp_path / "run"))
    assert values["test_valence.pearson"]["value"] == pytest.approx(0.458, abs=0.002)


def test_efficientnet_knows_a_mirrored_palace_from_a_flower():
    """The two photographs that scikit-learn brings. With random weights the three correlate alike."""
    import torch

    from affectkit.models.images import load_image_backbone

    backbone = load_image_backbone(f"timm:tf_efficientnet_lite0/{network('efficientnet-lite0.safetensors')}")
    names = ("china.jpg", "flower.jpg")
    palace, flower = (torch.from_numpy(backbone.preprocessing(load_sample_image(name))) for name in names)
    with torch.inference_mode():
        features = backbone.network(torch.stack([palace, flower, palace.flip(-1)])).numpy()
    near, far = (np.corrcoef(features[0], features[place])[0, 1] for place in (2, 1))
    assert features.shape[1] == backbone.dim and near > 0.8 > far + 0.4


# --- Faces on photographs


def photographs():
    """Those that were fetched, and those of $AFFECTKIT_DATA/photographs: people whose faces are to be seen."""
    folders = [FOLDER / "photographs", Path(os.environ.get("AFFECTKIT_DATA", "")) / "photographs"]
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return paths or pytest.skip("no photographs are here: neither fetched nor in AFFECTKIT_DATA")


def detector(name):
    options = {}
    if name == "yunet":
        weights = os.environ.get("AFFECTKIT_YUNET") or pytest.skip("AFFECTKIT_YUNET names no ONNX file of YuNet's")
        options = {"detector_weights": weights}
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install affectkit[face]")
    built = registry.load("detectors", name).build(**options)
    built.load()
    return built


def overlap(one, other):
    """Intersection over union of two boxes (x, y, width, height)."""
    (x, y, width, height), (u, v, wide, high) = one, other
    across, down = min(x + width, u + wide) - max(x, u), min(y + height, v + high) - max(y, v)
    shared = max(across, 0) * max(down, 0)
    return shared / (width * height + wide * high - shared)


@pytest.mark.parametrize(("name", "least"), [("yunet", 0.95), ("haar", 0.9)])
def test_people_on_photographs_have_faces(name, least):
    """YuNet 125 of 125 [.970, 1], Haar 122 of 125 [.932, .992] on 2026-11-29 (Wilson, 95 %); the six fetched: all."""
    finder = detector(name)
    assert np.mean([bool(finder.detect(read_image(path), {})) for path in photographs()]) >= least


def test_haar_finds_the_face_that_yunet_finds():
    """Of the 122 where both find any on 114 [.876, .966] on 2026-11-29, and on four of the six that are fetched."""
    yunet, haar = detector("yunet"), detector("haar")
    pairs = [(yunet.detect(image, {}), haar.detect(image, {})) for image in map(read_image, photographs())]
    agree = [any(overlap(mine[0].box, face.box) > 0.3 for face in theirs) for mine, theirs in pairs if mine and theirs]
    assert np.mean(agree) > 0.6


def test_yunet_finds_no_face_on_a_palace_or_a_flower():
    """Haar finds three on the palace."""
    finder = detector("yunet")
    assert [finder.detect(load_sample_image(name), {}) for name in ("china.jpg", "flower.jpg")] == [[], []]


# --- Landmarks of poses on photographs


MEDIAPIPE = {  # by mediapipe 0.10.21, static_image_mode: x, y, z of the nose, both eyes and both shoulders, in pixels
    "lite": {
        "sample1.jpg": [
            (1555.8, 337.0, -1359),
            (1610.3, 336.1, -1348),
            (1561.7, 286.4, -1273),
            (1540.4, 600.8, -1095),
            (1401.9, 448.8, -303),
        ],
        "sample3.jpg": [
            (695.9, 493.0, -755),
            (733.6, 447.1, -712),
            (653.1, 452.1, -698),
            (840.9, 671.5, -372),
            (549.0, 637.8, -107),
        ],
        "sample4.jpg": [
            (1050.6, 341.3, -174),
            (1095.3, 315.9, -153),
            (1037.2, 312.2, -92),
            (1203.2, 528.5, -33),
            (973.5, 507.7, 569),
        ],
    },
    "full": {
        "sample1.jpg": [
            (1556.1, 344.3, -1174),
            (1617.5, 343.9, -1140),
            (1558.1, 287.7, -1105),
            (1574.6, 598.4, -858),
            (1388.0, 467.2, -340),
        ],
        "sample3.jpg": [
            (677.8, 483.2, -321),
            (735.3, 439.7, -292),
            (640.9, 444.1, -262),
            (828.5, 701.4, -192),
            (560.1, 640.8, 391),
        ],
        "sample4.jpg": [
            (1089.9, 326.0, -814),
            (1120.0, 295.1, -794),
            (1069.2, 294.9, -739),
            (1329.8, 509.3, -564),
            (1043.2, 491.2, 132),
        ],
    },
}


def landmarker(name):
    from affectkit.models.pose import open_landmarker

    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install affectkit[pose]")
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install affectkit[pose]")
    return open_landmarker(network("pose") / f"pose_landmark_{name}.tflite")


@pytest.mark.parametrize("name", list(MEDIAPIPE))
def test_landmarks_are_mediapipes(name):
    """Within 1 px and 2 px of depth on photographs of 1920 px on 2026-11-29; median over all landmarks .1 px."""
    finder = landmarker(name)
    for file, expected in MEDIAPIPE[name].items():
        finder.reset()
        values = finder.landmarks(read_image(network("photographs") / file))[[0, 2, 5, 11, 12]]
        np.testing.assert_allclose(values[:, :2], np.array(expected)[:, :2], atol=2)
        np.testing.assert_allclose(values[:, 2], np.array(expected)[:, 2], atol=6)
        assert (values[:, 3] > 0.99).all()


def test_nobody_is_on_a_flower():
    assert np.isnan(landmarker("lite").landmarks(load_sample_image("flower.jpg"))).all()


def test_a_bundle_and_the_wheel_are_the_folder(tmp_path):
    import zipfile

    from affectkit.models.pose import open_landmarker

    finder = landmarker("full")
    with zipfile.ZipFile(tmp_path / "pose_landmarker_full.task", "w") as bundle:
        bundle.write(network("pose") / "pose_detection.tflite", "pose_detector.tflite")
        bundle.write(network("pose") / "pose_landmark_full.tflite", "pose_landmarks_detector.tflite")
    image = read_image(network("photographs") / "sample3.jpg")
    others = [tmp_path / "pose_landmarker_full.task", *(FOLDER / "wheels/mediapipe").glob("*.whl")]
    for other in map(open_landmarker, others):
        assert other.describe()["landmarks_digest"] == finder.describe()["landmarks_digest"]
        np.testing.assert_array_equal(other.landmarks(image), finder.landmarks(image))
        finder.reset()


def pan(path, fps, seconds=3):
    """A camera that moves over a photograph of somebody, as a video of 640 x 480."""
    import cv2

    image = cv2.imread(str(network("photographs") / "sample3.jpg"))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (640, 480))
    for number in range(round(fps * seconds)):
        time_sec = number / fps
        x, y, scale = 300 + 120 * np.sin(time_sec), 120 + 60 * np.cos(time_sec), 1.9 - 0.1 * time_sec
        writer.write(
            cv2.warpAffine(image, np.array([[scale, 0, x], [0, scale, y]]), (640, 480), flags=cv2.WARP_INVERSE_MAP)
        )
    writer.release()
    return path


def test_landmarks_of_a_video_do_not_depend_on_its_rate(tmp_path):
    """The nose, eyes and shoulders at the same instants of 25 and 30 frames per s, and against those of a person who is
    found anew: 2.7 and 5.9 px of 640 apart (medians) on 2026-11-29."""
    from affectkit.media import read_frames
    from affectkit.models.pose import video_landmarks

    finder, points = landmarker("full"), [0, 2, 5, 11, 12]
    followed = {
        fps: {
            round(time, 2): values[points, :2]
            for time, values in video_landmarks(pan(tmp_path / f"{fps}.avi", fps), finder)
        }
        for fps in (25, 30)
    }
    assert not any(np.isnan(values).any() for rows in followed.values() for values in rows.values())
    instants = sorted(set(followed[25]) & set(followed[30]))
    assert len(instants) == 15
    apart = [np.linalg.norm(followed[25][time] - followed[30][time], axis=1) for time in instants]
    anew = []
    for frame in read_frames(tmp_path / "25.avi", fps=5):
        finder.reset()
        values = finder.landmarks(frame.image)[points, :2]
        anew.append(np.linalg.norm(values - followed[25][round(frame.time_sec, 2)], axis=1))
    assert np.median(apart) < 5 and np.median(anew) < 10


# --- Expression networks of others, as tables of their probabilities


@pytest.fixture(scope="module")
def fer2013(tmp_path_factory):
    """A manifest of FER2013's images, and a table of each expert for its two tests, public (val) and private (test).

    Images of train or val that the private test holds too are dropped there, so that no rule is fitted on them.
    """
    weights = {name: network(f"{name}.safetensors") for name in expressions.EXPERTS}
    root, study = corpus("fer2013"), tmp_path_factory.mktemp("fer2013")
    manifest = affectkit("prepare-manifest", "folder", root, "--drop-leaks", "train", "-o", study / "manifest")
    rows = pd.concat([pd.read_csv(manifest / f"{part}.csv", dtype=str) for part in ("val", "test")])
    images = np.stack([np.asarray(Image.open(root / path).convert("L")) for path in rows["path"]])
    tables = {name: study / f"{name}.csv" for name in weights}
    for name, table in tables.items():
        expressions.write_table(table, weights[name], rows["id"], images)
    return manifest, tables


@pytest.mark.parametrize(("name", "accuracy"), [("mini-xception", 0.657), ("face-api-expression", 0.588)])
def test_a_table_of_an_expert_is_judged_as_published(name, accuracy, fer2013, tmp_path):
    manifest, tables = fer2013
    folder = affectkit("evaluate", tables[name], "--manifest", manifest, "-o", tmp_path / "report")
    report = json.loads((folder / "metrics.json").read_text())
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(accuracy, abs=0.005)


@pytest.mark.parametrize(("rule", "uar", "helps"), [("mean", 0.633, False), ("stacked", 0.665, True)])
def test_tables_of_two_experts_are_fused(rule, uar, helps, fer2013, tmp_path):
    """Learned on the public test, judged on the private one: UAR .665 [.646, .683], mini-Xception .640 [.617, .662]."""
    manifest, tables = fer2013
    sources = [f"{name}={table}" for name, table in tables.items()]
    fused = affectkit("fuse", *sources, "--manifest", manifest, "--rule", rule, "-o", tmp_path / "fused")
    assert metrics(fused)["test_uar"]["value"] == pytest.approx(uar, abs=0.01)
    [verdict] = [
        part for part in json.loads((fused / "train_report.json").read_text())["verdicts"] if part["part"] == "test"
    ]
    assert (verdict["helps"], verdict["best_single"]) == (helps, "mini-xception")


def test_overconfidence_of_an_expert_is_taken_away(fer2013, tmp_path):
    """face-api on the private test: ECE .321 -> .038, NLL 3.38 -> 1.25 [1.22, 1.29]."""
    manifest, tables = fer2013
    words = ("--manifest", manifest, "--method", "temperature")
    values = metrics(affectkit("calibrate", tables["face-api-expression"], *words, "-o", tmp_path / "calibrated"))
    assert values["test_ece"]["value"] < 0.06 and values["test_nll"]["value"] < 1.35
