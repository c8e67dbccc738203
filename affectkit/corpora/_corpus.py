"""What a corpus plug-in says about its corpus."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from affectkit.labels import Target


class Defect(NamedTuple):
    """A known flaw of a corpus or of its official split: which kind of leak, and the sentence that reports repeat."""

    kind: Literal["speaker", "session", "dialogue", "source", "media", "text"]
    text: str


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus without reading it.

    layout: a path that the root must hold, for errors. reads: audio, text, video, images or arrays.
    classes: code in the corpus's files -> its word, which is the rows' `source_label`.
    targets: number targets with their scales. presets: name -> complete map from source label to class; those of
    `common_presets` where none are given.
    subsets: what `--only` offers, name -> "column=value[,value]". official: what the official split is, "" without one.
    default_group: the column that must not straddle splits, "" where the corpus names none.
    scores: target -> what it is a score of, by which instrument and from whom, where it is one of mental health and
    `instruments.py` does not know its name, or not so well.
    speakers: how many the corpus has, so its twin at most; None where any number will do.
    overruns: its tables are known to place segments outside of their recordings, so that they are no reason to stop.
    """

    title: str
    licence: str
    citation: str
    url: str = ""
    layout: str = ""
    reads: Literal["audio", "text", "video", "images", "arrays"] = "audio"
    language: str = ""
    classes: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    presets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subsets: Mapping[str, str] = field(default_factory=dict)
    official: str = ""
    default_group: str = "speaker"
    defects: tuple[Defect, ...] = ()
    scores: Mapping[str, str] = field(default_factory=dict)
    speakers: int | None = None
    overruns: bool = False

    def __post_init__(self) -> None:
        if self.classes and not self.presets:
            object.__setattr__(self, "presets", common_presets(self.classes.values()))


@dataclass(frozen=True)
class Dropped:
    """A sample that is left out: its path or id, and why.

    detail: what differs between samples that are left out for the same reason.
    remedy: where it should not have been missing, so that preparing stops at it unless told to skip; "" for what the
    corpus is known to lack.
    """

    path: str
    reason: str
    remedy: str = ""
    detail: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class Note:
    """A sentence about all rows that a reader found, which preparing warns of and `summary.json` keeps.

    in_reports: what was asked of the reader changes what a figure on the rows means, so that every report repeats it.
    """

    text: str
    in_reports: bool = False


Row = dict[str, Any]

# The words that corpora use for Ekman's six emotions and neutral, so that corpora can be merged under one label map.
BASIC = {
    "angry": ("anger", "angry", "ang"),
    "disgust": ("disgust", "dis"),
    "fear": ("fear", "fearful", "fea"),
    "happy": ("happiness", "happy", "hap", "joy"),
    "neutral": ("neutral", "neu"),
    "sad": ("sadness", "sad"),
    "surprise": ("surprise", "surprised", "sur", "ps"),
}
FOUR = ("angry", "happy", "neutral", "sad")


def common_presets(source_labels: Iterable[str]) -> dict[str, dict[str, str]]:
    """`4class` (angry, happy, neutral, sad) and `basic` (Ekman's six and neutral), as far as the corpus has them."""
    words = list(source_labels)
    basic = {word: name for name, spellings in BASIC.items() for word in words if word in spellings}
    return {"4class": {word: name for word, name in basic.items() if name in FOUR}, "basic": basic}


def vad(low: float, high: float) -> tuple[Target, ...]:
    """Valence, arousal and dominance as number targets on one scale."""
    return tuple(Target(name, "number", scale=(low, high)) for name in ("valence", "arousal", "dominance"))
