"""open-clip, timm and hf-image against the networks' own libraries, one picture at a time."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from affectkit import registry
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.encoders import _images, _loop
from affectkit.encoders._encoder import Item, from_record, items, load, record
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.models import tiny

TINY = {"open-clip": "tiny-random:open_clip", "timm": "tiny-random:timm", "hf-image": "tiny-random:vit"}


def built(name="open-clip", **options):
    encoder = registry.load("encoders", name).build(**{"checkpoint": TINY[name], **options})
    load(encoder, "cpu")
    return encoder


@pytest.fixture
def picture(tmp_path):
    def write(name="a.png", height=60, width=90):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        return Item(name, tmp_path / name), pixels

    return write


def test_the_vector_is_what_timm_gives_for_the_picture(tmp_path, picture):
    model = timm.create_model("test_resnet", num_classes=3).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    item, pixels = picture()
    value = encode_items(built("timm", checkpoint=f"test_resnet/{tmp_path}/w.safetensors"), [item]).values[0]
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    batch = transform(Image.fromarray(pixels))[None]
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(batch), pre_logits=True)[0].numpy()
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)


def test_the_vector_is_what_transformers_gives_for_the_picture(tmp_path, picture):
    model, processor = tiny.build("tiny-random:dinov2", "images")
    model.save_pretrained(tmp_path / "dino")
    processor.save_pretrained(tmp_path / "dino")
    item, pixels = picture()
    value = encode_items(built("hf-image", checkpoint=str(tmp_path / "dino")), [item]).values[0]
    batch = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.eval()(batch).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)


def test_bfloat16_is_near(picture):
    item, _ = picture()
    exact, near = (encode_items(built(dtype=dtype), [item]).values[0] for dtype in ("float32", "bfloat16"))
    assert near.dtype == np.float32 and 0 < np.abs(exact - near).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((10, 20, 30, 30), slice(20, 50), slice(10, 40)),
        ((10.4, 20.2, 29.8, 10), slice(10, 40), slice(10, 40)),  # as wide as its longer side, about the same centre
        ((30, 0, 20, 60), slice(0, 60), slice(10, 70)),
    ],
)
def test_a_crop_is_the_square_about_the_box(picture, box, rows, columns):
    item, pixels = picture()
    cut = _images.square(pixels, Item("a", item.path, box=box), "face")
    np.testing.assert_array_equal(cut, pixels[rows, columns])


def test_a_crop_is_black_where_it_leaves_the_image(picture):
    item, pixels = picture()
    cut = _images.square(pixels, Item("a", item.path, box=(70, 10, 40, 40)), "person")  # 20 wide within: 40 high
    assert cut.shape == (40, 40, 3)
    np.testing.assert_array_equal(cut[:, :30], pixels[10:50, 60:90])
    assert not cut[:, 30:].any()


@pytest.mark.parametrize(
    "box", [(200, 0, 5, 5), (0, 0, 0, 5), (0, 0, -3, 5), (float("nan"), 0, 5, 5), (0, 0, 0.2, 0.2)]
)
def test_a_box_outside_the_image_is_an_error(picture, box):
    item, pixels = picture()
    with pytest.raises(AffectkitError, match=r"a.png: its face box \(.*\) is not within 90 x 60 pixels"):
        _images.square(pixels, Item("a", item.path, box=box), "face")


def test_faces_are_cut_out_by_the_manifests_columns(image_like, tmp_path):
    manifest = read_manifest(image_like(tmp_path, 4))
    encoder = built(crop="face")
    todo = items(manifest, encoder)
    encoded = encode_items(encoder, todo, on_error="skip")
    assert encoded.ids == ["c000", "c001", "c002"]
    assert encoded.skipped == [("c003", f"{tmp_path}/003.jpg: has no face box")]
    image = np.asarray(Image.open(tmp_path / "000.png"))
    Image.fromarray(_images.square(image, todo[0], "face")).save(tmp_path / "face.png")
    expected = encode_items(built(), [Item("a", tmp_path / "face.png")]).values[0]
    np.testing.assert_allclose(encoded.values[0], expected, rtol=0, atol=1e-6)
    whole = encode_items(built(), items(manifest, built())).values
    assert len(whole) == 4 and np.abs(whole[0] - encoded.values[0]).max() > 1e-4
    with pytest.raises(AffectkitError, match=r"has no column 'person_x'; add it, or encode with --crop none"):
        items(manifest, built(crop="person"))


def test_batches_are_of_so_many_images_and_the_next_is_being_decoded(image_like, tmp_path):
    todo = items(read_manifest(image_like(tmp_path, 80)), built())
    encoder, sizes, prepared = built(), [], []
    encode, prepare = encoder.encode, encoder.prepare
    encoder.encode = lambda batch: sizes.append((len(batch), len(prepared))) or encode(batch)
    encoder.prepare = lambda item: prepared.append(item.id) or prepare(item)
    encode_items(encoder, todo, num_workers=2)
    assert [size for size, _ in sizes] == [_loop.BATCH_IMAGES, _loop.BATCH_IMAGES, 80 - 2 * _loop.BATCH_IMAGES]
    assert all(ready <= done * 32 + 32 + 2 for done, (_, ready) in enumerate(sizes, start=1)), "memory stays flat"


def test_predicting_refuses_other_weights_or_another_preprocessing(tmp_path, picture):
    save_file(timm.create_model("test_resnet", num_classes=3).state_dict(), tmp_path / "w.safetensors")
    checkpoint = f"test_resnet/{tmp_path}/w.safetensors"
    known = json.loads(json.dumps(record(built("timm", checkpoint=checkpoint))))
    item, _ = picture()
    again = from_record(known, device="cpu", checkpoint=f"timm:{checkpoint}")
    np.testing.assert_array_equal(
        encode_items(again, [item]).values[0], encode_items(built("timm", checkpoint=checkpoint), [item]).values[0]
    )
    known["preprocessing"]["interpolation"] = "lanczos"
    with pytest.raises(AffectkitError, match="has another 'preprocessing' than the features' encoder"):
        from_record(known, device="cpu")
    with pytest.raises(AffectkitError, match="has other weights than the features' encoder"):
        from_record(known, device="cpu", checkpoint="tiny-random:timm")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "open-clip",
            {"checkpoint": ""},
            "open-clip needs a --checkpoint; pass --checkpoint ViT-B-32/laion2b_s34b_b79k",
        ),
        ("timm", {"checkpoint": ""}, "timm needs a --checkpoint; pass --checkpoint resnet18"),
        (
            "hf-image",
            {"checkpoint": ""},
            "hf-image needs a --checkpoint; pass --checkpoint openai/clip-vit-base-patch32",
        ),
        ("hf-image", {"checkpoint": "timm:resnet18"}, "is none of transformers' checkpoints; use --encoder timm"),
        ("hf-image", {"checkpoint": "tiny-random:open_clip"}, "use --encoder open-clip"),
        ("open-clip", {"crop": "hand"}, "there is no --crop hand; use none, face, person"),
        ("timm", {"dtype": "float16"}, "there is no --dtype float16"),
    ],
)
def test_unknown_options_are_usage_errors(name, options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        built(name, **options)
    assert caught.value.code == "usage"


def test_a_name_may_be_written_as_the_library_is():
    assert registry.load("encoders", "open_clip") is registry.load("encoders", "open-clip")
    with pytest.raises(AffectkitError, match="there is no encoder 'open_klip'; did you mean open-clip"):
        registry.load("encoders", "open_klip")


def test_extract_features_takes_a_manifest_of_images(affectkit, image_like, tmp_path):
    manifest = image_like(tmp_path / "pictures", 40)
    (tmp_path / "pictures" / "007.jpg").write_bytes(b"")
    options = ("--encoder", "open_clip", "--checkpoint", "tiny-random:open_clip", "--on-error", "skip")
    affectkit("extract-features", "-m", manifest, *options, "-o", tmp_path / "f")
    features = read_features(tmp_path / "f")
    known = json.loads((tmp_path / "f" / "encoder.json").read_text())
    assert known["encoder"] == "open-clip" and known["tiny_random"] is True and known["dim"] == 16
    assert known["preprocessing"]["interpolation"] == "bicubic" and known["pooled"] is True
    skipped = pd.read_csv(tmp_path / "f" / "skipped.csv")
    assert list(skipped["id"]) == ["c007"] and "is empty" in skipped.iloc[0, 1]
    assert features.matrix(["c039", "c000"]).shape == (2, 16)
    affectkit("extract-features", "-m", manifest, *options, "--num-workers", 3, "-o", tmp_path / "g")
    for file in ("index.csv", "features-00001.safetensors"):
        assert (tmp_path / "f" / file).read_bytes() == (tmp_path / "g" / file).read_bytes()


def test_features_of_another_crop_do_not_serve_a_trained_model(affectkit, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["id,path,label,split,face_x,face_y,face_width,face_height"]
    for number in range(16):
        pixels = (rng.uniform(0, 120, (40, 40, 3)) + 100 * (number % 2)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(
            f"i{number},{number}.png,{'dark' if number % 2 else 'bright'},{('train', 'test')[number > 9]},4,4,24,24"
        )
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    extract = ["extract-features", "--manifest", tmp_path / "rows.csv", "--encoder", "timm", "--device", "cpu"]
    for crop in ("none", "face"):
        affectkit(*extract, "--checkpoint", "tiny-random:timm", "--crop", crop, "-o", tmp_path / crop)
    train = ["train", "--manifest", tmp_path / "rows.csv", "--features", tmp_path / "face", "-o", tmp_path / "model"]
    affectkit(*train)
    predict = ["predict", "--model-dir", tmp_path / "model", "--manifest", tmp_path / "rows.csv", "--split", "test"]
    affectkit(*predict, "--features", tmp_path / "face")
    assert "differs in 'crop'" in affectkit(*predict, "--features", tmp_path / "none", code=1).stderr


def test_timm_reads_the_folder_of_a_fine_tuned_network(tmp_path, picture):
    """Its `best_model/`, by the name of the encoder whose network it was made from."""
    from affectkit.labels import Target
    from affectkit.models import image_network

    network = image_network.build("tiny-random:timm", [Target("valence", "number")]).eval()
    network.save(tmp_path / "best_model")
    item, pixels = picture()
    value = encode_items(built("timm", checkpoint=str(tmp_path / "best_model")), [item]).values[0]
    with torch.inference_mode():
        expected = network.encode(torch.from_numpy(network.prepare(pixels))[None])[0]
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


def test_a_narrow_image_is_not_padded_to_gigabytes():
    narrow = np.zeros((60000, 4, 3), np.uint8)
    with pytest.raises(
        AffectkitError, match=r"a.png: the square about its face has 60000 x 60000 pixels: the limit is"
    ):
        _images.square(narrow, Item("a", "a.png", box=(0, 0, 4, 60000)), "face")
    assert _images.square(narrow, Item("a", "a.png", box=(0, 0, 4, 600)), "face").shape == (600, 600, 3)
