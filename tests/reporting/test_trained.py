"""The figures and the page of a training: read back from SVG and HTML, on ordinary and on degenerate histories."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.files import write_json
from affectkit.artifacts.tables import write_table
from affectkit.reporting import trained
from affectkit.reporting.browser import render
from affectkit.reporting.figures.learning import (
    best_place,
    column_title,
    learning_curves,
    monitored,
    rate_text,
    stages,
    sweep_figure,
)
from affectkit.reporting.figures.palette import BLUE, VERMILLION
from affectkit.reporting.trained import read_history, write_training_page

NAN, INF = float("nan"), float("inf")
UAR = [0.31234567, 0.45, 0.52, 0.61, 0.58]
EVIL = '<script>alert("$x$")</script>'


def history(metric=UAR, *, lengths=(2, 3), names=("frozen", "unfrozen"), rates=(1e-3, 1e-5), **columns):
    """Epochs of two stages: the train loss falls, the metric is as given."""
    rows = []
    for name, length, rate in zip(names, lengths, rates, strict=True):
        for epoch in range(1, length + 1):
            place = len(rows)
            row = {"stage": name, "epoch": epoch, "step": 10 * (place + 1), "learning_rate": rate / 2 ** (epoch - 1)}
            row |= {"train_loss": (15 - 2 * place) / 10, "val_loss": (14 - place) / 10, "val_uar": metric[place]}
            row |= {"val_valence.ccc": place / 10, **{key: of[place] for key, of in columns.items()}}
            rows.append(row | {"best": metric[place] >= max(metric[: place + 1])})
    return rows


def of_stage(count, **values):
    return [
        {"stage": "full", "epoch": n + 1, "step": n + 1, "learning_rate": 1e-4, "train_loss": 1 / (n + 1), "best": True}
        | values
        for n in range(count)
    ]


def swept(losses=None, rate=1.25e-3, reason="", stage="frozen", count=100):
    rates = 1e-7 * 1e8 ** (np.arange(count) / 100)
    losses = np.linspace(2, 1, count) if losses is None else np.asarray(losses, float)
    smoothed = pd.Series(losses).ewm(alpha=0.02).mean()  # the finder's, debiased
    return {
        "stage": stage,
        "rates": rates[: len(losses)].tolist(),
        "losses": losses.tolist(),
        "smoothed": smoothed.tolist(),
        "rate": rate,
        "reason": reason,
    }


HISTORIES = {
    "two stages": lambda: history(),
    "one epoch": lambda: of_stage(1, val_loss=0.5, val_uar=0.3),
    "no validation": lambda: of_stage(4),
    "validation undefined": lambda: of_stage(3, val_loss=NAN, val_uar=None),
    "metric undefined at first": lambda: history([NAN, NAN, 0.1, 0.2, 0.3]),
    "nothing kept": lambda: [row | {"best": False} for row in history()],
    "a loss without end": lambda: history(train_loss=[1.0, INF, NAN, 0.5, 0.4]),
    "losses of many sizes": lambda: history(train_loss=[900.0, 40.0, 1.0, 0.1, 0.01]),
    "losses below zero": lambda: history(train_loss=[900.0, 40.0, 0.0, -0.1, -5.0]),
    "one loss and rate only": lambda: history(train_loss=[1.0] * 5, val_loss=[1.0] * 5, learning_rate=[1e-5] * 5),
    "no rate": lambda: history(learning_rate=[0.0, NAN, 0.0, 0.0, 0.0]),
    "300 epochs": lambda: of_stage(300, val_loss=0.5, val_uar=0.3),
    "60 epochs, one of them known": lambda: [
        row | {"val_uar": 0.5 if n == 30 else NAN} for n, row in enumerate(of_stage(60, val_loss=1.0))
    ],
    "many stages": lambda: history([0.1] * 20, lengths=[1] * 20, rates=[1e-5] * 20,
                                   names=[f"stage {n}" for n in range(20)]),
    "names with markup": lambda: history(names=(EVIL, "愤怒")),
    "no stage": lambda: [{"train_loss": 1.0}, {"train_loss": 0.5}],
}  # fmt: skip

SWEEPS = {
    "found": lambda: swept(),
    "diverging": lambda: swept(np.concatenate([np.linspace(2, 1, 80), np.geomspace(1, 1e9, 20)])),
    "no valley": lambda: swept(np.ones(100), rate=None, reason="the loss does not fall at any learning rate"),
    "no reason": lambda: swept(np.ones(100), rate=None),
    "rising": lambda: swept(np.linspace(1, 3, 100), rate=None, reason="the loss only rises"),
    "NaN at the end": lambda: swept([*np.linspace(2, 1, 50), NAN], rate=None, reason="met a loss of NaN"),
    "infinite at the end": lambda: swept([*np.linspace(2, 1, 50), INF]),
    "one step": lambda: swept([1.0], rate=None, reason="too few"),
    "one step of NaN": lambda: swept([NAN], rate=None, reason="too few"),
    "no step": lambda: swept([], rate=None, reason="too few"),
    "a rate beyond": lambda: swept(rate=100.0),
    "names with markup": lambda: swept(stage=EVIL, rate=None, reason=EVIL),
    "nothing is known": lambda: {"rate": None},
}


@cache
def curves(case="two stages"):
    """Drawn once: figures are what takes time here."""
    return learning_curves(HISTORIES[case]())


def training_page(rows, sweeps=(), **known):
    """The page without its figures."""
    made = trained.training_page(rows, sweeps, **known)
    return render(replace(made, sections=[replace(section, figures=()) for section in made.sections]))


def run(folder, rows, sweeps=(), command="finetune"):
    """A run folder with its history, and the page that is drawn of it."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "started.json", {"command": command})
    if rows:
        write_table(folder / "history.csv", pd.DataFrame(rows))
    if sweeps:
        write_json(folder / "lr_find.json", {"sweeps": sweeps})
    write_training_page(folder)
    return (folder / "training.html").read_text(encoding="utf-8")


@cache
def swept_figure(case="found"):
    return sweep_figure(SWEEPS[case]())


def elements(svg, tag):
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag.rpartition("}")[2] == tag]


def lines(svg, colour):
    """[n, 2] points of each line of a colour, without those of the legend, which are short."""
    found = []
    for path in elements(svg, "path"):
        if colour.lower() in (path.get("style") or "").lower() and "fill: none" in (path.get("style") or ""):
            numbers = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path.get("d"))
            found.append(np.array(numbers, float))
    return found


# Every figure


@pytest.mark.parametrize("case", HISTORIES)
@pytest.mark.filterwarnings("error")
def test_curves_are_sound(case, sound):
    figures = curves(case)
    assert figures
    for figure in figures:
        sound(figure.plot)
        assert figure.caption.endswith(".")
    assert len({figure.name for figure in figures}) == len(figures)


@pytest.mark.parametrize("case", SWEEPS)
@pytest.mark.filterwarnings("error")
def test_sweeps_are_sound(case, sound):
    sound(swept_figure(case).plot)


def test_figures_have_the_same_bytes_twice():
    assert [figure.plot for figure in learning_curves(history())] == [figure.plot for figure in curves()]
    assert sweep_figure(swept()).plot == swept_figure().plot


def test_nothing_to_draw():
    assert learning_curves([]) == []


# Curves


def test_there_is_a_figure_of_losses_the_metric_and_rates(sound):
    figures = {figure.name: figure for figure in curves()}
    assert list(figures) == ["learning_loss", "learning_metric", "learning_rate"]
    assert {"train loss", "validation loss", "kept: epoch 4", "frozen", "unfrozen", "epoch"} <= set(
        sound(figures["learning_loss"].plot)
    )
    assert {"validation UAR", "kept: epoch 4"} <= set(sound(figures["learning_metric"].plot))
    assert {"learning rate", "1e-5", "0.0001", "0.001"} <= set(sound(figures["learning_rate"].plot))


def test_what_is_seen_is_said():
    loss, metric, rate = (figure.plot.alt for figure in curves())
    assert "loss over 5 epochs of the stages frozen (2), unfrozen (3)" in loss
    assert "train loss from 1.500 to 0.700, lowest 0.700, highest 1.500" in loss
    assert "validation loss from 1.400 to 1.000" in loss
    assert "validation UAR from 0.312 to 0.580, lowest 0.312, highest 0.610" in metric
    assert "learning rate from 0.001 to 2.5e-6, lowest 2.5e-6, highest 0.001" in rate
    assert all("The weights of epoch 4 are kept." in alt for alt in (loss, metric, rate))


def test_the_curve_lies_where_the_numbers_say():
    """Heights of the drawn points are a linear map of the values, and points lie at equal distances."""
    svg = curves()[1].plot.svg
    points = next(line for line in lines(svg, BLUE) if len(line) == 5)
    assert np.diff(points[:, 0]) == pytest.approx(np.diff(points[:, 0])[0], abs=0.02)
    assert np.corrcoef(points[:, 1], UAR)[0, 1] == pytest.approx(-1, abs=1e-4)


def test_rates_lie_on_a_logarithmic_axis_and_break_between_stages():
    rows = history()
    drawn = [line for line in lines(curves()[2].plot.svg, BLUE) if len(line) > 1]
    first, second = (
        next(line for line in drawn if len(line) == length and line[0, 0] != line[-1, 0]) for length in (2, 3)
    )
    heights = np.concatenate([first[:, 1], second[:, 1]])
    assert np.corrcoef(heights, np.log([row["learning_rate"] for row in rows]))[0, 1] == pytest.approx(-1, abs=1e-4)


def test_the_kept_epoch_is_the_last_that_was_best():
    assert best_place(history()) == 3
    assert best_place(history([0.5, 0.5, 0.1, 0.2, 0.3])) == 1
    assert best_place(of_stage(4)) == 3
    assert best_place([{"best": NAN}, {"best": None}, {}]) is None
    assert not [
        line for line in lines(learning_curves([{"train_loss": 1.0}])[0].plot.svg, VERMILLION) if len(line) == 2
    ]


def test_stages_begin_where_their_name_changes_or_epochs_begin_anew():
    assert stages(history()) == [("frozen", 0, 2), ("unfrozen", 2, 5)]
    assert stages(history(names=("same", "same"))) == [("same", 0, 2), ("same", 2, 5)]
    assert stages([]) == []


def test_the_monitored_column_is_named_or_the_first_metric():
    assert monitored(history()) == "val_uar"
    assert monitored(of_stage(2, val_loss=1.0)) == "val_loss"
    assert monitored(of_stage(2)) == ""
    named = learning_curves(history(), monitor="val_valence.ccc")[1]
    assert "validation valence CCC from 0.000 to 0.400" in named.plot.alt
    assert [figure.name for figure in learning_curves(history(), monitor="val_loss")] == [
        "learning_loss",
        "learning_rate",
    ]


def test_columns_in_words():
    names = {"train_loss": "train loss", "val_loss": "validation loss", "val_macro_f1": "validation macro F1",
             "val_valence.ccc": "validation valence CCC", "learning_rate": "learning rate", "step": "step"}  # fmt: skip
    assert {name: column_title(name) for name in names} == names


@pytest.mark.parametrize(
    ("rate", "text"), [(1e-5, "1e-5"), (1.25e-3, "0.00125"), (3.333e-6, "3.33e-6"), (10, "10"), (1e12, "1e12")]
)
def test_rates_in_few_characters(rate, text):
    assert rate_text(rate) == text


def test_a_long_stage_name_is_cut_to_its_room(sound):
    rows = history(lengths=(1, 4), names=("a name much longer than its epoch", "short"))
    figure = learning_curves(rows)[0]
    texts = sound(figure.plot)
    assert "short" in texts
    assert any(re.fullmatch(r"a name mu?c?h?…", text) for text in texts)
    assert "a name much longer than its epoch (1)" in figure.plot.alt


def test_one_stage_is_no_stage_to_speak_of(sound):
    figure = curves("300 epochs")[0]
    assert "full" not in sound(figure.plot)
    assert "stages" not in figure.caption


# Sweeps


def test_a_sweep_names_the_rate_that_was_chosen(sound):
    figure = swept_figure()
    assert figure.name == "lr_find_frozen"
    assert {"chosen: 0.00125", "before stage frozen", "each batch", "smoothed", "1e-6", "0.001"} <= set(
        sound(figure.plot)
    )
    assert figure.plot.alt.startswith("Learning-rate sweep before stage frozen, 100 steps from 1e-7 to 8.32")
    assert figure.plot.alt.endswith("Chosen: 0.00125.")


def test_a_sweep_without_a_valley_says_why(sound):
    texts = " ".join(sound(swept_figure("no valley").plot))
    assert "no valley: the loss does not fall at any learning rate" in texts
    assert "chosen" not in texts
    assert swept_figure("no valley").plot.alt.endswith("No valley: the loss does not fall at any learning rate.")


def test_a_divergence_does_not_flatten_the_valley():
    """The loss falls from 2 to 1 and then rises to 1e9: the fall takes a good part of the height."""
    smoothed = next(line for line in lines(swept_figure("diverging").plot.svg, BLUE) if len(line) > 10)
    heights = smoothed[:60, 1]
    frame = max(float(of.get("height") or 0) for of in elements(swept_figure("diverging").plot.svg, "rect"))
    assert np.ptp(heights) > 0.2 * frame


# The page


def test_the_page_says_what_happened_in_the_training(tmp_path, read_page):
    made = read_page(run(tmp_path / "ser", history(), [swept()]))
    assert "Training of ser" in made.text
    assert "5 epochs in 2 stages, 50 optimiser steps." in made.text
    assert "kept epoch 4 stage unfrozen, epoch 2 of 3 validation UAR 0.610 last epoch: 0.580" in made.text
    assert "Validation figures chose the epoch that is kept" in made.text
    assert "Stage frozen: learning rate 0.001 was found by a sweep of 100 steps." in made.text
    assert "brought no better epoch" not in made.text
    assert "The same numbers, unrounded, are in history.csv." in made.text
    assert 1.25e-3 in made.numbers
    assert made.tags.count("svg") == made.tags.count("figcaption") == 4


def test_the_table_has_every_number_of_the_history(read_page):
    rows = history()
    made = read_page(training_page(rows))
    for row in rows:
        assert {value for value in row.values() if isinstance(value, float)} <= set(made.numbers)
    heading = ["epoch", "stage", "step", "learning rate", "train loss", "validation loss", "validation UAR",
               "validation valence CCC", "best"]  # fmt: skip
    assert made.rows[0] == heading
    assert [row[0] for row in made.rows[1:6]] == ["1", "2", "3", "4", "5"]
    assert [row[-1] for row in made.rows[1:6]] == ["yes", "yes", "yes", "yes", "no"]


def test_a_history_from_its_csv_makes_the_same_page(tmp_path):
    write_table(tmp_path / "history.csv", pd.DataFrame(history()))
    read = read_history(tmp_path)
    assert training_page(read) == training_page(history())
    assert best_place(read) == 3


def test_stages_that_brought_nothing_are_named(read_page):
    rows = history([0.5, 0.6, 0.3, 0.4, 0.5])
    assert "Stage unfrozen brought no better epoch; the weights from before are kept." in training_page(rows)
    rows = history([0.9, 0.1, 0.1], lengths=(1, 1, 1), names="abc", rates=(1, 1, 1))
    assert "The stages b, c brought no better epoch" in training_page(rows)


@pytest.mark.parametrize("case", HISTORIES)
def test_pages_are_small_safe_and_need_no_network(case, read_page):
    sweeps = [swept_figure("no valley"), swept_figure("names with markup")]
    page = trained.training_page(HISTORIES[case](), [SWEEPS["no valley"](), SWEEPS["names with markup"]()], title=EVIL)
    figures = [*curves(case), *sweeps]  # the same ones, drawn already
    assert [figure.name for figure in page.figures] == [figure.name for figure in figures]
    _, before, after, *others = page.sections
    drawn = [replace(before, figures=curves(case)[:-1]), replace(after, figures=[curves(case)[-1], *sweeps])]
    html = render(replace(page, sections=[page.sections[0], *drawn, *others]))
    made = read_page(html)
    assert len(html.encode()) < 500_000
    assert not {"script", "link", "iframe", "img", "form"} & set(made.tags)
    assert "http" not in html
    assert made.tags.count("h1") == 1
    assert made.tags.count("svg") == made.tags.count("figcaption") == len(figures)
    assert all(of.get("role") == "img" and of.get("aria-label") for tag, of in made.attributes if tag == "svg")


def test_the_page_of_a_training_without_an_epoch(tmp_path, read_page):
    made = read_page(run(tmp_path / "run", [], [SWEEPS["no valley"]()]))
    assert "No epoch was finished." in made.text
    assert "Stage frozen: no learning rate was found; the loss does not fall at any learning rate." in made.text


def test_the_same_bytes_on_a_rerun_and_figures_beside_the_page(tmp_path):
    def files():
        run(tmp_path / "run", of_stage(1), [SWEEPS["one step"]()])
        return {
            path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix in (".html", ".svg")
        }

    first = files()
    assert files() == first
    assert set(first) == {"training.html", "learning_loss.svg", "learning_rate.svg", "lr_find_frozen.svg"}


def test_what_else_is_said_on_the_page(read_page):
    more = {
        "title": "Fine-tuning",
        "lead": [("Trained on ", 320, " rows.")],
        "warnings": ["The network is random."],
        "corpora": [{"name": "twin", "synthetic": True}],
        "inputs": [{"name": "manifest/train.csv", "size": 12, "sha256": "ab"}],
    }
    text = read_page(training_page(history(), **more)).text
    for said in ("Fine-tuning", "Trained on 320 rows.", "is random.", "Synthetic data (twin)", "manifest/train.csv"):
        assert said in text


def test_numbers_stand_beside_their_floors_on_rows_that_chose_nothing():
    metrics = {"val_a.r2": 9.0, "test_a.r2": 0.25, "test_a.one_minus_mae": 0.9, "test_b.r2": -0.5, "test_r2": -0.125}
    floors = {part: {"train_mean": {"a.r2": -0.01, "a.one_minus_mae": 0.87, "r2": -0.02}} for part in ("val", "test")}
    [section] = trained._floors({"targets": ["a", "b"], "metrics": metrics, "floors": floors})
    assert (section.title, section.tables[0].rows) == (
        "Numbers beside their floor",
        {"a": [0.25, -0.01, 0.9, 0.87], "b": [-0.5, None, None, None], "mean": [-0.125, -0.02, None, None]},
    )
    assert trained._floors({"targets": ["a"], "metrics": metrics}) == []


def test_the_history_of_a_network_that_fuses_is_read_by_its_targets(tmp_path):
    text = "target,epoch,step,train_loss,val_loss,best\nlabel,1,2,0.5,0.6,True\nvalence,1,2,0.4,,False\n"
    (tmp_path / "history.csv").write_text(text)
    first, second = trained.read_history(tmp_path)
    assert (first["stage"], first["val_loss"], first["best"]) == ("label", 0.6, True)
    assert (second["stage"], second["epoch"], second["best"]) == ("valence", 1, False)
    (tmp_path / "history.csv").write_text(text.replace("label,", "valence,"))
    assert "stage" not in trained.read_history(tmp_path)[0]  # one network for all targets has nothing to tell apart
