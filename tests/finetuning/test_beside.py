"""What models beside a network say of its rows: only answers from fits that never saw the row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.sources import Source
from affectkit.errors import AffectkitError
from affectkit.finetuning.beside import Beside, Branch, answers_of, check_beside
from affectkit.finetuning.mixture import MixOptions
from affectkit.labels import Target

LABEL = Target("label", "class", ("i", "p", "r"))
TURNED = Target("label", "class", ("r", "i", "p"))
IDS = [f"row-{number}" for number in range(6)]


def table(target=LABEL, seen="oof", ids=IDS, foreign=False, seed=0):
    values = np.random.default_rng(seed).dirichlet(np.ones(3), len(ids)).round(6)
    columns = {f"prob_{name}": values[:, "ipr".find(name)] for name in target.classes}
    frame = pd.DataFrame({"id": ids, "seen": seen, "pred": "i", **columns})
    return Predictions(frame, {"label": target}, foreign=foreign)


def beside(predictions, fitted=(), again=None, tmp_path=None):
    rows = pd.DataFrame({"id": list(fitted), "group": "", "role": "fit"})
    source = Source("table", tmp_path or "runs/forest/predictions.csv", None, rows, predictions)
    return Beside([Branch(source, again)], MixOptions.parse(".5,.5", ["table"]), [LABEL])


def test_answers_are_found_by_id_and_class_name():
    plain, turned = beside(table()).answers(IDS[::-1]), beside(table(TURNED)).answers(IDS[::-1])
    np.testing.assert_array_equal(plain, turned)
    np.testing.assert_allclose(plain[0, 0], table().frame.iloc[5, 3:].astype(float), atol=1e-5)
    np.testing.assert_allclose(plain.sum(axis=2), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("predictions", "fitted", "code", "message"),
    [
        (table(seen="fit"), (), "leak", "'table' was fitted on id 'row-0', and has no cross-fitted answer for it"),
        (table(ids=IDS[1:]), IDS, "leak", "'table' was fitted on id 'row-0'"),
        (table(ids=IDS[1:]), (), "input", "has no answer for id 'row-0' (1 of 6 rows are missing)"),
        (table(foreign=True), (), "leak", "does not say whether the model had seen its rows"),
        (table(Target("label", "class", ("i", "p", "q"))), (), "input", "has other classes of label"),
    ],
)
def test_what_may_not_be_mixed(predictions, fitted, code, message):
    with pytest.raises(AffectkitError) as caught:
        beside(predictions, fitted).answers(IDS)
    assert caught.value.code == code and message in str(caught.value) and caught.value.remedy


def test_a_row_that_a_source_declines():
    gap = table()
    gap.frame.loc[2, ["prob_i", "prob_p", "prob_r"]] = np.nan
    with pytest.raises(AffectkitError, match="declines id 'row-2' \\(1 rows\\)"):
        beside(gap).answers(IDS)


def test_rows_fitted_on_enter_by_cross_fitted_answers():
    assert beside(table(), fitted=IDS).answers(IDS).shape == (6, 1, 3)


def test_in_a_fold_it_is_fitted_again_on_the_rows_inside():
    asked = []

    def again(inside, outside, folder):
        asked.append((inside, outside, folder.name))
        return table(ids=[*inside, *outside], seed=7)

    mixed = beside(table(), again=again)
    ids, answers = np.array(IDS), mixed.answers(IDS)
    inside, outside = np.array([0, 2, 3]), np.array([1, 5])
    within = mixed.within(answers, ids, inside, outside, Path("work"))
    assert asked == [(["row-0", "row-2", "row-3"], ["row-1", "row-5"], "table")]
    again_answers = beside(table(ids=[*ids[inside], *ids[outside]], seed=7)).answers(list(ids[[0, 2, 3, 1, 5]]))
    np.testing.assert_array_equal(within[[0, 2, 3, 1, 5]], again_answers)
    np.testing.assert_array_equal(within[4], answers[4])  # of neither


def test_what_cannot_be_fitted_again_keeps_its_answers():
    mixed = beside(table())
    answers = mixed.answers(IDS)
    rows = np.arange(6)
    np.testing.assert_array_equal(mixed.within(answers, np.array(IDS), rows[:4], rows[4:], Path()), answers)
    assert Branch(mixed.branches[0].source, why_not="is only a table").nested == "not nested: is only a table"


def test_numbers_and_the_networks_own_name_are_refused():
    with pytest.raises(AffectkitError, match="valence is a number"):
        check_beside([LABEL, Target("valence", "number")], ["table"])
    with pytest.raises(AffectkitError, match="that is what the network itself is called"):
        check_beside([LABEL], ["network"])


def test_of_rows_to_be_answered_a_gap_is_a_gap():
    found = answers_of({"a": table(ids=IDS[:2]), "b": table()}, [LABEL], IDS)
    assert np.isnan(found[2:, 0]).all() and not np.isnan(found[:, 1]).any() and not np.isnan(found[:2]).any()
