"""Figures and sections of agreement: what is drawn is what was judged, small whatever the number of rows, and true to
a subject."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.predictions import Predictions
from affectkit.evaluation.agreement import agreement
from affectkit.evaluation.intervals import Resampling
from affectkit.labels import Target
from affectkit.plain import without_nan
from affectkit.reporting.agreed import agreement_section, better, summary_section
from affectkit.reporting.browser import LARGEST, render
from affectkit.reporting.figures import agreement as figures
from affectkit.reporting.figures.agreement import LINES, MANY, between_within, bland_altman
from affectkit.reporting.page import Page
from affectkit.reporting.terminal import plain

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def sessions():
    """`sessions(subjects, rows)`: judged rows and their agreement."""

    def make(subjects=5, rows=60, name="stress", constant=False):
        rng = np.random.default_rng(0)
        subject = np.arange(rows) % subjects
        truth = 3 + 0.5 * rng.standard_normal(subjects)[subject] + (0 if constant else 0.5 * rng.standard_normal(rows))
        predicted = 1 + 0.6 * truth + 0.3 * rng.standard_normal(rows)
        columns = {name: truth, f"{name}_pred": predicted, "subject": [f"p{s}" for s in subject]}
        frame = pd.DataFrame({"id": [f"r{i}" for i in range(rows)], **columns})
        target = Target(name, "number", scale=(1.0, 5.0))
        found, _ = agreement(Predictions(frame, {name: target}), [target], "subject", Resampling("jackknife"))
        return frame, without_nan(found)

    return make


def drawn(frame, found, name="stress"):
    rows = frame[name].to_numpy(), frame[f"{name}_pred"].to_numpy(), frame["subject"].to_numpy()
    row = found["targets"][name]
    return (
        between_within(*rows, name=name, scale=(1, 5), figures=row),
        bland_altman(*rows, name=name, figures=row["bland_altman"]),
    )


@pytest.mark.parametrize(("subjects", "rows"), [(1, 6), (2, 4), (5, 60), (6, MANY), (7, 60), (1000, 6000)])
def test_small_and_sound_for_any_number_of_subjects(sessions, sound, subjects, rows):
    frame, found = sessions(subjects, rows)
    for plot in drawn(frame, found):
        sound(plot)
        assert f"{subjects} subjects, {rows} rows" in plot.alt


def test_the_text_alternative_says_the_figures(sessions):
    frame, found = sessions()
    row = found["targets"]["stress"]
    both, limits = drawn(frame, found)
    assert f"within subjects: r {row['within']['pearson']['value']:.3f}" in both.alt
    assert f"upper {row['bland_altman']['upper']['value']:.3f} [" in limits.alt


def test_labels_of_limits_that_lie_close_stand_apart_and_points_are_not_dwarfed(sessions, monkeypatch):
    """Intervals of four subjects may be twenty times as wide as all that is known."""
    frame, found = sessions(4, 8)
    limits = found["targets"]["stress"]["bland_altman"]
    for key, value in (("bias", 0.0), ("lower", -0.05), ("upper", 0.06)):
        limits[key] = {"value": value, "low": value - 50, "high": value + 50}
    labels, axis = [], []
    monkeypatch.setattr(
        figures, "beside_row", lambda axes, x, y, text: labels.append(y) or axis.append(axes.get_ylim())
    )
    drawn(frame, found)
    low, high = axis[0]
    assert np.diff(sorted(labels)).min() >= 0.09 * (high - low)
    assert high - low < 4 * np.ptp([*(frame["stress_pred"] - frame["stress"]), 0.06, -0.05])


def test_few_are_counted_in_plain_words(sessions, read_page):
    frame, found = sessions(3, 4)  # one has two rows, and no interval
    section = agreement_section("stress", found, frame, (1, 5))
    html = render(Page(title="T", lead=[], sections=[section]))
    told = read_page(html).text
    assert "4 rows of 3 subjects with a self-report and a prediction; 1 subject (33%) has two rows" in told
    assert "Of 2 rows of 1 subject with two rows or more" in told
    assert "over the 2 of 4 rows whose subject has two or more" in told and "</data>: without an interval" in html
    [section] = summary_section(found)
    assert any("over the 2 of 4 rows whose subject has two or more" in plain(text) for text in section.text)


def test_one_score_per_subject_has_no_lines_but_a_figure(sessions, sound):
    frame, found = sessions(constant=True)
    both, limits = drawn(frame, found)
    assert "within subjects: undefined" in sound(both)
    sound(limits)


def test_few_subjects_have_their_own_colour_and_mark_and_many_a_cloud(sessions):
    colours = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7")
    few, _ = drawn(*sessions(5, 60))
    assert all(colour in few.svg.lower() for colour in colours)
    many, _ = drawn(*sessions(90, 6_000))
    assert "<image" in many.svg and many.svg.lower().count("stroke: #d55e00") <= LINES


def test_names_that_break_pages_are_escaped(sessions, sound, read_page):
    frame, found = sessions(name="a&b")
    for plot in drawn(frame, found, "a&b"):
        sound(plot)
    frame = frame.assign(subject=EVIL)
    section = agreement_section("a&b", found, frame, (1, 5))
    html = render(Page(title=EVIL, lead=[], sections=[section]))
    assert "script" not in read_page(html).tags


def test_three_numbers_of_thirty_thousand_rows_fit_a_page(sessions):
    sections = [agreement_section(name, found, frame, (1, 5)) for name in "abc"
                for frame, found in [sessions(200, 10_000, name)]]  # fmt: skip
    page = render(Page(title="T", lead=[], sections=sections))
    assert "Left out" not in page
    assert len(page.encode()) < LARGEST


def test_the_table_has_every_figure_with_all_digits(sessions, read_page):
    frame, found = sessions()
    row = found["targets"]["stress"]
    made = read_page(render(Page(title="T", lead=[], sections=[agreement_section("stress", found, frame, (1, 5))])))
    for level in ("all", "between", "within"):
        assert {row[level][name][end] for name in row[level] for end in ("value", "low", "high")} <= {
            *made.numbers,
            None,
        }
    assert row["floors"]["difference"]["mae"]["p"] in made.numbers
    assert row["bland_altman"]["sd_within"] in made.numbers
    assert "60 rows of 5 subjects with a self-report and a prediction; 5 subjects (100%) have two rows" in made.text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.3, -0.1, "the model is better"),
        (0.1, 0.3, "the subject's own mean is better"),
        (-0.1, 0.1, "these rows do not tell which is better"),
        (None, None, "without an interval, which is better cannot be told"),
    ],
)
def test_the_verdict_is_that_of_the_interval(low, high, said):
    assert better({"value": 0.0, "low": low, "high": high}) == said


def test_a_terminal_says_it_in_lines(sessions):
    _, found = sessions()
    [section] = summary_section(found)
    row = found["targets"]["stress"]
    assert section.tables[0].columns == ["all rows", "between", "within"]
    lines = list(map(plain, section.text))
    assert lines[0] == "5 subjects, 5 with two rows or more"
    assert lines[1].startswith(f"bias {row['bland_altman']['bias']['value']:.3f} [")
    assert lines[2].endswith(better(row["floors"]["difference"]["mae"]))
