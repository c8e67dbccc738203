"""Real networks give what they are known for: `make test-pretrained` fetches them, and skips what cannot be had."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from affectkit.cli import run

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


def test_efficientnet_knows_a_mirrored_palace_from_a_flower():
    """The two photographs that scikit-learn brings. With random weights the three correlate alike."""
    import torch
    from sklearn.datasets import load_sample_image

    from affectkit.models.images import load_image_backbone

    backbone = load_image_backbone(f"timm:tf_efficientnet_lite0/{network('efficientnet-lite0.safetensors')}")
    names = ("china.jpg", "flower.jpg")
    palace, flower = (torch.from_numpy(backbone.preprocessing(load_sample_image(name))) for name in names)
    with torch.inference_mode():
        features = backbone.network(torch.stack([palace, flower, palace.flip(-1)])).numpy()
    near, far = (np.corrcoef(features[0], features[place])[0, 1] for place in (2, 1))
    assert features.shape[1] == backbone.dim and near > 0.8 > far + 0.4
