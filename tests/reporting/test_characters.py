"""Curves in characters, against what a hand would draw."""

import math

from affectkit.reporting.characters import BRAILLE, LETTERS, Chart, Curve, drawn


def lines(chart, width=24, height=7, pen=LETTERS):
    return [line.plain.rstrip() for line in drawn(chart, width, height, pen)]


def test_two_curves_cross():
    falling, rising = Curve("train", [4.0, 3.0, 2.0, 1.0], "yellow"), Curve("val", [1.0, 2.0, 3.0, 4.0], "cyan")
    assert lines(Chart("loss", [falling, rising], [1, 2, 3, 4], mark=2), 15, 7) == [
        "loss  train 1.0",
        "4.000 |tt    vv",
        "      | tttvvv",
        "      | vvvvtt",
        "1.000 |vv    tt",
        "      +--^-----",
        "       1      4",
    ]


def test_a_curve_is_broken_where_it_is_unknown():
    chart = Chart("loss", [Curve("val", [1.0, math.nan, math.nan, 1.0], "cyan")], [1, 2, 3, 4])
    rows = lines(chart, 47, 4)
    assert any(row.endswith("|v" + " " * 38 + "v") for row in rows), rows


def test_one_epoch_is_a_point_and_none_is_said():
    rows = lines(Chart("loss", [Curve("val", [0.5], "cyan")], [1]))
    assert sum(row.count("v") for row in rows[1:]) == 1
    for values in ([], [math.nan]):
        rows = lines(Chart("loss", [Curve("val", values, "cyan")], [1] * len(values)))
        assert rows[:2] == ["loss  val -", "no figures yet"] and len(rows) == 7


def test_a_steep_loss_stands_on_a_logarithmic_axis():
    rows = lines(Chart("loss", [Curve("train", [100.0, 10.0, 1.0], "yellow")], [1, 2, 3]), 30, 8)
    assert rows[0].startswith("loss (log)")
    assert [label for row in rows if (label := row.partition("|")[0].strip()) and "|" in row] == [
        "100.000",
        "10.000",
        "1.000",
    ]


def test_braille_has_eight_dots_a_cell():
    chart = Chart("loss", [Curve("train", [1.0, 0.0], "yellow")], [1, 2])
    rows = lines(chart, 15, 6, BRAILLE)
    assert [row.partition("┤")[2] for row in rows[1:4]] == ["⠙⢦⣀", "  ⠈⠳⢤⡀", "     ⠉⠳⣄"]


def test_of_many_points_none_is_lost():
    values = [0.0] * 2000
    values[1234] = 1.0
    rows = lines(Chart("loss", [Curve("train", values, "yellow")], range(2000)), 60, 8)
    assert rows[1].count("t") == 1
