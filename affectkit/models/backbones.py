"""Loading pretrained networks, and saving them: a hub id, a local folder, or `tiny-random:ARCHITECTURE`.

Weights come from safetensors only, and code from transformers only: nothing that a checkpoint brings along is run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from affectkit.artifacts.files import atomic
from affectkit.artifacts.records import trusted
from affectkit.errors import AffectkitError
from affectkit.models import tiny
from affectkit.models.configurations import CONFIG, FILES, check_configurations
from affectkit.models.image_architectures import class_of, is_known, tower_config
from affectkit.models.weights import (
    CONVERT,
    INDEX,
    WEIGHTS,
    check_finite,
    disk_errors,
    planned,
    read_files,
    shards_of,
    weight_files,
)

log = logging.getLogger(__name__)

# speech: audio that is to be written down, by a network with its head
Reads = Literal["audio", "text", "images", "speech"]

# What encoders do not use, and checkpoints may lack: SpecAugment's mask vector is used in training only, the pooler
# belongs to the sentence-order head. Found missing, they are zeroed, so that equal weights have equal digests.
_UNUSED = re.compile(r"(^|\.)(masked_spec_embed|pooler\..*)$")
# Of images nothing may be missing but the token of masked patches, which is of pretraining only: a pooler is used.
_UNUSED_OF_IMAGES = re.compile(r"(^|\.)mask_token$")
_PROCESSORS = {
    "audio": "AutoFeatureExtractor",
    "text": "AutoTokenizer",
    "images": "AutoImageProcessor",
    "speech": "AutoFeatureExtractor",
}
_DECODER = re.compile(r"^(model\.)?decoder\.")  # of Whisper; its classifiers, which have an encoder only, lack it


@dataclass(frozen=True)
class Backbone:
    """A pretrained network in float32 and eval mode, and what its inputs pass through first.

    processor: a feature extractor (audio, speech), a tokenizer (text) or an image processor. weights: SHA-256 of its
    tensors, whatever they are called and however they are stored. revision: the commit of a hub id. tokenizer: of a
    network that writes speech down.
    """

    model: Any
    processor: Any
    weights: str
    tiny_random: bool = False
    revision: str | None = None
    tokenizer: Any = None

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        names = ("weights", "revision", "tiny_random")
        return {"architecture": self.model.config.model_type, **{name: getattr(self, name) for name in names}}


def load(
    checkpoint: str,
    reads: Reads,
    *,
    revision: str = "",
    changes: Mapping[str, Any] | None = None,
    classifier: bool = False,
) -> Backbone:
    """The base network of a checkpoint, whatever head it was saved with; to write speech down, with that head.

    changes: values of its configuration to build it with, where its architecture knows their names (dropout and such).
    classifier: of text, the sequence classifier that it was saved as instead, with its head.
    Raises AffectkitError "missing" (no such folder; a hub id that is neither cached nor reachable), "input" (weights
    that do not fill the network exactly, outside its head; no safetensors; code of its own) or "usage" (an unknown
    `tiny-random` architecture).
    """
    if tiny.is_tiny(checkpoint):
        model, processor, *more = tiny.build(checkpoint, reads, changes, classifier=classifier)
        return Backbone(model.eval(), processor, digest(model), True, None, *more)
    config = tiny.changed(read_config(checkpoint, revision), changes)
    if vars(config).pop("auto_map", None):
        what = "%s brings code of its own for its network, which is never run: it is read as transformers' own %s"
        log.warning(what, checkpoint, config.model_type)
    _check_reads(checkpoint, config, reads)
    with quiet_transformers():
        backend = {"backend": "pil"} if reads == "images" else {}  # the other one rounds resized pixels differently
        processor = _fetch(checkpoint, revision, _PROCESSORS[reads], **backend)
        tokenizer = _fetch(checkpoint, revision, "AutoTokenizer") if reads == "speech" else None
        model, info = _model(checkpoint, revision, config, reads, classifier)
    _check_keys(checkpoint, model, config, info, reads, classifier)
    # Copy the weights out of the mapped file, where they begin at any multiple of 8 bytes. Matrix products differ in
    # the last bit with where a matrix begins: a saved network would answer by 4e-7 otherwise than the one trained.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    snapshot = _snapshot(checkpoint, revision)
    made_tiny = bool(getattr(config, "tiny_random", False))  # fine-tuned from a tiny-random network, and so marked
    commit = snapshot.name if snapshot else None
    return Backbone(model.eval(), processor, digest(model), made_tiny, commit, tokenizer)


def digest(model: torch.nn.Module) -> str:
    """SHA-256 over a network's tensors, apart from their names, which differ between versions of transformers."""
    digests = []
    for tensor in model.state_dict().values():
        plain = tensor.detach().cpu().contiguous()
        sha = hashlib.sha256(f"{plain.dtype}{tuple(plain.shape)}".encode())
        sha.update(plain.reshape(-1).view(torch.uint8).numpy())
        digests.append(sha.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _local_folder(checkpoint: str) -> Path | None:
    """The folder that `checkpoint` names, None for a hub id ("name" or "owner/name")."""
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return trusted(path)
    if path.exists():
        raise AffectkitError("input", "is a file; a checkpoint is a folder", file=path, remedy="name its folder")
    if checkpoint.startswith((".", "/", "~")) or checkpoint.count("/") > 1 or not checkpoint:
        raise AffectkitError("missing", "no such checkpoint folder", file=checkpoint or "--checkpoint")
    return None


def _fetch(checkpoint: str, revision: str, kind: str, **options: Any) -> Any:
    """What the cache or a folder holds; else from the hub. The cache comes first: a cached hub id needs no network.

    kind: the class of transformers that reads it.
    """
    import transformers

    folder = _local_folder(checkpoint)
    read = partial(getattr(transformers, kind).from_pretrained, str(folder or checkpoint), trust_remote_code=False)
    with _one_error(checkpoint):
        if folder:
            check_configurations(folder)
            return read(local_files_only=True, **options)
        for local_only in (True, False):
            commit = _checked_commit(checkpoint, revision, local_only)
            try:
                return read(local_files_only=local_only, revision=commit or revision or "main", **options)
            except OSError as error:
                absent = error
        raise absent


def _checked_commit(checkpoint: str, revision: str, local_only: bool) -> str | None:
    """The commit of a hub id whose configurations are in the cache, checked before anything reads them.

    local_only: or else they are fetched first. None where there are none.
    """
    files: list[Path | None] = []
    for name in FILES:
        with suppress(OSError):
            files.append(_cached(checkpoint, name, revision, local_only=local_only))
    folders = {file.parent for file in files if file}
    for folder in folders:
        check_configurations(folder)
    return folders.pop().name if folders else None


@contextmanager
def _one_error(checkpoint: str) -> Iterator[None]:
    """Configurations are data: transformers raises whatever their values run into, and here it is one line."""
    try:
        yield
    except AffectkitError:
        raise
    except Exception as error:
        raise _load_error(checkpoint, error) from None


def read_config(checkpoint: str, revision: str = "") -> Any:
    """The configuration alone. Raises as `load` does."""
    with quiet_transformers():
        return _fetch(checkpoint, revision, "AutoConfig")


def _model(checkpoint: str, revision: str, config: Any, reads: Reads, classifier: bool) -> tuple[Any, dict[str, Any]]:
    """The network, and which of its weights the checkpoint lacks, adds or has in another shape.

    transformers gets tensors, and opens no file of weights itself.
    """
    options: dict[str, Any] = {}
    with _one_error(checkpoint):
        if reads == "images":
            cls, options = class_of(config)
            config = tower_config(config)
        else:
            writing = _writing_class(config) if reads == "speech" else None
            cls = writing or (classifier_class(config) if classifier else _base_class(config))
    tensors = read_files(_weight_files(checkpoint, revision))
    planned(lambda: cls(deepcopy(config), **options), tensors, checkpoint)
    if reads == "images" or classifier:
        options["ignore_mismatched_sizes"] = True  # they are reported then, and refused by name
    with _one_error(checkpoint):
        model, info = cls.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True, **options
        )
    model.config.name_or_path = model.name_or_path = checkpoint
    check_finite(model.state_dict(), checkpoint)
    return model, info


def _base_class(config: Any) -> Any:
    """The class of the network without a head, as `AutoModel` has it."""
    from transformers import MODEL_MAPPING

    kinds = MODEL_MAPPING[type(config)]
    return kinds[0] if isinstance(kinds, (list, tuple)) else kinds


def _writing_class(config: Any) -> Any:
    """The class that writes speech down: Whisper's with its decoder, else the one with a CTC head, None without any."""
    from transformers import MODEL_FOR_CTC_MAPPING, WhisperForConditionalGeneration

    if config.model_type == "whisper":
        return WhisperForConditionalGeneration
    return MODEL_FOR_CTC_MAPPING.get(type(config), None)


def classifier_class(config: Any) -> Any:
    """The class of its sequence classifier. Raises "input" where transformers has none."""
    from transformers import AutoModelForSequenceClassification

    kinds: Any = AutoModelForSequenceClassification._model_mapping
    if type(config) not in kinds:
        raise AffectkitError("input", f"transformers has no sequence classifier of '{config.model_type}'")
    return kinds[type(config)]


def _weight_files(checkpoint: str, revision: str) -> list[Path]:
    """The .safetensors of a folder or a hub id, and nothing else. Raises as `weight_files` does."""
    folder = _local_folder(checkpoint)
    if folder:
        return weight_files(folder)
    try:
        file = _cached(checkpoint, WEIGHTS, revision) or _cached(checkpoint, INDEX, revision)
        if file is None and not revision:
            file = _converted(checkpoint)
    except OSError as error:
        raise _load_error(checkpoint, error) from None
    if file is None:
        message = f"'{checkpoint}' has no {WEIGHTS}, and other files of weights are never read"
        raise AffectkitError("input", message, remedy=CONVERT)
    if file.name == INDEX:
        for name in shards_of(file):
            _cached(checkpoint, name, file.parent.name)
    return weight_files(file.parent)


def _cached(checkpoint: str, name: str, revision: str, *, local_only: bool = False) -> Path | None:
    """A file of a hub id, from the cache or the hub; None where it has none. Raises OSError without a network."""
    from transformers.utils import cached_file

    missing = {"_raise_exceptions_for_missing_entries": False}
    where = {"revision": revision or "main", **missing}
    file = cached_file(checkpoint, name, local_files_only=True, _raise_exceptions_for_connection_errors=False, **where)
    file = file or (None if local_only else cached_file(checkpoint, name, **where))
    return Path(file) if file else None


def _snapshot(checkpoint: str, revision: str) -> Path | None:
    """Where the cache has the files of a hub id; its name is their commit."""
    config = None if _local_folder(checkpoint) else _cached(checkpoint, CONFIG, revision)
    return config.parent if config else None


def _converted(checkpoint: str) -> Path | None:
    """Of a hub id whose weights are pickles: the .safetensors that the hub itself made of them, where it did."""
    from huggingface_hub import constants
    from transformers.safetensors_conversion import auto_conversion

    if constants.HF_HUB_OFFLINE:
        return None
    file, *_ = auto_conversion(checkpoint, ignore_errors_during_conversion=True) or (None,)
    return Path(file) if file else None


def hears(model_type: str) -> bool:
    """Whether networks of a type read audio."""
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    return model_type in FEATURE_EXTRACTOR_MAPPING_NAMES


def _check_reads(checkpoint: str, config: Any, reads: Reads) -> None:
    if reads == "images" and not is_known(config.model_type):
        message = f"checkpoint '{checkpoint}' is of '{config.model_type}', which is no image network known here"
        remedy = "use one of clip, siglip, vit, dinov2, beit, convnext, resnet, swin"
        raise AffectkitError("input", message, remedy=remedy)
    if reads == "speech" and _writing_class(config) is None:
        message = f"checkpoint '{checkpoint}' is of '{config.model_type}', which writes no speech down"
        raise AffectkitError("input", message, remedy="use Whisper, or wav2vec2 and its kin with a CTC head")
    if reads == "audio" and not hears(config.model_type):
        message = f"checkpoint '{checkpoint}' is of '{config.model_type}', which reads no audio"
        raise AffectkitError("input", message, remedy="use one of wav2vec2, hubert, wavlm, whisper or their kin")


def _load_error(checkpoint: str, error: Exception) -> AffectkitError:
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    why = f"{first} {more[0].strip()}" if first.endswith(":") and more else first
    if _local_folder(checkpoint):
        files = "config.json, model.safetensors, and the preprocessor's files"
        remedy = f"name a folder written by save_pretrained ({files})"
        return AffectkitError("input", f"cannot be loaded: {why}", file=checkpoint, remedy=remedy)
    if isinstance(error, OSError):
        message = f"'{checkpoint}' is not in the local cache and could not be fetched from the Hugging Face hub ({why})"
        remedy = "check the name, or download it elsewhere and pass the folder that holds it"
        return AffectkitError("missing", message, remedy=remedy)
    return AffectkitError("input", f"'{checkpoint}' cannot be loaded: {why}")


def _check_keys(checkpoint: str, model: Any, config: Any, info: dict[str, Any], reads: Reads, classifier: bool) -> None:
    """Demand that the checkpoint fills the network exactly: a part left at random would go unnoticed."""
    unused = [_UNUSED_OF_IMAGES] if reads == "images" else [] if classifier else [_UNUSED]
    unused += [_DECODER] if config.model_type == "whisper" and reads == "audio" else []
    missing = sorted(key for key in info["missing_keys"] if not any(names.search(key) for names in unused))
    saved_as = (getattr(config, "architectures", None) or [type(model).__name__])[0]
    unexpected = sorted(key for key in info["unexpected_keys"] if not _UNUSED.search(key))
    if saved_as != type(model).__name__:  # saved with a head: its weights lie beside the base's, not under its prefix
        unexpected = [key for key in unexpected if key.startswith(f"{model.base_model_prefix}.")]
    mismatched = sorted(str(key) for key in info.get("mismatched_keys") or ())
    for what, keys in (("lacks", missing), ("has unknown", unexpected), ("has misshapen", mismatched)):
        if keys:
            message = f"{what} {len(keys)} weights of {type(model).__name__}, such as {keys[0]}"
            raise AffectkitError("input", f"checkpoint '{checkpoint}' {message}", remedy="use a complete checkpoint")
    with torch.no_grad():
        state = model.state_dict()
        for key in state.keys() & info["missing_keys"]:
            state[key].zero_()


def save(folder: Path, model: Any, processor: Any, architecture: str | None = None) -> None:
    """Write config.json, model.safetensors and preprocessor_config.json, each of them whole or not at all.

    architecture: what config.json is to call the network, where that is not the name of its class.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder) as scratch, quiet_transformers():
        with disk_errors(folder / WEIGHTS):
            model.save_pretrained(scratch)
        processor.save_pretrained(scratch)
        if architecture:
            path = Path(scratch) / "config.json"
            config = {**json.loads(path.read_text(encoding="utf-8")), "architectures": [architecture]}
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for file in sorted(Path(scratch).iterdir()):
            with atomic(folder / file.name) as temporary:
                file.rename(temporary)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers reports heads that are not loaded, at length; `_check_keys` says what matters."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
