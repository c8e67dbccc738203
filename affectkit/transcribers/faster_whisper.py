"""Whisper on CTranslate2, with beam search, word times and its own voice activity

Needs `pip install affectkit[asr]`. The model is a folder in CTranslate2's format (model.bin, config.json,
tokenizer.json), or a name that faster-whisper knows (base, large-v3, a hub id). Each recording is heard by itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from affectkit.artifacts.records import trusted
from affectkit.artifacts.transcripts import SILENT, Transcript
from affectkit.errors import AffectkitError
from affectkit.registry import Option, check_values, options_from
from affectkit.transcribers._transcriber import DeviceOpt, RevisionOpt, Transcriber, WordTimesOpt


@dataclass(frozen=True)
class FasterWhisperOptions:
    revision: RevisionOpt = ""
    beam_size: Annotated[int, Option("Number of texts that are followed while decoding; 1 is greedy.", least=1)] = 5
    vad: Annotated[bool, Option("Whether speech is looked for first, by Silero's detector, and only that is read.")] = (
        False
    )
    word_times: WordTimesOpt = False
    compute_type: Annotated[
        str, Option("Arithmetic of the network: default, float32, float16, int8 or another of CTranslate2's.")
    ] = "default"
    device: DeviceOpt = "auto"


@options_from(FasterWhisperOptions)
def build(options: FasterWhisperOptions) -> Transcriber:
    """The transcriber; the model is fetched by `load`. Raises "usage" for values that are not allowed."""
    check_values(FasterWhisperOptions, asdict(options))
    values = asdict(options)
    return FasterWhisper(values, values.pop("device"))


class FasterWhisper(Transcriber):
    name = "faster-whisper"

    def load(self, model: str, *, batch_seconds: float) -> None:
        try:
            import ctranslate2
            import faster_whisper
        except ImportError:
            remedy = "pip install 'affectkit[asr]'"
            raise AffectkitError("environment", "faster-whisper is not installed", remedy=remedy) from None
        from affectkit.artifacts.files import sha256

        ctranslate2.set_log_level(logging.ERROR)  # it warns of every type that it converts
        folder = _folder(model, self.options["revision"])
        device, _, index = self.device.partition(":")
        how: dict[str, Any] = {"device": device, "compute_type": self.options["compute_type"]}
        try:
            self.model = faster_whisper.WhisperModel(
                str(folder), device_index=int(index or 0), local_files_only=True, **how
            )
        except (RuntimeError, ValueError) as error:  # CTranslate2's own, of a broken model and of a missing device
            why = str(error).strip().partition("\n")[0]
            remedy = "name a folder in CTranslate2's format, and a device that is here"
            raise AffectkitError("input", f"cannot be loaded: {why}", file=folder, remedy=remedy) from None
        self.weights = sha256(folder / "model.bin")
        self.languages = list(self.model.supported_languages)

    def describe(self) -> dict[str, Any]:
        return {"architecture": "whisper", "weights": self.weights}

    def cost(self, seconds: float) -> float:
        return 30 * max(1.0, math.ceil(seconds / 30))

    def hear(self, waves: Sequence[np.ndarray], languages: Sequence[str], *, silence: bool = True) -> list[Transcript]:
        return [self._hear(wave, language, silence) for wave, language in zip(waves, languages, strict=True)]

    def _hear(self, wave: np.ndarray, language: str, silence: bool) -> Transcript:
        how: dict[str, Any] = {"beam_size": self.options["beam_size"], "word_timestamps": self.options["word_times"]}
        if not silence:
            how |= {"no_speech_threshold": None}
        # Without sampling, which is what its fallback to higher temperatures is: the same text in every run.
        segments, facts = self.model.transcribe(
            wave,
            language=language or None,
            temperature=0.0,
            vad_filter=silence and self.options["vad"],
            condition_on_previous_text=False,
            **how,
        )
        parts = list(segments)
        text = " ".join("".join(part.text for part in parts).split())
        if not text:
            return Transcript("", why=SILENT)
        tokens = [len(part.tokens) + 1 for part in parts]
        sure = math.exp(np.average([part.avg_logprob for part in parts], weights=tokens))
        words = [
            (word.word.strip(), round(float(word.start), 3), round(float(word.end), 3))
            for part in parts
            for word in part.words or ()
        ]
        return Transcript(text, facts.language, sure, words=words)


def _folder(model: str, revision: str) -> Path:
    """Where the model lies: named, or in the hub's cache, or fetched. Raises "missing" and "input"."""
    path = Path(model).expanduser()
    if not path.is_dir():
        if path.exists() or model.startswith((".", "/", "~", "tiny-random:")):
            what = "no such model folder" if not path.exists() else "is a file; a model is a folder"
            raise AffectkitError("missing", what, file=model, remedy="name a folder with a model.bin")
        path = _fetched(model, revision)
    if not (path / "model.bin").is_file():
        remedy = "convert it by ct2-transformers-converter, or use --engine hf"
        raise AffectkitError("input", "is no model of CTranslate2: it holds no model.bin", file=path, remedy=remedy)
    if not (path / "tokenizer.json").is_file():  # it would be fetched from elsewhere
        raise AffectkitError("input", "holds no tokenizer.json", file=path, remedy="copy the folder again")
    return trusted(path)


def _fetched(model: str, revision: str) -> Path:
    from faster_whisper.utils import download_model

    why = ""
    for local in (True, False):
        try:
            return Path(download_model(model, local_files_only=local, revision=revision or None))
        except (OSError, ValueError) as error:  # what the hub's client raises: no network, no such file or name
            why = str(error).strip().partition("\n")[0]
    message = f"'{model}' is not in the local cache and could not be fetched from the Hugging Face hub ({why})"
    remedy = "check the name, or download it elsewhere and pass the folder that holds it"
    raise AffectkitError("missing", message, remedy=remedy)
