"""calibrate --per: a fit for each value of a column, with every method."""

import json

import numpy as np
import pandas as pd
import pytest

from affectkit import registry
from affectkit.artifacts.outputs import GroundTruth, TargetPrediction
from affectkit.artifacts.predictions import read_predictions
from affectkit.calibration.method import CalibrationModel, build_method
from affectkit.errors import AffectkitError
from affectkit.evaluation.comparison import compare, target_metric
from affectkit.labels import Target

BUILT = {name: registry.load("methods", name).build() for name in registry.names("methods") if name != "conformal"}
OF_THEIR_OWN = [(name, kind) for name, method in BUILT.items() for kind in method.kinds]
LANGUAGES = np.resize(["en", "zh", "zh", "", "de"], 400)  # of 400 rows 80 are German


def make(kind):
    """400 answers, and their truth."""
    rng = np.random.default_rng(3)
    groups = np.array([f"s{i % 5}" for i in range(400)])
    if kind == "class":
        p = rng.dirichlet(np.full(4, 0.5), 400)
        truth = np.where(rng.random(400) < 0.7, p.argmax(axis=1), rng.integers(4, size=400))
        return TargetPrediction.of(Target("label", "class", tuple("abcd")), p), GroundTruth(truth.astype(float), groups)
    truth = rng.uniform(1, 5, 400).round(1)
    mean, var = truth + rng.standard_normal(400) * 0.8, rng.chisquare(4, 400) / 4
    return TargetPrediction(Target("valence", "number", scale=(1.0, 5.0)), mean=mean, var=var), GroundTruth(
        truth, groups
    )


def spoken(rows, cells=LANGUAGES):
    return GroundTruth(rows.truth, rows.groups, {"language": np.asarray(cells, dtype=object)})


def alike(one, other):
    for name in ("probabilities", "mean", "var", "low", "high"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "kind"), OF_THEIR_OWN)
def test_each_value_has_the_fit_of_its_own_rows_and_the_rest_that_of_all(name, kind):
    """160 rows are Chinese, 80 English and German each."""
    output, rows = make(kind)
    method, plain = build_method(name, {"per": "language", "min_rows": 100}), build_method(name, {})
    fitted = json.loads(json.dumps(method.fit(output, spoken(rows))))
    assert {value: (fit["rows"], bool(fit["parameters"])) for value, fit in fitted["values"].items()} == {
        "de": (80, False), "en": (80, False), "zh": (160, True),
    }  # fmt: skip
    method.check(fitted, output.target)
    chinese = np.flatnonzero(LANGUAGES == "zh")
    of_chinese = plain.fit(output.take(chinese), rows.take(chinese))
    said = method.apply(fitted, output, spoken(rows))
    alike(said.take(chinese), plain.apply(of_chinese, output.take(chinese), rows.take(chinese)))
    others = np.flatnonzero(LANGUAGES != "zh")
    overall = plain.apply(plain.fit(output, rows), output, rows)
    alike(said.take(others), overall.take(others))
    alike(method.apply(fitted, output, spoken(rows, ["fr"] * 400)), overall)  # a value that was never met


@pytest.mark.parametrize(("name", "kind"), OF_THEIR_OWN)
def test_the_order_of_rows_changes_no_bit(name, kind):
    output, rows = make(kind)
    order = np.random.default_rng(0).permutation(400)
    method = build_method(name, {"per": "language", "min_rows": 50})
    assert method.fit(output, spoken(rows)) == method.fit(output.take(order), spoken(rows).take(order))


def test_a_value_of_one_group_has_no_fit_of_its_own_where_the_method_may_not():
    output, rows = make("class")
    groups = np.where(LANGUAGES == "zh", "s1", rows.groups)
    rows = GroundTruth(rows.truth, groups, {"language": LANGUAGES})
    fits = {
        name: build_method(name, {"per": "language"}).fit(output, rows)["values"] for name in ("vector", "temperature")
    }
    assert fits["vector"]["zh"]["parameters"] is None and fits["temperature"]["zh"]["parameters"] is not None


def test_a_number_of_rows_below_1_is_refused():
    with pytest.raises(AffectkitError, match="--min-rows 0"):
        build_method("temperature", {"per": "language", "min_rows": 0})


# --- The command


@pytest.fixture
def table(tmp_path):
    """600 rows by 12 speakers; the model is far too sure in Chinese, and not sure enough in English. Two are German."""
    rng, count = np.random.default_rng(0), 600
    language = np.array(["zh" if i % 2 else "en" for i in range(count)], dtype=object)
    language[:2] = "de"
    z = 1.5 * rng.normal(size=(count, 3))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    truth = (rng.random((count, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    said = np.exp(z * np.where(language == "zh", 3.0, 0.5)[:, None])
    frame = pd.DataFrame(said / said.sum(1, keepdims=True), columns=["prob_a", "prob_b", "prob_c"])
    frame.insert(0, "id", [f"r{i}" for i in range(count)])
    frame = frame.assign(label=np.array(list("abc"))[truth], language=language, seen="heldout")
    frame = frame.assign(
        speaker=[f"s{i % 12}" for i in range(count)], split=["test" if i % 12 > 7 else "val" for i in range(count)]
    )
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_the_report_has_each_values_fit_and_what_it_changed(affectkit, table, tmp_path):
    result = affectkit("calibrate", table, "--method", "temperature", "--per", "language", "-o", tmp_path / "c")
    per = json.loads((tmp_path / "c" / "train_report.json").read_text())["per_value"]
    assert (per["column"], per["min_rows"]) == ("language", 100)
    fits = per["targets"]["label"]
    assert {value: fit["rows"] for value, fit in fits.items()} == {"de": 2, "en": 199, "zh": 199}
    assert fits["de"]["parameters"] is None and "label of language de: 2 rows, that of all rows" in result.stderr
    assert fits["en"]["parameters"]["temperature"] == pytest.approx(0.5, rel=0.3)
    assert fits["zh"]["parameters"]["temperature"] == pytest.approx(3, rel=0.3)
    for language in ("en", "zh"):
        for part in ("oof", "test"):
            change = per["changes"][language][part]["label"]["nll"]
            assert change["after"] < change["before"]
    page = (tmp_path / "c" / "report.html").read_text()
    assert "Fits for each language of 100 rows or more" in page
    after = read_predictions(tmp_path / "c" / "predictions.csv")
    assert set(after.frame["seen"][after.frame["split"] == "val"]) == {"oof"}
    assert CalibrationModel.load(tmp_path / "c" / "best_model").columns == ["language"]


def each_against_one(affectkit, table, folder):
    """The difference in NLL of a temperature for each language to one for all, on cross-fitted rows, paired over
    speakers; and the former's NLL."""
    tables = []
    for name, more in {"each": ["--per", "language"], "one": []}.items():
        affectkit("calibrate", table, "--method", "temperature", *more, "-o", folder / name)
        said = read_predictions(folder / name / "predictions.csv")
        tables.append(said.take(said.frame["seen"] == "oof"))
    comparison = compare(*tables, target_metric("nll", tables[0].targets), tables[0].groups("speaker"))
    return comparison.difference, comparison.first


def test_groups_that_are_wrong_in_opposite_ways_gain(affectkit, table, tmp_path):
    """One temperature for both is wrong for each: a fit for each lowers the NLL beyond chance."""
    difference, _ = each_against_one(affectkit, table, tmp_path)
    assert difference.high < 0 and difference.value < -0.05


@pytest.mark.parametrize("column", ["language", "label"])
def test_where_there_is_nothing_to_gain_a_fit_for_each_is_as_good_as_one(column, affectkit, table, tmp_path):
    """Groups dealt out at random; and truths dealt out anew, which no cross-fitted answer may have seen."""
    frame = pd.read_csv(table)
    frame[column] = np.random.default_rng(1).permutation(frame[column])
    frame.to_csv(table, index=False)
    difference, nll = each_against_one(affectkit, table, tmp_path)
    assert abs(difference.value) < 0.01 and difference.high > 0
    assert column == "language" or nll > np.log(3) - 0.01  # nothing is known of a truth at random


def test_folds_have_a_fit_for_the_values_for_which_the_final_one_has(affectkit, table, tmp_path):
    """199 rows are enough for 190, though a fold's fit has fewer: what is judged is what is kept."""
    affectkit(
        "calibrate", table, "--method", "temperature", "--per", "language", "--min-rows", "190", "-o", tmp_path / "c"
    )
    after, before = (
        read_predictions(path).frame.set_index("id") for path in (tmp_path / "c" / "predictions.csv", table)
    )
    judged = after[(after["split"] == "val") & (after["language"] == "zh")].index
    ratio = np.log(before.loc[judged, "prob_a"] / before.loc[judged, "prob_b"])
    temperatures = ratio / np.log(after.loc[judged, "prob_a"] / after.loc[judged, "prob_b"])
    assert temperatures.min() > 2 and len(set(temperatures.round(4))) > 1  # one of each fold, and none of all rows


def test_auto_chooses_among_methods_for_each_value(affectkit, table, tmp_path):
    affectkit("calibrate", table, "--per", "language", "-o", tmp_path / "c")
    report = json.loads((tmp_path / "c" / "train_report.json").read_text())
    assert report["method"]["label"] != "none" and report["per_value"]["targets"]["label"]["en"]["parameters"]


def test_no_column_is_no_value(affectkit, table, tmp_path):
    affectkit("calibrate", table, "--method", "temperature", "--per", "", "-o", tmp_path / "c")
    assert not CalibrationModel.load(tmp_path / "c" / "best_model").columns


def test_a_missing_number_is_no_value(affectkit, table, tmp_path):
    frame = pd.read_csv(table)
    frame.assign(track=np.where(frame.index % 2, 1.5, np.nan)).to_csv(tmp_path / "t.csv", index=False)
    line = ("--method", "temperature", "--per", "track", "-o", tmp_path / "c")
    affectkit("calibrate", tmp_path / "t.csv", *line)
    per = json.loads((tmp_path / "c" / "train_report.json").read_text())["per_value"]
    assert list(per["targets"]["label"]) == ["1.5"]


REFUSED = {
    "a fit for each row": (["--method", "temperature", "--per", "id"], "the column 'id' has 400 values", 1),
    "no such column": (["--method", "temperature", "--per", "dialect"], "has no column 'dialect'", 1),
    "rows of no column": (["--method", "temperature", "--min-rows", "50"], "--min-rows needs --per", 2),
    "what conformal promises is for no number of rows": (
        ["--method", "conformal", "--per", "language", "--min-rows", "50"], "conformal has no option --min-rows", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused(what, affectkit, table, tmp_path):
    line, message, code = REFUSED[what]
    assert message in affectkit("calibrate", table, *line, "-o", tmp_path / "c", code=code).stderr


DAMAGE = {
    "a value's fit": lambda p: p["values"]["en"]["parameters"].update(temperature=-1),
    "the fit of all": lambda p: p["overall"].update(temperature="x"),
    "no fit of all": lambda p: p.pop("overall"),
    "no values": lambda p: p.pop("values"),
    "values that are none": lambda p: p.update(values=[1]),
    "no count": lambda p: p["values"]["en"].update(rows="many"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_refused_when_it_is_loaded(what, affectkit, table, tmp_path):
    affectkit("calibrate", table, "--method", "temperature", "--per", "language", "-o", tmp_path / "c")
    (tmp_path / "c" / "run.json").unlink()
    (tmp_path / "c" / "started.json").unlink()
    file = tmp_path / "c" / "best_model" / "calibration.json"
    stored = json.loads(file.read_text())
    DAMAGE[what](stored["targets"]["label"]["parameters"])
    file.write_text(json.dumps(stored))
    with pytest.raises(AffectkitError) as caught:
        CalibrationModel.load(tmp_path / "c" / "best_model")
    assert caught.value.code == "input"
