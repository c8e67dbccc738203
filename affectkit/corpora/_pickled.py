"""Tables inside Python pickles, read as data: nothing that a pickle names is looked up, and nothing is run.

A pickle is a program for a small stack machine. The one here knows the steps that build dictionaries, text and numbers,
and of NumPy's its scalars; at any other step it stops and says what the file holds. It does not call the interpreter's
own, whose list of results a few bytes can make as long as memory is large.
"""

import ast
import io
import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from affectkit.corpora._files import refuse_pointer
from affectkit.errors import AffectkitError

LARGEST = 16 * 2**20  # bytes; transcripts of 6,000 clips of 15 s have 2 million
MOST = 1_000_000  # steps; six scores of 6,000 clips take 200,000
LONGEST = 100_000  # characters of a literal, which a pattern is held against; a clip of 15 s has 300
_REMEDY = "download it again"
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class _Named(NamedTuple):
    """What a pickle names: a class or function. It stays a name."""

    name: str


@dataclass
class _Kind:
    """A NumPy type: `struct`'s letter, and the byte order, which a later step tells."""

    letter: str
    order: str = "<"


_STEPS = {step.code: step for step in pickletools.opcodes}
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_KINDS = {"f8": "d", "f4": "f", "i8": "q", "i4": "i"}


def read_pickled(path: Path) -> dict[str, dict[str, Any]] | dict[str, Any]:
    """A pickled dictionary whose keys are text, and its values text, numbers or dictionaries of these.

    Bytes of Python 2 are read as Latin-1. Raises "input" for a file that is cut off, larger than 16 MB or no pickle,
    and naming what it holds for one with anything else in it.
    """
    refuse_pointer(path, "table")
    if path.stat().st_size > LARGEST:
        raise AffectkitError("input", f"is larger than {LARGEST >> 20} MB: no table of scores", file=path)
    try:
        table = _Machine(path.read_bytes()).run()
    except _Refused as refused:
        raise AffectkitError("input", f"holds {refused}, not a table: refused", file=path, remedy=_REMEDY) from None
    except (AttributeError, ValueError, IndexError, KeyError, TypeError, SyntaxError, struct.error):
        raise AffectkitError("input", "is no pickle, or cut off", file=path, remedy=_REMEDY) from None
    if not _is_table(table) and not (isinstance(table, dict) and table and all(map(_is_table, table.values()))):
        raise AffectkitError("input", "is no table of text and numbers", file=path, remedy=_REMEDY)
    return table


def _is_table(value: Any) -> bool:
    """Whether it is a dictionary of text to text or numbers; looks no deeper, so that what holds itself is none."""
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, (str, int, float)) for key, item in value.items()
    )


class _Refused(Exception):
    """A step that builds something else; its text says what."""


class _Machine:
    """The stack machine of `pickletools`, as far as tables need it."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        self.stack: list[Any] = []
        self.marks: list[int] = []  # how high the stack was at each
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle leaves. Raises `_Refused`, or one of many errors for what is no pickle."""
        for _ in range(MOST):
            step = _STEPS[self.file.read(1).decode("latin-1")]
            if step.name == "STOP":
                return self.stack.pop()
            if step.name == "STRING":  # pickletools takes it for ASCII, which names of Python 2 need not be
                self.stack.append(_quoted(self.file.readline()))
                continue
            self.step(step.name, step.arg.reader(self.file) if step.arg else None)
        raise _Refused(f"more than {MOST:,} steps")

    def step(self, name: str, value: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name](value))
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[value] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[value])
        elif name in ("GLOBAL", "INST"):
            self.named(".".join(value.split(" ")))
        elif name == "STACK_GLOBAL":
            place = self.stack[-2:]
            del self.stack[-2:]
            self.named(".".join(place))
        else:
            self.build(name)

    def named(self, name: str) -> None:
        if name not in (*_SCALAR, "numpy.dtype", "_codecs.encode"):
            raise _Refused(name)
        self.stack.append(_Named(name))

    def build(self, name: str) -> None:
        """A step that puts what is on the stack together."""
        stack = self.stack
        if name in ("DICT", "SETITEMS", "TUPLE"):
            items = self.marked()
            if name == "TUPLE":
                stack.append(_flat(items))
                return
            if name == "DICT":
                stack.append({})
            _dictionary(stack[-1]).update(zip(items[::2], items[1::2], strict=True))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _dictionary(stack[-1])[key] = value
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [_flat(stack[-count:])]
        elif name == "REDUCE":
            arguments, named = stack.pop(), stack.pop()
            stack.append(_numpy(named, arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].order = {"<": "<", ">": ">"}[state[1]]
        else:
            raise _Refused(_OTHERS.get(name, f"a {name.lower()}"))

    def marked(self) -> list[Any]:
        """What stands above the last mark."""
        place = self.marks.pop()
        items = self.stack[place:]
        del self.stack[place:]
        return items


_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "NONE": lambda _: None,
    **dict.fromkeys(("NEWTRUE", "NEWFALSE"), lambda _: False),  # of a NumPy type's arguments
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), str),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), str),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES"), bytes),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), float),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), int),
}
_OTHERS = {
    **dict.fromkeys(("EMPTY_LIST", "LIST", "APPEND", "APPENDS"), "a list"),
    **dict.fromkeys(("EMPTY_SET", "ADDITEMS", "FROZENSET"), "a set"),
    **dict.fromkeys(("PERSID", "BINPERSID"), "a reference to something outside of it"),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), "an object of a private register"),
    **dict.fromkeys(("NEWOBJ", "NEWOBJ_EX", "OBJ"), "an object"),
}


def _quoted(line: bytes) -> str:
    """The text of a string literal of Python 2."""
    literal = line.decode("ascii").strip()
    if len(literal) > LONGEST or not _QUOTED.fullmatch(literal):
        raise ValueError("no literal")
    return ast.literal_eval(f"b{literal}").decode("latin-1")


def _flat(items: list[Any]) -> tuple[Any, ...]:
    """A tuple, as a NumPy scalar is made of. None is within another: to look one up whose tuples are a million deep, or
    stand twice in each other 60 times, overflows the interpreter's stack, or never ends."""
    if any(isinstance(item, tuple) and not isinstance(item, _Named) for item in items):
        raise _Refused("tuples within each other")
    return tuple(items)


def _dictionary(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return value


def _numpy(named: Any, arguments: Any) -> Any:
    """A NumPy type, the bytes of a number, or the number: the three calls that a pickled NumPy scalar is made of."""
    if not isinstance(named, _Named):
        raise _Refused("an object")
    first, *others = arguments
    if named.name == "numpy.dtype":
        return _Kind(_KINDS[first.lstrip("<>")])
    if named.name == "_codecs.encode":  # bytes, as Python 3 writes them for Python 2
        return first.encode("latin-1")
    data = others[0].encode("latin-1") if isinstance(others[0], str) else others[0]
    return struct.unpack(first.order + first.letter, data)[0]
