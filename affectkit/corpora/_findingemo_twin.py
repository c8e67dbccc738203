"""The files of FindingEmo's synthetic twin."""

from pathlib import Path

from affectkit.corpora.findingemo import WORDS
from affectkit.synthesis import scores, twins
from affectkit.synthesis.face_shapes import Person, draw_person
from affectkit.synthesis.scenes import draw_scene

# Joy and the anticipating ones lead in the real corpus too.
LEADING = {"joy": 5.0, "anticipation": 3.0, "interest": 3.0, "sadness": 3.0, "anger": 3.0}
WEIGHTS = dict.fromkeys(WORDS, 1.0) | LEADING
HEADER = (
    "", "user", "image_path", "reject", "tag", "age", "valence", "arousal", "emotion", "dec_factors", "ambiguity",
    "fmri_candidate", "datetime",
)  # fmt: skip
PLACES = ("celebrating family", "crying mourners", "bored students", "quarrelling neighbours", "hikers resting")
FACES = (0, 1, 1, 2)  # a quarter of the pictures shows nobody's face
SIZE = (256, 192)  # pixels
GONE = 16  # one picture in so many is gone from the web


def write(root: Path, size: int, people: int, seed: int) -> None:
    """Deal the emotions, draw the scenes, write a rater's answer to each."""
    known = [draw_person(twins.generator(seed, "person", n)) for n in range(max(people, 1))]
    rows: list[list[object]] = []
    for index, (_, emotion) in enumerate(twins.deal(size, [""], WEIGHTS)):
        rng = twins.generator(seed, "picture", index)
        place = f"Run_{1 + index % 2}/{PLACES[int(rng.integers(len(PLACES)))]}/{seed % 1000:03d}{index:05d}.jpg"
        affect = scores.draw_affect(emotion, scores.draw_intensity(rng), rng)
        count = min(FACES[int(rng.integers(len(FACES)))], len(known))
        chosen: list[Person] = [known[int(n)] for n in rng.choice(len(known), size=count, replace=False)]
        image, _, _ = draw_scene((affect[0], affect[1]), rng, SIZE, count, people=chosen)
        if index % GONE != GONE - 1:
            twins.save_image(root / place, image)
        valence, _, _ = scores.rate(affect, (-3, 3), rng, raters=1)[0]
        _, arousal, _ = scores.rate(affect, (0, 6), rng, raters=1)[0]
        user, factors = f"rater{index % 7:03d}", "Faces" if count else "Staging"
        rows.append([
            index, user, f"/{place}", "Keep", "Undefined", "Adults", valence, arousal, emotion.capitalize(), factors,
            int(rng.integers(0, 7)), False, "2023-01-01 12:00:00",
        ])  # fmt: skip
    twins.write_rows(root / "annotations_single.ann", HEADER, rows)
