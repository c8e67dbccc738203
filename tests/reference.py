"""The command reference as Markdown: a table of options for each command, read from the app's own signatures.

`make docs` has cog write it into affectkit/commands/README.md, and `make docs-check` fails where that is not current.
"""

import inspect
import re
from typing import Any, Literal, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from affectkit.cli import build

_WORDS = re.compile(r"(?s)(.*?)(?: \(default: ([^()]*(?:\([^()]*\)[^()]*)*)\)(\.?))?$")  # help, and a default in words


def reference() -> str:
    """All commands in the order of the app: a list with links, then a section for each."""
    commands = build().registered_commands
    links = [f"- [`{command.name}`](#affectkit-{command.name}): {_short(command.help or '')}" for command in commands]
    return "\n".join(links) + "\n\n" + "\n".join(_section(command) for command in commands)


def _section(command: Any) -> str:
    *paragraphs, example = (command.help or "").split("\n\n")
    arguments, panels = [], {}
    for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
        kind, *extras = get_args(parameter.annotation)
        info = next(extra for extra in extras if isinstance(extra, ParameterInfo))
        if isinstance(info, ArgumentInfo):
            arguments.append(_row(info.metavar or parameter.name.upper(), kind, parameter, info))
        else:
            panels.setdefault(info.rich_help_panel or "Options", []).append(
                _row(", ".join(_flags(parameter, info)), kind, parameter, info)
            )
    lines = [f"## affectkit {command.name}", "", *(f"{_plain(text)}\n" for text in paragraphs)]
    lines += ["```sh", example.removeprefix("Example: "), "```", ""]
    if arguments:
        lines += _table("argument", arguments)
    for panel, rows in panels.items():
        lines += [f"**{panel}**", ""] if panel != "Options" else []
        lines += _table("option", rows)
    return "\n".join(lines)


def _table(first: str, rows: list[tuple[str, ...]]) -> list[str]:
    head = [f"| {first} | takes | default | |", "|---|---|---|---|"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _row(name: str, kind: Any, parameter: inspect.Parameter, info: ParameterInfo) -> tuple[str, ...]:
    required = parameter.default in (inspect.Parameter.empty, ...)
    text, words, end = _WORDS.match(info.help or "").groups()  # type: ignore[union-attr]  # it matches any text
    default = "required" if required else _plain(words or "") or _default(parameter.default)
    return f"`{name}`", _takes(kind, info), default, _plain(text + (end or ""))


def _flags(parameter: inspect.Parameter, info: ParameterInfo) -> list[str]:
    first = [info.default] if isinstance(info.default, str) else []  # inside Annotated, typer keeps the first one here
    return [*first, *(info.param_decls or ())] or ["--" + parameter.name.replace("_", "-")]


def _takes(kind: Any, info: ParameterInfo) -> str:
    """What a value is: a path, words to choose from, a number with its bounds; "" of a flag."""
    several = get_origin(kind) is list or any(get_origin(each) is list for each in get_args(kind))
    inner = [each for each in (get_args(kind) or (kind,)) if each is not type(None)]
    inner = [get_args(each)[0] if get_origin(each) is list else each for each in inner]
    if get_origin(kind) is Literal:
        inner = [kind]
    if any(get_origin(each) is Literal for each in inner):
        text = ", ".join(f"`{word}`" for each in inner if get_origin(each) is Literal for word in get_args(each))
    else:
        names = {bool: "", int: "whole number", float: "number", str: "text"}
        text = names.get(inner[0], "path")
    bounds = [f"{sign} {bound:g}" for sign, bound in (("≥", info.min), ("≤", info.max)) if bound is not None]
    return " ".join([text, *bounds]) + (", repeatable" if several and isinstance(info, OptionInfo) else "")


def _default(value: Any) -> str:
    if isinstance(value, bool) or value in (None, ""):
        return "yes" if value else ""
    return f"`{value}`"


def _short(text: str) -> str:
    return _plain(text.partition("\n\n")[0])


def _plain(text: str) -> str:
    """Text that a table shows as it is."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(reference())
