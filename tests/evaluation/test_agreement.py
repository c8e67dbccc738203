"""Agreement between and within subjects, limits of agreement and the subject's own mean: by published figures, by
scipy, by loops and by hand; and whether their intervals cover."""

import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.agreement import agreement, flat, subject_column
from affectkit.evaluation.assess import assess, beside
from affectkit.evaluation.intervals import Resampling
from affectkit.evaluation.number_metrics import ccc, left_out_spearman, mae, spearman
from affectkit.labels import Target
from affectkit.plain import without_nan

STRESS = Target("stress", "number", scale=(1.0, 5.0))
SEVERITY = Target("severity", "ordinal", ("none", "mild", "severe"))

# Intramural pH and PaCO2 of eight subjects (Bland and Altman 1995, table 1), whose correlation within subjects is -.51.
PH = {
    1: (6.68, 6.53, 6.43, 6.33), 2: (6.85, 7.06, 7.13, 7.17), 3: (7.40, 7.42, 7.41, 7.37, 7.34, 7.35, 7.28, 7.30, 7.34),
    4: (7.36, 7.33, 7.29, 7.30, 7.35), 5: (7.35, 7.30, 7.30, 7.37, 7.27, 7.28, 7.32, 7.32),
    6: (7.38, 7.30, 7.29, 7.33, 7.31, 7.33), 7: (6.86, 6.94, 6.92), 8: (7.19, 7.29, 7.21, 7.25, 7.20, 7.19, 6.77, 6.82),
}  # fmt: skip
CO2 = {
    1: (3.97, 4.12, 4.09, 3.97), 2: (5.27, 5.37, 5.41, 5.44), 3: (5.67, 3.64, 4.32, 4.73, 4.96, 5.04, 5.22, 4.82, 5.07),
    4: (5.67, 5.10, 5.53, 4.75, 5.51), 5: (4.28, 4.44, 4.32, 3.23, 4.46, 4.72, 4.75, 4.99),
    6: (4.78, 4.73, 5.12, 4.93, 5.03, 4.93), 7: (6.85, 6.44, 6.52), 8: (5.28, 4.56, 4.34, 4.32, 4.41, 3.69, 6.09, 5.58),
}  # fmt: skip


def table_of(truth, predicted, subject, target=STRESS):
    columns = {"id": [f"r{i}" for i in range(len(subject))], "split": "test", "seen": "heldout"}
    named = [f"p{s}" if s != "" else "" for s in subject]
    frame = pd.DataFrame(columns | {target.name: truth, f"{target.name}_pred": predicted, "subject": named})
    return Predictions(frame, {target.name: target})


def judge(truth, predicted, subject, target=STRESS, resampling=None, train=None):
    table = table_of(truth, predicted, subject, target)
    found, said = agreement(table, [target], "subject", resampling or Resampling(), train)
    return found["targets"][target.name], said


@pytest.fixture
def sessions():
    """300 rows of 12 subjects, two of whom have one row: they differ in their level, and the model in its offset."""
    rng = np.random.default_rng(0)
    subject = np.concatenate([np.arange(12), rng.integers(0, 10, 288)])
    truth = (3 + 0.6 * rng.standard_normal(12)[subject] + 0.5 * rng.standard_normal(300)).round(1)
    return truth, 1 + 0.6 * truth + 0.3 * rng.standard_normal(12)[subject] + 0.4 * rng.standard_normal(300), subject


def own_mean(values, subject):
    return pd.Series(values).groupby(subject).transform("mean").to_numpy()


# --- Correlations


def test_the_repeated_measures_correlation_of_bland_and_altman_1995():
    subject = np.repeat(list(PH), list(map(len, PH.values())))
    found, _ = judge(np.concatenate(list(PH.values())), np.concatenate(list(CO2.values())), subject)
    assert found["within"]["pearson"]["value"] == pytest.approx(-0.507, abs=5e-4)
    assert (found["n"], found["subjects"], found["repeated"]) == (47, 8, {"subjects": 8, "rows": 47})


def test_within_is_the_analysis_of_covariance(sessions):
    """sign(slope) sqrt(SS / (SS + SS_error)) with a mean for each subject (Bakdash and Marusich 2017, equation 3)."""
    truth, predicted, subject = sessions
    dummies = (subject[:, None] == np.arange(12)).astype(float)

    def error(design):
        fit, *_ = np.linalg.lstsq(design, predicted, rcond=None)
        return ((predicted - design @ fit) ** 2).sum(), fit

    without, _ = error(dummies)
    rest, fit = error(np.column_stack([dummies, truth]))
    found, _ = judge(*sessions)
    expected = np.sign(fit[-1]) * np.sqrt((without - rest) / without)
    assert found["within"]["pearson"]["value"] == pytest.approx(expected, abs=1e-12)
    a, b = truth - own_mean(truth, subject), predicted - own_mean(predicted, subject)
    assert found["within"]["ccc"]["value"] == pytest.approx(2 * (a @ b) / (a @ a + b @ b), abs=1e-12)


def test_every_level_equals_scipy(sessions):
    truth, predicted, subject = sessions
    found, _ = judge(*sessions)
    means = [pd.Series(values).groupby(subject).mean().to_numpy() for values in (truth, predicted)]
    for level, (a, b) in {"all": (truth, predicted), "between": means}.items():
        assert found[level]["pearson"]["value"] == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
        assert found[level]["spearman"]["value"] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
        assert found[level]["ccc"]["value"] == pytest.approx(ccc(a, b), abs=1e-12)
    own = [stats.spearmanr(truth[subject == s], predicted[subject == s]).statistic for s in range(10)]
    assert found["within"]["spearman"]["value"] == pytest.approx(np.mean(own), abs=1e-12)
    for level in ("all", "between", "within"):
        for figure in found[level].values():
            assert -1 <= figure["low"] < figure["value"] < figure["high"] <= 1


def test_spearman_with_each_unit_left_out():
    rng = np.random.default_rng(1)
    truth, unit = rng.integers(0, 8, 90).astype(float), rng.integers(0, 7, 90)
    predicted = np.round(truth + rng.normal(0, 3, 90))
    value, left_out = left_out_spearman(truth, predicted, unit, 8)
    assert value == pytest.approx(stats.spearmanr(truth, predicted).statistic, abs=1e-12)
    for u in range(7):
        kept = unit != u
        assert left_out[u] == pytest.approx(stats.spearmanr(truth[kept], predicted[kept]).statistic, abs=1e-12)
    assert left_out[7] == value, "a unit without rows takes nothing away"
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert spearman([1, 2, np.nan, 3], [2, 4, 0, 9]) == 1


def test_an_interval_leaves_out_each_subject(sessions):
    """The delete-one jackknife of the within-subject CCC on Fisher's scale, by a loop."""
    truth, predicted, subject = sessions
    found, _ = judge(*sessions)

    def within(kept):
        a = truth[kept] - own_mean(truth, subject)[kept]
        b = predicted[kept] - own_mean(predicted, subject)[kept]
        return 2 * (a @ b) / (a @ a + b @ b)

    again = np.arctanh([within((subject != s) & (subject < 10)) for s in range(10)])  # two have one row
    reach = stats.t.ppf(0.975, 9) * np.sqrt(9 / 10 * ((again - again.mean()) ** 2).sum())
    centre = np.arctanh(within(subject < 10))
    ends = [found["within"]["ccc"][end] for end in ("low", "high")]
    assert ends == pytest.approx(np.tanh([centre - reach, centre + reach]), abs=1e-9)


def test_knowing_who_is_not_knowing_when(sessions):
    """A model that says each subject's mean, and one that says only how far a row lies from it."""
    truth, _, subject = sessions
    who, _ = judge(truth, own_mean(truth, subject), subject)
    assert who["between"]["ccc"]["value"] == pytest.approx(1)
    assert who["within"]["ccc"]["value"] == 0 and np.isnan(who["within"]["pearson"]["value"])
    when, _ = judge(truth, 3 + truth - own_mean(truth, subject), subject)
    assert when["within"]["ccc"]["value"] == pytest.approx(1)
    assert np.isnan(when["between"]["pearson"]["value"]) and when["between"]["ccc"]["value"] == 0


def test_permuting_rows_and_renaming_subjects_changes_nothing(sessions):
    truth, predicted, subject = sessions
    order = np.random.default_rng(2).permutation(300)
    one, two = judge(*sessions), judge(truth[order], predicted[order], subject[order])
    for level in ("all", "between", "within"):
        for name, figure in one[0][level].items():
            assert list(two[0][level][name].values()) == pytest.approx(list(figure.values()), abs=1e-9)
    assert two[0]["floors"]["difference"]["mae"] == pytest.approx(one[0]["floors"]["difference"]["mae"], abs=1e-9)


# --- Bland and Altman


def test_limits_are_an_analysis_of_variance(sessions):
    truth, predicted, subject = sessions
    error = pd.Series(predicted - truth)
    parts = [part.to_numpy() for _, part in error.groupby(subject)]
    sizes = np.array([len(part) for part in parts])
    within = sum(((part - part.mean()) ** 2).sum() for part in parts) / (300 - 12)
    between = (sizes * (np.array([part.mean() for part in parts]) - error.mean()) ** 2).sum() / 11
    assert between / within == pytest.approx(stats.f_oneway(*parts).statistic)
    variance = (between - within) / ((300 - (sizes**2).sum() / 300) / 11)
    found = judge(*sessions)[0]["bland_altman"]
    assert found["bias"]["value"] == pytest.approx(error.mean())
    assert found["sd_within"] == pytest.approx(np.sqrt(within))
    assert found["sd_between"] == pytest.approx(np.sqrt(variance))
    assert found["sd"]["value"] == pytest.approx(np.sqrt(variance + within))
    reach = stats.norm.ppf(0.975) * np.sqrt(variance + within)
    assert found["lower"]["value"] == pytest.approx(error.mean() - reach)
    assert found["upper"]["value"] == pytest.approx(error.mean() + reach)
    assert found["lower"]["low"] < found["lower"]["value"] < found["lower"]["high"] < found["bias"]["value"]
    slope = stats.linregress((truth + predicted) / 2, error).slope
    assert found["slope"]["value"] == pytest.approx(slope, abs=1e-12)


def test_with_a_row_per_subject_the_limits_are_the_usual_ones():
    rng = np.random.default_rng(3)
    truth, predicted = rng.normal(0, 1, (2, 30))
    found, said = judge(truth, predicted, np.arange(30))
    assert found["bland_altman"]["sd"]["value"] == pytest.approx((predicted - truth).std(ddof=1))
    assert np.isnan(found["bland_altman"]["sd_within"])
    assert found["floors"] is None
    assert said == ["agreement of stress: no subject has two rows: nothing can be said within subjects"]
    assert np.isfinite(found["between"]["ccc"]["low"])


def test_subjects_who_do_not_differ_have_no_variance_between(sessions):
    error = np.tile([-1.0, 1.0], 20)
    truth = np.random.default_rng(4).uniform(1, 5, 40)
    found = judge(truth, truth + error, np.repeat(np.arange(10), 4))[0]["bland_altman"]
    assert found["sd_between"] == 0
    assert found["sd"]["value"] == found["sd_within"] == pytest.approx(np.sqrt(40 / 30))


# --- The subject's own mean


def test_the_own_mean_never_sees_its_own_row(sessions):
    truth, predicted, subject = sessions
    found, said = judge(*sessions)
    floors, again = found["floors"], subject < 10
    own = np.array([truth[(subject == subject[i]) & (np.arange(300) != i)].mean() for i in np.flatnonzero(again)])
    assert (floors["n"], floors["subjects"]) == (298, 10)
    assert floors["own_mean"]["mae"]["value"] == pytest.approx(mae(truth[again], own))
    assert floors["own_mean"]["ccc"]["value"] == pytest.approx(ccc(truth[again], own))
    assert floors["model"]["mae"]["value"] == pytest.approx(mae(truth[again], predicted[again]))
    gap = floors["difference"]["mae"]
    assert gap["value"] == pytest.approx(floors["model"]["mae"]["value"] - floors["own_mean"]["mae"]["value"])
    assert gap["low"] < gap["value"] < gap["high"] and 0 <= gap["p"] <= 1
    assert "train_mean" not in floors
    assert "agreement of stress: 2 of 12 subjects have one row, which says nothing within subjects" in said


def test_train_mean_beside_the_own_mean(sessions):
    truth, _, subject = sessions
    train = pd.DataFrame({"stress": [2.0, 4.0, np.nan, 3.6]})
    floors = judge(*sessions, train=train)[0]["floors"]
    assert floors["train_mean"]["mae"]["value"] == pytest.approx(np.abs(truth - 3.2)[subject < 10].mean())


def test_windows_that_repeat_the_answer_of_their_session_are_told_of():
    """The own mean of such a row is made of copies of its own answer."""
    rng = np.random.default_rng(5)
    subject, session = np.repeat(np.arange(6), 20), np.repeat(np.arange(24), 5)
    truth = rng.uniform(1, 5, 24)[session]
    predictions = table_of(truth, truth + rng.normal(0, 1, 120), subject, STRESS)
    told = "agreement of stress: all rows of a session repeat one answer"
    for cells, repeated in ((session, True), (np.arange(120), False)):
        again = replace(predictions, frame=predictions.frame.assign(session=cells.astype(str)))
        _, said = agreement(again, [STRESS], "subject", Resampling())
        found = [text for text in said if text.startswith(told)]
        assert len(found) == repeated and all(text.endswith("aggregate --to session makes them") for text in found)


def test_one_score_per_subject_says_nothing_within():
    """As PHQ-8 does of every turn of an interview: the own mean would be the score itself, and look unbeatable."""
    rng = np.random.default_rng(5)
    subject = np.repeat(np.arange(8), 6)
    truth = np.array([0.1, 0.7, 1.3, 2.9, 3.3, 4.1, 4.7, 0.3])[subject]
    found, said = judge(truth, truth + rng.normal(0, 1, 48), subject)
    assert found["floors"] is None
    assert np.isnan([figure["value"] for figure in found["within"].values()]).all()
    assert said == [
        "agreement of stress: each subject has one score in all of its rows: nothing can be said within subjects"
    ]
    assert np.isfinite(found["between"]["pearson"]["low"])


# --- What is missing, few, or of other kinds


def test_rows_without_truth_answer_or_subject_are_left_out(sessions):
    truth, predicted, subject = (np.array(column, dtype=object) for column in sessions)
    truth[:5], predicted[5:9], subject[9:12] = np.nan, np.nan, ""
    found, said = judge(truth.astype(float), predicted.astype(float), subject)
    kept, _ = judge(*(column[12:] for column in sessions))
    assert without_nan(found) == without_nan(kept)
    assert said[0] == "agreement: 3 rows have no subject and are left out"


@pytest.mark.parametrize("subjects", [1, 2, 3, 4])
def test_few_subjects(subjects):
    rng = np.random.default_rng(6)
    subject, truth = np.repeat(np.arange(subjects), 8), rng.uniform(1, 5, 8 * subjects)
    found, said = judge(truth, truth + rng.normal(0, 1, len(truth)), subject)
    assert np.isfinite(found["within"]["pearson"]["value"])
    assert np.isfinite(found["within"]["pearson"]["low"]) == (subjects > 1)
    assert np.isfinite(found["between"]["pearson"]["value"]) == (subjects > 2)
    between = [text for text in said if "between subjects nothing can be said of fewer than 3" in text]
    assert len(between) == (subjects < 3)
    json.dumps(without_nan(found), allow_nan=False)


def test_ordered_classes_are_taken_as_their_places(sessions):
    truth, predicted, subject = sessions
    codes = [np.digitize(values, [2.5, 3.5]) for values in (truth, predicted)]
    found, _ = judge(*(np.array(SEVERITY.classes)[c] for c in codes), subject, SEVERITY)
    plain, _ = judge(*(c.astype(float) for c in codes), subject)
    for part in ("all", "between", "within", "floors"):
        assert without_nan(found[part]) == without_nan(plain[part])
    assert found["levels"] == ["none", "mild", "severe"] and found["bland_altman"] is None
    report = assess(table_of(*(np.array(SEVERITY.classes)[c] for c in codes), subject, SEVERITY), agreement=True)
    # The CCC of the places is the quadratic kappa of the classes.
    kappa = report["metrics"]["severity.kappa_quadratic"]["value"]
    assert report["agreement"]["targets"]["severity"]["all"]["ccc"]["value"] == pytest.approx(kappa)
    away = np.abs(codes[0] - codes[1]).mean()
    assert report["metrics"]["severity.mae_levels"]["value"] == pytest.approx(away)


def test_who_is_who_must_be_known():
    assert subject_column("speaker", None) == "speaker"
    assert subject_column("session", "session") == "session"
    for column in (None, "session"):
        with pytest.raises(AffectkitError, match="one person"):
            subject_column(column, None)
    label = Target("label", "class", ("a", "b"))
    with pytest.raises(AffectkitError, match="numbers and ordered classes, and label is neither"):
        agreement(table_of(["a"], ["b"], [1], label), [label], "subject", Resampling())


def test_flat_names(sessions):
    report = assess(table_of(*sessions), agreement=True)
    figures = flat(report["agreement"])
    assert figures["stress.within.pearson"] == report["agreement"]["targets"]["stress"]["within"]["pearson"]
    assert len(figures) == 9


def test_cross_fitted_rows_stand_beside_and_are_never_pooled(sessions):
    truth, predicted, subject = sessions
    frame = table_of(*sessions).frame
    held = subject < 4
    frame["split"], frame["seen"] = np.where(held, "test", "train"), np.where(held, "heldout", "oof")
    table = Predictions(frame, {"stress": STRESS})
    report, others = assess(table, agreement=True), beside(table, agreement=True, slices=["subject"])
    assert list(others) == ["oof"]
    for part, rows in ((report, held), (others["oof"], ~held)):
        assert part["n"] == rows.sum()
        assert part["metrics"]["stress.mae"]["value"] == pytest.approx(mae(truth[rows], predicted[rows]))
        assert part["groups"]["count"] == len(set(subject[rows]))
        assert part["agreement"]["targets"]["stress"]["n"] == rows.sum()
    without = Predictions(frame[held].reset_index(drop=True), table.targets)
    assert beside(without) == {}
    assert beside(Predictions(frame.assign(seen="oof"), table.targets))["oof"]["n"] == (~held).sum()
    assert beside(Predictions(frame.assign(stress=np.where(held, truth, np.nan)), table.targets)) == {}
    assert beside(Predictions(frame.assign(split="train"), table.targets)) == {}


def test_a_hundred_thousand_rows_in_seconds():
    rng = np.random.default_rng(7)
    subject = rng.integers(0, 200, 100_000)
    truth = rng.normal(0, 1, 200)[subject] + rng.normal(0, 1, 100_000)
    start = time.process_time()
    judge(truth, truth + rng.normal(0, 1, 100_000), subject)
    assert time.process_time() - start < 5


# --- Coverage


def people(rng, subjects, rows=12):
    """Truth, prediction, subject: subjects differ in level, offset and noise, and in how many rows they have."""
    subject = np.repeat(np.arange(subjects), rng.poisson(rows, subjects) + 2)
    own = rng.standard_normal(len(subject))
    truth = 0.8 * rng.standard_normal(subjects)[subject] + own
    noise = 0.7 * np.exp(0.25 * rng.standard_normal(subjects))
    slope = 0.6 + 0.15 * rng.standard_normal(subjects)
    predicted = 0.5 * truth + (slope[subject] - 0.5) * own + 0.4 * rng.standard_normal(subjects)[subject]
    return truth, predicted + noise[subject] * rng.standard_normal(len(subject)), subject


def figures_of(found):
    levels = {f"{level}.{name}": found[level][name] for level in ("all", "between", "within") for name in found[level]}
    limits = {name: found["bland_altman"][name] for name in ("bias", "sd", "lower", "upper", "slope")}
    return levels | limits | {"difference": found["floors"]["difference"]["mae"]}


def shares_covered(subjects, replications, resampling):
    rng = np.random.default_rng(8)
    everyone = figures_of(judge(*people(np.random.default_rng(9), 4000), resampling=Resampling("none"))[0])
    hits, stated = dict.fromkeys(everyone, 0), dict.fromkeys(everyone, 0)
    for _ in range(replications):
        for name, figure in figures_of(judge(*people(rng, subjects), resampling=resampling)[0]).items():
            stated[name] += bool(np.isfinite(figure["low"]))
            hits[name] += figure["low"] <= everyone[name]["value"] <= figure["high"]
    if subjects < 10:  # the ranks of four means are often the same, whoever is left out: no interval is stated then
        everyone.pop("between.spearman")
    assert min(stated[name] for name in everyone) > 0.95 * replications
    return {name: hits[name] / stated[name] for name in everyone}


def test_intervals_of_ten_subjects_cover():
    found = shares_covered(10, 150, Resampling())
    for name in ("within.pearson", "within.ccc", "lower", "upper", "difference"):
        assert 0.91 <= found[name] <= 0.985, (name, found[name])


@pytest.mark.figures
@pytest.mark.parametrize("subjects", [4, 10, 40])
def test_every_interval_covers(subjects):
    found = shares_covered(subjects, {4: 2000, 10: 2000, 40: 1000}[subjects], Resampling(resamples=1000))
    print(subjects, {name: round(share, 3) for name, share in found.items()})
    for name, share in found.items():
        assert 0.91 <= share <= 0.985, (name, subjects, share)
