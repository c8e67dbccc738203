"""What every synthetic twin does: choose people, deal them their labels, write clips, say that it is synthetic."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from affectkit import __version__
from affectkit.errors import AffectkitError
from affectkit.synthesis import scores, texts
from affectkit.synthesis.emotions import named
from affectkit.synthesis.voices import Voice, draw_voice, speak

Name = TypeVar("Name")
FOUR = ("angry", "happy", "neutral", "sad")
MARK = "# SYNTHETIC"
COMMENT = "SYNTHETIC: made by affectkit, not a recording of a person"
PICTURE_COMMENT = "SYNTHETIC: made by affectkit, not a picture of a person"


def usage(message: str, remedy: str) -> AffectkitError:
    """The error for a twin that its corpus's layout cannot hold."""
    return AffectkitError("usage", message, remedy=remedy)


def generator(seed: int, *key: object) -> np.random.Generator:
    """A generator of its own for one thing (a speaker, a clip), so that adding another changes nothing here."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, key)).encode())])


def cast(sexes: Mapping[str, str], speakers: int, seed: int) -> dict[str, Voice]:
    """Voices of the first `speakers` names, females and males in turn; in the mapping's order.

    sexes: name -> female, male or "". Raises "usage" for more speakers than the corpus's layout has names for.
    """
    if not 1 <= speakers <= len(sexes):
        raise usage(f"--speakers {speakers}: this corpus has {len(sexes)} speakers", f"ask for 1 to {len(sexes)}")
    alike = {sex: [name for name in sexes if sexes[name] == sex] for sex in sexes.values()}
    chosen = set(sorted(sexes, key=lambda name: alike[sexes[name]].index(name))[:speakers])
    return {name: draw_voice(sex, generator(seed, "voice", name)) for name, sex in sexes.items() if name in chosen}


def cast_numbered(speakers: int, seed: int) -> dict[str, Voice]:
    """Voices of `speakers` people called s01, s02 ..., female and male in turn."""
    return cast({f"s{n:02d}": "female" if n % 2 else "male" for n in range(1, speakers + 1)}, speakers, seed)


def deal(size: int, speakers: Sequence[str], weights: Mapping[str, float]) -> list[tuple[str, str]]:
    """`size` pairs (speaker, label): labels in proportion to `weights`, each label spread evenly over the speakers."""
    if size < 1:
        raise usage(f"--size {size}: a corpus has at least one sample", "ask for a larger one")
    total = sum(weights.values())
    shares = {label: size * weight / total for label, weight in weights.items()}
    counts = {label: int(share) for label, share in shares.items()}
    rest = sorted(shares, key=lambda label: counts[label] - shares[label])[: size - sum(counts.values())]
    labels = [label for label in weights for _ in range(counts[label] + (label in rest))]
    return sorted((speakers[i % len(speakers)], label) for i, label in enumerate(labels))


def nth(names: Sequence[Name], index: int) -> Name:
    """`names[index]`. Raises "usage" where a corpus's layout has no more names: the twin is asked to be too large."""
    if index >= len(names):
        raise usage("--size: the corpus's layout has no names for so many", "ask for fewer")
    return names[index]


def record(
    path: Path, voice: Voice, label: str, text: str, rng: np.random.Generator, rate: int = 16000, intensity: float = 1.0
) -> float:
    """Speak `text` and write it: 16-bit mono WAV at `rate` Hz, with a comment that says what it is. Seconds of it."""
    samples = speak(voice, named(label), text, rate=rate, rng=rng, intensity=intensity)
    save_sound(path, samples, rate)
    return len(samples) / rate


def save_sound(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write [T] float32 as `record` does."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()  # libsndfile would call a full disk a "System error"
    with soundfile.SoundFile(written, "w", samplerate=rate, channels=1, subtype="PCM_16", format="WAV") as clip:
        clip.comment = COMMENT
        clip.write(samples)
    path.write_bytes(written.getvalue())


def utter(label: str, rng: np.random.Generator, *, text: str = "") -> tuple[float, texts.Affect, str]:
    """What means what `label` does: an intensity; valence, arousal and dominance; a sentence, or `text`."""
    intensity = scores.draw_intensity(rng)
    affect = scores.draw_affect(label, intensity, rng)
    return intensity, affect, text or texts.sentence(affect, rng)


def act(
    path: Path, voice: Voice, label: str, rng: np.random.Generator, *, text: str = ""
) -> tuple[texts.Affect, str, float]:
    """Record what `utter` has to say: valence, arousal and dominance, the text, seconds."""
    intensity, affect, text = utter(label, rng, text=text)
    return affect, text, record(path, voice, label, text, rng, intensity=intensity)


def save_image(path: Path, image: np.ndarray) -> None:
    """Write a picture [H, W, 3] or [H, W] uint8 as PNG, or JPEG of some kB, with a comment that says what it is."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    path.parent.mkdir(parents=True, exist_ok=True)
    written, comment = io.BytesIO(), PngInfo()
    comment.add_text("Comment", PICTURE_COMMENT)
    lossless = path.suffix == ".png"
    how: dict[str, Any] = {"pnginfo": comment} if lossless else {"quality": 85, "comment": PICTURE_COMMENT.encode()}
    Image.fromarray(image).save(written, "PNG" if lossless else "JPEG", **how)
    path.write_bytes(written.getvalue())


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, delimiter: str = ",") -> None:
    """Write a table of the corpus's own: UTF-8, LF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_readme(root: Path, name: str, *, size: int, speakers: int, seed: int, **options: str | bool) -> None:
    """Say at the root that nothing below is real, and how it was made. options: the corpus's own, by parameter."""
    typed = {"size": size, "speakers": speakers, "seed": seed, **options}
    words = " ".join(_typed(option, value) for option, value in typed.items())
    root.mkdir(parents=True, exist_ok=True)
    text = f"""{MARK} data in the layout of {name}

Nothing here was said, shown or rated by a person. affectkit {__version__} made it, so that commands and recipes can
be tried before the real corpus is at hand. Figures on it say nothing about the real corpus: never report them as such.

Made by: `affectkit synthesize {name} ROOT {words}`
"""
    (root / "README.md").write_text(text, encoding="utf-8")


def _typed(name: str, value: str | int) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


def is_synthetic(root: Path) -> bool:
    """Whether a corpus says of itself, in the README at its root, that it is a twin."""
    readme = root / "README.md"
    return readme.is_file() and readme.read_bytes().startswith(MARK.encode())


def part_of(position: int) -> str:
    """The split of the speaker at a position: three in five train, one test, one val; the third one is for testing."""
    return ("train", "train", "test", "train", "val")[position % 5]
