"""The lines for a terminal."""

from affectkit import console
from affectkit.reporting import evaluated, terminal
from affectkit.reporting.page import Table


def key_lines(report):
    return terminal.lines(evaluated.page(report))


def test_key_lines(class_report):
    report = class_report(("joy", "anger"), groups=4) | {"declared": []}
    report["metrics"]["uar"] = {"value": 0.75, "low": 0.5, "high": 0.9}
    assert key_lines(report) == [
        f"{report['n']} rows of split test, held out: no row was predicted by a model fitted on its group",
        "",
        "metric    value        interval  majority",
        "uar       0.750  [0.500, 0.900]     0.500",
        "accuracy  0.812  [0.762, 0.862]     0.400",
        "ece       0.083                         -",
        "",
        "intervals: 95 %, jackknife with Student's t over 4 groups (speaker)",
        "ece of a calibrated model: 0.044 on average, 95 % below 0.061",
    ]


def test_warnings_are_kept_by_quiet_and_name_their_part_where_others_lack_them(class_report, tmp_path, capsys):
    """Those of all parts stand once, after the lines of all."""
    report = class_report(("joy", "anger"), groups=4)
    parts = {"oof": report | {"warnings": ["few groups", "no joy"]}, "test": report | {"warnings": ["few groups"]}}
    outcome = terminal.outcome(tmp_path, {}, {part: evaluated.page(report) for part, report in parts.items()})
    assert outcome.lines == key_lines(parts["oof"]) + key_lines(parts["test"])
    assert outcome.warnings == ["few groups", "oof rows: no joy"]
    console.configure(quiet=True)
    console.show(outcome)
    console.configure()
    assert capsys.readouterr() == (f"{tmp_path}\n", "warning: few groups\nwarning: oof rows: no joy\n")


def test_alerts_stand_below_the_key_figures(class_report):
    rates = {"sensitivity": {"value": 0.75, "low": 0.5, "high": 0.9}, "fpr": {"value": 0.1, "low": None, "high": None}}
    rates["precision"] = {"value": None, "low": None, "high": None}
    counts = {"n": 40, "groups": 5, "positives": 12, "raised": 9}
    alert = {**counts, "metrics": rates, "slices": {}, "per_group": {}}
    lines = key_lines(class_report() | {"alerts": {"anger>=0.5": alert}})
    start = next(i for i, line in enumerate(lines) if line.startswith("alert"))
    assert lines[start : start + 3] == [
        "alert       positive  raised  sensitivity                  false positive rate    precision",
        "anger>=0.5        12       9        0.750  [0.500, 0.900]                0.100            -",
        "",
    ]


def test_declared_defects_qualify_what_held_out_means(class_report):
    lines = key_lines(class_report())
    assert lines[0].endswith("no row was predicted by a model fitted on it, but see what is declared of their groups")
    assert "declared: speaker-dependent by protocol" in lines


def test_says_when_nobody_knows_what_was_seen(class_report):
    report = class_report() | {"foreign": True, "groups": None}
    lines = key_lines(report)
    assert lines[0].endswith("rows of split test, taken as held out: nothing says what the model had seen")
    assert "intervals: 95 %, jackknife with Student's t over rows taken as independent (i.i.d.)" in lines


def test_undefined_figures_are_dashes(class_report):
    report = class_report()
    report["metrics"]["uar"] = {"value": float("nan"), "low": None, "high": None}
    assert any(line.split() == ["uar", "-", "0.333"] for line in key_lines(report))


def test_names_that_hold_control_characters_keep_their_column():
    table = Table("", "run\x1b[1m", ["uar"], {"a\nb": [0.5], "c": [0.25]})
    assert terminal.aligned(table) == [
        r"run\u001b[1m    uar",
        r"a\nb          0.500",
        r"c             0.250",
    ]
