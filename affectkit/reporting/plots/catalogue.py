"""The kinds of figures, by the names of `plot --only`: what each needs, and what draws it.

A further kind is one line of `KINDS`, and a function that takes the material of all runs and yields what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from affectkit.artifacts.reports import file_name
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.reporting.attended import attention_section
from affectkit.reporting.page import Figure
from affectkit.reporting.plots import answers, trainings
from affectkit.reporting.plots.material import ANSWERS, ATTENDED, PAGE_FIGURES, TRAINING, Material

Draw = Callable[..., Iterator[Figure]]


@dataclass(frozen=True)
class Kind:
    """name: of `--only`; the file's, or the end of it. needs: in words, for who asks for it in vain. draw: takes the
    material of all runs; it yields nothing where none has what it needs. of: what it reads, of `material`."""

    name: str
    of: str
    needs: str
    draw: Callable[[Sequence[Material]], Iterator[Figure]]


def _over_epochs(name: str, metric: str) -> Kind:
    needs = f"a history with {metric}" if metric == "loss" else f"a history with val_{metric} or train_{metric}"
    return Kind(name, TRAINING, needs, partial(trainings.of_metric, name=name, metric=metric))


def _training(name: str, needs: str, draw: Draw, **options: str) -> Kind:
    return Kind(name, TRAINING, needs, partial(draw, name=name, **options))


def _answers(name: str, needs: str, draw: Draw, file: str = "") -> Kind:
    """file: the published system's name, where it has another."""
    return Kind(name, ANSWERS, needs, partial(draw, name=file or name))


def _of_pages(materials: Sequence[Material]) -> Iterator[Figure]:
    """What the pages of commands show that is neither a history nor judged rows: mixing weights, traces, timelines."""
    for run in materials:
        for figure in run.page().figures if run.page else ():
            yield _named(figure, run, materials)


def _attention(materials: Sequence[Material]) -> Iterator[Figure]:
    """Weights and entropies of heads, as the page of the training has them."""
    for run in materials:
        for section in attention_section(run.attended) if run.attended else ():
            for figure in section.figures:
                yield _named(figure, run, materials)


def _named(figure: Figure, run: Material, materials: Sequence[Material]) -> Figure:
    return figure if len(materials) == 1 else replace(figure, name=file_name(f"{run.name}_{figure.name}"))


_R2, _STEPS, _NUMBERS = "a history with R2 of each target", "a training with steps.csv", "predictions of numbers"
KINDS = (
    _over_epochs("loss", "loss"),
    _over_epochs("mae", "mae"),
    _over_epochs("mse", "mse"),
    _over_epochs("r_squared", "r2"),
    _over_epochs("ccc", "ccc"),
    _over_epochs("accuracy", "accuracy"),
    _over_epochs("uar", "uar"),
    _over_epochs("macro_f1", "macro_f1"),
    _training("per_trait_r_squared", _R2, trainings.per_target, metric="r2"),
    _training("r2_comparison", "a history with R2", trainings.comparison, metric="r2"),
    _training("metric_correlation", "a history of three epochs and two metrics", trainings.metric_correlations),
    _training("learning_rate", "a history with learning rates", trainings.learning_rates),
    _training("gradient_norm", f"{_STEPS} and gradient norms", trainings.gradient_norms),
    _training("batch_performance", _STEPS, trainings.batch_performance),
    _training("lr_find", "a training with --learning-rate find", trainings.sweeps),
    _answers("scatter", _NUMBERS, answers.scatters),
    _answers("residuals", _NUMBERS, answers.residuals),
    _answers("error_by_decile", _NUMBERS, answers.by_tenth),
    _answers("error_distribution", _NUMBERS, answers.distributions, "error_dist"),
    _answers("trait_correlations", "predictions of two numbers", answers.target_correlations),
    _answers("interval_calibration", "predictions of numbers with variances", answers.interval_calibration),
    _answers("confusion", "predictions of classes", answers.confusions),
    _answers("reliability", "predictions of classes with probabilities", answers.reliabilities),
    Kind("attention", ATTENDED, "a training with --export-attention", _attention),
    Kind("page", PAGE_FIGURES, "a run of calibrate, fuse, stabilize, alert, ablate, select or report", _of_pages),
)
ALIASES = {"per_target_r_squared": "per_trait_r_squared", "r2": "r_squared", "error_dist": "error_distribution",
           "target_correlations": "trait_correlations"}  # fmt: skip


def chosen(names: Sequence[str]) -> list[Kind]:
    """The kinds that are named, in the catalogue's order; all without names. Raises "usage" with near misses."""
    known = {kind.name: kind for kind in KINDS}
    wanted = [ALIASES.get(name, name) for name in names]
    for given, name in zip(names, wanted, strict=True):
        if name not in known:
            remedy = did_you_mean(given, [*known, *ALIASES], f"known are {', '.join(known)}")
            raise AffectkitError("usage", f"--only: there is no figure '{given}'", remedy=remedy)
    return [kind for kind in KINDS if kind.name in wanted or not wanted]


def figures_of(materials: Sequence[Material], names: Sequence[str]) -> list[tuple[str, Figure]]:
    """The kind's name and the figure, of all that the runs have; file names are made unique.

    Raises "input" where a kind that is named finds nothing, or nothing at all is found.
    """
    found: list[tuple[str, Figure]] = []
    for kind in chosen(names):
        drawn = [(kind.name, figure) for figure in kind.draw(materials)]
        if names and not drawn:
            runs = ", ".join(run.name for run in materials)
            what = f"--only: {kind.name} needs {kind.needs}, which {runs} has not"
            raise AffectkitError("input", what, remedy=f"leave {kind.name} out")
        found += drawn
    if not found:
        raise AffectkitError("input", f"{', '.join(run.name for run in materials)}: there is nothing to draw")
    return found
