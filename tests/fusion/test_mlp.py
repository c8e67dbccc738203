"""The network rule against torch, scikit-learn and Brent's method; what it may see, what it learns, where it stays."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.preprocessing import StandardScaler

from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.evaluation.metrics import accuracy, ccc, uar
from affectkit.fusion.fuse import fuse
from affectkit.fusion.rule import SourceTable
from affectkit.fusion.rules import stacked
from affectkit.fusion.rules._mlp import InnerFolds, fit_priors, fit_scaler, passes_of, standardised, train
from affectkit.fusion.rules._stacked import StackInputs
from affectkit.fusion.rules.mlp import Mlp, build
from affectkit.labels import Target
from affectkit.leakage.crossfit import plan_fit

LABEL = Target("label", "class", ("angry", "happy", "sad"))
VALENCE = Target("valence", "number")


def silent(rows):
    """A source that says nothing of classes."""
    return TargetPrediction.of(LABEL, np.full((rows, 3), 1 / 3))


def crossed(rows, seed):
    """A table of two numbers and a third of noise: a row is of class 0 or 1 by whether their signs agree."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 3))
    truth = (values[:, 0] * values[:, 1] > 0).astype(float)
    return {"silent": silent(rows), "table": SourceTable(("a", "b", "noise"), values)}, GroundTruth(truth, groups(rows))


def groups(rows):
    return np.array([f"speaker{row % 8}" for row in range(rows)])


def by_torch(parameters, columns, start):
    """[N, C] scores of the fitted network, from its own definition in torch."""
    hidden, head = (parameters["network"][name] for name in ("hidden", "head"))
    layers = torch.nn.Sequential(
        torch.nn.Linear(len(hidden["weights"]), len(hidden["bias"])),
        torch.nn.ReLU(),
        torch.nn.Linear(len(hidden["bias"]), len(head["bias"])),
    ).double()
    for layer, stored in ((layers[0], hidden), (layers[2], head)):
        layer.weight.data = torch.tensor(stored["weights"], dtype=torch.float64).T
        layer.bias.data = torch.tensor(stored["bias"], dtype=torch.float64)
    with torch.no_grad():
        return start + layers(torch.from_numpy(columns)).numpy()


def test_a_network_learns_what_no_linear_rule_can():
    early, rows = crossed(300, 0)
    late, judged = crossed(2000, 1)
    found = build(learning_rate="0.02", epochs=40).fit(early, rows)
    said = build().apply(found, late).values
    assert found["network"] is not None
    assert accuracy(judged.truth, said.argmax(1)) > 0.85
    line = stacked.build()
    assert accuracy(judged.truth, line.apply(line.fit(early, rows), late).values.argmax(1)) < 0.6
    chance = found["search"][1]["loss"]
    assert found["search"][2]["loss"] < chance / 2


def test_answers_are_those_of_the_network_in_torch_and_its_temperature(class_sources):
    sources, rows = class_sources(300, ("voice", "face"), missing=0.2, seed=3)
    rng = np.random.default_rng(0)
    table = np.c_[rows.truth + rng.normal(size=300), rng.normal(5, 3, 300)]
    table[::4, 1] = np.nan
    table[::7] = np.nan
    sources["notes"] = SourceTable(("told", "odd"), table)
    built = build(epochs=20)
    found = built.fit(sources, rows)
    assert found["network"] is not None and found["prior"] == "mean"
    columns = {}
    for name in ("voice", "face"):
        p = sources[name].values
        logs = np.log(p)
        columns |= {(name, c, "value"): p[:, k] for k, c in enumerate(LABEL.classes)}
        columns |= {(name, c, "log"): (logs - logs.mean(1, keepdims=True))[:, k] for k, c in enumerate(LABEL.classes)}
        columns[name, "", "missing"] = np.isnan(p[:, 0]) * 1.0
    gone = np.isnan(table).all(1)
    columns |= {("notes", name, "value"): table[:, k] for k, name in enumerate(("told", "odd"))}
    columns |= {
        ("notes", "", "missing"): gone * 1.0,
        ("notes", "odd", "missing"): (np.isnan(table[:, 1]) & ~gone) * 1.0,
    }
    assert {(one["source"], one["column"], one["what"]) for one in found["scaler"]} == set(columns)
    known = np.any([s.known for s in sources.values()], axis=0)
    order = [columns[one["source"], one["column"], one["what"]] for one in found["scaler"]]
    peer = StandardScaler().fit(np.array(order).T[known])  # which leaves NaN out, as the rule does
    np.testing.assert_allclose([one["center"] for one in found["scaler"]], peer.mean_, rtol=1e-12)
    np.testing.assert_allclose([one["scale"] for one in found["scaler"]], peer.scale_, rtol=1e-12)
    read = np.nan_to_num(peer.transform(np.array(order).T))
    voice, face = (
        np.where(np.isnan(sources[n].values), sources[m].values, sources[n].values)
        for n, m in (("voice", "face"), ("face", "voice"))
    )
    start = np.log(np.where(np.isnan(voice), found["base"], (voice + face) / 2))
    expected = by_torch(found, read, start)
    raw, said = built.uncalibrated(found, sources), built.apply(found, sources)
    np.testing.assert_allclose(raw.values[known], softmax(expected, axis=1)[known], atol=1e-9)
    np.testing.assert_allclose(said.values[known], softmax(expected / found["temperature"], axis=1)[known], atol=1e-9)
    assert np.isnan(said.values[~known]).all()


@pytest.mark.parametrize("temperature", [0, -1.0, 1e-320, 1e308, "x", [1.0]])
def test_a_temperature_that_no_fit_ends_at_is_refused(class_sources, temperature):
    sources, rows = class_sources(60, ("voice", "face"), seed=3)
    parameters = build(epochs=1).fit(sources, rows)
    with pytest.raises(ValueError, match="temperature is "):
        build(epochs=1).apply({**parameters, "temperature": temperature}, sources)


def test_numbers_have_no_temperature_and_answers_in_their_own_units(number_sources):
    sources, rows = number_sources(400, ("voice", "face"), seed=1)
    far = {n: TargetPrediction(Target("pitch", "number"), mean=1000 + 50 * s.mean) for n, s in sources.items()}
    rows = GroundTruth(1000 + 50 * rows.truth, rows.groups)
    built = build(learning_rate="0.01", epochs=20)
    found = built.fit(far, rows)
    assert found["temperature"] is None and found["network"]["unit"] == pytest.approx(rows.truth.std(), rel=1e-4)
    said = built.apply(found, far)
    assert said.var is None and ccc(rows.truth, said.values) > max(ccc(rows.truth, s.mean) for s in far.values()) + 0.03
    values = np.array([far[name].mean for name in ("face", "voice")])
    read = (values.T - values.mean(1)) / values.std(1)
    start = values.mean(0) if found["prior"] == "mean" else far[found["order"][0]].mean
    expected = by_torch(found, read, 0.0)[:, 0] * found["network"]["unit"] + start
    np.testing.assert_allclose(said.values, expected, rtol=1e-9)


def test_numbers_stay_on_the_scale(number_sources):
    sources, rows = number_sources(100)
    wild = {name: TargetPrediction(s.target, mean=s.mean * 10, var=s.var) for name, s in sources.items()}
    built = build(epochs=5)
    found = built.apply(built.fit(sources, rows), wild)
    assert found.mean.min() >= 1 and found.mean.max() <= 7


def study_of(sources, rows):
    inputs, rows = StackInputs.of(sources, "mlp").in_order(rows)
    return InnerFolds.of(inputs, rows, standardised(inputs, fit_scaler(inputs)), True)


def trained(study, truth=None, **options):
    rows = study.rows if truth is None else GroundTruth(truth, study.rows.groups)
    other = InnerFolds(study.inputs, rows, study.columns, study.folds, True)
    prior = fit_priors(study.inputs, study.rows, True)[0]
    return train(other, [prior] * len(study.parts()), build(**options).options, seed=0)


def test_a_member_never_sees_its_fold(class_sources):
    """Other truths in a fold change no bit of what the member that holds it out says, and all other members."""
    study = study_of(*class_sources(120, groups=8))
    truth = study.rows.truth.copy()
    truth[study.folds == 0] = (truth[study.folds == 0] + 1) % 3
    before, after = trained(study, epochs=1).answers, trained(study, truth, epochs=1).answers
    same = [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
    assert [name for name, _ in study.parts()] == ["fold-0", "fold-1", "fold-2", "fold-3", "fold-4", "all"]
    assert same == [True, False, False, False, False, False]
    assert all(len(set(study.folds[study.rows.groups == group])) == 1 for group in set(study.rows.groups))


@pytest.mark.parametrize("kind", ["class_sources", "number_sources"])
def test_the_history_judges_each_row_by_the_member_that_never_saw_it(kind, request):
    study = study_of(*request.getfixturevalue(kind)(120))
    made = trained(study, epochs=4)
    [*_, best] = [row for row in made.history if row["best"]]
    answers, truth, target = study.held_out(made.answers), study.rows.truth, study.inputs.ensemble.target
    if target.kind == "number":
        assert best[f"val_{target.name}.ccc"] == pytest.approx(ccc(truth, answers[:, 0]), abs=1e-5)
    else:
        assert best["val_uar"] == pytest.approx(uar(truth, answers.argmax(axis=1)), abs=1e-9)


def test_members_are_what_they_would_be_without_the_others(class_sources):
    """A row that is unknown to a member weighs nothing, and Adam sees no common factor: of whole batches, the same."""
    study = study_of(*class_sources(100, groups=8))
    alone = InnerFolds(study.inputs, study.rows, study.columns, np.where(study.folds == 0, 0, 1), True)
    how = {"epochs": 5, "learning_rate": "0.01", "dropout": 0.0}  # one look, so that both end with the same epoch
    together, apart = trained(study, **how), trained(alone, **how)
    np.testing.assert_allclose(together.answers[0], apart.answers[0], atol=1e-5)
    assert np.abs(together.answers[0] - together.answers[-1]).max() > 0.01


def test_held_out_answers_come_from_the_member_that_holds_them_out(class_sources):
    study = study_of(*class_sources(60, groups=6))
    members = [np.full((60, 3), float(place)) for place in range(len(study.parts()))]
    np.testing.assert_array_equal(study.held_out(members)[:, 0], study.folds)


def test_the_temperature_is_that_of_held_out_answers():
    """A source three times too sure, and nothing to add to it: Brent's method on the source's own answers."""
    rng = np.random.default_rng(0)
    score = 1.5 * rng.normal(size=(500, 3))
    right = softmax(score, axis=1)
    truth = (rng.random((500, 1)) > right.cumsum(1)).sum(1)
    sure = softmax(3 * score, axis=1)
    built = build(epochs=1, learning_rate="1e-9", class_weight="none")  # which hardly moves
    found = built.fit({"sure": TargetPrediction.of(LABEL, sure)}, GroundTruth(truth * 1.0, groups(500)))

    def loss(log_b):
        return -log_softmax(np.exp(log_b) * np.log(sure), axis=1)[np.arange(500), truth].mean()

    expected = np.exp(-minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-10}).x)
    assert found["temperature"] == pytest.approx(expected, rel=1e-5)
    assert 2.4 < expected < 3.6


def test_a_row_that_lacks_a_source_the_fit_rows_all_had_is_fused_from_the_others(class_sources):
    """No weight was ever learned for its absence, so none is drawn on: it counts as its mean."""
    sources, rows = class_sources(200, ("voice", "face"))
    built = build(epochs=20)
    found = built.fit(sources, rows)
    assert not [one for one in found["scaler"] if one["what"] == "missing"]
    without = {"voice": sources["voice"], "face": TargetPrediction.of(LABEL, np.full((200, 3), np.nan))}
    said = built.apply(found, without)
    assert said.known.all()
    assert uar(rows.truth, said.values.argmax(1)) > uar(rows.truth, sources["voice"].values.argmax(1)) - 0.05


def test_columns_that_do_not_vary_have_no_say(class_sources):
    sources, rows = class_sources(80, ("voice",))
    plain = build(epochs=3).fit(sources, rows)
    sources["empty"] = SourceTable(("one", "none"), np.c_[np.full(80, 7.0), np.full(80, np.nan)])
    found = build(epochs=3).fit(sources, rows)
    assert found == plain


def test_a_table_with_other_columns_is_refused_by_name():
    sources, rows = crossed(60, 0)
    built = build(epochs=1)
    found = built.fit(sources, rows)
    other = {"silent": sources["silent"], "table": SourceTable(("b", "noise", "c"), sources["table"].values)}
    with pytest.raises(AffectkitError, match="table has no column 'a'") as caught:
        built.apply({**found, "network": {}}, other)
    assert caught.value.code == "input"


def test_columns_of_a_table_are_found_by_name_in_any_order():
    sources, rows = crossed(200, 0)
    built = build(learning_rate="0.02", epochs=20)
    found = built.fit(sources, rows)
    turned = SourceTable(("noise", "b", "a"), sources["table"].values[:, ::-1])
    said = built.apply(found, {"silent": sources["silent"], "table": turned})
    assert found["network"] is not None
    np.testing.assert_array_equal(said.values, built.apply(found, sources).values)


def test_the_seed_decides_and_the_callers_generators_stay(class_sources):
    sources, rows = class_sources(90)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    one, again, other = (json.dumps(Mlp(build(epochs=4).options, seed).fit(sources, rows)) for seed in (0, 0, 1))
    assert one == again and json.loads(one)["history"] != json.loads(other)["history"]
    assert torch.equal(before, torch.random.get_rng_state()) and threads == torch.get_num_threads()


def test_neither_the_order_of_rows_nor_that_of_sources_changes_a_bit(class_sources):
    sources, rows = class_sources(70, missing=0.3)
    order = np.random.default_rng(0).permutation(70)
    there = {name: sources[name].take(order) for name in ("text", "voice", "face")}
    assert build(epochs=4).fit(sources, rows) == build(epochs=4).fit(there, rows.take(order))


def test_epochs_end_where_held_out_loss_rises(class_sources):
    """With three sources and nothing else to learn, 2,000 epochs at a high rate are not trained."""
    sources, rows = class_sources(100)
    found = build(epochs=2000, learning_rate="0.02").fit(sources, rows)
    looks = [row["epoch"] for row in found["history"]]
    best = max(row["epoch"] for row in found["history"] if row["best"])
    assert looks[-1] == best + 10 < 500
    assert found["search"][-1]["epochs"] == best
    assert min(found["history"], key=lambda row: row["val_loss"])["epoch"] == best


@pytest.mark.parametrize(
    ("epochs", "steps", "passes"), [(80, 1, 5), (80, 3, 4), (80, 40, 1), (7, 1, 1), (1, 1, 1), (3, 2, 3)]
)
def test_it_looks_after_whole_epochs_that_end_with_the_last(epochs, steps, passes):
    assert passes_of(epochs, steps) == passes


def test_class_weights_are_those_of_the_rule(class_sources):
    """Nothing but noise and a rare class: balanced, it is predicted as often as any, else never."""
    rng = np.random.default_rng(0)
    truth = np.r_[np.zeros(270), np.ones(30)]
    table = SourceTable(("a",), rng.normal(size=(300, 1)) + truth[:, None])
    share = {}
    for weight in ("balanced", "none"):
        built = build(class_weight=weight, learning_rate="0.02", epochs=20)
        sources = {"silent": silent(300), "table": table}
        share[weight] = np.mean(
            built.apply(built.fit(sources, GroundTruth(truth, groups(300))), sources).values.argmax(1) == 1
        )
    assert share["none"] < 0.05 < 0.2 < share["balanced"]


def test_one_truth_leaves_equal_weights_and_says_so(class_sources, caplog):
    sources, rows = class_sources(20, ("voice", "face"))
    found = build().fit(sources, GroundTruth(np.ones(20), rows.groups))
    assert "one label: mlp is left at equal weights" in caplog.text
    said = build().apply(found, sources).values
    np.testing.assert_allclose(said, (sources["voice"].values + sources["face"].values) / 2, rtol=1e-9)


def test_a_column_of_absurd_numbers_has_no_say(class_sources):
    sources, rows = class_sources(60, ("voice",))
    sources["odd"] = SourceTable(
        ("huge", "endless", "tiny"), np.c_[np.linspace(-1e200, 1e200, 60), [np.inf] * 60, [1e-200] * 60]
    )
    built = build(epochs=1)
    found = built.fit(sources, rows)
    assert not [one for one in found["scaler"] if one["source"] == "odd"]
    assert built.apply(json.loads(json.dumps(found, allow_nan=False)), sources).known.all()


def test_training_that_diverges_is_one_clear_error(class_sources):
    with pytest.raises(AffectkitError, match="mlp: its training diverges; lower --learning-rate") as caught:
        build(learning_rate="1e30").fit(*class_sources(60))
    assert caught.value.code == "input"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hidden_size", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("learning_rate", "0"),
        ("learning_rate", "inf"),
        ("learning_rate", "find"),
        ("learning_rate", "fast"),
        ("weight_decay", -1e-4),
        ("epochs", 0),
        ("batch_size", 0),
        ("class_weight", "inverse"),
    ],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(AffectkitError, match="--" + option.replace("_", "-")) as caught:
        build(**{option: value})
    assert caught.value.code == "usage"


# Those of the other learned rules are in test_simulation.py and test_null_claims.py.
def load(name):
    """A test module beside this one."""
    path = Path(__file__).with_name(name + ".py")
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "scene", "rows", "seeds", "least"),
    [
        ("class", "noise", 60, 6, -0.02),
        ("class", "noise", 300, 4, -0.01),
        ("class", "complementary", 60, 4, 0.15),
        ("class", "complementary", 300, 4, 0.17),  # stacked gains .196
        pytest.param("class", "complementary", 5000, 1, 0.2, marks=pytest.mark.figures),  # stacked .219
        ("number", "noise", 300, 4, -0.02),
        ("number", "complementary", 300, 4, 0.07),
    ],
)
def test_it_stays_near_the_best_source_beside_noise_and_wins_with_sources_that_complement_each_other(
    kind, scene, rows, seeds, least
):
    simulation = load("test_simulation")
    assert simulation.worst(simulation.gain("mlp", kind, scene, rows, seeds)) > least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "repeats"), [(2, 12), *(pytest.param(*n, marks=pytest.mark.figures) for n in ((4, 8), (10, 4)))]
)
def test_noise_is_not_said_to_help(speakers, repeats):
    """Of 20 studies with 2, 4, 10 and 24 speakers each, none was."""
    null = load("test_null_claims")
    rng = np.random.default_rng(speakers)
    verdicts = []
    for _ in range(repeats):
        joined = null.study(rng, speakers)
        verdicts += fuse(joined, "mlp", {}, plan_fit(joined.rows)).verdicts
    assert sum(verdict.helps for verdict in verdicts) <= 0.05 * repeats + 2 * np.sqrt(0.05 * 0.95 * repeats)
    assert np.mean([verdict.best.gain for verdict in verdicts]) > -0.01


# --- A gate


def gated(rows, seed):
    """A table that says the class, but only of rows of which another says that it may be trusted."""
    rng = np.random.default_rng(seed)
    truth, trusted = rng.integers(2, size=rows), rng.integers(2, size=rows)
    said = np.where(trusted, 2.0 * truth - 1, rng.choice([-1.0, 1.0], rows)) + 0.3 * rng.normal(size=rows)
    speech = np.c_[2.0 * trusted - 1, rng.normal(size=rows)]
    sources = {"silent": silent(rows), "text": SourceTable(("said",), said[:, None])}
    return {**sources, "audio": SourceTable(("clear", "noise"), speech)}, GroundTruth(truth * 1.0, groups(rows))


def test_a_gate_is_the_published_network_in_torch():
    sources, rows = gated(300, 0)
    found = json.loads(json.dumps(build(gate="audio", epochs=10, learning_rate="0.02").fit(sources, rows)))
    network, gate = found["network"], found["network"]["gate"]
    assert gate["source"] == "audio" and np.shape(gate["hidden"]["weights"]) == (2, 32)
    assert np.shape(gate["head"]["weights"]) == (32, 1) and np.shape(network["hidden"]["weights"]) == (3, 64)
    columns = torch.from_numpy(np.nan_to_num(standardised(StackInputs.of(sources, "mlp"), found["scaler"])).T)
    assert [column["source"] for column in found["scaler"]] == ["audio", "audio", "text"]

    def layer(stored, features):
        return features @ torch.tensor(stored["weights"]).double() + torch.tensor(stored["bias"]).double()

    share = torch.sigmoid(layer(gate["head"], torch.relu(layer(gate["hidden"], columns[:, :2]))))
    read = torch.cat([columns[:, :2], columns[:, 2:] * share], dim=1)
    scores = layer(network["head"], torch.relu(layer(network["hidden"], read))).numpy()
    expected = softmax(scores[:, :2], axis=1) * 2 / 3  # the third class is in no fit row
    np.testing.assert_allclose(build(gate="audio").uncalibrated(found, sources).values[:, :2], expected, atol=1e-9)
    assert share.std() > 0.01  # it says of some rows that they count for less


def test_a_gated_network_is_the_same_for_any_order_and_a_row_alone():
    sources, rows = gated(60, 3)
    built, order = build(gate="audio", epochs=2), np.random.default_rng(0).permutation(60)
    found = built.fit(sources, rows)
    turned = {name: sources[name].take(order) for name in ("audio", "text", "silent")}
    assert built.fit(turned, rows.take(order)) == found
    network = {**build(gate="audio", epochs=5, learning_rate="0.02").fit(*gated(300, 0))}
    said = built.apply(network, sources).values
    alone = built.apply(network, {name: source.take(np.array([7])) for name, source in sources.items()}).values
    np.testing.assert_array_equal(alone[0], said[7])


@pytest.mark.parametrize(("gate", "names"), [("face", ("text", "audio")), ("silent", ())])
def test_a_gate_needs_its_source_and_another(gate, names):
    sources, rows = gated(40, 0)
    with pytest.raises(AffectkitError, match=f"--gate {gate} is (none of|the only source)") as caught:
        build(gate=gate, epochs=1).fit({name: sources[name] for name in ("silent", *names)}, rows)
    assert caught.value.code == "usage"


def test_without_a_gate_nothing_is_drawn_for_one(class_sources):
    sources, rows = class_sources(60, ("voice", "face"))
    assert "gate" not in json.dumps(build(epochs=2).fit(sources, rows))


DAMAGE = {
    "another source": lambda gate: {**gate, "source": "x"},
    "no source": lambda gate: {name: part for name, part in gate.items() if name != "source"},
    "no layer": lambda gate: {**gate, "hidden": {}},
    "other inputs": lambda gate: {**gate, "hidden": {**gate["hidden"], "weights": gate["hidden"]["weights"][:1]}},
    "other outputs": lambda gate: {**gate, "head": {"weights": [[0.0] * 2] * 32, "bias": [0.0] * 2}},
    "not finite": lambda gate: {**gate, "head": {**gate["head"], "bias": ["x"]}},
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_gate_is_refused(what):
    sources, rows = gated(300, 0)
    built = build(gate="audio", epochs=5, learning_rate="0.02")
    found = built.fit(sources, rows)
    network = {**found["network"], "gate": DAMAGE[what](found["network"]["gate"])}
    with pytest.raises((ValueError, KeyError, TypeError)):
        built.apply({**found, "network": network}, sources)
