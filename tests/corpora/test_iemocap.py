from collections import Counter

import pytest

from affectkit.corpora import iemocap
from affectkit.errors import AffectkitError

# The published four-class counts, and some of the labels that the preset drops.
SESSIONS = {1: 1085, 2: 1023, 3: 1151, 4: 1031, 5: 1241}
LABELS = {"neu": 1708, "ang": 1103, "sad": 1084, "hap": 595, "exc": 1041}
OTHERS = ("fru", "xxx", "sur", "fea", "dis", "oth")
SCENES = ("impro01", "impro04", "impro05a", "script01_1", "script01_1b", "script03_2")
BLOCK = (
    "[{start:.4f} - {end:.4f}]\t{turn}\t{label}\t[2.5000, 3.5000, 1.5000]\n"
    "C-E2:\tNeutral state;\t()\nC-E3:\tExcited; Happiness;\t(glad)\nC-F1:\tAnger;\t()\nC-M1:\tAnger;\t()\n"
    "A-E3:\tval 3; act 2; dom  2;\t()\nA-F1:\tval 5; act 5; dom  5;\t()\n\n"
)


def lay_out(root, wav, turns):
    """turns: (session number, label). Speakers and scenes follow in turn; every second dialogue is recorded from M."""
    dialogues, placeholder = {}, None
    for index, (session, label) in enumerate(turns):
        scene = SCENES[index % len(SCENES)]
        dialogue = f"Ses0{session}{'FM'[index // len(SCENES) % 2]}_{scene}"
        blocks = dialogues.setdefault((session, dialogue), [])
        letter, number = "FM"[len(blocks) % 2], len(blocks) // 2
        turn = f"{dialogue}_{letter}{number:03d}"
        blocks.append(BLOCK.format(start=float(index), end=index + 0.5, turn=turn, label=label))
        path = root / f"Session{session}/sentences/wav/{dialogue}/{turn}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if placeholder is None:
            placeholder = wav(path)
        else:
            path.hardlink_to(placeholder)
    for (session, dialogue), blocks in dialogues.items():
        ratings = root / f"Session{session}/dialog/EmoEvaluation/{dialogue}.txt"
        ratings.parent.mkdir(parents=True, exist_ok=True)
        ratings.write_text("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "".join(blocks))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A tree at the published counts, with 40 turns of every other label on top."""
    labels = [label for label, count in LABELS.items() for _ in range(count)]
    sessions = [session for session, count in SESSIONS.items() for _ in range(count)]
    # a fixed shuffle: 2473 and 5531 share no divisor
    turns = [(sessions[i], labels[i * 2473 % 5531]) for i in range(5531)]
    turns += [(1 + i % 5, OTHERS[i % len(OTHERS)]) for i in range(240)]
    root = tmp_path_factory.mktemp("iemocap") / "IEMOCAP_full_release"

    def write(path):
        path.write_bytes(b"RIFF" + bytes(440))
        return path

    lay_out(root, write, turns)
    return root


def test_the_published_counts_come_back(published, gathered):
    rows, reasons = gathered(iemocap.read(published))
    assert not reasons and len(rows) == 5531 + 240
    preset = iemocap.CORPUS.presets["4class"]
    four = [row for row in rows.values() if row["source_label"] in preset]
    assert len(four) == 5531
    assert Counter(preset[row["source_label"]] for row in four) == {
        "neutral": 1708, "angry": 1103, "sad": 1084, "happy": 1636,
    }  # fmt: skip
    assert Counter(row["session"] for row in four) == {f"Ses0{n}": count for n, count in SESSIONS.items()}
    assert {row["speaker"] for row in four} == {f"Ses0{n}_{letter}" for n in range(1, 6) for letter in "FM"}
    assert Counter(row["split"] for row in four) == {"train": 1085 + 1023 + 1151, "val": 1031, "test": 1241}


def test_the_speaker_is_the_one_who_speaks_not_the_one_who_wore_the_markers(published, gathered):
    rows, _ = gathered(iemocap.read(published))
    assert rows["Ses01F_impro01_M000"]["speaker"] == "Ses01_M" and rows["Ses01F_impro01_M000"]["sex"] == "male"
    assert rows["Ses01M_impro01_F000"]["speaker"] == "Ses01_F" and rows["Ses01M_impro01_F000"]["sex"] == "female"
    prefix = sum(row["speaker"][-1] != row["id"][5] for row in rows.values())
    assert 0.4 < prefix / len(rows) < 0.6


def test_numbers_votes_and_scripts(published, gathered):
    rows, _ = gathered(iemocap.read(published))
    row = rows["Ses03F_script01_1b_M000"]
    assert (row["valence"], row["arousal"], row["dominance"]) == (2.5, 3.5, 1.5)
    # two raters, three ticks; the actors' own anger is not among them
    assert {name: n for name, n in row.items() if name.startswith("votes_") and n} == {
        "votes_neu": 1.0, "votes_exc": 1.0, "votes_hap": 1.0,
    }  # fmt: skip
    assert (row["style"], row["text_id"], row["dialogue"]) == ("scripted", "script01_1", "Ses03F_script01_1b")
    assert rows["Ses03F_impro05a_F000"]["style"] == "improvised" and rows["Ses03F_impro05a_F000"]["text_id"] == ""
    # times in the header are the dialogue's; the clip itself is whole
    assert "start_sec" not in row and row["time_sec"] >= 0


def test_transcripts_in_latin_1_and_raters_subfolders(wav, tmp_path, gathered):
    lay_out(tmp_path, wav, [(2, "neu"), (2, "hap")])
    home = tmp_path / "Session2" / "dialog"
    said = (
        "Ses02F_impro01_F000 [006.2901-008.2357]: Caf\xe9, excuse me.\n"
        "Ses02F_impro01_MX05 [008.0-009.0]: Mm.\nSes02F_impro01_FXX2: hm\n"
    )
    (home / "transcriptions").mkdir()
    (home / "transcriptions" / "Ses02F_impro01.txt").write_bytes(said.encode("latin-1"))
    (home / "transcriptions" / "._Ses02F_impro01.txt").write_bytes(b"\x00\x05")
    for sub in ("Attribute", "Categorical", "Self-evaluation"):
        (home / "EmoEvaluation" / sub).mkdir()
        (home / "EmoEvaluation" / sub / "Ses02F_impro01_e2_cat.txt").write_text("Ses02F_impro01_F000 :Anger; ()")
    (home / "EmoEvaluation" / "._Ses02F_impro01.txt").write_bytes(b"\x00\x05\x16")
    rows, reasons = gathered(iemocap.read(tmp_path))
    assert not reasons and len(rows) == 2
    assert rows["Ses02F_impro01_F000"]["text"] == "Caf\xe9, excuse me."
    assert rows["Ses02F_impro04_F000"]["text"] == ""


def test_unknown_labels_turns_and_lacking_recordings_are_dropped(wav, tmp_path, gathered):
    lay_out(tmp_path, wav, [(1, "neu"), (1, "joy"), (1, "sad")])
    ratings = tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    ratings.write_text(ratings.read_text() + BLOCK.format(start=9.0, end=9.5, turn="Ses01F_impro01_MX05", label="neu"))
    (tmp_path / "Session1/sentences/wav/Ses01F_impro05a/Ses01F_impro05a_F000.wav").unlink()
    rows, reasons = gathered(iemocap.read(tmp_path))
    assert set(rows) == {"Ses01F_impro01_F000"}
    assert sorted(reasons.values()) == [
        "no such file",
        "the turn is not named as Ses01F_impro01_F000",
        "unknown emotion code 'joy'",
    ]


def test_recordings_that_no_file_rates_are_told(wav, tmp_path, gathered):
    lay_out(tmp_path, wav, [(1, "neu"), (2, "sad")])
    turn = wav(tmp_path / "Session1/sentences/wav/Ses01F_impro07/Ses01F_impro07_M001.wav")
    rows, reasons = gathered(iemocap.read(tmp_path))
    assert len(rows) == 2
    assert reasons == {turn.relative_to(tmp_path).as_posix(): "no file in dialog/EmoEvaluation rates it"}


def test_recordings_that_are_not_there_are_named(wav, tmp_path):
    lay_out(tmp_path, wav, [(1, "neu")])
    (tmp_path / "Session1" / "sentences").rename(tmp_path / "Session1" / "elsewhere")
    with pytest.raises(AffectkitError, match="has no folder sentences/wav"):
        list(iemocap.read(tmp_path))


def test_speakers_of_the_twin_come_in_pairs(tmp_path):
    with pytest.raises(AffectkitError, match="even number"):
        iemocap.synthesize(tmp_path, size=4, speakers=3, seed=0)


def test_scripted_lines_of_the_twin_repeat_across_sessions(tmp_path, gathered):
    iemocap.synthesize(tmp_path, size=48, speakers=4, seed=0)
    rows, _ = gathered(iemocap.read(tmp_path))
    first, second = (
        [row["text"] for row in rows.values() if row["session"] == session and row["style"] == "scripted"]
        for session in sorted({row["session"] for row in rows.values()})
    )
    assert first == second and len(set(first)) > 3
