"""What the service is told: on the command line, or by environment variables, which are read here alone.

`AFFECTKIT_SERVE_<FIELD>` sets a field of `ServeSettings`; the variables of the published system (SER_*, TEXT_*,
FUSION_*, WHISPER_*, MAX_ASR_DURATION_MS) name models by their roles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import is_file_name

PREFIX = "AFFECTKIT_SERVE_"
LANGUAGES = ("en", "zh")  # that the published system routes by


@dataclass(frozen=True)
class ModelFolder:
    """A folder to serve, by name. device: None for that of all."""

    name: str
    path: Path
    device: str | None = None


@dataclass(frozen=True)
class Routes:
    """Which models answer for one role, by name. single: for every language. default: the language that is meant where
    a request says none."""

    single: str = ""
    by_language: Mapping[str, str] = field(default_factory=dict)
    default: str = "en"

    def choose(self, language: str | None) -> tuple[str, str]:
        """The model for a language, and by which strategy, in the published words; "" for none."""
        if not self.by_language:
            return self.single, "single"
        if language and language in self.by_language:
            return self.by_language[language], language
        if self.default in self.by_language:
            return self.by_language[self.default], f"{self.default}_default"
        first = next(iter(self.by_language))
        return self.by_language[first], f"{first}_fallback"


@dataclass(frozen=True)
class ServeSettings:
    """models: the first is the default. audio, text, fusion: which of them answer /ser/analyze and /text/sentiment:
    those called audio, audio-en, audio-zh, text, ..., fusion, or named by their variables; else those that read what is
    asked. token: that requests must bear.

    max_bytes: of a request's body. max_seconds, max_samples: of a recording. request_seconds: from the last byte of a
    request to its answer; receive_seconds: from its first to its last byte. queue_items, queue_seconds: rows, and
    seconds of audio, that wait or are worked on. batch_items, batch_seconds: at once, padding counted; wait_ms: for
    others to come. threads: that prepare rows of a batch (None: one per core). drain_seconds: for what is under way
    when the service is told to end.
    """

    models: tuple[ModelFolder, ...] = ()
    audio: Routes = field(default_factory=Routes)
    text: Routes = field(default_factory=Routes)
    fusion: str = ""
    fusion_enabled: bool = True
    engine: str = "affectkit"
    transcriber: str = ""
    transcriber_model: str = ""
    transcriber_device: str = ""
    max_asr_seconds: float = 600.0
    token: str = ""
    device: str = "auto"
    max_bytes: int = 100_000_000
    max_seconds: float = 600.0
    max_samples: int = 30_000_000
    max_files: int = 64
    max_segments: int = 1000
    max_characters: int = 100_000
    max_requests: int = 256
    receive_seconds: float = 60.0
    request_seconds: float = 60.0
    queue_items: int = 64
    queue_seconds: float = 3600.0
    batch_items: int = 32
    batch_seconds: float = 120.0
    wait_ms: float = 4.0
    decode_workers: int = 2
    decode_seconds: float = 30.0
    threads: int | None = None
    drain_seconds: float = 30.0
    log_details: bool = False

    @classmethod
    def of_folders(cls, folders: Sequence[str], **known: Any) -> ServeSettings:
        """From `NAME=DIR` or `DIR` of the command line; further fields come from the environment, unless `known`."""
        return from_environment(os.environ, tuple(map(named_folder, folders)), known)

    def to_environment(self) -> None:
        """Tell the worker processes of this one, which have nothing but the environment to go by."""
        os.environ[PREFIX + "MODELS"] = os.pathsep.join(f"{model.name}={model.path}" for model in self.models)
        for name, kind in _SCALARS.items():
            value = getattr(self, name)
            if value not in (None, ""):
                os.environ[PREFIX + name.upper()] = str(int(value) if kind is bool else value)


_SCALARS = {
    name: next(kind for kind in (bool, int, float, str) if str(hint).startswith(kind.__name__) or hint is kind)
    for name, hint in get_type_hints(ServeSettings).items()
    if name not in ("models", "audio", "text", "fusion")
}  # fields that a variable can hold


def named_folder(word: str) -> ModelFolder:
    """`NAME=DIR`, or `DIR`, whose name is the folder's own. Raises "usage" for a name that no address can have."""
    name, equals, path = word.partition("=")
    folder = Path(path if equals else word)
    resolved = folder.resolve()
    name = name if equals else resolved.parent.name if resolved.name == "best_model" else resolved.name
    if not is_file_name(name):
        raise AffectkitError("usage", f"'{word}' is neither MODEL_DIR nor NAME=MODEL_DIR", remedy="give it a name")
    return ModelFolder(name, folder)


def from_environment(
    variables: Mapping[str, str] | None = None,
    models: tuple[ModelFolder, ...] = (),
    known: Mapping[str, Any] | None = None,
) -> ServeSettings:
    """ServeSettings by variables. models, known: what was said elsewhere, and counts more.

    Raises "usage" for a variable of ours that there is not, and for a value that it cannot have.
    """
    variables = os.environ if variables is None else variables
    values: dict[str, Any] = {}
    for variable in sorted(name for name in variables if name.startswith(PREFIX) and name != PREFIX + "MODELS"):
        name = variable.removeprefix(PREFIX).lower()
        if name not in _SCALARS:
            variants = [PREFIX + scalar.upper() for scalar in _SCALARS]
            raise AffectkitError("usage", f"there is no variable {variable}", remedy=did_you_mean(variable, variants))
        values[name] = _parsed(variable, variables[variable], _SCALARS[name])
    listed = [word for word in variables.get(PREFIX + "MODELS", "").split(os.pathsep) if word]
    models = models or tuple(map(named_folder, listed))
    _check_names(models)
    values = _published(variables, models) | values | {k: v for k, v in (known or {}).items() if v is not None}
    settings = ServeSettings(**values)
    for name in ("max_bytes", "max_seconds", "max_samples", "max_files", "queue_items", "queue_seconds", "batch_items"):
        if not getattr(settings, name) > 0:
            raise AffectkitError("usage", f"{name} {getattr(settings, name)}", remedy="give a number above 0")
    return settings


def _parsed(variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        return text.strip().lower() not in ("0", "false", "no", "off", "")
    try:
        return kind(text.strip())
    except ValueError:
        raise AffectkitError("usage", f"{variable} is '{text}'", remedy=f"give {_WORDS[kind]}") from None


_WORDS = {int: "a whole number", float: "a number", str: "text"}


def _check_names(models: Sequence[ModelFolder]) -> None:
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise AffectkitError("usage", f"two models are called '{twice}'", remedy="name them: NAME=MODEL_DIR")


# --- The variables of the published system


def _published(variables: Mapping[str, str], models: tuple[ModelFolder, ...]) -> dict[str, Any]:
    """The fields that they set; the folders that they name are served behind `models`."""
    cell = {name: text.strip() for name, text in variables.items()}
    folders: dict[str, ModelFolder] = {model.name: model for model in models}

    def add(name: str, variable: str, device: str) -> str:
        """The name, if a folder is called so on the command line, or by its variable."""
        if cell.get(variable) and name not in folders:
            folders[name] = ModelFolder(name, Path(cell[variable]), cell.get(device) or None)
        return name if name in folders else ""

    values: dict[str, Any] = {}
    if "FUSION_ENABLED" in cell:
        values["fusion_enabled"] = _parsed("FUSION_ENABLED", cell["FUSION_ENABLED"], bool)
    if values.get("fusion_enabled", True):
        values["fusion"] = add("fusion", "FUSION_MODEL_DIR", "FUSION_DEVICE")
    values["audio"] = _routes(cell, "SER_HF", "SER_HF_MODEL_DIR", "audio", add)
    if _one_of(cell, "TEXT_ENGINE", ("hf", "lexicon"), "hf") == "lexicon" and not cell.get("TEXT_HF_MODEL"):
        remedy = "make a model folder of it (affectkit import-model lexicon -o DIR) and name it in TEXT_HF_MODEL"
        raise AffectkitError("usage", "TEXT_ENGINE lexicon names no model folder", remedy=remedy)
    values["text"] = _routes(cell, "TEXT_HF", "TEXT_HF_MODEL", "text", add)
    values["engine"] = _one_of(cell, "SER_ENGINE", ("hf_wav2vec2", "affectkit"), "affectkit")
    for name, variable in {"transcriber_model": "WHISPER_MODEL", "transcriber_device": "WHISPER_DEVICE"}.items():
        if cell.get(variable):
            values[name] = cell[variable]
    if cell.get("MAX_ASR_DURATION_MS"):
        milliseconds = _parsed("MAX_ASR_DURATION_MS", cell["MAX_ASR_DURATION_MS"], float)
        values["max_asr_seconds"] = milliseconds / 1000
    return values | {"models": tuple(folders.values())}


def _routes(cell: Mapping[str, str], prefix: str, single: str, name: str, add: Any) -> Routes:
    default = _one_of(cell, f"{prefix}_DEFAULT_LANGUAGE", LANGUAGES, "en")
    by_default = "language" if prefix == "TEXT_HF" and any(cell.get(f"{single}_{t.upper()}") for t in LANGUAGES) else ""
    routing = _one_of(cell, f"{prefix}_ROUTING", ("single", "language"), by_default)
    if routing != "language" and (routing or not any(add(f"{name}-{tag}", "", "") for tag in LANGUAGES)):
        return Routes(add(name, single, f"{prefix}_DEVICE"), default=default)
    added = {tag: add(f"{name}-{tag}", f"{single}_{tag.upper()}", f"{prefix}_DEVICE") for tag in LANGUAGES}
    by_language = {tag: model for tag, model in added.items() if model}
    return Routes(add(name, single, f"{prefix}_DEVICE"), by_language, default)


def _one_of(cell: Mapping[str, str], variable: str, allowed: Sequence[str], default: str) -> str:
    value = cell.get(variable, "").lower() or default
    if value and value not in allowed:
        raise AffectkitError("usage", f"{variable} is '{value}'", remedy=f"give {' or '.join(allowed)}")
    return value


def shown(settings: ServeSettings) -> dict[str, Any]:
    """The limits, as /health says them: nothing that is secret."""
    return {name: value for name, value in asdict(settings).items() if name.startswith(("max_", "queue_", "batch_"))}
