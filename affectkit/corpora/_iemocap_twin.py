"""The files of IEMOCAP's synthetic twin."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from affectkit.synthesis import scores, texts, twins
from affectkit.synthesis.voices import Voice

# About the real proportions, with fewer of the labels that every preset drops.
WEIGHTS = {
    "ang": 110, "hap": 60, "sad": 108, "neu": 171, "exc": 104, "fru": 90, "sur": 11, "fea": 4, "dis": 1, "oth": 1,
    "xxx": 40,
}  # fmt: skip
WORDS = {
    "ang": "Anger", "hap": "Happiness", "sad": "Sadness", "neu": "Neutral state", "exc": "Excited",
    "fru": "Frustration", "sur": "Surprise", "fea": "Fear", "dis": "Disgust", "oth": "Other",
}  # fmt: skip
SCENES = ("impro01", "impro02", "script01_1")


def write(root: Path, voices: Mapping[str, Voice], size: int, seed: int) -> None:
    """Deal the turns to sessions and scenes; a scripted scene has the same lines in every session."""
    sessions = sorted({name[3:5] for name in voices})
    for position, session in enumerate(sessions):
        turns = size // len(sessions) + (position < size % len(sessions))
        labels = [label for _, label in twins.deal(turns, [""], WEIGHTS)] if turns else []
        twins.generator(seed, "order", session).shuffle(labels)
        for scene_number, scene in enumerate(SCENES):
            dialogue = f"Ses{session}{'FM'[position % 2]}_{scene}"
            _dialogue(root / f"Session{int(session)}", dialogue, labels[scene_number :: len(SCENES)], voices, seed)


def _dialogue(folder: Path, dialogue: str, labels: list[str], voices: Mapping[str, Voice], seed: int) -> None:
    session, scene = dialogue[3:5], dialogue.partition("_")[2]
    ratings = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    transcript, clock = "", 1.0
    for index, label in enumerate(labels):
        letter, number = "FM"[index % 2], index // 2
        turn = f"{dialogue}_{letter}{number:03d}"
        rng = twins.generator(seed, turn)
        intensity = scores.draw_intensity(rng)
        affect = scores.draw_affect(label, intensity, rng)
        # scripted: the line depends on the place in the script alone
        lines = twins.generator(seed, scene, index) if scene.startswith("script") else rng
        text = texts.plain_sentence(lines) if scene.startswith("script") else texts.sentence(affect, lines)
        path = folder / f"sentences/wav/{dialogue}/{turn}.wav"
        length = twins.record(path, voices[f"Ses{session}_{letter}"], label, text, rng, intensity=intensity)
        end = clock + length
        ratings += f"[{clock:.4f} - {end:.4f}]\t{turn}\t{label}\t" + _ratings(label, affect, letter, rng)
        transcript += f"{turn} [{clock:08.4f}-{end:08.4f}]: {text}\n"
        clock = end + 0.3
    for place, content in (("EmoEvaluation", ratings), ("transcriptions", transcript)):
        path = folder / f"dialog/{place}/{dialogue}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _ratings(label: str, affect: tuple[float, float, float], letter: str, rng: np.random.Generator) -> str:
    """The end of a block's header line, three raters' classes, the actor's own, two raters' numbers."""
    ticks = scores.vote(label if label in WORDS else "oth", list(WORDS), rng, raters=3, agreement=0.7)
    numbers = scores.rate(affect, (1, 5), rng, raters=2)
    means = [sum(rating) / 2 for rating in zip(*numbers, strict=True)]
    lines = [f"[{means[0]:.4f}, {means[1]:.4f}, {means[2]:.4f}]"]
    lines += [f"C-E{rater}:\t{WORDS[tick]};\t()" for rater, tick in enumerate(ticks, start=2)]
    lines += [f"C-{letter}1:\t{WORDS.get(label, 'Other')};\t()"]
    lines += [f"A-E{rater}:\tval {v}; act {a}; dom  {d};\t()" for rater, (v, a, d) in enumerate(numbers, start=3)]
    return "\n".join(lines) + "\n\n"
