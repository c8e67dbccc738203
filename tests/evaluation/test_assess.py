"""A whole table judged: rows, figures, floors, parts, caveats; the figures against scikit-learn and numpy."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from affectkit.artifacts.predictions import Predictions, read_predictions
from affectkit.errors import AffectkitError
from affectkit.evaluation import metrics as m
from affectkit.evaluation.assess import assess
from affectkit.evaluation.metrics import METRICS
from affectkit.labels import Target
from affectkit.reporting import evaluated, terminal

CLASSES = ("angry", "happy", "sad")
LABEL = Target("label", "class", CLASSES)
VALENCE = Target("valence", "number", scale=(1.0, 5.0))
AROUSAL = Target("arousal", "number", scale=(1.0, 5.0))


@pytest.fixture
def table():
    """120 test rows of 6 speakers in 3 folds, 60 train rows that the model was fitted on."""
    rng = np.random.default_rng(0)
    n = 180
    p = rng.dirichlet(np.full(3, 0.6), n)
    truth = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=2)
    truth[120:160] = 2  # the train rows' majority is not the test rows'
    valence, arousal = rng.uniform(1, 5, (2, n))
    frame = pd.DataFrame(
        {
            "id": [f"u{i:03d}" for i in range(n)],
            "split": ["test"] * 120 + ["train"] * 60,
            "fold": [str(i % 3) for i in range(n)],
            "seen": ["heldout"] * 120 + ["fit"] * 60,
            "label": np.array(CLASSES)[truth],
            "pred": np.array(CLASSES)[p.argmax(axis=1)],
            **{f"prob_{name}": p[:, k] for k, name in enumerate(CLASSES)},
            "valence": valence,
            "valence_pred": 3 + 0.5 * (valence - 3) + 0.4 * rng.standard_normal(n),
            "arousal": arousal,
            "arousal_pred": 3 + 0.2 * (arousal - 3) + 0.4 * rng.standard_normal(n),
            "speaker": [f"s{i % 6}" for i in range(n)],
            "sex": ["female" if i % 6 < 3 else "male" for i in range(n)],
        }
    )
    return Predictions(frame, {"label": LABEL, "valence": VALENCE, "arousal": AROUSAL})


def change(table, **columns):
    return replace(table, frame=table.frame.assign(**columns))


def test_every_figure_is_what_its_function_gives(table):
    report = assess(table)
    rows = table.frame[:120]
    p = rows[[f"prob_{name}" for name in CLASSES]].to_numpy()
    for name, metric in METRICS.items():
        if metric.takes == "classes":
            expected = metric.function(rows["label"], rows["pred"], classes=CLASSES)
        elif metric.takes == "probabilities":
            expected = metric.function(rows["label"], p, classes=CLASSES)
        else:
            more = {"scale": (1, 5)} if name == "one_minus_mae" else {}
            each = [metric.function(rows[t], rows[f"{t}_pred"], **more) for t in ("valence", "arousal")]
            assert report["metrics"][f"valence.{name}"]["value"] == pytest.approx(each[0], abs=1e-9)
            expected = np.mean(each)
        assert report["metrics"][name]["value"] == pytest.approx(expected, abs=1e-9), name


def test_the_head_says_what_was_judged(table):
    report = assess(table)
    assert (report["split"], report["seen"], report["n"]) == ("test", ["heldout"], 120)
    assert report["groups"] == {"column": "speaker", "count": 6}
    assert report["interval"] == {"method": "jackknife", "level": 0.95}
    assert [t["name"] for t in report["targets"]] == ["label", "valence", "arousal"]
    assert report["warnings"] == []
    json.dumps(report, allow_nan=False)


def test_every_additive_metric_has_an_interval_and_binned_calibration_none(table):
    for name, figure in assess(table)["metrics"].items():
        plain = name.rpartition(".")[2]
        if METRICS[plain].of or plain == "auroc":
            assert figure["low"] < figure["value"] < figure["high"], name
        else:
            assert figure["low"] is figure["high"] is None, name


def test_two_runs_give_the_same_bytes(table):
    texts = {json.dumps(assess(table, method="bootstrap", resamples=200, slices=["sex"])) for _ in range(2)}
    assert len(texts) == 1


def test_a_wider_level_gives_wider_intervals(table):
    narrow, wide = (assess(table, level=level)["metrics"]["uar"] for level in (0.8, 0.99))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


# Which rows


def test_test_comes_before_oof_and_oof_before_val(table):
    def split_of(splits, seen):
        return assess(change(table, split=splits * 60, seen=seen * 60))["split"]

    assert split_of(["test", "val", "train"], ["heldout", "heldout", "oof"]) == "test"
    assert split_of(["val", "val", "train"], ["heldout", "heldout", "oof"]) == "oof"
    assert split_of(["val", "val", "train"], ["heldout", "heldout", "fit"]) == "val"
    assert split_of(["", "", ""], ["oof", "oof", "heldout"]) == "oof"
    assert split_of(["", "", ""], ["heldout"] * 3) == "all"


def test_a_named_split_is_judged_and_never_pooled(table):
    both = change(table, split=["test", "val"] * 90, seen=["heldout", "oof"] * 90)
    assert (assess(both, split="val")["n"], assess(both, split="val")["seen"]) == (90, ["oof"])
    assert assess(both, split="oof")["split"] == "oof"
    assert assess(both, split="dev")["split"] == "val"  # by another name
    with pytest.raises(AffectkitError, match=r"no rows of held; it has oof \(90\), test \(90\), val \(90\)"):
        assess(both, split="held")


def test_in_sample_rows_are_refused_by_name(table):
    with pytest.raises(AffectkitError, match=r"row 121: id 'u120' is in-sample \(seen=fit\)") as caught:
        assess(table, split="train")
    assert caught.value.code == "leak"
    one = table.frame["seen"].where(table.frame["id"] != "u007", "fit")
    with pytest.raises(AffectkitError, match="u007"):
        assess(change(table, seen=one))


def test_no_truth_no_judgement(table):
    bare = replace(table, frame=table.frame.drop(columns=["label", "valence", "arousal"]))
    with pytest.raises(AffectkitError, match="no row has a truth for label, valence, arousal; pass the --manifest"):
        assess(bare)
    declined = change(table, valence_pred=np.nan, arousal_pred=np.nan)
    declined = replace(declined, targets={name: declined.targets[name] for name in ("valence", "arousal")})
    with pytest.raises(AffectkitError, match=r"no row with a truth has an answer for valence, arousal$"):
        assess(declined)
    without_label = replace(table, frame=table.frame.drop(columns=["label"]))
    assert "uar" not in assess(without_label)["metrics"] and "ccc" in assess(without_label)["metrics"]


def test_rows_without_truth_or_prediction_are_left_out_and_said(table):
    frame = table.frame.copy()
    frame.loc[:4, "label"], frame.loc[5:6, "pred"], frame.loc[:9, "arousal"] = "", "", np.nan
    report = assess(replace(table, frame=frame))
    kept = frame[7:120]
    assert report["metrics"]["uar"]["value"] == pytest.approx(
        sk.recall_score(kept["label"], kept["pred"], average="macro")
    )
    assert report["metrics"]["arousal.mae"]["value"] == pytest.approx(
        (frame["arousal"] - frame["arousal_pred"])[10:120].abs().mean()
    )
    assert report["metrics"]["valence.mae"]["value"] == assess(table)["metrics"]["valence.mae"]["value"]
    assert "label: 5 of 120 rows have no truth and are left out" in report["warnings"]
    assert "label: 2 of 120 rows have no prediction and are left out" in report["warnings"]


# Targets


def test_further_class_targets_have_a_prefix(table):
    stress = Target("stress", "ordinal", ("low", "mid", "high"))
    names = dict(zip(CLASSES, stress.classes, strict=True))
    frame = table.frame.assign(stress=table.frame["label"].map(names), stress_pred=table.frame["pred"].map(names))
    report = assess(Predictions(frame, {"label": LABEL, "stress": stress}))
    assert report["metrics"]["stress.uar"] == report["metrics"]["uar"]
    assert "stress.nll" not in report["metrics"]
    assert list(report["per_class"]) == list(CLASSES)
    assert list(report["other_targets"]["stress"]["per_class"]) == ["low", "mid", "high"]
    assert report["other_targets"]["stress"]["calibration"] is None
    assert report["per_group"]["s0"]["stress.error"] == report["per_group"]["s0"]["error"] > 0
    alone = assess(Predictions(frame.drop(columns="label"), {"stress": stress}))
    assert "uar" not in alone["metrics"] and list(alone["per_class"]) == ["low", "mid", "high"]


def test_a_number_without_a_scale_has_no_one_minus_mae(table):
    bare = Predictions(table.frame, {"valence": VALENCE, "arousal": Target("arousal", "number")})
    names = assess(bare)["metrics"]
    assert "valence.one_minus_mae" in names
    assert "arousal.one_minus_mae" not in names and "one_minus_mae" not in names


def test_valence_and_arousal_are_never_pooled_into_one_ccc(table):
    report = assess(table)
    frame = table.frame[:120]
    pooled = m.ccc([*frame["valence"], *frame["arousal"]], [*frame["valence_pred"], *frame["arousal_pred"]])
    each = [report["metrics"][f"{t}.ccc"]["value"] for t in ("valence", "arousal")]
    assert report["metrics"]["ccc"]["value"] == pytest.approx(np.mean(each))
    assert report["metrics"]["ccc"]["value"] != pytest.approx(pooled, abs=1e-3)


# Groups


def test_without_groups_rows_are_independent_and_the_report_says_so(table):
    report = assess(replace(table, frame=table.frame.drop(columns=["speaker"])))
    assert report["groups"] is None and report["per_group"] == {}
    assert report["interval"]["method"] == "bootstrap"
    assert "no groups are known" in report["warnings"][0]


def test_another_column_can_be_the_group(table):
    report = assess(table, group="sex")
    assert report["groups"] == {"column": "sex", "count": 2}
    assert any("only 2 groups (sex)" in text for text in report["warnings"])
    with pytest.raises(AffectkitError, match="no column 'speker' to group by; did you mean speaker"):
        assess(table, group="speker")


def test_one_group_or_no_method_gives_no_interval(table):
    one = assess(change(table, speaker="s0"))
    assert one["interval"]["method"] == "none" and one["metrics"]["uar"]["low"] is None
    assert "all rows are of one speaker: no interval can be estimated" in one["warnings"]
    unasked = assess(table, method="none")
    assert unasked["interval"]["method"] == "none"
    assert {figure["low"] for figure in unasked["metrics"].values()} == {None}


def test_groups_of_very_different_size_are_said(table):
    speakers = ["s0"] * 100 + [f"s{i}" for i in range(1, 81)]
    report = assess(change(table, speaker=speakers))
    assert any("differ much in size, 21 weigh as" in text for text in report["warnings"])


def test_per_group_figures_equal_scikit_learn(table):
    per_group = assess(table)["per_group"]
    rows = table.frame[:120]
    assert list(per_group) == [f"s{i}" for i in range(6)]
    for speaker, row in per_group.items():
        own = rows[rows["speaker"] == speaker]
        assert row["n"] == len(own) == 20
        assert row["accuracy"] == pytest.approx(sk.accuracy_score(own["label"], own["pred"]))
        assert row["error"] == pytest.approx(sk.zero_one_loss(own["label"], own["pred"]))
        assert row["uar"] == pytest.approx(
            sk.recall_score(own["label"], own["pred"], average="macro", labels=own["label"].unique())
        )
        assert row["valence.ccc"] == pytest.approx(m.ccc(own["valence"], own["valence_pred"]))
        assert set(row) >= {"macro_f1", "mae", "ccc"} and "kappa" not in row


# Parts


def test_per_class_and_confusion_equal_scikit_learn(table):
    report = assess(table)
    rows = table.frame[:120]
    peer = sk.precision_recall_fscore_support(rows["label"], rows["pred"], labels=CLASSES)
    for k, (name, row) in enumerate(report["per_class"].items()):
        assert name == CLASSES[k]
        figures = [row["precision"], row["recall"], row["f1"], row["n"]]
        assert figures == pytest.approx([column[k] for column in peer])
        assert row["recall_low"] < row["recall"] < row["recall_high"]
    assert report["confusion"]["counts"] == sk.confusion_matrix(rows["label"], rows["pred"], labels=CLASSES).tolist()


def test_calibration_stands_beside_its_null_band(table):
    report = assess(table)
    calibration = report["calibration"]
    assert sum(b["n"] for b in calibration["bins"]) == 120 and len(calibration["bins"]) == 15
    assert 0.02 < calibration["null"]["ece_mean"] < calibration["null"]["ece_p95"] < 0.3
    gaps = [b["n"] * abs(b["accuracy"] - b["confidence"]) for b in calibration["bins"] if b["n"]]
    assert sum(gaps) / 120 == pytest.approx(report["metrics"]["ece"]["value"])


def test_without_probabilities_there_is_no_calibration(table):
    bare = table.frame.drop(columns=[f"prob_{name}" for name in CLASSES])
    report = assess(replace(table, frame=bare))
    assert report["calibration"] is None
    assert not {"nll", "ece", "auroc"} & set(report["metrics"])
    assert "nll" not in report["floors"]["majority"]


def test_slices_are_judged_like_the_whole(table):
    report = assess(table, slices=["sex"])
    assert list(report["slices"]) == ["sex=female", "sex=male"]
    women = replace(table, frame=table.frame[table.frame["sex"] == "female"].reset_index(drop=True))
    part = report["slices"]["sex=female"]
    assert (part["n"], part["groups"]) == (60, 3)
    assert part["metrics"] == assess(women)["metrics"]
    with pytest.raises(AffectkitError, match="no column 'gender' to slice by"):
        assess(table, slices=["gender"])


def test_the_mean_over_folds_stands_beside_the_pooled_figure(table):
    report = assess(table)
    rows = table.frame[:120]
    each = [sk.accuracy_score(fold["label"], fold["pred"]) for _, fold in rows.groupby("fold")]
    assert report["folds"]["count"] == 3
    found = report["folds"]["metrics"]["accuracy"]
    assert (found["mean"], found["sd"]) == pytest.approx((np.mean(each), np.std(each, ddof=1)))
    assert assess(change(table, fold=""))["folds"] is None


# Floors


def test_floors_answer_with_the_train_rows_majority_and_mean(table):
    report = assess(table)
    truth, train = table.frame[:120], table.frame[120:]
    majority = report["floors"]["majority"]
    assert majority["accuracy"] == pytest.approx((truth["label"] == "sad").mean())
    assert majority["uar"] == pytest.approx(1 / 3)
    shares = train["label"].value_counts(normalize=True)
    assert majority["nll"] == pytest.approx(-np.log(truth["label"].map(shares)).mean())
    mean = report["floors"]["train_mean"]
    assert mean["valence.mae"] == pytest.approx((truth["valence"] - train["valence"].mean()).abs().mean())
    assert mean["valence.ccc"] == 0 and mean["valence.r2"] <= 0
    assert mean["mae"] == pytest.approx(np.mean([mean["valence.mae"], mean["arousal.mae"]]))


def test_floors_of_a_table_without_train_rows_say_so(table):
    judged = table.take(np.arange(180) < 120)
    floors = assess(judged)["floors"]
    assert set(floors) == {"judged_majority", "judged_mean"}
    assert floors["judged_majority"]["accuracy"] == judged.frame["label"].value_counts(normalize=True).max()
    given = assess(judged, floor_rows=table.frame[120:])["floors"]
    assert given == assess(table)["floors"]


# Cautions


def test_caveats_name_what_is_odd(table):
    frame = table.frame.assign(pred="sad", prob_sad=0.5)
    frame["label"] = frame["label"].where(frame["label"] != "happy", "sad")
    warnings = " | ".join(assess(replace(table, frame=frame, foreign=True))["warnings"])
    assert "nothing says how these predictions were made" in warnings
    assert "label: no row is happy" in warnings
    assert "label: every row is predicted sad" in warnings
    assert "label: probabilities of a row add up to 1 only within" in warnings
    assert "no interval for uar" in warnings  # a constant answer has recall 1/2 whoever is left out


def test_answers_the_wrong_way_round_are_named(table):
    """A fusion that learns turns such a source round, and looks better for it."""
    labels = sorted(set(table.frame["label"]) - {""})
    turned = dict(zip(labels, labels[1:] + labels[:1], strict=True))
    rare = np.random.default_rng(0).random(len(table.frame)) < 0.1
    pred, valence = table.frame["label"].map(turned).where(~rare, table.frame["label"]), table.frame["valence"]
    frame = table.frame.assign(pred=pred, valence_pred=(6 - valence).where(~rare, valence))
    warnings = " | ".join(assess(replace(table, frame=frame))["warnings"])
    assert re.search(r"label: UAR 0\.\d+ is below chance, 0\.333, with its whole interval", warnings)
    assert re.search(r"valence: Pearson's r -0\.\d+ is below chance, 0, with its whole interval", warnings)
    assert "below chance" not in " ".join(assess(table)["warnings"])


def test_a_csv_of_another_tool_is_judged(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("id,label,pred\na,sad,sad\nb,happy,sad\nc,happy,happy\nd,sad,sad\n")
    report = assess(read_predictions(path))
    assert (report["split"], report["n"]) == ("all", 4)
    assert report["metrics"]["uar"]["value"] == 0.75
    assert any("no column 'seen'" in text for text in report["warnings"])


def mistaken(truth, predicted, **columns):
    frame = pd.DataFrame(
        {"id": range(len(truth)), "split": "test", "seen": "heldout", "label": truth, "pred": predicted}
    )
    classes = tuple(sorted({*truth, *predicted} - {""}))
    return assess(Predictions(frame.assign(**columns), {"label": Target("label", "class", classes)}))


def test_of_two_classes_what_is_mistaken_is_what_is_not_recalled():
    rng = np.random.default_rng(0)
    truth = rng.choice(["calm", "rage"], 200)
    report = mistaken(truth, np.where(rng.random(200) < 0.7, truth, "calm"), speaker=np.arange(200) // 20)
    [row] = report["mistakes"]
    recall = report["per_class"]["rage"]
    assert (row["truth"], row["predicted"], row["rows"]) == ("rage", "calm", report["confusion"]["counts"][1][0])
    assert row["share"] == pytest.approx(1 - recall["recall"])
    assert (row["low"], row["high"]) == pytest.approx((1 - recall["recall_high"], 1 - recall["recall_low"]))


def test_mistakes_stand_by_class_the_most_frequent_first_and_gaps_count_nowhere():
    report = mistaken(["b", "b", "b", "b", "a", "a", "", "c"], ["a", "c", "c", "b", "b", "", "a", "c"])
    rows = [(row["truth"], row["predicted"], row["rows"], row["share"]) for row in report["mistakes"]]
    assert rows == [("a", "b", 1, 1.0), ("b", "c", 2, 0.5), ("b", "a", 1, 0.25)]
    assert mistaken(["a", "b"], ["a", "b"])["mistakes"] == []


def test_of_many_classes_the_most_frequent_mistakes_are_listed():
    classes = [f"c{place:03}" for place in range(300)]
    truth = [*classes, "c000", "c000"]
    report = mistaken(truth, [*classes[1:], "c000", "c001", "c001"])
    assert len(report["mistakes"]) == 200 and report["mistakes"][0]["rows"] == 3


def test_a_column_of_faces_is_a_slice_and_a_share_and_any_other_column_called_face_is_not():
    frame = pd.DataFrame(
        {
            "id": list("abcdef"),
            "split": "test",
            "seen": "heldout",
            "valence": [0.1, 0.5, -0.5, 0.3, 0.2, -0.2],
            "valence_pred": [0.2, 0.4, -0.3, 0.4, np.nan, -0.1],
            "face": ["found", "none", "found", "found", "none", "found"],
        }
    )
    target = {"valence": Target("valence", "number", scale=(-1.0, 1.0))}
    report = assess(Predictions(frame, target))
    assert report["faces"] == {"found": 4, "of": 6}
    assert {part: row["n"] for part, row in report["slices"].items()} == {"face=found": 4, "face=none": 2}
    lines = terminal.lines(evaluated.page(report))
    assert "a face was found in 4 of 6 rows (67%)" in lines
    assert any(line.startswith("without a face, 2 rows: ") for line in lines)
    other = assess(Predictions(frame.assign(face=["left", "right"] * 3), target))
    assert "faces" not in other and other["slices"] == {}
