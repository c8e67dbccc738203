"""RAVDESS, CREMA-D, SAVEE, TESS, CASIA and ESD on hand-made trees."""

import csv
import logging

import pytest

from affectkit.corpora import casia, crema_d, esd, ravdess, savee, tess
from affectkit.errors import AffectkitError


def write_csv(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(rows)


def test_ravdess_names(wav, tmp_path, gathered):
    wav(tmp_path / "Actor_12" / "03-01-06-01-02-01-12.wav")
    wav(tmp_path / "Actor_17" / "03-02-05-02-01-02-17.wav")
    wav(tmp_path / "Actor_17" / "01-01-05-02-01-02-17.wav")
    wav(tmp_path / "Actor_23" / "03-01-09-01-01-01-23.wav")
    wav(tmp_path / "Actor_25" / "03-01-08-01-01-01-25.wav")
    wav(tmp_path / "audio_speech_actors_01-24" / "Actor_12" / "03-01-06-01-02-01-12.wav")
    rows, reasons = gathered(ravdess.read(tmp_path))
    speech, song = rows["03-01-06-01-02-01-12"], rows["03-02-05-02-01-02-17"]
    assert (speech["source_label"], speech["sex"], speech["channel"], speech["split"]) == (
        "fearful", "female", "speech", "train",
    )  # fmt: skip
    assert (speech["text"], speech["text_id"]) == ("Dogs are sitting by the door.", "02")
    assert (song["source_label"], song["sex"], song["channel"], song["intensity"], song["split"]) == (
        "angry", "male", "song", "strong", "val",
    )  # fmt: skip
    assert sorted(reasons.values())[0].startswith("a second copy")
    assert {reason.split(" is not in ")[0] for reason in reasons.values() if " is not in " in reason} == {
        "modality '01'", "emotion '09'", "actor '25'",
    }  # fmt: skip


@pytest.fixture
def crema(tmp_path, wav):
    for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_LO", "1076_MTI_SAD_XX", "1003_ZZZ_ANG_XX", "1001_IEO_SAD_X"):
        wav(tmp_path / "AudioWAV" / f"{name}.wav")
    write_csv(
        tmp_path / "VideoDemographics.csv",
        ["ActorID", "Age", "Sex", "Race", "Ethnicity"],
        ["1001", "51", "Male", "Caucasian", "Not Hispanic"],
        ["1002", "21", "Female", "Asian", "Hispanic"],
    )
    write_csv(
        tmp_path / "processedResults" / "tabulatedVotes.csv",
        ["", "A", "D", "F", "H", "N", "S", "fileName", "numResponses", "agreement", "emoVote"],
        ["100001", 5, 4, 0, 0, 1, 0, "1001_DFA_ANG_XX", 10, 0.5, "A"],
        ["200001", 1, 0, 0, 8, 1, 0, "1001_DFA_ANG_XX", 10, 0.8, "H"],
        ["300001", 9, 0, 0, 1, 0, 0, "1001_DFA_ANG_XX", 10, 0.9, "A"],
        ["100002", 4, 4, 0, 0, 2, 0, "1002_IEO_HAP_LO", 10, 0.4, "A:D"],
    )
    write_csv(
        tmp_path / "processedResults" / "summaryTable.csv",
        ["", "FileName", "VoiceVote", "VoiceLevel", "FaceVote", "FaceLevel", "MultiModalVote", "MultiModalLevel"],
        [1, "1001_DFA_ANG_XX", "A", 60, "H", 70, "A", 71],
        [2, "1002_IEO_HAP_LO", "A:D", "50:51", "H", 70, "H", 71],
    )
    return tmp_path


def test_crema_d_names_people_and_votes_of_the_voice(crema, gathered):
    rows, reasons = gathered(crema_d.read(crema))
    row = rows["1001_DFA_ANG_XX"]
    assert (row["source_label"], row["speaker"], row["sex"], row["age"]) == ("anger", "1001", "male", "51")
    assert (row["text"], row["text_id"], row["level"]) == ("Don't forget a jacket.", "DFA", "unspecified")
    assert (row["votes_anger"], row["votes_disgust"], row["votes_happiness"]) == (5.0, 4.0, 0.0)
    assert rows["1001_IEO_SAD_X"]["level"] == "unspecified" and "votes_anger" not in rows["1001_IEO_SAD_X"]
    assert reasons == {
        "AudioWAV/1076_MTI_SAD_XX.wav": "the recording is silent",
        "AudioWAV/1003_ZZZ_ANG_XX.wav": "unknown sentence, emotion or level code in ZZZ_ANG_XX",
    }


def test_crema_d_labels_by_raters(crema, gathered):
    face, _ = gathered(crema_d.read(crema, label_by="face"))
    assert face["1001_DFA_ANG_XX"]["source_label"] == "happiness" and face["1001_DFA_ANG_XX"]["votes_happiness"] == 8.0
    voice, reasons = gathered(crema_d.read(crema, label_by="voice"))
    assert set(voice) == {"1001_DFA_ANG_XX"}
    assert reasons["AudioWAV/1002_IEO_HAP_LO.wav"] == "its raters tie (anger:disgust)"
    assert reasons["AudioWAV/1001_IEO_SAD_X.wav"] == "nobody rated it"
    with pytest.raises(AffectkitError, match="choose intended, voice"):
        crema_d.read(crema, label_by="nose")


def test_crema_d_without_its_tables_warns_and_with_pointers_for_tables_refuses(
    wav, pointer, tmp_path, caplog, gathered
):
    wav(tmp_path / "1001_DFA_ANG_XX.wav")
    with caplog.at_level(logging.WARNING):
        rows, _ = gathered(crema_d.read(tmp_path))
    assert rows["1001_DFA_ANG_XX"]["sex"] == ""
    assert "VideoDemographics.csv" in caplog.text and "tabulatedVotes.csv" in caplog.text
    with pytest.raises(AffectkitError, match=r"summaryTable\.csv"):
        list(crema_d.read(tmp_path, label_by="voice"))
    pointer(tmp_path / "VideoDemographics.csv")
    with pytest.raises(AffectkitError, match="Git-LFS pointer, not the table"):
        list(crema_d.read(tmp_path))


def test_savee_in_its_three_layouts(wav, tmp_path, gathered):
    for name in (
        "AudioData/DC/sa01.wav",
        "ALL/JE_a02.wav",
        "JKsu03.wav",
        "DC/n30.wav",
        "ALL/DC_sa01.wav",
        "XX/a01.wav",
    ):
        wav(tmp_path / name)
    rows, reasons = gathered(savee.read(tmp_path))
    assert {key: row["source_label"] for key, row in rows.items()} == {
        "DC_sa01": "sadness", "JE_a02": "anger", "JK_su03": "surprise", "DC_n30": "neutral",
    }  # fmt: skip
    assert rows["JK_su03"]["speaker"] == "JK" and rows["JK_su03"]["text_id"] == "su03"
    assert len(reasons) == 2 and "XX/a01.wav" in reasons


def test_tess_names_and_the_misnamed_file(wav, tmp_path, gathered):
    for name in (
        "OAF_Pleasant_surprise/OAF_back_ps.wav",
        "OAF_neutral/OA_bite_neutral.wav",
        "YAF_Fear/YAF_neat_FEAR.wav",
    ):
        wav(tmp_path / name)
    wav(tmp_path / "OAF_back_joy.wav")
    rows, reasons = gathered(tess.read(tmp_path))
    assert rows["OAF_bite_neutral"]["speaker"] == "OAF" and rows["OAF_bite_neutral"]["text"] == "Say the word bite."
    assert rows["OAF_back_ps"]["source_label"] == "ps" and tess.CORPUS.presets["basic"]["ps"] == "surprise"
    assert rows["YAF_neat_fear"]["source_label"] == "fear"
    assert list(reasons) == ["OAF_back_joy.wav"]


def test_casia_folders(wav, tmp_path, gathered):
    for name in ("ZhaoZuoxiang/angry/201.wav", "liuchanhg/Sad/202.wav", "wangzhe/joy/1.wav", "nobody/sad/1.wav"):
        wav(tmp_path / name)
    rows, reasons = gathered(casia.read(tmp_path))
    assert rows["zhaozuoxiang_angry_201"]["sex"] == "male" and rows["liuchanhg_sad_202"]["sex"] == "female"
    assert rows["liuchanhg_sad_202"]["text_id"] == "202" and rows["liuchanhg_sad_202"]["language"] == "zh"
    assert reasons["wangzhe/joy/1.wav"] == "unknown emotion folder 'joy'" and "nobody/sad/1.wav" in reasons


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb2312"])
def test_esd_mandarin_texts_in_any_encoding(wav, tmp_path, gathered, encoding):
    wav(tmp_path / "Emotion Speech Dataset/0001/Angry/train/0001_000351.wav")
    line = "0001_000351\t打远一看,它们的确很是美丽,\t生气\n"
    (tmp_path / "Emotion Speech Dataset/0001/0001.txt").write_bytes(line.encode(encoding))
    rows, _ = gathered(esd.read(tmp_path))
    assert rows["0001_000351"]["text"] == "打远一看,它们的确很是美丽,"
    assert (rows["0001_000351"]["language"], rows["0001_000351"]["text_id"]) == ("zh", "zh001")


def test_esd_english_punctuation_splits_and_flat_copies(wav, tmp_path, gathered, caplog):
    for name in (
        "0011/Surprise/evaluation/0011_001401.wav",
        "0011/Sad/test/0011_001051.wav",
        "0012/happy/0012_000702.wav",
    ):
        wav(tmp_path / name)
    wav(tmp_path / "0011/Joy/train/0011_000001.wav")
    wav(tmp_path / "0011/Sad/spare/0011_001052.wav")
    (tmp_path / "0011/0011.txt").write_bytes("0011_001051\tIt\x92s me\tSad\n".encode("latin-1"))
    rows, reasons = gathered(esd.read(tmp_path))
    assert rows["0011_001051"]["text"] == "It\u2019s me" and rows["0011_001051"]["split"] == "test"
    assert (rows["0011_001401"]["split"], rows["0011_001401"]["sex"]) == ("val", "male")
    assert (rows["0012_000702"]["split"], rows["0012_000702"]["source_label"]) == ("", "happy")
    # the same sentence in another emotion
    assert rows["0011_001401"]["text_id"] == rows["0011_001051"]["text_id"] == "en001"
    assert rows["0012_000702"]["text_id"] == "en002"
    assert set(reasons.values()) == {"unknown folder 'Joy/train'", "unknown folder 'Sad/spare'"}
    assert "0012.txt" in caplog.text


@pytest.mark.parametrize(
    "place",
    ["{s}/{e}/201", "{s}/{e}/201-{e}-{s}", "{e}/201-{e}-{s}", "201-{e}-{s}", "all/201_{E}_{S}", "{e}/{s}/201",
     "CASIA/{E}/201-{e}-{s}"],
)  # fmt: skip
def test_casia_as_it_is_passed_on(wav, tmp_path, gathered, place):
    for speaker, emotion in (("wangzhe", "angry"), ("liuchanhg", "sad")):
        name = place.format(s=speaker, e=emotion, S=speaker.upper(), E=emotion.capitalize())
        wav(tmp_path / f"{name}.wav")
    rows, reasons = gathered(casia.read(tmp_path))
    assert {key: (row["speaker"], row["source_label"], row["text_id"]) for key, row in rows.items()} == {
        "wangzhe_angry_201": ("wangzhe", "angry", "201"), "liuchanhg_sad_201": ("liuchanhg", "sad", "201"),
    }  # fmt: skip
    assert not reasons


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0011_000001\tI said no.\tAngry", "I said no."),
        ("0011_000001 I said no. Angry", "I said no."),
        ("0011_000001   I said no.   angry  ", "I said no."),
        ("0011_000001\tI said no. Angry", "I said no."),
        ("0011_000001 I said no.", "I said no."),
        ("0011_000001\tHe is sad\tAngry", "He is sad"),
        ("0011_000001 打远一看 生气", "打远一看"),
    ],
)
def test_esd_texts_by_tabs_or_spaces(wav, tmp_path, gathered, line, text):
    wav(tmp_path / "0011" / "Angry" / "0011_000001.wav")
    (tmp_path / "0011" / "0011.txt").write_text(line + "\n", encoding="utf-8")
    rows, _ = gathered(esd.read(tmp_path))
    assert rows["0011_000001"]["text"] == text


def test_esd_says_which_texts_are_lacking(wav, tmp_path, gathered, caplog):
    for number in (1, 2):
        wav(tmp_path / "0011" / "Angry" / f"0011_00000{number}.wav")
    (tmp_path / "0011" / "0011.txt").write_text("0011_000001\tNo.\tAngry\n")
    gathered(esd.read(tmp_path))
    assert "0011.txt: has no text of 1 utterances, the first is 0011_000002" in caplog.text
