"""Image networks with heads: outputs, dropout, parts, folders."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.models import image_network
from affectkit.models.images import load_image_backbone

VALENCE, AROUSAL = (Target(name, "number", (), (-1.0, 1.0)) for name in ("valence", "arousal"))
LABEL = Target("label", "class", ("angry", "happy", "sad"))
TARGETS = (VALENCE, LABEL, AROUSAL)
FAMILIES = ["tiny-random:open_clip", "tiny-random:timm", "tiny-random:vit", "tiny-random:resnet"]


def built(checkpoint="tiny-random:open_clip", targets=TARGETS, **options):
    return image_network.build(checkpoint, targets, **options)


def pixels_for(network, count=5):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + side, 57, 3), dtype=np.uint8) for side in range(count)]
    return network.collate([network.prepare(image) for image in images])["pixels"]


def drawn(network, pixels, enabled=True):
    with network.mc(enabled), torch.no_grad():
        return torch.stack([network(pixels)["valence"] for _ in range(40)])


@pytest.mark.parametrize("checkpoint", FAMILIES)
@torch.no_grad()
def test_outputs_are_linear_in_what_the_backbone_gives(checkpoint):
    network = built(checkpoint)
    pixels = pixels_for(network)
    outputs = network(pixels)
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "valence": (5,), "label": (5, 3), "arousal": (5,),
    }  # fmt: skip
    features = load_image_backbone(checkpoint).network(pixels)
    head = network.heads["1-label"]
    torch.testing.assert_close(outputs["label"], features @ head.weight.T + head.bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("checkpoint", FAMILIES)
@pytest.mark.parametrize("train", [False, True])
def test_kept_features_give_the_same_to_the_bit(checkpoint, train):
    """In training too, where dropout draws: from the same state of the generator the same units are left out."""
    network = built(checkpoint, dropout=0.5)
    pixels = pixels_for(network)
    network.train(train)
    network.backbone.eval()
    features = network.encode(pixels)
    torch.manual_seed(3)
    by_pixels = network(pixels)
    torch.manual_seed(3)
    by_features = network(features=features)
    assert all(torch.equal(by_pixels[name], by_features[name]) for name in by_pixels)


@pytest.mark.parametrize("checkpoint", FAMILIES)
@torch.no_grad()
def test_a_batch_of_one_equals_a_batch_of_many(checkpoint):
    network = built(checkpoint)
    pixels = pixels_for(network, 7)
    together = network(pixels)
    alone = [network(one[None]) for one in pixels]
    for name, values in together.items():
        torch.testing.assert_close(values, torch.cat([each[name] for each in alone]), rtol=1e-5, atol=1e-5)


def test_fixed_statistics_hold_wherever_the_network_stands():
    network = built("tiny-random:timm")
    network.fixed_statistics = True
    whole = nn.Sequential(network).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not any(module.training for module in norms)
    assert network.training and network.dropout.training and whole.training


def test_either_pixels_or_features_are_given():
    network = built()
    for inputs in ({}, {"pixels": torch.zeros(1, 3, 32, 32), "features": torch.zeros(1, 16)}):
        with pytest.raises(ValueError, match="give pixels or features"):
            network(**inputs)


def test_mc_dropout_draws_units_and_nothing_else():
    """The variance of a linear head behind dropout p is the sum of (w x)^2 p / (1 - p): Srivastava et al. 2014."""
    network = built(dropout=0.3)
    pixels = pixels_for(network, 3)
    with network.mc(), torch.no_grad():
        features = network.encode(pixels)
        passes = torch.stack([network(features=features)["valence"] for _ in range(4000)])
    weight = network.heads["0-valence"].weight[0]
    expected = ((features * weight) ** 2).sum(dim=1) * 0.3 / 0.7
    torch.testing.assert_close(passes.var(dim=0), expected, rtol=0.15, atol=0)
    assert not any(module.training for module in network.modules())
    assert drawn(network, pixels, enabled=False).var(dim=0).max() == 0


def test_mc_dropout_leaves_batch_norm_and_its_statistics_alone():
    network = built("tiny-random:resnet", dropout=0.3).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    with network.mc():
        assert not any(norm.training for norm in norms) and network.dropout.training
        network(pixels_for(network))
    assert all(norm.training for norm in norms), "as it was before"
    assert norms and all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))


def test_mc_dropout_ends_with_an_error():
    network = built()
    with pytest.raises(RuntimeError), network.mc():
        raise RuntimeError
    assert not network.dropout.training


@pytest.mark.parametrize("checkpoint", FAMILIES)
def test_parts_end_with_the_head_and_hold_each_parameter_once(checkpoint):
    network = built(checkpoint)
    names = [name for name, _ in network.parts()]
    told = [id(parameter) for _, parameters in network.parts() for parameter in parameters]
    assert names[0] == "stem" and names[1] == "block-0" and names[-1] == "head" and names.count("head") == 1
    assert sorted(told) == sorted(id(parameter) for parameter in network.parameters())
    assert {id(p) for p in network.parts()[-1][1]} == {id(p) for p in network.heads.parameters()}


@torch.no_grad()
def test_fold_gives_numbers_their_own_units():
    network = built()
    pixels = pixels_for(network)
    before = network(pixels)
    network.fold({"valence": (0.2, 0.5), "arousal": (-3.0, 10.0)})
    after = network(pixels)
    torch.testing.assert_close(after["valence"], 0.2 + 0.5 * before["valence"], rtol=0, atol=1e-5)
    torch.testing.assert_close(after["arousal"], -3 + 10 * before["arousal"], rtol=0, atol=1e-5)
    assert torch.equal(after["label"], before["label"])


@pytest.mark.parametrize("checkpoint", FAMILIES)
@torch.no_grad()
def test_saved_and_loaded_it_is_the_same_to_the_bit(checkpoint, tmp_path):
    network = built(checkpoint, dropout=0.25)
    for parameter in network.parameters():
        parameter.add_(0.01)
    network.save(tmp_path)
    again = image_network.load(tmp_path, TARGETS)
    for count in (1, 5):
        pixels = pixels_for(network, count)
        one, other = network(pixels), again(pixels)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.describe() == network.describe() and again.describe()["tiny_random"] is True
    assert not again.training and again.dropout.p == 0.25
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    network.save(tmp_path / "twice")
    for path in (tmp_path / "twice").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_other_targets_or_heads_than_saved_are_refused(tmp_path):
    built().save(tmp_path)
    with pytest.raises(AffectkitError, match=r"network.json: predicts valence, label, arousal, not valence"):
        image_network.load(tmp_path, [VALENCE])
    other = Target("label", "class", ("happy", "angry", "sad"))
    with pytest.raises(AffectkitError, match="predicts other classes of valence, label, arousal"):
        image_network.load(tmp_path, [VALENCE, other, AROUSAL])
    record = json.loads((tmp_path / "network.json").read_text())
    (tmp_path / "network.json").write_text(json.dumps({**record, "targets": record["targets"][:1]}))
    with pytest.raises(AffectkitError, match=r"heads.safetensors: has unknown 4 weights of the heads, such as 1-label"):
        image_network.load(tmp_path, [VALENCE])
    (tmp_path / "network.json").write_text("{}")
    with pytest.raises(AffectkitError, match=r"network.json: does not say targets and dropout"):
        image_network.load(tmp_path, [VALENCE])


@pytest.mark.parametrize("name", ["network.json", "heads.safetensors", "preprocessing.json"])
def test_a_folder_that_is_not_whole_is_named(tmp_path, name):
    built().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(AffectkitError, match=name) as caught:
        image_network.load(tmp_path, TARGETS)
    assert caught.value.code == "missing"


def test_heads_depend_on_the_seed_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one = built(seed=1)
    assert torch.rand(1) == expected
    torch.rand(3)
    two, three = built(seed=1), built(seed=2)
    assert torch.equal(one.heads["0-valence"].weight, two.heads["0-valence"].weight)
    assert not torch.equal(one.heads["0-valence"].weight, three.heads["0-valence"].weight)


def test_names_that_modules_cannot_have_are_targets_too():
    network = built(targets=[Target("keys", "number"), Target("big.five", "number"), Target("a b", "number")])
    assert list(network(pixels_for(network))) == ["keys", "big.five", "a b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"targets": []}, "there is no target"), ({"dropout": 1.0}, "dropout 1 is no rate"), ({"dropout": -0.1}, "-0.1")],
)
def test_what_makes_no_sense_is_a_usage_error(arguments, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        built(**arguments)
    assert caught.value.code == "usage"


def test_a_frozen_backbone_loses_nothing_to_kept_features():
    """Ten steps of a head on kept features and on pixels: the same weights to the bit."""
    heads = []
    for kept in (True, False):
        network = built(dropout=0.0, seed=5)
        pixels = pixels_for(network)
        truth = torch.linspace(-1, 1, len(pixels))
        network.backbone.requires_grad_(False)
        inputs = {"features": network.encode(pixels)} if kept else {"pixels": pixels}
        optimizer = torch.optim.SGD(network.heads.parameters(), 0.1)
        for _ in range(10):
            optimizer.zero_grad()
            (network(**inputs)["valence"] - truth).square().mean().backward()
            optimizer.step()
        heads.append(network.heads["0-valence"].weight.detach().clone())
    assert torch.equal(*heads)
