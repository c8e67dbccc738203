"""Rows of a manifest that are windows, turns or seconds of something longer, as one row for each of these sequences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from affectkit.artifacts.grouping import Grouping, Truth, majority
from affectkit.artifacts.manifest import NUMBERS, Manifest
from affectkit.artifacts.tables import to_numbers
from affectkit.artifacts.timeline import timeline
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.plain import safe_id

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = "windows"  # the column that counts them, as `aggregate` calls it
WINDOW = "window"  # role in `fit_rows.csv`; no id of a sequence has a space


@dataclass(frozen=True)
class Gathering:
    """How rows become sequences. columns: which tell sequences apart. time: the column by which they are in order.
    truth: of a class, the one label of a sequence's rows, or the most frequent of them."""

    columns: tuple[str, ...]
    time: str
    truth: Truth = "unanimous"

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Gathering | None:
        """As a model's description has it; None for a model of rows. Raises ValueError for what `plain` did not say."""
        if "sequence" not in spec:
            return None
        columns, time, truth = spec["sequence"], spec.get("time"), cast(Truth, spec.get("truth"))
        if not columns or not time or truth not in get_args(Truth):
            raise ValueError("how it gathers rows into sequences makes no sense")
        return cls(tuple(columns), time, truth)

    @property
    def name(self) -> str:
        """Of a sequence, in messages."""
        return self.columns[0] if len(self.columns) == 1 else "sequence"

    def plain(self) -> dict[str, Any]:
        return {"sequence": list(self.columns), "time": self.time, "truth": self.truth}


@dataclass(frozen=True)
class Sequences:
    """manifest: S rows, one for each sequence, sorted by name; `windows` counts those of each. windows: ids of the rows
    of each sequence, in the order of time. dropped: columns that differ within a sequence. mixed: by target the
    names of sequences that have no label, as those of their rows differ.
    """

    how: Gathering
    manifest: Manifest
    windows: tuple[tuple[str, ...], ...]
    dropped: list[str] = field(default_factory=list)
    mixed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return list(self.manifest.rows["id"])

    @property
    def every_window(self) -> list[str]:
        return [window for windows in self.windows for window in windows]

    @cached_property
    def by_window(self) -> dict[str, str]:
        """Id of a window -> id of its sequence."""
        return {window: key for key, windows in zip(self.ids, self.windows, strict=True) for window in windows}

    def keeping(self, ids: Collection[str]) -> Sequences:
        """With these windows alone; a sequence that has none of them is left out."""
        windows = [tuple(key for key in each if key in ids) for each in self.windows]
        manifest = self.manifest.take([bool(each) for each in windows])
        kept = tuple(each for each in windows if each)
        rows = manifest.rows.assign(**{WINDOWS: [len(each) for each in kept]})
        return replace(self, manifest=replace(manifest, rows=rows), windows=kept)

    def spread(self, chosen: np.ndarray, windows: Manifest) -> np.ndarray:
        """[N] bool, which rows of the manifest `windows` are of chosen sequences, [S] bool."""
        wanted = {key for key, wanted in zip(self.ids, chosen, strict=True) if wanted}
        return windows.rows["id"].map(self.by_window).isin(wanted).to_numpy()

    def counts(self) -> dict[str, float]:
        """The fewest, the median and the most windows of a sequence."""
        lengths = [len(each) for each in self.windows]
        return {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)}

    def in_words(self) -> str:
        counts, total = self.counts(), sum(map(len, self.windows))
        each = f"{counts['min']:g} to {counts['max']:g}, median {counts['median']:g} in each"
        return f"sequences: {len(self.windows)}, by {', '.join(self.how.columns)}; windows: {total} ({each})"

    def fit_rows(self, fitted: pd.DataFrame) -> pd.DataFrame:
        """`fit_rows.csv` of sequences that were fitted on: these, then their windows as `window <id>`, by which they
        are known again in whatever sequence they stand."""
        import pandas as pd

        groups = dict(zip(fitted["id"], fitted["group"], strict=True))
        of_windows = [(marked(window), groups[key]) for window, key in self.by_window.items() if key in groups]
        windows = pd.DataFrame(of_windows, columns=["id", "group"]).assign(role=WINDOW)
        return pd.concat([fitted, windows], ignore_index=True)


def without_windows(fit_rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a model was fitted on, each once."""
    return fit_rows[fit_rows["role"] != WINDOW]


def marked(window: str) -> str:
    """The id of a window as `fit_rows.csv` has it beside those of sequences, which may be called the same."""
    return f"{WINDOW} {window}"


def gather(
    manifest: Manifest, how: Gathering, targets: Sequence[Target] = (), *, group: str | None = None, strict: bool = True
) -> Sequences:
    """The sequences of a manifest's rows, whatever order these have.

    `id` is the sequence's value, safe as a file name. split, fold: the one of all rows. targets: of a number the mean
    of the rows that have one; of classes as `how.truth` says, "" where several are equally frequent. Of the other
    columns those stay in which no sequence has two values, and of the time where each begins.
    group: a column that must not differ within a sequence. strict: raise for labels that differ; else they are "", and
    named in `mixed`.
    Raises as `timeline` does, "leak" for a sequence of several splits or folds, "input" for differing labels.
    """
    import pandas as pd

    rows = manifest.rows
    line = timeline(rows, how.columns, how.time, file=manifest.path, where=manifest.where)
    codes, firsts = line.to_table(line.codes), line.order[line.starts]
    table = Grouping(rows, how.name, codes, line.names, firsts, manifest.path)
    columns: dict[str, Any] = {"id": _ids(table)}
    for name in [name for name in ("split", "fold") if name in rows]:
        if (place := table.differing(name)) is not None:
            raise table.refusal("leak", name, place, f"split by {how.name}: prepare-manifest --group {how.columns[0]}")
        columns[name] = table.common(name)
    known, mixed = [target for target in targets if target.name in rows], {}
    for target in known:
        if target.kind == "number":
            columns[target.name] = _mean(to_numbers(rows[target.name]), codes, len(line.names))
        else:
            columns[target.name], mixed[target.name] = _labels(table, target.name, how.truth, strict)
    table.require_whole(group, "sequences")
    others = [str(name) for name in rows if name not in columns and _is_common(str(name), manifest, how)]
    kept, dropped = table.shared(others)
    columns |= kept | {how.time: table.common(how.time), WINDOWS: line.lengths}
    ids = rows["id"].astype(str).to_numpy(object)[line.order]
    windows = tuple(map(tuple, np.split(ids, line.starts[1:])))
    of_first = [manifest.origin[place] for place in firsts]
    made = {"rows": pd.DataFrame(columns), "origin": of_first, "targets": {target.name: target for target in known}}
    untold = {name: names for name, names in mixed.items() if names}
    return Sequences(how, replace(manifest, **made), windows, dropped, untold)


def _is_common(name: str, manifest: Manifest, how: Gathering) -> bool:
    """Whether a column may say something of a sequence, not of one row alone."""
    alone = name in (*NUMBERS, WINDOWS, how.time) or name.startswith("votes_")
    return not alone and name not in manifest.targets


def _ids(table: Grouping) -> list[str]:
    ids = [safe_id(name) for name in table.names]
    taken: dict[str, str] = {}
    for name, key in zip(table.names, ids, strict=True):
        if taken.setdefault(key, name) != name:
            message = f"{table.called} '{name}' and '{taken[key]}' have the same id, {key}"
            raise AffectkitError("input", message, file=table.path, remedy="rename one of them")
    return ids


def _labels(table: Grouping, column: str, truth: Truth, strict: bool) -> tuple[np.ndarray, list[str]]:
    """[S] the label of each sequence, "" where no row has one, and the names of those that are left without one, as
    their rows differ."""
    import pandas as pd

    codes, names = pd.factorize(table.frame[column].astype(str).to_numpy(object), sort=True)
    counts = np.zeros((len(table.names), len(names)), dtype=int)
    np.add.at(counts, (table.codes, codes), 1)
    counts[:, names == ""] = 0
    most, mixed, tied = majority(counts)
    untold = tied if truth == "majority" else mixed
    if truth == "unanimous" and strict and mixed.any():
        place = int(mixed.argmax())
        remedy = "--truth majority takes the most frequent"
        raise table.refusal("input", column, place, remedy, list(names[counts[place] > 0]))
    labels = np.array([*names, ""], dtype=object)[np.where(untold, -1, most)]
    return labels, [table.names[place] for place in np.flatnonzero(untold)]


def _mean(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """[count] of [N] numbers, NaN where all are; of equal ones that very number."""
    known = ~np.isnan(values)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, codes[known], values[known])
    np.maximum.at(high, codes[known], values[known])
    numbers = np.bincount(codes[known], minlength=count)
    with np.errstate(invalid="ignore"):
        means = np.bincount(codes[known], values[known], count) / numbers
    return np.where(low == high, low, means)
