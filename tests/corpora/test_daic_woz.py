import json
import math

import pytest
from typer.testing import CliRunner

from affectkit.artifacts.manifest import read_manifest
from affectkit.cli import app
from affectkit.corpora import daic_woz
from affectkit.corpora._corpus import Dropped, Note
from affectkit.errors import AffectkitError

TRAIN, DEV = (f"{part}_split_Depression_AVEC2017.csv" for part in ("train", "dev"))
HEADER = "Participant_ID,PHQ8_Binary,PHQ8_Score,Gender," + ",".join(f"PHQ8_{item}" for item in daic_woz.ITEMS)
TALK = [
    (0.0, 0.5, "Participant", "<synch>"),
    (1.0, 2.0, "Ellie", "how_doingV (so how are you doing today)"),
    (2.5, 3.0, "Participant", "i'm good <laughter>"),
    (3.5, 4.0, "Participant", "thank you"),
    (4.2, 5.0, "Ellie", "that's good"),
    (5.5, 6.25, "Participant", "i met scrubbed_entry at xxx school"),
    (7.0, 8.0, "Participant", "scrubbed_entry"),
    (8.2, 8.6, "Participant", "[laughter]"),
    (9.0, 8.9, "Participant", "mhm"),
    (9.4, 10.0, "Participant", "in l_a"),
]


@pytest.fixture
def interviews(tmp_path, wav):
    """Lay out a corpus: `interviews(**sessions)`, each session the lines of its transcript, labels of its table."""

    def lay_out(talks, tables, folder="{}_P", audio=True):
        for session, talk in talks.items():
            place = tmp_path / folder.format(session)
            place.mkdir(parents=True, exist_ok=True)
            rows = ["start_time\tstop_time\tspeaker\tvalue", *("\t".join(map(str, line)) for line in talk)]
            (place / f"{session}_TRANSCRIPT.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
            if audio:
                wav(place / f"{session}_AUDIO.wav")
        for name, rows in tables.items():
            (tmp_path / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
        return tmp_path

    return lay_out


def labels(session, score, binary, gender=1, items=None):
    items = items or [score // 8 + (place < score % 8) for place in range(8)]
    return ",".join(map(str, [session, binary, score, gender, *items]))


def notes(items):
    return [item.text for item in items if isinstance(item, Note)]


# --- Transcripts


def test_a_turn_is_what_the_participant_says_between_prompts(interviews, gathered):
    root = interviews({"300": TALK}, {TRAIN: [HEADER, labels(300, 12, 1)]})
    items = list(daic_woz.read(root))
    rows, reasons = gathered(items)
    assert {key: (row["start_sec"], row["end_sec"], row["text"]) for key, row in rows.items()} == {
        "300_t0003": (2.5, 4.0, "i'm good thank you"),  # half a second between the two lines
        "300_t0006": (5.5, 6.25, "i met at school"),
        "300_t0010": (9.4, 10.0, "in l_a"),  # what was scrubbed is in no turn
    }
    assert rows["300_t0003"]["path"] == "300_P/300_AUDIO.wav" and rows["300_t0003"]["time_sec"] == 2.5
    assert {row[name] for row in rows.values() for name in ("subject", "session", "sequence")} == {"300"}
    assert not any("role" in row for row in rows.values())
    assert reasons == {
        "300_P/300_TRANSCRIPT.csv row 1": "a line before the interviewer's first words",
        "300_P/300_TRANSCRIPT.csv row 7": "a line that the corpus scrubbed: its sound is silent",
        "300_P/300_TRANSCRIPT.csv row 8": "a line without words, such as <laughter> alone",
        "300_P/300_TRANSCRIPT.csv row 9": "a line that ends before it begins",
    }
    assert "Lines with a scrubbed_entry, which is no word and is left out of their text: 2" in notes(items)


def test_lines_are_joined_up_to_a_pause_and_markers_kept_where_asked(interviews, gathered):
    root = interviews({"300": TALK}, {TRAIN: [HEADER, labels(300, 12, 1)]})
    apart, _ = gathered(daic_woz.read(root, max_pause=0.0))
    assert [row["text"] for row in apart.values()] == ["i'm good", "thank you", "i met at school", "in l_a"]
    assert list(gathered(daic_woz.read(root, max_pause=0.4))[0]) == list(apart)  # they lie half a second apart
    marked, _ = gathered(daic_woz.read(root, keep_markers=True))
    assert marked["300_t0003"]["text"] == "i'm good <laughter> thank you"
    assert marked["300_t0008"]["text"] == "[laughter]"


def test_a_session_has_text_and_stretches_and_no_sound(interviews, gathered):
    root = interviews({"300": TALK}, {TRAIN: [HEADER, labels(300, 12, 1)]})
    rows, _ = gathered(daic_woz.read(root, per="session"))
    assert rows["300"]["path"] == "" and rows["300"]["stretches"] == "2.5-4.0;5.5-6.25;9.4-10.0"
    assert rows["300"]["text"] == "i'm good thank you\ni met at school\nin l_a"
    assert not [name for name in rows["300"] if name.startswith("text_")]


def test_the_interviewer_is_there_only_where_asked_for_and_then_it_is_said(interviews, gathered):
    alone = [line for line in TALK if line[2] == "Participant"]
    tables = {TRAIN: [HEADER, labels(300, 12, 1), labels(451, 3, 0)]}
    root = interviews({"300": TALK, "451": alone}, tables)
    items = list(daic_woz.read(root, interviewer=True))
    rows, _ = gathered(items)
    assert {row["text"]: row["role"] for row in rows.values() if row["subject"] == "300"} == {
        "so how are you doing today": "interviewer",  # the words in brackets, not the prompt's name
        "i'm good thank you": "participant",
        "that's good": "interviewer",
        "i met at school": "participant",
        "in l_a": "participant",
    }
    told = [item.text for item in items if isinstance(item, Note) and item.in_reports]
    assert "interviewer's turns are among its rows" in told[0] and told[1].endswith("in session 451")
    both, _ = gathered(daic_woz.read(root, per="session", interviewer=True))
    assert both["300"]["text_interviewer"] == "so how are you doing today\nthat's good"
    assert both["300"]["text_participant"] == "i'm good thank you\ni met at school\nin l_a"
    assert both["300"]["text"].startswith("so how are you doing today\ni'm good thank you\nthat's good\n")
    assert both["451"]["text_interviewer"] == ""
    assert not [note for note in daic_woz.read(root) if isinstance(note, Note) and note.in_reports]


def test_known_errors_of_the_clock_are_mended_unless_told_not_to(interviews, gathered):
    talk = [(1.0, 2.0, "Ellie", "hi"), (394.0, 395.5, "Participant", "yes"), (430.0, 431.0, "Participant", "no")]
    tables = {TRAIN: [HEADER, labels(321, 12, 1), labels(373, 3, 0)]}
    root = interviews({"321": talk, "373": talk}, tables)
    items = list(daic_woz.read(root))
    rows, reasons = gathered(items)
    assert rows["321_t0002"]["start_sec"] == pytest.approx(394 + 3.8379167)
    assert reasons == {"373_P/373_TRANSCRIPT.csv row 2": "a line in an interruption of the session"}
    assert any("mended" in note and note.endswith("321, 373") for note in notes(items))
    rows, reasons = gathered(daic_woz.read(root, mend_times=False))
    assert rows["321_t0002"]["start_sec"] == 394 and not reasons


# --- Labels and splits


def test_the_score_makes_the_classes_and_what_contradicts_it_is_told(interviews, gathered):
    scores = {"300": 4, "301": 5, "302": 9, "303": 10, "304": 15, "305": 20, "306": 24}
    rows = [labels(key, score, int(score >= 10), gender=place % 2) for place, (key, score) in enumerate(scores.items())]
    odd = [labels(409, 10, 0), labels(307, 30, 1, items=[3] * 8), labels(308, 7, 0, items=[1] * 8)]
    odd += ["309,0,7,0,1,1,,1,1,1,1,0"]
    talks = dict.fromkeys([*scores, "409", "307", "308", "309"], TALK)
    items = list(daic_woz.read(interviews(talks, {TRAIN: [HEADER, *rows, *odd]}), per="session"))
    rows, _ = gathered(items)
    assert [rows[key]["severity"] for key in scores] == [
        "none",
        "mild",
        "mild",
        *daic_woz.SEVERITY.classes[2:],
        "severe",
    ]
    assert [rows[key]["depressed"] for key in scores] == ["no"] * 3 + ["yes"] * 4
    assert [rows[key]["sex"] for key in ("300", "301")] == ["male", "female"]
    assert rows["306"]["phq8_sleep"] == 3.0
    assert rows["409"]["depressed"] == "yes" and rows["409"]["phq8"] == 10
    assert math.isnan(rows["307"]["phq8"]) and rows["307"]["depressed"] == rows["307"]["severity"] == ""
    assert rows["308"]["phq8"] == 7 and math.isnan(rows["309"]["phq8_sleep"])
    told = "; ".join(notes(items))
    assert "contradicts its score; depressed follows the score (10 or more): 409 (0 beside a score of 10)" in told
    assert "no whole number from 0 to 24, so that the session has no label: 307 (30)" in told
    assert "do not sum to its score, which stands: 308 (8 beside a score of 7)" in told
    assert "missing, and stay empty: 309 (Sleep)" in told


def test_the_test_table_with_labels_wins_and_without_it_there_are_none(interviews, gathered):
    bare = {"test_split_Depression_AVEC2017.csv": ["participant_ID,Gender", "300,1", "301,0"]}
    tables = {**bare, DEV.upper(): [HEADER.lower(), labels(302, 3, 0)]}
    root = interviews(dict.fromkeys(("300", "301", "302"), TALK), tables, folder="{}")
    rows, _ = gathered(daic_woz.read(root, per="session"))
    assert {key: row["split"] for key, row in rows.items()} == {"300": "test", "301": "test", "302": "val"}
    assert math.isnan(rows["300"]["phq8"]) and rows["300"]["depressed"] == "" and rows["300"]["sex"] == "female"
    (root / "labels").mkdir()
    table = "Participant_ID,PHQ_Binary,PHQ_Score,Gender\n300,1,11,1\n"
    (root / "labels" / "full_test_split.csv").write_text(table, encoding="utf-8")
    rows, _ = gathered(daic_woz.read(root, per="session"))
    assert rows["300"]["phq8"] == 11 and rows["300"]["depressed"] == "yes" and math.isnan(rows["301"]["phq8"])


def test_a_session_in_two_parts_of_the_split_is_refused(interviews):
    tables = {TRAIN: [HEADER, labels(300, 3, 0)], DEV: [HEADER, labels(301, 3, 0), labels(300, 3, 0)]}
    root = interviews(dict.fromkeys(("300", "301"), TALK), tables)
    with pytest.raises(AffectkitError, match=r"row 2.*300 stands in train_split_.* row 1 too"):
        list(daic_woz.read(root))


# --- What is missing


def test_what_is_missing_is_dropped_and_stops_where_it_should_be_there(interviews, affectkit, pointer):
    talks = dict.fromkeys(("300", "301", "302", "304", "305", "342"), TALK) | {"303": []}
    rows = [labels(key, 3, 0) for key in (300, 301, 302, 303, 304, 399, 400)]
    root = interviews(talks, {TRAIN: [HEADER, *rows]})
    (root / "400_P.zip").write_bytes(b"PK")
    (root / "301_P/301_AUDIO.wav").unlink()
    (root / "300_P/300_COVAREP.csv").write_text("1,0\n", encoding="utf-8")
    pointer(root / "302_P/302_COVAREP.csv")
    (root / "304_P/304_TRANSCRIPT.csv").write_bytes(b"\x00\x05\x16\x07\x00\x02Mac OS X")
    items = list(daic_woz.read(root))
    dropped = {item.path: (item.reason, bool(item.remedy)) for item in items if isinstance(item, Dropped)}
    assert {path: what for path, what in dropped.items() if "row" not in path or "split" in path} == {
        "301_P": ("has no AUDIO.wav", True),
        "302_P/302_COVAREP.csv": ("is a Git-LFS pointer, not the file itself", True),
        "303_P/303_TRANSCRIPT.csv": ("has no words of the participant", False),
        "304_P/304_TRANSCRIPT.csv": ("does not begin with start_time stop_time speaker value, separated by tabs", True),
        "305_P": ("stands in no table of the split", False),
        "342_P": ("a session that the corpus excludes for technical reasons", False),
        f"{TRAIN} row 6": ("there is no folder of the session", True),
        f"{TRAIN} row 7": ("the archive of the session is not unpacked", True),
    }
    args = ("prepare-manifest", "daic-woz", root, "--per", "session", "--split-by", "subject", "-o", root / "m")
    error = affectkit(*args, code=1).stderr
    assert error.count("\n") == 1 and "or leave such rows out with --on-error skip" in error
    affectkit(*args, "--on-error", "skip", "--val-fraction", 0, "--test-fraction", 0, "--overwrite")
    manifest = read_manifest(root / "m")
    assert list(manifest.rows["id"]) == ["300", "301"]  # a row without sound needs none
    assert list(manifest.rows["path_covarep"]) == ["300_P/300_COVAREP.csv", ""]
    warned = manifest.summary["corpora"]["daic-woz"]["warnings"]
    assert "Sessions without the series covarep, whose cells of path_covarep are empty: 1" in warned


def test_archives_alone_and_missing_tables_are_one_error_each(tmp_path, interviews):
    for session in range(300, 305):
        (tmp_path / f"{session}_P.zip").write_bytes(b"PK")
    with pytest.raises(AffectkitError, match=r"not unpacked: 300_P.zip, 301_P.zip, 302_P.zip and 2 more; unpack each"):
        list(daic_woz.read(tmp_path))
    with pytest.raises(AffectkitError, match=f"has no {TRAIN}"):
        list(daic_woz.read(interviews({"300": TALK}, {})))


def test_a_copy_of_transcripts_alone_gives_texts(interviews, gathered):
    root = interviews({"300": TALK}, {TRAIN: [HEADER, labels(300, 12, 1)]}, audio=False)
    items = list(daic_woz.read(root))
    assert {row["path"] for row in gathered(items)[0].values()} == {""}
    assert "No session has an AUDIO.wav: the rows are texts" in notes(items)


# --- The twin, through the commands


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    root = tmp_path_factory.mktemp("daic") / "twin"
    daic_woz.synthesize(root, size=30, speakers=6, seed=1)
    return root


def test_the_twin_has_the_defects_and_each_is_read_right(twin, affectkit, tmp_path):
    result = affectkit("prepare-manifest", "daic-woz", twin, "-o", tmp_path / "m")
    manifest = read_manifest(tmp_path / "m")
    reasons = manifest.summary["dropped_reasons"]
    assert reasons == {
        "a line before the interviewer's first words": 1,
        "a line that the corpus scrubbed: its sound is silent": 1,
        "a line without words, such as <laughter> alone": 1,
        "a line that ends before it begins": 1,
        "a session that the corpus excludes for technical reasons": 1,
        "its segment does not lie in its recording": 1,
    }
    assert len(manifest.rows) == 29 and set(manifest.rows["split"]) == {"train", "val", "test"}
    warned = manifest.summary["corpora"]["daic-woz"]["warnings"]
    assert [text for text in warned if "409 (0 beside a score of 10)" in text]
    assert all(f"warning: {text}" in result.stderr for text in warned)
    assert set(manifest.rows.loc[manifest.rows["subject"] == "409", "depressed"]) == {"yes"}
    targets = {name: target.to_json() for name, target in manifest.targets.items()}
    assert targets["severity"]["kind"] == "ordinal" and targets["depressed"]["classes"] == ["no", "yes"]
    for name in ("covarep", "formant", "aus", "gaze", "pose", "landmarks", "landmarks3d"):
        assert all(path.is_file() for path in manifest.media(f"path_{name}"))


def test_turns_of_the_twin_lie_where_its_sound_is(twin):
    import numpy as np
    import soundfile

    rows = [row for row in daic_woz.read(twin) if isinstance(row, dict)]
    for subject in ("300", "321"):  # the transcript of 321 is late
        samples, rate = soundfile.read(twin / f"{subject}_P/{subject}_AUDIO.wav")
        for row in (row for row in rows if row["subject"] == subject):
            part = samples[round(row["start_sec"] * rate) : round(row["end_sec"] * rate)]
            before = samples[round((row["start_sec"] - 0.2) * rate) : round(row["start_sec"] * rate)]
            assert np.std(part) > 10 * np.std(before)


def test_series_of_the_twin_are_as_the_corpus_writes_them(twin):
    import numpy as np

    covarep = np.genfromtxt(twin / "300_P/300_COVAREP.csv", delimiter=",")
    assert covarep.shape[1] == 74 and np.isneginf(covarep).any() and not np.isnan(covarep).any()
    assert not covarep[covarep[:, 1] == 0, :1].any() and covarep[covarep[:, 1] == 1, 0].min() > 50
    assert (~covarep.any(axis=1)).sum() == 50  # half a second was scrubbed
    assert np.genfromtxt(twin / "300_P/300_FORMANT.csv", delimiter=",").shape == (len(covarep), 5)
    widths = {"AUs": 20, "gaze": 12, "pose": 6, "features": 136, "features3D": 204}
    for name, width in widths.items():
        header, *lines = (twin / f"300_P/300_CLNF_{name}.txt").read_text().splitlines()
        assert header.startswith("frame, timestamp, confidence, success, ") and len(header.split(", ")) == 4 + width
        values = np.array([line.split(", ") for line in lines], float)
        assert np.allclose(values[:, 1], (values[:, 0] - 1) / 30, atol=1e-3)
        assert abs(len(values) / 30 - len(covarep) / 100) < 0.1
        assert not values[values[:, 3] == 0, 4:].any() and (values[:, 3] == 0).any()
    assert (twin / "409_P/409_CLNF_AUs.csv").is_file()


def test_a_twin_has_at_most_as_many_interviews_as_the_corpus_and_as_turns(tmp_path):
    for size, speakers, remedy in ((400, 190, "ask for 1 to 189"), (3, 4, "ask for a larger --size")):
        with pytest.raises(AffectkitError, match=remedy):
            daic_woz.synthesize(tmp_path / "x", size=size, speakers=speakers, seed=0)
    assert not (tmp_path / "x").exists()


# --- A model that reads the interviewer's prompts is caught


@pytest.fixture(scope="session")
def interviewed(made_once):
    """A study of both sides of 40 interviews: the manifest `both`, and `participant` and `interviewer`, what n-grams
    see of each side."""

    def make(study):
        study.mkdir()
        daic_woz.synthesize(study / "twin", size=240, speakers=40, seed=0, series=False)
        ngrams, sides = ["text-ngrams", "--columns", 512, "--on-error", "skip"], ("participant", "interviewer")
        encode = ["extract-features", "--manifest", study / "both", "--encoder", *ngrams]
        for line in (
            ["prepare-manifest", "daic-woz", study / "twin", "--per", "session", "--interviewer", "--folds", 5,
             "-o", study / "both"],
            *([*encode, "--text-column", f"text_{side}", "-o", study / side] for side in sides),
        ):  # fmt: skip
            result = CliRunner().invoke(app, [str(word) for word in line])
            assert result.exit_code == 0, (line, result.output)

    return made_once("interviewed", make)


NOTED = "the interviewer's turns are among its rows (--interviewer)"


@pytest.mark.slow
def test_one_report_shows_the_figure_with_the_interviewer_and_without(interviewed, affectkit):
    features = [
        word for side in ("participant", "interviewer") for word in ("--features", f"{side}={interviewed / side}")
    ]
    args = ("--manifest", interviewed / "both", *features, "--target", "depressed", "--by", "auroc", "--seeds", 1)
    result = affectkit("ablate", *args, "--missing", "drop", "-o", interviewed / "ablation")
    summary = json.loads((interviewed / "ablation" / "ablation_summary.json").read_text())
    auroc = {
        name: subset["metrics"]["depressed.auroc"]["value"]
        for name, subset in summary["parts"]["oof"]["subsets"].items()
    }
    assert auroc["interviewer_only"] > 0.85 and auroc["participant+interviewer"] > 0.8
    assert 0.5 < auroc["participant_only"] < auroc["interviewer_only"] - 0.05
    page = (interviewed / "ablation" / "report.html").read_text()
    assert NOTED in page.replace("&#39;", "'") and "in session 451" in page
    assert NOTED in result.stderr


def test_every_report_downstream_says_that_the_interviewer_is_among_the_inputs(interviewed, affectkit, tmp_path):
    both, features = interviewed / "both", interviewed / "participant"
    args = ("--manifest", both, "--features", features, "--target", "depressed", "--cv")
    result = affectkit("train", *args, "--c-grid", 1, "-o", tmp_path / "model")
    report = json.loads((tmp_path / "model" / "train_report.json").read_text())
    assert NOTED in result.stderr and NOTED in report["notes"][0]
    assert "To be known of its data" in (tmp_path / "model/best_model/README.md").read_text()
    predictions = tmp_path / "model" / "predictions.csv"
    steps = {
        "report": ("report", tmp_path / "model"),
        "evaluation": ("evaluate", predictions),
        "calibration": ("calibrate", predictions),
        "fusion": ("fuse", f"a={predictions}", f"b={predictions}"),
    }
    for name, words in steps.items():
        result = affectkit(*words, "-o", tmp_path / name)
        assert NOTED in result.stderr, name
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert NOTED in metrics["corpora"][0]["notes"][0]


def test_a_manifest_of_the_participants_alone_says_nothing_of_her(interviewed, affectkit, tmp_path):
    affectkit("prepare-manifest", "daic-woz", interviewed / "twin", "--per", "session", "-o", tmp_path / "m")
    args = ("--manifest", tmp_path / "m", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    affectkit("extract-features", *args)
    args = (
        "--manifest",
        tmp_path / "m",
        "--features",
        tmp_path / "f",
        "--target",
        "depressed",
        "-o",
        tmp_path / "model",
    )
    result = affectkit("train", *args)
    assert "interviewer" not in result.stderr
    assert "notes" not in json.loads((tmp_path / "model" / "train_report.json").read_text())


def test_slices_by_role_judge_turns_of_each_side(interviewed, affectkit, tmp_path):
    args = ("--interviewer", "--folds", 3, "-o", tmp_path / "turns")
    affectkit("prepare-manifest", "daic-woz", interviewed / "twin", *args)
    args = ("--manifest", tmp_path / "turns", "--encoder", "text-ngrams", "--columns", 256, "-o", tmp_path / "f")
    affectkit("extract-features", *args)
    args = ("--manifest", tmp_path / "turns", "--features", tmp_path / "f", "--target", "depressed", "--cv")
    affectkit("train", *args, "--c-grid", 1, "-o", tmp_path / "model")
    args = ("--manifest", tmp_path / "turns", "--slices", "role", "-o", tmp_path / "report")
    assert NOTED in affectkit("evaluate", tmp_path / "model" / "predictions.csv", *args).stderr
    slices = json.loads((tmp_path / "report" / "metrics.json").read_text())["slices"]
    counts = {name: part["n"] for name, part in slices.items()}
    # one session of the 40 has no prompts in its transcript, and one turn lies outside of its recording
    assert counts == {"role=participant": 239, "role=interviewer": 234}


def test_another_text_column_is_read_and_a_missing_one_named(interviewed, affectkit, tmp_path):
    args = ("--manifest", interviewed / "both", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    error = affectkit("extract-features", *args, "--text-column", "text_ellie", code=1).stderr
    assert "has no column 'text_ellie'" in error and "its texts are text, text_participant, text_interviewer" in error
