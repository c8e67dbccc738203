"""Several targets learned together by one trunk with a head of each: what is learned, masked, declined, saved."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from affectkit.errors import AffectkitError
from affectkit.estimators import _network_fit
from affectkit.estimators._estimator import Workspace
from affectkit.estimators._fit import FitSettings, build_estimator, fit_targets, load_fitted, together
from affectkit.estimators._network import Answer, Layers, Set, build_head
from affectkit.labels import Target
from affectkit.models.cumulative_link import CumulativeLink
from affectkit.training.accelerating import open_accelerator

STRESS = Target("stress", "ordinal", ("none", "mild", "severe"))
LABEL = Target("label", "class", ("angry", "calm", "sad"))
ANXIETY = Target("anxiety", "number", scale=(0.0, 10.0))
ALL = (STRESS, LABEL, ANXIETY)
QUICK = {"epochs": 3, "hidden_size": 16, "stopping_folds": 2, "batch_size": 16, "learning_rate": "1e-2"}


def study(rows=120, missing=0.3, seed=0, dim=6):
    """Features, the truth of each target, groups. Whether a target is missing tells nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, dim))
    truths = [
        np.digitize(x[:, 0] + 0.3 * rng.normal(size=rows), [-0.5, 0.5]).astype(float),
        np.argmax(x[:, 1:4] + 0.3 * rng.normal(size=(rows, 3)), axis=1).astype(float),
        5 + 2 * x[:, 4] + 0.3 * rng.normal(size=rows),
    ]
    for y in truths:
        y[rng.random(rows) < missing] = np.nan
    return x, truths, np.array([f"s{row % 6}" for row in range(rows)])


def fitted(targets=ALL, data=None, *, place=None, seed=0, **options):
    x, truths, groups = data or study()
    estimator = build_estimator("mlp", {**QUICK, **options})
    if place:
        estimator = estimator.at(place)
    return fit_targets(estimator, targets, [x], truths, groups, FitSettings(seed=seed))


def test_networks_take_several_targets_at_once_and_others_each_alone():
    for name, parts in (("mlp", 1), ("attention", 1), ("linear", 3), ("boosted", 3), ("forest", 3), ("svm", 3)):
        assert len(together(build_estimator(name, {}), ALL)) == parts
    assert together(build_estimator("mlp", {}), [LABEL]) == [[LABEL]]


def test_it_learns_classes_levels_and_numbers_with_rows_that_lack_some():
    model = fitted(data=study(300), epochs=12, stopping_folds=0)
    x, truths, _ = study(300, missing=0, seed=1)
    stress, label, anxiety = model.predict([x])
    assert (stress.argmax(1) == truths[0]).mean() > 0.75 and (label.argmax(1) == truths[1]).mean() > 0.75
    assert np.corrcoef(anxiety, truths[2])[0, 1] > 0.95 and anxiety.min() >= 0 and anxiety.max() <= 10
    np.testing.assert_allclose(stress.sum(axis=1), 1)


def test_a_row_that_lacks_every_target_has_no_part_in_it():
    x, truths, groups = study()
    more = np.concatenate([x, np.full((5, x.shape[1]), 1e3)])
    padded = [np.append(y, [np.nan] * 5) for y in truths]
    plain, other = fitted(data=(x, truths, groups)), fitted(data=(more, padded, np.append(groups, ["new"] * 5)))
    lacking = np.isnan(np.stack(truths)).all(axis=0)
    assert lacking.any()
    for mine, theirs in zip(plain.predict([x]), other.predict([x]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("weights", ["equal", "uncertainty", "stress=2,label=1"])
def test_every_trainable_tensor_moves_with_thresholds_and_scales(weights, monkeypatch):
    before = {}

    def build(*arguments):
        network = build_head(*arguments)
        before[id(network)] = {name: value.clone() for name, value in network.state_dict().items()}
        return network

    monkeypatch.setattr(_network_fit, "build_head", build)
    model = fitted(task_weights=weights)
    first = before[id(model.fitted.network)]
    for name, value in model.fitted.network.state_dict().items():
        assert not torch.equal(first[name], value), name
    assert {"head.0.first", "head.0.steps", "head.0.score.weight"} <= first.keys()
    if weights == "uncertainty":
        assert sum(model.fitted.task_weights.values()) == pytest.approx(3)
        assert model.fitted.task_weights["label"] != pytest.approx(1.2, rel=1e-5)  # where the losses' factors begin
    else:
        assert model.fitted.task_weights == {}


def test_epochs_are_chosen_by_the_mean_of_the_targets_scores():
    model = fitted(epochs=6)
    for row in model.history:
        parts = [row["val_stress.uar"], row["val_uar"], row["val_anxiety.ccc"]]
        assert row["score"] == row["val_score"] and min(parts) <= row["score"] <= max(parts)
    best = int(np.argmax([row["val_score"] for row in model.history])) + 1
    assert model.chosen == {"epochs": best}


def test_each_class_target_has_a_temperature_of_its_own_and_each_number_its_units():
    stress, label, anxiety = fitted(epochs=8).fitted.readings
    assert stress.temperature != label.temperature != 1 and anxiety.temperature == 1
    known = study()[1][2]
    assert anxiety.mean == pytest.approx(np.nanmean(known)) and anxiety.deviation == pytest.approx(np.nanstd(known))
    assert (stress.levels, label.levels, anxiety.levels) == (True, False, False)


def test_class_weights_are_each_targets_own_over_the_rows_that_it_knows():
    y = np.array([0, 0, 0, 1, -1, -1])
    from affectkit.estimators._fit import _labels

    labels = _labels(np.where(y < 0, np.nan, y), replace(LABEL, classes=("a", "b")), FitSettings(), None)
    np.testing.assert_allclose(labels.weights, [2 / 3, 2 / 3, 2 / 3, 2, 0, 0])
    objective = _network_fit.objective_of([labels], "auto")
    assert objective.weights["label"] == pytest.approx((2 / 3, 2))


# The order of classes and of targets


def permuted(target, y, order):
    """The same truth under the classes in another order."""
    codes = np.argsort(order)
    return replace(target, classes=tuple(target.classes[n] for n in order)), np.where(
        np.isnan(y), np.nan, codes[np.nan_to_num(y).astype(int)]
    )


def test_answers_by_name_are_those_of_classes_in_another_order_and_of_targets_in_another_order():
    x, truths, groups = study()
    plain = dict(zip(("stress", "label", "anxiety"), fitted(epochs=6).predict([x]), strict=True))
    other, y = permuted(LABEL, truths[1], [2, 0, 1])
    model = fitted((ANXIETY, other, STRESS), (x, [truths[2], y, truths[0]], groups), epochs=6)
    anxiety, label, stress = model.predict([x])
    np.testing.assert_allclose(
        label[:, [other.classes.index(name) for name in LABEL.classes]], plain["label"], atol=1e-4
    )
    np.testing.assert_allclose(stress, plain["stress"], atol=1e-4)
    np.testing.assert_allclose(anxiety, plain["anxiety"], atol=1e-3)


@pytest.mark.slow
def test_levels_in_reverse_are_a_mirror():
    """What levels mean is their order: thresholds mirror, and so do answers once both have learned the same."""
    x, truths, groups = study(400, missing=0)
    how = {"epochs": 20, "dropout": 0.0, "stopping_folds": 0}
    forth = fitted((STRESS, ANXIETY), (x, [truths[0], truths[2]], groups), **how)
    back = replace(STRESS, classes=STRESS.classes[::-1])
    mirrored = fitted((back, ANXIETY), (x, [2 - truths[0], truths[2]], groups), **how)
    mine, theirs = forth.predict([x])[0], mirrored.predict([x])[0][:, ::-1]
    assert (mine.argmax(1) == theirs.argmax(1)).mean() > 0.95 and np.abs(mine - theirs).mean() < 0.05
    # A trunk may add a constant to the score, so what mirrors is how far thresholds are apart, and the score's sign.
    gaps = [float(m.fitted.network.head[0].gaps[0].detach()) for m in (forth, mirrored)]
    assert gaps[0] == pytest.approx(gaps[1], rel=0.1)


def test_heads_are_drawn_by_name():
    form, sets = Layers(8, 1, 0.0), [Set(4)]
    answers = [Answer("b", 3, ("x", "y", "z")), Answer("a", 1)]
    first, again = build_head(answers, sets, form, 0), build_head(answers[::-1], sets, form, 0)
    torch.testing.assert_close(first.head[0].weight, again.head[1].weight, rtol=0, atol=0)
    turned = build_head([Answer("b", 3, ("z", "x", "y")), answers[1]], sets, form, 0)
    torch.testing.assert_close(turned.head[0].weight, first.head[0].weight[[2, 0, 1]], rtol=0, atol=0)
    assert sum(len(parameters) for _, parameters in first.parts()) == len(list(first.parameters()))


# Targets that rows tell nothing of


def test_a_target_without_labels_is_declined_and_the_others_are_learned():
    x, truths, groups = study()
    lacking = [truths[0], np.full(len(x), np.nan), truths[2]]
    model = fitted(data=(x, lacking, groups))
    assert model.unlearned == {"label"}
    stress, label, anxiety = model.predict([x])
    assert np.isnan(label).all() and label.shape == (len(x), 3)
    assert np.isfinite(stress).all() and np.isfinite(anxiety).all()
    of_two = fitted((STRESS, ANXIETY), (x, [truths[0], truths[2]], groups))
    np.testing.assert_array_equal(stress, of_two.predict([x])[0])  # no head of chance stands beside them


@pytest.mark.parametrize("options", [{}, {"loss": "mse"}, {"loss": "focal"}, {"task_weights": "uncertainty"}])
def test_one_target_that_is_left_is_learned_under_the_options_of_all(options):
    x, truths, groups = study()
    model = fitted((LABEL, ANXIETY), (x, [truths[1], np.full(len(x), 3.0)], groups), **options)
    assert model.unlearned == {"anxiety"}  # a number that is always the same
    assert np.isfinite(model.predict([x])[0]).all() and len(model.history) == 3


def test_when_all_lack_it_is_an_error_that_names_them():
    x, _, groups = study()
    nothing = np.full(len(x), np.nan)
    one = np.where(np.arange(len(x)) < 9, 1.0, np.nan)
    with pytest.raises(AffectkitError, match="stress: no two labelled rows; label: only one class of label") as error:
        fitted((STRESS, LABEL), (x, [nothing, one], groups))
    assert error.value.code == "input"


def test_an_inner_fold_without_a_target_is_judged_by_the_others(caplog):
    """All labels of one target are of one speaker: some inner folds have none inside, the others none outside."""
    x, truths, groups = study(missing=0)
    truths[1][groups != "s0"] = np.nan
    model = fitted((LABEL, ANXIETY), (x, truths[1:], groups), stopping_folds=5)
    assert not model.unlearned and all(np.isfinite(values).all() for values in model.predict([x]))
    assert all(np.isfinite(row["val_score"]) for row in model.history)


def test_batches_without_a_target_leave_its_head_where_it_was():
    """Three rows know the class, so most batches have none: it is learned all the same, and nothing is NaN."""
    x, truths, groups = study()
    few = np.full(len(x), np.nan)
    few[[0, 40, 80]] = [0, 1, 2]
    model = fitted((LABEL, ANXIETY), (x, [few, truths[2]], groups), batch_size=8, stopping_folds=0)
    assert all(np.isfinite(values).all() for values in model.predict([x]))


# On disk


def test_what_is_loaded_says_the_same(tmp_path):
    x, truths, groups = study()
    truths[1][:] = np.nan
    model = fitted(data=(x, truths, groups), task_weights="uncertainty")
    model.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "together.json", "together.safetensors", "together.preprocessing.safetensors",
    }  # fmt: skip
    back = load_fitted(tmp_path, ALL, model.estimator)
    assert back.unlearned == {"label"} and back.fitted.task_weights == model.fitted.task_weights
    for mine, theirs in zip(model.predict([x]), back.predict([x]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


DAMAGE = {
    "a head is missing": (lambda weights, facts: weights.pop("head.1.bias"), "lack head.1.bias"),
    "another number of levels": (
        lambda weights, facts: facts["answers"][0].update(classes=4, present=[True] * 4), "head.0.steps is .1., not .2."
    ),
    "an unordered head": (lambda weights, facts: facts["answers"][0].pop("levels"), "lack head.0"),
    "one level": (lambda weights, facts: facts["answers"][0].update(classes=1, present=[True]), "no order"),
    "a target twice": (lambda weights, facts: facts["answers"][1].update(answer="stress"), "twice"),
    "another order": (lambda weights, facts: facts.update(answers=facts["answers"][::-1]), "lack head.0"),
    "nothing learned": (lambda weights, facts: [known.update(learned=False) for known in facts["answers"]], "nothing"),
    "a threshold that is no number": (
        lambda weights, facts: weights.update({"head.0.first": np.array([np.nan], np.float32)}), "is not finite"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_network_is_refused(what, tmp_path):
    model = fitted(stopping_folds=0, epochs=1)
    model.save(tmp_path)
    damage, message = DAMAGE[what]
    weights, path = load_file(tmp_path / "together.safetensors"), tmp_path / "together.json"
    facts = json.loads(path.read_text())
    damage(weights, facts)
    save_file(weights, tmp_path / "together.safetensors")
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=message):
        load_fitted(tmp_path, ALL, model.estimator)


def test_several_targets_of_an_estimator_that_learns_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one target at a time"):
        load_fitted(tmp_path, ALL, build_estimator("linear", {}))


def test_killed_anywhere_and_resumed_it_is_the_same_bits(killed_and_resumed):
    accelerator, data = open_accelerator("cpu"), study(60)

    def fit(folder, say):
        return fitted(data=data, place=Workspace(folder, accelerator, 0, say), task_weights="uncertainty")

    whole, resumed, _ = killed_and_resumed(fit)
    assert resumed == whole


# What it is worth


def test_an_ordered_target_has_a_cumulative_link_alone_too():
    x, truths, groups = study()
    network = fitted((STRESS,), (x, truths[:1], groups)).fitted.network
    assert isinstance(network.head, CumulativeLink)
    shares = np.bincount(truths[0][~np.isnan(truths[0])].astype(int)) ** 0 + 0.0
    started = build_head([Answer("stress", 3, levels=True, shares=tuple(shares))], [Set(6)], Layers(16, 1, 0.5), 0)
    np.testing.assert_allclose(started.head(torch.zeros(1, 16)).exp().detach(), [[1 / 3] * 3], atol=1e-4)


def ordered(seed, rows=300, held=1000):
    """Five levels cut out of a line with logistic noise."""
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(rows + held, 12)), rng.normal(size=12) / np.sqrt(12)
    y = np.digitize(1.5 * x @ weights + 0.4 * rng.logistic(size=rows + held), [-1.5, -0.4, 0.4, 1.5]).astype(float)
    return x, y, np.array([f"g{row % 20}" for row in range(rows)])


@pytest.mark.figures
def test_on_ordered_levels_the_link_beats_a_softmax():
    """Kappa with quadratic weights, UAR and the mean distance of levels, means of three draws of 300 rows; printed."""
    from sklearn.metrics import cohen_kappa_score, recall_score

    figures = {}
    for kind in ("class", "ordinal"):
        target, each = Target("s", kind, ("a", "b", "c", "d", "e")), []
        for seed in range(3):
            x, y, groups = ordered(seed)
            model = fit_targets(build_estimator("mlp", {}), [target], [x[:300]], [y[:300]], groups, FitSettings())
            answers, truth = model.predict([x[300:]])[0].argmax(1), y[300:]
            kappa, recall = (
                cohen_kappa_score(truth, answers, weights="quadratic"),
                recall_score(truth, answers, average="macro"),
            )
            each.append([kappa, recall, -np.abs(truth - answers).mean()])
        figures[kind] = np.mean(each, axis=0)
    print(figures)
    assert (figures["ordinal"] > figures["class"]).all()
