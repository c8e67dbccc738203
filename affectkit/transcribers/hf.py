"""Any recogniser of transformers: Whisper, or wav2vec2 and its kin with CTC

Weights are plain tensors and code is transformers' own. Long audio is read in windows that overlap, decoding is greedy,
and no text depends on the batch. Radford et al. 2023; Baevski et al. 2020; Graves et al. 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from affectkit.artifacts.transcripts import SILENT, Transcript
from affectkit.registry import Option, check_values, options_from
from affectkit.transcribers._transcriber import DeviceOpt, RevisionOpt, Transcriber, WordTimesOpt

if TYPE_CHECKING:
    from affectkit.models.recognition import Recognizer


@dataclass(frozen=True)
class HfOptions:
    revision: RevisionOpt = ""
    chunk_seconds: Annotated[
        float,
        Option("Longest audio to read at once; longer audio is cut. Whisper takes at most 30.", unit="s", least=1),
    ] = 30.0
    overlap_seconds: Annotated[
        float, Option("What a piece of long audio shares with the next one.", unit="s", least=0)
    ] = 5.0
    word_times: WordTimesOpt = False
    dtype: Annotated[str, Option("Arithmetic of the network: float32 or bfloat16.")] = "float32"
    device: DeviceOpt = "auto"


@options_from(HfOptions)
def build(options: HfOptions) -> Transcriber:
    """The transcriber; the model is fetched by `load`. Raises "usage" for options that make no sense."""
    from affectkit.encoders._encoder import check_choice

    check_values(HfOptions, asdict(options))
    check_choice("dtype", options.dtype, ("float32", "bfloat16"))
    values = asdict(options)
    return Hf(values, values.pop("device"))


class Hf(Transcriber):
    name = "hf"
    recognizer: Recognizer

    def load(self, model: str, *, batch_seconds: float) -> None:
        from affectkit.models import backbones
        from affectkit.models.forward import resolve_device
        from affectkit.models.recognition import recognizer

        backbone = backbones.load(model, "speech", revision=self.options["revision"])
        self.device = resolve_device(self.device)
        self.recognizer = recognizer(
            backbone,
            self.device,
            self.options["dtype"],
            window_sec=self.options["chunk_seconds"],
            overlap_sec=self.options["overlap_seconds"],
            word_times=self.options["word_times"],
        )
        self.rate, self._facts = self.recognizer.rate, backbone.facts()
        self.languages = self.recognizer.languages
        self._windows = max(1, int(batch_seconds / self.recognizer.window_sec))

    def describe(self) -> dict[str, Any]:
        return self._facts

    def cost(self, seconds: float) -> float:
        recognizer = self.recognizer
        windows = len(recognizer.windows(round(seconds * recognizer.rate)))
        return windows * recognizer.window_sec if recognizer.pads or windows > 1 else seconds

    def hear(self, waves: Sequence[np.ndarray], languages: Sequence[str], *, silence: bool = True) -> list[Transcript]:
        said = self.recognizer.write(waves, languages, self._windows, silence=silence)
        return [
            Transcript(s.text, s.language, s.confidence, words=s.words, why=SILENT if s.silent else "") for s in said
        ]
