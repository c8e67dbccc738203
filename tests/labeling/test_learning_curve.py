"""`affectkit learning-curve`: what strategies save, told from labels that are there already."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.labeling.learning_curve import effort

LABELS = [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("curve", "control", "expected"),
    [
        ([0.2, 0.4, 0.6, 0.8], [0.2, 0.4, 0.6, 0.8], 1.0),
        ([0.2, 0.6, 0.7, 0.8], [0.2, 0.3, 0.5, 0.6], 0.5),  # reaches .6 with 20, where the other needs 40
        ([0.2, 0.3, 0.5, 0.6], [0.2, 0.6, 0.7, 0.8], 2.0),
        ([0.2, 0.5, 0.4, 0.7], [0.2, 0.3, 0.4, 0.6], 35 / 40),  # .6 is half way from 30, where .5 still counts, to 40
        ([0.5, 0.5, 0.5, 0.5], [0.2, 0.5, 0.5, 0.5], 0.5),
    ],
)
def test_effort_is_the_labels_for_the_same_value_over_those_of_the_control(curve, control, expected):
    assert effort(np.array(curve), np.array(control), LABELS) == pytest.approx(expected)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two dense classes, and a third that random rows seldom meet: what is unsure lies between."""
    folder, rng = tmp_path_factory.mktemp("curve"), np.random.default_rng(0)
    rows, table = [], []
    for n in range(400):
        label = "rare" if n % 20 == 0 else ("high", "low")[n % 2]
        centre = {"high": (2, 0), "low": (-2, 0), "rare": (0, 2.5)}[label]
        point = rng.normal(centre, 0.6)
        rows.append(f"r{n},{label},{'test' if n % 3 == 0 else 'train'},s{n % 8}")
        table.append(f"r{n},{point[0]},{point[1]}")
    (folder / "rows.csv").write_text("\n".join(["id,label,split,speaker", *rows]) + "\n")
    (folder / "table.csv").write_text("\n".join(["id,x,y", *table]) + "\n")
    return folder


def line(study, *more):
    table = ["--manifest", study / "rows.csv", "--features", study / "table.csv", "--c-grid", 1]
    chosen = [] if "--strategy" in more else ["--strategy", "margin"]
    return ["learning-curve", *table, "--start", 12, "--step", 9, "--rounds", 2, *chosen, *more]


def test_curves_begin_alike_and_a_run_is_the_same_again(affectkit, study, tmp_path):
    affectkit(*line(study, "--seeds", 2, "-o", tmp_path / "a"))
    table = pd.read_csv(tmp_path / "a" / "learning_curve.csv")
    assert list(table.columns) == ["strategy", "seed", "labels", "uar"] and len(table) == 2 * 2 * 3
    assert sorted(set(table["labels"])) == [12, 21, 30]
    first = table[table["labels"] == 12].pivot(index="seed", columns="strategy", values="uar")
    assert (first["random"] == first["margin"]).all()
    told = json.loads((tmp_path / "a" / "learning_curve.json").read_text())
    means = table[table["strategy"] == "margin"].groupby("labels")["uar"].mean()
    assert [point["value"] for point in told["strategies"]["margin"]["curve"]] == pytest.approx(list(means))
    assert told["of"] == 266 and told["judged"] == [134] * 2
    assert told["strategies"]["random"]["effort"] is None
    assert told["strategies"]["margin"]["effort"]["value"] < 1  # rows between the classes are what it needs
    assert not (tmp_path / "a" / "parts").exists()
    affectkit(*line(study, "--seeds", 2, "-o", tmp_path / "b"))
    same = ("learning_curve.csv", "learning_curve.json", "report.html")
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in same)


def test_what_was_finished_is_not_trained_again(affectkit, study, tmp_path, monkeypatch):
    from affectkit.labeling import learning_curve

    affectkit(*line(study, "--seeds", 2, "--rounds", 1, "-o", tmp_path / "whole"))
    curve, calls = learning_curve.Simulation.curve, []

    def stopped(self, strategy, seed, folder):
        calls.append((strategy, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return curve(self, strategy, seed, folder)

    monkeypatch.setattr(learning_curve.Simulation, "curve", stopped)
    cut = line(study, "--seeds", 2, "--rounds", 1, "-o", tmp_path / "cut")
    affectkit(*cut, code=130)
    affectkit(*cut, "--resume")
    assert calls == [("random", 0), ("random", 1), ("margin", 0), ("margin", 0), ("margin", 1)]
    name = "learning_curve.csv"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_labels_of_test_rows_and_those_that_nobody_asked_for_steer_nothing(affectkit, study, tmp_path, monkeypatch):
    from affectkit.labeling import learning_curve

    ask, asked = learning_curve.Simulation._asked, []

    def heard(self, strategy, answers, *more):
        rows = ask(self, strategy, answers, *more)
        asked.append([answers.frame["id"].iloc[row] for row in rows])
        return rows

    monkeypatch.setattr(learning_curve.Simulation, "_asked", heard)
    rows = pd.read_csv(study / "rows.csv")
    pool = rows[rows["split"] == "train"].reset_index(drop=True)
    first = pool["id"][np.random.default_rng([0, 0]).permutation(len(pool))[:12]]  # as the docstring of the module says
    known = rows["id"].isin(first)
    rows.loc[~known, "label"] = np.roll(rows.loc[~known, "label"], 1)
    (tmp_path / "other").mkdir()
    rows.to_csv(tmp_path / "other" / "rows.csv", index=False)
    (tmp_path / "other" / "table.csv").write_text((study / "table.csv").read_text())
    for folder in (study, tmp_path / "other"):
        once = line(folder, "--seeds", 1, "--rounds", 1, "--strategy", "entropy")
        affectkit(*once, "-o", tmp_path / f"of-{folder.name}")
    assert asked[:2] == asked[2:] and len(asked[1]) == 9
    values = [pd.read_csv(path / "learning_curve.csv")["uar"] for path in sorted(tmp_path.glob("of-*"))]
    assert not np.allclose(*values)


def test_folds_take_turns_to_judge(affectkit, study, tmp_path):
    rows = pd.read_csv(study / "rows.csv").drop(columns="split")
    rows["fold"] = rows["speaker"].str[1:].astype(int) % 3
    rows.to_csv(tmp_path / "folds.csv", index=False)
    table = ["--manifest", tmp_path / "folds.csv", "--features", study / "table.csv", "--c-grid", 1]
    affectkit("learning-curve", *table, "--start", 12, "--step", 6, "--rounds", 1, "--seeds", 4, "-o", tmp_path / "a")
    told = json.loads((tmp_path / "a" / "learning_curve.json").read_text())
    sizes = [int((rows["fold"] == fold).sum()) for fold in (0, 1, 2, 0)]
    assert told["judged"] == sizes and told["of"] == 400 - max(sizes)


def test_numbers_are_judged_by_ccc(affectkit, study, tmp_path):
    rows = pd.read_csv(study / "rows.csv")
    rows["valence"] = pd.read_csv(study / "table.csv")["x"] / 3
    rows.drop(columns="label").to_csv(tmp_path / "rows.csv", index=False)
    table = ["--manifest", tmp_path / "rows.csv", "--features", study / "table.csv", "--target", "valence"]
    how = ["--start", 12, "--step", 6, "--rounds", 1, "--seeds", 2, "--strategy", "core-set"]
    affectkit("learning-curve", *table, *how, "-o", tmp_path / "a")
    assert "ccc" in pd.read_csv(tmp_path / "a" / "learning_curve.csv").columns


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["--strategy", "magin"], 2, "margin"),
        (["--rounds", 60], 2, "are more than the 266 that have a label"),
        (["--start", 0], 2, "come to no rows"),
        (["--metric", "ccc"], 2, "no metric 'ccc'"),
        (["--strategy", "bald"], 2, "one source disagrees with nobody"),
    ],
)
def test_what_cannot_be_simulated_is_refused(affectkit, study, tmp_path, words, code, why):
    assert why in affectkit(*line(study, "--seeds", 1, "-o", tmp_path / "a"), *words, code=code).stderr


def test_a_manifest_of_which_nothing_judges_is_refused(affectkit, study, tmp_path):
    rows = pd.read_csv(study / "rows.csv")
    rows[rows["split"] == "train"].to_csv(tmp_path / "rows.csv", index=False)
    table = ["--manifest", tmp_path / "rows.csv", "--features", study / "table.csv"]
    refused = affectkit("learning-curve", *table, "-o", tmp_path / "a", code=1)
    assert "has no labelled test rows" in refused.stderr


@pytest.mark.figures
@pytest.mark.parametrize("seed", [3, 4, 5])  # of twins that no option was chosen on
def test_on_a_twin_whose_texts_are_clear_each_strategy_saves_a_third_of_the_labels(affectkit, tmp_path, seed):
    """What `recipes/active_learning.sh` says of MELD's twin, over ten seeds: half a minute of a core."""
    twin = ("--text-only", "--sentences", "clear")
    affectkit("synthesize", "meld", tmp_path / "c", "--size", 600, "--seed", seed, *twin)
    leaks = ("--allow-leaks", "speaker,session,text")
    affectkit("prepare-manifest", "meld", tmp_path / "c", "--text-only", *leaks, "--folds", 5, "-o", tmp_path / "m")
    affectkit("extract-features", "-m", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    strategies = ("--strategy", "least-confidence", "--strategy", "margin", "--strategy", "entropy")
    data = ("-m", tmp_path / "m", "--features", tmp_path / "f", "--c-grid", 1)
    affectkit("learning-curve", *data, *strategies, "--seeds", 10, "-o", tmp_path / "curve")
    told = json.loads((tmp_path / "curve" / "learning_curve.json").read_text())["strategies"]
    efforts = {name: told[name]["effort"] for name in strategies[1::2]}
    assert all(effort["value"] < 0.7 and effort["high"] < 0.8 for effort in efforts.values()), efforts
