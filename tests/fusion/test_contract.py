"""What every rule owes, over all that there are: a new file in affectkit/fusion is covered by being there."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.fusion.rule import SourceTable

NAMES = registry.names("rules")
NO_TIES = {"class": "nll", "number": "mse"}  # of random sources, no two score the same by these
NOT_FOR = {("inverse-variance", "class"), ("product", "number")}
FUSING = [name for name in NAMES if name != "route"]  # which takes an answer as it is (test_route)
CASES = [(rule, kind) for rule in FUSING for kind in ("class", "number") if (rule, kind) not in NOT_FOR]
EVERY_RULE = pytest.mark.parametrize(("rule", "kind"), CASES)
TRAINED = ("mlp",)  # half a second a fit
WHATEVER_IS_DRAWN = pytest.mark.parametrize(
    ("rule", "kind"), [pytest.param(*case, marks=[pytest.mark.slow] * (case[0] in TRAINED)) for case in CASES]
)
WEIGHING = ("greedy", "inverse-variance", "mean", "weighted")


@pytest.fixture(scope="module")
def make(class_sources, number_sources):
    """`make(kind, ...) -> sources, rows`."""
    return lambda kind, *given, **more: (class_sources if kind == "class" else number_sources)(*given, **more)


def build(rule, kind="class", **options):
    factory = registry.load("rules", rule).build
    if "metric" in registry.options(factory):
        options.setdefault("metric", NO_TIES[kind])
    if "epochs" in registry.options(factory):
        options.setdefault("epochs", 3)  # what is owed is owed from the first one on
    return factory(**options)


def arrays(output):
    return [a for a in (output.probabilities, output.mean, output.var) if a is not None]


def assert_same(one, other):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def plain(parameters):
    return json.loads(json.dumps(parameters, allow_nan=False))


def data():
    """rows, share of missing answers, groups, seed: small enough to be odd, some with rows that have no source."""
    return st.tuples(
        st.integers(2, 40), st.sampled_from([0.0, 0.0, 0.3, 0.7]), st.integers(1, 5), st.integers(0, 2**31)
    )


@pytest.mark.parametrize("rule", NAMES)
def test_its_options_build_it_again(rule):
    factory = registry.load("rules", rule).build
    built = factory()
    assert built.name == rule
    assert set(built.options) == set(registry.options(factory))
    assert factory(**built.options).options == built.options
    assert isinstance(built.takes_tables, bool) and isinstance(built.single_group, bool)


@EVERY_RULE
def test_a_target_of_the_wrong_kind_is_refused_and_no_other(rule, kind, make):
    for other in ("class", "number"):
        sources, rows = make(other, 12)
        if (rule, other) in NOT_FOR:
            with pytest.raises(AffectkitError, match="use") as caught:
                build(rule, other).fit(sources, rows)
            assert caught.value.code == "usage"
        else:
            build(rule, other).fit(sources, rows)


@WHATEVER_IS_DRAWN
@given(drawn=data())
@settings(max_examples=8)
def test_permuting_rows_changes_no_bit_of_the_parameters(rule, kind, make, drawn):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    if not any(source.known.any() for source in sources.values()):
        return
    if seed % 2:  # many rows alike, and ties between sources
        sources = {name: TargetPrediction.of(s.target, np.round(s.values, 1)) for name, s in sources.items()}
    order = np.random.default_rng(seed).permutation(rows)
    there = {name: source.take(order) for name, source in sources.items()}
    assert plain(build(rule, kind).fit(sources, truth)) == plain(build(rule, kind).fit(there, truth.take(order)))


@WHATEVER_IS_DRAWN
@given(drawn=data(), order=st.permutations(["voice", "face", "text"]))
@settings(max_examples=8)
def test_permuting_sources_changes_no_bit(rule, kind, make, drawn, order):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    if not all(source.known.any() for source in sources.values()):
        return  # sources without rows are all alike, and the first named of equals comes first
    there = {name: sources[name] for name in order}
    built = build(rule, kind)
    parameters, others = built.fit(sources, truth), built.fit(there, truth)
    assert parameters == others
    assert_same(built.apply(parameters, sources), built.apply(others, there))


@WHATEVER_IS_DRAWN
@given(drawn=data(), picked=st.lists(st.integers(0, 39), min_size=0, max_size=6))
@settings(max_examples=8)
def test_a_row_has_the_same_bits_alone_as_among_others(rule, kind, make, drawn, picked):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    if not any(source.known.any() for source in sources.values()):
        return
    built = build(rule, kind)
    parameters = built.fit(sources, truth)
    whole = built.apply(parameters, sources)
    at = np.array([row % rows for row in picked], int)
    assert_same(whole.take(at), built.apply(parameters, {name: s.take(at) for name, s in sources.items()}))


@WHATEVER_IS_DRAWN
@given(drawn=data())
@settings(max_examples=8)
def test_parameters_survive_json_and_inputs_stay_as_they_were(rule, kind, make, drawn):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    if not any(source.known.any() for source in sources.values()):
        return
    before = {name: [a.copy() for a in arrays(source)] for name, source in sources.items()}
    built = build(rule, kind)
    parameters = built.fit(sources, truth)
    assert plain(parameters) == parameters
    again = json.loads(json.dumps(parameters, sort_keys=True))
    assert_same(
        built.apply(parameters, sources), registry.load("rules", rule).build(**built.options).apply(again, sources)
    )
    for name, source in sources.items():
        for a, b in zip(before[name], arrays(source), strict=True):
            np.testing.assert_array_equal(a, b)


@WHATEVER_IS_DRAWN
@given(drawn=data())
@settings(max_examples=8)
def test_every_row_with_a_source_is_answered_and_no_other(rule, kind, make, drawn):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    there = np.any([source.known for source in sources.values()], axis=0)
    if not there.any():
        return
    built = build(rule, kind)
    with np.errstate(divide="raise", invalid="raise"):
        found = built.apply(built.fit(sources, truth), sources)
    np.testing.assert_array_equal(found.known, there)
    assert found.target == next(iter(sources.values())).target
    if kind == "class":
        assert (found.values[there] >= 0).all()
        np.testing.assert_allclose(found.values[there].sum(axis=1), 1, atol=1e-9)
        assert np.isnan(found.values[~there]).all()
    elif found.var is not None:
        assert (np.isnan(found.var) | (found.var > 0)).all() and np.isnan(found.var[~there]).all()


@pytest.mark.parametrize(("rule", "kind"), [case for case in CASES if case[0] in WEIGHING])
@given(drawn=data())
@settings(max_examples=8)
def test_weights_are_on_the_simplex_and_answers_between_those_of_the_sources(rule, kind, make, drawn):
    rows, missing, groups, seed = drawn
    sources, truth = make(kind, rows, missing=missing, groups=groups, seed=seed)
    built = build(rule, kind)
    parameters = built.fit(sources, truth)
    weights = np.array(list(parameters["weights"].values()))
    assert list(parameters["weights"]) and (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-12)
    assert set(parameters["weights"]) == set(sources)
    found = built.apply(parameters, sources).values
    said = np.array([source.values for source in sources.values()])
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(said), np.fmax.reduce(said)
        assert not ((found < low - 1e-12) | (found > high + 1e-12)).any()


@pytest.mark.parametrize(("rule", "kind"), [case for case in CASES if case[0] in (*WEIGHING, "best")])
def test_what_one_source_says_alone_passes_unchanged(rule, kind, make):
    sources, rows = make(kind, 30, missing=0.6, seed=4)
    built = build(rule, kind)
    found = built.apply(built.fit(sources, rows), sources)
    known = np.array([source.known for source in sources.values()])
    alone = known.sum(axis=0) == 1
    assert alone.sum() > 5
    for source, there in zip(sources.values(), known, strict=True):
        np.testing.assert_array_equal(found.values[alone & there], source.values[alone & there])


@pytest.mark.parametrize(("rule", "kind"), [case for case in CASES if case[0] not in ("stacked", "mlp")])
def test_a_single_source_is_given_back(rule, kind, make):
    sources, rows = make(kind, 20, ["voice"])
    built = build(rule, kind)
    found = built.apply(built.fit(sources, rows), sources)
    np.testing.assert_allclose(found.values, sources["voice"].values, rtol=1e-12)


@pytest.mark.parametrize("kind", ["class", "number"])
@given(drawn=data(), metric=st.sampled_from(["uar", "accuracy", "nll"]))
@settings(max_examples=20)
def test_greedy_is_never_below_its_best_member_on_the_fit_rows(kind, make, drawn, metric):
    from affectkit.fusion.ensemble import scorer

    rows, _, groups, seed = drawn
    sources, truth = make(kind, rows, groups=groups, seed=seed)
    built = build("greedy", kind, metric=metric if kind == "class" else "ccc")
    parameters = built.fit(sources, truth)
    found = built.apply(parameters, sources)
    judge = scorer(built.options["metric"], found.target, truth.truth)
    score = judge(found.values.reshape(rows, -1))
    assert score >= max(judge(source.values.reshape(rows, -1)) for source in sources.values())
    assert judge.plain(score) == parameters["score"]


def edge(case, kind, make):
    """Sources and rows of an awkward kind."""
    sources, rows = make(kind, {"one row": 1, "no row": 0}.get(case, 24))
    first = next(iter(sources.values()))
    truth = rows.truth.copy()
    if case == "one truth":
        truth[:] = 1
    elif case == "an absent class" and kind == "class":
        truth[truth == 2] = 0
    elif case == "no groups":
        rows = GroundTruth(truth, np.full(len(rows), ""))
    elif case in ("all right", "all wrong"):
        right = truth if case == "all right" else (truth + 1) % 3
        values = np.eye(3)[right.astype(int)] if kind == "class" else right
        sources = {name: TargetPrediction.of(first.target, values.copy()) for name in sources}
        if kind == "number":
            sources = {n: TargetPrediction(s.target, mean=s.mean, var=np.ones(len(s))) for n, s in sources.items()}
    elif case == "a source without rows":
        sources["face"] = TargetPrediction(
            first.target, **{n: np.full_like(a, np.nan) for n, a in first._arrays().items()}
        )
    return sources, GroundTruth(truth, rows.groups)


@EVERY_RULE
@pytest.mark.parametrize(
    "case",
    ["one row", "one truth", "an absent class", "no groups", "all right", "all wrong", "a source without rows"],
)
def test_edge_cases_have_answers(rule, kind, case, make):
    sources, rows = edge(case, kind, make)
    built = build(rule, kind)
    with np.errstate(divide="raise", invalid="raise"):
        parameters = plain(built.fit(sources, rows))
        found = built.apply(parameters, sources)
    assert found.known.all() and np.isfinite(found.values).all()
    if case == "all right":
        said = found.values.argmax(axis=1) if kind == "class" else found.values
        np.testing.assert_allclose(said, rows.truth, atol=0.2)  # a ridge is drawn to the mean


@EVERY_RULE
def test_no_row_at_all_is_an_answer_or_a_clear_error(rule, kind, make):
    sources, rows = edge("no row", kind, make)
    built = build(rule, kind)
    try:
        parameters = built.fit(sources, rows)
    except AffectkitError as error:
        assert error.code == "input"
    else:
        assert len(built.apply(plain(parameters), sources)) == 0


@EVERY_RULE
def test_other_sources_than_those_fitted_are_refused_by_name(rule, kind, make):
    sources, rows = make(kind, 30)
    built = build(rule, kind)
    parameters = built.fit(sources, rows)
    other = {"voice": sources["voice"], "image": sources["face"], "text": sources["text"]}
    with pytest.raises(AffectkitError, match="image") as caught:
        built.apply(parameters, other)
    assert caught.value.code == "input"


@EVERY_RULE
def test_a_table_is_taken_or_refused(rule, kind, make):
    sources, rows = make(kind, 40)
    sources["notes"] = SourceTable(("words", "empty"), np.c_[rows.truth, np.full(40, np.nan)])
    built = build(rule, kind)
    if built.takes_tables:
        assert built.apply(plain(built.fit(sources, rows)), sources).known.all()
    else:
        with pytest.raises(AffectkitError, match="notes") as caught:
            built.fit(sources, rows)
        assert caught.value.code == "usage"


@pytest.mark.parametrize("rule", [r for r in NAMES if "metric" in registry.options(registry.load("rules", r).build)])
def test_a_metric_that_is_unknown_or_does_not_suit_is_refused(rule, make):
    with pytest.raises(AffectkitError, match="uar"):
        build(rule, metric="uarr")
    with pytest.raises(AffectkitError, match="ccc"):
        build(rule, metric="uar").fit(*make("number"))
