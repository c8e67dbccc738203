import json
import math

import pytest

from affectkit.corpora import msp_podcast
from affectkit.errors import AffectkitError

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
LINES = """
MSP-PODCAST_0001_0008.wav,N,4.2,4.0,3.8,127,Female,Train
MSP-PODCAST_0001_0009.wav,U,5.0,4.5,,127,Female,Validation
MSP-PODCAST_0002_0001.wav,A,6.0,2.0,5.5,Unknown,Unknown,Test1
MSP-PODCAST_0003_0001.wav,X,4.0,4.0,4.0,Unknown,Unknown,Test2
MSP-PODCAST_0003_0002.wav,Z,4.0,4.0,4.0,9,Male,Train
MSP-PODCAST_0003_0003.wav,N,4.0,4.0,4.0,9,Male,Test3
MSP-PODCAST_0003_0004.wav,N,4.0,4.0,4.0,9,Male,Development
"""


@pytest.fixture
def root(tmp_path, wav):
    for name in ("0001_0008", "0001_0009", "0002_0001", "0003_0001", "0003_0002", "0003_0003"):
        wav(tmp_path / "Audio" / f"MSP-PODCAST_{name}.wav")
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / "labels_concensus.csv").write_text(HEADER + LINES)  # as older releases spell it
    (tmp_path / "Transcripts").mkdir()
    (tmp_path / "Transcripts" / "MSP-PODCAST_0001_0008.txt").write_text("well, hello\n")
    raters = {"WORKER1": {"EmoClass_Major": "Neutral"}, "WORKER2": {"EmoClass_Major": "Other-bored"}}
    (tmp_path / "Labels" / "labels_detailed.json").write_text(json.dumps({"MSP-PODCAST_0001_0008.wav": raters}))
    return tmp_path


def test_rows_of_a_release(root, gathered):
    rows, reasons = gathered(msp_podcast.read(root))
    row = rows["MSP-PODCAST_0001_0008"]
    assert (row["valence"], row["arousal"], row["dominance"]) == (4.0, 4.2, 3.8)
    assert (row["source_label"], row["speaker"], row["sex"], row["session"]) == ("neutral", "127", "female", "0001")
    assert (row["text"], row["partition"], row["split"]) == ("well, hello", "Train", "train")
    assert math.isnan(rows["MSP-PODCAST_0001_0009"]["dominance"]) and rows["MSP-PODCAST_0001_0009"]["split"] == "val"
    assert rows["MSP-PODCAST_0001_0009"]["source_label"] == "surprise"
    unknown = rows["MSP-PODCAST_0002_0001"]
    assert (unknown["speaker"], unknown["sex"], unknown["split"]) == ("", "", "test")
    assert reasons == {
        "Audio/MSP-PODCAST_0003_0001.wav": "in partition Test2",
        "Audio/MSP-PODCAST_0003_0002.wav": "unknown emotion code 'Z'",
        "Audio/MSP-PODCAST_0003_0003.wav": "partition 'Test3' is none of Train, Development, Test1, Test2",
        "Audio/MSP-PODCAST_0003_0004.wav": "no such file",
    }


def test_test2_unknown_speakers_and_votes_on_request(root, gathered):
    rows, _ = gathered(msp_podcast.read(root, test2="test", votes=True))
    assert rows["MSP-PODCAST_0003_0001"]["split"] == "test"
    assert rows["MSP-PODCAST_0003_0001"]["partition"] == "Test2"
    votes = {name: n for name, n in rows["MSP-PODCAST_0001_0008"].items() if name.startswith("votes_") and n}
    assert votes == {"votes_neutral": 1.0, "votes_other": 1.0}
    rows, reasons = gathered(msp_podcast.read(root, unknown_speakers="drop"))
    assert set(rows) == {"MSP-PODCAST_0001_0008", "MSP-PODCAST_0001_0009"}
    assert reasons["Audio/MSP-PODCAST_0002_0001.wav"] == "its speaker is Unknown"


def test_mistakes_are_named(root):
    with pytest.raises(AffectkitError, match="choose drop or test"):
        msp_podcast.read(root, test2="maybe")
    table = root / "Labels" / "labels_concensus.csv"
    table.write_text(HEADER + LINES.replace("6.0,2.0", "high,2.0"))
    with pytest.raises(AffectkitError, match="row 3: EmoAct 'high' is not a number"):
        list(msp_podcast.read(root))
    table.write_text("FileName,EmoClass\n")
    with pytest.raises(AffectkitError, match="has no column 'EmoAct'"):
        list(msp_podcast.read(root))
    (root / "Audio").rename(root / "Sound")
    with pytest.raises(AffectkitError, match="has no Audios"):
        list(msp_podcast.read(root))
