"""Subsets of sources, what they are made of, and the folds that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.predictions import Predictions
from affectkit.console import Progress
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.comparison import TargetMetric, compare, holm, target_metric, value_of
from affectkit.evaluation.intervals import Interval, Resampling
from affectkit.evaluation.measure import measure
from affectkit.evaluation.parts import caveats, floors
from affectkit.evaluation.rows import judged_parts, missing, pair
from affectkit.fusion.ensemble import DEFAULT_METRIC
from affectkit.labels import Target
from affectkit.media.texts import LANGUAGE
from affectkit.plain import without_nan
from affectkit.splits import folds_by_group, folds_in_words, folds_of_rows, outer_folds

if TYPE_CHECKING:
    import pandas as pd


MOST = 255  # subsets: of eight sources


AUDIO_AND_TEXT = {"audio", "text"}  # both of which together are called a fusion


@dataclass(frozen=True)
class Subset:
    sources: tuple[str, ...]
    called: str = ""

    @property
    def name(self) -> str:
        """`audio_only`, `audio+text`; its folder is called so too."""
        return self.called or ("+".join(self.sources) if len(self.sources) > 1 else f"{self.sources[0]}_only")


def subsets(names: Sequence[str], include: Sequence[Sequence[str]] = (), *, most: int = MOST) -> list[Subset]:
    """All non-empty subsets, or those of `include`; small ones first, each in the order of `names`. Of `audio` and
    `text` both are `fusion`.

    Raises "usage" for more than `most`, and for names of `include` that are no source's.
    """
    names = list(names)
    odd = next((name for name in names if "+" in name), None)
    if odd is not None:
        raise AffectkitError("usage", f"the name '{odd}' has a +, which joins names here", remedy="give it another")
    called = {2: "fusion"} if set(names) == AUDIO_AND_TEXT else {}
    if include:
        chosen = {_included(names, subset) for subset in include}
        in_order = sorted(chosen, key=lambda subset: (len(subset), [names.index(name) for name in subset]))
        return [Subset(subset, called.get(len(subset), "")) for subset in in_order]
    count = 2 ** len(names) - 1
    if count > most:
        message = f"{len(names)} sources have {count} subsets, more than --max-subsets {most}"
        remedy = f"name some with --include, or pass --max-subsets {count}"
        raise AffectkitError("usage", message, remedy=remedy)
    sizes = range(1, len(names) + 1)
    return [Subset(chosen, called.get(size, "")) for size in sizes for chosen in combinations(names, size)]


def _included(names: Sequence[str], subset: Sequence[str]) -> tuple[str, ...]:
    """The names of a subset in the order of all."""
    unknown = next((name for name in subset if name not in names), None)
    if unknown is not None or not subset:
        what = f"--include: there is no source '{unknown}'" if subset else "--include names no source"
        remedy = did_you_mean(unknown, list(names)) if unknown else f"name some of {', '.join(names)}"
        raise AffectkitError("usage", what, remedy=remedy)
    return tuple(name for name in names if name in subset)


@dataclass(frozen=True)
class AblationSetup:
    """What all subsets share.

    names: of the sources; subsets without one that is in `predicting` have no answer. compared: the metric shown first
    and compared. seeds: of the repeats. scheme: the folds in words. group: the column of what intervals resample, None
    where rows are taken as independent. train: rows whose truth makes the floors, None where there are none. notes:
    what a reader must know.
    """

    names: Sequence[str]
    predicting: Sequence[str]
    targets: Mapping[str, Target]
    compared: TargetMetric
    seeds: Sequence[int]
    scheme: str
    group: str | None
    train: pd.DataFrame | None
    notes: Sequence[str] = ()

    @classmethod
    def of_trained(
        cls,
        names: Sequence[str],
        targets: Sequence[Target],
        *,
        metric: str | None,
        schemes: Sequence[str],
        group: str | None,
        train: pd.DataFrame,
    ) -> AblationSetup:
        """Of sources that are trained anew, each of which predicts: a repeat for each of `schemes`, seeds 0, 1, ..."""
        chosen, seeds = {target.name: target for target in targets}, list(range(len(schemes)))
        return cls(list(names), list(names), chosen, metric_of(metric, chosen), seeds, schemes[0], group, train)


@dataclass(frozen=True)
class AblationStudy:
    """Sources of one kind, whose subsets can be asked for answers.

    answer: (sources, repeat) -> answers of every row of every subset, in the same order; those of the rows fitted on
    are cross-fitted. facts, rows, digests: what the answers depend on: plain facts, a digest of the rows, and one of
    each source by its name.
    """

    setup: AblationSetup
    answer: Callable[[Sequence[str], int], Predictions]
    facts: Mapping[str, Any]
    rows: str
    digests: Mapping[str, str]

    def made_of(self, sources: Sequence[str]) -> dict[str, Any]:
        return {**self.facts, "rows": self.rows, "sources": {name: self.digests[name] for name in sources}}


def metric_of(name: str | None, targets: Mapping[str, Target]) -> TargetMetric:
    """The metric called `name`; by default UAR, or CCC where there are only numbers. Raises "usage" for a wrong one."""
    kinds = {"number" if target.kind == "number" else "class" for target in targets.values()}
    return target_metric(name or DEFAULT_METRIC["class" if "class" in kinds else "number"], targets)


def metric_for(compared: TargetMetric, target: Target) -> str:
    """By what sources of `target` are chosen: `compared`, where it is a metric of such targets, else their default."""
    suits = (compared.definition.takes == "numbers") == (target.kind == "number")
    return compared.definition.name if suits else DEFAULT_METRIC[target.kind]


def drawn_folds(
    ids: np.ndarray, groups: np.ndarray, column: str | None, labels: np.ndarray | None, count: int | None, seed: int
) -> tuple[np.ndarray, str]:
    """[M] int: `count` folds of whole groups, of rows where `column` is None, and the folds in words; the order of the
    rows is of no account. count: None for the folds of `train --cv`.

    column: what the groups are. Raises "input" for fewer groups than folds.
    """
    if count is None:
        folds = outer_folds(groups, grouped=column is not None, seed=seed)
    elif column is not None:
        folds = folds_by_group(list(groups), labels, count, seed, name=column)
    else:
        folds = folds_of_rows(ids, labels, count, seed)
    if column is None:
        return folds, f"{len(np.unique(folds))} folds of rows"
    return folds, folds_in_words(folds, groups, column)


def digest(*parts: str | np.ndarray) -> str:
    """SHA-256 of texts and arrays."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind in "OU":
            part = "\n".join(map(str, part))
        data = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).data
        total.update(f"{len(part)} ".encode())
        total.update(data)
    return total.hexdigest()


# --- What subsets are worth: figures with intervals over groups, and paired differences to two references
#
# A figure is the mean over the repeats (seeds), its interval comes from groups, and the standard deviation over repeats
# stands beside, apart from it. The references are all sources together, and the single source that is best on the
# cross-fitted rows; test rows have no say. Being chosen on the rows that it is compared on favours that source, which
# makes the claim of being better than it the safer: chosen on the other folds instead, of two equally good sources the
# one that is worse on a fold is taken for it, and in 9 to 18 % of simulated cases with 10 and 24 speakers one of them
# would have been called better than the better of both.


FULL, BEST_SINGLE = "full", "best_single"
FITTED = "oof"  # the part that the rows fitted on are
VALUES = Resampling("none")
Parts = dict[str, list[Predictions]]  # "oof", "val", "test" -> the rows of each repeat
Read = Callable[[Subset], list[Predictions]]


def judge(
    study: AblationStudy, subsets: Sequence[Subset], read: Read, resampling: Resampling, progress: Progress
) -> dict[str, Any]:
    """What `ablation_summary.json` says, None where a figure is undefined.

    read: a subset's tables, one per repeat. `subsets` ends with the largest, which the others are compared with; where
    there is a single source among them, they are compared with the best of these too.
    """
    setup = study.setup
    full = _parts(read(subsets[-1]))
    kept = [name for name, tables in full.items() if _answered(tables[0], setup).any()]
    if FITTED not in kept:
        what = f"no row fitted on has a truth for {', '.join(target.name for target in setup.compared.targets)}"
        raise AffectkitError("input", what, remedy="pass the --manifest that has it")
    best = _best_single(setup, subsets, read)
    references = {FULL: (subsets[-1], full)} | ({BEST_SINGLE: (best, _parts(read(best)))} if best else {})
    judged: dict[str, dict[str, Any]] = {part: {} for part in kept}
    for done, subset in enumerate(subsets):
        tables_of = _parts(read(subset))
        others = {name: tables for name, (other, tables) in references.items() if other != subset}
        for part in kept:
            against = {name: tables[part] for name, tables in others.items()}
            judged[part][subset.name] = _subset(setup, subset, tables_of[part], against, resampling)
        progress(done + 1, len(subsets))
    for rows, reference in product(judged.values(), (FULL, BEST_SINGLE)):
        # Holm-adjusted p-values: the differences to one reference are a family.
        family = [row["against"][reference] for row in rows.values() if reference in row["against"]]
        for difference, p in zip(family, holm([row["p"] for row in family]), strict=True):
            difference["p_holm"] = p
    summary = {
        "metric": setup.compared.key,
        "higher_is_better": setup.compared.definition.higher_is_better,
        "sources": list(setup.names),
        "full": subsets[-1].name,
        "best_single": best.name if best else None,
        "targets": [target.to_json() for target in setup.targets.values()],
        "folds": setup.scheme,
        "seeds": list(setup.seeds),
        "notes": list(setup.notes),
        "parts": {part: _part(setup, full[part], rows, resampling) for part, rows in judged.items()},
    }
    return without_nan(summary)


def _parts(tables: Sequence[Predictions]) -> Parts:
    each = [judged_parts(table) for table in tables]
    return {name: [parts[name] for parts in each] for name in each[0]}


def _best_single(setup: AblationSetup, subsets: Sequence[Subset], read: Read) -> Subset | None:
    """The single source that is best on the cross-fitted rows that all single sources answer; the first of equals, None
    where there is none."""
    tables = {s: _parts(read(s))[FITTED] for s in subsets if len(s.sources) == 1}
    if not tables:
        return None
    shared = np.all([_answered(table, setup) for repeats in tables.values() for table in repeats], axis=0)
    if not shared.any():
        shared[:] = True
    gains = [np.mean([value_of(t.take(shared), setup.compared) for t in repeats]) for repeats in tables.values()]
    signed = np.array([setup.compared.gain(float(value)) for value in gains])
    return list(tables)[int(np.argmax(np.where(np.isnan(signed), -np.inf, signed)))]


def _subset(
    setup: AblationSetup,
    subset: Subset,
    tables: Sequence[Predictions],
    others: Mapping[str, Sequence[Predictions]],
    resampling: Resampling,
) -> dict[str, Any]:
    """One subset on one part of the rows."""
    groups, targets = tables[0].groups(setup.group), list(setup.targets.values())
    metrics = measure(tables, targets, groups, resampling)
    repeats = tables if len(tables) > 1 else []
    values = [measure(table, targets, groups, VALUES) for table in repeats]
    against = {}
    for name, references in others.items():
        each = [compare(*pair, setup.compared, groups, VALUES) for pair in zip(repeats, references, strict=False)]
        seeds = _spread({"difference": [comparison.difference for comparison in each]})
        against[name] = compare(tables, references, setup.compared, groups, resampling).plain() | {"seeds": seeds}
    languages = _by_language(setup, tables, resampling)
    return {
        **({"languages": languages} if languages else {}),
        "sources": list(subset.sources),
        "n": int(_answered(tables[0], setup).sum()),
        "groups": metrics[setup.compared.key].groups,
        "metrics": {name: figure.plain() for name, figure in metrics.items()},
        "seeds": _spread({name: [row[name] for row in values] for name in metrics}),
        "against": against,
    }


def _by_language(setup: AblationSetup, tables: Sequence[Predictions], resampling: Resampling) -> dict[str, Any]:
    """Language -> `n` and `metrics` of its rows; nothing unless rows are of two languages or more."""
    cells = tables[0].groups(LANGUAGE)
    values = sorted(set(cells) - {""}) if cells is not None else []
    languages = {}
    for value in values if len(values) > 1 else ():
        of_value = [table.take(table.groups(LANGUAGE) == value) for table in tables]
        if n := int(_answered(of_value[0], setup).sum()):
            metrics = measure(of_value, list(setup.targets.values()), of_value[0].groups(setup.group), resampling)
            languages[value] = {"n": n, "metrics": {name: figure.plain() for name, figure in metrics.items()}}
    return languages


def _spread(values: Mapping[str, Sequence[Interval]]) -> dict[str, Any]:
    """Mean, standard deviation (ddof 1) and values over the repeats; nothing where there is one."""
    by_name = {name: np.array([figure.value for figure in row]) for name, row in values.items() if row}
    return {name: {"mean": row.mean(), "sd": row.std(ddof=1), "values": row} for name, row in by_name.items()}


def _part(
    setup: AblationSetup, full: Sequence[Predictions], rows: Mapping[str, dict[str, Any]], resampling: Resampling
) -> dict[str, Any]:
    table, targets = full[0], list(setup.targets.values())
    groups = table.groups(setup.group)
    metrics = measure(table, targets, groups, resampling)
    warnings = caveats(table, targets, setup.group, groups, metrics)
    method = next((figure.method for figure in metrics.values() if figure.method != "none"), "none")
    if len({row["n"] for row in rows.values()}) > 1:
        warnings.append("sources lack rows: a subset's figures are over its own n, differences over the rows of both")
    return {
        "n": len(table.frame),
        "groups": {"column": setup.group, "count": rows[list(rows)[-1]]["groups"]} if setup.group else None,
        "interval": {"method": method, "level": resampling.level},
        "floors": floors(table, targets, setup.train),
        "warnings": warnings,
        "subsets": rows,
    }


def _answered(table: Predictions, setup: AblationSetup) -> np.ndarray:
    """[N] bool: rows with a truth and an answer of what is compared."""
    known = [~(missing(truth) | missing(answer)) for truth, answer in (pair(table, t) for t in setup.compared.targets)]
    return np.all(known, axis=0)
