"""Languages are read as what they are, wherever a table of rows comes in."""

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.manifest import read_manifest, row_weights
from affectkit.artifacts.predictions import read_predictions
from affectkit.inference import manifest_of_files
from affectkit.media.texts import language_code

SPELT = {
    "en": ["en", "EN", " en ", "en-US", "en_GB", "en_US.UTF-8", "eng", "English", "english (US)"],
    "zh": ["zh", "zh-CN", "zh_Hant_TW", "cmn", "chi", "zho", "Mandarin", "Chinese"],
    "de": ["ger", "deu", "Deutsch", "de-AT"],
    "sw": ["sw-KE"],
    "Swiss German": ["Swiss German"],  # no name of ours: it stays
    "no answer": ["no answer"],
    "?": ["?"],
    "": ["", " "],
}
CELLS = [(cell, code) for code, cells in SPELT.items() for cell in cells]


@pytest.mark.parametrize(("cell", "code"), CELLS)
def test_a_language_is_read_as_what_it_is(cell, code):
    assert language_code(cell) == code == language_code(code)


def table(folder, **columns):
    cells = [cell for cell, _ in CELLS]
    frame = pd.DataFrame({"id": [f"r{place}" for place in range(len(cells))], "language": cells, **columns})
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


@pytest.mark.parametrize("read", [lambda p: read_manifest(p).rows, lambda p: read_predictions(p).frame])
def test_manifests_and_predictions_have_codes(read, tmp_path):
    assert list(read(table(tmp_path, pred="joy"))["language"]) == [code for _, code in CELLS]


def test_a_language_that_is_to_be_told_stays_as_it_is(tmp_path):
    (tmp_path / "p.csv").write_text("id,language,language_prob_EN,language_prob_ZH,language_pred\na,EN,1,0,EN\n")
    assert list(read_predictions(tmp_path / "p.csv").frame["language"]) == ["EN"]


def test_a_manifest_of_files_has_codes(tmp_path):
    (tmp_path / "a.wav").touch()
    assert list(manifest_of_files([tmp_path], {"audio"}, columns={"language": "zh-TW"}).rows["language"]) == ["zh"]


def test_prepare_manifest_writes_codes_and_chooses_by_them(affectkit, tmp_path):
    (tmp_path / "c.csv").write_text("id,text,label,tongue\na,x,joy,EN\nb,y,rage,Mandarin\nc,z,joy,Klingon\n")
    words = ("prepare-manifest", "csv", tmp_path / "c.csv", "--language-column", "tongue")
    affectkit(*words, "-o", tmp_path / "all")
    affectkit(*words, "--only", "language=chinese", "-o", tmp_path / "zh")
    written = {name: sorted(read_manifest(tmp_path / name).rows["language"]) for name in ("all", "zh")}
    assert written == {"all": ["Klingon", "en", "zh"], "zh": ["zh"]}
    assert not any("Mandarin" in file.read_text() for file in (tmp_path / "all").glob("*.csv"))


def test_weights_are_of_languages(tmp_path):
    (tmp_path / "m.csv").write_text("id,language\na,EN\nb,zh\n")
    assert list(row_weights(read_manifest(tmp_path / "m.csv"), "language:english=2,cmn=1", np.arange(2))) == [2, 1]
