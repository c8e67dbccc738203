"""What makes a row worth a label: each strategy against a plain calculation."""

from itertools import islice, pairwise

import numpy as np
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.errors import AffectkitError
from affectkit.labeling.pool import Pool, mean_of
from affectkit.labeling.strategies._distances import Products, Vectors, scaled
from affectkit.labeling.strategies._strategy import Board
from affectkit.labels import Target

LABEL = Target("label", "class", ("a", "b", "c"))
VALENCE = Target("valence", "number", scale=(-1.0, 1.0))


def classes(rows):
    return TargetPrediction(LABEL, probabilities=np.array(rows, float))


def numbers(mean, var=None):
    return TargetPrediction(VALENCE, mean=np.array(mean, float), var=None if var is None else np.array(var, float))


def pool_of(*sources, features=None, labelled=None, truths=(), wanted=0):
    count = len(sources[0][0]) if sources else len(features)
    named = {f"s{place}": outputs for place, outputs in enumerate(sources)}
    return Pool(np.array([f"r{n}" for n in range(count)]), named, features, labelled, truths, wanted)


def order(name, pool, count=100, free=None, seed=0, taken=()):
    """taken: rows that other strategies had picked before."""
    strategy = registry.build("strategies", name, {})
    board = Board(np.ones(len(pool), bool) if free is None else free, list(taken))
    board.free[board.taken] = False
    found = []
    for pick in islice(strategy.picks(pool, board, np.random.default_rng(seed)), count):
        board.free[pick.row] = False
        board.taken.append(pick.row)
        found.append(pick)
    return found


ROWS = [[0.4, 0.35, 0.25], [0.5, 0.49, 0.01], [0.9, 0.05, 0.05], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("least-confidence", lambda p: (1 - max(p)) * 3 / 2),
        ("margin", lambda p: 1 - (sorted(p)[-1] - sorted(p)[-2])),
        ("entropy", lambda p: -sum(x * np.log(x) for x in p if x > 0) / np.log(3)),
    ],
)
def test_unsure_rows_come_first(name, score):
    found = order(name, pool_of([classes(ROWS)]))
    expected = np.array([score(p) for p in ROWS])
    np.testing.assert_allclose([pick.score for pick in found], np.sort(expected)[::-1], atol=1e-12)
    np.testing.assert_allclose([expected[pick.row] for pick in found], [pick.score for pick in found], atol=1e-12)
    assert expected.min() >= 0 and expected.max() <= 1 + 1e-12
    assert "a 0.400, b 0.350" in next(pick.reason for pick in found if pick.row == 0)


@pytest.mark.parametrize("name", ["least-confidence", "margin", "entropy", "bald", "disagreement"])
def test_what_nobody_answers_is_not_picked(name):
    rows = [*ROWS, [np.nan] * 3]
    found = order(name, pool_of([classes(rows)], [classes(rows[::-1][1:] + rows[-1:])]))
    assert 5 not in {pick.row for pick in found}


def test_several_targets_count_alike():
    other = Target("mood", "class", ("x", "y"))
    mood = TargetPrediction(other, probabilities=np.array([[0.5, 0.5], [0.99, 0.01]]))
    found = order("margin", pool_of([classes([[0.9, 0.1, 0], [0.9, 0.1, 0]]), mood]))
    assert [pick.row for pick in found] == [0, 1]
    np.testing.assert_allclose(found[0].score, (0.2 + 1) / 2)
    assert "label: a 0.900" in found[0].reason and "mood: x 0.500" in found[0].reason


def test_bald_is_the_mutual_information_of_source_and_class():
    one, two = classes([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0]]), classes([[0, 1, 0], [1, 0, 0], [0.5, 0.5, 0]])
    found = {pick.row: pick.score for pick in order("bald", pool_of([one], [two]))}
    np.testing.assert_allclose([found[0], found[1], found[2]], [np.log(2) / np.log(3), 0, 0], atol=1e-12)
    with pytest.raises(AffectkitError, match="one source disagrees with nobody"):
        order("bald", pool_of([one]))


def test_bald_of_one_source_is_what_its_passes_tell():
    """Passes of two models: what model and pass tell of the class is the sum of both, as of all passes in one table."""
    rng = np.random.default_rng(0)
    passes = rng.dirichlet([1, 1, 1], (2, 30, 5))
    one, two, every = (TargetPrediction.over_passes(LABEL, p) for p in (*passes, np.concatenate([*passes], axis=1)))
    for sources, expected in (([[one]], one), ([[one], [two]], every)):
        found = {pick.row: pick.score for pick in order("bald", pool_of(*sources))}
        np.testing.assert_allclose([found[n] for n in range(30)], expected.mutual_information / np.log(3), atol=1e-12)
    declined = TargetPrediction.joined(
        [one, TargetPrediction(LABEL, np.full((1, 3), np.nan), mutual_information=np.full(1, np.nan))]
    )
    assert 30 not in {pick.row for pick in order("bald", pool_of([declined]))}
    assert [pick.row for pick in order("bald", pool_of([numbers([0, 0, 0], [0.1, np.nan, 0.4])]))] == [2, 0]
    with pytest.raises(AffectkitError, match="one source disagrees with nobody"):
        order("bald", pool_of([numbers([0.0, 1.0])]))


def test_disagreement_is_the_share_of_pairs_that_differ():
    one, two, three = ([classes([row] * 2)] for row in ([0.9, 0.1, 0], [0.6, 0.4, 0], [0.1, 0.9, 0]))
    pool = pool_of(one, two, three)
    assert {round(pick.score, 12) for pick in order("disagreement", pool)} == {round(2 / 3, 12)}
    spread = pool_of([numbers([0, 0.5])], [numbers([1, 0.5])])
    assert [pick.row for pick in order("disagreement", spread)] == [0, 1]
    assert "s0 says 0.000, s1 says 1.000" in order("disagreement", spread)[0].reason


def test_variance_is_that_of_sources_and_between_them():
    merged = mean_of([numbers([0.0, 0.2], [0.1, 0.2]), numbers([1.0, 0.2], [0.3, 0.2])])
    np.testing.assert_allclose(merged.mean, [0.5, 0.2])
    np.testing.assert_allclose(merged.var, [0.2 + 0.25, 0.2])
    assert [pick.row for pick in order("variance", pool_of([numbers([0, 0, 0], [0.1, np.nan, 0.4])]))] == [2, 0]
    with pytest.raises(AffectkitError, match="no number has a variance"):
        order("variance", pool_of([numbers([0.0])]))
    with pytest.raises(AffectkitError, match="all targets are numbers"):
        order("margin", pool_of([numbers([0.0])]))


def test_equal_rows_are_taken_at_random_and_again_by_the_same_seed():
    pool = pool_of([classes([[0.5, 0.5, 0]] * 50)])
    first, again, other = (tuple(p.row for p in order("margin", pool, 10, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other and first != tuple(range(10))


def test_a_few_of_many_rows_are_those_of_the_highest_scores():
    """More rows than are put in order at first, and many equals."""
    rng = np.random.default_rng(0)
    p = np.round(rng.dirichlet([1, 1, 1], 20_000), 2)
    scores = [pick.score for pick in order("margin", pool_of([classes(p)]), 9_000)]
    top = np.sort(p, axis=1)
    np.testing.assert_allclose(scores, np.sort(1 - (top[:, 2] - top[:, 1]))[::-1][:9000], atol=1e-12)


# Distances


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return scaled(np.concatenate([rng.normal(place, 0.3, (40, 5)) for place in (0, 4, 8)]).astype(np.float32))


def test_core_set_takes_the_farthest_each_time(points):
    labelled = points[:3]
    rows = [pick.row for pick in order("core-set", pool_of(features=points[3:], labelled=labelled), 12)]
    covered = list(labelled)
    for row in rows:
        distances = np.stack([((points[3:] - point) ** 2).sum(axis=1) for point in covered]).min(axis=0)
        assert distances[row] == pytest.approx(distances.max(), rel=1e-4)
        covered.append(points[3 + row])


@pytest.mark.parametrize("name", ["core-set", "k-means", "typicality"])
def test_each_of_three_clusters_is_visited_early(points, name):
    for seed in range(5):
        rows = [pick.row for pick in order(name, pool_of(features=points, wanted=3), 3, seed=seed)]
        assert {row // 40 for row in rows} == {0, 1, 2}


@pytest.mark.parametrize("name", ["core-set", "k-means", "typicality", "badge"])
def test_what_is_not_free_is_never_picked_and_nothing_twice(points, name):
    free = np.arange(120) % 2 == 0
    pool = pool_of([classes(np.random.default_rng(1).dirichlet([1, 1, 1], 120))], features=points, wanted=100)
    rows = [pick.row for pick in order(name, pool, 100, free=free.copy())]
    assert len(rows) == len(set(rows)) == 60 and free[rows].all()


@pytest.mark.parametrize("name", ["core-set", "k-means", "typicality", "badge"])
def test_distances_need_features(name):
    with pytest.raises(AffectkitError, match="--features"):
        order(name, pool_of([classes(ROWS)]))


def test_typical_rows_are_of_the_largest_cluster_without_a_label(points):
    """Of 40 rows around each of three places, one place has a label: the other two are asked about first."""
    pool = pool_of(features=points, labelled=points[:2], wanted=1)
    rows = [pick.row for pick in order("typicality", pool, 2)]
    assert {row // 40 for row in rows} == {1, 2}
    for row in rows:
        own = points[row // 40 * 40 :][:40]
        near = np.sort(((own[:, None] - own) ** 2).sum(axis=2) ** 0.5, axis=1)[:, 1:21].mean(axis=1)
        assert near[row % 40] == pytest.approx(near.min(), rel=1e-4)


def test_products_have_the_distances_of_the_gradients_that_they_stand_for():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 4)).astype(np.float32)
    whole = np.einsum("nk,nd->nkd", a, b).reshape(30, -1)
    points = Products(Vectors(a), Vectors(b))
    np.testing.assert_allclose(points.lengths, (whole**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(points.to(3), ((whole - whole[3]) ** 2).sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["core-set", "k-means", "typicality", "badge"])
def test_what_another_strategy_took_is_covered(points, name):
    """Of three places one was taken from by others: the next two picks are of the other two, however it goes."""
    p = np.tile([0.4, 0.35, 0.25], (120, 1))
    for seed in range(5):
        pool = pool_of([classes(p)], features=points, wanted=3)
        rows = [pick.row for pick in order(name, pool, 2, seed=seed, taken=[40])]
        assert {row // 40 for row in rows} == {0, 2}


@pytest.mark.parametrize("name", ["core-set", "k-means", "typicality", "badge"])
def test_what_others_take_meanwhile_is_covered_too(points, name):
    """Of three places: one by the strategy, one by another, and the third is what is left for it."""
    away = points + 5  # none at the origin, where a gradient is short
    pool = pool_of([classes(np.tile([0.4, 0.35, 0.25], (120, 1)))], features=away, wanted=3)
    for seed in range(5):
        board = Board(np.ones(120, bool))
        picks = registry.build("strategies", name, {}).picks(pool, board, np.random.default_rng(seed))
        first = next(picks).row
        for row in (first, (first + 40) % 120):
            board.free[row] = False
            board.taken.append(row)
        assert next(picks).row // 40 == (first // 40 + 2) % 3


def test_badge_begins_with_the_longest_gradient(points):
    p = np.random.default_rng(1).dirichlet([1, 1, 1], 120)
    gradient = p - np.eye(3)[p.argmax(axis=1)]
    lengths = np.linalg.norm(gradient, axis=1) * np.sqrt((points**2).sum(axis=1) + 1)
    free = np.ones(120, bool)
    free[lengths.argmax()] = False
    for seed in range(3):
        [pick] = order("badge", pool_of([classes(p)], features=points), 1, seed=seed)
        assert pick.row == lengths.argmax() and pick.score == pytest.approx(lengths.max(), rel=1e-5)
    [pick] = order("badge", pool_of([classes(p)], features=points), 1, free=free.copy())
    assert pick.row == np.where(free, lengths, 0).argmax()


def test_badge_never_asks_about_what_is_sure_nor_twice_about_the_same(points):
    p = np.tile([1.0, 0, 0], (120, 1))
    p[[5, 50, 100]] = [[0.5, 0.5, 0]] * 3
    points[50] = points[5]
    found = order("badge", pool_of([classes(p)], features=points), 10)
    assert sorted(pick.row for pick in found) in ([5, 100], [50, 100])


# Labels that look wrong


def test_a_label_is_suspected_where_another_class_reaches_its_threshold():
    p = np.array([[0.8, 0.2, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.45, 0.55, 0]])
    truth = np.array([0, 0, 1, 1, 0, 0.0])  # the fifth is labelled a and looks like b
    found = order("label-errors", pool_of([classes(p)], truths=[truth]))
    # thresholds: a (.8 + .9 + .1 + .45) / 4 = .5625, b (.9 + .7) / 2 = .8; the sixth reaches neither
    assert [(pick.row, round(pick.score, 6)) for pick in found] == [(4, 0.8)]
    assert found[0].reason == "labelled a (0.100), b is 0.900"
    with pytest.raises(AffectkitError, match="no row has a label"):
        order("label-errors", pool_of([classes(p)], truths=[np.full(6, np.nan)]))


def test_the_same_labels_are_suspected_as_by_cleanlab_in_the_same_order():
    """compute_confident_joint(..., return_indices_of_off_diagonals=True) of cleanlab 2.9.0 names 2, 9 and 13, ranked by
    normalized margin 9, 13, 2. (It takes a threshold as reached from 1e-6 below; here none is so near.)"""
    p = np.array([
        [0.88, 0.12, 0.0], [0.5, 0.06, 0.44], [0.58, 0.26, 0.16], [0.81, 0.04, 0.15], [0.53, 0.45, 0.02],
        [0.59, 0.03, 0.38], [0.5, 0.04, 0.46], [0.57, 0.14, 0.29], [0.43, 0.55, 0.02], [0.15, 0.8, 0.05],
        [0.01, 0.54, 0.45], [0.27, 0.68, 0.05], [0.33, 0.66, 0.01], [0.07, 0.78, 0.15], [0.46, 0.51, 0.03],
        [0.1, 0.9, 0.0], [0.04, 0.4, 0.56], [0.25, 0.18, 0.57], [0.4, 0.01, 0.59], [0.0, 0.36, 0.64],
        [0.08, 0.35, 0.57], [0.14, 0.07, 0.79], [0.28, 0.0, 0.72], [0.0, 0.14, 0.86],
    ])  # fmt: skip
    truth = np.array([0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 1, 1, 1, 0, 1, 1, 2, 2, 2, 2, 0, 2, 2, 2.0])
    found = order("label-errors", pool_of([classes(p)], truths=[truth]))
    assert [pick.row for pick in found] == [9, 13, 2]


def test_planted_label_errors_are_found():
    """Of 2,000 labels 100 are wrong: those are found whose true class is as probable as usual, and no others."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    p = rng.dirichlet([1, 1, 1], 2000) * 0.4
    p[np.arange(2000), truth] += 0.6
    given, wrong = truth.copy(), rng.choice(2000, 100, replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, 3, 100)) % 3
    found = order("label-errors", pool_of([classes(p)], truths=[given.astype(float)]))
    assert {pick.row for pick in found} <= set(wrong) and 40 <= len(found) <= 60
    assert all(before.score >= after.score for before, after in pairwise(found))


def test_numbers_far_from_their_answers_are_suspected():
    """Residuals of spread .1, and three labels that are off by 1: these alone, the farthest first."""
    rng = np.random.default_rng(0)
    answer = rng.uniform(-0.5, 0.5, 500)
    truth = answer + np.clip(rng.normal(0.05, 0.1, 500), -0.2, 0.3)  # .05 too low: no label error
    truth[[3, 50, 400]] = answer[[3, 50, 400]] + [1.0, -1.2, 1.4]
    truth[7] = np.nan
    found = order("label-errors", pool_of([numbers(answer)], truths=[truth]))
    assert [pick.row for pick in found] == [400, 50, 3]
    residuals = np.delete(truth - answer, 7)
    spread = 1.4826 * np.median(np.abs(residuals - np.median(residuals)))
    away = abs(truth[400] - answer[400] - np.median(residuals)) / spread
    assert found[0].score == pytest.approx(1 - 3 / away)
    told = f"valence labelled {truth[400]:.3f}, answered {answer[400]:.3f}: {away:.1f} spreads off"
    assert found[0].reason == told


def test_a_residual_counts_in_units_of_what_the_model_expects():
    """Of two residuals of 1 the one is 10 standard deviations that were predicted, the other a half."""
    rng = np.random.default_rng(1)
    var = np.full(300, 0.01)
    var[20] = 4.0
    truth = rng.normal(0, 0.1, 300)
    truth[[10, 20]] = 1.0
    unsure = order("label-errors", pool_of([numbers(np.zeros(300), var)], truths=[truth]))
    assert 10 in {pick.row for pick in unsure} and 20 not in {pick.row for pick in unsure}
    even = order("label-errors", pool_of([numbers(np.zeros(300))], truths=[truth]))
    assert {10, 20} <= {pick.row for pick in even}


def test_numbers_that_tell_no_spread_suspect_nothing():
    assert order("label-errors", pool_of([numbers([0, 0, 0, 0])], truths=[np.array([0, 0, 0, 1.0])])) == []
    nothing = pool_of([numbers([np.nan, np.nan])], truths=[np.array([1.0, 2.0])])
    assert order("label-errors", nothing) == []


def test_a_class_and_a_number_are_suspected_alike():
    """A row of which both are wrong has both reasons, and the mean of what they weigh."""
    rng = np.random.default_rng(2)
    p = np.tile([0.8, 0.1, 0.1], (100, 1))
    p[50:] = [0.1, 0.8, 0.1]
    truth, number = np.repeat([0.0, 1.0], 50), rng.normal(0, 0.1, 100)
    truth[0], number[0], number[1] = 1.0, 1.5, 1.5
    pool = pool_of([classes(p), numbers(np.zeros(100))], truths=[truth, number])
    found = {pick.row: pick for pick in order("label-errors", pool)}
    assert found[0].reason.count(";") == 1 and found[1].reason.startswith("valence labelled")
    assert found[0].score == pytest.approx((0.7 + found[1].score) / 2, abs=0.01)
