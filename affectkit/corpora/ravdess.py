"""RAVDESS: 24 actors speak (and sing) two sentences in 8 emotions, 1440 spoken utterances."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from affectkit.corpora._corpus import (
    Corpus,
    Defect,
    Dropped,
    Row,
    checked,
    common_presets,
    find_files,
    relative,
    require_folder,
)

CLASSES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
CORPUS = Corpus(
    title="RAVDESS",
    licence="CC BY-NC-SA 4.0",
    citation="S. R. Livingstone, F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song "
    "(RAVDESS). PLoS ONE 13(5): e0196391, 2018.",
    url="https://zenodo.org/record/1188976",
    layout="Actor_01/03-01-06-01-02-01-12.wav",
    language="en",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    subsets={"speech": "channel=speech", "song": "channel=song"},
    official="audb's: actors 16, 17, 19 and 20 are the validation set, 21-24 the test set",
    defects=(Defect("text", "RAVDESS has two sentences, which all its actors say: every split shares its texts"),),
    speakers=24,
)
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
VAL, TEST = (16, 17, 19, 20), (21, 22, 23, 24)
NAME = re.compile(r"-".join([r"(\d\d)"] * 7))


def read(root: Path) -> Iterator[Row | Dropped]:
    """The audio files below `root`, spoken and, where they were unpacked there, sung (column `channel`)."""
    require_folder(root, CORPUS)
    return checked((_row(path, root) for path in find_files(root, [".wav"])), root, CORPUS)


def _row(path: Path, root: Path) -> Row | Dropped:
    found = NAME.fullmatch(path.stem)
    if not found:
        return Dropped(relative(path, root), "the name is not seven numbers, as in 03-01-06-01-02-01-12.wav")
    modality, channel, emotion, intensity, statement, repetition, actor = found.groups()
    for what, code, known in (
        ("modality", modality, ("03",)),
        ("channel", channel, CHANNELS),
        ("emotion", emotion, CLASSES),
        ("intensity", intensity, INTENSITIES),
        ("statement", statement, STATEMENTS),
        ("actor", actor, [f"{n:02d}" for n in range(1, 25)]),
    ):
        if code not in known:
            return Dropped(relative(path, root), f"{what} '{code}' is not in {', '.join(known)}")
    return {
        "id": path.stem,
        "path": relative(path, root),
        "source_label": CLASSES[emotion],
        "speaker": actor,
        "sex": "male" if int(actor) % 2 else "female",
        "language": "en",
        "text": STATEMENTS[statement],
        "text_id": statement,
        "channel": CHANNELS[channel],
        "intensity": INTENSITIES[intensity],
        "repetition": repetition,
        "split": "val" if int(actor) in VAL else "test" if int(actor) in TEST else "train",
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: spoken files at 48 kHz; the actors are taken from train, val and test in turn."""
    from affectkit.synthesis import scores, twins

    actors = [1, 16, 21, 2, 17, 22, 3, 20, 23, 4, 19, 24, *range(5, 16), 18]
    voices = twins.cast({f"{n:02d}": "male" if n % 2 else "female" for n in actors}, speakers, seed)
    twins.write_readme(root, "ravdess", size=size, speakers=speakers, seed=seed)
    used: Counter[tuple[str, str]] = Counter()
    for speaker, code in twins.deal(size, sorted(voices), {code: 1 if code == "01" else 2 for code in CLASSES}):
        # neutral has no strong intensity: 4 files an actor, the others 8
        takes = [
            (i, s, r) for r in ("01", "02") for s in STATEMENTS for i in (("01",) if code == "01" else INTENSITIES)
        ]
        intensity, statement, repetition = twins.nth(takes, used[speaker, code])
        used[speaker, code] += 1
        name = f"03-01-{code}-{intensity}-{statement}-{repetition}-{speaker}"
        rng = twins.generator(seed, name)
        strength = scores.draw_intensity(rng) * (1.3 if intensity == "02" else 0.85)
        twins.record(
            root / f"Actor_{speaker}/{name}.wav", voices[speaker], CLASSES[code], STATEMENTS[statement], rng,
            rate=48000, intensity=strength,
        )  # fmt: skip
