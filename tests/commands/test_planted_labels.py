"""What is judged reaches no fit of several heads: labels that are planted on held-out rows change no answer there."""

import json

import pandas as pd
import pytest

from tests.commands.test_train_several_targets import ALL, QUICK, TARGETS, rows_of, train, written

FAR = {"stress": "severe", "label": "yes", "anxiety": "10.0"}
# What is fitted besides the networks themselves: scales of targets, networks of each alone, how many epochs.
QUICKLY = ["--task-weights", "uncertainty", "--separate", "--epochs", 2]


def answers(run, rows, file="predictions.csv"):
    """Every column of the rows that is an answer, as text."""
    frame = pd.read_csv(run / file, dtype=str).fillna("")
    told = [name for name in frame if "pred" in name or "prob_" in name]
    return frame[frame["id"].isin(rows)].set_index("id")[told]


def planted(table, rows, how):
    inside, labels = table["id"].isin(rows), FAR if how == "far" else dict.fromkeys(TARGETS, "")
    return table.assign(**{name: table[name].mask(inside, value) for name, value in labels.items()})


@pytest.mark.parametrize("how", ["far", pytest.param("gone", marks=pytest.mark.slow)])
def test_labels_of_a_fold_change_none_of_its_answers(affectkit, tmp_path, how):
    """Neither those of the joint network nor those of the networks beside it; how many epochs they are trained, their
    temperatures, scalings and where levels start are fitted on the other folds."""
    table, features = rows_of(subjects=9, each=4)
    fold = list(table["id"][table["fold"] == "1"])
    for name, rows in (("as it was", table), ("planted", planted(table, fold, how))):
        train(affectkit, written(tmp_path / name, rows, features), tmp_path / name / "run", *QUICKLY)
    before, after = tmp_path / "as it was" / "run", tmp_path / "planted" / "run"
    others = list(table["id"][table["fold"] != "1"])  # of fits on what was planted
    for file in ("predictions.csv", "separate/predictions.csv"):
        pd.testing.assert_frame_equal(answers(before, fold, file), answers(after, fold, file))
        assert (answers(before, others, file) != answers(after, others, file)).any(axis=1).all()


@pytest.mark.slow
def test_labels_of_test_rows_change_no_answer_of_a_chain(affectkit, tmp_path):
    """Of a training, and of what is fitted on its answers."""
    table, features = rows_of(subjects=9, each=6)
    test = list(table["id"][table["split"] == "test"])
    for name, rows in (("as it was", table), ("planted", planted(table, test, "far"))):
        folder = tmp_path / name
        line = [*written(folder, rows, features), "--model", "mlp", "--target", ALL, "--cv", *QUICK]
        affectkit("train", *line, "-o", folder / "run")
        affectkit("calibrate", folder / "run", "--method", "vector", "-o", folder / "calibrated")
        two = [f"one={folder / 'run'}", f"two={folder / 'calibrated'}"]
        affectkit("fuse", *two, "--rule", "stacked", "-o", folder / "fused")
    for name in ("run", "calibrated", "fused"):
        before, after = (answers(tmp_path / folder / name, table["id"]) for folder in ("as it was", "planted"))
        assert len(before) == len(table)
        pd.testing.assert_frame_equal(before, after)


def test_a_target_of_test_rows_alone_is_declined_and_not_learned(affectkit, tmp_path):
    table, features = rows_of()
    table["anxiety"] = table["anxiety"].where(table["split"] == "test", "")
    told = train(affectkit, written(tmp_path / "m", table, features), tmp_path / "run").stderr
    assert "anxiety: the rows of 4 of 4 fits tell nothing of it" in told and "the model has none for new rows" in told
    assert (answers(tmp_path / "run", table["id"])["anxiety_pred"] == "").all()
    report = json.loads((tmp_path / "run" / "train_report.json").read_text())
    assert not [name for name in report["metrics"] if "anxiety" in name or name.endswith("_ccc")]


def test_a_target_that_a_fold_cannot_learn_is_declined_alone_as_together(affectkit, tmp_path):
    """Else the networks that are compared would end the run, hours after the first of them was trained."""
    table, features = rows_of(subjects=9, each=4)
    table["anxiety"] = table["anxiety"].where((table["fold"] == "0") | (table["anxiety"] == ""), "5")
    table["stress"] = table["stress"].where(table["split"] == "test", "")
    train(affectkit, written(tmp_path / "m", table, features), tmp_path / "run", "--separate", "--stopping-folds", 0)
    for file in ("predictions.csv", "separate/predictions.csv"):
        declined = answers(tmp_path / "run", table["id"][table["fold"] == "0"], file)["anxiety_pred"]
        answered = answers(tmp_path / "run", table["id"][table["fold"] != "0"], file)["anxiety_pred"]
        assert (declined == "").all() and (answered != "").all()
    rows = json.loads((tmp_path / "run" / "train_report.json").read_text())["separate"]
    assert {row["target"] for row in rows} == {"label", "anxiety"}
