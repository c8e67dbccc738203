"""What the service is told: on the command line, or by environment variables, which are read here alone.

`AFFECTKIT_SERVE_<FIELD>` sets a field of `ServeSettings`; the variables of the published system (SER_*, TEXT_*,
FUSION_*, WHISPER_*, MAX_ASR_DURATION_MS) name models by their roles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from affectkit.errors import AffectkitError, did_you_mean
from affectkit.plain import is_file_name

PREFIX = "AFFECTKIT_SERVE_"
LANGUAGES = ("en", "zh")  # that the published system routes by


@dataclass(frozen=True)
class ModelFolder:
    """A folder to serve, by name. path: None for the built-in lexicon. device: None for that of all."""

    name: str
    path: Path | None
    device: str | None = None


@dataclass(frozen=True)
class Routes:
    """Which models answer for one role, by name. single: for every language. default: the language that is meant where
    a request says none."""

    single: str = ""
    by_language: Mapping[str, str] = field(default_factory=dict)
    default: str = "en"

    @property
    def names(self) -> set[str]:
        return {self.single, *self.by_language.values()} - {""}

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


class ServeSettings(BaseModel):
    """models: the first is the default. audio, text, fusion: which of them answer /ser/analyze and /text/sentiment:
    those called audio, audio-en, audio-zh, text, ..., fusion, or named by their variables; else those that read what is
    asked. token: that requests must bear.

    max_bytes: of a request's body. max_seconds, max_samples: of a recording. request_seconds: from the last byte of a
    request to its answer; receive_seconds: from its first to its last byte. queue_items, queue_seconds: rows, and
    seconds of audio, that wait or are worked on. batch_items, batch_seconds: at once, padding counted; wait_ms: for
    others to come. threads: that prepare rows of a batch (None: one per core). drain_seconds: for what is under way
    when the service is told to end. feedback: the `labels.jsonl` that corrections are written to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    models: tuple[ModelFolder, ...] = ()
    audio: Routes = Routes()
    text: Routes = Routes()
    fusion: str = ""
    fusion_enabled: bool = True
    engine: Literal["affectkit", "hf_wav2vec2"] = "affectkit"
    transcriber: str = ""
    transcriber_model: str = ""
    transcriber_device: str = ""
    max_asr_duration_ms: PositiveInt = 600_000
    token: str = ""
    device: str = "auto"
    max_bytes: PositiveInt = 100_000_000
    max_seconds: PositiveFloat = 600.0
    max_samples: PositiveInt = 30_000_000
    max_files: PositiveInt = 64
    max_segments: PositiveInt = 1000
    max_characters: PositiveInt = 100_000
    max_requests: PositiveInt = 256
    receive_seconds: PositiveFloat = 60.0
    request_seconds: PositiveFloat = 60.0
    queue_items: PositiveInt = 64
    queue_seconds: PositiveFloat = 3600.0
    batch_items: PositiveInt = 32
    batch_seconds: PositiveFloat = 120.0
    wait_ms: NonNegativeFloat = 4.0
    decode_workers: PositiveInt = 2
    decode_seconds: PositiveFloat = 30.0
    threads: PositiveInt | None = None
    drain_seconds: NonNegativeFloat = 30.0
    log_details: bool = False
    feedback: Path | None = None

    def to_environment(self, folders: Sequence[str]) -> None:
        """Tell the worker processes of this one, which have nothing but the environment to go by."""
        told = self.model_dump(include=set(_VARIABLES.values()), exclude_none=True)
        os.environ.update({PREFIX + name.upper(): str(value) for name, value in told.items()})
        if folders:
            os.environ[PREFIX + "MODELS"] = os.pathsep.join(folders)


_PUBLISHED = {
    "FUSION_ENABLED": "fusion_enabled", "SER_ENGINE": "engine", "WHISPER_MODEL": "transcriber_model",
    "WHISPER_DEVICE": "transcriber_device", "MAX_ASR_DURATION_MS": "max_asr_duration_ms",
}  # fmt: skip
_ROLES = {"models", "audio", "text", "fusion"}
_VARIABLES = {PREFIX + name.upper(): name for name in ServeSettings.model_fields if name not in _ROLES}


def named_folder(word: str) -> ModelFolder:
    """`NAME=DIR`, or `DIR`, whose name is the folder's own. Raises "usage" for a name that no address can have."""
    name, equals, path = word.partition("=")
    folder = Path(path if equals else word)
    resolved = folder.resolve()
    name = name if equals else resolved.parent.name if resolved.name == "best_model" else resolved.name
    if not is_file_name(name):
        raise AffectkitError("usage", f"'{word}' is neither MODEL_DIR nor NAME=MODEL_DIR", remedy="give it a name")
    return ModelFolder(name, folder)


def settings_of(folders: Sequence[str] = (), variables: Mapping[str, str] = os.environ, **known: Any) -> ServeSettings:
    """folders: `NAME=DIR` or `DIR`; else those of the variables. known: fields that count more than variables.

    Raises "usage" for a variable of ours that there is not, and for a value that it cannot have.
    """
    cells = {name: text.strip() for name, text in variables.items() if text.strip()}
    ours = sorted(name for name in cells if name.startswith(PREFIX) and name != PREFIX + "MODELS")
    for variable in ours:
        if variable not in _VARIABLES:
            remedy = did_you_mean(variable, list(_VARIABLES))
            raise AffectkitError("usage", f"there is no variable {variable}", remedy=remedy)
    sources = {name: variable for variable, name in _PUBLISHED.items() if variable in cells}
    sources |= {_VARIABLES[variable]: variable for variable in ours}
    values: dict[str, Any] = {name: cells[variable] for name, variable in sources.items()}
    values |= {name: value for name, value in known.items() if value is not None}
    words = folders or [word for word in cells.get(PREFIX + "MODELS", "").split(os.pathsep) if word]
    try:
        settings = ServeSettings(**values)
    except ValidationError as error:
        [first, *_] = error.errors()
        name = str(first["loc"][0])
        raise AffectkitError("usage", f"{sources.get(name, name)} is '{first['input']}'", remedy=first["msg"]) from None
    update = _roles(cells, list(map(named_folder, words)), settings.fusion_enabled)
    if settings.transcriber_model and not settings.transcriber:
        update["transcriber"] = "faster-whisper" if sources.get("transcriber_model") == "WHISPER_MODEL" else "hf"
    return settings.model_copy(update=update)


# --- The models by their roles, as the published system's variables name them


def _roles(cells: Mapping[str, str], models: Sequence[ModelFolder], fuses: bool) -> dict[str, Any]:
    """The fields; folders that variables name are served behind `models`. Raises "usage" for a name given twice."""
    folders = {model.name: model for model in models}
    for name in folders:
        if [model.name for model in models].count(name) > 1:
            raise AffectkitError("usage", f"two models are called '{name}'", remedy="name them: NAME=MODEL_DIR")

    def add(name: str, variable: str, device: str) -> str:
        """The name, if a folder is called so on the command line, or by its variable."""
        if variable in cells and name not in folders:
            folders[name] = ModelFolder(name, Path(cells[variable]), cells.get(device))
        return name if name in folders else ""

    def routes(name: str, prefix: str, single: str, routing: str) -> Routes:
        default = _one_of(cells, f"{prefix}_DEFAULT_LANGUAGE", LANGUAGES, "en")
        by_language = {}
        if _one_of(cells, f"{prefix}_ROUTING", ("single", "language"), routing) == "language":
            tags = {tag: add(f"{name}-{tag}", f"{single}_{tag.upper()}", f"{prefix}_DEVICE") for tag in LANGUAGES}
            by_language = {tag: model for tag, model in tags.items() if model}
        return Routes(add(name, single, f"{prefix}_DEVICE"), by_language, default)

    def routing(name: str, *variables: str) -> str:
        """Where nothing says: by language, if models are called so, or named by one of `variables`."""
        called = any(f"{name}-{tag}" in folders for tag in LANGUAGES)
        return "language" if called or any(variable in cells for variable in variables) else "single"

    fusion = add("fusion", "FUSION_MODEL_DIR", "FUSION_DEVICE") if fuses else ""
    audio = routes("audio", "SER_HF", "SER_HF_MODEL_DIR", routing("audio"))
    if _one_of(cells, "TEXT_ENGINE", ("hf", "lexicon"), "hf") == "lexicon":
        folders.setdefault("text", ModelFolder("text", None, "cpu"))
        text = Routes("text")
    else:
        by_tag = [f"TEXT_HF_MODEL_{tag.upper()}" for tag in LANGUAGES]
        text = routes("text", "TEXT_HF", "TEXT_HF_MODEL", routing("text", *by_tag))
    return {"models": tuple(folders.values()), "fusion": fusion, "audio": audio, "text": text}


def _one_of(cells: Mapping[str, str], variable: str, allowed: Sequence[str], default: str) -> str:
    value = cells.get(variable, default).lower()
    if value not in allowed:
        raise AffectkitError("usage", f"{variable} is '{value}'", remedy=f"give {' or '.join(allowed)}")
    return value
