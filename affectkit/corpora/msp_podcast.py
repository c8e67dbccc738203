"""MSP-Podcast: podcast segments with perceived emotion and valence, arousal, dominance."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row, vad
from affectkit.corpora._files import checked, child, find_home, relative, require_child
from affectkit.corpora._tables import decode, numbers, records
from affectkit.errors import AffectkitError
from affectkit.plain import parse_json
from affectkit.registry import Option
from affectkit.splits import WORDS
from affectkit.synthesis import scores, twins
from affectkit.synthesis.voices import Voice, draw_voice

CLASSES = {
    "A": "anger", "H": "happiness", "S": "sadness", "N": "neutral", "U": "surprise", "F": "fear", "D": "disgust",
    "C": "contempt", "O": "other", "X": "no-agreement",
}  # fmt: skip
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
    official="Train, Development (val) and Test1 (test); Test2 is left out unless asked for",
    defects=(
        Defect("speaker", "MSP-Podcast has segments of speaker 'Unknown': their speakers may be on several sides"),
        Defect("session", "MSP-Podcast's official split is by speaker: one podcast may stand in several parts"),
    ),
)
SPLITS = WORDS | {"test1": "test", "test2": "test"}
CONSENSUS = ("Labels/labels_consensus.csv", "Labels/labels_concensus.csv")  # releases spell it either way
DIMENSIONS = {"valence": "EmoVal", "arousal": "EmoAct", "dominance": "EmoDom"}
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")


def read(
    root: Path,
    *,
    test2: Annotated[str, Option("What to do with partition Test2: drop it, or use it as test.")] = "drop",
    unknown_speakers: Annotated[
        str, Option("What to do with segments whose speaker is Unknown: keep or drop them.")
    ] = "keep",
    votes: Annotated[
        bool, Option("Whether to count the raters' classes in labels_detailed.json (slow: a large file).")
    ] = False,
) -> Iterator[Row | Dropped]:
    """The segments of `labels_consensus.csv` (older releases: `labels_concensus.csv`).

    Column `partition` keeps the release's own name; an Unknown speaker is "" in `speaker`. Texts come from
    `Transcripts/`, where it was unpacked.
    """
    chosen = [("test2", test2, ("drop", "test")), ("unknown-speakers", unknown_speakers, ("keep", "drop"))]
    for option, value, choices in chosen:
        if value not in choices:
            raise AffectkitError("usage", f"--{option} '{value}'", remedy=f"choose {' or '.join(choices)}")
    home, table = find_home(root, CORPUS, lambda folder: child(folder, *CONSENSUS))
    audio = require_child(home, "Audios", "Audio", remedy=f"expected {CORPUS.layout}")
    detailed = _votes(home) if votes else {}
    rows = _rows(table, audio, child(home, "Transcripts"), detailed, root)
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
        name, code, part = line["FileName"].strip(), line["EmoClass"].strip().upper(), line["Split_Set"].strip()
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
            **numbers(line, DIMENSIONS, file=table, row=position),
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
    votes: dict[str, Row] = {}
    for name, raters in parse_json(decode(path)).items():
        counts = Counter(RATINGS.get(str(r.get("EmoClass_Major", "")).lower(), "other") for r in raters.values())
        votes[name] = {f"votes_{word}": float(counts[word]) for word in (*RATINGS.values(), "other")}
    return votes


# --- The synthetic twin


WEIGHTS = {"N": 35.0, "H": 22.0, "A": 13.0, "S": 11.0, "X": 8.0, "D": 3.0, "C": 3.0, "U": 3.0, "F": 1.0, "O": 1.0}
PARTS = ("Train", "Train", "Test1", "Train", "Development")  # of the speakers, in turn
UNKNOWN = 0.1  # share of segments whose speaker nobody identified, all in Test2


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `Audios/`, both label files and `Transcripts/`; a tenth is of Unknown speakers in Test2."""
    names = [f"Speaker{n}" for n in range(1, max(speakers, 1) + 1)]
    voices = twins.cast({n: "female" if i % 2 else "male" for i, n in enumerate(names)}, speakers, seed)
    twins.write_readme(root, "msp-podcast", size=size, speakers=speakers, seed=seed)
    rows, details = [], {}
    strangers = [f"Stranger{n}" for n in range(round(size * UNKNOWN))]
    dealt = twins.deal(size - len(strangers), list(voices), WEIGHTS)
    dealt += twins.deal(len(strangers), strangers, WEIGHTS) if strangers else []
    for index, (speaker, code) in enumerate(dealt):
        rng = twins.generator(seed, "segment", index)
        voice = voices[speaker] if speaker in voices else draw_voice("", rng)
        place = list(voices).index(speaker) if speaker in voices else len(voices)
        name = f"MSP-PODCAST_{place + 1:04d}_{index + 1:04d}.wav"
        part = PARTS[place % len(PARTS)] if speaker in voices else "Test2"
        person = (speaker, voice.sex.capitalize()) if speaker in voices else ("Unknown", "Unknown")
        numbers, details[name] = _segment(root, name, code, voice, rng)
        rows.append([name, code, *numbers, *person, part])
    twins.write_rows(root / "Labels/labels_consensus.csv", COLUMNS, rows)
    (root / "Labels/labels_detailed.json").write_text(json.dumps(details, indent=1) + "\n", encoding="utf-8")


def _segment(
    root: Path, name: str, code: str, voice: Voice, rng: np.random.Generator
) -> tuple[list[float], dict[str, dict[str, object]]]:
    """Record a segment and its transcript; its mean arousal, valence and dominance, and what each rater said."""
    affect, text, _ = twins.act(root / "Audios" / name, voice, CLASSES[code], rng)
    transcript = root / "Transcripts" / name.replace(".wav", ".txt")
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.write_text(text + "\n", encoding="utf-8")
    ratings = scores.rate(affect, (1, 7), rng, raters=5)
    words = list(RATINGS.values())
    classes = scores.vote(CLASSES[code] if CLASSES[code] in words else "neutral", words, rng, raters=5)
    spoken = {word: tick.capitalize() for tick, word in RATINGS.items()}
    raters: dict[str, dict[str, object]] = {
        f"WORKER{n:08d}": {"EmoClass_Major": spoken[word], "EmoAct": a, "EmoVal": v, "EmoDom": d}
        for n, (word, (v, a, d)) in enumerate(zip(classes, ratings, strict=True), start=1)
    }
    means = [sum(r[dimension] for r in ratings) / len(ratings) for dimension in (1, 0, 2)]
    return means, raters
