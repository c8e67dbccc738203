"""Damaged corpora of sessions: whatever byte is wrong, what comes of it is rows, reasons or an error of one line."""

import random

import pytest

from affectkit import registry
from affectkit.corpora._gather import gather
from affectkit.errors import AffectkitError

WORDS = [b"nan", b"-1", b"1e400", b"", b"\xff", b'"', b",", b"null", b"[", b"{", b"..", b"1e9", b"0", b"9" * 21, b"\0"]
TWINS = {
    "table": ("sessions", {}, [{}, {"window": 3.0, "stride": 1.0}, {"target_columns": "stress=1:5"}]),
    "folders": ("sessions", {"session_layout": "folders"}, [{}, {"per": "session"}, {"label_seconds": 2.0}]),
    "avec2014": ("avec2014", {}, [{}]),
    "emopain": ("emopain", {}, [{}, {"window": 1.0}]),
}


def damaged(data, rng):
    """Cut off, some bytes changed, a word put in or in place of others, or nothing but a word."""
    place, word = rng.randrange(len(data)), rng.choice(WORDS)
    how = rng.randrange(5)
    if how == 0:
        return data[:place]
    if how == 1:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(changed)
    if how == 2:
        return data[:place] + word + data[place:]
    if how == 3:
        place = rng.randrange(min(len(data), 400))
        return data[:place] + word + data[place + 3 :]
    return word


@pytest.mark.parametrize("twin", TWINS)
def test_damage_is_rows_reasons_or_one_line(tmp_path, twin):
    name, made, ways = TWINS[twin]
    module = registry.load("corpora", name)
    module.synthesize(tmp_path / "c", size=8, speakers=4, seed=1, **made)
    files = [path for path in sorted((tmp_path / "c").rglob("*.*")) if path.suffix not in (".md", ".jpg")]
    rng, refused = random.Random(twin), 0
    for _ in range(50):
        file = rng.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, rng))
        try:
            refused += bool(gather(module, name, [tmp_path / "c"], rng.choice(ways)).dropped)
        except AffectkitError as error:
            refused += 1
            assert "\n" not in str(error)
        file.write_bytes(whole)
    assert refused
