"""Feature arrays: *.npy with one row per sample, labels.npy beside them, groups.npy or groups.csv for the subjects."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped, Note, Row
from affectkit.corpora._files import checked, hidden, require_folder
from affectkit.corpora._tables import OCEAN, parse_targets, records
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.media import open_array
from affectkit.plain import RENAME, readable
from affectkit.registry import Option
from affectkit.synthesis import traits, twins

CORPUS = Corpus(
    title="feature arrays",
    licence="the arrays' own",
    citation="cite where the arrays come from",
    layout="labels.npy [N] or [N, 5] (OCEAN) and <name>_features.npy [N, ...]; groups.npy [N] or groups.csv",
    reads="arrays",
    targets=tuple(Target(name, "number", scale=(0, 1)) for name in OCEAN),
    official="the column split of groups.csv, where there is one",
    default_group="subject",
)


def targets(*, array_targets: str = "", **others: object) -> tuple[Target, ...]:
    """The columns of the labels, as the options name them: the five personality traits on [0, 1] without."""
    return parse_targets(array_targets) if array_targets else (*CORPUS.targets, Target("value", "number"))


def read(
    root: Path,
    *,
    array_labels: Annotated[str, Option("File with the labels.")] = "labels.npy",
    array_groups: Annotated[
        str, Option("File with the groups; by default groups.npy or groups.csv, if there is one.")
    ] = "",
    array_targets: Annotated[
        str,
        Option(
            "Names and scales of the labels' columns, such as stress=1:5,focus; five unnamed "
            "columns are taken as the OCEAN traits on 0:1."
        ),
    ] = "",
) -> Iterator[Row | Dropped | Note]:
    """One row per index of the arrays: `path_<name>` is the file of each array, `array_index` the place in it.

    Labels of integers or text are classes, of floats numbers. A groups file without a header of its own is the
    `subject`; the columns of a CSV are carried, one called `group` as `subject`, one called `split` as the split.
    Labels that are NaN are missing. Only the arrays' headers are read. Raises "input" where lengths differ, a label is
    off its scale, or an array holds Python objects.
    """
    require_folder(root, CORPUS)
    labels = _load(root / array_labels)
    usual = (root / "groups.npy", root / "groups.csv")
    groups_file = root / array_groups if array_groups else next((path for path in usual if path.exists()), None)
    groups = _groups(groups_file) if groups_file else {}
    arrays = (path for path in sorted(root.glob("*.npy")) if not hidden(path.name))
    features = [path for path in arrays if path.name != array_labels and path != groups_file]
    if not features:
        raise AffectkitError("missing", f"holds labels but no features: expected {CORPUS.layout}", file=root)
    for feature in features:
        if readable(feature.name) != feature.name:
            raise AffectkitError("input", "its name is not UTF-8", file=feature, remedy=RENAME)
    for path, length in [(p, len(_load(p))) for p in features] + [(groups_file, len(v)) for v in groups.values()]:
        if length != len(labels):
            raise AffectkitError("input", f"has {length} rows, {array_labels} has {len(labels)}", file=path)
    columns = _labels(labels, array_targets, root / array_labels)
    lacking = {name: sum(cell != cell for cell in cells) for name, cells in columns.items()}
    notes = [_unlabelled(lacking, len(labels), array_labels)] if any(lacking.values()) else []
    return checked(chain(notes, _rows(features, {**columns, **groups}, len(labels))), root, CORPUS)


def _unlabelled(lacking: Mapping[str, int], length: int, file: str) -> Note:
    counts = ", ".join(f"{count} of {name}" for name, count in lacking.items() if count)
    return Note(f"{file}: labels that are NaN count as missing, of {length} rows: {counts}")


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise AffectkitError("missing", f"no such array; expected {CORPUS.layout}", file=path)
    return open_array(path)


def _groups(path: Path) -> dict[str, list[str]]:
    """Columns of text by name."""
    if path.suffix.lower() == ".npy":
        array = _load(path)
        if array.size != len(array):
            message = f"is of shape {list(array.shape)}; expected one group for each row"
            raise AffectkitError("input", message, file=path)
        return {"subject": ["" if item != item else str(item) for item in array.reshape(-1).tolist()]}
    lines = list(records(path))
    if not lines:
        raise AffectkitError("input", "has no rows", file=path, remedy="write one for each row of the labels")
    known = {"group": "subject", "subject": "subject", "split": "split"}
    return {known.get(name.strip().lower(), name): [line[name] for line in lines] for name in lines[0]}


def _labels(labels: np.ndarray, names: str, file: Path) -> dict[str, list[Any]]:
    if labels.ndim == 1 and labels.dtype.kind in "iuUb" and not names:
        return {"source_label": [str(item) for item in labels.tolist()]}
    values = np.asarray(labels, dtype=float).reshape(len(labels), -1) if labels.dtype.kind in "iufb" else None
    if values is None or labels.ndim > 2:
        raise AffectkitError("input", f"labels of shape {list(labels.shape)} and type {labels.dtype}", file=file)
    default = (Target("value", "number"),) if values.shape[1] == 1 else CORPUS.targets
    chosen = parse_targets(names) if names else default
    if len(chosen) != values.shape[1]:
        message = f"has {values.shape[1]} columns, not {len(chosen)}"
        raise AffectkitError("input", message, file=file, remedy="name them with --array-targets")
    for column, target in enumerate(chosen):
        low, high = target.scale or (-np.inf, np.inf)
        outside = np.flatnonzero((values[:, column] < low) | (values[:, column] > high) | np.isinf(values[:, column]))
        if len(outside):
            row, remedy = int(outside[0]), "give the scale with --array-targets"
            message = f"{target.name} {values[row, column]:g} is outside {low:g}:{high:g}"
            raise AffectkitError("input", message, file=file, row=row + 1, remedy=remedy)
    return {target.name: values[:, column].tolist() for column, target in enumerate(chosen)}


def _rows(features: list[Path], columns: dict[str, list[Any]], length: int) -> Iterator[Row]:
    paths = {f"path_{path.stem.removesuffix('_features')}": path.name for path in features}
    for index in range(length):
        values = {name: cells[index] for name, cells in columns.items()}
        yield {"id": f"row{index:06d}", "path": "", **paths, "array_index": index, "split": "", **values}


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: OCEAN labels, static [N, 24] and dynamic [N, 12, 16] features; `speakers` subjects.

    Extraversion and neuroticism are in neither set alone, but in which of the steps the static features point to.
    """
    twins.write_readme(root, "arrays", size=size, speakers=speakers, seed=seed)
    rng = twins.generator(seed, "arrays")
    subjects = np.array([speaker for speaker, _ in twins.deal(size, [f"p{n:02d}" for n in range(speakers)], {"": 1.0})])
    people = np.unique(subjects, return_inverse=True)[1]
    clips = traits.draw_clips(people, rng)
    static, dynamic = traits.features(clips, people, rng)
    labels = traits.rated(clips.traits, rng).round(4).astype(np.float32)
    for name, array in (("static_features", static), ("dynamic_features", dynamic), ("labels", labels)):
        np.save(root / f"{name}.npy", array)
    parts = [twins.part_of(int(subject[1:])) for subject in subjects]
    twins.write_rows(root / "groups.csv", ["group", "split"], zip(subjects, parts, strict=True))
