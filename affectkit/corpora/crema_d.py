"""CREMA-D: 91 actors say 12 sentences in 6 emotions; crowd votes for voice, face and both."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row
from affectkit.corpora._files import checked, child, find_files, find_home, require_child
from affectkit.corpora._tables import numbers, records
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.synthesis import scores, twins

CLASSES = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "NEU": "neutral", "SAD": "sadness"}
VOTES = {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness"}
CONDITIONS = {"voice": ("1", "VoiceVote"), "face": ("2", "FaceVote"), "audio-visual": ("3", "MultiModalVote")}
CORPUS = Corpus(
    title="CREMA-D",
    licence="Open Database License 1.0 (contents: Database Contents License 1.0)",
    citation="H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma: CREMA-D: Crowd-sourced Emotional "
    "Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4), 2014.",
    url="https://github.com/CheyneyComputerScience/CREMA-D",
    layout="AudioWAV/1001_DFA_ANG_XX.wav",
    language="en",
    classes=CLASSES,
    defects=(Defect("text", "CREMA-D has twelve sentences, which all its actors say: every split shares its texts"),),
    speakers=91,
)
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
SILENT = "1076_MTI_SAD_XX"
logger = logging.getLogger(__name__)


def _clip(turn: Turn) -> Clip:
    names = [(sentence, level) for level in LEVELS if len(level) == 2 for sentence in SENTENCES]
    sentence, level = twins.nth(names, turn.nth)
    name = f"{turn.speaker}_{sentence}_{turn.emotion}_{level}"
    return Clip(f"AudioWAV/{name}.wav", SENTENCES[sentence], (name,), {"LO": 0.8, "HI": 1.2}.get(level, 1.0))


ACTED = Acted(
    "crema-d",
    CORPUS,
    pattern=r"(?P<speaker>10\d\d)_(?P<text_id>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{1,2})",
    otherwise="the name is not actor, sentence, emotion, level, as in 1001_DFA_ANG_XX.wav",
    unknown="unknown sentence, emotion or level code in {text_id}_{emotion}_{level}",
    sexes={str(1001 + n): "female" if n % 2 else "male" for n in range(91)},  # of the twin
    texts=SENTENCES,
    codes={"text_id": SENTENCES, "level": LEVELS},
    columns=lambda groups: {"level": LEVELS[groups["level"]]},
    clip=_clip,
)


def read(
    root: Path,
    *,
    label_by: Annotated[
        str,
        Option("Whose label is taken: intended (the actor's), or that of the raters of voice, face or audio-visual."),
    ] = "intended",
) -> Iterator[Row | Dropped]:
    """The clips below `root`. Votes are those of the condition that `label_by` names, of the voice for intended.

    Rated labels drop the clips whose raters tie.
    """
    if label_by not in ("intended", *CONDITIONS):
        raise AffectkitError("usage", f"--label-by '{label_by}'", remedy=f"choose intended, {', '.join(CONDITIONS)}")
    home, _ = find_home(root, CORPUS, lambda folder: child(folder, "AudioWAV") or any(folder.glob("10??_*_*_*.wav")))
    condition = CONDITIONS["voice" if label_by == "intended" else label_by]
    people = _optional(home, "VideoDemographics.csv", "sex, age, race and ethnicity")
    actors = {row["ActorID"]: row for row in records(people, required=["ActorID", "Sex"])} if people else {}
    votes = _votes(home, condition[0])
    rated = None if label_by == "intended" else _rated(home, condition[1])
    files = find_files(child(home, "AudioWAV") or home, [".wav"])
    rows = ACTED.rows(files, root)
    return checked((_with_tables(row, actors, votes, rated) for row in rows), root, CORPUS)


def _with_tables(
    row: Row | Dropped, actors: dict[str, Row], votes: dict[str, Row], rated: dict[str, str] | None
) -> Row | Dropped:
    """The row with what the tables say of its actor, and of how its clip was rated."""
    if isinstance(row, Dropped):
        return row
    if row["id"] == SILENT:
        return Dropped(row["path"], "the recording is silent")
    label = row["source_label"] if rated is None else rated.get(row["id"], "")
    if not label or ":" in label:
        return Dropped(row["path"], f"its raters tie ({label})" if label else "nobody rated it")
    person = actors.get(row["speaker"], {})
    return {
        **row,
        "source_label": label,
        "sex": {"male": "male", "female": "female"}.get(person.get("Sex", "").lower(), ""),
        **{column.lower(): person.get(column, "") for column in ("Age", "Race", "Ethnicity")},
        **votes.get(row["id"], {}),
    }


def _optional(home: Path, name: str, what: str) -> Path | None:
    path = child(home, name)
    if path is None:
        logger.warning("%s has no %s: %s stay empty", home, name, what)
    return path


def _votes(home: Path, condition: str) -> dict[str, Row]:
    """Clip -> `votes_<class>`, from the rows whose name (first column, unnamed) begins with the condition's digit."""
    path = _optional(home, "processedResults/tabulatedVotes.csv", "votes")
    if path is None:
        return {}
    columns = {f"votes_{name}": code for code, name in VOTES.items()}
    return {
        row["fileName"]: numbers(row, columns, file=path, row=position)
        for position, row in enumerate(records(path, required=["fileName", *VOTES]), start=1)
        if next(iter(row.values())).startswith(condition)
    }


def _rated(home: Path, column: str) -> dict[str, str]:
    """Clip -> the class that most raters named, "anger:disgust" for a tie."""
    path = require_child(home, "processedResults/summaryTable.csv", remedy="or use --label-by intended")
    table = records(path, required=["FileName", column])
    return {row["FileName"]: ":".join(VOTES.get(c, c) for c in row[column].split(":")) for row in table}


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: clips, `VideoDemographics.csv` and both vote tables (ties included)."""
    acted = ACTED.synthesize(root, size=size, speakers=speakers, seed=seed)
    people = [(n, 25 + int(n) % 40, ACTED.sexes[n].capitalize(), "Unknown", "Not Hispanic") for n in acted]
    twins.write_rows(root / "VideoDemographics.csv", ["ActorID", "Age", "Sex", "Race", "Ethnicity"], people)
    clips = [(Path(clip.path).stem, CLASSES[turn.emotion]) for turns in acted.values() for turn, clip in turns]
    _write_votes(root / "processedResults", clips, seed)


def _write_votes(folder: Path, clips: list[tuple[str, str]], seed: int) -> None:
    tabulated: list[list[object]] = []
    winners: dict[str, list[str]] = {name: [] for name, _ in clips}
    # the shares of raters who named the intended emotion, near those of the real corpus (.41, .58, .64)
    for digit, agreement in (("1", 0.45), ("2", 0.6), ("3", 0.65)):
        for place, (name, label) in enumerate(clips, start=1):
            rng = twins.generator(seed, "votes", digit, name)
            ballots = scores.vote(label, list(VOTES.values()), rng, raters=10, agreement=agreement)
            counts = {code: ballots.count(word) for code, word in VOTES.items()}
            winner = ":".join(code for code, count in counts.items() if count == max(counts.values()))
            winners[name].append(winner)
            tabulated.append([f"{digit}{place:05d}", *counts.values(), name, 10, max(counts.values()) / 10, winner])
    header = ["", *VOTES, "fileName", "numResponses", "agreement", "emoVote"]
    twins.write_rows(folder / "tabulatedVotes.csv", header, tabulated)
    header = ["", "FileName", "VoiceVote", "FaceVote", "MultiModalVote"]
    rows = [[place, name, *winners[name]] for place, (name, _) in enumerate(clips, start=1)]
    twins.write_rows(folder / "summaryTable.csv", header, rows)
