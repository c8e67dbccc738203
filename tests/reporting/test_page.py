"""A page of cards, sentences, tables and figures: nothing lost, nothing unsafe, never large."""

import re

import numpy as np
import pytest

from affectkit.reporting.browser import LARGEST, render
from affectkit.reporting.page import Card, Figure, Page, Plot, Section, Table

NAN = float("nan")
UAR = {"value": 0.7123456789, "low": 0.65, "high": 0.78}
EVIL = "<script>alert(1)</script>"


def figure(name, size=100, wide=False):
    svg = f'<svg role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg"><text>{"x" * size}</text></svg>'
    return Figure(name, f"What {name} shows.", lambda: Plot(svg, name, wide))


def table(rows, columns=("value",), **more):
    return Table("A table.", "name", columns, rows, **more)


def page(**known):
    return render(Page(**known))


def one(*tables, figures=(), **more):
    """A page of one section."""
    return page(title="Title", lead=[], sections=[Section("Section", tables=tables, figures=figures)], **more)


def test_numbers_keep_all_their_digits_wherever_they_stand(read_page):
    section = Section(
        "Key figures",
        text=[("Against ", 0.70000001, " before.")],
        cards=[Card("ECE", 0.0167123456, [("calibrated model: ", 0.00823456)])],
        tables=[table({"a": [0.123456789]})],
        note=("Holm over ", 6, " comparisons."),
    )
    html = page(title="Fusion", lead=[("UAR ", UAR, " of ", 535, " rows.")], sections=[section])
    expected = [0.7123456789, 0.65, 0.78, 535, 0.70000001, 0.0167123456, 0.00823456, 0.123456789, 6]
    assert read_page(html).numbers == expected
    text = re.sub("<[^>]+>", "", html)
    assert "UAR 0.712 [0.650, 0.780] of 535 rows." in text
    assert "Holm over 6 comparisons." in text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (UAR, "0.712[0.650,0.780]"),
        ({"value": 0.5}, "0.500"),
        ({"value": 0.5, "low": None, "high": 1.0}, "0.500"),
        (np.float64(0.25), "0.250"),
        (np.int64(7), "7"),
        (True, "yes"),
        (False, "no"),
        ("held out", "held out"),
        (None, "\N{EN DASH}"),
        (NAN, "\N{EN DASH}"),
        ({"value": NAN, "low": NAN, "high": NAN}, "\N{EN DASH}"),
    ],
)
def test_what_a_cell_may_hold(read_page, cell, text):
    row = next(row for row in read_page(one(table({"a": [cell]}))).rows if row[0] == "a")
    assert "".join(row[1:]) == text


def test_values_and_intervals_stand_in_columns_of_their_own(read_page):
    html = one(table({"a": [UAR, 1], "b": [{"value": 0.5}, 2]}, columns=("UAR", "n")))
    assert '<th scope="col" class="num" colspan="2">UAR</th>' in html
    assert [len(re.findall("<t[hd]", row)) for row in re.findall("<tr>.*?</tr>", html, re.DOTALL)] == [3, 4, 4]


def test_a_table_says_which_way_is_better(read_page):
    page = one(table({"ECE": [0.1], "UAR": [0.7], "n": [3]}, better={"ECE": "lower", "UAR": "higher"}))
    assert page.count('aria-label="lower is better"') == page.count('aria-label="higher is better"') == 1


def test_rows_may_lack_cells(read_page):
    rows = read_page(one(table({"a": [1, 2], "b": []}, columns=("x", "y")))).rows
    assert rows[1:] == [["a", "1", "2"], ["b", "\N{EN DASH}", "\N{EN DASH}"]]


def test_long_tables_are_cut_and_name_the_file_with_all_rows(read_page):
    made = read_page(one(table({f"r{i}": [i] for i in range(500)}, file="model_selection.csv")))
    assert "The first 200 of 500; model_selection.csv has them all." in made.text
    assert len(made.rows) == 201


def test_short_tables_stand_before_the_figures_and_long_ones_after():
    short, long = table({"first": [1]}), table({f"r{i}": [i] for i in range(30)})
    folded = table({"last": [1]}, folded=True)
    html = one(long, folded, short, figures=[figure("forest")])
    assert html.index(">first<") < html.index("<figure>") < html.index(">r0<") < html.index("<details")


def test_warnings_stand_before_everything_and_transductive_figures_bring_their_own(read_page):
    made = read_page(one(warnings=["Few groups."], declared=["By protocol."], normalization="transductive"))
    assert made.text.index("Transductive: features") < made.text.index("Few groups.") < made.text.index("By protocol.")
    assert made.text.count("Transductive: features") == 1


def test_synthetic_data_are_a_warning(read_page):
    made = read_page(one(corpora=[{"name": "twin", "synthetic": True}]))
    assert "Synthetic data (twin): these figures say nothing about real people." in made.text


def test_metrics_are_explained_once(read_page):
    text = read_page(one(metrics=["val_x", "ece", "uar", "label.uar"])).text
    assert "Metrics in words" in text
    assert text.count("UAR") == 1


def test_inputs_and_the_source_of_the_numbers_are_named(read_page):
    made = read_page(one(inputs=[{"name": "a.csv", "size": 12, "sha256": "ab"}], source="calibration.json"))
    assert made.rows[-1] == ["a.csv", "12", "ab"]
    assert "The same numbers, unrounded, are in calibration.json." in made.text


def test_a_section_of_nothing_is_left_out(read_page):
    made = page(title="T", lead=[], sections=[Section("Nothing"), Section("Something", text=["Said."])])
    assert "Nothing" not in made
    assert "Something" in made


def test_names_are_escaped_wherever_they_stand(read_page):
    made = read_page(
        page(
            title=EVIL,
            lead=[EVIL, (EVIL, 1)],
            sections=[
                Section(
                    EVIL,
                    text=[EVIL],
                    cards=[Card(EVIL, EVIL, [EVIL])],
                    tables=[Table(EVIL, EVIL, [EVIL], {EVIL: [EVIL]}, file=EVIL, better={EVIL: EVIL})],
                    figures=[Figure("a", EVIL, figure("a").draw)],
                    note=EVIL,
                )
            ],
            warnings=[EVIL],
            declared=[EVIL],
            corpora=[{"name": EVIL, "licence": EVIL}],
            inputs=[{"name": EVIL}],
            source=EVIL,
        )
    )
    assert "script" not in made.tags
    assert made.text.count(EVIL) == 22


def test_needs_no_network_and_runs_nothing(read_page):
    made = one(table({"a": [UAR]}), figures=[figure("forest")], inputs=[{"name": "a.csv", "size": 1, "sha256": "ab"}])
    assert "http" not in made
    assert "@import" not in made
    assert not {"script", "link", "iframe", "img", "form"} & set(read_page(made).tags)


def test_is_accessible(read_page):
    made = read_page(one(table({"a": [UAR]}), table({"b": ["text"]}, folded=True), figures=[figure("forest")]))
    assert ("html", {"lang": "en"}) in made.attributes
    assert made.tags.count("h1") == 1
    assert made.tags.count("caption") == made.tags.count("table") == 2
    assert all(a.get("scope") for tag, a in made.attributes if tag == "th")


def test_same_bytes_on_a_rerun():
    def again():
        return one(table({"b": [UAR], "a": [1]}), figures=[figure("forest")], metrics=["uar", "ece"])

    assert again() == again()


def test_figures_without_room_are_left_out_with_a_pointer(read_page):
    figures = [figure("first", 200_000), figure("second", 300_000), figure("third", 100_000)]
    made = one(figures=figures)
    assert 300_000 < len(made.encode()) < LARGEST
    assert re.findall(r"see <code>(.*?)</code> beside it", made) == ["second.svg"]
    assert [read_page(made).text.count(f"What {f.name} shows.") for f in figures] == [1, 1, 1]


def test_stays_small_whatever_the_tables_hold(read_page):
    wide = [table({f"r{i}": [UAR] * 12 for i in range(300)}, columns=list("abcdefghijkl")) for _ in range(5)]
    inputs = [{"name": f"run{i}/predictions.csv", "size": 10**6, "sha256": "ab" * 32} for i in range(600)]
    made = one(*wide, figures=[figure("forest", 50_000)], inputs=inputs)
    assert len(made.encode()) < LARGEST
    assert "Left out" not in made
    assert "of 600; run.json has them all" in made
