"""Outputs of a linear layer over several targets, and ordered levels among them."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit
from transformers import AutoModelForAudioClassification, AutoModelForSequenceClassification

from affectkit.finetuning.media.images import Images
from affectkit.finetuning.media.speech import Speech
from affectkit.finetuning.media.text import Text
from affectkit.finetuning.start import _transferred
from affectkit.labels import Target
from affectkit.models.cumulative_link import CumulativeLink
from affectkit.models.outputs import as_saved, by_target, labels_of, link, log_levels, start_levels, unlinked

LABEL = Target("label", "class", ("angry", "happy", "sad"))
SEVERITY = Target("severity", "ordinal", ("none", "mild", "moderate", "severe"))
STRESS = Target("stress", "ordinal", ("low", "high"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
ALL = (LABEL, SEVERITY, VALENCE)
MEDIA = {
    "speech": Speech("tiny-random:wav2vec2"),
    "attentive": Speech("tiny-random:hubert", head="attentive"),
    "cls": Text("tiny-random:bert"),
    "mean": Text("tiny-random:bert", head="mean"),
    "images": Images("tiny-random:resnet"),
}


def batch(network, count=3):
    """Inputs of some rows of different lengths, each as a batch of one, and all together."""
    rng = np.random.default_rng(0)
    if hasattr(network, "preprocessing"):
        rows = [rng.normal(size=(3, *network.preprocessing.size)).astype(np.float32) for _ in range(count)]
        collate = network.collate
    elif hasattr(network, "rate"):
        rows = [network.prepare(rng.normal(size=4000 + 3000 * place).astype(np.float32)) for place in range(count)]
        collate = network.collate
    else:
        tokens = [torch.arange(5, 9 + 4 * place) for place in range(count)]

        def collate(rows):
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            return {"inputs": padded, "mask": (padded > 0).long()}

        rows = tokens
    return [collate([row]) for row in rows], collate(rows)


def lively(network, targets=ALL):
    """With levels that rows are spread over."""
    factor = 3000 if hasattr(getattr(network, "inputs", None), "tokenizer") else 30
    with torch.no_grad():
        for target in targets:
            layer, columns = network.output_of(target)
            count = 1 if target.kind in ("ordinal", "number") else len(target.classes)
            # rows differ by 1e-4 in a new one of speech or images, by less in one of texts
            layer.weight[columns.start : columns.start + count].mul_(factor)
    start_levels(network, {"severity": [0.4, 0.3, 0.2, 0.1]})
    return network


def test_levels_are_the_probabilities_between_rising_thresholds():
    outputs = torch.tensor([[0.3, -0.25, 0.5, -0.4], [-2.0, 0.1, 0.0, 1.0]], dtype=torch.float64)
    thresholds = np.stack([[4 * o[1], 4 * o[1] + np.log1p(np.exp(4 * o[2])) + 1e-4] for o in outputs.numpy()])
    last = thresholds[:, 1] + np.log1p(np.exp(4 * outputs.numpy()[:, 3])) + 1e-4
    below = expit(np.column_stack([thresholds, last]) - outputs.numpy()[:, :1])
    expected = np.diff(np.column_stack([np.zeros(2), below, np.ones(2)]), axis=1)
    np.testing.assert_allclose(log_levels(outputs, 16).exp(), expected, atol=1e-12)


def test_a_linked_layer_begins_with_the_shares_and_equals_the_module():
    layer = torch.nn.Linear(9, 8)
    link(layer, slice(3, 7))
    states = torch.randn(5, 9)
    module = CumulativeLink(9, 4)
    with torch.no_grad():
        module.score.weight.copy_(layer.weight[3:4])
    torch.testing.assert_close(by_target(layer(states), ALL, 9)["severity"], module(states))
    link(layer, slice(3, 7), [0.1, 0.2, 0.3, 0.4])
    with torch.no_grad():
        layer.weight[3] = 0
    shares = by_target(layer(states), ALL, 9)["severity"].exp()
    torch.testing.assert_close(shares, torch.tensor([[0.1, 0.2, 0.3, 0.4]]).expand(5, 4), rtol=0, atol=1e-6)


def test_names_of_outputs():
    several = ["label=angry", "label=happy", "label=sad", "severity", "severity>none", "severity>mild",
               "severity>moderate", "valence"]  # fmt: skip
    assert labels_of(ALL) == several and labels_of([SEVERITY]) == several[3:7]
    assert labels_of([STRESS]) == ["low", "high"]  # two levels are classes, which is the same link
    assert as_saved(several, ALL) == list(ALL)
    assert as_saved(labels_of(unlinked(ALL)), ALL) == unlinked(ALL) and as_saved(["x"], ALL) == []


@pytest.mark.parametrize("name", MEDIA)
def test_every_trainable_tensor_moves_and_the_constants_of_a_link_do_not(name):
    network = lively(MEDIA[name].build(ALL, 0)).train()
    layer, columns = network.output_of(SEVERITY)
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        answers = network(**batch(network)[1])
        truth = torch.tensor([0, 2, 3])
        loss = torch.nn.functional.cross_entropy(answers["severity"], truth) + answers["valence"].square().mean()
        loss = loss + torch.nn.functional.cross_entropy(answers["label"], truth.clamp_max(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    moved = {key for key, value in network.named_parameters() if not torch.equal(value, before[key])}
    trained = {key for key, value in network.named_parameters() if value.grad is not None}
    assert moved >= trained and len(trained) > 0.9 * len(before)
    start, stop = columns.start, columns.stop
    assert not layer.weight[start + 1 : stop].any() and layer.bias[start] == 0
    old = next(value for key, value in before.items() if value.shape == layer.bias.shape and key.endswith("bias")
               and dict(network.named_parameters())[key] is layer.bias)  # fmt: skip
    assert (layer.bias[start + 1 : stop] != old[start + 1 : stop]).all()


@pytest.mark.parametrize("name", MEDIA)
@torch.no_grad()
def test_saved_and_loaded_it_answers_the_same_alone_or_in_a_batch(name, tmp_path):
    medium = MEDIA[name]
    network = lively(medium.build(ALL, 0)).eval()
    network.save(tmp_path)
    loaded = medium.load(tmp_path, list(ALL))
    alone, together = batch(network)
    answers, again = network(**together), loaded.eval()(**together)
    for target in ALL:
        torch.testing.assert_close(again[target.name], answers[target.name], rtol=0, atol=0)
        each = torch.cat([network(**one)[target.name] for one in alone])
        torch.testing.assert_close(each, answers[target.name], rtol=1e-5, atol=1e-5)
    levels = answers["severity"].exp()
    torch.testing.assert_close(levels.sum(dim=1), torch.ones(3))
    assert answers["severity"].std(dim=0).max() > 1e-3  # rows are told apart


@pytest.mark.parametrize("name", ["speech", "cls"])
@torch.no_grad()
def test_plain_transformers_gives_the_outputs_that_levels_are_read_from(name, tmp_path):
    network = lively(MEDIA[name].build([SEVERITY], 0), [SEVERITY]).eval()
    network.save(tmp_path)
    kind = AutoModelForAudioClassification if name == "speech" else AutoModelForSequenceClassification
    theirs, info = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()) and theirs.config.problem_type == "regression"
    [one], _ = batch(network, count=1)
    given = {"input_values": one["inputs"]} if name == "speech" else {"input_ids": one["inputs"]}
    outputs = theirs.eval()(**given).logits
    dim = network.output_of(SEVERITY)[0].in_features
    torch.testing.assert_close(log_levels(outputs, dim), network(**one)["severity"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MEDIA)
@torch.no_grad()
def test_a_folder_from_before_there_were_links_is_read_as_it_was(name, tmp_path):
    medium = MEDIA[name]
    old = medium.build(unlinked(ALL), 0).eval()
    old.save(tmp_path)
    if name == "images":
        record = json.loads((tmp_path / "network.json").read_text())
        record["targets"] = [target.to_json() for target in ALL]
        del record["links"]
        (tmp_path / "network.json").write_text(json.dumps(record))
    network = medium.load(tmp_path, list(ALL)).eval()
    together = batch(network)[1]
    torch.testing.assert_close(network(**together)["severity"], old(**together)["severity"], rtol=0, atol=0)


@pytest.mark.parametrize("name", MEDIA)
@torch.no_grad()
def test_weights_go_on_under_another_order_of_targets_and_classes(name):
    medium, turned = MEDIA[name], Target("label", "class", ("sad", "angry", "happy"))
    before, targets = lively(medium.build(ALL, 0)).eval(), (VALENCE, SEVERITY, turned)
    network = medium.build(targets, 5).eval()
    loaded = _transferred(before, ALL, network, targets, None)
    assert set(loaded.heads) == {"label", "severity", "valence"}
    together = batch(network)[1]
    old, new = before(**together), network(**together)
    torch.testing.assert_close(new["severity"], old["severity"])
    torch.testing.assert_close(new["label"], old["label"][:, [2, 0, 1]])
    reversed_levels = Target("severity", "ordinal", SEVERITY.classes[::-1])
    loaded = _transferred(before, ALL, medium.build([reversed_levels], 5), [reversed_levels], None)
    assert not loaded.heads  # another order is another question
