import pytest
import torch

from affectkit.errors import AffectkitError
from affectkit.experts import emonet
from affectkit.models.emonet import EmoNet


def write_weights(folder, expressions):
    """Weights that answer 0.5 for every logit, 1.5 for valence and -0.25 for arousal."""
    tensors = {
        name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in EmoNet(expressions).state_dict().items()
    }
    tensors = {
        name: torch.ones(()).expand(t.shape) if name.endswith("running_var") else t for name, t in tensors.items()
    }
    tensors["emo_fc_2.3.bias"] = torch.tensor([0.5] * expressions + [1.5, -0.25])
    torch.save(tensors, folder / f"emonet_{expressions}.pth")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder for 5 expressions, and one for 8."""
    folders = {count: tmp_path_factory.mktemp(f"emonet_{count}") for count in (5, 8)}
    for count, folder in folders.items():
        write_weights(folder, count)
    return folders


@pytest.fixture
def loaded(weights):
    def load(count, **options):
        expert = emonet.build(weights=str(weights[count]), **options)
        expert.load("cpu")
        return expert

    return load


def test_valence_is_the_last_but_one_and_arousal_the_last(loaded):
    import numpy as np

    answer = loaded(5).predict(np.zeros((1, 256, 256, 3), np.uint8))
    assert answer.values["valence"] == pytest.approx([1.5]) and answer.values["arousal"] == pytest.approx([-0.25])
    np.testing.assert_allclose(answer.probabilities, np.full((1, 5), 0.2))


def test_what_the_fifth_expression_is_can_be_chosen_and_is_said(loaded):
    expert = loaded(5)
    assert expert.classes == ("neutral", "happy", "sad", "surprise", "anger")
    assert expert.describe()["fifth"] == "the fifth expression is taken for anger; its authors' README says fear"
    fear = loaded(5, fifth="fear")
    assert fear.classes[4] == "fear" and fear.describe()["fifth"].endswith("fear; its authors' loader says anger")


def test_eight_expressions_and_the_licence(loaded):
    expert = loaded(8)
    assert len(expert.classes) == 8 and "fifth" not in expert.describe() and "CC BY-NC-ND 4.0" in expert.licence


def test_expressions_are_what_the_weights_have_unless_asked_for(loaded):
    assert loaded(5, expressions=5).describe()["expressions"] == 5
    with pytest.raises(AffectkitError, match=r"holds no emonet_8\.pth"):
        loaded(5, expressions=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"expressions": 7}, "--expressions 7; use 5, 8"), ({"fifth": "disgust"}, "--fifth disgust; use anger or fear")],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(AffectkitError, match=message):
        emonet.build(**options)
