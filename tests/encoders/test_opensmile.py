"""openSMILE: equal to `opensmile.Smile`, bit for bit."""

import sys

import numpy as np
import pytest
import soundfile

opensmile = pytest.importorskip("opensmile")

from affectkit.encoders import opensmile as plugin  # noqa: E402
from affectkit.encoders._encoder import Item, load  # noqa: E402
from affectkit.encoders._loop import encode_items  # noqa: E402
from affectkit.errors import AffectkitError  # noqa: E402

SETS = ["eGeMAPSv02", "ComParE_2016"]
LEVELS = {"functionals": "Functionals", "lld": "LowLevelDescriptors", "lld-deltas": "LowLevelDescriptors_Deltas"}


@pytest.fixture
def clip(tmp_path):
    """1.1 s at 22,050 Hz of a vowel whose pitch falls, one or two channels."""

    def write(channels=1, seconds=1.1, subtype="PCM_16"):
        time = np.arange(int(seconds * 22050)) / 22050
        rng = np.random.default_rng(0)
        wave = np.sin(2 * np.pi * (200 - 40 * time) * time) * (0.3 + 0.1 * time)
        sides = [wave * (1 - 0.3 * side) + 0.01 * rng.standard_normal(len(time)) for side in range(channels)]
        soundfile.write(tmp_path / "clip.wav", np.stack(sides, axis=1), 22050, subtype=subtype)
        return tmp_path / "clip.wav"

    return write


def ours(path, feature_set="eGeMAPSv02", level="functionals", **segment):
    encoder = plugin.build(feature_set=feature_set, feature_level=level)
    load(encoder)
    return encode_items(encoder, [Item("a", path, **segment)]).values[0]


def theirs(path, feature_set="eGeMAPSv02", level="functionals", options=None, **segment):
    smile = opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[LEVELS[level]], **(options or {}))
    values = smile.process_file(path, **segment).to_numpy()
    return values[0] if level == "functionals" else values


@pytest.mark.parametrize("feature_set", SETS)
@pytest.mark.parametrize("level", ["functionals", "lld"])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_it_equals_process_file(clip, feature_set, level, subtype):
    path = clip(subtype=subtype)
    np.testing.assert_array_equal(ours(path, feature_set, level), theirs(path, feature_set, level))


def test_deltas_equal_process_file(clip):
    path = clip()
    values = ours(path, "ComParE_2016", "lld-deltas")
    np.testing.assert_array_equal(values, theirs(path, "ComParE_2016", "lld-deltas"))
    assert values.ndim == 2 and values.shape[1] == 65


@pytest.mark.parametrize("segment", [(0.2, 0.8), (0.33333, None), (None, 0.5)])
def test_segments_equal_process_file(clip, segment):
    path = clip()
    start, end = segment
    np.testing.assert_array_equal(ours(path, start_sec=start, end_sec=end), theirs(path, start=start or 0, end=end))


def test_several_channels_are_averaged(clip):
    path = clip(channels=2)
    mixed = theirs(path, options={"channels": range(2), "mixdown": True})
    np.testing.assert_array_equal(ours(path), mixed)
    assert not np.array_equal(mixed, theirs(path))  # Smile's own default is the first channel


def test_real_speech_equals_process_files(real_data):
    paths = sorted((real_data / "emodb" / "wav").glob("*.wav"))[::100]
    encoder = plugin.build(feature_set="ComParE_2016")
    load(encoder)
    values = encode_items(encoder, [Item(path.stem, path) for path in paths], num_workers=2).values
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    np.testing.assert_array_equal(np.stack(values), smile.process_files([str(path) for path in paths]).to_numpy())


def test_names_are_opensmiles():
    encoder = plugin.build(feature_set="eGeMAPSv02")
    load(encoder)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    assert encoder.feature_names == smile.feature_names and len(smile.feature_names) == 88


@pytest.mark.parametrize("level", ["functionals", "lld"])
def test_too_short_is_an_error_not_nan(clip, level):
    with pytest.raises(AffectkitError, match=r"clip.wav: 0.005 s are too short for openSMILE"):
        ours(clip(seconds=0.005), level=level)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_set": "eGeMAPSv03"}, "no feature set 'eGeMAPSv03'; did you mean eGeMAPSv02"),
        ({"feature_level": "func"}, "there is no --feature-level func; use functionals, lld, lld-deltas"),
        ({"feature_level": "lld-deltas"}, "not available for feature set 'eGeMAPSv02'; use --feature-level lld"),
    ],
)
def test_unknown_options_are_usage_errors(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        load(plugin.build(**options))
    assert caught.value.code == "usage"


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(AffectkitError, match=r'research only.*pip install "affectkit\[speech\]"') as caught:
        load(plugin.build())
    assert caught.value.code == "environment"


@pytest.mark.parametrize("peak", [1.0, 1.2])
def test_samples_beyond_full_scale_are_clipped_and_said_once(tmp_path, caplog, peak):
    time = np.arange(32000) / 16000
    wave = sum(np.sin(2 * np.pi * 150 * k * time + k) / k for k in range(1, 12)) * (
        0.6 + 0.4 * np.sin(2 * np.pi * time)
    )
    wave = (peak * wave / np.abs(wave).max()).astype(np.float32)
    soundfile.write(tmp_path / "loud.wav", wave, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "clipped.wav", wave, 16000, subtype="PCM_16")  # which clips
    values = [ours(tmp_path / name) for name in ("loud.wav", "loud.wav", "clipped.wav")]
    np.testing.assert_allclose(values[0], values[2], rtol=0.05, atol=0.01)
    assert len(caplog.records) == (peak > 1) and ("loud.wav" in caplog.text) == (peak > 1)


def test_a_file_of_another_scale_is_not_clipped_to_a_square_wave(tmp_path):
    wave = np.random.default_rng(0).standard_normal(16000)
    soundfile.write(tmp_path / "unit_variance.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(AffectkitError, match=r"unit_variance.wav: 3\d% of its samples are beyond full scale"):
        ours(tmp_path / "unit_variance.wav")
