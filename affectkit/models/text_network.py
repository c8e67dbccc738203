"""A pretrained text network with a head, to be fine-tuned or as its authors fine-tuned it: tokens in, an output per
target out.

What comes out for a text does not depend on its batch: padding is masked, and what is only answered runs in sub-batches
of similar length and bounded size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.labels import Target
from affectkit.models import backbones
from affectkit.models.backbones import Backbone
from affectkit.models.forward import without_tf32
from affectkit.models.outputs import (
    as_saved,
    by_target,
    columns_of_one,
    describe_outputs,
    fold_numbers,
    is_linked,
    labels_of,
    link_all,
)
from affectkit.models.speech_heads import AttentiveStatistics
from affectkit.models.text_inputs import LongTexts, TextInputs
from affectkit.models.weights import WEIGHTS, bounded_by, fill, read_tensors

Head = Literal["cls", "mean", "attentive"]
HEADS: tuple[Head, ...] = get_args(Head)

_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "classifier_dropout_prob", "dropout",
    "attention_dropout", "seq_classif_dropout", "embedding_dropout", "mlp_dropout", "pooler_dropout", "hidden_dropout",
)  # fmt: skip
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block|albert_layer_groups)\.(\d+)\.")
_AT_ONCE = 8192  # tokens, padding counted, of what runs together without gradients: .6 GB of a base network
_OURS = {"mean": "AffectkitMean", "attentive": "AffectkitAttentiveStatistics"}  # architectures, in config.json


class TokenHead(nn.Module):
    """Pools the tokens of a text, and a linear layer over all targets: what transformers' classifiers do not have."""

    def __init__(self, config: Any, outputs: int, kind: Head) -> None:
        super().__init__()
        self.attention = AttentiveStatistics(config.hidden_size) if kind == "attentive" else None
        rates = (getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout_prob", "dropout"))
        self.dropout = nn.Dropout(next((rate for rate in rates if isinstance(rate, float)), 0.1))
        self.output = nn.Linear(config.hidden_size * (2 if kind == "attentive" else 1), outputs)

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D], [B, T] -> [B, D or 2 D] float32, over the tokens that are no padding."""
        if self.attention is not None:
            return self.attention(states, mask.sum(dim=1).tolist())
        share = mask[..., None].float()
        return (states.float() * share).sum(dim=1) / share.sum(dim=1)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.output(self.dropout(pooled))


class TextNetwork(nn.Module):
    """transformers' sequence classifier of a checkpoint (head `cls`), or its encoder with a `TokenHead`."""

    def __init__(
        self, model: Any, inputs: TextInputs, targets: Sequence[Target], head: Head, facts: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.targets, self.head, self.facts = model, inputs, tuple(targets), head, dict(facts)
        self._width = int(self.output.in_features) if any(map(is_linked, self.targets)) else 0
        link_all(self)

    @property
    def output(self) -> Any:
        """The last linear layer, over all targets."""
        return _output_of(self.model, self.head)

    @property
    def base(self) -> Any:
        """The network without its head, apart from a pooler, which is a part of the head."""
        return getattr(self.model, self.model.base_model_prefix) if self.head == "cls" else self.model

    def forward(
        self,
        inputs: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Of each target: classes [B, K] logits, ordered levels [B, K] log-probabilities, a number [B], in float32.

        inputs, mask: [B, T], as `TextInputs.batch` gives them. features: [B, D], what `encode` gave, in their place.
        """
        if features is not None:
            logits = self.model.affectkit_head(features)
        else:
            assert inputs is not None and mask is not None
            logits = self._in_parts(self._logits, inputs, mask)
        return by_target(logits, self.targets, self._width)

    def encode(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, D] float32, what a head that pools is given."""
        return self._in_parts(self._pooled, inputs, mask)

    def _logits(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.head == "cls":
            return self.model(input_ids=inputs, attention_mask=mask).logits
        return self.model.affectkit_head(self._pooled(inputs, mask))

    def _pooled(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.model(input_ids=inputs, attention_mask=mask).last_hidden_state
        return self.model.affectkit_head.pool(states, mask)

    def _in_parts(
        self, run: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], inputs: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """All rows at once in training; else by length, so many as `_AT_ONCE` allows, and exact in float32."""
        if self.training and torch.is_grad_enabled():
            return run(inputs, mask)
        lengths = mask.sum(dim=1).tolist()
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        parts: list[list[int]] = []
        for row in order:
            if not parts or (len(parts[-1]) + 1) * lengths[row] > _AT_ONCE:
                parts.append([])
            parts[-1].append(row)
        with without_tf32() if inputs.device.type == "cuda" else nullcontext():
            outputs = [run(inputs[rows, : lengths[rows[-1]]], mask[rows, : lengths[rows[-1]]]) for rows in parts]
        return torch.cat(outputs)[torch.tensor(order, device=inputs.device).argsort()]

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """From the input to the head: embeddings, layer-0, ..., norm (what stands behind the layers), head."""
        base = dict(self.base.named_parameters())
        parts: dict[str, list[nn.Parameter]] = {}
        for name, parameter in base.items():
            if name.startswith(("pooler.", "affectkit_head.")):
                continue
            layer = _LAYER.search(name)
            before = not any(part.startswith("layer") for part in parts)
            part = f"layer-{layer[1]}" if layer else "embeddings" if before else "norm"
            parts.setdefault(part, []).append(parameter)
        encoder = {id(parameter) for parameters in parts.values() for parameter in parameters}
        head = [parameter for parameter in self.model.parameters() if id(parameter) not in encoder]
        depth = {"embeddings": -1.0, "norm": float("inf")}
        ordered = sorted(parts.items(), key=lambda part: depth.get(part[0]) or float(part[0].partition("-")[2]))
        return [*ordered, ("head", head)]

    @property
    def dim(self) -> int:
        """Of what `encode` gives; 0 with a head `cls`, which has no such place."""
        return 0 if self.head == "cls" else int(self.output.in_features)

    def output_of(self, target: Target) -> tuple[Any, slice]:
        """The linear layer that answers for a target, and which of its outputs do."""
        return self.output, columns_of_one(target, self.targets)

    def fold(self, scaling: Mapping[str, tuple[float, float]]) -> None:
        """Let numbers come out in their own units, as `fold_numbers` has it."""
        fold_numbers(self.output, self.targets, scaling)

    def describe(self) -> dict[str, Any]:
        """What a record says of it; the weights are those that it started from."""
        return {**self.facts, "head": self.head, "max_tokens": self.inputs.max_tokens}

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads: with a `cls` head transformers' AutoModelForSequenceClassification and its
        pipeline too; with the others its AutoModel, the encoder alone."""
        backbones.save(Path(folder), self.model, self.inputs.tokenizer, _OURS.get(self.head))


def build(
    checkpoint: str,
    targets: Sequence[Target],
    *,
    head: Head = "cls",
    revision: str = "",
    dropout: float | None = None,
    max_tokens: int = 0,
    long_texts: LongTexts = "head",
    seed: int = 0,
) -> TextNetwork:
    """A checkpoint's network with a new head for `targets`, drawn from `seed`, in eval mode.

    dropout: its rate everywhere inside the network; None: the checkpoint's own. Raises AffectkitError as
    `backbones.load` and `TextInputs.of` do, "input" for a network that transformers has no sequence classifier of.
    """
    if head not in HEADS:
        raise AffectkitError("usage", f"there is no head '{head}'", remedy=did_you_mean(head, list(HEADS)))
    if not targets:
        raise AffectkitError("usage", "there is no target to predict", remedy="name one: --target label")
    changes = {} if dropout is None else dict.fromkeys(_DROPOUTS, dropout)
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(checkpoint, "text", revision=revision, changes=changes)
        inputs = TextInputs.of(backbone, max_tokens, long_texts)
        return _assemble(backbone, inputs, targets, head, seed).eval()


def load(
    folder: Path, targets: Sequence[Target], head: Head, max_tokens: int, long_texts: LongTexts = "head"
) -> TextNetwork:
    """What `save` wrote, in eval mode. Raises "missing" or "input" for a folder that does not hold exactly that."""
    folder = Path(folder)
    if not folder.is_dir():
        raise AffectkitError("missing", "there is no such folder", file=folder)
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(str(folder), "text")
        config = backbone.model.config
        saved, asked = (config.architectures or [""])[0], _OURS.get(head)
        if (saved in _OURS.values() or asked) and saved != asked:
            raise AffectkitError("input", f"has another head than '{head}'", file=folder / "config.json")
        labels = list((config.id2label if head == "cls" else getattr(config, "outputs", {})).values())
        known = as_saved(labels, targets)
        if not known:
            message = f"predicts {', '.join(map(str, labels))}, not {', '.join(labels_of(targets))}"
            raise AffectkitError("input", message, file=folder / "config.json")
        inputs = TextInputs.of(backbone, max_tokens, long_texts)
        with bounded_by(backbone.model.state_dict(), folder / "config.json"):  # its head may be said to be any size
            network = _assemble(backbone, inputs, known, head, 0)
    fill(network.model, read_tensors(folder / WEIGHTS), "the network", folder / WEIGHTS, "copy the folder again")
    return network.eval()


def load_classifier(
    checkpoint: str, *, revision: str = "", max_tokens: int = 0, long_texts: LongTexts = "head"
) -> TextNetwork:
    """A sequence classifier as its authors fine-tuned it, in eval mode; its one target, `label`, has their classes.

    Raises as `build` does, "input" for a checkpoint without a trained head, or whose head answers for a number.
    """
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(checkpoint, "text", revision=revision, classifier=True)
    model, classes = backbone.model, tuple(map(str, backbone.model.config.id2label.values()))
    if model.config.problem_type == "regression" or len(classes) < 2:
        raise AffectkitError(
            "input", f"'{checkpoint}' answers for a number, not for classes", remedy="use a classifier"
        )
    if len(set(classes)) < len(classes) or not all(classes):
        raise AffectkitError("input", f"'{checkpoint}' calls two of its classes alike: {', '.join(classes)}")
    inputs = TextInputs.of(replace(backbone, model=getattr(model, model.base_model_prefix)), max_tokens, long_texts)
    _mark(model.config, backbone, inputs)
    return TextNetwork(model, inputs, [Target("label", "class", classes)], "cls", backbone.facts()).eval()


def _mark(config: Any, backbone: Backbone, inputs: TextInputs) -> None:
    """Say in a configuration what whoever reads it once it is saved has to know."""
    config.pad_token_id = inputs.tokenizer.pad_token_id
    if backbone.tiny_random:
        config.tiny_random = True


def _assemble(backbone: Backbone, inputs: TextInputs, targets: Sequence[Target], head: Head, seed: int) -> TextNetwork:
    """The base, which is loaded already, with a new head."""
    config = backbone.model.config
    if config.is_encoder_decoder:
        message = f"'{config.name_or_path}' is an encoder and a decoder, which have no one head"
        raise AffectkitError("input", message, remedy="use one of bert, roberta, distilbert, deberta or their kin")
    _mark(config, backbone, inputs)
    torch.manual_seed(seed)
    put_on = _with_classifier if head == "cls" else _with_token_head
    return TextNetwork(put_on(backbone.model, targets, head), inputs, targets, head, backbone.facts())


def _with_classifier(base: Any, targets: Sequence[Target], head: Head) -> Any:
    """transformers' sequence classifier around a base, its head drawn as transformers draws it."""
    describe_outputs(base.config, targets)
    with torch.device("meta"):  # the base is there; to draw a second one at random takes longer than to load it
        model = backbones.classifier_class(base.config)(base.config)
    pooler = getattr(base, "pooler", None)
    if pooler is not None and getattr(getattr(model, model.base_model_prefix), "pooler", None) is None:
        base.pooler = None
    elif pooler is not None and not any(parameter.any() for parameter in pooler.parameters()):
        for parameter in pooler.parameters():  # the checkpoint has none
            nn.init.normal_(parameter, std=getattr(base.config, "initializer_range", 0.02))
    setattr(model, model.base_model_prefix, base)
    for child in model.children():
        if child is not base:
            child.to_empty(device="cpu")
            child.apply(model._init_weights)
    output = _output_of(model, head)
    if any(target.kind == "number" or is_linked(target) for target in targets) and output.bias is None:
        message = f"the head of {type(model).__name__} has no constant, which numbers and ordered levels need"
        raise AffectkitError("usage", message, remedy="pass --head mean")
    return model


def _with_token_head(base: Any, targets: Sequence[Target], head: Head) -> Any:
    """A base with a head that transformers does not have."""
    if getattr(base, "pooler", None) is not None:
        base.pooler = None
    labels = labels_of(targets)
    base.config.outputs = dict(enumerate(labels))
    base.affectkit_head = TokenHead(base.config, len(labels), head).apply(base._init_weights)
    return base


def _output_of(model: Any, head: Head) -> Any:
    """The last linear layer, over all targets."""
    if head != "cls":
        return model.affectkit_head.output
    prefix, count = f"{model.base_model_prefix}.", model.config.num_labels
    outside = [module for name, module in model.named_modules() if not f"{name}.".startswith(prefix)]
    linear = [module for module in outside if isinstance(module, nn.Linear) and module.out_features == count]
    if not linear:
        raise AffectkitError("input", f"{type(model).__name__} has no linear layer over its classes")
    return linear[-1]
