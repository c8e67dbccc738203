"""Texts: cut to what the network takes, and the network that reads them

They are read from the manifest's column text, in tokens as the checkpoint was trained; some may be hidden in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from affectkit.errors import AffectkitError
from affectkit.finetuning.passes import ONCE, Passes, check_once
from affectkit.registry import Option, check_values
from affectkit.training.settings import BatchSize

if TYPE_CHECKING:
    from affectkit.artifacts.manifest import Manifest
    from affectkit.encoders._encoder import Item
    from affectkit.finetuning.media._text import TextExamples
    from affectkit.finetuning.pieces import InPieces
    from affectkit.labels import Target
    from affectkit.models.text_network import TextNetwork

LongTexts = Annotated[
    Literal["head", "tail", "pieces"],
    Option(
        "What is read of a text of more tokens than --max-tokens: its head, its tail, or all of it in pieces of equal "
        "length, whose outputs are averaged (in training one piece, drawn anew in each epoch)."
    ),
]
MaxTokens = Annotated[
    int,
    Option(
        "Maximum length of a text, special tokens included; 0 takes the checkpoint's maximum.", unit="tokens", least=0
    ),
]


@dataclass(frozen=True)
class Text:
    """The medium of text networks. dropout: None leaves the checkpoint's own."""

    checkpoint: str
    revision: str = ""
    head: Annotated[
        Literal["cls", "mean", "attentive"],
        Option(
            "How a row becomes one answer: as classifiers of the checkpoint's kind do it (cls, mostly by the first "
            "token; plain transformers load it), the mean over tokens, or attentive statistics pooling."
        ),
    ] = "cls"
    dropout: Annotated[
        float | None, Option("Dropout: inside the network.", least=0, most=0.9, default="the checkpoint's")
    ] = None
    max_tokens: MaxTokens = 0
    long_texts: LongTexts = "head"
    token_dropout: Annotated[
        float, Option("Share of a text's tokens that are hidden at each step of training.", least=0, most=0.9)
    ] = 0.0
    batch_size: BatchSize = 32
    batch_tokens: Annotated[
        int | None, Option("Tokens in a batch, padding included, instead of a number of rows.", least=1)
    ] = None

    reads = "text"
    answered_at_once = (256, None)  # the network itself bounds what runs together
    frozen = frozenset[str]()
    passes = ONCE
    features = None

    def __post_init__(self) -> None:
        check_values(Text, vars(self))

    @property
    def augmentation(self) -> float:
        return self.token_dropout

    @property
    def batch_seconds(self) -> float | None:
        return self.batch_tokens

    @property
    def encodes_once(self) -> bool:
        return self.head == "mean" and self.long_texts != "pieces" and not self.token_dropout

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Text:
        """As a record has it. Raises KeyError, or ValueError for what no text is read by."""
        try:
            how = {"max_tokens": int(spec["base"]["max_tokens"]), "long_texts": spec["long_texts"]}
            return cls(spec["base"]["checkpoint"], head=spec["head"], **how)
        except AffectkitError as error:
            raise ValueError(error.message) from None

    def items(self, manifest: Manifest, *, num_workers: int = 0) -> list[Item]:
        from affectkit.encoders._encoder import texts

        return texts(manifest)

    def unfit(self, manifest: Manifest, *, num_workers: int = 0) -> dict[int, AffectkitError]:
        from affectkit.media.files import or_error

        each = enumerate(or_error(self.decode, item) for item in self.items(manifest))
        return {place: error for place, error in each if isinstance(error, AffectkitError)}

    def decode(self, item: Item) -> str:
        from affectkit.media.texts import check_text

        check_text(item.text, item.path)
        return item.text

    def build(self, targets: Sequence[Target], seed: int) -> TextNetwork:
        from affectkit.models import text_network

        names = ("head", "revision", "dropout", "max_tokens", "long_texts")
        return text_network.build(self.checkpoint, targets, seed=seed, **{name: getattr(self, name) for name in names})

    def load(self, folder: Path, targets: Sequence[Target]) -> TextNetwork:
        from affectkit.models import text_network

        return text_network.load(folder, targets, self.head, self.max_tokens, self.long_texts)

    def wrapped(self, network: TextNetwork, passes: Passes = ONCE) -> InPieces:
        from affectkit.finetuning.pieces import InPieces

        check_once(passes, "text")
        return InPieces(network)

    def examples(self, *rows: Any, **how: Any) -> TextExamples:
        from affectkit.finetuning.media._text import TextExamples

        return TextExamples(self, *rows, **how)

    def amount(self, items: Sequence[Item]) -> tuple[float, str]:
        return len(items), "texts"

    def spec(self) -> dict[str, Any]:
        return {"head": self.head, "long_texts": self.long_texts}


build = Text  # what a plug-in is made by
