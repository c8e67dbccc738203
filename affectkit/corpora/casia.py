"""CASIA: two men and two women say prescribed Mandarin sentences in 6 emotions."""

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

CLASSES = {word: word for word in ("angry", "fear", "happy", "neutral", "sad", "surprise")}
CORPUS = Corpus(
    title="CASIA",
    licence="CASIA / Chinese Linguistic Data Consortium licence: on request, research only",
    citation="Institute of Automation, Chinese Academy of Sciences: CASIA Chinese emotional speech corpus. CLDC, 2005.",
    layout="liuchanhg/angry/201.wav",
    language="zh",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    defects=(
        Defect(
            "text", "CASIA's speakers say the same sentences in every emotion: every split by speaker shares its texts"
        ),
    ),
    speakers=4,
)
SEXES = {"liuchanhg": "female", "wangzhe": "male", "zhaoquanyin": "female", "zhaozuoxiang": "male"}
NAME = re.compile(r"(\d+)(?:-.*)?")  # copies of the same files are also called 201-sad-zhaoquanyin.wav


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`: `<speaker>/<emotion>/NNN.wav`; NNN is taken to be the sentence (`text_id`)."""
    require_folder(root, CORPUS)
    return checked((_row(path, root) for path in find_files(root, [".wav"])), root, CORPUS)


def _row(path: Path, root: Path) -> Row | Dropped:
    found = NAME.fullmatch(path.stem)
    speaker, emotion = path.parent.parent.name.lower(), path.parent.name.lower()
    if not found or speaker not in SEXES:
        return Dropped(relative(path, root), f"not <speaker>/<emotion>/NNN.wav with a speaker of {', '.join(SEXES)}")
    if emotion not in CLASSES:
        return Dropped(relative(path, root), f"unknown emotion folder '{path.parent.name}'")
    return {
        "id": f"{speaker}_{emotion}_{found[1]}",
        "path": relative(path, root),
        "source_label": emotion,
        "speaker": speaker,
        "sex": SEXES[speaker],
        "language": "zh",
        "text_id": found[1],
        "split": "",
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `<speaker>/<emotion>/NNN.wav` from 201 on, 16 kHz."""
    from affectkit.synthesis import scores, texts, twins

    voices = twins.cast(SEXES, speakers, seed)
    twins.write_readme(root, "casia", size=size, speakers=speakers, seed=seed)
    used: Counter[tuple[str, str]] = Counter()
    for speaker, emotion in twins.deal(size, list(voices), dict.fromkeys(CLASSES, 1.0)):
        serial = str(201 + used[speaker, emotion])
        used[speaker, emotion] += 1
        rng, text = twins.generator(seed, speaker, emotion, serial), texts.plain_mandarin(twins.generator(seed, serial))
        path = root / f"{speaker}/{emotion}/{serial}.wav"
        twins.record(path, voices[speaker], emotion, text, rng, intensity=scores.draw_intensity(rng))
