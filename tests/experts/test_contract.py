"""What every expert owes, over all that there are; and the folder that keeps one."""

import json
import shutil

import numpy as np
import pytest
import torch

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.experts._adapter import build_expert, load_expert
from affectkit.experts._expert import CropRule
from affectkit.labels import Target

NAMES = registry.names("experts")


def small_timm(folder, outputs=3):
    import timm

    torch.manual_seed(0)
    path = folder / "small.pth"
    torch.save(timm.create_model("test_resnet", num_classes=outputs).state_dict(), path)
    return {"checkpoint": f"timm:test_resnet/{path}", "outputs": "valence,_,arousal"}


def small_emonet(folder, expressions=8):
    """EmoNet with weights drawn small enough that its answers are numbers."""
    from affectkit.models.emonet import EmoNet

    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, tensor in EmoNet(expressions).state_dict().items():
        if tensor.ndim >= 2:
            shape = tensor.shape
            tensors[name] = torch.randn(shape, generator=generator) * 0.5 / shape[1:].numel() ** 0.5
        else:
            fill = 1.0 if name.endswith(("weight", "running_var")) else 0.0
            tensors[name] = torch.full((), fill).to(tensor.dtype).expand(tensor.shape)
    path = folder / f"emonet_{expressions}.pth"
    torch.save(tensors, path)
    return {"weights": str(path)}


SMALL = {"timm": small_timm, "emonet": small_emonet}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """The options with which an expert can be built here, by name; a plug-in without an entry above is skipped."""
    made = {}

    def of(name):
        if name not in SMALL:
            pytest.skip(f"tested elsewhere: {name}")
        if name not in made:
            made[name] = SMALL[name](tmp_path_factory.mktemp(name))
        return made[name]

    return of


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_answers_do_not_depend_on_the_batch(name, options, image):
    expert = build_expert(name, options(name), "whole", device="cpu").expert
    crops = np.random.default_rng(1).integers(0, 256, (2, expert.size, expert.size, 3), dtype=np.uint8)
    together, alone = expert.predict(crops), expert.predict(crops[1:2])
    for output in expert.outputs:
        assert together.values[output].shape == (2,) and np.isfinite(together.values[output]).all()
        assert len(set(together.values[output])) == 2
        np.testing.assert_allclose(together.values[output][1:2], alone.values[output], atol=1e-5)
    if together.probabilities is not None:
        assert together.probabilities.shape == (2, len(expert.classes))
        np.testing.assert_allclose(together.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_needs_no_original_file_and_answers_the_same(name, options, image, tmp_path):
    targets = [Target("arousal", "number", scale=(1.0, 9.0)), Target("valence", "number", scale=(1.0, 9.0))]
    given = dict(options(name))
    source = given.get("weights") or given["checkpoint"].partition("/")[2]
    copy = tmp_path / source.rpartition("/")[2]
    shutil.copyfile(source, copy)
    given = {key: value.replace(source, str(copy)) for key, value in given.items()}
    made = build_expert(name, given, "whole", targets=targets, rule=CropRule(box_scale=1.1), device="cpu")
    made.save(tmp_path / "model")
    before = next(made.predict([(image, {})], tta=2))
    copy.unlink()
    again = load_expert(tmp_path / "model", device="cpu")
    after = next(again.predict([(image, {})], tta=2))
    assert after.values == before.values and after.var == before.var and after.box == before.box
    assert again.describe() == made.describe() and set(after.values) == {"valence", "arousal"}
    known = json.loads((tmp_path / "model" / "expert.json").read_text())
    assert known["expert"] == name and known["detector"] == "whole" and known["licence"]
    assert known["crop"]["policy"] == "largest" and known["scale"] == [-1, 1] and len(known["weights"]) == 64
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"expert.json", "model.safetensors"}
    first = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    again.save(tmp_path / "second")
    assert {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()} == first


@pytest.fixture
def folder(options, tmp_path):
    build_expert("timm", options("timm"), "whole", device="cpu").save(tmp_path / "model")
    return tmp_path / "model"


def edited(folder, **changes):
    path = folder / "expert.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "0" * 64}, "has other weights than its record says"),
        ({"std": [1, 1, 1]}, "has another 'std' than its record says"),
        ({"expert": "os.path"}, "there is no expert 'os.path'"),
        ({"detector": "my.module"}, "there is no detector 'my.module'"),
        ({"options": {"checkpoint": "timm:test_resnet/x", "command": "x"}}, "timm has no option --command"),
        ({"options": None}, "is not a whole model"),
        ({"crop": {}}, "is not a whole model"),
        ({"targets": [{"name": "../x", "kind": "number"}]}, "is not a whole model"),
        ({"schema": 99}, "schema 99 is newer"),
    ],
)
def test_a_tampered_folder_is_refused(changes, message, folder):
    edited(folder, **changes)
    with pytest.raises(AffectkitError, match=message) as caught:
        load_expert(folder, device="cpu")
    assert caught.value.file and "\n" not in str(caught.value)


def test_a_folder_that_is_not_whole_is_refused(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(AffectkitError, match="there are no weights") as caught:
        load_expert(folder, device="cpu")
    assert caught.value.code == "missing"
    with pytest.raises(AffectkitError, match="no such description of a face expert"):
        load_expert(tmp_path, device="cpu")


def test_a_folder_whose_detector_needs_what_is_not_installed_says_so(folder, monkeypatch):
    from affectkit.detectors import haar

    edited(folder, detector="haar")

    def absent(name):
        raise AffectkitError("environment", "needs OpenCV", remedy="pip install")

    monkeypatch.setattr(haar, "require_opencv", absent)
    with pytest.raises(AffectkitError, match="needs OpenCV; pip install") as caught:
        load_expert(folder, device="cpu")
    assert caught.value.code == "environment"


def test_there_is_no_expert_without_weights(tmp_path):
    with pytest.raises(
        AffectkitError, match=r"there are no EmoNet weights.*face-analysis/emonet.*CC BY-NC-ND"
    ) as caught:
        build_expert("emonet", {"weights": str(tmp_path / "none")}, "whole", device="cpu")
    assert caught.value.code == "missing"
    for checkpoint in ("", "resnet18", "timm:resnet18", "tiny-random:timm"):
        with pytest.raises(AffectkitError, match=r"timm needs a --checkpoint|names no weights"):
            build_expert("timm", {"checkpoint": checkpoint}, "whole", device="cpu")


def test_an_option_that_an_expert_or_a_detector_lacks(options):
    with pytest.raises(AffectkitError, match="emonet has no option --checkpoint; it is of "):
        build_expert("emonet", {"checkpoint": "x"}, "whole")
    with pytest.raises(AffectkitError, match="whole has no option --min-size; it is of haar"):
        build_expert("timm", options("timm"), "whole", {"min_size": 3})
