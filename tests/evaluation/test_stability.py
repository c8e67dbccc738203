"""What is said of a smoothing: the figures of scikit-learn before and after, on the rows that may be judged."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, recall_score

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.timeline import timeline
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import compare, target_metric
from affectkit.evaluation.intervals import DEFAULT
from affectkit.evaluation.measure import number_intervals
from affectkit.evaluation.metrics import ccc
from affectkit.evaluation.stability import jitter, stability
from affectkit.labels import Target
from affectkit.temporal.stabilize import Smoothing, gated_column, stabilize

CLASSES = ("calm", "glad", "tense")
TARGETS = {
    "label": Target("label", "class", CLASSES),
    "valence": Target("valence", "number"),
    "arousal": Target("arousal", "number"),
}


def faces(sequences=8, frames=60, seed=0, split="test", **columns):
    """Noisy answers of three targets along smooth truths, two sequences a speaker, rows in any order."""
    rng = np.random.default_rng(seed)
    rows = sequences * frames
    truth = np.cumsum(rng.normal(0, 0.1, (2, sequences, frames)), axis=2).reshape(2, rows)
    codes = np.repeat(rng.integers(0, 3, rows // 20), 20)
    scores = rng.normal(0, 1, (rows, 3)) + 1.5 * np.eye(3)[codes]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"id": [f"{split}{i}" for i in range(rows)], "split": split, "seen": "heldout"})
    frame["label"], frame["pred"] = np.array(CLASSES)[codes], np.array(CLASSES)[probabilities.argmax(axis=1)]
    frame[[f"prob_{name}" for name in CLASSES]] = probabilities
    for name, of in zip(("valence", "arousal"), truth, strict=True):
        frame[name], frame[f"{name}_pred"] = of, of + rng.normal(0, 0.3, rows)
        frame[f"{name}_var"] = rng.choice([0.04, 0.25], rows, p=[0.9, 0.1])
    frame["speaker"] = [f"s{i // (2 * frames)}" for i in range(rows)]
    frame["sequence"] = [f"{split}{i // frames:02}" for i in range(rows)]
    frame["time_sec"] = [f"{i % frames / 25:g}" for i in range(rows)]
    order = rng.permutation(rows)
    return Predictions(frame.assign(**columns).iloc[order].reset_index(drop=True), dict(TARGETS))


def smoothed(table):
    line = timeline(table.frame, ["sequence"], "time_sec")
    return stabilize(table, line, list(table.targets.values()), Smoothing())


def judge(table, after=None, targets=None, **options):
    of = [table.targets[name] for name in targets] if targets else list(table.targets.values())
    gated = {target.name: gated_column(target.name, len(table.targets)) for target in of}
    how = {"sequence": ["sequence"], "time": "time_sec", **options}
    return stability(table, smoothed(table) if after is None else after, of, gated, **how)


def test_errors_are_those_of_scikit_learn_before_and_after():
    table = faces()
    after = smoothed(table)
    report = judge(table, after)[0]
    for side, frame in (("before", table.frame), ("after", after.frame)):
        uar = recall_score(frame["label"], frame["pred"], average="macro")
        assert report["targets"]["label"]["metrics"]["uar"][side]["value"] == pytest.approx(uar, abs=1e-12)
        valence = report["targets"]["valence"]["metrics"]
        mae = mean_absolute_error(frame["valence"], frame["valence_pred"])
        assert valence["mae"][side]["value"] == pytest.approx(mae, abs=1e-12)
        assert valence["ccc"][side]["value"] == pytest.approx(ccc(frame["valence"], frame["valence_pred"]), abs=1e-12)
    assert report["targets"]["valence"]["metrics"]["mae"]["after"]["value"] < mae * 1.001
    assert report["targets"]["valence"]["metrics"]["mae"]["change"]["high"] < 0  # smoothing helps here


def test_intervals_and_changes_are_those_of_evaluate_and_compare():
    table = faces()
    after = smoothed(table)
    report = judge(table, after)[0]
    groups = table.groups("speaker")
    numbers = [TARGETS["valence"], TARGETS["arousal"]]
    assert report["groups"] == {"column": "speaker", "count": 4}
    cases = {"uar": report["targets"]["label"]["metrics"]["uar"]}
    cases |= {f"{t.name}.ccc": report["targets"][t.name]["metrics"]["ccc"] for t in numbers}
    cases["ccc"] = report["pooled"]["metrics"]["ccc"]
    for name, found in cases.items():
        expected = compare(after, table, target_metric(name, TARGETS), groups, DEFAULT)
        assert found["change"] == {**expected.difference.plain(), "p": expected.difference.p}
    before = number_intervals(table, numbers, groups, DEFAULT)
    assert report["pooled"]["metrics"]["ccc"]["before"] == before["ccc"].plain()
    assert report["targets"]["arousal"]["metrics"]["ccc"]["before"] == before["arousal.ccc"].plain()


def test_jitter_and_switches_are_pooled_over_the_sequences():
    table = faces()
    report, by_sequence, _ = judge(table)
    ordered = table.frame.assign(time=table.frame["time_sec"].astype(float)).sort_values(["sequence", "time"])
    starts = np.arange(8) * 60
    found = report["targets"]
    assert found["valence"]["jitter"]["before"] == pytest.approx(jitter(ordered["valence_pred"], starts))
    switched = ordered["pred"].to_numpy()[1:] != ordered["pred"].to_numpy()[:-1]
    inside = np.arange(1, 480) % 60 != 0
    assert found["label"]["switches"]["before"] == pytest.approx(switched[inside].mean())
    assert found["valence"]["jitter"]["after"] < found["valence"]["jitter"]["before"]
    assert report["pooled"]["jitter"]["before"] == pytest.approx(
        np.mean([found[name]["jitter"]["before"] for name in ("valence", "arousal")])
    )
    valence = by_sequence[by_sequence["target"] == "valence"]
    assert valence["jitter_before"].mean() == pytest.approx(found["valence"]["jitter"]["before"])  # equally long
    assert valence["gated"].sum() == pytest.approx(found["valence"]["gated"] * 480)


def test_each_sequence_has_its_own_errors():
    table = faces()
    by_sequence = judge(table)[1].set_index(["target", "sequence"])
    for name, rows in table.frame.groupby("sequence"):
        expected = mean_absolute_error(rows["valence"], rows["valence_pred"])
        assert by_sequence.loc[("valence", name), "mae_before"] == pytest.approx(expected, abs=1e-12)
        assert by_sequence.loc[("label", name), "accuracy_before"] == (rows["label"] == rows["pred"]).mean()
    assert by_sequence.loc["label", "mae_before"].isna().all()


def test_a_model_that_is_three_frames_late_has_that_lag_in_frames_and_seconds():
    table = faces(split="test")
    line = timeline(table.frame, ["sequence"], "time_sec")
    truth = table.frame["valence"].to_numpy()[line.order].reshape(8, 60)
    late = np.concatenate([truth[:, :1].repeat(3, axis=1), truth[:, :-3]], axis=1).ravel()
    table.frame["valence_pred"] = line.to_table(late)
    report, by_sequence, _ = judge(table)
    assert report["targets"]["valence"]["lag"]["frames"]["before"] == 3
    assert report["targets"]["valence"]["lag"]["time"]["before"] == pytest.approx(3 / 25)
    assert report["targets"]["valence"]["lag"]["frames"]["after"] >= 3
    assert by_sequence[by_sequence["target"] == "valence"]["lag_before"].tolist() == [3] * 8


def test_only_held_out_and_cross_fitted_rows_are_judged():
    parts = [faces(split="test"), faces(split="val", seed=1), faces(split="train", seed=2, seen="oof")]
    table = Predictions(pd.concat([part.frame for part in parts], ignore_index=True), dict(TARGETS))
    for split, expected in ((None, "test"), ("val", "val"), ("oof", "oof")):
        report = judge(table, split=split)[0]
        assert (report["split"], report["n"]) == (expected, 480)
    in_sample = faces(seen="fit")
    report, by_sequence, rows = judge(in_sample)
    assert (report["split"], report["targets"], by_sequence, rows) == (None, {}, None, None)
    assert "is in-sample (seen=fit): such rows are never judged" in report["warnings"][0]
    with pytest.raises(AffectkitError, match="in-sample"):
        judge(in_sample, split="test")


def test_declined_frames_count_in_no_figure_but_are_told():
    table = faces()
    gone = np.arange(480) % 7 == 0
    table.frame.loc[gone, "valence_pred"] = np.nan
    facts = judge(table)[0]["targets"]["valence"]
    kept = table.frame[~gone]
    expected = mean_absolute_error(kept["valence"], kept["valence_pred"])
    assert facts["metrics"]["mae"]["before"]["value"] == pytest.approx(expected, abs=1e-12)
    assert facts["metrics"]["mae"]["n"] == 480 - gone.sum()
    assert facts["declined"] == gone.sum()
    assert gone.sum() - 8 <= facts["filled"] <= gone.sum()


def test_without_a_truth_there_is_jitter_and_nothing_else():
    table = faces()
    table = Predictions(table.frame.drop(columns=["label", "valence", "arousal"]), table.targets)
    report = judge(table)[0]
    facts = report["targets"]["valence"]
    assert facts["metrics"] == {}
    assert np.isnan(facts["lag"]["frames"]["after"])
    assert facts["jitter"]["after"] > 0
    assert "valence: no row has a truth, so that neither error nor lag is known" in report["warnings"]


def test_intervals_resample_sequences_where_nobody_is_known():
    table = faces(sequences=6)
    bare = Predictions(table.frame.drop(columns="speaker").rename(columns={"sequence": "clip"}), table.targets)
    line = timeline(bare.frame, ["clip"], "time_sec")
    after = stabilize(bare, line, list(bare.targets.values()), Smoothing())
    assert judge(bare, after, sequence=["clip"])[0]["groups"] == {"column": "clip", "count": 6}
    assert judge(table, group="split")[0]["groups"] == {"column": "split", "count": 1}
    with pytest.raises(AffectkitError, match="has no column 'speakers' to group by; did you mean speaker"):
        judge(table, group="speakers")


def test_a_threshold_in_other_units_is_noticed():
    table = faces()
    table.frame["valence_var"] = 400.0
    assert "valence: 100% of the frames are held; is the threshold in its units?" in judge(table)[0]["warnings"]
