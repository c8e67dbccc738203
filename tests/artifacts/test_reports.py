"""Reports on disk: the CSVs hold the numbers of `metrics.json`."""

import json

import pandas as pd
import pytest

from affectkit.artifacts.predictions import Predictions
from affectkit.artifacts.reports import read_judged, read_report, report_tables, write_report
from affectkit.artifacts.tables import read_table
from affectkit.errors import AffectkitError
from affectkit.labels import Target

REPORT = {
    "split": "test",
    "n": 60,
    "groups": {"column": "speaker", "count": 2},
    "targets": [
        {"name": "label", "kind": "class", "classes": ["joy", "anger"]},
        {"name": "sex", "kind": "class", "classes": ["f", "m"]},
        {"name": "valence", "kind": "number", "scale": None},
        {"name": "arousal", "kind": "number", "scale": None},
    ],
    "metrics": {
        "uar": {"value": 0.625, "low": 0.5, "high": 0.75},
        "ece": {"value": 0.1, "low": None, "high": None},
        "valence.ccc": {"value": 0.6, "low": 0.5, "high": 0.7},
        "valence.mae": {"value": 0.2, "low": None, "high": None},
        "arousal.ccc": {"value": 0.4, "low": 0.3, "high": 0.5},
    },
    "floors": {"majority": {"uar": 0.5}, "train_mean": {"valence.ccc": 0.0}},
    "per_class": {
        "joy": {"n": 40, "recall": 0.75, "precision": 1.0},
        "anger": {"n": 0, "recall": float("nan"), "precision": 0.0},
    },
    "per_group": {"03": {"n": 30, "uar": 0.5}, "08": {"n": 30, "uar": 0.75}},
    "confusion": {"classes": ["joy", "anger"], "counts": [[30, 10], [0, 0]]},
    "other_targets": {"sex": {"per_class": {}, "confusion": {"classes": ["f", "m"], "counts": [[1, 2], [3, 4]]}}},
    "folds": {"count": 2, "metrics": {"uar": {"mean": 0.6, "sd": 0.1, "folds": 2}}},
    "slices": {"sex=female": {"n": 30, "groups": 1, "metrics": {"uar": {"value": 0.5, "low": None, "high": None}}}},
}  # fmt: skip

ROWS = {"id": ["a", "b"], "label": ["joy", "anger"], "valence": [0.5, float("nan")], "valence_pred": [0.25, -0.125]}
JUDGED = Predictions(pd.DataFrame(ROWS), {"valence": Target("valence", "number")})


@pytest.fixture
def folder(tmp_path):
    write_report(tmp_path / "report", REPORT, JUDGED)
    return tmp_path / "report"


def rows(path):
    table = read_table(path)
    return [list(table.columns), *table.to_numpy().tolist()]


def test_files(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion_counts.csv", "confusion_row_normalized.csv", "judged.csv", "metrics.csv", "metrics.json",
        "per_class.csv", "per_fold.csv", "per_group.csv", "per_target.csv", "sex_confusion_counts.csv",
        "sex_confusion_row_normalized.csv", "slices.csv",
    ]  # fmt: skip


def test_judged_rows_of_numbers_come_back(folder):
    """They are what clouds of points are drawn from."""
    table = read_judged(folder)
    assert list(table.columns) == ["id", "valence", "valence_pred"]
    assert table["valence_pred"].tolist() == [0.25, -0.125]
    assert table["valence"].isna().tolist() == [False, True]


def test_tables_hold_the_numbers_of_the_report(folder):
    assert rows(folder / "confusion_counts.csv") == [["true", "joy", "anger"], ["joy", "30", "10"], ["anger", "0", "0"]]
    shares = rows(folder / "confusion_row_normalized.csv")
    assert shares == [["true", "joy", "anger"], ["joy", "0.75", "0.25"], ["anger", "", ""]]
    assert rows(folder / "per_class.csv")[1:] == [["joy", "40", "0.75", "1"], ["anger", "0", "", "0"]]
    assert rows(folder / "per_group.csv") == [["speaker", "n", "uar"], ["03", "30", "0.5"], ["08", "30", "0.75"]]
    assert rows(folder / "sex_confusion_counts.csv") == [["true", "f", "m"], ["f", "1", "2"], ["m", "3", "4"]]
    assert rows(folder / "per_fold.csv") == [["metric", "mean", "sd", "folds"], ["uar", "0.6", "0.1", "2"]]
    assert rows(folder / "slices.csv")[1] == ["sex=female", "30", "1", "uar", "0.5", "", ""]
    metrics = rows(folder / "metrics.csv")
    assert metrics[0] == ["metric", "value", "low", "high", "floor_majority", "floor_train_mean"]
    assert metrics[1] == ["uar", "0.625", "0.5", "0.75", "0.5", ""]
    targets = rows(folder / "per_target.csv")
    assert targets[0] == ["target", "ccc", "ccc_low", "ccc_high", "mae", "mae_low", "mae_high"]
    assert targets[1:] == [
        ["valence", "0.6", "0.5", "0.7", "0.2", "", ""],
        ["arousal", "0.4", "0.3", "0.5", "", "", ""],
    ]


def test_a_class_called_true_does_not_collide():
    tables = report_tables(REPORT | {"confusion": {"classes": ["true", "false"], "counts": [[1, 2], [3, 4]]}})
    assert tables["confusion_counts"].to_numpy().tolist() == [["true", 1, 2], ["false", 3, 4]]


def test_tables_without_rows_are_left_out():
    assert list(report_tables({"metrics": {"uar": REPORT["metrics"]["uar"]}})) == ["metrics"]


def test_read_back(folder):
    report = read_report(folder)
    assert report["metrics"] == REPORT["metrics"]
    assert report["per_class"]["anger"]["recall"] is None
    assert report == read_report(folder / "metrics.json")
    assert report["schema"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [("{}", "has no 'metrics'"), ('{"schema": 99}', "newer"), ("[]", "JSON object"), ("{", "not a JSON report")],
)
def test_refuses_what_is_no_report(tmp_path, content, said):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(AffectkitError, match=said) as caught:
        read_report(tmp_path / "metrics.json")
    assert caught.value.file.endswith("metrics.json")


def test_refuses_an_unfinished_folder(folder):
    (folder / "started.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(AffectkitError, match="unfinished"):
        read_report(folder)
