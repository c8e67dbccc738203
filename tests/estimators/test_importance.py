"""Importance of columns: cells go to other groups, and figures are those of a plain prediction of the moved cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from affectkit.artifacts.columns import Column, Table
from affectkit.artifacts.manifest import Manifest
from affectkit.console import unwatched
from affectkit.errors import AffectkitError
from affectkit.estimators import _importance
from affectkit.estimators._estimator import Labels
from affectkit.estimators._fit import FitSettings, build_estimator
from affectkit.estimators._importance import REPEATS, Shuffled, plan_shuffles
from affectkit.estimators._preprocessing import Preprocessing
from affectkit.estimators._train import Dataset, train_model
from affectkit.evaluation.metrics import ccc
from affectkit.labels import Target
from affectkit.leakage.held_out import hold_out_rows

NAMES = ["signal", "noise", "of the speaker", "constant"]
LABEL = Target("label", "class", ("calm", "tense"))
STRESS = Target("stress", "number", scale=(-10.0, 10.0))

groups_of_rows = st.lists(st.integers(0, 6), min_size=1, max_size=40).map(lambda codes: np.array(list(map(str, codes))))


@given(groups_of_rows, st.integers(0, 9))
def test_every_cell_goes_to_one_row_of_another_group_where_no_group_is_more_than_half(groups, seed):
    donors = _importance._between(groups, np.random.default_rng(seed))
    assert sorted(donors) == list(range(len(groups)))
    largest = np.unique(groups, return_counts=True)[1].max()
    stay = (groups[donors] == groups).sum()
    assert stay == (0 if 2 * largest <= len(groups) else 2 * largest - len(groups))


@given(groups_of_rows, st.integers(0, 9))
def test_groups_swap_their_cells_as_wholes(groups, seed):
    donors = _importance._of_groups(groups, np.random.default_rng(seed))
    swaps = {own: set(groups[donors[groups == own]]) for own in set(groups)}
    assert all(len(others) == 1 for others in swaps.values())
    assert set().union(*swaps.values()) == set(groups)
    assert len(swaps) == 1 or all(own not in others for own, others in swaps.items())


@given(groups_of_rows, st.integers(1, 40))
def test_of_too_many_rows_whole_groups_are_taken(groups, most):
    rows = _importance._some(np.arange(len(groups)), groups, most, np.random.default_rng(0))
    assert len(rows) == min(most, len(groups)) == len(set(rows))
    cut = [name for name in set(groups[rows]) if (groups[rows] == name).sum() < (groups == name).sum()]
    assert len(cut) <= 1


def study(rows=120, speakers=12, split=False):
    rng = np.random.default_rng(3)
    speaker = np.arange(rows) % speakers
    signal = rng.normal(size=rows)
    x = np.c_[signal, rng.normal(size=rows), rng.normal(size=speakers)[speaker], np.ones(rows)]
    x[rng.random(rows) < 0.2, 0] = np.nan
    frame = pd.DataFrame({"id": [f"r{row}" for row in range(rows)], "speaker": [f"s{code}" for code in speaker]})
    frame["label"] = np.where(signal + 0.3 * rng.normal(size=rows) > 0, "tense", "calm")
    frame["stress"] = signal
    if split:
        frame["split"] = np.where(speaker < 8, "train", np.where(speaker < 10, "val", "test"))
    origin = [(Path("m.csv"), row + 1) for row in range(rows)]
    manifest = Manifest(Path("m.csv"), frame, origin, {"label": LABEL, "stress": STRESS})
    return Dataset(manifest, [x.astype(np.float32)], [{"encoder": None, "feature_names": NAMES}])


def trained(data, model="forest", target=LABEL, cv=True, **options):
    estimator = build_estimator(model, options or {"trees": 15, "min_leaf": 3})
    return train_model(data, estimator, [target], FitSettings(), cv=cv, progress=unwatched, importance=True)


@pytest.mark.parametrize("target", [LABEL, STRESS], ids=["class", "number"])
def test_the_drop_is_that_of_a_plain_prediction_of_the_moved_cells(target):
    data = study(split=True)
    result = trained(data, "linear", target, cv=False, c_grid="1")
    held_out = hold_out_rows(data.manifest, [target], cv=False)
    shuffles = plan_shuffles(data.manifest, data.blocks, [NAMES], held_out, wanted=True, seed=0)
    assert shuffles.part == "val"
    assert set(shuffles.groups) == {"s8", "s9"}
    [model], truth = result.model.fits, data.manifest.rows[target.name].to_numpy()[shuffles.rows]
    codes = truth if target is STRESS else np.array([LABEL.classes.index(name) for name in truth])

    def figure(block):
        [answers] = model.predict([block])
        return ccc(codes, answers) if target is STRESS else recall_score(codes, answers.argmax(1), average="macro")

    block = data.blocks[0][shuffles.rows]
    for row in result.importance:
        place = NAMES.index(row["column"])
        drops = []
        for repeat in range(REPEATS):
            donors = (shuffles.groupwise if row["column"] in NAMES[2:] else shuffles.rowwise)[repeat]
            moved = block.copy()
            moved[:, place] = block[donors, place]
            drops.append(figure(block) - figure(moved))
        assert row["drop"] == pytest.approx(np.mean(drops), abs=1e-9)
        assert row["sd"] == pytest.approx(np.std(drops, ddof=1), abs=1e-9)
        assert (row["part"], row["rows"]) == ("val", 20)


def test_across_folds_each_row_is_answered_by_the_fit_that_never_saw_it_and_the_signal_comes_first():
    table = trained(study()).importance
    assert table[0]["column"] == "signal"
    assert table[0]["low"] > 0.1
    rest = {row["column"]: row for row in table[1:]}
    assert all(row["low"] <= 0 or np.isnan(row["low"]) for row in rest.values())
    assert rest["constant"]["drop"] == 0
    assert {row["part"] for row in table} == {"oof"}


def test_a_fold_of_one_group_gets_cells_of_the_other_folds():
    data = study(rows=60, speakers=4)
    data.manifest.rows["fold"] = data.manifest.rows["speaker"]
    assert trained(data).importance[0]["low"] > 0.05


def test_a_column_that_two_sets_have_is_told_apart():
    data = study()
    data = Dataset(data.manifest, data.blocks * 2, data.encoders * 2)
    names = {row["column"] for row in trained(data).importance}
    assert {"signal (features 1)", "signal (features 2)"} < names


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [([None], 4, "have no names"), ([list(map(str, range(2001)))], 2001, "2001 columns, more than 2000")],
)
def test_what_cannot_be_asked_about_is_said(names, columns, message):
    data = study()
    block = np.zeros((120, columns), dtype=np.float32)
    held_out = hold_out_rows(data.manifest, [LABEL], cv=True)
    with pytest.raises(AffectkitError, match=message):
        plan_shuffles(data.manifest, [block], names, held_out, wanted=True, seed=0)
    for wanted in (None, False):  # numbers alone are no table
        assert plan_shuffles(data.manifest, [block], names, held_out, wanted=wanted, seed=0) is None


def test_a_column_that_reaches_no_model_is_worth_nothing():
    data = study()
    result = trained(data)
    held_out = hold_out_rows(data.manifest, [LABEL], cv=True)
    shuffles = plan_shuffles(data.manifest, data.blocks, [NAMES], held_out, wanted=True, seed=0)
    [model] = result.model.fits
    x = model.matrix(data.blocks)
    moved = _importance._answers(model, x, np.arange(9), shuffles.rowwise[:, :9], np.empty(0, dtype=np.int64))
    np.testing.assert_array_equal(moved[0][0], model.predict(data.blocks)[0][:9].argmax(axis=1))
    assert Shuffled(shuffles, [LABEL]).answers == []


def mixed(rows=40):
    """A table of every kind, its columns in no order of kinds."""
    rng = np.random.default_rng(1)
    words = np.array(["", "calm and slow", "loud", "loud and fast"], dtype=object)
    kinds = {"note": "text", "age": "number", "town": "category", "visit": "date", "side": "category"}
    cells = {
        "note": words[rng.integers(0, 4, rows)],
        "age": np.where(rng.random(rows) < 0.4, np.nan, rng.normal(size=rows)),
        "town": np.array(["", "a", "b", "c"], dtype=object)[rng.integers(0, 4, rows)],
        "visit": rng.integers(0, 9, rows).astype(float),
        "side": np.array(["l", "r"], dtype=object)[rng.integers(0, 2, rows)],
    }
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    return Table(columns, tuple(cells.values()))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("chosen", [0, 9])
def test_what_is_made_of_a_column_is_all_that_changes_with_it(raw, chosen):
    table, numbers = mixed(), np.random.default_rng(0).normal(size=(40, 3))
    blocks = [numbers, table]
    preprocessing = Preprocessing.fit(blocks, scale=True, raw=raw)
    if chosen:
        labels = Labels(np.arange(40) % 2, 2, np.ones(40))
        preprocessing = preprocessing.choosing(chosen, blocks, labels, 0)
    before, derived = preprocessing.apply(blocks), preprocessing.derived()
    assert sorted(np.concatenate(derived)) == list(range(before.shape[1]))
    for place in range(8):
        turned = numbers.copy()
        if place < 3:
            turned[:, place] = np.roll(turned[:, place], 1)
        cells = [np.roll(column, 1) if place - 3 == own else column for own, column in enumerate(table.cells)]
        after = preprocessing.apply([turned, Table(table.columns, tuple(cells))])
        first, second = (x.values if raw else x for x in (before, after))
        expected = first.copy()
        expected[:, derived[place]] = np.roll(first[:, derived[place]], 1, axis=0)
        np.testing.assert_array_equal(second, expected)


@pytest.mark.parametrize("model", ["forest", "boosted"])
def test_of_a_table_each_column_is_asked_about_unasked_under_its_kind(model):
    data = study()
    truth = (data.manifest.rows["label"] == "tense").to_numpy()
    table = mixed(120)
    columns = (*table.columns, Column("answer", "category"))
    answers = np.where(truth, "yes", "no").astype(object)
    answers[::7] = ""
    data = Dataset(data.manifest, [Table(columns, (*table.cells, answers)), *data.blocks], [{}, *data.encoders])
    estimator = build_estimator(model, {"forest": {"trees": 15, "min_leaf": 3}, "boosted": {"rounds": 9}}[model])
    result = train_model(data, estimator, [LABEL], FitSettings(), cv=True, progress=unwatched, importance=None)
    kinds = {row["column"]: row["kind"] for row in result.importance}
    assert kinds == {column.name: column.kind for column in columns}
    assert result.importance[0]["column"] == "answer"
    assert result.importance[0]["low"] > 0.1
