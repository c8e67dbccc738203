"""Which rows are fitted on, and that their answers come from fits that never saw their group."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import Predictions
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.leakage.crossfit import cross_fit, plan_fit

VALENCE = Target("valence", "number")


def table(split, seen, foreign=False, **columns):
    frame = pd.DataFrame({"id": [f"r{i:03d}" for i in range(len(seen))], "seen": seen, "valence_pred": 0.0, **columns})
    if split is not None:
        frame["split"] = split
    return Predictions(frame, {"valence": VALENCE}, foreign=foreign)


def test_oof_rows_come_first_then_val_rows_and_never_test_rows():
    split = ["train", "train", "val", "val", "test", "test"]
    plan = plan_fit(table(split, ["oof"] * 4 + ["heldout"] * 2))
    assert plan.origin == "oof" and plan.fit.tolist() == [0, 1, 2, 3]
    plan = plan_fit(table(split, ["fit"] * 2 + ["heldout"] * 4))
    assert plan.origin == "val" and plan.fit.tolist() == [2, 3]
    plan = plan_fit(table(split, ["oof"] * 4 + ["heldout"] * 2), fit_on="val")
    assert plan.origin == "val" and plan.fit.tolist() == [2, 3]
    assert plan.seen(["oof"] * 4 + ["heldout"] * 2).tolist() == ["oof"] * 4 + ["heldout"] * 2


@pytest.mark.parametrize(
    ("split", "seen", "fit_on", "message"),
    [
        (["test"] * 3, ["heldout"] * 3, None, r"no oof or val rows to fit on: it has 3 \(test, heldout\); test and"),
        (["train"] * 3, ["fit"] * 3, None, r"it has 3 \(train, fit\)"),
        (["val"] * 3, ["fit"] * 3, "val", r"has no val rows to fit on: it has 3 \(val, fit\)"),
        (["test"] * 3, ["oof"] * 3, None, r"row 1: id 'r000' is a test row \(seen=oof\): such rows are never fitted"),
        (["val", "test", "test"], ["heldout"] * 3, None, "has 1 val row to fit on"),
    ],
)
def test_rows_that_may_not_be_fitted_on_are_refused_by_origin(split, seen, fit_on, message):
    with pytest.raises(AffectkitError, match=message):
        plan_fit(table(split, seen), fit_on=fit_on)


def test_a_foreign_table_is_fitted_on_only_when_its_user_vouches_for_it():
    with pytest.raises(AffectkitError, match=r"no column 'seen'.*--treat-as val"):
        plan_fit(table(None, ["heldout"] * 4, foreign=True))


def test_folds_are_the_tables_own_else_one_group_each_else_five_of_groups():
    own = table(None, ["oof"] * 6, speaker=list("aabbcc"), fold=["0", "0", "1", "1", "0", "0"])
    plan = plan_fit(own)
    assert plan.scheme == "the table's own 2 folds" and plan.folds.tolist() == [0, 0, 1, 1, 0, 0]
    straddling = table(None, ["oof"] * 6, speaker=list("aabbcc"), fold=["0", "1", "1", "1", "0", "0"])
    assert plan_fit(straddling).scheme == "leave one speaker out (3)"
    many = table(None, ["oof"] * 60, speaker=[f"s{i % 30}" for i in range(60)])
    plan = plan_fit(many)
    assert plan.scheme == "5 folds of whole speakers" and len(set(plan.folds)) == 5
    for speaker in set(many.frame["speaker"]):
        assert len(set(plan.folds[many.frame["speaker"] == speaker])) == 1
    plan = plan_fit(table(None, ["oof"] * 12))
    assert plan.group is None and plan.scheme == "5 folds of rows (no groups are known)"


def test_one_group_allows_only_what_has_few_parameters():
    plan = plan_fit(table(None, ["oof"] * 12, speaker=["a"] * 12))
    assert plan.single and plan.scheme == "5 folds within the one speaker"
    plan.require_groups("temperature", single_group=True)
    with pytest.raises(AffectkitError, match="all 12 oof rows are of one speaker: isotonic would learn that one"):
        plan.require_groups("isotonic", single_group=False)


def test_folds_do_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(0)
    for columns in ({}, {"speaker": [f"s{i % 7}" for i in range(40)]}, {"speaker": [f"s{i % 25}" for i in range(40)]}):
        whole = table(None, ["oof"] * 40, **columns)
        order = rng.permutation(40)
        other = Predictions(whole.frame.iloc[order].reset_index(drop=True), whole.targets)
        pairs = [dict(zip(t.frame["id"], plan_fit(t).folds.tolist(), strict=True)) for t in (whole, other)]
        one, two = ([[a for a in sorted(p) if p[a] == p[b]] for b in sorted(p)] for p in pairs)
        assert one == two


def test_each_row_is_answered_by_a_fit_that_never_saw_its_group_and_the_others_by_the_final_one():
    speaker = list("aabbccdd")
    whole = table(["val"] * 6 + ["test"] * 2, ["heldout"] * 8, speaker=speaker)
    plan = plan_fit(whole)
    usable = np.array([True] * 5 + [False] + [True] * 2)
    final, output = cross_fit(
        plan,
        usable,
        lambda rows: frozenset(rows.tolist()),
        lambda fit, rows: TargetPrediction.of(VALENCE, np.array([float(len(fit)) for _ in rows])),
    )
    assert final == frozenset(range(5))
    assert output.values.tolist() == [3, 3, 3, 3, 4, 4, 5, 5]


def test_groups_on_both_sides_are_noticed():
    rows = ["val"] * 4 + ["test"] * 2
    assert not plan_fit(table(rows, ["heldout"] * 6, speaker=list("aabbcc"))).straddles
    assert plan_fit(table(rows, ["heldout"] * 6, speaker=list("aabbbc"))).straddles
    assert not plan_fit(table(rows, ["heldout"] * 6, speaker=["a", "a", "b", "", "", "c"])).straddles
