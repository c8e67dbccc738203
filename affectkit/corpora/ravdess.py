"""RAVDESS: 24 actors speak (and sing) two sentences in 8 emotions, 1440 spoken utterances."""

from affectkit.corpora._acted import Acted, Clip, Turn
from affectkit.corpora._corpus import Corpus, Defect, Row
from affectkit.synthesis import twins

CLASSES = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
    "08": "surprised",
}  # fmt: skip
CORPUS = Corpus(
    title="RAVDESS",
    licence="CC BY-NC-SA 4.0",
    citation="S. R. Livingstone, F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song "
    "(RAVDESS). PLoS ONE 13(5): e0196391, 2018.",
    url="https://zenodo.org/record/1188976",
    layout="Actor_01/03-01-06-01-02-01-12.wav",
    language="en",
    classes=CLASSES,
    subsets={"speech": "channel=speech", "song": "channel=song"},
    official="audb's: actors 16, 17, 19 and 20 are the validation set, 21-24 the test set",
    defects=(Defect("text", "RAVDESS has two sentences, which all its actors say: every split shares its texts"),),
    speakers=24,
)
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
SEXES = {f"{n:02d}": "male" if n % 2 else "female" for n in range(1, 25)}
SPLITS = {"16": "val", "17": "val", "19": "val", "20": "val", "21": "test", "22": "test", "23": "test", "24": "test"}


def _columns(groups: dict[str, str]) -> Row:
    return {
        "speaker": groups["actor"],
        "sex": SEXES[groups["actor"]],
        "text": STATEMENTS[groups["statement"]],
        "text_id": groups["statement"],
        "channel": CHANNELS[groups["channel"]],
        "intensity": INTENSITIES[groups["intensity"]],
        "repetition": groups["repetition"],
        "split": SPLITS.get(groups["actor"], "train"),
    }


def _clip(turn: Turn) -> Clip:
    # neutral has no strong intensity: 4 files an actor, the others 8
    intensities = ("01",) if turn.emotion == "01" else INTENSITIES
    takes = [(i, s, r) for r in ("01", "02") for s in STATEMENTS for i in intensities]
    intensity, statement, repetition = twins.nth(takes, turn.nth)
    name = f"03-01-{turn.emotion}-{intensity}-{statement}-{repetition}-{turn.speaker}"
    strength = 1.3 if intensity == "02" else 0.85
    return Clip(f"Actor_{turn.speaker}/{name}.wav", STATEMENTS[statement], (name,), strength)


GROUPS = ("modality", "channel", "emotion", "intensity", "statement", "repetition", "actor")
ACTED = Acted(
    "ravdess",
    CORPUS,
    pattern="-".join(rf"(?P<{group}>\d\d)" for group in GROUPS),
    otherwise="the name is not seven numbers, as in 03-01-06-01-02-01-12.wav",
    sexes=SEXES,
    codes={
        "modality": ("03",), "channel": CHANNELS, "emotion": CLASSES, "intensity": INTENSITIES,
        "statement": STATEMENTS, "actor": SEXES,
    },
    columns=_columns,
    clip=_clip,
    # from train, val and test in turn
    cast=[f"{n:02d}" for n in (1, 16, 21, 2, 17, 22, 3, 20, 23, 4, 19, 24, *range(5, 16), 18)],
    weights={code: 1 if code == "01" else 2 for code in CLASSES},
    rate=48000,
)  # fmt: skip
read, synthesize = ACTED.read, ACTED.synthesize
