"""mlp and attention: against hand calculation, plain torch, transformers and scikit-learn."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Fold, JointLabels, Labels, Workspace, refuse_infinite
from affectkit.estimators._fit import FitSettings, fit_targets
from affectkit.estimators._network import Answer, InDraws, Layers, Rows, Set, answered, build_head
from affectkit.estimators._network_fit import Curve, mean_curve, objective_of, temperature_of
from affectkit.estimators._network_inputs import Frames, Inputs, moments, normalize_by_speaker
from affectkit.estimators._preprocessing import Preprocessing
from affectkit.evaluation.rows import encode_target
from affectkit.labels import Target

LABEL = Target("label", "class", ("angry", "calm", "sad"))
VALENCE = Target("valence", "number", scale=(-1.0, 1.0))


def build(name, **options):
    return registry.load("estimators", name).build(**{"epochs": 4, "hidden_size": 16, **options})


def clips(count=20, dim=4, layers=0, seed=0, longest=30):
    """[T, D] or [T, L, D] of each clip."""
    rng = np.random.default_rng(seed)
    shape = (layers, dim) if layers else (dim,)
    return [rng.normal(3, 2, (int(rng.integers(1, longest)), *shape)).astype(np.float32) for _ in range(count)]


def frames_of(values):
    return Frames.of_values([f"clip-{number}" for number in range(len(values))], values)


def labels_of(y, classes):
    return Labels(np.asarray(y), classes, np.ones(len(y)))


# The network


def test_layers_are_weighed_by_a_softmax_and_the_rest_is_plain_torch():
    head = build_head([Answer("label", 4)], [Set(5, layers=3), Set(2)], Layers(6, 2, 0.5), seed=1).eval()
    x, table = torch.randn(7, 3, 5), torch.randn(7, 2)
    with torch.no_grad():
        head.sums[0].weights.copy_(torch.tensor([0.3, -1.0, 2.0]))
    shares = np.exp([0.3, -1.0, 2.0]) / np.exp([0.3, -1.0, 2.0]).sum()
    mixed = sum(float(share) * x[:, layer] for layer, share in enumerate(shares))
    first, second = (module for module in head.branches[0] if isinstance(module, torch.nn.Linear))
    hidden = second(first(torch.cat([mixed, table], 1)).relu()).relu()
    torch.testing.assert_close(head(values0=x, values1=table)["label"], head.head(hidden))


@pytest.mark.parametrize("pooling", ["mean", "attentive"])
@pytest.mark.parametrize("layers", [0, 3])
def test_padding_changes_no_answer(pooling, layers):
    values = clips(layers=layers)
    inputs = Inputs((frames_of(values),), (None,))
    head = build_head([Answer("label", 3)], [Set(4, layers, frames=True)], Layers(8, 1, 0.5, pooling), seed=0).eval()
    alone = torch.cat([answered(head, Inputs((frames_of([value]),), (None,)))["label"] for value in values])
    together = answered(head, inputs)["label"]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    batch = Rows(inputs, list(map(str, range(20)))).collate([inputs.row(place) for place in range(20)])
    for place, value in enumerate(values):
        batch["values0"][place, len(value) :] = 1e4  # whatever stands there
    with torch.no_grad():
        torch.testing.assert_close(head(**batch)["label"], alone, rtol=1e-5, atol=1e-5)


# Draws of its dropout


def test_draws_have_the_mean_and_variance_of_their_limit():
    """Of a linear head behind inverted dropout p the mean is the plain answer, the variance p / (1 - p) sum (w h)^2,
    which 4000 draws tell to 2 %; four of these are allowed."""
    head = build_head([Answer("valence", 1)], [Set(5)], Layers(16, 1, 0.4), seed=0).eval()
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    drawn = answered(InDraws(head, 4000), Inputs((x,), (None,)))["valence"].numpy()
    hidden = head.branches[0][0](torch.from_numpy(x)).relu().detach().numpy()
    expected = 0.4 / 0.6 * ((hidden * head.head.weight.detach().numpy()[0]) ** 2).sum(axis=1)
    plain = answered(head, Inputs((x,), (None,)))["valence"].numpy()
    np.testing.assert_allclose(drawn.var(axis=1, ddof=1) / expected, 1, atol=0.09)
    assert (np.abs(drawn.mean(axis=1) - plain) < 4 * np.sqrt(expected / 4000)).all()


@pytest.mark.parametrize("pooling", ["mean", "attentive"])
def test_a_draw_of_a_row_depends_on_no_other_row_nor_on_what_else_is_drawn(pooling):
    values, form = clips(), Layers(8, 2, 0.5, pooling)
    head = build_head([Answer("label", 3)], [Set(4, frames=True)], form, seed=0).eval()
    together = answered(InDraws(head, 5), Inputs((frames_of(values),), (None,)))["label"]
    state = torch.get_rng_state()
    alone = [answered(InDraws(head, 5), Inputs((frames_of([value]),), (None,)))["label"] for value in values]
    assert torch.equal(state, torch.get_rng_state()) and together.shape == (20, 5, 3)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)
    more = answered(InDraws(head, 9), Inputs((frames_of(values),), (None,)))["label"]
    torch.testing.assert_close(more[:, :5], together)
    assert (together.std(dim=1) > 0).all(), "draws differ, and each layer has its own"
    plain = answered(head, Inputs((frames_of(values),), (None,)))["label"]
    assert not torch.equal(plain, together[:, 0]), "and nothing stays hooked"


def test_draws_are_answers_of_the_fit_and_parts_of_rows_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    x, y, number = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60), rng.normal(0, 0.3, 60)
    labels = JointLabels((Labels(y, 3, np.ones(60), LABEL), Labels(number, 0, np.ones(60), VALENCE)))
    [fit] = build("mlp", dropout=0.5).fit_path(x, labels, [{"epochs": 2}], 0)
    [[classes, numbers]] = fit.drawn(x, 7)
    assert classes.shape == (60, 7, 3) and numbers.shape == (60, 7) and fit.drops
    np.testing.assert_allclose(classes.sum(axis=2), 1)
    one = next(fit.drawn(x[11:12], 7))
    np.testing.assert_allclose(one[0][0], classes[11], atol=1e-6)
    monkeypatch.setattr("affectkit.estimators._network_fit.DRAWN_AT_ONCE", 16)
    parts = list(fit.drawn(x, 7))
    assert [len(part[0]) for part in parts] == [16, 16, 16, 12]
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), numbers, atol=1e-6)
    [plain] = build("mlp", dropout=0.0).fit_path(x, labels, [{"epochs": 1}], 0)
    assert not plain.drops


def test_linear_up_to_the_mean_frames_and_their_mean_answer_the_same():
    values, form = clips(layers=3), Layers(8, 0, 0.0)
    of_frames = build_head([Answer("label", 3)], [Set(4, 3, frames=True)], form, seed=0).eval()
    of_means = build_head([Answer("label", 3)], [Set(4, 3)], form, seed=5).eval()
    of_means.load_state_dict(of_frames.state_dict())
    means = np.stack([value.mean(axis=0) for value in values])
    expected = answered(of_means, Inputs((means,), (None,)))["label"]
    found = answered(of_frames, Inputs((frames_of(values),), (None,)))["label"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_without_hidden_layers_it_is_superbs_head_as_transformers_has_it():
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_kernel=(10, 4), conv_stride=(5, 4), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        classifier_proj_size=8, num_labels=3, use_weighted_layer_sum=True,
    )  # fmt: skip
    torch.manual_seed(0)
    peer = Wav2Vec2ForSequenceClassification(config).eval()
    wave = torch.randn(1, 4000)
    with torch.no_grad():
        peer.layer_weights.copy_(torch.tensor([1.0, 0.0, -1.0]))
        said = peer(wave, output_hidden_states=True)
        states = torch.stack(said.hidden_states, dim=2)  # [1, T, L, D]
        head = build_head([Answer("label", 3)], [Set(16, 3, frames=True)], Layers(8, 0, 0.0), seed=0)
        ours = {"sums.0.weights": peer.layer_weights}
        ours |= {f"branches.0.0.{name}": tensor for name, tensor in peer.projector.state_dict().items()}
        ours |= {f"head.{name}": tensor for name, tensor in peer.classifier.state_dict().items()}
        head.load_state_dict(ours)
        answer = head.eval()(values0=states, lengths0=torch.tensor([states.shape[1]]))
    torch.testing.assert_close(answer["label"], said.logits, rtol=1e-5, atol=1e-6)


def test_every_weight_is_of_one_part_and_the_first_weights_are_the_seeds():
    sets = [Set(4, 3), Set(2), Set(5, 2, frames=True), Set(3, frames=True)]
    head = build_head([Answer("label", 3)], sets, Layers(8, 2, 0.5, "attentive"), seed=0)
    assert [name for name, _ in head.parts()] == ["layers", "hidden", "head"]
    assert sum(len(parameters) for _, parameters in head.parts()) == len(list(head.parameters()))
    state = torch.get_rng_state()
    again, other = (
        build_head([Answer("label", 3)], sets, Layers(8, 2, 0.5, "attentive"), seed=seed) for seed in (0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(head.head.weight, again.head.weight)
    assert not torch.equal(head.head.weight, other.head.weight)


# What it reads


@pytest.mark.parametrize("layers", [0, 3])
def test_frames_are_scaled_by_moments_of_all_of_them_though_read_one_row_at_a_time(layers):
    values = clips(layers=layers)
    values[3][1:3, ..., 0] = np.nan
    stacked = np.concatenate(values).astype(float)
    mean, deviation = moments(frames_of(values))
    np.testing.assert_allclose(mean, np.nanmean(stacked, axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, np.nanstd(stacked, axis=0), rtol=1e-7)  # squares are float32
    blocks = [frames_of(values)]
    scaled = Preprocessing.fit(blocks, scale=True).apply(blocks)
    expected = np.nan_to_num((values[3] - mean) / deviation)  # a gap is at the mean
    np.testing.assert_allclose(scaled.row(3)[0], expected, atol=1e-5)
    unscaled = Preprocessing.fit(blocks, scale=False).apply(blocks)
    np.testing.assert_array_equal(unscaled.row(4)[0], values[4])
    np.testing.assert_allclose(unscaled.row(3)[0][1, ..., 0], mean[..., 0], rtol=1e-6)


def test_layers_are_scaled_each_by_itself_and_come_back_from_disk(tmp_path):
    x = np.random.default_rng(0).normal(2, 3, (30, 3, 4)).astype(np.float32)
    x[5, 1, 2] = np.nan
    fitted = Preprocessing.fit([x], scale=True)
    for layer in range(3):
        own = Preprocessing.fit([x[:, layer]], scale=True).apply([x[:, layer]])
        np.testing.assert_allclose(np.stack([fitted.apply([x]).row(n)[0][layer] for n in range(30)]), own, atol=1e-5)
    fitted.save(tmp_path / "p.safetensors")
    back = Preprocessing.load(tmp_path / "p.safetensors", [[3, 4]])
    np.testing.assert_array_equal(back.apply([x]).row(5)[0], fitted.apply([x]).row(5)[0])


def test_a_batch_is_made_at_once_of_the_very_bits_of_its_rows():
    rng = np.random.default_rng(0)
    vectors, layers = rng.normal(3, 2, (30, 5)).astype(np.float32), rng.normal(size=(30, 2, 4))
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    blocks = [vectors, layers, frames_of(clips(30)), vectors]
    imputed = zip(blocks, ["median", "median", "median", "knn"], strict=True)
    scalings = [Preprocessing.fit([block], scale=True, impute=how).blocks[0] for block, how in imputed]
    rows = Rows(Inputs((*blocks, layers), (*scalings, None)), [str(number) for number in range(30)])
    wanted = rng.permutation(30)[:12]
    together, single = rows.batch(wanted), rows.collate([rows.load(int(row), None) for row in wanted])
    assert list(together) == list(single)
    for name, values in together.items():
        assert values.dtype == single[name].dtype and torch.equal(values, single[name]), name


def test_a_speakers_frames_have_mean_0_and_deviation_1_and_so_have_layers():
    speakers = np.array(list("aabbbabbaa") * 2)
    normalized = normalize_by_speaker(frames_of(clips(layers=2)), speakers)
    of_a = np.concatenate([normalized.row(place) for place in np.flatnonzero(speakers == "a")])
    np.testing.assert_allclose(of_a.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(of_a.std(axis=0), 1, atol=1e-5)
    taken = normalized[np.array([7, 2])]
    np.testing.assert_array_equal(taken.row(1), normalized.row(2))
    layered = np.random.default_rng(0).normal(1, 2, (20, 2, 3))
    each = np.stack([normalize_by_speaker(layered[:, layer], speakers) for layer in range(2)], axis=1)
    np.testing.assert_allclose(normalize_by_speaker(layered, speakers), each)
    with pytest.raises(AffectkitError, match="speaker 'c' has 1 rows, fewer than 5"):
        normalize_by_speaker(frames_of(clips()), np.array(["c", *speakers[1:]]))


@pytest.mark.parametrize(("value", "message"), [(np.inf, "are not finite"), (None, "have no frame")])
def test_frames_that_cannot_be_are_named(value, message):
    values = clips()
    if value is None:
        values[4] = values[4][:0]
    else:
        values[4][0, 1] = value
    with pytest.raises(AffectkitError, match=f"the features of id 'clip-4' {message}"):
        Preprocessing.fit([frames_of(values)], scale=True)


def test_missing_values_are_told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("affectkit"), "propagate", True)
    whole, holed = np.ones((3, 2)), np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]])
    moments(Frames.of_values(["a"], [whole]))
    refuse_infinite(whole, ["a", "b", "c"], Path("static.npy"))
    assert not caplog.records
    mean, _ = moments(Frames.of_values(["a"], [holed]))
    np.testing.assert_allclose(mean, [7 / 3, 4])
    refuse_infinite(holed, ["a", "b", "c"], Path("static.npy"))
    steps, rows = dict.fromkeys(record.getMessage() for record in caplog.records)
    assert "some steps have missing values" in steps and rows == "static.npy: 1 of 3 rows have missing values (NaN)"


def test_sparse_features_are_refused_with_what_takes_them():
    with pytest.raises(AffectkitError, match="mlp takes no sparse features; use --model linear"):
        build("mlp").fit_path(sp.csr_matrix(np.eye(6)), labels_of([0, 1] * 3, 2), [{"epochs": 1}], 0)


# What it learns


def test_mlp_learns_what_no_linear_model_can():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    [fit] = build("mlp", hidden_size=32, dropout=0.1, learning_rate="1e-2").fit_path(
        x[:300], labels_of(y[:300], 2), [{"epochs": 25}], 0
    )
    assert np.mean(fit.predict(x[300:]).argmax(axis=1) == y[300:]) > 0.9
    assert LogisticRegression().fit(x[:300], y[:300]).score(x[300:], y[300:]) < 0.65


def test_attention_finds_the_frames_that_matter():
    """Two of some forty frames say it, in the second of two layers."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 240)
    values = clips(240, dim=6, layers=2, longest=60)
    values = [np.concatenate([value - 3, rng.normal(0, 2, (12, 2, 6))]).astype(np.float32) for value in values]
    for value, k in zip(values, y, strict=True):
        value[rng.choice(len(value), 2, replace=False), 1, 0] = 12.0 * (1 if k else -1)
    estimator = build("attention", learning_rate="5e-3", dropout=0.0)
    x = Inputs((frames_of(values),), (None,))
    train, held = (Inputs((x.blocks[0][rows],), (None,)) for rows in np.split(np.arange(240), [180]))
    [fit] = estimator.fit_path(train, labels_of(y[:180], 2), [{"epochs": 20}], 0)
    assert np.mean(fit.predict(held).argmax(axis=1) == y[180:]) > 0.95
    weights = fit.network.sums[0].weights.detach().softmax(0)
    assert weights[1] > weights[0]


@pytest.mark.parametrize("loss", ["auto", "mse"])
def test_numbers_are_answered_in_their_units_within_their_scale(loss):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = np.clip(0.5 * x[:, 0] + 0.1, -1, 1)
    groups = np.repeat(list("abcdef"), 50)
    estimator = build("mlp", epochs=12, learning_rate="1e-2", dropout=0.0, loss=loss, stopping_folds=1)
    model = fit_targets(estimator, [VALENCE], [x], [y], groups, FitSettings())
    [predicted] = model.predict([x * 1.5])
    assert np.corrcoef(predicted, y)[0, 1] > 0.95
    assert predicted.min() >= -1 and predicted.max() == 1
    assert np.abs(model.predict([x])[0] - y).mean() < 0.1


def test_classes_weigh_in_the_loss_as_scikit_learn_balances_them():
    y = np.array([0] * 6 + [2] * 3 + [1])
    weights = compute_class_weight("balanced", classes=np.arange(3), y=y)
    objective = objective_of([Labels(y, 3, weights[y])], "auto")
    logits = torch.randn(10, 3)
    peer = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32))(logits, torch.tensor(y))
    torch.testing.assert_close(objective({"label": logits}, {"label": torch.tensor(y)}), peer)


# How many epochs


def test_a_mean_curve_weighs_folds_by_their_rows_and_one_that_ended_stays_as_it_ended():
    def curve(rows, *values):
        history = [{"epoch": n, "train_loss": 1.0, "val_loss": 2.0, "val_uar": x} for n, x in enumerate(values, 1)]
        return Curve(history, [np.zeros((rows, 3))])

    found = mean_curve([curve(10, 0.2, 0.4), curve(30, 0.4, 0.4, 0.3, 0.8), curve(10, np.nan, 0.4)], "val_uar")
    assert [row["val_uar"] for row in found] == pytest.approx([(0.2 * 10 + 0.4 * 30) / 40, 0.4, 0.34, 0.64])
    assert [row["folds"] for row in found] == [3, 3, 1, 1]
    assert [row["best"] for row in found] == [True, True, False, True]
    assert [row["best"] for row in mean_curve([curve(1, 0.2, 0.1)], "val_loss")] == [True, False]  # of equals the first
    assert mean_curve([], "val_uar") == []


def test_probabilities_are_at_the_temperature_that_is_likeliest_for_rows_of_other_networks():
    rng = np.random.default_rng(0)
    y, logits = rng.integers(0, 3, 300), rng.normal(size=(300, 3))
    logits[np.arange(300), y] += 1
    oof = torch.tensor(4 * logits).softmax(1).numpy()
    weights = np.array([0.5, 1.0, 1.5])[y]
    labels = Labels(y, 3, weights)
    grid = np.exp(np.linspace(0, 3, 3001))
    losses = [-(torch.tensor(4 * logits / t).log_softmax(1).numpy()[np.arange(300), y] * weights).sum() for t in grid]
    assert temperature_of(oof, labels) == pytest.approx(grid[np.argmin(losses)], rel=2e-3)
    oof[::3] = np.nan  # rows that no fold held out
    own = Labels(np.delete(y, np.s_[::3]), 3, np.delete(weights, np.s_[::3]))
    assert temperature_of(oof, labels) == pytest.approx(temperature_of(np.delete(oof, np.s_[::3], axis=0), own))
    x = rng.normal(size=(300, 4))
    [fit] = build("mlp").fit_path(x, labels, [{"epochs": 2}], 0)
    warm = build("mlp").calibrated(fit, oof, labels)
    np.testing.assert_array_equal(warm.predict(x).argmax(axis=1), fit.predict(x).argmax(axis=1))
    expected = torch.tensor(np.log(fit.predict(x)) / warm.readings[0].temperature).softmax(1).numpy()
    np.testing.assert_allclose(warm.predict(x), expected, atol=1e-9)


class Watched:
    """A network estimator that says what it was given."""

    def __init__(self, estimator):
        self.estimator, self.folds, self.fitted = estimator, [], []
        self.takes, self.name = estimator.takes, estimator.name

    def at(self, place):
        raise AssertionError

    def calibrated(self, fitted, oof, labels):
        return self.estimator.calibrated(fitted, oof, labels)

    def choose(self, folds, labels, seed):
        folds = list(folds)
        self.folds = [(fold.labels.ids, fold.held_labels.ids, fold.x) for fold in folds]
        for fold in folds:
            np.testing.assert_array_equal(labels.ids[fold.outside], fold.held_labels.ids)
        return self.estimator.choose(folds, labels, seed)

    def fit_path(self, x, labels, candidates, seed):
        self.fitted.append((labels.ids, candidates))
        return self.estimator.fit_path(x, labels, candidates, seed)


def test_epochs_are_chosen_on_whole_groups_inside_the_rows_given_and_the_fit_is_on_all_of_them():
    rng = np.random.default_rng(0)
    y = encode_target(LABEL, [LABEL.classes[k] for k in rng.integers(0, 3, 120)])
    x = rng.normal(size=(120, 4)) + y[:, None]
    y[:20] = np.nan  # unlabelled
    groups = np.array([f"s{place // 12}" for place in range(120)])
    ids = np.array([f"{group}-{place}" for place, group in enumerate(groups)])
    watched = Watched(build("mlp", epochs=6, learning_rate="1e-2"))
    model = fit_targets(watched, [LABEL], [x], [y], groups, FitSettings(), ids)
    held = [set(outside) for _, outside, _ in watched.folds]
    assert set.union(*held) == set(ids[20:]) and sum(map(len, held)) == 100
    for inside, outside, scaled in watched.folds:
        assert not {key.split("-")[0] for key in inside} & {key.split("-")[0] for key in outside}
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)  # by these rows alone
    [(fitted, [candidate])] = watched.fitted
    assert set(fitted) == set(ids[20:])
    assert candidate == model.chosen
    assert candidate == {"epochs": int(np.argmax([row["val_uar"] for row in model.history])) + 1}
    assert [row["epochs"] for row in model.search if row["chosen"]] == [candidate["epochs"]]
    assert [row["epoch"] for row in model.history if row["best"]][-1] == candidate["epochs"]


def noise(rows=60):
    """An inner fold of labels that carry nothing: it soon gets worse."""
    x, y = np.random.default_rng(0).normal(size=(rows, 3)), np.arange(rows) % 3
    labels, inside, outside = labels_of(y, 3), np.arange(40), np.arange(40, rows)
    return Fold(x[inside], labels.take(inside), x[outside], labels.take(outside), outside), labels


def test_fewer_stopping_folds_train_fewer_networks_and_none_trains_all_epochs():
    fold, labels = noise()
    choice = build("mlp", stopping_folds=2).choose([fold] * 5, labels, 0)
    assert {row["folds"] for row in choice.history} == {2}
    assert np.isfinite(choice.oof[40:]).all() and np.isnan(choice.oof[:40]).all()
    choice = build("mlp", stopping_folds=0).choose([fold] * 5, labels, 0)
    assert choice.candidate == {"epochs": 4} and choice.history == []
    fit = object()
    assert build("mlp").calibrated(fit, choice.oof, labels) is fit


def test_inner_folds_of_one_class_are_left_out(caplog):
    y = np.repeat([0.0, 1.0], 20)
    x = np.random.default_rng(0).normal(size=(40, 3)) + y[:, None]
    model = fit_targets(build("mlp"), [replace(LABEL, classes=("a", "b"))], [x], [y], y.astype(str), FitSettings())
    assert model.chosen == {"epochs": 4}
    assert "no inner fold has anything to learn" in caplog.text


def test_patience_ends_an_inner_fold_early():
    fold, labels = noise()
    estimator = build("mlp", epochs=40, early_stopping_patience=2, learning_rate="1e-2", dropout=0.0)
    assert len(estimator.choose([fold], labels, 0).history) < 20


def test_a_learning_rate_can_be_looked_for():
    x, y = np.random.default_rng(0).normal(size=(200, 6)), np.arange(200) % 3
    x[np.arange(200), y] += 3
    [fit] = build("mlp", learning_rate="find").fit_path(x, labels_of(y, 3), [{"epochs": 2}], 0)
    [sweep] = fit.sweeps
    assert 1e-5 < sweep["rate"] < 1


# Interruption


@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_killed_at_any_point_and_resumed_it_is_the_same_to_the_bit(name, killed_and_resumed):
    from affectkit.training.accelerating import open_accelerator

    values = clips(60, dim=3) if name == "attention" else np.random.default_rng(0).normal(size=(60, 3))
    block = frames_of(values) if name == "attention" else values
    y, groups = np.arange(60.0) % 3, np.array([f"s{place % 4}" for place in range(60)])
    accelerator = open_accelerator("cpu")

    def fit(folder, say):
        estimator = build(name, stopping_folds=2, batch_size=8).at(Workspace(folder, accelerator, 1, say))
        return fit_targets(estimator, [LABEL], [block], [y], groups, FitSettings())

    whole, resumed, said = killed_and_resumed(fit)
    assert resumed == whole
    assert {note.split(",")[0] for note in said} == {"inner-1", "inner-2", "final"}


# On disk


def saved(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    estimator = build("mlp")
    [fit] = estimator.fit_path(x, labels_of(y, 3), [{"epochs": 1}], 0)
    estimator.save(fit, tmp_path / "label")
    return estimator, x, fit


def test_what_is_loaded_says_the_same(tmp_path):
    estimator, x, fit = saved(tmp_path)
    np.testing.assert_array_equal(estimator.load(tmp_path / "label").predict(x), fit.predict(x))
    assert set(load_file(tmp_path / "label.safetensors")) == set(fit.network.state_dict())


def test_no_row_has_no_answer(tmp_path):
    _, x, fit = saved(tmp_path)
    assert fit.predict(x[:0]).shape == (0, 3)


DAMAGE = {
    "a missing weight": (lambda weights, facts: weights.pop("head.bias"), "lack head.bias and"),
    "a foreign weight": (lambda weights, facts: weights.update(x=np.ones(2, np.float32)), "have x more"),
    "another shape": (lambda weights, facts: weights.update({"head.bias": np.ones(4, np.float32)}), "not .3.$"),
    "another type": (lambda weights, facts: weights.update({"head.bias": np.ones(3)}), "head.bias is"),
    "a weight that is no number": (
        lambda weights, facts: weights.update({"head.bias": np.array([0, np.nan, 0], np.float32)}), "is not finite"
    ),
    "a promise of a giant": (lambda weights, facts: facts["sets"][0].update(dim=10**9), "branches.0.0.weight is"),
    "other classes": (lambda weights, facts: facts.update(classes=7), "make no sense"),
    "no temperature": (lambda weights, facts: facts.update(temperature=0), "make no sense"),
    "a unit of nothing": (lambda weights, facts: facts.update(deviation=0), "make no sense"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_network_is_refused(what, tmp_path):
    estimator, _, _ = saved(tmp_path)
    damage, message = DAMAGE[what]
    weights, path = load_file(tmp_path / "label.safetensors"), tmp_path / "label.json"
    facts = json.loads(path.read_text())
    damage(weights, facts)
    save_file(weights, tmp_path / "label.safetensors")
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=message):
        estimator.load(tmp_path / "label")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "--hidden-size 0; give 1 or more"),
        ({"dropout": 1.0}, "--dropout 1"),
        ({"epochs": 0}, "--epochs 0"),
        ({"learning_rate": "fast"}, "learning rate 'fast'"),
        ({"stopping_folds": 6}, "--stopping-folds 6"),
        ({"weight_decay": float("nan")}, "--weight-decay nan"),
    ],
)
def test_options_that_make_no_sense_are_a_usage_error(options, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        build("mlp", **options)
    assert caught.value.code == "usage"
