"""MSP-Podcast: podcast segments with perceived emotion and valence, arousal, dominance."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from affectkit.corpora._corpus import (
    Corpus,
    Defect,
    Dropped,
    Row,
    checked,
    child,
    common_presets,
    find_home,
    relative,
    require_child,
    vad,
)
from affectkit.corpora._tables import decode, number, records
from affectkit.errors import AffectkitError
from affectkit.registry import Option

CLASSES = {
    "A": "anger",
    "H": "happiness",
    "S": "sadness",
    "N": "neutral",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "O": "other",
    "X": "no-agreement",
}
RATINGS = {
    "angry": "anger", "happy": "happiness", "sad": "sadness", "neutral": "neutral", "surprise": "surprise",
    "fear": "fear", "disgust": "disgust", "contempt": "contempt",
}  # fmt: skip
CORPUS = Corpus(
    title="MSP-Podcast",
    licence="MSP-Podcast academic licence (University of Texas at Dallas, now Carnegie Mellon): on request, not "
    "redistributable",
    citation="R. Lotfian, C. Busso: Building naturalistic emotionally balanced speech corpus by retrieving emotional "
    "speech from existing podcast recordings. IEEE Transactions on Affective Computing 10(4), 2019.",
    url="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    layout="Labels/labels_consensus.csv and Audios/MSP-PODCAST_0001_0008.wav",
    language="en",
    classes=CLASSES,
    targets=vad(1, 7),
    presets=common_presets(CLASSES.values()),
    official="Train, Development (val) and Test1 (test); Test2 is left out unless asked for",
    defects=(
        Defect(
            "speaker",
            "MSP-Podcast has segments of speaker 'Unknown': their speakers may be on several sides",
        ),
        Defect("session", "MSP-Podcast's official split is by speaker: one podcast may stand in several parts"),
    ),
)
SPLITS = {"train": "train", "development": "val", "validation": "val", "test1": "test", "test2": "test"}
CONSENSUS = ("Labels/labels_consensus.csv", "Labels/labels_concensus.csv")  # releases spell it either way
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
logger = logging.getLogger(__name__)


def read(
    root: Path,
    *,
    test2: Annotated[str, Option("what becomes of partition Test2: drop it, or take it as test")] = "drop",
    unknown_speakers: Annotated[
        str, Option("what becomes of segments whose speaker is Unknown: keep or drop")
    ] = "keep",
    votes: Annotated[bool, Option("count the raters' classes in labels_detailed.json (slow: a large file)")] = False,
) -> Iterator[Row | Dropped]:
    """The segments of `labels_consensus.csv` (older releases: `labels_concensus.csv`).

    Column `partition` keeps the release's own name; an Unknown speaker is "" in `speaker`. Texts come from
    `Transcripts/`, where it was unpacked.
    """
    for option, value, choices in (
        ("test2", test2, ("drop", "test")),
        ("unknown-speakers", unknown_speakers, ("keep", "drop")),
    ):
        if value not in choices:
            raise AffectkitError("usage", f"--{option} '{value}'", remedy=f"choose {' or '.join(choices)}")
    home = find_home(root, CORPUS, lambda folder: any(child(folder, name) for name in CONSENSUS))
    audio = require_child(home, "Audios", "Audio", remedy=f"expected {CORPUS.layout}")
    detailed = _votes(home) if votes else {}
    rows = _rows(require_child(home, *CONSENSUS), audio, child(home, "Transcripts"), detailed, root)
    return checked((_kept(row, test2, unknown_speakers) for row in rows), root, CORPUS)


def _kept(row: Row | Dropped, test2: str, unknown_speakers: str) -> Row | Dropped:
    if isinstance(row, Dropped):
        return row
    if row["partition"].lower() == "test2" and test2 == "drop":
        return Dropped(row["path"], "in partition Test2")
    if not row["speaker"] and unknown_speakers == "drop":
        return Dropped(row["path"], "its speaker is Unknown")
    return row


def _rows(
    table: Path, audio: Path, transcripts: Path | None, votes: dict[str, Row], root: Path
) -> Iterator[Row | Dropped]:
    for position, line in enumerate(records(table, required=COLUMNS), start=1):
        name, code, part = line["FileName"].strip(), line["EmoClass"].strip(), line["Split_Set"].strip()
        path = relative(audio / name, root)
        if part.lower() not in SPLITS:
            yield Dropped(path, f"partition '{part}' is none of Train, Development, Test1, Test2")
            continue
        if code not in CLASSES:
            yield Dropped(path, f"unknown emotion code '{code}'")
            continue
        speaker, podcast = line["SpkrID"].strip(), re.match(r"MSP-PODCAST_(\d+)", name)
        text = child(transcripts, f"{Path(name).stem}.txt") if transcripts else None
        yield {
            "id": Path(name).stem,
            "path": path,
            "source_label": CLASSES[code],
            "valence": number(line["EmoVal"], "EmoVal", file=table, row=position),
            "arousal": number(line["EmoAct"], "EmoAct", file=table, row=position),
            "dominance": number(line["EmoDom"], "EmoDom", file=table, row=position),
            "speaker": "" if speaker.lower() == "unknown" else speaker,
            "session": podcast[1] if podcast else "",
            "sex": {"female": "female", "male": "male"}.get(line["Gender"].strip().lower(), ""),
            "language": "en",
            "text": decode(text, "cp1252", "latin-1").strip() if text else "",
            "partition": part,
            **votes.get(name, {}),
            "split": SPLITS[part.lower()],
        }


def _votes(home: Path) -> dict[str, Row]:
    """File -> `votes_<class>`, from each rater's first choice; write-ins count as other."""
    path = require_child(home, "Labels/labels_detailed.json", remedy="leave --votes out")
    found = {}
    for name, raters in json.loads(decode(path)).items():
        counts = Counter(RATINGS.get(str(r.get("EmoClass_Major", "")).lower(), "other") for r in raters.values())
        found[name] = {f"votes_{word}": float(counts[word]) for word in (*RATINGS.values(), "other")}
    return found


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `Audios/`, both label files and `Transcripts/`; a tenth is of Unknown speakers in Test2."""
    from affectkit.corpora._msp_podcast_twin import write
    from affectkit.synthesis import twins

    names = [f"Speaker{n}" for n in range(1, max(speakers, 1) + 1)]
    voices = twins.cast({n: "female" if i % 2 else "male" for i, n in enumerate(names)}, speakers, seed)
    twins.write_readme(root, "msp-podcast", size=size, speakers=speakers, seed=seed)
    write(root, voices, size, seed)
