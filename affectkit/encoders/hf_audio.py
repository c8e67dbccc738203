"""Any Hugging Face speech encoder: wav2vec2, HuBERT, WavLM, data2vec, Whisper

Audio is resampled to the checkpoint's rate and normalised as it was trained, each utterance by itself. Pooling is over
the frames of the utterance only, and no value depends on the batch. Baevski et al. 2020; Hsu et al. 2021; Chen et al.
2022; Radford et al. 2023.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from affectkit.encoders._encoder import Encoder, HfEncoder, HfOptions, Item, Reads, check_layer, pool
from affectkit.errors import AffectkitError
from affectkit.media import read_audio
from affectkit.registry import Option, options_from

if TYPE_CHECKING:
    from affectkit.models.speech import SpeechStates


@dataclass(frozen=True)
class AudioOptions(HfOptions):
    max_seconds: Annotated[
        float,
        Option(
            "Longest audio to encode at once; longer audio is cut into equal pieces. Whisper takes at most 30.",
            unit="s",
        ),
    ] = 120.0
    padding: Annotated[
        Literal["30s", "none"],
        Option(
            "Of Whisper: audio is padded with silence to 30 s, as it was trained, or read at its own length, "
            "which gives other features in a quarter of the time."
        ),
    ] = "30s"


@options_from(AudioOptions)
def build(options: AudioOptions) -> Encoder:
    """The encoder; weights are fetched by `load`. Raises "usage" for options that make no sense."""
    examples = "facebook/wav2vec2-base, a local folder, or tiny-random:wav2vec2"
    options.check("hf-audio", examples, ("mean", "mean-std", "none"))
    if not options.max_seconds >= 1:
        raise AffectkitError("usage", f"--max-seconds {options.max_seconds:g} is under a second")
    recorded = {**asdict(options), "max_seconds": float(options.max_seconds)}
    if options.padding == "30s":  # so it was before there was a choice
        del recorded["padding"]
    return HfAudio(recorded)


class HfAudio(HfEncoder):
    """`prepare` gives a waveform [T] float32 at the network's rate, normalised."""

    name = "hf-audio"
    reads: Reads = "audio"
    network: SpeechStates

    def load(self, device: str) -> None:
        from affectkit.models import backbones
        from affectkit.models.speech import SpeechStates

        backbone = backbones.load(self.options["checkpoint"], "audio", revision=self.options["revision"])
        to_30_s = "padding" not in self.options
        self.network = SpeechStates(backbone, device, self.options["dtype"], to_30_s=to_30_s)
        self.inputs = self.network.inputs
        self._facts = backbone.facts()
        check_layer(self.layer, self.network.layers)

    def describe(self) -> dict[str, Any]:
        return {
            **self.shape(self.network.dim, self.network.layers),
            "rate": self.inputs.rate,
            "min_samples": self.inputs.min_samples,
            "frame_sec": self.inputs.frame_sec,
            **self._facts,
        }

    def prepare(self, item: Item) -> np.ndarray:
        if item.path is None:
            raise AffectkitError("input", "has no path")
        samples, _ = read_audio(item.path, rate=self.inputs.rate, start_sec=item.start_sec, end_sec=item.end_sec)
        return self.inputs.normalise(samples)

    def encode(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        import torch

        most = min(self.options["max_seconds"], self.inputs.max_sec) * self.inputs.rate
        # equal pieces, so that no short one is left over
        pieces = [np.array_split(wave, max(1, ceil(len(wave) / most))) for wave in prepared]
        states = iter(self.network.hidden([piece for wave in pieces for piece in wave], self.layer))
        self.counts["in_pieces"] += sum(len(wave) > 1 for wave in pieces)
        self.counts["padded_to_one_frame"] += sum(len(wave) < self.inputs.min_samples for wave in prepared)
        return [pool(torch.cat([next(states) for _ in wave]), self.options["pool"]) for wave in pieces]
