"""The files of MELD's synthetic twin."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from affectkit.corpora.meld import PARTS
from affectkit.synthesis import scores, texts, twins
from affectkit.synthesis.voices import Voice

WEIGHTS = {
    "neutral": 47.0, "joy": 17.0, "surprise": 12.0, "anger": 12.0, "sadness": 8.0, "disgust": 5.0, "fear": 5.0,
}  # fmt: skip
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}
TURNS = 6  # utterances in a dialogue
HEADER = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip


def write(root: Path, voices: Mapping[str, Voice], size: int, seed: int) -> None:
    """Deal the utterances to the parts; every speaker is in each, as in the real corpus."""
    counts = {part: max(1, round(size * share)) for part, share in SHARES.items() if part != "train"}
    counts = {"train": max(1, size - sum(counts.values())), **counts}
    for part, count in counts.items():
        dealt = twins.deal(count, list(voices), WEIGHTS)
        twins.generator(seed, part).shuffle(dealt)
        rows = [_utterance(root, part, index, *dealt[index], voices, seed) for index in range(count)]
        twins.write_rows(root / f"{part}_sent_emo.csv", HEADER, rows)


def _utterance(
    root: Path, part: str, index: int, speaker: str, emotion: str, voices: Mapping[str, Voice], seed: int
) -> list[object]:
    rng = twins.generator(seed, part, index)
    intensity = scores.draw_intensity(rng)
    affect = scores.draw_affect(emotion, intensity, rng)
    text = texts.sentence(affect, rng)
    dialogue, turn = divmod(index, TURNS)
    path = root / PARTS[part][1] / f"dia{dialogue}_utt{turn}.wav"
    seconds = twins.record(path, voices[speaker], emotion, text, rng, intensity=intensity)
    _to_mp4(path)
    mood = {"joy": "positive", "neutral": "neutral"}.get(emotion, "negative")
    sentiment = ("positive" if affect[0] > 0 else "negative") if emotion == "surprise" else mood
    start = 60.0 + turn * 5
    times = (_clock(start), _clock(start + seconds))
    return [index + 1, text, speaker, emotion, sentiment, dialogue, turn, 1 + dialogue % 9, 1 + dialogue % 20, *times]


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60000)
    return f"00:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def _to_mp4(path: Path) -> None:
    """Wrap a clip as the corpus has it, AAC in MP4, and remove the WAV; without ffmpeg the WAV stays."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(path), "-c:a", "aac", "-b:a", "64k"]
    command += ["-fflags", "+bitexact", "-flags:a", "+bitexact", str(path.with_suffix(".mp4"))]
    subprocess.run(command, check=True)
    path.unlink()
