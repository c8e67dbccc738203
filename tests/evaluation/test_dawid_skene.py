"""Raters weighed by their reliability: the published example, the equations written out, and simulated raters."""

import numpy as np
import pytest

from affectkit.evaluation.dawid_skene import dawid_skene
from affectkit.evaluation.raters import Ratings

# Dawid and Skene 1979, table 1: 45 patients, classified into 4 by five anaesthetists, the first one of them three
# times; a patient is `123 4 1 2 3`.
PATIENTS = (
    "111 1 1 1 1|333 4 3 3 4|112 2 1 2 2|222 3 1 2 1|222 3 2 2 2|222 3 3 2 2|122 2 1 1 1|333 3 4 3 3|222 2 2 2 3|"
    "232 2 2 2 3|444 4 4 4 4|222 3 3 4 3|111 1 1 1 1|222 3 2 1 2|121 1 1 1 1|111 2 1 1 1|111 1 1 1 1|111 1 1 1 1|"
    "222 2 2 2 1|222 1 3 2 2|222 2 2 2 2|222 2 2 2 1|222 3 2 2 2|221 2 2 2 2|111 1 1 1 1|111 1 1 1 1|232 2 2 2 2|"
    "111 1 1 1 1|111 1 1 1 1|112 1 1 2 1|111 1 1 1 1|333 3 2 3 3|111 1 1 1 1|222 2 2 2 2|222 3 2 3 2|433 4 3 4 3|"
    "221 2 2 3 2|232 3 2 3 3|333 3 4 3 2|111 1 1 1 1|111 1 1 1 1|121 2 1 1 1|232 2 2 2 2|121 1 1 1 1|222 2 2 2 2"
)


@pytest.fixture(scope="module")
def patients():
    cells = [
        (item, rater, int(mark) - 1)
        for item, patient in enumerate(PATIENTS.split("|"))
        for rater, marks in enumerate(patient.split())
        for mark in marks
    ]
    items, raters, values = map(np.array, zip(*cells, strict=True))
    return Ratings(items, raters, values.astype(float))


def test_the_anaesthetists_are_as_published(patients):
    """Their table 2: the marginal probabilities, and the error rates of the first observer."""
    found = dawid_skene(patients, 4, smoothing=0.0)
    assert found.converged and len(patients.values) == 45 * 7
    assert found.prior.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    first = [[0.89, 0.11, 0, 0], [0.07, 0.88, 0.05, 0], [0, 0.34, 0.66, 0], [0, 0, 0.56, 0.44]]
    assert found.confusion[0].round(2).tolist() == first


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 1.0])
def test_it_equals_the_equations_written_out(patients, smoothing):
    """Their equations 2.3 to 2.5, one patient, observer and class at a time, as often."""
    found = dawid_skene(patients, 4, smoothing=smoothing)
    counts = np.zeros((45, 5, 4))
    for item, rater, value in zip(patients.items, patients.raters, patients.values.astype(int), strict=True):
        counts[item, rater, value] += 1
    truth = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for step in range(found.iterations + 1):
        prior = (truth.sum(axis=0) + smoothing) / (45 + 4 * smoothing)
        confusion = np.empty((5, 4, 4))
        for rater in range(5):
            for true in range(4):
                row = sum(truth[item, true] * counts[item, rater] for item in range(45)) + smoothing
                confusion[rater, true] = row / row.sum()
        if step == found.iterations:
            break
        for item in range(45):
            chances = prior.copy()
            for rater in range(5):
                chances *= np.prod(confusion[rater] ** counts[item, rater], axis=1)
            truth[item] = chances / chances.sum()
    np.testing.assert_allclose(found.posterior, truth, atol=1e-12)
    np.testing.assert_allclose(found.confusion, confusion, atol=1e-12)
    np.testing.assert_allclose(found.prior, prior, atol=1e-12)


def simulated(seed, rows=1500, people=12, classes=5, each=4):
    """(ratings, truth, skill): raters of unlike skill, each row seen by a few of them."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(classes, size=rows), rng.uniform(0.25, 0.95, people)
    items = np.repeat(np.arange(rows), each)
    raters = np.concatenate([rng.choice(people, each, replace=False) for _ in range(rows)])
    right = rng.random(len(items)) < skill[raters]
    values = np.where(right, truth[items], rng.integers(classes, size=len(items)))
    return Ratings(items, raters, values.astype(float)), truth, skill + (1 - skill) / classes


@pytest.mark.parametrize("seed", range(3))
def test_raters_of_unlike_skill_are_told_apart_and_the_majority_is_beaten(seed):
    ratings, truth, skill = simulated(seed)
    found = dawid_skene(ratings, 5)
    votes = np.zeros((len(truth), 5))
    np.add.at(votes, (ratings.items, ratings.values.astype(int)), 1)
    majority, ours = ((answer.argmax(axis=1) == truth).mean() for answer in (votes, found.posterior))
    assert ours > majority + 0.01  # measured .014 to .050 above
    accuracy = (found.confusion.diagonal(axis1=1, axis2=2) * found.prior).sum(axis=1)
    assert np.abs(accuracy - skill).max() < 0.08
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1)
    np.testing.assert_allclose(found.confusion.sum(axis=2), 1)


def test_a_rater_who_turns_two_classes_around_still_tells_something():
    """Which no weighing of votes can: who always says b for a and a for b."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    noisy = [np.where(rng.random(400) < 0.75, truth, 1 - truth) for _ in range(3)]
    found = dawid_skene(Ratings.of([*noisy, 1 - truth]), 2)
    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.97
    assert found.confusion[3].diagonal().max() < 0.05


@pytest.mark.filterwarnings("error")
def test_rows_and_raters_without_ratings_and_nothing_at_all():
    found = dawid_skene(Ratings(np.array([1]), np.array([0]), np.array([2.0])), 3, rows=3, raters=2)
    assert np.isnan(found.posterior[[0, 2]]).all() and found.posterior[1].argmax() == 2
    np.testing.assert_allclose(found.confusion[1], 1 / 3)
    nothing = dawid_skene(Ratings.of(np.empty((0, 0))), 3, rows=2)
    assert nothing.posterior.shape == (2, 3) and np.isnan(nothing.posterior).all() and nothing.converged


def test_it_says_where_it_has_not_settled():
    ratings, _, _ = simulated(0, rows=100)
    found = dawid_skene(ratings, 5, iterations=2)
    assert not found.converged and found.iterations == 2
