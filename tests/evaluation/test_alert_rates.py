"""Rates of alerts against scikit-learn and hand calculation; their intervals against a loop, and in simulation."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from sklearn import metrics as sk

from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation.alerts import (
    LIKELIHOOD_RATIOS,
    RATES,
    judge_alerts,
    parse_alert,
    parse_prevalences,
    predictive_values,
    rate_difference,
)
from affectkit.evaluation.assess import assess
from affectkit.evaluation.intervals import Resampling
from affectkit.labels import Target
from affectkit.plain import without_nan

STRESS = Target("stress", "number", scale=(1.0, 5.0))
LABEL = Target("label", "class", ("calm", "angry"))


@pytest.fixture
def table():
    """480 rows of 12 speakers, 5 of them women; speakers differ in how often they are angry and are found so."""
    rng = np.random.default_rng(0)
    speaker = np.arange(480) % 12
    angry = rng.random(480) < (0.2 + 0.4 * rng.random(12))[speaker]
    logit = 1.5 * angry - 1 + 0.6 * rng.standard_normal(12)[speaker] + rng.standard_normal(480)
    p = 1 / (1 + np.exp(-logit))
    stress = rng.uniform(1, 5, 480)
    frame = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(480)],
            "split": "test",
            "seen": "heldout",
            "label": np.where(angry, "angry", "calm"),
            "pred": np.where(p > 0.5, "angry", "calm"),
            "prob_calm": 1 - p,
            "prob_angry": p,
            "stress": stress,
            "stress_pred": 3 + 0.6 * (stress - 3) + 0.5 * rng.standard_normal(480),
            "speaker": [f"s{i:02d}" for i in speaker],
            "sex": np.where(speaker < 5, "female", "male"),
            "day": np.where(rng.random(480) < 0.5, "first", "second"),
        }
    )
    return Predictions(frame, {"label": LABEL, "stress": STRESS})


def judge(table, *alerts, slices=(), column="speaker", resampling=None):
    groups = table.groups(column)
    alerts = [parse_alert(text) for text in alerts]
    return judge_alerts(table, alerts, slices, column, groups, resampling or Resampling())


def change(table, **columns):
    return Predictions(table.frame.assign(**columns), table.targets)


def test_rates_equal_scikit_learn(table):
    frame = table.frame
    for text, truth, raised in (
        ("angry>=.4", frame["label"] == "angry", frame["prob_angry"] >= 0.4),
        ("calm<=.3", frame["label"] != "calm", frame["prob_calm"] <= 0.3),
        ("stress>=3.5", frame["stress"] >= 3.5, frame["stress_pred"] >= 3.5),
        ("stress<=2.5:2", frame["stress"] <= 2, frame["stress_pred"] <= 2.5),
    ):
        found = next(iter(judge(table, text)[0].values()))
        values = {name: figure["value"] for name, figure in found["metrics"].items()}
        recall = sk.recall_score(truth, raised)
        specificity = sk.recall_score(~truth, ~raised)
        assert (found["n"], found["positives"], found["raised"]) == (480, truth.sum(), raised.sum())
        assert found["groups"] == 12
        assert values == pytest.approx(
            {
                "sensitivity": recall,
                "specificity": specificity,
                "fpr": 1 - specificity,
                "fnr": 1 - recall,
                "precision": sk.precision_score(truth, raised),
                "npv": sk.precision_score(~truth, ~raised),
                "error": 1 - sk.accuracy_score(truth, raised),
                "prevalence": truth.mean(),
                "lr_positive": sk.class_likelihood_ratios(truth, raised)[0],
                "lr_negative": sk.class_likelihood_ratios(truth, raised)[1],
            },
            abs=1e-12,
        )
        for name, figure in found["metrics"].items():
            assert 0 < figure["low"] < figure["value"] < figure["high"]
            assert figure["high"] < 1 or name.startswith("lr_")


def test_rates_by_hand():
    """Three positives, one of them missed; five negatives, two of them alarmed."""
    frame = pd.DataFrame({"id": list("abcdefgh"), "split": "test", "seen": "heldout", "speaker": list("xxxxyyyy")})
    frame["phq8"] = [10.0, 14, 3, 4, 20, 0, 9, 9.9]
    frame["phq8_pred"] = [10.0, 9, 11, 2, 15, 1, 10, 3]
    table = Predictions(frame, {"phq8": Target("phq8", "number")})
    found = judge(table, "phq8>=10", resampling=Resampling("none"))[0]["phq8>=10"]
    values = {name: figure["value"] for name, figure in found["metrics"].items()}
    assert values == pytest.approx(
        {"sensitivity": 2 / 3, "specificity": 3 / 5, "fpr": 2 / 5, "fnr": 1 / 3, "precision": 2 / 4, "npv": 3 / 4,
         "error": 3 / 8, "prevalence": 3 / 8, "lr_positive": (2 / 3) / (2 / 5), "lr_negative": (1 / 3) / (3 / 5)}
    )  # fmt: skip
    assert found["per_group"]["x"] == {"n": 4, "positives": 2, "raised": 2, "error": 0.5, "fpr": 0.5, "fnr": 0.5}
    assert found["per_group"]["y"] == pytest.approx(
        {"n": 4, "positives": 1, "raised": 2, "error": 1 / 4, "fpr": 1 / 3, "fnr": 0.0}
    )


def test_an_interval_leaves_out_each_speaker_who_has_such_rows(table):
    """The delete-one jackknife on the logit, by a loop; speakers without a positive row say nothing of sensitivity."""
    no_positive = table.frame["speaker"].isin(["s00", "s05", "s07"])
    changed = change(table, label=table.frame["label"].where(~no_positive, "calm"))
    found = judge(changed, "angry>=.4")[0]["angry>=0.4"]["metrics"]["sensitivity"]
    rows = changed.frame[changed.frame["label"] == "angry"]
    hit = rows["prob_angry"] >= 0.4
    logits = [np.log(v / (1 - v)) for v in (hit[rows["speaker"] != s].mean() for s in rows["speaker"].unique())]
    error = np.sqrt(8 / 9 * ((logits - np.mean(logits)) ** 2).sum())
    assert len(logits) == 9
    centre = np.log(hit.mean() / (1 - hit.mean()))
    ends = 1 / (1 + np.exp(-(centre + np.array([-1, 1]) * student.ppf(0.975, 8) * error)))
    assert [found["low"], found["high"]] == pytest.approx(ends, abs=1e-9)


def test_a_slice_is_judged_as_if_alone(table):
    found = judge(table, "angry>=.4", slices=["sex"])[0]["angry>=0.4"]["slices"]
    assert list(found) == ["sex=female", "sex=male"]
    women = Predictions(table.frame[table.frame["sex"] == "female"].reset_index(drop=True), table.targets)
    alone = judge(women, "angry>=.4")[0]["angry>=0.4"]
    for key in ("n", "groups", "positives", "raised", "metrics"):
        assert found["sex=female"][key] == alone[key]
    assert (found["sex=female"]["groups"], found["sex=male"]["groups"]) == (5, 7)


def test_slices_of_different_speakers_join_the_intervals_of_both(table):
    found = judge(table, "angry>=.4", slices=["sex"])[0]["angry>=0.4"]["slices"]
    for rate in ("fpr", "fnr"):
        women, men = (found[f"sex={sex}"]["metrics"][rate] for sex in ("female", "male"))
        difference = found["sex=female"]["differences"][rate]
        assert difference["value"] == pytest.approx(women["value"] - men["value"])
        below = np.hypot(women["value"] - women["low"], men["high"] - men["value"])
        above = np.hypot(women["high"] - women["value"], men["value"] - men["low"])
        assert difference["low"] == pytest.approx(difference["value"] - below)
        assert difference["high"] == pytest.approx(difference["value"] + above)
        other = found["sex=male"]["differences"][rate]
        assert [-other["high"], -other["value"], -other["low"]] == pytest.approx(
            [difference[key] for key in ("low", "value", "high")]
        )


def test_slices_of_the_same_speakers_are_paired(table):
    """The jackknife over speakers of the difference itself, by a loop."""
    found = judge(table, "angry>=.4", slices=["day"])[0]["angry>=0.4"]["slices"]["day=first"]["differences"]["fpr"]
    calm = table.frame[table.frame["label"] == "calm"].assign(raised=lambda f: f["prob_angry"] >= 0.4)

    def difference(rows):
        return rows[rows["day"] == "first"]["raised"].mean() - rows[rows["day"] == "second"]["raised"].mean()

    left_out = np.array([difference(calm[calm["speaker"] != s]) for s in calm["speaker"].unique()])
    reach = student.ppf(0.975, 11) * np.sqrt(11 / 12 * ((left_out - left_out.mean()) ** 2).sum())
    assert found["value"] == pytest.approx(difference(calm))
    assert found["high"] - found["value"] == pytest.approx(reach, abs=1e-9)
    assert found["value"] - found["low"] == pytest.approx(reach, abs=1e-9)


def test_rows_without_a_value_are_neither_in_a_slice_nor_in_the_rest(table):
    sex = table.frame["sex"].where(table.frame["speaker"] != "s00", "")
    found = judge(change(table, sex=sex), "angry>=.4", slices=["sex"])[0]["angry>=0.4"]["slices"]
    known = Predictions(table.frame[sex != ""].reset_index(drop=True), table.targets)
    assert found == judge(known, "angry>=.4", slices=["sex"])[0]["angry>=0.4"]["slices"]


def test_rows_without_truth_or_prediction_are_left_out(table):
    frame = table.frame.copy()
    frame.loc[:9, "stress"], frame.loc[10:14, "stress_pred"] = np.nan, np.nan
    found = judge(Predictions(frame, table.targets), "stress>=3", slices=["sex"])[0]["stress>=3"]
    kept = Predictions(frame[15:].reset_index(drop=True), table.targets)
    assert found == judge(kept, "stress>=3", slices=["sex"])[0]["stress>=3"]
    assert found["n"] == 465


def test_permuting_rows_changes_nothing(table):
    again = Predictions(table.frame.sample(frac=1, random_state=1).reset_index(drop=True), table.targets)
    one, two = (judge(t, "angry>=.4", "stress>=3.5:4", slices=["sex", "day"]) for t in (table, again))
    assert json.dumps(without_nan(list(one))) == json.dumps(without_nan(list(two)))


def test_without_groups_rows_are_independent(table):
    found = judge(table, "angry>=.4", slices=["sex"], column=None)[0]["angry>=0.4"]
    assert found["groups"] is None and found["per_group"] == {}
    sensitivity = found["metrics"]["sensitivity"]
    n, p = found["positives"], sensitivity["value"]
    width = 2 * 1.96 * np.sqrt(p * (1 - p) / n)
    assert sensitivity["high"] - sensitivity["low"] == pytest.approx(width, rel=0.05)


# What is undefined, and what is said of it


def test_undefined_rates_are_nan_with_a_sentence(table):
    found, said = judge(table, "angry>=1", "stress>=5.5", "stress>=0")
    assert np.isnan(found["angry>=1"]["metrics"]["precision"]["value"])
    assert "alert angry>=1: no alerts: precision undefined" in said
    assert np.isnan([found["stress>=5.5"]["metrics"][name]["value"] for name in ("sensitivity", "fnr")]).all()
    assert "alert stress>=5.5: no positives: sensitivity and fnr undefined" in said
    assert np.isnan(found["stress>=0"]["metrics"]["fpr"]["value"])
    assert "alert stress>=0: no negatives: specificity and fpr undefined" in said
    assert "alert stress>=0: no interval for sensitivity and fnr: the same in every speaker" in said


def test_a_slice_without_positives_is_named(table):
    calm = table.frame["label"].where(table.frame["sex"] == "male", "calm")
    found, said = judge(change(table, label=calm), "angry>=.4", slices=["sex"])
    part = found["angry>=0.4"]["slices"]["sex=female"]
    assert np.isnan([part["metrics"]["fnr"]["value"], part["differences"]["fnr"]["value"]]).all()
    assert np.isfinite(part["differences"]["fpr"]["low"])
    assert "alert angry>=0.4: no positives in sex=female: sensitivity and fnr undefined there" in said


def test_positives_of_few_speakers_are_said(table):
    def positives_of(*speakers):
        label = table.frame["label"].where(table.frame["speaker"].isin(speakers), "calm")
        return judge(change(table, label=label), "angry>=.4")

    assert judge(table, "angry>=.4")[1] == []
    found, said = positives_of("s01", "s02", "s03")
    assert said == [
        "alert angry>=0.4: positives are of 3 speakers only: sensitivity and fnr rest on few degrees of freedom"
    ]
    assert np.isfinite(found["angry>=0.4"]["metrics"]["fnr"]["low"])
    found, said = positives_of("s01")
    assert said == [
        "alert angry>=0.4: all positives are of one speaker: no interval for sensitivity and fnr",
        "alert angry>=0.4: no interval for npv: the same in every speaker",
    ]
    assert np.isnan(found["angry>=0.4"]["metrics"]["fnr"]["low"])


def test_assess_has_alerts_only_where_asked(table):
    assert "alerts" not in assess(table)
    report = assess(table, alerts=[parse_alert("angry>=1"), parse_alert("angry>=1.0")], slices=["sex"])
    assert list(report["alerts"]) == ["angry>=1"]
    assert report["alerts"]["angry>=1"]["metrics"]["precision"] == {"value": None, "low": None, "high": None}
    assert report["warnings"][-1] == "alert angry>=1: no interval for specificity and fpr: the same in every speaker"
    json.dumps(report, allow_nan=False)


# Coverage


def speakers(rng, count, prevalence=0.3):
    """[count, 2, 2] of speakers with about 30 rows, who differ in prevalence, sensitivity and false positives."""
    share = 1 / (1 + np.exp(-np.array([np.log(prevalence / (1 - prevalence)), 1.0, -2.0])[:, None]
                            - 0.7 * rng.standard_normal((3, count))))  # fmt: skip
    rows = rng.poisson(30, count) + 3
    positive = rng.binomial(rows, share[0])
    found, alarmed = rng.binomial(positive, share[1]), rng.binomial(rows - positive, share[2])
    negatives = np.stack([rows - positive - alarmed, alarmed], axis=-1)
    return np.stack([negatives, np.stack([positive - found, found], axis=-1)], axis=-2)


@pytest.mark.parametrize(("count", "prevalence"), [(4, 0.3), (10, 0.3), (24, 0.03)])
def test_intervals_cover(count, prevalence):
    rng = np.random.default_rng(1)
    population = speakers(rng, 100_000, prevalence).sum(axis=0)
    for name in ("sensitivity", "fpr", "precision"):
        rate = RATES[name]
        hits, stated = covering(rate, rate.of(population), rng, count, prevalence)
        assert stated > 380 and 0.92 <= hits / stated <= 0.985, (name, hits, stated)


def covering(figure, truth, rng, count, prevalence):
    """How many of 400 intervals hold the truth, and how many could be stated."""
    found = [figure.interval(speakers(rng, count, prevalence), Resampling()) for _ in range(400)]
    return sum(f.low <= truth <= f.high for f in found), sum(np.isfinite(f.low) for f in found)


@pytest.mark.parametrize(("count", "prevalence"), [(4, 0.3), (10, 0.3), (24, 0.03)])
def test_intervals_at_a_stated_prevalence_cover(count, prevalence):
    rng = np.random.default_rng(4)
    population = speakers(rng, 100_000, prevalence).sum(axis=0)
    rates = [RATES[name].of(population) for name in ("sensitivity", "specificity")]
    for name, figure in {**predictive_values(0.1), **LIKELIHOOD_RATIOS}.items():
        hits, stated = covering(figure, figure.of(*rates), rng, count, prevalence)
        assert stated > 370 and 0.92 <= hits / stated <= 0.99, (name, hits, stated)


def test_predictive_values_at_a_stated_prevalence(table):
    """Bayes' rule; at the rows' own prevalence, what was counted; a rarer condition has a lower PPV, a higher NPV."""
    rows = judge(table, "angry>=.4", slices=["sex"])[0]["angry>=0.4"]
    own = rows["metrics"]["prevalence"]["value"]
    alerts = [parse_alert("angry>=.4")]
    groups = table.groups("speaker")
    found = judge_alerts(table, alerts, ["sex"], "speaker", groups, Resampling(), [own, 0.1, 0.01])[0]["angry>=0.4"]
    here, tenth, hundredth = found["at_prevalence"].values()
    assert here["ppv"]["value"] == pytest.approx(rows["metrics"]["precision"]["value"])
    assert here["npv"]["value"] == pytest.approx(rows["metrics"]["npv"]["value"])
    sensitivity, specificity = (rows["metrics"][name]["value"] for name in ("sensitivity", "specificity"))
    assert tenth["ppv"]["value"] == pytest.approx(
        0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity)), abs=1e-12
    )
    assert hundredth["ppv"]["value"] < tenth["ppv"]["value"] < 0.5 < tenth["npv"]["value"] < hundredth["npv"]["value"]
    assert set(found["slices"]["sex=female"]["at_prevalence"]) == set(found["at_prevalence"])
    assert rows["at_prevalence"] == {}


def test_a_joint_interval_by_a_loop(table):
    """Delete-one jackknife of the PPV on the logit; positives are of 9 of 12 speakers: 8 degrees of freedom."""
    no_positive = table.frame["speaker"].isin(["s00", "s05", "s07"])
    changed = change(table, label=table.frame["label"].where(~no_positive, "calm"))
    asked = [parse_alert("angry>=.4")], [], "speaker", changed.groups("speaker"), Resampling(), [0.2]
    found = judge_alerts(changed, *asked)[0]["angry>=0.4"]["at_prevalence"]["0.2"]["ppv"]
    frame = changed.frame.assign(raised=changed.frame["prob_angry"] >= 0.4, angry=changed.frame["label"] == "angry")

    def logit(rows):
        sensitivity, fpr = rows[rows["angry"]]["raised"].mean(), rows[~rows["angry"]]["raised"].mean()
        return np.log(0.2 * sensitivity / (0.8 * fpr))

    again = np.array([logit(frame[frame["speaker"] != s]) for s in frame["speaker"].unique()])
    reach = student.ppf(0.975, 8) * np.sqrt(11 / 12 * ((again - again.mean()) ** 2).sum())
    ends = 1 / (1 + np.exp(-(logit(frame) + np.array([-1, 1]) * reach)))
    assert [found["low"], found["high"]] == pytest.approx(ends, abs=1e-9)


def test_what_has_no_likelihood_ratio(table):
    """Without a false alarm LR+ is beyond all bounds; without a negative row nothing of both is known."""
    never = judge(table, "angry>=1")[0]["angry>=1"]["metrics"]
    assert np.isnan(never["lr_positive"]["value"]) and never["lr_negative"]["value"] == 1
    always = judge(table, "stress>=0")[0]["stress>=0"]["metrics"]
    assert np.isnan([always[name]["value"] for name in LIKELIHOOD_RATIOS]).all()


@pytest.mark.parametrize("texts", [["0"], ["1"], ["-.1"], ["ten"], [".1,2"], ["inf"]])
def test_prevalences_lie_between_0_and_1(texts):
    with pytest.raises(AffectkitError, match="does not lie between 0 and 1"):
        parse_prevalences(texts)
    assert parse_prevalences([".1,.05", "0.10"]) == (0.1, 0.05)


@pytest.mark.parametrize("shares", [(2, 8), (5, 5), (12, 12), (0, 10)])
def test_no_difference_is_found_where_there_is_none(shares):
    """Slices of different speakers, and last of the same ten: at most one in twenty intervals leaves 0 out."""
    rng, one = np.random.default_rng(2), shares[0]
    for name in ("fpr", "fnr"):
        wrong, stated = 0, 0
        for _ in range(400):
            counts = speakers(rng, sum(shares))
            mine = (
                np.where(np.arange(len(counts))[:, None, None] < one, counts, 0) if one else rng.binomial(counts, 0.5)
            )
            found = rate_difference(RATES[name], mine, counts - mine, Resampling())
            stated += np.isfinite(found.low)
            wrong += found.low > 0 or found.high < 0
        assert stated > 350 and wrong / stated <= 0.06, (name, wrong, stated)


def test_a_real_difference_is_found():
    rng = np.random.default_rng(3)
    women, men = speakers(rng, 12), speakers(rng, 12)
    women[:, 0, 1] += 12  # false alarms
    none = np.zeros_like(women)
    found = rate_difference(RATES["fpr"], np.concatenate([women, none]), np.concatenate([none, men]), Resampling())
    assert 0.1 < found.low < found.value < found.high < 0.6
