"""ESD: ten Mandarin and ten English speakers, 350 parallel sentences each, 5 emotions, 35,000 utterances."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect, Dropped, Row
from affectkit.corpora._files import checked, child, find_files, find_home
from affectkit.corpora._tables import decode
from affectkit.splits import WORDS
from affectkit.synthesis import scores, texts, twins

CLASSES = {word: word.lower() for word in ("Angry", "Happy", "Neutral", "Sad", "Surprise")}
CORPUS = Corpus(
    title="ESD",
    licence="research only (ESD licence form)",
    citation="K. Zhou, B. Sisman, R. Liu, H. Li: Emotional voice conversion: Theory, databases and ESD. "
    "Speech Communication 137, 2022.",
    url="https://github.com/HLTSingapore/Emotional-Speech-Data",
    layout="0001/Angry/0001_000351.wav (or with train, evaluation, test below the emotion)",
    classes=CLASSES,
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
SPLITS = WORDS | {"evaluation": "val", "eval": "val", "": ""}
SENTENCES = 350
NO_TEXTS: dict[str, str] = {}
# id, text and, in English or Mandarin, emotion
LINE = re.compile(
    rf"\s*(?P<id>\d{{4}}_\d{{6}})\s+(?P<text>[^\t]*?)(?:\t.*|\s+(?i:{'|'.join(CLASSES)}|中立|生气|快乐|开心|伤心|难过|惊喜|惊讶)\s*)?$"
)
logger = logging.getLogger(__name__)


def _columns(groups: dict[str, str]) -> Row:
    mandarin = int(groups["speaker"]) <= 10
    # 350 sentences per emotion, in the same order in each
    sentence = (int(groups["number"]) - 1) % SENTENCES + 1
    language = "zh" if mandarin else "en"
    return {"language": language, "text_id": f"{language}{sentence:03d}", "split": SPLITS[groups["part"]]}


def _clip(turn: Turn, sentences: str = "parallel") -> Clip:
    # Speakers begin at different sentences, so that a small twin has all splits too; all say the same ones in every
    # emotion, or else a sentence that the others said in one emotion would be left to a speaker in another.
    sentence = twins.nth(range(SENTENCES), turn.place % 5 + turn.nth)
    part = ("train", "evaluation", "train", "test", "train")[sentence % 5]
    serial = ("Neutral", "Angry", "Happy", "Sad", "Surprise").index(turn.emotion) * SENTENCES + sentence + 1
    name, mandarin = f"{turn.speaker}_{serial:06d}", int(turn.speaker) <= 10
    emotion, rng = turn.emotion.lower(), twins.generator(turn.seed, "text", name)
    if sentences == "clear":
        text = texts.clear_sentence(emotion, rng, mandarin=mandarin)
    elif sentences == "telling":
        affect = scores.draw_affect(emotion, scores.draw_intensity(rng), rng)
        text = texts.mandarin_sentence(affect, rng) if mandarin else texts.sentence(affect, rng)
    else:
        shared = twins.generator(turn.seed, "text", mandarin, sentence)
        text = texts.plain_mandarin(shared) if mandarin else texts.plain_sentence(shared)
    return Clip(f"{turn.speaker}/{turn.emotion}/{part}/{name}.wav", text, (name,))


SPEAKERS = [n for pair in zip(range(1, 11), range(11, 21), strict=True) for n in pair]  # both languages in turn
ACTED = Acted(
    "esd",
    CORPUS,
    pattern=r"(?P<speaker>\d{4})/(?P<folders>(?P<emotion>[^/]+)(?:/(?P<part>[^/]+))?)/(?P=speaker)_(?P<number>\d{6})",
    otherwise="not as {0}/<emotion>/[<split>/]{0}_000351.wav",
    unknown="unknown folder '{folders}'",
    sexes={f"{n:04d}": "female" if n in FEMALE else "male" for n in SPEAKERS},
    codes={"part": SPLITS},
    columns=_columns,
    clip=_clip,
)


def read(root: Path) -> Iterator[Row | Dropped]:
    """The utterances below `root`. Speakers 0001-0010 speak Mandarin, 0011-0020 English."""
    _, folders = find_home(root, CORPUS, _speakers)
    return checked((row for folder in folders for row in _speaker(folder, root)), root, CORPUS)


def _speakers(folder: Path) -> list[Path]:
    """The speakers' folders in `folder`: four digits, an emotion's folder inside."""
    numbered = (item for item in folder.iterdir() if re.fullmatch(r"00(0[1-9]|1\d|20)", item.name))
    return sorted(item for item in numbered if any(child(item, emotion) for emotion in CLASSES))


def _speaker(folder: Path, root: Path) -> Iterator[Row | Dropped]:
    sentences = _texts(folder)
    here = replace(ACTED, otherwise=ACTED.otherwise.format(folder.name))
    rows = list(here.rows(find_files(folder, [".wav"]), root))
    lacking = [row["id"] for row in rows if not isinstance(row, Dropped) and not sentences.get(row["id"])]
    if sentences is not NO_TEXTS and lacking:
        what = "%s/%s.txt: has no text of %d utterances, the first is %s: theirs stay empty"
        logger.warning(what, folder, folder.name, len(lacking), lacking[0])
    yield from (row if isinstance(row, Dropped) else {**row, "text": sentences.get(row["id"], "")} for row in rows)


def _texts(folder: Path) -> dict[str, str]:
    """Utterance -> text, from `0001/0001.txt`: `id<TAB>text<TAB>emotion` in UTF-8, UTF-16, GB2312 or Latin-1.

    Some of the release's files have spaces for tabs; the last word is the emotion then.
    """
    path = child(folder, f"{folder.name}.txt")
    if path is None:
        logger.warning("%s has no %s.txt: its texts stay empty", folder, folder.name)
        return NO_TEXTS
    # Latin-1 fits any bytes, and GB 18030 most: which one is meant follows from the speaker's language.
    text = decode(path, "gb18030" if int(folder.name) <= 10 else "cp1252", "latin-1")
    lines = (LINE.match(line) for line in text.splitlines())
    return {line["id"]: line["text"].strip() for line in lines if line}


def synthesize(
    root: Path,
    *,
    size: int,
    speakers: int,
    seed: int,
    sentences: texts.SentencesOpt = "parallel",
) -> None:
    """Write the twin: both languages, split subfolders, texts in four encodings, parallel in the corpus."""
    twin = replace(ACTED, clip=partial(_clip, sentences=sentences))
    acted = twin.synthesize(root, size=size, speakers=speakers, seed=seed, sentences=sentences)
    for position, (speaker, clips) in enumerate(acted.items()):
        encodings = ("utf-8", "utf-16", "gb2312" if int(speaker) <= 10 else "latin-1")
        if not clips:
            continue
        lines = [f"{Path(clip.path).stem}\t{clip.text}\t{turn.emotion}\n" for turn, clip in clips]
        (root / speaker / f"{speaker}.txt").write_bytes("".join(lines).encode(encodings[position % 3]))
