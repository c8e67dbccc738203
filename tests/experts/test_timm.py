"""The timm expert against timm itself."""

import numpy as np
import pytest
import timm
import torch

from affectkit.errors import AffectkitError
from affectkit.experts import timm as plugin


@pytest.fixture
def saved(tmp_path):
    def save(outputs, name="test_resnet"):
        torch.manual_seed(1)
        network = timm.create_model(name, num_classes=outputs).eval()
        torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "w.pth")
        return network, f"timm:{name}/{tmp_path / 'w.pth'}"

    return save


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)


def test_it_answers_as_timm_does_on_timms_own_input(saved, crops):
    network, checkpoint = saved(5)
    expert = plugin.build(checkpoint=checkpoint, outputs="happy,arousal,_,sad,valence", expert_scale="-1,1")
    expert.load("cpu")
    config = timm.data.resolve_model_data_config(network)
    assert expert.size == config["input_size"][1] == 160
    normalise = [torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std")]
    with torch.inference_mode():
        given = network((torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - normalise[0]) / normalise[1])
    answer = expert.predict(crops)
    assert expert.outputs == ("arousal", "valence") and expert.classes == ("happy", "sad")
    np.testing.assert_allclose(answer.values["arousal"], given[:, 1], atol=1e-5)
    np.testing.assert_allclose(answer.values["valence"], given[:, 4], atol=1e-5)
    np.testing.assert_allclose(answer.probabilities, torch.softmax(given[:, [0, 3]], dim=1), atol=1e-5)


def test_weights_of_another_width_are_refused(saved):
    _, checkpoint = saved(10)
    with pytest.raises(AffectkitError, match=r"misshapen .*\(\[10\], not \[2\]\)|\(\[10, \d+\], not \[2, \d+\]\)"):
        plugin.build(checkpoint=checkpoint).load("cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": "happy,sad"}, "--outputs happy,sad has none of valence, arousal, dominance"),
        ({"outputs": "valence,valence"}, "names one twice"),
        ({"expert_scale": "1"}, "--expert-scale 1; write --expert-scale=-1,1"),
        ({"expert_scale": "1,-1"}, "--expert-scale 1,-1"),
        ({"expert_scale": "nan,1"}, "--expert-scale nan,1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        plugin.build(checkpoint="timm:resnet18/w.pth", **options)
    assert caught.value.code == "usage"


def test_an_unknown_network_and_a_missing_file(tmp_path):
    with pytest.raises(AffectkitError, match="timm has no architecture 'resnet1'; did you mean resnet"):
        plugin.build(checkpoint="timm:resnet1/w.pth").load("cpu")
    with pytest.raises(AffectkitError, match="there are no weights for resnet18") as caught:
        plugin.build(checkpoint=f"timm:resnet18/{tmp_path}/w.pth").load("cpu")
    assert caught.value.code == "missing"
