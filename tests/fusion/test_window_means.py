"""Features of predictions of windows: means over a row's windows, the same for a table and for one request."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.features import read_features
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.tables import read_table
from affectkit.fusion.table import Tabulation

CLASSES = ("calm", "tense")


@pytest.fixture
def study(tmp_path):
    """Twelve sessions, and what a model says of three to five windows of each, of stress and of a label. The second
    window of session s01 was declined."""
    rng = np.random.default_rng(0)
    ids = [f"s{number:02}" for number in range(12)]
    split = np.repeat(["train", "val", "test"], 4)
    manifest = pd.DataFrame({"id": ids, "label": np.tile(CLASSES, 6), "subject": ids, "split": split})
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    rows = []
    for number, key in enumerate(ids):
        for window in range(3 + number % 3):
            tense = rng.uniform()
            seen = "oof" if number < 4 else "heldout"
            declined = (key, window) == ("s01", 1)
            answers = ["", "", ""] if declined else [1 - tense, tense, rng.normal()]
            rows.append([f"{key}@{window:010.3f}", key, seen, *answers])
    columns = ["id", "sequence", "seen", "prob_calm", "prob_tense", "stress_pred"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "windows.csv", index=False)
    return tmp_path


def line(study, *more, name="windows"):
    return ["tabulate", f"face={study / name}.csv", "--manifest", study / "manifest.csv", "-o", study / "table", *more]


def edit(file, change):
    change(pd.read_csv(file, keep_default_na=False)).to_csv(file, index=False)


def by_hand(study):
    """{session: {feature: value}}, window by window."""
    windows = read_table(study / "windows.csv")
    features = {}
    for key, rows in windows.groupby("sequence"):
        rows = rows[rows["prob_calm"] != ""]
        shares = rows[["prob_calm", "prob_tense"]].astype(float).to_numpy()
        features[key] = {
            "face_prob_calm": shares[:, 0].mean(), "face_prob_tense": shares[:, 1].mean(),
            "face_confidence": np.mean([max(row) for row in shares]),  # the mean of the largest
            "face_entropy": np.mean([-sum(p * np.log(p) for p in row) for row in shares]),
            "face_stress": rows["stress_pred"].astype(float).mean(), "face_stress_var": np.nan,
            "face_windows": len(rows),
        }  # fmt: skip
    return features


def test_features_are_means_over_windows(affectkit, study):
    result = affectkit(*line(study))
    summary = json.loads((study / "table" / "summary.json").read_text())
    expected = by_hand(study)
    assert summary["features"] == list(expected["s00"])
    assert summary["seen"] == {"face": {"heldout": 8, "oof": 4}} and summary["windows"] == {"face": 48}
    assert summary["tabulation"]["windows"] == ["face"]
    assert "face: features are means over 48 windows" in result.stderr
    for part, count in {"train": 4, "val": 4, "test": 4}.items():
        table = read_table(study / "table" / f"{part}_features.csv")
        assert len(table) == count
        for row in table.to_dict("records"):
            for name, value in expected[row["id"]].items():
                assert (row[name] == "") if np.isnan(value) else float(row[name]) == pytest.approx(value, abs=1e-12)
    assert expected["s01"]["face_windows"] == 3  # of four
    assert read_features(study / "table").names == summary["features"]


@pytest.mark.parametrize("how", ["sequence", "clip", "the id", "another column"])
def test_what_a_window_is_of(affectkit, study, how):
    affectkit(*line(study))
    table = (study / "table" / "test_features.csv").read_bytes()
    change = {
        "sequence": lambda w: w.assign(id=[f"w{i}" for i in range(len(w))]),
        "clip": lambda w: w.assign(id=[f"w{i}" for i in range(len(w))]).rename(columns={"sequence": "clip"}),
        "the id": lambda w: w.drop(columns="sequence"),
        "another column": lambda w: w.rename(columns={"sequence": "visit"}).assign(id=[f"w{i}" for i in range(len(w))]),
    }[how]
    edit(study / "windows.csv", change)
    affectkit(*line(study, "--overwrite", *(["--over", "visit"] if how == "another column" else [])))
    assert (study / "table" / "test_features.csv").read_bytes() == table


def test_the_record_makes_the_same_of_one_request(affectkit, study):
    """Windows of one session, as a service has them."""
    affectkit(*line(study))
    summary = json.loads((study / "table" / "summary.json").read_text())
    made = Tabulation.from_json(summary["tabulation"])
    assert made.to_json() == summary["tabulation"]
    windows = read_table(study / "windows.csv")
    table = pd.concat([read_table(file) for file in (study / "table").glob("*_features.csv")]).set_index("id")
    for key, rows in windows.groupby("sequence"):
        values = {"label": ["prob_calm", "prob_tense"], "stress": "stress_pred"}
        answers = {
            target.name: TargetPrediction.of(target, rows[values[target.name]].replace("", "nan").to_numpy(float))
            for target in made.sources["face"]
        }
        served = made.features({"face": answers}, {})
        assert list(served) == summary["features"]
        for name, [value] in served.items():
            cell = table.loc[key, name]
            assert np.isnan(value) if cell == "" else value == pytest.approx(float(cell), abs=1e-12)


def test_windows_stand_beside_answers_of_rows(affectkit, study):
    rows = pd.read_csv(study / "manifest.csv")
    rows = rows.assign(seen=np.where(rows["split"] == "train", "oof", "heldout"), prob_calm=0.25, prob_tense=0.75)
    rows.drop(columns="label").to_csv(study / "text.csv", index=False)
    affectkit(*line(study, f"text={study}/text.csv"))
    table = read_table(study / "table" / "val_features.csv")
    assert table["text_confidence"].tolist() == ["0.75"] * 4 and "text_windows" not in table
    assert table["face_windows"].tolist() == ["4", "5", "3", "4"]


def test_a_row_without_windows_has_gaps_and_a_count_of_0(affectkit, study):
    edit(study / "windows.csv", lambda w: w[w["sequence"] != "s05"])
    affectkit(*line(study))
    row = read_table(study / "table" / "val_features.csv").set_index("id").loc["s05"]
    assert (row["face_confidence"], row["face_windows"]) == ("", "0")
    assert json.loads((study / "table" / "summary.json").read_text())["seen"]["face"]["none"] == 1


def test_one_window_that_was_fitted_on_is_enough_to_refuse(affectkit, study):
    edit(study / "windows.csv", lambda w: w.assign(seen=w["seen"].where(w["id"] != "s02@000002.000", "fit")))
    result = affectkit(*line(study), code=1)
    assert "'face' was fitted on 1 of the rows, and has no cross-fitted answers for them, as 's02'" in result.stderr


def test_so_is_a_row_whose_windows_were_fitted_on_and_not_answered(affectkit, study):
    edit(study / "windows.csv", lambda w: w[w["sequence"] != "s03"])
    (study / "windows.csv").rename(study / "predictions.csv")
    pd.DataFrame({"id": ["s03@000000.000"], "group": [""], "role": ["fit"]}).to_csv(study / "fit_rows.csv", index=False)
    result = affectkit(*line(study, name="predictions"), code=1)
    assert "'face' was fitted on 1 of the rows" in result.stderr and "'s03'" in result.stderr


REFUSED = {
    "no such column": (["--over", "sequnce"], lambda w: w, "no column 'sequnce'; did you mean sequence"),
    "of other rows": (["--over", "sequence"], lambda w: w.assign(sequence="x"), "says nothing of the manifest's rows"),
    "of nothing": ([], lambda w: w.assign(sequence="x", id=range(len(w))), "says nothing of the manifest's rows"),
    "a layout of whole rows": (["--layout", "ser-service"], lambda w: w, "takes the sources audio and text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(affectkit, study, case):
    words, change, said = REFUSED[case]
    edit(study / "windows.csv", change)
    code = 2 if "layout" in case else 1
    [told] = [text for text in affectkit(*line(study, *words), code=code).stderr.splitlines() if "error" in text]
    assert said in told


def test_the_published_layout_takes_whole_rows(affectkit, study):
    edit(study / "manifest.csv", lambda m: m.assign(text="so", language="en"))
    words = [f"{name}={study}/windows.csv" for name in ("audio", "text")]
    result = affectkit("tabulate", *words, *line(study, "--layout", "ser-service")[2:], code=1)
    assert "takes answers of whole rows, and audio has windows; put them together first" in result.stderr


def test_a_record_that_names_other_windows_is_refused():
    with pytest.raises(ValueError, match="no sources of windows"):
        Tabulation.from_json({"layout": "named", "sources": {}, "columns": {}, "windows": ["face"]})


# --- Answers that know the labels of what is test here


@pytest.mark.parametrize("windows", [True, False], ids=["of windows", "of rows"])
def test_cross_fitted_answers_to_test_rows_are_refused(affectkit, study, windows):
    """The answers for train rows are then of a fit on the test rows, and a fusion would be trained on these."""
    name = "windows" if windows else "rows"
    if not windows:
        edit(study / "windows.csv", lambda table: table.drop_duplicates("sequence").assign(id=lambda t: t["sequence"]))
        (study / "windows.csv").rename(study / "rows.csv")
    affectkit(*line(study, name=name))
    swapped = {"train": "test", "test": "train", "val": "val"}
    edit(study / "manifest.csv", lambda rows: rows.assign(split=rows["split"].map(swapped)))
    told = affectkit(*line(study, "--overwrite", name=name), code=1).stderr
    assert "'face' was fitted on 4 rows that are test in this manifest, as 's00'" in told
    edit(study / "manifest.csv", lambda rows: rows[rows["split"] == "test"])  # which trains nothing
    affectkit(*line(study, "--overwrite", name=name))


def test_answers_of_other_people_with_equal_ids_are_refused(affectkit, study):
    edit(study / "windows.csv", lambda table: table.drop_duplicates("sequence").assign(id=lambda t: t["sequence"]))
    edit(study / "windows.csv", lambda table: table.assign(subject="p" + table["sequence"]))
    assert "says subject 'ps00' of id 's00', the manifest 's00'" in affectkit(*line(study), code=1).stderr
