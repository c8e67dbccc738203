import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectkit.artifacts.tables import read_table, to_numbers, write_table
from affectkit.errors import AffectkitError


def written(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def test_words_that_look_like_missing_values_are_words(tmp_path):
    table = read_table(written(tmp_path, "id,text\n1,None\n2,NA\n3,nan\n4,\n"))
    assert list(table["text"]) == ["None", "NA", "nan", ""]


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbfid,text\r\n1,"a, b"\r\n2,\xc3\xa9\r\n',  # BOM, Windows line ends
        b'id,text\r1,"a, b"\r2,\xc3\xa9\r',  # bare CR
        b' id , text\n\n1,"a, b"\n\n2,\xc3\xa9',  # padded header, blank lines, no final line end
    ],
)
def test_spellings_of_one_table_read_alike(tmp_path, data):
    table = read_table(written(tmp_path, data))
    assert table.to_dict("list") == {"id": ["1", "2"], "text": ["a, b", "é"]}


def test_a_quoted_cell_may_hold_quotes_and_line_breaks(tmp_path):
    table = read_table(written(tmp_path, 'id,text\n1,"say ""hi""\nthere"\n'))
    assert table["text"][0] == 'say "hi"\nthere'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        ("id,text\n1,a\n2\n", "row 2: 1 cells under a header of 2"),
        ("id,text\n1,a,b\n", "row 1: 3 cells under a header of 2"),
        ("id,id\n1,2\n", "column 'id' stands twice"),
        ('id,text\n1,"open\n', "malformed CSV"),
        (b"id,text\n1,\xff\xfe\n", "is not UTF-8 text"),
        ("name,text\n1,a\n", "has no column 'id'"),
    ],
)
def test_a_broken_table_is_one_error_that_says_where(tmp_path, data, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        read_table(written(tmp_path, data), required=["id"])
    assert str(caught.value).startswith(str(tmp_path / "table.csv"))


def test_a_missing_table_and_a_folder_are_named(tmp_path):
    with pytest.raises(AffectkitError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(AffectkitError, match="is a folder"):
        read_table(tmp_path)


def test_a_word_among_numbers_is_named_with_its_row(tmp_path):
    assert to_numbers(["1.5", "", "-2e3"]).tolist()[::2] == [1.5, -2000.0]
    with pytest.raises(AffectkitError, match="row 2: valence 'high' is not a number"):
        to_numbers(["1", "high"], column="valence")


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00")), min_size=2, max_size=2)))
def test_what_pandas_writes_is_read_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    frame = pd.DataFrame(cells, columns=["a", "b"], dtype=object)
    write_table(path, frame)
    kept = [row for row in csv.reader(io.StringIO(path.read_text("utf-8"), newline="")) if row][1:]
    assert read_table(path).to_numpy().tolist() == kept == list(cells)


def test_floats_keep_nine_digits_and_missing_is_empty(tmp_path):
    write_table(tmp_path / "t.csv", pd.DataFrame({"x": [1 / 3, float("nan"), 2.0]}))
    assert (tmp_path / "t.csv").read_text() == 'x\n0.333333333\n""\n2\n'
