"""Windows of a manifest as the rows of their sequences."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.artifacts.sequences import Gathering, gather
from affectkit.errors import AffectkitError
from affectkit.labels import Target

BY_SESSION = Gathering(("session",), "time_sec")
LABEL, STRESS = Target("label", "class", ("calm", "tense")), Target("stress", "number")


def manifest(folder, *rows, **columns):
    """rows: (id, session, time)."""
    frame = pd.DataFrame(rows, columns=["id", "session", "time_sec"]).assign(**columns)
    frame.to_csv(folder / "m.csv", index=False)
    return read_manifest(folder / "m.csv")


ROWS = [("w5", "b", 10), ("w1", "a", 2), ("w2", "a", 0), ("w4", "b", 9.5), ("w3", "a", 1)]


def test_windows_stand_in_the_order_of_time_and_sequences_in_that_of_their_names(tmp_path):
    sequences = gather(manifest(tmp_path, *ROWS, sex=["f", "m", "m", "f", "m"], note=list("vwxyz")), BY_SESSION)
    assert sequences.windows == (("w2", "w3", "w1"), ("w4", "w5"))
    rows = sequences.manifest.rows
    assert rows[["id", "session", "sex", "windows", "time_sec"]].to_numpy().tolist() == [
        ["a", "a", "m", 3, 0.0], ["b", "b", "f", 2, 9.5]
    ]  # fmt: skip
    assert sequences.dropped == ["note"] and "note" not in rows
    assert sequences.counts() == {"min": 2, "median": 2.5, "max": 3}
    assert [sequences.manifest.where(place)["row"] for place in (0, 1)] == [3, 4]  # where each sequence begins


def test_truths_are_the_mean_and_the_common_label_of_the_rows_that_have_one(tmp_path):
    truth = {"label": ["tense", "calm", "", "", "calm"], "stress": [None, 0.1, 0.4, None, None]}
    sequences = gather(manifest(tmp_path, *ROWS, **truth), BY_SESSION, [LABEL, STRESS])
    rows = sequences.manifest.rows
    assert list(rows["label"]) == ["calm", "tense"]
    np.testing.assert_allclose(rows["stress"], [0.25, np.nan])
    same = manifest(tmp_path, *ROWS, stress=[0.1] * 5)
    assert list(gather(same, BY_SESSION, [STRESS]).manifest.rows["stress"]) == [0.1, 0.1]  # not 0.1 * 3 / 3


def test_labels_that_differ(tmp_path):
    rows = manifest(tmp_path, *ROWS, label=["tense", "calm", "calm", "calm", "tense"])
    with pytest.raises(AffectkitError, match="session 'a' has rows of label 'calm' and 'tense'; --truth majority"):
        gather(rows, BY_SESSION, [LABEL])
    majority = gather(rows, Gathering(("session",), "time_sec", "majority"), [LABEL])
    assert list(majority.manifest.rows["label"]) == ["calm", ""]  # of b one each
    assert majority.mixed == {"label": ["b"]}
    lenient = gather(rows, BY_SESSION, [LABEL], strict=False)
    assert list(lenient.manifest.rows["label"]) == ["", ""] and lenient.mixed == {"label": ["a", "b"]}
    assert "label" not in gather(rows, BY_SESSION).manifest.rows  # nobody asked about it


@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_sequence_on_both_sides_is_a_leak(tmp_path, column):
    rows = manifest(tmp_path, *ROWS, **{column: ["train", "train", "test", "train", "train"]})
    with pytest.raises(AffectkitError, match=f"session 'a' has rows of {column} 'test' and 'train'") as caught:
        gather(rows, BY_SESSION)
    assert caught.value.code == "leak"


def test_a_group_must_be_of_whole_sequences(tmp_path):
    rows = manifest(tmp_path, *ROWS, subject=["p1", "p2", "p2", "p1", "p3"])
    with pytest.raises(AffectkitError, match="session 'a' has rows of subject 'p2' and 'p3'; name a --group"):
        gather(rows, BY_SESSION, group="subject")


def test_an_error_names_the_file_and_row_of_a_manifest_in_parts(tmp_path):
    for split, time in (("train", "1"), ("test", "later")):
        frame = pd.DataFrame({"id": [f"{split}1"], "session": "a", "time": time})
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    by_time = Gathering(("session",), "time")
    with pytest.raises(AffectkitError, match=r"test\.csv row 1: time 'later'"):
        gather(read_manifest(tmp_path), by_time)
    (tmp_path / "test.csv").write_text("id,session,time\ntest1,a,1\n")
    with pytest.raises(AffectkitError, match=r"test\.csv row 1: time 1 of .*'a' stands already in row 1 of train\.csv"):
        gather(read_manifest(tmp_path), by_time)


def test_ids_are_safe_as_file_names_and_as_different_as_the_names(tmp_path):
    rows = manifest(tmp_path, ("1", "day/1", 0), ("2", "day:1", 0), ("3", "../x", 0))
    ids = gather(rows, BY_SESSION).ids
    assert len(set(ids)) == 3 and not any("/" in key or key.startswith(".") for key in ids)
    alone = gather(rows.take(rows.rows["session"] == "day/1"), BY_SESSION).ids
    assert set(alone) <= set(ids)  # whatever other sequences there are
    with pytest.raises(AffectkitError, match="'day__1' and 'day/1' have the same id, day__1"):
        gather(manifest(tmp_path, ("1", "day/1", 0), ("2", "day__1", 0)), BY_SESSION)


def test_windows_without_features_are_left_out(tmp_path):
    sequences = gather(manifest(tmp_path, *ROWS), BY_SESSION)
    kept = sequences.keeping({"w1", "w2"})
    assert kept.windows == (("w2", "w1"),) and list(kept.manifest.rows["windows"]) == [2]


def test_rows_are_stacked_in_the_order_asked_for(affectkit, tmp_path):
    """Of shards of three rows, in runs and out of order."""
    from affectkit.artifacts.features import ShardFacts, write_shard

    values = np.arange(28, dtype=np.float32).reshape(7, 2, 2)
    lines = ["id,shard,start,frames"]
    for number, start in enumerate(range(0, 7, 3), start=1):
        ids = [f"r{row}" for row in range(start, min(start + 3, 7))]
        name = f"features-{number:05}.safetensors"
        write_shard(tmp_path / name, list(values[start : start + 3]), ShardFacts("digest", ids))
        lines += [f"{key},{name},{place},1" for place, key in enumerate(ids)]
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "encoder.json").write_text('{"schema": 1, "encoder": "x", "pooled": true}')
    features, order = read_features(tmp_path), [5, 0, 1, 2, 3, 6, 4]
    stacked = features.stacked([f"r{row}" for row in order])
    assert stacked.dtype == np.float32 and (stacked == values[order]).all()
    with pytest.raises(AffectkitError, match="no features of id 'r9'"):
        features.stacked(["r9"])
