"""Columns to train a fusion on, of what models answer and a manifest says of a row: one definition for training, which
has tables, and for serving, which has requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affectkit.artifacts.manifest import FOLDS, Manifest, by_part
from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import require_agreement
from affectkit.artifacts.sources import Source
from affectkit.artifacts.tables import to_numbers
from affectkit.errors import AffectkitError, did_you_mean
from affectkit.evaluation.rows import ratio
from affectkit.evaluation.temperature import total
from affectkit.labels import Target, spelt_alike
from affectkit.media.cuts import AT
from affectkit.media.texts import LANGUAGE, language_code

if TYPE_CHECKING:
    import pandas as pd


Answers = Mapping[str, Mapping[str, TargetPrediction]]  # source -> target -> what it says of N rows
Cells = Mapping[str, Sequence[Any]]  # column -> [N] cells of a manifest
Columns = dict[str, np.ndarray]  # name -> [N] float64, NaN where unknown
Places = Mapping[str, np.ndarray]  # source of windows -> [M] the row that each window is of

TEXT = "text"
LENGTH, NUMBER = "length", "number"  # what is made of a column, where it is not one column for each value
MOST_VALUES = 20
PEOPLE = ("corpus", "speaker", "subject")  # of whom a row is: equal ids of two corpora are told apart by them
LONGEST = 256  # characters of a text, from which on its length counts as 1


@dataclass(frozen=True)
class Tabulation:
    """What a table's columns are made of; JSON holds it (`summary.json`).

    layout: of `LAYOUTS`. sources: the targets of each, by name. columns: of the manifest, and what is made of each:
    `length`, `number`, or the values that get a column of 0 and 1. windows: the sources whose answers are of windows of
    a row, of which features are means.
    """

    layout: str
    sources: Mapping[str, Sequence[Target]]
    columns: Mapping[str, str | Sequence[str]]
    windows: Sequence[str] = ()

    def features(self, answers: Answers, cells: Cells, places: Places | None = None, rows: int = 1) -> Columns:
        """The columns, in order, of N rows: of a table, or of one request.

        answers: of every source and target, NaN where declined; of a source of windows, of its M windows. cells: of
        every column; empty, NaN or None is unknown. places: of each source of windows, [M] the row that each is of;
        rows: how many rows there are, where any source has windows. Without places, all are of one row.
        """
        aligned = {
            name: {target.name: answers[name][target.name].aligned(target) for target in targets}
            for name, targets in self.sources.items()
        }
        return LAYOUTS[self.layout](self, aligned, cells, Rows(dict(places or {}), rows))

    def to_json(self) -> dict[str, Any]:
        sources = {name: [target.to_json() for target in targets] for name, targets in self.sources.items()}
        known = {"layout": self.layout, "sources": sources, "columns": dict(self.columns)}
        return known | ({"windows": list(self.windows)} if self.windows else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tabulation:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        sources = {name: tuple(map(Target.from_json, targets)) for name, targets in data["sources"].items()}
        if data["layout"] not in LAYOUTS:
            raise ValueError(f"there is no layout {data['layout']!r}")
        windows = data.get("windows", [])
        if not isinstance(windows, list) or not all(name in sources for name in windows):
            raise ValueError(f"{windows!r} are no sources of windows")
        return cls(data["layout"], sources, dict(data["columns"]), tuple(windows))


@dataclass(frozen=True)
class Rows:
    """Which of `count` rows the windows of each source are of, [M]."""

    places: Mapping[str, np.ndarray]
    count: int

    def means(self, source: str, columns: Columns) -> Columns:
        """[M] of windows to [N] of rows: the mean over the windows that are not NaN; NaN where there is none."""
        if not columns:
            return columns
        places = self.places.get(source, np.zeros(len(next(iter(columns.values()))), int))
        means = {}
        for name, values in columns.items():
            known = ~np.isnan(values)
            total = np.bincount(places[known], values[known], self.count)
            means[name] = ratio(total, np.bincount(places[known], minlength=self.count))
        return means

    def counts(self, source: str, known: np.ndarray) -> np.ndarray:
        """[N] how many of a source's windows, [M] bool, each row has."""
        places = self.places.get(source, np.zeros(len(known), int))
        return np.bincount(places[known], minlength=self.count).astype(float)


# --- The columns called after sources and manifest columns


def named(tabulation: Tabulation, answers: Answers, cells: Cells, rows: Rows) -> Columns:
    """`<source>_prob_<class>`, `<source>_confidence`, `<source>_entropy` (nats) of the label, or of the only class
    target; `<source>_<target>_...` of others; `<source>_<target>` and `<source>_<target>_var` of numbers.

    Of a source of windows each is the mean of what its windows have: `<source>_confidence` is the mean of the windows'
    largest probabilities, not the largest of the mean probabilities; and `<source>_windows` counts those that were
    answered."""
    columns: Columns = {}
    for source, targets in tabulation.sources.items():
        of_source = _of_source(source, targets, answers[source])
        if source in tabulation.windows:
            of_source = rows.means(source, of_source)
            known = np.any([answer.known for answer in answers[source].values()], axis=0)
            of_source[f"{source}_windows"] = rows.counts(source, known)
        columns |= of_source
    for column, made in tabulation.columns.items():
        columns |= _of_cells(column, made, list(cells[column]))
    return columns


def _of_source(source: str, targets: Sequence[Target], answers: Mapping[str, TargetPrediction]) -> Columns:
    columns: Columns = {}
    first = main_target(targets)
    for target in targets:
        answer = answers[target.name]
        if target.kind == "number":
            var = np.full(len(answer), np.nan) if answer.var is None else answer.var
            columns |= {f"{source}_{target.name}": answer.values, f"{source}_{target.name}_var": var}
            continue
        prefix = source if target is first else f"{source}_{target.name}"
        columns |= dict(zip([f"{prefix}_prob_{name}" for name in target.classes], answer.values.T, strict=True))
        columns |= {f"{prefix}_confidence": answer.values.max(axis=1), f"{prefix}_entropy": entropy(answer.values)}
    return columns


def main_target(targets: Sequence[Target]) -> Target:
    """`label`, else the first class target, else the first."""
    classes = [target for target in targets if target.kind != "number"]
    return next((t for t in classes if t.name == "label"), classes[0] if classes else targets[0])


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """[N] nats of [N, K], NaN where declined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities == 0, 0.0, probabilities * np.log(probabilities))
    return -total(np.ascontiguousarray(terms.T))


def length_norm(texts: Sequence[str]) -> np.ndarray:
    """[N]: characters over 256, 1 at most."""
    return np.minimum(1.0, np.array([len(text) for text in texts], float) / LONGEST)


def _of_cells(column: str, made: str | Sequence[str], cells: Sequence[Any]) -> Columns:
    if made == NUMBER:
        return {column: to_numbers([_known(cell) for cell in cells], column=column)}
    if made == LENGTH:
        return {f"{column}_length_norm": length_norm([_known(cell) for cell in cells])}
    prefix, cells = ("lang", [language_code(_known(cell)) for cell in cells]) if column == LANGUAGE else (column, cells)
    return {f"{prefix}_is_{value}": np.array([cell == value for cell in cells], float) for value in made}


def _known(cell: Any) -> str:
    return "" if cell is None or cell != cell else str(cell)


# --- The 19 inputs of ser-service's fusion of speech and text, by their names and in their order


SER_SERVICE, SER_SOURCES = "ser-service", ("audio", "text")
FOUR = {
    "ang": {"ang", "angry", "anger"},
    "hap": {"hap", "happy", "happiness", "joy"},
    "neu": {"neu", "neutral", "neutrality"},
    "sad": {"sad", "sadness"},
}
NEGATIVE = {"negative", "neg", "very negative", "fear", "fearful", "disgust", "disgusted", "frustrated"}
NEGATIVE |= FOUR["ang"] | FOUR["sad"]
POSITIVE = {"positive", "pos", "very positive", "excited"} | FOUR["hap"]
READY = 0.95  # share of the text model's mass that its own four classes need


def ser_service(tabulation: Tabulation, answers: Answers, cells: Cells, rows: Rows) -> Columns:
    """Audio: the acoustic model's four classes, their largest and their entropy. Text: its classes summed up by their
    names to negative and positive, the rest being neutral; the length of the text; the text model's own four classes,
    brought to a sum of 1, where they have .95 of its mass (`text4_ready` is 1 then), else four that stand for its
    sentiment; whether the language is Chinese. Raises "input" for other classes of the acoustic model,
    for a text model of numbers, and for sources of windows."""
    if tabulation.windows:
        what = f"--layout {SER_SERVICE} takes answers of whole rows, and {tabulation.windows[0]} has windows"
        raise AffectkitError("input", what, remedy="put them together first, with affectkit aggregate")
    audio, text = (answers[name][main_target(tabulation.sources[name]).name] for name in SER_SOURCES)
    _require_four(audio.target)
    if text.target.kind == "number":
        raise AffectkitError("input", f"--layout {SER_SERVICE}: text: {text.target.name} has no classes")
    audio4 = np.stack([_mass(audio, names) for names in FOUR.values()], axis=1)
    negative, neutral, positive = polarity(text).values()
    emotions = np.stack([_mass(text, names) for names in FOUR.values()], axis=1)
    mass = total(np.ascontiguousarray(emotions.T))
    ready = mass >= READY
    stand_in = np.stack([negative / 2, positive, neutral, negative / 2], axis=1)
    text4 = np.where(ready[:, None], emotions / np.where(ready, mass, 1.0)[:, None], stand_in)
    return {
        **dict(zip([f"audio_prob_{name}" for name in FOUR], audio4.T, strict=True)),
        "audio_confidence": audio4.max(axis=1),
        "audio_entropy": entropy(audio4),
        "text_negative": negative,
        "text_neutral": neutral,
        "text_positive": positive,
        "text_negative_score": negative,
        "text_length_norm": length_norm([_known(cell) for cell in cells[TEXT]]),
        **dict(zip([f"text4_prob_{name}" for name in FOUR], text4.T, strict=True)),
        "text4_confidence": text4.max(axis=1),
        "text4_entropy": entropy(text4),
        "text4_ready": ready.astype(float),
        **_of_cells(LANGUAGE, ["zh"], cells[LANGUAGE]),
    }


def polarity(answer: TargetPrediction) -> dict[str, np.ndarray]:
    """`negative`, `neutral`, `positive`, each [N]: classes summed up by their names, all others being neutral."""
    negative, positive = _mass(answer, NEGATIVE), _mass(answer, POSITIVE)
    return {"negative": negative, "neutral": np.maximum(0.0, 1.0 - negative - positive), "positive": positive}


def _require_four(target: Target) -> None:
    """Refuse classes that are none of the four, and the lack of one."""
    names = [name.casefold() for name in target.classes]
    odd = [name for name in names if not any(name in alike for alike in FOUR.values())]
    lacking = [name for name, alike in FOUR.items() if alike.isdisjoint(names)]
    if odd or lacking:
        what = f"class '{odd[0]}' is none of" if odd else f"no class is '{lacking[0]}', one of"
        remedy = "train it on these four, with prepare-manifest --label-map"
        raise AffectkitError("input", f"--layout ser-service: audio: {what} {', '.join(FOUR)}", remedy=remedy)


def _mass(answer: TargetPrediction, names: set[str]) -> np.ndarray:
    """[N] the sum of the classes called so."""
    columns = [answer.values[:, k] for k, name in enumerate(answer.target.classes) if name.casefold() in names]
    return sum(columns, np.where(answer.known, 0.0, np.nan))


LAYOUTS: dict[str, Callable[[Tabulation, Answers, Cells, Rows], Columns]] = {"named": named, SER_SERVICE: ser_service}


# --- The table of a manifest's rows


@dataclass(frozen=True)
class Tabulated:
    """frame: the manifest's columns, then the features. features: names of these. seen: source -> how its answers were
    made -> rows; `none` counts rows without an answer. windows: of sources of windows, how many there are."""

    tabulation: Tabulation
    frame: pd.DataFrame
    features: list[str]
    seen: Mapping[str, Mapping[str, int]]
    windows: Mapping[str, int]

    def parts(self) -> dict[str, pd.DataFrame]:
        """Part -> its rows, as `by_part` has them; `all` of a manifest without any."""
        if "fold" not in self.frame and "split" not in self.frame:
            return {"all": self.frame}
        return {name: part for name, part in by_part(self.frame).items() if name != FOLDS or "fold" in self.frame}


def tabulate(sources: Sequence[Source], manifest: Manifest, columns: Sequence[str], layout: str) -> Tabulated:
    """What `sources` say of a manifest's rows, or of windows of them, and its `columns`, as columns of numbers.

    Raises "leak" for a row that a source was fitted on and has no cross-fitted answer for.
    """
    rows = manifest.rows
    if layout == SER_SERVICE:
        _require_ser_sources([source.name for source in sources])
        columns = list(dict.fromkeys([TEXT, LANGUAGE, *columns]))  # what else is named is carried beside
    made = {column: _made_of(column, manifest) for column in columns}
    targets = {source.name: tuple(_in_label_map_order(source, manifest)) for source in sources}
    answers, seen, windows = {}, {}, {}
    for source in sources:
        outputs = {target.name: source.table().output(target.name) for target in targets[source.name]}
        if source.of is None:
            places = _places(source, manifest)
            answers[source.name] = {name: output.at(places) for name, output in outputs.items()}
            kinds = np.where(places < 0, "none", source.table().frame["seen"].to_numpy()[places])
            known = np.any([answer.known for answer in answers[source.name].values()], axis=0)
        else:
            answers[source.name] = outputs
            windows[source.name] = places = _window_places(source, manifest)
            kinds = _kinds_of_rows(source, places, len(rows))
            answered = places[np.any([output.known for output in outputs.values()], axis=0)]
            known = np.bincount(answered, minlength=len(rows)) > 0
        _require_answers(source, known, manifest)
        seen[source.name] = dict(sorted(Counter(kinds.tolist()).items()))
    tabulation = Tabulation(layout, targets, made, tuple(windows))
    cells = {column: rows[column].tolist() for column in made}
    features = tabulation.features(answers, cells, windows, len(rows))
    _refuse_doubled(tabulation, features, manifest)
    beside = rows
    if layout == SER_SERVICE:  # what it carries beside its inputs
        beside = rows.rename(columns={TEXT: "transcript"}).assign(text_length=rows[TEXT].str.len())
    kept = beside.drop(columns=[name for name in features if name in beside])
    counts = {name: len(places) for name, places in windows.items()}
    return Tabulated(tabulation, kept.assign(**features), list(features), seen, counts)


def _in_label_map_order(source: Source, manifest: Manifest) -> Iterator[Target]:
    """What a source predicts, with its classes as the manifest's label map has them where they are the same."""
    for target in source.table().targets.values():
        known = manifest.targets.get(target.name, target)
        yield known if sorted(known.classes) == sorted(target.classes) else target


def _require_ser_sources(names: Sequence[str]) -> None:
    if sorted(names) != sorted(SER_SOURCES):
        what = f"--layout ser-service takes the sources audio and text, not {', '.join(names)}"
        raise AffectkitError("usage", what, remedy="write audio=RUN text=RUN")


def _places(source: Source, manifest: Manifest) -> np.ndarray:
    """[N] the position of each row in the source, -1 where it has none. Raises "leak"; "input" where all have none, or
    the source says that a row is of somebody else."""
    import pandas as pd

    frame, ids = source.table().frame, manifest.rows["id"]
    places = pd.Index(frame["id"]).get_indexer(ids)
    if (places < 0).all():
        [spellings, *_] = spelt_alike([*frame["id"], *ids]) or [[]]
        remedy = f"write ids alike: {' and '.join(map(repr, spellings[:2]))} are two" if spellings else None
        raise AffectkitError("input", "says nothing of the manifest's rows", file=source.path, remedy=remedy)
    fitted = ids.isin(set(source.fitted["id"])).to_numpy()
    require_agreement(manifest.rows, frame, PEOPLE, source.path, "the manifest")
    seen = np.where(places < 0, np.where(fitted, "fit", ""), frame["seen"].to_numpy()[places])
    _refuse_leaks(source, ids, seen == "fit")
    _refuse_fitted_test_rows(source, manifest, seen == "oof")
    return places


def _window_places(source: Source, manifest: Manifest) -> np.ndarray:
    """[M] the row that each window is of. Raises "leak" for a row of which a window is in-sample, or that is known to
    have been fitted on and has none."""
    import pandas as pd

    ids = manifest.rows["id"]
    if source.of is None or not len(source.of):
        raise AffectkitError("input", "says nothing of the manifest's rows", file=source.path)
    places = pd.Index(ids).get_indexer(source.of)
    in_sample = places[(source.table().frame["seen"] == "fit").to_numpy()]
    fitted = set(source.fitted["id"])
    whole = fitted | {key.rpartition(AT)[0] for key in fitted}
    without = np.bincount(places, minlength=len(ids)) == 0
    leaks = (without & ids.isin(whole).to_numpy()) | (np.bincount(in_sample, minlength=len(ids)) > 0)
    _refuse_leaks(source, ids, leaks)
    fitted_on = np.bincount(places[(source.table().frame["seen"] == "oof").to_numpy()], minlength=len(ids)) > 0
    _refuse_fitted_test_rows(source, manifest, fitted_on)
    return places


def _kinds_of_rows(source: Source, places: np.ndarray, rows: int) -> np.ndarray:
    """[N] how the windows of each row were seen; `none` where it has none."""
    seen = source.table().frame["seen"].to_numpy()
    kinds = [np.where(np.bincount(places[seen == kind], minlength=rows) > 0, kind, "") for kind in ("heldout", "oof")]
    joined = np.char.add(np.char.add(kinds[0], np.where((kinds[0] != "") & (kinds[1] != ""), "+", "")), kinds[1])
    return np.where(joined == "", "none", joined)


def _refuse_leaks(source: Source, ids: pd.Series, leaks: np.ndarray) -> None:
    if leaks.any():
        what = f"'{source.name}' was fitted on {leaks.sum()} of the rows, and has no cross-fitted answers for them, as"
        own = source.table().foreign
        remedy = "give it a column `seen`: oof where answers are cross-fitted" if own else "train it with --cv"
        raise AffectkitError("leak", f"{what} '{ids[int(leaks.argmax())]}'", file=source.path, remedy=remedy)


def _refuse_fitted_test_rows(source: Source, manifest: Manifest, cross_fitted: np.ndarray) -> None:
    """Raise "leak" where a source was fitted on rows that are test here: what it says of the other rows, on which the
    next model is fitted, knows their labels. cross_fitted: [N] bool."""
    if "split" not in manifest.rows:
        return
    tested = (manifest.rows["split"] == "test").to_numpy()
    leaks = tested & cross_fitted
    if leaks.any() and not tested.all():
        what = f"'{source.name}' was fitted on {leaks.sum()} rows that are test in this manifest, as"
        what += f" '{manifest.rows['id'].iloc[int(leaks.argmax())]}': its answers for the other rows know their labels"
        raise AffectkitError("leak", what, file=source.path, remedy="train it on the splits of this manifest")


def _require_answers(source: Source, known: np.ndarray, manifest: Manifest) -> None:
    """Raises "input" for a split of which a source answers nothing: a fusion would learn that it never does.

    known: [N] bool, the rows that it answers."""
    splits = manifest.rows["split"].to_numpy() if "split" in manifest.rows else np.full(len(known), "")
    for split in dict.fromkeys(splits.tolist()):
        rows = splits == split
        if not known[rows].any():
            what = f"'{source.name}' answers none of the {rows.sum()} {split} rows"
            remedy = "predict them with its model: affectkit predict --model-dir ... --manifest ... -o FILE"
            raise AffectkitError("input", what.replace("  ", " "), file=source.path, remedy=remedy)


def _made_of(column: str, manifest: Manifest) -> str | list[str]:
    rows = manifest.rows
    if column not in rows:
        remedy = "run transcribe" if column == TEXT else did_you_mean(column, list(rows.columns))
        raise AffectkitError("input", f"--columns: there is no column '{column}'", file=manifest.path, remedy=remedy)
    if column in manifest.targets or column in ("id", "split", "fold", "source_label") or column.startswith("votes_"):
        what = f"--columns: '{column}' says what is to be learned, or where a row stands"
        raise AffectkitError("usage", what, file=manifest.path, remedy="name what is known of a new row too")
    if column == TEXT:
        return LENGTH
    values = sorted({_known(cell) for cell in rows[column]} - {""})
    if column != LANGUAGE:
        try:
            to_numbers(values)
            return NUMBER
        except AffectkitError:
            pass
    if len(values) > MOST_VALUES:
        what = f"--columns: '{column}' has {len(values)} values, and each would be a column"
        raise AffectkitError("input", what, file=manifest.path, remedy=f"name one of {MOST_VALUES} at most")
    return values


def _refuse_doubled(tabulation: Tabulation, features: Columns, manifest: Manifest) -> None:
    """Refuse features that would be lost, or would replace what the manifest says."""
    numbers = {column for column, made in tabulation.columns.items() if made == NUMBER}
    doubled = [name for name in features if name in manifest.rows and name not in numbers]
    if doubled:
        what = f"has a column '{doubled[0]}' already"
        raise AffectkitError("input", what, file=manifest.path, remedy="call the source by another name")
