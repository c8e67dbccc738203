"""What every calibration owes, over all that there are: a new file in affectkit/calibration is covered as it is."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labels import Target

NAMES = registry.names("methods")
BUILT = {name: registry.load("methods", name).build() for name in NAMES}
CASES = [(name, kind) for name in NAMES for kind in BUILT[name].kinds]
OF_CLASSES = [name for name, kind in CASES if kind == "class"]
ARRAYS = [f.name for f in fields(TargetPrediction) if f.name != "target"]
CLASSES = 4
EMOTION = Target("label", "class", tuple("abcd"))
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
FREE = Target("score", "number")  # no scale

every_case = pytest.mark.parametrize(("name", "kind"), CASES)


def rows_of(truth):
    truth = np.asarray(truth, float)
    return GroundTruth(truth, np.array([f"s{i % 5}" for i in range(len(truth))], str))


def unlabelled(count):
    return rows_of(np.full(count, np.nan))


def make(kind, count=400, seed=3):
    """Answers with ties, exact 0 and 1, unknown variances, and their truth."""
    rng = np.random.default_rng(seed)
    if kind == "class":
        p = rng.dirichlet(np.full(CLASSES, 0.5), count).round(2)
        p[:20] = np.eye(CLASSES)[rng.integers(CLASSES, size=20)]
        p[20:30] = 1 / CLASSES
        p /= p.sum(axis=1, keepdims=True)
        truth = np.where(rng.random(count) < 0.7, p.argmax(axis=1), rng.integers(CLASSES, size=count))
        return TargetPrediction.of(EMOTION, p), rows_of(truth)
    truth = rng.uniform(1, 5, count).round(1)
    var = rng.chisquare(4, count) / 4
    var[::7] = np.nan
    mean = truth + rng.standard_normal(count) * 0.8
    return TargetPrediction(VALENCE, mean=mean, var=var, low=mean - 1, high=mean + 1), rows_of(truth)


@pytest.fixture(scope="module")
def fitted():
    return {(name, kind): BUILT[name].fit(*make(kind)) for name, kind in CASES}


def assert_same(one, other):
    for name in ARRAYS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=name)


def assert_defined(output):
    """Every row that was not declined is answered, on its scale, as a distribution."""
    if output.probabilities is not None:
        assert (output.probabilities >= 0).all() and (output.probabilities <= 1).all()
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-9)
        assert output.sets is None or output.sets.dtype == bool
    else:
        assert np.isfinite(output.mean).all()
        assert output.var is None or not (output.var < 0).any()
    if output.low is not None:
        low, high = output.target.scale
        known = ~np.isnan(output.low)
        assert (low <= output.low[known]).all() and (output.low[known] <= output.high[known]).all()
        assert (output.high[known] <= high).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_takes_and_is_built_again_from_its_options(name):
    method, build = BUILT[name], registry.load("methods", name).build
    assert method.name == name and set(method.kinds) <= {"class", "number"} and method.kinds
    assert set(method.options) == set(registry.options(build))
    again = build(**json.loads(json.dumps(method.options)))
    assert again.options == method.options and again.columns == method.columns


def test_only_temperature_may_be_fitted_on_one_group():
    assert [name for name in NAMES if BUILT[name].single_group] == ["temperature"]


@every_case
def test_its_answers_are_defined(name, kind, fitted):
    output, rows = make(kind)
    answer = BUILT[name].apply(fitted[name, kind], output, unlabelled(len(rows)))
    assert_defined(answer)
    assert len(answer) == len(rows) and answer.target == output.target


@every_case
def test_its_parameters_survive_json_exactly(name, kind, fitted):
    output, rows = make(kind, seed=4)
    through = json.loads(json.dumps(fitted[name, kind], allow_nan=False))
    assert through == fitted[name, kind]
    apply = BUILT[name].apply
    assert_same(apply(fitted[name, kind], output, unlabelled(len(rows))), apply(through, output, unlabelled(len(rows))))


@every_case
def test_permuting_the_fit_rows_changes_nothing(name, kind, fitted):
    output, rows = make(kind)
    for seed in range(3):
        mixed = np.random.default_rng(seed).permutation(len(rows))
        assert BUILT[name].fit(output.take(mixed), rows.take(mixed)) == fitted[name, kind]


@pytest.mark.parametrize("name", OF_CLASSES)
def test_permuting_the_classes_permutes_the_answers(name, fitted):
    output, rows = make("class")
    mixed = np.array([2, 0, 3, 1])
    target = Target("label", "class", tuple(EMOTION.classes[k] for k in mixed))
    other = TargetPrediction.of(target, output.values[:, mixed])
    parameters = BUILT[name].fit(
        other, GroundTruth(np.argsort(mixed)[rows.truth.astype(int)].astype(float), rows.groups)
    )
    one = BUILT[name].apply(fitted[name, "class"], output, unlabelled(len(rows)))
    two = BUILT[name].apply(parameters, other, unlabelled(len(rows)))
    np.testing.assert_allclose(one.probabilities[:, mixed], two.probabilities, atol=1e-8)
    if one.sets is not None:
        np.testing.assert_array_equal(one.sets[:, mixed], two.sets)


PROBABILITIES = st.lists(
    st.lists(st.integers(0, 5), min_size=CLASSES, max_size=CLASSES).filter(any), min_size=1, max_size=12
)
NUMBERS = st.lists(st.tuples(st.floats(-9, 9), st.one_of(st.just(np.nan), st.floats(0, 9))), min_size=1, max_size=12)


@every_case
@given(data=st.data())
@settings(max_examples=40)
def test_no_answer_depends_on_other_rows(name, kind, data, fitted):
    """Any rows, in any order, some twice, have the bits that they have among the others."""
    if kind == "class":
        counts = np.array(data.draw(PROBABILITIES), float)
        output = TargetPrediction.of(EMOTION, counts / counts.sum(axis=1, keepdims=True))
    else:
        mean, var = np.array(data.draw(NUMBERS)).T
        output = TargetPrediction(VALENCE, mean=mean, var=var)
    positions = np.array(data.draw(st.lists(st.integers(0, len(output) - 1), min_size=1, max_size=15)))
    apply = BUILT[name].apply
    whole = apply(fitted[name, kind], output, unlabelled(len(output)))
    assert_defined(whole)
    assert_same(apply(fitted[name, kind], output.take(positions), unlabelled(len(positions))), whole.take(positions))


@every_case
def test_a_row_alone_has_the_bits_that_it_has_among_many(name, kind, fitted):
    output, rows = make(kind, count=1000, seed=9)
    apply = BUILT[name].apply
    whole = apply(fitted[name, kind], output, unlabelled(len(rows)))
    for row in ([0], [501], [998, 999], list(range(3, 20))):
        assert_same(apply(fitted[name, kind], output.take(np.array(row)), unlabelled(len(row))), whole.take(row))


@pytest.mark.parametrize("name", OF_CLASSES)
def test_with_many_classes_too(name):
    """numpy adds up 8 and more numbers in another order where they lie next to each other."""
    rng = np.random.default_rng(0)
    output = TargetPrediction.of(Target("label", "class", tuple("abcdefghijk")), rng.dirichlet(np.full(11, 0.3), 500))
    parameters = BUILT[name].fit(output, rows_of(rng.integers(11, size=500)))
    whole = BUILT[name].apply(parameters, output, unlabelled(500))
    for row in range(100):
        assert_same(BUILT[name].apply(parameters, output.take([row]), unlabelled(1)), whole.take([row]))


@every_case
def test_declined_rows_stay_declined(name, kind, fitted):
    output, rows = make(kind)
    holes = output.take(np.arange(len(rows)))
    for array in ARRAYS:
        if getattr(holes, array) is not None:
            getattr(holes, array)[[0, 5]] = np.nan
    apply = BUILT[name].apply
    answer = apply(fitted[name, kind], holes, unlabelled(len(rows)))
    assert not answer.known[[0, 5]].any() and answer.known.sum() == len(rows) - 2
    for array in ARRAYS:
        values = getattr(answer, array)
        if values is not None:
            assert not values[[0, 5]].any() if array == "sets" else np.isnan(values[[0, 5]]).all()
    kept = np.setdiff1d(np.arange(len(rows)), [0, 5])
    assert_same(answer.take(kept), apply(fitted[name, kind], output, unlabelled(len(rows))).take(kept))


@every_case
def test_the_truth_is_not_looked_at_when_applied(name, kind, fitted):
    output, rows = make(kind)
    apply = BUILT[name].apply
    assert_same(apply(fitted[name, kind], output, rows), apply(fitted[name, kind], output, unlabelled(len(rows))))


@every_case
def test_nothing_that_was_given_is_changed(name, kind):
    output, rows = make(kind)
    before, truth = output.take(np.arange(len(rows))), rows.truth.copy()
    by_column = output if kind == "number" else TargetPrediction.of(EMOTION, np.asfortranarray(output.values))
    for given_output in (output, by_column):
        BUILT[name].apply(BUILT[name].fit(given_output, rows), given_output, rows)
        assert_same(given_output, before)
    np.testing.assert_array_equal(rows.truth, truth)


def corners():
    """Fit rows at the edge of what a method can make something of."""
    sure, even = np.eye(CLASSES), np.full((6, CLASSES), 1 / CLASSES)
    leaning = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6]])
    tied = np.array([[0.5, 0.5, 0.0, 0.0]] * 4)
    classes = {
        "one row, right": (leaning[:1], [0]),
        "one row, wrong": (leaning[:1], [2]),
        "one row, sure and right": (sure[:1], [0]),
        "one row, sure and wrong": (sure[:1], [1]),
        "all right": (leaning, [0, 1, 3]),
        "all wrong": (leaning, [1, 2, 0]),
        "all sure and right": (sure, [0, 1, 2, 3]),
        "all sure and wrong": (sure, [1, 2, 3, 0]),
        "one class only": (np.tile(leaning, (5, 1)), [0] * 15),
        "a class is absent": (np.tile(leaning, (5, 1)), [0, 1, 1] * 5),
        "all undecided": (even, [0, 1, 2, 3, 0, 1]),
        "all tied": (tied, [0, 1, 2, 0]),
    }
    numbers = {
        "one row": ([3.0], [2.0], [0.1]),
        "one row, right": ([3.0], [3.0], [0.0]),
        "two equal rows": ([3.0, 3.0], [2.0, 4.0], [0.1, 0.1]),
        "all right": ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.1, 0.2, 0.3]),
        "all one answer": ([2.0] * 8, [1.0, 2, 3, 4, 1, 2, 3, 4], [0.5] * 8),
        "all one truth": ([1.0, 2, 3, 4], [3.0] * 4, [0.5] * 4),
        "upside down": ([1.0, 2, 3, 4], [4.0, 3, 2, 1], [0.1] * 4),
        "no variance": ([1.0, 2, 3, 4], [1.5, 2, 2.5, 4], [0.0] * 4),
        "variance unknown": ([1.0, 2, 3, 4], [1.5, 2, 2.5, 4], [np.nan] * 4),
    }
    for name, case in classes.items():
        yield "class", name, TargetPrediction.of(EMOTION, np.array(case[0])), rows_of(case[1])
    for name, (mean, truth, var) in numbers.items():
        yield "number", name, TargetPrediction(VALENCE, mean=np.array(mean), var=np.array(var)), rows_of(truth)


CORNERS = [
    pytest.param(name, output, rows, id=f"{name}-{what}")
    for kind, what, output, rows in corners()
    for name in NAMES
    if kind in BUILT[name].kinds
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "output", "rows"), CORNERS)
def test_a_fit_at_the_edge_has_a_defined_answer_for_any_row(name, output, rows):
    parameters = BUILT[name].fit(output, rows)
    assert json.loads(json.dumps(parameters, allow_nan=False)) == parameters
    for other in (output, make("number" if output.mean is not None else "class")[0]):
        assert_defined(BUILT[name].apply(parameters, other, unlabelled(len(other))))


@every_case
def test_without_a_row_there_is_nothing_to_fit_on(name, kind):
    output, rows = make(kind)
    with pytest.raises(AffectkitError, match="no labelled row to fit a calibration on") as caught:
        BUILT[name].fit(output.take(np.arange(0)), rows.take(np.arange(0)))
    assert caught.value.code == "input"


@every_case
def test_no_row_to_apply_to_is_no_answer(name, kind, fitted):
    output, _ = make(kind)
    assert len(BUILT[name].apply(fitted[name, kind], output.take(np.arange(0)), unlabelled(0))) == 0


@pytest.mark.parametrize("name", OF_CLASSES)
def test_two_classes_and_even_one_are_calibrated(name):
    rng = np.random.default_rng(0)
    second = rng.random(50).round(1)
    two = TargetPrediction.of(Target("label", "class", ("calm", "upset")), np.column_stack([1 - second, second]))
    one = TargetPrediction.of(Target("label", "class", ("calm",)), np.ones((50, 1)))
    for output, truth in ((two, rng.random(50) < second), (one, np.zeros(50))):
        method = BUILT[name]
        assert_defined(method.apply(method.fit(output, rows_of(truth)), output, unlabelled(50)))


@pytest.mark.parametrize("name", [name for name, kind in CASES if kind == "number"])
def test_a_number_without_a_scale_is_calibrated(name):
    output, rows = make("number")
    free = TargetPrediction(FREE, mean=output.mean, var=output.var)
    answer = BUILT[name].apply(BUILT[name].fit(free, rows), free, unlabelled(len(rows)))
    assert np.isfinite(answer.mean).all()
