"""ESD: ten Mandarin and ten English speakers, 350 parallel sentences each, 5 emotions, 35,000 utterances."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from affectkit.corpora._corpus import (
    Corpus,
    Defect,
    Dropped,
    Row,
    checked,
    child,
    common_presets,
    find_files,
    find_home,
    relative,
)
from affectkit.corpora._tables import decode

CLASSES = {word: word.lower() for word in ("Angry", "Happy", "Neutral", "Sad", "Surprise")}
CORPUS = Corpus(
    title="ESD",
    licence="research only (ESD licence form)",
    citation="K. Zhou, B. Sisman, R. Liu, H. Li: Emotional voice conversion: Theory, databases and ESD. "
    "Speech Communication 137, 2022.",
    url="https://github.com/HLTSingapore/Emotional-Speech-Data",
    layout="0001/Angry/0001_000351.wav (or with train, evaluation, test below the emotion)",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    subsets={"mandarin": "language=zh", "english": "language=en"},
    official="the subfolders train, evaluation (val) and test, where the copy has them",
    defects=(
        Defect("speaker", "ESD's own split has every speaker in train, evaluation and test"),
        Defect(
            "text", "ESD's speakers of a language all say the same 350 sentences: a split by speaker shares its texts"
        ),
    ),
    speakers=20,
)
FEMALE = (1, 2, 3, 7, 9, 15, 16, 17, 18, 19)
SPLITS = {"train": "train", "evaluation": "val", "test": "test"}
NAME = re.compile(r"(\d{4})_(\d{6})")
SENTENCES = 350
logger = logging.getLogger(__name__)


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`. Speakers 0001-0010 speak Mandarin, 0011-0020 English."""
    home = find_home(root, CORPUS, _speakers)
    return checked((row for folder in _speakers(home) for row in _speaker(folder, root)), root, CORPUS)


def _speakers(folder: Path) -> list[Path]:
    """The speakers' folders in `folder`: four digits, an emotion's folder inside."""
    found = (item for item in folder.iterdir() if re.fullmatch(r"00(0[1-9]|1\d|20)", item.name))
    return sorted(item for item in found if any(child(item, emotion) for emotion in CLASSES))


def _speaker(folder: Path, root: Path) -> Iterator[Row | Dropped]:
    texts = _texts(folder)
    for path in find_files(folder, [".wav"]):
        yield _row(path, folder, texts, root)


def _texts(folder: Path) -> dict[str, str]:
    """Utterance -> text, from `0001/0001.txt`: `id<TAB>text<TAB>emotion` in UTF-8, UTF-16, GB2312 or Latin-1."""
    path = child(folder, f"{folder.name}.txt")
    if path is None:
        logger.warning("%s has no %s.txt: its texts stay empty", folder, folder.name)
        return {}
    # Latin-1 fits any bytes, and GB 18030 most: which one is meant follows from the speaker's language.
    text = decode(path, "gb18030" if int(folder.name) <= 10 else "cp1252", "latin-1")
    cells = (line.split("\t") for line in text.splitlines())
    return {line[0].strip(): line[1].strip() for line in cells if len(line) >= 2}


def _row(path: Path, folder: Path, texts: dict[str, str], root: Path) -> Row | Dropped:
    found, parts = NAME.fullmatch(path.stem), path.relative_to(folder).parts
    if not found or found[1] != folder.name or len(parts) not in (2, 3):
        return Dropped(relative(path, root), f"not as {folder.name}/<emotion>/[<split>/]{folder.name}_000351.wav")
    emotion, part = parts[0].capitalize(), parts[1].lower() if len(parts) == 3 else ""
    if emotion not in CLASSES or (part and part not in SPLITS):
        return Dropped(relative(path, root), f"unknown folder '{'/'.join(parts[:-1])}'")
    speaker, language = found[1], "zh" if int(found[1]) <= 10 else "en"
    return {
        "id": path.stem,
        "path": relative(path, root),
        "source_label": CLASSES[emotion],
        "speaker": speaker,
        "sex": "female" if int(speaker) in FEMALE else "male",
        "language": language,
        "text": texts.get(path.stem, ""),
        # 350 sentences per emotion, in the same order in each
        "text_id": f"{language}{(int(found[2]) - 1) % SENTENCES + 1:03d}",
        "split": SPLITS.get(part, ""),
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: both languages, split subfolders, texts in all four encodings. Texts do not tell the emotion."""
    from collections import Counter

    from affectkit.synthesis import scores, texts, twins

    in_turn = [n for pair in zip(range(1, 11), range(11, 21), strict=True) for n in pair]
    sexes = {f"{n:04d}": "female" if n in FEMALE else "male" for n in in_turn}
    voices = twins.cast(sexes, speakers, seed)
    twins.write_readme(root, "esd", size=size, speakers=speakers, seed=seed)
    used: Counter[tuple[str, str]] = Counter()
    lines: dict[str, list[str]] = {speaker: [] for speaker in voices}
    for speaker, emotion in twins.deal(size, list(voices), dict.fromkeys(CLASSES, 1.0)):
        # speakers and emotions begin at different sentences, so that a small twin has all splits too
        begin = list(voices).index(speaker) + list(CLASSES).index(emotion)
        place = twins.nth(range(SENTENCES), begin % 5 + used[speaker, emotion])
        used[speaker, emotion] += 1
        part = ("train", "evaluation", "train", "test", "train")[place % 5]
        serial = ("Neutral", "Angry", "Happy", "Sad", "Surprise").index(emotion) * SENTENCES + place + 1
        name = f"{speaker}_{serial:06d}"
        rng, lexical = twins.generator(seed, name), twins.generator(seed, "text", int(speaker) <= 10, place)
        text = texts.plain_mandarin(lexical) if int(speaker) <= 10 else texts.plain_sentence(lexical)
        path = root / f"{speaker}/{emotion}/{part}/{name}.wav"
        twins.record(path, voices[speaker], emotion, text, rng, intensity=scores.draw_intensity(rng))
        lines[speaker].append(f"{name}\t{text}\t{emotion}\n")
    for position, (speaker, said) in enumerate(lines.items()):
        encodings = ("utf-8", "utf-16", "gb2312") if int(speaker) <= 10 else ("utf-8", "utf-16", "latin-1")
        (root / speaker / f"{speaker}.txt").write_bytes("".join(said).encode(encodings[position % 3]))
