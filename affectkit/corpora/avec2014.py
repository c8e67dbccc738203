"""AVEC 2014: 150 German speakers' videos of two tasks each, with their depression score (BDI-II)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import AUDIO, VIDEO, checked, find_files, not_here, relative, require_folder
from affectkit.corpora._tables import decode, number
from affectkit.errors import AffectkitError
from affectkit.instruments import BDI2_LEVELS, SCORES
from affectkit.labels import Target
from affectkit.registry import Option
from affectkit.splits import WORDS
from affectkit.synthesis import faces, films, texts, twins
from affectkit.synthesis.voices import Voice

SCALE = (0, 63)
CORPUS = Corpus(
    title="AVEC 2014 (AViD-Corpus)",
    licence="AVEC 2014's end user licence agreement: research only, on request",
    citation="M. Valstar, B. Schuller, K. Smith, T. Almaev, F. Eyben, J. Krajewski, R. Cowie, M. Pantic: AVEC 2014: 3D "
    "Dimensional Affect and Depression Recognition Challenge. Proc. AVEC, 2014.",
    url="http://avec2013-db.sspnet.eu/",
    layout="Video/Training/Freeform/203_1_Freeform_video.mp4 or Audio/.../203_1_Freeform_audio.wav, and "
    "Training_DepressionLabels/203_1_Depression.csv",
    reads="video",
    language="de",
    targets=(Target("bdi2", "number", scale=SCALE), Target("severity", "ordinal", BDI2_LEVELS.names)),
    subsets={"freeform": "task=freeform", "northwind": "task=northwind"},
    official="AVEC 2014's Training, Development (val) and Testing (test)",
    default_group="subject",
    scores={
        "bdi2": SCORES["bdi2"],
        "severity": BDI2_LEVELS.in_words("BDI-II"),
    },
    speakers=84,
)
NAME = re.compile(r"(?P<subject>\d+)_(?P<session>\d+)_(?P<task>freeform|northwind)_(?:video|audio)", re.IGNORECASE)
LABEL = re.compile(r"(\d+_\d+)_Depression", re.IGNORECASE)
PART = re.compile(r"(training|development|testing)", re.IGNORECASE)


def read(
    root: Path,
    *,
    recording: Annotated[
        Literal["video", "audio"],
        Option("Which of a task's two files `path` is, where both are there; the other is path_video or path_audio."),
    ] = "video",
) -> Iterator[Row | Dropped]:
    """A row for each task of each session; both tasks have the session's score. `session` is `203_1`, `subject` 203.

    A recording whose label file is missing is dropped, and its name told.
    """
    require_folder(root, CORPUS)
    media = _media(root)
    if not media:
        raise not_here(root, CORPUS)
    return checked(_rows(root, media, recording), root, CORPUS)


Key = tuple[str, str, str]  # split, session, task


def _media(root: Path) -> dict[Key, dict[str, Path]]:
    """Key -> `video` and `audio`, what there is of them."""
    media: dict[Key, dict[str, Path]] = defaultdict(dict)
    for path in find_files(root, [*VIDEO, *AUDIO]):
        name, part = NAME.fullmatch(path.stem), _part(path, root)
        if name and part:
            key = part, f"{name['subject']}_{name['session']}", name["task"].lower()
            media[key].setdefault("video" if path.suffix.lower() in VIDEO else "audio", path)
    return dict(sorted(media.items()))


def _part(path: Path, root: Path) -> str:
    """The split that a file's folders say; "" without."""
    found = PART.findall("/".join(path.relative_to(root).parts[:-1]))
    return WORDS[found[-1].lower()] if found else ""


def _rows(root: Path, media: dict[Key, dict[str, Path]], recording: str) -> Iterator[Row | Dropped]:
    labels: dict[tuple[str, str], dict[Path, float | AffectkitError]] = defaultdict(dict)
    for path in find_files(root, [".csv"]):
        if name := LABEL.fullmatch(path.stem):
            labels[_part(path, root), name[1]][path] = _score(path)
    for (split, session, task), files in media.items():
        chosen = files.get(recording) or next(iter(files.values()))
        place, scores = relative(chosen, root), labels.get((split, session), {})
        values = [score for score in scores.values() if not isinstance(score, AffectkitError)]
        wrong = next((score for score in scores.values() if isinstance(score, AffectkitError)), None)
        if wrong is not None:
            yield Dropped(relative(Path(wrong.file or root), root), wrong.message, wrong.remedy or "correct it")
        elif not values:
            yield Dropped(place, "has no label file", detail=f"{session}_Depression.csv")
        elif len(set(values)) > 1:
            told = " and ".join(f"{score:g} ({relative(path, root)})" for path, score in list(scores.items())[:2])
            yield Dropped(place, "two scores of one session", "remove one of them", told)
        else:
            others = {f"path_{kind}": relative(path, root) for kind, path in files.items() if path != chosen}
            yield _row(session, task, split, values[0], place) | {"path_video": "", "path_audio": "", **others}


def _score(path: Path) -> float | AffectkitError:
    """The one number of a label file, or what is wrong with it."""
    try:
        text = decode(path).strip().strip(",;")
        score = number(text, "the score", file=path, row=1)
    except AffectkitError as error:
        return error
    if SCALE[0] <= score <= SCALE[1]:
        return score
    what = "is empty" if score != score else f"{score:g} is no BDI-II score"
    return AffectkitError("input", f"the score {what}", file=path, row=1, remedy="a score is from 0 to 63")


def _row(session: str, task: str, split: str, score: float, place: str) -> Row:
    return {
        "id": f"{session}_{task.capitalize()}",
        "path": place,
        "bdi2": score,
        "severity": BDI2_LEVELS.of(score),
        "subject": session.partition("_")[0],
        "session": session,
        "task": task,
        "language": "de",
        "split": split,
    }


# --- The synthetic twin


PARTS = {"train": "Training", "val": "Development", "test": "Testing"}
FIRST = 203  # the lowest subject
FPS = 30.0
PIXELS = 64
WEIGHTS = {"freeform": 0.7, "northwind": 0.5}  # how much of the mood is in a voice that tells, and one that reads


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: both tasks of one session or two of each subject, as sound, and short videos without sound.

    A subject's voice and face are the sadder, the higher the score.
    """
    if size < 2 * speakers:
        raise twins.usage(f"--size {size}: each of {speakers} subjects has two recordings", "ask for a larger one")
    if speakers > (CORPUS.speakers or speakers):
        raise twins.usage(f"--speakers {speakers}: AVEC 2014 has {CORPUS.speakers} subjects", "ask for fewer")
    twins.write_readme(root, "avec2014", size=size, speakers=speakers, seed=seed)
    sexes = {str(FIRST + n): "female" if n % 2 else "male" for n in range(speakers)}
    voices = twins.cast(sexes, speakers, seed)
    people = {name: faces.draw_person(twins.generator(seed, "face", name)) for name in voices}
    sessions = size // 2
    for index in range(sessions):
        subject = list(voices)[index % speakers]
        session = f"{subject}_{index // speakers + 1}"
        split = twins.part_of(index % speakers)
        rng = twins.generator(seed, "session", session)
        person = twins.generator(seed, "score", subject)
        score = int(np.clip(np.rint(63 * person.beta(1.1, 2.6) + rng.normal(0, 3)), *SCALE))
        folder = "Testing/DepressionLabels" if split == "test" else f"{PARTS[split]}_DepressionLabels"
        label = root / folder / f"{session}_Depression.csv"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{score}\n", encoding="utf-8")
        for task, weight in WEIGHTS.items():
            _record(root, PARTS[split], session, task, voices[subject], people[subject], weight * score / 40, rng)


def _record(
    root: Path, part: str, session: str, task: str, voice: Voice, person: Any, mood: float, rng: np.random.Generator
) -> None:
    """A clip of a task, and a film of a second. mood: 0 to about 1, how low it is."""
    words = texts.plain_sentence(rng) if task == "freeform" else "einst stritten sich nordwind und sonne"
    name = f"{part}/{task.capitalize()}/{session}_{task.capitalize()}"
    twins.record(root / "Audio" / f"{name}_audio.wav", voice, "sadness", words, rng, intensity=1.5 * mood)
    key = int(rng.integers(1 << 31))
    times = np.arange(int(FPS)) / FPS
    images = [
        faces.draw_face(
            person, (-0.8 * mood + 0.1 * np.sin(6 * time), -0.3 * mood), np.random.default_rng(key), PIXELS
        )[0]
        for time in times[::3]
    ]
    films.write_film(root / "Video" / f"{name}_video.mp4", images, times[::3].tolist(), 1.0)
