"""SAVEE: four English men say 15 sentences in 7 emotions (neutral 30), 480 utterances."""

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
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
CORPUS = Corpus(
    title="SAVEE",
    licence="SAVEE licence (University of Surrey): research only, on request",
    citation="S. Haq, P. J. B. Jackson: Multimodal emotion recognition. In: Machine Audition, IGI Global, 2010.",
    url="http://kahlan.eps.surrey.ac.uk/savee/",
    layout="DC/a01.wav or DC_a01.wav",
    language="en",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    defects=(Defect("text", "SAVEE's four speakers say the same sentences: every split by speaker shares its texts"),),
    speakers=4,
)
SPEAKERS = ("DC", "JE", "JK", "KL")
NAME = re.compile(r"(?:(DC|JE|JK|KL)_?)?(sa|su|a|d|f|h|n)(\d\d)", re.IGNORECASE)


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`; the speaker is in the name (`DCa01`, `DC_a01`) or is the folder (`DC/a01`)."""
    require_folder(root, CORPUS)
    return checked((_row(path, root) for path in find_files(root, [".wav"])), root, CORPUS)


def _row(path: Path, root: Path) -> Row | Dropped:
    found = NAME.fullmatch(path.stem)
    speaker = ((found and found[1]) or path.parent.name).upper()
    if not found or speaker not in SPEAKERS:
        return Dropped(relative(path, root), "neither name nor folder says speaker, emotion, number, as in DC_a01.wav")
    code, serial = found[2].lower(), found[3]
    return {
        "id": f"{speaker}_{code}{serial}",
        "path": relative(path, root),
        "source_label": CLASSES[code],
        "speaker": speaker,
        "sex": "male",
        "language": "en",
        "text_id": f"{code}{serial}",
        "split": "",
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `DC/a01.wav`, 44.1 kHz."""
    from affectkit.synthesis import scores, texts, twins

    voices = twins.cast(dict.fromkeys(SPEAKERS, "male"), speakers, seed)
    twins.write_readme(root, "savee", size=size, speakers=speakers, seed=seed)
    used: Counter[tuple[str, str]] = Counter()
    for speaker, code in twins.deal(size, list(voices), {code: 2.0 if code == "n" else 1.0 for code in CLASSES}):
        used[speaker, code] += 1
        name = twins.nth([f"{code}{n:02d}" for n in range(1, 100)], used[speaker, code] - 1)
        text = texts.plain_sentence(twins.generator(seed, "text", name[-2:]))
        rng = twins.generator(seed, speaker, name)
        twins.record(
            root / f"{speaker}/{name}.wav", voices[speaker], CLASSES[code], text, rng,
            rate=44100, intensity=scores.draw_intensity(rng),
        )  # fmt: skip
