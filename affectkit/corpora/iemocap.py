"""IEMOCAP: dyadic sessions of 10 actors, improvised and scripted, categories and valence, arousal, dominance."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row, common_presets, vad
from affectkit.corpora._files import checked, child, find_files, find_home, hidden, relative, require_child
from affectkit.corpora._tables import decode
from affectkit.synthesis import scores, texts, twins
from affectkit.synthesis.voices import Voice

logger = logging.getLogger(__name__)


# What raters tick, in full words -> the code that the consensus label uses.
RATINGS = {
    "anger": "ang", "happiness": "hap", "sadness": "sad", "neutral": "neu", "neutral state": "neu", "excited": "exc",
    "frustration": "fru", "surprise": "sur", "fear": "fea", "disgust": "dis", "other": "oth",
}  # fmt: skip
CODES = ("ang", "hap", "sad", "neu", "exc", "fru", "sur", "fea", "dis", "oth", "xxx")
BASIC = common_presets(CODES)
CORPUS = Corpus(
    title="IEMOCAP",
    licence="IEMOCAP release agreement (USC SAIL): research only, on request",
    citation="C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. Chang, S. Lee, S. Narayanan: IEMOCAP: "
    "Interactive emotional dyadic motion capture database. Language Resources and Evaluation 42, 2008.",
    url="https://sail.usc.edu/iemocap/",
    layout="Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and Session1/sentences/wav/Ses01F_impro01/*.wav",
    language="en",
    classes={code: code for code in CODES},
    targets=vad(1, 5),
    presets={"4class": {**BASIC["4class"], "exc": "happy"}, "basic": {**BASIC["basic"], "exc": "happy"}},
    subsets={"improvised": "style=improvised", "scripted": "style=scripted"},
    official="the usual default, the corpus has none of its own: sessions 1-3 train, 4 val, 5 test",
    default_group="session",
    defects=(
        Defect(
            "text",
            "IEMOCAP's scripted dialogues repeat their text in every session (2588 of its 5531 four-class utterances): "
            "models that read text see test sentences in training; --only improvised leaves them out",
        ),
    ),
    speakers=10,
)
HEADER = re.compile(
    r"\[(?P<start>\d+\.\d+) - \d+\.\d+\]\t(?P<turn>\w+)\t(?P<label>\w+)\t"
    r"\[(?P<valence>\d+\.\d+), (?P<arousal>\d+\.\d+), (?P<dominance>\d+\.\d+)\]"
)
TURN = re.compile(r"Ses(0[1-5])([FM])_(impro0\d|script0\d_\d)([a-z]?)_([FM])(\d{3})")
LINE = re.compile(r"(\w+) \[[\d.]+-[\d.]+\]: ?(.*)")
RATER = re.compile(r"C-E\d+:\t([^\t]*)")  # not C-F, C-M: an actor's report on himself


def read(root: Path) -> Iterator[Row | Dropped]:
    """The rated turns below `root`. Labels are the corpus's codes; votes are those of the outside raters."""
    _, sessions = find_home(root, CORPUS, _sessions)
    return checked((row for session in sessions for row in _session(session, root)), root, CORPUS)


def _sessions(folder: Path) -> list[Path]:
    sessions = [child(folder, f"Session{number}") for number in range(1, 6)]
    return [session for session in sessions if session and child(session, "dialog/EmoEvaluation")]


def _session(session: Path, root: Path) -> Iterator[Row | Dropped]:
    ratings, texts = require_child(session, "dialog/EmoEvaluation"), child(session, "dialog/transcriptions")
    recordings = child(session, "sentences/wav")
    if recordings is None:
        yield Dropped(relative(session, root), "has no folder sentences/wav")
        return
    if texts is None:
        logger.warning("%s has no folder dialog/transcriptions: its texts stay empty", session)
    rated = set()
    for file in sorted(ratings.iterdir()):
        if file.is_file() and file.suffix.lower() == ".txt" and not hidden(file.name):
            lines = _transcript(child(texts, file.name) if texts else None)
            for block, votes in parse_ratings(decode(file, "latin-1")):
                turn = block["turn"]
                rated.add(turn)
                yield _row(block, votes, lines.get(turn, ""), recordings / file.stem / f"{turn}.wav", root)
    for path in find_files(recordings, [".wav"]):
        if path.stem not in rated:
            yield Dropped(relative(path, root), "no file in dialog/EmoEvaluation rates it")


def parse_ratings(text: str) -> list[tuple[dict[str, str], Counter[str]]]:
    """The blocks of an `EmoEvaluation` file: what is in its header line, and the raters' classes from below it.

    start: seconds of the dialogue.
    """
    blocks: list[tuple[dict[str, str], Counter[str]]] = []
    for line in text.splitlines():
        header = HEADER.fullmatch(line.rstrip())
        if header:
            blocks.append((header.groupdict(), Counter()))
        elif blocks and (rater := RATER.match(line)):
            for answer in rater[1].split(";"):  # a rater may tick several; each counts
                code = RATINGS.get(answer.strip().lower())
                if code:
                    blocks[-1][1][code] += 1
    return blocks


def _transcript(file: Path | None) -> dict[str, str]:
    """Turn -> what was said; turns that nobody rated (MX05, FXX2) are there too."""
    if file is None:
        return {}
    lines = (LINE.match(line) for line in decode(file, "latin-1").splitlines())
    return {line[1]: line[2].strip() for line in lines if line}


def _row(block: dict[str, str], votes: Counter[str], text: str, path: Path, root: Path) -> Row | Dropped:
    turn = TURN.fullmatch(block["turn"])
    if not turn:
        return Dropped(relative(path, root), "the turn is not named as Ses01F_impro01_F000")
    if block["label"] not in CODES:
        return Dropped(relative(path, root), f"unknown emotion code '{block['label']}'")
    session, _, scene, _, letter, _ = turn.groups()
    return {
        "id": block["turn"],
        "path": relative(path, root),
        "source_label": block["label"],
        **{target.name: float(block[target.name]) for target in CORPUS.targets},
        # The letter behind `Ses01` says who wore the motion capture markers; the one before the number, who speaks.
        "speaker": f"Ses{session}_{letter}",
        "session": f"Ses{session}",
        "dialogue": path.parent.name,
        "time_sec": float(block["start"]),
        "sex": "female" if letter == "F" else "male",
        "language": "en",
        "text": text,
        "text_id": scene if scene.startswith("script") else "",
        "style": "scripted" if scene.startswith("script") else "improvised",
        **{f"votes_{code}": float(votes[code]) for code in CODES[:-1]},
        "split": {"04": "val", "05": "test"}.get(session, "train"),
    }


# --- The synthetic twin


# About the real proportions, with fewer of the labels that every preset drops.
WEIGHTS = {
    "ang": 110, "hap": 60, "sad": 108, "neu": 171, "exc": 104, "fru": 90, "sur": 11, "fea": 4, "dis": 1, "oth": 1,
    "xxx": 40,
}  # fmt: skip
WORDS = {
    "ang": "Anger", "hap": "Happiness", "sad": "Sadness", "neu": "Neutral state", "exc": "Excited",
    "fru": "Frustration", "sur": "Surprise", "fea": "Fear", "dis": "Disgust", "oth": "Other",
}  # fmt: skip
SCENES = ("impro01", "impro02", "script01_1")


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: sessions of two speakers, two improvised dialogues and a scripted one each.

    A scripted scene has the same lines in every session.
    """
    if speakers % 2:
        raise twins.usage(f"--speakers {speakers}: IEMOCAP's speakers come in pairs", "ask for an even number")
    order = (1, 5, 4, 2, 3)  # so that small twins have test and val sessions too
    sexes = {f"Ses0{n}_{letter}": sex for n in order for letter, sex in (("F", "female"), ("M", "male"))}
    voices = twins.cast(sexes, speakers, seed)
    twins.write_readme(root, "iemocap", size=size, speakers=speakers, seed=seed)
    sessions = sorted({name[3:5] for name in voices})
    for position, session in enumerate(sessions):
        turns = size // len(sessions) + (position < size % len(sessions))
        labels = [label for _, label in twins.deal(turns, [""], WEIGHTS)] if turns else []
        twins.generator(seed, "order", session).shuffle(labels)
        for scene_number, scene in enumerate(SCENES):
            dialogue = f"Ses{session}{'FM'[position % 2]}_{scene}"
            _dialogue(root / f"Session{int(session)}", dialogue, labels[scene_number :: len(SCENES)], voices, seed)


def _dialogue(folder: Path, dialogue: str, labels: list[str], voices: Mapping[str, Voice], seed: int) -> None:
    session, scene = dialogue[3:5], dialogue.partition("_")[2]
    ratings = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    transcript, clock = "", 1.0
    for index, label in enumerate(labels):
        letter, number = "FM"[index % 2], index // 2
        turn = f"{dialogue}_{letter}{number:03d}"
        rng = twins.generator(seed, turn)
        # scripted: the line depends on the place in the script alone
        script = texts.plain_sentence(twins.generator(seed, scene, index)) if scene.startswith("script") else ""
        path = folder / f"sentences/wav/{dialogue}/{turn}.wav"
        affect, text, seconds = twins.act(path, voices[f"Ses{session}_{letter}"], label, rng, text=script)
        end = clock + seconds
        ratings += f"[{clock:.4f} - {end:.4f}]\t{turn}\t{label}\t" + _ratings(label, affect, letter, rng)
        transcript += f"{turn} [{clock:08.4f}-{end:08.4f}]: {text}\n"
        clock = end + 0.3
    for place, content in (("EmoEvaluation", ratings), ("transcriptions", transcript)):
        path = folder / f"dialog/{place}/{dialogue}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _ratings(label: str, affect: tuple[float, float, float], letter: str, rng: np.random.Generator) -> str:
    """The end of a block's header line, three raters' classes, the actor's own, two raters' numbers."""
    ticks = scores.vote(label if label in WORDS else "oth", list(WORDS), rng, raters=3, agreement=0.7)
    numbers = scores.rate(affect, (1, 5), rng, raters=2)
    means = [sum(rating) / 2 for rating in zip(*numbers, strict=True)]
    lines = [f"[{means[0]:.4f}, {means[1]:.4f}, {means[2]:.4f}]"]
    lines += [f"C-E{rater}:\t{WORDS[tick]};\t()" for rater, tick in enumerate(ticks, start=2)]
    lines += [f"C-{letter}1:\t{WORDS.get(label, 'Other')};\t()"]
    lines += [f"A-E{rater}:\tval {v}; act {a}; dom  {d};\t()" for rater, (v, a, d) in enumerate(numbers, start=3)]
    return "\n".join(lines) + "\n\n"
