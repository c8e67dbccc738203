"""EmoNet against the published network's answers (AFFECTKIT_DATA), and against files that are not its weights."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from affectkit.errors import AffectkitError
from affectkit.models.emonet import EmoNet, expressions_of, find, load_weights
from affectkit.models.weights import fill


def reference_tensors(shapes):
    """The filling rule of the reference data, by the tensors' names and shapes."""
    filled = {}
    for number, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        w = np.random.default_rng(number).standard_normal(int(np.prod(shape))).reshape(shape)
        if name.endswith("num_batches_tracked"):
            values = np.zeros(shape, dtype=np.int64)
        elif len(shape) == 4:
            values = 0.5 * w * np.sqrt(1 / np.prod(shape[1:]))
        elif len(shape) == 2:
            values = w * np.sqrt(1 / shape[1])
        elif name.endswith(".weight"):
            values = 1 + 0.1 * w
        elif name.endswith(".running_var"):
            values = 1 + 0.1 * np.abs(w)
        else:
            values = 0.01 * w
        filled[name] = torch.from_numpy(values if values.dtype == np.int64 else values.astype(np.float32))
    return filled


def reference_images():
    """[2, 3, 256, 256]: ramps along x, y and both; and their mirror image."""
    y, x = np.mgrid[:256, :256]
    image = np.stack([x, y, (x + y) % 256]).astype(np.float32) / 255
    return torch.from_numpy(np.stack([image, image[:, :, ::-1]]))


def flat(expressions):
    """Tensors of the right names and shapes, as small in a file as they can be."""
    return {
        name: torch.ones((), dtype=tensor.dtype).expand(tensor.shape)
        for name, tensor in EmoNet(expressions).state_dict().items()
    }


@pytest.fixture
def saved(tmp_path):
    def save(tensors, name="emonet_8.pth"):
        torch.save(tensors, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("expressions", [pytest.param(5, marks=pytest.mark.slow), 8])
def test_it_answers_as_the_published_network_does(expressions, real_data):
    published = json.loads((real_data / "emonet" / "emonet_state_dict.json").read_text())[str(expressions)]
    network = EmoNet(expressions)
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == published
    fill(network.to_empty(device="cpu"), reference_tensors(published), "EmoNet", None)
    with torch.inference_mode():
        answer = network(reference_images())
    expected = np.load(real_data / "emonet" / "emonet_reference.npz")
    for name, given in (
        ("expression", answer.expression),
        ("valence", answer.valence),
        ("arousal", answer.arousal),
        ("heatmap_mean", answer.heatmaps.mean(dim=(2, 3))),
    ):
        np.testing.assert_allclose(given.numpy(), expected[f"{name}_{expressions}"], rtol=0, atol=1e-5)
    assert answer.heatmaps.shape == (2, 68, 64, 64)


def test_its_order_of_expressions():
    assert expressions_of(8) == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    assert expressions_of(5)[4] == "anger" and expressions_of(5, "fear")[4] == "fear"
    assert expressions_of(5)[:4] == expressions_of(8)[:4]


@pytest.mark.slow
def test_importing_and_building_it_changes_no_global_of_torch():
    script = """
import torch, torch.nn, torch.nn.functional
before = [dict(vars(m)) for m in (torch.nn, torch.nn.functional, torch.nn.modules, torch)]
norms = [dict(vars(c)) for c in (torch.nn.BatchNorm2d, torch.nn.InstanceNorm2d, torch.nn.Conv2d, torch.nn.Module)]
state = torch.get_rng_state()
from affectkit.models.emonet import EmoNet
EmoNet(5)
after = [dict(vars(m)) for m in (torch.nn, torch.nn.functional, torch.nn.modules, torch)]
assert before == after, "modules"
classes = (torch.nn.BatchNorm2d, torch.nn.InstanceNorm2d, torch.nn.Conv2d, torch.nn.Module)
assert norms == [dict(vars(c)) for c in classes], "classes"
assert torch.equal(state, torch.get_rng_state()) and torch.get_default_device() == torch.device("cpu")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_there_are_no_random_weights_to_answer_with():
    with pytest.raises(AffectkitError, match="EmoNet has no weights") as caught:
        EmoNet(8)(reference_images())
    assert caught.value.code == "missing" and "face-analysis/emonet" in caught.value.remedy
    assert all(tensor.is_meta for tensor in EmoNet(8).state_dict().values())


def test_it_has_5_or_8_expressions():
    with pytest.raises(AffectkitError, match="EmoNet has no 7 expressions; use 5 or 8"):
        EmoNet(7)


@pytest.mark.parametrize("expressions", [5, 8])
def test_a_weights_file_says_how_many_expressions(expressions, saved):
    path = saved({f"module.{name}": tensor for name, tensor in flat(expressions).items()}, "any.pth")
    network = load_weights(path)
    assert network.expressions == expressions and not network.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in network.parameters())
    assert load_weights(path, expressions).expressions == expressions
    with pytest.raises(AffectkitError, match=f"is of an EmoNet for {expressions} expressions, not {13 - expressions}"):
        load_weights(path, 13 - expressions)


def test_safetensors_with_the_same_names_do_as_well(tmp_path):
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in flat(5).items()}, tmp_path / "emonet_5.safetensors")
    assert load_weights(tmp_path).expressions == 5


def test_a_folder_holds_one_or_both(tmp_path, caplog):
    (tmp_path / "emonet_5.pth").write_bytes(b"")
    assert find(tmp_path).name == "emonet_5.pth" and not caplog.text
    (tmp_path / "emonet_8.pth").write_bytes(b"")
    assert find(tmp_path).name == "emonet_8.pth"
    assert "holds emonet_8.pth and emonet_5.pth: reading emonet_8.pth" in caplog.text
    assert find(tmp_path, 5).name == "emonet_5.pth"


@pytest.mark.parametrize(
    ("expressions", "message"),
    [(None, "holds no emonet_8.pth or emonet_5.pth"), (5, "holds no emonet_5.pth")],
)
def test_a_folder_without_weights_says_how_to_get_them(expressions, message, tmp_path):
    with pytest.raises(AffectkitError, match=message) as caught:
        load_weights(tmp_path, expressions)
    assert caught.value.code == "missing"
    assert "github.com/face-analysis/emonet" in caught.value.remedy and "CC BY-NC-ND 4.0" in caught.value.remedy
    with pytest.raises(AffectkitError, match="there are no EmoNet weights") as caught:
        load_weights(tmp_path / "models" / "emonet" / "pretrained")
    assert caught.value.code == "missing" and "CC BY-NC-ND 4.0" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l1.weight": None, "al0.bias": None}, r"lacks 2 weights of EmoNet, such as al0\.bias;"),
        ({"extra.weight": (2,)}, r"has unknown 1 weights of EmoNet, such as extra\.weight"),
        ({"l0.weight": (98, 256, 1, 1)}, r"misshapen .* l0\.weight \(\[98, 256, 1, 1\], not \[68, 256, 1, 1\]\)"),
        ({"emo_fc_2.3.weight": (9, 128)}, r"emo_fc_2\.3\.weight is \[9, 128\]"),
        ({"emo_fc_2.3.weight": (7, 128)}, r"misshapen .* emo_fc_2\.3\.bias \(\[10\], not \[7\]\)"),
        ({"emo_fc_2.3.weight": None}, r"lacks emo_fc_2\.3\.weight"),
    ],
)
def test_other_tensors_are_refused_by_name(change, message, saved):
    tensors = flat(8)
    for name, shape in change.items():
        tensors[name] = None if shape is None else torch.ones(()).expand(shape)
    with pytest.raises(AffectkitError, match=message) as caught:
        load_weights(saved({name: tensor for name, tensor in tensors.items() if tensor is not None}))
    assert caught.value.code == "input" and caught.value.file.endswith("emonet_8.pth")


def test_weights_that_are_no_numbers_are_refused(saved):
    with pytest.raises(AffectkitError, match=r"holds what is no number: l0\.bias"):
        load_weights(saved(flat(8) | {"l0.bias": torch.full((68,), torch.nan)}))


@pytest.mark.parametrize("content", [{"conv1.weight": torch.ones(1), "epoch": 3}, [torch.ones(1)], torch.ones(1)])
def test_what_is_no_table_of_tensors_is_refused(content, saved):
    with pytest.raises(AffectkitError, match="cannot be read as weights") as caught:
        load_weights(saved(content))
    assert "face-analysis/emonet" in caught.value.remedy and "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a weights file ran')",)


def test_a_file_that_brings_code_runs_nothing(saved):
    with pytest.raises(AffectkitError, match="cannot be read as weights"):
        load_weights(saved({"conv1.weight": Harmful()}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 cut off", "cannot be read as weights"),
        (b"no weights at all", "cannot be read as weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
    ],
)
@pytest.mark.parametrize("name", ["emonet_8.pth", "emonet_8.safetensors"])
def test_a_broken_file_is_one_line(content, message, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AffectkitError, match=message) as caught:
        load_weights(tmp_path / name)
    assert "\n" not in str(caught.value)
