"""Networks that read texts: batches change nothing, transformers reads what is saved."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from affectkit.errors import AffectkitError
from affectkit.finetuning.pieces import InPieces, in_pieces
from affectkit.labels import Target
from affectkit.models import backbones, text_network, tiny
from affectkit.models.text_inputs import TextInputs
from affectkit.models.text_network import HEADS

LABEL = Target("label", "class", ("angry", "happy", "sad"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
TEXTS = ["so it is", "x", "a rather long sentence, and longer " * 20, "\U0001f600\U0001f62d", "  spaces  ", "so it was"]
KINDS = [(kind, head) for kind in tiny.TEXT for head in HEADS]


def built(kind="bert", targets=(LABEL, VALENCE), **options):
    """With outputs that differ between texts by about one."""
    network = text_network.build(f"tiny-random:{kind}", targets, **options)
    with torch.no_grad():
        for parameter in dict(network.parts())["head"]:
            parameter.mul_(20)
    return network


def outputs(network, texts):
    """All outputs side by side, [B, outputs]."""
    rows = [network.inputs.pieces(tokens) for tokens in network.inputs.tokens(texts)]
    answers = InPieces(network)(**in_pieces(rows, network.inputs.batch))
    return torch.cat([answers[target.name].reshape(len(texts), -1) for target in network.targets], dim=1)


@pytest.mark.parametrize(("kind", "head"), KINDS)
@torch.no_grad()
def test_a_batch_gives_what_each_text_gives_by_itself(kind, head, monkeypatch):
    network = built(kind, head=head, dropout=0.0, long_texts="pieces", max_tokens=40)
    alone = torch.cat([outputs(network, [text]) for text in TEXTS])
    together = {"as a whole": outputs(network, TEXTS), "in training": outputs(network.train(), TEXTS)}
    monkeypatch.setattr(text_network, "_AT_ONCE", 50)
    together["in parts"] = outputs(network.eval(), TEXTS)
    for values in together.values():
        torch.testing.assert_close(values, alone, rtol=1e-5, atol=1e-5)
    assert (alone[0] - alone[2]).abs().max() > 0.01  # else nothing was compared


def test_what_is_only_answered_runs_in_parts_of_bounded_size(monkeypatch):
    network, sizes = built(), []
    monkeypatch.setattr(text_network, "_AT_ONCE", 300)
    network.base.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].numel()))
    with torch.no_grad():
        outputs(network, TEXTS * 20)
    assert max(sizes) <= 300 and len(sizes) > 10


@pytest.mark.parametrize("kind", tiny.TEXT)
def test_transformers_loads_what_is_saved_and_answers_the_same(kind, tmp_path):
    network = built(kind, [LABEL])
    network.save(tmp_path)
    theirs, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    assert theirs.config.id2label == dict(enumerate(LABEL.classes))
    with torch.no_grad():
        expected = theirs(**tokenizer(TEXTS[:1], return_tensors="pt", return_token_type_ids=False)).logits
        torch.testing.assert_close(outputs(network, TEXTS[:1]), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "head"), KINDS)
@torch.no_grad()
def test_a_saved_network_is_loaded_with_its_numbers_in_their_units(kind, head, tmp_path):
    network = built(kind, head=head)
    before = outputs(network, TEXTS)
    network.fold({"valence": (3.0, 2.0)})
    torch.testing.assert_close(outputs(network, TEXTS)[:, 3], 3 + 2 * before[:, 3])
    network.save(tmp_path)
    loaded = text_network.load(tmp_path, [LABEL, VALENCE], head, 0)
    assert torch.equal(outputs(loaded, TEXTS), outputs(network, TEXTS))
    wrong = {"other targets": ([VALENCE], head), "another head": ([LABEL, VALENCE], HEADS[HEADS.index(head) - 1])}
    for targets, other in wrong.values():
        with pytest.raises(AffectkitError, match=r"predicts .* not valence|has another head|is not whole|lacks"):
            text_network.load(tmp_path, targets, other, 0)


@pytest.mark.parametrize(("kind", "head"), KINDS)
def test_each_parameter_is_of_one_part_and_has_a_gradient(kind, head):
    """Processes that train together wait for the gradient of each."""
    network = built(kind, head=head).train()
    parts = network.parts()
    assert [name for name, _ in parts] == ["embeddings", "layer-0", "layer-1", "head"]
    listed = [id(parameter) for _, parameters in parts for parameter in parameters]
    assert sorted(listed) == sorted(map(id, network.parameters()))
    outputs(network, TEXTS[:2]).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_heads_are_drawn_from_the_seed():
    states = [built(seed=seed).state_dict() for seed in (0, 0, 1)]
    same, other = (all(torch.equal(states[0][k], state[k]) for k in state) for state in states[1:])
    assert same and not other


@pytest.mark.parametrize(
    ("policy", "read"), [("head", ["abcd"]), ("tail", ["defg"]), ("pieces", ["abcd", "efg"])], ids=str
)
def test_a_long_text_is_cut_or_read_in_pieces(policy, read):
    inputs = TextInputs.of(backbones.load("tiny-random:bert", "text"), 6, policy)
    [tokens] = inputs.tokens(["abcdefg"])
    assert [inputs.tokenizer.decode(piece).replace(" ", "") for piece in inputs.pieces(tokens)] == read
    batch = inputs.batch(inputs.pieces(tokens))
    plain = inputs.tokenizer(read, padding=True, return_tensors="pt")  # with its special tokens
    assert torch.equal(batch["inputs"], plain["input_ids"]) and torch.equal(batch["mask"], plain["attention_mask"])


@torch.no_grad()
def test_pieces_are_averaged_by_their_length():
    network = built(long_texts="pieces", max_tokens=6)
    first, second = outputs(network, ["abcd", "efg"])
    torch.testing.assert_close(outputs(network, ["abcdefg"])[0], (4 * first + 3 * second) / 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 500}, "--max-tokens 500: this checkpoint takes 128"),
        ({"max_tokens": 2}, "leaves no room for a text; give more than 2"),
        ({"head": "weighted"}, "there is no head 'weighted'"),
        ({"targets": []}, "there is no target"),
        ({"kind": "bert,vocab_size=90"}, "its tokenizer has 504 tokens, and the network 90"),
    ],
)
def test_what_makes_no_network_is_refused(options, message):
    with pytest.raises(AffectkitError, match=message):
        built(**options)


def saved(folder, kind="bert", **config):
    model, tokenizer = tiny.build(f"tiny-random:{kind}", "text", config, classifier=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    from transformers import BartConfig, BartModel

    sizes = {"vocab_size": 512, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    BartModel(BartConfig(**sizes, **heads)).save_pretrained(tmp_path)
    tiny.build("tiny-random:bert", "text")[1].save_pretrained(tmp_path)
    with pytest.raises(AffectkitError, match="is an encoder and a decoder"):
        text_network.build(str(tmp_path), [LABEL])


@torch.no_grad()
def test_a_classifier_of_others_is_loaded_with_its_head(tmp_path):
    labels = {0: "NEG", 1: "POS", 2: "none"}
    folder = saved(tmp_path, "roberta", id2label=labels)
    network = text_network.load_classifier(folder)
    assert network.targets[0].classes == ("NEG", "POS", "none")
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt", return_token_type_ids=False)
    expected = AutoModelForSequenceClassification.from_pretrained(folder)(**tokens).logits
    np.testing.assert_allclose(outputs(network, TEXTS[:1]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_labels": 1}, "answers for a number"),
        ({"num_labels": 3, "problem_type": "regression"}, "answers for a number"),
        ({"id2label": {0: "a", 1: "a"}}, "calls two of its classes alike"),
    ],
)
def test_what_is_no_classifier_of_named_classes_is_refused(config, message, tmp_path):
    with pytest.raises(AffectkitError, match=message):
        text_network.load_classifier(saved(tmp_path, **config))


def test_a_checkpoint_without_a_trained_head_is_no_classifier(tmp_path):
    model, tokenizer = tiny.build("tiny-random:bert", "text")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(AffectkitError, match="lacks 2 weights of BertForSequenceClassification, such as classifier"):
        text_network.load_classifier(str(tmp_path))


def test_a_tokenizer_without_a_token_to_pad_with_is_refused():
    backbone = backbones.load("tiny-random:bert", "text")
    for name in ("pad_token", "eos_token", "sep_token"):
        setattr(backbone.processor, name, None)
    with pytest.raises(AffectkitError, match="no token to pad texts with"):
        TextInputs.of(backbone)
