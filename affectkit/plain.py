"""Values and text made plain: for JSON, for the terminal, for XML, for the eye, and from what is typed."""

import csv
import json
import math
import re
import shlex
import unicodedata
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

# What may move the cursor, start a line or turn the direction of what follows, and halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """`text` as one line for a terminal, with what would act on the terminal written as JSON writes it.

    >>> printable("calm\\x1b[2J\\nangry")
    'calm\\\\u001b[2J\\\\nangry'
    """
    return _UNPRINTABLE.sub(lambda mark: _AS_WRITTEN.get(mark[0]) or f"\\u{ord(mark[0]):04x}", text)


_AS_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def xml_text(text: str) -> str:
    """`text` with U+FFFD for each character that XML 1.0 (section 2.2) does not allow."""
    return _NOT_XML.sub("\ufffd", text)


DEPTH = 100  # objects and lists within each other: ours have ten, and what walks them recurses


def parse_json(text: str, *, not_finite: bool = False) -> Any:
    """What JSON says: finite numbers of 64 bits (or 1e30, for no limit), text that UTF-8 can hold, each key once,
    `DEPTH` levels at most; else ValueError. not_finite: NaN and Infinity are read too, as Python's json writes them."""
    try:
        data = (_LENIENT if not_finite else _STRICT).decode(text)
        if text.count("{") + text.count("[") > DEPTH and not _is_shallow(data):
            raise RecursionError
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH} levels") from None
    if "\\ud" in text.lower():  # half of a pair of surrogates stands for no character
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _is_shallow(data: Any) -> bool:
    level = [data]
    for _ in range(DEPTH):
        level = [inner for item in level for inner in _inside(item)]
    return not level


def _inside(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):  # which of them counts, every reader decides for itself
        keys = [key for key, _ in pairs]
        raise ValueError(f"'{next(key for key in keys if keys.count(key) > 1)}' stands twice in an object")
    return data


_NO_LIMIT = str(int(1e30))  # as transformers writes down that a tokenizer has no longest text


def _whole(digits: str) -> int:
    if digits == _NO_LIMIT:
        return int(digits)
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise ValueError(f"{digits[:12]}... is beyond 64 bits")
    return number


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:12]} is not a finite number")
    return number


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
_LENIENT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)


def is_file_name(name: Any) -> bool:
    """a name that a file can have: text without / and control characters, neither . nor .."""
    if not isinstance(name, str) or name.strip(" .") == "" or len(name.encode(errors="replace")) > 255:
        return False
    return not re.search(r"[/\\\x00-\x1f\x7f]", name)


def without_nan(value: Any) -> Any:
    """`value` with every non-finite float replaced by None, and numpy scalars, tuples and paths made plain."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) is int else without_nan(item) for item in value]  # a confusion matrix is long
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return without_nan(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def readable(name: str | Path) -> str:
    """A file's name, with what is not UTF-8 in it as `\\xe4`: no table takes what Python makes of such bytes."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


RENAME = "rename it, for example with convmv -f latin1 -t utf8"


def comma_separated(text: str | None) -> list[str]:
    """`'sex, language, "age, in years"'` -> `["sex", "language", "age, in years"]`; nothing for None."""
    parts = next(csv.reader([" ".join((text or "").split("\n"))], skipinitialspace=True), [])
    return [part.strip() for part in parts if part.strip()]


def as_typed(name: str) -> str:
    """A name as one of an option's comma-separated ones is typed in a shell.

    >>> print(as_typed("age"), as_typed("Phase Confidence (%)"), as_typed("age, in years"))
    age 'Phase Confidence (%)' '"age, in years"'
    """
    if "," in name or name.startswith('"'):
        name = '"' + name.replace('"', '""') + '"'
    return shlex.quote(name)


def shown(value: float) -> str:
    """A number for the eye: three decimals; counts and large numbers whole, tiny and huge ones in a few digits."""
    size = abs(value)
    if size < 1e15 and (isinstance(value, int) or 10_000 <= size < 1e7):
        return f"{value:.0f}"
    if size < 1e-9:  # rounding noise, such as the R2 of a mean
        return "0.000"
    return f"{value:.3f}" if 0.0005 <= size < 10_000 else f"{value:.3g}"


def safe_id(text: str, taken: Collection[str] = ()) -> str:
    """`text` as an id that is safe as a file name: `a/b c` -> `a__b_c-1f2e3d4c`.

    A digest of `text` is added where something had to be changed or cut, or where the id is `taken`.
    """
    normal = unicodedata.normalize("NFC", text)
    plain = normal.replace("/", "__")
    safe = re.sub(r"[^\w.\-]", "_", plain).lstrip(".-")[:120]
    if safe and safe == plain and safe not in taken:
        return safe
    key, number = "", ""
    while not key or key in taken:  # a third of the same text: its number among all comes in
        key = f"{safe or 'row'}-{zlib.crc32((text + number).encode(errors='surrogateescape')):08x}"
        number = f"\0{len(taken)}" if not number else number + "\0"
    return key
