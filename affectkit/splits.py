"""Who is in which split, and in which fold: groups never straddle, classes are spread as evenly as groups allow."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from affectkit.errors import AffectkitError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    Cells: TypeAlias = Sequence[Any] | np.ndarray | pd.Series

SPLITS = ("train", "val", "test")
GROUP_COLUMNS = ("speaker", "subject", "session", "dialogue", "sequence")

log = logging.getLogger(__name__)

# --- What the parts of a split are called elsewhere


# name in small letters -> split
WORDS = dict.fromkeys(("train", "training"), "train") | dict.fromkeys(("test", "testing"), "test")
WORDS |= dict.fromkeys(("val", "valid", "validation", "dev", "devel", "development"), "val")
_EITHER = ("eval", "evaluation")
_PLAIN = re.compile(r"[^\W\d_]+?(?=(?:set|data|split|part)?(?:[\W\d_]|$))")  # `Trainingset` says training


def read_parts(names: Iterable[str]) -> dict[str, str]:
    """name -> split for names of parts that mean one: `dev` and `Validation` are val, `test_clean` and `test2` test.

    `eval` and `evaluation` are val beside a test part, else test. A name that means no split, or two (`train_dev`), is
    left out.

    >>> read_parts(["Train", "eval", "test-clean", "other"])
    {'Train': 'train', 'test-clean': 'test', 'eval': 'val'}
    """
    words = {name: _PLAIN.findall(name.casefold()) for name in dict.fromkeys(names)}
    single = {n: w[0] for n, w in words.items() if w and not {*WORDS, *_EITHER} & set(w[1:])}
    parts = {name: WORDS[word] for name, word in single.items() if word in WORDS}
    free = {"val", "test"} - set(parts.values())
    either = "test" if "test" in free else "val"
    return parts | {name: either for name, word in single.items() if word in _EITHER and free}


def in_our_words(names: Sequence[str], *, file: Path | str) -> list[str]:
    """Each row's split as `read_parts` reads it, which is logged; what it does not know stays as it is."""
    parts = read_parts(names)
    read = [f"{name} as {part}" for name, part in parts.items() if name.strip().lower() != part]
    if read:
        log.info("%s: read as parts: %s", file, ", ".join(read))
    words = {name: parts.get(name, name.strip()) for name in dict.fromkeys(names)}
    return list(map(words.__getitem__, names))


def tidy_splits(rows: pd.DataFrame, *, file: Path | str) -> pd.DataFrame:
    """The rows with `split` in our words. A column that has none of them means something else: it becomes
    `source_split`, with a warning."""
    if "split" not in rows:
        return rows
    words = in_our_words([str(name) for name in rows["split"]], file=file)
    if not any(words) or set(words) & set(SPLITS):
        return rows.assign(split=words)
    log.warning(
        "%s: column 'split' says '%s' and so on, not %s: it is carried as source_split; rename it to be rid of this "
        "warning", file, next(filter(None, words)), ", ".join(SPLITS),
    )  # fmt: skip
    return rows.rename(columns={"split": "source_split"})


# --- Groups dealt out to sides so that each side gets its share of each class


_TRIES = 3000  # bounds restarts times groups, and sweeps times groups: a second of work at most
_PARTNERS = 100  # groups that a group may swap with, drawn anew each time


def balanced(counts: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """[G] int side of each group, no side empty, so that each side gets its share of each class.

    Minimises sum (count - wanted)^2 / (wanted + 1) over sides and classes (Pearson's chi-squared, tempered for rare
    classes): greedily, largest groups first, then by moves and swaps, from several starts. Few groups thus have one
    best answer, whatever the seed.
    """
    rng = np.random.default_rng(seed)
    wanted = shares[:, None] * counts.sum(axis=0)
    best, least = np.zeros(len(counts), int), np.inf
    for _ in range(max(1, min(20, _TRIES // len(counts)))):
        side = _greedy(counts, wanted, rng)
        filled = np.zeros(wanted.shape)
        np.add.at(filled, side, counts)
        _improve(side, filled, counts, wanted, rng)
        cost = _cost(filled, wanted).sum()
        if cost < least - 1e-9:
            best, least = side, cost
    return best


def _cost(filled: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return ((filled - wanted) ** 2 / (wanted + 1)).sum(axis=-1)


def _greedy(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each group to the side that gains most, roughly the largest first; a side left empty then gets a small one."""
    size = counts.sum(axis=1) * rng.uniform(0.2, 1.0, len(counts))
    side, filled = np.zeros(len(counts), int), np.zeros(wanted.shape)
    for group in np.argsort(-size, kind="stable"):
        side[group] = np.argmax(_cost(filled, wanted) - _cost(filled + counts[group], wanted))
        filled[side[group]] += counts[group]
    for empty in sorted(set(range(len(wanted))) - set(side)):
        spare = np.flatnonzero(np.bincount(side, minlength=len(wanted))[side] > 1)
        side[spare[np.argmin(counts[spare].sum(axis=1))]] = empty
    return side


def _improve(
    side: np.ndarray, filled: np.ndarray, counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> None:
    """Move groups, and swap them in pairs, while that lowers the cost; `side` and `filled` change in place."""
    for _ in range(max(1, min(30, _TRIES // len(counts)))):
        changed = False
        for group in rng.permutation(len(counts)):
            to = _best_move(group, side, filled, counts, wanted)
            partner = None if to is not None else _best_swap(group, side, filled, counts, wanted, rng)
            if partner is not None:
                to = side[partner]
                _place(partner, side[group], side, filled, counts)
            if to is not None:
                _place(group, to, side, filled, counts)
                changed = True
        if not changed:
            return


def _place(group: int, to: int, side: np.ndarray, filled: np.ndarray, counts: np.ndarray) -> None:
    filled[side[group]] -= counts[group]
    filled[to] += counts[group]
    side[group] = to


def _best_move(group: int, side: np.ndarray, filled: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> int | None:
    """The side that `group` had better be on; None to stay, as the last group of a side must."""
    here = side[group]
    if (side == here).sum() == 1:
        return None
    now = _cost(filled, wanted)
    change = _cost(filled + counts[group], wanted) - now
    change += _cost(filled[here] - counts[group], wanted[here]) - now[here]
    change[here] = 0
    return int(np.argmin(change)) if change.min() < -1e-9 else None


def _best_swap(
    group: int, side: np.ndarray, filled: np.ndarray, counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> int | None:
    """The group that `group` had better trade places with; None if there is none."""
    others = np.arange(len(side)) if len(side) <= _PARTNERS else rng.integers(0, len(side), _PARTNERS)
    others = others[side[others] != side[group]]
    if not len(others):
        return None
    here, there = side[group], side[others]
    now = _cost(filled, wanted)
    traded = counts[others] - counts[group]
    after = _cost(filled[here] + traded, wanted[here]) + _cost(filled[there] - traded, wanted[there])
    change = after - now[here] - now[there]
    return int(others[np.argmin(change)]) if change.min() < -1e-9 else None


# --- Splits and folds of rows


def default_group(rows: pd.DataFrame) -> str | None:
    """The first of `GROUP_COLUMNS` in which any row has a value; None: the rows count as independent."""
    return next((column for column in GROUP_COLUMNS if column in rows and (rows[column] != "").any()), None)


def by_group(
    groups: Cells,
    labels: Cells | None = None,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    name: str = "group",
) -> list[str]:
    """`train`, `val` or `test` for each row, whole groups at a time.

    labels: text classes, numbers (spread by their quintiles) or None. name: the column, for messages.
    A row without a group ("") goes to train, with a warning: it may be of anybody, so it cannot be judged on.
    Raises "input" where there are fewer groups than splits asked for, saying what is possible.
    """
    shares = _shares(val_fraction, test_fraction)
    names, position = _groups(groups)
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(names) < len(wanted):
        remedy = "split by rows (--split-by random), knowing that groups straddle, or name another --group"
        if len(names) == 2:
            remedy = f"set --val-fraction or --test-fraction to 0, or ask for --folds {name}"
        raise AffectkitError("input", f"{_count(len(names), name)} cannot fill {', '.join(wanted)}", remedy=remedy)
    if (position < 0).any():
        log.warning("%d rows have no %s: they are in train, where it may be of anybody", (position < 0).sum(), name)
    side = balanced(_counts(position, labels, len(names)), np.array([s for s in shares if s > 0]), seed)
    return [wanted[side[p]] if p >= 0 else "train" for p in position]


def random_rows(labels: Cells | None, rows: int, *, val_fraction: float, test_fraction: float, seed: int) -> list[str]:
    """`train`, `val` or `test` for each of `rows` rows drawn one by one, stratified: groups do straddle."""
    side = _stratified(_classes(labels, rows), np.array(_shares(val_fraction, test_fraction)), seed)
    return [SPLITS[s] for s in side]


def random_folds(labels: Cells | None, rows: int, n: int, seed: int) -> np.ndarray:
    """[rows] int fold of each row drawn one by one, stratified: groups do straddle."""
    _check_folds(n, rows, "row")
    return _stratified(_classes(labels, rows), np.full(n, 1 / n), seed)


def folds_of_rows(ids: np.ndarray, labels: np.ndarray | None, n: int, seed: int) -> np.ndarray:
    """As `random_folds`, of rows with ids [N]: the order in which they come is of no account."""
    order = np.argsort(ids)
    folds = np.empty(len(ids), int)
    folds[order] = random_folds(None if labels is None else labels[order], len(ids), n, seed)
    return folds


def folds_by_group(
    groups: Cells, labels: Cells | None = None, n: int | None = None, seed: int = 0, *, name: str = "group"
) -> np.ndarray:
    """[N] int: `n` folds of whole groups, or one fold per group, in the groups' sorted order (n None).

    Raises "input" if a row has no group, or there are fewer than `n` groups.
    """
    names, position = _groups(groups)
    if (position < 0).any():
        row = int(np.argmax(position < 0)) + 1
        what = f"{(position < 0).sum()} rows have no {name}, so no fold can hold them out"
        raise AffectkitError("input", what, row=row, remedy="drop them, or name another --group")
    _check_folds(len(names) if n is None else n, len(names), name)
    if n is None:
        return position
    return balanced(_counts(position, labels, len(names)), np.full(n, 1 / n), seed)[position]


def folds_and_test(
    groups: Cells | None,
    labels: Cells | None,
    rows: int,
    n: int | None = None,
    *,
    test_fraction: float = 0.0,
    seed: int = 0,
    name: str = "group",
) -> tuple[np.ndarray, np.ndarray]:
    """[rows] `test` for whole groups that are held out first, else `train`, and the folds of these as `folds_by_group`
    makes them ("" of the former), both [rows] objects.

    groups: None draws rows one by one. Raises "input" where too few groups are left for the folds.
    """
    split, cells = np.full(rows, "train", dtype=object), np.full(rows, "", dtype=object)
    values = None if labels is None else np.asarray(labels)
    parts = None if groups is None else np.asarray(groups, dtype=object)
    if test_fraction:
        fractions: Any = {"val_fraction": 0.0, "test_fraction": test_fraction, "seed": seed}
        if parts is None:
            split[:] = random_rows(values, rows, **fractions)
        else:
            split[:] = by_group(parts, values, **fractions, name=name)
    rest = np.flatnonzero(split == "train")
    left = None if values is None else values[rest]
    try:
        if parts is not None:
            cells[rest] = folds_by_group(parts[rest], left, n, seed, name=name)
        else:
            cells[rest] = random_folds(left, len(rest), n or 0, seed)
    except AffectkitError as error:
        if not test_fraction:
            raise
        message = f"beside the test part, {error.message}"
        raise AffectkitError(error.code, message, remedy=f"{error.remedy}, or lower --test-fraction") from None
    return split, cells


def grouped_folds(groups: Cells | None, labels: Cells | None, n: int = 5, seed: int = 0) -> np.ndarray:
    """[N] int folds for cross-fitting: leave one group out with up to `n` groups, else `n` balanced folds of groups.

    groups: None takes each row as its own group. Rows without a group ("") count as one group together.
    Raises "input" for a single group: nothing can be held out.
    """
    if groups is None:
        rows = len(labels) if labels is not None else 0
        return random_folds(labels, rows, min(n, rows), seed)
    names, codes = distinct(groups)
    numbers = np.array([f"{i:09d}" for i in range(len(names))], dtype=object)  # "" is a group too
    return folds_by_group(numbers[codes], labels, None if len(names) <= n else n, seed)


LEAVE_ONE_OUT_UP_TO = 20  # groups; beyond, five folds cost a quarter and fit on four fifths


def outer_folds(groups: np.ndarray, *, grouped: bool, seed: int = 0) -> np.ndarray:
    """[N] int folds whose rows are predicted by a fit on the others: leave one of up to 20 groups out, else 5 folds.

    grouped: whether `groups` are groups at all; otherwise each row is its own, and there are 5 folds of rows.
    Raises "input" for a single group.
    """
    count = len(distinct(groups)[0])
    return grouped_folds(groups, None, count if grouped and count <= LEAVE_ONE_OUT_UP_TO else 5, seed)


def hold_out(groups: Cells, labels: Cells | None, *, fraction: float, seed: int) -> np.ndarray:
    """[N] bool: about `fraction` of the rows, whole groups, to be held out of a fit (for early stopping)."""
    split = by_group(groups, labels, val_fraction=fraction, test_fraction=0.0, seed=seed)
    return np.array(split) == "val"


def _shares(val_fraction: float, test_fraction: float) -> tuple[float, float, float]:
    if not (min(val_fraction, test_fraction) >= 0 and val_fraction + test_fraction < 1):
        what = f"fractions of {val_fraction:g} for val and {test_fraction:g} for test leave nothing for train"
        raise AffectkitError("usage", what, remedy="give fractions of at least 0 that sum to less than 1")
    return 1 - val_fraction - test_fraction, val_fraction, test_fraction


def _count(n: int, name: str) -> str:
    return f"{n} {name}" if n == 1 else f"{n} {name}s"


def _check_folds(n: int, groups: int, name: str) -> None:
    if groups < 2:
        what = f"a single {name} cannot be held out of itself" if groups else f"no row has a {name}"
        raise AffectkitError("input", what, remedy="name another --group")
    if n < 2 or n > groups:
        possible = f"2 to {groups} folds are possible"
        raise AffectkitError("input", f"{_count(groups, name)} cannot make {_count(n, 'fold')}", remedy=possible)


def distinct(texts: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The sorted names [G] among texts [N], and [N] the place of each in them; `np.unique` compares long arrays of text
    over and over."""
    from pandas import factorize

    codes, names = factorize(np.asarray(texts, dtype=object), sort=True)
    return names, codes


def _groups(groups: Cells) -> tuple[list[str], np.ndarray]:
    """The sorted names, and the position of each row's in them; -1 for a row without."""
    names, codes = distinct(groups)
    if len(names) and names[0] == "":
        names, codes = names[1:], codes - 1
    return names.tolist(), codes


def _classes(labels: Cells | None, rows: int) -> np.ndarray:
    """[rows] int class of each row: of text, of a number's quintile (NaN is a class), or 0 for all."""
    if labels is None:
        return np.zeros(rows, int)
    values = np.asarray(labels)
    if np.issubdtype(values.dtype, np.floating):
        edges = np.nanquantile(values, [0.2, 0.4, 0.6, 0.8]) if np.isfinite(values).any() else np.zeros(0)
        return np.where(np.isnan(values), 5, np.searchsorted(edges, values))
    return np.unique(values.astype(str), return_inverse=True)[1]


def _counts(position: np.ndarray, labels: Cells | None, groups: int) -> np.ndarray:
    """[groups, classes] rows of each class in each group."""
    classes = _classes(labels, len(position))
    counts = np.zeros((groups, int(classes.max(initial=0)) + 1))
    known = position >= 0
    np.add.at(counts, (position[known], classes[known]), 1)
    return counts


def _stratified(classes: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """[N] int side of each row: class by class in random order, each row to the side that is furthest behind."""
    order = np.lexsort((np.random.default_rng(seed).random(len(classes)), classes))
    side, filled = np.zeros(len(classes), int), np.zeros(len(shares))
    for done, row in enumerate(order, start=1):
        side[row] = np.argmax(shares * done - filled)
        filled[side[row]] += 1
    return side


def folds_of(rows: pd.DataFrame) -> np.ndarray:
    """[N] text: the fold of each row, "" of none."""
    return rows["fold"].astype(str).to_numpy(object) if "fold" in rows else np.full(len(rows), "", dtype=object)


def parts_in_order(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The folds in their order, then the splits of the rows that are of no fold, each with its rows."""
    folds = folds_of(rows)
    named = [(name, rows[folds == name]) for name in sorted(set(folds) - {""}, key=lambda fold: (len(fold), fold))]
    return named + [(str(name), part) for name, part in rows[folds == ""].groupby("split", sort=True)]


# --- What must not straddle: the column that says it, rows that it says nothing of, and folds of it in words


def group_column(rows: pd.DataFrame, group: str | None, *, file: Path | None = None) -> str | None:
    """The column called `group`, by default as `default_group` has it. Raises "input" for one that is not there."""
    if group is not None and group not in rows:
        remedy = did_you_mean(group, list(rows.columns))
        raise AffectkitError("input", f"has no column '{group}' to group by", file=file, remedy=remedy)
    return group if group is not None else default_group(rows)


def apart(ids: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """[N] text: each row's group; a row without one ("") is a group of its own."""
    return np.where(groups == "", ids, groups)


def folds_in_words(folds: np.ndarray, groups: np.ndarray, column: str) -> str:
    """`leave one speaker out (8)`, or `5 folds of whole speakers`. folds, groups: [N]; column: what the groups are."""
    count = len(np.unique(folds))
    one_each = count == len(distinct(groups)[0])
    return f"leave one {column} out ({count})" if one_each else f"{count} folds of whole {column}s"


# --- A split that somebody else has published: `id`, and `split` or `fold`


def from_table(
    table: pd.DataFrame, ids: Sequence[str], *, file: Path | str
) -> tuple[list[str] | None, np.ndarray | None]:
    """The split and the fold of each id, as a table with `id` and `split`, `fold` or both says; None where it does not.

    folds: a number, or "" of a test row, which is of none. Raises "input" naming the row of a doubled id, an unknown
    split, a fold that is no whole number or of a test row (which would be fitted on), and the first id that the table
    lacks. Ids that are only in the table are logged: a protocol covers rows that a filter dropped.
    """
    if "split" not in table and "fold" not in table:
        raise AffectkitError("input", "has neither a column 'split' nor a column 'fold'", file=file)
    doubled = table["id"].duplicated()
    if doubled.any():
        row = int(doubled.to_numpy().argmax())
        raise AffectkitError("input", f"id '{table['id'].iloc[row]}' stands twice", file=file, row=row + 1)
    parts = read_parts(table.get("split", ()))
    for row, split in enumerate(table.get("split", ()), start=1):
        if split not in parts:
            raise AffectkitError("input", f"split '{split}' is not in {', '.join(SPLITS)}", file=file, row=row)
    for row, fold in enumerate(table.get("fold", ()), start=1):
        tested = "split" in table and parts[table["split"].iloc[row - 1]] == "test"
        if tested and str(fold) != "":
            what = f"id '{table['id'].iloc[row - 1]}' is a test row, and of fold '{fold}', whose rows are fitted on"
            remedy = "leave the fold of test rows empty, or the column split out: then every fold is judged in turn"
            raise AffectkitError("input", what, file=file, row=row, remedy=remedy)
        if not str(fold).isdecimal() and not tested:
            raise AffectkitError("input", f"fold '{fold}' is not a whole number", file=file, row=row)
    rows = {key: row for row, key in enumerate(table["id"])}
    missing = [key for key in ids if key not in rows]
    if missing:
        what = f"does not say where '{missing[0]}' belongs ({len(missing)} of {len(ids)} ids are missing)"
        raise AffectkitError("input", what, file=file, remedy="add them, or drop their rows with --only or --label-map")
    unknown = sorted(rows.keys() - set(ids))
    if unknown:
        log.warning("%s: %d ids are not in the corpus as read, the first is '%s'", file, len(unknown), unknown[0])
    order = [rows[key] for key in ids]
    split = [parts[table["split"][row]] for row in order] if "split" in table else None
    if "fold" not in table:
        return split, None
    cells = [str(table["fold"][row]) for row in order]
    return split, np.array([int(cell) if cell else "" for cell in cells], dtype=object)
