"""What is mixed: by numpy and by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.finetuning.mixture import ALONE, Mixed, MixedExamples, MixOptions, Mixture, WithFeatures
from affectkit.labels import Target

LABEL = Target("label", "class", ("i", "p", "r"))
SEVERITY = Target("severity", "ordinal", ("mild", "grave"))


class Net(nn.Module):
    """Features of 4 numbers, and a head for each target."""

    dim = 4

    def __init__(self, targets=(LABEL, SEVERITY)):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.heads = nn.Linear(3, 4), nn.ModuleDict({t.name: nn.Linear(4, len(t.classes)) for t in targets})

    def encode(self, x):
        return self.body(x)

    def forward(self, x=None, features=None):
        features = self.encode(x) if features is None else features
        return {name: head(features) for name, head in self.heads.items()}

    def parts(self):
        return [("body", list(self.body.parameters())), ("head", list(self.heads.parameters()))]


def softmax(values):
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.fixture
def batch():
    """Five rows, and two models' probabilities of five classes in all."""
    rng = np.random.default_rng(0)
    beside = np.concatenate([rng.dirichlet(np.ones(3), (5, 2)), rng.dirichlet(np.ones(2), (5, 2))], axis=2)
    return torch.from_numpy(rng.normal(size=(5, 3)).astype(np.float32)), torch.from_numpy(beside)


@pytest.fixture
def network():
    return Net().eval()


def mixture(text, features=0):
    options = MixOptions.parse(text, ["a", "b"])
    return Mixture([LABEL, SEVERITY], MixOptions(options.sources, options.how, options.weights, features)).eval()


@torch.no_grad()
def test_fixed_weights_give_the_weighted_mean_of_probabilities(network, batch):
    x, beside = batch
    outputs = Mixed(network, mixture(".5,.2,.3"))(beside, x=x)
    logits, columns = network(x), {"label": slice(0, 3), "severity": slice(3, 5)}
    for name, place in columns.items():
        mine = softmax(logits[name].numpy().astype(float))
        wanted = 0.5 * beside[:, 0, place].numpy() + 0.2 * beside[:, 1, place].numpy() + 0.3 * mine
        assert outputs[name].dtype == torch.float64
        np.testing.assert_allclose(outputs[name].exp(), wanted, rtol=0, atol=1e-15)
        np.testing.assert_allclose(outputs[ALONE + name].exp(), mine, rtol=0, atol=1e-15)


@torch.no_grad()
@pytest.mark.parametrize(("text", "features"), [("learn", 0), ("layer", 0), ("layer", 4)])
def test_what_is_learnt_begins_as_the_equal_mixture(network, batch, text, features):
    x, beside = batch
    inner = WithFeatures(network) if features else network
    outputs = Mixed(inner, mixture(text, features))(beside, x=x)
    mine = softmax(network(x)["label"].numpy().astype(float))
    np.testing.assert_allclose(outputs["label"].exp(), (beside[:, :, :3].sum(1).numpy() + mine) / 3, atol=1e-12)


@pytest.mark.parametrize("text", ["learn", "layer"])
def test_what_is_learnt_leans_on_the_branch_that_knows(network, batch, text):
    """The second model is always right, the first always wrong."""
    x, _ = batch
    truth = torch.tensor([0, 1, 2, 1, 0])
    right = torch.eye(3, dtype=torch.float64)[truth] * 0.9 + 0.1 / 3
    beside = torch.stack([right.roll(1, dims=1), right], dim=1)
    mixed = Mixed(network, Mixture([LABEL], MixOptions.parse(text, ["a", "b"])))
    optimizer = torch.optim.Adam(mixed.mixture.parameters(), lr=0.1)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(mixed(beside, x=x)["label"], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    if text == "learn":
        shares = mixed.mixture.plain()["label"]
        assert shares["b"] > 0.8 and sum(shares.values()) == pytest.approx(1)


def test_of_several_passes_each_is_mixed(network, batch):
    x, beside = batch
    logits = torch.stack([network(x)["label"], network(x + 1)["label"]], dim=1)
    fixed = Mixture([LABEL], MixOptions.parse(".5,.2,.3", ["a", "b"])).eval()
    passes = fixed({"label": logits}, beside[..., :3])["label"]
    assert passes.shape == (5, 2, 3)
    for number in range(2):
        alone = fixed({"label": logits[:, number]}, beside[..., :3])["label"]
        torch.testing.assert_close(passes[:, number], alone, rtol=0, atol=1e-15)


def test_a_class_that_no_branch_gives_is_no_infinity():
    zeros = torch.tensor([[[1.0, 0.0, 0.0]]], dtype=torch.float64)
    said = Mixture([LABEL], MixOptions.parse("1,0", ["a"])).eval()({"label": torch.zeros(1, 3)}, zeros)["label"]
    assert torch.isfinite(said).all() and said.exp()[0, 0] == 1


def test_the_mixture_is_the_head_and_the_networks_own_is_before_it(network):
    fixed, learnt = Mixed(network, mixture(".5,.2,.3")), Mixed(network, mixture("learn"))
    assert [name for name, _ in fixed.parts()] == ["body", "network-head", "head"]
    assert fixed.parts()[-1][1] == [] and [p.shape for p in learnt.parts()[-1][1]] == [(2, 3)]
    listed = [id(p) for _, parameters in learnt.parts() for p in parameters]
    assert sorted(listed) == sorted(map(id, learnt.parameters()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".7,.4,.1", "--mix .7,.4,.1 sums to 1.2, not 1"),
        (".7,.3", "--mix .7,.3 is no weight of each of a, b, network"),
        ("-.5,1,.5", "is no weight of each"),
        ("nan,.5,.5", "is no weight of each"),
        ("lern", "is no weight of each"),
        ("", "is no weight of each"),
    ],
)
def test_weights_that_cannot_be(text, message):
    with pytest.raises(AffectkitError, match="or learn, or layer") as caught:
        MixOptions.parse(text, ["a", "b"])
    assert message in str(caught.value) and caught.value.code == "usage"


def test_a_record_gives_the_options_again():
    for text in (".5,.2,.3", "learn", "layer"):
        options = MixOptions.parse(text, ["a", "b"])
        assert MixOptions.of_record(options.plain()) == options


@pytest.mark.parametrize("damage", [{"how": "sum"}, {"weights": [0.5]}, {"features": -1}, {"sources": ["a"]}])
def test_a_damaged_record(damage):
    with pytest.raises(ValueError, match="no mixture of"):
        MixOptions.of_record({**MixOptions.parse(".5,.2,.3", ["a", "b"]).plain(), **damage})


def test_rows_come_with_what_others_say_of_them():
    class Rows:
        ids, costs, truth = ["x", "y"], np.ones(2), {}

        def load(self, position, draw):
            return position

        def collate(self, items):
            return {"rows": torch.tensor(items)}

    rows = MixedExamples(Rows(), np.arange(12.0).reshape(2, 2, 3))
    inputs = rows.collate([rows.load(1, None), rows.load(0, None)])
    assert inputs["rows"].tolist() == [1, 0] and inputs["beside"][0].tolist() == [[6, 7, 8], [9, 10, 11]]
