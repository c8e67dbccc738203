"""Figures of runs, looked at by a program: nothing is small, cut off or overlapped, and what is drawn is the data."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from affectkit.artifacts.histories import TrainingLog
from affectkit.artifacts.predictions import Predictions
from affectkit.labels import Target
from affectkit.reporting.figures.svg import PNG_DPI, rendering
from affectkit.reporting.plots.catalogue import KINDS, chosen, figures_of
from affectkit.reporting.plots.material import Material
from tests.reporting import looks

TRAITS = ("openness", "conscientiousness", "extraversion")
LONG = (
    "openness to experience of any kind",
    "开放性与想象力以及其他许多特质的长名称",
)


def run(name="run", epochs=6, targets=TRAITS, rows=60, gaps=False, constant=False):
    """A run with a history, steps and predictions of numbers."""
    rng = np.random.default_rng(len(name) + epochs)
    history = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "learning_rate": 1e-3, "train_loss": 2 / epoch, "val_loss": 1 + 2 / epoch}
        row |= {"train_r2": 1 - 1 / epoch, "val_r2": 0.4 - 4 / epoch, "best": epoch == 1}
        row |= {f"val_{t}.{m}": v - 5 / epoch for t in targets for m, v in (("r2", 0.3), ("mae", 9.0))}
        if gaps and epoch % 3 == 2:
            row |= {key: math.nan for key in row if key not in ("epoch", "best")}
        history.append(row)
    steps = [{"fit": "final", "step": n, "learning_rate": 1e-3, "gradient_norm": 1 + n % 3, "gradient_norm_max": 5.0,
              "rows_per_second": 900.0, "loader_wait": 0.1, "memory_mb": 700.0} for n in range(1, 40)]  # fmt: skip
    columns = {"id": [f"r{n}" for n in range(rows)], "seen": "heldout"}
    for target in targets:
        truth = rng.uniform(0, 1, rows)
        predicted = np.full(rows, 0.5) if constant else 0.5 * truth + 0.2 + rng.normal(0, 0.05, rows)
        columns |= {target: truth, f"{target}_pred": np.where(gaps & (truth > 0.8), math.nan, predicted)}
        columns[f"{target}_var"] = 0.01
    known = {target: Target(target, "number", scale=(0.0, 1.0)) for target in targets}
    table = Predictions(pd.DataFrame(columns), known)
    return Material(name, TrainingLog("", history, steps), [], "test", table, list(known.values()))


@pytest.fixture
def draw(monkeypatch):
    """`draw(materials, *kinds)`: (name, matplotlib's figure, its PNG) of each figure; without `save` it is not written,
    which takes as long as looking at it."""
    kept = []
    written = Figure.savefig

    def drawn(materials, *kinds, save=False):
        def saving(figure, *args, **options):
            kept.append(figure)
            if save:
                written(figure, *args, **options)

        monkeypatch.setattr(Figure, "savefig", saving)
        for _, figure in figures_of(materials, kinds):
            with rendering(["png"]):
                png = figure.draw().png
            yield figure.name, kept[-1], png

    return drawn


CASES = {
    "one epoch, one target, one row": ([run(epochs=1, targets=("openness",), rows=1)], None),
    "500 epochs, 3,000 rows": ([run(epochs=500, rows=3000)], ("loss", "r_squared", "per_trait_r_squared", "residuals")),
    "30 targets": ([run(targets=[f"target number {n}" for n in range(30)])],
                   ("per_trait_r_squared", "r2_comparison", "trait_correlations")),
    "long names, gaps": ([run(LONG[0], targets=LONG, gaps=True), run(LONG[1], targets=LONG, rows=20)],
                         ("r_squared", "per_trait_r_squared", "r2_comparison", "scatter", "error_distribution")),
    "a constant prediction": ([run(constant=True, targets=("openness",))],
                              ("scatter", "residuals", "error_by_decile", "error_distribution")),
    "nine runs": ([run(f"run {n}", targets=("openness",), rows=9) for n in range(9)], ("loss", "r2_comparison")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_texts_are_large_enough_inside_and_apart(draw, case):
    materials, kinds = CASES[case]
    drawn = ((name, figure) for name, figure, _ in draw(materials, *(kinds or ())))
    found = {name: looks.faults(figure) for name, figure in drawn if not name.startswith("predicted_")}  # as true_ is
    assert found
    assert {name: faults for name, faults in found.items() if faults} == {}


def lines_of(figure):
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def test_curves_are_the_history_and_a_negative_r2_is_drawn_as_it_is(draw):
    material = run()
    [(_, figure, _)] = draw([material], "r_squared")
    history, lines = material.log.epochs, lines_of(figure)
    assert lines["validation"].get_ydata().tolist() == [row["val_r2"] for row in history]
    assert lines["train"].get_ydata().tolist() == [row["train_r2"] for row in history]
    assert lines["validation"].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    [axes] = figure.axes
    assert axes.get_ylim()[0] < min(row["val_r2"] for row in history) < -3
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel().startswith("R²")


def test_runs_are_apart_in_colour_in_dashes_and_in_marks(draw):
    [(_, figure, _)] = draw([run("a"), run("b")], "learning_rate")
    a, b = (lines_of(figure)[name] for name in "ab")
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()
    assert a.get_marker() != b.get_marker()


def test_a_scatter_shows_every_row_its_interval_and_the_figures(draw):
    material = run(targets=("openness",))
    [(name, figure, _)] = draw([material], "scatter")
    assert name == "openness_scatter"
    truth, predicted = material.pair(material.numbers[0])
    points = next(line for line in figure.axes[0].get_lines() if line.get_marker() == "o")
    assert (points.get_xdata() == truth).all()
    assert (points.get_ydata() == predicted).all()
    [bars] = figure.axes[0].collections
    assert len(bars.get_segments()) == 60
    ccc = material.figures["openness.ccc"]
    assert f"CCC {ccc.value:.3f} [{ccc.low:.3f}, {ccc.high:.3f}]" in figure.axes[0].get_title()


def test_a_png_is_as_wide_as_a_column_says_nothing_of_its_time_and_has_the_same_bytes_twice(draw):
    [(_, figure, png)] = draw([run()], "loss", save=True)
    picture = Image.open(io.BytesIO(png))
    assert picture.width == int(figure.get_figwidth() * PNG_DPI) == 1040
    assert set(picture.info) <= {"dpi"}
    [(_, _, again)] = draw([run()], "loss", save=True)
    assert png == again


def test_tenths_hold_equal_predictions_together():
    from affectkit.reporting.figures.errors import tenths

    truth = np.arange(100.0)
    middle, error, away, _ = tenths(truth, np.repeat([1.0, 2.0], 50))
    assert middle.tolist() == [1.0, 2.0]
    assert error.tolist() == [1 - truth[:50].mean(), 2 - truth[50:].mean()]
    assert away[1] == np.abs(2 - truth[50:]).mean()


def test_kinds_are_found_by_their_names_and_aliases():
    assert [kind.name for kind in chosen(["loss", "per_target_r_squared"])] == ["loss", "per_trait_r_squared"]
    assert len({kind.name for kind in KINDS}) == len(KINDS) == len(chosen([]))
