"""Texts as media: what can be read, and in which language a text is, as far as its script tells."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from affectkit.errors import AffectkitError

if TYPE_CHECKING:
    import pandas as pd

LANGUAGE = "language"  # the column
MOST_CHARACTERS = 1_000_000  # a book; what is longer is no row of a corpus, and its tokens fill the memory

# ISO 639-1, then what tables call the language otherwise: ISO 639-2 and 639-3, English and own names.
_NAMES = """
ar ara arb arabic|bn ben bengali
cs ces cze czech|da dan danish|de deu ger german deutsch|el ell gre greek|en eng english
es spa spanish|fa fas per pes persian farsi|fi fin finnish|fr fra fre french|he heb hebrew|hi hin hindi|hu hun hungarian
id ind indonesian|it ita italian|ja jpn japanese|ko kor korean|ms msa may malay|nl nld dut dutch|no nor nob norwegian
pl pol polish|pt por portuguese|ro ron rum romanian|ru rus russian|sv swe swedish|ta tam tamil|te tel telugu|th tha thai
tr tur turkish|uk ukr ukrainian|ur urd urdu|vi vie vietnamese|zh zho chi cmn chinese mandarin putonghua
"""
_CODES = {name: names.split()[0] for names in re.split(r"[|\n]", _NAMES.strip()) for name in names.split()}
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),  # kana
    "ko": re.compile("[\uac00-\ud7af]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "en": re.compile("[A-Za-z\u00c0-\u024f]"),
}
# A character of what is written without spaces: Han with its extensions and compatibility forms, kana, Thai
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f\U00020000-\U0003ffff]")
_FOREIGN = ("ja", "ko")  # written with Chinese characters too


def check_text(text: str, file: Path | None = None) -> None:
    """Raises "input" for a text that nothing can read. file: that it was read from, if it has one of its own."""
    if not text.strip():
        raise AffectkitError("input", "has no text", file=file, remedy="fill it in, or drop the row")
    if len(text) > MOST_CHARACTERS:
        message = f"has a text of {len(text):,} characters, and {MOST_CHARACTERS:,} are read at most"
        raise AffectkitError("input", message, file=file)


@lru_cache(1024)
def language_code(name: str) -> str:
    """ISO 639-1 of a language as tables call it: its code with or without a region or script, its code of three
    letters, or its name. A code that is not known here is its first part, in lower case; another word stays.

    >>> [language_code(name) for name in ("EN", "zh_CN", "cmn", " English (US)", "nds-DE", "Swiss German", "")]
    ['en', 'zh', 'zh', 'en', 'nds', 'Swiss German', '']
    """
    name = name.strip()
    code = re.split("[-_.]", name.lower())[0]
    if re.fullmatch("[a-z]{2,3}", code):
        return _CODES.get(code, code)
    word = re.split(r"[-_\s(]", name.lower())[0]
    return _CODES.get(word, name) if len(word) > 3 else name


def with_language_codes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the column `language`, where there is one, in codes."""
    if LANGUAGE not in rows:
        return rows
    codes = {name: language_code(str(name)) for name in rows[LANGUAGE].unique()}
    changed = any(name != code for name, code in codes.items())
    return rows.assign(language=rows[LANGUAGE].map(codes)) if changed else rows


def language_of(text: str, language: str = "") -> str:
    """ISO 639-1 of a text: what its row says, else what most of its letters are written in, of which Latin ones count
    as English; "" for a text without letters.

    >>> language_of("今天很开心, ok"), language_of("so sad"), language_of("Na gut", "de-AT"), language_of("😀!")
    ('zh', 'en', 'de', '')
    """
    if code := language_code(language):
        return code
    counts = {name: float(len(letters.findall(text))) for name, letters in _SCRIPTS.items()}
    if foreign := next((name for name in _FOREIGN if 4 * counts[name] > counts["zh"] + counts[name]), None):
        return foreign
    counts["en"] /= 4  # a Chinese character is a word
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else ""


def written_in(text: str, hint: str = "") -> str:
    """ISO 639-1 of a text that is said to be in `hint`, which does not count where the letters are of another language;
    of languages whose letters are not known here, where they are Chinese, Japanese or Korean.

    >>> written_in("我很难过 ok", "en"), written_in("I am sad", "zh-CN"), written_in("Na gut", "de")
    ('zh', 'en', 'de')
    """
    said, script = language_of("", hint), language_of(text)
    letters = {said} if said in _SCRIPTS else {"en", "ru", "ar"}
    if said in _FOREIGN:
        letters.add("zh")
    return said if said and (not script or script in letters) else script
