"""The page says what `metrics.json` says, in one safe, small file."""

import json
import re

import pytest

from affectkit.artifacts.files import write_json
from affectkit.reporting import browser, evaluated
from affectkit.reporting.browser import LARGEST
from affectkit.results import words
from affectkit.results.words import headline


def render(report, predictions=None, **title):
    return browser.render(evaluated.page(report, None if predictions is None else predictions.frame, **title))


def leaves(value):
    """Every number in a nested report."""
    if isinstance(value, dict):
        return [n for item in value.values() for n in leaves(item)]
    if isinstance(value, list):
        return [n for item in value for n in leaves(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_numbers_equal_those_of_metrics_json(class_report, no_rows, tmp_path, read_page):
    report = class_report()
    write_json(tmp_path / "metrics.json", report)
    stored = json.loads((tmp_path / "metrics.json").read_text())
    page = read_page(render(report, no_rows))
    expected = leaves([stored[key] for key in ("n", "metrics", "floors", "per_class", "per_group", "slices")])
    assert set(expected) <= set(page.numbers)
    assert set(page.numbers) <= set(leaves({k: v for k, v in stored.items() if k != "schema"}))


def test_shown_numbers_are_the_rounded_values(class_report):
    page = render(class_report())
    pairs = re.findall(r'<data value="([^"]+)">([^<]+)</data>', page)
    assert ("0.8123456789", "0.812") in pairs
    for value, text in pairs:
        assert float(text) == pytest.approx(float(value), abs=0.0005)


def test_interval_floor_and_groups_stand_beside_the_figure(class_report, read_page):
    page = read_page(render(class_report()))
    row = next(row for row in page.rows if row[0] == "accuracy" and len(row) > 4)
    assert "".join(row) == "accuracy↑0.812[0.762,0.862]0.400"
    assert "95 %, jackknife with Student's t over 10 groups (speaker)" in page.text


@pytest.mark.parametrize(("kind", "shown"), [("class", False), ("ordinal", True)])
def test_weighted_kappa_is_for_ordered_classes(class_report, kind, shown):
    report = class_report()
    report["targets"][0]["kind"] = kind
    report["metrics"]["kappa_quadratic"] = {"value": 0.5, "low": None, "high": None}
    assert ("quadratic kappa" in render(report)) == shown


def test_prominent_notices(class_report, read_page):
    report = class_report() | {"normalization": "transductive"}
    report["corpora"][0]["synthetic"] = True
    page = read_page(render(report))
    before = page.text[: page.text.index("Key figures")]
    assert "few groups" in before
    assert "speaker-dependent by protocol" in before
    assert "Transductive: features were scaled per speaker" in before
    assert "held out: no row was predicted by a model fitted on it, but see what is declared" in before
    assert "Synthetic data (Berlin Database)" in before


def test_states_the_limits(class_report, read_page):
    text = read_page(render(class_report())).text
    assert "article 5(1)(f) of the AI Act" in text
    assert "prohibits AI systems that infer emotions of people at the workplace or in education" in text
    assert " ".join(words.INTENDED_USE.split()) in text


def test_same_bytes_on_a_rerun(class_report, number_report, no_rows):
    report = class_report()
    assert render(report, no_rows) == render(class_report(), no_rows)
    (one, table), (other, again) = (number_report(rows=20, names=("valence",)) for _ in range(2))
    assert render(one, table) == render(other, again)


def test_needs_no_network_and_runs_nothing(class_report, number_report, no_rows, read_page):
    report, (numbers, table) = class_report(), number_report(names=("valence",))
    for page in (render(report, no_rows), render(numbers, table)):
        parsed = read_page(page)
        assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & set(parsed.tags)
        assert "http" not in page
        assert "@import" not in page
        for _, attributes in parsed.attributes:
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("src", "href", "xlink:href"):
                assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))


def test_is_accessible(class_report, no_rows, read_page):
    report = class_report()
    page = read_page(render(report, no_rows))
    assert ("html", {"lang": "en"}) in page.attributes
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") == 6
    pictures = [attributes for tag, attributes in page.attributes if tag == "svg"]
    assert len(pictures) == page.tags.count("figcaption") == 4
    assert all(p["role"] == "img" and p["aria-label"] for p in pictures)
    assert all(a.get("scope") for tag, a in page.attributes if tag == "th")


def test_no_id_stands_twice(number_report):
    report, table = number_report()
    ids = re.findall(r' id="([^"]+)"', render(report, table))
    assert len(ids) == len(set(ids))


def test_names_are_escaped(class_report, no_rows, read_page):
    evil = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b")
    report = class_report(evil)
    report |= {"declared": [evil[0]], "warnings": [evil[1]], "slices": {evil[0]: next(iter(report["slices"].values()))}}
    report["groups"]["column"] = evil[0]
    report["per_group"] = {evil[1]: {"n": 3, "uar": 0.5}}
    report["corpora"] = [{"name": "x", "title": evil[0], "licence": evil[1], "citation": evil[2]}]
    page = read_page(render(report, no_rows, title=evil[0]))
    assert not {"script", "img"} & set(page.tags)
    assert page.text.count(evil[0]) >= 4


def test_stays_small_at_10_000_rows(number_report):
    report, table = number_report(rows=10_000, groups=91, names=("valence", "arousal", "dominance"))
    page = render(report, table)
    assert page.count("<figure") == 7
    assert "Left out" not in page
    assert len(page.encode()) < 200_000


def test_stays_below_the_limit_with_many_targets(number_report):
    report, table = number_report(rows=400, names=tuple(f"item_{i}" for i in range(6)))
    page = render(report, table)
    assert "Left out to keep this page small" in page
    assert 300_000 < len(page.encode()) < LARGEST


def test_long_tables_point_to_their_csv(class_report, read_page):
    report = class_report(groups=500)
    page = read_page(render(report))
    assert "The first 200 of 500" in page.text
    assert sum(row[0].startswith("s") and row[0][1:].isdigit() for row in page.rows) == 200


def test_alerts_stand_with_their_slices_and_groups(class_report, read_page):
    def judged(n, fpr):
        rates = {
            "sensitivity": {"value": 0.75, "low": 0.5, "high": 0.9},
            "fpr": {"value": fpr, "low": 0.0, "high": 0.3},
        }
        return {"n": n, "groups": 5, "positives": 12, "raised": 9, "metrics": rates}

    half = judged(20, 0.1875) | {"differences": {"fpr": {"value": 0.0625, "low": -0.1, "high": 0.2}}}
    groups = {f"s{i}": {"n": 4, "positives": 2, "raised": 1, "error": 0.25, "fpr": 0.0, "fnr": None} for i in range(60)}
    alerts = {"anger>=0.5": judged(40, 0.125) | {"slices": {"sex=female": half}, "per_group": groups}}
    html = render(class_report() | {"alerts": alerts})
    rows = {row[0]: "".join(row[1:]) for row in read_page(html).rows}
    assert rows["anger>=0.5"].startswith("4051290.750[0.500,0.900]0.125[0.000,0.300]")
    assert ["anger>=0.5, sex=female", "0.062", "[", "-0.100", ",", "0.200", "]"] in read_page(html).rows
    assert rows["s59"] == "4210.2500.000\N{EN DASH}"
    assert "difference in false positive rate" in html
    assert html.count("<details") == 1


def test_undefined_figures_are_dashes(class_report):
    report = class_report()
    report["metrics"]["uar"] = {"value": float("nan"), "low": None, "high": None}
    report["per_class"]["anger"]["recall"] = None
    page = render(report)
    assert '<span title="undefined">\N{EN DASH}</span>' in page
    assert "nan" not in page.lower()


def test_every_class_target_has_its_section(class_report, no_rows, read_page):
    report = class_report()
    report["targets"].append({"name": "dialogue act", "kind": "class", "classes": ["ask", "tell"]})
    counts = {"classes": ["ask", "tell"], "counts": [[3, 1], [0, 4]]}
    report["other_targets"] = {"dialogue act": {"per_class": {"ask": {"n": 4, "recall": 0.75}}, "confusion": counts}}
    made = evaluated.page(report, no_rows.frame)
    assert [
        figure.name for section in made.sections if section.title == "dialogue act" for figure in section.figures
    ] == [
        "dialogue_act_recall",
        "dialogue_act_confusion",
    ]
    page = read_page(browser.render(made))
    assert next(row for row in page.rows if row[0] == "ask")[:3] == ["ask", "4", "0.750"]
    assert len([tag for tag in page.tags if tag == "figure"]) == len(made.figures)


def test_a_bare_report_renders(read_page):
    page = read_page(
        render({"split": None, "n": 3, "metrics": {"accuracy": {"value": 1.0, "low": None, "high": None}}})
    )
    assert "3 rows" in page.text
    assert "carry no record of how features were scaled" in page.text


def test_headline_puts_means_before_single_targets():
    names = ["valence.mae", "valence.ccc", "arousal.ccc", "ccc", "mae", "r2", "uar"]
    assert headline(dict.fromkeys(names)) == ["uar", "ccc", "valence.ccc", "arousal.ccc", "mae", "valence.mae"]


def test_control_characters_of_data_are_replaced_in_the_page(class_report):
    page = render(class_report(("joy\x1b[2J", "an\x00ger")), title="runs/\x07bell")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page)
    assert "joy\ufffd[2J" in page and "an\ufffdger" in page and "\ufffdbell" in page
