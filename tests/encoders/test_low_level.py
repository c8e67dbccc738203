"""low-level: COVAREP, action units and tables of many recordings, joined to rows at their own rates."""

import csv
import json

import numpy as np
import pytest

from affectkit.artifacts.features import read_features
from affectkit.artifacts.manifest import read_manifest
from affectkit.encoders import low_level
from affectkit.encoders._encoder import Item, items
from affectkit.encoders._loop import encode_items
from affectkit.errors import AffectkitError
from affectkit.media.series_formats import COVAREP

RNG = np.random.default_rng(0)


def covarep(path, rows=400, voiced=None, **columns):
    """A file as DAIC-WOZ has it: 100 rows a second, no header."""
    values = RNG.normal(2, 1, (rows, 74))
    values[:, 1] = 1 if voiced is None else voiced
    for name, cells in columns.items():
        values[:, COVAREP.index(name)] = cells
    np.savetxt(path, values, delimiter=",", fmt="%.6f")
    return values


def encode(item, **options):
    """The features of one row by name, and what was counted."""
    encoder = low_level.build(**{"series": "covarep", **options})
    encoded = encode_items(encoder, [item])
    names = encoder.feature_names
    values = encoded.values[0]
    return (dict(zip(names, values, strict=True)) if values.ndim == 1 else values), names, encoded.counts


def test_glottal_features_are_masked_where_there_is_no_voice_and_it_is_said(tmp_path):
    voiced = np.arange(400) % 4 == 0
    values = covarep(tmp_path / "a.csv", voiced=voiced)
    found, names, counts = encode(Item("a", tmp_path / "a.csv"))
    assert len(names) == 74 * 4
    assert counts == {"with_glottal_features_masked_where_VUV_is_0": 1}
    assert found["NAQ_missing"] == pytest.approx(0.75, abs=1e-6)
    assert found["NAQ_mean"] == pytest.approx(values[voiced, 2].mean(), abs=1e-4)
    assert found["NAQ_sd"] == pytest.approx(values[voiced, 2].std(), rel=1e-3)
    assert found["MCEP_3_missing"] == 0 and found["VUV_mean"] == pytest.approx(0.25, abs=1e-6)
    everything, _, counts = encode(Item("a", tmp_path / "a.csv"), mask=False)
    assert everything["NAQ_mean"] == pytest.approx(values[:, 2].mean(), abs=1e-4) and not counts


def test_scrubbed_entries_are_missing(tmp_path):
    values = covarep(tmp_path / "a.csv")
    values[100:200] = 0
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", fmt="%.6f")
    found, _, counts = encode(Item("a", tmp_path / "a.csv"), channels="MCEP_1,F0")
    assert found["MCEP_1_missing"] == found["F0_missing"] == pytest.approx(0.25, abs=0.01)
    assert counts["with_scrubbed_frames"] == 1
    assert found["MCEP_1_mean"] == pytest.approx(np.delete(values[:, 12], range(100, 200)).mean(), abs=5e-3)


def test_infinities_are_missing_and_counted(tmp_path):
    values = covarep(tmp_path / "a.csv")
    values[::2, 5] = -np.inf
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", fmt="%.6f")
    found, _, counts = encode(Item("a", tmp_path / "a.csv"), channels="H1H2,PSP", pool="mean")
    assert found == pytest.approx({"H1H2": values[:, 4].mean(), "PSP": values[1::2, 5].mean()}, abs=1e-4)
    assert counts == {"with_values_that_are_not_finite": 1, **counts}


@pytest.mark.parametrize(
    ("pool", "names"),
    [("stats", ["F0_mean", "F0_sd", "F0_slope", "F0_missing"]), ("mean", ["F0"]), ("mean-std", ["F0_mean", "F0_sd"])],
)
def test_pools(pool, names, tmp_path):
    covarep(tmp_path / "a.csv", F0=np.arange(400) * 2.0)
    found, named, _ = encode(Item("a", tmp_path / "a.csv"), channels="F0", pool=pool)
    assert named == names
    expected = {
        "F0_mean": 399.0,
        "F0": 399.0,
        "F0_sd": np.std(np.arange(400) * 2),
        "F0_slope": 200.0,
        "F0_missing": 0.0,
    }
    assert found == {name: pytest.approx(expected[name], rel=1e-5, abs=1e-6) for name in names}


def test_rows_and_windows_are_joined_by_time(tmp_path):
    covarep(tmp_path / "a.csv", F0=np.arange(400) * 2.0)
    part = Item("a", tmp_path / "a.csv", start_sec=1.0, end_sec=2.0)
    frames, _, _ = encode(part, channels="F0", pool="none")
    assert frames[:, 0].tolist() == [200 + 2.0 * n for n in range(100)]
    windows, _, _ = encode(Item("a", tmp_path / "a.csv"), channels="F0", window=1.0, stride=0.5)
    assert windows.shape == (8, 4) and windows[:7, 0].tolist() == pytest.approx(
        [99 + 100 * n for n in range(7)], abs=1e-3
    )


def test_columns_are_chosen_by_patterns(tmp_path):
    covarep(tmp_path / "a.csv")
    _, names, _ = encode(Item("a", tmp_path / "a.csv"), channels="F0,MCEP_2*", pool="mean")
    assert names == ["F0", "MCEP_2", *(f"MCEP_{n}" for n in range(20, 25))]
    with pytest.raises(AffectkitError, match=r"has no column 'MFCC_\*'"):
        encode(Item("a", tmp_path / "a.csv"), channels="MFCC_*")
    with pytest.raises(AffectkitError, match=r"needs --series"):
        low_level.build()


# --- the commands


def study(root, count=18):
    """COVAREP of `count` people, of whom every other has a higher voice, and a manifest in two parts."""
    root.mkdir(exist_ok=True)
    rows = [["id", "path_covarep", "label", "speaker", "stretches", "split"]]
    for number in range(count):
        covarep(root / f"{number}_COVAREP.csv", 300, F0=100 + 80 * (number % 2) + RNG.normal(0, 5, 300))
        turns = "0.5-1.5;2-2.75" if number % 3 else ""
        part = "train" if number < 12 else "test"
        rows.append([f"s{number}", f"{number}_COVAREP.csv", "ab"[number % 2], f"p{number}", turns, part])
    with open(root / "all.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "all.csv"


def test_a_model_encodes_new_sessions_as_it_was_trained(affectkit, tmp_path):
    path = study(tmp_path / "old")
    line = ("extract-features", "--manifest", path, "--encoder", "low-level", "--series", "covarep")
    told = affectkit(*line, "--channels", "F0,MCEP_2?", "-o", tmp_path / "f")
    assert "18 rows in 1 shard" in told.output
    record = json.loads((tmp_path / "f/encoder.json").read_text())
    assert record["options"]["channels"].startswith("F0,MCEP_20,") and record["options"]["mask"] is True
    assert record["feature_names"][:4] == ["F0_mean", "F0_sd", "F0_slope", "F0_missing"] and record["dim"] == 6 * 4
    affectkit("train", "--manifest", path, "--features", tmp_path / "f", "-o", tmp_path / "m")
    new = study(tmp_path / "new", 6)
    predict = ("predict", "--model-dir", tmp_path / "m")
    answers = affectkit(*predict, "--manifest", new, "--include-fit").stdout
    affectkit("extract-features", "--manifest", new, "--encoder", "low-level", "--series", "covarep", "--channels",
              "F0,MCEP_2?", "-o", tmp_path / "n")  # fmt: skip
    assert answers == affectkit(*predict, "--manifest", new, "--include-fit", "--features", tmp_path / "n").stdout
    bare = affectkit(*predict, tmp_path / "new/3_COVAREP.csv").stdout  # without stretches, as s3 is
    (of_file,), of_rows = csv.DictReader(bare.splitlines()), list(csv.DictReader(answers.splitlines()))
    assert of_file["prob_b"] == of_rows[3]["prob_b"] and len(of_rows) == 6
    (tmp_path / "new/2_COVAREP.csv").write_text("time,x\n0,1\n")
    refused = affectkit("predict", "--model-dir", tmp_path / "m", "--manifest", new, "--include-fit", code=1)
    assert "2_COVAREP.csv: has no column 'F0'" in refused.stderr


@pytest.mark.parametrize(("key", "interleaved"), [("id", False), ("session", True)])
def test_a_table_of_all_recordings(key, interleaved, affectkit, tmp_path):
    lines = [(f"{key[0]}{n}", t / 10, n + t / 10, n) for n in range(6) for t in range(50)]
    lines.sort(key=(lambda line: line[1]) if interleaved else (lambda line: line[0]))
    with open(tmp_path / "series.csv", "w", newline="") as file:
        csv.writer(file).writerows([[key, "time", "pulse", "level"], *lines])
    rows = [[f"i{n}", f"s{n}", "ab"[n % 2], f"p{n}", 1.0, 2.0] for n in range(6)]
    with open(tmp_path / "all.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "session", "label", "speaker", "start_sec", "end_sec"], *rows])
    line = ("extract-features", "--manifest", tmp_path / "all.csv", "--encoder", "low-level", "--pool", "mean")
    affectkit(*line, "--series", tmp_path / "series.csv", "-o", tmp_path / "f")
    features = read_features(tmp_path / "f")
    assert features.names == ["pulse", "level"]
    expected = [[n + 1.45, n] for n in range(6)]
    np.testing.assert_allclose(features.matrix([f"i{n}" for n in range(6)]), expected, atol=1e-5)


def test_a_table_that_lacks_a_row_or_a_name(affectkit, tmp_path):
    (tmp_path / "s.csv").write_text("id,time,x\na,0,1\na,1,2\na,2,2\n")
    (tmp_path / "t.csv").write_text("who,time,x\na,0,1\na,1,2\n")
    (tmp_path / "all.csv").write_text("id,label\na,x\nb,y\n")
    line = ("extract-features", "--manifest", tmp_path / "all.csv", "--encoder", "low-level", "-o", tmp_path / "f")
    refused = affectkit(*line, "--series", tmp_path / "s.csv", code=1)
    assert "all.csv row 2" in refused.stderr and "s.csv: has no rows of 'b'" in refused.stderr
    affectkit(*line, "--series", tmp_path / "s.csv", "--on-error", "skip", "--overwrite")
    assert read_features(tmp_path / "f").ids == ["a"]
    refused = affectkit(*line, "--series", tmp_path / "t.csv", "--overwrite", code=1)
    assert "t.csv: has no column id, sequence, session" in refused.stderr
    refused = affectkit(*line, "--series", tmp_path / "no.csv", "--overwrite", code=1)
    assert "no.csv: no such file" in refused.stderr
    refused = affectkit(*line, "--series", "aus", "--overwrite", code=1)
    assert "has no column 'path_aus'; its rows have no series" in refused.stderr


def test_wrong_stretches_name_their_row(tmp_path):
    (tmp_path / "all.csv").write_text("id,path_x,stretches\na,x.csv,1-2\nb,x.csv,2-1\n")
    with pytest.raises(AffectkitError, match=r"all.csv row 2: stretches: '2-1' is none; write seconds as 12.31-15.22"):
        items(read_manifest(tmp_path / "all.csv"), low_level.build(series="x"))
