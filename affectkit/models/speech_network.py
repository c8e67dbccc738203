"""A pretrained speech network with a head, to be fine-tuned: waveforms in, an output per target out.

What comes out for a waveform does not depend on its batch, in training either. Batches of equal lengths run as
transformers runs them, to the bit; others are padded and masked where that is exact (`speech_inputs.py`), else split.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from affectkit.errors import AffectkitError
from affectkit.labels import Target
from affectkit.models import backbones
from affectkit.models.backbones import Backbone
from affectkit.models.outputs import (
    as_saved,
    by_target,
    columns_of_one,
    describe_outputs,
    fold_numbers,
    labels_of,
    link_all,
)
from affectkit.models.speech_heads import ATTENTIVE, Head, check_head, put_on
from affectkit.models.speech_inputs import Mel, Samples, groups_of, inputs_of, over_valid_frames
from affectkit.models.weights import WEIGHTS, bounded_by, fill, never_trained, read_tensors

logger = logging.getLogger(__name__)

warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")  # torch's, of WavLM's attention

_DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "dropout")
_TIME_MASKED = 0.05  # share of frames, wav2vec2's own default
_LAYERDROPS = ("layerdrop", "encoder_layerdrop")
_LAYER = re.compile(r"(?:^|\.)encoder\.layers\.(\d+)\.")
_FEATURE_ENCODER = re.compile(r"^\w+\.feature_extractor\.|^encoder\.conv\d\.")  # the latter of Whisper


class SpeechNetwork(nn.Module):
    """transformers' classification network of a checkpoint, or one with attentive pooling in its projection's place.

    rate: Hz. min_samples: shorter waveforms are padded with silence. max_sec: longer ones are refused. alone: run each
    waveform of a batch by itself: on a CPU the fastest for inference, and equal to the bit whatever the batch.
    """

    def __init__(
        self,
        model: Any,
        inputs: Samples | Mel,
        targets: Sequence[Target],
        head: Head,
        facts: Mapping[str, Any],
        *,
        specaugment: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.targets, self.head = model, inputs, tuple(targets), head
        self.specaugment, self.alone, self.facts = specaugment, False, dict(facts)
        self.rate, self.min_samples, self.max_sec = inputs.rate, inputs.min_samples, inputs.max_sec
        link_all(self)
        mel = isinstance(inputs, Mel)
        self.base_name = "encoder" if mel else model.base_model_prefix
        self.norms = [] if mel else over_valid_frames(self.base.feature_extractor)
        _set_up_masks(self.base, model.config, wanted=specaugment, on_mel=mel)
        untrained = [self.base.embed_positions] if mel else []  # Whisper's sinusoids
        if head == "weighted" and getattr(model.config, "do_stable_layer_norm", False):
            untrained.append(self.base.encoder.layer_norm)  # pre-norm's last, which transformers' sum leaves out
        for module in untrained:
            for name, _ in list(module.named_parameters()):
                never_trained(module, name)
        if not mel:  # else transformers asks for the gradient of the samples, through frozen convolutions too
            self.base.feature_extractor._requires_grad = False

    @property
    def base(self) -> Any:
        """The network without its head."""
        return getattr(self.model, self.base_name)

    def prepare(self, samples: np.ndarray) -> np.ndarray:
        """The checkpoint's own normalisation of an utterance [T] at `rate`. Raises "input" without finite samples."""
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or not samples.size:
            raise AffectkitError("input", f"holds no samples of one channel (shape {samples.shape})")
        if not np.isfinite(samples).all():
            raise AffectkitError("input", "holds samples that are no numbers")
        return self.inputs.normalise(samples)

    def collate(self, waves: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """What `prepare` gave, as a batch. Raises "input" for what is longer than `max_sec`."""
        batch, lengths = self.inputs.batch(waves)
        return {"inputs": batch, "lengths": torch.tensor(lengths)}

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of each target: classes [B, K] logits, ordered levels [B, K] log-probabilities, a number [B], in float32.

        inputs: [B, T] samples or [B, mel bands, 3000], as `collate` gives them. lengths: [B] samples of each.
        """
        counts = lengths.tolist()
        groups = groups_of(counts, paddable=self.inputs.paddable, alone=self.alone)
        # Outside training without TF32, which is good to three digits and depends on the batch's shape.
        exact = not self.training and inputs.device.type == "cuda"
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False) if exact else nullcontext():
            if len(groups) == 1:
                logits = self._logits(inputs, counts)
            else:
                places = torch.tensor([place for group in groups for place in group], device=inputs.device)
                pieces = [self._logits(inputs[group], [counts[place] for place in group]) for group in groups]
                logits = torch.cat(pieces)[places.argsort()]
        return by_target(logits, self.targets, self.model.classifier.in_features)

    def _logits(self, inputs: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """[B, outputs] of a batch without padding, or with padding that can be masked."""
        masks, unused = self.specaugment and self.training, None
        if not isinstance(self.inputs, Mel):
            # A mask is no longer than the longest clip; where it is, transformers raises.
            fits = max(self.inputs.frames([max(lengths)])) >= self.model.config.mask_time_length
            self.model.config.apply_spec_augment = self.specaugment and fits
            unused = self.base.masked_spec_embed if masks and not fits else None  # this batch has no use for it
        elif masks:  # spans of silence, as transformers' WhisperModel makes them and its classifier does not
            from transformers import WhisperModel

            inputs = WhisperModel._mask_input_features(self.base, inputs.clone())
        arguments = self.inputs.arguments(inputs, lengths, self.norms)
        if self.head == "attentive":
            states = self.base(**arguments).last_hidden_state
            logits = self.model.classifier(self.model.projector(states, self.inputs.frames(lengths)))
        else:
            logits = self.model(**arguments).logits
        return logits if unused is None else logits + 0 * unused.sum()

    def parts(self) -> list[tuple[str, list[nn.Parameter]]]:
        """From the input to the head: feature_encoder, projection (with what else is no layer), layer-0, ..., head."""
        layers = [f"layer-{place}" for place in range(self.model.config.num_hidden_layers)]
        names = ["feature_encoder", "projection", *layers, "head"]
        parts: dict[str, list[nn.Parameter]] = {name: [] for name in names}
        for name, parameter in self.model.named_parameters():
            parts[self._part(name)].append(parameter)
        return [(name, parameters) for name, parameters in parts.items() if parameters]

    def _part(self, name: str) -> str:
        if not name.startswith(f"{self.base_name}."):
            return "head"
        layer = _LAYER.search(name)
        if layer:
            return f"layer-{layer[1]}"
        return "feature_encoder" if _FEATURE_ENCODER.search(name) else "projection"

    def output_of(self, target: Target) -> tuple[Any, slice]:
        """The linear layer that answers for a target, and which of its outputs do."""
        return self.model.classifier, columns_of_one(target, self.targets)

    def fold(self, scaling: Mapping[str, tuple[float, float]]) -> None:
        """Let numbers come out in their own units, as `fold_numbers` has it."""
        fold_numbers(self.model.classifier, self.targets, scaling)

    def describe(self) -> dict[str, Any]:
        """What a record says of it; the weights are those that it started from."""
        return {**self.facts, "head": self.head, "rate": self.rate, "min_samples": self.min_samples}

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads, and with `mean` and `weighted` heads transformers, its pipeline too."""
        self.model.config.apply_spec_augment = self.specaugment
        architecture = ATTENTIVE if self.head == "attentive" else None
        backbones.save(Path(folder), self.model, self.inputs.processor, architecture)


def build(
    checkpoint: str,
    targets: Sequence[Target],
    *,
    head: Head = "mean",
    revision: str = "",
    dropout: float | None = None,
    layerdrop: float = 0.0,
    specaugment: bool = False,
    gradient_checkpointing: bool = False,
    seed: int = 0,
) -> SpeechNetwork:
    """A checkpoint's network with a new head for `targets`, drawn from `seed`, in eval mode.

    dropout: its rate everywhere inside the network; None: the checkpoint's own. layerdrop: share of layers that a
    training step skips; processes that train together skip different ones and then wait for each other, and a weighted
    sum of layers needs them all. specaugment: mask spans of frames in training, drawn from numpy's global generator.
    gradient_checkpointing: compute layers a second time in the backward pass instead of keeping what they computed.
    Raises AffectkitError as `backbones.load` does, "input" for a network that does not read speech, "usage" for
    options that contradict each other.
    """
    check_head(head)
    if not targets:
        raise AffectkitError("usage", "there is no target to predict", remedy="name one: --target label")
    if head == "weighted" and layerdrop:
        raise AffectkitError("usage", "a weighted sum of layers needs them all", remedy="leave layerdrop at 0")
    changes: dict[str, Any] = dict.fromkeys(_LAYERDROPS, layerdrop)
    if dropout is not None:
        changes |= dict.fromkeys(_DROPOUTS, dropout)
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(checkpoint, "audio", revision=revision, changes=changes)
        name = (getattr(backbone.model.config, "architectures", None) or [""])[0]
        if name.endswith(("Classification", ATTENTIVE)):
            outputs = backbone.model.config.num_labels
            logger.info("%s is a %s of %d outputs; its head is replaced by a new one", checkpoint, name, outputs)
        network = _assemble(backbone, targets, head, seed, specaugment=specaugment)
    if gradient_checkpointing:
        model = network.model
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})  # reentrant asks for an input that needs a gradient
    return network.eval()


def load(folder: Path, targets: Sequence[Target]) -> SpeechNetwork:
    """What `save` wrote, in eval mode. Raises "missing" or "input" for a folder that does not hold exactly that."""
    folder = Path(folder)
    if not folder.is_dir():
        raise AffectkitError("missing", "there is no such folder", file=folder)
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(str(folder), "audio")
        saved, asked = list((backbone.model.config.id2label or {}).values()), labels_of(targets)
        if not (targets := as_saved(saved, targets)):
            message = f"predicts {', '.join(saved)}, not {', '.join(asked)}"
            raise AffectkitError("input", message, file=folder / "config.json")
        with bounded_by(backbone.model.state_dict(), folder / "config.json"):  # its head may be said to be any size
            network = _assemble(backbone, targets, _head_of(backbone.model.config), 0)
    fill(network.model, read_tensors(folder / WEIGHTS), "the network", folder / WEIGHTS, "copy the folder again")
    return network.eval()


def _assemble(
    backbone: Backbone, targets: Sequence[Target], head: Head, seed: int, *, specaugment: bool = False
) -> SpeechNetwork:
    """transformers' classification network around a base that is loaded already, with a new head."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING

    inputs, config = inputs_of(backbone), backbone.model.config
    kind: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    config.use_weighted_layer_sum = head == "weighted"
    if backbone.tiny_random:
        config.tiny_random = True  # for whoever reads what is saved
    describe_outputs(config, targets)
    with torch.device("meta"):  # the base is there; to draw a second one at random takes longer than to load it
        model = kind(config)
    if isinstance(inputs, Mel):
        model.encoder = backbone.model.get_encoder()
    else:
        setattr(model, model.base_model_prefix, backbone.model)
    put_on(model, head, seed)
    return SpeechNetwork(model, inputs, targets, head, backbone.facts(), specaugment=specaugment)


def _head_of(config: Any) -> Head:
    """The head that a folder's network was saved with."""
    if (config.architectures or [""])[0] == ATTENTIVE:
        return "attentive"
    return "weighted" if config.use_weighted_layer_sum else "mean"


def _set_up_masks(base: Any, config: Any, *, wanted: bool, on_mel: bool) -> None:
    """Let `base` mask spans of frames in training, or never: SpecAugment (Park et al. 2019) as transformers does it.

    Its masks are drawn from numpy's global generator: whoever trains seeds that.
    """
    config.apply_spec_augment = wanted
    if wanted and not config.mask_time_prob:
        config.mask_time_prob = _TIME_MASKED
    if on_mel:
        return
    if wanted and not hasattr(base, "masked_spec_embed"):
        base.masked_spec_embed = nn.Parameter(torch.zeros(config.hidden_size))
    if not wanted and hasattr(base, "masked_spec_embed"):
        never_trained(base, "masked_spec_embed")  # processes would wait for the gradient of what takes no part
