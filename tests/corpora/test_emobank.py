from collections import Counter

import pytest

from affectkit.corpora import emobank
from affectkit.errors import AffectkitError


def test_the_real_corpus(real_data, gathered):
    rows, reasons = gathered(emobank.read(real_data / "emobank"))
    assert len(rows) == 10062 and not reasons
    assert Counter(row["split"] for row in rows.values()) == {"train": 8062, "val": 1000, "test": 1000}
    none = rows["easy_money_13624_13628"]
    assert none["text"] == "None" and none["sequence"] == "easy_money"
    assert (none["valence"], none["arousal"], none["dominance"]) == (2.78, 2.89, 2.78)


def test_the_declared_defects_are_those_of_the_real_corpus(real_data, gathered):
    rows, _ = gathered(emobank.read(real_data / "emobank"))
    texts = {split: {r["text"] for r in rows.values() if r["split"] == split} for split in ("train", "val", "test")}
    parts = {}
    for row in rows.values():
        parts.setdefault(row["sequence"], set()).add(row["split"])
    shared = [len(texts["train"] & texts["val"]), len(texts["train"] & texts["test"])]
    several, apart = (
        sum(kind(p) for p in parts.values()) for kind in (lambda p: len(p) > 1, {"train", "test"}.issubset)
    )
    declared = {defect.kind: defect.text for defect in emobank.CORPUS.defects}
    assert shared == [20, 16] and all(f"({n})" in declared["text"] for n in shared)
    assert (
        f"{several} of EmoBank's {len(parts)} documents" in declared["source"]
        and f"{apart} of them" in declared["source"]
    )


@pytest.mark.parametrize(
    "perspective, expected",
    [("reader", (2.6, 3.0, 2.6)), pytest.param("writer", (3.0, 3.2, 3.0), marks=pytest.mark.slow)],
)
def test_one_perspective_of_the_real_corpus(real_data, gathered, perspective, expected):
    rows, _ = gathered(emobank.read(real_data / "emobank", perspective=perspective))
    row = rows["110CYL068_1079_1110"]
    assert len(rows) == 10062 and (row["valence"], row["arousal"], row["dominance"]) == expected
    assert row["raters"] == 5.0 and row["valence_sd"] >= 0


def test_mistakes_are_named(tmp_path, gathered):
    (tmp_path / "emobank.csv").write_text("id,split,V,A,D,text\nd_1_2,train,3,3,3,NA\nd_3_4,spare,3,3,3,x\n")
    rows, reasons = gathered(emobank.read(tmp_path))
    assert rows["d_1_2"]["text"] == "NA" and reasons == {"d_3_4": "unknown split 'spare'"}
    with pytest.raises(AffectkitError, match=r"has no reader\.csv"):
        list(emobank.read(tmp_path, perspective="reader"))
    with pytest.raises(AffectkitError, match="choose combined, reader or writer"):
        emobank.read(tmp_path, perspective="mine")
    (tmp_path / "emobank.csv").write_text("id,split,V,A,D,text\nd_1_2,train,3,three,3,NA\n")
    with pytest.raises(AffectkitError, match="row 1: A 'three' is not a number"):
        list(emobank.read(tmp_path))
