"""Berlin Database of Emotional Speech: 10 actors, 10 German sentences, 7 emotions, 535 utterances."""

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
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
CORPUS = Corpus(
    title="EmoDB",
    licence="CC0-1.0 (as recorded by audb for emodb 1.4.1)",
    citation="F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss: A Database of German Emotional Speech. "
    "Interspeech 2005.",
    url="http://emodb.bilderbar.info",
    layout="wav/03a01Wa.wav",
    language="de",
    classes=CLASSES,
    presets=common_presets(CLASSES.values()),
    official="audb's: speakers 12, 14, 15 and 16 are the test set",
    defects=(Defect("text", "EmoDB has ten sentences, which all its speakers say: every split shares its texts"),),
    speakers=10,
)
MALE = ("03", "10", "11", "12", "15")
FEMALE = ("08", "09", "13", "14", "16")
TEST = ("12", "14", "15", "16")
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
NAME = re.compile(r"(\d\d)([a-z]\d\d)([A-Z])([a-z])")


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`; everything is in the file's name."""
    require_folder(root, CORPUS)
    return checked((_row(path, root) for path in find_files(root, [".wav"])), root, CORPUS)


def _row(path: Path, root: Path) -> Row | Dropped:
    found = NAME.fullmatch(path.stem)
    if not found:
        return Dropped(relative(path, root), "the name is not speaker, text, emotion, version, as in 03a01Wa.wav")
    speaker, text, code, _ = found.groups()
    if code not in CLASSES:
        return Dropped(relative(path, root), f"unknown emotion code '{code}'")
    return {
        "id": path.stem,
        "path": relative(path, root),
        "source_label": CLASSES[code],
        "speaker": speaker,
        "sex": "male" if speaker in MALE else "female" if speaker in FEMALE else "",
        "language": "de",
        "text": TEXTS.get(text, ""),
        "text_id": text,
        "split": "test" if speaker in TEST else "train",
    }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `wav/<speaker><text><emotion><version>.wav`, 16 kHz."""
    from affectkit.synthesis import scores, twins

    names = ("03", "08", "12", "14", "10", "09", "11", "13", "15", "16")  # so that small twins have test speakers too
    voices = twins.cast({name: "male" if name in MALE else "female" for name in names}, speakers, seed)
    weights = {"W": 127, "L": 81, "E": 46, "A": 69, "F": 71, "T": 62, "N": 79}  # counts of the real corpus
    used: Counter[tuple[str, str]] = Counter()
    versions: Counter[tuple[str, str, str]] = Counter()
    twins.write_readme(root, "emodb", size=size, speakers=speakers, seed=seed)
    for index, (speaker, code) in enumerate(twins.deal(size, sorted(voices), weights)):
        # in a random order for each speaker and emotion, or the text would tell the emotion
        order = twins.generator(seed, "texts", speaker, code).permutation(list(TEXTS))
        text = str(order[used[speaker, code] % len(TEXTS)])
        used[speaker, code] += 1
        version = twins.nth("abcdefghijklmnopqrstuvwxyz", versions[speaker, text, code])
        versions[speaker, text, code] += 1
        rng = twins.generator(seed, "emodb", index)
        path = root / f"wav/{speaker}{text}{code}{version}.wav"
        twins.record(path, voices[speaker], CLASSES[code], TEXTS[text], rng, intensity=scores.draw_intensity(rng))
