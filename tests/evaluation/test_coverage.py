"""Do nominal 95 % intervals cover? Simulated speakers with random effects; the truth is a huge population's figure.

The quick test has enough replications to tell 95 % from 92 % and 97 %; the slow one walks every metric that has an
interval at 2, 4, 10, 24 and 91 speakers. Seeds are fixed, so that neither can fail by chance.
"""

import numpy as np
import pytest

from affectkit.evaluation.intervals import Estimate, Resampling, as_units, difference, from_left_out, intervals
from affectkit.evaluation.metrics import METRICS, taking
from affectkit.evaluation.probability_metrics import left_out_auroc
from affectkit.evaluation.rows import losses, moments, tallies

CLASSES = 7
SPEAKERS = (2, 4, 10, 24, 91)
JACKKNIFE_OR_FEW_RESAMPLES = Resampling(resamples=1000)
JACKKNIFE = Resampling("jackknife")


def class_rows(rng, speakers, skill=2.2, spread=0.5):
    """Truth, probabilities and speaker of about 50 rows a speaker; skill and bias towards a class vary by speaker."""
    speaker = np.repeat(np.arange(speakers), rng.poisson(50 * np.exp(0.25 * rng.standard_normal(speakers))) + 5)
    truth = rng.choice(CLASSES, size=len(speaker), p=np.array([4, 3, 3, 2, 2, 1, 1]) / 16)
    skills = skill + spread * rng.standard_normal(speakers)
    bias = spread * rng.standard_normal((speakers, CLASSES))
    logits = bias[speaker] + rng.gumbel(size=(len(speaker), CLASSES))
    logits[np.arange(len(speaker)), truth] += skills[speaker]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, probabilities / probabilities.sum(axis=1, keepdims=True), speaker


def number_rows(rng, speakers, slope=0.6):
    """Truth, prediction and speaker: speakers differ in their mean, in the prediction's offset and in its noise."""
    speaker = np.repeat(np.arange(speakers), rng.poisson(50 * np.exp(0.25 * rng.standard_normal(speakers))) + 5)
    truth = 0.5 * rng.standard_normal(speakers)[speaker] + rng.standard_normal(len(speaker))
    noise = 0.7 * np.exp(0.3 * rng.standard_normal(speakers))
    offset = 0.4 * rng.standard_normal(speakers)
    return truth, slope * truth + offset[speaker] + noise[speaker] * rng.standard_normal(len(speaker)), speaker


def figures(takes):
    return {m.name: Estimate(m.of, m.interval_scale) for m in taking(takes) if m.of}


def count_figures(truth, probabilities, speaker, resampling=JACKKNIFE_OR_FEW_RESAMPLES):
    units = as_units(speaker, len(speaker))
    counts = tallies(truth, probabilities.argmax(axis=1), CLASSES, units.codes, units.count)
    return intervals(figures("classes"), counts, resampling)


def class_figures(truth, probabilities, speaker, resampling=JACKKNIFE_OR_FEW_RESAMPLES):
    units = as_units(speaker, len(speaker))
    found = count_figures(truth, probabilities, speaker, resampling)
    found |= intervals(figures("probabilities"), losses(truth, probabilities, units.codes, units.count), resampling)
    left_out = left_out_auroc(truth, probabilities, units.codes, units.count)
    return found | {"auroc": from_left_out(*left_out, METRICS["auroc"].interval_scale).interval()}


def number_figures(truth, predicted, speaker, resampling=JACKKNIFE_OR_FEW_RESAMPLES):
    units = as_units(speaker, len(speaker))
    sums = moments(truth, predicted, units.codes, units.count, width=8.0)
    return intervals(figures("numbers"), sums, resampling)


def population(rows, judge, **settings):
    """The figures of 3,000 speakers."""
    one = Resampling("none")
    return {name: f.value for name, f in judge(*rows(np.random.default_rng(99), 3000, **settings), one).items()}


def covered(rows, judge, speakers, replications, seed=1, **settings):
    """Metric -> of the intervals that could be stated, the share that holds the population's figure.

    None is stated where all speakers are perfect, which two speakers of a good model are now and then.
    """
    rng = np.random.default_rng(seed)
    true = population(rows, judge, **settings)
    stated, hits = dict.fromkeys(true, 0), dict.fromkeys(true, 0)
    for _ in range(replications):
        for name, figure in judge(*rows(rng, speakers, **settings)).items():
            stated[name] += bool(np.isfinite(figure.low) and np.isfinite(figure.high))
            hits[name] += figure.low <= true[name] <= figure.high
    assert min(stated.values()) > 0.95 * replications
    return {name: hits[name] / stated[name] for name in true}


@pytest.mark.parametrize("speakers", [pytest.param(2, marks=pytest.mark.slow), 10])
def test_few_speakers_are_covered(speakers):
    found = covered(class_rows, count_figures, speakers, 600)
    found |= covered(number_rows, number_figures, speakers, 600)
    for name in ("accuracy", "uar", "macro_f1", "ccc", "mae"):
        assert 0.92 <= found[name] <= 0.97, (name, speakers, found[name])


@pytest.mark.figures
@pytest.mark.parametrize("speakers", SPEAKERS)
def test_every_interval_covers(speakers):
    replications = {2: 2500, 4: 2500, 10: 1500, 24: 1200, 91: 400}[speakers]
    found = covered(class_rows, class_figures, speakers, replications)
    found |= covered(number_rows, number_figures, speakers, replications)
    print(speakers, {name: round(share, 3) for name, share in found.items()})
    for name, share in found.items():
        assert 0.92 <= share <= 0.97, (name, speakers, share)


@pytest.mark.slow
@pytest.mark.parametrize("speakers", SPEAKERS)
def test_a_good_model_is_covered_near_the_bound(speakers):
    found = covered(class_rows, count_figures, speakers, {91: 300, 24: 700}.get(speakers, 1000), skill=5.5, spread=0.8)
    print(speakers, {name: round(share, 3) for name, share in found.items()})
    for name in ("accuracy", "uar", "macro_f1", "kappa"):
        assert 0.92 <= found[name] <= 0.97, (name, speakers, found[name])


def test_taking_rows_as_independent_does_not_cover():
    """The reason for groups: the same simulation, judged as if every row were a speaker of its own."""

    def by_row(truth, predicted, speaker, resampling=JACKKNIFE):
        return number_figures(truth, predicted, np.arange(len(speaker)), resampling)

    assert covered(number_rows, by_row, 10, 300)["ccc"] < 0.8


@pytest.mark.parametrize("speakers", [2, 10])
def test_a_paired_difference_of_equals_holds_zero(speakers):
    """Two predictions of the same rows, equally good in the population: a difference is claimed in about 5 %."""
    rng = np.random.default_rng(5)
    replications, claimed = 1000, 0
    for _ in range(replications):
        truth, first, speaker = number_rows(rng, speakers)
        noise = 0.7 * np.exp(0.3 * rng.standard_normal(speakers))[speaker]
        offset = 0.4 * rng.standard_normal(speakers)[speaker]
        second = 0.6 * truth + offset + noise * rng.standard_normal(len(truth))
        tables = [moments(truth, predicted, speaker, speakers) for predicted in (first, second)]
        found = difference(Estimate(METRICS["ccc"].of), *tables)
        claimed += not found.low <= 0 <= found.high
    assert 0.02 <= claimed / replications <= 0.08
