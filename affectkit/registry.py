"""Plug-ins: a file in a folder is a name on the command line.

`affectkit/encoders/hf_audio.py` is `--encoder hf-audio`; files that begin with `_` are not listed. A plug-in's module
imports what is heavy inside its functions, so that its options can be read without its dependencies. Its one-line help
is the first line of its docstring, its own options are the keyword-only parameters of its factory, each
`Annotated[type, Option("help", unit="s")]`.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from affectkit.errors import AffectkitError, did_you_mean

PACKAGE = Path(__file__).parent
# Where the plug-ins of a kind live; a kind that is not here has a folder of its own name.
FOLDERS = {"rules": "fusion/rules", "methods": "calibration/methods"}
FACTORIES = {"corpora": ("read", "gather")}  # what makes a module a plug-in of its kind; `build` for the others


@dataclass(frozen=True)
class Option:
    """What `--help` says of a plug-in's parameter: `help`, and the unit of its value where it has one."""

    help: str
    unit: str = ""


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
    check_options(kind, name, factory, dict(options))
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
    singular = {"corpora": "corpus"}.get(kind, kind.rstrip("s"))
    if foreign and all(part.isidentifier() for part in name.split(".")) and "." in name:
        return _foreign(name, singular, FACTORIES.get(kind, ("build",)))
    raise AffectkitError("usage", f"there is no {singular} '{name}'", remedy=did_you_mean(name, names(kind)))


def _foreign(name: str, singular: str, factories: tuple[str, ...]) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AffectkitError(
            "usage", f"cannot import {name}: {error}", remedy="put its folder on PYTHONPATH"
        ) from error
    if not any(callable(getattr(module, factory, None)) for factory in factories):
        raise AffectkitError("usage", f"{name} is no {singular}", remedy=f"give it a function {' or '.join(factories)}")
    return module


def options(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """A factory's own options: its keyword-only parameters whose annotation carries an `Option`."""
    keyword_only = (p for p in inspect.signature(factory).parameters.values() if p.kind is p.KEYWORD_ONLY)
    resolved = (_resolved(p, factory) for p in keyword_only)
    return {
        p.name: p for p in resolved if any(isinstance(m, Option) for m in getattr(p.annotation, "__metadata__", ()))
    }


def _resolved(parameter: inspect.Parameter, factory: Callable[..., Any]) -> inspect.Parameter:
    """With its annotation evaluated, where the module postpones that; the other annotations may name what is heavy."""
    if not isinstance(parameter.annotation, str):
        return parameter
    return parameter.replace(annotation=eval(parameter.annotation, factory.__globals__))


def check_options(kind: str, name: str, factory: Callable[..., Any], given: dict[str, Any]) -> None:
    """Refuse options that the chosen plug-in does not have."""
    own = options(factory)
    for option in given:
        if option not in own:
            flag = "--" + option.replace("_", "-")
            listed = ", ".join("--" + o.replace("_", "-") for o in own) or "no options of its own"
            raise AffectkitError("usage", f"{name} has no option {flag}", remedy=f"{name} has {listed}")
