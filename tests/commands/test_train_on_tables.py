"""`affectkit train` on tables of any columns, and what stands on such models."""

import json
import math

import numpy as np
import pandas as pd
import pytest

N = 96
FAST = ("--c-grid", "0.1")
NEEDED = ["age", "sex", "smoking", "seen", "note"]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A manifest with its own columns (`full.csv`), one without (`rows.csv`), and the columns alone (`table.csv`)."""
    folder, rng = tmp_path_factory.mktemp("clinic"), np.random.default_rng(5)
    y = rng.integers(0, 2, N)
    patient = [f"P{row // 3}" for row in range(N)]
    rows = pd.DataFrame({"id": [f"r{row}" for row in range(N)], "label": np.array(["open", "healed"])[y]})
    rows = rows.assign(subject=patient, split=["train" if row < 72 else "test" for row in range(N)])
    table = pd.DataFrame({"id": rows["id"], "age": (50 + 9 * y + rng.normal(0, 9, N)).round(1).astype(str)})
    table["sex"], table["smoking"] = (
        rng.choice(["f", "m"], N),
        np.array(["never", "daily"])[(y + (rng.random(N) < 0.3)) % 2],
    )
    table["seen"] = (np.datetime64("2020-01-01") + rng.permutation(N)).astype(str)
    table["note"] = [f"wound {row} looks {word}" for row, word in enumerate(rng.choice(["dry", "red"], N))]
    table = table.astype(object)
    for name in NEEDED:
        table.loc[rng.random(N) < 0.3, name] = "NA"
    table["confidence"] = (y * 50 + rng.uniform(0, 40, N)).round(2).astype(str)
    rows.to_csv(folder / "rows.csv", index=False)
    table.to_csv(folder / "table.csv", index=False, lineterminator="\r\n")
    rows.merge(table, on="id").to_csv(folder / "full.csv", index=False)
    table[NEEDED].head(4).to_csv(folder / "bare.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def trained(affectkit_module, clinic):
    line = ["train", "--manifest", clinic / "rows.csv", "--features", clinic / "table.csv", "--exclude", "confidence"]
    return affectkit_module(*line, *FAST, "--cv", "-o", clinic / "model"), clinic / "model"


@pytest.fixture(scope="module")
def affectkit_module():
    from typer.testing import CliRunner

    from affectkit.cli import app

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result

    return run


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_kinds_are_printed_and_recorded(trained):
    result, folder = trained
    assert "numbers (1): age\n" in result.stderr
    assert "categories (2): sex, smoking\n" in result.stderr
    [known] = json.loads((folder / "best_model" / "affectkit.json").read_text())["features"]
    assert [column["name"] for column in known["columns"]] == NEEDED
    report = json.loads((folder / "train_report.json").read_text())
    assert [column["kind"] for column in report["columns"]] == ["number", "category", "category", "date", "text"]
    assert "suspects" not in report


def test_the_label_in_disguise_is_named_and_kept(affectkit, clinic, tmp_path):
    line = ["train", "--manifest", clinic / "full.csv", "--features", "manifest:age,confidence,label", *FAST]
    result = affectkit(*line, "-o", tmp_path / "m")
    assert "column 'confidence' alone tells label: AUC" in result.stderr
    assert "label: left out of the features" in result.stderr
    report = json.loads((tmp_path / "m" / "train_report.json").read_text())
    [suspect] = report["suspects"]
    assert (suspect["column"], suspect["metric"]) == ("confidence", "auc")
    assert [column["name"] for column in report["columns"]] == ["age", "confidence"]
    page = affectkit("report", tmp_path / "m", "-o", tmp_path / "page").stderr
    assert "--exclude confidence" in page + (tmp_path / "page" / "report.html").read_text()


def test_a_table_a_manifest_and_a_bare_csv_are_answered_alike(affectkit, clinic, trained, tmp_path):
    line = ["predict", "--model-dir", trained[1]]
    every = ["--include-fit", "--manifest"]
    affectkit(*line, *every, clinic / "rows.csv", "--features", clinic / "table.csv", "-o", tmp_path / "table.csv")
    affectkit(*line, *every, clinic / "full.csv", "-o", tmp_path / "own.csv")
    affectkit(*line, clinic / "bare.csv", "-o", tmp_path / "bare.csv")
    affectkit(*line, clinic / "table.csv", "-o", tmp_path / "named.csv")
    table, own, bare, named = (read(tmp_path / f"{name}.csv") for name in ("table", "own", "bare", "named"))
    assert bare["id"].tolist() == ["row-1", "row-2", "row-3", "row-4"]
    assert named["id"].tolist() == table["id"].tolist()
    for answers, rows in ((own, N), (named, N), (bare, 4)):
        assert answers["prob_healed"].tolist() == table["prob_healed"].tolist()[:rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="age"), "has no column 'age'"),
        (lambda rows: rows.assign(age=["50", "old", "", ""]), "row 2: age 'old' is not a number"),
        (lambda rows: rows.assign(seen=["", "", "2.1.2020", ""]), "row 3: seen '2.1.2020' is not a date"),
        (lambda rows: rows.assign(id=["a", "b", "a", ""]), "row 3: id 'a' stands twice"),
        (lambda rows: rows.head(0), "has no rows"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_named(affectkit, clinic, trained, tmp_path, change, message):
    change(read(clinic / "bare.csv")).to_csv(tmp_path / "x.csv", index=False)
    assert message in affectkit("predict", "--model-dir", trained[1], tmp_path / "x.csv", code=1).stderr


def test_categories_that_training_lacked_are_named_and_further_columns_are_no_error(
    affectkit, clinic, trained, tmp_path
):
    read(clinic / "bare.csv").assign(sex="F", smoking="pipe", more="x").to_csv(tmp_path / "x.csv", index=False)
    said = affectkit("predict", "--model-dir", trained[1], tmp_path / "x.csv", "-o", tmp_path / "p.csv").stderr
    assert "sex 'F' is no category of the rows fitted on, as 'f' is: 4 of 4 rows have it" in said
    assert "smoking 'pipe' is no category of the rows fitted on: 4 of 4 rows have it" in said
    assert read(tmp_path / "p.csv")["prob_open"].map(float).map(math.isfinite).all()


def test_tables_of_other_columns_and_what_is_no_table_are_refused(affectkit, clinic, trained, tmp_path):
    bare, short, workbook = clinic / "bare.csv", tmp_path / "short.csv", tmp_path / "rows.xlsx"
    read(bare).drop(columns="age").to_csv(short, index=False)
    workbook.write_bytes(b"PK")
    said = affectkit("predict", "--model-dir", trained[1], bare, short, code=1).stderr
    assert f"short.csv: has no column 'age', which {bare} has" in said.replace("\n", "")
    assert "rows.xlsx: is no table" in affectkit("predict", "--model-dir", trained[1], bare, workbook, code=1).stderr


def test_rows_that_no_id_joins_are_refused_and_near_misses_named(affectkit, clinic, tmp_path):
    rows = read(clinic / "rows.csv")
    line = ["train", "--manifest", tmp_path / "m.csv", "--features", clinic / "table.csv", "--missing", "drop", *FAST]
    rows.assign(id=rows["id"].str.upper()).to_csv(tmp_path / "m.csv", index=False)
    said = affectkit(*line, "-o", tmp_path / "m", code=1).stderr
    assert "has no features of id 'R0' (96 of 96 ids are missing); 'r0' is there: write ids alike" in said
    rows.assign(id=[key.upper() if key == "r7" else key for key in rows["id"]]).to_csv(tmp_path / "m.csv", index=False)
    said = affectkit(*line, "-o", tmp_path / "m").stderr
    assert "1 of 96 rows have no features and are dropped: 'R7', but 'r7' is there" in said


def test_a_calibration_and_a_fusion_of_tables_answer_a_bare_csv(affectkit, clinic, trained, tmp_path):
    affectkit("calibrate", trained[1], "-o", tmp_path / "c")
    line = ["train", "--manifest", clinic / "full.csv", "--features", "manifest:age", *FAST]
    affectkit(*line, "--cv", "-o", tmp_path / "age")
    affectkit("fuse", f"all={tmp_path / 'c'}", f"age={tmp_path / 'age'}", "--rule", "mean", "-o", tmp_path / "f")
    affectkit("predict", "--model-dir", tmp_path / "f", clinic / "bare.csv", "-o", tmp_path / "p.csv")
    assert len(read(tmp_path / "p.csv")) == 4


@pytest.mark.parametrize("options", [["--impute", "knn"], ["--select-features", "3"], ["--normalize", "none"]])
def test_how_a_table_is_prepared_is_part_of_the_model(affectkit, clinic, tmp_path, options):
    line = ["train", "--manifest", clinic / "full.csv", "--features", "manifest:*", "--exclude", "confidence", *FAST]
    affectkit(*line, *options, "-o", tmp_path / "m")
    affectkit("predict", "--model-dir", tmp_path / "m", "--manifest", clinic / "full.csv", "-o", tmp_path / "p.csv")
    judged = read(tmp_path / "m" / "predictions.csv").set_index("id")
    assert read(tmp_path / "p.csv").set_index("id")["prob_open"].equals(judged["prob_open"])
    if "--select-features" in options:
        assert len(json.loads((tmp_path / "m" / "train_report.json").read_text())["selected"]["label"]) == 3


def test_tables_are_ablated_and_a_finished_study_is_gone_on_with(affectkit, clinic, tmp_path):
    line = ["ablate", "--manifest", clinic / "full.csv", "--features", "age=manifest:age", *FAST, "--seeds", "1"]
    line += ["--features", f"rest={clinic / 'table.csv'}", "--exclude", "confidence", "-o", tmp_path / "a"]
    affectkit(*line)
    summary = json.loads((tmp_path / "a" / "ablation_summary.json").read_text())
    assert set(summary["parts"]["oof"]["subsets"]) == {"age_only", "rest_only", "age+rest"}
    affectkit(*line, "--resume")


def test_copies_under_other_ids_are_counted(affectkit, clinic, tmp_path):
    rows = read(clinic / "full.csv")
    copies = rows.head(3).assign(id=["x", "y", "z"], subject="P99", split="test")
    pd.concat([rows, copies]).to_csv(tmp_path / "m.csv", index=False)
    line = ["train", "--manifest", tmp_path / "m.csv", "--features", "manifest:*", "--exclude", "confidence", *FAST]
    assert "3 rows have the same features as rows fitted on" in affectkit(*line, "-o", tmp_path / "m").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--features", "manifest:agee"], "did you mean age"),
        (["--features", "manifest:*", "--exclude", "confidense"], "did you mean confidence"),
        (["--features", "manifest:id"], "holds no features"),
    ],
)
def test_columns_that_are_not_there_are_named(affectkit, clinic, tmp_path, options, message):
    from typer.testing import CliRunner

    from affectkit.cli import app

    line = ["train", "--manifest", clinic / "full.csv", *options, "-o", tmp_path / "m"]
    result = CliRunner().invoke(app, list(map(str, line)))
    assert result.exit_code in (1, 2)
    assert message in result.stderr
