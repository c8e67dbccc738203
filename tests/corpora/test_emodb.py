from collections import Counter

import pytest

from affectkit.corpora import emodb
from affectkit.errors import AffectkitError


def test_the_real_corpus_at_its_published_counts(real_data, gathered):
    rows, reasons = gathered(emodb.read(real_data / "emodb"))
    assert len(rows) == 535 and not reasons
    assert Counter(row["source_label"] for row in rows.values()) == {
        "anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71, "sadness": 62, "neutral": 79,
    }  # fmt: skip
    speakers = {row["speaker"]: row["sex"] for row in rows.values()}
    assert sorted(s for s, sex in speakers.items() if sex == "male") == ["03", "10", "11", "12", "15"]
    assert sorted(s for s, sex in speakers.items() if sex == "female") == ["08", "09", "13", "14", "16"]
    assert {row["speaker"] for row in rows.values() if row["split"] == "test"} == {"12", "14", "15", "16"}
    assert len({row["text_id"] for row in rows.values()}) == 10 and all(row["text"] for row in rows.values())


def test_a_name_says_everything(wav, tmp_path, gathered):
    wav(tmp_path / "wav" / "16b10Lb.WAV")
    rows, _ = gathered(emodb.read(tmp_path))
    assert rows["16b10Lb"] == {
        "id": "16b10Lb", "path": "wav/16b10Lb.WAV", "source_label": "boredom", "speaker": "16", "sex": "female",
        "language": "de", "text": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.", "text_id": "b10",
        "split": "test",
    }  # fmt: skip


def test_odd_files_are_dropped_with_a_reason_and_hidden_ones_not_looked_at(wav, pointer, tmp_path, gathered):
    wav(tmp_path / "03a01Wa.wav")
    wav(tmp_path / "03a01Xa.wav")
    wav(tmp_path / "take one.wav")
    wav(tmp_path / "copy" / "03a01Wa.wav")
    wav(tmp_path / "._03a01Wa.wav")
    wav(tmp_path / ".cache" / "03a01Na.wav")
    pointer(tmp_path / "03a01Na.wav")
    rows, reasons = gathered(emodb.read(tmp_path))
    assert set(rows) == {"03a01Wa"}
    assert set(reasons) == {"03a01Xa.wav", "take one.wav", "copy/03a01Wa.wav", "03a01Na.wav"}
    assert reasons["03a01Xa.wav"] == "unknown emotion code 'X'"
    assert "03a01Wa.wav" in reasons["take one.wav"]
    assert "second copy" in reasons["copy/03a01Wa.wav"] and "Git-LFS" in reasons["03a01Na.wav"]


def test_a_clone_of_pointers_alone_is_refused_by_name(pointer, tmp_path):
    pointer(tmp_path / "wav" / "03a01Wa.wav")
    with pytest.raises(AffectkitError, match=r"Git-LFS pointer.*git lfs pull"):
        list(emodb.read(tmp_path))


def test_texts_of_the_twin_do_not_tell_the_emotion(emodb_twin, gathered):
    rows, _ = gathered(emodb.read(emodb_twin))
    texts = {(row["source_label"], row["text_id"]) for row in rows.values()}
    assert len(texts) > 0.4 * 70  # spread over the ten texts of each class instead of one or two
