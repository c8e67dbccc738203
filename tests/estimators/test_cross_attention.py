"""cross-attention: against torch's own attention and hand calculation."""

import json
import logging
import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators import _attended
from affectkit.estimators._attended import AttentionExport, attended, binned, figures
from affectkit.estimators._cross_network import JOINS, Crossing
from affectkit.estimators._estimator import JointLabels, Labels, Workspace
from affectkit.estimators._fit import FitSettings, fit_targets
from affectkit.estimators._network import Answer, Rows, Set, answered, build_head, labelled_rows
from affectkit.estimators._network_fit import objective_of
from affectkit.estimators._network_inputs import Frames, Inputs
from affectkit.evaluation.metrics import ccc
from affectkit.labels import Target

VALENCE = Target("valence", "number", scale=(0.0, 10.0))
ANSWERS = [Answer("label", 3, ("a", "b", "c")), Answer("mood", 3, ("1", "2", "3"), levels=True), Answer("valence", 1)]
STATIC, DYNAMIC, LAYERED = Set(4, name="static"), Set(3, frames=True, name="dynamic"), Set(3, 2, True, "layered")
JOINED = [
    (join, norm)
    for join in JOINS
    for norm in ("none", "layer", "batch")
    if norm != "layer" or join == "cross-attention"
]


def form(**options):
    known = {"join": "cross-attention", "query": ("all",), "heads": 2, "width": 8, "head_size": 4, "hidden_size": 8}
    return Crossing(**{**known, "dropout": 0.0, "positions": "sinusoidal", **options})


def build(**options):
    chosen = {"epochs": 3, "width": 8, "hidden_size": 8, "heads": 2, **options}
    return registry.load("estimators", "cross_attention").build(**chosen)


def inputs_of(lengths, seed=0, layered=True):
    """A vector, steps, and steps of layers of each row."""
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=(len(lengths), 4)).astype(np.float32)]
    for shape in [(3,), (2, 3)][: 1 + layered]:
        values = [rng.normal(size=(count, *shape)).astype(np.float32) for count in lengths]
        blocks.append(Frames.of_values([f"row-{place}" for place in range(len(lengths))], values))
    return Inputs(tuple(blocks), (None,) * len(blocks))


def batch_of(inputs):
    return Rows(inputs, list(map(str, range(len(inputs))))).collate([inputs.row(n) for n in range(len(inputs))])


# The network


@pytest.mark.parametrize(("join", "norm"), JOINED)
def test_padding_changes_no_answer(join, norm):
    inputs = inputs_of([1, 30, 2, 7, 19])
    network = build_head(ANSWERS, [STATIC, DYNAMIC, LAYERED], form(join=join, norm=norm), seed=0)
    network(**batch_of(inputs))  # which batch statistics are of
    network.eval()
    batch = batch_of(inputs)
    for place in (1, 2):
        for row, length in enumerate(batch[f"lengths{place}"]):
            batch[f"values{place}"][row, length:] = 1e4  # whatever stands there
    with torch.no_grad():
        together = network(**batch)
        for row in range(5):
            alone = network(**batch_of(inputs.take(np.array([row]))))
            for name, answers in together.items():
                torch.testing.assert_close(answers[row : row + 1], alone[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("join", "norm"), JOINED)
@pytest.mark.parametrize("query", ["all", "static", "dynamic"])
def test_every_weight_has_a_gradient_and_moves_in_the_first_step(join, norm, query):
    how = form(join=join, norm=norm, query=(query,))
    network = build_head(ANSWERS, [STATIC, DYNAMIC, LAYERED], how, seed=0)
    before = {name: weights.detach().clone() for name, weights in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    outputs = network(**batch_of(inputs_of([2, 5, 3, 6, 4, 2, 7, 3])))
    truth = torch.arange(8) % 3
    loss = sum(torch.nn.functional.cross_entropy(outputs[name], truth) for name in ("label", "mood"))
    (loss + (outputs["valence"] - truth).square().mean()).backward()
    optimizer.step()
    for name, weights in network.named_parameters():
        assert float(weights.grad.abs().max()) > 1e-6, name
        assert not torch.equal(weights, before[name]), name
    assert ("query" in " ".join(before)) == (join == "cross-attention")


def test_it_is_torchs_attention_with_one_query():
    network = build_head(
        ANSWERS, [STATIC, DYNAMIC], form(query=("static",), positions="none", norm="layer"), seed=0
    ).eval()
    reader, inputs = network.join.readers["0-1"], inputs_of([3, 6, 1], layered=False)
    peer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([reader.query.weight, reader.key.weight, reader.value.weight]))
        peer.in_proj_bias.copy_(torch.cat([reader.query.bias, torch.zeros(8), reader.value.bias]))
        peer.out_proj.weight.copy_(reader.out.weight)
        peer.out_proj.bias.copy_(reader.out.bias)
        batch = batch_of(inputs)
        static, steps = network.projections[0](batch["values0"]), network.projections[1](batch["values1"])
        padded = torch.arange(6) >= batch["lengths1"][:, None]
        how = {"key_padding_mask": padded, "average_attn_weights": False}
        read, weights = peer(static[:, None], steps, steps, **how)
        expected = torch.nn.functional.layer_norm(static + read[:, 0], (8,))
        torch.testing.assert_close(network.join(network._steps(network.mixed(batch), batch)), expected)
        torch.testing.assert_close(network.attention(batch)["static", "dynamic"], weights[:, :, 0].transpose(1, 2))


@pytest.mark.parametrize(("positions", "moved"), [("none", False), ("sinusoidal", True)])
def test_the_order_of_steps_counts_only_where_positions_are_told(positions, moved):
    how = form(positions=positions)
    network = build_head([Answer("valence", 1)], [STATIC, DYNAMIC], how, seed=0).eval()
    batch = batch_of(inputs_of([5, 5, 5], layered=False))
    turned = batch | {"values1": batch["values1"].flip(1)}
    with torch.no_grad():
        distance = (network(**batch)["valence"] - network(**turned)["valence"]).abs().max()
    assert (float(distance) > 1e-3) == moved and (moved or float(distance) < 1e-6)


def test_gates_share_out_between_sets():
    network = build_head(ANSWERS, [STATIC, DYNAMIC], form(join="gated"), seed=0)
    with torch.no_grad():
        network.join.gates.weight.zero_()
        network.join.gates.bias.copy_(torch.tensor([50.0] * 8 + [-50.0] * 8))  # all of it to static
        batch = batch_of(inputs_of([3, 6, 1], layered=False))
        steps = network._steps(network.mixed(batch), batch)
        torch.testing.assert_close(network.join(steps), network.projections[0](batch["values0"]).tanh())


def test_the_published_network_has_its_sizes_and_a_given_option_wins():
    estimator = registry.load("estimators", "cross_attention").build(preset="published")
    network = build_head([Answer(f"t{n}", 1) for n in range(5)], [Set(512), Set(256, frames=True)], estimator.form, 0)
    projections, inner = 512 * 128 + 128 + 256 * 128 + 128, 4 * 128
    attention = 2 * (128 * inner + inner) + 128 * inner + inner * 128 + 128  # a key's constant does nothing
    expected = projections + attention + 2 * 128 + 128 * 64 + 64 + 5 * 65  # of layer and batch norm one has weights
    assert sum(weights.numel() for weights in network.parameters()) == expected
    assert (estimator.loss, estimator.settings.weight_decay, estimator.stage.patience) == ("mse", 0.0, 10)
    chosen = build(preset="published", width=8, heads=4, loss="ccc")
    assert (chosen.form.width, chosen.form.head_size, chosen.loss) == (8, 128, "ccc")
    assert build(**{name: value for name, value in chosen.options.items() if name != "task_weights"}) == chosen


# What it is told


def test_sets_that_leave_nothing_to_choose_are_told_before_training(caplog):
    inputs, ones = inputs_of([1, 4, 2]), inputs_of([1, 1, 1])
    with caplog.at_level(logging.WARNING):
        build().reading(["static", "dynamic", "layered"], inputs.blocks)
        assert [record.message for record in caplog.records] == [
            "static has one step per row: attention to it has nothing to choose from, and its weights are 1"
        ]
        caplog.clear()
        build(query="static").reading(["static", "dynamic"], inputs.blocks[:2])
        build(join="concat").reading(["static", "dynamic"], ones.blocks[:2])
        assert not caplog.records
        build(query="static").reading(["static", "dynamic"], ones.blocks[:2])
    assert "dynamic: one step per row" in caplog.text and "--join concat can express the same" in caplog.text


@pytest.mark.parametrize(
    ("options", "names", "message"),
    [
        ({}, ["static"], "there is one; name more with --features"),
        ({"query": "statik"}, ["static", "dynamic"], "--query: no set of features is called 'statik'; did you mean"),
        (
            {"query": "first"},
            ["static", "first"],
            "--query first is a word of its own, and a set of features is called",
        ),
    ],
)
def test_sets_that_it_cannot_join_are_a_usage_error(options, names, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        build(**options).reading(names, inputs_of([3, 4]).blocks[: len(names)])
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "static,static"}, "names no set, or one twice"),
        ({"query": "static", "join": "concat"}, "no set attends to another under --join concat"),
        ({"norm": "batch", "batch_size": 1}, "one row has no spread"),
        ({"heads": 0}, "--heads 0; give 1 to 128"),
        ({"heads": 100_000}, "--heads 100000; give 1 to 128"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(options, message):
    with pytest.raises(AffectkitError, match=message):
        build(**options)


# What it learns


def relations(count=300, seed=0):
    """A number that is the value of the one of four steps that the vector asks for: by its kind, or by its place."""
    rng = np.random.default_rng(seed)
    kinds, wanted = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1), rng.integers(0, 4, (count, 2))
    values = rng.normal(size=(count, 4, 2))
    values -= values.mean(axis=1, keepdims=True)
    steps = np.concatenate([np.eye(4)[kinds], values], axis=2).astype(np.float32)
    asks = np.eye(4)[wanted].reshape(count, 8).astype(np.float32)
    by_kind = values[kinds == wanted[:, :1]][:, 0]
    return (asks, steps), (by_kind, values[np.arange(count), wanted[:, 1], 1])


def learned(join, epochs, rows=240):
    (asks, steps), truths = relations()
    ids = [str(number) for number in range(len(asks))]
    inputs = Inputs((asks, Frames.of_values(ids, list(steps))), (None, None))
    estimator = build(join=join, heads=4, width=16, hidden_size=16, dropout=0.0, learning_rate="1e-2")
    estimator = estimator.reading(["asks", "steps"], inputs.blocks)
    targets = [Target(name, "number") for name in ("kind", "place")]
    each = [Labels(y, 0, np.ones(300), t, np.array(ids)) for y, t in zip(truths, targets, strict=True)]
    fitted = estimator.fit_path(
        inputs.take(np.arange(rows)), JointLabels(tuple(each)).take(np.arange(rows)), [{"epochs": epochs}], 0
    )
    answers = fitted[0].answers(inputs.take(np.arange(rows, 300)))
    return [ccc(y[rows:], answer) for y, answer in zip(truths, answers, strict=True)]


def test_it_learns_which_steps_a_set_asks_for_by_what_they_hold_and_by_where_they_are():
    assert min(learned("cross-attention", 20)) > 0.6
    assert max(learned("concat", 8)) < 0.3


@pytest.mark.slow
def test_the_loss_of_a_constant_target_falls_to_its_floor(tmp_path):
    from affectkit.training.accelerating import open_accelerator
    from affectkit.training.fit import Problem, Settings, fit
    from affectkit.training.stages import Stage

    inputs = inputs_of([3, 1, 4, 2] * 4)
    labels = Labels(np.full(16, 0.7), 0, np.ones(16), VALENCE, np.array(list(map(str, range(16)))))
    spread = Labels(np.arange(16.0), 0, np.ones(16), VALENCE)  # of which the units are: of a constant there are none
    rows, objective = labelled_rows(inputs, [labels], ["valence"]), objective_of([spread], "mse")
    network = build_head([Answer("valence", 1)], [STATIC, DYNAMIC, LAYERED], form(), seed=0)
    stage = Stage("all", epochs=40, learning_rate="1e-2")
    problem = Problem(network, rows, rows, objective)
    history = fit(problem, [stage], Settings(batch_size=8), tmp_path, open_accelerator("cpu")).history
    assert history[0]["train_loss"] > 100 * history[-1]["train_loss"] and history[-1]["val_loss"] < 1e-3


def test_rows_of_one_step_and_of_3000_are_learned_and_answered_in_one_run():
    inputs = inputs_of([1, 3000, 2, 5, 3000, 1], layered=False)
    estimator = build().reading(["static", "dynamic"], inputs.blocks)
    labels = Labels(np.arange(6.0), 0, np.ones(6), VALENCE, np.array(list("abcdef")))
    [fitted] = estimator.fit_path(inputs, labels, [{"epochs": 1}], 0)
    alone = [fitted.predict(inputs.take(np.array([row])))[0] for row in range(6)]
    np.testing.assert_allclose(fitted.predict(inputs), alone, atol=1e-6)


def test_killed_at_any_point_and_resumed_it_is_the_same_to_the_bit(killed_and_resumed):
    from affectkit.training.accelerating import open_accelerator

    inputs, accelerator = inputs_of([1, 5, 2, 4, 3] * 8), open_accelerator("cpu")
    y, groups = np.arange(40.0) % 7, np.array([f"s{place % 4}" for place in range(40)])

    def fit(folder, say):
        estimator = build(stopping_folds=1, batch_size=8, norm="batch", epochs=2)
        estimator = estimator.reading(["static", "dynamic", "layered"], inputs.blocks)
        estimator = estimator.at(Workspace(folder, accelerator, 0, say))
        return fit_targets(estimator, [VALENCE], inputs.blocks, [y], groups, FitSettings())

    whole, resumed, _ = killed_and_resumed(fit)
    assert resumed == whole


def test_what_is_loaded_knows_its_sets_and_says_the_same(tmp_path):
    inputs = inputs_of([1, 5, 2, 4, 3, 2])
    estimator = build(query="dynamic").reading(["static", "dynamic", "layered"], inputs.blocks)
    labels = Labels(np.arange(6.0), 0, np.ones(6), VALENCE, np.array(list("abcdef")))
    [fitted] = estimator.fit_path(inputs, labels, [{"epochs": 1}], 0)
    estimator.save(fitted, tmp_path / "valence")
    back = build(query="dynamic").load(tmp_path / "valence")
    np.testing.assert_array_equal(back.predict(inputs), fitted.predict(inputs))
    assert [known.name for known in back.network.sets] == ["static", "dynamic", "layered"]


@pytest.mark.parametrize(
    "sets",
    [
        [{"dim": -1, "layers": 0, "frames": True}] * 2,
        [{"dim": 10**18, "layers": 0, "frames": True}] * 2,
        [{"dim": 2, "layers": 0, "frames": True, "name": f"s{number}"} for number in range(5000)],
    ],
    ids=["a width below 0", "a width beyond memory", "thousands of sets"],
)
def test_a_network_that_promises_too_much_is_refused_before_it_is_built(tmp_path, sets):
    inputs = inputs_of([1, 5, 2], layered=False)
    labels = Labels(np.arange(3.0), 0, np.ones(3), VALENCE, np.array(list("abc")))
    estimator = build().reading(["static", "dynamic"], inputs.blocks)
    [fitted] = estimator.fit_path(inputs, labels, [{"epochs": 1}], 0)
    estimator.save(fitted, tmp_path / "valence")
    record = tmp_path / "valence.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"sets": sets}))
    with pytest.raises((ValueError, AffectkitError)):
        build().load(tmp_path / "valence")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a-b", "c"), ("a", "b-c")], "two pairs of sets would both be written to attention/a-b-c"),
        ([("a", "b-C"), ("a-b", "c")], "two pairs of sets would both be written to attention/a-b-c"),
        ([("a" * 100, "b" * 100)], "too long together"),
    ],
)
def test_names_of_sets_that_make_no_folder_are_refused(tmp_path, pairs, message):
    with pytest.raises(AffectkitError, match=message):
        AttentionExport(tmp_path, pairs, 1, [["row-1"]])


# What it paid attention to


def test_exported_weights_are_the_networks_and_their_figures_are_right(tmp_path, monkeypatch):
    monkeypatch.setattr(_attended, "SHARD_ROWS", 2)
    lengths = [3, 1, 6, 2, 4]
    inputs = inputs_of(lengths, layered=False)
    network = build_head([Answer("valence", 1)], [STATIC, DYNAMIC], form(), seed=0).eval()
    ids = [f"row-{place}" for place in range(5)]
    export = AttentionExport(tmp_path, [("static", "dynamic")], 2, [ids[:3], ids[3:]])
    for fit, rows in enumerate((np.arange(3), np.arange(3, 5))):
        export.answer(fit, network, inputs.take(rows))
    shards = sorted((tmp_path / "attention" / "static-dynamic").glob("*.safetensors"))
    assert len(shards) == 3
    monkeypatch.setattr(_attended, "attended", None)
    export.answer(0, network, inputs)  # what is there is kept
    table, curves = (export.tables()[name] for name in ("attention.csv", "attention_curves.csv"))
    for row, weights in attended(network, inputs):
        of_row = table[table["id"] == ids[row]]
        assert list(of_row["steps"]) == [lengths[row]] * 2
        known = weights["static", "dynamic"].astype(float)
        np.testing.assert_allclose(known.sum(axis=0), 1, rtol=1e-6)
        np.testing.assert_allclose(of_row["entropy"], entropy(known), atol=1e-6)
        np.testing.assert_allclose(of_row["peak_weight"], known.max(axis=0), rtol=1e-5)
        assert list(of_row["peak_step"]) == list(known.argmax(axis=0) + 1)
    assert table.loc[table["steps"] == 1, "share"].isna().all() and (table["share"].dropna() <= 1 + 1e-9).all()
    np.testing.assert_allclose(curves.groupby("head")[["weight", "null"]].sum(), 1)


def test_weights_that_are_all_alike_are_the_null():
    alike = figures(np.full(8, 1 / 8))
    assert alike["share"] == pytest.approx(1) and alike["uniform"] == pytest.approx(math.log(8))
    edges = np.linspace(0, 1, 21)
    np.testing.assert_allclose(binned(np.full((7, 1), 1 / 7), edges)[:, 0], np.diff(edges))
    np.testing.assert_allclose(binned(np.eye(4)[:, :1], np.linspace(0, 1, 5))[:, 0], [1, 0, 0, 0])


def test_answers_do_not_depend_on_what_stands_beside_a_row():
    inputs = inputs_of([2, 9, 4])
    network = build_head(ANSWERS, [STATIC, DYNAMIC, LAYERED], form(norm="batch"), seed=0).eval()
    whole = answered(network, inputs)["valence"]
    turned = answered(network, inputs.take(np.array([2, 0, 1])))["valence"]
    torch.testing.assert_close(turned, whole[[2, 0, 1]], rtol=1e-6, atol=1e-6)
