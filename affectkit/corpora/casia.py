"""CASIA: two men and two women say prescribed Mandarin sentences in 6 emotions."""

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect
from affectkit.synthesis import texts, twins

CLASSES = {word: word for word in ("angry", "fear", "happy", "neutral", "sad", "surprise")}
CORPUS = Corpus(
    title="CASIA",
    licence="CASIA / Chinese Linguistic Data Consortium licence: on request, research only",
    citation="Institute of Automation, Chinese Academy of Sciences: CASIA Chinese emotional speech corpus. CLDC, 2005.",
    layout="liuchanhg/angry/201.wav, or angry/201-angry-liuchanhg.wav",
    language="zh",
    classes=CLASSES,
    defects=(
        Defect(
            "text", "CASIA's speakers say the same sentences in every emotion: every split by speaker shares its texts"
        ),
    ),
    speakers=4,
)
SEXES = {"liuchanhg": "female", "wangzhe": "male", "zhaoquanyin": "female", "zhaozuoxiang": "male"}
SPEAKER = rf"(?P<speaker>(?i:{'|'.join(SEXES)}))"
EMOTION = rf"(?P<emotion>(?i:{'|'.join(CLASSES)}))"


def _clip(turn: Turn) -> Clip:
    serial = str(201 + turn.nth)
    text = texts.plain_mandarin(twins.generator(turn.seed, serial))
    return Clip(f"{turn.speaker}/{turn.emotion}/{serial}.wav", text, (turn.speaker, turn.emotion, serial))


ACTED = Acted(
    "casia",
    CORPUS,
    # the number is taken to be the sentence
    pattern=rf"{SPEAKER}/(?P<emotion>[^/]+)/(?P<text_id>\d+)(?:-[^/]*)?",
    elsewhere=(rf"(?P<text_id>\d+)[-_]{EMOTION}[-_]{SPEAKER}", rf"{EMOTION}/{SPEAKER}/(?P<text_id>\d+)(?:-[^/]*)?"),
    otherwise=f"neither folders nor name say speaker ({', '.join(SEXES)}), emotion and number",
    unknown="unknown emotion folder '{code}'",
    sexes=SEXES,
    codes={"speaker": SEXES},
    columns=lambda groups: {"id": f"{groups['speaker']}_{groups['emotion']}_{groups['text_id']}"},
    clip=_clip,
)
read, synthesize = ACTED.read, ACTED.synthesize
