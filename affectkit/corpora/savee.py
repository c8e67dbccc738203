"""SAVEE: four English men say 15 sentences in 7 emotions (neutral 30), 480 utterances."""

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect, Row
from affectkit.synthesis import texts, twins

CLASSES = {
    "a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "n": "neutral", "sa": "sadness", "su": "surprise"
}  # fmt: skip
CORPUS = Corpus(
    title="SAVEE",
    licence="SAVEE licence (University of Surrey): research only, on request",
    citation="S. Haq, P. J. B. Jackson: Multimodal emotion recognition. In: Machine Audition, IGI Global, 2010.",
    url="http://kahlan.eps.surrey.ac.uk/savee/",
    layout="DC/a01.wav or DC_a01.wav",
    language="en",
    classes=CLASSES,
    defects=(Defect("text", "SAVEE's four speakers say the same sentences: every split by speaker shares its texts"),),
    speakers=4,
)
SEXES = dict.fromkeys(("DC", "JE", "JK", "KL"), "male")


def _ids(groups: dict[str, str]) -> Row:
    text_id = groups["emotion"] + groups["number"]
    return {"id": f"{groups['speaker']}_{text_id}", "text_id": text_id}


def _clip(turn: Turn) -> Clip:
    name = twins.nth([f"{turn.emotion}{n:02d}" for n in range(1, 100)], turn.nth)
    text = texts.plain_sentence(twins.generator(turn.seed, "text", name[-2:]))
    return Clip(f"{turn.speaker}/{name}.wav", text, (turn.speaker, name))


ACTED = Acted(
    "savee",
    CORPUS,
    # the speaker is in the name (`DCa01`, `DC_a01`) or is the folder (`DC/a01`)
    pattern=r"(?i:(?P<speaker>DC|JE|JK|KL)[_/]?(?P<emotion>sa|su|a|d|f|h|n))(?P<number>\d\d)",
    otherwise="neither name nor folder says speaker, emotion, number, as in DC_a01.wav",
    sexes=SEXES,
    codes={"speaker": SEXES},
    columns=_ids,
    clip=_clip,
    weights={code: 2.0 if code == "n" else 1.0 for code in CLASSES},
    rate=44100,
)
read, synthesize = ACTED.read, ACTED.synthesize
