"""What every encoder owes, over all that there are: a new file in affectkit/encoders is covered by being there."""

import json

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.manifest import read_manifest
from affectkit.encoders._encoder import Item, from_record, items, load, record
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.plain import without_nan

TINY = {
    "hf-audio": "tiny-random:wav2vec2",
    "hf-text": "tiny-random:bert",
    "hf-image": "tiny-random:vit",
    "open-clip": "tiny-random:open_clip",
    "timm": "tiny-random:timm",
}
NAMES = registry.names("encoders")


def small_options(name):
    """The fewest options with which an encoder can be built here."""
    build = registry.load("encoders", name).build
    own = {
        "arrays": {"array": "sequence"},
        "landmarks": {"features": "posture"},
        "low-level": {"series": "landmarks", "channels": "x_0,y_0"},
    }
    if name in own:
        return own[name]
    if "checkpoint" not in registry.options(build):
        return {}
    return {"checkpoint": TINY[name]}


@pytest.fixture
def rows(speech_like, image_like, video_like):
    """A manifest of what an encoder reads: `rows(encoder, folder, 7)`."""

    def read(encoder, folder, count):
        like = video_like if encoder.name == "motion" else image_like if encoder.reads == "images" else speech_like
        return read_manifest(like(folder, count))

    return read


@pytest.fixture
def small():
    def build(name, **more):
        encoder = registry.load("encoders", name).build(**small_options(name), **more)
        load(encoder, "cpu")
        return encoder

    return build


def dense(values):
    return [row.toarray()[0] for row in values] if hasattr(values, "toarray") else values


@pytest.mark.parametrize("name", NAMES)
def test_its_record_builds_it_again(name, small, rows, tmp_path):
    encoder = small(name)
    known = json.loads(json.dumps(without_nan(record(encoder))))
    assert known["encoder"] == name and known["options"] == encoder.options
    again = from_record(known, device="cpu")
    todo = items(rows(encoder, tmp_path, 3), encoder)
    for one, other in zip(
        dense(encode_items(encoder, todo).values), dense(encode_items(again, todo).values), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32 and one.shape[-1] == known.get("dim", 4)  # an array's is in its file
    names = known["feature_names"]
    assert names is None or len(names) == len(set(names)) == known["dim"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_depends_on_the_batch_its_order_or_the_workers(name, small, rows, tmp_path):
    encoder = small(name)
    todo = items(rows(encoder, tmp_path, 7), encoder)
    together = encode_items(encoder, todo, batch_seconds=1000.0)
    assert together.ids == [item.id for item in todo]
    alone = [dense(encode_items(encoder, [item]).values)[0] for item in todo]
    backwards = dense(encode_items(encoder, todo[::-1], batch_seconds=0.0, num_workers=3).values)[::-1]
    for one, two, three in zip(dense(together.values), alone, backwards, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5 * np.abs(two).max())
        np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-5 * np.abs(three).max())


@pytest.mark.parametrize("name", NAMES)
def test_what_it_cannot_encode_is_an_error_or_skipped(name, small, rows, tmp_path):
    encoder = small(name)
    good = items(rows(encoder, tmp_path, 2), encoder)
    (tmp_path / "empty.wav").write_bytes(b"")
    bad = Item("bad", tmp_path / "empty.wav", text=" ")
    todo = [good[0], bad, good[1]]
    with pytest.raises(AffectkitError, match=r"is empty|has no text|has no array_index"):
        encode_items(encoder, todo)
    encoded = encode_items(encoder, todo, on_error="skip")
    assert encoded.ids == ["c000", "c001"]
    assert [key for key, _ in encoded.skipped] == ["bad"]
    both, first = dense(encoded.values), dense(encode_items(encoder, good[:1]).values)
    assert len(both) == 2
    np.testing.assert_allclose(both[0], first[0], rtol=1e-5, atol=1e-6)
