"""Folds beside an untouched test part: on disk, in the audit, and through `train --cv` to the report."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.tables import read_table


@pytest.fixture
def study(tmp_path):
    """A table of 50 subjects, 3 rows each: a score that two numbers follow, and levels of it."""
    rng = np.random.default_rng(0)
    subject = np.repeat([f"p{n:02d}" for n in range(50)], 3)
    score = np.repeat(rng.uniform(0, 27, 50), 3) + rng.normal(0, 1, 150)
    levels = np.array(["none", "mild", "severe"])[np.digitize(score, [9, 18])]
    x = {f"x{n}": score / 9 + rng.normal(0, 0.3, 150) for n in range(2)}
    table = pd.DataFrame(
        {"id": [f"r{n:03d}" for n in range(150)], "subject": subject, "score": score, "level": levels, **x}
    )
    table.assign(**x).to_csv(tmp_path / "study.csv", index=False)
    return tmp_path / "study.csv"


TARGETS = ["--target-columns", "score=-9:36,level=none<mild<severe", "--path-column", ""]
FOLDS = ["--folds", 5, "--test-fraction", 0.2, "--group", "subject"]


def made(affectkit, study, folder, *options):
    affectkit("prepare-manifest", "csv", study, *TARGETS, *options, "-o", folder)
    return read_manifest(folder)


def test_whole_subjects_are_held_out_first_and_the_others_make_the_folds(affectkit, study, tmp_path):
    manifest = made(affectkit, study, tmp_path / "m", *FOLDS)
    assert sorted(path.name for path in (tmp_path / "m").glob("*.csv")) == ["folds.csv", "test.csv"]
    folds, test = read_table(tmp_path / "m" / "folds.csv"), read_table(tmp_path / "m" / "test.csv")
    assert set(folds["split"]) == {"train"} and set(test["split"]) == {"test"} and "fold" not in test
    assert len(folds) == 120 and len(test) == 30  # 10 of 50 subjects
    assert not set(folds["subject"]) & set(test["subject"])
    assert folds.groupby("subject")["fold"].nunique().max() == 1 and set(folds["fold"]) == set("01234")
    assert list(manifest.rows["id"]) == [*folds["id"], *test["id"]] and set(manifest.rows["fold"]) == {*"01234", ""}
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert summary["split_by"] == "5 folds, 0.2 test" and summary["group"] == "subject"
    assert list(summary["counts"]) == ["0", "1", "2", "3", "4", "test"]
    assert summary["counts"]["test"] == {"rows": 30, "subject": 10}
    audit = json.loads((tmp_path / "m" / "leak_audit.json").read_text())
    assert audit["sides"]["test"] == 30 and audit["leaks"] == []


def test_numbers_are_spread_by_their_quintiles(affectkit, study, tmp_path):
    """The test part, and each fold, get low and high scores: their means lie closer together than by chance, which is
    27 / sqrt(12) / sqrt(8 subjects) = 2.8."""
    rows = made(affectkit, study, tmp_path / "m", *FOLDS).rows
    means = rows.groupby(np.where(rows["split"] == "test", "test", rows["fold"]))["score"].mean()
    alone = made(affectkit, study, tmp_path / "alone", "--folds", 5, "--group", "subject").rows
    assert set(alone["split"]) == {"train"} and "" not in set(alone["fold"])
    assert means.std() < 1.2 and alone.groupby("fold")["score"].mean().std() < 1.2


def test_without_folds_the_fractions_are_as_before(affectkit, study, tmp_path):
    default = made(affectkit, study, tmp_path / "a").rows
    assert dict(default["split"].value_counts()) == {"train": 96, "test": 30, "val": 24}
    asked = made(affectkit, study, tmp_path / "b", "--test-fraction", 0.2, "--val-fraction", 0.15).rows
    assert asked.equals(default)
    nothing = made(affectkit, study, tmp_path / "c", "--folds", 3, "--test-fraction", 0).rows
    assert set(nothing["split"]) == {"train"}


@pytest.mark.parametrize(
    ("options", "told", "code"),
    [
        (["--folds", 5, "--val-fraction", 0.2], "--folds and --val-fraction exclude each other; leave it out", 2),
        (
            ["--folds", 50, "--test-fraction", 0.2],
            "beside the test part, 40 subjects cannot make 50 folds; 2 to 40 folds are possible, or lower",
            1,
        ),
        (["--folds", 3, "--test-fraction", 0.2, "--group", "sbject"], "the corpus names no sbject", 2),
    ],
)
def test_what_cannot_be(affectkit, study, tmp_path, options, told, code):
    line = ["prepare-manifest", "csv", study, *TARGETS, *options, "-o", tmp_path / "m"]
    assert told in affectkit(*line, code=code).stderr


def test_rows_are_drawn_one_by_one_where_no_groups_are_known(affectkit, study, tmp_path):
    table = read_table(study).drop(columns="subject")
    table.to_csv(study, index=False)
    rows = made(affectkit, study, tmp_path / "m", "--folds", 4, "--test-fraction", 0.25).rows
    assert 37 <= (rows["split"] == "test").sum() <= 38
    assert all(27 <= count <= 29 for count in rows.loc[rows["split"] == "train", "fold"].value_counts())


def test_a_fold_for_each_value_beside_a_test_part(affectkit, study, tmp_path):
    rows = made(affectkit, study, tmp_path / "m", "--folds", "subject", "--test-fraction", 0.2).rows
    fitted = rows[rows["split"] == "train"]
    assert fitted.groupby("fold")["subject"].nunique().eq(1).all() and fitted["fold"].nunique() == 40


def test_train_predicts_by_exactly_these_folds_and_the_test_part_by_the_final_fit(affectkit, study, tmp_path):
    manifest = made(affectkit, study, tmp_path / "m", *FOLDS)
    train = ["train", "--manifest", tmp_path / "m", "--features", "manifest:x0,x1", "--model", "linear", "--cv"]
    affectkit(*train, "--target", "score", "-o", tmp_path / "run")
    predictions = read_table(tmp_path / "run" / "predictions.csv").set_index("id")
    rows = manifest.rows.set_index("id")
    assert (predictions["fold"] == rows["fold"].reindex(predictions.index)).all()
    test = predictions["split"] == "test"
    assert set(predictions.loc[test, "seen"]) == {"heldout"} and set(predictions.loc[~test, "seen"]) == {"oof"}
    assert set(read_table(tmp_path / "run" / "fit_rows.csv")["group"]) == set(
        rows.loc[rows["split"] == "train", "subject"]
    )
    assert "pass --cv" in affectkit(*train[:-1], "--target", "score", "-o", tmp_path / "x", code=2).stderr
    affectkit("evaluate", tmp_path / "run" / "predictions.csv", "-o", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["split"] == "test" and metrics["n"] == 30 and metrics["groups"]["count"] == 10


def test_a_published_list_of_folds_and_test_rows(affectkit, study, tmp_path):
    manifest = made(affectkit, study, tmp_path / "m", *FOLDS)
    manifest.rows[["id", "split", "fold"]].to_csv(tmp_path / "protocol.csv", index=False)
    again = made(affectkit, study, tmp_path / "again", "--split-by", tmp_path / "protocol.csv")
    assert again.rows.set_index("id")["fold"].equals(manifest.rows.set_index("id")["fold"].reindex(again.rows["id"]))
    assert set(again.rows.loc[again.rows["fold"] == "", "split"]) == {"test"}
    wrong = manifest.rows[["id", "split", "fold"]].assign(fold="")
    wrong.to_csv(tmp_path / "protocol.csv", index=False)
    line = ["prepare-manifest", "csv", study, *TARGETS, "--split-by", tmp_path / "protocol.csv", "-o", tmp_path / "x"]
    assert "row 1: fold '' is not a whole number" in affectkit(*line, code=1).stderr


def test_a_test_row_of_a_published_list_is_never_made_a_row_of_a_fold(affectkit, study, tmp_path):
    manifest = made(affectkit, study, tmp_path / "m", *FOLDS)
    table = manifest.rows[["id", "split", "fold"]]
    table.assign(fold=table["fold"].where(table["fold"] != "", "0")).to_csv(tmp_path / "protocol.csv", index=False)
    line = ["prepare-manifest", "csv", study, *TARGETS, "--split-by", tmp_path / "protocol.csv", "-o", tmp_path / "x"]
    told = affectkit(*line, code=1).stderr
    assert "is a test row, and of fold '0'" in told and "leave the fold of test rows empty" in told


def test_a_row_of_nobody_is_named_where_folds_are_of_subjects(affectkit, study, tmp_path):
    table = read_table(study)
    table.assign(subject=table["subject"].where(table["id"] != "r004", "")).to_csv(study, index=False)
    line = ["prepare-manifest", "csv", study, *TARGETS, *FOLDS, "-o", tmp_path / "x"]
    told = affectkit(*line, code=1).stderr
    assert "study.csv" in told and "1 of 150 rows without a subject, as r004: no fold can hold them out" in told


def test_a_copied_time_series_beside_a_test_row_is_a_leak(affectkit, study, tmp_path):
    """Landmarks and acoustic series stand in columns of their own, and features are read from nothing else."""
    table = read_table(study)
    table["path_landmarks"] = [f"{subject}.csv" for subject in table["subject"]]
    table.to_csv(study, index=False)
    for number, name in enumerate(sorted(set(table["path_landmarks"]))):
        (study.parent / name).write_text(f"time_sec,x0\n0,{number:04d}\n1,{number:04d}\n")
    rows = made(affectkit, study, tmp_path / "m", *FOLDS).rows
    tested, fitted = (rows.loc[rows["split"] == split, "path_landmarks"].iloc[0] for split in ("test", "train"))
    (study.parent / fitted).write_bytes((study.parent / tested).read_bytes())
    line = ["prepare-manifest", "csv", study, *TARGETS, *FOLDS, "-o", tmp_path / "x"]
    told = affectkit(*line, code=1).stderr
    assert "media leak: identical media: 1 of 50" in told and fitted in told and tested in told


# --- Ordered classes, from the command line to the report


def test_levels_keep_their_order_from_the_table_to_the_report(affectkit, study, tmp_path):
    manifest = made(affectkit, study, tmp_path / "m", *FOLDS)
    level = manifest.targets["level"]
    assert (level.kind, level.classes) == ("ordinal", ("none", "mild", "severe"))
    assert json.loads((tmp_path / "m" / "summary.json").read_text())["targets"][1] == level.to_json()
    train = ["train", "--manifest", tmp_path / "m", "--features", "manifest:x0,x1", "--c-grid", 1, "--cv"]
    affectkit(*train, "--target", "level", "-o", tmp_path / "run")
    model = json.loads((tmp_path / "run" / "best_model" / "affectkit.json").read_text())
    assert model["targets"] == [level.to_json()]
    affectkit("evaluate", tmp_path / "run", "-o", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]
    assert {"kappa_quadratic", "kappa_linear"} <= {name.rpartition(".")[2] for name in metrics}
    judged = read_table(tmp_path / "run" / "predictions.csv").query("split == 'test'")
    from sklearn.metrics import cohen_kappa_score

    codes = [
        judged[name].map({name: code for code, name in enumerate(level.classes)}) for name in ("level", "level_pred")
    ]
    expected = cohen_kappa_score(*codes, weights="quadratic")
    assert metrics["level.kappa_quadratic"]["value"] == pytest.approx(expected, abs=1e-9)


def test_merging_keeps_levels_and_refuses_others_of_the_same_name(affectkit, study, tmp_path):
    made(affectkit, study, tmp_path / "a")
    for name, levels in (("b", "none<mild<severe"), ("c", "severe<mild<none")):
        manifest = read_manifest(tmp_path / "a")
        (tmp_path / name).mkdir()
        for part, rows in manifest.rows.assign(corpus="other").groupby("split"):
            rows.to_csv(tmp_path / name / f"{part}.csv", index=False)
        summary = json.loads((tmp_path / "a" / "summary.json").read_text())
        summary["targets"][1]["classes"] = levels.split("<")
        summary["corpora"] = {"other": summary["corpora"]["csv"]}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    merge = ["prepare-manifest", "merge", tmp_path / "a"]
    affectkit(*merge, tmp_path / "b", "-o", tmp_path / "ab", "--folds", 3)
    assert read_manifest(tmp_path / "ab").targets["level"].kind == "ordinal"
    told = affectkit(*merge, tmp_path / "c", "-o", tmp_path / "ac", code=1).stderr
    assert "level is severe < mild < none here and none < mild < severe elsewhere" in told
