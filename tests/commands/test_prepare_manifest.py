"""`affectkit prepare-manifest` as it is used, on twins and on real corpora."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from affectkit.artifacts.manifest import read_manifest
from affectkit.errors import AffectkitError


def read(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_speakers_do_not_straddle_and_folds_leave_one_out(affectkit, emodb_twin, tmp_path):
    affectkit("prepare-manifest", "emodb", emodb_twin, "--split-by", "speaker", "-o", tmp_path / "split")
    rows = read_manifest(tmp_path / "split").rows
    assert (rows.groupby("speaker")["split"].nunique() == 1).all()
    assert set(rows["split"]) == {"train", "val", "test"}
    affectkit("prepare-manifest", "emodb", emodb_twin, "--folds", "speaker", "-o", tmp_path / "folds")
    rows = read_manifest(tmp_path / "folds").rows
    assert [p.name for p in (tmp_path / "folds").glob("*.csv")] == ["folds.csv"]
    assert (rows.groupby("fold")["speaker"].nunique() == 1).all()
    assert rows["fold"].nunique() == 5
    affectkit("prepare-manifest", "emodb", emodb_twin, "--folds", "2", "-o", tmp_path / "two")
    rows = read_manifest(tmp_path / "two").rows
    assert (rows.groupby("speaker")["fold"].nunique() == 1).all()
    assert rows["fold"].nunique() == 2


def test_labels_are_mapped_chosen_and_ordered(affectkit, emodb_twin, tmp_path):
    line = ["prepare-manifest", "emodb", emodb_twin, "--split-by", "speaker"]
    affectkit(*line, "--label-map", "happiness=joy,boredom=", "--labels", "joy,anger,neutral", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert manifest.targets["label"].classes == ("joy", "anger", "neutral")
    assert set(manifest.rows["label"]) == {"joy", "anger", "neutral"}
    assert set(manifest.rows.loc[manifest.rows["label"] == "joy", "source_label"]) == {"happiness"}
    label_map = json.loads((tmp_path / "m" / "label_map.json").read_text())
    assert label_map["map"] == {"anger": "anger", "happiness": "joy", "neutral": "neutral"}
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert sum(summary["dropped_reasons"].values()) == 70 - len(manifest.rows)
    result = affectkit(*line, "--labels", "happines", "-o", tmp_path / "x", code=2)
    assert "no row is 'happines'; did you mean happiness" in result.stderr
    result = affectkit(*line, "--label-map", "hapiness=joy", "-o", tmp_path / "x", code=2)
    assert "did you mean happiness" in result.stderr


def test_durations_come_from_headers_and_filter(affectkit, tone, tmp_path):
    for number, seconds in enumerate([0.2, 0.5, 1.0, 3.0]):
        tone(tmp_path / "c" / "happy" / f"a{number}.wav", seconds, pitch=200 + 10 * number)
        tone(tmp_path / "c" / "sad" / f"b{number}.wav", seconds, pitch=300 + 10 * number)
    line = ["prepare-manifest", "folder", tmp_path / "c", "--split-by", "random", "--min-duration", 0.3]
    affectkit(*line, "--max-duration", 2, "-o", tmp_path / "m")
    rows = read_manifest(tmp_path / "m").rows
    assert sorted(rows["duration_sec"]) == [0.5, 0.5, 1.0, 1.0]
    reasons = json.loads((tmp_path / "m" / "summary.json").read_text())["dropped_reasons"]
    assert reasons == {"shorter than --min-duration 0.3 s": 2, "longer than --max-duration 2 s": 2}


def test_a_leak_is_an_error_until_its_kind_is_allowed(affectkit, emodb_twin, tmp_path):
    line = ["prepare-manifest", "emodb", emodb_twin, "--split-by", "random"]
    result = affectkit(*line, "-o", tmp_path / "m", code=1)
    assert "speaker" in result.stderr
    assert "--allow-leaks speaker" in result.stderr
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["leaks.csv"]
    listed = read(tmp_path / "m" / "leaks.csv")
    assert list(listed.columns) == ["kind", "value", "ids", "sides", "files"] and set(listed["kind"]) == {"speaker"}
    assert f"{len(listed)} of {len(listed)} on more than one side" in result.stderr
    ids = {key for cell in listed["ids"] for key in cell.split("|")}
    assert len(ids) == 70 and all(Path(file).exists() for cell in listed["files"] for file in cell.split("|"))
    affectkit(*line, "--allow-leaks", "speaker", "-o", tmp_path / "m")
    audit = json.loads((tmp_path / "m" / "leak_audit.json").read_text())
    assert any(leak["kind"] == "speaker" for leak in audit["leaks"])
    assert not (tmp_path / "m" / "leaks.csv").exists()


def test_a_planted_copy_is_found_by_content_and_an_altered_one_by_near(affectkit, emodb_twin, tmp_path):
    root = tmp_path / "c"
    shutil.copytree(emodb_twin, root)
    files = sorted((root / "wav").glob("*.wav"))
    speakers = sorted({f.name[:2] for f in files})
    source = next(f for f in files if f.name[:2] == speakers[0])
    copy = source.with_name(speakers[1] + source.name[2:-5] + "z.wav")
    shutil.copy(source, copy)
    line = ["prepare-manifest", "emodb", root, "--folds", "speaker"]
    result = affectkit(*line, "-o", tmp_path / "m", code=1)
    assert "media" in result.stderr
    assert copy.stem in result.stderr or source.stem in result.stderr
    affectkit(*line, "--audit", "names", "-o", tmp_path / "m")
    import soundfile

    samples, rate = soundfile.read(source)
    soundfile.write(copy, 0.5 * samples, rate)  # half as loud: other bytes, the same recording
    affectkit(*line, "-o", tmp_path / "content")
    result = affectkit(*line, "--audit", "near", "-o", tmp_path / "near", code=1)
    assert "media" in result.stderr


def test_a_split_from_a_file(affectkit, emodb_twin, tmp_path):
    ids = sorted(p.stem for p in (emodb_twin / "wav").glob("*.wav"))
    speakers = sorted({i[:2] for i in ids})
    side = {speakers[0]: "test", speakers[1]: "val"}
    pd.DataFrame({"id": ids, "split": [side.get(i[:2], "train") for i in ids]}).to_csv(tmp_path / "p.csv", index=False)
    affectkit("prepare-manifest", "emodb", emodb_twin, "--split-by", tmp_path / "p.csv", "-o", tmp_path / "m")
    rows = read_manifest(tmp_path / "m").rows
    assert set(rows.loc[rows["split"] == "test", "speaker"]) == {speakers[0]}
    text = (tmp_path / "p.csv").read_text().replace(ids[3], "nobody")
    (tmp_path / "q.csv").write_text(text)
    result = affectkit(
        "prepare-manifest", "emodb", emodb_twin, "--split-by", tmp_path / "q.csv", "-o", tmp_path / "x", code=1
    )
    assert ids[3] in result.stderr


def test_merging_keeps_corpora_apart_and_maps_to_one_label_set(affectkit, tmp_path):
    affectkit("synthesize", "merge", tmp_path / "c", "--size", 40, "--speakers", 6)
    parts = sorted((tmp_path / "c" / "manifests").iterdir())
    affectkit("prepare-manifest", "merge", *parts, "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert set(manifest.rows["corpus"]) == {"emodb", "ravdess"}
    assert all(i.startswith(c + "-") for i, c in zip(manifest.rows["id"], manifest.rows["corpus"], strict=True))
    assert all(path.exists() for path in manifest.media())
    result = affectkit("prepare-manifest", "merge", parts[0], "-o", tmp_path / "x", code=2)
    assert "two manifests or more" in result.stderr


@pytest.mark.parametrize("how", ["empty", "truncated", "text", "pointer", "no samples"])
def test_a_bad_file_stops_or_is_skipped_and_named(affectkit, emodb_twin, tmp_path, how):
    root = tmp_path / "c"
    shutil.copytree(emodb_twin, root)
    victim = sorted((root / "wav").glob("*.wav"))[5]
    whole = victim.read_bytes()
    victim.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "text": b"this is not a sound" * 20,
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "no samples": whole[:40] + bytes(4),
        }[how]
    )
    line = ["prepare-manifest", "emodb", root, "--folds", "speaker"]
    if how != "pointer":  # readers leave pointers out by themselves
        result = affectkit(*line, "-o", tmp_path / "m", code=1)
        assert victim.name in result.stderr
        assert result.stderr.count("error:") == 1
    affectkit(*line, "--on-error", "skip", "-o", tmp_path / "m")
    assert len(read_manifest(tmp_path / "m").rows) == 69
    dropped = json.loads((tmp_path / "m" / "summary.json").read_text())["dropped"]
    assert [d["path"].endswith(victim.name) for d in dropped] == [True]


def test_names_in_other_scripts(affectkit, tone, tmp_path):
    for number in range(6):
        tone(tmp_path / "сорпус" / "радость" / f'голос {number} é,"x".wav', 0.4, 200 + 20 * number)
        tone(tmp_path / "сорпус" / "悲しみ" / f"声{number}.wav", 0.4, 400 + 20 * number)
    affectkit("prepare-manifest", "folder", tmp_path / "сорпус", "--split-by", "random", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert set(manifest.rows["label"]) == {"радость", "悲しみ"}
    assert all(path.exists() for path in manifest.media())


def test_fewer_speakers_than_splits_says_what_is_possible(affectkit, tmp_path):
    affectkit("synthesize", "tess", tmp_path / "c", "--size", 30)
    result = affectkit(
        "prepare-manifest", "tess", tmp_path / "c", "--split-by", "speaker", "-o", tmp_path / "m", code=1
    )
    assert "2 speakers cannot fill train, val, test" in result.stderr
    assert "--folds speaker" in result.stderr


def test_real_emodb(affectkit, real_data, tmp_path):
    affectkit(
        "prepare-manifest", "emodb", real_data / "emodb", "--folds", "speaker", "--audit", "near", "-o", tmp_path / "m"
    )
    rows = read_manifest(tmp_path / "m").rows
    assert len(rows) == 535
    assert rows["label"].value_counts().to_dict() == {
        "anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71, "sadness": 62, "neutral": 79
    }  # fmt: skip
    assert rows["speaker"].nunique() == rows["fold"].nunique() == 10
    leaks = json.loads((tmp_path / "m" / "leak_audit.json").read_text())["leaks"]
    assert {leak["kind"] for leak in leaks} == {"text"}
    assert all(leak["declared"] for leak in leaks)


def test_real_emobank(affectkit, real_data, tmp_path):
    affectkit("prepare-manifest", "emobank", real_data / "emobank", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert len(manifest.rows) == 10062
    assert (manifest.rows["text"] == "None").sum() == 1
    assert manifest.targets["valence"].scale == (1, 5)
    assert manifest.declared()


@pytest.mark.parametrize("named", [False, True], ids=["before", "after"])
def test_stopped_at_any_write_it_leaves_nothing_that_passes_for_whole(affectkit, stopped, emodb_twin, tmp_path, named):
    """The folder is refused as unfinished, or is not there, or is complete; --resume completes it."""
    line = ["prepare-manifest", "emodb", emodb_twin, "--folds", "speaker"]
    affectkit(*line, "-o", tmp_path / "whole")
    states = []
    while stopped(*line, "-o", (folder := tmp_path / f"at-{len(states)}"), write=len(states) + 1, named=named):
        states.append("missing" if not folder.exists() else "whole" if (folder / "run.json").exists() else "unfinished")
        if states[-1] == "unfinished":
            read = ["extract-features", "--manifest", folder, "--encoder", "text-ngrams", "-o", tmp_path / "f"]
            assert "is unfinished" in affectkit(*read, code=1).stderr
        affectkit(*line, "-o", folder, "--resume")
        assert contents(folder) == contents(tmp_path / "whole")
    assert set(states) == {"unfinished", "whole" if named else "missing"} and len(states) >= 6


def contents(folder):
    """Every file's bytes, records apart: they hold times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ("run.json", "started.json")}


def test_a_file_that_a_users_own_table_names_in_vain_stops_unless_skipped(affectkit, tone, tmp_path):
    for speaker in range(6):
        tone(tmp_path / f"c/{speaker}.wav", pitch=200.0 + 10 * speaker)
    rows = [f"{speaker}.wav,{'sad' if speaker % 2 else 'calm'},{speaker}" for speaker in [*range(6), 7, 8]]
    (tmp_path / "c/t.csv").write_text("\n".join(["path,label,speaker", *rows]))
    stopped = affectkit("prepare-manifest", "csv", tmp_path / "c", "-o", tmp_path / "m", code=1)
    assert "7.wav: no such file (and 1 more such); correct the table, or leave" in stopped.stderr
    affectkit("prepare-manifest", "csv", tmp_path / "c", "-o", tmp_path / "m", "--on-error", "skip")
    dropped = json.loads((tmp_path / "m" / "summary.json").read_text())["dropped"]
    assert [item["path"] for item in dropped] == ["7.wav", "8.wav"]


def test_names_and_folders_that_are_not_utf8(affectkit, tone, tmp_path, monkeypatch):
    for number in range(6):
        for label in ("calm", "sad"):
            tone(tmp_path / f"c/{label}/{number}_{label}.wav", 0.2, 200 + 20 * number + len(label))
    clip = tone(tmp_path / "clip.wav", 0.2)
    (tmp_path / "c/w\udcfctend").mkdir()
    for name in ("sad/Tr\udce4nen.wav", "w\udcfctend/1.wav"):
        shutil.copy(clip, tmp_path / "c" / name)
    line = ["prepare-manifest", "folder", tmp_path / "c", "--split-by", "random"]
    stopped = affectkit(*line, "-o", tmp_path / "m", code=1)
    assert r"sad/Tr\xe4nen.wav: its name is not UTF-8 (and 1 more such); rename it" in stopped.stderr
    affectkit(*line, "-o", tmp_path / "m", "--on-error", "skip")
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert summary["dropped_reasons"] == {"its name is not UTF-8": 2} and summary["rows"] == 12
    refused = affectkit(*line, "--on-error", "skip", "-o", tmp_path / "r\udce4", code=2)
    assert r"r\xe4: this name is not UTF-8; rename it" in refused.stderr and not (tmp_path / "r\udce4").exists()
    monkeypatch.chdir(tmp_path / "c/w\udcfctend")
    assert r"w\xfctend: this name" in affectkit(*line, "-o", tmp_path / "n", code=2).stderr


@pytest.mark.parametrize(
    ("on_disk", "in_table"),
    [
        ("Tr\u00e4nen/\u00e9.wav", "Tra\u0308nen/e\u0301.wav"),  # composed on the disk, decomposed by macOS
        ("Tra\u0308nen/e\u0301.wav", "Tr\u00e4nen/\u00e9.wav"),
        ("Sad/Clip.WAV", "sad/clip.wav"),
    ],
)
def test_a_table_names_files_in_another_normal_form_or_case(affectkit, tone, tmp_path, on_disk, in_table):
    for number in range(5):
        tone(tmp_path / f"c/{number}.wav", 0.2, 300 + 20 * number)
    tone(tmp_path / "c" / on_disk, 0.2)
    rows = [
        f"{name},{'sad' if place % 2 else 'calm'}"
        for place, name in enumerate([in_table, *map("{}.wav".format, range(5))])
    ]
    (tmp_path / "c/t.csv").write_text("\n".join(["path,label", *rows]))
    affectkit("prepare-manifest", "csv", tmp_path / "c", "--split-by", "random", "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    assert on_disk in set(manifest.rows["path"]) and all(path.exists() for path in manifest.media())


def test_names_that_differ_by_case_only_are_two_files(affectkit, tone, tmp_path):
    for number, name in enumerate(["a.wav", "A.wav", "b.wav", "B.wav", "c.wav", "d.wav"]):
        tone(tmp_path / "c" / name, 0.2 + number / 50, 300 + 20 * number)
    rows = [
        f"{name},{'sad' if place % 2 else 'calm'}" for place, name in enumerate(["a.wav", "A.wav", "c.wav", "d.wav"])
    ]
    line = ["prepare-manifest", "csv", tmp_path / "c", "--split-by", "random", "-o", tmp_path / "m"]
    (tmp_path / "c/t.csv").write_text("\n".join(["path,label", *rows]))
    affectkit(*line)
    durations = read_manifest(tmp_path / "m").rows.set_index("path")["duration_sec"]
    assert durations["A.wav"] != durations["a.wav"]
    (tmp_path / "c/t.csv").write_text("\n".join(["path,label", *rows, "b.WAV,sad"]))  # which of two?
    assert "b.WAV: no such file" in affectkit(*line, "--overwrite", code=1).stderr


def test_a_manifest_of_another_tool_may_spell_names_as_macos_does(tone, tmp_path):
    tone(tmp_path / "gl\u00fccklich" / "\u00fc.wav", 0.2)
    (tmp_path / "m.csv").write_text(
        "id,path,label\na,glu\u0308cklich/u\u0308.wav,x\nb,ne\u0301ant.wav,x\n", encoding="utf-8"
    )
    known, unknown = read_manifest(tmp_path / "m.csv").media()
    assert known == tmp_path / "gl\u00fccklich" / "\u00fc.wav" and unknown == tmp_path / "ne\u0301ant.wav"


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("100,900", "has no segment 100 to 900 s: it is 1.000 s long; times are in seconds: are these milliseconds?"),
        ("0.9,0.1", "has no segment 0.9 to 0.1 s: it is 1.000 s long"),
        ("0.5,0.5", "has no segment 0.5 to 0.5 s"),
        ("-0.1,0.9", "has no segment -0.1 to 0.9 s"),
        ("1.5,", "has no segment 1.5 to 1 s"),
        (",1.2", "has no segment 0 to 1.2 s"),
    ],
)
def test_segments_outside_their_recordings_stop_or_are_counted(affectkit, tone, tmp_path, times, message):
    for number in range(7):
        tone(tmp_path / f"c/{number}.wav", 1.0, 300 + 20 * number)
    good = [f"{number}.wav,{'sad' if number % 2 else 'calm'},,0.5" for number in range(6)]
    table = ["path,label,start_sec,end_sec", *good, f"6.wav,sad,{times}"]
    (tmp_path / "c/t.csv").write_text("\n".join(table))
    line = ["prepare-manifest", "csv", tmp_path / "c", "--split-by", "random", "-o", tmp_path / "m"]
    assert f"6.wav: {message}" in affectkit(*line, code=1).stderr
    affectkit(*line, "--on-error", "skip")
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert summary["dropped_reasons"] == {"its segment does not lie in its recording": 1}
    assert summary["hours"] == round(6 * 0.5 / 3600, 4)


@pytest.mark.parametrize(
    ("times", "remedy"),
    [("16000,48000", "milliseconds or samples?"), ("0.5,0.2", "exchanged?"), ("-1,1", "correct its times")],
)
def test_a_segment_outside_its_recording_says_why(affectkit, tone, tmp_path, times, remedy):
    tone(tmp_path / "a.wav", 1.0)
    (tmp_path / "t.csv").write_text(f"path,label,start_sec,end_sec\na.wav,calm,{times}\n")
    told = affectkit("prepare-manifest", "csv", tmp_path / "t.csv", "-o", tmp_path / "m", code=1).stderr
    assert "a.wav: has no segment" in told and remedy in told


def test_repeated_rows_and_cells_that_say_nan_are_told(affectkit, tone, tmp_path):
    for number in range(8):
        tone(tmp_path / f"{number}.wav", 0.2, 300 + 20 * number)
    rows = [f"{number}.wav,{('calm', 'nan')[number % 2]},{part},0.1" for number in range(8) for part in (0, 0.05)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,start_sec,end_sec", *rows, "0.wav,calm,0,0.1"]))
    line = ["prepare-manifest", "csv", tmp_path / "t.csv", "--allow-leaks", "source", "-o", tmp_path / "m"]
    told = affectkit(*line).stderr
    assert "warning: 8 rows have the label 'nan'" in told
    assert "warning: 1 rows repeat another row's recording, as 0.wav" in told


def test_a_corpus_that_is_all_test(affectkit, tone, tmp_path):
    for number in range(4):
        tone(tmp_path / f"{number}.wav", 0.2, 300 + 20 * number)
    rows = [f"{number}.wav,{('calm', 'sad')[number % 2]},test" for number in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split", *rows]))
    affectkit("prepare-manifest", "csv", tmp_path / "t.csv", "-o", tmp_path / "m")
    assert summary_of(tmp_path / "m")["counts"].keys() == {"test"}


def test_a_rounded_end_a_little_late_is_kept(affectkit, tone, tmp_path):
    for number in range(6):
        tone(tmp_path / f"c/{number}.wav", 1.0, 300 + 20 * number)
    rows = [f"{number}.wav,{'sad' if number % 2 else 'calm'},0,1.05" for number in range(6)]
    (tmp_path / "c/t.csv").write_text("\n".join(["path,label,start_sec,end_sec", *rows]))
    affectkit("prepare-manifest", "csv", tmp_path / "c", "--split-by", "random", "-o", tmp_path / "m")
    assert set(read_manifest(tmp_path / "m").rows["duration_sec"]) == {1.05}


def test_a_negative_duration_of_a_manifest_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("id,path,label,duration_sec\na,a.wav,x,1\nb,b.wav,x,-0.5\n")
    with pytest.raises(AffectkitError, match=r"m.csv row 2: duration_sec -0.5 is negative"):
        read_manifest(tmp_path / "m.csv")


# --- sides, labels and lengths that a table says


@pytest.fixture
def table(tmp_path):
    """Write a table of texts, 24 rows of 6 speakers and 2 classes: `table(split=lambda speaker: ...)`."""

    def write(**columns):
        lines = [",".join(["id", "text", "label", "speaker", *columns])]
        for n in range(24):
            cells = (f"r{n}", f"words of {n}", ("calm", "tense")[n % 2], f"s{n // 4}")
            lines.append(",".join([*cells, *(str(make(n // 4)) for make in columns.values())]))
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "t.csv"

    return write


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize(
    ("parts", "by", "sizes", "told"),
    [
        ("train train train dev test test", "official", [12, 4, 8], "dev as val"),
        ("train train train eval test test", "official", [12, 4, 8], "eval as val"),
        ("Train Train Train - test_a test_b", "official", [8, 4, 8], "dropped 4: has no split, as r12"),
        ("a a a b b b", "speaker", [16, 4, 4], "it is carried as source_split"),
        ("- - - - - -", "speaker", [16, 4, 4], ""),
    ],
)
def test_which_part_rows_are_in(affectkit, table, tmp_path, parts, by, sizes, told):
    file = table(split=lambda speaker: parts.split()[speaker].replace("-", ""))
    line = ["prepare-manifest", "csv", file, "--path-column", ""]
    result = affectkit(*line, "-o", tmp_path / "m")
    assert told in result.stderr and summary_of(tmp_path / "m")["split_by"] == by
    rows = read_manifest(tmp_path / "m").rows
    assert [int((rows["split"] == split).sum()) for split in ("train", "val", "test")] == sizes


def test_a_part_that_nobody_knows_is_refused_where_parts_are_asked_for(affectkit, table, tmp_path):
    file = table(split=lambda speaker: ("train", "train", "train", "trian", "val", "test")[speaker])
    line = ["prepare-manifest", "csv", file, "--path-column", ""]
    refused = affectkit(*line, "-o", tmp_path / "m", code=1).stderr
    assert "t.csv row 13: split 'trian' is not in train, val, test: 4 rows have it; correct it" in refused
    assert not (tmp_path / "m").exists()
    told = affectkit(*line, "--on-error", "skip", "-o", tmp_path / "skip").stderr
    assert "dropped 4: split 'trian' is not in train, val, test, as r12" in told
    affectkit(*line, "--only", "split=train,val,test", "-o", tmp_path / "only")
    assert read(tmp_path / "only" / "train.csv").equals(read(tmp_path / "skip" / "train.csv"))
    affectkit(*line, "--split-by", "speaker", "-o", tmp_path / "speaker")
    assert summary_of(tmp_path / "speaker")["rows"] == 24
    asked = affectkit(*line, "--split-column", "speaker", "-o", tmp_path / "x", code=1).stderr
    assert "column 'speaker' has none of train, val, test" in asked


@pytest.mark.parametrize(
    ("options", "by"), [([], "random"), (["--folds", "3"], "3 folds"), (["--split-by", "label"], "label")]
)
def test_the_summary_says_how_rows_were_split(affectkit, tmp_path, options, by):
    lines = [f"words of {n},{('calm', 'tense', 'sad')[n % 3]}" for n in range(24)]
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    affectkit("prepare-manifest", "csv", tmp_path / "t.csv", *options, "-o", tmp_path / "m")
    assert summary_of(tmp_path / "m")["split_by"] == by
    official = ["prepare-manifest", "csv", tmp_path / "t.csv", "--split-by", "official", "-o", tmp_path / "x"]
    assert "the corpus has no official split as it lies here" in affectkit(*official, code=2).stderr


def test_a_defect_of_the_official_split_excuses_no_other(affectkit, tmp_path):
    affectkit("synthesize", "esd", tmp_path / "c", "--size", 60, "--speakers", 4)
    for clip in sorted((tmp_path / "c").rglob("*.wav")):
        clip.rename(clip.parents[1] / clip.name)  # as copies without split folders have it
    affectkit("prepare-manifest", "esd", tmp_path / "c", "-o", tmp_path / "m")
    summary = summary_of(tmp_path / "m")
    assert summary["split_by"] == "speaker" and not any("own split" in sentence for sentence in summary["declared"])


def test_labels_and_speakers_spelt_in_two_ways_and_classes_that_train_lacks(affectkit, tmp_path):
    parts = ["train", "train", "val", "test"]
    cells = [(part, label) for part in parts for label in ("calm", "Calm", "tense")] + [("test", "rare")]
    lines = [f"words {n},{label},{'Ann' if n == 1 else 'ann'}{part},{part}" for n, (part, label) in enumerate(cells)]
    (tmp_path / "t.csv").write_text("text,label,speaker,split\n" + "\n".join(lines) + "\n")
    told = affectkit("prepare-manifest", "csv", tmp_path / "t.csv", "-q", "-o", tmp_path / "m").stderr
    assert "warning: labels 'Calm' and 'calm' differ by case or spaces only" in told
    assert "--label-map 'Calm=calm'" in told and "speakers 'Anntrain' and 'anntrain' differ" in told
    assert "warning: class 'rare' has no rows in train, only in test" in told
    told = affectkit(
        "prepare-manifest", "csv", tmp_path / "t.csv", "--label-map", "Calm=calm,rare=", "-o", tmp_path / "n"
    ).stderr
    assert "'Calm' and 'calm'" not in told and "rare'" not in told.replace("label 'rare'", "")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ([0.5] * 12, "warning: all 12 recordings are 0.50 s long, and none is longer: they were probably cut"),
        ([0.5] * 7 + [0.3, 0.35, 0.4, 0.2, 0.1], "warning: 7 of 12 recordings are 0.50 s long"),
        ([0.3 + n / 100 for n in range(11)] + [70], "1 of 12 recordings are longer than 60 s"),
        ([0.5] * 8, ""),
        ([0.3 + n / 100 for n in range(12)], ""),
    ],
)
def test_lengths_that_people_do_not_speak_in_are_told_of(affectkit, tone, tmp_path, seconds, told):
    for n, length in enumerate(seconds):
        tone(tmp_path / "c" / ("calm", "tense")[n % 2] / f"{n}.wav", length, pitch=200 + 20 * n, rate=2000)
    stderr = affectkit("prepare-manifest", "folder", tmp_path / "c", "-o", tmp_path / "m").stderr
    assert told in stderr and ("recordings are" in stderr) == bool(told)


def test_a_long_recording_that_is_cut_into_rows_is_as_it_should_be(affectkit, tone, tmp_path):
    """--max-duration is of rows: it would not leave such a recording out."""
    lengths = {f"{n}.wav": 0.3 + n / 100 for n in range(11)} | {"day.wav": 70}
    for n, (name, length) in enumerate(lengths.items()):
        tone(tmp_path / name, length, pitch=200 + 20 * n, rate=2000)
    lines = [
        f"{name},{start},{start + 0.2},{start % 5 + 1}" for name in lengths for start in (0, 35)[: 1 + (name[0] == "d")]
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,start_sec,end_sec,stress", *lines]) + "\n")
    told = affectkit("prepare-manifest", "csv", tmp_path / "t.csv", "-o", tmp_path / "m").stderr
    assert "recordings are" not in told


def test_copies_are_dropped_from_one_side_counted_and_recorded(affectkit, tone, tmp_path):
    for n in range(12):
        tone(tmp_path / "c" / ("train" if n < 8 else "test") / "calm" / f"{n}.wav", 0.3 + n / 100, pitch=200 + 20 * n)
    for n in (0, 1):
        shutil.copy(tmp_path / "c/train/calm" / f"{n}.wav", tmp_path / "c/test/calm" / f"copy{n}.wav")
    line = ["prepare-manifest", "folder", tmp_path / "c", "--val-fraction", 0, "-o", tmp_path / "m"]
    refused = affectkit(*line, code=1).stderr
    assert "--drop-leaks train" in refused and f"({tmp_path / 'm' / 'leaks.csv'} lists all)" in refused
    assert list(read(tmp_path / "m" / "leaks.csv")["value"]) == ["copy0.wav = 0.wav", "copy1.wav = 1.wav"]
    for side, sizes in (("train", (6, 6)), ("test", (8, 4))):
        told = affectkit(*line[:-1], tmp_path / side, "--drop-leaks", side).stderr
        counts, audit = (
            summary_of(tmp_path / side)["counts"],
            json.loads((tmp_path / side / "leak_audit.json").read_text()),
        )
        assert (counts["train"]["rows"], counts["test"]["rows"]) == sizes
        other = {"train": "test", "test": "train"}[side]
        assert f"dropped 2: media of {side} also in {other}, as {side}/calm/" in told
        assert audit["leaks"] == [] and audit["dropped"] == summary_of(tmp_path / side)["drop_leaks"]
        assert audit["dropped"]["side"] == side and audit["dropped"]["rows"] == {side: 2}
        assert [(leak["kind"], leak["count"]) for leak in audit["dropped"]["leaks"]] == [("media", 2)]


def test_copies_of_dropped_copies_go_too(affectkit, emodb_twin, tmp_path):
    import soundfile

    clips = sorted((emodb_twin / "wav").glob("*.wav"))[:4]
    for part, clip in zip(("train", "train", "train", "test"), clips, strict=True):
        (tmp_path / "c" / part / "calm").mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "c" / part / "calm")
    shutil.copy(clips[0], tmp_path / "c/train/calm/again.wav")
    samples, rate = soundfile.read(clips[0])
    soundfile.write(tmp_path / "c/test/calm/quiet.wav", 0.5 * samples, rate)  # near both, which are equal
    line = ["prepare-manifest", "folder", tmp_path / "c", "--val-fraction", 0, "--audit", "near"]
    affectkit(*line, "--drop-leaks", "train", "-o", tmp_path / "m")
    assert summary_of(tmp_path / "m")["drop_leaks"]["rows"] == {"train": 2}
    refused = affectkit(*line, "--drop-leaks", "train", "--folds", "2", "-o", tmp_path / "x", code=2).stderr
    assert "folds have no train and no test side" in refused


def test_what_is_dropped_for_one_reason_is_one_line(affectkit, tmp_path):
    affectkit("synthesize", "ravdess", tmp_path / "c", "--size", 30, "--speakers", 6)
    shutil.copytree(tmp_path / "c", tmp_path / "again")
    (tmp_path / "again").rename(tmp_path / "c" / "audio_speech_actors_01-24")
    told = affectkit("prepare-manifest", "ravdess", tmp_path / "c", "-o", tmp_path / "m").stderr
    (line,) = [line for line in told.splitlines() if line.startswith("dropped")]
    assert line.startswith("dropped 30: a second copy of a sample of the same name, as ")
    dropped = summary_of(tmp_path / "m")["dropped"]
    assert len({item["reason"] for item in dropped}) == 30 and all("Actor_" in item["reason"] for item in dropped)
