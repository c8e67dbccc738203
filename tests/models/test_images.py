"""Image networks and their preprocessing against open_clip, timm and transformers themselves."""

import json
import re
from dataclasses import asdict
from functools import cache

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config

from affectkit.errors import AffectkitError
from affectkit.models import images, tiny
from affectkit.models.backbones import digest
from affectkit.models.forward import embed
from affectkit.models.image_backbone import parts_of
from affectkit.models.image_libraries import at_size, build_timm
from affectkit.models.image_preprocessing import ImagePreprocessing, of_open_clip, of_timm, of_transformers
from affectkit.models.images import load_image_backbone

TINY = ["open_clip", "timm", "timm,name=test_vit", "timm,name=test_resnet,size=64", *tiny.IMAGES]
CHECKPOINTS = [f"tiny-random:{name}" for name in TINY]
SIZES = [(57, 43), (224, 224), (225, 301), (300, 223), (31, 90)]


@cache
def cached(checkpoint):
    """For tests that change nothing in it."""
    return load_image_backbone(checkpoint)


def picture(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(preprocessing, theirs, sizes=SIZES):
    for size in sizes:
        image = picture(*size)
        expected = np.asarray(theirs(Image.fromarray(image)))
        assert expected.shape[1:] == preprocessing.size
        np.testing.assert_allclose(preprocessing(image), expected, rtol=0, atol=1e-6, err_msg=str(size))


@pytest.mark.parametrize("size", [224, (200, 240)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_preprocessing_is_open_clips(size, mode, interpolation):
    config = PreprocessCfg(size, mean=(0.5, 0.4, 0.3), interpolation=interpolation, resize_mode=mode, fill_color=7)
    assert_same(of_open_clip(asdict(config)), image_transform_v2(config, is_train=False))


@pytest.mark.parametrize("size", [(3, 224, 224), (3, 161, 192)])
@pytest.mark.parametrize("mode", ["center", "border", "squash"])
@pytest.mark.parametrize(("interpolation", "share"), [("bicubic", 0.875), ("bilinear", 0.95), ("lanczos", 1.2)])
def test_preprocessing_is_timms(size, mode, interpolation, share):
    """A share above 1 makes an image smaller than the cut, so that borders are added."""
    config = {"input_size": size, "interpolation": interpolation, "crop_pct": share, "crop_mode": mode}
    config |= {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert_same(of_timm(config), create_transform(**config, is_training=False))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ViT", {}),
        ("CLIP", {}),
        ("CLIP", {"crop_size": {"height": 301, "width": 231}}),
        ("CLIP", {"do_resize": False}),
        ("Bit", {"size": {"shortest_edge": 257}}),
        ("Beit", {"do_normalize": False}),
        ("DeiT", {"do_rescale": False}),
        ("ConvNext", {"size": {"shortest_edge": 224}}),
        ("ConvNext", {}),
        ("Siglip", {}),
    ],
)
def test_preprocessing_is_transformers(name, options):
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**options)
    assert_same(of_transformers(processor), lambda image: processor(image, return_tensors="np")["pixel_values"][0])


@pytest.mark.parametrize("name", ["EfficientNet", "Levit", "MobileViT", "PoolFormer"])
def test_processors_that_do_something_else_are_refused(name):
    processor = getattr(transformers, f"{name}ImageProcessorPil")()
    with pytest.raises(AffectkitError, match=f"its image processor {name}ImageProcessor does what is not known here"):
        of_transformers(processor)


def some(**changes):
    config = asdict(of_open_clip(asdict(PreprocessCfg(32))))
    return ImagePreprocessing(**{**config, **changes})


def test_preprocessing_goes_through_json():
    one = some(fill=(1, 2, 3))
    again = ImagePreprocessing.from_plain(json.loads(json.dumps(one.plain())))
    assert again == one and one.difference(again) is None
    assert some(interpolation="bilinear").difference(one) == "interpolation"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(AffectkitError, match="is no RGB image of bytes"):
        some()(image)


def test_a_strip_is_refused_before_it_is_blown_up():
    with pytest.raises(AffectkitError, match="is too narrow: 5000000 x 2 pixels"):
        some()(np.zeros((2, 5_000_000, 3), np.uint8))
    assert some()(np.zeros((1, 3000, 3), np.uint8)).shape == (3, 32, 32)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_batch_of_one_equals_a_batch_of_many(checkpoint):
    backbone = cached(checkpoint)
    pixels = torch.from_numpy(np.stack([backbone.preprocessing(picture(40 + side, 60)) for side in range(7)]))
    together = embed(backbone.network, pixels)
    alone = torch.cat([embed(backbone.network, one[None]) for one in pixels])
    assert together.shape == (7, backbone.dim) and together.dtype == torch.float32
    assert (together[0] - together[1]).abs().max() > 1e-4
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5 * float(together.abs().max()))


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_tiny_networks_are_marked_and_the_same_each_time(checkpoint):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = load_image_backbone(checkpoint)
    assert torch.rand(1) == expected
    again = cached(checkpoint)
    assert first.facts() == again.facts() and first.facts()["tiny_random"] is True
    assert not first.network.training


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_parts_hold_each_parameter_once_and_all_are_trained(checkpoint):
    backbone = cached(checkpoint)
    names, parameters = zip(*parts_of(backbone.network), strict=True)
    told = [id(parameter) for own in parameters for parameter in own]
    assert sorted(told) == sorted(id(parameter) for parameter in backbone.network.parameters())
    blocks = [name for name in names if name.startswith("block-")]
    assert names[0] == "stem" and len(blocks) >= 2
    assert list(names) in (["stem", *blocks], ["stem", *blocks, "neck"])
    assert blocks == [f"block-{place}" for place in range(len(blocks))]
    backbone.network(torch.randn(2, 3, *backbone.preprocessing.size)).sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.network.parameters())


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_blocks_are_in_the_order_of_computation(checkpoint):
    """A block's first layer runs after the first layer of the block before it."""
    backbone = cached(checkpoint)
    order, handles = [], []
    for module in backbone.network.modules():
        handles.append(module.register_forward_hook(lambda module, *_: order.append(module)))
    backbone.network(torch.zeros(1, 3, *backbone.preprocessing.size))
    for handle in handles:
        handle.remove()
    ran = {id(p): place for place, module in enumerate(order) for p in module.parameters(recurse=False)}
    first = [
        min(ran[id(p)] for p in parameters if id(p) in ran)
        for name, parameters in parts_of(backbone.network)
        if name.startswith("block-")
    ]
    assert first == sorted(set(first)) and len(first) >= 2


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_saved_and_loaded_it_is_the_same_to_the_bit(tmp_path, checkpoint):
    backbone = load_image_backbone(checkpoint)
    with torch.no_grad():
        for parameter in backbone.network.parameters():
            parameter.add_(0.01)
    backbone.save(tmp_path)
    again = images.load(tmp_path)
    for size in ((1, 5), (3, 9)):
        pixels = torch.from_numpy(np.stack([backbone.preprocessing(picture(50 + side, 41)) for side in range(*size)]))
        assert torch.equal(backbone.network(pixels), again.network(pixels))
    assert again.facts() == backbone.facts() and again.preprocessing == backbone.preprocessing
    from_here = load_image_backbone(str(tmp_path))  # as what to start from, it is told by its own weights
    assert again.dim == backbone.dim and from_here.weights == digest(backbone.network) != backbone.weights
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_a_saved_transformers_network_is_transformers_own(tmp_path):
    backbone = load_image_backbone("tiny-random:vit")
    backbone.save(tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    pixels = processor(Image.fromarray(picture(50, 41)), return_tensors="pt")["pixel_values"]
    expected = model(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(backbone.network(pixels), expected, rtol=0, atol=1e-6)


def changed(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", ["open_clip", "timm", "vit"])
def test_another_preprocessing_than_in_training_is_refused(tmp_path, name):
    load_image_backbone(f"tiny-random:{name}").save(tmp_path)
    changed(tmp_path / "preprocessing.json", mean=[0.1, 0.2, 0.3])
    with pytest.raises(
        AffectkitError, match=r"preprocessing.json: 'mean' is \(0.1, 0.2, 0.3\), and the network was tr"
    ):
        images.load(tmp_path)
    (tmp_path / "preprocessing.json").unlink()
    with pytest.raises(AffectkitError, match=r"preprocessing.json: no such preprocessing") as caught:
        images.load(tmp_path)
    assert caught.value.code == "missing"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interpolation": "cubic"}, "cannot have interpolation 'cubic'"),
        ({"size": [32, 0]}, "cannot have size"),
        ({"std": [0.0, 1.0, 1.0]}, "cannot have std"),
        ({"size": "224"}, "cannot have size '224'"),
        ({"sharpen": 1}, "has an unknown 'sharpen'"),
    ],
)
def test_preprocessing_that_cannot_be_is_named(tmp_path, values, message):
    load_image_backbone("tiny-random:open_clip").save(tmp_path)
    changed(tmp_path / "preprocessing.json", **values)
    with pytest.raises(AffectkitError, match=re.escape("preprocessing.json: " + message)):
        images.load(tmp_path)


def test_transformers_own_copy_of_it_must_agree_too(tmp_path):
    load_image_backbone("tiny-random:vit").save(tmp_path)
    changed(tmp_path / "preprocessor_config.json", resample=3)
    with pytest.raises(
        AffectkitError, match=r"preprocessor_config.json: 'interpolation' is 'bilinear', and .* with 'bicubic'"
    ):
        images.load(tmp_path)


@pytest.mark.parametrize("name", ["backbone.json", "model.safetensors"])
def test_a_folder_that_is_not_whole_is_named(tmp_path, name):
    load_image_backbone("tiny-random:timm").save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(AffectkitError, match=name) as caught:
        images.load(tmp_path)
    assert caught.value.code == "missing"
    with pytest.raises(AffectkitError, match="nowhere: there is no such folder"):
        images.load(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP of open_clip's with random weights: the model, its transform, and its name for us and them."""
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    for name, patch in (("Small", 16), ("Small-32", 32)):
        config = {"embed_dim": 24, "vision_cfg": {**vision, "patch_size": patch}, "text_cfg": text}
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
    model, _, transform = open_clip.create_model_and_transforms("Small")
    return model.eval(), transform, folder


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_open_clips_weights_give_open_clips_embedding(clip, tmp_path, suffix):
    model, transform, _ = clip
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(model.state_dict(), file)
    else:  # as open_clip's own training writes it
        torch.save({"state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}, file)
    backbone = load_image_backbone(f"open_clip:Small/{file}")
    image = picture(77, 91)
    np.testing.assert_array_equal(backbone.preprocessing(image), transform(Image.fromarray(image)).numpy())
    pixels = transform(Image.fromarray(image))[None]
    with torch.no_grad():
        torch.testing.assert_close(backbone.network(pixels), model.encode_image(pixels), rtol=0, atol=1e-6)
    assert backbone.facts()["architecture"] == "Small" and not backbone.tiny_random
    assert not any("token_embedding" in name for name in backbone.network.state_dict())


def test_open_clips_tower_alone_is_enough(clip, tmp_path):
    save_file(clip[0].visual.state_dict(), tmp_path / "tower.safetensors")
    backbone = load_image_backbone(f"open_clip:Small/{tmp_path}/tower.safetensors")
    assert backbone.dim == 24


def edited(change):
    def edit(weights):
        change(weights)
        return weights

    return edit


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "Small-32",
            lambda w: None,
            r"has misshapen \d+ weights of open_clip's Small-32, such as \S+ \(\[.*\], not \[",
        ),
        ("Small", lambda w: w.pop("visual.ln_post.bias"), "lacks 1 weights of open_clip's Small, such as ln_post.bias"),
        ("Small", lambda w: w.update({"visual.more": torch.zeros(1)}), "has unknown 1 weights .* such as more"),
        ("Small", lambda w: w.update({"decoder.more": torch.zeros(1)}), "is no CLIP: it holds decoder.more"),
    ],
)
def test_open_clip_weights_of_another_tower_are_refused(clip, tmp_path, name, change, message):
    weights = dict(clip[0].state_dict())
    change(weights)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(AffectkitError, match=message) as caught:
        load_image_backbone(f"open_clip:{name}/{tmp_path}/w.safetensors")
    assert caught.value.code == "input" and "w.safetensors" in caught.value.file


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"version https://git-lfs.github.com/spec/v1\n"])
def test_files_that_hold_no_weights_are_one_line(tmp_path, suffix, content):
    (tmp_path / f"w{suffix}").write_bytes(content)
    for library in ("open_clip:ViT-B-32", "timm:test_resnet"):
        with pytest.raises(AffectkitError, match=f"w{suffix}: ") as caught:
            load_image_backbone(f"{library}/{tmp_path}/w{suffix}")
        assert "\n" not in str(caught.value)


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"state_dict": {"a": Runs()}}, tmp_path / "w.pt")
    with pytest.raises(AffectkitError, match=r"w.pt: cannot be read as weights"):
        load_image_backbone(f"timm:resnet18/{tmp_path}/w.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_timms_weights_give_what_its_classifier_reads(tmp_path, name):
    theirs = timm.create_model(name, num_classes=10).eval()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    backbone = load_image_backbone(f"timm:{name}/{tmp_path}/w.safetensors")
    transform = create_transform(**resolve_model_data_config(theirs), is_training=False)
    image = picture(201, 171)
    pixels = transform(Image.fromarray(image))[None]
    np.testing.assert_array_equal(backbone.preprocessing(image), pixels[0].numpy())
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(backbone.network(pixels), expected, rtol=0, atol=1e-6)
    assert backbone.facts()["architecture"].startswith(name)
    other = "test_vit2" if name == "test_vit" else "test_efficientnet"
    with pytest.raises(AffectkitError, match=rf"w.safetensors: \w+ .*weights of timm's {other}, such as"):
        load_image_backbone(f"timm:{other}/{tmp_path}/w.safetensors")


def saved(folder, name, kind=None, **changes):
    """A checkpoint folder of one of transformers' networks with random weights."""
    model, processor = tiny.build(f"tiny-random:{name}", "images")
    if kind is not None:
        model = kind(model.config).eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def pixels_of(processor):
    return processor(Image.fromarray(picture(50, 41)), return_tensors="pt")["pixel_values"]


@torch.no_grad()
def test_vit_gives_the_token_that_its_classifier_reads(tmp_path):
    model, processor = saved(tmp_path, "vit", transformers.ViTForImageClassification)
    backbone = load_image_backbone(str(tmp_path))
    pixels = pixels_of(processor)
    torch.testing.assert_close(model.classifier(backbone.network(pixels)), model(pixels).logits, rtol=0, atol=1e-6)
    assert backbone.facts()["pooling"] == "cls" and not backbone.tiny_random


@pytest.mark.parametrize(
    ("name", "kind", "pooling"),
    [
        ("beit", transformers.BeitForImageClassification, "mean"),
        ("convnext", transformers.ConvNextForImageClassification, "mean"),
        ("resnet", transformers.ResNetForImageClassification, "mean"),
        ("swin", transformers.SwinForImageClassification, "mean"),
    ],
)
@torch.no_grad()
def test_others_give_what_their_classifiers_read(tmp_path, name, kind, pooling):
    model, processor = saved(tmp_path, name, kind)
    backbone = load_image_backbone(str(tmp_path))
    pixels = pixels_of(processor)
    torch.testing.assert_close(model.classifier(backbone.network(pixels)), model(pixels).logits, rtol=0, atol=1e-6)
    assert backbone.facts()["pooling"] == pooling


@torch.no_grad()
def test_dinov2_gives_its_first_token(tmp_path):
    model, processor = saved(tmp_path, "dinov2")
    backbone = load_image_backbone(str(tmp_path))
    pixels = pixels_of(processor)
    torch.testing.assert_close(backbone.network(pixels), model(pixels).last_hidden_state[:, 0], rtol=0, atol=1e-6)


def whole_clip(folder):
    vision = tiny.build("tiny-random:clip", "images")[0].config.to_dict()
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.CLIPConfig(vision_config=vision, text_config={**text, "vocab_size": 64}, projection_dim=16)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return model, processor


@torch.no_grad()
def test_of_a_whole_clip_the_image_embedding_is_taken(tmp_path):
    model, processor = whole_clip(tmp_path)
    backbone = load_image_backbone(str(tmp_path))
    pixels = pixels_of(processor)
    expected = model.get_image_features(pixels)
    expected = getattr(expected, "pooler_output", expected)
    torch.testing.assert_close(backbone.network(pixels), expected, rtol=0, atol=1e-6)
    assert backbone.dim == 16 and backbone.facts()["pooling"] == "projection"
    assert not any("text" in name for name in backbone.network.state_dict())


@torch.no_grad()
def test_a_clip_tower_without_projection_gives_its_normed_token(tmp_path):
    model, processor = saved(tmp_path, "clip", transformers.CLIPVisionModel)
    backbone = load_image_backbone(str(tmp_path))
    pixels = pixels_of(processor)
    torch.testing.assert_close(backbone.network(pixels), model(pixels).pooler_output, rtol=0, atol=1e-6)
    assert backbone.facts()["pooling"] == "cls"
    backbone.save(tmp_path / "again")
    assert images.load(tmp_path / "again").facts()["pooling"] == "cls"


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_transformers_checkpoints_that_do_not_fit_are_refused(tmp_path):
    saved(tmp_path, "vit")
    changed(tmp_path / "config.json", intermediate_size=96)
    with pytest.raises(AffectkitError, match="has misshapen 6 weights of ViTModel, such as"):
        load_image_backbone(str(tmp_path))
    changed(tmp_path / "config.json", intermediate_size=64, num_hidden_layers=3)
    with pytest.raises(AffectkitError, match="lacks 16 weights of ViTModel"):
        load_image_backbone(str(tmp_path))
    changed(tmp_path / "config.json", num_hidden_layers=1)
    with pytest.raises(AffectkitError, match="has unknown 16 weights of ViTModel"):
        load_image_backbone(str(tmp_path))


def test_a_pooler_that_is_used_may_not_be_missing(tmp_path):
    saved(tmp_path, "beit")
    edit(tmp_path, lambda weights: [weights.pop(key) for key in list(weights) if "pooler" in key])
    with pytest.raises(AffectkitError, match=r"lacks 2 weights of BeitModel, such as pooler.layernorm.bias"):
        load_image_backbone(str(tmp_path))


def test_a_checkpoint_that_reads_no_images_is_refused(tmp_path):
    model, tokenizer = tiny.build("tiny-random:bert", "text")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(AffectkitError, match="is of 'bert', which is no image network known here"):
        load_image_backbone(str(tmp_path))


@pytest.mark.parametrize(
    ("checkpoint", "code", "message"),
    [
        (
            "open_clip:ViT-B-32/laion2b_s34b_b79k",
            "missing",
            "weights of 'ViT-B-32/laion2b_s34b_b79k' are not in the loc",
        ),
        ("open_clip:ViT-B-32/openai", "usage", "use ViT-B-32-quickgelu/openai"),
        ("open_clip:ViT-B-32", "usage", "of which weights"),
        (
            "open_clip:ViT-B-32/laion2b_s34b",
            "usage",
            "'laion2b_s34b' is neither one of its tags nor a file; did you mean",
        ),
        ("open_clip:ViT-B-32/nowhere/w.safetensors", "missing", "neither one of its tags nor a file"),
        ("open_clip:ViT-B-23/openai", "usage", "open_clip has no architecture 'ViT-B-23'; did you mean ViT-B-32"),
        ("timm:resnet18", "missing", "weights of 'resnet18' are not in the local cache .*pass resnet18/FILE"),
        ("timm:resnet18.a7", "usage", "timm has no network 'resnet18.a7'"),
        ("timm:resmet18", "usage", "timm has no network 'resmet18'; did you mean resnet18"),
        ("timm:", "usage", "timm has no network ''"),
        ("timm:resnet18/nowhere.safetensors", "missing", "nowhere.safetensors"),
        ("openai/clip-vit-base-patch32", "missing", "'openai/clip-vit-base-patch32' is not in the local cache"),
        ("./nowhere", "missing", "no such checkpoint folder"),
        ("tiny-random:vitt", "usage", "there is no tiny-random:vitt for images; did you mean vit"),
        ("tiny-random:wav2vec2", "usage", "there is no tiny-random:wav2vec2 for images"),
    ],
)
def test_checkpoints_that_are_none_are_one_line(monkeypatch, checkpoint, code, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(AffectkitError, match=message) as caught:
        load_image_backbone(checkpoint)
    assert caught.value.code == code and "\n" not in str(caught.value)


CONVOLUTIONS = ["timm", "timm,name=convnext_atto", "resnet", "convnext", "swin"]


@pytest.mark.parametrize("checkpoint", [f"tiny-random:{name}" for name in CONVOLUTIONS])
@torch.no_grad()
def test_at_another_size_it_is_the_same_network_saved_too(tmp_path, checkpoint):
    before = load_image_backbone(checkpoint)
    resized = at_size(before, 48)
    assert resized.preprocessing.size == (48, 48)
    share = [
        preprocessing.size[0] / preprocessing.resize_to[0]
        for preprocessing in (before.preprocessing, resized.preprocessing)
    ]
    assert share[0] == pytest.approx(share[1], abs=0.03)
    resized.save(tmp_path / "saved")
    again = images.load(tmp_path / "saved")
    assert again.preprocessing == resized.preprocessing and digest(again.network) == digest(before.network)
    pixels = torch.from_numpy(np.stack([again.preprocessing(picture(*size)) for size in SIZES]))
    assert torch.equal(again.network(pixels), before.network(pixels))


@pytest.mark.parametrize(("name", "side"), [("test_resnet", 96), ("convnext_atto", 112), ("test_efficientnet", 448)])
def test_a_size_of_timms_is_preprocessed_as_timm_does(name, side):
    network = build_timm({"name": name})
    config = {**resolve_model_data_config(network), "input_size": (3, side, side)}
    resized = at_size(load_image_backbone(f"tiny-random:timm,name={name}"), side)
    assert_same(resized.preprocessing, create_transform(**config, is_training=False))


@pytest.mark.parametrize("name", ["open_clip", "timm,name=vit_tiny_patch16_224", "vit", "clip", "siglip"])
def test_a_network_of_fixed_size_is_named(name):
    backbone = load_image_backbone(f"tiny-random:{name}")
    with pytest.raises(AffectkitError, match=r"reads no images of size 48; leave the size out") as caught:
        at_size(backbone, 48)
    assert caught.value.code == "usage" and "\n" not in str(caught.value)
    assert at_size(backbone, backbone.preprocessing.size[0]).preprocessing == backbone.preprocessing


def test_a_tiny_network_of_convolutions_reads_images_of_another_size():
    small = load_image_backbone("tiny-random:timm,name=test_resnet,size=64")
    assert small.preprocessing.size == (64, 64)
    assert small.network(torch.zeros(1, 3, 64, 64)).shape == (1, small.dim)
    with pytest.raises(AffectkitError, match=r"vit_tiny_patch16_224.* reads no images of size 64"):
        load_image_backbone("tiny-random:timm,name=vit_tiny_patch16_224,size=64")
