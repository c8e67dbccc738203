"""hf-image, timm and open-clip on videos: each frame is what the same frame is in a file of its own."""

import numpy as np
import pandas as pd
import pytest
from moving_pictures import shift, write_video
from PIL import Image

from affectkit import registry
from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.detectors._detector import Face
from affectkit.detectors.haar import Haar
from affectkit.encoders import _images
from affectkit.encoders._encoder import Item, from_record, items, load, record
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.media import read_frames

pytest.importorskip("cv2", reason="OpenCV is not installed (affectkit[face])")


def built(name="timm", **options):
    tiny = {"open-clip": "tiny-random:open_clip", "timm": "tiny-random:timm", "hf-image": "tiny-random:vit"}[name]
    encoder = registry.load("encoders", name).build(checkpoint=tiny, **options)
    load(encoder, "cpu")
    return encoder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """5 s at 10 Hz."""
    return write_video(tmp_path_factory.mktemp("film") / "a.avi", shift(20, 5), seconds=5, size=(64, 48))


def stills(film, folder, **seconds):
    """The frames as pictures."""
    todo = []
    for frame in read_frames(film, **seconds):
        path = folder / f"{frame.time_sec:.3f}.png"
        Image.fromarray(frame.image).save(path)
        todo.append(Item(path.stem, path))
    return todo


@pytest.mark.parametrize("name", ["hf-image", "timm", "open-clip"])
def test_a_frame_is_what_it_is_as_a_picture(film, tmp_path, name):
    encoder = built(name, pool="none", fps=4)
    frames = encode_items(encoder, [Item("a", film, start_sec=1.0, end_sec=3.0)], num_workers=2).values[0]
    pictures = encode_items(built(name), stills(film, tmp_path, fps=4, start_sec=1.0, end_sec=3.0)).values
    assert frames.shape == (8, encoder.backbone.dim) and frames.dtype == np.float32
    np.testing.assert_allclose(frames, np.stack(pictures), atol=1e-6)


def test_pooled_over_its_frames_by_default_at_two_a_second(film, tmp_path):
    encoder = built()
    mean = encode_items(encoder, [Item("a", film)]).values[0]
    assert encoder.options["fps"] == 2 and encoder.options["pool"] == "mean" and encoder.pooled
    frames = np.stack(encode_items(built(), stills(film, tmp_path, fps=2)).values)
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-6)
    both = built(pool="mean-std")
    pooled = encode_items(both, [Item("a", film)]).values[0]
    np.testing.assert_allclose(pooled, np.concatenate([frames.mean(axis=0), frames.std(axis=0)]), atol=1e-6)
    assert record(both)["dim"] == len(pooled)


def test_a_picture_among_videos_is_a_video_of_one_frame(film, tmp_path):
    picture = stills(film, tmp_path, end_sec=0.05)[0]
    vector = encode_items(built(), [picture]).values[0]
    beside = encode_items(built(pool="mean-std"), [Item("a", film), picture]).values[1]
    np.testing.assert_allclose(beside, np.concatenate([vector, 0 * vector]), atol=1e-6)
    assert encode_items(built(pool="none"), [Item("a", film), picture]).values[1].shape == (1, len(vector))


def test_of_pictures_alone_the_record_says_nothing_of_frames(film, tmp_path):
    encoder = built()
    encode_items(encoder, stills(film, tmp_path, end_sec=0.25))
    assert list(record(encoder)["options"]) == ["checkpoint", "revision", "dtype", "crop"]


def test_batches_of_frames_and_the_company_change_nothing(film, tmp_path, monkeypatch):
    todo = [Item("a", film), Item("b", film, stretches=((0.0, 1.0), (3.0, 4.0))), Item("c", film, end_sec=0.3)]
    together = encode_items(built(pool="none", fps=10), todo, num_workers=3).values
    assert [len(values) for values in together] == [50, 20, 3]
    monkeypatch.setattr(_images, "BATCH_IMAGES", 7)
    again = encode_items(built(pool="none", fps=10), todo[::-1]).values[::-1]
    for one, other in zip(together, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(together[1], np.concatenate([together[0][:10], together[0][30:40]]), atol=1e-6)


def test_of_a_long_video_some_batches_are_in_memory(film, monkeypatch):
    """What was decoded and not yet given to the network, at most."""
    monkeypatch.setattr(_images, "BATCH_IMAGES", 4)
    encoder = built(pool="none", fps=10)
    decoded, embedded, most = 0, 0, 0
    pixels, embed = encoder._pixels, encoder._embedded

    def counted(*arguments):
        nonlocal decoded, most
        decoded += 1
        most = max(most, decoded - embedded)
        return pixels(*arguments)

    def embedding(batch):
        nonlocal embedded
        embedded += len(batch)
        return embed(batch)

    encoder._pixels, encoder._embedded = counted, embedding
    assert encode_items(encoder, [Item("a", film)]).values[0].shape[0] == 50 == decoded
    assert most <= 2 * 4


def test_its_record_builds_it_again_and_reads_what_it_read(film):
    encoder = built(pool="none", fps=3)
    known = record(encoder)
    again = from_record(known, device="cpu")
    assert not again.pooled and record(again) == known
    np.testing.assert_array_equal(*(encode_items(each, [Item("a", film)]).values[0] for each in (encoder, again)))


def test_rows_of_a_manifest_have_their_seconds(film, tmp_path):
    rows = {"id": ["a", "b"], "path": [str(film)] * 2, "start_sec": ["", 1], "end_sec": ["", 2.5]}
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    encoder = built(pool="none")
    todo = items(read_manifest(tmp_path / "m.csv"), encoder)
    assert [len(values) for values in encode_items(encoder, todo).values] == [10, 3]


# Faces


@pytest.fixture
def faces(monkeypatch):
    """Haar finds a face in every second frame that it sees, of 20 x 20 pixels at (8, 4), and a smaller one."""
    seen = []

    def detect(self, image, row):
        seen.append(image)
        return [] if len(seen) % 2 else [Face((30.0, 30.0, 10.0, 10.0)), Face((8.0, 4.0, 20.0, 20.0))]

    monkeypatch.setattr(Haar, "detect", detect)
    return seen


def test_faces_are_found_in_every_frame_and_those_without_one_counted(film, tmp_path, faces):
    encoder = built(crop="face", detector="haar", pool="none")
    encoded = encode_items(encoder, [Item("a", film)])
    assert encoded.values[0].shape[0] == 5 and encoded.counts == {"frames_without_a_face": 5}
    second = stills(film, tmp_path, fps=2)[1]
    boxed = built(crop="face")
    expected = encode_items(boxed, [Item("x", second.path, box=(8.0, 4.0, 20.0, 20.0))]).values[0]
    np.testing.assert_allclose(encoded.values[0][0], expected, atol=1e-6)


def test_a_row_without_any_face_is_skipped_with_its_reason(film, tmp_path):
    encoder = built(crop="face", detector="haar")
    picture = stills(film, tmp_path, end_sec=0.05)[0]
    with pytest.raises(AffectkitError, match="has no face that haar finds in its 10 frames"):
        encode_items(encoder, [Item("a", film)])
    encoded = encode_items(encoder, [Item("a", film), picture], on_error="skip")
    assert [reason.rpartition(": ")[2] for _, reason in encoded.skipped] == [
        "has no face that haar finds in its 10 frames",
        "has no face that haar finds",
    ]


@pytest.mark.parametrize(("crop", "remedy"), [("face", "pass --detector haar, or"), ("person", "pass --crop none")])
def test_boxes_of_rows_say_nothing_of_frames(film, tmp_path, crop, remedy):
    pd.DataFrame({"id": ["a"], "path": [str(film)]}).to_csv(tmp_path / "m.csv", index=False)
    encoder = built(crop=crop)
    with pytest.raises(AffectkitError, match=f"is a video, and where its {crop} is in each frame is not known") as it:
        encode_items(encoder, items(read_manifest(tmp_path / "m.csv"), encoder), on_error="skip")
    assert it.value.code == "usage" and remedy in str(it.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "haar"}, "--detector finds faces, and --crop is not face"),
        ({"detector": "columns", "crop": "face"}, "there is no --detector columns; use haar, yunet"),
        ({"detector": "yunet", "crop": "face"}, "yunet needs --detector-weights"),
        ({"detector": "haar", "crop": "face", "detector_weights": "a"}, "haar has no option --detector-weights"),
        ({"detector_weights": "a", "crop": "face"}, "there is no --detector ; use haar, yunet"),
        ({"pool": "cls"}, "there is no --pool cls"),
        ({"fps": -1.0}, "--fps -1"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(AffectkitError) as caught:
        registry.load("encoders", "timm").build(checkpoint="tiny-random:timm", **options)
    assert caught.value.code == "usage" and message in str(caught.value)


def test_from_videos_to_predictions_of_them(affectkit, tmp_path):
    """A model of features of videos reads videos as such: no row for each frame."""
    rows = []
    for clip in range(8):
        fast = clip % 2 == 0
        write_video(tmp_path / f"{clip}.avi", shift(30.0 * fast, 0), seconds=1, size=(64, 48), seed=clip)
        rows.append(
            (f"c{clip}", f"{clip}.avi", ("slow", "fast")[fast], "test" if clip > 5 else "train", f"p{clip // 2}")
        )
    pd.DataFrame(rows, columns=["id", "path", "label", "split", "speaker"]).to_csv(tmp_path / "m.csv", index=False)
    made = ["--manifest", tmp_path / "m.csv", "--pool", "mean"]
    affectkit("extract-features", *made, "--encoder", "timm", "--checkpoint", "tiny-random:timm", "-o", tmp_path / "i")
    affectkit("extract-features", *made, "--encoder", "motion", "-o", tmp_path / "f")
    assert read_features(tmp_path / "i").encoder["options"]["fps"] == 2
    features = ["--features", tmp_path / "i", "--features", tmp_path / "f"]
    affectkit("train", *made[:2], *features, "--model", "linear", "-o", tmp_path / "r")
    predict = ["predict", "--model-dir", tmp_path / "r", *made[:2], "--split", "test", "-o"]
    affectkit(*predict, tmp_path / "raw.csv")
    affectkit(*predict, tmp_path / "read.csv", *features)
    raw, read = (pd.read_csv(tmp_path / name) for name in ("raw.csv", "read.csv"))
    assert list(raw["id"]) == ["c6", "c7"]
    pd.testing.assert_frame_equal(raw, read, atol=1e-6)
