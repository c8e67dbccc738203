"""TESS: two Canadian women say "Say the word ..." with 200 words in 7 emotions, 2800 utterances."""

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect, Row
from affectkit.synthesis import twins

CLASSES = {word: word for word in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")}
CORPUS = Corpus(
    title="TESS",
    licence="CC BY-NC-ND 4.0",
    citation="M. K. Pichora-Fuller, K. Dupuis: Toronto emotional speech set (TESS). Borealis, 2020. "
    "doi:10.5683/SP2/E8H2MF.",
    url="https://doi.org/10.5683/SP2/E8H2MF",
    layout="OAF_back_angry.wav",
    language="en",
    classes=CLASSES,
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
SEXES = {"OAF": "female", "YAF": "female"}
# some of the 200
WORDS = (
    "back", "bar", "base", "bath", "bean", "bite", "boat", "book", "burn", "came", "chair", "cheek", "date", "deep",
    "door", "fail", "far", "fat", "fit", "food", "gap", "goose", "hall", "hate", "hire", "home", "jar", "join", "juice",
    "keen", "king", "knock", "late", "lean", "life", "live", "love", "luck", "make", "match", "mess", "mood", "mouse",
    "name", "neat", "nice", "page", "pain", "phone", "pick", "pool", "rain", "raise", "ripe", "road", "room", "rush",
    "sail", "search", "sheep", "shirt", "sour", "tape", "team", "time", "tool", "voice", "walk", "week", "white",
)  # fmt: skip


def _columns(groups: dict[str, str]) -> Row:
    speaker, word = groups["speaker"][:2].upper() + "F", groups["word"].lower()
    named = {"id": f"{speaker}_{word}_{groups['emotion']}", "speaker": speaker, "sex": SEXES[speaker]}
    return {**named, "text": f"Say the word {word}.", "text_id": word}


def _clip(turn: Turn) -> Clip:
    speaker, word, emotion = turn.speaker, twins.nth(WORDS, turn.nth), turn.emotion
    path = f"{speaker}_{emotion}/{speaker}_{word}_{emotion}.wav"
    return Clip(path, f"Say the word {word}.", (speaker, word, emotion))


ACTED = Acted(
    "tess",
    CORPUS,
    # one file of the release is called OA_bite_neutral.wav
    pattern=rf"(?i:(?P<speaker>OAF?|YAF?)_(?P<word>\w+)_(?P<emotion>{'|'.join(CLASSES)}))",
    otherwise="the name is not speaker, word, emotion, as in OAF_back_angry.wav",
    sexes=SEXES,
    columns=_columns,
    clip=_clip,
    rate=24414,  # as the release
)
read, synthesize = ACTED.read, ACTED.synthesize
