"""Imputing, encoding, scaling, choosing columns: fitted on the rows that the estimator is fitted on and no others."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affectkit.artifacts.arrays import LARGEST, checked
from affectkit.artifacts.columns import Column, Table
from affectkit.artifacts.files import read_json, write_bytes, write_json
from affectkit.errors import AffectkitError
from affectkit.estimators._estimator import Block, Learned, Matrix, Raw
from affectkit.estimators._network_inputs import SMALLEST_DEVIATION, Frames, Inputs, Scaling, moments
from affectkit.labels import spelt_alike
from affectkit.media.texts import UNSPACED

logger = logging.getLogger(__name__)

Width = int | list[int] | tuple[Column, ...] | None  # of a set of features: D, [L, D], a table's columns; None of CSR
Impute = Literal["median", "knn"]
WORDS = 64  # columns that the words of a text are hashed into
GAP = -1.0  # a category that is not known, where columns are chosen
MOST_NAMED = 3  # categories of a column that the fit rows lack


# --- A table as numbers


@dataclass(frozen=True)
class Encoding:
    """A table's numbers and dates, imputed and scaled; then each column of categories one-hot; then of each text its
    words, hashed into 64 columns of length 1 together (l2).

    categories: of each column of them those of the fit rows, sorted. fills: of each the most frequent, which stands for
    a gap; ties go to the first.
    """

    columns: tuple[Column, ...]
    scaling: Scaling
    categories: tuple[tuple[str, ...], ...]
    fills: tuple[str, ...]

    @classmethod
    def fit(cls, table: Table, scale: bool, impute: Impute) -> Encoding:
        counts = [Counter(cells[cells != ""]) for cells in _of(table, "category")]
        categories = tuple(tuple(sorted(count)) for count in counts)
        fills = tuple(max(sorted(count), key=count.__getitem__, default="") for count in counts)
        return cls(table.columns, _fit_block(table.numbers, scale, impute), categories, fills)

    def apply(self, table: Table) -> np.ndarray:
        """[N, D] float64."""
        words = hashed(table).words.toarray()
        return np.hstack([self.scaling.apply(table.numbers), *self._one_hot(table), words])

    def _one_hot(self, table: Table) -> list[np.ndarray]:
        """A category that the fit rows lack is 0 everywhere."""
        known = zip(_of(table, "category"), self.categories, self.fills, strict=True)
        filled = [(np.where(cells == "", fill, cells), values) for cells, values, fill in known]
        return [(_codes(cells, values)[:, None] == np.arange(len(values))) * 1.0 for cells, values in filled]

    def warn_of_unmet(self, table: Table) -> None:
        """Name the categories that the fit rows lack: they count as none of those that these have."""
        names = [column.name for column in self.columns if column.kind == "category"]
        for name, cells, values in zip(names, _of(table, "category"), self.categories, strict=True):
            unmet = Counter(cells[cells != ""]) - Counter(dict.fromkeys(values, len(cells)))
            for value, count in unmet.most_common(MOST_NAMED):
                alike = next((spelt for spelt in spelt_alike([value, *values]) if value in spelt), [value])
                near = next((f", as '{other}' is" for other in alike if other != value), "")
                message = "%s '%s' is no category of the rows fitted on%s: %d of %d rows have it"
                logger.warning(message, name, value, near, count, len(cells))

    def raw(self, table: Table) -> np.ndarray:
        """[N, D] float64 as `Raw.values` has it."""
        categories = zip(_of(table, "category"), self.categories, strict=True)
        codes = [_codes(cells, values)[:, None] for cells, values in categories]
        return np.hstack([table.numbers, *codes, hashed(table).words.toarray()])

    def names(self, *, raw: bool) -> list[str]:
        """Of the D columns of `apply`, or of `raw`."""
        of = {kind: [column.name for column in self.columns if column.kind in kind.split()] for kind in KINDS}
        numbers, categories, texts = of.values()
        encoded = zip(categories, self.categories, strict=True)
        one_hot = categories if raw else [f"{name}={value}" for name, values in encoded for value in values]
        return [*numbers, *one_hot, *(f"{name}#{place}" for name in texts for place in range(WORDS))]

    def discrete(self, *, raw: bool) -> np.ndarray:
        """[D] bool: which of them come from categories."""
        categories = len(self.categories) if raw else sum(map(len, self.categories))
        numbers = len(self.scaling.fill)
        return np.isin(np.arange(len(self.names(raw=raw))), np.arange(numbers, numbers + categories))

    def derived(self, *, raw: bool) -> list[np.ndarray]:
        """Of each column of the table the columns of `apply`, or of `raw`, that are made of it."""
        counts = iter(map(len, self.categories))
        width = {"text": lambda: WORDS, "category": lambda: 1 if raw else next(counts)}
        sizes = np.array([width.get(column.kind, lambda: 1)() for column in self.columns])
        kinds = [next(place for place, kinds in enumerate(KINDS) if c.kind in kinds.split()) for c in self.columns]
        order = np.argsort(kinds, kind="stable")
        parts = np.split(np.arange(sizes.sum()), np.cumsum(sizes[order])[:-1])
        return [parts[place] for place in np.argsort(order)]


KINDS = ("number date", "category", "text")  # in the order in which they are encoded


def _of(table: Table, kind: str) -> list[np.ndarray]:
    return [cells for column, cells in zip(table.columns, table.cells, strict=True) if column.kind == kind]


def _codes(cells: np.ndarray, values: Sequence[str]) -> np.ndarray:
    """[N] float64, each cell's place among sorted values; NaN where it is none of them."""
    places = {value: place for place, value in enumerate(values)}
    return np.array([places.get(cell, np.nan) for cell in cells], dtype=float)


def hashed(table: Table) -> Table:
    """With the words of its texts, 64 columns for each. Nothing is fitted, so that no word is learned from rows that
    are judged, and once is enough for all folds."""
    import scipy.sparse as sp

    if table.words is not None:
        return table
    words = [sp.csr_matrix((len(table), 0)), *map(_hashed, _of(table, "text"))]
    return replace(table, words=sp.hstack(words, format="csr"))


def _hashed(cells: np.ndarray) -> Any:
    """[N, 64] CSR of float64."""
    import pandas as pd
    from sklearn.feature_extraction.text import HashingVectorizer

    codes, distinct = pd.factorize(cells)
    return HashingVectorizer(n_features=WORDS).transform(map(_spaced, distinct))[codes]


def _spaced(text: str) -> str:
    """With pairs of characters for words, where a script has no spaces: 病人好 is 病人 人好."""
    return _RUN.sub(lambda run: f" {' '.join(map(''.join, pairwise(run[0])))} ", text)


_RUN = re.compile(f"{UNSPACED.pattern}{{2,}}")


# --- All sets


@dataclass(frozen=True)
class Preprocessing:
    """One `Scaling` per dense block, an `Encoding` per table, None per sparse block: hashed n-grams are unit rows
    already, and stay sparse.

    raw: gaps and categories are left to the estimator. kept: [K] of the columns of all sets, in order, those that were
    chosen; None: all. apart: the estimator reads each set by itself.
    """

    blocks: tuple[Scaling | Encoding | None, ...]
    raw: bool = False
    kept: np.ndarray | None = None
    apart: bool = False

    @classmethod
    def fit(
        cls,
        blocks: Sequence[Block],
        *,
        scale: bool,
        impute: Impute = "median",
        raw: bool = False,
        apart: bool = False,
    ) -> Preprocessing:
        return cls(tuple(_fit_any(block, scale, impute) for block in blocks), raw, apart=apart)

    def choosing(self, count: int, blocks: Sequence[Block], labels: Learned, seed: int) -> Preprocessing:
        """With the `count` columns that tell most about the labels alone (mutual information, Kraskov et al. 2004 and
        Ross 2014, as scikit-learn has it); ties go to the later, as in its SelectKBest. Of several targets, the best
        columns of each in turn."""
        from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

        x = self.apply(blocks)
        if not isinstance(x, (np.ndarray, Raw)):
            message = "--select-features is for one vector per row, dense"
            raise AffectkitError("usage", message, remedy="leave it out, or pool the features")
        values, discrete = (self._filled(x), x.categorical) if isinstance(x, Raw) else (x, self._discrete())
        places = []
        for own in labels.each:
            if own.learnable or len(labels.each) == 1:
                score = mutual_info_classif if own.classes else mutual_info_regression
                told = score(values[own.known], own.y[own.known], discrete_features=discrete, random_state=seed)
                places.append(np.argsort(np.argsort(told, kind="mergesort")))
        return replace(self, kept=np.sort(np.argsort(np.max(places, axis=0), kind="mergesort")[-count:]))

    def _filled(self, x: Raw) -> np.ndarray:
        """[N, D] with medians for gaps, and a category of its own."""
        fills = []
        for block in self.blocks:
            if not block:
                continue
            scaling = block.scaling if isinstance(block, Encoding) else block
            width = len(block.names(raw=True)) if isinstance(block, Encoding) else len(scaling.fill)
            fills += [*scaling.fill, *[GAP] * (width - len(scaling.fill))]
        return np.where(np.isnan(x.values), fills, x.values)

    def _discrete(self) -> np.ndarray:
        known = [block for block in self.blocks if block]
        return np.concatenate(
            [b.discrete(raw=self.raw) if isinstance(b, Encoding) else b.fill != b.fill for b in known]
        )

    def names(self, known: Sequence[Sequence[str] | None] = ()) -> list[str]:
        """Of the columns that the estimator reads; "2.17" for the 17th of the second set, where nothing names it.

        known: the names of each set that is no table.
        """
        names: list[str] = []
        for place, block in enumerate(self.blocks):
            if isinstance(block, Encoding):
                names += block.names(raw=self.raw)
            elif block:
                numbered = [f"{place + 1}.{column}" for column in range(1, len(block.fill) + 1)]
                names += (known[place] if place < len(known) else None) or numbered
        return names if self.kept is None else [names[place] for place in self.kept]

    def derived(self) -> list[np.ndarray]:
        """Of each column of all dense sets, in order, the columns of the matrix that are made of it."""
        places: list[np.ndarray] = []
        start = 0
        for block in self.blocks:
            each: list[np.ndarray] = []
            if isinstance(block, Encoding):
                each = block.derived(raw=self.raw)
            elif block:
                each = list(np.arange(len(block.fill))[:, None])
            places += [start + columns for columns in each]
            start += sum(map(len, each))
        return places if self.kept is None else [np.flatnonzero(np.isin(self.kept, columns)) for columns in places]

    def apply(self, blocks: Sequence[Block]) -> Matrix:
        """[N, D] of all blocks side by side: an array, or CSR as soon as one block is sparse. `Inputs` as soon as one
        has layers or frames, or where sets stay apart. `Raw` where gaps are left to the estimator."""
        import scipy.sparse as sp

        if self.raw:
            return self._raw(blocks)
        pairs = zip(self.blocks, blocks, strict=True)
        blocks = [fitted.apply(block) if isinstance(fitted, Encoding) else block for fitted, block in pairs]
        scalings = [None if isinstance(fitted, Encoding) else fitted for fitted in self.blocks]
        if self.apart or any(len(block.shape) > 2 or isinstance(block, Frames) for block in blocks):
            return Inputs(tuple(blocks), tuple(scalings))
        blocks = [s.apply(np.asarray(b, float)) if s else b for s, b in zip(scalings, blocks, strict=True)]
        if any(sp.issparse(block) for block in blocks):
            return sp.hstack([sp.csr_matrix(block) for block in blocks], format="csr")
        matrix = np.hstack(blocks)
        return matrix if self.kept is None else matrix[:, self.kept]

    def _raw(self, blocks: Sequence[Block]) -> Raw:
        pairs = list(zip(self.blocks, blocks, strict=True))
        values = np.hstack([e.raw(b) if isinstance(e, Encoding) else np.asarray(b, float) for e, b in pairs])
        kept = np.arange(values.shape[1]) if self.kept is None else self.kept
        return Raw(values[:, kept], self._discrete()[kept], tuple(self.names()))

    def save(self, path: Path) -> None:
        """With a JSON file beside it, of tables."""
        from safetensors.numpy import save

        tensors, tables = {} if self.kept is None else {"kept": self.kept}, {}
        for number, block in enumerate(self.blocks):
            if isinstance(block, Encoding):
                known = {"columns": [asdict(column) for column in block.columns]}
                tables[str(number)] = {**known, "categories": block.categories, "fills": block.fills}
            scaling = block.scaling if isinstance(block, Encoding) else block
            fitted = vars(scaling) if scaling else {}
            tensors |= {f"{number}.{name}": table for name, table in fitted.items() if table is not None}
        write_bytes(path, save(tensors, metadata={"blocks": str(len(self.blocks))}))
        if tables:
            write_json(path.with_suffix(".json"), {"tables": tables})

    @classmethod
    def load(
        cls, path: Path, widths: Sequence[Width] | None = None, *, raw: bool = False, apart: bool = False
    ) -> Preprocessing:
        """widths: what the blocks must be; None for a file of this very run. Raises ValueError for what was fitted on
        others, or makes no sense."""
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
            count = int((file.metadata() or {}).get("blocks", 0))
        beside = path.with_suffix(".json")
        tables = read_json(beside, what="encoding of tables", shape=_TABLES)["tables"] if beside.exists() else {}
        if widths is None:
            widths = [_width(stored, tables, number) for number in range(count)]
        if count != len(widths):
            raise ValueError(f"it scales {count} sets of features, and the model is of {len(widths)}")
        blocks = [_stored(stored, tables.get(str(number)), number, width) for number, width in enumerate(widths)]
        fitted = cls(tuple(blocks), raw, apart=apart)
        if (kept := stored.get("kept")) is not None:
            high = len(fitted.names()) - 1
            fitted = replace(fitted, kept=checked("kept", kept, [None], dtype="int64", low=0, high=high, rising=True))
        return fitted


# --- Reading what was saved


_COLUMN = {"name": str, "kind": str, "form": str}
_TABLES = {"tables": {str: {"columns": [_COLUMN], "categories": [[str]], "fills": [str]}}}


def _width(stored: Mapping[str, np.ndarray], tables: Mapping[str, Any], number: int) -> Width:
    if table := tables.get(str(number)):
        return tuple(Column(**column) for column in table["columns"])
    mean = stored.get(f"{number}.mean")
    return None if mean is None else list(mean.shape)


def _stored(
    stored: Mapping[str, np.ndarray], table: Mapping[str, Any] | None, number: int, width: Width
) -> Scaling | Encoding | None:
    if (width is None) == (f"{number}.mean" in stored):
        raise ValueError(f"features {number + 1} are scaled where they are sparse, or are not where they are dense")
    if isinstance(width, tuple) != (table is not None):
        raise ValueError(f"features {number + 1} are a table, and no encoding of one is known, or the other way round")
    if width is None:
        return None
    if table is None or not isinstance(width, tuple):
        return _stored_scaling(stored, number, width if isinstance(width, list) else [int(str(width))])
    columns = tuple(Column(**column) for column in table["columns"])
    categories = tuple(map(tuple, table["categories"]))
    if columns != width or len(categories) != sum(column.kind == "category" for column in columns):
        raise ValueError(f"features {number + 1} are of other columns")
    for values, fill in zip(categories, table["fills"], strict=True):
        if list(values) != sorted(set(values)) or (fill not in values and values):
            raise ValueError(f"features {number + 1} have categories that do not rise")
    numbers = sum(column.kind in ("number", "date") for column in columns)
    return Encoding(columns, _stored_scaling(stored, number, [numbers]), categories, tuple(table["fills"]))


def _stored_scaling(stored: Mapping[str, np.ndarray], number: int, shape: list[int]) -> Scaling:
    lowest = {"fill": -LARGEST, "mean": -LARGEST, "deviation": SMALLEST_DEVIATION}
    fitted = {name: checked(name, stored[f"{number}.{name}"], shape, low=low) for name, low in lowest.items()}
    neighbours = stored.get(f"{number}.neighbours")
    if neighbours is not None:
        checked("neighbours", np.nan_to_num(neighbours), [None, *shape])
    return Scaling(**fitted, neighbours=neighbours)


# --- Fitting one set


def _fit_any(block: Block, scale: bool, impute: Impute) -> Scaling | Encoding | None:
    if isinstance(block, Table):
        return Encoding.fit(block, scale, impute)
    if impute == "knn" and (isinstance(block, Frames) or len(block.shape) > 2):
        message = "--impute knn is for one vector per row"
        raise AffectkitError("usage", message, remedy="leave it out, or pool the features")
    if isinstance(block, Frames):
        mean, deviation = moments(block)
        return Scaling(mean, mean, deviation) if scale else Scaling(mean, np.zeros_like(mean), np.ones_like(mean))
    if not isinstance(block, np.ndarray):
        return None
    if block.ndim == 2:
        return _fit_block(block, scale, impute)
    layers = [vars(_fit_block(block[:, layer], scale)) for layer in range(block.shape[1])]
    return Scaling(*(np.stack([layer[name] for layer in layers]) for name in ("fill", "mean", "deviation")))


COLUMNS = 64  # looked at at once: float64 copies of all columns take three times what the features do


def _fit_block(block: np.ndarray, scale: bool, impute: Impute = "median") -> Scaling:
    if impute == "knn":
        return _fit_neighbours(np.asarray(block, float), scale)
    # Never one column of several: numpy adds up a single one in another order, to other last digits.
    parts = np.array_split(np.arange(block.shape[1]), -(-block.shape[1] // COLUMNS) or 1)
    each = [_fit_columns(np.asarray(block[:, part[0] : part[-1] + 1] if len(part) else block, float)) for part in parts]
    fill, mean, deviation = (np.concatenate(arrays) for arrays in zip(*each, strict=True))
    if not scale:
        return Scaling(fill, np.zeros(block.shape[1]), np.ones(block.shape[1]))
    deviation[deviation < SMALLEST_DEVIATION] = 1.0  # a constant feature says nothing; dividing by it would
    return Scaling(fill, mean, deviation)


def _fit_columns(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What fills gaps, and then mean and deviation, each [D]."""
    known = ~np.isnan(block)
    fill = _medians(block, known)
    filled = np.where(known, block, fill)
    return fill, filled.mean(axis=0), filled.std(axis=0)


def _medians(block: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[D], of columns with gaps; most features have none, and a full median is slow."""
    fill = np.zeros(block.shape[1])
    for column in np.flatnonzero(~known.all(axis=0)):
        values = block[known[:, column], column]
        fill[column] = np.median(values) if len(values) else 0.0
    return fill


def _fit_neighbours(block: np.ndarray, scale: bool) -> Scaling:
    """Scaled by what is known, as scikit-learn scales it; then the rows among which neighbours are looked for."""
    from sklearn.preprocessing import StandardScaler

    mean, deviation = np.zeros(block.shape[1]), np.ones(block.shape[1])
    known = ~np.isnan(block).all(axis=0)
    if scale and known.any():
        scaler = StandardScaler().fit(block[:, known])
        mean[known], deviation[known] = scaler.mean_, scaler.scale_
    return Scaling(_medians(block, ~np.isnan(block)), mean, deviation, (block - mean) / deviation)
