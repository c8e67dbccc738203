"""Several sources of predictions as arrays, and their weighted means over what each row has.

Sources stand in the order of their names, fit rows in the order of what is in them: sums of floats then come out the
same, to the bit, however sources and rows were ordered. Nothing here adds up over rows, and over sources and classes
only in whole vectors, so that a row's answer has the same bits alone as among others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectkit.artifacts.outputs import Output, Rows
from affectkit.calibration._probabilities import order, total
from affectkit.errors import AffectkitError
from affectkit.fusion._rule import Sources, Table
from affectkit.labels import Target


@dataclass(frozen=True)
class Panel:
    """What S sources say of N rows.

    names: [S], sorted. given: the same as they were named by the user; ties go to the first. values: [S, N, C], class
    probabilities or (C = 1) numbers; 0 where unknown. known: [S, N]. var: [S, N], above 0, NaN where unknown; None
    where no source has any.
    """

    target: Target
    names: tuple[str, ...]
    given: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray
    var: np.ndarray | None

    def __len__(self) -> int:
        return self.known.shape[1]

    def take(self, rows: np.ndarray) -> Panel:
        var = None if self.var is None else self.var[:, rows]
        return Panel(self.target, self.names, self.given, self.values[:, rows], self.known[:, rows], var)

    def answer(self, values: np.ndarray, var: np.ndarray | None = None) -> Output:
        """[N, C] fused values, NaN where declined, as an output; var [N] stands only where some source has one."""
        if self.target.kind != "number":
            return Output(self.target, probabilities=values)
        return Output(self.target, mean=values[:, 0], var=None if self.var is None else var)

    def shown(self) -> np.ndarray:
        """[S, N, C], NaN where unknown."""
        return np.where(self.known[:, :, None], self.values, np.nan)


def panel(sources: Sources, rule: str) -> Panel:
    """Raises "usage" for a source that is no prediction."""
    for name, source in sources.items():
        if isinstance(source, Table):
            what = f"'{name}' is a table of columns, and {rule} fuses predictions"
            raise AffectkitError("usage", what, remedy="fuse it with --rule stacked")
    outputs = {name: source for name, source in sorted(sources.items()) if isinstance(source, Output)}
    if not outputs:
        raise AffectkitError("usage", f"{rule} fuses predictions, and there are none", remedy="name a source of them")
    raw = np.array([_columns(output) for output in outputs.values()])
    known = np.isfinite(raw).all(axis=2)
    target = next(iter(outputs.values())).target
    values = np.where(known[:, :, None], raw, 0.0)
    return Panel(target, tuple(outputs), tuple(sources), values, known, _variances(list(outputs.values())))


def fit_panel(sources: Sources, rows: Rows, rule: str) -> tuple[Panel, Rows]:
    """The panel of the fit rows and what is known of them, in the order of what is in them.

    Raises "input" where no row has a source, "usage" as `panel`.
    """
    found = panel(sources, rule)
    at = in_order(rows, np.asarray(found.known.any(axis=0)), key_columns(found))
    return found.take(at), rows.take(at)


def in_order(rows: Rows, there: np.ndarray, columns: Iterable[np.ndarray]) -> np.ndarray:
    """Positions of the rows that are `there` [N], sorted by truth, group and `columns`, whatever order they came in.

    Raises "input" where there are none.
    """
    if not there.any():
        raise AffectkitError("input", "no row to fit on has any of the sources", remedy="give sources of these rows")
    group = np.unique(np.asarray(rows.groups, str), return_inverse=True)[1]
    at = order(rows.truth, group, *columns)
    return at[there[at]]


def key_columns(of: Panel) -> list[np.ndarray]:
    """What tells rows apart."""
    columns = [column for source in of.values for column in source.T]
    return columns + list(of.known) + ([] if of.var is None else list(of.var))


def _columns(output: Output) -> np.ndarray:
    values = np.asarray(output.values, float)
    return values[:, None] if values.ndim == 1 else values


def _variances(outputs: Sequence[Output]) -> np.ndarray | None:
    if all(output.var is None for output in outputs):
        return None
    missing = np.full(len(outputs[0]), np.nan)
    raw = np.array([missing if output.var is None else np.asarray(output.var, float) for output in outputs])
    return np.where(np.isfinite(raw) & (raw > 0), raw, np.nan)


def shares(known: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N]: weights [S] over what each row has, summing to 1; equal where all that it has weighs 0; NaN without any.

    A weight may also be each row's own, [S, N].
    """
    raw = np.where(known, weights.reshape(len(weights), -1), 0.0)
    sums = total(raw)
    nothing = sums == 0
    raw[:, nothing] = known[:, nothing]
    sums[nothing] = total(raw)[nothing]
    return raw / np.where(sums > 0, sums, np.nan)


def mixed(of: Panel, share: np.ndarray) -> np.ndarray:
    """[N, C]: the sources' values weighted by shares [S, N]."""
    fused = of.values[0] * share[0][:, None]
    for values, one in zip(of.values[1:], share[1:], strict=True):
        fused += values * one[:, None]
    return fused


def mixed_variance(of: Panel, share: np.ndarray) -> np.ndarray | None:
    """[N]: the variance of `mixed` if errors are independent; NaN where a source that has a share has none."""
    if of.var is None:
        return None
    return total(np.where(share == 0, 0.0, share**2 * of.var))


def blended(of: Panel, weights: np.ndarray) -> Output:
    """The weighted mean of what each row has."""
    share = shares(of.known, weights)
    return of.answer(mixed(of, share), mixed_variance(of, share))


def by_name(names: Sequence[str], values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def weights_of(parameters: Mapping[str, Any], of: Panel) -> np.ndarray:
    """[S] weights as parameters hold them, in the panel's order."""
    check_names(of.names, parameters["weights"])
    return np.array([parameters["weights"][name] for name in of.names])


def check_names(given: Iterable[str], fitted: Iterable[str]) -> None:
    """Raise "input" unless the sources are those that were fitted."""
    if set(given) != set(fitted):
        what = f"the sources are {', '.join(sorted(given))}, and the fusion is of {', '.join(sorted(fitted))}"
        raise AffectkitError("input", what, remedy="give the sources that it was fitted on, by the same names")
