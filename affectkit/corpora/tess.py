"""TESS: two Canadian women say "Say the word ..." with 200 words in 7 emotions, 2800 utterances."""

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
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "ps",
    "sad": "sad",
}
CORPUS = Corpus(
    title="TESS",
    licence="CC BY-NC-ND 4.0",
    citation="M. K. Pichora-Fuller, K. Dupuis: Toronto emotional speech set (TESS). Borealis, 2020. "
    "doi:10.5683/SP2/E8H2MF.",
    url="https://doi.org/10.5683/SP2/E8H2MF",
    layout="OAF_back_angry.wav",
    language="en",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    defects=(
        Defect(
            "speaker",
            "TESS has two speakers: a split into three has one of them on two sides, and a figure over two groups says "
            "little of new speakers",
        ),
        Defect(
            "text", "TESS's two speakers say the same 200 words in one carrier phrase: every split shares its texts"
        ),
    ),
    speakers=2,
)
# One file of the release is called OA_bite_neutral.wav.
NAME = re.compile(r"(OAF?|YAF?)_(\w+)_(angry|disgust|fear|happy|neutral|ps|sad)", re.IGNORECASE)
# some of the 200
WORDS = (
    "back", "bar", "base", "bath", "bean", "bite", "boat", "book", "burn", "came", "chair", "cheek", "date", "deep",
    "door", "fail", "far", "fat", "fit", "food", "gap", "goose", "hall", "hate", "hire", "home", "jar", "join", "juice",
    "keen", "king", "knock", "late", "lean", "life", "live", "love", "luck", "make", "match", "mess", "mood", "mouse",
    "name", "neat", "nice", "page", "pain", "phone", "pick", "pool", "rain", "raise", "ripe", "road", "room", "rush",
    "sail", "search", "sheep", "shirt", "sour", "tape", "team", "time", "tool", "voice", "walk", "week", "white",
)  # fmt: skip


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`, in whatever folders; everything is in the file's name."""
    require_folder(root, CORPUS)
    return checked((_row(path, root) for path in find_files(root, [".wav"])), root, CORPUS)


def _row(path: Path, root: Path) -> Row | Dropped:
    found = NAME.fullmatch(path.stem)
    if not found:
        return Dropped(relative(path, root), "the name is not speaker, word, emotion, as in OAF_back_angry.wav")
    speaker, word, emotion = found[1][:2].upper() + "F", found[2].lower(), found[3].lower()
    return {
        "id": f"{speaker}_{word}_{emotion}",
        "path": relative(path, root),
        "source_label": emotion,
        "speaker": speaker,
        "sex": "female",
        "language": "en",
        "text": f"Say the word {word}.",
        "text_id": word,
        "split": "",
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `OAF_angry/OAF_back_angry.wav`, 24414 Hz as the release."""
    from affectkit.synthesis import scores, twins

    voices = twins.cast({"OAF": "female", "YAF": "female"}, speakers, seed)
    twins.write_readme(root, "tess", size=size, speakers=speakers, seed=seed)
    used: Counter[tuple[str, str]] = Counter()
    for speaker, emotion in twins.deal(size, list(voices), dict.fromkeys(CLASSES, 1.0)):
        word = twins.nth(WORDS, used[speaker, emotion])
        used[speaker, emotion] += 1
        rng = twins.generator(seed, speaker, word, emotion)
        path = root / f"{speaker}_{emotion}/{speaker}_{word}_{emotion}.wav"
        text, intensity = f"Say the word {word}.", scores.draw_intensity(rng)
        twins.record(path, voices[speaker], emotion, text, rng, rate=24414, intensity=intensity)
