"""First Impressions V2: 10,000 clips of 15 s of people who talk to a camera, rated for five traits."""

import math
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Note, Row
from affectkit.corpora._files import checked, find_files, not_here, relative, require_folder
from affectkit.corpora._pickled import read_pickled
from affectkit.corpora._tables import decode, records, safe_id
from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.splits import WORDS
from affectkit.synthesis import films, patterns, texts, traits, twins

CORPUS = Corpus(
    title="First Impressions V2",
    licence="research only (ChaLearn's terms)",
    citation="H. J. Escalante, H. Kaya, A. A. Salah, S. Escalera et al.: Modeling, recognizing, and explaining "
    "apparent personality from videos. IEEE Transactions on Affective Computing 13(2), 2022.",
    url="https://chalearnlap.cvc.uab.cat/dataset/24/description/",
    layout="annotation_training.pkl, annotation_validation.pkl, annotation_test.pkl and the clips, such as "
    "train/training80_01/J4GQm9j0JZ0.003.mp4",
    reads="video",
    language="en",
    targets=(
        *(Target(name, "number", scale=(0, 1)) for name in traits.TRAITS),
        Target("interview", "number", scale=(0, 1), further=True),
    ),
    official="First Impressions' training, validation (val) and test",
    default_group="sequence",
    defects=(
        Defect("source", "First Impressions' official split is by clip: clips of one video stand in several parts"),
        Defect("speaker", "First Impressions names nobody: a person may have videos in several parts"),
    ),
)
TABLE = re.compile(r"(annotation|transcription)_([a-z]+)\.pkl", re.IGNORECASE)
CLIP = re.compile(r"(?P<source>.+)\.\d{3}\.mp4", re.IGNORECASE)
PEOPLE = re.compile(r"eth_gender_annotations.*\.csv", re.IGNORECASE)
SEXES = {"1": "male", "2": "female"}
POLE = (
    "neuroticism is as First Impressions has it, whose high end is the calm one (emotional stability): it is not "
    "turned round"
)

NAMELESS = (
    "First Impressions names no people: groups are source videos, so that somebody with several of them may be in "
    "several parts, and counts as several in intervals"
)

Tables = dict[str, dict[str, tuple[Path, dict[str, dict[str, float]] | dict[str, str]]]]  # kind, then split


def read(root: Path) -> Iterator[Row | Dropped | Note]:
    """The clips of the annotation files, wherever below `root` they and the videos lie; `sequence` is the source video.

    Scores are on 0 to 1; a trait that lacks a clip which others have is unlabelled there. Transcripts become `text`,
    the sex in `eth_gender_annotations*.csv` `sex`, where they are there. Raises "missing" without annotations, "input"
    for a file that is no table of scores, and for a score outside of 0 to 1.
    """
    require_folder(root, CORPUS)
    tables = _tables(root)
    if not tables["annotation"]:
        raise not_here(root, CORPUS)
    return checked(_rows(root, tables), root, CORPUS)


def _tables(root: Path) -> Tables:
    """Every table by its kind and split. Raises "input" where two are of the same."""
    tables: Tables = {"annotation": {}, "transcription": {}}
    for path in find_files(root, [".pkl"]):
        name = TABLE.fullmatch(path.name)
        if not name or name[2].lower() not in WORDS:
            continue
        kind, split = name[1].lower(), WORDS[name[2].lower()]
        if split in tables[kind]:
            message = f"a second {kind} of the part {split}, beside {tables[kind][split][0]}"
            raise AffectkitError("input", message, file=path, remedy="leave one of them")
        tables[kind][split] = path, read_pickled(path)
    return tables


def _rows(root: Path, tables: Tables) -> Iterator[Row | Dropped | Note]:
    videos = {path.name.lower(): path for path in reversed(find_files(root, [".mp4"]))}
    sexes, parts = _sexes(root), defaultdict[str, Counter[str]](Counter)
    for split, (file, table) in sorted(tables["annotation"].items()):
        texts_of = tables["transcription"].get(split, (file, {}))[1]
        for name, scores in _by_clip(table, file).items():
            path, clip = videos.get(name.lower()), CLIP.fullmatch(name)
            if path is None:
                yield Dropped(name, "its video is not there")
                continue
            source = clip["source"] if clip else name
            parts[source][split] += 1
            yield {
                "id": safe_id(Path(name).stem),
                "path": relative(path, root),
                **scores,
                "sequence": source,
                "sex": sexes.get(name.lower(), ""),
                "language": "en",
                "text": str(texts_of.get(name, "")).strip(),
                "split": split,
            }
    yield Note(POLE, in_reports=True)
    if several := [sum(counts.values()) for counts in parts.values() if len(counts) > 1]:
        what = f"{len(several)} of {len(parts)} source videos have clips in several parts of the official split"
        yield Note(f"{what}, {sum(several)} clips in all: --split-by sequence keeps them together")
    yield Note(NAMELESS, in_reports=True)


def _by_clip(table: Mapping[str, Any], file: Path) -> dict[str, dict[str, float]]:
    """Clip -> its scores, NaN where a trait has none of it."""
    names = [target.name for target in CORPUS.targets]
    scores = {"interview": {}, **table}
    for name in names:
        if not isinstance(scores.get(name), dict):
            remedy = f"it has {', '.join(table) or 'nothing'}"
            raise AffectkitError("input", f"has no scores of {name}", file=file, remedy=remedy)
    for name in names:
        for clip, score in scores[name].items():
            if isinstance(score, str) or score < 0 or score > 1:
                message = f"{name} of {clip} is {score!r}, no score from 0 to 1"
                raise AffectkitError("input", message, file=file, remedy="download it again")
    clips = dict.fromkeys(clip for name in names for clip in scores[name])
    return {clip: {name: float(scores[name].get(clip, math.nan)) for name in names} for clip in sorted(clips)}


def _sexes(root: Path) -> dict[str, str]:
    """Clip, in small letters -> sex. The tables' columns are separated by semicolons."""
    sexes: dict[str, str] = {}
    for path in find_files(root, [".csv"]):
        if PEOPLE.fullmatch(path.name):
            head = decode(path, "latin-1").partition("\n")[0]
            lines = records(path, required=("VideoName", "Gender"), delimiter=";" if ";" in head else ",")
            sexes |= {line["VideoName"].lower(): SEXES.get(line["Gender"].strip(), "") for line in lines}
    return sexes


# --- The synthetic twin


PARTS = {"train": "training", "val": "validation", "test": "test"}
SHARES = ("train", "train", "val", "train", "test")  # of every five clips of a source video
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: silent clips of 3.7 s of moving patterns, of `speakers` source videos with clips in all parts.

    Their colours and movements tell the traits as `synthesis/traits.py` says; they show nobody.
    """
    twins.write_readme(root, "first-impressions", size=size, speakers=speakers, seed=seed)
    rng = twins.generator(seed, "first-impressions")
    people = np.arange(size) % speakers
    clips = traits.draw_clips(people, rng)
    scores = _scores(traits.rated(clips.traits, rng), rng)
    sources = ["".join(twins.generator(seed, "source", n).choice(list(LETTERS), 11)) for n in range(speakers)]
    names = [f"{sources[person]}.{place // speakers:03d}.mp4" for place, person in enumerate(people)]
    splits = [SHARES[(place // speakers + person) % 5] for place, person in enumerate(people)]
    for place, (name, split) in enumerate(zip(names, splits, strict=True)):
        person = twins.generator(seed, "person", people[place])
        frames = patterns.film(clips, place, person, twins.generator(seed, "clip", name))
        times = (np.arange(len(frames)) / patterns.FPS).tolist()
        films.write_film(root / split / f"{PARTS[split]}80_01" / name, frames, times, len(frames) / patterns.FPS)
    for split, part in PARTS.items():
        here = [place for place, of in enumerate(splits) if of == split]
        _write_tables(root, part, [names[place] for place in here], scores[here], seed)
    header = ["VideoName", "YouTubeID", "Ethnicity", "Gender"]
    lines = [[name, sources[person], "", 1 + person % 2] for name, person in zip(names, people, strict=True)]
    twins.write_rows(root / "eth_gender_annotations_dev.csv", header, lines, delimiter=";")


def _scores(rated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N, 6]: the traits, and whether the person would be asked to an interview, which all of them tell."""
    interview = rated.mean(axis=1) + rng.normal(0, 0.05, len(rated))
    return np.column_stack([rated, np.clip(interview, 0, 1)]).round(6)


def _write_tables(root: Path, part: str, names: list[str], scores: np.ndarray, seed: int) -> None:
    """A part's scores and transcripts, pickled as Python 2 did."""
    columns = zip(CORPUS.targets, scores.T.tolist(), strict=True)
    annotation = {target.name: dict(zip(names, column, strict=True)) for target, column in columns}
    generators = {name: twins.generator(seed, "text", name) for name in names}
    transcripts = {name: " ".join(texts.plain_sentence(rng) for _ in range(3)) for name, rng in generators.items()}
    for kind, table in (("annotation", annotation), ("transcription", transcripts)):
        (root / f"{kind}_{part}.pkl").write_bytes(pickle.dumps(table, protocol=0))
