"""A Hugging Face dataset: a folder written by save_to_disk, a folder of Parquet files, or a hub id."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from affectkit.corpora import _tables
from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import MediaDir, checked, find_files, not_here, write_once
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.registry import Option
from affectkit.synthesis import scores, twins
from affectkit.synthesis.voices import Voice

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


logger = logging.getLogger(__name__)
CORPUS = Corpus(
    title="a Hugging Face dataset",
    licence="the dataset's own (see its card)",
    citation="cite the dataset as its card says",
    url="https://huggingface.co/datasets",
    layout="a folder written by save_to_disk, one that holds .parquet files, or a hub id (owner/name)",
    official="the dataset's own splits",
)
REMOTE = True  # the root may be a hub id instead of a folder
MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3", b"\xff\xd8": ".jpg",
         b"\x89PNG": ".png"}  # fmt: skip
targets = _tables.targets


def read(
    root: Path,
    *,
    audio_column: Annotated[str, Option("Column with the recording or image.")] = "audio",
    label_column: _tables.LabelColumn = "label",
    text_column: _tables.TextColumn = "text",
    id_column: _tables.IdColumn = "id",
    speaker_column: _tables.SpeakerColumn = "speaker",
    session_column: _tables.SessionColumn = "session",
    sex_column: _tables.SexColumn = "sex",
    language_column: _tables.LanguageColumn = "language",
    target_columns: _tables.TargetColumns = "",
    configuration: Annotated[str, Option("Configuration of the dataset, where it has several.")] = "",
    media_dir: MediaDir = "",
) -> Iterator[Row | Dropped]:
    """The examples of every split. Recordings are not decoded: a file is named, bytes are written as they are.

    Raises "missing" for a hub id that cannot be had (no network, misspelt) and for a folder that is no dataset.
    """
    wanted = _tables.named_columns(locals())
    splits = _load(root, configuration)
    media = Path(media_dir) if media_dir else root / "media" if root.is_dir() else None
    goals = _tables.parse_targets(target_columns)
    rows = _rows(splits, wanted, goals, bool(target_columns), root, media)
    rows = _tables.settled(rows, () if target_columns else goals, file=root)
    return checked(rows, root if root.is_dir() else Path(), CORPUS, listed=True)


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep datasets' progress bars off the terminal, which is the command's."""
    import datasets

    were_off = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not were_off:
            datasets.enable_progress_bars()


def _load(root: Path, configuration: str) -> Mapping[str, Dataset | IterableDataset]:
    """The dataset's splits by name; what is not saved here is streamed, so that no second copy fills a cache."""
    import datasets

    saved = (root / "dataset_dict.json").is_file() or (root / "state.json").is_file()
    if root.exists() and not saved and not (root.is_dir() and find_files(root, [".parquet"])):
        raise not_here(root, CORPUS)
    data: Any
    try:
        with no_bars():
            if saved:
                data = _load_saved(root)
            else:
                data = datasets.load_dataset(str(root), name=configuration or None, streaming=True)
    except (OSError, ValueError, TypeError, LookupError, datasets.exceptions.DatasetsError) as error:
        if root.exists():
            message = f"is no readable dataset: {str(error).partition(chr(10))[0]}"
            raise AffectkitError("input", message, file=root) from None
        message = f"cannot have the dataset '{root}': neither a folder here nor reachable on the hub"
        remedy = "check the id and the network, or pass a folder written by save_to_disk"
        raise AffectkitError("missing", f"{message} ({type(error).__name__})", remedy=remedy) from None
    return data if isinstance(data, Mapping) else {"": data}


def _load_saved(folder: Path) -> Any:
    """What save_to_disk wrote, but for parts without rows, which `load_from_disk` stumbles over."""
    import datasets

    if not (folder / "dataset_dict.json").is_file():
        if not _json(folder / "state.json")["_data_files"]:
            raise ValueError("it holds no rows")
        return datasets.load_from_disk(str(folder))
    names = _json(folder / "dataset_dict.json")["splits"]
    filled = [name for name in names if _json(folder / name / "state.json")["_data_files"]]
    return {name: datasets.load_from_disk(str(folder / name)) for name in filled}


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _rows(
    splits: Mapping[str, Any],
    wanted: Mapping[str, str],
    targets: tuple[Target, ...],
    named: bool,
    root: Path,
    media: Path | None,
) -> Iterator[Row]:
    for split, data in splits.items():
        features = data.features or {}
        header = list(features) or list(next(iter(data), {}))
        columns = _tables.choose_columns(wanted, read, targets, header, file=root)
        ids: set[str] = set()
        for index, example in enumerate(_undecoded(data, features), start=1):
            plain = {name: cell for name, cell in example.items() if isinstance(cell, (str, int, float, type(None)))}
            record = {name: _text(cell, features.get(name)) for name, cell in plain.items()}
            known = {column: name for column, name in columns.items() if name in record}
            lists = [name for name in columns.values() if isinstance(example[name], (list, tuple))]
            if index == 1 and lists:
                logger.warning("%s: column '%s' holds lists, which are not read", root, lists[0])
            row = _tables.to_row(record, known, targets if named else (), file=root, row=index)
            key = row.get("id") or f"{index:06d}"
            row["id"] = _tables.safe_id(f"{split}_{key}" if split else key, ids)
            ids.add(row["id"])
            if "path" in columns:
                row["path"] = _medium(example[columns["path"]], row["id"], root, media)
            if len(splits) > 1:
                row["split"] = split
            yield {**row, "path": row.get("path", "")}


def _undecoded(data: Any, features: Mapping[str, Any]) -> Any:
    """Recordings and images as {path, bytes}: decoding would need another library, and all of the sound."""
    import datasets

    for name, feature in features.items():
        if isinstance(feature, (datasets.Audio, datasets.Image)):
            data = data.cast_column(name, type(feature)(decode=False))
    return data


def _text(value: Any, feature: Any) -> str:
    """A cell as text: a class by its name, "" for nothing (and for class -1, an unlabelled one)."""
    if value is None:
        return ""
    if hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else ""
    return str(value)


def _medium(value: Any, key: str, root: Path, media: Path | None) -> str:
    """The path of a recording, relative to a local root; one that is only inside the dataset is written first.

    Its name says what is in it: another dataset's recording, or a revised one, is another file.
    """
    if not value or isinstance(value, str):
        return value or ""
    data, path = value.get("bytes"), value.get("path") or ""
    if not data:
        return path
    if media is None:
        remedy = "say where to write them: --media-dir DIR"
        raise AffectkitError("usage", f"the recordings of '{root}' are inside the dataset", remedy=remedy)
    guessed = next((suffix for mark, suffix in MAGIC.items() if data.startswith(mark)), ".wav")
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    file = media / f"{key}-{digest}{Path(path).suffix or guessed}"
    return write_once(data, file, root)


# --- The synthetic twin


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: splits saved with `save_to_disk`, recordings inside, class labels, texts, valence and arousal.

    No speaker is in two splits.
    """
    import datasets
    import pyarrow

    voices = twins.cast_numbered(speakers, seed)
    twins.write_readme(root, "huggingface", size=size, speakers=speakers, seed=seed)
    features = datasets.Features(
        audio=datasets.Audio(sampling_rate=16000, decode=False),
        label=datasets.ClassLabel(names=list(twins.FOUR)),
        **dict.fromkeys(("text", "speaker", "sex"), datasets.Value("string")),
        **dict.fromkeys(("valence", "arousal"), datasets.Value("float32")),
    )
    examples: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for index, (speaker, label) in enumerate(twins.deal(size, list(voices), dict.fromkeys(twins.FOUR, 1.0))):
        part = twins.part_of(list(voices).index(speaker)).replace("val", "validation")
        examples[part].append(_example(index, speaker, label, voices[speaker], seed))
    filled = {part: items for part, items in examples.items() if items}
    for part, items in filled.items():
        table = pyarrow.Table.from_pylist(items, schema=features.arrow_schema)
        # a fingerprint of its own would be random, and the same seed shall give the same bytes
        info = datasets.DatasetInfo(features=features)
        data = datasets.Dataset(table, info=info, fingerprint=f"synthetic-{seed}-{part}")
        with no_bars():
            data.save_to_disk(str(root / part))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(filled)}), encoding="utf-8")


def _example(index: int, speaker: str, label: str, voice: Voice, seed: int) -> dict[str, Any]:
    rng = twins.generator(seed, "huggingface", index)
    name = f"{speaker}_{index:04d}.wav"
    with tempfile.TemporaryDirectory() as folder:
        affect, text, _ = twins.act(Path(folder) / name, voice, label, rng)
        data = (Path(folder) / name).read_bytes()
    valence, arousal = (sum(r) / len(r) for r in zip(*scores.rate(affect[:2], (1, 5), rng), strict=True))
    return {
        "audio": {"bytes": data, "path": name}, "label": twins.FOUR.index(label), "text": text, "speaker": speaker,
        "sex": voice.sex, "valence": valence, "arousal": arousal,
    }  # fmt: skip
