"""Texts as media: what can be read, and in which language a text is, as far as its script tells."""

import re
from pathlib import Path

from affectkit.errors import AffectkitError

MOST_CHARACTERS = 1_000_000  # a book; what is longer is no row of a corpus, and its tokens fill the memory

# ISO 639-1, of what tables call languages otherwise.
_CODES = {
    "eng": "en", "english": "en", "zho": "zh", "chi": "zh", "cmn": "zh", "chinese": "zh", "mandarin": "zh",
    "deu": "de", "ger": "de", "german": "de",
}  # fmt: skip
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),  # kana
    "ko": re.compile("[\uac00-\ud7af]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "en": re.compile("[A-Za-z\u00c0-\u024f]"),
}
_FOREIGN = ("ja", "ko")  # written with Chinese characters too


def check_text(text: str, file: Path | None = None) -> None:
    """Raises "input" for a text that nothing can read. file: that it was read from, if it has one of its own."""
    if not text.strip():
        raise AffectkitError("input", "has no text", file=file, remedy="fill it in, or drop the row")
    if len(text) > MOST_CHARACTERS:
        message = f"has a text of {len(text):,} characters, and {MOST_CHARACTERS:,} are read at most"
        raise AffectkitError("input", message, file=file)


def language_of(text: str, language: str = "") -> str:
    """ISO 639-1 of a text: what its row says, else what most of its letters are written in, of which Latin ones count
    as English; "" for a text without letters.

    >>> language_of("今天很开心, ok"), language_of("so sad"), language_of("Na gut", "de-AT"), language_of("😀!")
    ('zh', 'en', 'de', '')
    """
    code = re.split("[-_]", language.strip().lower())[0]
    if code:
        return _CODES.get(code, code)
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
