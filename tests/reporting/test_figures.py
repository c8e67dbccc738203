"""Which figures a report gets."""

import pytest

from affectkit.reporting import evaluated


@pytest.fixture(scope="module", autouse=True)
def _figures():
    """Which they are is asked here, not how they look: none is drawn."""


def names(report, predictions):
    return [figure.name for figure in evaluated.page(report, predictions.frame).figures]


def test_classes(class_report, no_rows):
    assert names(class_report(), no_rows) == ["recall", "confusion", "reliability", "groups_uar"]


def test_numbers(number_report):
    report, table = number_report(rows=20)
    clouds = [f"{name}_{kind}" for name in ("valence", "arousal") for kind in ("scatter", "bland_altman")]
    assert names(report, table) == [*clouds, "groups_valence_ccc"]


def test_groups_of_single_targets_rather_than_of_their_mean(class_report, no_rows):
    report = class_report(groups=2)
    report["per_group"] = {g: {"n": 3, "ccc": 0.5, "uar": 0.5, "valence.ccc": 0.4, "arousal.ccc": 0.6} for g in "ab"}
    drawn = [name for name in names(report, no_rows) if name.startswith("groups")]
    assert drawn == ["groups_uar", "groups_valence_ccc", "groups_arousal_ccc"]


@pytest.mark.parametrize(
    ("without", "gone"),
    [("calibration", "reliability"), ("groups", "groups_uar"), ("confusion", "confusion"), ("per_class", "recall")],
)
def test_what_a_report_lacks_is_not_drawn(class_report, no_rows, without, gone):
    report = class_report()
    assert gone in names(report, no_rows)
    assert gone not in names({**report, without: None}, no_rows)


def test_rows_without_truth_are_not_drawn(number_report):
    report, table = number_report(rows=3, names=("valence",))
    table.frame["valence"] = float("nan")
    assert "valence_scatter" not in names(report, table)


def test_a_target_of_any_name_makes_a_safe_file_name(number_report):
    report, table = number_report(rows=20, names=(":a b.c",))
    assert "_a_b_c_scatter" in names(report, table)
