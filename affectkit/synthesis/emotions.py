"""What an emotion does to a synthetic voice, text and rating: one table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Emotion:
    """An emotion's place and its prosody, as differences from the speaker's neutral voice.

    valence, arousal, dominance: in [-1, 1]; words and ratings are drawn around them.
    pitch: semitones. span: factor on the pitch range. pace: factor on syllables per second. level: dB.
    tilt: dB at 4 kHz, positive is brighter. rough: added cycle-to-cycle jitter, in percent. breath: dB of added noise.
    """

    valence: float
    arousal: float
    dominance: float
    pitch: float = 0.0
    span: float = 1.0
    pace: float = 1.0
    level: float = 0.0
    tilt: float = 0.0
    rough: float = 0.0
    breath: float = 0.0

    @property
    def affect(self) -> tuple[float, float, float]:
        """Valence, arousal and dominance."""
        return self.valence, self.arousal, self.dominance


# The signs follow what the literature on acted speech agrees on (Scherer 2003, table 2: arousal raises pitch, level
# and high-frequency energy; sadness and boredom lower and slow them); the sizes are tuned, see `voices`.
EMOTIONS = {
    "anger": Emotion(-0.6, 0.7, 0.6, pitch=3.5, span=1.5, pace=1.10, level=6.0, tilt=5.0, rough=0.6, breath=-2.0),
    "boredom": Emotion(-0.3, -0.6, -0.1, pitch=-2.0, span=0.5, pace=0.80, level=-2.5, tilt=-3.0, breath=-1.0),
    "calm": Emotion(0.3, -0.5, 0.1, pitch=-0.5, span=0.7, pace=0.90, level=-3.0, tilt=-2.0),
    "contempt": Emotion(-0.5, 0.0, 0.4, pitch=-1.0, span=0.9, pace=0.90, level=0.5, tilt=1.5, rough=0.5),
    "disgust": Emotion(-0.6, 0.2, 0.2, pitch=-0.5, span=1.1, pace=0.82, level=0.5, tilt=2.0, rough=1.4, breath=1.0),
    "excitement": Emotion(0.7, 0.8, 0.3, pitch=4.5, span=1.7, pace=1.15, level=4.5, tilt=2.5),
    "fear": Emotion(-0.6, 0.6, -0.6, pitch=5.0, span=0.9, pace=1.22, level=0.5, tilt=-0.5, rough=1.1, breath=3.0),
    "frustration": Emotion(-0.5, 0.4, 0.2, pitch=1.5, span=1.2, pace=1.03, level=3.0, tilt=2.5, rough=0.6),
    "happiness": Emotion(0.8, 0.5, 0.3, pitch=4.0, span=1.7, pace=1.02, level=3.0, tilt=1.0),
    "neutral": Emotion(0.0, -0.1, 0.0),
    "other": Emotion(0.0, 0.1, 0.0, pitch=0.5, pace=0.97),
    "sadness": Emotion(-0.6, -0.5, -0.5, pitch=0.5, span=0.6, pace=0.78, level=-5.0, tilt=-5.0, rough=0.4, breath=4.0),
    "surprise": Emotion(0.3, 0.7, -0.2, pitch=6.0, span=2.2, pace=0.95, level=2.0, tilt=0.0, breath=1.0),
}

# Corpora's own words for them; of Plutchik's wheel the three strengths of each of eight.
SPELLINGS = {
    "anger": ("angry", "ang", "rage"),
    "boredom": ("bored",),
    "calm": ("serenity", "trust", "acceptance"),
    "disgust": ("dis", "loathing"),
    "excitement": ("exc", "ecstasy", "anticipation", "interest"),
    "fear": ("fearful", "fea", "terror", "apprehension"),
    "frustration": ("fru", "annoyance"),
    "happiness": ("happy", "hap", "joy", "admiration"),
    "neutral": ("neu",),
    "other": ("oth", "xxx", "no-agreement", "none", "uncertain", "no-face", "distraction"),
    "sadness": ("sad", "grief", "pensiveness"),
    "surprise": ("surprised", "sur", "ps", "vigilance", "amazement"),
}
WORDS = {word: emotion for emotion, words in SPELLINGS.items() for word in words}


def named(label: str) -> str:
    """The key in `EMOTIONS` of a corpus's own word for it: `named("fearful") -> "fear"`."""
    return WORDS.get(label.lower(), label.lower())
