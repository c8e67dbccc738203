"""MELD: dialogues of the series Friends, 13,000 utterances in 7 emotions, with their text."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row
from affectkit.corpora._files import checked, child, find_home, relative, require_child
from affectkit.corpora._tables import records
from affectkit.registry import Option
from affectkit.synthesis import texts, twins
from affectkit.synthesis.voices import Voice

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
CORPUS = Corpus(
    title="MELD",
    licence="GPL-3.0 for the annotations; the clips are from the series Friends (c) Warner Bros.",
    citation="S. Poria, D. Hazarika, N. Majumder, G. Naik, E. Cambria, R. Mihalcea: MELD: A Multimodal Multi-Party "
    "Dataset for Emotion Recognition in Conversations. ACL 2019.",
    url="https://affective-meld.github.io",
    layout="train_sent_emo.csv, dev_..., test_... and train_splits/dia0_utt0.mp4, dev_splits_complete/, "
    "output_repeated_splits_test/",
    reads="video",
    language="en",
    classes={word: word for word in EMOTIONS},
    official="MELD's train, dev (val) and test",
    default_group="dialogue",
    defects=(
        Defect("speaker", "MELD's official split has the cast of the series in train, dev and test"),
        Defect("session", "MELD's official split is by dialogue: one episode stands in several parts"),
        Defect("text", "MELD's short lines ('Yeah.', 'Oh my God!') recur in train, dev and test"),
    ),
)
# part -> (split, the clips' folder, dialogue and utterance of a clip that does not play)
PARTS = {
    "train": ("train", "train_splits", ("125", "3")),
    "dev": ("val", "dev_splits_complete", ("110", "7")),
    "test": ("test", "output_repeated_splits_test", None),
}
SEXES = {
    "Rachel": "female", "Ross": "male", "Monica": "female", "Chandler": "male", "Phoebe": "female", "Joey": "male",
}  # fmt: skip
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
# The tables hold Windows-1252 punctuation as control characters: U+0092 is an apostrophe.
PUNCTUATION = {code: bytes([code]).decode("cp1252") for code in (0x85, *range(0x91, 0x98))}

TextOnlyOpt = Annotated[bool, Option("Whether it is the tables alone, as the repository has them without the clips.")]


def read(
    root: Path,
    *,
    text_only: TextOnlyOpt = False,
) -> Iterator[Row | Dropped]:
    """The utterances of the three tables. Clips are `.mp4`; a `.wav` of the same name is taken where there is none.

    Dialogue and utterance numbers restart in each part, so ids carry it: `train_dia0_utt3`. `final_videos_test*` is not
    looked at. Raises "missing" naming a table or a folder of clips that is not there.
    """
    tables = [name for part in PARTS for name in _tables(part)]
    home, _ = find_home(root, CORPUS, lambda folder: child(folder, *tables))
    return checked((row for part in PARTS for row in _part(home, part, root, text_only)), root, CORPUS)


def _tables(part: str) -> tuple[str, str]:
    return f"{part}_sent_emo.csv", f"{part}/{part}_sent_emo.csv"


def _part(home: Path, part: str, root: Path, text_only: bool) -> Iterator[Row | Dropped]:
    split, folder, broken = PARTS[part]
    table = require_child(home, *_tables(part), remedy=f"expected {CORPUS.layout}")
    places = (folder, f"{part}/{folder}")
    clips = None if text_only else require_child(home, *places, remedy="unpack it, or pass --text-only")
    for line in records(table, required=COLUMNS):
        place = (line["Dialogue_ID"].strip(), line["Utterance_ID"].strip())
        name, emotion = f"dia{place[0]}_utt{place[1]}", line["Emotion"].strip().lower()
        path = relative(_clip(clips, name), root) if clips else ""
        if place == broken and clips:
            yield Dropped(path, "the clip of the release does not play")
        elif emotion not in EMOTIONS:
            yield Dropped(path or f"{part}_{name}", f"unknown emotion '{line['Emotion']}'")
        else:
            yield _row(line, path, part, place, emotion, split)


def _clip(clips: Path, name: str) -> Path:
    wav = clips / f"{name}.wav"
    mp4 = clips / f"{name}.mp4"
    return wav if wav.exists() and not mp4.exists() else mp4


def _row(line: dict[str, str], path: str, part: str, place: tuple[str, str], emotion: str, split: str) -> Row:
    speaker = line["Speaker"].strip().translate(PUNCTUATION)
    season, episode = line.get("Season", ""), line.get("Episode", "")
    return {
        "id": f"{part}_dia{place[0]}_utt{place[1]}",
        "path": path,
        "source_label": emotion,
        "speaker": speaker,
        "session": f"s{int(season):02d}e{int(episode):02d}" if season.isdigit() and episode.isdigit() else "",
        "dialogue": f"{part}_dia{place[0]}",
        "time_sec": _seconds(line.get("StartTime", "")),
        "sex": SEXES.get(speaker.split(" ")[0], ""),
        "language": "en",
        "text": line["Utterance"].translate(PUNCTUATION).strip(),
        "sentiment": line.get("Sentiment", ""),
        "split": split,
    }


def _seconds(text: str) -> float:
    """Seconds of "00:16:16,059", the time in the episode; NaN where it is not a time."""
    time = re.fullmatch(r"\s*(\d+):(\d+):(\d+)(?:[,.](\d+))?\s*", text)
    if not time:
        return float("nan")
    hours, minutes, seconds = map(int, time.groups()[:3])
    return hours * 3600 + minutes * 60 + seconds + float(f"0.{time[4] or 0}")


# --- The synthetic twin


WEIGHTS = {
    "neutral": 47.0, "joy": 17.0, "surprise": 12.0, "anger": 12.0, "sadness": 8.0, "disgust": 5.0, "fear": 5.0,
}  # fmt: skip
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}
TURNS = 6  # utterances in a dialogue
PARALLEL = 50  # sentences that are said in every emotion, where no words tell it
WORD = 0.4  # seconds of a word that nobody says
AT_ONCE = 20  # clips for one ffmpeg, which takes longer to start than to encode one
HEADER = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    sentences: texts.SentencesOpt = "telling",
    text_only: TextOnlyOpt = False,
) -> None:
    """Write the twin: tables and clips, `.mp4` where ffmpeg is installed, else `.wav` of the same names.

    Every speaker is in each part, as in the real corpus.
    """
    names = [*SEXES, *(f"Guest {n}" for n in range(1, 61))]
    voices = twins.cast({name: SEXES.get(name, "") for name in names[:speakers]}, speakers, seed)
    twins.write_readme(root, "meld", size=size, speakers=speakers, seed=seed, sentences=sentences, text_only=text_only)
    utterance = partial(_utterance, root, voices={} if text_only else voices, seed=seed, sentences=sentences)
    counts = {part: max(1, round(size * share)) for part, share in SHARES.items() if part != "train"}
    counts = {"train": max(1, size - sum(counts.values())), **counts}
    for part, count in counts.items():
        dealt = twins.deal(count, list(voices), WEIGHTS)
        twins.generator(seed, part).shuffle(dealt)
        rows = [utterance(part, index, *dealt[index]) for index in range(count)]
        twins.write_rows(root / f"{part}_sent_emo.csv", HEADER, rows)
        _to_mp4(sorted((root / PARTS[part][1]).glob("*.wav")))


def _utterance(
    root: Path,
    part: str,
    index: int,
    speaker: str,
    emotion: str,
    *,
    voices: Mapping[str, Voice],
    seed: int,
    sentences: str,
) -> list[object]:
    """A line of a part's table, and its clip where the speaker has a voice."""
    rng = twins.generator(seed, part, index)
    dialogue, turn = divmod(index, TURNS)
    text = _text(sentences, emotion, twins.generator(seed, part, index, "text"), seed)
    if speaker in voices:
        path = root / PARTS[part][1] / f"dia{dialogue}_utt{turn}.wav"
        affect, text, seconds = twins.act(path, voices[speaker], emotion, rng, text=text)
    else:
        _, affect, text = twins.utter(emotion, rng, text=text)
        seconds = WORD * len(text.split())
    mood = {"joy": "positive", "neutral": "neutral"}.get(emotion, "negative")
    sentiment = ("positive" if affect[0] > 0 else "negative") if emotion == "surprise" else mood
    start = 60.0 + turn * 5
    times = (_clock(start), _clock(start + seconds))
    return [index + 1, text, speaker, emotion, sentiment, dialogue, turn, 1 + dialogue % 9, 1 + dialogue % 20, *times]


def _text(sentences: str, emotion: str, rng: np.random.Generator, seed: int) -> str:
    """What is said; "" for what a clip's own affect says."""
    if sentences == "parallel":
        return texts.plain_sentence(twins.generator(seed, "text", int(rng.integers(PARALLEL))))
    return texts.clear_sentence(emotion, rng) if sentences == "clear" else ""


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60000)
    return f"00:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def _to_mp4(paths: list[Path]) -> None:
    """Wrap clips as the corpus has them, AAC in MP4, and remove the WAVs; without ffmpeg these stay."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return
    aac = ["-c:a", "aac", "-b:a", "64k", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    for first in range(0, len(paths), AT_ONCE):
        some = paths[first : first + AT_ONCE]
        command = [ffmpeg, "-nostdin", "-v", "error", "-y"]
        for path in some:
            command += ["-i", str(path)]
        for place, path in enumerate(some):
            command += ["-map", str(place), *aac, str(path.with_suffix(".mp4"))]
        subprocess.run(command, check=True)
        for path in some:
            path.unlink()
