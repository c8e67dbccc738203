"""Speech: recordings, cropped and augmented, and the network that hears them

They are decoded at the network's rate and normalised as its checkpoint was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.finetuning.medium import headers_of
from affectkit.finetuning.passes import ONCE, Passes, check_once
from affectkit.registry import Option, check_values
from affectkit.training.settings import BatchSeconds, BatchSize

if TYPE_CHECKING:
    import numpy as np

    from affectkit.artifacts.manifest import Manifest
    from affectkit.encoders._encoder import Item
    from affectkit.finetuning.media._speech import Heard, SpeechExamples
    from affectkit.labels import Target
    from affectkit.media.augment import Augmentation
    from affectkit.models.speech_network import SpeechNetwork


@dataclass(frozen=True)
class Speech:
    """The medium of speech networks. dropout: None leaves the checkpoint's own."""

    checkpoint: str
    revision: str = ""
    head: Annotated[
        Literal["mean", "attentive", "weighted"],
        Option(
            "How a row becomes one answer: the mean over frames, attentive statistics pooling, or the mean of a "
            "learned weighted sum of layers (plain transformers load mean and weighted)."
        ),
    ] = "mean"
    freeze_feature_encoder: Annotated[
        bool,
        Option(
            "Leave the convolutions over samples as they are.", flag="--freeze-feature-encoder/--train-feature-encoder"
        ),
    ] = True
    freeze_feature_encoder_epochs: Annotated[
        int,
        Option(
            "Leave the convolutions over samples as they are for this number of epochs, then train them too; the rest "
            "of a stage that is cut is a stage of its own.",
            least=0,
            default="as --freeze-feature-encoder says",
        ),
    ] = 0
    dropout: Annotated[
        float | None, Option("Dropout: inside the network.", least=0, most=0.9, default="the checkpoint's")
    ] = None
    max_seconds: Annotated[
        float, Option("Longer clips are cropped at random in training, and predicted in pieces.", unit="s", least=0.1)
    ] = 20.0
    batch_size: BatchSize = 4
    batch_seconds: BatchSeconds = None
    augment: Annotated[
        str,
        Option(
            "Augmentation in training: none, light, strong, or effects joined by commas: "
            "noise=10..30@.5, gain=6, speed=.9..1.1, shift=.1, mask=2x.1."
        ),
    ] = "none"
    specaugment: Annotated[bool, Option("Whether to mask spans of frames inside the network (SpecAugment).")] = False

    reads = "audio"
    encodes_once = False  # crops are drawn anew in each epoch
    answered_at_once = (256, 60.0)  # seconds, padding counted
    passes = ONCE
    features = None

    def __post_init__(self) -> None:
        check_values(Speech, vars(self))
        self.augmentation  # noqa: B018  raises for one that cannot be

    @cached_property
    def augmentation(self) -> Augmentation:
        from affectkit.media.augment import parse

        return parse(self.augment)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Speech:
        """As a record has it. Raises KeyError, or ValueError for no length to hear."""
        if not float(spec["max_seconds"]) > 0:
            raise ValueError("no length to hear")
        return cls(spec["base"]["checkpoint"], head=spec["head"], max_seconds=float(spec["max_seconds"]))

    @property
    def frozen(self) -> frozenset[str]:
        freezes = self.freeze_feature_encoder or self.freeze_feature_encoder_epochs
        return frozenset({"feature_encoder"} if freezes else ())

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        from affectkit.encoders._encoder import recordings

        return recordings(manifest, num_workers=num_workers)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        from affectkit.media import read_headers, read_length

        headers = headers_of(manifest, partial(read_headers, read=read_length))
        return {place: header for place, header in enumerate(headers) if isinstance(header, AffectkitError)}

    def decode(self, item: Item, rate: int | None = None) -> np.ndarray:
        """The samples [T] float32, at `rate` Hz or the file's own."""
        from affectkit.media.audio import read_audio

        return read_audio(item.path or "", rate=rate, start_sec=item.start_sec, end_sec=item.end_sec)[0]

    def build(self, targets: Sequence[Target], seed: int) -> SpeechNetwork:
        from affectkit.models import speech_network

        how = {name: getattr(self, name) for name in ("head", "dropout", "revision", "specaugment")}
        return speech_network.build(self.checkpoint, targets, seed=seed, **how)

    def load(self, folder: Path, targets: Sequence[Target]) -> SpeechNetwork:
        from affectkit.models import speech_network

        return speech_network.load(folder, targets)

    def wrapped(self, network: Any, passes: Passes = ONCE) -> Heard:
        from affectkit.finetuning.media._speech import Heard

        check_once(passes, "speech")
        return Heard(network)

    def examples(self, *rows: Any, **how: Any) -> SpeechExamples:
        from affectkit.finetuning.media._speech import SpeechExamples

        return SpeechExamples(self, *rows, **how)

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        seconds = sum(min(item.duration_sec, self.max_seconds) for item in items)
        return seconds / 3600, "hours of audio"

    def spec(self) -> dict[str, Any]:
        return {"head": self.head, "max_seconds": self.max_seconds}


build = Speech  # what a plug-in is made by
