"""Plug-ins: a file in a folder is a name on the command line.

`affectkit/encoders/hf_audio.py` is `--encoder hf-audio`; files that begin with `_` are not listed. A plug-in's module
imports what is heavy inside its functions, so that its options can be read without its dependencies. Its one-line help
is the first line of its docstring; its own options are the keyword-only parameters of its factory, or the fields of the
dataclass that is its factory, each `Annotated[type, Option("help", unit="s", least=0)]`: described once, on what
receives it, with its default and the values that it may have.
"""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from affectkit.errors import AffectkitError, did_you_mean

PACKAGE = Path(__file__).parent
# Where the plug-ins of a kind live; a kind that is not here has a folder of its own name.
FOLDERS = {
    "rules": "fusion/rules",
    "methods": "calibration/methods",
    "media": "finetuning/media",
    "strategies": "labeling/strategies",
}
KINDS = (
    "corpora", "encoders", "detectors", "experts", "estimators", "rules", "methods", "media", "protocols",
    "transcribers", "strategies",
)  # fmt: skip
# What makes a module a plug-in of its kind, and has its options; `build` for the others.
FACTORIES = {"corpora": ("read", "gather", "synthesize"), "experts": ("build", "medium")}


T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What `--help` says of a parameter, and the values that it may have.

    unit: of its value. least, most: the lowest and highest value; below: what it stays under. flag: on the command
    line, where it is not the parameter's name: `--ema`, or `--freeze/--train`. short: its one letter, `-m`. default: in
    words, where the value of the default does not tell.
    """

    help: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    below: float | None = None
    flag: str = ""
    short: str = ""
    default: str = ""

    @property
    def range(self) -> str:
        """`1 or more`, `0 to 0.9`, `0 to below 1`; "" without bounds."""
        if self.least is None:
            return ""
        if self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"{self.least:g} or more" if self.below is None else f"{self.least:g} to below {self.below:g}"

    def allows(self, value: float) -> bool:
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most) and (self.below is None or value < self.below)


@cache
def names(kind: str) -> list[str]:
    """The names of a folder's plug-ins, sorted: `names("encoders") -> ["hf-audio", ...]`. Imports nothing."""
    found = [path.stem for path in _folder(kind).glob("*.py")]
    found += [path.parent.name for path in _folder(kind).glob("*/__init__.py")]
    return sorted(canonical(name) for name in found if not name.startswith("_"))


def _folder(kind: str) -> Path:
    return PACKAGE / FOLDERS.get(kind, kind)


def canonical(name: str) -> str:
    """A plug-in's name as it is listed: `open_clip`, as the library is called, is `open-clip`."""
    return name.replace("_", "-")


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring, read from its source: nothing is imported."""
    import ast

    stem = _folder(kind) / name.replace("-", "_")
    path = stem.with_suffix(".py") if stem.with_suffix(".py").exists() else stem / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def build(kind: str, name: str, options: Mapping[str, Any], *, foreign: bool = False) -> Any:
    """What the plug-in called `name` makes of its options. foreign: as `load` has it.

    Raises "usage" for an unknown name, and for an option that the plug-in does not have.
    """
    factory = load(kind, name, foreign=foreign).build
    check_options(kind, name, factory, options)
    return factory(**options)


def load(kind: str, name: str, *, foreign: bool = False) -> ModuleType:
    """Import a plug-in by its command-line name; `_` in it is read as `-`.

    foreign: also take a user's own `package.module`. Only a name typed on the command line may be foreign: names that
    come from a downloaded file must resolve among the built-ins, or a folder could run code.
    Raises AffectkitError "usage" with near misses for an unknown name.
    """
    if canonical(name) in names(kind):
        package = FOLDERS.get(kind, kind).replace("/", ".")
        return importlib.import_module(f"affectkit.{package}.{name.replace('-', '_')}")
    if foreign and all(part.isidentifier() for part in name.split(".")) and "." in name:
        return _foreign(name, singular(kind), FACTORIES.get(kind, ("build",)))
    raise AffectkitError("usage", f"there is no {singular(kind)} '{name}'", remedy=did_you_mean(name, names(kind)))


def singular(kind: str) -> str:
    return {"corpora": "corpus", "media": "medium", "strategies": "strategy"}.get(kind, kind.rstrip("s"))


def _foreign(name: str, what: str, factories: tuple[str, ...]) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AffectkitError(
            "usage", f"cannot import {name}: {error}", remedy="put its folder on PYTHONPATH"
        ) from error
    if not any(callable(getattr(module, factory, None)) for factory in factories):
        raise AffectkitError("usage", f"{name} is no {what}", remedy=f"give it a function {' or '.join(factories)}")
    return module


# --- The options of a receiver: a plug-in's factory, or a dataclass


def options(receiver: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """By name, the fields of a dataclass, or the keyword-only parameters of a function, that an `Option` describes."""
    parameters = inspect.signature(receiver).parameters.values()
    if inspect.isclass(receiver):
        hints = get_type_hints(receiver, include_extras=True)
        resolved = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters]
    else:
        resolved = [_resolved(p, receiver) for p in parameters if p.kind is p.KEYWORD_ONLY]
    return {
        p.name: p for p in resolved if any(isinstance(m, Option) for m in getattr(p.annotation, "__metadata__", ()))
    }


def _resolved(parameter: inspect.Parameter, factory: Callable[..., Any]) -> inspect.Parameter:
    """With its annotation evaluated, where the module postpones that; the other annotations may name what is heavy."""
    if not isinstance(parameter.annotation, str):
        return parameter
    return parameter.replace(annotation=eval(parameter.annotation, factory.__globals__))


def described(annotation: Any) -> tuple[Any, Option]:
    """The type and the `Option` of an `Annotated[type, Option(...)]`."""
    kind, *extras = get_args(annotation)
    return kind, next(extra for extra in extras if isinstance(extra, Option))


def otherwise(annotation: Any, default: str) -> Option:
    """The option of an `Annotated` type, for a parameter that has another default; in words."""
    return replace(described(annotation)[1], default=default)


def flag_of(parameter: inspect.Parameter) -> str:
    """How an option reads on the command line: `--batch-size`."""
    flag = described(parameter.annotation)[1].flag.partition("/")[0]
    return flag or "--" + parameter.name.replace("_", "-")


def negative_flag_of(parameter: inspect.Parameter) -> str:
    """How no reads on the command line: `--no-specaugment`."""
    return described(parameter.annotation)[1].flag.partition("/")[2] or "--no-" + flag_of(parameter).removeprefix("--")


def options_from(
    record: type, presets: Mapping[str, Mapping[str, Any]] | None = None
) -> Callable[[Callable[[Any], T]], Callable[..., T]]:
    """Make a factory that takes one `record`, a dataclass of options, one that takes its fields by name.

    presets: by the value of its option `preset`, what stands for the options that are not given.
    """

    def decorate(factory: Callable[[Any], T]) -> Callable[..., T]:
        @wraps(factory)
        def build(**values: Any) -> T:
            return factory(record(**{**(presets or {}).get(values.get("preset", ""), {}), **values}))

        keyword_only = [p.replace(kind=p.KEYWORD_ONLY) for p in options(record).values()]
        build.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # which `inspect` looks for
        return build

    return decorate


def check_options(kind: str, name: str, factory: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse options that the chosen plug-in does not have, and values that they do not allow."""
    known = options(factory)
    for option in values:
        if option not in known:
            raise no_option(kind, name, option, known)
    check_values(factory, values)


def no_option(kind: str, name: str, option: str, known: Mapping[str, inspect.Parameter]) -> AffectkitError:
    """The error for an option that a plug-in lacks, with the plug-ins that have it: of its kind, else of the others."""
    owners = _owners(kind, option) or owners_of(option)
    flag = flag_of(next(iter(owners.values()))) if owners else "--" + option.replace("_", "-")
    listed = ", ".join(map(flag_of, known.values())) or "no options of its own"
    remedy = f"it is of {', '.join(owners)}" if owners else f"{name} has {listed}"
    return AffectkitError("usage", f"{name} has no option {flag}", remedy=remedy)


def owners_of(option: str) -> dict[str, inspect.Parameter]:
    """By name and kind, the plug-ins that have an option."""
    return {f"{singular(kind)} {name}": p for kind in KINDS for name, p in _owners(kind, option).items()}


def _owners(kind: str, option: str) -> dict[str, inspect.Parameter]:
    """By name, the plug-ins of a kind that have an option."""
    known = {name: plugin_options(kind, load(kind, name)) for name in names(kind)}
    return {name: parameters[option] for name, parameters in known.items() if option in parameters}


def plugin_options(kind: str, module: ModuleType) -> dict[str, inspect.Parameter]:
    """All options of a plug-in, by name, whichever of its factories receives them."""
    receivers = [getattr(module, name) for name in FACTORIES.get(kind, ("build",)) if hasattr(module, name)]
    return {name: parameter for receiver in receivers for name, parameter in options(receiver).items()}


def check_values(receiver: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse a value that its option does not allow; None stands for none. Raises "usage" naming the option."""
    for name, parameter in options(receiver).items():
        wrong = problem(parameter.annotation, values[name]) if values.get(name) is not None else None
        if wrong:
            raise AffectkitError("usage", f"{flag_of(parameter)} {values[name]}", remedy=wrong)


def problem(annotation: Any, value: Any) -> str | None:
    """What to do about a value that an option does not allow; None where it does."""
    kind, option = described(annotation)
    literal = next((k for k in (kind, *get_args(kind)) if get_origin(k) is Literal), None)
    if literal is not None:
        *others, last = map(str, get_args(literal))
        return None if value in get_args(literal) else f"use {', '.join(others)} or {last}"
    if option.range and isinstance(value, (int, float)) and not (math.isfinite(value) and option.allows(value)):
        return f"give {option.range}"
    return None
