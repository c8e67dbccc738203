"""Berlin Database of Emotional Speech: 10 actors, 10 German sentences, 7 emotions, 535 utterances."""

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect
from affectkit.synthesis import twins

CLASSES = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}
CORPUS = Corpus(
    title="EmoDB",
    licence="CC0-1.0 (as recorded by audb for emodb 1.4.1)",
    citation="F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss: A Database of German Emotional Speech. "
    "Interspeech 2005.",
    url="http://emodb.bilderbar.info",
    layout="wav/03a01Wa.wav",
    language="de",
    classes=CLASSES,
    official="audb's: speakers 12, 14, 15 and 16 are the test set",
    defects=(Defect("text", "EmoDB has ten sentences, which all its speakers say: every split shares its texts"),),
    speakers=10,
)
SEXES = {
    "03": "male", "08": "female", "09": "female", "10": "male", "11": "male", "12": "male", "13": "female",
    "14": "female", "15": "male", "16": "female",
}  # fmt: skip
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


def _clip(turn: Turn) -> Clip:
    # in a random order for each speaker and emotion, or the text would tell the emotion
    order = twins.generator(turn.seed, "texts", turn.speaker, turn.emotion).permutation(list(TEXTS))
    text = str(order[turn.nth % len(TEXTS)])
    version = twins.nth("abcdefghijklmnopqrstuvwxyz", turn.nth // len(TEXTS))
    return Clip(f"wav/{turn.speaker}{text}{turn.emotion}{version}.wav", TEXTS[text], ("emodb", turn.index))


ACTED = Acted(
    "emodb",
    CORPUS,
    pattern=r"(?P<speaker>\d\d)(?P<text_id>[a-z]\d\d)(?P<emotion>[A-Z])[a-z]",
    otherwise="the name is not speaker, text, emotion, version, as in 03a01Wa.wav",
    unknown="unknown emotion code '{code}'",
    sexes=SEXES,
    texts=TEXTS,
    columns=lambda groups: {"split": "test" if groups["speaker"] in TEST else "train"},
    clip=_clip,
    cast=("03", "08", "12", "14", "10", "09", "11", "13", "15", "16"),  # so that small twins have test speakers too
    weights={"W": 127, "L": 81, "E": 46, "A": 69, "F": 71, "T": 62, "N": 79},  # counts of the real corpus
)
read, synthesize = ACTED.read, ACTED.synthesize
