"""Networks that see several pictures of a row: what a branch sees, parts by depth, folders."""

import json
import shutil

import pytest
import torch

from affectkit.artifacts.models import copy_model, model_digest
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.models import image_network
from affectkit.models.images import load_image_backbone

TARGETS = (Target("valence", "number", (), (-1.0, 1.0)), Target("label", "class", ("angry", "happy", "sad")))
PICTURES = ("thermal_map", "depth.rgb")
FAMILIES = ["tiny-random:open_clip", "tiny-random:timm", "tiny-random:vit"]
TINY = FAMILIES[0]

every_family = pytest.mark.parametrize("checkpoint", FAMILIES)
own_or_shared = pytest.mark.parametrize("shared", [False, True])


def built(checkpoint=TINY, **options):
    return image_network.build(checkpoint, TARGETS, **{"pictures": PICTURES, **options})


def pixels_for(network, count=3, pictures=2):
    return torch.rand(count, pictures, 3, *network.preprocessing.size, generator=torch.Generator().manual_seed(1))


@every_family
@own_or_shared
@torch.no_grad()
def test_what_enters_the_heads_is_what_each_picture_gives_side_by_side(checkpoint, shared):
    network, plain = built(checkpoint, shared=shared), load_image_backbone(checkpoint)
    pixels = pixels_for(network)
    expected = torch.cat([plain.network(pixels[:, place]) for place in range(2)], dim=1)
    assert network.dim == 2 * plain.dim
    torch.testing.assert_close(network.encode(pixels), expected, rtol=0, atol=1e-5)
    features, outputs = network.encode(pixels), network(pixels)
    assert all(torch.equal(outputs[name], network(features=features)[name]) for name in outputs)


@torch.no_grad()
def test_own_branches_learn_apart_and_shared_ones_together():
    network = built()
    pixels, plain = pixels_for(network), built().encode
    before = plain(pixels)
    for parameter in network.source.sources[1].network.parameters():
        parameter.mul_(1.5)
    after = network.encode(pixels)
    half = network.dim // 2
    assert torch.equal(after[:, :half], before[:, :half]) and not torch.allclose(after[:, half:], before[:, half:])
    count = [sum(p.numel() for p in built(shared=shared).backbone.parameters()) for shared in (False, True)]
    assert count[0] == 2 * count[1]


@every_family
@own_or_shared
def test_parts_are_those_of_one_picture_and_hold_every_parameter_once(checkpoint, shared):
    network = built(checkpoint, shared=shared)
    names, parameters = zip(*network.parts(), strict=True)
    alone = image_network.build(checkpoint, TARGETS).parts()
    assert list(names) == [name for name, _ in alone]
    each = [id(parameter) for part in parameters for parameter in part]
    assert len(set(each)) == len(each) and set(each) == {id(parameter) for parameter in network.parameters()}
    branches = 1 if shared else 2
    assert [len(part) for part in parameters[:-1]] == [branches * len(part) for _, part in alone[:-1]]


@every_family
@own_or_shared
@torch.no_grad()
def test_saved_and_loaded_it_is_the_same_to_the_bit(checkpoint, shared, tmp_path):
    network = built(checkpoint, shared=shared, dropout=0.25)
    for place, parameter in enumerate(network.parameters()):
        parameter.add_(0.01 * (place % 7))
    network.save(tmp_path)
    again = image_network.load(tmp_path, TARGETS, PICTURES)
    pixels = pixels_for(network)
    assert all(torch.equal(values, again(pixels)[name]) for name, values in network(pixels).items())
    assert again.describe() == network.describe() and again.describe()["pictures"] == list(PICTURES)
    folders = {path.name for path in (tmp_path / "branches").iterdir()}
    assert folders == ({"shared"} if shared else set(PICTURES)) and not (tmp_path / "model.safetensors").exists()


@own_or_shared
def test_one_picture_is_a_branch_of_its_own(shared, tmp_path):
    network = built(pictures=["depth_map"], shared=shared)
    network.save(tmp_path)
    again = image_network.load(tmp_path, TARGETS, ["depth_map"])
    pixels = pixels_for(network, pictures=1)
    assert torch.equal(again(pixels)["label"], network(pixels)["label"])


def other_network(folder):
    image_network.build("tiny-random:timm", TARGETS).save(folder / "other")
    shutil.rmtree(folder / "branches" / "depth.rgb")
    (folder / "other").rename(folder / "branches" / "depth.rgb")


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (lambda folder: shutil.rmtree(folder / "branches" / "depth.rgb"), "no such folder"),
        (lambda folder: (folder / "branches" / "depth.rgb" / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "branches.json").unlink(), "branches.json"),
        (lambda folder: (folder / "branches.json").write_text('{"pictures": ["../x"], "shared": false}'), "pictures"),
        (
            lambda folder: (folder / "branches.json").write_text('{"pictures": ["a"], "shared": false}'),
            "is of a, not of",
        ),
        (lambda folder: (folder / "branches.json").write_text("[]"), "branches.json"),
        (other_network, "is another network, or sees other pixels, than that of thermal_map"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(damage, wrong, tmp_path):
    built().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(AffectkitError, match=wrong):
        image_network.load(tmp_path, TARGETS, PICTURES)


def test_pictures_in_another_order_are_refused(tmp_path):
    built().save(tmp_path)
    with pytest.raises(AffectkitError, match=r"of thermal_map, depth\.rgb, not of depth\.rgb, thermal_map"):
        image_network.load(tmp_path, TARGETS, PICTURES[::-1])


def test_the_digest_and_the_copy_of_a_model_hold_its_branches(tmp_path):
    built().save(tmp_path / "model")
    spec = {"kind": "finetuned", "targets": [target.to_json() for target in TARGETS]}
    (tmp_path / "model" / "affectkit.json").write_text(json.dumps(spec))
    copy_model(tmp_path / "model", tmp_path / "copy")
    assert model_digest(tmp_path / "copy") != model_digest(tmp_path / "model")  # its parents are written out
    copy_model(tmp_path / "copy", tmp_path / "again")
    before = model_digest(tmp_path / "copy")
    assert model_digest(tmp_path / "again") == before
    image_network.load(tmp_path / "again", TARGETS, PICTURES)
    weights = tmp_path / "again" / "branches" / "depth.rgb" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert model_digest(tmp_path / "again") != before
