"""What rules make of simulated sources: `python tests/fusion/test_simulation.py` prints the whole table.

A source of classes is calibrated on its own: Gaussian scores around the truth, as a softmax. Speakers differ, and those
of the judged rows are others than those of the fit rows. Noise says nothing, with confidence.
"""

import sys
from functools import cache

import numpy as np
import pytest
from scipy.special import softmax

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.evaluation.metrics import accuracy, ccc, mse, uar
from affectkit.labels import Target

LABEL = Target("label", "class", tuple("abcdefg"))
VALENCE = Target("valence", "number")
SPEAKERS, JUDGED, SEEDS = 24, 4000, 20
# The averaging rules have nothing to learn that noise is noise from; a network is slow, and has its own test.
LEARNED = [name for name in registry.names("rules") if not registry.load("rules", name).build().single_group]
LEARNED.remove("mlp")
CLASS_RULES = [name for name in LEARNED if name != "inverse-variance"]


def class_sources(scene, size, speaker, rng):
    """Sources by name and the truth [N]. In "complementary", each knows some of the classes."""
    truth = rng.integers(7, size=size)

    def source(strength):
        """strength: [7], how far the score of the true class lies above the others, in their standard deviations."""
        score = rng.normal(size=(size, 7)) + 0.3 * rng.normal(size=(2 * SPEAKERS, 7))[speaker]
        score[np.arange(size), truth] += strength[truth]
        return softmax(strength.mean() * score, axis=1)

    if scene == "noise":
        found = {"voice": source(np.full(7, 1.8)), "noise": softmax(2 * rng.normal(size=(size, 7)), axis=1)}
    else:
        some = np.isin(np.arange(7), [0, 1, 2])
        found = {"voice": source(np.where(some, 2.4, 0.6)), "face": source(np.where(some, 0.6, 2.4))}
    return {name: TargetPrediction.of(LABEL, values) for name, values in found.items()}, truth.astype(float)


def number_sources(scene, size, speaker, rng):
    truth = 4 + rng.normal(size=size)

    def source(error):
        spread = error * np.exp(0.3 * rng.normal(size=size))
        mean = truth + spread * rng.normal(size=size) + 0.2 * rng.normal(size=2 * SPEAKERS)[speaker]
        return TargetPrediction(VALENCE, mean=mean, var=passes(0.5 * spread, 5, rng))

    noise = TargetPrediction(VALENCE, mean=4 + rng.normal(size=size), var=passes(np.full(size, 0.3), 5, rng))
    return {"voice": source(0.8)} | ({"noise": noise} if scene == "noise" else {"face": source(1.0)}), truth


def passes(spread, count, rng):
    """[N]: the sample variance of `count` passes of a network, whose standard deviation is `spread` [N]."""
    return spread**2 * rng.chisquare(count - 1, size=len(spread)) / (count - 1)


@cache
def world(kind, scene, rows, seed):
    """(sources, rows) to fit on and to judge."""
    rng = np.random.default_rng([seed, rows, len(scene), len(kind)])
    size = rows + JUDGED
    speaker = np.r_[rng.integers(SPEAKERS, size=rows), SPEAKERS + rng.integers(SPEAKERS, size=JUDGED)]
    sources, truth = (class_sources if kind == "class" else number_sources)(scene, size, speaker, rng)
    known = GroundTruth(truth, np.array([f"speaker{number:02d}" for number in speaker]))
    parts = np.split(np.arange(size), [rows])
    return tuple(({name: s.take(part) for name, s in sources.items()}, known.take(part)) for part in parts)


def figures(output, truth):
    """Higher is better."""
    if output.target.kind == "number":
        return {"ccc": ccc(truth, output.values), "-mse": -mse(truth, output.values)}
    said = output.values.argmax(axis=1)
    return {"accuracy": accuracy(truth, said), "uar": uar(truth, said)}


def gain(rule, kind, scene, rows, seeds=SEEDS, **options):
    """What the rule has over the best single source on the judged rows, mean over seeds."""
    built = registry.load("rules", rule).build(**options)
    found = []
    for seed in range(seeds):
        fit, (sources, judged) = world(kind, scene, rows, seed)
        own = figures(built.apply(built.fit(*fit), sources), judged.truth)
        singles = [figures(source, judged.truth) for source in sources.values()]
        found.append({name: value - max(one[name] for one in singles) for name, value in own.items()})
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def worst(gains):
    return min(gains.values())


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, marks=[pytest.mark.slow] * (rule == "stacked")) for rule in CLASS_RULES]
)
def test_with_noise_and_few_rows_learned_rules_stay_near_the_best_source(rule):
    assert worst(gain(rule, "class", "noise", 300)) >= -0.02
    assert worst(gain("mean", "class", "noise", 300, seeds=3)) < -0.1  # which is what there is to learn


@pytest.mark.slow
@pytest.mark.parametrize("rule", CLASS_RULES)
def test_with_noise_and_many_rows_learned_rules_reach_the_best_source(rule):
    assert worst(gain(rule, "class", "noise", 5000, seeds=6)) >= -0.005


@pytest.mark.parametrize("rule", CLASS_RULES)
@pytest.mark.parametrize(("rows", "least", "seeds"), [(300, 0.15, 6), (5000, 0.17, 2)])
def test_where_sources_complement_each_other_learned_rules_win(rule, rows, least, seeds):
    assert worst(gain(rule, "class", "complementary", rows, seeds)) > least


def test_stacking_learns_more_than_weights_where_sources_know_different_classes():
    stacked, mean = (gain(rule, "class", "complementary", 300, 6)["uar"] for rule in ("stacked", "mean"))
    assert stacked > mean + 0.01


@pytest.mark.parametrize("rule", LEARNED)
def test_learned_rules_of_numbers_stay_near_the_best_source_or_win(rule):
    assert worst(gain(rule, "number", "noise", 300, seeds=8)) >= -0.02
    assert worst(gain(rule, "number", "complementary", 300, seeds=8)) > 0.05


EXPERTS = {  # standard deviations of the errors, how they vary from row to row, and how far experts err together
    "alike": ([1, 1], 0.0, 0.0),
    "unlike": ([1, 2, 1.5], 0.0, 0.0),
    "varying": ([1, 1], 0.5, 0.0),
    "unlike and varying": ([1, 2, 1.5], 0.5, 0.0),
    "correlated": ([1, 1.5], 0.5, 0.6),
}


def experts(errors, varying, together, count, size, rng):
    truth = rng.normal(size=size)
    shared = rng.normal(size=size)
    found = {}
    for number, error in enumerate(errors):
        spread = error * np.exp(varying * rng.normal(size=size))
        own = np.sqrt(together) * shared + np.sqrt(1 - together) * rng.normal(size=size)
        var = passes(spread * (0.3 + number), count, rng)  # of another kind each
        found[f"expert{number}"] = TargetPrediction(VALENCE, mean=truth + spread * own, var=var)
    return found, GroundTruth(truth, np.full(size, ""))


def inverse_variance(case, count, rows, seed):
    """Mean squared error over that of equal weights, and the shares of truths within 1 and 1.96 fused deviations."""
    rng = np.random.default_rng([seed, count, rows])
    sources, known = experts(*EXPERTS[case], count, rows + JUDGED, rng)
    early, late = np.split(np.arange(rows + JUDGED), [rows])
    rule = registry.load("rules", "inverse-variance").build()
    parameters = rule.fit({name: s.take(early) for name, s in sources.items()}, known.take(early))
    judged = {name: s.take(late) for name, s in sources.items()}
    found = rule.apply(parameters, judged)
    equal = np.mean([s.mean for s in judged.values()], axis=0)
    off = np.abs(found.mean - known.truth[late])
    within = [float(np.mean(off <= z * np.sqrt(found.var))) for z in (1.0, 1.959964)]
    return [float(np.mean(off**2) / np.mean((equal - known.truth[late]) ** 2)), *within]


@pytest.mark.parametrize("count", [3, 5, 10, 30])
@pytest.mark.parametrize("case", EXPERTS)
def test_inverse_variance_is_no_worse_than_equal_weights_and_covers(case, count):
    ratio, within68, within95 = np.mean([inverse_variance(case, count, 1000, seed) for seed in range(5)], axis=0)
    assert ratio < (1.005 if case == "alike" else 0.95)
    if case != "correlated":  # where experts err together, the fused variance is too small, as its docstring says
        assert 0.65 <= within68 <= 0.74 and 0.93 <= within95 <= 0.97


@pytest.mark.parametrize("case", EXPERTS)
def test_few_rows_cost_inverse_variance_little(case):
    ratio = np.mean([inverse_variance(case, 5, 30, seed)[0] for seed in range(40)])
    assert ratio < 1.04


def table(kind):
    print(f"\n{kind}: over the best single source, mean of {SEEDS} seeds (accuracy UAR, or CCC -MSE)")
    scenes = [(scene, rows) for scene in ("noise", "complementary") for rows in (300, 5000)]
    print(f"{'':18}" + "".join(f"{f'{scene} {rows}':20}" for scene, rows in scenes))
    for rule in registry.names("rules"):
        if rule != ("inverse-variance" if kind == "class" else "product"):
            cells = [" ".join(f"{v:+.4f}" for v in gain(rule, kind, *scene).values()) for scene in scenes]
            print(f"{rule:18}" + "".join(f"{cell:20}" for cell in cells), flush=True)


def variances():
    print("\ninverse variance, 1000 fit rows: MSE over equal weights', coverage of 68 % and 95 % intervals")
    for case in EXPERTS:
        found = [np.mean([inverse_variance(case, n, 1000, s) for s in range(SEEDS)], axis=0) for n in (3, 5, 10, 30)]
        print(f"{case:20}" + "   ".join(" ".join(f"{v:.3f}" for v in one) for one in found), flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ("class", "number"):
        table(chosen)
    variances()
